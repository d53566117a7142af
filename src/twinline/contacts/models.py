"""What is shown and handed on of contacts."""

from dataclasses import dataclass
from datetime import datetime

from twinline.kit.phones import shown_phone
from twinline.rules import identity
from twinline.rules.consent import Consent


class ContactError(Exception):
    """What was wanted can't be; the message says why and what to do."""


class NotThere(ContactError):
    """There is no such contact, tag, field, segment or topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Whatever a contact may be called by."""

    custom_name: str | None
    book_name: str | None
    profile_name: str | None
    username: str | None
    phone: str | None
    bsuid: str | None

    @property
    def name(self) -> str:
        shown = identity.display_name(
            custom=self.custom_name,
            book=self.book_name,
            profile=self.profile_name,
            username=self.username,
            phone=self.shown_phone,
            bsuid=self.bsuid,
        )
        return shown or "Somebody"

    @property
    def shown_phone(self) -> str:
        return shown_phone(self.phone or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact(Named):
    """Somebody as a number knows them. ``opted_out``: they have ended marketing in WhatsApp itself."""

    number_id: int
    id: int
    language: str | None
    tags: list[str]
    fields: dict[str, str]
    opted_out: bool
    last_inbound_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """A number whose contacts are looked at."""

    id: int
    display_phone: str
    verified_name: str | None

    @property
    def phone(self) -> str:
        return shown_phone(self.display_phone)

    @property
    def name(self) -> str:
        return self.verified_name or self.phone


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of contacts, how many there are in all (counted to ``MOST_COUNTED``), and where it goes on."""

    contacts: list[Contact]
    count: int
    next: int | None


@dataclass(frozen=True, slots=True)
class Tag:
    name: str
    hue: int
    contacts: int


@dataclass(frozen=True, slots=True)
class Field:
    """A field that the organisation made; ``kind`` is text, number or date, and values are kept as text."""

    key: str
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Known:
    """What stands beside a contact's chat: their tags and all there are, their fields by label, and their consent."""

    contact: Contact
    worn: list[Tag]
    tags: list[Tag]
    fields: list[tuple[str, str]]
    consent: Consent


@dataclass(frozen=True, slots=True)
class Segment:
    """A saved filter: conditions that all have to hold (``contacts.segments``)."""

    id: int
    name: str
    conditions: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Topic:
    """What marketing can be about. The key "" is marketing as a whole."""

    key: str
    title: str
    needs_opt_in: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word about marketing, as the history of a contact shows it."""

    topic: str
    at: datetime
    granted: bool
    source: str
    detail: str
    user_name: str | None


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An entry of the suppression list."""

    key: str
    at: datetime
    why: str
    user_name: str | None

    @property
    def address(self) -> str:
        """The phone with its plus, or the user id."""
        kind, _, value = self.key.partition(":")
        return f"+{value}" if kind == "p" else value

    @property
    def shown(self) -> str:
        return shown_phone(self.address) if self.key.startswith("p:") else self.address


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a keyword is to be answered with, and by which message it was said."""

    number_id: int
    contact_id: int
    wamid: str
    text: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: whom it told of, how many of them are new, and lines that couldn't be read, with why."""

    people: int
    new: int
    problems: list[tuple[int, str]]
