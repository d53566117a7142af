"""What an automation is, and what is kept of its conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from twinline.contacts.models import Named
from twinline.rules.floor import PEOPLE, Floor, Holder, holder_now
from twinline.rules.refusal import Refusal, Refused


class State(StrEnum):
    """Where a run stands. It waits, fell silent because a person spoke, or is over; never in between."""

    WAITING = "waiting"
    YIELDED = "yielded"
    ENDED = "ended"


class Kind(StrEnum):
    """What a line of the why-log is about."""

    BEGAN = "began"
    SAID = "said"
    SILENT = "silent"  # somebody else has the floor
    ANSWERED = "answered"  # somebody else answered first
    PASSED = "passed"  # no automation was meant, or none might
    YIELDED = "yielded"
    RESUMED = "resumed"
    ENDED = "ended"
    FLOOR = "floor"  # taken or handed back
    DRAFTED = "drafted"  # by a bot or an agent: kept for approval, decided about, dropped, or not to be had
    NOTE = "note"  # an automation's own


@dataclass(frozen=True, slots=True)
class Automation:
    """A row of ``automations``. ``definition``: of the version that begins; None: none was published yet."""

    organisation_id: int
    id: int
    name: str
    enabled: bool
    position: int
    version: int
    draft: dict[str, Any]
    draft_at: datetime
    numbers: list[int] | None
    archived_at: datetime | None
    made_by: int | None
    made_at: datetime
    definition: dict[str, Any] | None
    published_at: datetime | None

    @property
    def changed(self) -> bool:
        """Whether the draft says something else than what runs."""
        return self.draft != self.definition


@dataclass(frozen=True, slots=True)
class Version:
    """A version that was published once."""

    version: int
    made_by: int | None
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Named):
    """A conversation of an automation with a customer, who bears the ``name``.

    ``state`` is as it is felt: also *yielded* where a person has spoken and the run hasn't met them yet. ``trace``:
    ``[[unix seconds, path or sentence], …]``.
    """

    number_id: int
    id: int
    organisation_id: int
    automation_id: int
    automation: str
    version: int
    contact_id: int
    state: State
    waits: str | None
    wakes_at: datetime | None
    run: dict[str, Any]
    sent: int
    token: int
    began_at: datetime
    moved_at: datetime
    ended_at: datetime | None
    why: str
    began_by: str
    trace: list[Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chat's why-log."""

    id: int
    contact_id: int
    at: datetime
    automation_id: int | None
    automation: str | None
    run_id: int | None
    wamid: str | None
    kind: Kind
    says: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a number is told about itself. ``pause``: after a reply from the phone; kept with the number."""

    hours: Mapping[str, Any] | None = None
    zone: str = ""
    language: str = ""
    phone_keywords: Sequence[Mapping[str, Any]] = field(default_factory=list)
    pause: timedelta = timedelta(hours=2)


# --- what the engine looks at -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A number, as far as its automations need it. ``campaigns``: whether it ever had one."""

    number_id: int
    organisation_id: int
    display_phone: str
    verified_name: str | None
    connected_at: datetime | None
    pause: timedelta
    campaigns: bool
    hours: dict[str, Any] | None
    zone: str
    language: str


@dataclass(slots=True)
class Conversation:
    """Where a conversation stands."""

    automation_id: int
    version: int
    run_state: str
    waits: str
    wakes_at: datetime | None
    run: dict[str, Any]
    since: datetime | None
    sent: int
    token: int
    began_at: datetime
    moved_at: datetime
    began_by: str
    trace: list[Any]


@dataclass(slots=True)
class Sleeper(Conversation):
    """One whose time has come."""

    run_id: int


@dataclass(slots=True, kw_only=True)
class Talk(Conversation):
    """A chat that is looked at: who it is, who has the floor, what was said, and which conversation is under way.

    Where there is no turn, ``wamids`` is empty and its times mean nothing; the same holds for a conversation without
    ``run_id``. ``begun``: automation -> when it last began here, in unix seconds. ``fresh_id``: the first of eight for
    conversations that begin.
    """

    contact_id: int
    custom_name: str | None
    book_name: str | None
    profile_name: str | None
    phone: str | None
    language: str | None
    tags: list[str]
    fields: dict[str, str]
    floor_holder: str
    floor_epoch: int
    floor_until: datetime | None
    floor_since: datetime | None
    assigned: bool
    last_inbound_at: datetime | None
    first_at: datetime
    said_at: datetime
    due_at: datetime | None
    tried: bool
    wamids: list[str]
    first: bool
    answered_by: str | None
    run_id: int | None
    fresh_id: int
    said_lately: int
    begun_lately: int
    begun: dict[str, float]
    released: bool
    words: list[tuple[Any, ...]] = field(default_factory=list)
    sleeper: Sleeper | None = None

    @property
    def floor(self) -> Floor:
        return Floor(Holder(self.floor_holder), self.floor_epoch, self.floor_until, self.floor_since)

    @property
    def known_name(self) -> str | None:
        """What they are called; a bare telephone number is no name."""
        return self.custom_name or self.book_name or self.profile_name

    def holder(self, now: datetime) -> Holder:
        return holder_now(self.floor, now)

    @property
    def was_theirs(self) -> bool:
        """Whether a person had the floor when the turn was said; it may be nobody's by now."""
        here = self.floor
        handed_back = here.since is not None and self.said_at < here.since
        return handed_back or (here.holder in PEOPLE and here.until is not None and self.said_at < here.until)

    def is_due(self, now: datetime) -> bool:
        return bool(self.wamids) and self.due_at is not None and self.due_at <= now

    def next_id(self) -> int:
        self.fresh_id += 1
        return self.fresh_id - 1

    def talks_as(self, sleeper: Sleeper) -> None:
        """A conversation that slept is the one under way."""
        for name in ("run_id", *Conversation.__slots__):
            setattr(self, name, getattr(sleeper, name))


class NoSuchAutomation(LookupError):
    """The organisation has no such automation, or no such number or chat."""


class Overtaken(ValueError):
    """The draft isn't the one that was seen any more: somebody else has saved it meanwhile."""


def refuse(rule: str, text: str, do: str) -> Refused:
    return Refused(Refusal(f"automation.{rule}", text, do))
