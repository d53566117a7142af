"""Every change to a campaign. Each takes the number's turn, so steps and the engine never meet halfway.

People's steps are refused where the state doesn't have them (``rules.campaigns``). What a step takes back from the
outbox is taken back in its own transaction: after a pause or a cancellation is committed nothing of the campaign leaves
but the half second that the lane has in hand.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.campaigns import feeding, headers, queries
from twinline.campaigns import routing as routes
from twinline.campaigns.models import RECIPIENTS_ZONE, Campaign, Content, Schedule
from twinline.campaigns.zones import zone_of
from twinline.db import Tx
from twinline.db.jobs import defer
from twinline.mirror import events, turn
from twinline.rules import campaigns as rules
from twinline.rules import schedule as clocks
from twinline.rules.campaigns import Limits, State, Step, limits_of
from twinline.rules.campaigns import Recipient as Became
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import choices, portfolio, speech

TEND, PLAN, ERASE = "campaigns.tend", "campaigns.plan", "campaigns.erase"
LONGEST_NAME: Final = 200
FASTEST: Final = 20  # messages a second: what a number on a phone can do at all
ANSWERS_WITHIN: Final = timedelta(days=3)  # what somebody writes later answers a campaign only if it quotes it
MOST_FIRST: Final = 10  # people who get it before all others
ORGANISATIONS_NUMBER: Final = "SELECT true FROM numbers WHERE id = %(number)s AND organisation_id = %(organisation)s"


class NoSuchCampaign(LookupError):
    """The organisation has no such campaign, or no such number."""


class OtherCampaign(Exception):
    """The idempotency key came before, with another request; ``campaign_id`` is what that one became."""

    def __init__(self, campaign_id: int) -> None:
        super().__init__(f"the idempotency key is that of campaign {campaign_id}")
        self.campaign_id = campaign_id


# --- drafts -------------------------------------------------------------------------------------------------------


async def create(
    tx: Tx,
    organisation_id: int,
    number_id: int,
    name: str,
    now: datetime,
    *,
    audience: Mapping[str, Any] | None = None,
    content: Content | None = None,
    schedule: Schedule | None = None,
    limits: Mapping[str, Any] | None = None,
    routing: Mapping[str, Any] | None = None,
    topic: str = "",
    speed: float | None = None,
    by: int | None = None,
    api_key_id: int | None = None,
    idempotency_key: str | None = None,
    digest: bytes | None = None,
) -> Campaign:
    """A new draft; the same key answers the same one. ``limits`` as ``rules.campaigns.Limits``, where they differ.

    Raises Refused for what can't be, NoSuchCampaign without the number, OtherCampaign.
    """
    await turn.take(tx, [number_id])
    named = {"organisation": organisation_id, "number": number_id, "key": idempotency_key}
    if not await tx.value(ORGANISATIONS_NUMBER, named):
        raise NoSuchCampaign(f"there is no number {number_id}")
    if idempotency_key is not None and (known := await tx.rows(queries.BY_KEY, named)):
        [(known_id, known_digest)] = known
        if digest != known_digest:
            raise OtherCampaign(known_id)
        return await found(tx, organisation_id, known_id)
    made = await queries.create(
        tx,
        **named,
        name=_name(name),
        now=now,
        audience=dict(audience or {}),
        content=_content(content or Content()),
        schedule=_schedule(schedule or Schedule()),
        limits=_limits(limits or {}),
        routing=await routes.read(tx, organisation_id, routing or {}),
        topic=topic,
        speed=_speed(speed),
        by=by,
        api_key=api_key_id,
        digest=digest,
    )
    await _record(tx, made, by, "created", now)
    await tell(tx, made, now)
    return made


async def edit(
    tx: Tx,
    organisation_id: int,
    campaign_id: int,
    now: datetime,
    *,
    name: str | None = None,
    audience: Mapping[str, Any] | None = None,
    content: Content | None = None,
    schedule: Schedule | None = None,
    limits: Mapping[str, Any] | None = None,
    routing: Mapping[str, Any] | None = None,
    topic: str | None = None,
    speed: float | str | None = "",
    by: int | None = None,
) -> Campaign:
    """Changes what is given; what was planned is void then. ``speed`` None: as fast as the number can. Raises Refused,
    NoSuchCampaign.
    """
    before = await _step(tx, organisation_id, campaign_id, Step.EDIT)
    changed = replace(
        before,
        name=before.name if name is None else _name(name),
        audience=before.audience if audience is None else dict(audience),
        content=before.content if content is None else _content(content),
        schedule=before.schedule if schedule is None else _schedule(schedule),
        limits=before.limits if limits is None else _limits(limits),
        routing=before.routing if routing is None else await routes.read(tx, organisation_id, routing),
        topic=before.topic if topic is None else topic,
        speed=before.speed if isinstance(speed, str) else _speed(speed),
    )
    await queries.edit(tx, changed)
    await move(tx, before, Step.EDIT, now)
    return await found(tx, organisation_id, campaign_id)


async def route(
    tx: Tx,
    organisation_id: int,
    campaign_id: int,
    now: datetime,
    routing: Mapping[str, Any],
    *,
    by: int | None = None,
) -> Campaign:
    """What is done with the answers that come from now on, in whatever state it is: its plan stays. Raises Refused,
    NoSuchCampaign.
    """
    one = await found(tx, organisation_id, campaign_id)
    await turn.take(tx, [one.number_id])
    await queries.note(tx, one, routing=await routes.read(tx, organisation_id, routing))
    await _record(tx, one, by, "routed", now)
    await tell(tx, one, now)
    return await found(tx, organisation_id, campaign_id)


# --- planning -----------------------------------------------------------------------------------------------------


async def plan_requested(
    tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None = None
) -> Campaign:
    """Lets a job make the dry run. Raises Refused, NoSuchCampaign."""
    one = await _step(tx, organisation_id, campaign_id, Step.PLAN)
    if not one.what.variants:
        raise Refused(Refusal("campaign.empty", "This campaign says nothing yet.", "Choose a template for it."))
    await defer(
        tx,
        PLAN,
        queue="campaign",
        queueing_lock=f"{PLAN}:{one.number_id}:{campaign_id}",
        organisation_id=organisation_id,
        campaign_id=campaign_id,
    )
    return await move(tx, one, Step.PLAN, now)


async def planned_so_far(tx: Tx, one: Campaign, so_far: int, total: int, now: datetime) -> None:
    """The dry run has gone through so many of so many people."""
    await turn.take(tx, [one.number_id])
    named = {"organisation": one.organisation_id, "id": one.id, "revision": one.revision}
    if await tx.execute(queries.PROGRESS, {**named, "so_far": so_far, "total": total}):
        await tell(tx, one, now)


async def planned(
    tx: Tx, organisation_id: int, campaign_id: int, revision: int, plan: Mapping[str, Any], now: datetime
) -> Campaign | None:
    """The dry run is there, made for this revision; None when it isn't wanted any more, having been cancelled."""
    one = await _after(tx, organisation_id, campaign_id, Step.PLANNED)
    if one is None or one.revision != revision:
        return None
    await queries.count(tx, one)
    await queries.note(tx, one, plan=plan, planned_at=now)
    return await move(tx, one, Step.PLANNED, now)


async def unplannable(
    tx: Tx, organisation_id: int, campaign_id: int, refusal: Refusal, now: datetime
) -> Campaign | None:
    """There is something wrong with the draft that nobody saw before; it is a draft again, with the reason."""
    one = await _after(tx, organisation_id, campaign_id, Step.UNPLANNABLE)
    if one is None:
        return None
    return await move(tx, one, Step.UNPLANNABLE, now, reason=refusal.rule, says=refusal.says)


# --- people's steps -----------------------------------------------------------------------------------------------


async def try_first(
    app: App, tx: Tx, organisation_id: int, campaign_id: int, recipients: Collection[int], *, by: int | None = None
) -> int:
    """Sends it to a few of its people before all others; they don't get it again. Answers to how many it goes.

    Whom a rule forbids to be written to is skipped with the reason. Raises Refused, NoSuchCampaign.
    """
    one = await _step(tx, organisation_id, campaign_id, Step.TRY)
    if not 1 <= len(set(recipients)) <= MOST_FIRST:
        text = f"A campaign goes to between 1 and {MOST_FIRST} people first."
        raise Refused(Refusal("campaign.first", text, "Choose a few who will tell you what they think of it."))
    now = app.clock.now()
    await follow_from_now(tx, one.number_id)
    ids = sorted(set(recipients))
    if await portfolio.room(tx, one.number_id, now) < len(ids):
        raise Refused(await portfolio.full(tx, one.number_id, now))
    await tx.execute(queries.MARK_FIRST, {"number": one.number_id, "campaign": one.id, "ids": ids})
    portion = await feeding.feed(app, tx, one, now, limit=MOST_FIRST, only=ids)
    if portion.obstacle is not None:
        raise Refused(headers.PLAN_AGAIN if portion.obstacle is headers.GONE else portion.obstacle)
    await wake(tx, one.number_id)
    await _record(tx, one, by, "tried", now)
    await tell(tx, one, now)
    return portion.queued


async def start(
    tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, at_once: bool = False, by: int | None = None
) -> Campaign:
    """Now, or at the time of its schedule, for which ``at_once`` doesn't wait. Raises Refused, NoSuchCampaign."""
    one = await found(tx, organisation_id, campaign_id)
    if one.when.at is not None and one.state is State.PLANNED and not at_once:
        return await schedule(tx, organisation_id, campaign_id, now, by=by)
    one = await _step(tx, organisation_id, campaign_id, Step.START)
    if one.when.at is not None:  # sooner than it was to
        await queries.note(tx, one, schedule=replace(one.when, at=None).as_json())
    return await begin(tx, one, Step.START, now, by=by)


async def schedule(
    tx: Tx,
    organisation_id: int,
    campaign_id: int,
    now: datetime,
    *,
    when: Schedule | None = None,
    by: int | None = None,
) -> Campaign:
    """Waits for a time, ``when`` or that of the campaign. Raises Refused, NoSuchCampaign."""
    one = await _step(tx, organisation_id, campaign_id, Step.SCHEDULE)
    given = one.schedule if when is None else _schedule(when)
    one = replace(one, schedule=given)
    if one.when.at is None:
        text = "This campaign has no time at which it is to begin."
        raise Refused(Refusal("campaign.no_time", text, "Choose one, or start it now."))
    starts_at = await first_moment(tx, one)
    if starts_at < now - timedelta(minutes=1):
        text = f"{clocks.wall(one.when.at):%d %B %Y, %H:%M} is over" + (
            " for some of these people." if one.when.zone == RECIPIENTS_ZONE else "."
        )
        raise Refused(Refusal("campaign.past", text, "Choose a later time, or start it now."))
    await queries.note(tx, one, schedule=given, starts_at=starts_at)
    await follow_from_now(tx, one.number_id)
    await wake(tx, one.number_id)
    await _record(tx, one, by, "scheduled", now)
    return await move(tx, one, Step.SCHEDULE, now)


async def unschedule(
    tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None = None
) -> Campaign:
    """It waits for no time any more. Raises Refused, NoSuchCampaign."""
    one = await _step(tx, organisation_id, campaign_id, Step.UNSCHEDULE)
    await tx.execute(queries.FORGET_START, {"organisation": organisation_id, "id": campaign_id})
    await _record(tx, one, by, "unscheduled", now)
    return await move(tx, one, Step.UNSCHEDULE, now)


async def pause(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None = None) -> Campaign:
    """What hasn't left is taken back, and goes out after ``resume``. Raises Refused, NoSuchCampaign."""
    one = await _step(tx, organisation_id, campaign_id, Step.PAUSE)
    await withdraw(tx, one, Became.PLANNED, "The campaign was paused.", now)
    await _record(tx, one, by, "paused", now)
    return await move(tx, one, Step.PAUSE, now)


async def resume(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None = None) -> Campaign:
    """Goes on; one that stopped itself gets so much more room at the limit that it crossed as it had at first.

    Raises Refused, NoSuchCampaign.
    """
    one = await _step(tx, organisation_id, campaign_id, Step.RESUME)
    if one.state is State.STOPPED:
        await queries.note(tx, one, limits=await _widened(tx, one))
    await wake(tx, one.number_id)
    await _record(tx, one, by, "resumed", now)
    return await move(tx, one, Step.RESUME, now)


async def cancel(tx: Tx, organisation_id: int, campaign_id: int, now: datetime, *, by: int | None = None) -> Campaign:
    """For good. What has left has left, and is still followed; a draft's files go with it. Raises Refused,
    NoSuchCampaign.
    """
    one = await _step(tx, organisation_id, campaign_id, Step.CANCEL)
    if one.planned_at is None and one.files:
        await defer(tx, ERASE, queue="upkeep", organisation_id=organisation_id, files=sorted(one.files))
    await withdraw(tx, one, Became.CANCELLED, "The campaign was cancelled.", now)
    await wake(tx, one.number_id)
    await _record(tx, one, by, "cancelled", now)
    return await move(tx, one, Step.CANCEL, now)


async def _widened(tx: Tx, one: Campaign) -> dict[str, Any]:
    """The limits of a campaign that is to go on although it crossed one: as much above where it is as at first."""
    name = one.reason.removeprefix("limit.")
    tally = await tally_of(tx, one)
    limit = getattr(one.stops_at, name, 0.0)
    share = getattr(tally, name, 0) / tally.sent if tally.sent else 0.0
    first = getattr(Limits(), name, 0.0)
    return {**one.limits, name: round(min(1.0, max(limit, share) + first), 4)}


# --- what happens by itself ---------------------------------------------------------------------------------------


async def begin(tx: Tx, one: Campaign, step: Step, now: datetime, *, by: int | None = None) -> Campaign:
    """The caller holds the number's turn."""
    await queries.note(tx, one, started_at=now)
    await follow_from_now(tx, one.number_id)
    await wake(tx, one.number_id)
    await _record(tx, one, by, "started", now)
    return await move(tx, one, step, now)


async def stop(tx: Tx, one: Campaign, why: Refusal, now: datetime) -> Campaign:
    """It has crossed one of its limits. The caller holds the number's turn."""
    await withdraw(tx, one, Became.PLANNED, "The campaign has stopped itself.", now)
    await _record(tx, one, None, "stopped", now)
    return await move(tx, one, Step.STOP, now, reason=why.rule, says=why.says)


async def finish(tx: Tx, one: Campaign, now: datetime) -> Campaign:
    """Nothing is left to do. The caller holds the number's turn."""
    await queries.note(tx, one, finished_at=now)
    return await move(tx, one, Step.FINISH, now)


async def withdraw(tx: Tx, one: Campaign, state: Became, why: str, now: datetime) -> int:
    """What waits in the outbox is taken back; answers how many messages. Those people are in this state then."""
    rows = await tx.rows(queries.IN_OUTBOX, {"number": one.number_id, "campaign": one.id})
    taken = await choices.withdraw(tx, one.number_id, [row[0] for row in rows], why, now)
    await queries.take_back(tx, one, taken, state)
    return len(taken)


async def move(tx: Tx, one: Campaign, step: Step, now: datetime, *, reason: str = "", says: str = "") -> Campaign:
    """Makes a step that is known to be possible. The caller holds the number's turn."""
    state = rules.after(one.state, step)
    assert state is not None, (one.state, step)
    await queries.set_state(tx, one, state, now, reason, says)
    await tell(tx, one, now)
    return await found(tx, one.organisation_id, one.id)


async def tell(tx: Tx, one: Campaign, now: datetime) -> None:
    await events.publish(tx, {one.number_id: {"campaigns": [one.id]}}, now)


async def wake(tx: Tx, number_id: int, after: timedelta | None = None) -> None:
    """Somebody looks after the number's campaigns (again). The caller holds the number's turn."""
    name = f"campaigns:{number_id}"
    await defer(tx, TEND, queue="campaign", lock=name, queueing_lock=name, after=after, number_id=number_id)


async def freed(tx: Tx, number_id: int, contact_ids: Collection[int], now: datetime) -> None:
    """These chats were handed back: whoever is held for them is due. The caller holds the number's turn."""
    named = {"number": number_id, "contacts": list(contact_ids), "reason": rules.FLOOR, "now": now}
    if await tx.execute(queries.FREED, named):
        await wake(tx, number_id)


async def follow_from_now(tx: Tx, number_id: int) -> None:
    """What happens to the number's messages from now on may be about a campaign's."""
    await tx.execute(queries.BEGIN_FOLLOWING, {"number": number_id})


async def tally_of(tx: Tx, one: Campaign) -> rules.Tally:
    [row] = await tx.rows(queries.TALLY, {"number": one.number_id, "campaign": one.id})
    return rules.Tally(*row)


async def first_moment(tx: Tx, one: Campaign) -> datetime:
    """When the first of a scheduled campaign's people is due."""
    when = one.when
    assert when.at is not None
    named = {"number": one.number_id, "campaign": one.id}
    home = await feeding.home_zone(tx, one.number_id)
    if when.zone != RECIPIENTS_ZONE:
        return clocks.moment(when.at, when.zone)
    zones = {zone_of(row[0], home) for row in await tx.rows(queries.PHONES, named)} or {home}
    return min(clocks.moment(when.at, zone) for zone in zones)


# --- looking ------------------------------------------------------------------------------------------------------


async def found(tx: Tx, organisation_id: int, campaign_id: int) -> Campaign:
    """Raises NoSuchCampaign."""
    one = await queries.campaign(tx, organisation_id, campaign_id)
    if one is None:
        raise NoSuchCampaign(f"there is no campaign {campaign_id}")
    return one


async def organisation_of(tx: Tx, campaign_id: int) -> int:
    """Whose it is, for operators. Raises NoSuchCampaign."""
    organisation: int | None = await tx.value(queries.ORGANISATION_OF, {"id": campaign_id})
    if organisation is None:
        raise NoSuchCampaign(f"there is no campaign {campaign_id}")
    return organisation


async def _after(tx: Tx, organisation_id: int, campaign_id: int, step: Step) -> Campaign | None:
    """The campaign, under its number's turn; None where the step isn't possible."""
    one = await found(tx, organisation_id, campaign_id)
    await turn.take(tx, [one.number_id])
    one = await found(tx, organisation_id, campaign_id)
    return one if rules.after(one.state, step) is not None else None


async def _step(tx: Tx, organisation_id: int, campaign_id: int, step: Step) -> Campaign:
    """The same, for a person's step. Raises Refused, NoSuchCampaign."""
    one = await _after(tx, organisation_id, campaign_id, step)
    if one is None:
        raise Refused(rules.refusal((await found(tx, organisation_id, campaign_id)).state, step))
    return one


async def _record(tx: Tx, one: Campaign, by: int | None, what: str, now: datetime) -> None:
    await accounts.record(tx, one.organisation_id, by, f"campaign.{what}", {"campaign": one.id}, now)


# --- what may stand there -----------------------------------------------------------------------------------------


def _refuse(what: str, text: str, do: str) -> Refused:
    return Refused(Refusal(f"campaign.{what}", text, do))


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or "\0" in name:
        raise _refuse("name", "This campaign has no name.", "Give it one that you will recognise.")
    return name[:LONGEST_NAME]


def _speed(speed: float | None) -> float | None:
    if speed is not None and not 0 < speed <= FASTEST:
        text = f"A campaign can send more than 0 and up to {FASTEST} messages a second."
        raise _refuse("speed", text, "Choose a speed in between, or none: then it takes what is free.")
    return speed


def _content(content: Content) -> dict[str, Any]:
    for variant in content.variants:
        if not variant.template or not variant.languages:
            raise _refuse("content", "A variant names no template, or no language of it.", "Choose both.")
        if variant.share < 1:
            raise _refuse("share", "A variant's share must be at least 1.", "1 and 1 is half and half.")
    return content.as_json()


def _limits(limits: Mapping[str, Any]) -> dict[str, Any]:
    try:
        limits_of(limits)
    except ValueError as error:
        raise _refuse("limits", str(error), "Leave a limit out to keep the usual one.") from None
    return dict(limits)


def _schedule(when: Schedule) -> dict[str, Any]:
    try:
        if when.at is not None:
            clocks.wall(when.at)
        if when.zone != RECIPIENTS_ZONE:
            clocks.zone(when.zone)
        if when.between is not None:
            clocks.hours_of_day(when.between)
        if when.hours is not None and not 0 < when.hours <= clocks.LONGEST_SPREAD:
            raise ValueError(f"A campaign is spread over at most {clocks.LONGEST_SPREAD} hours.")
    except ValueError as error:
        raise _refuse("schedule", str(error), "Change its times.") from None
    return when.as_json()


def defaults() -> dict[str, Any]:
    """The limits that hold where none were given, to be shown."""
    return asdict(Limits())


speech.when_freed(freed)
