"""How many people a business may reach in a day: the messaging limit of a portfolio.

Meta counts unique users whom all numbers of a business portfolio together have written to outside of a customer service
window, in the last 24 hours, whichever these are: a *moving* day, not a calendar's (Meta: messaging limits; since
October 2025 by portfolio, not by number). No error is documented for one person too many, and whatever comes instead
hurts the number, so the count is kept here, a little below Meta's: what other programs send from the same portfolio
isn't seen from here, and neither is how Meta counts around the edges.

What holds (`tests/laws/test_portfolio.py`): of the instants that `forecast` gives, together with those that were
before, no moving day holds more than allowed, and none of them could be earlier.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

DAY: Final = 86_400_000_000
"""Microseconds, as every time here."""

MARGIN: Final = 0.05
"""The share of the limit that campaigns leave free, for people's own messages and what isn't seen from here."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most people in a moving day; None: as many as one likes. `known`: Meta said so."""

    most: int | None
    known: bool = True

    @property
    def usable(self) -> int | None:
        """What campaigns use of it."""
        return None if self.most is None else self.most - ceil(self.most * MARGIN)

    @property
    def text(self) -> str:
        return "no limit" if self.most is None else f"{self.most:,} people in 24 hours"


LOWEST: Final = Limit(250, known=False)
"""Where every business begins; what is assumed until Meta says more."""

_TIER: Final = re.compile(r"(?:TIER_)?([0-9]{1,9})([KM]?)")
_TIMES: Final = {"": 1, "K": 1_000, "M": 1_000_000}


def limit_of(said: str | int | None) -> Limit:
    """What Meta means: `TIER_2K` (Graph's field `whatsapp_business_manager_messaging_limit`, older webhooks), `2000`
    (webhooks since v24), `TIER_UNLIMITED` or a negative figure for no limit. What can't be read is the lowest.
    """
    word = str(said if said is not None else "").strip().upper()
    if word in {"TIER_UNLIMITED", "UNLIMITED"} or re.fullmatch(r"-[0-9]+", word):
        return Limit(None)
    found = _TIER.fullmatch(word)
    most = int(found[1]) * _TIMES[found[2]] if found else 0
    return Limit(most) if most else LOWEST


def room(limit: Limit, reached: int, waiting: int = 0) -> int | None:
    """How many new people a campaign may still be given. `waiting`: those who are as good as reached. None: any."""
    return None if limit.usable is None else max(0, limit.usable - reached - waiting)


def forecast(
    limit: Limit,
    reached: Sequence[int],
    wanted: int,
    begin: int,
    interval: int,
    opens: Callable[[int], int] = lambda at: at,
) -> Iterator[int]:
    """When each of so many new people is reached: one every `interval` microseconds from `begin` on, and each not
    before there is room for them. `reached`: when each of those was, who were in the day before `begin`. `opens`: from
    when on one may write to people at all, the moment itself if it is fit.

    A moving day is (t - 24 h, t]: who was reached at t counts for the last time just before t + 24 h.
    """
    usable = limit.usable
    if usable is not None and usable <= 0:
        return
    # The last `usable` instants: the next one has to wait until the first of these no longer counts.
    last = deque(sorted(reached), maxlen=usable or 0)
    at = begin
    for _ in range(wanted):
        if last and len(last) == usable:
            at = max(at, last[0] + DAY)
        at = opens(at)
        yield at
        last.append(at)
        at += interval


def by_day(instants: Iterable[int], begin: int) -> list[int]:
    """How many fall into each 24 hours from `begin` on."""
    days: list[int] = []
    for instant in instants:
        day = (instant - begin) // DAY
        days.extend([0] * (day + 1 - len(days)))
        days[day] += 1
    return days
