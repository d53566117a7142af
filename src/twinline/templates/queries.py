"""All SQL about templates.

Versions are those of ``mirror.fold.register_version``: unix seconds, then a tie-break. What Graph answered bears the
second in which it was asked and no tie-break, so that a webhook of the same second is taken for the newer account.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from twinline.db import Tx, as_json
from twinline.meta import graph
from twinline.rules.templates import language as language_code
from twinline.templates.models import Account, Template

COLUMNS = """
    t.organisation_id, t.waba_id, t.id, t.name, t.language, t.components, t.parameter_format, t.status, t.status_v,
    t.reason, t.paused_until, t.quality, t.category, t.next_category, t.next_category_at, t.fallbacks, t.edited,
    t.sample, t.fetched_at
"""

ACCOUNTS = """
SELECT n.organisation_id, n.waba_id, min(coalesce(n.verified_name, '+' || n.display_phone)) AS name,
       array_agg(n.id ORDER BY n.id) AS numbers,
       (array_agg(n.token ORDER BY n.state <> 'connected', n.id) FILTER (WHERE n.token IS NOT NULL))[1] AS token,
       min(r.read_at) AS read_at, min(r.problem) AS problem, (array_agg(n.event_seq ORDER BY n.id))[1] AS event_seq
FROM numbers n LEFT JOIN template_readings r USING (organisation_id, waba_id)
WHERE (%(organisation)s::bigint IS NULL OR n.organisation_id = %(organisation)s)
  AND (%(waba)s::text IS NULL OR n.waba_id = %(waba)s)
GROUP BY n.organisation_id, n.waba_id ORDER BY n.organisation_id, min(n.id)
"""

OF_NUMBER = "SELECT organisation_id, waba_id FROM numbers WHERE id = %s"

SPEAKER = "SELECT phone_number_id, token FROM numbers WHERE id = %s AND token IS NOT NULL"

LIST = f"""
SELECT {COLUMNS} FROM templates t
WHERE t.organisation_id = %(organisation)s AND t.waba_id = %(waba)s AND t.gone_at IS NULL
  AND (%(status)s = '' OR t.status = %(status)s) AND (%(category)s = '' OR t.category = %(category)s)
  AND (%(language)s = '' OR t.language = %(language)s)
  AND (%(q)s = '' OR strpos(t.name, lower(replace(%(q)s, ' ', '_'))) > 0
       OR strpos(lower(t.components::text), lower(%(q)s)) > 0)
ORDER BY t.name, t.language
"""

ONE = f"""
SELECT {COLUMNS} FROM templates t
WHERE t.organisation_id = %(organisation)s AND t.waba_id = %(waba)s AND t.id = %(id)s AND t.gone_at IS NULL
"""

# The newest of a name and language: one that was deleted and written anew has another id.
BY_NAME = f"""
SELECT {COLUMNS} FROM templates t
WHERE t.organisation_id = %(organisation)s AND t.waba_id = %(waba)s AND t.name = %(name)s AND t.gone_at IS NULL
ORDER BY t.language, t.fetched_at DESC NULLS LAST
"""

BLOCKED = """
SELECT name, max(gone_at) FROM templates
WHERE organisation_id = %(organisation)s AND waba_id = %(waba)s AND gone_at > %(since)s AND was_approved
GROUP BY name
"""

CREATED_SINCE = """
SELECT count(*) FROM templates
WHERE organisation_id = %(organisation)s AND waba_id = %(waba)s AND created_at > %(since)s
"""

# Of two readings in the same second the later one counts, though not against a deletion.
_NEWER = """(excluded.status_v > t.status_v OR excluded.status_v = t.status_v AND t.gone_at IS NULL
        AND excluded.fetched_at > coalesce(t.fetched_at, '-infinity'))"""

# A pause that goes on keeps the reason that a webhook gave: Graph tells none.
WRITE = f"""
INSERT INTO templates AS t (organisation_id, waba_id, id, name, language, components, parameter_format, fetched_at,
    status, reason, status_v, quality, quality_v, category, category_v, was_approved, created_at, sample)
SELECT r.organisation_id, r.waba_id, r.id, r.name, r.language, r.components, r.parameter_format, r.fetched_at, r.status,
    r.reason, r.version, r.quality, r.version, r.category, r.version, r.status IN ('APPROVED', 'PAUSED', 'DISABLED'),
    r.created_at, r.sample
FROM json_to_recordset(%(rows)s::json) AS r(organisation_id bigint, waba_id text, id text, name text, language text,
    components jsonb, parameter_format text, fetched_at timestamptz, status text, reason text, quality text,
    category text, version bigint, created_at timestamptz, sample jsonb)
ORDER BY r.organisation_id, r.waba_id, r.id
ON CONFLICT (organisation_id, waba_id, id) DO UPDATE SET
    name = excluded.name,
    language = excluded.language,
    components = CASE WHEN excluded.fetched_at >= coalesce(t.fetched_at, '-infinity') THEN excluded.components
                      ELSE t.components END,
    parameter_format = excluded.parameter_format,
    fetched_at = greatest(t.fetched_at, excluded.fetched_at),
    status = CASE WHEN {_NEWER} THEN excluded.status ELSE t.status END,
    reason = CASE WHEN NOT {_NEWER} THEN t.reason
                  WHEN excluded.status = t.status THEN coalesce(excluded.reason, t.reason) ELSE excluded.reason END,
    paused_until = CASE WHEN {_NEWER} AND excluded.status <> t.status THEN NULL
                        ELSE t.paused_until END,
    gone_at = CASE WHEN excluded.status_v > t.status_v THEN NULL ELSE t.gone_at END,
    status_v = greatest(t.status_v, excluded.status_v),
    quality = CASE WHEN excluded.quality_v > t.quality_v THEN excluded.quality ELSE t.quality END,
    quality_v = greatest(t.quality_v, excluded.quality_v),
    next_category = CASE WHEN excluded.category_v > t.category_v AND excluded.category = t.next_category THEN NULL
                         ELSE t.next_category END,
    category = CASE WHEN excluded.category_v > t.category_v THEN excluded.category ELSE t.category END,
    category_v = greatest(t.category_v, excluded.category_v),
    was_approved = t.was_approved OR excluded.was_approved,
    sample = coalesce(excluded.sample, t.sample)
"""

# What a whole reading doesn't name any more was deleted elsewhere.
VANISHED = """
UPDATE templates SET status = 'DELETED', status_v = %(version)s, gone_at = %(at)s
WHERE organisation_id = %(organisation)s AND waba_id = %(waba)s AND gone_at IS NULL AND status_v < %(version)s
  AND NOT id = ANY(%(ids)s)
"""

DELETE = """
UPDATE templates SET status = 'DELETED', status_v = greatest(status_v, %(version)s), gone_at = %(at)s
WHERE organisation_id = %(organisation)s AND waba_id = %(waba)s AND name = %(name)s
  AND (%(id)s::text IS NULL OR id = %(id)s) AND gone_at IS NULL
"""

EDITED = """
UPDATE templates
SET edited = CASE WHEN %(approved)s THEN array_append(edited, %(at)s::timestamptz) ELSE edited END,
    sample = coalesce(%(sample)s::jsonb, sample)
WHERE organisation_id = %(organisation)s AND waba_id = %(waba)s AND id = %(id)s
"""

SET_FALLBACKS = """
UPDATE templates SET fallbacks = %(fallbacks)s::jsonb
WHERE organisation_id = %(organisation)s AND waba_id = %(waba)s AND id = %(id)s
"""

READ = """
INSERT INTO template_readings AS r (organisation_id, waba_id, read_at, problem)
VALUES (%(organisation)s, %(waba)s, %(at)s, %(problem)s)
ON CONFLICT (organisation_id, waba_id) DO UPDATE
SET read_at = coalesce(excluded.read_at, r.read_at), problem = excluded.problem
"""

# Meta repeats a webhook for seven days; what is older is in the reading that came with the connection.
NOTICES = """
SELECT DISTINCT n.organisation_id, n.waba_id, o.field, extract(epoch FROM o.at)::bigint AS at, o.value
FROM notices o JOIN numbers n ON n.id = o.number_id
WHERE o.number_id = ANY(%(numbers)s) AND o.field = ANY(%(fields)s) AND o.at > %(since)s
"""

# Registers that a webhook spoke of; those it didn't have version -1.
FOLLOW = """
UPDATE templates AS t SET
    status = CASE WHEN r.status_v > t.status_v THEN r.status ELSE t.status END,
    reason = CASE WHEN r.status_v > t.status_v THEN r.reason ELSE t.reason END,
    paused_until = CASE WHEN r.status_v > t.status_v THEN r.paused_until ELSE t.paused_until END,
    gone_at = CASE WHEN r.status_v > t.status_v THEN r.gone_at ELSE t.gone_at END,
    was_approved = t.was_approved OR r.status IN ('APPROVED', 'PAUSED', 'DISABLED'),
    status_v = greatest(t.status_v, r.status_v),
    quality = CASE WHEN r.quality_v > t.quality_v THEN r.quality ELSE t.quality END,
    quality_v = greatest(t.quality_v, r.quality_v),
    category = CASE WHEN r.category_v > t.category_v THEN r.category ELSE t.category END,
    next_category = CASE WHEN r.category_v > t.category_v THEN r.next_category ELSE t.next_category END,
    next_category_at = CASE WHEN r.category_v > t.category_v THEN r.next_category_at ELSE t.next_category_at END,
    category_v = greatest(t.category_v, r.category_v)
FROM json_to_recordset(%(rows)s::json) AS r(organisation_id bigint, waba_id text, id text, status text, reason text,
    paused_until timestamptz, gone_at timestamptz, status_v bigint, quality text, quality_v bigint, category text,
    next_category text, next_category_at timestamptz, category_v bigint)
WHERE t.organisation_id = r.organisation_id AND t.waba_id = r.waba_id AND t.id = r.id
  AND (r.status_v > t.status_v OR r.quality_v > t.quality_v OR r.category_v > t.category_v)
RETURNING t.organisation_id, t.waba_id, t.id, t.status, t.paused_until
"""

KNOWN = """
SELECT r.organisation_id, r.waba_id, r.id, t.fetched_at, a.read_at, t.id IS NOT NULL
FROM json_to_recordset(%(rows)s::json) AS r(organisation_id bigint, waba_id text, id text)
LEFT JOIN templates t USING (organisation_id, waba_id, id)
LEFT JOIN template_readings a USING (organisation_id, waba_id)
"""


def version(asked: datetime) -> int:
    """Of what Graph answered: a webhook of the same second tells something newer."""
    return int(asked.timestamp()) << 30


def row(place: tuple[int, str], told: graph.Template, asked: datetime, **more: Any) -> dict[str, Any]:
    """What Graph answered, for ``write``. ``place`` is organisation and WABA."""
    reason = (told.rejected_reason or "").upper()
    return {
        "organisation_id": place[0],
        "waba_id": place[1],
        "id": told.id,
        "name": told.name,
        "language": language_code(told.language),
        "components": told.components,
        "parameter_format": (told.parameter_format or "POSITIONAL").upper(),
        "fetched_at": asked.isoformat(),
        "status": told.status.upper(),
        "reason": reason if reason not in ("", "NONE") else None,
        "quality": told.quality,
        "category": told.category.upper(),
        "version": version(asked),
        "created_at": None,
        "sample": None,
        **more,
    }


async def accounts(tx: Tx, organisation_id: int | None, waba_id: str | None = None) -> list[Account]:
    """Without an organisation: everybody's, for jobs."""
    return await tx.all(Account, ACCOUNTS, {"organisation": organisation_id, "waba": waba_id})


async def account_of(tx: Tx, number_id: int) -> tuple[int, str] | None:
    """Organisation and WABA of a number."""
    rows = await tx.rows(OF_NUMBER, (number_id,))
    return (rows[0][0], rows[0][1]) if rows else None


async def speaker(tx: Tx, number_id: int) -> tuple[str, bytes] | None:
    """Meta's id of a number, and its token."""
    rows = await tx.rows(SPEAKER, (number_id,))
    return (rows[0][0], bytes(rows[0][1])) if rows else None


async def templates(
    tx: Tx, organisation_id: int, waba_id: str, *, status: str = "", category: str = "", language: str = "", q: str = ""
) -> list[Template]:
    """By name and language; ``q`` is looked for in names and texts."""
    return await tx.all(
        Template,
        LIST,
        {
            "organisation": organisation_id,
            "waba": waba_id,
            "status": status,
            "category": category,
            "language": language,
            "q": q,
        },
    )


async def template(tx: Tx, organisation_id: int, waba_id: str, template_id: str) -> Template | None:
    return await tx.one(Template, ONE, {"organisation": organisation_id, "waba": waba_id, "id": template_id})


async def by_name(tx: Tx, organisation_id: int, waba_id: str, name: str) -> list[Template]:
    """Every language of a name."""
    return await tx.all(Template, BY_NAME, {"organisation": organisation_id, "waba": waba_id, "name": name})


async def blocked(tx: Tx, organisation_id: int, waba_id: str, since: datetime) -> dict[str, datetime]:
    """Names of approved templates that were deleted after ``since``, with when."""
    return dict(await tx.rows(BLOCKED, {"organisation": organisation_id, "waba": waba_id, "since": since}))


async def created_since(tx: Tx, organisation_id: int, waba_id: str, since: datetime) -> int:
    found = await tx.value(CREATED_SINCE, {"organisation": organisation_id, "waba": waba_id, "since": since})
    return int(found)


async def write(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        await tx.execute(WRITE, {"rows": as_json(rows)})


async def vanished(tx: Tx, organisation_id: int, waba_id: str, ids: Sequence[str], version: int, at: datetime) -> None:
    await tx.execute(
        VANISHED,
        {"organisation": organisation_id, "waba": waba_id, "ids": list(ids), "version": version, "at": at},
    )


async def delete(
    tx: Tx, organisation_id: int, waba_id: str, name: str, template_id: str | None, version: int, at: datetime
) -> None:
    named = {"organisation": organisation_id, "waba": waba_id, "name": name, "id": template_id}
    await tx.execute(DELETE, {**named, "version": version, "at": at})


async def edited(tx: Tx, template: Template, at: datetime, sample: dict[str, Any] | None) -> None:
    await tx.execute(
        EDITED,
        {
            "organisation": template.organisation_id,
            "waba": template.waba_id,
            "id": template.id,
            "approved": template.status == "APPROVED",
            "at": at,
            "sample": as_json(sample) if sample else None,
        },
    )


async def set_fallbacks(tx: Tx, template: Template, fallbacks: dict[str, str]) -> None:
    await tx.execute(
        SET_FALLBACKS,
        {
            "organisation": template.organisation_id,
            "waba": template.waba_id,
            "id": template.id,
            "fallbacks": as_json(fallbacks),
        },
    )


async def read(tx: Tx, organisation_id: int, waba_id: str, at: datetime | None, problem: str | None) -> None:
    """Notes that the account's templates were read, or why they couldn't be."""
    named = {"organisation": organisation_id, "waba": waba_id, "at": at, "problem": problem}
    await tx.execute(READ, named)


async def notices(tx: Tx, number_ids: Iterable[int], fields: Sequence[str], since: datetime) -> list[dict[str, Any]]:
    return await tx.dicts(NOTICES, {"numbers": list(number_ids), "fields": list(fields), "since": since})
