"""What the drains of a process hear: one connection that listens, whatever the number of lanes (``mirror.pace``)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from psycopg import Notify

from twinline.db import Database, listening
from twinline.mirror import pace

Hearer = Callable[[pace.Charge | None], None]
"""Told that its number is wanted, or of a charge."""


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
        await listening.listen(self._db, [pace.CHANNEL], self._hear)

    async def _hear(self, notices: Sequence[Notify] | None) -> None:
        if notices is None:
            for hearer in list(self._hearers.values()):
                hearer(None)
        for notice in notices or ():
            self._tell(notice.payload)

    def _tell(self, told: str) -> None:
        for heard in pace.read(told):
            charge = heard if isinstance(heard, pace.Charge) else None
            hearer = self._hearers.get(heard.number_id if isinstance(heard, pace.Charge) else heard)
            if hearer is not None:
                hearer(charge)
