"""The SQL of running campaigns. Whoever changes something holds the number's turn (``mirror.turn``)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from twinline.campaigns.models import Campaign
from twinline.db import Tx, as_json
from twinline.rules.campaigns import OPEN, REACHED, State
from twinline.rules.campaigns import Recipient as Became
from twinline.rules.delivery import Delivery
from twinline.rules.messages import UNANSWERED

CAMPAIGN = """organisation_id, id, number_id, name, state, state_since, reason, says, audience, content, schedule,
       limits, routing, topic, speed, revision, plan, planned_so_far, planned_total, created_by, created_at,
       planned_at, starts_at, started_at, finished_at"""

ONE = f"SELECT {CAMPAIGN} FROM campaigns WHERE organisation_id = %(organisation)s AND id = %(id)s"
ORGANISATION_OF = "SELECT organisation_id FROM campaigns WHERE id = %(id)s"
BY_KEY = """
SELECT id, request_digest FROM campaigns WHERE organisation_id = %(organisation)s AND idempotency_key = %(key)s
"""

CREATE = f"""
INSERT INTO campaigns (organisation_id, number_id, name, state_since, audience, content, schedule, limits, routing,
                       topic, speed, created_by, created_at, api_key_id, idempotency_key, request_digest)
VALUES (%(organisation)s, %(number)s, %(name)s, %(now)s, %(audience)s::jsonb, %(content)s::jsonb, %(schedule)s::jsonb,
        %(limits)s::jsonb, %(routing)s::jsonb, %(topic)s, %(speed)s, %(by)s, %(now)s, %(api_key)s, %(key)s, %(digest)s)
RETURNING {CAMPAIGN}
"""

# While it is planned, and only then; by somebody who doesn't wait for what the planning will have written.
PROGRESS = """
UPDATE campaigns SET planned_so_far = %(so_far)s, planned_total = %(total)s
WHERE organisation_id = %(organisation)s AND id = %(id)s AND state = 'planning' AND revision = %(revision)s
"""

EDIT = """
UPDATE campaigns SET name = %(name)s, audience = %(audience)s::jsonb, content = %(content)s::jsonb,
    schedule = %(schedule)s::jsonb, limits = %(limits)s::jsonb, routing = %(routing)s::jsonb, topic = %(topic)s,
    speed = %(speed)s, revision = revision + 1, plan = NULL, planned_at = NULL
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""

SET_STATE = """
UPDATE campaigns SET state = %(state)s, state_since = %(now)s, reason = %(reason)s, says = %(says)s,
    planned_so_far = NULL, planned_total = NULL
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""

# What is written beside the state, each where it is given.
NOTE = """
UPDATE campaigns SET
    schedule = coalesce(%(schedule)s::jsonb, schedule), limits = coalesce(%(limits)s::jsonb, limits),
    routing = coalesce(%(routing)s::jsonb, routing),
    plan = coalesce(%(plan)s::jsonb, plan), planned_at = coalesce(%(planned_at)s, planned_at),
    starts_at = coalesce(%(starts_at)s, starts_at), started_at = coalesce(%(started_at)s, started_at),
    finished_at = coalesce(%(finished_at)s, finished_at)
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""
FORGET_START = "UPDATE campaigns SET starts_at = NULL WHERE organisation_id = %(organisation)s AND id = %(id)s"


async def campaign(tx: Tx, organisation_id: int, campaign_id: int) -> Campaign | None:
    rows = await tx.dicts(ONE, {"organisation": organisation_id, "id": campaign_id})
    return _campaign(rows[0]) if rows else None


def _campaign(row: Mapping[str, Any]) -> Campaign:
    return Campaign(**{**row, "state": State(row["state"])})


async def create(tx: Tx, **named: Any) -> Campaign:
    [row] = await tx.dicts(CREATE, _texts(named))
    return _campaign(row)


async def edit(tx: Tx, changed: Campaign) -> None:
    named = {
        "organisation": changed.organisation_id,
        **{name: getattr(changed, name) for name in ("id", "name", "topic", "speed", *_DOCUMENTS)},
    }
    await tx.execute(EDIT, _texts(named))


_DOCUMENTS = ("audience", "content", "schedule", "limits", "routing")


def _texts(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_json(value) if name in _DOCUMENTS else value for name, value in named.items()}


async def set_state(tx: Tx, one: Campaign, state: State, now: datetime, reason: str, says: str) -> None:
    named = {"organisation": one.organisation_id, "id": one.id, "state": str(state), "now": now}
    await tx.execute(SET_STATE, {**named, "reason": reason, "says": says})


async def note(
    tx: Tx,
    one: Campaign,
    *,
    schedule: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    routing: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
    planned_at: datetime | None = None,
    starts_at: datetime | None = None,
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> None:
    documents = {"schedule": schedule, "limits": limits, "routing": routing, "plan": plan}
    named = {name: None if value is None else as_json(value) for name, value in documents.items()}
    times = {
        "planned_at": planned_at,
        "starts_at": starts_at,
        "started_at": started_at,
        "finished_at": finished_at,
    }
    await tx.execute(NOTE, {"organisation": one.organisation_id, "id": one.id, **named, **times})


# Which files may still be needed: those of all but discarded drafts, and what was over before ``since``.
NAMING_FILES = """
SELECT audience, content FROM campaigns
WHERE organisation_id = %(organisation)s
  AND NOT (state = 'cancelled' AND planned_at IS NULL)
  AND NOT (state IN ('cancelled', 'finished') AND state_since < %(since)s)
"""

# --- what is at work ----------------------------------------------------------------------------------------------

# A cancelled one is at work until all its people know.
AT_WORK = f"""
SELECT {CAMPAIGN} FROM campaigns
WHERE number_id = %(number)s AND (state IN ('scheduled', 'running', 'held')
                                  OR state = 'cancelled' AND finished_at IS NULL)
ORDER BY id
"""

NUMBERS_AT_WORK = """
SELECT number_id FROM campaigns WHERE state IN ('scheduled', 'running', 'held')
                                   OR state = 'cancelled' AND finished_at IS NULL
UNION
SELECT c.number_id FROM campaign_cursors c JOIN numbers n ON n.id = c.number_id AND n.event_seq > c.seq
ORDER BY 1
"""

TAKE_BACK = """
UPDATE recipients SET state = %(state)s, reason = '', says = '', outbox_id = NULL, queued_at = NULL, tries = tries + 1
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND outbox_id = ANY(%(outbox)s)
"""

# Whose row may still wait there; the row itself knows.
IN_OUTBOX = """
SELECT outbox_id FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND outbox_id IS NOT NULL
  AND state IN ('queued', 'sending', 'held', 'in_doubt')
"""

WAITING = """
SELECT count(*) FROM recipients r JOIN outbox o ON o.number_id = r.number_id AND o.id = r.outbox_id
WHERE r.number_id = %(number)s AND r.campaign_id = %(campaign)s AND r.state IN ('queued', 'sending', 'held')
  AND o.state IN ('queued', 'sending', 'held')
"""

# The database counts changes itself (migration 0015), but not whom a planning writes.
FORGET_COUNTS = "DELETE FROM recipient_counts WHERE number_id = %(number)s AND campaign_id = %(campaign)s"
COUNT = """
INSERT INTO recipient_counts
SELECT number_id, campaign_id, variant, state, count(*), count(opted_out_at), count(blocked_at), count(converted_at),
       coalesce(sum(cost), 0), count(*) - count(cost)
FROM recipients WHERE number_id = %(number)s AND campaign_id = %(campaign)s
GROUP BY number_id, campaign_id, variant, state
"""
COUNTS = """
SELECT state, sum(people)::bigint FROM recipient_counts
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND people > 0 GROUP BY state
"""

CANCEL_REST = """
UPDATE recipients r SET state = 'cancelled', reason = '', says = ''
FROM (
    SELECT id FROM recipients
    WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state IN ('planned', 'held') AND outbox_id IS NULL
    ORDER BY id LIMIT %(limit)s
) l
WHERE r.number_id = %(number)s AND r.campaign_id = %(campaign)s AND r.id = l.id
"""


async def count(tx: Tx, one: Campaign) -> None:
    """Counts the people that a planning has written."""
    named = {"number": one.number_id, "campaign": one.id}
    await tx.execute(FORGET_COUNTS, named)
    await tx.execute(COUNT, named)


async def counts(tx: Tx, one: Campaign) -> dict[Became, int]:
    """How many people are in each state."""
    found = await tx.rows(COUNTS, {"number": one.number_id, "campaign": one.id})
    return {Became(state): count for state, count in found}


async def is_open(tx: Tx, one: Campaign) -> bool:
    """Whether there is anybody with whom something is still to happen."""
    named = {"number": one.number_id, "campaign": one.id, "open": sorted(OPEN)}
    return bool(
        await tx.value(
            """
            SELECT EXISTS (SELECT FROM recipients
                           WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state = ANY(%(open)s))
            """,
            named,
        )
    )


async def at_work(tx: Tx, number_id: int) -> list[Campaign]:
    return [_campaign(row) for row in await tx.dicts(AT_WORK, {"number": number_id})]


async def take_back(tx: Tx, one: Campaign, outbox: Collection[int], state: Became) -> None:
    named = {"number": one.number_id, "campaign": one.id}
    await tx.execute(TAKE_BACK, {**named, "outbox": list(outbox), "state": str(state)})


# --- feeding ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Next:
    """Somebody who may be due."""

    id: int
    key: str
    contact_id: int | None
    phone: str | None
    bsuid: str | None
    draft: dict[str, Any]
    state: str
    tries: int


NEXT = """
SELECT id, key, contact_id, phone, bsuid, draft, state, tries FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state IN ('planned', 'held') AND not_before <= %(now)s
  AND outbox_id IS NULL AND draft IS NOT NULL AND (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
ORDER BY not_before, id LIMIT %(limit)s
"""

NEXT_AT = """
SELECT min(not_before) FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state IN ('planned', 'held') AND outbox_id IS NULL
"""

# Who else of the campaign these contacts are: one person under two addresses, found out after the planning.
ALREADY = """
SELECT DISTINCT contact_id FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND contact_id = ANY(%(contacts)s)
  AND (outbox_id IS NOT NULL OR state NOT IN ('planned', 'held', 'skipped', 'cancelled'))
"""

FED = """
UPDATE recipients r SET state = f.state, reason = f.reason, says = f.says, contact_id = f.contact_id,
    outbox_id = f.outbox_id, not_before = coalesce(f.not_before, r.not_before),
    queued_at = CASE WHEN f.outbox_id IS NOT NULL THEN %(now)s::timestamptz ELSE r.queued_at END
FROM json_to_recordset(%(rows)s::json) AS f(id bigint, state text, reason text, says text, contact_id bigint,
                                            outbox_id bigint, not_before timestamptz)
WHERE r.number_id = %(number)s AND r.campaign_id = %(campaign)s AND r.id = f.id
"""

MARK_FIRST = """
UPDATE recipients SET first = true
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND id = ANY(%(ids)s)
"""

# Whose chat was handed back: they needn't wait any longer.
FREED = """
UPDATE recipients SET not_before = %(now)s
WHERE number_id = %(number)s AND contact_id = ANY(%(contacts)s) AND state = 'held' AND reason = %(reason)s
  AND outbox_id IS NULL AND not_before > %(now)s
"""

# Who can't be written to because a person speaks in their chat, and never could in all this time.
GIVE_UP = """
UPDATE recipients SET state = 'skipped'
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state = 'held' AND outbox_id IS NULL
"""

PHONES = """
SELECT DISTINCT left(phone, 8) FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state = 'planned' AND phone IS NOT NULL
"""

DISPLAY_PHONE = "SELECT display_phone FROM numbers WHERE id = %(number)s"


async def fed(tx: Tx, one: Campaign, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    if rows:
        await tx.execute(FED, {"number": one.number_id, "campaign": one.id, "rows": as_json(rows), "now": now})


# --- following ----------------------------------------------------------------------------------------------------

CURSOR = "SELECT seq FROM campaign_cursors WHERE number_id = %(number)s"
BEGIN_FOLLOWING = """
INSERT INTO campaign_cursors (number_id, seq) SELECT id, event_seq FROM numbers WHERE id = %(number)s
ON CONFLICT (number_id) DO NOTHING
"""
FOLLOWED = "UPDATE campaign_cursors SET seq = %(seq)s WHERE number_id = %(number)s"
EVENTS = """
SELECT seq, at, body FROM events WHERE number_id = %(number)s AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s
"""

# Where nobody has got a campaign for so long, nobody answers one either.
STOP_FOLLOWING = """
DELETE FROM campaign_cursors c WHERE number_id = %(number)s AND NOT EXISTS (
    SELECT FROM campaigns p WHERE p.number_id = c.number_id
        AND (p.state NOT IN ('cancelled', 'finished') OR p.finished_at IS NULL OR p.finished_at > %(since)s))
"""

# What is known of these people's messages.
FACTS = f"""
SELECT r.campaign_id, r.id, r.state, r.contact_id, r.outbox_id, r.tries,
       coalesce(k.floor_holder, 'nobody') AS floor_holder, coalesce(k.floor_epoch, 0) AS floor_epoch, k.floor_until,
       o.contact_id AS now_contact_id, o.state AS outbox, o.wamid, o.error_code, o.error_text, o.sending_at,
       o.settled_at, o.failed_at AS refused_at, coalesce(m.delivery, 0) AS delivery, r.replied_at,
       s.sent_at, s.failed_at, s.delivered_at, s.read_at, s.failed_detail
FROM recipients r
JOIN outbox o ON o.number_id = r.number_id AND o.id = r.outbox_id
LEFT JOIN messages m ON m.number_id = o.number_id AND m.wamid = o.wamid
LEFT JOIN chats k ON k.number_id = o.number_id AND k.contact_id = o.contact_id
LEFT JOIN LATERAL (
    SELECT min(t.at) FILTER (WHERE t.status = {int(Delivery.SENT)}) AS sent_at,
           min(t.at) FILTER (WHERE t.status = {int(Delivery.FAILED)}) AS failed_at,
           min(t.at) FILTER (WHERE t.status >= {int(Delivery.DELIVERED)}) AS delivered_at,
           min(t.at) FILTER (WHERE t.status >= {int(Delivery.READ)}) AS read_at,
           (array_agg(t.detail) FILTER (WHERE t.status = {int(Delivery.FAILED)}))[1] AS failed_detail
    FROM statuses t WHERE t.number_id = o.number_id AND t.wamid = o.wamid
) s ON true
WHERE r.number_id = %(number)s AND r.outbox_id = ANY(%(outbox)s)
"""

OF_WAMIDS = "SELECT id FROM outbox WHERE number_id = %(number)s AND wamid = ANY(%(wamids)s)"

LEARN = """
UPDATE recipients r SET state = f.state, reason = f.reason, says = f.says, contact_id = f.contact_id, wamid = f.wamid,
    sent_at = f.sent_at, delivered_at = f.delivered_at, read_at = f.read_at, failed_at = f.failed_at,
    blocked_at = coalesce(r.blocked_at, f.blocked_at), not_before = coalesce(f.not_before, r.not_before),
    tries = f.tries, outbox_id = f.outbox_id
FROM json_to_recordset(%(rows)s::json) AS f(campaign_id bigint, id bigint, state text, reason text, says text,
    contact_id bigint, wamid text, sent_at timestamptz, delivered_at timestamptz, read_at timestamptz,
    failed_at timestamptz, blocked_at timestamptz, not_before timestamptz, tries smallint, outbox_id bigint)
WHERE r.number_id = %(number)s AND r.campaign_id = f.campaign_id AND r.id = f.id
  AND (r.state, r.reason, r.says, r.contact_id, r.wamid, r.sent_at, r.delivered_at, r.read_at, r.failed_at)
      IS DISTINCT FROM
      (f.state, f.reason, f.says, f.contact_id, f.wamid, f.sent_at, f.delivered_at, f.read_at, f.failed_at)
RETURNING r.campaign_id
"""

JOINED = """
UPDATE recipients r SET contact_id = m.winner
FROM unnest(%(winners)s::bigint[], %(losers)s::bigint[]) AS m(winner, loser)
WHERE r.number_id = %(number)s AND r.contact_id = m.loser
"""

# Whom these words answer: the message that they quote, else the newest campaign that had gone out to this person
# then, if that wasn't too long ago. What a person or an automation has said since doesn't matter. Message times are
# whole seconds.
ANSWERED = f"""
SELECT r.campaign_id, r.id, r.outbox_id, m.contact_id, m.wamid, m.at,
       CASE WHEN m.type IN ('button', 'interactive') THEN m.text END AS button, r.replied_at IS NULL AS first
FROM messages m
CROSS JOIN LATERAL (
    SELECT r.* FROM recipients r JOIN outbox o ON o.number_id = r.number_id AND o.id = r.outbox_id
    WHERE r.number_id = m.number_id AND r.contact_id = m.contact_id
      AND o.state IN ('sending', 'sent', 'in_doubt', 'unknown') AND o.sending_at < m.at + interval '1 second'
      AND (o.wamid = m.quoted OR o.sending_at > m.at - %(within)s::interval)
    ORDER BY (o.wamid = m.quoted) DESC NULLS LAST, o.sending_at DESC LIMIT 1
) r
WHERE m.number_id = %(number)s AND m.wamid = ANY(%(wamids)s) AND NOT m.outgoing
  AND m.type NOT IN ({", ".join(map(repr, sorted(UNANSWERED)))})
ORDER BY m.at, m.heard, m.wamid
"""

REPLIED = """
UPDATE recipients r SET replied_at = f.at, reply_wamid = f.wamid, button = coalesce(r.button, f.button)
FROM json_to_recordset(%(rows)s::json) AS f(campaign_id bigint, id bigint, at timestamptz, wamid text, button text)
WHERE r.number_id = %(number)s AND r.campaign_id = f.campaign_id AND r.id = f.id
  AND (r.replied_at IS NULL OR r.replied_at > f.at OR r.button IS NULL AND f.button IS NOT NULL)
RETURNING r.campaign_id
"""

# The newest campaign of each of these people: it is what made them say so.
OPTED_OUT = """
UPDATE recipients r SET opted_out_at = f.at
FROM json_to_recordset(%(rows)s::json) AS f(contact_id bigint, topic text, at timestamptz)
WHERE r.number_id = %(number)s AND r.contact_id = f.contact_id AND r.opted_out_at IS NULL
  AND r.sent_at < f.at + interval '1 second' AND r.sent_at > f.at - %(within)s::interval
  AND NOT EXISTS (SELECT FROM recipients n WHERE n.number_id = r.number_id AND n.contact_id = r.contact_id
                  AND n.sent_at > r.sent_at AND n.sent_at < f.at + interval '1 second')
RETURNING r.campaign_id
"""

# Meta's own switch, of those who turned it lately: ``opted_v`` begins with the second in which that was.
BLOCKED = """
UPDATE recipients r SET blocked_at = to_timestamp(c.opted_v >> 30)
FROM contacts c
WHERE c.number_id = %(number)s AND c.opted_out AND c.opted_v > extract(epoch FROM %(since)s::timestamptz)::bigint << 30
  AND r.number_id = c.number_id AND r.contact_id = c.id AND r.blocked_at IS NULL
  AND r.sent_at < to_timestamp((c.opted_v >> 30) + 1)
  AND r.sent_at > to_timestamp(c.opted_v >> 30) - %(within)s::interval
RETURNING r.campaign_id
"""

_LEFT: Final = ", ".join(f"'{state}'" for state in sorted(REACHED | {Became.FAILED}))
TALLY = f"""
SELECT coalesce(sum(people) FILTER (WHERE state IN ({_LEFT})), 0)::bigint,
       coalesce(sum(people) FILTER (WHERE state = 'failed'), 0)::bigint, coalesce(sum(blocked), 0)::bigint,
       coalesce(sum(opted_out), 0)::bigint
FROM recipient_counts WHERE number_id = %(number)s AND campaign_id = %(campaign)s
"""

ROUTING = """
SELECT id, routing, topic FROM campaigns WHERE number_id = %(number)s AND id = ANY(%(ids)s)
"""

ASSIGN = """
UPDATE chats SET assigned_to = %(user)s
WHERE number_id = %(number)s AND contact_id = ANY(%(contacts)s) AND assigned_to IS NULL
"""

TOPICS = """
SELECT DISTINCT r.contact_id, p.topic
FROM recipients r JOIN campaigns p ON p.number_id = r.number_id AND p.id = r.campaign_id
WHERE r.number_id = %(number)s AND r.contact_id = ANY(%(contacts)s) AND r.opted_out_at IS NULL
  AND r.sent_at > %(since)s
"""

# Whether campaigns of a number ``n`` are followed.
FOLLOWED_AT = "EXISTS (SELECT FROM campaign_cursors c WHERE c.number_id = n.id)"

# Wakes the number's campaigns in a moment, if any are followed and nobody is about to look already. One statement
# without an answer, since it stands in the way of webhooks.
HEARD = """
SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
    'campaign', %(task)s, 0, 'campaigns:' || c.number_id, 'campaigns:' || c.number_id,
    jsonb_build_object('number_id', c.number_id), now() + interval '1 second'
)::procrastinate_job_to_defer_v1])
FROM campaign_cursors c
WHERE c.number_id = ANY(%(numbers)s) AND NOT EXISTS (
    SELECT FROM procrastinate_jobs j WHERE j.queueing_lock = 'campaigns:' || c.number_id AND j.status = 'todo'
)
"""
