"""The HTTP server's part: when a request arrived, and a way to cut its connection."""

from __future__ import annotations

import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .faults import WIRE


class Protocol(HttpToolsProtocol):
    """uvicorn's, with an extension in each scope: ``arrived``, the real time at which the first bytes of the request
    were read (unix seconds), and ``cut``, which ends the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {WIRE: {"arrived": time.time(), "cut": self.transport.close}}
