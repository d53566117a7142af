"""Work that can wait makes room for work that can't, where both share the same cores.

It rests while two things are true: somebody waits for a core, and much is going on beside it. Linux tells the one
(pressure stall information, /proc/pressure/cpu; where it isn't told, nobody rests), whoever works tells the other. The
first alone isn't enough: work that can wait crowds a small machine by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

PRESSURE: Final = Path("/proc/pressure/cpu")
CROWDED: Final = 0.25  # of the time somebody waits
LIVELY: Final = 100  # things a second that happen
WINDOW: Final = 0.1  # seconds, at least, that are looked at
RESTS: Final = 5  # times as long as the work before
LONGEST: Final = 1.0  # second of rest, for work may have been waiting itself

Count = Callable[[], Awaitable[int]]


def stalled() -> float:
    """Seconds, since the machine started, in which somebody waited for a core; 0 where that isn't told."""
    try:
        return int(PRESSURE.read_text().split("total=", 1)[1].split(maxsplit=1)[0]) / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0


class Courtesy:
    """One for a process: the machine is ``crowded`` for all of it, as of the last look."""

    def __init__(
        self,
        stalled: Callable[[], float] = stalled,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stalled, self._now, self._sleep = stalled, now, sleep
        self._at, self._waited = now(), stalled()
        self._happened: int | None = None
        self.crowded = False
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def piece(self, happened: Count) -> AsyncIterator[None]:
        """A piece of work that could have waited. On a crowded machine it is the only one, and a rest follows it.

        ``happened`` counts what has been going on beside it, ever since.
        """
        if self.crowded:
            async with self._alone:
                begun = self._now()
                yield
                await self._sleep(min(RESTS * (self._now() - begun), LONGEST))
        else:
            yield
            await self._sleep(0)
        await self._look(happened)

    async def _look(self, happened: Count) -> None:
        passed = self._now() - self._at
        if passed < WINDOW:
            return
        self._at += passed
        waited, self._waited = self._waited, self._stalled()
        before, self._happened = self._happened, await happened()
        lively = before is not None and self._happened - before > LIVELY * passed
        self.crowded = lively and self._waited - waited > CROWDED * passed
