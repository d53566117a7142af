"""STOP, BAJA, SAIR: what a customer writes to end marketing, or to have it again.

The words are data (`keywords.toml`), and a number may have its own. A message is one of them only as a whole: "stop"
and "¡STOP!" are, "don't stop" isn't.
"""

import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Final

LONGEST: Final = 40
"""Characters of a message that can still be a keyword; what is longer isn't even looked at."""

MOST_PARTS: Final = 4
"""Words that a keyword may be made of."""

LONGEST_REPLY: Final = 1000
MOST_WORDS: Final = 40


@dataclass(frozen=True, slots=True)
class Words:
    """The keywords of one language, and what is answered; an empty answer isn't sent."""

    language: str
    name: str
    stop: tuple[str, ...]
    start: tuple[str, ...]
    stopped: str
    started: str

    def changed(
        self,
        stop: Sequence[str] | None,
        start: Sequence[str] | None,
        stopped: str | None,
        started: str | None,
    ) -> "Words":
        """With a number's own words and answers; None: as it is."""
        return replace(
            self,
            stop=self.stop if stop is None else tuple(stop),
            start=self.start if start is None else tuple(start),
            stopped=self.stopped if stopped is None else stopped,
            started=self.started if started is None else started,
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A message that is a keyword: whether it asks for marketing (`granted`) or ends it, and how to answer."""

    granted: bool
    language: str
    reply: str


@cache
def built_in() -> Mapping[str, Words]:
    """By language, in the order of the file: of a word in two languages the first counts."""
    text = resources.files("twinline.rules").joinpath("keywords.toml").read_text(encoding="utf-8")
    return {
        language: Words(language, one["name"], tuple(one["stop"]), tuple(one["start"]), one["stopped"], one["started"])
        for language, one in tomllib.loads(text)["languages"].items()
    }


def normalise(text: str) -> str:
    """Letters and digits only, without accents and case, words apart by one space: `" ¡Sáir! 🙏"` is `"sair"`."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    letters = (char for char in plain if not unicodedata.combining(char))
    return " ".join("".join(char if char.isalnum() else " " for char in letters).split())


def may_be(text: str | None) -> bool:
    """Whether a message is short enough to be a keyword: most aren't, and cost no further look."""
    return text is not None and 0 < len(text) <= LONGEST and len(text.split()) <= MOST_PARTS


def problem(words: Sequence[str]) -> str | None:
    """Why these can't be a number's keywords."""
    if len(words) > MOST_WORDS:
        return f"That are more than {MOST_WORDS} keywords."
    for word in words:
        if not normalise(word) or not may_be(word):
            return f"“{word[:50]}” can't be a keyword: 1 to {MOST_PARTS} words, {LONGEST} characters at most."
    return None


def match(text: str | None, words: Iterable[Words]) -> Match | None:
    """What this message asks for, if it is a keyword of any of these languages. A word of both kinds ends marketing."""
    return _index(tuple(words)).get(normalise(text)) if text and may_be(text) else None


@lru_cache(maxsize=1000)
def _index(words: tuple[Words, ...]) -> Mapping[str, Match]:
    """What each normalised keyword means. Kept, since nearly every message is looked up and hardly a number differs."""
    found: dict[str, Match] = {}
    for granted in (True, False):
        for one in reversed(words):
            meant = Match(granted, one.language, one.started if granted else one.stopped)
            found.update((normalise(word), meant) for word in (one.start if granted else one.stop))
    return found
