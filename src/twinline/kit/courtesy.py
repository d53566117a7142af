"""Work that can wait makes room for work that can't, where both share the same cores.

Linux tells for how long somebody has been waiting for a core (pressure stall information, /proc/pressure/cpu). Where it
isn't told, nobody rests.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

PRESSURE: Final = Path("/proc/pressure/cpu")
CROWDED: Final = 0.4  # of the time somebody waits
WINDOW: Final = 0.1  # seconds, at least, that are looked at
RESTS: Final = 5  # times as long as the work before


def stalled() -> float:
    """Seconds, since the machine started, in which somebody waited for a core; 0 where that isn't told."""
    try:
        return int(PRESSURE.read_text().split("total=", 1)[1].split(maxsplit=1)[0]) / 1e6
    except (OSError, IndexError, ValueError):
        return 0.0


class Courtesy:
    """One for a process: the machine is crowded for all of it."""

    def __init__(
        self,
        stalled: Callable[[], float] = stalled,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._stalled, self._now, self._sleep = stalled, now, sleep
        self._at, self._before = now(), stalled()
        self._crowded = False

    @asynccontextmanager
    async def piece(self) -> AsyncIterator[None]:
        """A piece of work that could have waited; a rest follows it when the machine is crowded."""
        begun = self._now()
        yield
        took = self._now() - begun
        await self._sleep(RESTS * took if self._is_crowded() else 0)

    def _is_crowded(self) -> bool:
        passed = self._now() - self._at
        if passed >= WINDOW:
            before, self._before = self._before, self._stalled()
            self._at += passed
            self._crowded = self._before - before > CROWDED * passed
        return self._crowded
