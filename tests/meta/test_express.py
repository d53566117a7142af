"""The busiest call's own transport: one connection after the other, and errors as careful as httpx's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from twinline.meta import express
from twinline.meta.graph import Graph, GraphError

pytestmark = pytest.mark.anyio

TAKEN = b'{"messages":[{"id":"wamid.1"}]}'
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = TAKEN, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n%s" % (status, len(body), more, body)


async def request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


@asynccontextmanager
async def meta(handle: Handler, patience: float = 5) -> AsyncIterator[Graph]:
    """A Graph whose connections are handled so."""
    handlers = set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = express.Express(httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(transport=transport, timeout=patience) as http:
        yield Graph(http, f"http://127.0.0.1:{port}")
    server.close()
    for task in handlers:
        task.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)


async def send(graph: Graph) -> str:
    return (await graph.send_message("106540352242922", {"type": "text"}, token="EAAtoken")).wamid


async def test_a_message_arrives_whole_and_connections_are_used_again() -> None:
    seen, connections = [], 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            seen.append(await request(reader))
            said = answer()
            for part in (said[:9], said[9:40], said[40:]):  # in pieces, as it may come
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)

    async with meta(handle) as graph:
        assert [await send(graph) for _ in range(3)] == ["wamid.1"] * 3
        assert set(await asyncio.gather(*(send(graph) for _ in range(4)))) == {"wamid.1"}
    assert connections == 4
    head, body = seen[0]
    assert head.startswith(b"POST /v26.0/106540352242922/messages HTTP/1.1\r\n")
    assert b"authorization: bearer eaatoken" in head.lower()
    assert body == b'{"messaging_product":"whatsapp","type":"text"}'


async def test_a_refusal_and_its_code_come_through() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer(b'{"error":{"message":"(#130429) Rate limit hit","code":130429}}', b"429 Too Many"))

    async with meta(handle) as graph:
        with pytest.raises(GraphError) as refused:
            await send(graph)
    assert (refused.value.code, refused.value.ambiguous) == (130429, False)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf", b"nonsense\r\n\r\n"])
async def test_a_message_that_got_no_whole_answer_is_in_doubt(said: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(said)

    async with meta(handle) as graph:
        with pytest.raises(GraphError) as failed:
            await send(graph)
    assert failed.value.ambiguous


async def test_silence_is_a_doubt_and_its_connection_is_not_used_again() -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        if connections == 1:
            await asyncio.sleep(30)
        writer.write(answer())

    async with meta(handle, patience=1.5) as graph:
        with pytest.raises(GraphError) as failed:
            await send(graph)
        assert failed.value.ambiguous
        assert await send(graph) == "wamid.1"


async def test_nobody_there_is_no_doubt() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with httpx.AsyncClient(transport=express.Express(httpx.AsyncHTTPTransport())) as http:
        with pytest.raises(GraphError) as failed:
            await send(Graph(http, f"http://127.0.0.1:{port}"))
    assert not failed.value.ambiguous


async def test_a_connection_that_meta_closed_meanwhile_is_not_used() -> None:
    hung_up = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    async with meta(handle) as graph:
        for _ in range(5):
            assert await send(graph) == "wamid.1"
            await hung_up.wait()
            hung_up.clear()


async def test_other_calls_take_httpx_s_way() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b'{"id":"1"}', more=b"connection: close\r\n"))

    async with meta(handle) as graph:
        assert (await graph.phone_number("1", token="t")).id == "1"


def test_whoever_has_a_proxy_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:8080")
    assert express.transport(10) is None
    monkeypatch.delenv("HTTPS_PROXY")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(express.transport(10), express.Express)
