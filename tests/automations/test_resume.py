"""Back again: what is still open when a person has done, and what is still meant."""

from datetime import timedelta

import pytest
from tests.automations.conftest import ANA, Bakery
from tests.automations.test_tending import ASKS, GREETS

from twinline.automations import queries, service
from twinline.rules.refusal import Refused

pytestmark = pytest.mark.anyio


async def take(bakery: Bakery, contact: int, for_: timedelta | None = None) -> None:
    async with bakery.app.db.transaction() as tx:
        await service.take_floor(bakery.app, tx, bakery.number_id, contact, None, bakery.clock.now(), for_)


async def hand_back(bakery: Bakery, contact: int) -> bool:
    async with bakery.app.db.transaction() as tx:
        return await service.release_floor(bakery.app, tx, bakery.number_id, contact, None, bakery.clock.now())


async def test_the_button_takes_the_chat_and_hands_it_back(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    bakery.clock.advance(seconds=5)
    await take(bakery, ana, timedelta(minutes=10))
    await bakery.writes(ANA, "Rye")
    assert await bakery.goes_out() == []  # the question itself waited in the lane, and was dropped
    assert await hand_back(bakery, ana)
    await bakery.tend()
    assert await bakery.goes_out() == ["One Rye."]
    assert any(line.startswith("“Order” went on") for line in await bakery.log(ana))


async def test_a_chat_that_was_handed_to_people_waits_for_them_until_it_is_handed_back(bakery: Bakery) -> None:
    help_ = await bakery.automation("Help", {"release": {"to": "person"}}, triggers=[{"keyword": {"words": ["help"]}}])
    await bakery.automation("Prices", {"send": {"text": "Rye is 3.20"}}, triggers=[{"keyword": {"words": ["price"]}}])
    ana = await bakery.writes(ANA, "Help!")
    bakery.clock.advance(minutes=1)
    await bakery.writes(ANA, "And the price?")
    assert await bakery.goes_out() == []
    async with bakery.app.db.transaction() as tx:
        handed = await queries.handed(tx, bakery.number_id, ana, bakery.clock.now())
    assert handed is not None
    assert handed.automation_id == help_
    assert await hand_back(bakery, ana)
    assert not await hand_back(bakery, ana)
    await bakery.tend()
    assert await bakery.goes_out() == ["Rye is 3.20"]


async def test_a_person_spoke_and_the_conversation_goes_on_when_it_is_handed_back_soon(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    await bakery.writes(ANA, "Hi")
    assert await bakery.goes_out() == ["Which bread?"]
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "We have rye and wheat today.")
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "#bot")
    bakery.clock.advance(seconds=20)
    await bakery.writes(ANA, "Rye")
    assert await bakery.goes_out() == ["Which bread?", "One Rye."]


async def test_hours_later_the_old_question_is_not_meant_any_more(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    await bakery.goes_out()
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "Hello Ana")
    bakery.clock.advance(hours=3)
    await bakery.writes(ANA, "Good evening")
    assert await bakery.goes_out() == ["Which bread?", "Which bread?"]
    assert [run.why for run in await bakery.runs(ana)] == ["", "A person took over."]


async def test_what_a_person_answered_meanwhile_stays_answered(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "Hello Ana")
    bakery.clock.advance(minutes=1)
    ana = await bakery.writes(ANA, "Are you open?")
    bakery.clock.advance(minutes=1)
    await bakery.says(ana, "Yes!")
    await bakery.drain()
    await bakery.passes(hours=5)
    assert await bakery.goes_out() == ["Yes!"]


async def test_what_was_left_open_for_too_long_is_left_to_people(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS, settings={"quiet_for": "1s", "answer_within": "1h"})
    await bakery.types(ANA, "Hello Ana")
    bakery.clock.advance(seconds=5)
    ana = await bakery.writes(ANA, "Are you open?")
    await bakery.passes(seconds=2)
    await bakery.passes(hours=2, seconds=10)
    assert await bakery.goes_out() == []
    assert (await bakery.log(ana))[-1].startswith("Left alone. “Greeting”: It answers within 1 hour")


async def test_one_that_does_not_answer_what_was_left_open(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS, settings={"quiet_for": "1s", "answer_left_open": False})
    await bakery.types(ANA, "Hello Ana")
    bakery.clock.advance(seconds=5)
    ana = await bakery.writes(ANA, "Are you open?")
    await bakery.passes(seconds=2)
    await bakery.passes(hours=2)
    assert await bakery.goes_out() == []
    assert "A person was speaking" in (await bakery.log(ana))[-1]


async def test_an_automations_own_pause_stands_for_the_numbers(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS, settings={"quiet_for": "1s", "pause_on_phone": "10m"})
    ana = await bakery.writes(ANA, "Hi")
    await bakery.passes(seconds=2)
    assert await bakery.goes_out() == ["Which bread?"]
    await bakery.types(ANA, "Just a second")
    until = (await bakery.floor(ana))["floor_until"]
    assert timedelta(minutes=9) < until - bakery.clock.now() < timedelta(minutes=11)


async def test_a_pause_of_nothing_still_drops_what_was_being_prepared(bakery: Bakery) -> None:
    await bakery.execute("UPDATE numbers SET phone_pause = '0'")
    await bakery.automation("Greeting", GREETS)
    await bakery.writes(ANA, "Are you open?")
    await bakery.types(ANA, "Yes!")
    assert await bakery.goes_out() == []
    bakery.clock.advance(seconds=5)
    await bakery.writes(ANA, "And tomorrow?")
    assert await bakery.goes_out() == ["Hello! We open at seven."]


async def test_starting_by_hand_needs_the_chat_back_first(bakery: Bakery) -> None:
    made = await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    await bakery.types(ANA, "Hello Ana")
    async with bakery.app.db.transaction() as tx:
        now = bakery.clock.now()
        with pytest.raises(Refused) as caught:
            await service.start(bakery.app, tx, bakery.number_id, ana, made, now, by="a test")
        assert caught.value.refusal.rule == "floor.phone_speaks"
    async with bakery.app.db.transaction() as tx:
        now = bakery.clock.now()
        await service.start(bakery.app, tx, bakery.number_id, ana, made, now, by="a test", release=True)
    assert await bakery.goes_out() == ["Which bread?"]


async def test_ending_a_conversation_by_hand_drops_what_it_had_queued(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    [run] = await bakery.runs(ana)
    async with bakery.app.db.transaction() as tx:
        assert await service.end_run(tx, bakery.number_id, run.id, bakery.clock.now())
        assert not await service.end_run(tx, bakery.number_id, run.id, bakery.clock.now())
    assert await bakery.goes_out() == []
