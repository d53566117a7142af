"""Writes down what became of messages, for all drains of a process: what comes together is one transaction.

A number at full speed has twenty results a second, and a process may drain many numbers. A transaction each would cost
more than sending. So whatever comes within ``GATHER`` is settled together, under the turns of all its numbers, which
are taken in the order of ids, as everywhere. A caller waits for the commit. If the process dies before it, these
messages are in doubt, as they would be had it died a moment earlier, and their statuses settle them.
"""

import asyncio
from collections.abc import Sequence

import psycopg
from psycopg_pool import PoolTimeout

from twinline.app import App
from twinline.mirror import turn
from twinline.sending import service
from twinline.sending.models import Result

GATHER = 0.03  # seconds
PAUSES = (0.5, 2.0, None)  # seconds between tries to write to a database that is away
AWAY = (psycopg.OperationalError, PoolTimeout)

Waiting = tuple[Result, asyncio.Future[None]]


class Clerk:
    def __init__(self, app: App) -> None:
        self._app = app
        self._waiting: list[Waiting] = []
        self._work: asyncio.Task[None] | None = None

    async def settle(self, result: Result) -> None:
        """Returns when it is written. Raises what the database says to it."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((result, done))
        if self._work is None:
            self._work = asyncio.create_task(self._write_all())
        await done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER)
                batch, self._waiting = self._waiting, []
                await self._write(batch)
        finally:
            self._work = None

    async def _write(self, batch: Sequence[Waiting]) -> None:
        try:
            await self._commit([result for result, _ in batch])
        except Exception as error:
            # Nobody is to blame for a database that is away; of anything else only the culprit hears.
            if len(batch) > 1 and not isinstance(error, AWAY):
                for one in batch:
                    await self._write([one])
                return
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    async def _commit(self, results: Sequence[Result]) -> None:
        for pause in PAUSES:
            try:
                async with self._app.db.pipelined() as tx:
                    await turn.take(tx, {result.number_id for result in results})
                    await service.settle(tx, results, self._app.clock.now())
                return
            except AWAY:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
