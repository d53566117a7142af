"""All SQL of outgoing webhooks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from twinline.db import Tx, as_json
from twinline.rules.delivery import Delivery as Reached
from twinline.sending import outbox
from twinline.webhooks_out.models import Cursor, Delivery, Endpoint, News

# --- endpoints --------------------------------------------------------------------------------------------------------

ENDPOINT = """
SELECT e.organisation_id, e.id, e.url, e.description, e.types, e.numbers, e.order_by, e.secret, e.old_secret,
       e.old_until, e.state, e.state_since, e.says, e.failing_since, e.rests_until, e.created_at,
       (SELECT count(*) FROM webhook_deliveries d
        WHERE d.organisation_id = e.organisation_id AND d.endpoint_id = e.id AND d.state = 'waiting')::int AS waiting,
       (SELECT max(d.tried_at) FROM webhook_deliveries d
        WHERE d.organisation_id = e.organisation_id AND d.endpoint_id = e.id AND d.state = 'delivered') AS last_at
FROM webhook_endpoints e
WHERE e.organisation_id = %(organisation)s
"""
ENDPOINTS = f"{ENDPOINT} ORDER BY e.id"
ONE = f"{ENDPOINT} AND e.id = %(id)s"
LOCK = """
SELECT FROM webhook_endpoints WHERE organisation_id = %(organisation)s AND id = %(id)s FOR NO KEY UPDATE
"""

INSERT = """
INSERT INTO webhook_endpoints (organisation_id, url, description, types, numbers, order_by, secret, state_since,
                               created_by, created_at)
VALUES (%(organisation)s, %(url)s, %(description)s, %(types)s, %(numbers)s, %(order_by)s, %(secret)s, %(now)s,
        %(user)s, %(now)s)
RETURNING id
"""
UPDATE = """
UPDATE webhook_endpoints SET url = %(url)s, description = %(description)s, types = %(types)s, numbers = %(numbers)s,
    order_by = %(order_by)s
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""
SET_STATE = """
UPDATE webhook_endpoints SET state = %(state)s, state_since = %(now)s, says = %(says)s, failing_since = NULL,
    rests_until = NULL
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""
ROTATE = """
UPDATE webhook_endpoints SET old_secret = secret, old_until = %(until)s, secret = %(secret)s
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""
DELETE = (
    "DELETE FROM webhook_deliveries WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s",
    "DELETE FROM webhook_cursors WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s",
    "DELETE FROM webhook_endpoints WHERE organisation_id = %(organisation)s AND id = %(id)s",
)
TOOK = """
UPDATE webhook_endpoints SET failing_since = NULL, rests_until = NULL
WHERE organisation_id = %(organisation)s AND id = %(id)s AND failing_since IS NOT NULL
"""
FAILED = """
UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, %(now)s)
WHERE organisation_id = %(organisation)s AND id = %(id)s
RETURNING failing_since
"""
REST = """
UPDATE webhook_endpoints SET rests_until = %(until)s WHERE organisation_id = %(organisation)s AND id = %(id)s
"""

# Endpoints that are on and want to hear of one of these numbers.
LISTENING = """
SELECT DISTINCT e.organisation_id, e.id FROM numbers n
JOIN webhook_endpoints e ON e.organisation_id = n.organisation_id AND e.state = 'on'
    AND (e.numbers IS NULL OR n.id = ANY(e.numbers))
WHERE n.id = ANY(%(numbers)s)
"""
# Those with events that weren't read, or something that is due.
BEHIND = """
SELECT e.organisation_id, e.id FROM webhook_endpoints e
WHERE e.state = 'on' AND (
    EXISTS (SELECT FROM webhook_cursors c JOIN numbers n ON n.id = c.number_id
            WHERE c.organisation_id = e.organisation_id AND c.endpoint_id = e.id AND c.seq < n.event_seq)
    OR EXISTS (SELECT FROM numbers n WHERE n.organisation_id = e.organisation_id
               AND (e.numbers IS NULL OR n.id = ANY(e.numbers))
               AND NOT EXISTS (SELECT FROM webhook_cursors c WHERE c.organisation_id = e.organisation_id
                               AND c.endpoint_id = e.id AND c.number_id = n.id))
    OR EXISTS (SELECT FROM webhook_deliveries d WHERE d.organisation_id = e.organisation_id AND d.endpoint_id = e.id
               AND d.state = 'waiting' AND d.due_at <= %(now)s))
"""


async def endpoints(tx: Tx, organisation_id: int) -> list[Endpoint]:
    return await tx.all(Endpoint, ENDPOINTS, {"organisation": organisation_id})


async def endpoint(tx: Tx, organisation_id: int, endpoint_id: int, *, lock: bool = False) -> Endpoint | None:
    named = {"organisation": organisation_id, "id": endpoint_id}
    if lock:
        await tx.execute(LOCK, named)
    return await tx.one(Endpoint, ONE, named)


# --- cursors ----------------------------------------------------------------------------------------------------------

# A number that came after the endpoint is told of from its first event.
FOLLOW = """
INSERT INTO webhook_cursors (organisation_id, endpoint_id, number_id, seq)
SELECT n.organisation_id, %(id)s, n.id, CASE WHEN %(at_end)s OR n.created_at <= e.created_at THEN n.event_seq ELSE 0 END
FROM numbers n JOIN webhook_endpoints e ON e.organisation_id = n.organisation_id AND e.id = %(id)s
WHERE n.organisation_id = %(organisation)s AND (e.numbers IS NULL OR n.id = ANY(e.numbers))
ON CONFLICT DO NOTHING
RETURNING number_id
"""
UNFOLLOW = """
DELETE FROM webhook_cursors c USING webhook_endpoints e
WHERE c.organisation_id = %(organisation)s AND c.endpoint_id = %(id)s
  AND e.organisation_id = c.organisation_id AND e.id = c.endpoint_id AND c.number_id <> ALL(e.numbers)
"""
TO_THE_END = """
UPDATE webhook_cursors c SET seq = n.event_seq FROM numbers n
WHERE c.organisation_id = %(organisation)s AND c.endpoint_id = %(id)s AND n.id = c.number_id
"""
CURSORS = """
SELECT number_id, seq, told FROM webhook_cursors
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s ORDER BY number_id
FOR NO KEY UPDATE
"""
EVENTS = """
SELECT seq, at, body FROM events WHERE number_id = %(number)s AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s
"""
MOVE = """
UPDATE webhook_cursors SET seq = %(seq)s, told = told || %(told)s::jsonb
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND number_id = %(number)s
"""


async def cursors(tx: Tx, organisation_id: int, endpoint_id: int) -> list[Cursor]:
    """Locked: nobody else reads on meanwhile."""
    return await tx.all(Cursor, CURSORS, {"organisation": organisation_id, "id": endpoint_id})


# --- deliveries -------------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    "id, key, type, at, number_id, contact_id, body, state, created_at, due_at, first_at, tries, tried_at, took, code, "
    "answer, problem"
)
WRITE = """
INSERT INTO webhook_deliveries (organisation_id, endpoint_id, key, type, at, number_id, contact_id, body, created_at,
                                due_at)
SELECT %(organisation)s, %(id)s, key, type, at, number_id, contact_id, body, %(now)s, %(now)s
FROM json_to_recordset(%(rows)s::json) AS r(key text, type text, at timestamptz, number_id bigint,
    contact_id bigint, body text, place integer)
ORDER BY place
ON CONFLICT (organisation_id, endpoint_id, key) DO NOTHING
"""
WRITE_TEST = """
INSERT INTO webhook_deliveries (organisation_id, endpoint_id, key, type, at, body, created_at, due_at)
VALUES (%(organisation)s, %(id)s, %(key)s, %(type)s, %(now)s, %(body)s, %(now)s, %(now)s)
RETURNING id
"""
# Of each number the next few, so that one with very many waiting holds up no other.
DUE = f"""
SELECT {COLUMNS} FROM (
    SELECT *, row_number() OVER (PARTITION BY number_id ORDER BY id) AS place FROM webhook_deliveries
    WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND state = 'waiting' AND due_at <= %(now)s
) AS waiting
WHERE place <= %(each)s ORDER BY id LIMIT %(limit)s
"""
NEXT_DUE = """
SELECT min(due_at) FROM webhook_deliveries
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND state = 'waiting'
"""
TRIED = """
UPDATE webhook_deliveries SET state = %(state)s, tries = tries + 1, first_at = coalesce(first_at, %(now)s),
    tried_at = %(now)s, due_at = coalesce(%(due)s::timestamptz, due_at), took = %(took)s, code = %(code)s,
    answer = %(answer)s, problem = %(problem)s
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND id = %(delivery)s AND state = 'waiting'
"""
LIST = f"""
SELECT {COLUMNS} FROM webhook_deliveries
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND id < %(before)s
  AND (%(state)s = '' OR state = %(state)s)
ORDER BY id DESC LIMIT %(limit)s
"""
DELIVERY = f"""
SELECT {COLUMNS} FROM webhook_deliveries
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND id = %(delivery)s
"""
REPLAY = """
UPDATE webhook_deliveries SET state = 'waiting', due_at = %(now)s, first_at = NULL, tries = 0
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s
  AND (id = %(delivery)s::bigint OR at >= %(since)s::timestamptz)
"""
DROP = """
UPDATE webhook_deliveries SET state = 'failed', problem = %(why)s
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND state = 'waiting'
"""
HURRY = """
UPDATE webhook_deliveries SET due_at = %(now)s
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND state = 'waiting' AND due_at > %(now)s
"""
# What is oldest comes first, since ids grow as time goes on. Answers where the next page begins, and nothing where no
# more can be old.
FORGET = """
WITH page AS MATERIALIZED (
    SELECT id, created_at FROM webhook_deliveries
    WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND id > %(after)s ORDER BY id LIMIT %(page)s
), gone AS (
    DELETE FROM webhook_deliveries d USING page
    WHERE d.organisation_id = %(organisation)s AND d.endpoint_id = %(id)s AND d.id = page.id
      AND d.created_at < %(before)s AND d.state <> 'waiting'
)
SELECT max(id) FROM page HAVING count(*) = %(page)s AND min(created_at) < %(before)s
"""
ENDPOINTS = "SELECT organisation_id, id FROM webhook_endpoints ORDER BY organisation_id, id"


async def write(tx: Tx, organisation_id: int, endpoint_id: int, news: Sequence[News], now: datetime) -> None:
    if news:
        rows = [{**asdict(one), "place": place} for place, one in enumerate(news)]
        named = {"organisation": organisation_id, "id": endpoint_id, "rows": as_json(rows), "now": now}
        await tx.execute(WRITE, named)


async def deliveries(
    tx: Tx, organisation_id: int, endpoint_id: int, *, before: int, state: str = "", limit: int
) -> list[Delivery]:
    """Newest first; ``before`` is an id."""
    named = {"organisation": organisation_id, "id": endpoint_id, "before": before, "state": state, "limit": limit}
    return await tx.all(Delivery, LIST, named)


async def delivery(tx: Tx, organisation_id: int, endpoint_id: int, delivery_id: int) -> Delivery | None:
    named = {"organisation": organisation_id, "id": endpoint_id, "delivery": delivery_id}
    return await tx.one(Delivery, DELIVERY, named)


# --- what is told -----------------------------------------------------------------------------------------------------

MESSAGES = f"""
SELECT m.wamid, m.contact_id, c.phone, c.bsuid, c.custom_name, c.book_name, c.profile_name, c.username, m.outgoing,
       m.author, m.at, m.type, coalesce(m.edit_text, m.text) AS text, coalesce(m.edit_content, m.content) AS content,
       m.quoted, m.delivery, m.edit_v >= 0 AS edited, m.revoked_at, s.delivered_at, s.read_at, s.errors
FROM messages m
LEFT JOIN contacts c ON c.number_id = m.number_id AND c.id = m.contact_id
LEFT JOIN LATERAL (
    SELECT min(t.at) FILTER (WHERE t.status = {int(Reached.DELIVERED)}) AS delivered_at,
           min(t.at) FILTER (WHERE t.status = {int(Reached.READ)}) AS read_at,
           (array_agg(t.detail -> 'errors') FILTER (WHERE t.status = {int(Reached.FAILED)}))[1] AS errors
    FROM statuses t WHERE t.number_id = m.number_id AND t.wamid = m.wamid
) s ON true
WHERE m.number_id = %(number)s AND m.wamid = ANY(%(wamids)s) AND m.type IS NOT NULL
"""
SENT = f"{outbox.KNOWN} AND (o.wamid = ANY(%(wamids)s) OR o.id = ANY(%(ids)s))"
PEOPLE = """
SELECT c.id AS contact_id, c.phone, c.bsuid, t.assigned_to, t.floor_holder, t.floor_since, t.floor_until
FROM contacts c LEFT JOIN chats t ON t.number_id = c.number_id AND t.contact_id = c.id
WHERE c.number_id = %(number)s AND c.id = ANY(%(contacts)s) ORDER BY c.id
"""
# What was last told of somebody.
TOLD = """
SELECT DISTINCT ON (contact_id) contact_id, body FROM webhook_deliveries
WHERE organisation_id = %(organisation)s AND endpoint_id = %(id)s AND number_id = %(number)s
  AND contact_id = ANY(%(contacts)s) AND type = %(type)s
ORDER BY contact_id, id DESC
"""
RECIPIENTS = """
SELECT r.campaign_id, r.id AS recipient_id, o.contact_id, r.phone, o.id AS outbox_id, o.wamid, o.state,
       coalesce(m.delivery, 0) AS delivery, r.replied_at IS NOT NULL AS replied, o.error_code, o.error_text
FROM outbox o JOIN recipients r ON r.number_id = o.number_id AND r.outbox_id = o.id
LEFT JOIN messages m ON m.number_id = o.number_id AND m.wamid = o.wamid
WHERE o.number_id = %(number)s AND (o.wamid = ANY(%(wamids)s) OR o.id = ANY(%(ids)s))
ORDER BY r.campaign_id, r.id
"""


async def messages(tx: Tx, number_id: int, wamids: Collection[str]) -> dict[str, dict[str, Any]]:
    rows = await tx.dicts(MESSAGES, {"number": number_id, "wamids": sorted(wamids)})
    return {row["wamid"]: row for row in rows}


async def sent(tx: Tx, number_id: int, wamids: Collection[str], ids: Collection[int]) -> list[outbox.Known]:
    return await tx.all(outbox.Known, SENT, {"number": number_id, "wamids": sorted(wamids), "ids": sorted(ids)})


async def people(tx: Tx, number_id: int, contacts: Collection[int]) -> list[dict[str, Any]]:
    return await tx.dicts(PEOPLE, {"number": number_id, "contacts": sorted(contacts)})


async def told(tx: Tx, where: Mapping[str, Any], contacts: Collection[int], kind: str) -> dict[int, str]:
    """The body that was last written of each of these, of this type."""
    return dict(await tx.rows(TOLD, {**where, "contacts": sorted(contacts), "type": kind}))


async def recipients(tx: Tx, number_id: int, wamids: Collection[str], ids: Collection[int]) -> list[dict[str, Any]]:
    return await tx.dicts(RECIPIENTS, {"number": number_id, "wamids": sorted(wamids), "ids": sorted(ids)})
