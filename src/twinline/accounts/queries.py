"""All SQL about organisations, users, sessions and the audit log."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from twinline.accounts.models import ApiKey, AuditEntry, Caller, Secret, User, Viewer
from twinline.db import Tx, as_json

INSERT_ORGANISATION = "INSERT INTO organisations (name, created_at) VALUES (%s, %s) RETURNING id"

INSERT_USER = """
INSERT INTO users (organisation_id, email, name, role, password_hash, created_at)
VALUES (%(organisation_id)s, %(email)s, %(name)s, %(role)s, %(password_hash)s, %(now)s)
ON CONFLICT (email) DO NOTHING
RETURNING id
"""

USERS = """
SELECT id, organisation_id, email, name, role, created_at FROM users
WHERE organisation_id = %s ORDER BY created_at, id
"""

USER = "SELECT id, organisation_id, email, name, role, created_at FROM users WHERE id = %s"

HASH = "SELECT id AS user_id, password_hash FROM users WHERE email = %s"

CHANGE_HASH = "UPDATE users SET password_hash = %s WHERE id = %s"

INSERT_SESSION = """
INSERT INTO sessions (token_digest, user_id, csrf_token, created_at, expires_at)
VALUES (%(digest)s, %(user_id)s, %(csrf_token)s, %(now)s, %(expires_at)s)
"""

VIEWER = """
SELECT u.id AS user_id, u.organisation_id, o.name AS organisation, u.email, u.name, u.role, s.csrf_token
FROM sessions s JOIN users u ON u.id = s.user_id JOIN organisations o ON o.id = u.organisation_id
WHERE s.token_digest = %s AND s.expires_at > %s
"""

DELETE_SESSION = "DELETE FROM sessions WHERE token_digest = %s"

DELETE_OTHER_SESSIONS = "DELETE FROM sessions WHERE user_id = %s AND csrf_token <> %s"

DELETE_EXPIRED_SESSIONS = "DELETE FROM sessions WHERE expires_at <= %s"

INSERT_AUDIT = """
INSERT INTO audit (organisation_id, at, user_id, action, detail)
VALUES (%s, %s, %s, %s, %s::jsonb)
"""

AUDIT = """
SELECT a.id, a.at, u.name AS user_name, a.action, a.detail
FROM audit a LEFT JOIN users u ON u.id = a.user_id
WHERE a.organisation_id = %s ORDER BY a.id DESC LIMIT %s
"""

INSERT_KEY = """
INSERT INTO api_keys (organisation_id, name, hint, digest, scopes, created_by, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id
"""

KEYS = """
SELECT k.id, k.name, k.hint, k.scopes, u.name AS created_by, k.created_at, k.last_used_at, k.revoked_at
FROM api_keys k LEFT JOIN users u ON u.id = k.created_by
WHERE k.organisation_id = %(organisation)s AND (%(id)s::bigint IS NULL OR k.id = %(id)s)
ORDER BY k.revoked_at DESC NULLS FIRST, k.id DESC
"""

REVOKE_KEY = """
UPDATE api_keys SET revoked_at = %s WHERE organisation_id = %s AND id = %s AND revoked_at IS NULL
"""

# Finds the key, and notes that it was used if the last note is old.
USE_KEY = """
WITH found AS (
    SELECT k.organisation_id, o.name AS organisation, k.id AS key_id, k.name, k.scopes, k.last_used_at
    FROM api_keys k JOIN organisations o ON o.id = k.organisation_id
    WHERE k.organisation_id = %(organisation)s AND k.digest = %(digest)s AND k.revoked_at IS NULL
), noted AS (
    UPDATE api_keys k SET last_used_at = %(now)s FROM found f
    WHERE k.organisation_id = f.organisation_id AND k.id = f.key_id
      AND (f.last_used_at IS NULL OR f.last_used_at < %(before)s)
)
SELECT organisation_id, organisation, key_id, name, scopes FROM found
"""

OWNS_NUMBER = "SELECT EXISTS (SELECT FROM numbers WHERE organisation_id = %s AND id = %s)"


async def insert_organisation(tx: Tx, name: str, now: datetime) -> int:
    organisation_id: int = await tx.value(INSERT_ORGANISATION, (name, now))
    return organisation_id


async def insert_user(
    tx: Tx, organisation_id: int, email: str, name: str, role: str, password_hash: str, now: datetime
) -> int | None:
    """The new user's id; None when the address is taken."""
    user_id: int | None = await tx.value(
        INSERT_USER,
        {
            "organisation_id": organisation_id,
            "email": email,
            "name": name,
            "role": role,
            "password_hash": password_hash,
            "now": now,
        },
    )
    return user_id


async def users(tx: Tx, organisation_id: int) -> list[User]:
    return await tx.all(User, USERS, (organisation_id,))


async def user(tx: Tx, user_id: int) -> User | None:
    return await tx.one(User, USER, (user_id,))


async def anybody(tx: Tx) -> bool:
    """Whether any user exists at all."""
    return bool(await tx.value("SELECT EXISTS (SELECT FROM users)"))


async def secret(tx: Tx, email: str) -> Secret | None:
    return await tx.one(Secret, HASH, (email,))


async def update_password(tx: Tx, user_id: int, password_hash: str) -> None:
    await tx.execute(CHANGE_HASH, (password_hash, user_id))


async def insert_session(
    tx: Tx, digest: bytes, user_id: int, csrf_token: str, now: datetime, expires_at: datetime
) -> None:
    await tx.execute(
        INSERT_SESSION,
        {
            "digest": digest,
            "user_id": user_id,
            "csrf_token": csrf_token,
            "now": now,
            "expires_at": expires_at,
        },
    )


async def viewer(tx: Tx, digest: bytes, now: datetime) -> Viewer | None:
    return await tx.one(Viewer, VIEWER, (digest, now))


async def delete_session(tx: Tx, digest: bytes) -> None:
    await tx.execute(DELETE_SESSION, (digest,))


async def delete_other_sessions(tx: Tx, user_id: int, csrf_token: str) -> None:
    await tx.execute(DELETE_OTHER_SESSIONS, (user_id, csrf_token))


async def delete_expired_sessions(tx: Tx, now: datetime) -> None:
    await tx.execute(DELETE_EXPIRED_SESSIONS, (now,))


async def insert_audit(
    tx: Tx, organisation_id: int, user_id: int | None, action: str, detail: Mapping[str, Any], now: datetime
) -> None:
    await tx.execute(INSERT_AUDIT, (organisation_id, now, user_id, action, as_json(detail)))


async def audit(tx: Tx, organisation_id: int, limit: int) -> list[AuditEntry]:
    """Newest first."""
    return await tx.all(AuditEntry, AUDIT, (organisation_id, limit))


async def insert_key(
    tx: Tx,
    organisation_id: int,
    name: str,
    hint: str,
    digest: bytes,
    scopes: Sequence[str],
    created_by: int | None,
    now: datetime,
) -> int:
    key_id: int = await tx.value(INSERT_KEY, (organisation_id, name, hint, digest, list(scopes), created_by, now))
    return key_id


async def keys(tx: Tx, organisation_id: int) -> list[ApiKey]:
    return await tx.all(ApiKey, KEYS, {"organisation": organisation_id, "id": None})


async def key(tx: Tx, organisation_id: int, key_id: int) -> ApiKey | None:
    return await tx.one(ApiKey, KEYS, {"organisation": organisation_id, "id": key_id})


async def revoke_key(tx: Tx, organisation_id: int, key_id: int, now: datetime) -> bool:
    """Whether it was in use until now."""
    return bool(await tx.execute(REVOKE_KEY, (now, organisation_id, key_id)))


async def use_key(tx: Tx, organisation_id: int, digest: bytes, now: datetime, noted_before: datetime) -> Caller | None:
    return await tx.one(
        Caller, USE_KEY, {"organisation": organisation_id, "digest": digest, "now": now, "before": noted_before}
    )


async def owns_number(tx: Tx, organisation_id: int, number_id: int) -> bool:
    return bool(await tx.value(OWNS_NUMBER, (organisation_id, number_id)))
