"""A worker is killed between every two steps of sending. Nothing is sent twice, and nothing is lost in silence.

Meta is a small server that counts what it took. Each row ends sent, in doubt or failed; a doubt is settled by the
status of what Meta took, or stays with a person.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from tests.sending.conftest import Meta, Shop, open_shop

from twinline import worker
from twinline.app import App
from twinline.db import Database
from twinline.kit.clock import SystemClock, at_microseconds, microseconds
from twinline.meta.graph import Graph
from twinline.rules.budget import PAIR
from twinline.sending import lane, service

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n tart"

WAITING = "SELECT * FROM outbox WHERE state = 'queued' ORDER BY id"

STEPS = [
    "job taken:1",
    "before a plan:1",
    "marked, not committed:1",
    "planned:1",
    "planned:2",
    "before the call:1",
    "before the call:3",
    "after the call:1",
    "after the call:4",
    "answered:1",
    "settled, not committed:2",
    "settled:1",
    "settled:5",
    "refused:1",
    "refused for speed:1",
    "halted:1",
    "one too many for them:1",
    "pair halted:1",
    "postponed:2",
    "before the upload:1",
    "after the upload:1",
    "file is up:1",
    "upload noted, not committed:1",
    "drained:1",
]


class CountingMeta:
    """Takes messages and counts them by callback data.

    The first "too fast", "not now" and "too many" are refused once each. Of what says "swallowed" or "stalls" it takes
    the message, then hangs up, or says nothing for longer than anybody waits.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.wamids: dict[str, str] = {}
        self.recipients: dict[str, str] = {}
        self._refusals = {"too fast": 130429, "not now": 131000, "too many": 131056}
        self._over = threading.Event()
        self._lock = threading.Lock()
        meta = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = meta.answer(self.path, body)
                if b"stalls" in body:
                    meta._over.wait(30)
                if b"stalls" in body or b"swallowed" in body:
                    self.close_connection = True
                    return
                content = json.dumps(answer).encode()
                with suppress(OSError):  # the one who asked may be dead
                    self.send_response(status)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # who is killed hangs up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        if path.endswith("/media"):
            return 200, {"id": "media-1"}
        message = json.loads(body)
        with self._lock:
            code = self._refusals.pop(message.get("text", {}).get("body", ""), None)
            if code is not None:
                return 400, {"error": {"message": "No", "code": code}}
            callback = message["biz_opaque_callback_data"]
            self.taken[callback] += 1
            self.wamids[callback] = f"wamid.{len(self.wamids)}"
            self.recipients[callback] = message["to"]
            return 200, {"messages": [{"id": self.wamids[callback]}]}

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def meta() -> Iterator[CountingMeta]:
    counting = CountingMeta()
    yield counting
    counting.close()


@pytest.fixture
async def shop(app: App, clock: Any, meta: CountingMeta, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(worker, "HEARTBEAT", 0.3)
    monkeypatch.setattr(worker, "STALLED_AFTER", 1.5)
    monkeypatch.setattr(worker, "RECOVER_EVERY", 0.3)
    monkeypatch.setattr(worker, "GRACE", 15)
    opened = await open_shop(app, clock, Meta(clock))
    async with httpx.AsyncClient(timeout=30) as http:
        yield replace(opened, app=replace(app, graph=Graph(http, meta.address)))


@asynccontextmanager
async def process(
    shop: Shop, meta: CountingMeta, die_at: str = "", patience: float = 30
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own; ``patience``: seconds that it waits for an answer."""
    environment = {
        **os.environ,
        "DATABASE_URL": shop.app.db.url,
        "TWINLINE_DATA": str(shop.app.settings.data),
        "TWINLINE_GRAPH_URL": meta.address,
        "DIE_AT": die_at,
        "PATIENCE": str(patience),
    }
    script = str(Path(__file__).with_name("dying_worker.py"))
    child = await asyncio.create_subprocess_exec(sys.executable, script, env=environment)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.wait()


@asynccontextmanager
async def working(shop: Shop) -> AsyncIterator[None]:
    """A worker that lives."""
    db = Database(shop.app.db.url, size=4)
    await db.open()
    task = asyncio.create_task(worker.run(replace(shop.app, db=db)))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await db.close()


async def gone(shop: Shop) -> None:
    """Waits until the lane has no job left."""
    async with asyncio.timeout(60):
        while await shop.jobs():
            await asyncio.sleep(0.05)


async def states(shop: Shop) -> dict[int, str]:
    return {row["id"]: row["state"] for row in await shop.dicts("SELECT id, state FROM outbox")}


def by_row(meta: CountingMeta) -> dict[int, str]:
    """What Meta took: outbox id -> callback data."""
    return {int(callback.split(":")[2]): callback for callback in meta.taken}


async def statuses_arrive(shop: Shop, meta: CountingMeta) -> None:
    for callback, wamid in meta.wamids.items():
        message = {"biz_opaque_callback_data": callback, "to": meta.recipients[callback]}
        await shop.status(message, "delivered", wamid)


async def nothing_twice_and_nothing_lost(shop: Shop, meta: CountingMeta) -> None:
    assert set(meta.taken.values()) <= {1}, "Meta took a message twice"
    taken = by_row(meta)
    found = await states(shop)
    assert set(found.values()) <= {"sent", "in_doubt", "failed"}
    for row, state in found.items():
        assert state != "sent" or row in taken, "said to be sent, but Meta doesn't have it"
        assert row in taken or state != "sent"
        assert state != "failed" or row not in taken
    await statuses_arrive(shop, meta)
    settled = await states(shop)
    assert {row for row, state in settled.items() if state == "sent"} == set(taken)
    shown = await shop.dicts("SELECT wamid, delivery, author FROM messages WHERE outgoing")
    assert {row["wamid"] for row in shown} == set(meta.wamids.values())
    assert {(row["delivery"], row["author"]) for row in shown} == {(5, "person")}
    # What Meta never had stays in doubt until a person is told that nobody knows.
    await shop.execute("UPDATE outbox SET sending_at = sending_at - %s", (timedelta(minutes=11),))
    await lane.despair(shop.app)
    assert set((await states(shop)).values()) <= {"sent", "unknown"}


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_killed_at_any_step_sends_nothing_twice_and_loses_nothing(
    shop: Shop, meta: CountingMeta, step: str
) -> None:
    customers = [await shop.customer(f"35191000{n:04}") for n in range(7)]
    for customer, text in zip(customers, ("one", "too fast", "not now", "too many", "five", "six"), strict=False):
        await shop.says(customer, text)
    await shop.says(customers[0], "seven, to the same person as one")
    await shop.says(customers[6], await service.attach(shop.app, PNG, "tart.png", None))
    async with process(shop, meta, step) as child:
        async with asyncio.timeout(60):
            assert await child.wait() == -signal.SIGKILL
    async with working(shop):
        await gone(shop)
    await nothing_twice_and_nothing_lost(shop, meta)


async def test_killed_again_and_again_in_the_middle_of_a_campaign(shop: Shop, meta: CountingMeta) -> None:
    chance = Random(7)
    for n in range(80):
        await shop.says(await shop.customer(f"35191000{n:04}"), f"to {n}")
    for _ in range(4):
        enough = len(meta.taken) + chance.randint(4, 12)
        async with process(shop, meta) as child:
            async with asyncio.timeout(60):
                while len(meta.taken) < enough and set((await states(shop)).values()) & {"queued", "sending"}:
                    await asyncio.sleep(0.05)
            child.send_signal(signal.SIGKILL)
    async with working(shop):
        await gone(shop)
    doubtful = [row for row, state in (await states(shop)).items() if state == "in_doubt"]
    assert len(doubtful) <= 4 * (lane.SLOTS + lane.AHEAD), "more was in doubt than half a second each time"
    await nothing_twice_and_nothing_lost(shop, meta)


@pytest.mark.parametrize("step", ["", "answered:1", "settled, not committed:1", "settled:2"])
async def test_a_graph_that_takes_messages_and_says_nothing_gets_none_twice(
    shop: Shop, meta: CountingMeta, step: str
) -> None:
    for n in range(12):
        text = ("said", "swallowed", "stalls")[n % 3]
        await shop.says(await shop.customer(f"35191000{n:04}"), f"{n} {text}")
    async with process(shop, meta, step, patience=1) as child:
        if step:
            async with asyncio.timeout(60):
                assert await child.wait() == -signal.SIGKILL
        else:
            await gone(shop)
    async with httpx.AsyncClient(timeout=3) as http:
        impatient = replace(shop.app, graph=Graph(http, meta.address))
        async with working(replace(shop, app=impatient)):
            await gone(shop)
    silent = {row for row, state in (await states(shop)).items() if state == "in_doubt"}
    assert len(silent) >= 8, "what nobody answered is doubtful"
    assert len(meta.taken) == 12 or step, "only who was killed has left something unsaid"
    await nothing_twice_and_nothing_lost(shop, meta)


async def test_pair_limits_outlive_their_worker(shop: Shop, meta: CountingMeta) -> None:
    """What was borrowed from the future is owed by the number, not by a process."""
    ana, bea = await shop.customer("351910000001"), await shop.customer("351910000002")
    now = microseconds(shop.clock.now())
    tat = PAIR.reserve(0, now, 44, 0).tat
    await shop.execute("INSERT INTO pairs VALUES (%s, %s, %s)", (shop.number_id, ana, tat))
    for n in range(3):
        await shop.says(ana, f"to Ana {n}")
    await shop.says(bea, "to Bea")
    async with process(shop, meta, "settled:2") as child:
        async with asyncio.timeout(60):
            assert await child.wait() == -signal.SIGKILL
    async with working(shop):
        async with asyncio.timeout(60):
            waiting = await shop.dicts(WAITING)
            while not (waiting and waiting[0]["not_before"]):
                await asyncio.sleep(0.05)
                waiting = await shop.dicts(WAITING)
    assert [row["text"] for row in waiting] == ["to Ana 1", "to Ana 2"]
    owed = PAIR.reserve(tat, now, 1, 0).tat
    assert waiting[0]["not_before"] == at_microseconds(PAIR.free_at(owed))
    assert set(meta.taken.values()) == {1}


async def test_after_a_kill_the_lane_goes_on_by_itself(
    shop: Shop, meta: CountingMeta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real heartbeats: another worker notices, and the reply that was pressed meanwhile leaves."""
    monkeypatch.undo()
    first, second = await shop.customer("351910000001"), await shop.customer("351910000002")
    await shop.says(first, "one")
    async with process(shop, meta, "before the call:1") as child:
        assert await child.wait() == -signal.SIGKILL
    async with working(shop):
        reply = await shop.says(second, "two")
        await shop.until(reply, "sent")
        await gone(shop)
    assert sorted((await states(shop)).values()) == ["in_doubt", "sent"]
