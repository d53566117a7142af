"""What an automation is, and what is kept of its conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from twinline.rules.refusal import Refusal, Refused


class State(StrEnum):
    """Where a run stands. It waits, fell silent because a person spoke, or is over; never in between."""

    WAITING = "waiting"
    YIELDED = "yielded"
    ENDED = "ended"


class Noted(StrEnum):
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


@dataclass(frozen=True, slots=True)
class Run:
    """A conversation of an automation with a customer.

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
    contact: str
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
    kind: Noted
    says: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a number is told about itself. ``pause``: after a reply from the phone; kept with the number."""

    hours: Mapping[str, Any] | None = None
    zone: str = ""
    language: str = ""
    phone_keywords: Sequence[Mapping[str, Any]] = field(default_factory=list)
    pause: timedelta = timedelta(hours=2)


class NoSuchAutomation(LookupError):
    """The organisation has no such automation, or no such number or chat."""


def refuse(rule: str, text: str, do: str) -> Refused:
    return Refused(Refusal(f"automation.{rule}", text, do))
