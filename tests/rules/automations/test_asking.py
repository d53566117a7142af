"""What an answer comes to."""

from datetime import date

import pytest

from twinline.rules.automations.asking import message, read

TODAY = date(2026, 11, 22)
CHOICES = [{"id": "s", "title": "Sales"}, {"id": "h", "title": "Opening hours"}, {"id": "u", "title": "👍"}]


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("text", " hello ", "hello"),
        ("text", "", None),
        ("number", "12", "12"),
        ("number", "it's 1.234,50 €", "1234.50"),
        ("number", "1,234", "1234"),
        ("number", "-3.5", "-3.5"),
        ("number", "two", None),
        ("number", "12 or 13", None),
        ("number", "007", "7"),
        ("email", "it's Ann.Lee+x@Example.co.uk.", "ann.lee+x@example.co.uk"),
        ("email", "ann at example", None),
        ("email", "a@x.pt or b@x.pt", None),
        ("phone", "call +351 (910) 000-001 please", "+351910000001"),
        ("phone", "12345", None),
        ("date", "2026-12-24", "2026-12-24"),
        ("date", "on 24/12/26, please", "2026-12-24"),
        ("date", "24.12.", "2026-12-24"),
        ("date", "1/2", "2027-02-01"),
        ("date", "29/2", "2028-02-29"),
        ("date", "31/11/2026", None),
        ("date", "tomorrow", None),
        ("choice", "sales", "s"),
        ("choice", "2", "h"),
        ("choice", "your opening hours please", "h"),
        ("choice", "👍", "u"),
        ("choice", "sales or opening hours", None),
        ("choice", "9", None),
    ],
)
def test_answers(kind: str, said: str, value: str | None) -> None:
    assert read({"text": "?", "kind": kind, "choices": CHOICES}, {"text": said}, TODAY) == value


def test_a_button_is_the_answer_whatever_stands_on_it() -> None:
    assert read({"choices": CHOICES}, {"text": "?", "choice": "h"}, TODAY) == "h"
    assert read({"choices": CHOICES}, {"text": "?", "choice": "of another message"}, TODAY) is None


def test_a_picture_answers_what_asks_for_anything_and_not_what_asks_for_words() -> None:
    picture = {"text": "", "types": ["image"]}
    assert read({"text": "?"}, picture, TODAY) == "image"
    assert read({"text": "?", "kind": "text"}, picture, TODAY) is None


def test_up_to_three_choices_are_buttons_and_more_a_list() -> None:
    assert message({}, "?", "Choose") == {"type": "text", "text": "?"}
    assert message({"choices": CHOICES}, "?", "Choose")["type"] == "buttons"
    more = message({"choices": [*CHOICES, {"id": "x", "title": "X"}]}, "?", "Choose")
    assert (more["type"], more["button"], len(more["sections"][0]["rows"])) == ("list", "Choose", 4)
