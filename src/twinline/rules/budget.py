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
- The same is true when a message *leaves*, if whoever holds instants in hand lets every inbound message he
  hears of go first (`give_way`): what is promised but not yet used moves back behind it.
- While work waits and somebody asks at least once per horizon, every interval is used.

What can't hold: an inbound message isn't foreseen. Between the moment when Meta has it and the moment when
we hear of it, a send may leave that makes 21 of its second. To exclude that, a place in every second would
have to stay empty: 5 % of the rate. So it is risked, the budget pays it back by silence, and if Meta does
refuse, the `Ramp` leaves such room by itself, for the minutes in which the number is nearly but not quite
at full speed again.

The limit for a pair (one message every 6 s to the same person, bursts of 45 borrowed from the future) is
the same rule with other numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECOND: Final = 1_000_000
"""Microseconds in a second: every time and length here is an integer of microseconds since the epoch."""


FULL: Final = 1000
"""Full speed, in thousandths."""
_LEAST: Final = 125
_QUICKEST_RECOVERY_US: Final = 5 * SECOND
_RECOVERY_PER_HALT: Final = 2.5


@dataclass(frozen=True, slots=True)
class Ramp:
    """How fast a number speaks after Meta found it too fast: not at all until `since`, then from `share`
    thousandths of its speed back to all of it.

    Half of what was missing is back after `recovery_us`, two thirds after twice as long, and so on: quick
    at first, ever more careful near the limit, where it was found too fast before.
    """

    since: int = 0
    share: int = FULL
    recovery_us: int = 0

    def at(self, moment: int) -> int:
        """The speed at that moment, in thousandths; during the halt the one it will begin with."""
        if self.share == FULL:
            return FULL
        missing = (FULL - self.share) * self.recovery_us // (self.recovery_us + max(0, moment - self.since))
        return FULL - missing

    def setbacks(self, moment: int) -> int:
        """How often in a row it was too fast, as far as that still shows: the length of the next halt."""
        speed, n = self.at(moment), 0
        while speed * 7 <= FULL * 5:  # nearer to a half than to the whole
            speed, n = speed * 2, n + 1
        return n

    def slower(self, spoken: int, now: int, seconds: float) -> "Ramp":
        """Meta refused what was sent at `spoken`: a halt from now, and half the speed that was too much.

        A message that was sent before the last halt's end says nothing new, and changes nothing.
        """
        if spoken < self.since:
            return self
        halt = round(seconds * SECOND)
        recovery = max(_QUICKEST_RECOVERY_US, round(halt * _RECOVERY_PER_HALT))
        return Ramp(now + halt, max(_LEAST, self.at(spoken) // 2), recovery)


AT_FULL_SPEED: Final = Ramp()


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

    def reserve(self, tat: int, now: int, wanted: int, horizon_us: int, ramp: Ramp = AT_FULL_SPEED) -> Reservation:
        """Up to `wanted` instants from `now` to `now + horizon_us`, each paid for in the new `tat`.

        An instant that is reserved but not used is lost, not given back: that is the price of exactness,
        and one more reason to keep the horizon short.
        """
        last = now + horizon_us
        times: list[int] = []
        while len(times) < wanted:
            instant = max(now, self.free_at(tat), ramp.since)
            if instant > last:
                break
            times.append(instant)
            tat = max(tat, instant) + self.interval_us * FULL // ramp.at(instant)
        return Reservation(tuple(times), tat)

    def give_way(self, promised: Sequence[int], now: int, n: int) -> int:
        """By how much `promised`, instants in order that aren't used yet, move back when `n` inbound messages
        have come: those go first, as if they had been known when the instants were handed out.
        """
        return self.charge(promised[0], now, n) - promised[0] if promised else 0

    def halt(self, tat: int, now: int, seconds: float) -> int:
        """Meta said "too fast" (130429, 131056): nothing for `seconds`, and no burst after them."""
        return max(tat, now + round(seconds * SECOND) + self._credit)

    def free_at(self, tat: int) -> int:
        """From when on there is room for one more."""
        return tat - self._credit

    @property
    def _credit(self) -> int:
        return (self.burst - 1) * self.interval_us


THROUGHPUT: Final = Budget(interval_us=SECOND // 20, burst=1, memory_us=SECOND)
"""20 messages a second, in and out (Meta: throughput, numbers in use with the WhatsApp Business app)."""

PAIR: Final = Budget(interval_us=6 * SECOND, burst=45, memory_us=0)
"""One message every 6 s to one person, at most 45 at once (Meta: pair rate limits). Inbound doesn't count
here.
"""
