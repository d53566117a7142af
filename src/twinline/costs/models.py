"""What a message costs and where a chat's window stands, as small frozen values."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from twinline.rules.pricing import Category, Why
from twinline.rules.window import Window


@dataclass(frozen=True, slots=True)
class Account:
    """The account that pays for a number. A person's word goes before Graph's; None: nobody knows."""

    number_id: int
    organisation_id: int
    currency: str | None
    zone: str | None
    free_entry_hours: int
    asked_at: datetime | None
    meta_currency: str | None
    timezone_id: str | None
    set_currency: str | None
    set_zone: str | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one message to somebody would cost if it were delivered now. An estimate, whatever it says.

    ``amount`` None: unknown. ``card_date`` is the day from which the rate holds, ``lacks`` why there is no rate.
    """

    category: Category
    free: bool
    rule: Why
    why: str
    amount: Decimal | None
    currency: str | None
    market: str
    card_date: date | None
    source: str | None
    lacks: str | None

    @property
    def text(self) -> str:
        """In a few words: "free", "about USD 0.0034", "unknown"."""
        if self.free:
            return "free"
        return "unknown" if self.amount is None else f"about {self.currency} {plain(self.amount)}"

    def as_json(self) -> dict[str, Any]:
        return {
            "category": str(self.category),
            "free": self.free,
            "rule": str(self.rule),
            "why": self.why,
            "amount": None if self.amount is None else plain(self.amount),
            "currency": self.currency,
            "market": self.market,
            "card_date": _iso(self.card_date),
            "source": self.source,
            "lacks": self.lacks,
            "estimate": True,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Where a chat stands: may one write freely from here, why, until when, and what it costs.

    ``contact_id`` is None for a stranger. ``opened_by`` is "message" or "call" while the window is open.
    ``free_entry_until``: everything is free until then; ``free_entry_by``: an answer from here before then opens that.
    ``service_sent`` stops counting just above the month's free messages. ``templates`` are the prices of a template by
    category.
    """

    number_id: int
    contact_id: int | None
    window: Window
    says: str
    opened_by: str | None
    seconds_left: int | None
    reply: Estimate
    templates: tuple[Estimate, ...]
    service_sent: int
    free_left: int
    resets_at: datetime
    resets_on: date
    zone: str | None
    free_entry_until: datetime | None
    free_entry_by: datetime | None
    free_entry_hours: int
    on_phone: str | None

    @property
    def basis(self) -> Estimate:
        """The estimate whose card is shown as the basis of all."""
        return next((price for price in self.templates if price.card_date), self.reply)

    def as_json(self) -> dict[str, Any]:
        """For programs; times in ISO 8601, amounts as decimal text."""
        return {
            "open": self.window.open,
            "reason": str(self.window.reason),
            "says": self.says,
            "until": _iso(self.window.until),
            "seconds_left": self.seconds_left,
            "opened_by": self.opened_by,
            "reply": self.reply.as_json(),
            "templates": {str(price.category): price.as_json() for price in self.templates},
            "service_messages": {
                "sent_this_month": self.service_sent,
                "free_left": self.free_left,
                "resets_at": _iso(self.resets_at),
                "zone": self.zone,
            },
            "free_entry_point": {
                "until": _iso(self.free_entry_until),
                "answer_by": _iso(self.free_entry_by),
            },
            "reply_on_phone": self.on_phone,
        }


@dataclass(frozen=True, slots=True)
class Line:
    """A category's part of a month. ``amount`` sums what has a rate; ``unknown`` counts what has none."""

    category: str
    delivered: int
    free: int
    amount: Decimal
    unknown: int


@dataclass(frozen=True, slots=True)
class Month:
    """A number's month so far, in the account's time zone (UTC while that is unknown)."""

    begins: datetime
    ends: datetime
    next_day: date
    """The first of the next month."""
    service_sent: int
    free_left: int
    lines: tuple[Line, ...]
    currency: str | None
    charged: bool
    """Whether service messages are charged at all this month."""

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal(0))

    @property
    def unknown(self) -> int:
        return sum(line.unknown for line in self.lines)


@dataclass(frozen=True, slots=True)
class Chat:
    """A number and a person, as read in one look. The person's part is None for a stranger."""

    contact_id: int | None
    phone: str | None
    bsuid: str | None
    state: str
    state_reason: str | None
    connected_at: datetime | None
    last_inbound_at: datetime | None
    last_customer_at: datetime | None
    last_phone_at: datetime | None
    opened_by: str | None
    entry_until: datetime | None
    entry_by: datetime | None


def plain(amount: Decimal) -> str:
    """A sum without exponent and needless zeros, with at least two places: 0.0034, 12.00."""
    text = f"{amount:f}"
    whole, _, places = text.partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def rounded(amount: Decimal) -> str:
    """A sum of many messages: to the cent from one whole unit on, exact below."""
    return f"{amount:,.2f}" if amount >= 1 else plain(amount)


def _iso(at: date | None) -> str | None:
    return at.isoformat() if at is not None else None
