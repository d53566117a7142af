"""The engine of campaigns: who is put into the outbox, when, and what became of them.

**Sending is the lane's.** A campaign never calls Graph. A running one is fed (``feeding``) into the outbox a little
ahead of what the number can send (``AHEAD``), through the one door that every message takes
(``sending.service.submit``), so opt-outs, the floor, stops, the budget and people's precedence hold for campaigns
without a word about them here. What is fed is marked in the transaction that writes it: a recipient has a row in the
outbox or doesn't, whatever dies in between.

**Each at most once.** Somebody is fed only while they are *planned* or *held* and have no row in the outbox; feeding
takes the number's turn, gives the row and the key ``campaign:<id>:<recipient>:<try>`` with it, and both are one commit.
A row is given up, so that a further one may be written, only where it is *cancelled*, which is final, and which only
rows are that haven't left: pause and cancellation take back what is *queued* or *held*, and the lane drops what
somebody's word overtook. What may have reached Meta stays with its row, in doubt if need be, and is never written
again. That doesn't depend on this engine's being alone: two of them would wait for each other's turn. People who turn
out to be one after the planning (``contacts`` join) get it once, too: the second is skipped when it is their turn.

**One job a number** (``tend``), under a lock, looks once a second while anything is to be done, and sleeps until then
otherwise. All it knows stands in the rows, but for how much of a capped speed is used up: after a restart that begins
anew, with nothing saved up. If the job is lost, the upkeep finds it within a minute.

**Pause, cancel, stop** act in the transaction of whoever says so: what waits in the outbox is taken back in one
statement. Only what the lane has marked already, half a second of it, still leaves. The others of a cancelled campaign,
who may be a hundred thousand, are marked slice by slice behind it, by the job.

**Held** is a campaign whose template or number stands still (``sending.stops``), or whose template Meta doesn't let
out, or whose portfolio has reached as many people as it may in a day (``sending.portfolio``), or whose header's file
Meta keeps no more (``headers``). The lane has put aside
what was in the outbox; here no more is fed, and both go on by themselves. All its templates must be able to go: a
comparison of two is worth nothing if one has half a day to itself. People in whose chat somebody has the floor are held
one by one, asked again later, and skipped in the end, if that lasts for a day.

**What became of them** is worked out, not counted up. The number's events say whose rows and messages changed
(``following``); the state of these people is then made anew from the outbox row, the message and its statuses, by a
rule (``rules.campaigns.recipient_state``). So neither repetition nor disorder matters, nor how long nobody looked. An
answer belongs to the message that it quotes, else to the newest campaign that this person got in the last three days.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from twinline.app import App
from twinline.campaigns import feeding, following, headers, queries, service
from twinline.campaigns.models import Campaign
from twinline.campaigns.queries import Next
from twinline.db import Tx
from twinline.mirror import turn
from twinline.rules import campaigns as rules
from twinline.rules.campaigns import Recipient as Became
from twinline.rules.campaigns import State, Step
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import portfolio, stops
from twinline.sending.models import Lane
from twinline.sending.uploads import Known
from twinline.templates import service as templates

AHEAD: Final = (
    200  # messages of a campaign that wait in the outbox: ten seconds of a number that has nothing else to do
)
PORTION: Final = 50  # people fed in one transaction: a reply never waits for more
PORTIONS: Final = 8  # in one look
FEW_PLACES: Final = 500  # in the portfolio
SLICE: Final = 2_000  # people of a cancelled campaign in one transaction

AGAIN: Final = timedelta(seconds=1)
HELD_AGAIN: Final = timedelta(seconds=5)
LONGEST_SLEEP: Final = timedelta(minutes=1)
LINGER: Final = timedelta(seconds=5)  # a job doesn't stay for what is to be done later
TALLY_EVERY: Final = timedelta(seconds=3)

PATIENCE: Final = timedelta(days=1)  # for chats that somebody has the floor of


@dataclass(slots=True)
class Memory:
    """What the job of a number knows beside the rows."""

    credit: dict[int, tuple[datetime, float]] = field(default_factory=dict)  # campaign -> when, messages it may feed
    tallied: dict[int, datetime] = field(default_factory=dict)
    places: dict[int, tuple[datetime, int]] = field(default_factory=dict)  # number -> when asked, people it may reach


async def tend(app: App, number_id: int) -> None:
    """Looks after the campaigns of a number until there is nothing to do, or not for a while."""
    memory = Memory()
    while (wait := await look(app, number_id, memory)) is not None:
        if wait > LINGER:
            async with app.db.transaction() as tx:
                await turn.take(tx, [number_id])
                await service.wake(tx, number_id, min(wait, LONGEST_SLEEP))
            return
        await asyncio.sleep(wait.total_seconds())


async def look(app: App, number_id: int, memory: Memory) -> timedelta | None:
    """One look: what has happened, and what is to be done. Answers after how long to look again; None: not by waiting
    alone.
    """
    await following.follow(app, number_id)
    async with app.db.transaction() as tx:
        at_work = await queries.at_work(tx, number_id)
    for one in at_work:
        if one.state is State.HELD and one.reason == headers.GONE.rule:
            async with app.db.transaction() as tx:
                files = await _files(tx, one, app.clock.now())
            await headers.renew(app, number_id, files)
    waits = [await _advance(app, one.organisation_id, one.id, memory) for one in at_work]
    return min((wait for wait in waits if wait is not None), default=None)


# --- steps --------------------------------------------------------------------------------------------------------


async def _advance(app: App, organisation_id: int, campaign_id: int, memory: Memory) -> timedelta | None:
    wait: timedelta | None = None
    for _ in range(PORTIONS):
        async with app.db.transaction() as tx:
            one = await service.found(tx, organisation_id, campaign_id)
            await turn.take(tx, [one.number_id])
            one = await service.found(tx, organisation_id, campaign_id)
            now = app.clock.now()
            wait = await _STEPS[one.state](app, tx, one, now, memory) if one.state in _STEPS else None
        if wait is None or wait > timedelta(0):
            return wait
    return AGAIN


async def _scheduled(app: App, tx: Tx, one: Campaign, now: datetime, memory: Memory) -> timedelta | None:
    if one.starts_at is not None and one.starts_at > now:
        return one.starts_at - now
    await service.begin(tx, one, Step.BEGIN, now)
    return timedelta(0)


async def _running(app: App, tx: Tx, one: Campaign, now: datetime, memory: Memory) -> timedelta | None:
    if memory.tallied.get(one.id, now) + TALLY_EVERY <= now or one.id not in memory.tallied:
        memory.tallied[one.id] = now
        await following.blocks(tx, one.number_id, now)
        if crossed := rules.crossed(one.stops_at, await service.tally_of(tx, one)):
            await service.stop(tx, one, crossed, now)
            return None
    if obstacle := await _obstacle(tx, one, now):
        await _hold(tx, one, obstacle, now)
        return HELD_AGAIN
    named = {"number": one.number_id, "campaign": one.id}
    next_at = await tx.value(queries.NEXT_AT, named)
    if next_at is None and not await queries.is_open(tx, one):
        await service.finish(tx, one, now)
        return None
    if next_at is None or next_at > now:
        if await _is_given_up(tx, one, now):
            return timedelta(0)
        return AGAIN if next_at is None else max(AGAIN, min(next_at - now, LONGEST_SLEEP))
    places = await _places(tx, one, now, memory)
    if places < 1:
        await _hold(tx, one, await portfolio.full(tx, one.number_id, now), now)
        return HELD_AGAIN
    room = min(PORTION, places, _room(one, await tx.value(queries.WAITING, named), now, memory))
    if room < 1:
        return AGAIN
    portion = await feeding.feed(app, tx, one, now, limit=room)
    _spend(one, portion.queued, memory)
    if portion.obstacle is not None:
        await _hold(tx, one, portion.obstacle, now)
        return HELD_AGAIN
    await service.tell(tx, one, now)
    return timedelta(0)


async def _held(app: App, tx: Tx, one: Campaign, now: datetime, memory: Memory) -> timedelta | None:
    obstacle = None
    for stands_still in (_obstacle, _closed_template, _full, _fileless):
        obstacle = obstacle or await stands_still(tx, one, now)
    if obstacle is None:
        await service.move(tx, one, Step.RELEASE, now)
        return timedelta(0)
    if obstacle.rule != one.reason:
        await _hold(tx, one, obstacle, now)
    return HELD_AGAIN


async def _cancelled(app: App, tx: Tx, one: Campaign, now: datetime, memory: Memory) -> timedelta | None:
    """Those who hadn't been fed learn of it; it is over when it is known what became of the others."""
    named = {"number": one.number_id, "campaign": one.id}
    if await tx.execute(queries.CANCEL_REST, {**named, "limit": SLICE}) == SLICE:
        await service.tell(tx, one, now)
        return timedelta(0)
    if await queries.is_open(tx, one):
        return AGAIN
    await queries.note(tx, one, finished_at=now)
    await service.tell(tx, one, now)
    return None


_STEPS: Final = {
    State.SCHEDULED: _scheduled,
    State.RUNNING: _running,
    State.HELD: _held,
    State.CANCELLED: _cancelled,
}


async def _hold(tx: Tx, one: Campaign, obstacle: Refusal, now: datetime) -> None:
    await service.move(tx, one, Step.HOLD, now, reason=obstacle.rule, says=obstacle.says)


async def _obstacle(tx: Tx, one: Campaign, now: datetime) -> Refusal | None:
    """What stands still that any of its templates has to wait for."""
    stopped = await stops.standing(tx, one.number_id, now)
    for variant in one.what.variants if stopped else ():
        for language in variant.languages:
            content = {"name": variant.template, "language": {"code": language}}
            if found := stops.blocking(stopped, "campaign", Lane.MARKETING, "template", content):
                rule = "number.away" if found.code is None else f"stopped.{found.scope}"
                return Refusal(rule, found.says, found.do)
    return None


async def _closed_template(tx: Tx, one: Campaign, now: datetime) -> Refusal | None:
    """A campaign that Meta's word on its template holds: whether that still stands, asked with the next message."""
    if not one.reason.startswith("template."):
        return None
    named = {"number": one.number_id, "campaign": one.id, "now": one.state_since, "ids": None, "limit": 1}
    for row in await tx.all(Next, queries.NEXT, named):
        try:
            await templates.ready(tx, one.number_id, (row.draft or {}).get("content") or {}, has_phone=True)
        except Refused as refused:
            return refused.refusal
    return None


async def _full(tx: Tx, one: Campaign, now: datetime) -> Refusal | None:
    """A campaign that waits for places in its portfolio, until there are enough that going on is worth while."""
    if one.reason != portfolio.FULL or await portfolio.room(tx, one.number_id, now) >= PORTION:
        return None
    return await portfolio.full(tx, one.number_id, now)


async def _fileless(tx: Tx, one: Campaign, now: datetime) -> Refusal | None:
    """A campaign whose file Meta has no more, until it has."""
    if one.reason != headers.GONE.rule or all(file.id_now for file in await _files(tx, one, now)):
        return None
    return headers.GONE


async def _files(tx: Tx, one: Campaign, now: datetime) -> list[Known]:
    """Those of the messages that are next."""
    named = {"number": one.number_id, "campaign": one.id, "now": now, "ids": None, "limit": PORTION}
    return await headers.known(tx, one.number_id, await tx.all(Next, queries.NEXT, named), now)


async def _places(tx: Tx, one: Campaign, now: datetime, memory: Memory) -> int:
    """How many people the portfolio's limit lets it feed. Where they are few it is asked each time, since another
    number may take them; else every few seconds, and meanwhile whoever is fed takes one.
    """
    asked, places = memory.places.get(one.number_id, (now, 0))
    if places < FEW_PLACES or asked + TALLY_EVERY <= now:
        asked, places = now, await portfolio.room(tx, one.number_id, now)
        memory.places[one.number_id] = asked, places
    return places


async def _is_given_up(tx: Tx, one: Campaign, now: datetime) -> bool:
    """Whether those are skipped now who are all that is left, because somebody has had the floor for so long."""
    if one.started_at is None or now < one.started_at + PATIENCE:
        return False
    counts = await queries.counts(tx, one)
    if any(counts.get(state) for state in rules.OPEN - {Became.HELD}):
        return False
    return bool(await tx.execute(queries.GIVE_UP, {"number": one.number_id, "campaign": one.id}))


def _room(one: Campaign, waiting: int, now: datetime, memory: Memory) -> int:
    """How many more may be fed at this moment."""
    if one.speed is None:
        return AHEAD - waiting
    since, credit = memory.credit.get(one.id, (now, 1.0))
    most = max(1.0, 2 * one.speed)
    credit = min(most, credit + one.speed * max(0.0, (now - since).total_seconds()))
    memory.credit[one.id] = now, credit
    return min(int(credit), ceil(most) - waiting)


def _spend(one: Campaign, fed: int, memory: Memory) -> None:
    asked, places = memory.places[one.number_id]
    memory.places[one.number_id] = asked, places - fed
    if one.id in memory.credit:
        since, credit = memory.credit[one.id]
        memory.credit[one.id] = since, credit - fed
