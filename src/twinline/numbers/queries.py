"""All SQL about numbers, onboardings, notices and the sync ledger."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from twinline.db import Tx, as_json
from twinline.numbers.models import Chunk, Counts, Notice, Number, Onboarding, SyncRequest

NUMBER_COLUMNS = """
    id, organisation_id, waba_id, phone_number_id, display_phone, verified_name, token, token_expires_at,
    connected_at, state, state_since, state_reason, verified_at, phone_seen_at,
    keep_edited, phone_pause, send_receipts, send_typing, count_echoes, event_seq
"""

NUMBERS = f"SELECT {NUMBER_COLUMNS} FROM numbers WHERE organisation_id = %s ORDER BY id"

NUMBER = f"SELECT {NUMBER_COLUMNS} FROM numbers WHERE organisation_id = %s AND id = %s"

NUMBER_BY_ID = f"SELECT {NUMBER_COLUMNS} FROM numbers WHERE id = %s"

EVERY_NUMBER = f"SELECT {NUMBER_COLUMNS} FROM numbers ORDER BY id"

SIBLINGS = "SELECT id FROM numbers WHERE waba_id = (SELECT waba_id FROM numbers WHERE id = %s) ORDER BY id"

# The same number may be connected again after a disconnection, but never by another organisation while it has one.
UPSERT_NUMBER = """
INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, verified_name, token,
                     token_expires_at, created_at)
VALUES (%(organisation_id)s, %(waba_id)s, %(phone_number_id)s, %(display_phone)s, %(verified_name)s, %(token)s,
        %(token_expires_at)s, %(now)s)
ON CONFLICT (phone_number_id) DO UPDATE SET
    waba_id = excluded.waba_id,
    display_phone = excluded.display_phone,
    verified_name = coalesce(excluded.verified_name, numbers.verified_name),
    token = coalesce(excluded.token, numbers.token),
    token_expires_at = CASE WHEN excluded.token IS NULL THEN numbers.token_expires_at
                            ELSE excluded.token_expires_at END
WHERE numbers.organisation_id = excluded.organisation_id
RETURNING id, state, token IS NOT NULL
"""

SET_CONNECTED = "UPDATE numbers SET connected_at = %s WHERE id = %s"

SET_STATE = """
UPDATE numbers SET state = %(state)s, state_since = %(since)s, state_reason = %(reason)s
WHERE id = %(id)s AND (state, state_since, state_reason) IS DISTINCT FROM (%(state)s, %(since)s, %(reason)s)
"""

SET_VERIFIED = "UPDATE numbers SET verified_at = %s WHERE id = %s"

SET_PREFERENCES = """
UPDATE numbers SET phone_pause = %(phone_pause)s, keep_edited = %(keep_edited)s, send_receipts = %(send_receipts)s,
    send_typing = %(send_typing)s, count_echoes = %(count_echoes)s
WHERE organisation_id = %(organisation_id)s AND id = %(id)s
"""

INSERT_ONBOARDING = """
INSERT INTO onboardings (organisation_id, user_id, created_at, step)
VALUES (%s, %s, %s, 'exchange') RETURNING id
"""

ONBOARDING = """
SELECT organisation_id, id, user_id, created_at, agreed_at, agreed_to, answers, step, waba_id, token,
       token_expires_at, number_id, problem, finished_at
FROM onboardings WHERE organisation_id = %s AND id = %s
"""

OPEN_ONBOARDINGS = """
SELECT organisation_id, id, user_id, created_at, agreed_at, agreed_to, answers, step, waba_id, token,
       token_expires_at, number_id, problem, finished_at
FROM onboardings
WHERE organisation_id = %s AND finished_at IS NULL AND step <> 'exchange'
ORDER BY id DESC
"""

INSERT_NOTICE = """
INSERT INTO notices (number_id, field, at, tie, value)
VALUES (%(number_id)s, %(field)s, %(at)s, hashtextextended(%(value)s, 0), %(value)s::jsonb)
ON CONFLICT DO NOTHING
"""

NOTICES_OF_FIELDS = """
SELECT field, at, value FROM notices WHERE number_id = %s AND field = ANY(%s) ORDER BY at, tie
"""

LATEST_NOTICES = """
SELECT field, at, value FROM notices WHERE number_id = %s ORDER BY at DESC, tie DESC LIMIT %s
"""

SYNC_REQUESTS = """
SELECT kind, requested_at, answered_at, request_id, error_code, error_text, declined_at
FROM sync_requests WHERE number_id = %s
"""

# A row may stand already without requested_at: the mirror notes a decline that overtakes the answer.
CLAIM_SYNC = """
INSERT INTO sync_requests (number_id, kind, requested_at) VALUES (%(number_id)s, %(kind)s, %(now)s)
ON CONFLICT (number_id, kind) DO UPDATE SET
    requested_at = excluded.requested_at, answered_at = NULL, request_id = NULL, error_code = NULL, error_text = NULL
WHERE sync_requests.requested_at IS NULL OR %(again)s
RETURNING kind
"""

RELEASE_SYNC = "UPDATE sync_requests SET requested_at = NULL WHERE number_id = %s AND kind = %s"

ANSWER_SYNC = """
UPDATE sync_requests SET answered_at = %(now)s, request_id = %(request_id)s,
                         error_code = %(error_code)s, error_text = %(error_text)s
WHERE number_id = %(number_id)s AND kind = %(kind)s
"""

# A new onboarding earns both requests anew (coexistence-protocol, section 2), so the old ledger makes room.
FORGET_SYNC = "DELETE FROM sync_requests WHERE number_id = %s"
FORGET_CHUNKS = "DELETE FROM sync_chunks WHERE number_id = %s"

CHUNKS = """
SELECT phase, chunk_order, progress, threads, messages, received_at
FROM sync_chunks WHERE number_id = %s ORDER BY phase, chunk_order
"""

COUNTS = """
SELECT (SELECT count(*) FROM contacts WHERE number_id = %(id)s AND book_v >= 0) AS contacts,
       (SELECT count(*) FROM chats WHERE number_id = %(id)s) AS chats,
       (SELECT coalesce(sum(messages), 0)::bigint FROM sync_chunks WHERE number_id = %(id)s) AS messages
"""

WAITING_WEBHOOKS = """
SELECT state, count(*), min(received_at) FROM webhooks WHERE state <> 'folded' GROUP BY state
"""


async def numbers(tx: Tx, organisation_id: int) -> list[Number]:
    return await tx.all(Number, NUMBERS, (organisation_id,))


async def number(tx: Tx, organisation_id: int, number_id: int) -> Number | None:
    return await tx.one(Number, NUMBER, (organisation_id, number_id))


async def number_by_id(tx: Tx, number_id: int) -> Number | None:
    """For jobs, which have no viewer; a page asks ``number`` with its organisation."""
    return await tx.one(Number, NUMBER_BY_ID, (number_id,))


async def every_number(tx: Tx) -> list[Number]:
    return await tx.all(Number, EVERY_NUMBER)


async def siblings(tx: Tx, number_id: int) -> list[int]:
    """All numbers of this one's WABA, itself among them."""
    return [row[0] for row in await tx.rows(SIBLINGS, (number_id,))]


async def upsert_number(tx: Tx, fields: Mapping[str, Any]) -> tuple[int, str, bool] | None:
    """The number's id, the state it was in, whether it has a token now; None when another organisation holds it."""
    for number_id, state, has_token in await tx.rows(UPSERT_NUMBER, fields):
        return number_id, state, has_token
    return None


async def set_connected(tx: Tx, number_id: int, at: datetime) -> None:
    await tx.execute(SET_CONNECTED, (at, number_id))


async def set_state(tx: Tx, number_id: int, state: str, since: datetime | None, reason: str | None) -> bool:
    """Whether that changed anything."""
    values = {"id": number_id, "state": state, "since": since, "reason": reason}
    return await tx.execute(SET_STATE, values) > 0


async def set_verified(tx: Tx, number_id: int, at: datetime) -> None:
    await tx.execute(SET_VERIFIED, (at, number_id))


async def set_preferences(
    tx: Tx,
    organisation_id: int,
    number_id: int,
    *,
    phone_pause: timedelta,
    keep_edited: bool,
    send_receipts: bool,
    send_typing: bool,
    count_echoes: bool,
) -> bool:
    values = {
        "organisation_id": organisation_id,
        "id": number_id,
        "phone_pause": phone_pause,
        "keep_edited": keep_edited,
        "send_receipts": send_receipts,
        "send_typing": send_typing,
        "count_echoes": count_echoes,
    }
    return await tx.execute(SET_PREFERENCES, values) > 0


async def insert_onboarding(tx: Tx, organisation_id: int, user_id: int | None, now: datetime) -> int:
    onboarding_id: int = await tx.value(INSERT_ONBOARDING, (organisation_id, user_id, now))
    return onboarding_id


async def onboarding(tx: Tx, organisation_id: int, onboarding_id: int, *, lock: bool = False) -> Onboarding | None:
    sql = ONBOARDING + (" FOR UPDATE" if lock else "")
    return await tx.one(Onboarding, sql, (organisation_id, onboarding_id))


async def open_onboardings(tx: Tx, organisation_id: int) -> list[Onboarding]:
    """Those that have come back from the popup and aren't through yet."""
    return await tx.all(Onboarding, OPEN_ONBOARDINGS, (organisation_id,))


async def update_onboarding(tx: Tx, organisation_id: int, onboarding_id: int, **values: Any) -> None:
    """Sets the named columns; ``answers`` is merged into what stands there."""
    assignments = ", ".join(
        f"{column} = answers || %({column})s::jsonb" if column == "answers" else f"{column} = %({column})s"
        for column in values
    )
    if "answers" in values:
        values["answers"] = as_json(values["answers"])
    await tx.execute(
        f"UPDATE onboardings SET {assignments} WHERE organisation_id = %(organisation)s AND id = %(id)s",
        {**values, "organisation": organisation_id, "id": onboarding_id},
    )


async def insert_notice(tx: Tx, number_id: int, field: str, at: datetime, value: Mapping[str, Any]) -> None:
    await tx.execute(INSERT_NOTICE, {"number_id": number_id, "field": field, "at": at, "value": as_json(value)})


async def notices(tx: Tx, number_id: int, fields: Sequence[str]) -> list[Notice]:
    """Oldest first."""
    return await tx.all(Notice, NOTICES_OF_FIELDS, (number_id, list(fields)))


async def latest_notices(tx: Tx, number_id: int, limit: int) -> list[Notice]:
    """Newest first, of every field."""
    return await tx.all(Notice, LATEST_NOTICES, (number_id, limit))


async def sync_requests(tx: Tx, number_id: int) -> dict[str, SyncRequest]:
    return {row.kind: row for row in await tx.all(SyncRequest, SYNC_REQUESTS, (number_id,))}


async def claim_sync(tx: Tx, number_id: int, kind: str, now: datetime, *, again: bool = False) -> bool:
    """Writes that the request is about to be made; False when that stood there already."""
    values = {"number_id": number_id, "kind": kind, "now": now, "again": again}
    return await tx.value(CLAIM_SYNC, values) is not None


async def release_sync(tx: Tx, number_id: int, kind: str) -> None:
    await tx.execute(RELEASE_SYNC, (number_id, kind))


async def answer_sync(
    tx: Tx,
    number_id: int,
    kind: str,
    now: datetime,
    *,
    request_id: str | None = None,
    error_code: int | None = None,
    error_text: str | None = None,
) -> None:
    await tx.execute(
        ANSWER_SYNC,
        {
            "number_id": number_id,
            "kind": kind,
            "now": now,
            "request_id": request_id,
            "error_code": error_code,
            "error_text": error_text,
        },
    )


async def forget_sync(tx: Tx, number_id: int) -> None:
    await tx.execute(FORGET_SYNC, (number_id,))
    await tx.execute(FORGET_CHUNKS, (number_id,))


async def chunks(tx: Tx, number_id: int) -> list[Chunk]:
    return await tx.all(Chunk, CHUNKS, (number_id,))


async def counts(tx: Tx, number_id: int) -> Counts:
    [(contacts, chats, messages)] = await tx.rows(COUNTS, {"id": number_id})
    return Counts(contacts, chats, messages)


async def waiting_webhooks(tx: Tx) -> dict[str, tuple[int, datetime]]:
    """By state (waiting, unreadable, unclaimed): how many, and since when."""
    return {state: (count, oldest) for state, count, oldest in await tx.rows(WAITING_WEBHOOKS)}
