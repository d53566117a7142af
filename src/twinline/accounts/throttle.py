"""Slows guessing down: after a few wrong passwords each further one costs a longer wait.

Kept in this process only. With several web processes a guesser gets that many times the tries, which is still
nothing against Argon2 and eight characters.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from twinline.kit.clock import microseconds
from twinline.rules.budget import SECOND, Budget

FREE_TRIES = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)
REMEMBERED = 10_000
FOR_EVER: Final = 1 << 62  # microseconds


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    last: datetime


class Throttle:
    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = {}

    def wait(self, key: str, now: datetime) -> timedelta:
        """How long this key has to wait before its next try; zero when it may go on."""
        known = self._failures.get(key)
        if known is None or known.count < FREE_TRIES:
            return timedelta()
        doublings = min(known.count - FREE_TRIES, 10)
        lock = min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)
        return max(known.last + lock - now, timedelta())

    def failed(self, key: str, now: datetime) -> None:
        known = self._failures.pop(key, None)
        stale = known is None or now - known.last > FORGOTTEN_AFTER
        self._failures[key] = _Failures(1 if known is None or stale else known.count + 1, now)
        while len(self._failures) > REMEMBERED:  # the least recent goes first: dicts keep their order
            del self._failures[next(iter(self._failures))]

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)


class Pace:
    """How often a program may ask: so many times a second, and twice as many at once after a rest.

    In this process only, like the throttle: it keeps one program's mistake from being everybody's, no more.
    """

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._budget = Budget(interval_us=SECOND // per_second, burst=2 * per_second, memory_us=0)
        self._tat: dict[int, int] = {}

    def wait(self, key: int, now: datetime) -> float:
        """Seconds until this key may ask again; zero when it may now, which is then counted."""
        at = microseconds(now)
        tat = self._tat.pop(key, 0)
        granted = self._budget.reserve(tat, at, 1, FOR_EVER)
        [soonest] = granted.times
        self._tat[key] = granted.tat if soonest == at else tat
        while len(self._tat) > REMEMBERED:
            del self._tat[next(iter(self._tat))]
        return (soonest - at) / SECOND
