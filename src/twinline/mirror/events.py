"""The one way by which anybody learns that rows changed: browsers, outgoing webhooks, automations.

An event is a row written in the transaction that made the change, numbered per number without gaps (the number's
row is locked meanwhile), so a reader who has seen ``seq`` can ask for what is newer and misses nothing. The notice
that wakes readers is one per transaction and only says where to read; PostgreSQL takes 8000 bytes in one, so a batch
about very many numbers sends a few.

The body of an event holds ids, and the names of tags, never what people write::

    {"messages": [[contact_id, wamid, what], ...],   what: received, echoed, sent, changed, status, edited, revoked
     "chats":    [contact_id, ...],                  chats whose line may have changed (imports name only these)
     "media":    [[contact_id, wamid], ...],         a file that was missing has come, or won't
     "outbox":   [[contact_id, outbox_id, state], ...],
     "merged":   [[winner_id, loser_id], ...],       two contacts turned out to be one person
     "about":    [contact_id, ...],                  whom the phone named anew, or who ended or took back marketing
     "tagged":   {tag: [contact_id, ...]},           who was given a tag that they didn't have
     "contacts": true, "sync": true, "number": true,  the address book, the ledger, the number's own row changed
     "templates": true,                               and the templates of its account
     "campaigns": [campaign_id, ...]}                 their state, or that of people they go to
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypedDict

from twinline.db import Tx, as_json

CHANNEL = "twinline"

PUBLISH = """
WITH new AS (
    SELECT * FROM json_to_recordset(%(rows)s::json)
        AS r(number_id bigint, body jsonb, budget_tat bigint, phone_seen_at bigint)
), counted AS (
    UPDATE numbers n SET event_seq = event_seq + 1, budget_tat = greatest(n.budget_tat, new.budget_tat),
        phone_seen_at = greatest(n.phone_seen_at, to_timestamp(new.phone_seen_at))
    FROM new WHERE id = number_id
    RETURNING id, event_seq, body
), written AS (
    INSERT INTO events (number_id, seq, at, body) SELECT id, event_seq, %(at)s, body FROM counted
    RETURNING number_id, seq
)
SELECT pg_notify(%(channel)s, string_agg(number_id || ':' || seq, ',')) FROM written HAVING count(*) > 0
"""
ROOM = 200  # numbers in one notice


class Marks(TypedDict, total=False):
    """What of a number's own row changes with an event; each keeps the greater value."""

    budget_tat: int  # microseconds
    phone_seen_at: int | None  # unix seconds


async def publish(
    tx: Tx,
    bodies: Mapping[int, Mapping[str, Any]],
    now: datetime,
    marks: Mapping[int, Marks] = MappingProxyType({}),
) -> None:
    """One event for each number. The caller holds the rows of these numbers (``mirror.turn``)."""
    rows = [{"number_id": number_id, "body": body, **marks.get(number_id, {})} for number_id, body in bodies.items()]
    for start in range(0, len(rows), ROOM):
        await tx.send(PUBLISH, {"rows": as_json(rows[start : start + ROOM]), "at": now, "channel": CHANNEL})
