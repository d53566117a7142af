"""What the engine hears while it tends to a number: that a customer has said something there that is due soon.

It works without it, since it looks by itself now and then; but no customer need wait for that.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from psycopg import Notify

from twinline.db import Database, listening

CHANNEL: Final = "twinline_turns"  # a notice is a number's id (``queries.WAKE_DUE``)


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
        await listening.listen(self._db, [CHANNEL], self._hear)

    async def _hear(self, notices: Sequence[Notify] | None) -> None:
        wanted = self._hearing if notices is None else {int(notice.payload) for notice in notices}
        for number_id in wanted:
            if heard := self._hearing.get(number_id):
                heard.set()
