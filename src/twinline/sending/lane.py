"""The lane: drains one number's outbox inside its 20 messages a second.

**One drain per number.** It is a job under the lock ``lane:<number>``, so however many workers there are, one of them
drains a number at a time, and rows found in ``sending`` at its start belong to a drain that died: nobody knows whether
Meta took them, so they become *in doubt*. Nothing in doubt is sent again by itself. (A drain that only seemed dead may
wake beside its successor. Each row was still marked by one of them, and the budget is the number's, not theirs.)

**Reserve, mark, commit, then speak.** ``plan`` is one short transaction under the number's turn: it reserves instants
from the number's budget (``rules.budget``: exact, whoever else charges it), picks as many rows in the order of lanes,
asks every rule once more, since much may have changed since they were written (who has the floor, the window, the
number itself), and marks them ``sending``. Only then each is sent, at its instant. It never reserves more than half a
second ahead: that is what a person's reply may have to wait for behind a campaign, and what a crash can put in doubt.
It looks again while a quarter of a second is still reserved, so that planning costs no slot.

**Twenty arrive, not only leave.** Sends buy intervals of 51 ms where 50 would do: 98 % of the budget, and 20 ms of
room for the way to Meta. However late this process is woken, it doesn't catch up in a burst, and begins no send before
a second and that room have passed since the twentieth before it. Where Meta finds that too fast all the same, because
the way is uneven, the room doubles for the rest of the drain. Files are uploaded before a message gets its instant,
since an upload takes as long as it takes.

**Order inside a chat is kept.** A chat has one message under way at a time; what waits in it goes lane by lane, then
in the order it was written, and a message that is to be tried again later holds back those behind it.

**Settled once.** Graph's answer, or a status webhook that carries our callback data, ends a row's way, whichever comes
first. No answer leaves it in doubt; a status settles that; ten minutes of silence make it *unknown*, which a person
sees. "Too fast" halts the number and puts back what was reserved but not yet said.

**Whatever breaks, the lane goes on.** An error nobody foresaw ends the drain after the calls under way had time to
end, and the job runs again in three seconds. A lane that has lost even its job is found once a minute.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import psycopg
from psycopg_pool import PoolTimeout

from twinline.app import App
from twinline.db import Tx
from twinline.kit import log
from twinline.kit.clock import microseconds
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import events, turn
from twinline.rules.budget import SECOND, THROUGHPUT
from twinline.rules.outcomes import Class
from twinline.sending import compose, queries, service
from twinline.sending.models import Draft, Outgoing, Sender

LIMIT = SECOND // THROUGHPUT.interval_us  # messages a second
ROOM = SECOND // 50  # microseconds that messages may gain on each other on their way
MOST_ROOM = SECOND // 5
BREATH = SECOND // 22  # between two sends at least, also when catching up: no bursts
PACE = replace(THROUGHPUT, interval_us=(SECOND + ROOM) // LIMIT)
HORIZON = SECOND // 2
SLOTS = HORIZON // PACE.interval_us + 1
AHEAD = 5  # rows still to be sent when it is time to plan again
AT_ONCE = 60  # calls under way: three seconds of a slow Graph, and no more than that in doubt if it never answers
UPLOADS = 2  # files under way; each is held in memory

LULL = 0.05  # seconds between two plans at least
LOOK_EVERY = 0.25  # seconds: while calls are under way, new rows are found so soon
LINGER = timedelta(seconds=5)  # a drain doesn't stay for what is to be tried later than that
PAUSES = (0.5, 2.0, None)  # seconds between tries to write to a database that is away
LAST_WORDS = 10.0  # seconds that calls under way get when the drain must end
DESPAIR_AFTER = timedelta(minutes=10)

logger = log.get("sending.lane")


@dataclass(frozen=True, slots=True)
class Round:
    """What one transaction of the drain decided."""

    sender: Sender
    rows: Sequence[tuple[Outgoing, int]]  # marked ``sending``, each with its instant in microseconds
    files: Sequence[Outgoing]  # whose files go to Meta first
    again_at: datetime | None  # when there may be more to plan; None: not by waiting alone


async def drain(app: App, number_id: int) -> None:
    """Sends what waits, until nothing does."""
    await _Drain(app, number_id).run()


async def plan(app: App, number_id: int, uploading: Sequence[int] = ()) -> Round | None:
    """Reserves instants, picks rows, marks them ``sending``. None when the number is gone."""
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        now = app.clock.now()
        moment = microseconds(now)
        named = {"number": number_id, "now": now}
        sender = await tx.one(Sender, queries.SENDER, named)
        if sender is None:
            return None
        files: Sequence[Outgoing] = ()
        if len(uploading) < UPLOADS:
            sought = {**named, "uploading": list(uploading), "limit": UPLOADS - len(uploading)}
            files = await tx.all(Outgoing, queries.TO_UPLOAD, sought)
        granted = PACE.reserve(sender.budget_tat, moment, SLOTS, HORIZON).times
        waiting = await tx.all(Outgoing, queries.NEXT, {**named, "limit": max(1, len(granted))})
        if not waiting:
            return Round(sender, (), files, await tx.value(queries.POSTPONED_UNTIL, named))
        if not granted:
            return Round(sender, (), files, now + timedelta(microseconds=sender.budget_tat - HORIZON - moment))
        ready = [row for row in waiting if await _still_allowed(tx, sender, row, now)]
        # Only what is used is paid for: the rest of the half second stays free for a reply that comes meanwhile.
        used = PACE.reserve(sender.budget_tat, moment, len(ready), HORIZON)
        await tx.execute(queries.SPEND, {"number": number_id, "tat": used.tat})
        await tx.execute(queries.MARK_SENDING, {**named, "ids": [row.id for row in ready]})
        # Others wait if this was all there was room for; a message that was dropped may have held back the next.
        more = len(waiting) == len(granted) or len(ready) < len(waiting)
        again_at = now if more else await tx.value(queries.POSTPONED_UNTIL, named)
        return Round(sender, list(zip(ready, used.times, strict=True)), files, again_at)


async def _still_allowed(tx: Tx, sender: Sender, row: Outgoing, now: datetime) -> bool:
    """Asks every rule once more. A message that somebody's word overtook is dropped, any other refused one fails."""
    draft = Draft(row.type, row.text, row.content, row.quoted)
    refused = service.refusal(sender, row, draft, row.lane, service.HOLDERS[row.author], now, row.epoch)
    if refused is None:
        return True
    if refused.rule.startswith("floor."):
        await service.settle(tx, sender.id, row.id, "cancelled", now, text=refused.text)
    else:
        await service.settle(tx, sender.id, row.id, "failed", now, text=f"{refused.text} {refused.what_to_do}")
    return False


class _Drain:
    """One drain at work: a planner, a speaker that keeps the instants, and the calls under way."""

    def __init__(self, app: App, number_id: int) -> None:
        self._app = app
        self._number_id = number_id
        self._sender: Sender
        self._reserved: deque[tuple[Outgoing, int]] = deque()
        self._uploading: set[int] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._spoke: deque[int] = deque([0] * LIMIT, LIMIT)  # when the last sends began, in microseconds
        self._room = ROOM
        self._planned = asyncio.Event()  # for the speaker
        self._news = asyncio.Event()  # for the planner
        self._broken: BaseException | None = None

    async def run(self) -> None:
        await self._update(queries.ABANDONED)
        speaker = asyncio.create_task(self._speak())
        speaker.add_done_callback(self._ended)
        try:
            await self._plan()
        finally:
            speaker.cancel()
            await self._close()
        if self._broken is not None:
            raise self._broken

    # --- the planner ----------------------------------------------------------------------------------------------

    async def _plan(self) -> None:
        while self._broken is None:
            self._news.clear()
            planned = await plan(self._app, self._number_id, list(self._uploading))
            if planned is None:
                return
            self._sender = planned.sender
            self._reserved.extend(planned.rows)
            self._planned.set()
            for row in planned.files:
                self._uploading.add(row.id)
                self._start(self._upload(row))
            if not await self._wait(planned.again_at):
                return
            while len(self._reserved) > AHEAD and self._broken is None:
                self._news.clear()
                await self._news.wait()

    async def _wait(self, again_at: datetime | None) -> bool:
        """Until it may be worth planning again; False when this drain has nothing left to do."""
        idle = not (self._reserved or self._under_way or self._news.is_set())
        if again_at is None:
            if idle:
                return False
            await self._hear(LOOK_EVERY)
            return True
        pause = again_at - self._app.clock.now()
        if idle and pause > LINGER:
            async with self._app.db.transaction() as tx:
                await turn.take(tx, [self._number_id])
                await service.wake(tx, self._number_id, pause)
            return False
        if pause > timedelta(0):
            await self._hear(min(pause.total_seconds(), LOOK_EVERY))
        return True

    async def _hear(self, seconds: float) -> None:
        """Waits for news, at most so long, and at least for the lull."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return
        await asyncio.sleep(min(seconds, LULL))

    # --- the speaker ----------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        while True:
            while not self._reserved:
                self._planned.clear()
                await self._planned.wait()
            await self._places.acquire()
            while self._reserved:  # what was reserved may be put back meanwhile
                row, instant = self._reserved[0]
                now = microseconds(self._app.clock.now())
                wait = max(instant, self._spoke[-1] + BREATH, self._spoke[0] + SECOND + self._room) - now
                if wait <= 0:
                    break
                await asyncio.sleep(wait / SECOND)
            else:
                self._places.release()
                continue
            self._reserved.popleft()
            self._spoke.append(now)
            self._start(self._send(row)).add_done_callback(lambda _: self._places.release())
            if len(self._reserved) <= AHEAD:
                self._news.set()

    # --- the calls ------------------------------------------------------------------------------------------------

    def _start(self, call: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(call)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("drain_broken", number=self._number_id, error=type(error).__name__)
            self._broken = self._broken or error
        self._news.set()

    async def _send(self, row: Outgoing) -> None:
        try:
            token = self._token()
            sent = await self._app.graph.send_message(
                self._sender.phone_number_id, compose.body(self._number_id, row), token=token
            )
        except VaultError as error:
            await self._settle(row, "failed", text=str(error))
        except GraphError as error:
            if error.ambiguous:
                await self._update(queries.DOUBT, id=row.id, text=error.outcome.says)
            else:
                await self._refused(row, error)
        else:
            await self._settle(row, "sent", wamid=sent.wamid)

    async def _upload(self, row: Outgoing) -> None:
        """The file of a message goes to Meta, once: its id is kept with the row. Repeating it does no harm."""
        content = row.content or {}
        try:
            token = self._token()
            data = await asyncio.to_thread(self._read, content["file"])
            mime, name = content["mime_type"], content.get("filename") or "file"
            media_id = await self._app.graph.upload_media(self._sender.phone_number_id, data, mime, name, token=token)
        except VaultError as error:
            await self._settle(row, "failed", text=str(error))
        except OSError as error:
            logger.error("file_gone", number=self._number_id, outbox=row.id, error=type(error).__name__)
            await self._settle(row, "failed", text="The file of this message can't be read any more. Attach it again.")
        except GraphError as error:
            await self._refused(row, error)
        else:
            about = {"mime": mime, "sha256": content.get("sha256"), "size": len(data), "file": content["file"]}
            named = {"number": self._number_id, "id": row.id, "media_id": media_id}

            async def write(tx: Tx) -> None:
                await tx.execute(queries.UPLOADED, {**named, **about})
                await tx.execute(queries.REMEMBER_UPLOAD, named)

            await self._in_turn(write)
        finally:
            self._uploading.discard(row.id)

    def _token(self) -> str:
        if self._sender.token is None:
            raise VaultError("This number has no token: paste one on its page, or connect it again.")
        return self._app.vault.unseal(self._sender.token)

    def _read(self, file: str) -> bytes:
        with self._app.files.open(file) as stream:
            return stream.read()

    async def _refused(self, row: Outgoing, error: GraphError) -> None:
        """It certainly wasn't carried out. The table of outcomes decides by code, never by HTTP status."""
        outcome = error.outcome
        logger.warning("send_failed", number=self._number_id, outbox=row.id, code=error.code, klass=outcome.klass)
        text = outcome.says if error.answered else "WhatsApp couldn't be reached, so this wasn't sent."
        wait = outcome.wait_before(row.attempts + 1)
        if wait is None:
            await self._settle(row, "failed", code=error.code, text=text)
            return
        if outcome.klass is Class.THROTTLE:
            self._room = min(2 * self._room, MOST_ROOM)
            await self._halt(wait)
        await self._update(
            queries.POSTPONE,
            id=row.id,
            not_before=self._app.clock.now() + timedelta(seconds=wait),
            attempts=row.attempts if outcome.is_throttle else row.attempts + 1,
            code=error.code,
            text=text,
        )

    async def _halt(self, seconds: float) -> None:
        """The number is silent for a while; what was reserved goes back to be planned anew."""
        ids = self._unspoken()

        async def write(tx: Tx) -> None:
            tat = await tx.value(queries.BUDGET, {"number": self._number_id})
            tat = THROUGHPUT.halt(tat, microseconds(self._app.clock.now()), seconds)
            await tx.execute(queries.SPEND, {"number": self._number_id, "tat": tat})
            await self._tell(tx, await tx.rows(queries.PUT_BACK, {"number": self._number_id, "ids": ids}))

        await self._in_turn(write)

    async def _close(self) -> None:
        """Cut off in the middle: what wasn't said goes back, what is being said gets time to be answered."""
        if ids := self._unspoken():
            await self._update(queries.PUT_BACK, ids=ids)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_WORDS)
        late = list(self._under_way)
        for call in late:
            call.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _unspoken(self) -> list[int]:
        ids = [row.id for row, _ in self._reserved]
        self._reserved.clear()
        return ids

    # --- rows -----------------------------------------------------------------------------------------------------

    async def _settle(
        self, row: Outgoing, state: str, *, wamid: str | None = None, code: int | None = None, text: str | None = None
    ) -> None:
        async def write(tx: Tx) -> None:
            now = self._app.clock.now()
            await service.settle(tx, self._number_id, row.id, state, now, wamid=wamid, code=code, text=text)

        await self._in_turn(write)

    async def _update(self, statement: str, **params: object) -> None:
        async def write(tx: Tx) -> None:
            await self._tell(tx, await tx.rows(statement, {"number": self._number_id, **params}))

        await self._in_turn(write)

    async def _in_turn(self, write: Callable[[Tx], Awaitable[None]]) -> None:
        """Writes down, under the number's turn, what Meta said: worth more than one try if the database is away."""
        for pause in PAUSES:
            try:
                async with self._app.db.transaction() as tx:
                    await turn.take(tx, [self._number_id])
                    await write(tx)
                return
            except (psycopg.OperationalError, PoolTimeout):
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _tell(self, tx: Tx, rows: Sequence[tuple[object, ...]]) -> None:
        await _tell(tx, self._number_id, rows, self._app.clock.now())


# --- once a minute ------------------------------------------------------------------------------------------------


async def despair(app: App) -> None:
    """What stayed in doubt without a word from Meta becomes *unknown*: a person decides what to do."""
    before = app.clock.now() - DESPAIR_AFTER
    async with app.db.transaction() as tx:
        numbers = [row[0] for row in await tx.rows(queries.NUMBERS_IN_DOUBT, {"before": before})]
    for number_id in numbers:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            now = app.clock.now()
            rows = await tx.rows(queries.DESPAIR, {"number": number_id, "before": before, "now": now})
            await _tell(tx, number_id, rows, now)


async def rescue(app: App) -> None:
    """Lanes that have something to do but no job get one."""
    async with app.db.transaction() as tx:
        numbers = [row[0] for row in await tx.rows(queries.FORSAKEN)]
    for number_id in numbers:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            await service.wake(tx, number_id)


async def _tell(tx: Tx, number_id: int, rows: Sequence[tuple[object, ...]], now: datetime) -> None:
    if rows:
        await events.publish(tx, {number_id: {"outbox": [list(row) for row in rows]}}, now)
