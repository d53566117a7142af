"""What lanes hear while they run: that there is something new to send, and what customers wrote meanwhile.

A lane works without it, since it looks again every quarter of a second. But a reply need not wait for that, and an
instant that was promised can still give way to a customer's message that came since (``rules.budget``).

Notices are of two kinds, ``<number>`` and ``<number>:<messages>:<microseconds>:<tat>``: so many messages were charged
at that moment, which made the number's ``tat`` this. Those of one transaction travel together, separated by commas.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from twinline.db import Tx

CHANNEL = "twinline_lane"
NOTIFY = "SELECT pg_notify(%(channel)s, %(told)s)"
AT_ONCE = 100  # PostgreSQL takes 8000 bytes in one notice


class Charge(NamedTuple):
    """Inbound messages that used up a number's budget; times in microseconds."""

    number_id: int
    messages: int
    moment: int
    tat: int


async def wake(tx: Tx, number_id: int) -> None:
    """Whoever drains this number looks at once."""
    await _tell(tx, [str(number_id)])


async def charged(tx: Tx, charges: Iterable[Charge]) -> None:
    """Whoever has promised instants of these numbers lets the messages go first."""
    await _tell(tx, [":".join(map(str, charge)) for charge in charges])


def read(told: str) -> Iterator[int | Charge]:
    """What a notice says: numbers to look at, and charges."""
    for part in told.split(","):
        figures = [int(figure) for figure in part.split(":")]
        yield figures[0] if len(figures) == 1 else Charge(*figures)


async def _tell(tx: Tx, parts: Sequence[str]) -> None:
    for start in range(0, len(parts), AT_ONCE):
        await tx.send(NOTIFY, {"channel": CHANNEL, "told": ",".join(parts[start : start + AT_ONCE])})
