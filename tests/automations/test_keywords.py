"""Words that the owner types on the phone: they hand the chat back, pause it, or start something."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from tests.automations.conftest import ANA, Bakery
from tests.automations.test_tending import ASKS, GREETS
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.automations import service

pytestmark = pytest.mark.anyio


async def test_the_keyword_hands_the_chat_back_and_the_open_question_is_answered(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "I'm here.")
    bakery.clock.advance(seconds=20)
    ana = await bakery.writes(ANA, "Are you open?")
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "#BOT")
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    assert (await bakery.log(ana))[1] == "The phone handed the chat back."
    assert (await bakery.floor(ana))["floor_holder"] == "automation"


async def test_the_keyword_is_no_answer_but_what_was_typed_before_it_is(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    ana = await bakery.writes(ANA, "Hi")
    await bakery.goes_out()
    bakery.clock.advance(seconds=20)
    await bakery.hears(bakery.writing(ANA, "Are you open?"))
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "Yes!")
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "#bot")
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    assert "Left alone: it was answered from the phone." in await bakery.log(ana)


async def change_of(kind: str, original: str, at: int) -> Any:
    if kind == "revoke":
        return wire.echoes(Human(ANA), wire.revoke_of("wamid.CHANGE", at, original))
    return wire.echoes(Human(ANA), wire.edit_of("wamid.CHANGE", at, original, "text", {"body": "…"}))


@pytest.mark.parametrize("keep_edited", [True, False])
@pytest.mark.parametrize("kind", ["revoke", "edit"])
@pytest.mark.parametrize("order", ["before", "after", "same batch"])
async def test_the_quiet_way_a_keyword_that_was_deleted_or_edited_counts(
    bakery: Bakery, kind: str, order: str, keep_edited: bool
) -> None:
    await bakery.execute("UPDATE numbers SET keep_edited = %s", (keep_edited,))
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "I'm here.")
    bakery.clock.advance(seconds=20)
    await bakery.writes(ANA, "Are you open?")
    bakery.clock.advance(seconds=20)
    typed = bakery.typing(ANA, "#bot", wamid="wamid.KEY")
    bakery.clock.advance(seconds=3)
    changed = await change_of(kind, "wamid.KEY", bakery.seconds)
    if order == "same batch":
        await bakery.hears(changed, typed)
    else:
        for webhook in (changed, typed) if order == "before" else (typed, changed):
            await bakery.hears(webhook)
    await bakery.tend()
    assert await bakery.goes_out() == ["Hello! We open at seven."]


async def test_the_quiet_way_a_reaction_with_the_keywords_emoji(bakery: Bakery) -> None:
    keywords = [{"word": "🤖", "does": "release"}]
    await bakery.execute(
        "INSERT INTO number_settings (number_id, phone_keywords) VALUES (%s, %s)", (bakery.number_id, Jsonb(keywords))
    )
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "I'm here.")
    bakery.clock.advance(seconds=20)
    await bakery.writes(ANA, "Are you open?")
    bakery.clock.advance(seconds=20)
    robot = wire.said("wamid.R", bakery.seconds, "reaction", {"message_id": "wamid.IN2", "emoji": "🤖"})
    await bakery.hears(wire.echoes(Human(ANA), robot))
    await bakery.tend()
    assert await bakery.goes_out() == ["Hello! We open at seven."]


async def test_a_reply_that_is_heard_after_the_keyword_though_it_was_typed_before_changes_nothing(
    bakery: Bakery,
) -> None:
    await bakery.automation("Greeting", GREETS)
    typed_at = bakery.seconds
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "#bot")
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "I'm here.", at=typed_at)
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    assert (await bakery.floor(ana))["floor_holder"] == "automation"


async def test_a_reply_typed_right_after_the_keyword_silences_though_the_keyword_is_heard_late(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    keyword_at = bakery.seconds
    bakery.clock.advance(seconds=1)
    reply_at = bakery.seconds
    bakery.clock.advance(seconds=10)
    await bakery.types(ANA, "#bot", at=keyword_at)
    await bakery.types(ANA, "One more thing", at=reply_at)
    await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == []


async def test_a_late_keyword_does_nothing(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    typed_at = bakery.seconds
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "I'm here.")
    await bakery.types(ANA, "#bot", at=typed_at)
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == []
    assert "A keyword from the phone came too late" in (await bakery.log(ana))[0]


async def test_pause_for_a_while(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.types(ANA, "#pause 30m")
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == []
    assert await bakery.log(ana) == [
        "The phone took the chat for 30 minutes.",
        "Silent: the phone has the floor until 12:30.",
    ]
    await bakery.passes(minutes=31)
    assert await bakery.goes_out() == ["Hello! We open at seven."]


async def test_a_keyword_starts_an_automation(bakery: Bakery) -> None:
    made = await bakery.automation("Sales", {"send": {"text": "Our prices: …"}}, triggers=[{"api": {}}])
    keywords = [{"word": "#sales", "does": "start", "automation": made}]
    await bakery.execute(
        "INSERT INTO number_settings (number_id, phone_keywords) VALUES (%s, %s)", (bakery.number_id, Jsonb(keywords))
    )
    ana = await bakery.writes(ANA, "How much?")
    await bakery.types(ANA, "Let me see …")
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "#sales")
    assert await bakery.goes_out() == ["Our prices: …"]
    assert "by a keyword from the phone" in (await bakery.log(ana))[-1]


@pytest.mark.parametrize("by", ["keyword", "hand"])
async def test_what_was_asked_before_is_no_answer_to_an_automation_that_is_started(bakery: Bakery, by: str) -> None:
    made = await bakery.automation("Order", *ASKS, triggers=[{"api": {}}])
    keywords = [{"word": "#order", "does": "start", "automation": made}]
    await bakery.execute(
        "INSERT INTO number_settings (number_id, phone_keywords) VALUES (%s, %s)", (bakery.number_id, Jsonb(keywords))
    )
    await bakery.types(ANA, "I'm here.")
    bakery.clock.advance(seconds=20)
    ana = await bakery.writes(ANA, "How much?")
    bakery.clock.advance(seconds=20)
    if by == "keyword":
        await bakery.types(ANA, "#order")
    else:
        async with bakery.app.db.transaction() as tx:
            now = bakery.clock.now()
            await service.start(bakery.app, tx, bakery.number_id, ana, made, now, by="Anna", release=True)
        await bakery.tend()
    assert await bakery.goes_out() == ["Which bread?"]
    bakery.clock.advance(seconds=20)
    await bakery.writes(ANA, "Rye")
    assert await bakery.goes_out() == ["Which bread?", "One Rye."]
    await bakery.passes(hours=3)
    assert await bakery.goes_out() == ["Which bread?", "One Rye."]


async def test_a_keyword_whose_automation_is_gone_hands_the_chat_back_all_the_same(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    keywords = [{"word": "#order", "does": "start", "automation": 99}]
    await bakery.execute(
        "INSERT INTO number_settings (number_id, phone_keywords) VALUES (%s, %s)", (bakery.number_id, Jsonb(keywords))
    )
    await bakery.types(ANA, "I'm here.")
    bakery.clock.advance(seconds=20)
    await bakery.writes(ANA, "Are you open?")
    bakery.clock.advance(seconds=20)
    await bakery.types(ANA, "#order")
    assert await bakery.goes_out() == ["Hello! We open at seven."]


async def test_a_keyword_while_nobody_spoke_disturbs_no_conversation(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    bakery.clock.advance(seconds=5)
    await bakery.types(ANA, "#bot")
    [run] = await bakery.runs(ana)
    assert run.state == "waiting"
    bakery.clock.advance(seconds=5)
    await bakery.writes(ANA, "Rye")
    assert await bakery.goes_out() == ["Which bread?", "One Rye."]
