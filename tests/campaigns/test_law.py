"""The law of campaigns: whatever happens in whatever order, nobody gets one twice, and everybody's state is true.

The lane is played here, row by row, so that it may die, hear nothing, or be overtaken at any step.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.campaigns.bakery import Bakery, bakery, clock, meta
from tests.campaigns.test_running import paused
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.campaigns import running, service
from twinline.campaigns.models import Campaign
from twinline.kit.clock import microseconds
from twinline.mirror import turn
from twinline.rules.campaigns import OPEN, OVER, REACHED
from twinline.rules.refusal import Refused
from twinline.sending import lane, queries
from twinline.sending import service as sending
from twinline.sending.models import Outgoing, Result

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

UNLIMITED = """
INSERT INTO portfolios (number_id, messaging_limit, said_at, asked_at)
SELECT id, 'TIER_UNLIMITED', now(), now() FROM numbers ON CONFLICT DO NOTHING
"""

# Rows of the outbox that any of these people has or had, without those that were taken back for good.
STANDING = """
SELECT count(*) FROM recipients r
JOIN outbox o ON starts_with(o.idempotency_key, format('campaign:%%s:%%s:', r.campaign_id, r.id))
WHERE r.campaign_id = %s AND o.state <> 'cancelled' GROUP BY r.id
"""

# What the database keeps of them, and what it should.
KEPT = """
SELECT variant, state, people, opted_out, blocked, converted, cost, unpriced FROM recipient_counts
WHERE campaign_id = %s AND people > 0 ORDER BY 1, 2
"""
COUNTED = """
SELECT variant, state, count(*) AS people, count(opted_out_at) AS opted_out, count(blocked_at) AS blocked,
       count(converted_at) AS converted, coalesce(sum(cost), 0) AS cost, count(*) - count(cost) AS unpriced
FROM recipients WHERE campaign_id = %s GROUP BY 1, 2 ORDER BY 1, 2
"""

STEPS = (
    "look", "look", "look", "two look", "plan", "plan", "answered", "answered", "refused", "silent", "lost", "dies",
    "delivered", "pause", "resume", "cancel", "template paused", "template approved", "phone speaks", "they answer",
    "ten minutes", "phone away", "phone back",
)  # fmt: skip


@dataclass
class World:
    bakery: Bakery
    one: Campaign
    people: Sequence[str]
    taken: Counter[str] = field(default_factory=Counter)  # what Meta has
    callbacks: dict[str, tuple[str, str]] = field(default_factory=dict)  # phone -> callback data, wamid
    in_hand: list[Outgoing] = field(default_factory=list)

    async def step(self, what: str) -> None:
        shop = self.bakery.shop
        shop.clock.advance(seconds=1)
        match what:
            case "look":
                await self.bakery.look()
            case "two look":
                for _ in range(2):
                    await running.look(shop.app, shop.number_id, running.Memory())
            case "plan":
                planned = await lane.plan(shop.app, shop.number_id)
                assert planned is not None
                self.in_hand += [row for row, _ in planned.rows]
            case "answered":
                await self.ends("sent")
            case "refused":
                await self.ends("failed")
            case "silent" | "lost":
                await self.ends("in_doubt", has_it=what == "silent")
            case "dies":
                self.in_hand.clear()
                async with shop.app.db.transaction() as tx:
                    await turn.take(tx, [shop.number_id])
                    await tx.execute(queries.ABANDONED, {"number": shop.number_id})
            case "delivered":
                await self.delivered()
            case "pause" | "resume" | "cancel":
                with suppress(Refused):
                    await self.bakery.does(getattr(service, what), self.one)
            case "template paused" | "template approved":
                word = "PAUSED" if what == "template paused" else "APPROVED"
                await self.bakery.hears(paused(word, shop.seconds))
            case "phone speaks":
                await shop.phone_says(self.people[0], "…")
            case "they answer":
                await self.bakery.answers(self.people[1], "Lovely")
            case "ten minutes":
                shop.clock.advance(minutes=11)
                await lane.despair(shop.app)
            case "phone away" | "phone back":
                word = "offboarded" if what == "phone away" else "connected"
                await shop.execute("UPDATE numbers SET state = %s, state_since = %s", (word, shop.clock.now()))

    async def ends(self, state: str, *, has_it: bool | None = None) -> None:
        """The way of the next row in hand ends, as Meta and the line to it please."""
        if not self.in_hand:
            return
        row = self.in_hand.pop(0)
        assert row.phone is not None
        shop = self.bakery.shop
        wamid = f"wamid.{self.one.id}.{row.id}"
        if state == "sent" or has_it:
            self.taken[row.phone] += 1
            callback = f"tw:{shop.number_id}:{row.id}:{microseconds(row.created_at)}"
            self.callbacks[row.phone] = callback, wamid
        code = 131026 if state == "failed" else None
        async with shop.app.db.transaction() as tx:
            await turn.take(tx, [shop.number_id])
            result = Result(shop.number_id, row.id, state, wamid if state == "sent" else None, code, "…")
            await sending.settle(tx, [result], shop.clock.now())

    async def delivered(self) -> None:
        """Meta tells of all that it has."""
        for phone, (callback, wamid) in self.callbacks.items():
            at = self.bakery.shop.seconds
            told = wire.status(Human(phone), wamid, "delivered", at, biz_opaque_callback_data=callback)
            await self.bakery.hears(wire.statuses(told))

    async def holds(self) -> None:
        assert set(self.taken.values()) <= {1}, "somebody got it twice"
        standing = await self.bakery.shop.dicts(STANDING, (self.one.id,))
        assert {row["count"] for row in standing} <= {1}, "somebody stands in the outbox twice"
        states = await self.bakery.states(self.one)
        assert len(states) == len(self.people)
        kept, counted = [await self.bakery.shop.dicts(sql, (self.one.id,)) for sql in (KEPT, COUNTED)]
        assert kept == counted

    async def ends_well(self) -> None:
        """Everything that stood in the way is gone, and time passes."""
        for what in ("phone back", "template approved", "resume"):
            await self.step(what)
        for _ in range(40):
            for what in ("look", "plan"):
                await self.step(what)
            while self.in_hand:
                await self.step("answered")
            await self.step("ten minutes")
            await self.step("look")
            found = await self.bakery.found(self.one)
            if found.state in OVER and found.finished_at is not None:
                return
        raise AssertionError(f"it is still {found.state}: {found.says} {await self.bakery.states(self.one)}")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), max_size=25), st.integers(2, 14))
@example(["look", "plan", "answered", "pause", "answered", "silent", "lost", "resume", "look", "dies"], 9)
@example(["look", "plan", "cancel", "silent", "dies", "delivered"], 9)
@example(["look", "plan", "template paused", "look", "pause", "dies", "resume", "delivered"], 9)
async def test_whatever_happens_nobody_gets_it_twice_and_everybodys_state_is_true(
    bakery: Bakery, steps: list[str], count: int
) -> None:
    shop = bakery.shop
    await shop.execute(UNLIMITED)
    await shop.execute("DELETE FROM stops")
    bakery.clock.advance(hours=6)
    base = await shop.value("SELECT count(*) FROM recipients")
    people = [f"35192{base + n:07}" for n in range(count)]
    one = await bakery.campaign(people, limits={"failed": 0, "blocked": 0, "opted_out": 0})
    await bakery.does(service.start, one)
    world = World(bakery, one, people)
    for step in steps:
        await world.step(step)
        await world.holds()
    await world.ends_well()
    await world.holds()
    await world.delivered()
    await bakery.look()
    for row in await bakery.people(one):
        has_it = world.taken[row["phone"]] == 1
        assert row["state"] not in OPEN
        assert (row["state"] in REACHED) == has_it, "what Meta told of is known, and nothing else is said to be sent"
