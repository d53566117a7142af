"""How fast a number may speak: one integer, exact for any number of processes.

A number that is shared with a phone has a fixed 20 messages a second, inbound and outbound counted
together; Meta never raises it, and answers 130429 above it (Meta: throughput). Whoever wants to send asks
for instants; whoever sees an inbound message charges it. Both do so on one value per number, the
*theoretical arrival time* (`tat`) of the generic cell rate algorithm: the microsecond up to which
everything is paid for. Each message buys one interval of 1/20 s, so instants handed out are at least that
far apart, and the process that reads, computes and writes `tat` under a row lock needs to know nothing
about the others.

What holds, for the throughput budget:

- No second [t, t + 1 s) ever holds more than 20 instants that were handed out. There is no burst: a burst
  of b would have to be paid for with b - 1 messages of every second's rate, and nothing here is worth that.
- When an instant is handed out, the second that ends with it holds at most 20 messages, itself and
  every inbound message known by then included.
- While work waits and somebody asks at least once per horizon, every interval is used.

What can't hold: an inbound message isn't foreseen. One that comes when 20 instants of its second are
already given away makes 21; the budget pays it back by staying silent afterwards. The shorter the horizon,
the smaller the overlap.

The limit for a pair (one message every 6 s to the same person, bursts of 45 borrowed from the future) is
the same rule with other numbers.
"""

from dataclasses import dataclass
from typing import Final

SECOND: Final = 1_000_000
"""Microseconds in a second: every time and length here is an integer of microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The instants granted, in order, and the `tat` to keep; before it, asking again is of no use."""

    times: tuple[int, ...]
    tat: int


@dataclass(frozen=True, slots=True)
class Budget:
    """One message every `interval_us`; up to `burst` at once out of a rested budget.

    `memory_us` is how long the other side remembers an inbound message: charging never silences the budget
    for longer than that, since a second later a flood no longer counts.
    """

    interval_us: int
    burst: int
    memory_us: int

    def charge(self, tat: int, now: int, n: int) -> int:
        """`n` inbound messages have come: they are paid for, allowed or not. Gives the new `tat`."""
        if n <= 0:
            return tat
        debt = max(tat, now) + n * self.interval_us
        return max(tat, min(debt, now + self.memory_us))

    def reserve(self, tat: int, now: int, wanted: int, horizon_us: int) -> Reservation:
        """Up to `wanted` instants from `now` to `now + horizon_us`, each paid for in the new `tat`.

        An instant that is reserved but not used is lost, not given back: that is the price of exactness,
        and one more reason to keep the horizon short.
        """
        last = now + horizon_us
        times: list[int] = []
        while len(times) < wanted:
            instant = max(now, tat - self._credit)
            if instant > last:
                break
            times.append(instant)
            tat = max(tat, instant) + self.interval_us
        return Reservation(tuple(times), tat)

    def halt(self, tat: int, now: int, seconds: float) -> int:
        """Meta said "too fast" (130429, 131056): nothing for `seconds`, and no burst after them."""
        return max(tat, now + round(seconds * SECOND) + self._credit)

    @property
    def _credit(self) -> int:
        return (self.burst - 1) * self.interval_us


THROUGHPUT: Final = Budget(interval_us=SECOND // 20, burst=1, memory_us=SECOND)
"""20 messages a second, in and out (Meta: throughput, numbers in use with the WhatsApp Business app)."""

PAIR: Final = Budget(interval_us=6 * SECOND, burst=45, memory_us=0)
"""One message every 6 s to one person, at most 45 at once (Meta: pair rate limits). Inbound doesn't count
here.
"""
