"""Slows guessing down: after a few wrong passwords each further one costs a longer wait.

Kept in this process only. With several web processes a guesser gets that many times the tries, which is still
nothing against Argon2 and eight characters.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

FREE_TRIES = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)
REMEMBERED = 10_000


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
