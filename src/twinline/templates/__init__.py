"""Message templates of a WABA: written, reviewed, paused, and filled in for one person.

What Meta allows is decided by ``rules.templates`` and ``rules.template_checks``. ``service`` asks Graph and keeps what
it says, ``news`` reads the webhooks about templates, ``jobs`` look again. Sending one is ``sending.service``'s, which
asks ``service.ready`` first; choosing one in a chat is the inbox's.
"""
