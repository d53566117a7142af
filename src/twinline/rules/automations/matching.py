"""How texts are compared: without case, accents and punctuation, as people write on phones.

A pattern isn't a regular expression, which can be written so that one message keeps a machine busy for a day. Its words
are matched one by one: ``*`` is any words or none, ``#`` a number, ``pric*`` a word that begins so.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.keywords import normalise

MOST: Final = 4000
"""Characters of a message that are looked at."""


def plain(text: str) -> str:
    """Letters and digits only, or, where there are none (an emoji), the text itself."""
    return normalise(text) or " ".join(text.casefold().split())


def _pattern(text: str, pattern: str) -> bool:
    said, wanted = text.split(), [_token(word) for word in pattern.split()]
    reach = {0}
    for word in wanted:
        if word == "*":
            reach = set(range(min(reach), len(said) + 1))
        else:
            reach = {place + 1 for place in reach if place < len(said) and _is(said[place], word)}
        if not reach:
            return False
    return len(said) in reach


def _token(word: str) -> str:
    if word in ("*", "#"):
        return word
    return plain(word.rstrip("*")) + ("*" if word.endswith("*") else "")


def _is(word: str, wanted: str) -> bool:
    if wanted == "#":
        return word.isdigit()
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


WAYS: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {
        "word": lambda text, wanted: f" {plain(wanted)} " in f" {text} ",
        "exact": lambda text, wanted: text == plain(wanted),
        "starts": lambda text, wanted: f"{text} ".startswith(f"{plain(wanted)} "),
        "contains": lambda text, wanted: plain(wanted) in text,
        "pattern": _pattern,
    }
)
"""Each is handed the text as ``plain`` leaves it, and what it is compared with."""


def matches(way: str, text: str | None, wanted: Sequence[str]) -> bool:
    """Whether any of these is said in that way."""
    said = plain((text or "")[:MOST])
    return bool(said) and any(WAYS[way](said, one) for one in wanted if plain(one))


def decimal(value: str) -> Decimal | None:
    try:
        found = Decimal(value.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _same(value: str, wanted: str) -> bool:
    return " ".join(value.casefold().split()) == " ".join(wanted.casefold().split())


def _ordered(sign: int) -> Callable[[str, str], bool]:
    def holds(value: str, wanted: str) -> bool:
        one, other = decimal(value), decimal(wanted)
        return one is not None and other is not None and sign * one.compare(other) > 0

    return holds


def _dated(sign: int) -> Callable[[str, str], bool]:
    def holds(value: str, wanted: str) -> bool:
        one, other = value.strip()[:10], wanted.strip()[:10]
        return _is_date(one) and _is_date(other) and (one > other if sign > 0 else one < other)

    return holds


def _is_date(text: str) -> bool:
    return len(text) == 10 and text[4] == text[7] == "-" and text.replace("-", "").isdigit()


COMPARED: Final[Mapping[str, Callable[[str, Any], bool]]] = MappingProxyType(
    {
        "is": _same,
        "is_not": lambda value, wanted: not _same(value, wanted),
        "contains": lambda value, wanted: plain(wanted) in plain(value),
        "empty": lambda value, wanted: (not value.strip()) is wanted,
        "above": _ordered(1),
        "below": _ordered(-1),
        "after": _dated(1),
        "before": _dated(-1),
    }
)
"""How a variable or a field is compared, by the name of the comparison."""
