"""What the pages look at beside ``queries``: tallies, the customer's last words, and chats that have been."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from twinline.contacts.models import Named
from twinline.db import Tx

LATELY: Final = timedelta(days=7)

TALLIES: Final = """
SELECT automation_id, count(*) FILTER (WHERE began_at > %(since)s) AS lately,
       count(*) FILTER (WHERE state <> 'ended') AS under_way, max(began_at) AS last_at
FROM runs WHERE number_id IN (SELECT id FROM numbers WHERE organisation_id = %(organisation)s)
  AND (began_at > %(since)s OR state <> 'ended')
GROUP BY automation_id
"""
LAST_WORDS: Final = """
SELECT r.number_id, r.contact_id, m.text
FROM unnest(%(numbers)s::bigint[], %(contacts)s::bigint[]) AS r(number_id, contact_id)
CROSS JOIN LATERAL (
    SELECT coalesce(m.edit_text, m.text) AS text FROM messages m
    WHERE m.number_id = r.number_id AND m.contact_id = r.contact_id AND m.type <> 'reaction' AND NOT m.outgoing
      AND m.revoked_at IS NULL AND m.text IS NOT NULL
    ORDER BY m.at DESC, m.heard DESC LIMIT 1
) m
"""
CHATS: Final = """
SELECT c.id AS contact_id, c.custom_name, c.book_name, c.profile_name, c.username, c.phone, c.bsuid,
       c.language, c.tags, c.fields, k.last_at
FROM chats k JOIN contacts c ON c.number_id = k.number_id AND c.id = k.contact_id
WHERE k.number_id = %(number)s AND k.last_at > %(since)s AND (%(contact)s::bigint IS NULL OR c.id = %(contact)s)
ORDER BY k.last_at DESC LIMIT %(limit)s
"""
MESSAGES: Final = """
SELECT m.contact_id, m.at, m.outgoing, m.author, m.wamid, m.type, coalesce(m.edit_text, m.text) AS text,
       coalesce(m.edit_content, m.content) AS content, m.extra
FROM messages m
WHERE m.number_id = %(number)s AND m.contact_id = ANY(%(contacts)s) AND m.at > %(since)s
  AND m.type IS NOT NULL AND m.type NOT IN ('reaction', 'system', 'call') AND m.revoked_at IS NULL
ORDER BY m.contact_id, m.at, m.heard, m.wamid LIMIT %(limit)s
"""
EARLIER: Final = """
SELECT c.contact_id FROM unnest(%(contacts)s::bigint[]) AS c(contact_id)
CROSS JOIN LATERAL (
    SELECT FROM messages m
    WHERE m.number_id = %(number)s AND m.contact_id = c.contact_id AND m.type <> 'reaction' AND m.at <= %(since)s
    LIMIT 1
) m
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of an automation: conversations of the last week, those under way, and when the last one began."""

    automation_id: int
    lately: int
    under_way: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PastChat(Named):
    """A chat to rehearse on."""

    contact_id: int
    language: str | None
    tags: list[str] | None
    fields: dict[str, str] | None
    last_at: datetime


async def tallies(tx: Tx, organisation_id: int, now: datetime) -> dict[int, Tally]:
    found = await tx.all(Tally, TALLIES, {"organisation": organisation_id, "since": now - LATELY})
    return {one.automation_id: one for one in found}


async def last_words(tx: Tx, chats: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """What the customer of each chat, (number, contact), wrote last."""
    named = {"numbers": [number for number, _ in chats], "contacts": [contact for _, contact in chats]}
    return {(number, contact): text for number, contact, text in await tx.rows(LAST_WORDS, named)}


async def chats(tx: Tx, number_id: int, since: datetime, limit: int, contact_id: int | None = None) -> list[PastChat]:
    """Of this number, the newest first; the caller has looked whose number it is."""
    named = {"number": number_id, "since": since, "limit": limit, "contact": contact_id}
    return await tx.all(PastChat, CHATS, named)


async def messages(
    tx: Tx, number_id: int, contact_ids: Sequence[int], since: datetime, limit: int
) -> list[tuple[Any, ...]]:
    """(contact, at, outgoing, author, wamid, type, text, content, extra), by contact and time."""
    named = {"number": number_id, "contacts": list(contact_ids), "since": since, "limit": limit}
    return await tx.rows(MESSAGES, named)


async def known_before(tx: Tx, number_id: int, contact_ids: Sequence[int], since: datetime) -> set[int]:
    """Who of them had said or heard something before."""
    named = {"number": number_id, "contacts": list(contact_ids), "since": since}
    return {contact for (contact,) in await tx.rows(EARLIER, named)}
