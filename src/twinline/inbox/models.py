"""What the inbox shows, made from rows: a line of the chat list, a bubble of the thread, a person's panel."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from markupsafe import Markup

from twinline.contacts.models import Named
from twinline.inbox import words
from twinline.kit.markup import rich
from twinline.kit.phones import shown_phone
from twinline.rules import floor, identity
from twinline.rules.delivery import Delivery

TICKS = {
    Delivery.PENDING: "pending",
    Delivery.ACCEPTED: "pending",
    Delivery.SENT: "sent",
    Delivery.FAILED: "failed",
    Delivery.DELIVERED: "delivered",
    Delivery.READ: "read",
    Delivery.PLAYED: "played",
}


@dataclass(frozen=True, slots=True)
class Number:
    """One of the organisation's numbers, and up to where its events had been told when it was read."""

    id: int
    display_phone: str
    verified_name: str | None
    state: str
    connected_at: datetime | None
    event_seq: int

    @property
    def phone(self) -> str:
        return shown_phone(self.display_phone)

    @property
    def name(self) -> str:
        return self.verified_name or self.phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Named):
    """A line of the chat list: the chat, its person, and its newest message."""

    contact_id: int
    last_at: datetime
    unread: int
    assigned_to: int | None
    assignee: str | None
    floor_holder: str
    floor_until: datetime | None
    handed: bool  # by an automation, to people who haven't answered yet
    type: str | None
    text: str | None
    content: dict[str, Any] | None
    outgoing: bool | None
    delivery: int | None
    author: str | None
    revoked: bool | None

    @property
    def cursor(self) -> str:
        return cursor(self.last_at, str(self.contact_id))

    @property
    def preview(self) -> words.Preview:
        if self.type is None:
            return words.Preview(None, "")
        return words.preview(self.type, self.text, self.content, revoked=bool(self.revoked))

    @property
    def tick(self) -> str:
        return TICKS.get(Delivery(self.delivery or 0), "") if self.outgoing and not self.revoked else ""

    def holder(self, now: datetime) -> str:
        return held_by(self.floor_holder, self.floor_until, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChat(Named):
    """The chat whose thread is open."""

    contact_id: int
    unread: int
    assigned_to: int | None
    assignee: str | None
    floor_holder: str
    floor_until: datetime | None

    def holder(self, now: datetime) -> str:
        return held_by(self.floor_holder, self.floor_until, now)

    @property
    def on_phone(self) -> str | None:
        """Opens this chat in WhatsApp, on the device where it's clicked."""
        return f"https://wa.me/{identity.digits(self.phone)}" if self.phone else None


def held_by(holder: str, until: datetime | None, now: datetime) -> str:
    present = floor.holder_now(floor.Floor(floor.Holder(holder), until=until), now)
    return str(present.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person(Named):
    """Somebody whose contact can be sent."""

    contact_id: int
    phone: str

    @property
    def card(self) -> str:
        """The contact as Meta's messages carry one, in JSON."""
        number = identity.digits(self.phone)
        card = {
            "name": {"formatted_name": self.name, "first_name": self.name.split()[0]},
            "phones": [{"phone": f"+{number}", "wa_id": number, "type": "CELL"}],
        }
        return json.dumps(card, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Named):
    """A message that a search found."""

    contact_id: int
    wamid: str
    at: datetime
    text: str
    outgoing: bool

    @property
    def cursor(self) -> str:
        return cursor(self.at, self.wamid)

    def excerpt(self, q: str) -> Markup:
        return words.excerpt(self.text, q)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a message answers. ``wamid`` None: not here to jump to."""

    wamid: str
    who: str
    icon: str | None
    text: str
    known: bool
    phone: bool


@dataclass(frozen=True, slots=True)
class Media:
    """A file of a message: where to get it, or why it isn't there."""

    address: str | None
    state: str  # wanted, kept, lost
    mime_type: str
    size: int | None
    filename: str | None
    reason: str | None

    @property
    def format(self) -> str:
        """PDF, for cake.pdf: its ending as people know it, else its type."""
        ending = (self.filename or "").rpartition(".")
        found = ending[2] if ending[1] else re.split(r"[/.]", self.mime_type)[-1]
        return found.upper()[:12]

    @property
    def small(self) -> str:
        """A picture's thumbnail."""
        return f"{self.address}{'&' if '?' in (self.address or '') else '?'}small"


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message as the thread shows it, be it in the history or still on its way out."""

    dom_id: str
    at: datetime
    outgoing: bool
    type: str
    author: str  # customer, phone, person, automation, campaign
    author_name: str | None
    wamid: str | None = None
    heard: int = 0
    outbox_id: int | None = None
    text: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    media: Media | None = None
    quote: Quote | None = None
    reactions: tuple[tuple[str, str], ...] = ()  # (emoji, whose)
    earlier: tuple[tuple[datetime, str], ...] = ()
    edited: bool = False
    revoked: bool = False
    imported: bool = False
    forwarded: bool = False
    ad: str | None = None
    tick: str = ""
    failure: str | None = None
    remedy: str | None = None
    offers: tuple[str, ...] = ()  # what a person may decide about it: cancel, arrived, again, surely (again, confirmed)
    offers_for: int | None = None  # the row of the outbox that is meant

    @property
    def cursor(self) -> str:
        return cursor(self.at, self.tie)

    @property
    def tie(self) -> str:
        return tie(self.heard, self.wamid or "")

    @property
    def rich(self) -> Markup:
        return rich(self.text or "")

    @property
    def jumbo(self) -> bool:
        return self.type == "text" and words.only_emoji(self.text or "")

    @property
    def preview(self) -> words.Preview:
        return words.preview(self.type, self.text, self.content, revoked=self.revoked)

    @property
    def placeholder(self) -> words.Placeholder | None:
        """For what can't be shown: why, and where it can be seen."""
        return words.placeholder(self.type, self.content)

    @property
    def cards(self) -> list[words.Card]:
        return words.cards(self.content)

    @property
    def place(self) -> words.Place | None:
        return words.place(self.content)

    @property
    def offer(self) -> words.Offer:
        return words.offer(self.content)

    @property
    def answers(self) -> list[tuple[str, str]]:
        return words.answers(self.content)

    @property
    def can_react(self) -> bool:
        return self.wamid is not None and not self.revoked and self.type not in ("system", "call")


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was said in a chat, up to ``words.MANY``."""

    received: int
    phone: int
    here: int
    first_at: datetime | None


def tie(heard: int, wamid: str) -> str:
    """What orders messages of the same second: when they were heard, then their ids; sorts as text too."""
    return f"{heard:020}.{wamid}"


def cursor(at: datetime, tie: str) -> str:
    """Where a page of a list ends: the position of its last row in (time, id)."""
    return f"{round(at.timestamp() * 1_000_000)}.{tie}"
