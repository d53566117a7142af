"""The bakery of tests/sending, where everybody who follows the ingest is listening."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Meta, RunningClock, clock, meta
from tests.sending.conftest import Shop as SendingShop
from tests.sending.conftest import open_shop as open_sending_shop

from twinline import wiring
from twinline.app import App
from twinline.contacts import service
from twinline.mirror import ingest
from twinline.rules.consent import Consent

__all__ = ["Meta", "RunningClock", "clock", "meta"]

ANA = "351910000001"
BEA = "351910000002"

# A template that Meta has approved, without variables.
TEMPLATE = """
INSERT INTO templates (organisation_id, waba_id, id, name, language, components, parameter_format, status, status_v,
    quality, quality_v, category, category_v, was_approved, fetched_at, created_at)
SELECT organisation_id, waba_id, %(name)s, %(name)s, 'en_US', %(components)s::jsonb, 'POSITIONAL', 'APPROVED', 1,
    'GREEN', 1, %(category)s, 1, true, %(now)s, %(now)s
FROM numbers WHERE id = %(number)s
"""


@dataclass
class Shop(SendingShop):
    async def hears(self, *webhooks: Any) -> None:
        arrivals = [ingest.read(wire.body(webhook), 1 << 30) for webhook in webhooks]
        async with self.app.db.pipelined() as tx:
            await ingest.ingest(self.app, tx, arrivals, wiring.followers(self.app), self.clock.now())

    async def writes(self, human: str | Human, text: str, *, at: int | None = None, wamid: str | None = None) -> str:
        """A customer writes; answers the wamid."""
        self.heard += 1
        person = Human(human) if isinstance(human, str) else human
        said = wamid or f"wamid.W{self.heard}"
        await self.hears(wire.inbound(person, wire.text(said, self.seconds if at is None else at, text)))
        return said

    async def may(self, contact_id: int, topic: str = "") -> Consent:
        async with self.app.db.transaction() as tx:
            return await service.consent(tx, self.number_id, contact_id, topic)

    async def do(self, what: Any, *args: Any, **named: Any) -> Any:
        """A function of the service, in a transaction of its own."""
        async with self.app.db.transaction() as tx:
            return await what(tx, *args, **named)

    @property
    async def organisation(self) -> int:
        return int(await self.value("SELECT organisation_id FROM numbers WHERE id = %s", (self.number_id,)))

    async def template(self, name: str, category: str) -> None:
        components = '[{"type": "BODY", "text": "Three cakes for two."}]'
        named = {"name": name, "category": category, "components": components, "now": self.clock.now()}
        await self.execute(TEMPLATE, {**named, "number": self.number_id})

    async def outbox(self) -> Sequence[tuple[str, str]]:
        """Text and state of everything that was to be sent."""
        rows = await self.dicts("SELECT text, state FROM outbox ORDER BY id")
        return [(row["text"], row["state"]) for row in rows]


@pytest.fixture
async def shop(app: App, clock: RunningClock, meta: Meta) -> Shop:
    opened = await open_sending_shop(app, clock, meta)
    return Shop(opened.app, clock, meta, opened.number_id)
