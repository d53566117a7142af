"""What keeps an automation from going on for ever, and from beginning too often."""

import pytest
from tests.automations.conftest import ANA, Bakery
from tests.automations.test_tending import ASKS, GREETS
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.automations import timing
from twinline.contacts import service as contacts

pytestmark = pytest.mark.anyio


async def test_a_machine_at_the_other_side_is_left_alone(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    ana = 0
    for _ in range(14):
        ana = await bakery.writes(ANA, "Thank you for your message!")
        bakery.clock.advance(seconds=20)
    assert len(await bakery.goes_out()) == 12
    assert "looks like a machine at the other side" in (await bakery.log(ana))[-1]


async def test_messages_an_hour(bakery: Bakery) -> None:
    settings = {"quiet_for": "1s", "limits": {"messages_per_hour": 2}}
    await bakery.automation("Chatty", *[{"send": {"text": f"{n}"}} for n in range(4)], settings=settings)
    ana = await bakery.writes(ANA, "Hi")
    await bakery.passes(seconds=2)
    assert await bakery.goes_out() == ["0", "1"]
    [run] = await bakery.runs(ana)
    assert (run.state, run.sent, run.why) == ("ended", 2, "It sends 2 messages an hour at most in a chat.")


async def test_once_in_a_while(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS, settings={"quiet_for": "1s", "once_per": "24h"})
    ana = await bakery.writes(ANA, "Hi")
    await bakery.passes(seconds=2)
    await bakery.writes(ANA, "Are you open?")
    await bakery.passes(seconds=2)
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    assert "once in 1 day" in (await bakery.log(ana))[-1]


async def test_the_first_that_is_meant_begins(bakery: Bakery) -> None:
    await bakery.automation("Prices", {"send": {"text": "Our prices"}}, triggers=[{"keyword": {"words": ["price"]}}])
    await bakery.automation("Greeting", GREETS)
    await bakery.writes(ANA, "What is the price?")
    await bakery.writes(ANA, "Thanks")
    assert await bakery.goes_out() == ["Our prices", "Hello! We open at seven."]


async def test_one_that_is_off_begins_nothing_and_notes_nothing(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS, on=False)
    await bakery.hears(bakery.writing(ANA, "Hi"))
    assert await bakery.value("SELECT count(*) FROM turns") == 0


async def test_a_closed_window_ends_it_with_the_reason(bakery: Bakery) -> None:
    await bakery.automation("Later", {"wait": "23h"}, {"wait": "2h"}, {"send": {"text": "Hello?"}},
                            settings={"quiet_for": "1s", "limits": {"total": "3d"}})  # fmt: skip
    ana = await bakery.writes(ANA, "Hi")
    await bakery.passes(seconds=2)
    await bakery.passes(hours=23)
    await bakery.passes(hours=2, seconds=5)
    assert await bakery.goes_out() == []
    [run] = await bakery.runs(ana)
    assert "More than 24 hours have passed" in run.why


async def test_nobody_has_answered_for_a_quarter_of_an_hour(bakery: Bakery) -> None:
    await bakery.automation(
        "Sorry", {"send": {"text": "We'll be with you soon."}}, triggers=[{"no_answer": {"after": "15m"}}]
    )
    ana = await bakery.writes(ANA, "Hello?")
    await bakery.hears(bakery.writing("351910000002", "Hello?"))
    await bakery.tend()
    await bakery.passes(minutes=10)
    await bakery.types("351910000002", "Hi!")
    assert await bakery.goes_out() == []
    await bakery.passes(minutes=6)
    assert await bakery.goes_out() == ["We'll be with you soon."]
    assert (await bakery.log(ana))[-1].startswith("“Sorry” began by a question that nobody answered")


async def test_stop_is_confirmed_and_no_automation_answers_it(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    ana = await bakery.writes(ANA, "STOP")
    assert len(await bakery.goes_out()) == 1
    assert await bakery.log(ana) == ["Left alone: it was a word like STOP, and that was confirmed."]


async def test_the_clock_begins_it_where_its_conditions_hold(bakery: Bakery) -> None:
    await bakery.automation(
        "Reminder", {"send": {"text": "See you at ten."}}, triggers=[{"schedule": {"at": "13:00"}}],
        when=[{"tag": "booked"}],
    )  # fmt: skip
    await bakery.execute("INSERT INTO number_settings (number_id, zone) VALUES (%s, 'UTC')", (bakery.number_id,))
    async with bakery.app.db.transaction() as tx:
        await timing.wind(tx, bakery.organisation_id, bakery.clock.now())
    ana = await bakery.writes(ANA, "Hi")
    await bakery.writes("351910000002", "Hi")
    async with bakery.app.db.transaction() as tx:
        await contacts.tag(tx, bakery.number_id, [ana], bakery.clock.now(), add=["booked"])
    await timing.strike(bakery.app)
    assert await bakery.goes_out() == []
    bakery.clock.advance(minutes=61)
    await timing.strike(bakery.app)
    await timing.strike(bakery.app)
    assert await bakery.goes_out() == ["See you at ten."]
    assert bakery.meta.messages[0]["to"] == ANA
    assert await bakery.value("SELECT extract(day FROM at) FROM automation_clocks") == 21


async def test_a_customer_s_button_and_the_ad_they_came_by(bakery: Bakery) -> None:
    await bakery.automation("Ad", {"send": {"text": "From the ad"}}, triggers=[{"referral": {"ad_ids": ["77"]}}])
    await bakery.automation("Button", {"send": {"text": "You chose"}}, triggers=[{"button": {"ids": ["rye"]}}])
    reply = {"type": "button_reply", "button_reply": {"id": "rye", "title": "Rye"}}
    pressed = wire.said("wamid.1", bakery.seconds, "interactive", reply)
    came = wire.text("wamid.2", bakery.seconds, "Hi", referral={"source_id": "77", "source_type": "ad"})
    await bakery.hears(wire.inbound(Human(ANA), pressed), wire.inbound(Human("351910000002"), came))
    await bakery.tend()
    assert sorted(await bakery.goes_out()) == ["From the ad", "You chose"]


async def test_a_question_goes_on_while_another_sleeps(bakery: Bakery) -> None:
    await bakery.automation("Later", {"wait": "10m"}, {"send": {"text": "Still there?"}},
                            triggers=[{"keyword": {"words": ["later"]}}])  # fmt: skip
    await bakery.automation("Order", *ASKS)
    await bakery.writes(ANA, "later")
    await bakery.passes(minutes=9)
    await bakery.writes(ANA, "Bread please")
    await bakery.passes(minutes=2)
    assert await bakery.goes_out() == ["Which bread?"]
    await bakery.writes(ANA, "Rye")
    await bakery.passes(minutes=2)
    assert await bakery.goes_out() == ["Which bread?", "One Rye.", "Still there?"]


async def test_a_tag_begins_it_once(bakery: Bakery) -> None:
    ana = await bakery.writes(ANA, "Hi")
    await bakery.automation("Vip", {"send": {"text": "You are special."}}, triggers=[{"tag_added": {"tag": "vip"}}])
    await timing.follow(bakery.app)
    async with bakery.app.db.transaction() as tx:
        await contacts.tag(tx, bakery.number_id, [ana], bakery.clock.now(), add=["vip", "other"])
    await timing.follow(bakery.app)
    await timing.follow(bakery.app)
    assert await bakery.goes_out() == ["You are special."]
    assert (await bakery.log(ana))[-1].startswith("“Vip” began by a tag")


async def test_a_word_about_marketing_begins_it_once(bakery: Bakery) -> None:
    await bakery.automation("Sad", {"send": {"text": "We'll be quiet."}}, triggers=[{"opted_out": {}}])
    await timing.follow(bakery.app)
    bakery.clock.advance(seconds=40)
    await bakery.writes(ANA, "STOP")
    bakery.clock.advance(seconds=20)
    await timing.follow(bakery.app)
    bakery.clock.advance(seconds=60)
    await timing.follow(bakery.app)
    bakery.clock.advance(seconds=60)
    await timing.follow(bakery.app)
    assert (await bakery.goes_out())[1:] == ["We'll be quiet."]


async def test_what_is_refused_ends_it_and_nothing_is_said_or_started_behind_it(bakery: Bakery) -> None:
    await bakery.automation("Sales", {"send": {"text": "Buy!"}}, triggers=[{"api": {}}])
    await bakery.automation("Shown", {"send": {"text": "One"}}, {"send": {"text": "{{vars.nothing}}"}},
                            {"send": {"text": "Three"}}, {"start": {"automation": "Sales"}})  # fmt: skip
    ana = await bakery.writes(ANA, "Hi")
    assert await bakery.goes_out() == ["One"]
    [run] = await bakery.runs(ana)
    assert (run.automation, run.state, run.sent) == ("Shown", "ended", 1)


async def test_what_one_has_just_changed_the_next_one_knows(bakery: Bakery) -> None:
    async with bakery.app.db.transaction() as tx:
        await contacts.add_field(tx, bakery.organisation_id, "City", "text", bakery.clock.now(), key="city")
    town = {"branch": [{"when": [{"field": {"key": "city", "is": "Lisbon"}}], "steps": [{"send": {"text": "Olá"}}]},
                       {"otherwise": True, "steps": [{"send": {"text": "Hello"}}]}]}  # fmt: skip
    await bakery.automation("Town", town, triggers=[{"api": {}}])
    await bakery.automation("First", {"set": {"field": "city", "to": "Lisbon"}}, {"start": {"automation": "Town"}})
    await bakery.writes(ANA, "Hi")
    assert await bakery.goes_out() == ["Olá"]
