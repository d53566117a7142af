"""Endpoints, and what is delivered to them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

ON: Final = "on"
OFF: Final = "off"
STOPPED: Final = "stopped"


class WebhookError(Exception):
    """What was wanted can't be; the message says why and what to do."""


class NoSuchWebhook(WebhookError):
    """There is no such endpoint or delivery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``state``: on, off (by a person), stopped (by itself; ``says`` tells why)."""

    organisation_id: int
    id: int
    url: str
    description: str
    types: list[str]
    numbers: list[int] | None
    """None: all, also those that come later."""
    order_by: str
    """number: one at a time, in the order in which it happened; chat: several at a time, in order in each chat."""
    secret: bytes
    old_secret: bytes | None
    old_until: datetime | None
    state: str
    state_since: datetime
    says: str
    failing_since: datetime | None
    rests_until: datetime | None
    created_at: datetime
    waiting: int
    last_at: datetime | None
    """The newest try that was taken."""


STATES: Final = ("waiting", "delivered", "failed")
"""Of deliveries; failed: nobody tries any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """``key`` is its webhook-id, ``state`` one of STATES."""

    id: int
    key: str
    type: str
    at: datetime
    number_id: int | None
    contact_id: int | None
    body: str
    state: str
    created_at: datetime
    due_at: datetime
    first_at: datetime | None
    tries: int
    tried_at: datetime | None
    took: int | None
    """Milliseconds."""
    code: int | None
    answer: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to which event of a number an endpoint's deliveries are written, and what was last told of its states."""

    number_id: int
    seq: int
    told: dict[str, str]


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told, ready to go out."""

    key: str
    type: str
    at: datetime
    number_id: int
    contact_id: int | None
    body: str
