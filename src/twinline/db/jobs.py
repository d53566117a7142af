"""Background work: Procrastinate's queue, entered from our own transactions.

A job is enqueued with the rows that make it necessary, so neither can exist without the other. Features
register their tasks on ``blueprint`` objects; ``twinline.wiring`` brings them together.

What is added to the engine:

* A job whose ``queueing_lock`` waits already is brought forward instead of added twice.
* A job that is to be tried again, while another of its queueing lock waits, ends: the other one is its next try. The
  engine would fail here, and keep the job "running", with its lock, for as long as the worker lives.
* The same would happen when the database is away in the moment that a job ends, so the engine insists.
* Jobs of a worker that died are recovered in one transaction: two workers that notice it don't both start them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Status
from procrastinate.manager import JobManager

from twinline.db.engine import Database, Tx, as_json

INSIST = 30  # seconds

# Taken away and added anew rather than moved, since only a new job wakes the workers.
BRING_FORWARD = """
DELETE FROM procrastinate_jobs
WHERE queueing_lock = %(queueing_lock)s AND status = 'todo'
  AND scheduled_at > now() + coalesce(%(after)s::interval, '0')
"""

DEFER = """
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
    %(queue)s, %(task)s, %(priority)s, %(lock)s, %(queueing_lock)s, %(args)s::jsonb, now() + %(after)s::interval
)::procrastinate_job_to_defer_v1])
WHERE %(queueing_lock)s::text IS NULL OR NOT EXISTS (
    SELECT FROM procrastinate_jobs WHERE queueing_lock = %(queueing_lock)s AND status = 'todo'
)
"""

# Rows that another process recovers at this moment are skipped; a row that it has just recovered no longer fits.
STALLED = """
SELECT j.id, j.task_name
FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => %(seconds)s))
ORDER BY j.id
FOR NO KEY UPDATE OF j SKIP LOCKED
"""

# Of one queueing lock one job may wait: where it does already, or an older stalled one will, this one ends here.
RETIRE = """
DELETE FROM procrastinate_jobs j
WHERE j.id = ANY(%(ids)s) AND EXISTS (
    SELECT FROM procrastinate_jobs twin
    WHERE twin.queueing_lock = j.queueing_lock AND (twin.status = 'todo' OR twin.id = ANY(%(ids)s) AND twin.id < j.id)
)
RETURNING j.id
"""

REVIVE = "SELECT procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL) FROM unnest(%(ids)s::bigint[]) AS r(id)"


async def defer(
    tx: Tx,
    task: str,
    *,
    queue: str,
    lock: str | None = None,
    queueing_lock: str | None = None,
    priority: int = 0,
    after: timedelta | None = None,
    **args: Any,
) -> None:
    """Enqueues ``task`` when this transaction commits, to run at once or ``after`` a while.

    With a ``queueing_lock`` at most one waits, for the earlier of the two times; callers hold the number's row
    then, so that two of them can't both find none. A while, not a time: the queue goes by the database's clock,
    which isn't the one that tests and the demo move.
    """
    params = {
        "queue": queue,
        "task": task,
        "priority": priority,
        "lock": lock,
        "queueing_lock": queueing_lock,
        "args": as_json(args),
        "after": after,
    }
    if queueing_lock is not None:
        await tx.execute(BRING_FORWARD, params)
    await tx.execute(DEFER, params)


async def recover(db: Database, seconds: float) -> list[str]:
    """Jobs of workers without a heartbeat for so long are run again. Answers the names of their tasks."""
    async with db.transaction() as tx:
        stalled: dict[int, str] = dict(await tx.rows(STALLED, {"seconds": seconds}))
        retired = {row[0] for row in await tx.rows(RETIRE, {"ids": list(stalled)})} if stalled else set()
        if again := [job for job in stalled if job not in retired]:
            await tx.execute(REVIVE, {"ids": again})
    return list(stalled.values())


class _Jobs(JobManager):
    async def retry_job_by_id_async(
        self,
        job_id: int,
        retry_at: datetime,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        put_back = super().retry_job_by_id_async
        try:
            await _insist(lambda: put_back(job_id, retry_at, priority, queue, lock))
        except UniqueViolation:
            await self.finish_job_by_id_async(job_id, Status.FAILED, delete_job=True)

    async def finish_job_by_id_async(self, job_id: int, status: Status, delete_job: bool) -> None:
        finish = super().finish_job_by_id_async
        await _insist(lambda: finish(job_id, status, delete_job))


async def _insist(write: Callable[[], Awaitable[None]]) -> None:
    for _ in range(INSIST):
        try:
            return await write()
        except ConnectorException as error:
            if not isinstance(error.__cause__, psycopg.OperationalError):
                raise
            await asyncio.sleep(1)
    return await write()


def engine(url: str) -> procrastinate.App:
    """The queue on the database at ``url``, not yet open and without tasks."""
    queue = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, min_size=1, max_size=6))
    queue.job_manager = _Jobs(queue.connector)
    return queue
