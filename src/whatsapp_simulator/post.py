"""A POST that costs little: HTTP/1.1 on connections that are kept, no redirects, no proxies, the body thrown away.

Webhooks are most of what a busy simulator does, and a general HTTP client spent more on them than all the rest took.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Mapping
from typing import cast
from urllib.parse import SplitResult, urlsplit

import httptools


class Failed(Exception):
    """No answer."""


class _Connection(asyncio.Protocol):
    """One question at a time. ``open``: whether it may be asked another."""

    def __init__(self) -> None:
        self.open = True
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[int] | None = None
        self._status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's isn't an instance of it

    async def ask(self, question: bytes) -> int:
        """The status of the answer. Raises ``Failed``."""
        assert self._transport is not None
        if not self.open:
            raise Failed("closed")
        self._parser, self._status = httptools.HttpResponseParser(self), 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        try:
            if self._parser is not None:
                self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(Failed(str(error)))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._status < 200:
            return  # the answer is still to come
        self.open = self.open and self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._status)

    def connection_lost(self, error: Exception | None) -> None:
        if error is None and self._status >= 200:  # the end of the connection was to be the end of the answer
            self.on_message_complete()
        self._end(Failed(str(error or "closed")))

    def _end(self, error: Failed) -> None:
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()


class Poster:
    """Connections by address."""

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str, str], list[_Connection]] = defaultdict(list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> int:
        """The status of the answer; 0 when there is none within ``timeout`` seconds."""
        try:
            where = urlsplit(url)
            key = (where.scheme, where.netloc)
            path = (where.path or "/") + (f"?{where.query}" if where.query else "")
            named = {"Host": where.netloc.rpartition("@")[2], "Content-Length": str(len(body)), **headers}
            lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
            question = "\r\n".join(lines).encode("ascii") + body
            async with asyncio.timeout(timeout):
                connection = self._kept(key) or await _connect(where)
                try:
                    status = await connection.ask(question)
                except BaseException:
                    connection.close()
                    raise
        except (Failed, OSError, ValueError):  # ValueError: an address that is none
            return 0
        if connection.open:
            self._idle[key].append(connection)
        else:
            connection.close()
        return status

    def _kept(self, key: tuple[str, str]) -> _Connection | None:
        kept = self._idle[key]
        while kept:
            connection = kept.pop()
            if connection.open:
                return connection
        return None

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()


async def _connect(where: SplitResult) -> _Connection:
    secure = where.scheme == "https"
    if not where.hostname or not (secure or where.scheme == "http"):
        raise ValueError("not an address of http or https")
    _, connection = await asyncio.get_running_loop().create_connection(
        _Connection,
        where.hostname,
        where.port or (443 if secure else 80),
        ssl=ssl.create_default_context() if secure else None,
    )
    return connection
