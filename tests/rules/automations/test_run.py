"""What an automation does next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.program import Program
from twinline.rules.automations.run import (
    Advance,
    Answered,
    Assign,
    Began,
    Came,
    Given,
    Note,
    Release,
    Run,
    Send,
    SetField,
    Start,
    Tag,
    Woke,
    advance,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANN = Facts(NOW, {"name": "Ann", "fields": {"city": "Porto"}, "tags": ["lead"]}, {"name": "Bakery"})
MENU = {
    "ask": {
        "text": "Which?",
        "choices": [{"id": "sales", "title": "Sales"}, {"id": "help", "title": "Help"}],
        "save": "topic",
        "timeout": "30m",
    }
}


def program(*steps: Any, **more: Any) -> Program:
    return Program.of({"name": "P", "triggers": [{"message": {}}], "steps": list(steps), **more})


def begin(made: Program, said: str = "hi", facts: Facts = ANN) -> Advance:
    return advance(made, Run(), Began(turn(said)), facts)


def turn(text: str, choice: str | None = None) -> Turn:
    return Turn((text,), ("text",), choice, wamids=("wamid.1",))


def go_on(made: Program, before: Advance, given: Given, after: timedelta = timedelta()) -> Advance:
    return advance(made, before.run, given, replace(ANN, now=NOW + after))


def sent(done: Advance) -> list[str]:
    return [effect.message["text"] for effect in done.effects if isinstance(effect, Send)]


def test_it_says_one_thing_after_the_other_and_comes_to_its_end() -> None:
    done = begin(program({"send": {"text": "Hi {{contact.name}}"}}, {"send": {"text": "from {{number.name}}"}}))
    assert sent(done) == ["Hi Ann", "from Bakery"]
    assert (done.waits, done.ended) == (None, "It came to its end.")


def test_a_question_is_asked_with_buttons_and_the_answer_is_kept() -> None:
    made = program(MENU, {"send": {"text": "{{vars.topic}} it is"}})
    asked = begin(made)
    [question] = [effect.message for effect in asked.effects if isinstance(effect, Send)]
    assert question["type"] == "buttons"
    assert asked.waits is not None
    assert (asked.waits.kind, asked.waits.until) == ("answer", NOW + timedelta(minutes=30))
    assert sent(go_on(made, asked, Answered(turn("Sales", "sales")))) == ["sales it is"]


def test_a_choice_that_is_typed_counts_like_the_button_also_in_a_branch() -> None:
    fork = {"branch": [{"when": [{"choice": "help"}], "steps": [{"send": {"text": "Help is near"}}]}]}
    made = program(MENU, fork)
    assert sent(go_on(made, begin(made), Answered(turn("help!")))) == ["Help is near"]


def test_what_doesnt_fit_is_asked_once_more_and_then_it_goes_where_the_definition_says() -> None:
    ask = {**MENU["ask"], "again": "One of the two, please", "on_invalid": [{"release": {"note": "{{message.text}}"}}]}
    made = program({"ask": ask})
    once = go_on(made, begin(made), Answered(turn("no idea")))
    assert sent(once) == ["One of the two, please"]
    twice = go_on(made, once, Answered(turn("still none")))
    assert twice.effects == (Release("still none"),)
    assert twice.ended == "It handed the chat to a person."


def test_without_steps_for_what_went_wrong_it_ends_there() -> None:
    made = program(MENU, {"send": {"text": "never"}})
    late = go_on(made, begin(made), Woke(), timedelta(minutes=30))
    assert (sent(late), late.ended) == ([], "Step 1: no answer in time.")


def test_behind_steps_for_what_went_wrong_it_goes_on() -> None:
    made = program(
        {"ask": {**MENU["ask"], "on_timeout": [{"send": {"text": "Still there?"}}]}}, {"send": {"text": "on"}}
    )
    assert sent(go_on(made, begin(made), Woke(), timedelta(minutes=30))) == ["Still there?", "on"]


def test_woken_too_early_it_sleeps_on_and_nothing_has_changed() -> None:
    made = program({"wait": "10m"}, {"send": {"text": "now"}})
    asleep = begin(made)
    early = go_on(made, asleep, Woke(), timedelta(minutes=9))
    assert (early.heard, early.run, early.effects) == (False, asleep.run, ())
    assert sent(go_on(made, asleep, Woke(), timedelta(minutes=10))) == ["now"]


def test_what_a_customer_says_while_it_waits_for_a_time_isnt_heard() -> None:
    made = program({"wait": "10m"}, {"send": {"text": "now"}})
    assert not go_on(made, begin(made), Answered(turn("hello?"))).heard


def test_a_field_that_was_just_set_decides_the_branch_behind_it() -> None:
    done = begin(
        program(
            {"set": {"field": "city", "to": "{{message.text}}"}},
            {"tag": {"add": ["vip"], "remove": ["lead"]}},
            {"assign": {"to": "ann@example.com"}},
            {
                "branch": [
                    {"when": [{"field": {"key": "city", "is": "lisboa"}}, {"tag": "lead"}], "steps": [{"end": {}}]},
                    {
                        "when": [{"field": {"key": "city", "is": "lisboa"}}, {"tag": "vip"}, {"assigned": True}],
                        "steps": [{"note": "{{contact.fields.city}}"}],
                    },
                    {"otherwise": True, "steps": [{"send": {"text": "wrong"}}]},
                ]
            },
        ),
        "Lisboa",
    )
    assert done.effects == (
        SetField("city", "Lisboa"),
        Tag(("vip",), ("lead",)),
        Assign("ann@example.com"),
        Note("Lisboa"),
    )
    assert done.trace[3] == "Step 4: case 2 holds."


def test_what_a_call_answers_can_be_said_and_its_failure_too() -> None:
    call = {"method": "GET", "url": "https://x.example/{{vars.a}}", "save": "order"}
    made = program(
        {"call": {**call, "failed": [{"send": {"text": "Sorry"}}, {"end": {}}]}},
        {"send": {"text": "It is {{vars.order.status}} ({{vars.order_status}})"}},
    )
    asked = begin(made)
    assert asked.waits is not None
    assert asked.waits.request["step"]["url"] == "https://x.example/{{vars.a}}"  # filled in by who asks
    assert asked.waits.request["scope"]["contact"]["name"] == "Ann"
    assert sent(go_on(made, asked, Came(True, {"status": 200, "body": {"status": "sent"}}))) == ["It is sent (200)"]
    assert sent(go_on(made, asked, Came(False, {"error": "no"}))) == ["Sorry"]
    assert sent(go_on(made, asked, Woke(), timedelta(minutes=5))) == ["Sorry"]  # nobody ever answered


def test_a_bot_speaks_turn_by_turn_until_it_is_done() -> None:
    made = program({"bot": {"connection": "b"}}, {"send": {"text": "after"}})
    first = begin(made)
    assert first.waits is not None
    assert first.waits.kind == "bot"
    wants: dict[str, Any] = {
        "tags": {"add": ["vip"], "remove": []}, "fields": {"city": "Faro"}, "vars": {"x": 1}, "assign": "nobody",
        "note": "n", "messages": [{"text": "{{contact.name}}?"}],
    }  # fmt: skip
    said = go_on(made, first, Came(True, wants))
    assert said.effects == (
        Tag(("vip",), ()),
        SetField("city", "Faro"),
        Assign(None),
        Note("n"),
        Send({"text": "{{contact.name}}?"}, "0"),  # others' words aren't filled in
    )
    assert said.waits is not None
    assert said.waits.kind == "answer"
    again = go_on(made, said, Answered(turn("more")))
    assert again.waits is not None
    assert (again.waits.kind, again.waits.request["scope"]["message"]["text"]) == ("bot", "more")
    assert sent(go_on(made, again, Came(True, {"end": True}))) == ["after"]


def test_while_a_bot_thinks_a_further_word_asks_it_anew() -> None:
    made = program({"bot": {"connection": "b"}})
    first = begin(made)
    second = go_on(made, first, Answered(turn("wait, also this")))
    assert second.waits is not None
    assert second.waits.kind == "bot"
    assert second.run.steps > first.run.steps  # so that what the first question brings is known to be void


def test_an_agent_hands_over_with_a_note() -> None:
    made = program({"agent": {"connection": "a", "instructions": "x"}})
    assert go_on(made, begin(made), Came(True, {"release": "angry"})).effects == (Release("angry"),)


def test_a_bot_that_takes_all_day_is_over_when_its_time_is() -> None:
    made = program({"bot": {"connection": "b", "for": "30m"}}, {"send": {"text": "after"}})
    said = go_on(made, begin(made), Came(True, {"messages": [{"text": "hm"}]}))
    assert said.waits is not None
    assert said.waits.until == NOW + timedelta(minutes=30)
    assert sent(go_on(made, said, Woke(), timedelta(minutes=30))) == ["after"]


def test_another_automation_goes_on_where_this_one_ends() -> None:
    done = begin(program({"start": {"automation": "Other"}}, {"send": {"text": "never"}}))
    assert (done.effects, done.ended) == ((Start("Other"),), "It goes on with “Other”.")


def test_a_run_has_an_end_in_steps_and_in_time() -> None:
    many = program(*[{"send": {"text": "x"}}] * 9, settings={"limits": {"steps": 5}})
    assert len(sent(begin(many))) == 5
    short = program(MENU, settings={"limits": {"total": "10m"}})
    asked = begin(short)
    assert asked.waits is not None
    assert asked.waits.until == NOW + timedelta(minutes=10)
    late = go_on(short, asked, Answered(turn("sales")), timedelta(minutes=10))
    assert late.ended == "It went on for 10 minutes, which is its limit."


def test_a_run_that_is_over_does_nothing_more() -> None:
    made = program({"send": {"text": "x"}})
    done = go_on(made, begin(made), Answered(turn("y")))
    assert (done.effects, done.ended) == ((), "It didn't wait for anything.")


def test_nobodys_words_are_taken_for_placeholders() -> None:
    done = begin(program({"send": {"text": "You said: {{message.text}}"}}), "{{contact.fields.city}}")
    assert sent(done) == ["You said: {{contact.fields.city}}"]


@pytest.mark.parametrize("kind", ["reaction", "quote"])
def test_reactions_and_quotes_are_about_what_was_said_last(kind: str) -> None:
    message = {"type": "reaction", "emoji": "👍"} if kind == "reaction" else {"text": "this", "quote": True}
    [effect] = begin(program({"send": message})).effects
    assert isinstance(effect, Send)
    assert effect.message["quoted"] == "wamid.1"
    assert "quote" not in effect.message


def test_waiting_is_counted_in_time_that_passes_also_when_clocks_are_put_back() -> None:
    from zoneinfo import ZoneInfo

    lisbon = datetime(2026, 10, 25, 0, 30, tzinfo=ZoneInfo("Europe/Lisbon"))
    done = begin(program({"wait": "2h"}), facts=replace(ANN, now=lisbon))
    assert done.waits is not None
    assert done.waits.until - lisbon.astimezone(UTC) == timedelta(hours=2)
