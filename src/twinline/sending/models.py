"""A message on its way out."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.budget import Ramp
from twinline.rules.identity import digits, is_address, is_user_id


class Lane(IntEnum):
    """Who goes first when the budget is short (E2): the smaller number."""

    PERSON = 0
    AUTOMATION = 1
    UTILITY = 2
    MARKETING = 3


SPEAKS_AS: Final = MappingProxyType(
    {
        Lane.PERSON: "person",
        Lane.AUTOMATION: "automation",
        Lane.UTILITY: "campaign",
        Lane.MARKETING: "campaign",
    }
)
"""As whom a program or an operator speaks who asks for a lane."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to say. ``content`` is what the type needs beside text.

    A media message that was uploaded here has ``file``, ``mime_type``, ``filename``, ``size`` (bytes) and ``sha256``.
    ``topic``: what marketing is about, as the organisation calls it; "" is marketing as a whole.
    """

    type: str
    text: str | None = None
    content: dict[str, Any] | None = None
    quoted: str | None = None
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """One message of many that are written together: to whom, what, in which lane, under which idempotency key."""

    contact_id: int
    draft: Draft
    lane: int = Lane.PERSON
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """The request that a program made: with which key, if it came over HTTP, and its digest, by which a repetition is
    known."""

    api_key_id: int | None
    request_digest: bytes


@dataclass(frozen=True, slots=True)
class Sender:
    """A number as far as sending needs it, read under its lock."""

    id: int
    phone_number_id: str
    display_phone: str
    token: bytes | None
    state: str
    state_reason: str | None
    connected_at: datetime | None
    budget_tat: int
    phone_pause_seconds: int


@dataclass(frozen=True, slots=True)
class Line(Sender):
    """A number whose lane is planned: how fast it may speak, and whether there is anything unusual."""

    slow_since: int
    slow_share: int
    slow_recovery: int
    postponed_until: datetime | None
    files_wait: bool
    may_be_stopped: bool

    @property
    def ramp(self) -> Ramp:
        return Ramp(self.slow_since, self.slow_share, self.slow_recovery)


@dataclass(frozen=True, slots=True)
class Recipient:
    """The other side, and where its chat stands: what the rules are asked with, when written and when sent.

    ``capped_at``: when Meta last withheld a marketing message from them (131049); ``missed``: how many messages have
    failed to reach them (131026) since one did or they wrote.
    """

    contact_id: int
    phone: str | None
    bsuid: str | None
    last_inbound_at: datetime | None
    last_customer_at: datetime | None
    last_phone_reply_at: datetime | None
    floor_holder: str
    floor_epoch: int
    floor_since: datetime | None
    floor_until: datetime | None
    capped_at: datetime | None
    missed: int


def stranger(address: str) -> Recipient:
    """Somebody of whom nothing is known but a phone number, a user id, or what was given as such."""
    bsuid = address if is_user_id(address) else None
    phone = None if bsuid else digits(address) if is_address(address) else address
    return Recipient(0, phone, bsuid, None, None, None, "nobody", 0, None, None, None, 0)


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
    topic: str
    attempts: int
    throttled: int


@dataclass(frozen=True, slots=True)
class Candidate(Outgoing):
    """A row that is ready, and what may hold it up: another message of its chat, or its pair's limit."""

    behind: bool
    pair_tat: int


@dataclass(frozen=True, slots=True)
class Result:
    """How a row's way ended, or that it is in doubt."""

    number_id: int
    id: int
    state: str
    wamid: str | None = None
    code: int | None = None
    text: str | None = None
