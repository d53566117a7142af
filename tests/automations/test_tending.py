"""An automation answers where nobody speaks, and falls silent where a person does."""

import pytest
from tests.automations.conftest import ANA, Bakery

pytestmark = pytest.mark.anyio

GREETS = {"send": {"text": "Hello! We open at seven."}}


async def test_a_greeting_answers_a_customer(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    [run] = await bakery.runs(ana)
    assert (run.state, run.why, run.sent) == ("ended", "It came to its end.", 1)
    assert await bakery.log(ana) == ["“Greeting” began by a message and sent 1 message. It ended: it came to its end."]


async def test_the_phone_silences_it(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "I'm here, what do you need?")
    bakery.clock.advance(seconds=10)
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == []
    assert await bakery.log(ana) == ["Silent: the phone has the floor until 14:00."]


@pytest.mark.parametrize("phone_first", [True, False])
async def test_the_owners_answer_in_the_same_batch_counts_in_any_order(bakery: Bakery, phone_first: bool) -> None:
    await bakery.automation("Greeting", GREETS)
    asked = bakery.writing(ANA, "Are you open?", bakery.seconds)
    bakery.clock.advance(seconds=2)
    answered = bakery.typing(ANA, "Yes, come in!", bakery.seconds)
    await bakery.hears(*((answered, asked) if phone_first else (asked, answered)))
    await bakery.tend()
    assert await bakery.goes_out() == []
    bakery.clock.advance(hours=3)
    await bakery.tend()
    assert await bakery.goes_out() == []
    [contact] = await bakery.dicts("SELECT id FROM contacts")
    assert await bakery.log(contact["id"]) == ["Left alone: it was answered from the phone."]


async def test_what_was_asked_while_the_phone_spoke_is_answered_when_its_time_is_over(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "Back soon.")
    bakery.clock.advance(minutes=10)
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == []
    await bakery.passes(minutes=115)
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    assert (await bakery.log(ana))[0] == "Silent: the phone has the floor until 14:00."
