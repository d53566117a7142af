"""An automation answers where nobody speaks, and falls silent where a person does."""

from datetime import timedelta
from typing import Any

import pytest
from tests.automations.conftest import ANA, BEA, Bakery
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.automations import queries, service, tending
from twinline.contacts import service as contacts
from twinline.rules import floor
from twinline.sending import queries as sending

pytestmark = pytest.mark.anyio

GREETS = {"send": {"text": "Hello! We open at seven."}}
ASKS = (
    {
        "ask": {
            "text": "Which bread?",
            "save": "bread",
            "timeout": "30m",
            "on_timeout": [{"send": {"text": "Write again when you know."}}, {"end": {}}],
        }
    },
    {"send": {"text": "One {{vars.bread}}."}},
)


async def test_a_greeting_answers_a_customer(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    ana = await bakery.writes(ANA, "Are you open?")
    assert await bakery.goes_out() == ["Hello! We open at seven."]
    [run] = await bakery.runs(ana)
    assert (run.state, run.why, run.sent) == ("ended", "It came to its end.", 1)
    assert await bakery.log(ana) == ["“Greeting” began by a message and wrote 1 message. It ended: it came to its end."]


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


async def test_the_phone_drops_an_answer_that_waits_in_the_lane(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    ana = await bakery.writes(ANA, "Are you open?")
    await bakery.types(ANA, "Yes, come in!")
    assert await bakery.goes_out() == []
    [row] = await bakery.dicts("SELECT state, error_text FROM outbox WHERE contact_id = %s", (ana,))
    assert row == {"state": "cancelled", "error_text": "The owner is answering from the phone."}


async def test_the_log_says_once_of_each_message_why_the_lane_dropped_it(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS, {"send": {"text": "Come in!"}})
    anna = await bakery.value(
        "INSERT INTO users (organisation_id, email, name, role, password_hash, created_at) "
        "VALUES (%s, 'anna@example.com', 'Anna', 'agent', '', now()) RETURNING id",
        (bakery.organisation_id,),
    )
    ana = await bakery.writes(ANA, "Are you open?")
    bea = await bakery.writes(BEA, "Are you open?")
    await bakery.hears(bakery.typing(ANA, "Yes!"))
    await bakery.says(bea, "Since seven.", author_id=anna)
    await bakery.goes_out()
    await bakery.goes_out()
    dropped = "A message of “Greeting” was dropped before it left: the phone spoke meanwhile."
    assert (await bakery.log(ana))[1:] == [dropped, dropped]
    dropped = "A message of “Greeting” was dropped before it left: Anna answered meanwhile."
    assert (await bakery.log(bea))[1:] == [dropped, dropped]
    async with bakery.app.db.transaction() as tx:
        [line, *_] = await queries.log(tx, bakery.number_id, ana)
    assert (line.automation, line.run_id) == ("Greeting", (await bakery.runs(ana))[0].id)


async def test_the_log_says_it_also_where_the_message_was_all_but_on_its_way(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is marked; somebody decides something in the chat just before the lane asks for the last time."""
    await bakery.automation("Greeting", GREETS)
    ana = await bakery.writes(ANA, "Are you open?")
    look = bakery.app.db.value

    async def last_look(sql: str, params: Any = ()) -> Any:
        if sql == sending.EPOCH:
            async with bakery.app.db.transaction() as tx:
                await service.take_floor(bakery.app, tx, bakery.number_id, ana, None, bakery.clock.now())
                await service.release_floor(bakery.app, tx, bakery.number_id, ana, None, bakery.clock.now())
        return await look(sql, params)

    monkeypatch.setattr(bakery.app.db, "value", last_look)
    assert await bakery.goes_out() == []
    assert await bakery.value("SELECT attempts FROM outbox WHERE contact_id = %s", (ana,)) == 1, "it was marked"
    why = "a person stopped it meanwhile, or handed the chat back"
    assert (await bakery.log(ana))[-1] == f"A message of “Greeting” was dropped before it left: {why}."


async def test_a_reply_in_the_inbox_that_still_waits_is_an_answer(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.hears(bakery.writing(ANA, "Are you open?"))
    [contact] = await bakery.dicts("SELECT id FROM contacts")
    await bakery.says(contact["id"], "Yes, come in!")
    await bakery.tend()
    assert await bakery.goes_out() == ["Yes, come in!"]
    assert await bakery.log(contact["id"]) == ["Left alone: a person here answered."]


async def test_several_quick_messages_are_one_turn(bakery: Bakery) -> None:
    await bakery.automation(
        "Hours",
        {"send": {"text": "You said: {{message.text}}"}},
        triggers=[{"keyword": {"words": ["open"]}}],
        settings={"quiet_for": "3s"},
    )
    for text in ("Hi", "are you", "open?"):
        await bakery.writes(ANA, text)
        await bakery.passes(seconds=1)
    assert await bakery.goes_out() == []
    await bakery.passes(seconds=3)
    assert await bakery.goes_out() == ["You said: Hi\nare you\nopen?"]


async def test_a_turn_reads_as_the_customer_left_it(bakery: Bakery) -> None:
    await bakery.automation("Echo", {"send": {"text": "{{message.text}}"}})
    await bakery.hears(
        bakery.writing(ANA, "Brad", wamid="wamid.A"),
        bakery.writing(ANA, "never mind", wamid="wamid.B"),
        wire.inbound(Human(ANA), wire.edit_of("wamid.E", bakery.seconds, "wamid.A", "text", {"body": "Bread"})),
        wire.inbound(Human(ANA), wire.revoke_of("wamid.R", bakery.seconds, "wamid.B")),
    )
    await bakery.tend()
    assert await bakery.goes_out() == ["Bread"]


async def test_what_is_taken_back_is_not_answered(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS)
    taken_back = wire.inbound(Human(ANA), wire.revoke_of("wamid.R", bakery.seconds, "wamid.A"))
    await bakery.hears(bakery.writing(ANA, "Oops", wamid="wamid.A"), taken_back)
    await bakery.tend()
    assert await bakery.goes_out() == []
    assert await bakery.value("SELECT count(*) FROM turns") == 0


async def test_nothing_else_begins_a_turn(bakery: Bakery) -> None:
    """No reaction, no import, nothing typed on the phone, no word of its own."""
    await bakery.automation("Greeting", GREETS)
    now, ana = bakery.seconds, Human(ANA)
    reaction = wire.said("wamid.1", now, "reaction", {"message_id": "wamid.0", "emoji": "🧡"})
    old = wire.theirs(ana, wire.text("wamid.2", now - 60, "Are you open?"))
    await bakery.hears(wire.inbound(ana, reaction), wire.chunk(0, 1, 100, wire.thread(ana, old)))
    await bakery.types(ANA, "Hello Ana")
    assert await bakery.value("SELECT count(*) FROM turns") == 0
    assert await bakery.goes_out() == []


async def test_a_chat_that_the_business_began_is_no_first_contact(bakery: Bakery) -> None:
    await bakery.automation("Welcome", GREETS, triggers=[{"first_contact": {}}])
    await bakery.types(ANA, "Your order is ready.")
    bakery.clock.advance(hours=3)
    ana = await bakery.writes(ANA, "Thanks!")
    bea = await bakery.writes(BEA, "Hello?")
    await bakery.goes_out()
    assert [message["to"] for message in bakery.meta.messages] == [BEA]
    assert (len(await bakery.runs(ana)), len(await bakery.runs(bea))) == (0, 1)


async def test_a_question_waits_for_its_answer_and_the_phone_ends_the_waiting(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    assert await bakery.goes_out() == ["Which bread?"]
    bakery.clock.advance(seconds=5)
    await bakery.types(ANA, "Hello Ana, it's me")
    [run] = await bakery.runs(ana)
    assert (run.state, run.why) == ("yielded", "A person spoke.")
    bakery.clock.advance(seconds=5)
    await bakery.writes(ANA, "Rye")
    assert await bakery.goes_out() == ["Which bread?"]
    assert (await bakery.log(ana))[-2:] == [
        "A person spoke, so it fell silent.",
        "Silent: the phone has the floor until 14:00.",
    ]


async def test_the_answer_goes_on_with_the_conversation(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    ana = await bakery.writes(ANA, "Hi")
    bakery.clock.advance(seconds=5)
    await bakery.writes(ANA, "Rye")
    assert await bakery.goes_out() == ["Which bread?", "One Rye."]
    assert len(await bakery.runs(ana)) == 1


async def test_a_question_without_an_answer_takes_its_other_way(bakery: Bakery) -> None:
    await bakery.automation("Order", *ASKS)
    await bakery.writes(ANA, "Hi")
    assert (await bakery.tend()) is not None
    await bakery.passes(minutes=31)
    assert await bakery.goes_out() == ["Which bread?", "Write again when you know."]


@pytest.mark.parametrize("how", ["answered", "another is started"])
async def test_a_conversation_that_is_over_holds_nobody_up(bakery: Bakery, how: str) -> None:
    await bakery.automation("Order", {"ask": {"text": "Which bread?", "timeout": "30m"}}, {"send": {"text": "Fine."}})
    bye = await bakery.automation("Bye", {"send": {"text": "Bye."}}, triggers=[{"api": {}}])
    ana, began = await bakery.writes(ANA, "Hi"), bakery.clock.now()
    assert (await bakery.floor(ana))["floor_until"] > began + timedelta(minutes=29)
    if how == "answered":
        await bakery.writes(ANA, "Rye")
    else:
        async with bakery.app.db.transaction() as tx:
            now = bakery.clock.now()
            await service.start(bakery.app, tx, bakery.number_id, ana, bye, now, by="a test")
    held = await bakery.floor(ana)
    assert held["floor_holder"] == "automation", "for its last words"
    assert held["floor_until"] <= bakery.clock.now() + floor.LAST_WORDS
    assert await bakery.goes_out() == ["Which bread?", "Fine." if how == "answered" else "Bye."]


async def test_a_running_conversation_ends_on_the_version_it_began_with(bakery: Bakery) -> None:
    made = await bakery.automation("Order", *ASKS)
    await bakery.writes(ANA, "Hi")
    async with bakery.app.db.transaction() as tx:
        newer = {"name": "Order", "triggers": [{"message": {}}], "steps": [{"send": {"text": "New!"}}]}
        await service.save(tx, bakery.organisation_id, made, newer, bakery.clock.now())
        assert await service.publish(tx, bakery.organisation_id, made, None, bakery.clock.now()) == 2
        await tx.execute("UPDATE automations SET quiet_for = '0'")
    bakery.clock.advance(seconds=5)
    await bakery.writes(ANA, "Rye")
    await bakery.writes(BEA, "Hi")
    assert sorted(await bakery.goes_out()) == ["New!", "One Rye.", "Which bread?"]


async def test_what_it_does_beside_talking(bakery: Bakery) -> None:
    async with bakery.app.db.transaction() as tx:
        await contacts.add_field(tx, bakery.organisation_id, "City", "text", bakery.clock.now(), key="city")
    await bakery.automation(
        "Lead",
        {"set": {"field": "city", "to": "{{message.text}}"}},
        {"tag": {"add": ["lead"]}},
        {"note": "From {{contact.fields.city}}"},
        {"branch": [{"when": [{"tag": "lead"}], "steps": [{"send": {"text": "Noted."}}]}]},
    )
    ana = await bakery.writes(ANA, "Lisbon")
    [row] = await bakery.dicts("SELECT fields, tags FROM contacts WHERE id = %s", (ana,))
    assert row == {"fields": {"city": "Lisbon"}, "tags": ["lead"]}
    assert await bakery.goes_out() == ["Noted."]
    assert "From Lisbon" in await bakery.log(ana)


async def test_a_chat_that_cant_be_assigned_is_said_to_be_left_as_it_was(bakery: Bakery) -> None:
    await bakery.automation("Lead", {"assign": {"to": "gone@example.com"}}, {"send": {"text": "Noted."}})
    ana = await bakery.writes(ANA, "Hi")
    assert await bakery.goes_out() == ["Noted."]
    assert "There is no user “gone@example.com” here, so the chat is assigned as it was." in await bakery.log(ana)


async def test_one_starts_another(bakery: Bakery) -> None:
    await bakery.automation("Menu", {"start": {"automation": "Order"}})
    await bakery.automation("Order", *ASKS, triggers=[{"api": {}}])
    ana = await bakery.writes(ANA, "Hi")
    assert await bakery.goes_out() == ["Which bread?"]
    assert [(run.automation, run.state) for run in await bakery.runs(ana)] == [("Order", "waiting"), ("Menu", "ended")]


async def test_what_sleeps_wakes_and_says_nothing_over_a_person(bakery: Bakery) -> None:
    await bakery.automation("Later", {"wait": "10m"}, {"send": {"text": "Still there?"}})
    ana, bea = await bakery.writes(ANA, "Hi"), await bakery.writes(BEA, "Hi")
    await bakery.passes(minutes=5)
    await bakery.types(BEA, "Hello Bea")
    await bakery.passes(minutes=6)
    await bakery.goes_out()
    assert [message["to"] for message in bakery.meta.messages] == [ANA]
    [[slept], [woke]] = await bakery.runs(bea), await bakery.runs(ana)
    assert (slept.why, woke.sent) == ("Its time came while the phone has the floor.", 1)


async def test_a_chat_handed_to_people_stays_theirs(bakery: Bakery) -> None:
    await bakery.automation("Help", {"send": {"text": "One moment."}}, {"release": {"to": "person", "note": "Angry"}})
    ana = await bakery.writes(ANA, "Help!")
    bakery.clock.advance(minutes=5)
    await bakery.writes(ANA, "Hello??")
    assert await bakery.goes_out() == ["One moment."]
    log = await bakery.log(ana)
    assert "For the team: Angry" in log
    assert log[-1] == "Silent: the chat was handed to a person, who hasn't answered yet."


async def test_two_contacts_that_are_one_person_have_one_turn(bakery: Bakery) -> None:
    await bakery.automation("Greeting", GREETS, settings={"quiet_for": "3s"})
    now = bakery.seconds
    await bakery.hears(wire.inbound(Human(ANA), wire.text("wamid.1", now, "I am")))
    await bakery.hears(wire.inbound(Human(None, "PT.1"), wire.text("wamid.2", now, "the same")))
    assert await bakery.value("SELECT count(*) FROM turns") == 2
    await bakery.hears(wire.inbound(Human(ANA, "PT.1"), wire.text("wamid.3", now, "person")))
    assert await bakery.value("SELECT array_length(wamids, 1) FROM turns") == 3
    await bakery.passes(seconds=4)
    assert await bakery.goes_out() == ["Hello! We open at seven."]


async def test_a_step_that_is_repeated_after_a_crash_says_nothing_twice(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bakery.automation("Greeting", GREETS)
    await bakery.hears(bakery.writing(ANA, "Hi"))

    async def dies(*_: object) -> None:
        raise RuntimeError("the process dies")

    monkeypatch.setattr(tending, "log", dies)  # the last thing that is written, behind the message
    with pytest.raises(RuntimeError, match="dies"):
        await bakery.tend()
    monkeypatch.undo()
    await bakery.tend()
    await bakery.tend()
    assert await bakery.goes_out() == ["Hello! We open at seven."]
