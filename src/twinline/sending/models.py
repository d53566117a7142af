"""A message on its way out."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from twinline.rules.guard import Refusal


class Lane(IntEnum):
    """Who goes first when the budget is short (E2): the smaller number."""

    PERSON = 0
    AUTOMATION = 1
    UTILITY = 2
    MARKETING = 3


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to say. ``content`` is what the type needs beside text.

    A media message that was uploaded here has ``file``, ``mime_type``, ``filename``, ``size`` (bytes) and ``sha256``.
    """

    type: str
    text: str | None = None
    content: dict[str, Any] | None = None
    quoted: str | None = None


class Refused(Exception):
    """The message may not go out. ``refusal`` names the rule, and says why and what to do."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Sender:
    """A number as far as sending needs it, read under its lock."""

    id: int
    phone_number_id: str
    token: bytes | None
    state: str
    state_reason: str | None
    connected_at: datetime | None
    budget_tat: int
    phone_pause_seconds: int


@dataclass(frozen=True, slots=True)
class Recipient:
    """The other side, and where its chat stands: what the rules are asked with, when written and when sent."""

    contact_id: int
    phone: str | None
    bsuid: str | None
    opted_out: bool
    last_inbound_at: datetime | None
    last_customer_at: datetime | None
    last_phone_reply_at: datetime | None
    floor_holder: str
    floor_epoch: int
    floor_since: datetime | None
    floor_until: datetime | None


@dataclass(frozen=True, slots=True)
class Outgoing(Recipient):
    """A row of the outbox that is about to be sent. ``epoch`` is the floor's when it was written."""

    id: int
    lane: int
    author: str
    epoch: int
    created_at: datetime
    type: str
    text: str | None
    content: dict[str, Any] | None
    quoted: str | None
    attempts: int
