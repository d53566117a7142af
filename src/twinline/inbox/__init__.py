"""The shared inbox: chat list, thread, composer, contact panel, and the live stream that keeps them true.

Reading is in ``queries`` (rows) and ``models`` (what a page shows of them), changing in ``service``, the addresses
in ``pages``, the stream in ``live``. Sending isn't done here but asked of ``sending``.
"""
