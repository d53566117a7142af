"""What the engine hears while it tends to a number: that a customer has said something there that is due soon.

It works without it, since it looks by itself now and then; but no customer need wait for that.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from twinline.db import Database
from twinline.kit import log

CHANNEL: Final = "twinline_turns"  # a notice is a number's id (``queries.WAKE_DUE``)
AGAIN_AFTER: Final = 2.0  # seconds before a connection that was lost is opened anew

logger = log.get("automations.ears")


class Ears:
    """One connection that listens, for all numbers that a process tends to."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._hearing: dict[int, asyncio.Event] = {}

    @contextmanager
    def hearing(self, number_id: int) -> Iterator[asyncio.Event]:
        """An event that is set when there is something new, if ``listen`` runs."""
        heard = self._hearing[number_id] = asyncio.Event()
        try:
            yield heard
        finally:
            if self._hearing.get(number_id) is heard:
                del self._hearing[number_id]

    async def listen(self) -> None:
        """Until cancelled."""
        while True:
            try:
                connection = await self._db.listener()
                try:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    for one in self._hearing.values():
                        one.set()  # something may have been said while nobody listened
                    async for notice in connection.notifies():
                        if heard := self._hearing.get(int(notice.payload)):
                            heard.set()
                finally:
                    await connection.close()
            except psycopg.Error as error:
                logger.warning("ears_lost", error=type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER)
