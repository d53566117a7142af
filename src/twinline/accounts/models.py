"""Users, sessions, and who is looking at a page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Viewer:
    """A logged-in user. ``organisation_id`` filters every query made for them."""

    user_id: int
    organisation_id: int
    organisation: str
    email: str
    name: str
    role: str
    csrf_token: str

    @property
    def may_write(self) -> bool:
        return self.role != "viewer"

    @property
    def may_administer(self) -> bool:
        return self.role in ("owner", "admin")


ROLES = ("owner", "admin", "agent", "viewer")


@dataclass(frozen=True, slots=True)
class User:
    id: int
    organisation_id: int
    email: str
    name: str
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Secret:
    """What a login is checked against."""

    user_id: int
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session just opened. The token goes into the cookie and is kept nowhere else."""

    token: str
    csrf_token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: int
    at: datetime
    user_name: str | None
    action: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A program's key as its owner sees it. The key itself is kept nowhere; ``hint`` is its end."""

    id: int
    name: str
    hint: str
    scopes: list[str]
    created_by: str | None
    """The user's name; None: made at the command line, or by somebody who is gone."""
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """A program that showed its key. ``organisation_id`` filters every query made for it."""

    organisation_id: int
    organisation: str
    key_id: int
    name: str
    scopes: list[str]
