"""uvicorn, with a short way for webhooks.

What comes to the hook is nearly always the same: a POST of a declared length on a connection that stays open. It needs
no scope, no task and no ASGI messages of its own: the parser's callbacks gather the body, the hook takes it, and the
answer is written when its batch is committed. That costs half as much. Whatever is different in any way (chunked,
pipelined, too large, ``Expect``, HTTP/1.0, the handshake) goes uvicorn's ordinary way to the same hook.

What this relies on inside of uvicorn (0.54): a connection's ``cycle`` is its latest request; the next one waits in line
until ``response_complete``, and is begun by ``on_response_complete``, which also lets go of connections that stay idle;
``shutdown`` takes ``keep_alive`` from a cycle that isn't complete.
"""

import asyncio
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from twinline.web.app import HOOK, Platform

URL: Final = HOOK.encode()


def server_of(platform: Platform) -> uvicorn.Server:
    config = uvicorn.Config(
        platform,
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=3,
        ws="none",
    )
    return uvicorn.Server(config)


class Connection(HttpToolsProtocol):
    def __init__(self, config: uvicorn.Config, *args: Any, **named: Any) -> None:
        super().__init__(config, *args, **named)
        assert isinstance(config.app, Platform)
        self._hook = config.app.hook
        self._webhook: Webhook | None = None  # the one whose body is on its way

    def on_headers_complete(self) -> None:
        if self.url == URL and self._is_usual(headers := dict(self.headers)):
            self._webhook = Webhook(self, headers)
            self.cycle = self._webhook  # type: ignore[assignment]
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._webhook is None:
            super().on_body(body)
        else:
            self._webhook.parts.append(body)

    def on_message_complete(self) -> None:
        if self._webhook is None:
            super().on_message_complete()
        else:
            webhook, self._webhook = self._webhook, None
            body = b"".join(webhook.parts)
            webhook.parts.clear()  # the connection remembers its latest request
            self._hook.take(webhook.headers, body, webhook.answer)

    def _is_usual(self, headers: Mapping[bytes, bytes]) -> bool:
        length = headers.get(b"content-length", b"")
        return (
            self.parser.get_method() == b"POST"
            and length.isdigit()
            and int(length) <= self._hook.limit
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.expect_100_continue
            and not self.flow.write_paused
        )


class Webhook:
    """A request at the hook, and to its connection what is needed of a ``RequestResponseCycle``."""

    __slots__ = ("_connection", "disconnected", "headers", "keep_alive", "parts", "response_complete")

    message_event = asyncio.Event()  # set when the connection is lost, but nobody waits for it

    def __init__(self, connection: Connection, headers: Mapping[bytes, bytes]) -> None:
        self._connection = connection
        self.headers = headers
        self.parts: list[bytes] = []
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    def answer(self, status: int, text: bytes) -> None:
        self.response_complete = True
        transport = self._connection.transport
        if transport.is_closing():
            return
        transport.write(_response(status, text, self.keep_alive))
        if not self.keep_alive:
            transport.close()
        self._connection.on_response_complete()


@cache
def _response(status: int, text: bytes, keep_alive: bool) -> bytes:
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: text/plain",
        f"content-length: {len(text)}",
        *([] if keep_alive else ["connection: close"]),
    ]
    return "".join(f"{line}\r\n" for line in [*head, ""]).encode() + text
