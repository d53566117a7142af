"""All SQL of automations. Whoever writes about a number's chats holds the number's turn (``mirror.turn``)."""

from collections.abc import Mapping
from typing import Any

from twinline.automations.models import Automation, Line, Run, Settings, State, Version
from twinline.db import Tx, as_json

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
SAVE = """
UPDATE automations SET name = %(name)s, draft = %(draft)s::jsonb, draft_at = %(now)s, numbers = %(numbers)s::bigint[]
WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
"""
PUBLISH = """
WITH made AS (
    INSERT INTO automation_versions (organisation_id, automation_id, version, definition, made_by, made_at)
    SELECT organisation_id, id, version + 1, %(definition)s::jsonb, %(user)s, %(now)s
    FROM automations WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
    RETURNING version
)
UPDATE automations a SET version = made.version, draft = %(definition)s::jsonb, draft_at = %(now)s
FROM made WHERE a.organisation_id = %(organisation)s AND a.id = %(id)s
RETURNING a.version
"""
ENABLE = """
UPDATE automations SET enabled = %(on)s
WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
"""
PLACE = """
UPDATE automations a SET position = r.position FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS r(id, position)
WHERE a.organisation_id = %(organisation)s AND a.id = r.id AND a.position <> r.position
"""
ARCHIVE = """
UPDATE automations SET archived_at = %(now)s, enabled = false
WHERE organisation_id = %(organisation)s AND id = %(id)s AND archived_at IS NULL
"""

NUMBERS_OF = "SELECT id FROM numbers WHERE organisation_id = %(organisation)s ORDER BY id"
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
RUN = f"""r.number_id, r.id, r.organisation_id, r.automation_id, a.name AS automation, r.version, r.contact_id,
       coalesce(c.custom_name, c.book_name, c.profile_name, '+' || c.phone, c.username, '') AS contact,
       CASE WHEN r.state = '{State.WAITING}' AND k.floor_since IS DISTINCT FROM r.since THEN '{State.YIELDED}'
            ELSE r.state END AS state,
       r.waits, r.wakes_at, r.run, r.sent, r.token, r.began_at, r.moved_at, r.ended_at, r.why, r.began_by, r.trace
FROM runs r
JOIN automations a ON a.organisation_id = r.organisation_id AND a.id = r.automation_id
LEFT JOIN contacts c ON c.number_id = r.number_id AND c.id = r.contact_id
LEFT JOIN chats k ON k.number_id = r.number_id AND k.contact_id = r.contact_id"""

RUNS = f"""
SELECT {RUN}
WHERE r.organisation_id = %(organisation)s
  AND (%(automation)s::bigint IS NULL OR r.automation_id = %(automation)s)
  AND (%(number)s::bigint IS NULL OR r.number_id = %(number)s)
  AND (%(contact)s::bigint IS NULL OR r.contact_id = %(contact)s)
  AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
ORDER BY r.id DESC LIMIT %(limit)s
"""
ONE_RUN = f"SELECT {RUN} WHERE r.number_id = %(number)s AND r.id = %(run)s"
OPEN_RUN = f"SELECT {RUN} WHERE r.number_id = %(number)s AND r.contact_id = %(contact)s AND r.state <> 'ended'"

LOG = """
SELECT l.id, l.contact_id, l.at, l.automation_id, a.name AS automation, l.run_id, l.wamid, l.kind, l.says
FROM automation_log l
JOIN numbers n ON n.id = l.number_id
LEFT JOIN automations a ON a.organisation_id = n.organisation_id AND a.id = l.automation_id
WHERE l.number_id = %(number)s AND l.contact_id = %(contact)s AND (%(before)s::bigint IS NULL OR l.id < %(before)s)
ORDER BY l.id DESC LIMIT %(limit)s
"""


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
    return await tx.all(Run, RUNS, named)


async def run(tx: Tx, number_id: int, run_id: int) -> Run | None:
    return await tx.one(Run, ONE_RUN, {"number": number_id, "run": run_id})


async def open_run(tx: Tx, number_id: int, contact_id: int) -> Run | None:
    """The conversation that an automation has in this chat, also where a person has silenced it."""
    return await tx.one(Run, OPEN_RUN, {"number": number_id, "contact": contact_id})


async def log(tx: Tx, number_id: int, contact_id: int, limit: int = 50, *, before: int | None = None) -> list[Line]:
    """The chat's why-log, newest first."""
    named = {"number": number_id, "contact": contact_id, "limit": limit, "before": before}
    return await tx.all(Line, LOG, named)


# --- a number's settings ----------------------------------------------------------------------------------------------

SETTINGS = """
SELECT s.hours, coalesce(s.zone, '') AS zone, coalesce(s.language, '') AS language,
       coalesce(s.phone_keywords, '[]') AS phone_keywords, n.phone_pause AS pause
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
    return await tx.one(Settings, SETTINGS, {"number": number_id})


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
