"""Business hours: of each weekday, and of holidays, on the wall clock of the number's zone.

As data: ``{"week": {"mon": [["09:00", "13:00"], ["14:00", "18:00"]], …}, "holidays": {"2026-12-24":
[["09:00", "12:00"]], "12-25": []}}``. A weekday that isn't there is closed; a holiday without a year is every year's,
and takes the place of its weekday. Hours that end before they begin go on after midnight. Without a week it is
always open.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

from twinline.rules.automations.conditions import DAYS

Spans = tuple[tuple[time, time], ...]

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00")
_HOLIDAY = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Hours:
    """``week``: the spans of each weekday from Monday on; None: always open."""

    week: tuple[Spans, ...] | None
    holidays: Mapping[str, Spans]

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> "Hours":
        """Raises ValueError with a sentence for people."""
        said = given or {}
        week, holidays = said.get("week") or {}, said.get("holidays") or {}
        if not isinstance(week, Mapping) or not isinstance(holidays, Mapping):
            raise ValueError("Business hours have a week and holidays.")
        if unknown := [day for day in week if day not in DAYS]:
            raise ValueError(f"There is no day “{unknown[0]}”; days are {', '.join(DAYS)}.")
        return cls(
            tuple(_spans(day, week.get(day) or ()) for day in DAYS) if week else None,
            {_holiday(day): _spans(day, spans or ()) for day, spans in holidays.items()},
        )

    def open_at(self, now: datetime) -> bool:
        """``now`` is aware, in the number's zone."""
        clock = now.time().replace(tzinfo=None)
        today, yesterday = self._on(now.date()), self._on(now.date() - timedelta(days=1))
        return any(first <= clock and (clock < last or last <= first) for first, last in today) or any(
            last <= first and clock < last for first, last in yesterday
        )

    def _on(self, day: date) -> Spans:
        for name in (day.isoformat(), day.isoformat()[5:]):
            if name in self.holidays:
                return self.holidays[name]
        return _ALL_DAY if self.week is None else self.week[day.weekday()]


_ALL_DAY: Spans = ((time(), time()),)


def _spans(day: str, given: Any) -> Spans:
    """In the order of the day. Midnight at the end is the one that follows."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(f"The hours of {day} are a list of spans, like 09:00 to 18:00.")
    found = []
    for span in given:
        if not isinstance(span, Sequence) or isinstance(span, str) or len(span) != 2:
            raise ValueError(f"The hours of {day} are spans with a beginning and an end, like 09:00 to 18:00.")
        found.append((_time(day, span[0]), _time(day, span[1])))
    found.sort()
    for (_, end), (begin, _) in pairwise(found):
        if begin < end or end == time():
            raise ValueError(f"Two spans of {day} overlap.")
    return tuple(found)


def _time(day: str, given: Any) -> time:
    if not isinstance(given, str) or not _CLOCK.fullmatch(given):
        raise ValueError(f"The hours of {day} are written like 09:00 and 18:00; “{given}” isn't.")
    hour, minute = map(int, given.split(":"))
    return time(hour % 24, minute)


def _holiday(day: Any) -> str:
    found = _HOLIDAY.fullmatch(day) if isinstance(day, str) else None
    try:
        if found is None:
            raise ValueError
        date(int(found[1] or 2024), int(found[2]), int(found[3]))
    except ValueError:
        raise ValueError(f"A holiday is written like 2026-12-25, or 12-25 for every year; “{day}” isn't.") from None
    return day if isinstance(day, str) else ""
