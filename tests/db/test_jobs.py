"""The workers of a process share what they ask the database, and miss nothing by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from tests.fixtures.patience import PATIENCE, comes

from twinline.app import App
from twinline.db import jobs

pytestmark = pytest.mark.anyio

QUEUES = ["bread", "cake"]
LONG = 1000.0  # seconds: a way that mustn't be what helps

AGE = "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'"
SILENT = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat < now() - interval '1 minute'"
PERIODIC = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'bread.daily'"


class Bakery:
    def __init__(self, app: App) -> None:
        self.app = app
        self.queue = jobs.engine(app.db.url, heartbeat=LONG)
        self.baked: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

        @self.queue.task(name="bake")
        async def bake(what: str) -> None:
            self.baked.append(what)
            await self.may_end.wait()

    async def order(self, queue: str, what: str, after: timedelta | None = None, lock: str | None = None) -> None:
        async with self.app.db.transaction() as tx:
            await jobs.defer(tx, "bake", queue=queue, after=after, lock=lock, what=what)

    @asynccontextmanager
    async def open(self, look_every: float | None) -> AsyncIterator[None]:
        """With a worker for each queue, which don't look by themselves."""
        async with self.queue.open_async():
            shared = [jobs.listen(self.app.db, self.queue, QUEUES)]
            if look_every is not None:
                shared.append(jobs.look(self.app.db, self.queue, QUEUES, look_every))
            workers = [
                self.queue.run_worker_async(
                    queues=[queue],
                    concurrency=4,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=LONG,
                    update_heartbeat_interval=LONG,
                )
                for queue in QUEUES
            ]
            tasks = [asyncio.create_task(one) for one in (*shared, *workers)]
            try:
                yield
            finally:
                self.may_end.set()
                for task in tasks:
                    task.cancel()
                for task in tasks:
                    with suppress(asyncio.CancelledError):
                        await task


async def test_what_is_added_is_begun_without_anybody_looking(app: App) -> None:
    bakery = Bakery(app)
    for queue in QUEUES:
        await bakery.order(queue, f"the first of {queue}")
    async with bakery.open(look_every=None), asyncio.timeout(PATIENCE):
        await comes(lambda: len(bakery.baked) == 2)  # now all are awake, and wait for more
        for queue in QUEUES:
            while queue not in bakery.baked:  # the engine is deaf for a moment whenever it has just looked
                await bakery.order(queue, queue)
                await asyncio.sleep(0.02)


async def test_what_becomes_due_by_time_or_by_a_free_lock_is_found_by_the_shared_look(app: App) -> None:
    bakery = Bakery(app)
    bakery.may_end.clear()
    async with bakery.open(look_every=0.05):
        await bakery.order("cake", "later", after=timedelta(seconds=0.3))
        await bakery.order("bread", "first", lock="oven")
        await bakery.order("bread", "second", lock="oven")
        await comes(lambda: sorted(bakery.baked) == ["first", "later"])
        bakery.may_end.set()
        await comes(lambda: bakery.baked[-1] == "second")


async def test_the_look_goes_on_after_the_database_failed_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    bakery = Bakery(app)
    failed = 0

    async def fails(*_: Any, **__: Any) -> Any:
        nonlocal failed
        failed += 1
        raise psycopg.OperationalError

    with monkeypatch.context() as away:
        away.setattr(app.db, "value", fails)
        looking = asyncio.create_task(jobs.look(app.db, bakery.queue, QUEUES, 0.01))
        await comes(lambda: failed > 1)
        looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def test_only_queues_with_something_to_begin_are_due(app: App) -> None:
    bakery = Bakery(app)
    async with bakery.queue.open_async():

        async def due() -> list[str] | None:
            return await app.db.value(jobs.DUE, {"queues": QUEUES})  # type: ignore[no-any-return]

        await bakery.order("cake", "later", after=timedelta(hours=1))
        await bakery.order("bread", "first", lock="oven")
        assert await due() == ["bread"]
        await app.db.value("UPDATE procrastinate_jobs SET status = 'doing' WHERE lock = 'oven' RETURNING id")
        await bakery.order("bread", "second", lock="oven")
        assert await due() is None
        await bakery.order("cake", "now")
        assert await due() == ["cake"]


async def test_one_heartbeat_speaks_for_all_workers_of_the_process(app: App) -> None:
    queue = jobs.engine(app.db.url, heartbeat=LONG)
    stranger = jobs.engine(app.db.url)
    async with queue.open_async(), stranger.open_async():
        ours = [await queue.job_manager.register_worker() for _ in range(3)]
        theirs = await stranger.job_manager.register_worker()
        await queue.job_manager.unregister_worker(ours.pop())
        async with app.db.transaction() as tx:
            await tx.execute(AGE)
        await queue.job_manager.update_heartbeat(ours[0])
        assert await app.db.value(SILENT) == 1  # the stranger, who has its own
        async with app.db.transaction() as tx:
            await tx.execute(AGE)
        await queue.job_manager.update_heartbeat(ours[1])
        assert await app.db.value(SILENT) == 3  # one has just beaten
        await stranger.job_manager.update_heartbeat(theirs)
        assert await app.db.value(SILENT) == 2


async def test_nobody_beats_for_a_worker_that_does_not_want_to_any_more(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ended in disorder is still registered; its jobs have to be found."""
    now = 0.0
    monkeypatch.setattr(jobs, "monotonic", lambda: now)
    queue = jobs.engine(app.db.url, heartbeat=2.0)
    async with queue.open_async():
        lives, _ended = [await queue.job_manager.register_worker() for _ in range(2)]
        for now in (2.0, 4.0, 6.0):
            async with app.db.transaction() as tx:
                await tx.execute(AGE)
            await queue.job_manager.update_heartbeat(lives)
            assert await app.db.value(SILENT) == (1 if now > 4 else 0)


async def test_where_one_heart_fails_the_next_beats_for_all(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = jobs.engine(app.db.url, heartbeat=LONG)
    async with queue.open_async():
        ours = [await queue.job_manager.register_worker() for _ in range(2)]
        async with app.db.transaction() as tx:
            await tx.execute(AGE)

        async def away(*_: Any, **__: Any) -> None:
            raise ConnectorException

        with monkeypatch.context() as gone:
            gone.setattr(queue.connector, "execute_query_async", away)
            with pytest.raises(ConnectorException):
                await queue.job_manager.update_heartbeat(ours[0])
        await queue.job_manager.update_heartbeat(ours[1])
        assert await app.db.value(SILENT) == 0


async def test_what_is_periodic_is_deferred_once_by_a_process_and_again_when_that_failed(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = jobs.engine(app.db.url)
    asked = 0

    @queue.task(name="bread.daily", queue="bread")
    async def daily(timestamp: int) -> None: ...

    async def defer(at: int) -> int | None:
        job = daily.configure(task_kwargs={"timestamp": at}).job
        return await queue.job_manager.defer_periodic_job(job, "daily", at)

    async with queue.open_async():
        ask = queue.connector.execute_query_one_async

        async def counted(*args: Any, **more: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise ConnectorException
            return await ask(*args, **more)

        monkeypatch.setattr(queue.connector, "execute_query_one_async", counted)
        with pytest.raises(ConnectorException):
            await defer(60)
        assert [await defer(60) is None for _ in range(3)] == [False, True, True]
        assert await defer(120) is not None
    assert (asked, await app.db.value(PERIODIC)) == (3, 2)
