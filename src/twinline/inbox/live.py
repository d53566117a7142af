"""The live stream: what one transaction committed, every open browser knows a moment later.

Each web process has one hub. It listens on one connection, and a notice only says *where to read*: the hub then reads
the rows of ``events`` that it hasn't seen. Events of a number are counted without gaps, and become visible in that
order (the writer holds the number's turn until its commit), so "everything above the last one" is never too little.
That is why nothing depends on a notice arriving: a dropped connection, or a notice lost with it, only delays, since
the hub looks for itself when it reconnects and every few seconds besides.

A browser brings along up to where it knows (its cursor: ``number:seq,number:seq``, rendered into the page in the same
transaction as the rows, and afterwards the id of the last message it got). It is entered among the subscribers first,
then the events between its cursor and now are read from the table, then it follows the hub; what comes both ways is
recognised by its number. If it is too far behind, or too slow to take what it is sent, it is told to load the page
again instead, which is cheaper than telling it everything.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
import psycopg
from psycopg import Notify

from twinline.app import App
from twinline.db import listening
from twinline.kit import log
from twinline.mirror import events

logger = log.get("inbox.live")

BEHIND: Final = 1_000  # events; whoever is further behind loads the page again
QUEUE: Final = 2_000  # events that may wait for a slow browser
HEARTBEAT: Final = 15.0  # seconds; proxies cut a connection that is silent
SWEEP: Final = 5.0  # seconds; how late an event can be whose notice was lost
LIFE: Final = 900.0  # seconds; then the browser connects anew, and is asked again who it is

# Number by number: joined at large, every event of a number is read to find those above.
NEWER = """
SELECT r.number_id, e.seq, e.body
FROM unnest(%(numbers)s::bigint[], %(seqs)s::bigint[]) AS r(number_id, seq)
CROSS JOIN LATERAL (
    SELECT seq, body FROM events WHERE number_id = r.number_id AND seq > r.seq ORDER BY seq LIMIT %(limit)s
) e
ORDER BY r.number_id, e.seq
LIMIT %(limit)s
"""

NUMBERS = "SELECT id, event_seq FROM numbers WHERE organisation_id = %s"

Cursor = dict[int, int]


def parse(text: str | None) -> Cursor:
    """``1:55,2:9`` -> {1: 55, 2: 9}. What can't be read is left out: its number starts at the present."""
    cursor: Cursor = {}
    for part in (text or "").split(",")[:10_000]:
        number, _, seq = part.partition(":")
        with contextlib.suppress(ValueError):
            cursor[int(number)] = int(seq)
    return cursor


def unparse(cursor: Mapping[int, int]) -> str:
    return ",".join(f"{number}:{seq}" for number, seq in sorted(cursor.items()))


@dataclass(frozen=True, slots=True)
class Event:
    number_id: int
    seq: int
    data: str  # the JSON that the browser gets, made once for all of them


@dataclass(eq=False, slots=True)
class Subscriber:
    """One open stream. ``cursor`` names its numbers and how far it knows each."""

    cursor: Cursor
    heads: Cursor  # where its numbers stood when it came
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))  # None: the last one
    overflown: bool = False

    def offer(self, event: Event | None) -> None:
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.overflown = True

    def takes(self, event: Event) -> bool:
        """Whether it is news; then the cursor moves on."""
        if event.seq <= self.cursor[event.number_id]:
            return False
        self.cursor[event.number_id] = event.seq
        return True


class Live:
    """The hub of a web process."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._subscribers: dict[int, set[Subscriber]] = defaultdict(set)  # by number
        self._open: set[Subscriber] = set()  # also those that watch no number
        self._closed = False
        self._heads: Cursor = {}  # of the numbers that somebody watches
        self._told: set[int] = set()  # numbers of which there is news, or may be
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(listening.listen(self._app.db, [events.CHANNEL], self._hear)),
            asyncio.create_task(self._pump()),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def close(self) -> None:
        """The process is going: streams end, and browsers connect to whoever serves next."""
        self._closed = True
        for subscriber in self._open:
            subscriber.offer(None)

    # --- reading --------------------------------------------------------------------------------------------------

    async def _hear(self, notices: Sequence[Notify] | None) -> None:
        """Wakes the pump when something concerns a watched number, or may have."""
        self._look(self._heads if notices is None else (n for told in notices for n in parse(told.payload)))

    def _look(self, numbers: Iterable[int]) -> None:
        watched = self._heads.keys() & numbers
        if watched:
            self._told |= watched
            self._due.set()

    async def _pump(self) -> None:
        """Reads what is new and hands it round. Notices that come meanwhile are one more round, not one each."""
        now = asyncio.get_running_loop().time
        swept = now()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), swept + SWEEP - now())
            if now() >= swept + SWEEP:  # also where notices never cease
                self._look(self._heads)
                swept = now()
            self._due.clear()
            numbers, self._told = self._told, set()
            try:
                await self._round(numbers)
            except (psycopg.Error, OSError) as error:
                logger.warning("events_not_read", error=type(error).__name__)
                await asyncio.sleep(1)
                self._look(numbers)

    async def _round(self, numbers: Iterable[int]) -> None:
        known = {number: self._heads[number] for number in numbers if number in self._heads}
        if not known:
            return
        found = await self._read(known, QUEUE)
        for event in found:
            if event.seq > self._heads.get(event.number_id, event.seq):
                self._heads[event.number_id] = event.seq
            for subscriber in self._subscribers.get(event.number_id, ()):
                subscriber.offer(event)
        if len(found) == QUEUE:
            self._look(numbers)

    async def _read(self, above: Cursor, limit: int) -> list[Event]:
        params = {"numbers": list(above), "seqs": list(above.values()), "limit": limit}
        rows = await self._app.db.rows(NEWER, params)
        return [
            Event(number, seq, orjson.dumps({"number_id": number, "seq": seq, **body}).decode())
            for number, seq, body in rows
        ]

    # --- streaming ------------------------------------------------------------------------------------------------

    async def stream(self, organisation_id: int, since: str | None) -> AsyncIterator[str]:
        """Server-sent events for one browser: of the numbers that its cursor names, else of all the organisation's.

        Numbers of other organisations are left out, whatever the cursor says.
        """
        subscriber = await self._enter(organisation_id, parse(since))
        try:
            yield "retry: 1000\n\n"
            async for events in self._follow(subscriber):
                news = [f"data: {event.data}\n\n" for event in events if subscriber.takes(event)]
                if news:
                    # The id stands with the last: whoever loses the stream midway is told of all these again.
                    news[-1] = f"id: {unparse(subscriber.cursor)}\n{news[-1]}"
                    yield "".join(news)
                elif not events:
                    yield ": still here\n\n"
            if subscriber.overflown:
                yield "event: reload\ndata: {}\n\n"
        finally:
            self._leave(subscriber)

    async def _enter(self, organisation_id: int, wanted: Cursor) -> Subscriber:
        """Entered before the heads are read: an event committed in between comes to the queue, and one committed
        before lies between cursor and head."""
        async with self._app.db.transaction() as tx:
            own = {row[0]: row[1] for row in await tx.rows(NUMBERS, (organisation_id,))}
        numbers = [number for number in wanted if number in own] if wanted else list(own)
        heads = {number: own[number] for number in numbers}
        subscriber = Subscriber({n: min(wanted.get(n, head), head) for n, head in heads.items()}, heads)
        self._open.add(subscriber)
        if self._closed:
            subscriber.offer(None)
        for number in numbers:
            self._subscribers[number].add(subscriber)
            # The first to watch a number starts the hub at that subscriber's present.
            self._heads.setdefault(number, heads[number])
        self._look(numbers)
        return subscriber

    def _leave(self, subscriber: Subscriber) -> None:
        self._open.discard(subscriber)
        for number in subscriber.cursor:
            watching = self._subscribers.get(number)
            if watching is not None:
                watching.discard(subscriber)
                if not watching:
                    del self._subscribers[number]
                    self._heads.pop(number, None)

    async def _follow(self, subscriber: Subscriber) -> AsyncIterator[list[Event]]:
        """First what the browser missed, then what comes; nothing when nothing came for a while. Ends on overflow."""
        if sum(subscriber.heads.values()) - sum(subscriber.cursor.values()) > BEHIND:
            subscriber.overflown = True
            return
        missed = await self._read(subscriber.cursor, QUEUE)
        if not _whole(missed, subscriber):
            subscriber.overflown = True
            return
        if missed:
            yield missed
        ends = asyncio.get_running_loop().time() + LIFE
        while not subscriber.overflown and asyncio.get_running_loop().time() < ends:
            try:
                came = [await asyncio.wait_for(subscriber.queue.get(), HEARTBEAT)]
            except TimeoutError:
                yield []
                continue
            while not subscriber.queue.empty():
                came.append(subscriber.queue.get_nowait())
            news = [event for event in came if event is not None]
            if news:
                yield news
            if len(news) < len(came):
                return


def _whole(missed: Iterable[Event], subscriber: Subscriber) -> bool:
    """Whether these are all events since the cursor; old ones may have been cleared away."""
    reached = dict(subscriber.cursor)
    for event in missed:
        if event.seq != reached[event.number_id] + 1:
            return False
        reached[event.number_id] = event.seq
    return all(reached[number] >= head for number, head in subscriber.heads.items())
