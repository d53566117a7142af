"""A number's turn: whoever writes about a number first locks its row, and holds it until the commit.

That one rule carries much of the platform. Two batches can't deadlock, since turns are taken in the order of ids.
Two processes can't make two contacts of one person. An answer that is about to leave can't miss the reply that the
owner's phone sent a moment ago. And the numbers of events have no gaps.
"""

from collections.abc import Iterable

from twinline.db import Tx

TAKE = "SELECT id FROM numbers WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"


async def take(tx: Tx, number_ids: Iterable[int]) -> set[int]:
    """Waits for its turn with each of these numbers; answers those that exist."""
    return {row[0] for row in await tx.rows(TAKE, (sorted(set(number_ids)),))}
