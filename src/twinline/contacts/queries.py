"""All SQL of contacts. Whoever writes about a contact holds its number's row (``mirror.turn``)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import phonenumbers

from twinline.contacts import conditions
from twinline.contacts.models import Contact, Field, Page, Place, Segment, Spoken, Suppressed, Tag, Topic
from twinline.db import Tx, as_json
from twinline.rules import accents
from twinline.rules.templates import rules

PAGE: Final = 50
MOST_COUNTED: Final = 10_000

ORGANISATION = "SELECT organisation_id FROM numbers WHERE id = %s"
HOME = "SELECT display_phone, organisation_id FROM numbers WHERE id = %s"

PLACES = """
SELECT id, display_phone, verified_name FROM numbers
WHERE organisation_id = %(organisation)s AND (%(number)s::bigint IS NULL OR id = %(number)s) ORDER BY id
"""

NEWEST = "SELECT coalesce(max(id), 0) FROM contacts WHERE number_id = %s"

# --- who -----------------------------------------------------------------------------------------------------------

COLUMNS = """k.number_id, k.id, k.custom_name, k.book_name, k.profile_name, k.username, k.phone, k.bsuid, k.language,
       k.tags, k.fields, k.opted_out, c.last_inbound_at, c.last_at"""

FROM = f"""
FROM contacts k LEFT JOIN chats c ON c.number_id = k.number_id AND c.contact_id = k.id
WHERE k.number_id = %(number)s
  AND (%(q)s::text = '' OR {accents.contains("concat_ws(' ', k.custom_name, k.book_name, k.profile_name, k.username)")}
       OR %(digits)s::text <> '' AND strpos(k.phone, %(digits)s) > 0)
"""

ONE = f"""
SELECT {COLUMNS} FROM contacts k LEFT JOIN chats c ON c.number_id = k.number_id AND c.contact_id = k.id
WHERE k.number_id = %s AND k.id = %s
"""

CONTACT_OF = "SELECT contact_id FROM identities WHERE number_id = %s AND key = %s"

# --- what people here know of them ---------------------------------------------------------------------------------

# Tags are kept in order and once each, so that the same tags are the same array.
TAG = """
UPDATE contacts k SET tags = r.tags
FROM (
    SELECT id, tags AS had, ARRAY(
        SELECT DISTINCT t FROM unnest(tags || %(add)s::text[]) AS t WHERE t <> ALL(%(remove)s::text[]) ORDER BY t
    ) AS tags
    FROM contacts WHERE number_id = %(number)s AND id = ANY(%(ids)s)
) r
WHERE k.number_id = %(number)s AND k.id = r.id AND k.tags IS DISTINCT FROM r.tags
RETURNING k.id, r.had, k.tags
"""

NOTE_TAGS = """
INSERT INTO tags (organisation_id, name, hue, created_at)
SELECT %(organisation)s, r.name, r.hue, %(now)s
FROM unnest(%(names)s::text[], %(hues)s::smallint[]) AS r(name, hue) ORDER BY r.name
ON CONFLICT DO NOTHING
"""

TAGS = """
SELECT t.name, t.hue, (
    SELECT count(*) FROM numbers n JOIN contacts k ON k.number_id = n.id AND k.tags @> ARRAY[t.name] AND k.tags <> '{}'
    WHERE n.organisation_id = t.organisation_id
)::integer AS contacts
FROM tags t WHERE t.organisation_id = %s ORDER BY lower(t.name), t.name
"""

FORGET_TAG = "DELETE FROM tags WHERE organisation_id = %s AND name = %s"

TAKE_TAG = """
UPDATE contacts SET tags = array_remove(tags, %(name)s)
WHERE number_id = ANY(%(numbers)s) AND tags @> ARRAY[%(name)s] AND tags <> '{}'
RETURNING number_id, id
"""

NUMBERS = "SELECT id FROM numbers WHERE organisation_id = %s ORDER BY id"

FIELDS = "SELECT key, label, kind FROM fields WHERE organisation_id = %s ORDER BY created_at, key"

ADD_FIELD = """
INSERT INTO fields (organisation_id, key, label, kind, created_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""

FORGET_FIELD = "DELETE FROM fields WHERE organisation_id = %s AND key = %s"

TAKE_FIELD = """
UPDATE contacts SET fields = fields - %(key)s WHERE number_id = ANY(%(numbers)s) AND fields->>%(key)s IS NOT NULL
"""

# An absent value is NULL: it takes the field, the name or the language away.
KNOW = """
UPDATE contacts k SET
    fields = jsonb_strip_nulls(k.fields || r.fields),
    language = CASE WHEN r.sets_language THEN r.language ELSE k.language END,
    custom_name = CASE WHEN r.sets_name THEN r.name ELSE k.custom_name END
FROM json_to_recordset(%(rows)s::json)
    AS r(id bigint, fields jsonb, sets_language boolean, language text, sets_name boolean, name text)
WHERE k.number_id = %(number)s AND k.id = r.id AND (
    k.fields IS DISTINCT FROM jsonb_strip_nulls(k.fields || r.fields)
    OR r.sets_language AND k.language IS DISTINCT FROM r.language
    OR r.sets_name AND k.custom_name IS DISTINCT FROM r.name)
RETURNING k.id
"""

# --- segments ------------------------------------------------------------------------------------------------------

SEGMENTS = "SELECT id, name, conditions FROM segments WHERE organisation_id = %s ORDER BY lower(name)"
SEGMENT = "SELECT id, name, conditions FROM segments WHERE organisation_id = %s AND id = %s"

KEEP_SEGMENT = """
INSERT INTO segments (organisation_id, name, conditions, created_by, created_at)
VALUES (%(organisation)s, %(name)s, %(conditions)s::jsonb, %(user)s, %(now)s)
ON CONFLICT (organisation_id, lower(name)) DO UPDATE SET name = excluded.name, conditions = excluded.conditions
RETURNING id
"""

FORGET_SEGMENT = "DELETE FROM segments WHERE organisation_id = %s AND id = %s"

# --- consent -------------------------------------------------------------------------------------------------------


def _newest(said: str) -> str:
    """The newest word; of the same second the one that ends."""
    newest = f"ORDER BY w.at DESC, w.granted, w.source) FILTER (WHERE {said}))[1]"
    return ", ".join(f"(array_agg(w.{column} {newest}" for column in ("granted", "at", "source"))


# The newest word of each asked person, about everything and about the topic. Everything is put together once for each:
# were the people joined with their words, each of two thousand would be compared with each. OFFSET 0 keeps the planner
# to the keys.
_SAID = f"""
SELECT a.name, coalesce(bool_or(k.opted_out), false), bool_or(s.key IS NOT NULL),
       {_newest("w.topic = ''")},
       {_newest("w.topic <> ''")},
       coalesce((SELECT o.needs_opt_in FROM topics o
                 WHERE o.organisation_id = %(organisation)s AND o.key = %(topic)s), false)
FROM asked a
LEFT JOIN contacts k ON k.number_id = %(number)s AND k.id = a.contact_id
LEFT JOIN LATERAL (
    SELECT key FROM suppressions WHERE organisation_id = %(organisation)s AND key = a.key OFFSET 0
) s ON true
LEFT JOIN LATERAL (
    SELECT topic, granted, at, source FROM consents
    WHERE organisation_id = %(organisation)s AND key = a.key AND topic IN ('', %(topic)s) OFFSET 0
) w ON true
GROUP BY a.name
"""

# One contact or many; somebody without keys has still Meta's switch.
CONSENTS = (
    """
WITH asked AS (
    SELECT r.id AS name, r.id AS contact_id, i.key
    FROM unnest(%(ids)s::bigint[]) AS r(id)
    LEFT JOIN identities i ON i.number_id = %(number)s AND i.contact_id = r.id
)"""
    + _SAID
)

# People by key, known here or not: all the other keys of a contact speak for this one too.
CONSENTS_OF_KEYS = (
    """
WITH asked AS (
    SELECT r.key AS name, i.contact_id, coalesce(o.key, r.key) AS key
    FROM unnest(%(keys)s::text[]) AS r(key)
    LEFT JOIN identities i ON i.number_id = %(number)s AND i.key = r.key
    LEFT JOIN identities o ON o.number_id = %(number)s AND o.contact_id = i.contact_id
)"""
    + _SAID
)

SAY = """
INSERT INTO consents (organisation_id, key, topic, at, granted, source, detail, number_id, user_id)
SELECT %(organisation)s, r.key, r.topic, r.at, r.granted, r.source, coalesce(r.detail, ''), r.number_id, r.user_id
FROM json_to_recordset(%(rows)s::json) AS r(key text, topic text, at timestamptz, granted boolean, source text,
    detail text, number_id bigint, user_id bigint)
ORDER BY r.key, r.topic, r.at
ON CONFLICT DO NOTHING
"""

KEYS = """
SELECT contact_id, key FROM identities WHERE number_id = %s AND contact_id = ANY(%s) ORDER BY contact_id, key
"""

# A word that was said under several keys of a person was said once.
HISTORY = """
SELECT DISTINCT ON (w.at, w.granted, w.topic, w.source) w.topic, w.at, w.granted, w.source, w.detail,
       u.name AS user_name
FROM identities i JOIN consents w ON w.organisation_id = %(organisation)s AND w.key = i.key
LEFT JOIN users u ON u.id = w.user_id AND u.organisation_id = %(organisation)s
WHERE i.number_id = %(number)s AND i.contact_id = %(contact)s
ORDER BY w.at DESC, w.granted, w.topic, w.source, w.key
LIMIT 200
"""

META_STOPPED = """
SELECT opted_out, to_timestamp(opted_v >> 30) FROM contacts WHERE number_id = %s AND id = %s AND opted_v >= 0
"""

TOPICS = "SELECT key, title, needs_opt_in FROM topics WHERE organisation_id = %s ORDER BY key <> '', lower(title)"

KEEP_TOPIC = """
INSERT INTO topics (organisation_id, key, title, needs_opt_in, created_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (organisation_id, key) DO UPDATE SET title = excluded.title, needs_opt_in = excluded.needs_opt_in
"""

FORGET_TOPIC = "DELETE FROM topics WHERE organisation_id = %s AND key = %s"

SUPPRESSED = """
SELECT s.key, s.at, s.why, u.name AS user_name
FROM suppressions s LEFT JOIN users u ON u.id = s.user_id AND u.organisation_id = s.organisation_id
WHERE s.organisation_id = %(organisation)s AND s.key > %(after)s AND (%(q)s = '' OR strpos(s.key, %(q)s) > 0)
ORDER BY s.key LIMIT %(limit)s
"""

COUNT_SUPPRESSED = "SELECT count(*) FROM suppressions WHERE organisation_id = %s"

SUPPRESS = """
INSERT INTO suppressions (organisation_id, key, at, why, user_id)
SELECT %(organisation)s, r.key, coalesce(r.at, %(now)s), r.why, %(user)s
FROM json_to_recordset(%(rows)s::json) AS r(key text, at timestamptz, why text)
ORDER BY r.key
ON CONFLICT DO NOTHING
"""

RELEASE = "DELETE FROM suppressions WHERE organisation_id = %s AND key = ANY(%s)"

# --- keywords ------------------------------------------------------------------------------------------------------

KEYWORDS = """
SELECT number_id, language, enabled, stop, start, stopped, started FROM keywords WHERE number_id = ANY(%s)
"""

KEEP_KEYWORDS = """
INSERT INTO keywords (number_id, language, enabled, stop, start, stopped, started)
VALUES (%(number)s, %(language)s, %(enabled)s, %(stop)s::text[], %(start)s::text[], %(stopped)s, %(started)s)
ON CONFLICT (number_id, language) DO UPDATE SET enabled = excluded.enabled, stop = excluded.stop,
    start = excluded.start, stopped = excluded.stopped, started = excluded.started
"""


async def organisation_of(tx: Tx, number_id: int) -> int | None:
    found: int | None = await tx.value(ORGANISATION, (number_id,))
    return found


def _looked_for(number_id: int, q: str) -> dict[str, Any]:
    digits = "".join(char for char in q if char.isascii() and char.isdigit())
    # "Flat 3" isn't a phone number: digits count only if there is nothing else than their usual company.
    by_phone = len(digits) >= 3 and not set(q) - set("0123456789 +-().")
    return {"number": number_id, "q": q, **accents.typed(q), "digits": digits if by_phone else ""}


async def places(tx: Tx, organisation_id: int) -> list[Place]:
    return await tx.all(Place, PLACES, {"organisation": organisation_id, "number": None})


async def place(tx: Tx, number_id: int, organisation_id: int) -> Place | None:
    """A number, if it is the organisation's."""
    return await tx.one(Place, PLACES, {"organisation": organisation_id, "number": number_id})


async def page(
    tx: Tx,
    organisation_id: int,
    number_id: int,
    *,
    q: str = "",
    filter_: conditions.Filter = (),
    now: datetime,
    before: int | None = None,
    limit: int = PAGE,
) -> Page:
    """Contacts who pass the filter, those known last first; ``before``: where the last page ended."""
    also, params = conditions.where(filter_, organisation_id, now)
    params = {**params, **_looked_for(number_id, q), "before": before, "limit": limit + 1}
    start = "AND k.id < coalesce(%(before)s::bigint, 9223372036854775807)"
    found = await tx.all(Contact, f"SELECT {COLUMNS} {FROM} {also} {start} ORDER BY k.id DESC LIMIT %(limit)s", params)
    counted = f"SELECT count(*) FROM (SELECT {FROM} {also} LIMIT {MOST_COUNTED}) counted"
    count = int(await tx.value(counted, params))
    return Page(found[:limit], count, found[limit - 1].id if len(found) > limit else None)


async def everybody(
    tx: Tx, organisation_id: int, number_id: int, filter_: conditions.Filter, now: datetime, q: str = ""
) -> list[Contact]:
    """All who pass the filter, oldest first."""
    also, params = conditions.where(filter_, organisation_id, now)
    sql = f"SELECT {COLUMNS} {FROM} {also} ORDER BY k.id"
    return await tx.all(Contact, sql, {**params, **_looked_for(number_id, q)})


async def one(tx: Tx, number_id: int, contact_id: int) -> Contact | None:
    return await tx.one(Contact, ONE, (number_id, contact_id))


async def tags(tx: Tx, organisation_id: int) -> list[Tag]:
    return await tx.all(Tag, TAGS, (organisation_id,))


async def fields(tx: Tx, organisation_id: int) -> list[Field]:
    return await tx.all(Field, FIELDS, (organisation_id,))


async def segments(tx: Tx, organisation_id: int) -> list[Segment]:
    return await tx.all(Segment, SEGMENTS, (organisation_id,))


async def segment(tx: Tx, organisation_id: int, segment_id: int) -> Segment | None:
    return await tx.one(Segment, SEGMENT, (organisation_id, segment_id))


async def topics(tx: Tx, organisation_id: int) -> list[Topic]:
    return await tx.all(Topic, TOPICS, (organisation_id,))


async def history(tx: Tx, organisation_id: int, number_id: int, contact_id: int) -> list[Spoken]:
    """What the person said about marketing, newest first; Meta's switch stands as its last word only."""
    spoken = await tx.all(
        Spoken, HISTORY, {"organisation": organisation_id, "number": number_id, "contact": contact_id}
    )
    for stopped, at in await tx.rows(META_STOPPED, (number_id, contact_id)):
        spoken.append(Spoken("", at, not stopped, "whatsapp", "", None))
    return sorted(spoken, key=lambda word: word.at, reverse=True)


async def suppressed(
    tx: Tx, organisation_id: int, *, q: str = "", after: str = "", limit: int | None = PAGE
) -> list[Suppressed]:
    named = {"organisation": organisation_id, "q": q, "after": after, "limit": limit}
    return await tx.all(Suppressed, SUPPRESSED, named)


async def count_suppressed(tx: Tx, organisation_id: int) -> int:
    return int(await tx.value(COUNT_SUPPRESSED, (organisation_id,)))


async def keys_of(tx: Tx, number_id: int, contact_ids: Iterable[int]) -> dict[int, list[str]]:
    """The keys under which contacts are known, by contact."""
    found: dict[int, list[str]] = {}
    for contact_id, key in await tx.rows(KEYS, (number_id, sorted(set(contact_ids)))):
        found.setdefault(contact_id, []).append(key)
    return found


async def say(tx: Tx, organisation_id: int, rows: Sequence[dict[str, Any]]) -> int:
    """Answers how many of these words were new."""
    return await tx.execute(SAY, {"organisation": organisation_id, "rows": as_json(rows)}) if rows else 0


# --- what conditions are chosen from ---------------------------------------------------------------------------------


async def _tags(tx: Tx, organisation_id: int) -> dict[str, str]:
    return {tag.name: tag.name for tag in await tags(tx, organisation_id)}


async def _fields(tx: Tx, organisation_id: int) -> dict[str, str]:
    return {field.key: field.label for field in await fields(tx, organisation_id)}


async def _languages(_: Tx, __: int) -> dict[str, str]:
    return {code: str(name) for code, name in rules()["languages"].items()}


async def _countries(_: Tx, __: int) -> dict[str, str]:
    """By their two letters: browsers know what their reader calls them."""
    return {code: code for code in sorted(phonenumbers.SUPPORTED_REGIONS)}


for kind, of_organisation in (("tag", _tags), ("field", _fields), ("language", _languages), ("country", _countries)):
    conditions.offer(kind, of_organisation)
