"""How often Meta lets one speak: exact, no bucket approximations, so that a client's pacing can be judged.

Per number and second (130429), per pair of number and person (131056), per WABA and hour (80007), per number and
three days of registering (133016).
"""

from __future__ import annotations

import json
from collections import deque

COEXISTENCE_PER_SECOND = 20  # Meta: throughput page; in and out together, never upgraded
ORDINARY_PER_SECOND = {"STANDARD": 80, "HIGH": 1000}  # Meta: throughput page, a number without the app
LATE = 30.0  # seconds that a request may be looked at after one that came later
PAIR_INTERVAL = 6.0  # Meta: one message per 6 s to the same user
PAIR_BURST = 45
PAIR_KNOWN = 100_000  # pairs remembered before those who owe nothing are forgotten
HOUR = 3600.0
CALLS = {True: 5000, False: 200}  # Meta: calls an hour of a WABA with a registered number, and of one without
REGISTRATIONS = 10  # Meta: register and deregister calls of one number in 72 hours
REGISTRATION_SPAN = 72 * HOUR


class SlidingSecond:
    """At most ``limit`` messages in any window of one second, over both directions.

    Only accepted sends count; what customers write counts always, since nobody can refuse it.
    """

    def __init__(self, limit: int = COEXISTENCE_PER_SECOND) -> None:
        self.limit = limit
        self._taken: deque[float] = deque()

    def _within(self, now: float) -> float:
        """Forget what is over. Answers the instant to count by: a request that came earlier may be looked at later,
        and then counts with the latest; what lies further ahead is left over from a clock that was moved back."""
        taken = self._taken
        if taken and taken[-1] > now:
            if taken[-1] - now > LATE:
                taken.clear()
            else:
                now = taken[-1]
        while taken and taken[0] <= now - 1.0:
            taken.popleft()
        return now

    def take(self, now: float) -> bool:
        """Charge one API send, or answer False (130429)."""
        now = self._within(now)
        if len(self._taken) >= self.limit:
            return False
        self._taken.append(now)
        return True

    def charge(self, now: float) -> None:
        """Charge a message that can't be refused (inbound)."""
        self._taken.append(self._within(now))


class PairLimit:
    """One message per 6 s to one recipient, 45 may be borrowed from the future (131056).

    ``silence`` reads Meta's sentence to the letter: whoever sent a burst within 6 seconds is silent until it is paid
    back, two minutes after one of twenty. GUESS: without it the debt may stand, as long as it is below 45 messages.
    """

    def __init__(self, interval: float = PAIR_INTERVAL, burst: int = PAIR_BURST) -> None:
        self._interval = interval
        self._burst = burst
        self._due: dict[str, tuple[float, float]] = {}
        """Recipient -> start of the burst, theoretical time of the next message."""

    def take(self, recipient: str, now: float, *, silence: bool = False) -> bool:
        began, due = self._due.get(recipient, (now, now))
        if due <= now or began > now:  # nothing owed, or the clock was moved back
            began, due = now, now
        if due - now > self._interval * (self._burst - 1) or (silence and now - began >= self._interval):
            return False
        if len(self._due) >= PAIR_KNOWN:
            self._due = {who: known for who, known in self._due.items() if known[1] > now}
        self._due[recipient] = (began, due + self._interval)
        return True


class HourlyCalls:
    """Management calls of one WABA in a moving hour (80007)."""

    def __init__(self) -> None:
        self._calls: deque[float] = deque()

    def take(self, now: float, limit: int) -> bool:
        while self._calls and not now - HOUR < self._calls[0] <= now:
            self._calls.popleft()
        if len(self._calls) >= limit:
            return False
        self._calls.append(now)
        return True

    def usage(self, waba_id: str, now: float, limit: int) -> str:
        """The ``X-Business-Use-Case-Usage`` header: how much of the hour is used, in percent, and when one may go on
        (minutes). GUESS: its ``type`` for WhatsApp, and that it counts nothing but calls."""
        share = 100 * len(self._calls) // limit if limit else 100
        full = len(self._calls) >= limit
        wait = -(-(self._calls[0] + HOUR - now) // 60) if full and self._calls else 0
        told = {
            "type": "whatsapp",
            "call_count": int(share),
            "total_cputime": 0,
            "total_time": 0,
            "estimated_time_to_regain_access": int(wait),
        }
        return json.dumps({waba_id: [told]}, separators=(",", ":"))
