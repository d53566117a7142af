"""Rows about numbers, as small frozen values."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


class NumberError(Exception):
    """Something about a number can't be done; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Number:
    id: int
    organisation_id: int
    waba_id: str
    phone_number_id: str
    display_phone: str
    verified_name: str | None
    token: bytes | None
    token_expires_at: datetime | None
    connected_at: datetime | None
    state: str
    state_since: datetime | None
    state_reason: str | None
    verified_at: datetime | None
    phone_seen_at: datetime | None
    keep_edited: bool
    phone_pause: timedelta
    send_receipts: bool
    send_typing: bool
    count_echoes: bool
    event_seq: int

    @property
    def name(self) -> str:
        return self.verified_name or f"+{self.display_phone}"


@dataclass(frozen=True, slots=True)
class Onboarding:
    organisation_id: int
    id: int
    user_id: int | None
    created_at: datetime
    agreed_at: datetime | None
    agreed_to: str | None
    answers: dict[str, Any]
    step: str
    waba_id: str | None
    token: bytes | None
    token_expires_at: datetime | None
    number_id: int | None
    problem: str | None
    finished_at: datetime | None

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """The numbers the owner has to choose from; empty unless there were several."""
        return self.answers.get("candidates") or []

    @property
    def must_choose(self) -> bool:
        return self.step == "resolve" and bool(self.candidates) and not self.answers.get("chosen")


@dataclass(frozen=True, slots=True)
class Notice:
    field: str
    at: datetime
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SyncRequest:
    kind: str
    requested_at: datetime | None
    answered_at: datetime | None
    request_id: str | None
    error_code: int | None
    error_text: str | None
    declined_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    phase: int
    chunk_order: int
    progress: int
    threads: int
    messages: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """What the first synchronisation has brought so far."""

    contacts: int
    chats: int
    messages: int
