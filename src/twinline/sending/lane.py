"""The lane: drains one number's outbox inside its 20 messages a second.

**One drain per number.** It is a job under the lock ``lane:<number>``, so however many workers there are, one of them
drains a number at a time, and rows found in ``sending`` at its start belong to a drain that died: nobody knows whether
Meta took them, so they become *in doubt*. Nothing in doubt is sent again by itself. (A drain that only seemed dead may
wake beside its successor. Each row was still marked by one of them, and the budget is the number's, not theirs.)

**Reserve, mark, commit, then speak.** ``plan`` is one short transaction under the number's turn: it reserves instants
from the number's budget (``rules.budget``: exact, whoever else charges it), picks as many rows in the order of lanes,
asks every rule once more, since much may have changed since they were written (who has the floor, the window, the
number itself, what Meta has stopped), and marks them ``sending``. Only then each is sent, at an instant. It never
reserves more than half a second ahead, which is what a crash can put in doubt. It looks again while a quarter of a
second is still reserved, so that planning costs no slot.

**Instants belong to the number, not to a message.** The next one goes to the most urgent row in hand. So a reply needs
no free place in the half second that a campaign has reserved: it is bought one at the end of it, and leaves first. It
also finds a place among the calls under way when a slow Graph has taken all that machines may have, and a place for its
file when theirs are going up. Drains listen (``ears``), so a reply is found when it is written.

**Twenty arrive, not only leave.** Instants are a little further apart than 50 ms, and no send begins before a second
and some have passed since the twentieth message before it, in or out, however late this process was woken. A message
for which a connection had to be made first counts from when it left over it. What customers write while instants are
in hand goes first: it is heard of as it is committed, and what wasn't said yet moves back behind it. A customer's
message that is still on its way here when we speak can't be known; Meta may then find 21 in a second.

**Too fast is nobody's failure.** 130429 silences the number for a moment; what was reserved but not said goes back,
what was refused is tried again without counting, and the number comes back at half speed and ever more carefully
(``rules.budget.Ramp``, kept in its row). An app's or account's throttle is a stop that ends by itself (``stops``), with
the same ramp after it. 131056 concerns one pair: its next message waits 4, 16, 64 … s, and nobody else.

**The pair limit** is kept here before Meta has to: who was written to 45 times in a row waits until there is room.
Where a row can't go, for this or for any other reason, the plan that finds out puts it where the next won't meet it
(``queries.NEXT``). So a plan costs the same whether ten rows wait or a hundred thousand.

**The last look.** A machine's message may have been marked half a second ago, and a person may have spoken since. So it
is asked a last time whether the floor is still as it was, hardly before the call begins (``LAST_LOOK``). What a person
says after that, or has said and isn't committed here yet, can't be known.

**Order inside a chat is kept.** A chat has one message under way at a time; what waits in it goes lane by lane, then
in the order it was written, and a message that is to be tried again later holds back those behind it.

**Settled once.** Graph's answer, or a status webhook that carries our callback data, ends a row's way, whichever comes
first. No answer leaves it in doubt; a status settles that; ten minutes of silence make it *unknown*, which a person
sees. Results are written for all lanes of a process together (``clerk``).

**Whatever breaks, the lane goes on.** An error nobody foresaw ends the drain after the calls under way had time to
end, and the job runs again in three seconds. A lane that has lost even its job is found once a minute, and so is a
message that was left behind in its chat.
"""

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from twinline.app import App
from twinline.db import Tx
from twinline.kit import log
from twinline.kit.clock import at_microseconds, microseconds
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import events, pace, turn
from twinline.rules import floor, outcomes
from twinline.rules.budget import PAIR, SECOND, THROUGHPUT, Ramp
from twinline.rules.consent import FREE, Consent
from twinline.rules.outcomes import Class, Outcome, Scope
from twinline.sending import compose, portfolio, queries, service, stops, uploads
from twinline.sending.clerk import AWAY, PAUSES, Clerk
from twinline.sending.ears import Ears
from twinline.sending.models import Candidate, Draft, Lane, Line, Outgoing, Result, Submission
from twinline.sending.waking import wake

LIMIT = SECOND // THROUGHPUT.interval_us  # messages a second
ROOM = 18_000  # microseconds a second: 20 messages may gain so much on each other, at departure and on their way
ON_THE_WAY = 13_000  # of these, for the way to Meta
BREATH = SECOND // 22  # between two sends at least, also when catching up: no bursts
PACE = replace(THROUGHPUT, interval_us=(SECOND + ROOM) // LIMIT)
HORIZON = SECOND // 2
SLOTS = HORIZON // PACE.interval_us + 1
PERSONS_HORIZON = SECOND  # a person's message may be promised an instant so far ahead; others' are what it then gets
PERSONS_SLOTS = 4  # at least so many rows are looked at, for there may be people's among them
LARGEST_LOOK = 500  # rows
AHEAD = 5  # rows still to be sent when it is time to plan again
AT_ONCE = 60  # calls under way: three seconds of a slow Graph, and no more than that in doubt if it never answers
UPLOADS = 2  # files under way; each is held in memory
PERSONS_CALLS, PERSONS_UPLOADS = 20, 1  # places beyond these that only people's messages get

LAST_LOOK = 15_000  # microseconds before a machine's instant, in which it is asked whether a person has spoken

LULL = 0.05  # seconds between two plans at least
SHORT_LULL = 0.01  # where somebody has just written a message
LOOK_EVERY = 0.25  # seconds: while calls are under way, new rows are found so soon, also by who hears nothing
LINGER = timedelta(seconds=5)  # a drain doesn't stay for what is to be tried later than that
LAST_WORDS = 10.0  # seconds that calls under way get when the drain must end
DESPAIR_AFTER = timedelta(minutes=10)

logger = log.get("sending.lane")


@dataclass(frozen=True, slots=True)
class Round:
    """What one transaction of the drain decided.

    ``rows`` are marked ``sending``, each with an instant in microseconds; ``files`` go to Meta first. ``tat`` is the
    number's as the plan left it. ``again_at``: when there may be more to plan; None: not by waiting alone.
    ``silent``: until then nothing may be said at all.
    """

    line: Line
    rows: Sequence[tuple[Outgoing, int]] = ()
    files: Sequence[Outgoing] = ()
    tat: int = 0
    again_at: datetime | None = None
    silent: bool = False


@dataclass(slots=True, eq=False)
class _Passing:
    """A message, ours or a customer's: ``at`` is when it passed, in microseconds, as far as is known."""

    at: int = 0


class Lanes:
    """The lanes of one process: what their drains share."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._clerk = Clerk(app)
        self._ears = Ears(app.db)

    async def listen(self) -> None:
        """Lets drains hear at once what they would find a little later; runs until cancelled."""
        await self._ears.listen()

    async def drain(self, number_id: int) -> None:
        """Sends what waits, until nothing does."""
        drain = _Drain(self._app, number_id, self._clerk)
        with self._ears.hearing(number_id, drain.hear):
            await drain.run()


async def drain(app: App, number_id: int) -> None:
    """Drains one number, apart from all others."""
    await Lanes(app).drain(number_id)


# --- planning -----------------------------------------------------------------------------------------------------


async def plan(
    app: App,
    number_id: int,
    uploading: Mapping[str, int] = MappingProxyType({}),
    paid_until: int = 0,
    machines: int = 0,
) -> Round | None:
    """Reserves instants, picks rows, marks them ``sending``. None when the number is gone.

    ``uploading``: files that are under way, and their lanes. ``paid_until``: up to where the caller itself has
    promised instants, since what gave way to customers' messages ends later than the number's row says. ``machines``:
    how many rows it has in hand that a person's may overtake.
    """
    async with app.db.pipelined() as tx:
        await turn.take(tx, [number_id])
        now = app.clock.now()
        named = {"number": number_id, "now": now}
        line = await tx.one(Line, queries.LINE, named)
        if line is None:
            return None
        ramp, next_end, order = line.ramp, None, stops.NOTHING
        if line.may_be_stopped:
            order = await stops.sort(tx, number_id, now)
            if order.silent_until is not None:
                ramp = replace(ramp, since=max(ramp.since, microseconds(order.silent_until)))
            next_end = order.ends_at
        if line.postponed_until is not None and line.postponed_until <= now:
            await tx.send(queries.DUE, named)
            line = await tx.one(Line, queries.LINE, named) or line
        files = await _files(tx, named, uploading) if line.files_wait else ()
        stopped = order.stopped if order.more else ()  # else what they bind is held, and won't be met
        picked = await _pick(tx, line, ramp, now, max(line.budget_tat, paid_until), machines, stopped)
        again_at = now if order.more else picked.again_at
        if again_at is None and (line.postponed_until is not None or picked.put_elsewhere):
            again_at = await tx.value(queries.POSTPONED_UNTIL, named)
        again_at = min((at for at in (again_at, next_end) if at is not None), default=None)
        silent = ramp.since > microseconds(now)
        return Round(line, picked.rows, files, picked.tat or line.budget_tat, again_at, silent)


async def _files(tx: Tx, named: Mapping[str, object], uploading: Mapping[str, int]) -> list[Outgoing]:
    """Whose files may go to Meta now: a few at once, and one more where a person waits; each file once."""
    chosen: dict[str, Outgoing] = {}
    for row in await tx.all(Outgoing, queries.TO_UPLOAD, {**named, "files": list(uploading)}):
        places = UPLOADS + (PERSONS_UPLOADS if row.lane == Lane.PERSON else 0)
        if len(uploading) + len(chosen) < places:
            chosen.setdefault(_file(row), row)
    return list(chosen.values())


@dataclass(frozen=True, slots=True)
class _Picked:
    rows: Sequence[tuple[Outgoing, int]] = ()
    tat: int | None = None  # None: nothing was bought
    again_at: datetime | None = None
    put_elsewhere: bool = False


async def _pick(
    tx: Tx, line: Line, ramp: Ramp, now: datetime, tat: int, machines: int, stopped: Sequence[stops.Standing]
) -> _Picked:
    """The next rows, as many as there is room for in the next half second.

    A person's message may be bought an instant beyond it, since it leaves at one of the machines' in hand.
    """
    moment = microseconds(now)
    room = len(PACE.reserve(tat, moment, SLOTS, HORIZON, ramp).times)
    persons_room = len(PACE.reserve(tat, moment, room + machines, PERSONS_HORIZON, ramp).times)
    waiting, put_elsewhere, more = await _ready(tx, line.id, moment, max(room, PERSONS_SLOTS))
    taken: list[Candidate] = []
    dropped: list[Result] = []
    asked = [Submission(row.contact_id, _draft(row), row.lane) for row in waiting]
    consents = await service.consents_of(tx, line.id, asked)
    for row in waiting:
        if len(taken) >= (persons_room if row.lane == Lane.PERSON else room):
            more = True
            break
        if stops.blocking(stopped, row.author, row.lane, row.type, row.content):  # not held yet: there are so many
            more = True
            continue
        end = _why_not(line, row, now, consents.get((row.contact_id, row.topic), FREE))
        if end is None:
            taken.append(row)
        else:
            dropped.append(end)
    if dropped:
        await service.settle(tx, dropped, now)
    # Only what is used is paid for: the rest of the half second stays free for a reply that comes meanwhile.
    bought = PACE.reserve(tat, moment, len(taken), PERSONS_HORIZON, ramp)
    if taken:
        await tx.send(
            queries.MARK_SENDING,
            {
                "number": line.id,
                "now": now,
                "tat": bought.tat,
                "ids": [row.id for row in taken],
                "contacts": [row.contact_id for row in taken],
                "tats": [PAIR.reserve(row.pair_tat, moment, 1, 0).tat for row in taken],
            },
        )
        templates = [row for row in taken if row.type == "template"]  # nothing else leaves outside of a window
        outside = [(row.contact_id, row.id) for row in templates if not service.window_of(line, row, now).open]
        await portfolio.reach(tx, line.id, outside, now)
    again_at = None
    if more or dropped:
        # Without room it is of no use to ask before there is some.
        again_at = now if taken or dropped or room else at_microseconds(max(tat, ramp.since) - HORIZON)
    return _Picked(list(zip(taken, bought.times, strict=True)), bought.tat if taken else None, again_at, put_elsewhere)


async def _ready(tx: Tx, number_id: int, moment: int, wanted: int) -> tuple[list[Candidate], bool, bool]:
    """The first rows that can go, whether some that can't were put elsewhere, and whether there may be more.

    Rows that can't go are usually few. Where they are many, the look grows, up to a size that is never slow.
    """
    limit, put_elsewhere = wanted, False
    while True:
        found = await tx.all(Candidate, queries.NEXT, {"number": number_id, "limit": limit})
        behind = [row for row in found if row.behind]
        crowded = [row for row in found if not row.behind and PAIR.free_at(row.pair_tat) > moment]
        if behind:
            await tx.send(queries.PARK, {"number": number_id, "ids": [row.id for row in behind]})
        if crowded:
            free_at = [at_microseconds(PAIR.free_at(row.pair_tat)) for row in crowded]
            await tx.send(
                queries.POSTPONE_PAIRS, {"number": number_id, "ids": [row.id for row in crowded], "at": free_at}
            )
        kept_from = {row.id for row in (*behind, *crowded)}
        put_elsewhere = put_elsewhere or bool(kept_from)
        ready = [row for row in found if row.id not in kept_from]
        if not kept_from or len(ready) >= wanted or limit >= LARGEST_LOOK or len(found) < limit:
            return ready, put_elsewhere, len(found) == limit
        limit = min(4 * limit, LARGEST_LOOK)


def _why_not(line: Line, row: Outgoing, now: datetime, consent: Consent) -> Result | None:
    """Asks every rule once more. A message that somebody's word overtook is dropped, any other refused one fails."""
    holder = service.HOLDERS[row.author]
    refused = service.refusal(line, row, _draft(row), row.lane, holder, now, consent, row.epoch)
    if refused is None:
        return None
    if refused.rule.startswith("floor."):
        return Result(line.id, row.id, "cancelled", text=refused.text)
    return Result(line.id, row.id, "failed", text=refused.says)


def _draft(row: Outgoing) -> Draft:
    return Draft(row.type, row.text, row.content, row.quoted, row.topic)


# --- draining -----------------------------------------------------------------------------------------------------


class _Drain:
    """One drain at work: a planner, a speaker that keeps the instants, and the calls under way."""

    def __init__(self, app: App, number_id: int, clerk: Clerk) -> None:
        self._app = app
        self._number_id = number_id
        self._clerk = clerk
        self._line: Line
        self._token: tuple[bytes, str] | None = None  # as it is kept, and as it is used
        self._rows: list[Outgoing] = []  # in hand: marked, not yet said; the most urgent first
        self._instants: deque[int] = deque()  # as many, in order
        self._tat = 0  # the number's, as last heard
        self._paid_until = 0  # where the instants in hand end
        self._uploading: dict[str, int] = {}  # files on their way to Meta, and whose they are: the lane
        self._calls = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._asked: tuple[int, int] = (0, 0)  # who was asked for last, and when
        self._passed = deque([_Passing()] * LIMIT, LIMIT)  # the last of the number's messages, in and out
        self._turned = asyncio.Event()  # for the speaker
        self._news = asyncio.Event()  # for the planner
        self._called = False  # somebody has written a message
        self._broken: BaseException | None = None

    async def run(self) -> None:
        await self._in_turn(self._abandon)
        speaker = asyncio.create_task(self._speak())
        speaker.add_done_callback(self._ended)
        try:
            await self._plan()
        finally:
            speaker.cancel()
            await self._close()
        if self._broken is not None:
            raise self._broken

    def hear(self, charge: pace.Charge | None) -> None:
        """A message was written; or customers wrote, and what isn't said yet moves back behind theirs."""
        if charge is None:
            self._called = True
            self._news.set()
            return
        self._passed.extend([_Passing(max(charge.moment, self._passed[-1].at))] * min(charge.messages, LIMIT))
        if charge.tat > self._tat:  # not known from the last plan
            self._move_back(THROUGHPUT.give_way(self._instants, charge.moment, charge.messages))
            self._tat = charge.tat

    # --- the planner ----------------------------------------------------------------------------------------------

    async def _plan(self) -> None:
        while self._broken is None:
            self._news.clear()
            self._called = False
            machines = sum(row.lane != Lane.PERSON for row in self._rows)
            planned = await plan(self._app, self._number_id, self._uploading, self._paid_until, machines)
            if planned is None:
                return
            self._line = planned.line
            if planned.silent and self._rows:
                await self._update(queries.PUT_BACK, ids=self._unspoken())
            self._take(planned)
            for row in planned.files:
                self._uploading[_file(row)] = row.lane
                self._start(self._upload(row))
            if not await self._wait(planned.again_at):
                return
            while len(self._rows) > AHEAD and not self._called and self._broken is None:
                self._news.clear()
                await self._news.wait()

    def _take(self, planned: Round) -> None:
        """Rows and instants come to those in hand. What was charged without our hearing of it goes before these."""
        if self._instants:
            self._move_back(max(0, planned.line.budget_tat - self._tat))
        unheard = max(0, self._tat - planned.tat)  # charged since the plan, and heard of before it came back
        for row, instant in planned.rows:
            insort(self._rows, row, key=_urgency)
            self._instants.append(instant + unheard)
        self._tat = max(self._tat, planned.tat)
        self._paid_until = max(self._paid_until, self._tat)
        self._turned.set()

    def _move_back(self, microseconds: int) -> None:
        self._instants = deque(instant + microseconds for instant in self._instants)
        self._paid_until += microseconds

    async def _wait(self, again_at: datetime | None) -> bool:
        """Until it may be worth planning again; False when this drain has nothing left to do."""
        idle = not (self._rows or self._under_way or self._news.is_set())
        if again_at is None:
            if idle:
                return False
            await self._hear(LOOK_EVERY)
            return True
        pause = again_at - self._app.clock.now()
        if idle and pause > LINGER:
            async with self._app.db.transaction() as tx:
                await turn.take(tx, [self._number_id])
                await wake(tx, self._number_id, pause)
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
        await asyncio.sleep(min(seconds, SHORT_LULL if self._called else LULL))

    # --- the speaker ----------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        while True:
            self._turned.clear()
            if not self._rows or self._calls >= AT_ONCE + (PERSONS_CALLS if self._rows[0].lane == Lane.PERSON else 0):
                await self._turned.wait()
                continue
            now = microseconds(self._app.clock.now())
            wait = max(self._instants[0], self._passed[-1].at + BREATH, self._passed[0].at + SECOND + ON_THE_WAY) - now
            if wait <= LAST_LOOK and not self._is_asked(self._rows[0], now):
                await self._ask(self._rows[0])
                continue
            if wait > 0:  # meanwhile it may be put off, or put back, or something more urgent may come
                await asyncio.sleep((wait - LAST_LOOK if wait > LAST_LOOK else wait) / SECOND)
                continue
            row = self._rows.pop(0)
            self._instants.popleft()
            passing = _Passing(now)
            self._passed.append(passing)
            self._calls += 1
            self._start(self._send(row, passing)).add_done_callback(self._called_back)
            if len(self._rows) <= AHEAD:
                self._news.set()

    def _is_asked(self, row: Outgoing, now: int) -> bool:
        """Whether nobody needs to ask any more if this one may speak."""
        asked, at = self._asked
        return service.HOLDERS[row.author] in floor.PEOPLE or (asked == row.id and now - at <= 2 * LAST_LOOK)

    async def _ask(self, row: Outgoing) -> None:
        """A machine's message that somebody's word has overtaken since it was marked is dropped."""
        named = {"number": self._number_id, "contact": row.contact_id}
        epoch = await self._app.db.value(queries.EPOCH, named) or 0
        self._asked = row.id, microseconds(self._app.clock.now())
        if epoch != row.epoch and row in self._rows:
            self._instants.pop()
            self._rows.remove(row)
            self._start(self._settle(row, "cancelled", text=floor.says(floor.Why.SOMEBODY_SPOKE_MEANWHILE)))

    def _called_back(self, _: asyncio.Task[None]) -> None:
        self._calls -= 1
        self._turned.set()

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

    async def _send(self, row: Outgoing, passing: _Passing) -> None:
        def leaves() -> None:
            if passing in self._passed:
                self._passed.remove(passing)
            passing.at = microseconds(self._app.clock.now())
            self._passed.append(passing)

        try:
            token = self._unsealed()
            sent = await self._app.graph.send_message(
                self._line.phone_number_id, compose.body(self._number_id, row), token=token, leaves=leaves
            )
        except VaultError as error:
            await self._stop(row, outcomes.outcome(outcomes.TOKENLESS), str(error))
        except GraphError as error:
            if error.ambiguous:
                await self._settle(row, "in_doubt", text=error.outcome.says)
            else:
                await self._refused(row, error, passing.at)
        else:
            await self._settle(row, "sent", wamid=sent.wamid)

    async def _upload(self, row: Outgoing) -> None:
        """The file of a message goes to Meta, once: its id is kept with the row. Repeating it does no harm."""
        content = row.content or {}
        began = microseconds(self._app.clock.now())
        try:
            token = self._unsealed()
            data = await asyncio.to_thread(self._app.files.read, content["file"])
            mime, name = content["mime_type"], content.get("filename") or "file"
            media_id = await self._app.graph.upload_media(self._line.phone_number_id, data, mime, name, token=token)
        except VaultError as error:
            await self._stop(row, outcomes.outcome(outcomes.TOKENLESS), str(error))
        except OSError as error:
            logger.error("file_gone", number=self._number_id, outbox=row.id, error=type(error).__name__)
            await self._settle(row, "failed", text="The file of this message can't be read any more. Attach it again.")
        except GraphError as error:
            await self._refused(row, error, began)
        else:

            async def write(tx: Tx) -> None:
                await uploads.remember(tx, self._number_id, content, media_id, self._app.clock.now())

            await self._in_turn(write)
        finally:
            self._uploading.pop(_file(row), None)

    def _unsealed(self) -> str:
        sealed = self._line.token
        if sealed is None:
            raise VaultError("This number has no token: paste one on its page, or connect it again.")
        if self._token is None or self._token[0] != sealed:
            self._token = sealed, self._app.vault.unseal(sealed)
        return self._token[1]

    # --- what Meta refused ----------------------------------------------------------------------------------------

    async def _refused(self, row: Outgoing, error: GraphError, spoken: int) -> None:
        """It certainly wasn't carried out. The table of outcomes decides by code, never by HTTP status."""
        outcome = error.outcome
        logger.warning("send_failed", number=self._number_id, outbox=row.id, code=error.code, klass=outcome.klass)
        text = outcome.says if error.answered else "WhatsApp couldn't be reached, so this wasn't sent."
        if uploads.may_be_gone(row, error.code):
            await self._upload_again(row)
        elif outcome.klass is Class.THROTTLE:
            await self._halt(row, outcome, spoken, text)
        elif outcome.klass is Class.THROTTLE_PAIR:
            await self._halt_pair(row, outcome, text)
        elif outcome.is_stop or outcome.klass is Class.OPT_OUT:
            await self._stop(row, outcome, text)
        elif (wait := outcome.wait_before(row.attempts + 1)) is None:
            await self._settle(row, "failed", code=error.code, text=text)
        else:
            again_at = self._app.clock.now() + timedelta(seconds=wait)

            async def write(tx: Tx) -> None:
                await self._postpone(tx, row, again_at, outcome, text, attempts=row.attempts + 1)

            await self._in_turn(write)

    async def _upload_again(self, row: Outgoing) -> None:
        async def write(tx: Tx) -> None:
            await self._tell(tx, await uploads.upload_again(tx, self._number_id, row))

        await self._in_turn(write)

    async def _halt(self, row: Outgoing, outcome: Outcome, spoken: int, text: str) -> None:
        """The number is silent for a while, then slower; what was in hand goes back, to be planned anew."""
        ids = self._unspoken()

        async def write(tx: Tx) -> None:
            now = self._app.clock.now()
            moment = microseconds(now)
            [[since, share, recovery]] = await tx.rows(queries.RAMP, {"number": self._number_id})
            ramp = Ramp(since, share, recovery)
            seconds = float(outcome.wait_before(ramp.setbacks(spoken) + 1) or 0)
            if outcome.scope in {Scope.ACCOUNT, Scope.APP}:
                await stops.after(tx, self._number_id, row, outcome, now)
                standing = await stops.standing(tx, self._number_id, now)
                pauses = [one.until - now for one in standing if not one.holds and one.until is not None]
                seconds = max(pauses, default=timedelta(seconds=seconds)).total_seconds()
            slower = ramp.slower(spoken, moment, seconds)
            named = {"number": self._number_id, "since": slower.since, "share": slower.share}
            await tx.execute(queries.SLOW_DOWN, {**named, "recovery": slower.recovery_us})
            await self._postpone(tx, row, at_microseconds(slower.since), outcome, text)
            await self._tell(tx, await tx.rows(queries.PUT_BACK, {"number": self._number_id, "ids": ids}))

        await self._in_turn(write)

    async def _halt_pair(self, row: Outgoing, outcome: Outcome, text: str) -> None:
        """This person has been written to too often; everybody else isn't concerned."""
        wait = outcome.wait_before(row.throttled + 1) or 0

        async def write(tx: Tx) -> None:
            named = {"number": self._number_id, "contact": row.contact_id}
            now = self._app.clock.now()
            tat = PAIR.halt(await tx.value(queries.PAIR, named) or 0, microseconds(now), wait)
            await tx.execute(queries.HALT_PAIR, {**named, "tat": tat})
            again_at = at_microseconds(PAIR.free_at(tat))
            await self._postpone(tx, row, again_at, outcome, text, throttled=row.throttled + 1)

        await self._in_turn(write)

    async def _stop(self, row: Outgoing, outcome: Outcome, text: str) -> None:
        """Others like this message wait as well, and it with them; or its recipient opted out, and it has failed."""

        async def write(tx: Tx) -> None:
            now = self._app.clock.now()
            if await stops.after(tx, self._number_id, row, outcome, now):
                await self._postpone(tx, row, None, outcome, text)
            else:
                failed = Result(self._number_id, row.id, "failed", code=outcome.code, text=text)
                await service.settle(tx, [failed], now)

        await self._in_turn(write)

    async def _postpone(
        self,
        tx: Tx,
        row: Outgoing,
        again_at: datetime | None,
        outcome: Outcome,
        text: str,
        *,
        attempts: int | None = None,
        throttled: int | None = None,
    ) -> None:
        """The row waits for a further try; unless said otherwise this one doesn't count."""
        named = {
            "number": self._number_id,
            "id": row.id,
            "not_before": again_at,
            "attempts": row.attempts if attempts is None else attempts,
            "throttled": row.throttled if throttled is None else throttled,
            "code": outcome.code,
            "text": text,
        }
        await self._tell(tx, await tx.rows(queries.POSTPONE, named))

    # --- rows -----------------------------------------------------------------------------------------------------

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
        """What was in hand and isn't any more."""
        ids = [row.id for row in self._rows]
        self._rows.clear()
        self._instants.clear()
        return ids

    async def _abandon(self, tx: Tx) -> None:
        """What a drain that died left behind."""
        rows = await tx.rows(queries.ABANDONED, {"number": self._number_id})
        await self._tell(tx, rows)
        if rows:
            await service.free(tx, {(self._number_id, row[0]) for row in rows})

    async def _settle(
        self, row: Outgoing, state: str, *, wamid: str | None = None, code: int | None = None, text: str | None = None
    ) -> None:
        await self._clerk.settle(Result(self._number_id, row.id, state, wamid, code, text))

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
            except AWAY:
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _tell(self, tx: Tx, rows: Sequence[tuple[object, ...]]) -> None:
        await _tell(tx, self._number_id, rows, self._app.clock.now())


def _file(row: Outgoing) -> str:
    return str((row.content or {})["file"])


def _urgency(row: Outgoing) -> tuple[int, int]:
    return row.lane, row.id


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
    """Messages that were left behind come forward, and lanes that have something to do but no job get one."""
    async with app.db.transaction() as tx:
        behind = [row[0] for row in await tx.rows(queries.LEFT_BEHIND)]
        forsaken = [row[0] for row in await tx.rows(queries.FORSAKEN)]
    for number_id in sorted({*behind, *forsaken}):
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            await tx.execute(queries.COME_FORWARD, {"number": number_id})
            await wake(tx, number_id)


async def forget_pairs(app: App) -> None:
    """Whoever wasn't written to for a while has the whole of the pair limit again."""
    async with app.db.transaction() as tx:
        await tx.execute(queries.SWEEP_PAIRS, {"moment": microseconds(app.clock.now())})


async def _tell(tx: Tx, number_id: int, rows: Sequence[tuple[object, ...]], now: datetime) -> None:
    if rows:
        await events.publish(tx, {number_id: {"outbox": [list(row) for row in rows]}}, now)
