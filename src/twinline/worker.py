"""The worker process: runs the queue's jobs.

Each queue has its own share of concurrency, so that a history of a hundred thousand messages, or a slow download,
never keeps a reply from leaving.
"""

import asyncio

import procrastinate

from twinline import wiring
from twinline.app import App
from twinline.kit import log

# Queue -> jobs at once. Lanes spend their time waiting for Graph; folding history is work, and two slices at once keep
# Python and PostgreSQL busy together.
SHARES: dict[tuple[str, ...], int] = {
    ("lane",): 50,
    ("history",): 2,
    ("media",): 6,
    ("sync", "upkeep"): 4,
}
HEARTBEAT = 3.0  # seconds
STALLED_AFTER = 10.0  # seconds without a heartbeat: a lane whose worker was killed stands still no longer than this
RECOVER_EVERY = 5.0  # seconds

logger = log.get("worker")


async def run(app: App) -> None:
    """Works until cancelled. Jobs that were running then are waited for; what is cut off anyway is recovered."""
    async with wiring.engine(app).open_async() as queue:
        context = wiring.context(app)
        async with asyncio.TaskGroup() as group:
            group.create_task(_recover(queue))
            for queues, concurrency in SHARES.items():
                group.create_task(
                    queue.run_worker_async(
                        queues=list(queues),
                        name="+".join(queues),
                        concurrency=concurrency,
                        additional_context=context,
                        install_signal_handlers=False,
                        shutdown_graceful_timeout=5,
                        delete_jobs="successful",
                        update_heartbeat_interval=HEARTBEAT,
                        stalled_worker_timeout=STALLED_AFTER,
                    )
                )


async def run_waiting(app: App, *queues: str) -> None:
    """Runs what waits in these queues now, then returns: for commands that work without a server."""
    async with wiring.engine(app).open_async() as queue:
        await queue.run_worker_async(
            queues=list(queues),
            name="command",
            wait=False,
            additional_context=wiring.context(app),
            install_signal_handlers=False,
            delete_jobs="successful",
        )


async def _recover(queue: procrastinate.App) -> None:
    """Jobs of a worker that died are run again; every task here may be repeated."""
    while True:
        for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
            logger.warning("job_recovered", task=job.task_name)
            await queue.job_manager.retry_job(job)
        await asyncio.sleep(RECOVER_EVERY)
