"""Background work: Procrastinate's queue, entered from our own transactions.

A job is enqueued with the rows that make it necessary, so neither can exist without the other. Features
register their tasks on ``blueprint`` objects; ``twinline.wiring`` brings them together.

What is added to the engine:

* A job whose ``queueing_lock`` waits already is brought forward instead of added twice.
* A job that is to be tried again, while another of its queueing lock waits, ends: the other one is its next try. The
  engine would fail here, and keep the job "running", with its lock, for as long as the worker lives.
* The same would happen when the database is away in the moment that a job ends, so the engine insists.
* Jobs of a worker that died are recovered in one transaction: two workers that notice it don't both start them.
* A process has a worker for each share of its queues. They listen on one connection, look with one statement whether
  anything is due, beat with one, and defer what is periodic once: an idle process asks the database little.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

import procrastinate
import psycopg
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, get_channel_for_queues

from twinline.db import listening
from twinline.db.engine import Database, Tx, as_json
from twinline.kit import log

INSIST = 30  # seconds

SOMETHING: Final = json.dumps({"type": "job_inserted", "job_id": 0})  # as the engine says it; it asks which job itself

logger = log.get("db.jobs")

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

ANY_STALLED = """
SELECT EXISTS (
    SELECT FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
    WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => %(seconds)s))
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

# Only jobs that were just added announce themselves; these are due because of the time, or since their lock is free.
DUE = """
SELECT array_agg(r.queue) FROM unnest(%(queues)s::text[]) AS r(queue)
WHERE EXISTS (
    SELECT FROM procrastinate_jobs j
    WHERE j.queue_name = r.queue AND j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())
      AND NOT EXISTS (SELECT FROM procrastinate_jobs other WHERE other.lock = j.lock AND other.status = 'doing')
)
"""

BEAT = "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = ANY(%(workers)s)"


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
    if not await db.value(ANY_STALLED, {"seconds": seconds}):
        return []
    async with db.transaction() as tx:
        stalled: dict[int, str] = dict(await tx.rows(STALLED, {"seconds": seconds}))
        retired = {row[0] for row in await tx.rows(RETIRE, {"ids": list(stalled)})} if stalled else set()
        if again := [job for job in stalled if job not in retired]:
            await tx.execute(REVIVE, {"ids": again})
    return list(stalled.values())


async def listen(db: Database, queue: procrastinate.App, queues: Sequence[str]) -> None:
    """Until cancelled: workers of this process begin what is added to ``queues`` at once."""
    bells = _bells(queue)

    async def hear(notices: Sequence[psycopg.Notify] | None) -> None:
        if notices is None:
            await bells.ring_all()
        for notice in notices or ():
            await bells.ring(notice.channel, notice.payload)

    await listening.listen(db, list(get_channel_for_queues(queues)), hear)


async def look(db: Database, queue: procrastinate.App, queues: Sequence[str], every: float) -> None:
    """Until cancelled: they begin what has become due no later than ``every`` seconds afterwards."""
    bells = _bells(queue)
    while True:
        try:
            due = await db.value(DUE, {"queues": list(queues)})
            for channel in get_channel_for_queues(due) if due else ():
                await bells.ring(channel, SOMETHING)
        except (psycopg.Error, OSError) as error:
            logger.warning("not_looked", error=type(error).__name__)
        await asyncio.sleep(every)


class _Bells(procrastinate.PsycopgConnector):
    """The engine's connections. What wakes its workers is rung by ``listen`` and ``look``, for all of a process."""

    def __init__(self, url: str) -> None:
        # Each of the engine's statements is a transaction by itself.
        super().__init__(conninfo=url, min_size=1, max_size=6, kwargs={"autocommit": True})
        self._workers: dict[str, Notify] = {}  # by channel

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        self._workers |= dict.fromkeys(channels, on_notification)
        await asyncio.Event().wait()  # until the worker ends

    async def ring(self, channel: str, told: str) -> None:
        if worker := self._workers.get(channel):
            await worker(channel=channel, payload=told)

    async def ring_all(self) -> None:
        for channel in list(self._workers):
            await self.ring(channel, SOMETHING)


def _bells(queue: procrastinate.App) -> _Bells:
    assert isinstance(queue.connector, _Bells)
    return queue.connector


class _Jobs(JobManager):
    def __init__(self, connector: _Bells, heartbeat: float) -> None:
        super().__init__(connector)
        self._heartbeat = heartbeat
        self._alive: dict[int, float] = {}  # workers of this process -> when each last wanted to beat
        self._beaten = 0.0  # these are monotonic seconds
        self._periodic: dict[tuple[str, str], int] = {}  # task and id -> for which time it was deferred

    async def register_worker(self) -> int:
        worker = await super().register_worker()
        self._alive[worker] = monotonic()
        return worker

    async def unregister_worker(self, worker_id: int) -> None:
        self._alive.pop(worker_id, None)
        await super().unregister_worker(worker_id)

    async def update_heartbeat(self, worker_id: int) -> None:
        """One beats for all that want to, unless one just has."""
        before, now = self._beaten, monotonic()
        self._alive[worker_id] = now
        if now - before < self._heartbeat * 3 / 4:
            return
        self._beaten = now
        try:
            workers = [worker for worker, wanted in self._alive.items() if now - wanted <= 2 * self._heartbeat]
            await self.connector.execute_query_async(BEAT, workers=workers)
        except BaseException:
            self._beaten = before
            raise

    async def defer_periodic_job(self, job: Job, periodic_id: str, defer_timestamp: int) -> int | None:
        """As the engine, which answers None where another worker was first; one of this process needn't ask."""
        name = (job.task_name, periodic_id)
        before = self._periodic.get(name)
        if before is not None and before >= defer_timestamp:
            return None
        self._periodic[name] = defer_timestamp
        try:
            return await super().defer_periodic_job(job, periodic_id, defer_timestamp)
        except BaseException:
            self._periodic.pop(name)
            raise

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


def engine(url: str, heartbeat: float = 0.0) -> procrastinate.App:
    """The queue on the database at ``url``, not yet open and without tasks.

    ``heartbeat``: the seconds after which each of its workers beats, where there are several.
    """
    connector = _Bells(url)
    queue = procrastinate.App(connector=connector)
    queue.job_manager = _Jobs(connector, heartbeat)
    return queue
