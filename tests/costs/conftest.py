"""A bakery that sends from here, and what Meta says of what became of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import add_number, change, tell, value
from tests.fixtures.wire import Human, Json

from twinline.app import App
from twinline.costs import service
from twinline.costs.models import Estimate, Month, WindowFacts
from twinline.kit.clock import ManualClock
from twinline.meta import webhooks
from twinline.mirror import service as mirror
from twinline.mirror import turn
from twinline.mirror.fold import MessageRow, version

ANA = Human("351912345678", name="Ana")

ADD = """
INSERT INTO deliveries (number_id, wamid, at, category, entry, in_window, whose)
SELECT %(number)s, 'wamid.' || %(category)s::text || %(at)s::text || n, %(at)s, %(category)s, false, false, %(whose)s
FROM generate_series(1, %(count)s) AS n
"""


@dataclass
class Bakery:
    """A connected number of its own organisation; ``FOLLOWERS`` is what the ingest calls."""

    app: App
    clock: ManualClock
    number_id: int
    sent: int = 0
    heard: int = 0
    callbacks: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> int:
        return int(self.clock.now().timestamp())

    def at(self, *when: int) -> None:
        """Moves the clock to that moment, in UTC."""
        self.clock.advance(seconds=(datetime(*when, tzinfo=UTC) - self.clock.now()).total_seconds())  # type: ignore[arg-type]

    async def hears(self, *webhooks: Json) -> None:
        await tell(self.app, *webhooks, followers=[service.follow])

    async def writes(self, human: Human = ANA, **more: Any) -> int:
        """The customer writes; answers their contact id."""
        self.heard += 1
        await self.hears(wire.inbound(human, wire.text(f"wamid.in{self.heard}", self.seconds, "Olá", **more)))
        return await self.contact(human)

    async def contact(self, human: Human = ANA) -> int:
        key = f"p:{human.phone}" if human.phone else f"u:{human.user_id}"
        return int(await value(self.app, "SELECT contact_id FROM identities WHERE key = %s", key))

    async def says(self, contact_id: int, kind: str = "text", author: str = "person") -> str:
        """Something left from here, as sending would have recorded it."""
        self.sent += 1
        wamid = f"wamid.out{self.sent}"
        row = MessageRow(
            self.number_id, wamid, outgoing=True, contact_id=contact_id, live=True,
            version=version(webhooks.OURS, self.seconds, self.sent), at=self.seconds, type=kind, author=author,
        )  # fmt: skip
        async with self.app.db.transaction() as tx:
            await turn.take(tx, [self.number_id])
            await mirror.record(tx, [row])
        return wamid

    def status(self, wamid: str, word: str, human: Human = ANA, at: int | None = None, **more: Any) -> Json:
        told = wire.status(human, wamid, word, self.seconds if at is None else at, **more)
        return wire.statuses(told, human=human)

    async def delivers(self, contact_id: int, human: Human = ANA, kind: str = "text", **more: Any) -> str:
        wamid = await self.says(contact_id, kind)
        await self.hears(self.status(wamid, "delivered", human, **more))
        return wamid

    async def delivered(self, count: int, category: str = "service", whose: str | None = "3519") -> None:
        """So many messages were delivered just now."""
        named = {"number": self.number_id, "at": self.clock.now(), "category": category, "whose": whose, "count": count}
        async with self.app.db.transaction() as tx:
            await tx.execute(ADD, named)

    async def pays(self, currency: str | None = "USD", timezone_id: str | None = "1") -> None:
        """What Graph said of the account."""
        await change(
            self.app,
            "INSERT INTO billing (number_id, currency, timezone_id, asked_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (number_id) DO UPDATE SET currency = excluded.currency, timezone_id = excluded.timezone_id",
            self.number_id, currency, timezone_id, self.clock.now(),
        )  # fmt: skip

    async def standing(self, contact_id: int) -> WindowFacts:
        async with self.app.db.transaction() as tx:
            facts = await service.standing(tx, self.number_id, contact_id, self.clock.now())
        assert facts is not None
        return facts

    async def estimate(self, recipient: str | int, category: str) -> Estimate:
        async with self.app.db.transaction() as tx:
            found = await service.estimate(tx, self.number_id, recipient, category, self.clock.now())
        assert found is not None
        return found

    async def month(self) -> Month:
        async with self.app.db.transaction() as tx:
            found = await service.month(tx, self.number_id, self.clock.now())
        assert found is not None
        return found


@pytest.fixture
async def bakery(app: App, clock: ManualClock) -> Bakery:
    """Connected since September, so that clocks may be moved across the first of October."""
    number_id = await add_number(app)
    await change(app, "UPDATE numbers SET connected_at = %s, state = 'connected'", datetime(2026, 9, 1, tzinfo=UTC))
    made = Bakery(app, clock, number_id)
    await made.pays()
    return made
