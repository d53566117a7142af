"""What the drains of a process hear: one connection that listens, whatever the number of lanes (``mirror.pace``)."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from twinline.db import Database
from twinline.kit import log
from twinline.mirror import pace

AGAIN_AFTER = 2.0  # seconds before a connection that was lost is opened anew

Hearer = Callable[[pace.Charge | None], None]
"""Told that its number is wanted, or of a charge."""

logger = log.get("sending.ears")


class Ears:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._hearers: dict[int, Hearer] = {}

    @contextmanager
    def hearing(self, number_id: int, hearer: Hearer) -> Iterator[None]:
        """While this lasts ``hearer`` is told of what concerns the number, if ``listen`` runs."""
        self._hearers[number_id] = hearer
        try:
            yield
        finally:
            if self._hearers.get(number_id) is hearer:
                del self._hearers[number_id]

    async def listen(self) -> None:
        """Until cancelled. Without a connection nobody hears anything, which costs time and is no error."""
        while True:
            try:
                connection = await self._db.listener()
                try:
                    await connection.execute(f"LISTEN {pace.CHANNEL}")
                    for hearer in list(self._hearers.values()):
                        hearer(None)  # something may have been said while nobody listened
                    async for notice in connection.notifies():
                        self._tell(notice.payload)
                finally:
                    await connection.close()
            except psycopg.Error as error:
                logger.warning("ears_lost", error=type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER)

    def _tell(self, told: str) -> None:
        for heard in pace.read(told):
            charge = heard if isinstance(heard, pace.Charge) else None
            hearer = self._hearers.get(heard.number_id if isinstance(heard, pace.Charge) else heard)
            if hearer is not None:
                hearer(charge)
