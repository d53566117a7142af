"""When messages of a number passed, to the microsecond: what a client's pacing is judged by.

Every send that reached the throughput limit counts, also one that it refused, and everything that customers wrote.
The newest half a million instants of a number are kept.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from .state import Json

ROOM = 500_000
SECOND = 1_000_000  # microseconds
KINDS = ("out", "in", "too_fast", "pair")
"""Accepted send, message of a customer, send refused with 130429, send refused with 131056."""
_CODE = {kind: code for code, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Instant:
    """``us``: microseconds since the epoch, on the simulator's clock."""

    us: int
    kind: str


class Timeline:
    """The instants of one number, eight bytes each.

    They come nearly in order: a request that began earlier may be noted later, and the clock may be moved back. How far
    out of order they ever were is remembered, so that a part is found without a look at all of them."""

    def __init__(self) -> None:
        self._marks = array("q")
        self._latest = self._disorder = 0

    def note(self, at: float, kind: str) -> None:
        """``at``: unix seconds."""
        mark = round(at * SECOND) << 2 | _CODE[kind]
        self._latest = max(self._latest, mark)
        self._disorder = max(self._disorder, self._latest - mark)
        self._marks.append(mark)
        if len(self._marks) >= 2 * ROOM:
            del self._marks[:ROOM]

    def between(self, since: float | None = None, until: float | None = None) -> list[Instant]:
        """In order of time; ``until`` itself isn't in it."""
        low = 0 if since is None else round(since * SECOND) << 2
        high = 1 << 62 if until is None else round(until * SECOND) << 2
        first = bisect_left(self._marks, low - self._disorder)
        last = bisect_left(self._marks, high + self._disorder, first)
        marks = sorted(mark for mark in self._marks[first:last] if low <= mark < high)
        return [Instant(mark >> 2, KINDS[mark & 3]) for mark in marks]


def busiest(instants: Sequence[Instant], window: int = SECOND) -> Json | None:
    """The window with the most messages, the first of them if there are several; a window holds its beginning and not
    its end."""
    best, start = (0, 0, 0), 0
    for end, last in enumerate(instants):
        while last.us - instants[start].us >= window:
            start += 1
        if end - start + 1 > best[0]:
            best = (end - start + 1, start, end)
    if not best[0]:
        return None
    found = instants[best[1] : best[2] + 1]
    counts = {kind: sum(one.kind == kind for one in found) for kind in KINDS}
    return {"from": found[0].us / SECOND, "to": found[-1].us / SECOND, "messages": len(found), **counts}


def above(instants: Sequence[Instant], limit: int, window: int = SECOND) -> int:
    """Sends that end a window with more than ``limit`` messages in it. One that a customer ends is nobody's fault."""
    count, start = 0, 0
    for end, last in enumerate(instants):
        while last.us - instants[start].us >= window:
            start += 1
        count += last.kind != "in" and end - start + 1 > limit
    return count


def by_second(instants: Sequence[Instant]) -> list[tuple[int, int, int, int]]:
    """Seconds of the clock in which there was something: out, in, refused."""
    counts: dict[int, list[int]] = {}
    for one in instants:
        counts.setdefault(one.us // SECOND, [0, 0, 0])[min(_CODE[one.kind], 2)] += 1
    return [(second, out, came, refused) for second, (out, came, refused) in counts.items()]


def judge(instants: Sequence[Instant], limit: int, window: float = 1.0) -> Json:
    """What ``GET /control/pacing`` tells of a number. ``used``: accepted sends and customers' messages from the first
    instant to the last, as a share of what the limit allows in that time."""
    width = round(window * SECOND)
    passing = [one for one in instants if one.kind != "pair"]
    passed = [one for one in passing if one.kind != "too_fast"]
    span = (passed[-1].us - passed[0].us) / SECOND if passed else 0.0
    return {
        "limit": limit,
        "window": window,
        "from": passing[0].us / SECOND if passing else None,
        "to": passing[-1].us / SECOND if passing else None,
        **{kind: sum(one.kind == kind for one in instants) for kind in KINDS},
        "busiest": busiest(passing, width),
        "busiest_out": busiest([one for one in passing if one.kind == "out"], width),
        "above": above(passing, limit, width),
        "used": round((len(passed) - 1) / (limit * span / window), 4) if span else None,
    }
