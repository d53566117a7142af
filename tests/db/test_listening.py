"""Whoever listens hears everything that is said, or hears that something may have been missed."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg import Notify
from tests.fixtures.patience import comes

from twinline.db import Database, listening

pytestmark = pytest.mark.anyio

LISTENERS = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
CUT = f"SELECT count(pg_terminate_backend(pid)) {LISTENERS}"


class Listener:
    """What was heard so far: a None for each time at which something may have been missed."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []
        self.together: list[int] = []
        self.troubles: list[Exception] = []

    async def hear(self, notices: Sequence[Notify] | None) -> None:
        if self.troubles:
            raise self.troubles.pop()
        if notices is None:
            self.heard.append(None)
        else:
            self.heard += [f"{notice.channel}:{notice.payload}" for notice in notices]
            self.together.append(len(notices))

    async def reached(self, *heard: str | None) -> None:
        await comes(lambda: self.heard == list(heard))


@asynccontextmanager
async def listens(db: Database, *channels: str, together: float = 0.0) -> AsyncIterator[Listener]:
    listener = Listener()
    task = asyncio.create_task(listening.listen(db, channels, listener.hear, together=together))
    try:
        await comes(lambda: listener.heard or task.done())
        yield listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def db(empty_database: str) -> AsyncIterator[Database]:
    database = Database(empty_database, size=2)
    await database.open()
    yield database
    await database.close()


async def say(db: Database, *told: str, channel: str = "bakery") -> None:
    """In one transaction each."""
    for one in told:
        await db.value("SELECT pg_notify(%s, %s)", (channel, one))


async def test_what_is_said_is_heard_in_order_on_all_channels_and_on_no_other(db: Database) -> None:
    async with listens(db, "bakery", "#odd \"name'") as listener:
        await say(db, "one", "two")
        await say(db, "nothing to us", channel="butcher")
        await say(db, "three", channel="#odd \"name'")
        await listener.reached(None, "bakery:one", "bakery:two", "#odd \"name':three")


async def test_a_flood_is_heard_whole_and_without_waiting_for_each_notice(db: Database) -> None:
    async with listens(db, "bakery") as listener:
        await db.value("SELECT count(pg_notify('bakery', n || repeat('.', 500))) FROM generate_series(1, 5000) n")
        await comes(lambda: len(listener.heard) == 5001)
        assert [(told or "").partition(".")[0] for told in listener.heard[1:]] == [
            f"bakery:{n}" for n in range(1, 5001)
        ]
        assert len(listener.together) < 2500


async def test_what_comes_within_a_moment_can_be_heard_together(db: Database) -> None:
    async with listens(db, "bakery", together=0.3) as listener:
        await say(db, "one", "two", "three")
        await listener.reached(None, "bakery:one", "bakery:two", "bakery:three")
        assert len(listener.together) < 3


async def test_after_a_cut_it_hears_again_and_knows_that_it_may_have_missed_something(db: Database) -> None:
    async with listens(db, "bakery") as listener:
        await say(db, "before")
        await listener.reached(None, "bakery:before")
        assert await db.value(CUT) == 1
        await say(db, "while nobody listens")
        await comes(lambda: listener.heard.count(None) == 2)
        await say(db, "after")
        await comes(lambda: listener.heard[-1] == "bakery:after")
        assert await db.value(f"SELECT count(*) {LISTENERS}") == 1


async def test_an_error_of_the_database_while_hearing_counts_as_something_missed(db: Database) -> None:
    async with listens(db, "bakery") as listener:
        listener.troubles.append(psycopg.OperationalError("the pool's connection is gone"))
        await say(db, "one")
        await comes(lambda: not listener.troubles)
        await listener.reached(None, None)


async def test_an_error_of_the_listener_itself_is_not_hidden(db: Database) -> None:
    listener = Listener()
    listener.troubles.append(ValueError("a notice nobody understands"))
    with pytest.raises(ValueError, match="nobody understands"):
        await listening.listen(db, ["bakery"], listener.hear)


async def test_while_nobody_answers_it_tries_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and nobody listens there
        taken.bind(("127.0.0.1", 0))
        db = Database(f"postgresql://nobody@127.0.0.1:{taken.getsockname()[1]}/none", size=1)
        pauses: list[float] = []

        async def slept(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 8:
                raise asyncio.CancelledError

        monkeypatch.setattr(listening.asyncio, "sleep", slept)
        with pytest.raises(asyncio.CancelledError):
            await listening.listen(db, ["bakery"], Listener().hear)
    assert pauses[0] == listening.FIRST
    assert pauses[-1] == listening.LONGEST
    assert pauses == sorted(pauses)


async def test_it_ends_when_cancelled_and_leaves_no_connection_behind(db: Database) -> None:
    async with listens(db, "bakery"):
        assert await db.value(f"SELECT count(*) {LISTENERS}") == 1
    gc.collect()  # a connection that nobody closed would complain here
    async with asyncio.timeout(30):
        while await db.value(f"SELECT count(*) {LISTENERS}"):
            await asyncio.sleep(0.01)


async def test_while_nothing_is_said_no_timer_wakes_it(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def noted(*args: Any, **more: Any) -> asyncio.TimerHandle:
        timers.append(call_at(*args, **more))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", noted)
    async with listens(db, "bakery") as listener:
        await say(db, "one")
        await listener.reached(None, "bakery:one")
        for _ in range(10):
            await asyncio.sleep(0)
        # psycopg's own way of waiting sets one that wakes it a tenth of a second later, and then another
        now = loop.time()
        assert not [timer for timer in timers if not timer.cancelled() and now < timer.when() < now + 1]
