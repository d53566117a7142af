"""The simulator's own HTTP client: connections kept, answers of every shape, and none at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from whatsapp_simulator.post import Poster

pytestmark = pytest.mark.anyio
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Receiver:
    """Answers each request with the next of ``answers``; an empty one closes the connection, none is silence."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""
        self.serving: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    continue
                writer.write(answer)
                if not answer or b"close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def receiving(*answers: bytes | None) -> AsyncIterator[tuple[Receiver, Poster]]:
    receiver, poster = Receiver(*answers), Poster()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?a=b"
    try:
        yield receiver, poster
    finally:
        poster.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*filter(None, receiver.serving))


async def test_a_connection_is_used_again():
    async with receiving(OK, OK, OK) as (receiver, poster):
        statuses = [await poster.post(receiver.url, b"{}", {"X-Thing": "1"}, 5) for _ in range(3)]
    assert (statuses, receiver.connections) == ([200, 200, 200], 1)
    assert receiver.requests[0].startswith(b"POST /hook?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert receiver.requests[0].endswith(b"X-Thing: 1\r\n\r\n{}")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 500),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200),
        (b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\nuntil the end", 201),
        (b"HTTP/1.1 307 Elsewhere\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 307),
        (b"", 0),
        (b"SSH-2.0-thing close\r\n", 0),
    ],
)
async def test_an_answer_of_any_shape_has_a_status(answer, status):
    async with receiving(answer, OK) as (receiver, poster):
        assert await poster.post(receiver.url, b"{}", {}, 5) == status
        assert await poster.post(receiver.url, b"{}", {}, 5) == 200


async def test_silence_is_no_answer_and_its_connection_is_not_used_again():
    async with receiving(None, OK) as (receiver, poster):
        assert await poster.post(receiver.url, b"{}", {}, 0.05) == 0
        assert await poster.post(receiver.url, b"{}", {}, 5) == 200
    assert receiver.connections == 2


async def test_an_address_where_nobody_is_has_no_answer():
    poster = Poster()
    for url in ("http://127.0.0.1:1/", "ftp://127.0.0.1/", "nothing", "http://[", "http://127.0.0.1:99999/"):
        assert await poster.post(url, b"{}", {}, 5) == 0
