"""The worker process: runs the queue's jobs.

Each queue has its own share of concurrency, so that a history of a hundred thousand messages, or a slow download,
never keeps a reply from leaving.

A worker that is killed leaves its jobs marked as running. Every worker looks for such jobs, and runs them again within
seconds; every task here may be repeated. When the database goes away, a worker waits for it instead of ending.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import procrastinate

from twinline.app import App
from twinline.db import jobs
from twinline.kit import log

# Queue -> jobs at once. Lanes spend their time waiting for Graph, campaigns for their lane, automations for customers.
# Folding history is work: while one body waits for the disk or for its number's turn, others keep Python and PostgreSQL
# busy together.
SHARES: dict[tuple[str, ...], int] = {
    ("lane",): 200,
    ("automation",): 200,
    ("outside",): 50,
    ("webhook",): 100,
    ("campaign",): 100,
    ("history",): 4,
    ("media",): 6,
    ("sync", "upkeep"): 4,
}
QUEUES = [name for names in SHARES for name in names]
# Seconds between two looks at all queues. New jobs announce themselves; jobs whose lock is free again, or whose time
# has come, don't, and a reply must not wait for that.
LOOK_EVERY = 0.5
POLL = 60.0  # seconds between two looks of each worker's own, which are only a habit of the engine
HEARTBEAT = 2.0  # seconds
STALLED_AFTER = 8.0  # seconds without a heartbeat: a lane whose worker was killed stands still little longer than this
RECOVER_EVERY = 2.0  # seconds
GRACE = 5.0  # seconds that jobs get to finish when the worker is stopped
RETRY = 2.0  # seconds before a worker that lost the database tries again

ALIVE = "SELECT EXISTS (SELECT FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => %s))"

logger = log.get("worker")


async def run(app: App) -> None:
    """Works until cancelled. Jobs that were running then are waited for; what is cut off anyway is recovered."""
    from twinline import wiring  # every feature: a command that only asks whether a worker runs needn't wait for it
    from twinline.webhooks_out import jobs as webhooks

    async with wiring.engine(app, HEARTBEAT).open_async() as queue:
        _end_if_cancelled()
        context = wiring.context(app)
        ears = (context["lanes"].listen(), context["ears"].listen(), webhooks.listen(app))
        queues = (jobs.listen(app.db, queue, QUEUES), jobs.look(app.db, queue, QUEUES, LOOK_EVERY))
        tasks = [asyncio.create_task(one) for one in (_recover(app), *ears, *queues)]
        for share, concurrency in SHARES.items():
            tasks.append(asyncio.create_task(_work(queue, share, concurrency, context)))
        try:
            await asyncio.gather(*tasks)
        finally:
            await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels until all have ended: an engine's worker that is just starting doesn't hear it the first time."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=GRACE + 1)


async def _work(
    queue: procrastinate.App, queues: Sequence[str], concurrency: int, context: Mapping[str, object]
) -> None:
    """The engine's worker ends when the database goes away, in one way or another; then it is started again."""
    options: dict[str, Any] = {
        "queues": list(queues),
        "name": "+".join(queues),
        "concurrency": concurrency,
        "additional_context": dict(context),
        "install_signal_handlers": False,
        "fetch_job_polling_interval": POLL,
        "shutdown_graceful_timeout": GRACE,
        "delete_jobs": "successful",
        "update_heartbeat_interval": HEARTBEAT,
        "stalled_worker_timeout": STALLED_AFTER,
    }
    while True:
        try:
            await queue.run_worker_async(**options)
            _end_if_cancelled()
        except Exception as error:
            logger.error("worker_failed", queues=options["name"], error=type(error).__name__)
        logger.warning("worker_restarts", queues=options["name"])
        await asyncio.sleep(RETRY)


def _end_if_cancelled() -> None:
    """The engine takes a cancellation as a wish to stop, and returns; so does the opening of its connections.

    Whoever cancelled us still means it.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def is_running(app: App) -> bool:
    """Whether a worker shows signs of life, on whatever machine."""
    async with app.db.transaction() as tx:
        return bool(await tx.value(ALIVE, (STALLED_AFTER,)))


async def run_waiting(app: App, *queues: str) -> None:
    """Runs what waits in these queues now, then returns: for commands that work without a server."""
    from twinline import wiring

    await jobs.recover(app.db, STALLED_AFTER)
    async with wiring.engine(app).open_async() as queue:
        await queue.run_worker_async(
            queues=list(queues),
            name="command",
            wait=False,
            additional_context=wiring.context(app),
            install_signal_handlers=False,
            delete_jobs="successful",
            update_heartbeat_interval=HEARTBEAT,  # other workers take its jobs for abandoned otherwise
            stalled_worker_timeout=STALLED_AFTER,
        )


async def _recover(app: App) -> None:
    looked = app.clock.now()
    while True:
        looked = await look_for_stalled(app, looked)
        await asyncio.sleep(RECOVER_EVERY)


async def look_for_stalled(app: App, before: datetime) -> datetime:
    """Jobs of a worker that died are run again; answers when it looked, for the next time.

    If the last look, ``before``, is long ago, this machine was asleep, and its own workers are those that look dead:
    then they show signs of life first.
    """
    now = app.clock.now()
    if now - before > timedelta(seconds=STALLED_AFTER / 2):
        logger.info("was_asleep", seconds=int((now - before).total_seconds()))
        return now
    try:
        for task in await jobs.recover(app.db, STALLED_AFTER):
            logger.warning("job_recovered", task=task)
    except Exception as error:
        logger.error("recovery_failed", error=type(error).__name__)
    return now
