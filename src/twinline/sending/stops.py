"""What stands still: set by Meta's answers and webhooks, ended by time, by events, or by a person.

``rules.stops`` says what stands; here are the registers it is worked out from, and what follows for the outbox. A stop
is noted where it is heard of: ``after`` (Graph's answer, in the lane), ``heard`` (failed statuses) and ``noticed``
(webhooks about templates and accounts), both in the ingest's transaction; ``stop`` is for what we find out
ourselves, as that a number was added without a token. What ends one is noted by ``noticed``, by ``relieve`` (a new
token) and by ``resume`` (the button). That a later message went out isn't noted: it stands in the outbox, and is looked
for only while something is stopped.

Nobody but the lane moves rows: ``sort``, at the beginning of each plan, makes *held* what a stop binds and *queued*
what nothing binds any more, in slices, so that a campaign of any length doesn't keep the number's turn. The number's
row remembers for which stops that was done (``held_for``), so a plan looks at no row while nothing has changed; what is
written meanwhile is held from the beginning. A stop of the whole account is noted with the number that met it, and read
by all numbers of its WABA. A number that is offboarded or disconnected is a stop like the others.

What people write to a number that is stopped is refused with the reason (``refusal``); what machines write waits.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.db import Tx, as_json
from twinline.mirror import events, turn
from twinline.mirror.models import Folded
from twinline.rules import lifecycle, outcomes
from twinline.rules import stops as rules
from twinline.rules.delivery import Delivery
from twinline.rules.guard import Refusal
from twinline.rules.outcomes import Binds, Class, Outcome, Scope, Way
from twinline.rules.stops import Relief, Stop
from twinline.sending import queries
from twinline.sending.models import Lane, Outgoing
from twinline.sending.waking import wake

SLICE: Final = 2_000  # rows that one transaction holds or releases
ATTEMPTS_LOOKED_AT: Final = 500  # the newest, when asking whether anything has gone out since

# --- what stands --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing that stands still, as pages, guards and the lane need it.

    ``key`` and ``code`` as in ``rules.stops``; the code of a lost connection is None. ``ends`` are the events that
    end it, in words; ``button`` is what ``resume`` takes, None where a person can't end it. ``holds``: rows wait as
    held; otherwise it is a matter of pace, and the lane is only silent until then.
    """

    scope: Scope
    key: str
    code: int | None
    since: datetime | None
    until: datetime | None
    binds: Binds
    says: str
    do: str
    ends: tuple[str, ...]
    button: str | None = None
    holds: bool = True

    def concerns(self, author: str, lane: int, type_: str, content: Mapping[str, Any] | None) -> bool:
        """Whether a message waits for its end; the same as ``BOUND`` says of rows."""
        if not self.holds or (self.scope is Scope.TEMPLATE and self.key != template_key(type_, content)):
            return False
        if self.binds is Binds.CAMPAIGNS:
            return author == "campaign" or lane == Lane.MARKETING
        return self.binds is Binds.ALL or author != "person"


CONNECTION = """
SELECT state_since, state_reason FROM numbers WHERE id = %(number)s AND state IN ('offboarded', 'disconnected')
"""

# The number's own; of the others of its account, those that concern it all; of everybody's, the app's.
STOPS = """
SELECT s.number_id, s.scope, s.key, s.code, s.since, s.until
FROM numbers n
JOIN numbers o ON o.waba_id = n.waba_id AND o.organisation_id = n.organisation_id
JOIN stops s ON s.number_id = o.id AND (o.id = n.id OR s.scope = 'account')
WHERE n.id = %(number)s AND (s.until IS NULL OR s.until > %(now)s)
UNION ALL
SELECT s.number_id, s.scope, s.key, s.code, s.since, s.until
FROM stops s WHERE s.scope = 'app' AND s.number_id <> %(number)s AND s.until > %(now)s
"""

RELIEFS = """
SELECT r.number_id = n.id, r.way, r.key, r.at
FROM numbers n
JOIN numbers o ON o.waba_id = n.waba_id AND o.organisation_id = n.organisation_id
JOIN reliefs r ON r.number_id = o.id
WHERE n.id = %(number)s
"""

TEMPLATE = "o.content->>'name' || '/' || replace(o.content->'language'->>'code', '-', '_')"

# When an attempt began that Meta has since reported as sent; of a template, with that template.
PROOF = f"""
SELECT max(o.sending_at)
FROM (
    SELECT * FROM outbox
    WHERE number_id = %(number)s AND state = 'sent' ORDER BY id DESC LIMIT {ATTEMPTS_LOOKED_AT}
) o
JOIN statuses t ON t.number_id = o.number_id AND t.wamid = o.wamid
WHERE o.sending_at > %(since)s AND o.failed_at IS NULL AND t.status <> {int(Delivery.FAILED)}
  AND t.status >= {int(Delivery.SENT)} AND (%(key)s = '' OR o.type = 'template' AND {TEMPLATE} = %(key)s)
  AND (NOT %(billed)s OR t.detail->'pricing'->>'billable' = 'true')
"""


_WHEN_CONNECTED: Final = outcomes.ending(Way.CONNECTED)


async def standing(tx: Tx, number_id: int, now: datetime) -> list[Standing]:
    """What stands still at this moment for a number, the widest first."""
    named = {"number": number_id, "now": now}
    known = [_stop(*row) for row in await tx.rows(STOPS, named)]
    found = [_shown(stop) for stop in await _still(tx, known, named, now)] if known else []
    lost = await _connection(tx, number_id)
    return [lost, *found] if lost else found


async def _still(tx: Tx, known: Sequence[Stop], named: Mapping[str, Any], now: datetime) -> list[Stop]:
    own: list[Relief] = []
    anybodys: dict[tuple[Way, str], datetime] = {}
    for mine, way, key, at in await tx.rows(RELIEFS, named):
        if mine:
            own.append(Relief(Way(way), key, at))
        anybodys[Way(way), key] = max(at, anybodys.get((Way(way), key), at))
    shared = [Relief(way, key, at) for (way, key), at in anybodys.items()]
    still = []
    for stop in known:
        reliefs = shared if stop.scope is Scope.ACCOUNT else own
        if rules.standing([stop], [*reliefs, *await _proofs(tx, stop)], now):
            still.append(stop)
    return rules.standing(still, (), now)


async def _proofs(tx: Tx, stop: Stop) -> list[Relief]:
    asked = {"number": stop.number_id, "since": stop.since, "key": stop.key}
    proofs = []
    for way in stop.outcome.resumes & {Way.SENT, Way.BILLED}:
        at = await tx.value(PROOF, {**asked, "billed": way is Way.BILLED})
        if at is not None:
            proofs.append(Relief(way, stop.key, at))
    return proofs


async def _connection(tx: Tx, number_id: int) -> Standing | None:
    for since, reason in await tx.rows(CONNECTION, {"number": number_id}):
        told = lifecycle.explain(reason)
        return Standing(Scope.NUMBER, "", None, since, None, Binds.ALL, told.says, told.do, (_WHEN_CONNECTED,))
    return None


def _stop(number_id: int, scope: str, key: str, code: int, since: datetime, until: datetime | None) -> Stop:
    return Stop(number_id, Scope(scope), key, code, since, until)


def _shown(stop: Stop) -> Standing:
    meaning = stop.outcome
    return Standing(
        stop.scope,
        stop.key,
        stop.code,
        stop.since,
        stop.until,
        meaning.binds,
        meaning.says,
        meaning.do,
        _ends(stop),
        rules.button(stop) if Way.PERSON in meaning.resumes else None,
        meaning.klass is not Class.THROTTLE,
    )


def _ends(stop: Stop) -> tuple[str, ...]:
    """What somebody may wait for, in words. That a message went out ends only a stop that was heard of too late."""
    ways = stop.outcome.resumes - {Way.SENT, Way.BILLED}
    if len(ways) > 1 or stop.until is not None:
        ways -= {Way.PERSON}
    return tuple(outcomes.ending(way) for way in Way if way in ways)


def template_key(type_: str, content: Mapping[str, Any] | None) -> str | None:
    """What a message's template is called in stops; None for any other message."""
    if type_ != "template" or not content:
        return None
    return rules.template_key(str(content.get("name")), str((content.get("language") or {}).get("code")))


def refusal(
    stopped: Iterable[Standing], author: str, lane: int, type_: str, content: Mapping[str, Any] | None
) -> Refusal | None:
    """Why a person's message can't go out now. What machines write waits instead: None."""
    one = blocking(stopped, author, lane, type_, content)
    if author != "person" or one is None or one.code is None:  # of a lost connection the guard speaks
        return None
    return Refusal(f"stopped.{one.scope}", one.says, one.do)


def blocking(
    stopped: Iterable[Standing], author: str, lane: int, type_: str, content: Mapping[str, Any] | None
) -> Standing | None:
    """The widest of these stops that a message has to wait for."""
    return next((one for one in stopped if one.concerns(author, lane, type_, content)), None)


HELD = f"""
SELECT error_code, CASE WHEN o.type = 'template' THEN {TEMPLATE} END, count(*)
FROM outbox o WHERE number_id = %(number)s AND state = 'held' GROUP BY 1, 2
"""


async def held(tx: Tx, number_id: int) -> dict[tuple[int | None, str], int]:
    """How many messages wait for the end of each stop, by its code and key."""
    waiting: Counter[tuple[int | None, str]] = Counter()
    for code, template, count in await tx.rows(HELD, {"number": number_id}):
        about_template = code is not None and outcomes.outcome(code).scope is Scope.TEMPLATE
        waiting[code, (template or "") if about_template else ""] += count
    return waiting


# --- what the lane does with it -----------------------------------------------------------------------------------

# Whether a stop (``s``) binds a row (``o``): what ``Standing.concerns`` says of messages.
BOUND = f"""
    (s.template IS NULL OR o.type = 'template' AND {TEMPLATE} = s.template)
    AND (s.binds = 'all' OR s.binds = 'machines' AND o.author <> 'person'
         OR s.binds = 'campaigns' AND (o.author = 'campaign' OR o.lane = {int(Lane.MARKETING)}))
"""

BINDING = "json_to_recordset(%(stops)s::json) AS s(place integer, template text, binds text, code integer, says text)"

HOLD = f"""
UPDATE outbox w SET state = 'held', behind = false, error_code = b.code, error_text = b.says
FROM (
    SELECT o.id, s.code, s.says
    FROM outbox o
    CROSS JOIN LATERAL (SELECT s.code, s.says FROM {BINDING} WHERE {BOUND} ORDER BY s.place LIMIT 1) s
    WHERE o.number_id = %(number)s AND o.state = 'queued'
    LIMIT %(slice)s
) b
WHERE w.number_id = %(number)s AND w.id = b.id
RETURNING w.contact_id, w.id, w.state
"""

RELEASE = f"""
UPDATE outbox w SET state = 'queued', not_before = NULL, behind = false, error_code = NULL, error_text = NULL
FROM (
    SELECT o.id FROM outbox o
    WHERE o.number_id = %(number)s AND o.state = 'held' AND NOT EXISTS (SELECT FROM {BINDING} WHERE {BOUND})
    ORDER BY o.lane, o.id LIMIT %(slice)s
) f
WHERE w.number_id = %(number)s AND w.id = f.id
RETURNING w.contact_id, w.id, w.state
"""


HELD_FOR = "SELECT held_for FROM numbers WHERE id = %(number)s"
ANEW: Final = ""  # every row is to be looked at again
SET_HELD_FOR = "UPDATE numbers SET held_for = %(held_for)s WHERE id = %(number)s"


@dataclass(frozen=True, slots=True)
class Sorted:
    """``stopped``: what stands still. ``more``: rows are left to hold or release, so a row that waits may be bound.

    ``silent_until``: nothing may be sent before. ``ends_at``: when the next stop ends by itself.
    """

    stopped: Sequence[Standing]
    more: bool
    silent_until: datetime | None
    ends_at: datetime | None


NOTHING: Final = Sorted((), False, None, None)


async def sort(tx: Tx, number_id: int, now: datetime) -> Sorted:
    """Holds the rows that a stop binds, releases those that none binds. The caller holds the number's turn."""
    stopped = await standing(tx, number_id, now)
    holding = [one for one in stopped if one.holds]
    paces = [one.until for one in stopped if not one.holds and one.until is not None]
    ends = [one.until for one in stopped if one.until is not None]
    more = await _move(tx, number_id, holding, now)
    return Sorted(stopped, more, max(paces, default=None), min(ends, default=None))


async def _move(tx: Tx, number_id: int, holding: Sequence[Standing], now: datetime) -> bool:
    """Brings a slice of the rows into agreement with what stands; whether there is more to do."""
    held_for = as_json([[one.scope, one.key, one.code, one.binds] for one in holding])
    if held_for == await tx.value(HELD_FOR, {"number": number_id}):
        return False
    binding = [
        {
            "place": place,
            "template": one.key if one.scope is Scope.TEMPLATE else None,
            "binds": one.binds,
            "code": one.code,
            "says": one.says,
        }
        for place, one in enumerate(holding)
    ]
    named = {"number": number_id, "stops": as_json(binding), "slice": SLICE}
    held = await tx.rows(HOLD, named) if binding else []
    if held:  # whoever waited behind them needn't any more
        await tx.execute(queries.FREE, {"numbers": [number_id] * len(held), "contacts": [row[0] for row in held]})
    released = await tx.rows(RELEASE, named)
    if moved := [list(row) for row in (*held, *released)]:
        await events.publish(tx, {number_id: {"outbox": moved, "number": True}}, now)
        contacts = sorted({row[0] for row in moved})
        await tx.execute(queries.FREE, {"numbers": [number_id] * len(contacts), "contacts": contacts})
    if more := SLICE in (len(held), len(released)):
        return more
    await tx.execute(SET_HELD_FOR, {"number": number_id, "held_for": held_for})
    return False


async def after(tx: Tx, number_id: int, row: Outgoing, meaning: Outcome, now: datetime) -> bool:
    """Graph refused a message with this: remembers what follows from it.

    Answers whether the message itself waits for the end of a stop, rather than having failed: the caller puts it back
    into the queue then, where the next plan finds it bound. The caller holds the number's turn.
    """
    if meaning.code is None:
        return False
    noted = await _note(
        tx, [_Met(number_id, row.contact_id, meaning.code, now, row.author, template_key(row.type, row.content))]
    )
    if not noted:
        return False
    await events.publish(tx, {number_id: {"number": True}}, now)
    stopped = await standing(tx, number_id, now)
    waits = any(one.concerns(row.author, row.lane, row.type, row.content) for one in stopped)
    if waits:
        await tx.execute(SET_HELD_FOR, {"number": number_id, "held_for": ANEW})
    return waits


# --- what is heard ------------------------------------------------------------------------------------------------

NOTE_STOPS = """
INSERT INTO stops AS known (number_id, scope, key, code, since, until)
SELECT number_id, scope, key, code, since, until
FROM json_to_recordset(%(rows)s::json)
    AS r(number_id bigint, scope text, key text, code integer, since timestamptz, until timestamptz)
ON CONFLICT (number_id, scope, key, code) DO UPDATE SET since = excluded.since, until = excluded.until
WHERE (excluded.since, coalesce(excluded.until, 'infinity')) > (known.since, coalesce(known.until, 'infinity'))
RETURNING number_id
"""

NOTE_RELIEFS = """
INSERT INTO reliefs AS known (number_id, way, key, at)
SELECT number_id, way, key, at
FROM json_to_recordset(%(rows)s::json) AS r(number_id bigint, way text, key text, at timestamptz)
ON CONFLICT (number_id, way, key) DO UPDATE SET at = excluded.at WHERE excluded.at > known.at
RETURNING number_id
"""

# The same register that ``user_preferences`` writes, so the later word stays (mirror.fold).
OPT_OUT = """
UPDATE contacts c SET opted_out = true, opted_v = r.opted_v
FROM json_to_recordset(%(rows)s::json) AS r(number_id bigint, contact_id bigint, opted_v bigint)
WHERE c.number_id = r.number_id AND c.id = r.contact_id AND c.opted_v < r.opted_v
"""

LAST = "SELECT number_id, scope, key, code, since, until FROM stops WHERE number_id = %(number)s AND code = %(code)s"

# Of each thing that was reported, the newest word.
NOTICED = """
SELECT DISTINCT ON (n.number_id, n.field, word, name, language, title) n.number_id, n.at, n.field, word, name, language,
       title
FROM notices n
CROSS JOIN LATERAL (
    SELECT n.value->>'message_template_name' AS name, n.value->>'message_template_language' AS language,
           n.value->'other_info'->>'title' AS title,
           coalesce(n.value->'ban_info'->>'waba_ban_state', n.value->>'event', n.value->>'decision') AS word
) v
WHERE n.number_id = ANY(%(numbers)s) AND n.field = ANY(%(fields)s)
ORDER BY n.number_id, n.field, word, name, language, title, n.at DESC
"""

# Meta tells the time of an event to the second; it may have happened as late as that second's end.
LATEST: Final = timedelta(seconds=1, microseconds=-1)


@dataclass(frozen=True, slots=True)
class _Met:
    """One message that met an error; ``at`` is when Meta said so."""

    number_id: int
    contact_id: int
    code: int
    at: datetime
    author: str
    template: str | None


async def heard(tx: Tx, folded: Folded, failed: Sequence[Mapping[str, Any]]) -> None:
    """Messages of the outbox failed after Meta had taken them (``queries.FAIL_BY_STATUS``)."""
    met = [
        _Met(
            row["number_id"],
            row["contact_id"],
            row["error_code"],
            row["failed_at"],
            row["author"],
            template_key(row["type"], row["content"]),
        )
        for row in failed
        if row["error_code"] is not None
    ]
    await _changed(tx, folded, await _note(tx, met))


async def noticed(tx: Tx, folded: Folded) -> None:
    """The ingest has brought notices."""
    if folded.numbers_with_notices:
        await _changed(tx, folded, await read_notices(tx, folded.numbers_with_notices))


async def read_notices(tx: Tx, numbers: Iterable[int]) -> set[int]:
    """What notices about templates, accounts and numbers stop and end; answers the numbers for which that is news.

    Reads all that there are, since any order and any repetition of them comes to the same.
    """
    known = outcomes.events()
    asked = {"numbers": sorted(numbers), "fields": sorted({event.field for event in known})}
    stopped, eased = [], []
    for number_id, at, field, word, name, language, title in await tx.rows(NOTICED, asked):
        key = rules.template_key(name, language) if name and language else ""
        for event in known:
            if event.field != field or word not in event.words:
                continue
            if event.resumes is not None:
                eased.append((number_id, Relief(event.resumes, key, at + LATEST)))
            elif event.stops is not None:
                stopped.append(rules.stop_of(number_id, event.stops, key, at, lasts=event.wait.get(title)))
    changed = await _write_stops(tx, [stop for stop in stopped if stop is not None])
    return changed | await _write_reliefs(tx, eased)


async def stop(tx: Tx, number_id: int, code: int, now: datetime, *, template: str = "") -> None:
    """Something is stopped, for whatever reason found out. The caller holds the number's turn."""
    found = rules.stop_of(number_id, code, template, now)
    if found is not None and await _write_stops(tx, [found]):
        await wake(tx, number_id)
        await events.publish(tx, {number_id: {"number": True}}, now)


async def relieve(tx: Tx, number_id: int, way: Way, now: datetime, *, key: str = "") -> None:
    """Something happened that ends stops of a kind. The caller holds the number's turn."""
    if await _write_reliefs(tx, [(number_id, Relief(way, key, now))]):
        await wake(tx, number_id)
        await events.publish(tx, {number_id: {"number": True}}, now)


async def resume(tx: Tx, organisation_id: int, number_id: int, button: str, user_id: int, now: datetime) -> bool:
    """A person lets something go on; False when it doesn't stand still, or can't be ended so.

    The caller has found the number by its organisation.
    """
    await turn.take(tx, [number_id])
    if button not in {one.button for one in await standing(tx, number_id, now)}:
        return False
    detail = {"number": number_id, "stop": button}
    await accounts.record(tx, organisation_id, user_id, "number.resumed", detail, now)
    await relieve(tx, number_id, Way.PERSON, now, key=button)
    return True


async def look_after(app: App) -> None:
    """Wakes the lanes of numbers whose rows wait: time, or another number's news, may have ended what they wait for."""
    async with app.db.transaction() as tx:
        numbers = [row[0] for row in await tx.rows("SELECT DISTINCT number_id FROM outbox WHERE state = 'held'")]
    for number_id in numbers:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            await wake(tx, number_id)


async def _note(tx: Tx, met: Sequence[_Met]) -> set[int]:
    """Stops and opt-outs that follow from errors; answers the numbers where something is stopped that wasn't."""
    stopped = []
    for one in met:
        meaning = outcomes.outcome(one.code)
        # How a person filled in a template says nothing about how machines do.
        if meaning.binds is Binds.MACHINES and one.author == "person":
            continue
        before = None
        if meaning.klass is Class.THROTTLE:
            rows = await tx.rows(LAST, {"number": one.number_id, "code": one.code})
            before = _stop(*rows[0]) if rows else None
        stopped.append(rules.stop_of(one.number_id, one.code, one.template or "", one.at, before=before))
    opted_out = [
        {"number_id": one.number_id, "contact_id": one.contact_id, "opted_v": int(one.at.timestamp()) << 30 | 1}
        for one in met
        if outcomes.outcome(one.code).klass is Class.OPT_OUT
    ]
    if opted_out:
        await tx.execute(OPT_OUT, {"rows": as_json(opted_out)})
    return await _write_stops(tx, [stop for stop in stopped if stop is not None])


async def _write_stops(tx: Tx, stopped: Sequence[Stop]) -> set[int]:
    newest: dict[tuple[int, Scope, str, int], Stop] = {}
    for one in stopped:
        key = one.number_id, one.scope, one.key, one.code
        newest[key] = max(one, newest.get(key, one), key=_place)
    rows = [
        {
            "number_id": one.number_id,
            "scope": one.scope,
            "key": one.key,
            "code": one.code,
            "since": one.since,
            "until": one.until,
        }
        for one in newest.values()
    ]
    return {row[0] for row in await tx.rows(NOTE_STOPS, {"rows": as_json(rows)})} if rows else set()


def _place(stop: Stop) -> tuple[datetime, datetime]:
    return stop.since, stop.until or datetime.max.replace(tzinfo=UTC)


async def _write_reliefs(tx: Tx, eased: Sequence[tuple[int, Relief]]) -> set[int]:
    newest: dict[tuple[int, Way, str], datetime] = {}
    for number_id, relief in eased:
        key = number_id, relief.way, relief.key
        newest[key] = max(relief.at, newest.get(key, relief.at))
    rows = [{"number_id": n, "way": way, "key": key, "at": at} for (n, way, key), at in newest.items()]
    return {row[0] for row in await tx.rows(NOTE_RELIEFS, {"rows": as_json(rows)})} if rows else set()


async def _changed(tx: Tx, folded: Folded, numbers: Iterable[int]) -> None:
    for number_id in sorted(numbers):
        folded.flag(number_id, "number")
        await wake(tx, number_id)
