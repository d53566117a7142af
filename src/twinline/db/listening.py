"""Hearing what others NOTIFY, for as long as it takes.

A connection of its own listens. When it is lost, for whatever reason, another is opened; and since nobody can say what
was told meanwhile, whoever listens is then told that something may have been missed, and looks for itself.

It waits for the socket, where psycopg's own ``notifies`` would look at it ten times a second, also where nothing is
ever said.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import Notify, sql

from twinline.db.engine import Database
from twinline.kit import log

FIRST: Final = 0.2  # seconds before a connection that was lost is opened anew
LONGEST: Final = 5.0  # seconds, when it fails again and again

logger = log.get("db.listening")


Hear = Callable[[Sequence[Notify] | None], Awaitable[None]]
"""Told of notices that came together. None: some may have been missed, which is so at the beginning too."""


async def listen(db: Database, channels: Sequence[str], hear: Hear, *, together: float = 0.0) -> None:
    """Until cancelled. What comes within ``together`` seconds of a notice is told along with it.

    Where ``hear`` raises an error of the database, its notices count as missed, and it is told so later.
    """
    pause = FIRST
    while True:
        try:
            async with await db.listener() as connection:
                arrived: list[Notify] = []
                connection.add_notify_handler(arrived.append)  # what comes with the answer to a statement
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                await hear(None)
                pause = FIRST
                while True:
                    _take(connection, arrived)
                    if not arrived:
                        await _silence(connection)
                        continue
                    if together:
                        await asyncio.sleep(together)
                        _take(connection, arrived)
                    notices = arrived.copy()
                    arrived.clear()
                    await hear(notices)
        except (psycopg.Error, OSError) as error:
            logger.warning("listener_lost", channels=channels, error=type(error).__name__, again_in=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST)


def _take(connection: psycopg.AsyncConnection[Any], arrived: list[Notify]) -> None:
    """Reads what has come, without waiting. Raises psycopg.Error when the server is gone."""
    connection.pgconn.consume_input()
    while notice := connection.pgconn.notifies():
        arrived.append(Notify(notice.relname.decode(), notice.extra.decode(), notice.be_pid))


async def _silence(connection: psycopg.AsyncConnection[Any]) -> None:
    """Until something comes, be it that the server has gone."""
    loop = asyncio.get_running_loop()
    comes = asyncio.Event()
    loop.add_reader(connection.fileno(), comes.set)
    try:
        await comes.wait()
    finally:
        loop.remove_reader(connection.fileno())
