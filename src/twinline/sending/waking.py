"""How a number's lane is set going; see ``lane``."""

from datetime import timedelta

from twinline.db import Tx
from twinline.db.jobs import defer
from twinline.mirror import pace


async def wake(tx: Tx, number_id: int, after: timedelta | None = None) -> None:
    """Sees to it that the number's lane is drained (again); a drain that runs looks at once.

    The caller holds the number's turn.
    """
    lane = f"lane:{number_id}"
    await defer(tx, "sending.drain", queue="lane", lock=lane, queueing_lock=lane, after=after, number_id=number_id)
    if after is None:
        await pace.wake(tx, number_id)
