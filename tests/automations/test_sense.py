"""What its writer can hardly have meant, and what isn't there."""

from dataclasses import replace
from typing import Any

import pytest

from twinline.automations import schema
from twinline.automations.schema import Known

KNOWN = Known(
    templates={("hello", "en"): "UTILITY"},
    tags={"vip"},
    fields={"city": "text"},
    users={"ann@example.com"},
    automations={"Other": ["X"], "Idle": []},
    connections={"shop": "http", "b": "bot"},
)


def doubts(*steps: Any, triggers: Any = ({"message": {}},), **more: Any) -> list[tuple[str, str]]:
    found = schema.check(schema.read({"name": "X", "triggers": list(triggers), "steps": list(steps), **more}), KNOWN)
    return [(problem.level, problem.says) for problem in found]


def ask(**more: Any) -> dict[str, Any]:
    return {"ask": {"text": "?", **more}}


@pytest.mark.parametrize(
    ("step", "level", "says"),
    [
        (
            {"send": {"type": "template", "template": {"name": "helo", "language": "en"}}},
            "error",
            "Step 1: there is no template “helo”; did you mean “hello”?",
        ),
        (
            {"send": {"type": "template", "template": {"name": "hello", "language": "pt"}}},
            "error",
            "Step 1: there is no template “hello” in “pt”",
        ),
        ({"tag": {"add": ["vips"]}}, "warning", "Step 1: there is no tag “vips”; did you mean “vip”?"),
        ({"set": {"field": "citi", "to": ""}}, "error", "Step 1: there is no field “citi”; did you mean “city”?"),
        ({"assign": {"to": "bob@example.com"}}, "error", "Step 1: there is no user “bob@example.com”"),
        ({"start": {"automation": "Nope"}}, "error", "Step 1: there is no automation “Nope”"),
        ({"send": {"text": "{{contact.fields.town}}"}}, "error", "Step 1: there is no field “town”"),
        ({"send": {"text": "{{vars.x}}"}}, "warning", "Step 1: no step before keeps “x”"),
        (
            {"branch": [{"when": [{"not": {"field": {"key": "town", "empty": True}}}], "steps": []}]},
            "error",
            "Step 1: there is no field “town”",
        ),
        (ask(kind="email"), "warning", "Step 1: whoever doesn't answer as wanted gets no further word."),
        ({"bot": {"connection": "shop", "failed": []}}, "error", "Step 1: there is no connection to a bot “shop”"),
        ({"bot": {"connection": "b"}}, "warning", "Step 1: if it fails, the customer gets no answer."),
        ({"start": {"automation": "Other"}}, "error", "Step 1: it would begin itself again and again"),
        ({"start": {"automation": "X"}}, "error", "Step 1: there is no automation “X”"),
    ],
)
def test_doubts(step: Any, level: str, says: str) -> None:
    found_level, found = doubts(step)[0]
    assert (found_level, found[: len(says)]) == (level, says)


def test_nothing_is_said_against_a_good_one() -> None:
    assert (
        doubts(
            ask(save="topic", choices=["A", "B"], on_invalid=[{"release": {}}]),
            {"branch": [{"when": [{"choice": "a"}], "steps": [{"end": {}}]}]},
            {"call": {"url": "https://x.example/{{vars.topic}}", "save": "o", "connection": "shop", "failed": []}},
            {"send": {"text": "{{vars.o.status}} {{vars.o_status}} {{contact.fields.city}} {{contact.name}}"}},
            {"start": {"automation": "Idle"}},
        )
        == []
    )


def test_a_step_that_no_way_leads_to_is_told_once_for_its_row() -> None:
    ends = {"branch": [{"when": [{"tag": "vip"}], "steps": [{"end": {}}]}, {"otherwise": True, "steps": [{"end": {}}]}]}
    found = doubts(ends, {"note": "a"}, {"note": "b"})
    assert found == [
        ("warning", "Step 2: no way leads here: what stands before it ends the conversation or never goes on")
    ]
    inner = {"branch": [{"when": [{"tag": "vip"}], "steps": [{"end": {}}, {"note": "a"}]}]}
    assert [says[:22] for _, says in doubts(inner, {"note": "b"})] == ["Step 1, case 1, step 2"]


def test_where_nobody_has_just_written_the_first_word_is_a_template() -> None:
    template = {"send": {"type": "template", "template": {"name": "hello", "language": "en"}}}
    tagged = [{"tag_added": {"tag": "vip"}}]
    [(_, says)] = doubts({"note": "x"}, {"send": {"text": "hi"}}, triggers=tagged)
    assert says.startswith("Step 2: the 24-hour window may be closed when it begins so")
    assert doubts(template, {"send": {"text": "hi"}}, triggers=tagged) == []
    assert doubts({"send": {"text": "hi"}}, triggers=tagged, when=[{"window": "open"}]) == []


def test_a_circle_with_a_question_in_it_is_a_menu_and_no_mistake() -> None:
    assert doubts(ask(), {"start": {"automation": "Other"}}) == []


def test_conditions_and_triggers_speak_of_tags_too() -> None:
    found = doubts({"note": "x"}, triggers=[{"tag_added": {"tag": "vipp"}}], when=[{"tag": "vop"}])
    assert [says for _, says in found] == [
        "Condition 1: there is no tag “vop”; did you mean “vip”?",
        "Trigger 1: there is no tag “vipp”; did you mean “vip”?",
    ]


def test_a_tag_that_it_gives_itself_is_there() -> None:
    asks = {"branch": [{"when": [{"tag": "lead"}], "steps": [{"note": "again"}]}]}
    assert doubts({"tag": {"add": ["lead"]}}, asks, when=[{"not": {"tag": "lead"}}]) == []
    assert [says for _, says in doubts(asks)] == ["Step 1: there is no tag “lead”"]


def test_of_a_field_that_isnt_there_it_is_known_what_it_must_be() -> None:
    definition = {
        "name": "X",
        "triggers": [{"message": {}}],
        "when": [
            {"any": [{"field": {"key": "visit", "is": "{{tomorrow}}"}}, {"field": {"key": "age", "above": "17"}}]}
        ],
        "steps": [
            ask(kind="date", save="day", on_invalid=[]),
            {"set": {"field": "birthday", "to": "{{vars.day}}"}},
            {"set": {"field": "wish", "to": "{{message.text}}"}},
            {"send": {"text": "{{contact.fields.wish}}"}},
        ],
    }
    found = schema.check(schema.read(definition), KNOWN)
    assert [problem.lacks for problem in found if problem.lacks] == [
        schema.Lack("field", "birthday", "date"),
        schema.Lack("field", "wish", "text"),
        schema.Lack("field", "wish", "text"),
        schema.Lack("field", "visit", "date"),
        schema.Lack("field", "age", "number"),
    ]


def test_hours_that_nobody_has_set_are_told_where_they_are_spoken_of() -> None:
    away = {
        "name": "Away",
        "triggers": [{"outside_hours": {}}],
        "when": [{"any": [{"hours": "closed"}, {"tag": "vip"}]}],
        "steps": [{"branch": [{"when": [{"hours": "open"}], "steps": [{"end": {}}]}]}, {"send": {"text": "Closed"}}],
    }

    def told(**more: Any) -> list[tuple[Any, str]]:
        known = replace(KNOWN, always_open={7: "Padaria"})
        found = schema.check(schema.read({**away, **more}), known)
        assert all(problem.lacks == schema.Lack("hours", "7") for problem in found)
        return [(problem.path, problem.says) for problem in found]

    assert told() == [
        (
            ("triggers", 0),
            "Trigger 1: Padaria has no business hours yet, so it counts as always open, and no message comes outside "
            "of them",
        ),
        (("when", 0), "Condition 1: Padaria has no business hours yet, so it counts as always open"),
        (
            ("steps", 0, "branch", 0),
            "Step 1, case 1: Padaria has no business hours yet, so it counts as always open",
        ),
    ]
    assert told(settings={"numbers": [8]}) == [], "it isn't for that number"
