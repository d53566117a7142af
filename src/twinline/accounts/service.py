"""The doors through which organisations, users and sessions change."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from twinline.accounts import passwords, queries
from twinline.accounts.models import ROLES, Session, User, Viewer
from twinline.db import Tx

SESSION_LIFE = timedelta(days=30)
SHORTEST_PASSWORD = 8


class AccountError(Exception):
    """Something about a user can't be done; the message is for the person who asked."""


async def create_user(
    tx: Tx, organisation_id: int | None, email: str, name: str, role: str, password: str, now: datetime
) -> int:
    """Adds a user and answers its id; without an organisation, founds one in the user's name.

    Raises AccountError.
    """
    email = email.strip().lower()
    name = name.strip() or email.partition("@")[0]
    if not email.partition("@")[0] or not email.partition("@")[2]:
        raise AccountError(f"{email!r} isn't an e-mail address.")
    if role not in ROLES:
        raise AccountError(f"There is no role {role!r}. Roles are: {', '.join(ROLES)}.")
    _check_strength(password)
    password_hash = await passwords.digest(password)
    if organisation_id is None:
        organisation_id = await queries.insert_organisation(tx, name, now)
    user_id = await queries.insert_user(tx, organisation_id, email, name, role, password_hash, now)
    if user_id is None:
        raise AccountError(f"There is already a user with the address {email}.")
    await record(tx, organisation_id, user_id, "user.created", {"email": email, "role": role}, now)
    return user_id


async def authenticate(tx: Tx, email: str, password: str) -> User | None:
    """The user whose address and password these are; None for any mistake, without saying which."""
    secret = await queries.secret(tx, email.strip().lower())
    if not await passwords.matches(secret.password_hash if secret else None, password) or secret is None:
        return None
    if passwords.is_dated(secret.password_hash):
        await queries.update_password(tx, secret.user_id, await passwords.digest(password))
    return await queries.user(tx, secret.user_id)


async def open_session(tx: Tx, user: User, now: datetime, detail: Mapping[str, Any]) -> Session:
    await queries.delete_expired_sessions(tx, now)
    session = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), now + SESSION_LIFE)
    await queries.insert_session(tx, digest_of(session.token), user.id, session.csrf_token, now, session.expires_at)
    await record(tx, user.organisation_id, user.id, "login", detail, now)
    return session


async def record_refusal(tx: Tx, email: str, now: datetime, detail: Mapping[str, Any]) -> None:
    """Notes a wrong password in the log of the user's organisation; unknown addresses leave no trace."""
    secret = await queries.secret(tx, email.strip().lower())
    user = await queries.user(tx, secret.user_id) if secret else None
    if user is not None:
        await record(tx, user.organisation_id, user.id, "login.refused", detail, now)


async def viewer_of(tx: Tx, token: str, now: datetime) -> Viewer | None:
    """Who holds this session cookie; None when it is unknown or has run out."""
    return await queries.viewer(tx, digest_of(token), now)


async def close_session(tx: Tx, token: str) -> None:
    await queries.delete_session(tx, digest_of(token))


async def change_password(tx: Tx, viewer: Viewer, current: str, new: str, now: datetime) -> None:
    """Sets a new password and ends the user's sessions elsewhere. Raises AccountError."""
    if await authenticate(tx, viewer.email, current) is None:
        raise AccountError("The current password isn't right.")
    _check_strength(new)
    await queries.update_password(tx, viewer.user_id, await passwords.digest(new))
    await queries.delete_other_sessions(tx, viewer.user_id, viewer.csrf_token)
    await record(tx, viewer.organisation_id, viewer.user_id, "password.changed", {}, now)


async def record(
    tx: Tx, organisation_id: int, user_id: int | None, action: str, detail: Mapping[str, Any], now: datetime
) -> None:
    """Adds to the audit log: who did what, never a message's text, never a secret."""
    await queries.insert_audit(tx, organisation_id, user_id, action, detail, now)


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _check_strength(password: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise AccountError(f"A password needs at least {SHORTEST_PASSWORD} characters.")
