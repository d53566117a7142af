"""What the benches of a whole platform share: a platform that is taken down again, a login, a load that runs beside."""

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
import uvloop

from bench import common
from bench.common import Platform
from twinline.accounts import service as accounts
from twinline.accounts.gate import COOKIE
from twinline.db import Database
from twinline.kit.clock import SystemClock

T = TypeVar("T")

RATE = 1_000  # webhooks a second
NUMBERS = 50  # at most 20 messages a second each, in and out: what 1,000 a second are made of
PEOPLE = 40  # who write to each number


def run(work: Awaitable[T]) -> T:
    """On the fast loop, so that the load generator takes as little of the two cores as it can."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_coroutine(work))


async def _coroutine(work: Awaitable[T]) -> T:
    return await work


@contextmanager
def platform(numbers: int = NUMBERS, **env: str) -> Iterator[Platform]:
    """``common.platform`` with the numbers that carry these benches' load."""
    with common.platform(numbers, **env) as on:
        yield on


def login(on: Platform, organisation: int = 1) -> str:
    """Adds a person and opens a session; answers the value of its Cookie header."""

    async def enter() -> str:
        db = Database(on.url, size=1)
        await db.open()
        try:
            now = SystemClock().now()
            async with db.transaction() as tx:
                await accounts.create_user(tx, organisation, "bench@localhost", "Bench", "owner", "bench-bench", now)
                user = await accounts.authenticate(tx, "bench@localhost", "bench-bench")
                assert user is not None
                session = await accounts.open_session(tx, user, now, {})
            return f"{COOKIE}={session.token}"
        finally:
            await db.close()

    return asyncio.run(enter())


class Traffic:
    """Signed webhooks of one text each, over all numbers evenly; ``person`` never collides between numbers."""

    def __init__(self, numbers: Sequence[tuple[str, str]], seed: int = 1) -> None:
        self._numbers = numbers
        self._draw = random.Random(seed)
        self._next = 0

    def one(self) -> bytes:
        i = self._next % len(self._numbers)
        self._next += 1
        person = i * PEOPLE + self._draw.randrange(PEOPLE)
        return common.request(common.envelope(common.message(self._numbers[i], person)))

    def many(self, count: int) -> list[bytes]:
        return [self.one() for _ in range(count)]

    def everybody(self) -> list[bytes]:
        """One message of each person, so that nobody is new any more."""
        return [
            common.request(common.envelope(common.message(number, i * PEOPLE + k)))
            for i, number in enumerate(self._numbers)
            for k in range(PEOPLE)
        ]

    def until(self, done: Callable[[], bool]) -> "Endless":
        return Endless(self, done)


class Endless:
    """A sequence to iterate over once, that ends when ``done()`` says so."""

    def __init__(self, traffic: Traffic, done: Callable[[], bool]) -> None:
        self._traffic = traffic
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        while not self._done():
            yield self._traffic.one()


class Watch:
    """Asks the database a yes-or-no question over and over, in a thread, and notes when it first said yes."""

    def __init__(self, url: str, question: str, *params: object, every: float = 0.05) -> None:
        self._url = url
        self._question = question
        self._params = params
        self._every = every
        self._end = threading.Event()
        self._armed = threading.Event()
        self.at: float | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def arm(self) -> None:
        """From now on a yes counts."""
        self._armed.set()

    def _ask(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._end.wait(self._every):
                armed = self._armed.is_set()
                row = connection.execute(self._question, self._params).fetchone()
                if armed and row and row[0]:
                    self.at = time.perf_counter()
                    return


ALL_FOLDED = "SELECT NOT EXISTS (SELECT FROM webhooks WHERE state = 'waiting')"


def busy(seconds: float = 0.7) -> float:
    """The share of this machine's cores that is in use now; asked when no bench runs, it is what others use."""

    def jiffies() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        idle = fields[3] + fields[4]
        return sum(fields[:8]), idle

    try:
        total, idle = jiffies()
        time.sleep(seconds)
        total_after, idle_after = jiffies()
    except OSError:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    return 1 - (idle_after - idle) / max(1, total_after - total)


TICKS = os.sysconf("SC_CLK_TCK")


def cpu(folder: Path) -> tuple[float, float]:
    """Core-seconds that the platform on that folder has used: (its Python processes, its PostgreSQL).

    They say what something costs even while others crowd the machine. Zeros where there is no /proc.
    """
    python, postgres = 0.0, 0.0
    mark = f"TWINLINE_DATA={folder}".encode()
    try:
        postmaster = (folder / "postgres" / "postmaster.pid").read_text().split()[0]
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                own = (int(fields[11]) + int(fields[12])) / TICKS
                if entry.name == postmaster:
                    postgres += own + (int(fields[13]) + int(fields[14])) / TICKS
                elif fields[1] == postmaster:
                    postgres += own
                elif mark in (entry / "environ").read_bytes().split(b"\0"):
                    python += own
    except OSError:
        return 0.0, 0.0
    return python, postgres


class Meter:
    """What was used since it was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._python, self._postgres = cpu(folder)

    def read(self) -> tuple[float, float]:
        python, postgres = cpu(self._folder)
        return python - self._python, postgres - self._postgres


class Shares:
    """What the platform on that folder has used since this was made: core-seconds of worker, web and PostgreSQL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._now()

    def read(self) -> dict[str, float]:
        return {who: used - self._before.get(who, 0.0) for who, used in self._now().items()}

    def _now(self) -> dict[str, float]:
        shares = {"worker": 0.0, "web": 0.0, "postgres": cpu(self._folder)[1]}
        mark = f"TWINLINE_DATA={self._folder}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                who = next((name for name in ("worker", "web") if name.encode() in words), None)
                if who and mark in (entry / "environ").read_bytes().split(b"\0"):
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    shares[who] += (int(fields[11]) + int(fields[12])) / TICKS
        return shares
