"""An automation tried on a customer who isn't there."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from twinline.automations import schema
from twinline.automations.simulate import Did, Event, HandedBack, Happened, Passed, Replied, Said, Started, talk
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import Program
from twinline.rules.automations.run import Came
from twinline.rules.automations.triggers import Happening

NOON = datetime(2026, 11, 23, 12, tzinfo=ZoneInfo("Europe/Lisbon"))
ANN = Facts(NOON, {"name": "Ann"})
MENU = {"ask": {"text": "Sales or help?", "choices": ["Sales", "Help"], "save": "topic", "timeout": "3h"}}
HOUR = timedelta(hours=1)


class Panel:
    """The editor's test panel: what happens is handed in, what was done comes back."""

    def __init__(self, *steps: Any, hours: Hours | None = None, **more: Any) -> None:
        definition = {"name": "X", "triggers": [{"message": {}}], "steps": list(steps), **more}
        self.program = Program.of(schema.read(definition))
        self.hours = hours
        self.state: dict[str, Any] | None = None

    def __call__(self, event: Event | str) -> list[Did]:
        happened = Said(Turn((event,))) if isinstance(event, str) else event
        self.state, did = talk(self.program, self.state, happened, ANN, hours=self.hours)
        return list(did)

    def says(self, event: Event | str) -> list[str]:
        return [one.message["text"] for one in self(event) if one.message is not None]

    def why(self, event: Event | str) -> str:
        return " ".join(one.says for one in self(event) if one.kind in ("silent", "yielded", "ended", "outside"))


def test_a_conversation() -> None:
    panel = Panel({"send": {"text": "Hi {{contact.name}}"}}, MENU, {"send": {"text": "{{vars.topic}}, then"}})
    assert panel.says("hello") == ["Hi Ann", "Sales or help?"]
    assert panel.says("help!") == ["help, then"]
    assert panel.says("hello again") == ["Hi Ann", "Sales or help?"]


def test_while_the_phone_has_the_floor_it_is_silent_and_says_until_when() -> None:
    panel = Panel(MENU)
    panel("hello")
    assert panel.why(Replied("phone")) == "It falls silent: the phone has the floor until 14:00."
    assert panel.why("thanks") == "It is silent: the phone has the floor until 14:00."


def test_what_was_asked_while_a_person_spoke_is_answered_when_the_chat_comes_back() -> None:
    panel = Panel(MENU, {"send": {"text": "{{vars.topic}}, then"}})
    panel("hello")
    panel(Replied())
    panel("sales")
    assert panel.says(HandedBack()) == ["sales, then"]


def test_or_when_the_persons_time_is_over() -> None:
    panel = Panel({"send": {"text": "Hi"}})
    panel(Replied())
    panel("hello?")
    assert panel.says(Passed(HOUR)) == []
    assert panel.says(Passed(HOUR)) == ["Hi"]


def test_but_not_if_the_person_answered_it() -> None:
    panel = Panel({"send": {"text": "Hi"}})
    panel(Replied())
    panel("hello?")
    panel(Replied())
    assert panel.says(Passed(3 * HOUR)) == []


def test_nor_if_it_is_too_old_or_shall_be_left_to_people() -> None:
    for settings in ({"answer_within": "30m"}, {"answer_left_open": False}):
        panel = Panel({"send": {"text": "Hi"}}, settings=settings)
        panel(Replied())
        panel("hello?")
        assert panel.why(Passed(3 * HOUR)) == "The person's time is over. What was asked is left to people."


def test_what_sleeps_lets_others_talk_and_goes_on_when_its_time_has_come() -> None:
    panel = Panel({"send": {"text": "Hi"}}, {"wait": "1h"}, {"send": {"text": "Was it good?"}})
    assert panel.says("hello") == ["Hi"]
    assert panel.says("more") == ["Hi"]
    assert panel.says(Passed(HOUR)) == ["Was it good?", "Was it good?"]


def test_what_sleeps_ends_where_a_person_speaks_when_its_time_comes() -> None:
    panel = Panel({"wait": "1h"}, {"send": {"text": "Was it good?"}})
    panel("hello")
    panel(Replied())
    assert "Its time came." in panel.why(Passed(HOUR))
    assert panel.says(Passed(24 * HOUR)) == []


def test_what_a_call_answers_is_played_by_whoever_tries_it() -> None:
    call = {
        "call": {"url": "https://x.example/", "save": "order", "failed": [{"send": {"text": "Sorry"}}, {"end": {}}]}
    }
    panel = Panel(call, {"send": {"text": "It is {{vars.order.status}}"}})
    assert panel("hello")[-1].kind == "outside"
    assert panel.says(Came(True, {"status": 200, "body": {"status": "sent"}})) == ["It is sent"]
    panel("hello")
    assert panel.says(Passed(HOUR)) == ["Sorry"]
    assert panel(Came(True, {})) == []


def test_time_stops_where_somebody_outside_is_asked() -> None:
    panel = Panel({"wait": "10m"}, {"call": {"url": "https://x.example/"}}, {"send": {"text": "on"}})
    panel("hello")
    panel(Passed(HOUR))
    assert panel.state is not None
    assert datetime.fromisoformat(panel.state["now"]) == NOON + timedelta(minutes=10)
    assert panel.says(Came(True, {})) == ["on"]


def test_fields_tags_and_the_assignment_stay_from_one_conversation_to_the_next() -> None:
    first = [
        {"set": {"field": "city", "to": "{{message.text}}"}},
        {"tag": {"add": ["vip"]}},
        {"assign": {"to": "a@b.c"}},
    ]
    known = {"when": [{"tag": "vip"}, {"assigned": True}], "steps": [{"send": {"text": "{{contact.fields.city}}"}}]}
    panel = Panel({"branch": [known, {"otherwise": True, "steps": first}]})
    assert panel.says("Faro") == []
    assert panel.says("hello") == ["Faro"]


def test_it_isnt_there_again_before_its_time() -> None:
    panel = Panel({"send": {"text": "Hi"}}, settings={"once_per": "2h"})
    panel("a")
    assert panel.why("b") == "It has been here less than 2 hours ago."
    panel(Passed(2 * HOUR))
    assert panel.says("c") == ["Hi"]


def test_who_isnt_answered_hears_from_it_after_a_while() -> None:
    panel = Panel({"send": {"text": "Sorry for the wait"}}, triggers=[{"no_answer": {"after": "15m"}}])
    assert panel.why("hello") == "It isn't started by a message."
    assert panel.says(Passed(HOUR)) == ["Sorry for the wait"]
    panel("hello")
    panel(Replied())
    assert panel.says(Passed(HOUR)) == []


def test_schedules_are_due_as_time_passes() -> None:
    panel = Panel(
        {"send": {"text": "Good morning"}},
        triggers=[{"schedule": {"at": "09:00"}}],
        when=[{"not": {"tag": "away"}}],
    )
    assert panel.says(Passed(48 * HOUR)) == ["Good morning"] * 2


def test_hours_and_the_window_go_with_the_time() -> None:
    hours = Hours.of({"week": {"mon": [["09:00", "18:00"]]}})
    panel = Panel(
        {"branch": [{"when": [{"hours": "open"}], "steps": [{"send": {"text": "open"}}]}]},
        {"wait": "20h"},
        {"branch": [{"when": [{"window": "open"}], "steps": [{"send": {"text": "still"}}]}]},
        hours=hours,
        settings={"limits": {"total": "3d"}},
    )
    assert panel.says("a") == ["open"]
    assert panel.says(Passed(20 * HOUR)) == ["still"]
    assert panel.says("b") == []


def test_a_menu_that_begins_itself_without_end_is_stopped() -> None:
    panel = Panel({"send": {"text": "again"}}, {"start": {"automation": "X"}})
    did = panel("a")
    assert [one.message["text"] for one in did if one.message] == ["again"] * 4
    assert did[-1].says == "It began itself again and again, and was stopped."


def test_handed_to_a_person_it_waits_until_it_is_given_back() -> None:
    panel = Panel({"release": {"note": "help {{contact.name}}"}})
    assert [one.says for one in panel("a") if one.kind == "did"] == ["Handed to a person: help Ann"]
    assert panel.why("b") == "It is silent: a person has the floor until the chat is handed back."
    assert panel.why(Happened(Happening("api"))) == panel.why("c")


def test_started_by_hand_it_begins_whatever_its_triggers_say() -> None:
    panel = Panel({"send": {"text": "Hi"}}, MENU, triggers=[{"keyword": {"words": ["price"]}}])
    assert panel.says("hello") == []
    assert panel.says(Started()) == ["Hi", "Sales or help?"]
    assert "What was under way ends." in panel.why(Started())
    panel(Replied("phone"))
    assert panel.says(Started()) == [], "a person has the floor"
