"""Throughput rules of Meta's side, exact: no bucket approximations, so that a client's pacing can be judged."""

from __future__ import annotations

from collections import deque

COEXISTENCE_PER_SECOND = 20  # Meta: throughput page; in and out together, never upgraded
ORDINARY_PER_SECOND = 80  # Meta: throughput page, a number without the app
PAIR_INTERVAL = 6.0  # Meta: one message per 6 s to the same user
PAIR_BURST = 45


class SlidingSecond:
    """At most ``limit`` messages in any window of one second, over both directions.

    Only accepted sends count; what customers write counts always, since nobody can refuse it.
    """

    def __init__(self, limit: int = COEXISTENCE_PER_SECOND) -> None:
        self.limit = limit
        self._taken: deque[float] = deque()

    def _forget(self, now: float) -> None:
        while self._taken and (self._taken[0] <= now - 1.0 or self._taken[0] > now):
            self._taken.popleft()  # also what lies in the future, after the clock was moved back

    def used(self, now: float) -> int:
        self._forget(now)
        return len(self._taken)

    def take(self, now: float) -> bool:
        """Charge one API send, or answer False (130429)."""
        if self.used(now) >= self.limit:
            return False
        self._taken.append(now)
        return True

    def charge(self, now: float) -> None:
        """Charge a message that can't be refused (inbound)."""
        self._forget(now)
        self._taken.append(now)


class PairLimit:
    """One message per 6 s to one recipient, 45 may be borrowed from the future (131056)."""

    def __init__(self, interval: float = PAIR_INTERVAL, burst: int = PAIR_BURST) -> None:
        self._interval = interval
        self._burst = burst
        self._due: dict[str, float] = {}  # recipient -> theoretical time of its next message

    def take(self, recipient: str, now: float) -> bool:
        due = max(self._due.get(recipient, now), now)
        if due - now > self._interval * (self._burst - 1):
            return False
        self._due[recipient] = due + self._interval
        return True
