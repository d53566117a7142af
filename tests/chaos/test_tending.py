"""A worker is killed between every two steps of an automation. Each customer is answered once, and none is forgotten.

Real processes: the one that dies, and the one that goes on. Who is asked outside may be asked again, under one key.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.automations.abroad import Place, place
from tests.chaos.test_sending import CountingMeta, clock, meta, process, shop, working
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Shop

from twinline import wiring
from twinline.automations import service
from twinline.kit.outside import Outside
from twinline.mirror import ingest

__all__ = ["clock", "meta", "shop"]

pytestmark = pytest.mark.anyio

STEPS = [
    "said, and nothing else:1",
    "looked:1",
    "asked outside:2",
    "all written, not committed:3",
    "went on:1",
    "forgotten, not committed:2",
]
PHONES = [f"35192000{n:04}" for n in range(5)]
LATE = "351920009999"
GONE = """
SELECT NOT EXISTS (SELECT FROM turns) AND NOT EXISTS (SELECT FROM errands)
   AND NOT EXISTS (SELECT FROM runs WHERE state <> 'ended')
   AND NOT EXISTS (SELECT FROM outbox WHERE state IN ('queued', 'sending'))
"""
ANSWERS = """
SELECT c.phone, o.text, o.state, o.idempotency_key AS key FROM outbox o JOIN contacts c ON c.id = o.contact_id
ORDER BY o.id
"""


@dataclass
class Bakery:
    """The shop with an automation that says something, asks outside, and says what it heard."""

    shop: Shop
    there: Place

    async def open(self) -> None:
        steps: list[dict[str, Any]] = [
            {"send": {"text": "One moment."}},
            {"call": {"url": f"{self.there.url}/orders/{{{{contact.phone}}}}", "save": "order"}},
            {"tag": {"add": ["asked"]}},
            {"send": {"text": "It is {{vars.order.status}}."}},
        ]
        told = {"name": "Orders", "triggers": [{"message": {}}], "steps": steps}
        organisation, now = await self.shop.value("SELECT organisation_id FROM numbers"), self.shop.clock.now()
        async with self.shop.app.db.transaction() as tx:
            made = await service.create(tx, organisation, told, None, now)
            await service.publish(tx, organisation, made, None, now)
            await service.enable(tx, organisation, made, True, now)
            await tx.execute("UPDATE automations SET quiet_for = '0'")

    async def hears(self, *phones: str) -> None:
        """Customers ask, all in one batch."""
        said = [wire.text(f"wamid.{phone}", self.shop.seconds, "Where is my order?") for phone in phones]
        asked = [wire.inbound(Human(phone), one) for phone, one in zip(phones, said, strict=True)]
        arrivals = [ingest.read(wire.body(one), 1 << 30) for one in asked]
        async with self.shop.app.db.transaction() as tx:
            followers = wiring.followers(self.shop.app)
            await ingest.ingest(self.shop.app, tx, arrivals, followers, self.shop.clock.now())


@pytest.fixture
async def bakery(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bakery]:
    monkeypatch.setenv("TWINLINE_OUTSIDE_ALLOWED", "127.0.0.1")
    client = Outside(["127.0.0.1"])
    async with place({"status": "baked"}) as there:
        made = Bakery(replace(shop, app=replace(shop.app, outside=client)), there)
        await made.open()
        yield made
    await client.aclose()


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_killed_at_any_step_answers_each_customer_once_and_forgets_none(
    bakery: Bakery, meta: CountingMeta, step: str
) -> None:
    await bakery.hears(*PHONES)
    async with process(bakery.shop, meta, step) as child:
        async with asyncio.timeout(60):
            assert await child.wait() == -signal.SIGKILL
    await bakery.hears(LATE)
    async with working(bakery.shop):
        async with asyncio.timeout(60):
            while not await bakery.shop.value(GONE):
                await asyncio.sleep(0.05)

    answers = await bakery.shop.dicts(ANSWERS)
    expected = {(phone, text) for phone in (*PHONES, LATE) for text in ("One moment.", "It is baked.")}
    assert Counter((one["phone"], one["text"]) for one in answers) == Counter(expected)
    # Only the lane's own death leaves a doubt, which a status settles; an answer isn't written again for it.
    taken = {int(callback.split(":")[2]) for callback in meta.taken}
    assert set(meta.taken.values()) <= {1}, "Meta took a message twice"
    assert {one["state"] for one in answers} <= {"sent", "in_doubt"}
    assert len(taken) >= sum(one["state"] == "sent" for one in answers)
    [begun] = await bakery.shop.dicts("SELECT count(*) AS runs, count(DISTINCT contact_id) AS people FROM runs")
    assert begun == {"runs": len(PHONES) + 1, "people": len(PHONES) + 1}
    asked = Counter((one.path, one.headers["idempotency-key"]) for one in bakery.there.asked)
    assert len(asked) == len(PHONES) + 1, "a question that is asked again has the same key"
    tagged = await bakery.shop.value("SELECT count(*) FROM contacts WHERE 'asked' = ANY(tags)")
    assert tagged == len(PHONES) + 1
    lines = await bakery.shop.value("SELECT count(*) FROM automation_log WHERE kind = 'began'")
    assert lines == len(PHONES) + 1, "and the log tells each once"
