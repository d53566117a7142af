"""How far a message got, as one ladder.

Statuses arrive late, twice and in any order, and `read` may come without `delivered`. So a message keeps
the highest rung it was ever seen on, and merging two reports is taking the greater. FAILED stands above
SENT and below DELIVERED: a failure ends a sending, but a message that somebody has in hand didn't fail,
whatever a stray report says.
"""

from enum import IntEnum
from types import MappingProxyType
from typing import Final


class Delivery(IntEnum):
    """The rungs, in order; the number is what the database keeps."""

    NONE = 0
    PENDING = 1
    ACCEPTED = 2
    SENT = 3
    FAILED = 4
    DELIVERED = 5
    READ = 6
    PLAYED = 7


_WORDS: Final = MappingProxyType(
    {
        "pending": Delivery.PENDING,
        "accepted": Delivery.ACCEPTED,
        # Pacing holds a template back and may still release it: accepted, not failed (Meta: template pacing).
        "held_for_quality_assessment": Delivery.ACCEPTED,
        "paused": Delivery.ACCEPTED,
        "sent": Delivery.SENT,
        "failed": Delivery.FAILED,
        "error": Delivery.FAILED,
        "delivered": Delivery.DELIVERED,
        "read": Delivery.READ,
        "played": Delivery.PLAYED,
    }
)


def join(one: Delivery, other: Delivery) -> Delivery:
    """What two reports about the same message say together; order and repetition don't matter."""
    return max(one, other)


def parse(word: str | None) -> Delivery:
    """A status as Meta spells it, in any case: `sent` in `statuses`, `READ` in `history_context`.

    ERROR (history only) means FAILED; a word that is unknown or missing says nothing, so it is NONE.
    """
    return _WORDS.get((word or "").strip().lower(), Delivery.NONE)
