"""Automations as people write them, and what they are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from twinline.automations import problems, schema, shapes
from twinline.automations.problems import path_of
from twinline.automations.schema import Unfit
from twinline.rules.automations import conditions, run, triggers
from twinline.rules.automations.program import Program

WRITTEN = """\
name: Prices
triggers:
  - message:
  - keyword: {words: [price, 10:00, no, on, 2026-12-24]}
steps:
  - ask:
      text: "Hi {{contact.name|there}}.\\nWhich?"
      choices: [Sales, Preços]
      timeout: 30 M
  - branch:
      - when: [{choice: precos}]
        steps: [{send: {text: '{{vars.a}}'}}]
      - otherwise: true
  - send: {type: list, text: Choose, rows: [A, B]}
  - end:
"""


def told(data: Any) -> list[tuple[str, str]]:
    with pytest.raises(Unfit) as unfit:
        schema.read(data)
    return [(".".join(map(str, problem.path)), problem.says) for problem in unfit.value.problems]


def with_steps(*steps: Any) -> dict[str, Any]:
    return {"name": "X", "triggers": [{"api": {}}], "steps": list(steps)}


def test_what_is_kept_is_the_canonical_form() -> None:
    assert schema.from_yaml(WRITTEN) == {
        "name": "Prices",
        "triggers": [{"message": {}}, {"keyword": {"words": ["price", "10:00", "no", "on", "2026-12-24"]}}],
        "steps": [
            {
                "ask": {
                    "text": "Hi {{contact.name|there}}.\nWhich?",
                    "choices": [{"id": "sales", "title": "Sales"}, {"id": "precos", "title": "Preços"}],
                    "timeout": "30m",
                }
            },
            {
                "branch": [
                    {"when": [{"choice": "precos"}], "steps": [{"send": {"text": "{{vars.a}}"}}]},
                    {"otherwise": True},
                ]
            },
            {
                "send": {
                    "type": "list",
                    "text": "Choose",
                    "sections": [{"rows": [{"id": "a", "title": "A"}, {"id": "b", "title": "B"}]}],
                }
            },
            {"end": {}},
        ],
    }


def test_what_is_written_reads_well_and_is_quoted_where_others_would_misread_it() -> None:
    text = schema.to_yaml(schema.from_yaml(WRITTEN))
    assert text.splitlines()[:10] == [
        "name: Prices",
        "triggers:",
        "  - message: {}",
        "  - keyword:",
        "      words: [price, '10:00', 'no', 'on', '2026-12-24']",
        "steps:",
        "  - ask:",
        "      text: |-",
        "        Hi {{contact.name|there}}.",
        "        Which?",
    ]
    assert "- {id: precos, title: Preços}" in text
    assert schema.to_yaml(schema.from_yaml(text)) == text


@pytest.mark.parametrize(
    ("step", "path", "says"),
    [
        ({"snd": {}}, "steps.0", "Step 1: there is no step “snd”; did you mean “send”?"),
        ({"ask": {}}, "steps.0.ask.text", "Step 1: an ask needs a text."),
        ({"ask": {"text": " "}}, "steps.0.ask.text", "Step 1: an ask needs a text."),
        ({"ask": {"text": "?", "timout": "5m"}}, "steps.0.ask.timout", "Step 1: an ask has no “timout”."),
        ({"ask": {"text": "?", "tries": 0}}, "steps.0.ask.tries", "Step 1: “tries” has to be 1 or more."),
        ({"ask": {"text": "?", "tries": "two"}}, "steps.0.ask.tries", "Step 1: “tries” has to be a whole number."),
        ({"ask": {"text": "?", "kind": "choice"}}, "steps.0.ask", "Step 1: an ask for a choice needs choices."),
        (
            {"ask": {"text": "?", "choices": ["Yes", "Yes"]}},
            "steps.0.ask",
            "Step 1: Buttons 1 and 2 have the same id: “yes”. Give each button an id of its own.",
        ),
        ({"end": {}, "ask": {}}, "steps.0", "Step 1: a step has one key, its kind; this one has end, ask."),
        ("end", "steps.0", "Step 1: a step has one key, its kind."),
        (
            {"wait": "soon"},
            "steps.0.wait",
            "Step 1: a length of time is written like 45s, 10m, 2h or 1d, and is a year at most.",
        ),
        (
            {"wait": "2d"},
            "steps.0.wait",
            "Step 1: it waits for longer than a run lasts, 1 day. Raise the limit, total.",
        ),
        (
            {"send": {"text": "{{name}}"}},
            "steps.0.send.text",
            "Step 1: there is no placeholder “name”; they begin with contact, vars, message, number, now, today, "
            "tomorrow, yesterday.",
        ),
        (
            {"send": {"text": "{{contact name}}"}},
            "steps.0.send.text",
            "Step 1: “{{contact name}}” isn't a placeholder; one is written like {{contact.name|there}}.",
        ),
        (
            {"send": {"type": "pictur", "link": "x"}},
            "steps.0.send",
            "Step 1: there is no type of message “pictur”; there are",
        ),
        (
            {"send": {"type": "image"}},
            "steps.0.send",
            "Step 1: a message with a file needs the file, or a link to one.",
        ),
        (
            {"send": {"type": "image", "link": "ftp://x"}},
            "steps.0.send",
            "Step 1: An image needs a file. Attach one, or give a link that begins with https.",
        ),
        (
            {"send": {"type": "buttons", "text": "?", "buttons": ["A", "B", "C", "D"]}},
            "steps.0.send",
            "Step 1: This message has 4 buttons; WhatsApp allows 3. Too many: “D”. Take away 1.",
        ),
        (
            {"branch": [{"when": [{"text": {}}], "steps": []}]},
            "steps.0.branch.0.when.0.text",
            "Step 1, case 1, condition 1: a text is compared with one of word, exact, starts, contains, pattern.",
        ),
        (
            {"branch": [{"steps": [{"end": {}}]}]},
            "steps.0.branch.0",
            "Step 1, case 1: a case of a branch needs conditions, or is the one for otherwise.",
        ),
        (
            {"branch": [{"otherwise": True, "steps": []}, {"when": [{"tag": "a"}], "steps": []}]},
            "steps.0.branch",
            "Step 1: the case for otherwise has to be the last of its branch.",
        ),
        (
            {"call": {"url": "https://{{vars.host}}/"}},
            "steps.0.call",
            "Step 1: a call needs an address that begins with https:// and its host.",
        ),
        ({"call": {"url": "/orders"}}, "steps.0.call", "Step 1: a call needs an address that begins with https://"),
        (
            {"branch": [{"when": [{"var": {"name": "a", "is": None}}], "steps": []}]},
            "steps.0.branch.0.when.0.var",
            "Step 1, case 1, condition 1: it is compared by one of is, is_not, contains, empty, above, below, after,",
        ),
        ({"set": {"to": "x"}}, "steps.0.set", "Step 1: a set needs a field of the contact, or a var of the"),
        ({"tag": {}}, "steps.0.tag", "Step 1: a tag needs tags to add or to remove."),
        ({"note": "a\0"}, "steps.0.note", "Step 1: there is a character that can't be kept."),
        (
            {"ask": {"text": "?", "on_timeout": [{"send": {}}]}},
            "steps.0.ask.on_timeout.0.send.text",
            "Step 1, without an answer, step 1: a send needs a text.",
        ),
        (
            {"agent": {"connection": "a", "instructions": "b", "tools": ["fly"]}},
            "steps.0.agent.tools.0",
            "Step 1: “tools” can be tag, assign, set, note, release, end, or call:",
        ),
    ],
)
def test_whoever_writes_a_step_is_told_what_is_wrong_and_where(step: Any, path: str, says: str) -> None:
    [(where, sentence)] = told(with_steps(step))
    assert where == path
    assert sentence.startswith(says)


def test_an_automation_needs_a_name_a_trigger_and_a_step() -> None:
    assert told({}) == [
        ("name", "An automation needs a name."),
        ("triggers", "An automation needs triggers."),
        ("steps", "An automation needs steps."),
    ]
    assert told({"name": " ", "triggers": [], "steps": []}) == [
        ("name", "An automation needs a name."),
        ("triggers", "An automation needs at least one trigger."),
        ("steps", "An automation needs at least one step."),
    ]


def test_a_schedule_that_would_write_to_everybody_is_refused() -> None:
    daily = {**with_steps({"note": "x"}), "triggers": [{"schedule": {"at": "09:00"}}]}
    assert told(daily) == [
        (
            "triggers.0.schedule",
            "Trigger 1: a schedule writes to everybody unless `when` asks for a tag or a field. Add one.",
        )
    ]
    assert schema.read({**daily, "when": [{"any": [{"tag": "vip"}]}]})


def test_a_schedule_needs_a_day_that_there_is() -> None:
    on = {
        **with_steps({"note": "x"}),
        "when": [{"tag": "vip"}],
        "triggers": [{"schedule": {"at": "9", "date": "2026-02-30"}}],
    }
    assert [says for _, says in told(on)] == [
        "Trigger 1: “at” is a time like 09:00.",
        "Trigger 1: a date is written like 2026-12-24.",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "Line 1: this isn't YAML: expected the node content, but found '<stream end>'."),
        ("text: {{contact.name}}", "Line 1: this isn't YAML: a text that begins with { or [ has to stand in quotes."),
        ("a: 1\na: 2", "Line 2: this isn't YAML: “a” is there twice."),
        (
            "a:\n  b: {text: Which bread?, c: 1}",
            "Line 2: this isn't YAML: a text with a question mark, between { and }, has to stand in quotes.",
        ),
        (
            "a: {text: ?}",
            "Line 1: this isn't YAML: a text with a question mark, between { and }, has to stand in quotes.",
        ),
        (
            "a: {text: Note: rye}",
            "Line 1: this isn't YAML: a text with a colon, between { and }, has to stand in quotes.",
        ),
        ("a: @home", "Line 1: this isn't YAML: a text that begins with %, @ or ` has to stand in quotes."),
        ("a:\n\t- b", "Line 2: this isn't YAML: lines are indented with spaces, not with tabs."),
        (
            "a: 1\n---\nb: 2",
            "Line 2: this isn't YAML: a second document begins here, behind “---”; give one at a time.",
        ),
        ("a: &x [1]\nb: *x", "Line 2: this isn't YAML: references (*) can't be used here."),
        ("a: !!python/object:os.system x", "Line 1: this isn't YAML: tags (!) can't be used here."),
        ("- " * 3000 + "x", "This isn't YAML, or it goes too deep."),
        ("x" * 400_001, "The text has more than 400,000 characters."),
    ],
)
def test_what_isnt_yaml_is_told_with_its_line(text: str, says: str) -> None:
    with pytest.raises(Unfit) as unfit:
        schema.from_yaml(text)
    assert [problem.says for problem in unfit.value.problems] == [says]


def test_what_is_endless_is_refused_before_anybody_walks_it() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert told(with_steps(*endless))[0][1].startswith("This is longer or deeper")
    assert told(with_steps(*[{"note": "x"}] * 11_000))[0][1].startswith("This is longer or deeper")
    assert told(with_steps(*[{"note": "x"}] * 301))[0][1].startswith("There are 301 steps")


@pytest.mark.parametrize(
    ("path", "of_the_run"),
    [
        (("steps", 2, "ask", "text"), "2"),
        (("steps", 2, "branch", 0, "steps", 1, "send", "buttons", 0), "2.branch.0.1"),
        (("steps", 2, "branch", 0, "when", 1), "2"),
        (("steps", 0, "ask", "on_timeout", 1, "call", "ok", 0, "note"), "0.on_timeout.1.ok.0"),
        (("triggers", 0), ""),
        (("steps",), ""),
    ],
)
def test_a_problem_leads_to_its_step(path: problems.Path, of_the_run: str) -> None:
    assert path_of(path) == of_the_run


def test_what_bots_say_is_read_like_a_step() -> None:
    assert schema.message({"type": "buttons", "text": "?", "buttons": ["A"]}) == {
        "type": "buttons",
        "text": "?",
        "buttons": [{"id": "a", "title": "A"}],
    }
    with pytest.raises(Unfit, match="There is no type of message “vidio”; did you mean “video”"):
        schema.message({"type": "vidio"})
    with pytest.raises(Unfit):
        schema.message(["text"])


def test_all_that_can_be_written_can_be_run() -> None:
    assert shapes.TRIGGERS.keys() == triggers.TRIGGERS.keys()
    assert shapes.STEPS.keys() == run.STEPS.keys()
    written = json.dumps(schema.json_schema())
    assert all(f'"required": ["{kind}"]' in written for kind in conditions.CONDITIONS)


def test_a_definition_without_a_word_too_many_runs() -> None:
    assert list(Program.of(schema.from_yaml(WRITTEN)).steps) == ["0", "1", "1.branch.0.0", "2", "3"]


def test_the_json_schema_in_the_documentation_is_this_one() -> None:
    """scripts/automations.py writes it."""
    page = Path(__file__).parents[2] / "docs" / "automations.schema.json"
    assert json.loads(page.read_text(encoding="utf-8")) == schema.json_schema()
