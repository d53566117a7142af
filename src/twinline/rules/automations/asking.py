"""Answers: what a customer's turn comes to where a step asked for something."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.automations.matching import plain

Json = Mapping[str, Any]

MOST: Final = 1000
"""Characters of an answer that are kept."""

_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_NUMBER: Final = re.compile(r"-?\d[\d.,' ]{0,20}\d|-?\d")
_PHONE: Final = re.compile(r"\+?\d[\d ()./-]{5,22}\d")
_DATE: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})[/.-](\d{1,2})(?:[/.-](\d{4}|\d{2}))?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said (``facts.said``), what could be chosen, and the day, for dates without a year."""

    said: Json
    choices: Sequence[Json]
    today: date

    @property
    def text(self) -> str:
        return str(self.said.get("text") or "").strip()[:MOST]


def _any(answer: Answer) -> str | None:
    """A picture without words is an answer too: its type stands for it."""
    return answer.text or next(iter(answer.said.get("types") or ()), None)


def _text(answer: Answer) -> str | None:
    return answer.text or None


def _number(answer: Answer) -> str | None:
    """The one number in the text. What stands before one or two last digits parts the decimals, else thousands."""
    found = _NUMBER.findall(answer.text)
    if len(found) != 1:
        return None
    whole, fraction = re.fullmatch(r"(.*?)(?:[.,](\d{1,2}))?", found[0]).groups()  # type: ignore[union-attr]
    sign, digits = "-" if whole.startswith("-") else "", re.sub(r"\D", "", whole).lstrip("0") or "0"
    return f"{sign}{digits}" + (f".{fraction}" if fraction else "")


def _email(answer: Answer) -> str | None:
    found = _EMAIL.findall(answer.text)
    return found[0].lower() if len(found) == 1 else None


def _phone(answer: Answer) -> str | None:
    found = [re.sub(r"[^\d+]", "", one) for one in _PHONE.findall(answer.text)]
    return found[0] if len(found) == 1 and 7 <= len(found[0].lstrip("+")) <= 15 else None


def _date(answer: Answer) -> str | None:
    """``2026-12-24``, or with the day first, as most of the world writes it; without a year the next such day."""
    found = list(_DATE.finditer(answer.text))
    if len(found) != 1:
        return None
    iso_year, iso_month, iso_day, day, month, year = found[0].groups()
    if iso_year:
        return _day(int(iso_year), int(iso_month), int(iso_day))
    if year:
        return _day(int(year) + (2000 if len(year) == 2 else 0), int(month), int(day))
    years = (answer.today.year + more for more in range(9))
    days = (made for one in years if (made := _day(one, int(month), int(day))))
    return next((one for one in days if one >= answer.today.isoformat()), None)


def _day(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _choice(answer: Answer) -> str | None:
    """The button or row itself; else its title or its place in the list, typed, or the only title in the text."""
    ids: dict[str, str] = {one["id"]: plain(one["title"]) for one in answer.choices}
    if answer.said.get("choice") in ids:
        return str(answer.said["choice"])
    text = plain(answer.text)
    exact = [id_ for id_, title in ids.items() if title == text]
    if exact or not text:
        return next(iter(exact), None)
    if text.isdecimal() and 1 <= int(text) <= len(ids):
        return list(ids)[int(text) - 1]
    named = [id_ for id_, title in ids.items() if f" {title} " in f" {text} "]
    return named[0] if len(named) == 1 else None


KINDS: Final[Mapping[str, Callable[[Answer], str | None]]] = MappingProxyType(
    {
        "any": _any,
        "text": _text,
        "number": _number,
        "email": _email,
        "phone": _phone,
        "date": _date,
        "choice": _choice,
    }
)
"""What an answer of a kind comes to, or None if it isn't one."""


def kind_of(ask: Json) -> str:
    """What an ask wants: what it says, else one of its choices if it has any, else anything."""
    return str(ask.get("kind") or ("choice" if ask.get("choices") else "any"))


def read(ask: Json, said: Json, today: date) -> str | None:
    """What this answer comes to, or None where it isn't of the kind that was asked for."""
    return KINDS[kind_of(ask)](Answer(said, ask.get("choices") or (), today))


def message(ask: Json, text: str, button: str) -> dict[str, Any]:
    """The question as a message: up to three choices are buttons, more of them a list that ``button`` opens."""
    choices = [dict(one) for one in ask.get("choices") or ()]
    if not choices:
        return {"type": "text", "text": text}
    if len(choices) <= 3:
        return {"type": "buttons", "text": text, "buttons": choices}
    return {"type": "list", "text": text, "button": button, "sections": [{"rows": choices}]}
