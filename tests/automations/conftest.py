"""A shop with automations: its customers write, its owner has a phone, and the engine is asked to look."""

from datetime import datetime
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Meta, RunningClock, Shop, open_shop

from twinline import wiring
from twinline.app import App
from twinline.automations import queries, service, tending
from twinline.automations.models import Line, Run
from twinline.mirror import ingest

__all__ = ["ANA", "BEA", "Bakery"]

ANA, BEA = "351910000001", "351910000002"


@pytest.fixture
def clock() -> RunningClock:
    from tests.sending.conftest import clock

    return clock.__wrapped__()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def meta(clock: RunningClock) -> Meta:
    return Meta(clock)


class Bakery(Shop):
    """``hears`` with everybody who follows the ingest."""

    organisation_id: int
    said: int

    async def hears(self, *webhooks: Any) -> None:
        arrivals = [ingest.read(wire.body(webhook), 1 << 30) for webhook in webhooks]
        assert not [arrival.problem for arrival in arrivals if arrival.problem]
        async with self.app.db.transaction() as tx:
            await ingest.ingest(self.app, tx, arrivals, wiring.followers(self.app), self.clock.now())

    async def automation(self, name: str, *steps: Any, on: bool = True, **definition: Any) -> int:
        """Published and on. Begins with any message, at once, unless told otherwise."""
        told = {
            "name": name,
            "triggers": [{"message": {}}],
            "steps": list(steps),
            **definition,
        }
        async with self.app.db.transaction() as tx:
            made = await service.create(tx, self.organisation_id, told, None, self.clock.now())
            await service.publish(tx, self.organisation_id, made, None, self.clock.now())
            await service.enable(tx, self.organisation_id, made, on, self.clock.now())
            if "quiet_for" not in definition.get("settings", {}):
                await tx.execute("UPDATE automations SET quiet_for = '0'")
        return made

    def writing(self, phone: str, text: str, at: int | None = None, wamid: str = "") -> Any:
        """A customer's message, as the webhook tells it."""
        self.heard += 1
        said = wire.text(wamid or f"wamid.IN{self.heard}", self.seconds if at is None else at, text)
        return wire.inbound(Human(phone), said)

    def typing(self, phone: str, text: str, at: int | None = None, wamid: str = "") -> Any:
        """What the owner types on the phone."""
        self.heard += 1
        said = wire.text(wamid or f"wamid.ECHO{self.heard}", self.seconds if at is None else at, text)
        return wire.echoes(Human(phone), said)

    async def writes(self, phone: str, text: str, at: int | None = None) -> int:
        """A customer writes, and the engine looks; answers who they are."""
        await self.hears(self.writing(phone, text, at))
        await self.tend()
        return int(await self.value("SELECT contact_id FROM identities WHERE key = %s", (f"p:{phone}",)))

    async def types(self, phone: str, text: str, at: int | None = None) -> None:
        """The owner types on the phone, and the engine looks."""
        await self.hears(self.typing(phone, text, at))
        await self.tend()

    async def tend(self) -> datetime | None:
        """All that is due; answers when the next is."""
        while True:
            looked, next_at = await tending.look(self.app, self.number_id)
            if not looked:
                return next_at

    async def goes_out(self) -> list[str]:
        """What reaches Meta by now."""
        await self.drain()
        return self.meta.texts

    async def passes(self, **length: float) -> None:
        self.clock.advance(**length)
        await self.tend()

    async def log(self, contact: int) -> list[str]:
        """The chat's why-log, oldest first."""
        async with self.app.db.transaction() as tx:
            lines: list[Line] = await queries.log(tx, self.number_id, contact)
        return [line.says for line in reversed(lines)]

    async def runs(self, contact: int | None = None) -> list[Run]:
        async with self.app.db.transaction() as tx:
            return await queries.runs(tx, self.organisation_id, contact_id=contact)

    async def floor(self, contact: int) -> dict[str, Any]:
        [chat] = await self.dicts("SELECT * FROM chats WHERE contact_id = %s", (contact,))
        return chat


@pytest.fixture
async def bakery(app: App, clock: RunningClock, meta: Meta) -> Bakery:
    made = await open_shop(app, clock, meta)
    bakery = Bakery(made.app, made.clock, made.meta, made.number_id)
    bakery.organisation_id = await made.value("SELECT organisation_id FROM numbers")
    return bakery
