"""Words that the owner types on the phone."""

from datetime import timedelta
from typing import Any

import pytest

from twinline.rules.automations.keywords import Command, problem, read

OWN: list[dict[str, Any]] = [
    {"word": "#Bot", "does": "release"},
    {"word": "#pause", "does": "pause", "for": "30m"},
    {"word": "#sales", "does": "start", "automation": 12},
    {"word": "até já", "does": "pause"},
]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (" #BOT ", Command("release")),
        ("＃bot", Command("release")),
        ("#pause", Command("pause", timedelta(minutes=30))),
        ("#pause 2h", Command("pause", timedelta(hours=2))),
        ("#PAUSE  1 d", Command("pause", timedelta(days=1))),
        ("Até  já", Command("pause")),
        ("#sales", Command("start", automation=12)),
        ("#bot please", None),
        ("#pauses", None),
        ("#pause until noon", None),
        ("ask #bot", None),
        ("#sales 2h", None),
        ("", None),
        (None, None),
        ("x" * 5000, None),
    ],
)
def test_a_keyword_is_the_whole_message(text: str | None, command: Command | None) -> None:
    assert read(text, OWN) == command


def test_a_number_that_has_said_nothing_has_two_words() -> None:
    assert (read("#bot"), read("#pause 45m")) == (Command("release"), Command("pause", timedelta(minutes=45)))


@pytest.mark.parametrize(
    ("keyword", "says"),
    [
        ({"does": "release"}, "1 to 30 characters"),
        ({"word": " ", "does": "release"}, "1 to 30 characters"),
        ({"word": "#x", "does": "sing"}, "release, pause or start"),
        ({"word": "#x", "does": "start"}, "which automation"),
        ({"word": "#x", "does": "pause", "for": "long"}, "30m or 2h"),
        ({"word": "#BOT", "does": "release"}, "twice"),
        ("#x", "1 to 30 characters"),
    ],
)
def test_what_cant_be_a_keyword_is_told(keyword: Any, says: str) -> None:
    assert says in (problem([*OWN, keyword]) or "")
    assert problem(OWN) is None
