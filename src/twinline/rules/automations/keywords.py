"""Words that the owner types on the phone to command the automations of a chat: ``#bot``, ``#pause 2h``, ``#sales``.

They are data of the number: ``[{"word": "#bot", "does": "release"}, {"word": "#pause", "does": "pause", "for": "2h"},
{"word": "#sales", "does": "start", "automation": 12}]``. A message is one of them as a whole, whatever its case; behind
a word that pauses a length of time may stand.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.automations.program import duration

DOES: Final = ("release", "pause", "start")
LONGEST: Final = 30
MOST: Final = 40

DEFAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    MappingProxyType({"word": "#bot", "does": "release"}),
    MappingProxyType({"word": "#pause", "does": "pause"}),
)
"""What a number has that hasn't said anything else."""


@dataclass(frozen=True, slots=True)
class Command:
    """``release``: automations may speak again. ``pause``: not ``for_`` so long (None: as long as the number pauses).
    ``start``: this ``automation``, as it stands in the keyword, begins.
    """

    kind: str
    for_: timedelta | None = None
    automation: Any = None


def read(text: str | None, keywords: Iterable[Mapping[str, Any]] = DEFAULTS) -> Command | None:
    """What a message typed on the phone commands, or None where it is just a message."""
    said = _plain(text or "")
    if not said or len(said) > LONGEST + 10:
        return None
    for keyword in keywords:
        rest = said.removeprefix(_plain(keyword["word"]))
        if rest == said:
            continue
        if not rest:
            usual = keyword.get("for") if keyword["does"] == "pause" else None
            return Command(keyword["does"], duration(usual) if usual else None, keyword.get("automation"))
        if keyword["does"] == "pause" and rest.startswith(" ") and (length := _length(rest)):
            return Command("pause", length)
    return None


def problem(keywords: Sequence[Any]) -> str | None:
    """Why these can't be a number's keywords, as a sentence; None: they can."""
    if len(keywords) > MOST:
        return f"That are more than {MOST} keywords."
    seen: set[str] = set()
    for keyword in keywords:
        word = keyword.get("word") if isinstance(keyword, Mapping) else None
        plain = _plain(word) if isinstance(word, str) else ""
        if not plain or len(plain) > LONGEST:
            return f"A keyword has 1 to {LONGEST} characters, like #bot."
        if plain in seen:
            return f"The keyword “{word}” is there twice."
        seen.add(plain)
        if keyword.get("does") not in DOES:
            return f"The keyword “{word}” has to release, pause or start."
        if keyword["does"] == "start" and not keyword.get("automation"):
            return f"The keyword “{word}” has to say which automation it starts."
        if keyword.get("for") is not None and _length(keyword["for"]) is None:
            return f"The keyword “{word}” pauses for a length of time like 30m or 2h."
    return None


def _length(text: Any) -> timedelta | None:
    try:
        return duration(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
