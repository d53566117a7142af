"""A definition, laid out as a program."""

from datetime import timedelta

import pytest

from twinline.rules.automations.program import Program, duration, place, spell

SEND = {"send": {"text": "x"}}
FORK = {
    "name": "P",
    "steps": [
        SEND,
        {"branch": [{"when": [], "steps": [SEND, SEND]}, {"otherwise": True, "steps": []}]},
        {"ask": {"text": "?", "on_timeout": [SEND]}},
    ],
}


def test_each_step_knows_its_path_and_what_follows_it() -> None:
    made = Program.of(FORK)
    assert list(made.steps) == ["0", "1", "1.branch.0.0", "1.branch.0.1", "2", "2.on_timeout.0"]
    assert {path: step.next for path, step in made.steps.items()} == {
        "0": "1", "1": "2", "1.branch.0.0": "1.branch.0.1", "1.branch.0.1": "2", "2": "", "2.on_timeout.0": "",
    }  # fmt: skip
    assert made.steps["1"].blocks == {"branch.0": "1.branch.0.0", "branch.1": "2"}
    assert made.start == "0"


def test_a_path_is_told_as_people_count() -> None:
    assert place("2.branch.0.1") == "Step 3, case 1, step 2"
    assert place("0.on_timeout.1") == "Step 1, without an answer, step 2"


def test_what_isnt_said_is_as_by_default() -> None:
    settings = Program.of(FORK).settings
    assert (settings.quiet_for, settings.total, settings.numbers) == (timedelta(seconds=3), timedelta(hours=24), None)
    own = Program.of({**FORK, "settings": {"numbers": [3], "pause_on_phone": "1d", "limits": {"steps": 7}}}).settings
    assert (own.numbers, own.pause_on_phone, own.steps, own.messages_per_hour) == ((3,), timedelta(days=1), 7, 20)


@pytest.mark.parametrize(("text", "length"), [("0s", 0), ("45s", 45), ("10m", 600), ("2 H", 7200), ("1d", 86_400)])
def test_lengths_of_time(text: str, length: int) -> None:
    assert duration(text) == timedelta(seconds=length)


@pytest.mark.parametrize("text", ["", "00m", "10", "m", "1h30m", "-1h", "1.5h", "900d", "١m"])
def test_what_isnt_a_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="written like 45s"):
        duration(text)


def test_lengths_are_told_in_their_largest_whole_unit() -> None:
    told = [spell(timedelta(seconds=seconds)) for seconds in (0, 1, 90, 5400, 7200, 86_400)]
    assert told == ["0 seconds", "1 second", "90 seconds", "90 minutes", "2 hours", "1 day"]
