"""A fast lane for the busiest call: ``POST …/messages``, which a number makes twenty times a second.

httpx's own transport looks at every connection for every request, so with dozens of numbers it cost more than all the
rest of sending together. Here a connection is taken from the top of a pile and put back on it. Everything else, and
whatever goes through a proxy, takes httpx's way.

Errors are httpx's, and as careful as its own: ``ConnectError`` and ``ConnectTimeout`` only where nothing was sent.
"""

import asyncio
import select
import ssl
import urllib.request
from collections import defaultdict
from typing import cast

import httptools
import httpx

IDLE_FOR = 5.0  # seconds that a connection is kept for the next request
LARGEST = 1 << 20  # bytes of an answer; Meta's are a few hundred
LEAVES = "http11.send_request_headers.started"  # of httpx's "trace" extension; here the only event

Origin = tuple[str, str, int]
Header = tuple[bytes, bytes]


class Express(httpx.AsyncBaseTransport):
    def __init__(self, others: httpx.AsyncBaseTransport) -> None:
        self._others = others
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._tls = ssl.create_default_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or not request.url.path.endswith("/messages"):
            return await self._others.handle_async_request(request)
        limits = request.extensions.get("timeout", {})
        connection = self._waiting(_origin(request.url)) or await self._connect(request.url, limits.get("connect"))
        try:
            if trace := request.extensions.get("trace"):
                await trace(LEAVES, {})
            async with asyncio.timeout(limits.get("read")):
                answer = await connection.ask(await _written(request))
        except TimeoutError:
            connection.close()
            raise httpx.ReadTimeout("no answer in time", request=request) from None
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            self._idle[_origin(request.url)].append(connection)
        else:
            connection.close()
        return answer

    async def aclose(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()
        await self._others.aclose()

    def _waiting(self, origin: Origin) -> "_Connection | None":
        """The connection used last, so that those used least grow too old."""
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        return None

    async def _connect(self, url: httpx.URL, patience: float | None) -> "_Connection":
        scheme, host, port = _origin(url)
        tls = self._tls if scheme == "https" else None
        try:
            async with asyncio.timeout(patience):
                _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port, ssl=tls)
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except OSError as error:
            raise httpx.ConnectError(str(error)) from None
        return connection


def transport(connections: int) -> httpx.AsyncBaseTransport | None:
    """The transport of the platform's client; None, which is httpx's own choice, where a proxy is configured."""
    if urllib.request.getproxies():
        return None
    return Express(httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=connections)))


class _Connection(asyncio.Protocol):
    """One request at a time, and its answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[httpx.Response] | None = None
        self._idle_since = self._loop.time()
        self._begin()

    def _begin(self) -> None:
        self.reusable = False
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[Header] = []
        self._body = bytearray()

    async def ask(self, request: bytes) -> httpx.Response:
        self._begin()
        self._answer = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            raise httpx.ConnectError("the connection was closed before anything was sent")
        self._transport.write(request)
        return await self._answer

    def is_fresh(self) -> bool:
        """Whether it may be used once more: not after a while, nor if the other side has said anything, a farewell."""
        if self._transport is None or self._transport.is_closing():
            return False
        return self._loop.time() - self._idle_since < IDLE_FOR and not _has_spoken(self._transport)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))
        if len(self._body) > LARGEST:
            self._fail(httpx.RemoteProtocolError("the answer has no end"))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(httpx.RemoteProtocolError("the connection ended without an answer"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()

    # the parser's

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # the answer proper is still to come
            self._headers.clear()
            return
        self.reusable = self._parser.should_keep_alive()
        self._idle_since = self._loop.time()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(httpx.Response(status, headers=self._headers, content=bytes(self._body)))


def _has_spoken(transport: asyncio.Transport) -> bool:
    """Whether something has come that the loop hasn't read yet."""
    if not hasattr(select, "poll"):  # Windows
        return False
    looked = select.poll()
    looked.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(looked.poll(0))


async def _written(request: httpx.Request) -> bytes:
    body = await request.aread()
    lines = [b"%s %s HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s\r\n" % header for header in request.headers.raw]
    return b"".join((*lines, b"\r\n", body))


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)
