"""A lane's job: one at a time, none lost, none that bars another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from tests.sending.conftest import Shop, error

from twinline import worker
from twinline.db import Database, jobs
from twinline.sending import lane
from twinline.sending.waking import wake

pytestmark = pytest.mark.anyio

ANA, BEA = "351910000001", "351910000002"

WORKER = "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s::interval) RETURNING id"

CUT_OFF = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def working(shop: Shop) -> AsyncIterator[None]:
    """A worker runs meanwhile, on connections of its own, as a process would."""
    db = Database(shop.app.db.url, size=4)
    await db.open()
    task = asyncio.create_task(worker.run(replace(shop.app, db=db)))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await db.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.01)


async def gone(shop: Shop) -> None:
    """Waits until no lane job is left."""
    async with asyncio.timeout(40):
        while await shop.jobs():
            await asyncio.sleep(0.05)


async def test_a_running_worker_sends_what_is_submitted(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    async with working(shop):
        for n in range(5):
            outbox = await shop.says((ana, bea)[n % 2], f"line {n}")
            await shop.until(outbox, "sent")
        await gone(shop)
    assert shop.meta.texts == [f"line {n}" for n in range(5)]


async def test_two_workers_never_drain_one_number_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    drain, at_once, most = lane.Lanes.drain, 0, 0

    async def counted(self, number_id):  # type: ignore[no-untyped-def]
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        await drain(self, number_id)
        at_once -= 1

    monkeypatch.setattr(lane.Lanes, "drain", counted)
    async with working(shop), working(shop):
        for n in range(20):
            await shop.says((ana, bea)[n % 2], f"line {n}")
        await gone(shop)
    assert len(shop.meta.texts) == 20
    assert most == 1


async def test_what_is_pressed_as_a_drain_ends_goes_with_the_next(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain has looked for the last time, its job isn't finished yet: the new message's job waits for the lock."""
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    drain, pressed = lane.Lanes.drain, list[int]()

    async def and_then_somebody_presses(self, number_id):  # type: ignore[no-untyped-def]
        await drain(self, number_id)
        if not pressed:
            pressed.append(await shop.says(bea, "second"))
            await asyncio.sleep(0.2)

    monkeypatch.setattr(lane.Lanes, "drain", and_then_somebody_presses)
    async with working(shop):
        await shop.says(ana, "first")
        await until(lambda: pressed)
        await shop.until(pressed[0], "sent")


async def test_a_job_for_later_bars_no_reply(shop: Shop) -> None:
    """The engine runs jobs of one lock in order, even if the first is planned for later."""
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    shop.meta.will("later", error(131057, 503))
    async with working(shop):
        later = await shop.says(ana, "later")
        async with asyncio.timeout(40):
            while not [job for job in await shop.jobs() if job["scheduled_at"] is not None]:
                await asyncio.sleep(0.05)
        quick = await shop.says(bea, "now")
        await shop.until(quick, "sent")
        assert await shop.state(later) == "queued"


async def test_a_job_that_is_due_later_runs_then(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, "in a moment")
    await shop.execute("DELETE FROM procrastinate_jobs")
    async with shop.app.db.transaction() as tx:
        await wake(tx, shop.number_id, timedelta(seconds=1))
    async with working(shop):
        await shop.until(outbox, "sent")


async def test_a_drain_that_fails_while_another_waits_bars_nobody(shop: Shop) -> None:
    """The engine refuses to put a job back beside one of the same queueing lock, and would run it for ever."""
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    meanwhile: list[int] = []

    async def bug() -> httpx.Response:
        meanwhile.append(await shop.says(bea, "meanwhile"))  # its job waits when this drain fails
        raise ZeroDivisionError

    shop.meta.will("bad", bug)
    async with working(shop):
        bad = await shop.says(ana, "bad")
        await until(lambda: meanwhile)
        await shop.until(meanwhile[0], "sent")
        await shop.until(bad, "in_doubt")
        await gone(shop)


async def test_a_failed_drain_is_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = await shop.customer(ANA)
    plan, tries = lane.plan, 0

    async def broken_twice(*args):  # type: ignore[no-untyped-def]
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise ZeroDivisionError
        return await plan(*args)

    monkeypatch.setattr(lane, "plan", broken_twice)
    async with working(shop):
        outbox = await shop.says(ana, "at last")
        await shop.until(outbox, "sent")
    assert shop.meta.texts == ["at last"]


async def test_stopping_a_worker_puts_nothing_in_doubt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "GRACE", 0.1)
    customers = [await shop.customer(f"35191000{n:04}") for n in range(40)]
    rows = [await shop.says(customer, f"to {n}") for n, customer in enumerate(customers)]
    async with working(shop):
        await until(lambda: len(shop.meta.texts) >= 5)
    assert {await shop.state(row) for row in rows} == {"sent", "queued"}
    # Another worker goes on.
    async with working(shop):
        await gone(shop)
    assert sorted(shop.meta.texts) == sorted(f"to {n}" for n in range(40))


async def test_a_command_sends_without_a_worker(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, "by hand")
    await worker.run_waiting(shop.app, "lane")
    assert await shop.state(outbox) == "sent"
    assert not await shop.jobs()


async def test_a_worker_outlives_the_database(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY", 0.1)
    ana = await shop.customer(ANA)
    async with working(shop):
        await shop.until(await shop.says(ana, "before"), "sent")
        for n in range(3):
            await shop.value(CUT_OFF)
            outbox = None
            async with asyncio.timeout(40):
                while outbox is None:
                    with suppress(Exception):  # our own pool has to notice as well
                        outbox = await shop.says(ana, f"after {n}", idempotency_key=f"{n}")
            async with asyncio.timeout(40):
                while True:
                    with suppress(Exception):
                        if await shop.state(outbox) == "sent":
                            break
                    await asyncio.sleep(0.05)


async def test_a_lane_that_lost_its_job_is_found(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    waiting = await shop.says(ana, "forgotten")
    half = await shop.says(bea, "half said")
    await lane.plan(shop.app, shop.number_id)
    await shop.execute("UPDATE outbox SET state = 'queued' WHERE id = %s", (waiting,))
    await shop.execute("DELETE FROM procrastinate_jobs")
    await lane.rescue(shop.app)
    assert len(await shop.jobs()) == 1
    await lane.rescue(shop.app)
    assert len(await shop.jobs()) == 1
    await worker.run_waiting(shop.app, "lane")
    assert (await shop.state(waiting), await shop.state(half)) == ("sent", "in_doubt")
    await lane.rescue(shop.app)
    assert not await shop.jobs()


# --- jobs of a worker that died -----------------------------------------------------------------------------------


async def stalled(shop: Shop, name: str, *, queueing_lock: str | None = None, silent: str = "1 minute") -> int:
    """A job whose worker was last heard of so long ago."""
    who = await shop.value(WORKER, (silent,))
    async with shop.app.db.transaction() as tx:
        return int(
            await tx.value(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status, worker_id)"
                " VALUES ('lane', %s, %s, 'doing', %s) RETURNING id",
                (name, queueing_lock, who),
            )
        )


async def statuses(shop: Shop) -> dict[str, str]:
    return {job["task_name"]: job["status"] for job in await shop.jobs()}


async def test_a_job_is_recovered_once_however_many_notice(shop: Shop) -> None:
    for n in range(5):
        await stalled(shop, f"dead {n}")
    await stalled(shop, "alive", silent="0 seconds")
    found = await asyncio.gather(*[jobs.recover(shop.app.db, 8) for _ in range(6)])
    assert sorted(name for names in found for name in names) == [f"dead {n}" for n in range(5)]
    assert await statuses(shop) == {**{f"dead {n}": "todo" for n in range(5)}, "alive": "doing"}
    assert await jobs.recover(shop.app.db, 8) == []


async def test_a_job_whose_worker_is_forgotten_is_recovered(shop: Shop) -> None:
    await stalled(shop, "orphan")
    await shop.execute("DELETE FROM procrastinate_workers")
    assert await jobs.recover(shop.app.db, 8) == ["orphan"]
    assert await statuses(shop) == {"orphan": "todo"}


async def test_a_machine_that_was_asleep_lets_its_own_workers_show_signs_of_life_first(shop: Shop) -> None:
    await stalled(shop, "its own")
    looked = shop.clock.now()
    shop.clock.advance(seconds=20)
    looked = await worker.look_for_stalled(shop.app, looked)
    assert await statuses(shop) == {"its own": "doing"}
    shop.clock.advance(seconds=2)
    await worker.look_for_stalled(shop.app, looked)
    assert await statuses(shop) == {"its own": "todo"}


async def test_of_one_queueing_lock_one_job_is_left_waiting(shop: Shop) -> None:
    await stalled(shop, "first", queueing_lock="q")
    await stalled(shop, "second", queueing_lock="q")
    await stalled(shop, "third", queueing_lock="r")
    async with shop.app.db.transaction() as tx:
        await jobs.defer(tx, "waits", queue="lane", queueing_lock="r")
    assert sorted(await jobs.recover(shop.app.db, 8)) == ["first", "second", "third"]
    assert await statuses(shop) == {"first": "todo", "waits": "todo"}


async def test_a_job_put_back_beside_its_twin_ends(shop: Shop) -> None:
    """The engine alone would fail here, and leave the job running for ever."""
    first = await stalled(shop, "runs", queueing_lock="q", silent="0 seconds")
    async with shop.app.db.transaction() as tx:
        await jobs.defer(tx, "waits", queue="lane", queueing_lock="q")
    queue = jobs.engine(shop.app.db.url)
    async with queue.open_async():
        await queue.job_manager.retry_job_by_id_async(first, shop.clock.now())
    assert await statuses(shop) == {"waits": "todo"}
