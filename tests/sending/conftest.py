"""A shop whose number is connected, its customers, and a Meta that does as it is told."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, Human

from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.meta.graph import Graph
from twinline.mirror import ingest
from twinline.sending import lane, service
from twinline.sending.models import Draft

TOKEN = "EAAGtokenOfTheBakery"

ADD_NUMBER = """
WITH o AS (INSERT INTO organisations (name, created_at) VALUES ('Bakery', %(now)s) RETURNING id)
INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, token, created_at, connected_at, state)
SELECT id, %(waba)s, %(pnid)s, %(phone)s, %(token)s, %(now)s, %(connected)s, 'connected' FROM o RETURNING id
"""


class RunningClock(ManualClock):
    """Goes on by itself from a given moment, and can be moved; ``stop`` makes it stand still."""

    def __init__(self, at: datetime) -> None:
        super().__init__(at)
        self._since: float | None = time.monotonic()

    def now(self) -> datetime:
        gone = 0.0 if self._since is None else time.monotonic() - self._since
        return super().now() + timedelta(seconds=gone)

    def stop(self) -> None:
        self._at, self._since = self.now(), None


@pytest.fixture
def clock() -> RunningClock:
    return RunningClock(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


Answer = httpx.Response | Exception | Callable[[], Awaitable[httpx.Response]]


def error(code: int, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": f"(#{code}) No", "code": code, "fbtrace_id": "T"}})


@dataclass
class Meta:
    """Takes every message, unless an answer was laid ready for its text (or, for files, its name)."""

    clock: ManualClock
    messages: list[dict[str, Any]] = field(default_factory=list)
    at: list[datetime] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    ready: dict[str, list[Answer]] = field(default_factory=dict)

    def will(self, text: str, *answers: Answer) -> None:
        self.ready.setdefault(text, []).extend(answers)

    @property
    def texts(self) -> list[str]:
        return [
            message.get("text", {}).get("body") or message.get("type") or message["status"] for message in self.messages
        ]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if request.url.path.endswith("/media"):
            self.uploads.append(request.content)
            return await self._answer("upload") or httpx.Response(200, json={"id": f"media-{len(self.uploads)}"})
        if request.method == "GET":
            return httpx.Response(200, json={"id": "1", "data": []})
        message = json.loads(request.content)
        self.messages.append(message)
        self.at.append(self.clock.now())
        wamid = f"wamid.{len(self.messages)}"
        taken = httpx.Response(200, json={"contacts": [{"wa_id": "1"}], "messages": [{"id": wamid}]})
        return await self._answer(self.texts[-1]) or taken

    async def _answer(self, key: str) -> httpx.Response | None:
        answers = self.ready.get(key)
        if not answers:
            return None
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else await answer()


@dataclass
class Shop:
    app: App
    clock: RunningClock
    meta: Meta
    number_id: int
    heard: int = 0

    @property
    def seconds(self) -> int:
        return int(self.clock.now().timestamp())

    async def hears(self, *webhooks: Any) -> None:
        """Webhooks come in, all in one batch."""
        arrivals = [ingest.read(wire.body(webhook), 1 << 30) for webhook in webhooks]
        assert not [arrival.problem for arrival in arrivals if arrival.problem]
        async with self.app.db.transaction() as tx:
            await ingest.ingest(self.app, tx, arrivals, [service.follow], self.clock.now())

    async def customer(self, phone: str, *, writes: bool = True) -> int:
        """Somebody known here; unless told otherwise they have just written, so their window is open."""
        human = Human(phone)
        self.heard += 1
        if writes:
            await self.hears(wire.inbound(human, wire.text(f"wamid.IN{self.heard}", self.seconds, "Hello?")))
        else:
            await self.hears(wire.state_sync(wire.contact(human, "add", self.seconds, "Somebody")))
        return int(await self.value("SELECT contact_id FROM identities WHERE key = %s", (f"p:{phone}",)))

    async def says(self, contact_id: int, what: str | Draft, **options: Any) -> int:
        draft = Draft("text", what) if isinstance(what, str) else what
        async with self.app.db.transaction() as tx:
            return await service.submit(self.app, tx, self.number_id, contact_id, draft, **options)

    async def phone_says(self, phone: str, text: str, at: int | None = None) -> None:
        self.heard += 1
        said = wire.text(f"wamid.ECHO{self.heard}", self.seconds if at is None else at, text)
        await self.hears(wire.echoes(Human(phone), said))

    async def status(self, message: dict[str, Any], word: str, wamid: str = "wamid.1", **more: Any) -> None:
        """What Meta tells later of a message that it was sent."""
        callback = message["biz_opaque_callback_data"]
        told = wire.status(Human(message["to"]), wamid, word, self.seconds, biz_opaque_callback_data=callback, **more)
        await self.hears(wire.statuses(told))

    async def drain(self) -> None:
        async with asyncio.timeout(60):
            await lane.drain(self.app, self.number_id)

    async def value(self, sql: str, params: Any = ()) -> Any:
        async with self.app.db.transaction() as tx:
            return await tx.value(sql, params)

    async def dicts(self, sql: str, params: Any = ()) -> list[dict[str, Any]]:
        async with self.app.db.transaction() as tx:
            return await tx.dicts(sql, params)

    async def execute(self, sql: str, params: Any = ()) -> None:
        async with self.app.db.transaction() as tx:
            await tx.execute(sql, params)

    async def row(self, outbox_id: int) -> dict[str, Any]:
        [row] = await self.dicts("SELECT * FROM outbox WHERE id = %s", (outbox_id,))
        return row

    async def state(self, outbox_id: int) -> str:
        return str((await self.row(outbox_id))["state"])

    async def until(self, outbox_id: int, *states: str) -> dict[str, Any]:
        """Waits until the row is in one of these states."""
        async with asyncio.timeout(30):
            while (row := await self.row(outbox_id))["state"] not in states:
                await asyncio.sleep(0.01)
        return row

    async def told(self, kind: str) -> list[Any]:
        """Everything that events have said of one kind."""
        bodies = await self.dicts("SELECT body FROM events WHERE number_id = %s ORDER BY seq", (self.number_id,))
        return [item for row in bodies for item in row["body"].get(kind, [])]

    async def jobs(self) -> list[dict[str, Any]]:
        return await self.dicts("SELECT * FROM procrastinate_jobs WHERE queue_name = 'lane' ORDER BY id")


@pytest.fixture
def meta(clock: RunningClock) -> Meta:
    return Meta(clock)


async def open_shop(app: App, clock: RunningClock, meta: Meta) -> Shop:
    """The bakery, connected an hour ago."""
    now = clock.now()
    async with app.db.transaction() as tx:
        number_id = await tx.value(
            ADD_NUMBER,
            {
                "now": now,
                "connected": now - timedelta(hours=1),
                "waba": BAKERY.waba_id,
                "pnid": BAKERY.phone_number_id,
                "phone": BAKERY.phone,
                "token": app.vault.seal(TOKEN),
            },
        )
    graph = Graph(httpx.AsyncClient(transport=httpx.MockTransport(meta)), "https://graph.test", "v26.0")
    return Shop(replace(app, graph=graph), clock, meta, int(number_id))


@pytest.fixture
async def shop(app: App, clock: RunningClock, meta: Meta) -> Shop:
    return await open_shop(app, clock, meta)
