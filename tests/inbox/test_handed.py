"""A chat that an automation handed to people is found by them, until somebody has answered."""

from datetime import timedelta

import pytest
from tests.automations.conftest import ANA, BEA, Bakery, bakery, clock, meta

from twinline.automations import queries as automations
from twinline.automations import service
from twinline.inbox import queries

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

CALLS = ({"send": {"text": "Somebody will answer you."}}, {"release": {"note": "A wedding cake"}})


async def marked(bakery: Bakery, filter: str = "all") -> dict[int, bool]:
    """The list: who stands in it, and whether they wait for a person."""
    async with bakery.app.db.transaction() as tx:
        found = await queries.chats(tx, bakery.number_id, 0, bakery.clock.now(), filter=filter)
    return {chat.contact_id: chat.handed for chat in found}


async def waiting(bakery: Bakery) -> set[int]:
    """Who the filter shows, which is whom the list marks, and as many as are counted."""
    found = await marked(bakery, "waiting")
    assert all(found.values())
    assert {one for one, handed in (await marked(bakery)).items() if handed} == set(found)
    async with bakery.app.db.transaction() as tx:
        now = bakery.clock.now()
        assert (await queries.to_see(tx, bakery.number_id, now))["waiting"] == len(found)
        asked = await queries.chats_by_id(tx, bakery.number_id, 0, now, list(await marked(bakery)), filter="waiting")
        assert {one.contact_id for one in asked} == set(found)
    return set(found)


async def test_it_is_marked_found_and_counted_until_somebody_answers(bakery: Bakery) -> None:
    await bakery.automation("Orders", *CALLS, triggers=[{"keyword": {"words": ["cake"]}}])
    ana = await bakery.writes(ANA, "A cake for our wedding, please")
    bea = await bakery.writes(BEA, "Hello?")
    await bakery.goes_out()
    assert await waiting(bakery) == {ana}
    bakery.clock.advance(minutes=5)
    await bakery.writes(ANA, "Are you there?")
    assert await waiting(bakery) == {ana}, "an automation's silence isn't an answer"
    await bakery.types(BEA, "Hello Bea")
    assert await waiting(bakery) == {ana}
    await bakery.types(ANA, "How many guests?")
    assert await waiting(bakery) == set()
    assert set(await marked(bakery)) == {ana, bea}


async def test_handing_it_back_is_an_answer_too_and_after_a_day_nobody_waits(bakery: Bakery) -> None:
    await bakery.automation("Orders", *CALLS, settings={"once_per": "1h"})
    ana, bea = await bakery.writes(ANA, "A cake, please"), await bakery.writes(BEA, "A cake, please")
    assert await waiting(bakery) == {ana, bea}
    async with bakery.app.db.transaction() as tx:
        await service.release_floor(bakery.app, tx, bakery.number_id, ana, None, bakery.clock.now())
    assert await waiting(bakery) == {bea}
    bakery.clock.advance(days=1, seconds=1)
    assert await waiting(bakery) == set()


async def test_a_reminder_that_sleeps_hides_nobody_who_waits(bakery: Bakery) -> None:
    await bakery.automation(
        "Reminder", {"wait": "2h"}, {"send": {"text": "Don't forget!"}}, settings={"once_per": "1d"}
    )
    await bakery.automation("Orders", *CALLS)
    await bakery.writes(ANA, "Remind me")
    ana = await bakery.writes(ANA, "A cake, please")
    assert await waiting(bakery) == {ana}
    async with bakery.app.db.transaction() as tx:
        handed = await automations.handed(tx, bakery.number_id, ana, bakery.clock.now() + timedelta(minutes=1))
    assert handed is not None
    assert handed.automation == "Orders"
    await bakery.automation("Talks", {"ask": {"text": "Which cake?"}}, triggers=[{"api": {}}])
    async with bakery.app.db.transaction() as tx:
        talks = await automations.automation_named(tx, bakery.organisation_id, "Talks")
        assert talks is not None
        await service.start(bakery.app, tx, bakery.number_id, ana, talks.id, bakery.clock.now(), by="a test")
    assert await waiting(bakery) == set(), "somebody talks with her again"
