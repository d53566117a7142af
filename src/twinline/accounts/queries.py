"""All SQL about organisations, users, sessions and the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from twinline.accounts.models import AuditEntry, Secret, User, Viewer
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


async def organisations(tx: Tx) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in await tx.rows("SELECT id, name FROM organisations ORDER BY id")]


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
