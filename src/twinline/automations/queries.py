"""All SQL of automations. Whoever writes about a number's chats holds the number's turn (``mirror.turn``)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from twinline.automations.models import Automation, Line, Run, Settings, State, Version
from twinline.db import Tx, as_json
from twinline.rules.automations import keywords

HANDED_FOR = timedelta(days=1)  # so long automations wait for the people whom they have called

# --- what automations there are ---------------------------------------------------------------------------------------

AUTOMATION = """a.organisation_id, a.id, a.name, a.enabled, a.position, a.version, a.draft, a.draft_at, a.numbers,
       a.archived_at, a.made_by, a.made_at, v.definition, v.made_at AS published_at
FROM automations a LEFT JOIN automation_versions v
    ON v.organisation_id = a.organisation_id AND v.automation_id = a.id AND v.version = a.version"""

ALL = f"""
SELECT {AUTOMATION}
WHERE a.organisation_id = %(organisation)s AND (a.archived_at IS NULL OR %(archived)s) ORDER BY a.position, a.id
"""
ONE = f"SELECT {AUTOMATION} WHERE a.organisation_id = %(organisation)s AND a.id = %(id)s"
BY_NAME = f"""
SELECT {AUTOMATION}
WHERE a.organisation_id = %(organisation)s AND lower(a.name) = lower(%(name)s) AND a.archived_at IS NULL
"""
# Those that may begin at a number, the first first.
ENABLED = f"""
SELECT {AUTOMATION}
WHERE a.organisation_id = %(organisation)s AND a.enabled AND a.archived_at IS NULL
  AND (a.numbers IS NULL OR %(number)s = ANY(a.numbers))
ORDER BY a.position, a.id
"""

DEFINITION = """
SELECT definition FROM automation_versions
WHERE organisation_id = %(organisation)s AND automation_id = %(id)s AND version = %(version)s
"""
VERSIONS = """
SELECT version, made_by, made_at FROM automation_versions
WHERE organisation_id = %(organisation)s AND automation_id = %(id)s ORDER BY version DESC
"""

# The organisation's automations are ordered among each other, so whoever adds or moves one waits for the others.
ORGANISATIONS_TURN = "SELECT id FROM organisations WHERE id = %(organisation)s FOR NO KEY UPDATE"

CREATE = """
INSERT INTO automations (organisation_id, name, position, draft, draft_at, numbers, made_by, made_at)
SELECT %(organisation)s, %(name)s, coalesce(max(position), 0) + 1, %(draft)s::jsonb, %(now)s, %(numbers)s::bigint[],
       %(user)s, %(now)s
FROM automations WHERE organisation_id = %(organisation)s
RETURNING id
"""
# ``draft_at`` tells one draft from another, so two of one instant don't have the same.
SAVE = """
UPDATE automations SET name = %(name)s, draft = %(draft)s::jsonb, numbers = %(numbers)s::bigint[],
    draft_at = greatest(%(now)s, draft_at + interval '1 microsecond')
WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
  AND (%(seen)s::timestamptz IS NULL OR draft_at = %(seen)s)
RETURNING draft_at
"""
PUBLISH = """
WITH made AS (
    INSERT INTO automation_versions (organisation_id, automation_id, version, definition, made_by, made_at)
    SELECT organisation_id, id, version + 1, %(definition)s::jsonb, %(user)s, %(now)s
    FROM automations WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
    RETURNING version
)
UPDATE automations a SET version = made.version, draft = %(definition)s::jsonb, quiet_for = %(quiet_for)s,
    draft_at = greatest(%(now)s, draft_at + interval '1 microsecond')
FROM made WHERE a.organisation_id = %(organisation)s AND a.id = %(id)s
RETURNING a.version
"""
ENABLE = """
UPDATE automations SET enabled = %(on)s
WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
"""
REORDER = """
UPDATE automations a SET position = r.position FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS r(id, position)
WHERE a.organisation_id = %(organisation)s AND a.id = r.id AND a.position <> r.position
"""
ARCHIVE = """
UPDATE automations SET archived_at = %(now)s, enabled = false
WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
"""

ORGANISATION_OF = "SELECT organisation_id FROM numbers WHERE id = %(number)s"


async def automations(tx: Tx, organisation_id: int, *, archived: bool = False) -> list[Automation]:
    """In the order in which they are asked whether they are meant."""
    return await tx.all(Automation, ALL, {"organisation": organisation_id, "archived": archived})


async def automation(tx: Tx, organisation_id: int, automation_id: int) -> Automation | None:
    return await tx.one(Automation, ONE, {"organisation": organisation_id, "id": automation_id})


async def automation_named(tx: Tx, organisation_id: int, name: str) -> Automation | None:
    return await tx.one(Automation, BY_NAME, {"organisation": organisation_id, "name": name})


async def enabled(tx: Tx, organisation_id: int, number_id: int) -> list[Automation]:
    """Those that may begin at the number, the first first."""
    return await tx.all(Automation, ENABLED, {"organisation": organisation_id, "number": number_id})


async def definition(tx: Tx, organisation_id: int, automation_id: int, version: int) -> dict[str, Any] | None:
    named = {"organisation": organisation_id, "id": automation_id, "version": version}
    found: dict[str, Any] | None = await tx.value(DEFINITION, named)
    return found


async def versions(tx: Tx, organisation_id: int, automation_id: int) -> list[Version]:
    """Newest first."""
    return await tx.all(Version, VERSIONS, {"organisation": organisation_id, "id": automation_id})


# --- conversations ----------------------------------------------------------------------------------------------------

# A person who spoke has silenced the run, also where nothing has met it since.
_RUN = f"""r.number_id, r.id, r.organisation_id, r.automation_id, a.name AS automation, r.version, r.contact_id,
       c.custom_name, c.book_name, c.profile_name, c.username, c.phone, c.bsuid,
       CASE WHEN r.state = '{State.WAITING}' AND r.waits <> 'time' AND k.floor_since IS DISTINCT FROM r.since
            THEN '{State.YIELDED}' ELSE r.state END AS state,
       r.waits, r.wakes_at, r.run, r.sent, r.token, r.began_at, r.moved_at, r.ended_at, r.why, r.began_by, r.trace
FROM {{}} r
JOIN automations a ON a.organisation_id = r.organisation_id AND a.id = r.automation_id
LEFT JOIN contacts c ON c.number_id = r.number_id AND c.id = r.contact_id
LEFT JOIN chats k ON k.number_id = r.number_id AND k.contact_id = r.contact_id"""
RUN = _RUN.format("runs")

# Of each number the newest, of these the newest, and only they are dressed.
_NEWEST = """(
    SELECT o.* FROM numbers n
    CROSS JOIN LATERAL (SELECT * FROM runs WHERE number_id = n.id {} ORDER BY id DESC LIMIT %(limit)s) o
    WHERE n.organisation_id = %(organisation)s AND (%(number)s::bigint IS NULL OR n.id = %(number)s)
    ORDER BY o.id DESC LIMIT %(limit)s
)"""
_ONLY = {
    "automation": "AND automation_id = %(automation)s",
    "contact": "AND contact_id = %(contact)s",
    "before": "AND id < %(before)s",
}
ONE_RUN = f"SELECT {RUN} WHERE r.number_id = %(number)s AND r.id = %(run)s"
OPEN_RUN = f"""
SELECT {RUN} WHERE r.number_id = %(number)s AND r.contact_id = %(contact)s AND r.state <> 'ended'
ORDER BY r.waits = 'time', r.id DESC LIMIT 1
"""

# A conversation (``r``) that called people to its chat (``k``), who haven't done anything there since: the last one to
# end, if none is talking. As in ``CHATS``.
HANDED_OVER = """r.released AND r.ended_at > %(day)s AND r.since IS NOT DISTINCT FROM k.floor_since
  AND NOT EXISTS (
    SELECT FROM runs b WHERE b.number_id = r.number_id AND b.contact_id = r.contact_id
        AND b.id > r.id AND b.state = 'ended'
) AND NOT EXISTS (
    SELECT FROM runs b WHERE b.number_id = r.number_id AND b.contact_id = r.contact_id
        AND b.state <> 'ended' AND b.waits <> 'time'
)"""
HANDED = f"SELECT {RUN} WHERE r.number_id = %(number)s AND r.contact_id = %(contact)s AND {HANDED_OVER}"
# The chats that wait for people. Few do, so they are found by these conversations: OFFSET 0 keeps the planner to that.
HANDED_CHATS = f"""
SELECT k.* FROM runs r
CROSS JOIN LATERAL (
    SELECT * FROM chats c WHERE c.number_id = r.number_id AND c.contact_id = r.contact_id OFFSET 0
) k
WHERE r.number_id = %(number)s AND {HANDED_OVER}
"""

LOG = """
SELECT l.id, l.contact_id, l.at, l.automation_id, a.name AS automation, l.run_id, l.wamid, l.kind, l.says
FROM automation_log l
JOIN numbers n ON n.id = l.number_id
LEFT JOIN automations a ON a.organisation_id = n.organisation_id AND a.id = l.automation_id
WHERE l.number_id = %(number)s AND l.contact_id = %(contact)s AND (%(before)s::bigint IS NULL OR l.id < %(before)s)
ORDER BY l.id DESC LIMIT %(limit)s
"""


def runs_statement(named: Mapping[str, Any]) -> str:
    """Only what is asked for stands in it, so that an index can be chosen by it, also by a plan that stays."""
    only = " ".join(condition for name, condition in _ONLY.items() if named[name] is not None)
    return f"SELECT {_RUN.format(_NEWEST.format(only))} ORDER BY r.id DESC"


async def runs(
    tx: Tx,
    organisation_id: int,
    automation_id: int | None = None,
    *,
    number_id: int | None = None,
    contact_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Run]:
    """Newest first; ``before`` is an id."""
    named = {
        "organisation": organisation_id, "automation": automation_id, "number": number_id, "contact": contact_id,
        "before": before, "limit": limit,
    }  # fmt: skip
    return await tx.all(Run, runs_statement(named), named)


async def run(tx: Tx, number_id: int, run_id: int) -> Run | None:
    return await tx.one(Run, ONE_RUN, {"number": number_id, "run": run_id})


async def open_run(tx: Tx, number_id: int, contact_id: int) -> Run | None:
    """The conversation that an automation has in this chat, also where a person has silenced it."""
    return await tx.one(Run, OPEN_RUN, {"number": number_id, "contact": contact_id})


async def handed(tx: Tx, number_id: int, contact_id: int, now: datetime) -> Run | None:
    """The conversation that handed this chat to people, who haven't answered yet: automations wait for them."""
    return await tx.one(Run, HANDED, {"number": number_id, "contact": contact_id, "day": now - HANDED_FOR})


async def log(tx: Tx, number_id: int, contact_id: int, limit: int = 50, *, before: int | None = None) -> list[Line]:
    """The chat's why-log, newest first."""
    named = {"number": number_id, "contact": contact_id, "limit": limit, "before": before}
    return await tx.all(Line, LOG, named)


# --- a number's settings ----------------------------------------------------------------------------------------------

SETTINGS = """
SELECT s.hours, coalesce(s.zone, '') AS zone, coalesce(s.language, '') AS language,
       coalesce(s.phone_keywords, %(keywords)s::jsonb) AS phone_keywords, n.phone_pause AS pause
FROM numbers n LEFT JOIN number_settings s ON s.number_id = n.id WHERE n.id = %(number)s
"""
KEEP_SETTINGS = """
INSERT INTO number_settings (number_id, hours, zone, language, phone_keywords)
VALUES (%(number)s, %(hours)s::jsonb, %(zone)s, %(language)s, %(phone_keywords)s::jsonb)
ON CONFLICT (number_id) DO UPDATE SET hours = excluded.hours, zone = excluded.zone, language = excluded.language,
    phone_keywords = excluded.phone_keywords
"""
KEEP_PAUSE = "UPDATE numbers SET phone_pause = %(pause)s WHERE id = %(number)s"


async def settings(tx: Tx, number_id: int) -> Settings | None:
    usual = as_json([dict(keyword) for keyword in keywords.DEFAULTS])
    return await tx.one(Settings, SETTINGS, {"number": number_id, "keywords": usual})


async def keep_settings(tx: Tx, number_id: int, chosen: Settings) -> None:
    row: Mapping[str, Any] = {
        "number": number_id,
        "hours": as_json(chosen.hours) if chosen.hours is not None else None,
        "zone": chosen.zone,
        "language": chosen.language,
        "phone_keywords": as_json(list(chosen.phone_keywords)),
        "pause": chosen.pause,
    }
    await tx.execute(KEEP_SETTINGS, row)
    await tx.execute(KEEP_PAUSE, row)


# --- the engine: what customers say -----------------------------------------------------------------------------------

# Whether an automation may begin, or one is talking already, at a number ``n``.
LISTENS = """
EXISTS (SELECT FROM automations a WHERE a.organisation_id = n.organisation_id AND a.enabled
        AND (a.numbers IS NULL OR n.id = ANY(a.numbers)))
OR EXISTS (SELECT FROM runs r WHERE r.number_id = n.id AND r.state <> 'ended' AND r.waits <> 'time')
"""

# Where an automation may begin, or one is talking already, what a customer says opens a turn, or goes on with one. It
# is looked at when they have been quiet for a while, though not for ever. What was tried before isn't part of it any
# more, and of very much the last fifty messages are. A job that waits for later is brought forward (``db.jobs``).
NOTE_TURNS = """
WITH said AS (
    SELECT r.number_id, r.contact_id, min(to_timestamp(r.at)) AS first_at, max(to_timestamp(r.at)) AS said_at,
           array_agg(r.wamid ORDER BY r.at, r.n) AS wamids
    FROM unnest(%(numbers)s::bigint[], %(contacts)s::bigint[], %(wamids)s::text[], %(ats)s::bigint[]) WITH ORDINALITY
        AS r(number_id, contact_id, wamid, at, n)
    GROUP BY r.number_id, r.contact_id
), listening AS (
    SELECT n.id AS number_id, max(a.quiet_for) AS quiet_for
    FROM numbers n JOIN automations a ON a.organisation_id = n.organisation_id AND a.enabled
        AND (a.numbers IS NULL OR n.id = ANY(a.numbers))
    WHERE n.id = ANY(%(numbers)s) GROUP BY n.id
), noted AS (
    INSERT INTO turns AS t (number_id, contact_id, first_at, said_at, due_at, wamids)
    SELECT s.number_id, s.contact_id, s.first_at, s.said_at, %(now)s::timestamptz + coalesce(q.quiet_for, '3 seconds'),
           s.wamids
    FROM said s
    LEFT JOIN LATERAL (
        SELECT a.quiet_for FROM runs r
        JOIN automations a ON a.organisation_id = r.organisation_id AND a.id = r.automation_id
        WHERE r.number_id = s.number_id AND r.contact_id = s.contact_id AND r.state <> 'ended' AND r.waits <> 'time'
    ) talking ON true
    LEFT JOIN listening l ON l.number_id = s.number_id
    CROSS JOIN LATERAL (SELECT coalesce(talking.quiet_for, l.quiet_for) AS quiet_for) q
    WHERE q.quiet_for IS NOT NULL
    ORDER BY s.number_id, s.contact_id
    ON CONFLICT (number_id, contact_id) DO UPDATE SET
        first_at = least(t.first_at, excluded.first_at), said_at = greatest(t.said_at, excluded.said_at),
        due_at = least(excluded.due_at, greatest(%(now)s::timestamptz, t.first_at + %(patience)s::interval)),
        tried = false,
        wamids = (CASE WHEN t.tried THEN excluded.wamids ELSE t.wamids || excluded.wamids END)[
            greatest(1, cardinality(t.wamids || excluded.wamids) * (1 - t.tried::integer) - 49):]
    RETURNING number_id
)
DELETE FROM procrastinate_jobs j USING (SELECT DISTINCT number_id FROM noted) n
WHERE j.queueing_lock = 'automation:' || n.number_id AND j.status = 'todo' AND j.scheduled_at > now()
"""

# Of these numbers those where something is due soon get a job that waits for it; one that is there already hears of it.
WAKE_DUE = """
SELECT pg_notify(%(channel)s, n.id::text), CASE WHEN NOT EXISTS (
    SELECT FROM procrastinate_jobs j WHERE j.queueing_lock = 'automation:' || n.id AND j.status = 'todo'
) THEN procrastinate_defer_jobs_v1(ARRAY[ROW('automation', %(task)s, 0, 'automation:' || n.id, 'automation:' || n.id,
    jsonb_build_object('number_id', n.id), now())::procrastinate_job_to_defer_v1]) END
FROM unnest(%(numbers)s::bigint[]) AS n(id)
WHERE EXISTS (SELECT FROM turns t WHERE t.number_id = n.id AND t.due_at <= %(soon)s)
"""

# Two contacts turned out to be one person: what they said is one turn, and of two conversations the newer goes on.
JOIN_TURNS = """
WITH gone AS (
    DELETE FROM turns WHERE number_id = %(number)s AND contact_id = %(loser)s
    RETURNING first_at, said_at, due_at, wamids
)
INSERT INTO turns AS t (number_id, contact_id, first_at, said_at, due_at, wamids)
SELECT %(number)s, %(winner)s, first_at, said_at, due_at, wamids FROM gone
ON CONFLICT (number_id, contact_id) DO UPDATE SET
    first_at = least(t.first_at, excluded.first_at), said_at = greatest(t.said_at, excluded.said_at),
    due_at = coalesce(least(t.due_at, excluded.due_at), t.due_at, excluded.due_at), tried = false,
    wamids = excluded.wamids || t.wamids
"""
JOIN_RUNS = (
    """
UPDATE runs r SET state = 'ended', ended_at = %(now)s, moved_at = %(now)s, wakes_at = NULL,
    why = 'Two contacts turned out to be one person, and the newer conversation went on.'
WHERE r.number_id = %(number)s AND r.contact_id IN (%(winner)s, %(loser)s) AND r.state <> 'ended' AND r.waits <> 'time'
  AND EXISTS (
    SELECT FROM runs n WHERE n.number_id = r.number_id AND n.contact_id IN (%(winner)s, %(loser)s)
        AND n.state <> 'ended' AND n.waits <> 'time' AND n.id > r.id
)
""",
    "UPDATE runs SET contact_id = %(winner)s WHERE number_id = %(number)s AND contact_id = %(loser)s",
    "UPDATE automation_log SET contact_id = %(winner)s WHERE number_id = %(number)s AND contact_id = %(loser)s",
)

LOOK_AGAIN = """
UPDATE turns SET due_at = %(now)s WHERE number_id = %(number)s AND contact_id = ANY(%(contacts)s)
"""

# Conversations in chats where a person has decided something; ``pause``: how long theirs is to be then.
SILENCED = """
UPDATE runs r SET state = 'yielded', why = %(why)s, moved_at = %(now)s
FROM chats k
WHERE r.number_id = %(number)s AND r.contact_id = ANY(%(contacts)s) AND r.state = 'waiting' AND r.waits <> 'time'
  AND k.number_id = r.number_id AND k.contact_id = r.contact_id AND k.floor_since IS DISTINCT FROM r.since
RETURNING r.contact_id, r.id, r.automation_id, (
    SELECT v.definition->'settings'->>'pause_on_phone' FROM automation_versions v
    WHERE v.organisation_id = r.organisation_id AND v.automation_id = r.automation_id AND v.version = r.version
)
"""
# A person's word that silences nobody lets conversations go on under it.
GO_ON = """
UPDATE runs SET since = %(after)s
WHERE number_id = %(number)s AND contact_id = %(contact)s AND state = 'waiting'
  AND since IS NOT DISTINCT FROM %(before)s
"""

# Who has the floor of these chats and, where that is a person who wrote something here, who they are.
SPOKE = """
SELECT k.contact_id, k.floor_holder, (
    SELECT u.name FROM (
        SELECT m.author_id, m.at FROM messages m
        WHERE m.number_id = k.number_id AND m.contact_id = k.contact_id AND m.type <> 'reaction'
          AND m.author = 'person' AND m.at >= date_trunc('second', k.floor_since)
        UNION ALL
        SELECT o.author_id, o.created_at FROM outbox o
        WHERE o.number_id = k.number_id AND o.contact_id = k.contact_id AND o.state <> 'sent'
          AND o.author = 'person' AND o.created_at >= date_trunc('second', k.floor_since)
    ) said
    JOIN numbers n ON n.id = k.number_id
    JOIN users u ON u.id = said.author_id AND u.organisation_id = n.organisation_id
    ORDER BY said.at DESC LIMIT 1
)
FROM chats k WHERE k.number_id = %(number)s AND k.contact_id = ANY(%(contacts)s)
"""
# What automations wrote of these, and in which conversation (``tending``: ``run:<id>:<n>``). Asked by a drain, which
# knows no sorts (``db.engine``): in the order of the ids it would read the number's whole outbox.
WRITTEN = """
SELECT o.contact_id, a.name, a.id, substring(o.idempotency_key FROM '^run:([0-9]+):')::bigint
FROM unnest(%(ids)s::bigint[]) AS r(id)
CROSS JOIN LATERAL (
    SELECT contact_id, author_id, idempotency_key FROM outbox o
    WHERE o.number_id = %(number)s AND o.id = r.id AND o.author = 'automation' OFFSET 0
) o
JOIN numbers n ON n.id = %(number)s
JOIN automations a ON a.organisation_id = n.organisation_id AND a.id = o.author_id
ORDER BY r.id
"""

WRITE_LOG = """
INSERT INTO automation_log (number_id, contact_id, at, automation_id, run_id, wamid, kind, says)
SELECT %(number)s, r.contact_id, %(now)s, r.automation_id, r.run_id, r.wamid, r.kind, r.says
FROM json_to_recordset(%(rows)s::json)
    AS r(contact_id bigint, automation_id bigint, run_id bigint, wamid text, kind text, says text)
"""

# --- the engine: what it looks at -------------------------------------------------------------------------------------

PLACE = """
SELECT n.id AS number_id, n.organisation_id, n.display_phone, n.verified_name, n.connected_at, n.phone_pause AS pause,
       EXISTS (SELECT FROM campaigns c WHERE c.number_id = n.id) AS campaigns, s.hours,
       coalesce(s.zone, '') AS zone, coalesce(s.language, '') AS language
FROM numbers n LEFT JOIN number_settings s ON s.number_id = n.id WHERE n.id = %(number)s
"""

DUE = """
(SELECT contact_id FROM turns WHERE number_id = %(number)s AND due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s)
UNION
(SELECT contact_id FROM runs
 WHERE number_id = %(number)s AND state = 'waiting' AND wakes_at <= %(now)s ORDER BY wakes_at LIMIT %(limit)s)
LIMIT %(limit)s
"""
NEXT_AT = """
SELECT least(
    (SELECT min(due_at) FROM turns WHERE number_id = %(number)s AND due_at IS NOT NULL),
    (SELECT min(wakes_at) FROM runs WHERE number_id = %(number)s AND state = 'waiting' AND wakes_at IS NOT NULL)
)
"""
# Numbers where something is due and no job is there to see it: theirs was lost.
FORSAKEN = """
SELECT d.number_id, min(d.at) FROM (
    SELECT number_id, due_at AS at FROM turns WHERE due_at IS NOT NULL
    UNION ALL SELECT number_id, wakes_at FROM runs WHERE state = 'waiting' AND wakes_at IS NOT NULL
) d
WHERE NOT EXISTS (
    SELECT FROM procrastinate_jobs j WHERE j.lock = 'automation:' || d.number_id AND j.status IN ('todo', 'doing')
)
GROUP BY d.number_id ORDER BY d.number_id
"""

# Everything that is asked about a chat before something is said in it. ``answers``: what people have said since the
# customer did, [author, type]; what commanded the automations is no answer, nor is what was taken back.
CHATS = """
SELECT c.id AS contact_id, c.custom_name, c.book_name, c.profile_name, c.phone, c.language, c.tags, c.fields,
       coalesce(k.floor_holder, 'nobody') AS floor_holder, coalesce(k.floor_epoch, 0) AS floor_epoch,
       k.floor_until, k.floor_since, k.assigned_to IS NOT NULL AS assigned, k.last_inbound_at,
       t.first_at, t.said_at, t.due_at, coalesce(t.tried, false) AS tried, coalesce(t.wamids, '{}') AS wamids,
       t.wamids IS NOT NULL AND NOT EXISTS (
           SELECT FROM messages m WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction'
               AND m.at <= t.said_at AND m.wamid <> ALL(t.wamids)
       ) AS first,
       CASE WHEN t.wamids IS NULL THEN NULL ELSE coalesce((
           SELECT m.author FROM messages m
           WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.outgoing AND m.live
             AND m.at >= date_trunc('second', t.said_at) AND m.revoked_at IS NULL
             AND (m.author IN ('phone', 'person') OR m.author = 'automation' AND m.author_id IS NULL)
             AND NOT EXISTS (
                 SELECT FROM automation_log l
                 WHERE l.number_id = m.number_id AND l.contact_id = m.contact_id AND l.wamid = m.wamid
                   AND l.kind = 'floor'
             )
           ORDER BY m.at DESC LIMIT 1
       ), (
           SELECT o.author FROM outbox o
           WHERE o.number_id = c.number_id AND o.contact_id = c.id AND o.created_at >= t.said_at
             AND o.state IN ('queued', 'held', 'sending', 'in_doubt', 'unknown')
             AND (o.author = 'person' OR o.author = 'automation' AND o.author_id IS NULL)
           ORDER BY o.id DESC LIMIT 1
       )) END AS answered_by,
       r.id AS run_id, r.automation_id, r.version, r.state AS run_state, r.waits, r.wakes_at, r.run, r.since, r.sent,
       r.token, r.began_at, r.moved_at, r.began_by, r.trace,
       nextval(pg_get_serial_sequence('runs', 'id')) AS fresh_id,
       (SELECT count(*) FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.author = 'automation'
          AND m.at > %(hour)s) +
       (SELECT count(*) FROM outbox o
        WHERE o.number_id = c.number_id AND o.contact_id = c.id AND o.author = 'automation' AND o.created_at > %(hour)s
          AND o.state IN ('queued', 'held', 'sending', 'in_doubt', 'unknown')) AS said_lately,
       (SELECT count(*) FROM runs b
        WHERE b.number_id = c.number_id AND b.contact_id = c.id AND b.began_at > %(hour)s) AS begun_lately,
       (SELECT coalesce(jsonb_object_agg(b.automation_id, extract(epoch FROM b.at)), '{}') FROM (
            SELECT b.automation_id, max(b.began_at) AS at FROM runs b
            WHERE b.number_id = c.number_id AND b.contact_id = c.id GROUP BY b.automation_id
        ) b) AS begun,
       coalesce((
           SELECT b.released AND b.since IS NOT DISTINCT FROM k.floor_since AND b.ended_at > %(day)s FROM runs b
           WHERE b.number_id = c.number_id AND b.contact_id = c.id AND b.state = 'ended' ORDER BY b.id DESC LIMIT 1
       ), false) AS released
FROM contacts c
LEFT JOIN chats k ON k.number_id = c.number_id AND k.contact_id = c.id
LEFT JOIN turns t ON t.number_id = c.number_id AND t.contact_id = c.id
LEFT JOIN runs r ON r.number_id = c.number_id AND r.contact_id = c.id AND r.state <> 'ended' AND r.waits <> 'time'
WHERE c.number_id = %(number)s AND c.id = ANY(%(contacts)s)
"""

# Conversations of these chats whose time has come, or one of them.
SLEEPERS = """
SELECT DISTINCT ON (contact_id) contact_id, automation_id, version, state, waits, wakes_at, run, since, sent, token,
       began_at, moved_at, began_by, trace, id
FROM runs
WHERE number_id = %(number)s AND contact_id = ANY(%(contacts)s) AND state = 'waiting' AND waits = 'time'
  AND wakes_at <= %(now)s
ORDER BY contact_id, wakes_at, id
"""

# What the turns of these chats say, as it reads now: edited, and without what was taken back.
WORDS = """
SELECT t.contact_id, m.wamid, m.type, coalesce(m.edit_text, m.text) AS text,
       coalesce(m.edit_content, m.content) AS content, m.extra
FROM turns t JOIN messages m ON m.number_id = t.number_id AND m.wamid = ANY(t.wamids)
WHERE t.number_id = %(number)s AND t.contact_id = ANY(%(contacts)s) AND m.type IS NOT NULL AND m.revoked_at IS NULL
ORDER BY t.contact_id, m.at, m.heard, m.wamid
"""

# The programs that may begin here, by their places in the order; and those that others start by name.
PROGRAMS = """
SELECT a.id, a.name, a.version, a.enabled AND (a.numbers IS NULL OR %(number)s = ANY(a.numbers)) AS listens
FROM automations a
WHERE a.organisation_id = %(organisation)s AND a.archived_at IS NULL AND a.version > 0 ORDER BY a.position, a.id
"""

# --- the engine: what it writes ---------------------------------------------------------------------------------------

KEEP_TURNS = """
WITH known AS (
    SELECT * FROM json_to_recordset(%(rows)s::json)
        AS r(contact_id bigint, due_at timestamptz, tried boolean, gone boolean)
), gone AS (
    DELETE FROM turns t USING known r WHERE t.number_id = %(number)s AND t.contact_id = r.contact_id AND r.gone
)
UPDATE turns t SET due_at = r.due_at, tried = r.tried
FROM known r WHERE t.number_id = %(number)s AND t.contact_id = r.contact_id AND NOT r.gone
"""

# Those that end come first, since a chat has one conversation under way.
KEEP_RUNS = """
INSERT INTO runs AS o (number_id, id, organisation_id, automation_id, version, contact_id, state, waits, wakes_at, run,
                       since, sent, token, began_at, moved_at, ended_at, why, released, began_by, trace)
SELECT %(number)s, r.id, %(organisation)s, r.automation_id, r.version, r.contact_id, r.state, r.waits, r.wakes_at,
       r.run, r.since, r.sent, r.token, r.began_at, %(now)s, r.ended_at, r.why, r.released, r.began_by, r.trace
FROM json_to_recordset(%(rows)s::json) AS r(id bigint, automation_id bigint, version integer, contact_id bigint,
    state text, waits text, wakes_at timestamptz, run jsonb, since timestamptz, sent integer, token integer,
    began_at timestamptz, ended_at timestamptz, why text, released boolean, began_by text, trace jsonb)
ORDER BY r.state <> 'ended', r.id
ON CONFLICT (number_id, id) DO UPDATE SET
    state = excluded.state, waits = excluded.waits, wakes_at = excluded.wakes_at, run = excluded.run,
    since = excluded.since, sent = excluded.sent, token = excluded.token, moved_at = excluded.moved_at,
    ended_at = excluded.ended_at, why = excluded.why, released = excluded.released, trace = excluded.trace
"""

END_RUN = """
UPDATE runs SET state = 'ended', ended_at = %(now)s, moved_at = %(now)s, wakes_at = NULL, why = %(why)s
WHERE number_id = %(number)s AND id = %(run)s AND state <> 'ended'
"""

# A conversation keeps campaigns out while it waits for an answer, and not for longer: one that is over has had its last
# words. Only where it has the floor itself.
KEEP_FLOORS = """
UPDATE chats k SET floor_until = r.until
FROM json_to_recordset(%(rows)s::json) AS r(contact_id bigint, until timestamptz, over boolean)
WHERE k.number_id = %(number)s AND k.contact_id = r.contact_id AND k.floor_holder = 'automation'
  AND (NOT r.over OR k.floor_until > r.until)
"""

ASSIGN = """
UPDATE chats k SET assigned_to = u.id
FROM json_to_recordset(%(rows)s::json) AS r(contact_id bigint, email text)
LEFT JOIN users u ON u.organisation_id = %(organisation)s AND u.email = lower(r.email)
WHERE k.number_id = %(number)s AND k.contact_id = r.contact_id AND (r.email IS NULL OR u.id IS NOT NULL)
"""

# --- the clock --------------------------------------------------------------------------------------------------------

CLOCKED_NUMBERS = """
SELECT n.id, n.display_phone, coalesce(s.zone, '')
FROM numbers n LEFT JOIN number_settings s ON s.number_id = n.id
WHERE n.organisation_id = %(organisation)s ORDER BY n.id
"""
UNWIND = """
DELETE FROM automation_clocks c WHERE c.organisation_id = %(organisation)s AND NOT EXISTS (
    SELECT FROM json_to_recordset(%(rows)s::json) AS r(number_id bigint, automation_id bigint)
    WHERE r.number_id = c.number_id AND r.automation_id = c.automation_id
)
"""
# A time that has struck and isn't done yet stays.
WIND = """
INSERT INTO automation_clocks AS c (number_id, automation_id, organisation_id, at)
SELECT r.number_id, r.automation_id, %(organisation)s, r.at
FROM json_to_recordset(%(rows)s::json) AS r(number_id bigint, automation_id bigint, at timestamptz)
ON CONFLICT (number_id, automation_id) DO UPDATE SET at = excluded.at WHERE c.reached = 0
"""
STRUCK = """
SELECT number_id, organisation_id, automation_id FROM automation_clocks WHERE at <= %(now)s
ORDER BY number_id, automation_id
"""
CLOCK = """
SELECT c.at, c.reached, n.display_phone, coalesce(s.zone, '')
FROM automation_clocks c JOIN numbers n ON n.id = c.number_id LEFT JOIN number_settings s ON s.number_id = n.id
WHERE c.number_id = %(number)s AND c.automation_id = %(automation)s AND c.at <= %(now)s
"""
QUIET_CHATS = """
SELECT contact_id FROM chats
WHERE number_id = %(number)s AND contact_id > %(reached)s AND last_at > %(since)s ORDER BY contact_id LIMIT %(limit)s
"""
REACHED = """
UPDATE automation_clocks SET reached = %(reached)s WHERE number_id = %(number)s AND automation_id = %(automation)s
"""
NEXT_STRIKE = """
WITH over AS (
    DELETE FROM automation_clocks
    WHERE number_id = %(number)s AND automation_id = %(automation)s AND %(at)s::timestamptz IS NULL
)
UPDATE automation_clocks SET at = %(at)s, reached = 0
WHERE number_id = %(number)s AND automation_id = %(automation)s AND %(at)s::timestamptz IS NOT NULL
"""

# --- tags, and words about marketing ----------------------------------------------------------------------------------

# Automations that begin by either, at each of their numbers.
LISTENING = """
SELECT n.id, a.organisation_id, array_agg(a.id ORDER BY a.position, a.id)
FROM automations a
JOIN automation_versions v
    ON v.organisation_id = a.organisation_id AND v.automation_id = a.id AND v.version = a.version
JOIN numbers n ON n.organisation_id = a.organisation_id AND (a.numbers IS NULL OR n.id = ANY(a.numbers))
WHERE a.enabled AND jsonb_path_exists(
    v.definition, '$.triggers[*] ? (exists(@.tag_added) || exists(@.opted_in) || exists(@.opted_out))'
)
GROUP BY n.id, a.organisation_id ORDER BY n.id
"""
# A number that is listened to for the first time is read from now on; answers up to where it was read before.
FOLLOW_ON = """
INSERT INTO automation_cursors AS c (number_id, seq, at)
SELECT id, event_seq, %(now)s FROM numbers WHERE id = %(number)s
ON CONFLICT (number_id) DO UPDATE SET seq = excluded.seq, at = excluded.at
RETURNING (SELECT o.seq FROM automation_cursors o WHERE o.number_id = %(number)s),
          (SELECT o.at FROM automation_cursors o WHERE o.number_id = %(number)s), seq
"""
TAGGED = """
SELECT body->'tagged' FROM events
WHERE number_id = %(number)s AND seq > %(seq)s AND seq <= %(last)s AND body ? 'tagged' ORDER BY seq
"""
# What people said about marketing is kept under their keys, with the time at which they said it.
WORDS_SAID = """
SELECT DISTINCT i.contact_id, c.granted, c.topic
FROM consents c JOIN identities i ON i.number_id = c.number_id AND i.key = c.key
WHERE c.organisation_id = %(organisation)s AND c.number_id = %(number)s AND c.source <> 'import'
  AND c.at > %(since)s AND c.at <= %(until)s
ORDER BY i.contact_id
"""
