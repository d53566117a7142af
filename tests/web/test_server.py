"""The short way of a webhook through the server, on real sockets: it keeps to HTTP as the ordinary way does."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import psycopg
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.fixtures.patience import PATIENCE, comes
from uvicorn.server import ServerState

from twinline import shell
from twinline.app import App
from twinline.meta import signature
from twinline.mirror import archive, ingest
from twinline.mirror import hook as hooks
from twinline.mirror.hook import Hook
from twinline.settings import Settings
from twinline.web.app import Platform
from twinline.web.server import server_of

pytestmark = pytest.mark.anyio

SECRET = "app secret"
LIMIT = 200_000
HELLO = b'{"entry": []}'
OTHER = b'{"entry": [ ]}'
HANDSHAKE = (
    b"GET /hook/meta?hub.mode=subscribe&hub.challenge=77&hub.verify_token=token HTTP/1.1\r\nHost: twinline\r\n\r\n"
)
PAGE = b"GET /page HTTP/1.1\r\nHost: twinline\r\n\r\n"


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop that runs outside of tests."""
    return "asyncio", {"loop_factory": shell.new_event_loop}


class Database:
    """Stands in for what commits: its gate is open, shut or broken."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.trouble: Exception | None = None

    async def commit(self, app: App, arrivals: Sequence[ingest.Arrival], followers: object) -> None:
        self.asked += len(arrivals)
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        self.kept += [archive.unpack(arrival.kept, arrival.digest) for arrival in arrivals]


class Answer(NamedTuple):
    status: int
    text: bytes = b""
    closing: bool = False


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def answer(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            headers = dict(line.split(b": ", 1) for line in lines if line)
            text = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        return Answer(int(first.split()[1]), text, headers.get(b"connection") == b"close")

    async def is_hung_up_on(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read() == b""


@asynccontextmanager
async def connected(to: socket.socket) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection(*to.getsockname()))
    try:
        yield client
    finally:
        client.writer.close()
        with contextlib.suppress(OSError):
            await client.writer.wait_closed()


class House:
    """The hook and one page behind the server's connections."""

    def __init__(self, data: Path) -> None:
        settings = Settings(data=data, app_secret=SECRET, verify_token="token", hook_max_body=LIMIT)
        self.hook = Hook(cast(Any, SimpleNamespace(settings=settings)), ())
        self.database = Database()
        self.server = server_of(Platform(self.hook, routes=[Route("/page", _page)]))
        self.state = ServerState()
        self.listener = socket.create_server(("127.0.0.1", 0))

    def client(self) -> AbstractAsyncContextManager[Client]:
        return connected(self.listener)

    def connections(self) -> list[Any]:
        return list(self.state.connections)

    async def posts(self, raw: bytes) -> Answer:
        async with self.client() as client:
            client.send(raw)
            return await client.answer()


async def _page(request: Request) -> Response:
    return PlainTextResponse("a page")


def request(
    body: bytes, *more: str, secret: str = SECRET, version: str = "1.1", path: str = "/hook/meta", length: int = -1
) -> bytes:
    lines = [
        f"POST {path} HTTP/{version}",
        "Host: twinline",
        f"{signature.HEADER}: {signature.sign(secret, body)}",
        *([] if "Transfer-Encoding: chunked" in more else [f"Content-Length: {len(body) if length < 0 else length}"]),
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*parts: bytes) -> bytes:
    head = request(b"".join(parts), "Transfer-Encoding: chunked").split(b"\r\n\r\n")[0] + b"\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(tmp_path)
    monkeypatch.setattr(hooks, "commit", house.database.commit)
    config = house.server.config
    config.timeout_keep_alive = 1000
    config.load()
    make: Any = config.http_protocol_class
    serving = await asyncio.get_running_loop().create_server(
        lambda: make(config=config, server_state=house.state, app_state={}), sock=house.listener
    )
    await house.hook.start()
    yield house
    serving.close()
    for connection in house.connections():
        connection.transport.abort()
    await house.hook.stop()


@pytest.fixture
def no_asgi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the short way is open."""

    async def closed(*_: Any) -> None:
        raise AssertionError("this went the ordinary way")

    monkeypatch.setattr(Hook, "__call__", closed)


@pytest.mark.usefixtures("no_asgi")
async def test_a_webhook_like_most_is_committed_and_answered_without_a_task(house: House) -> None:
    async with house.client() as client:
        for body in (HELLO, OTHER, HELLO, b""):
            client.send(request(body))
            assert await client.answer() == Answer(200)
    assert house.database.kept == [HELLO, OTHER, HELLO, b""]
    assert house.state.total_requests == 4
    assert not house.state.tasks


@pytest.mark.usefixtures("no_asgi")
async def test_a_body_that_comes_in_pieces_is_one_body(house: House) -> None:
    body = b"[" + b" " * (LIMIT - 2) + b"]"
    raw = request(body)
    async with house.client() as client:
        for start, end in ((0, 30), (30, 200), (200, 201), (201, 100_000), (100_000, len(raw))):
            client.send(raw[start:end])
            await client.writer.drain()
            assert not client.reader._buffer  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        assert await client.answer() == Answer(200)
    assert house.database.kept == [body]


async def test_nobody_is_answered_before_the_commit(house: House) -> None:
    house.database.gate.clear()
    async with house.client() as one, house.client() as other:
        one.send(request(HELLO))
        await comes(lambda: house.database.asked == 1)
        other.send(request(OTHER))
        answers = [asyncio.create_task(client.answer()) for client in (one, other)]
        await comes(lambda: len(house.hook._waiting) == 2)
        assert not any(answer.done() for answer in answers)
        house.database.gate.set()
        assert await asyncio.gather(*answers) == [Answer(200), Answer(200)]


@pytest.mark.usefixtures("no_asgi")
async def test_a_wrong_signature_is_refused_and_the_connection_stays(house: House) -> None:
    async with house.client() as client:
        client.send(request(HELLO, secret="a guess"))
        status, text, closing = await client.answer()
        assert (status, b"x-hub-signature-256" in text.lower(), closing) == (401, True, False)
        client.send(request(HELLO).replace(b"X-Hub", b"X-Hug"))
        assert (await client.answer()).status == 401
        client.send(request(HELLO).replace(b"X-Hub", b"x-hub"))
        assert await client.answer() == Answer(200)
    assert house.database.kept == [HELLO]


@pytest.mark.parametrize(
    ("raw", "closing"),
    [
        (chunked(HELLO[:3], HELLO[3:]), False),
        (request(HELLO, version="1.0"), True),
        (request(HELLO, "Connection: keep-alive", version="1.0"), True),
        (request(HELLO, "Connection: close"), True),
        (request(HELLO, path="/hook/meta?"), False),
        (request(HELLO, path="/hook/met%61"), False),
    ],
    ids=["chunked", "HTTP/1.0", "HTTP/1.0 kept", "last", "query", "escaped"],
)
async def test_what_is_different_is_committed_all_the_same(house: House, raw: bytes, closing: bool) -> None:
    async with house.client() as client:
        client.send(raw)
        assert await client.answer() == Answer(200, closing=closing)
        assert house.database.kept == [HELLO]
        if closing:
            assert await client.is_hung_up_on()
        else:
            client.send(request(OTHER))
            assert await client.answer() == Answer(200)


async def test_who_asks_whether_to_go_on_is_told_to(house: House) -> None:
    raw = request(HELLO, "Expect: 100-continue")
    async with house.client() as client:
        client.send(raw.removesuffix(HELLO))
        assert (await client.answer()).status == 100
        client.send(HELLO)
        assert await client.answer() == Answer(200)


async def test_the_handshake_and_other_pages_are_asked_for_on_the_same_connection(house: House) -> None:
    async with house.client() as client:
        for raw, text in ((request(HELLO), b""), (HANDSHAKE, b"77"), (PAGE, b"a page"), (request(OTHER), b"")):
            client.send(raw)
            assert await client.answer() == Answer(200, text)
    assert (await house.posts(request(HELLO, path="/page"))).status == 405
    assert (await house.posts(b"PUT" + request(HELLO)[4:])).status == 403
    assert house.database.kept == [HELLO, OTHER]


async def test_what_is_too_large_is_refused_before_it_comes_and_while_it_does(house: House) -> None:
    async with house.client() as client:
        client.send(request(b"", length=LIMIT + 1))
        assert (await client.answer()).status == 413
        client.send(b" " * (LIMIT + 1) + request(HELLO))
        assert await client.answer() == Answer(200)
    half = b" " * (LIMIT // 2 + 1)
    async with house.client() as client:
        client.send(chunked(half, half, half).removesuffix(b"0\r\n\r\n"))
        assert (await client.answer()).status == 413
    assert house.database.kept == [HELLO]


async def test_requests_sent_at_once_are_answered_in_their_order(house: House) -> None:
    house.database.gate.clear()
    async with house.client() as client:
        client.send(request(HELLO, secret="a guess") + request(HELLO) + HANDSHAKE + request(OTHER) + PAGE)
        assert (await client.answer()).status == 401
        await comes(lambda: house.database.asked == 1)
        house.database.gate.set()
        assert [await client.answer() for _ in range(4)] == [
            Answer(200), Answer(200, b"77"), Answer(200), Answer(200, b"a page"),
        ]  # fmt: skip
    assert house.database.kept == [HELLO, OTHER]


async def test_a_page_asked_for_behind_a_webhook_waits_for_its_commit(house: House) -> None:
    house.database.gate.clear()
    async with house.client() as client:
        client.send(request(HELLO))
        await comes(lambda: house.database.asked == 1)
        client.send(PAGE)
        [connection] = house.connections()
        await comes(lambda: len(connection.pipeline) == 1)
        assert not client.reader._buffer  # type: ignore[attr-defined]
        house.database.gate.set()
        assert await client.answer() == Answer(200)
        assert await client.answer() == Answer(200, b"a page")


async def test_who_leaves_in_the_middle_leaves_nothing(house: House) -> None:
    async with house.client() as client:
        client.send(request(HELLO)[:-1])
        await comes(lambda: house.state.connections)
    await comes(lambda: not house.state.connections)
    assert await house.posts(request(OTHER)) == Answer(200)
    assert house.database.kept == [OTHER]


async def test_what_was_sent_is_kept_though_the_sender_left_before_the_answer(house: House) -> None:
    house.database.gate.clear()
    async with house.client() as client:
        client.send(request(HELLO) + PAGE)
        await comes(lambda: house.database.asked == 1)
        client.writer.transport.abort()
    async with house.client() as client:
        client.send(request(OTHER))
        await comes(lambda: len(house.hook._waiting) == 2)
        house.database.gate.set()
        assert await client.answer() == Answer(200)
    assert house.database.kept == [HELLO, OTHER]


async def test_what_isnt_http_behind_a_webhook_ends_the_connection_and_no_other(house: House) -> None:
    house.database.gate.clear()
    async with house.client() as client:
        client.send(request(HELLO))
        await comes(lambda: house.database.asked == 1)
        client.send(b"\0\0\0\0\r\n\r\n")
        assert (await client.answer()).status == 400
        assert await client.is_hung_up_on()
    house.database.gate.set()
    assert await house.posts(request(OTHER)) == Answer(200)
    assert house.database.kept == [HELLO, OTHER]


async def test_who_reads_no_answers_is_written_none(house: House) -> None:
    async with house.client() as client:
        client.send(PAGE)
        assert (await client.answer()).status == 200
        [connection] = house.connections()
        connection.pause_writing()
        client.send(request(HELLO))
        await comes(lambda: house.database.kept == [HELLO])
        assert not connection.cycle.response_started
        connection.resume_writing()
        assert await client.answer() == Answer(200)


async def test_a_bug_in_reading_costs_one_body_another_try(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    async with house.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(ingest, "read", broken)
            client.send(request(HELLO))
            assert (await client.answer()).status == 503
        client.send(request(HELLO))
        assert await client.answer() == Answer(200)


async def test_while_nothing_can_be_stored_the_sender_is_asked_to_send_again(house: House) -> None:
    house.database.trouble = psycopg.OperationalError("connection refused")
    async with house.client() as client:
        client.send(request(HELLO))
        assert (await client.answer()).status == 503
        house.database.trouble = None
        client.send(request(HELLO))
        assert await client.answer() == Answer(200)


async def test_who_waits_behind_a_refusal_isnt_idle(house: House) -> None:
    house.server.config.timeout_keep_alive = 0
    house.database.gate.clear()
    async with house.client() as client:
        client.send(request(HELLO, secret="a guess") + request(HELLO))
        assert (await client.answer()).status == 401
        await comes(lambda: house.database.asked == 1)
        await house.posts(PAGE)
        house.database.gate.set()
        assert await client.answer() == Answer(200)


async def test_an_idle_connection_is_let_go(house: House) -> None:
    house.server.config.timeout_keep_alive = 0
    async with house.client() as client:
        client.send(request(HELLO))
        assert await client.answer() == Answer(200)
        assert await client.is_hung_up_on()


async def test_a_hook_that_stops_asks_those_who_wait_to_send_again(house: House) -> None:
    house.database.gate.clear()
    async with house.client() as one, house.client() as other:
        one.send(request(HELLO))
        await comes(lambda: house.database.asked == 1)
        other.send(request(OTHER))
        await comes(lambda: len(house.hook._waiting) == 2)
        for connection in house.connections():
            connection.shutdown()
        await house.hook.stop()
        for client in (one, other):
            answer = await client.answer()
            assert (answer.status, answer.closing) == (503, True)
            assert await client.is_hung_up_on()
    assert house.database.kept == []


async def test_a_server_that_stops_answers_what_is_under_way_and_nothing_more(house: House) -> None:
    house.database.gate.clear()
    server = uvicorn.Server(house.server.config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    listener = socket.create_server(("127.0.0.1", 0))
    server.config.lifespan = "off"
    running = asyncio.create_task(server.serve(sockets=[listener]))
    async with connected(listener) as client, connected(listener) as slow:
        client.send(request(HELLO))
        slow.send(request(OTHER)[:-1])
        await comes(lambda: house.database.asked == 1)
        connections: Any = server.server_state.connections
        await comes(lambda: [connection.cycle is not None for connection in connections] == [True, True])
        server.should_exit = True
        await comes(lambda: not any(connection.cycle.keep_alive for connection in connections))
        slow.send(OTHER[-1:])
        await comes(lambda: len(house.hook._waiting) == 2)
        house.database.gate.set()
        for each in (client, slow):
            assert await each.answer() == Answer(200, closing=True)
            assert await each.is_hung_up_on()
    await running
    assert house.database.kept == [HELLO, OTHER]
