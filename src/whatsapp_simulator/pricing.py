"""What Meta would charge for a message: the ``pricing`` object of its statuses, by the rules of its day.

Rules change at midnight of the WABA's time zone: `service` replies and utility templates inside the window were free
until 2026-09-30; since then the first come with 1,000 free ones a month, the second with none (Meta: pricing).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .state import Json, Phone, Waba

PER_MESSAGE = date(2025, 7, 1)
"""Before: by conversation (``CBP``)."""
REPLIES_COST = date(2026, 10, 1)
WITHOUT_CONVERSATION = 24
"""The Graph version whose webhooks know conversations only inside free entry points."""
DAY = 86400.0

TIME_ZONES = {
    # Meta's numbers for time zones (Meta: Marketing API, time zone ids); those not here count as UTC.
    "1": "America/Los_Angeles",
    "2": "America/Denver",
    "6": "America/Chicago",
    "7": "America/New_York",
    "8": "Asia/Dubai",
    "10": "America/Argentina/Buenos_Aires",
    "25": "America/Sao_Paulo",
    "47": "Europe/Berlin",
    "55": "Europe/Madrid",
    "57": "Europe/Paris",
    "58": "Europe/London",
    "71": "Asia/Kolkata",
}


@lru_cache
def zone(timezone_id: str) -> tzinfo:
    """A WABA's time zone, by Meta's number or by IANA name."""
    try:
        return ZoneInfo(TIME_ZONES.get(timezone_id, timezone_id))
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def day(waba: Waba, at: float) -> date:
    """The date at the WABA."""
    return datetime.fromtimestamp(at, zone(waba.timezone_id)).date()


def price(waba: Waba, phone: Phone, category: str, at: float, *, in_window: bool, entry: bool, free: int) -> Json:
    """``category``: service, or the template's own. ``entry``: inside a free entry point. ``free``: service messages a
    month that aren't billed. A message that isn't one of these is billed, always."""
    today = day(waba, at)
    kind = "regular"
    if entry:
        kind = "free_entry_point"
    elif category == "service":
        # GUESS: the label of a reply inside the free 1,000; and that messages count from when they are accepted.
        kind = "free_customer_service" if today < REPLIES_COST or used(waba, phone, at) < free else "regular"
    elif category == "utility" and in_window and today < REPLIES_COST:
        kind = "free_customer_service"
    return _object(kind, category, today >= PER_MESSAGE)


@lru_cache
def _object(kind: str, category: str, per_message: bool) -> Json:
    """Shared by all messages of the kind: nobody may change it."""
    return {
        "billable": kind == "regular",
        "pricing_model": "PMP" if per_message else "CBP",
        "type": kind,
        "category": "referral_conversion" if kind == "free_entry_point" else category,
    }


def used(waba: Waba, phone: Phone, at: float) -> int:
    """Service messages of the month so far."""
    return phone.service_count if phone.service_month == f"{day(waba, at):%Y-%m}" else 0


def count(waba: Waba, phone: Phone, at: float) -> None:
    """One more of them. Those inside a free entry point aren't counted."""
    phone.service_count = used(waba, phone, at) + 1
    phone.service_month = f"{day(waba, at):%Y-%m}"


def conversation(about: str, price: Json, version: str, at: float, entry_until: float | None) -> Json | None:
    """The ``conversation`` beside the pricing, where webhooks of this version still have one. ``about``: what its id
    is made of."""
    if entry_until is None and float(version[1:]) >= WITHOUT_CONVERSATION:
        return None
    return {
        "id": hashlib.blake2b(about.encode(), digest_size=16).hexdigest(),
        "expiration_timestamp": str(int(entry_until or at + DAY)),
        "origin": {"type": price["category"]},
    }
