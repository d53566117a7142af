"""Background work: Procrastinate's queue, entered from our own transactions.

A job is enqueued with the rows that make it necessary, so neither can exist without the other. Features
register their tasks on ``blueprint`` objects; ``twinline.wiring`` brings them together.
"""

from datetime import datetime
from typing import Any

import procrastinate

from twinline.db.engine import Tx, as_json

DEFER = """
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
    %(queue)s, %(task)s, %(priority)s, %(lock)s, %(queueing_lock)s, %(args)s::jsonb, %(at)s
)::procrastinate_job_to_defer_v1])
WHERE %(queueing_lock)s::text IS NULL OR NOT EXISTS (
    SELECT FROM procrastinate_jobs WHERE queueing_lock = %(queueing_lock)s AND status = 'todo'
)
"""


async def defer(
    tx: Tx,
    task: str,
    *,
    queue: str,
    lock: str | None = None,
    queueing_lock: str | None = None,
    priority: int = 0,
    at: datetime | None = None,
    **args: Any,
) -> None:
    """Enqueues ``task`` when this transaction commits.

    With a ``queueing_lock`` nothing is added while one waits already; callers hold the number's row then, so
    that two of them can't both find none.
    """
    await tx.execute(
        DEFER,
        {
            "queue": queue,
            "task": task,
            "priority": priority,
            "lock": lock,
            "queueing_lock": queueing_lock,
            "args": as_json(args),
            "at": at,
        },
    )


def engine(url: str) -> procrastinate.App:
    """The queue on the database at ``url``, not yet open and without tasks."""
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=6))
