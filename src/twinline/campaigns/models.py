"""A campaign, what it says and when, and the people it goes to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from twinline.rules.campaigns import Limits, State, limits_of

RECIPIENTS_ZONE: Final = "recipient"


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the templates that a campaign compares; most campaigns have one.

    ``languages``: those of the template that may be sent, the first one to whoever's language isn't among them.
    ``values`` says what stands in each place of the template (``body.1``, ``header.image``, ``buttons.0``; see
    templates): ``{"column": "First name"}``, ``{"field": "city"}``, ``{"text": "Hello"}``, each with an optional
    ``"fallback"`` (all ways are in ``campaigns.writing``); ``header`` and buttons are places like the others.
    ``share`` is a weight: 1 and 1 is half and half.
    """

    template: str
    languages: Sequence[str]
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    share: int = 1


@dataclass(frozen=True, slots=True)
class Content:
    """What a campaign says."""

    variants: Sequence[Variant] = ()

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Content":
        return cls([Variant(**one) for one in found.get("variants", ())])

    def as_json(self) -> dict[str, Any]:
        return {"variants": [asdict(one) for one in self.variants]}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a campaign goes out.

    ``at`` is a wall clock's time without a zone (``2026-12-01T10:00``), None: as soon as it is started. ``zone`` is an
    IANA name, or ``recipient``: each at that time of their own zone. ``hours``: spread evenly over so many.
    ``between``: only from this to that time of day (``["09:00", "20:00"]``, in the same zone), so nobody is woken.
    """

    at: str | None = None
    zone: str = "UTC"
    hours: float | None = None
    between: Sequence[str] | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Schedule":
        return cls(**found)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A row of ``campaigns``. ``planned_so_far`` and ``planned_total``: through how many of how many people the dry run
    has gone, while it is made; None where that isn't known yet.
    """

    organisation_id: int
    id: int
    number_id: int
    name: str
    state: State
    state_since: datetime
    reason: str
    says: str
    audience: dict[str, Any]
    content: dict[str, Any]
    schedule: dict[str, Any]
    limits: dict[str, Any]
    routing: dict[str, Any]
    topic: str
    speed: float | None
    revision: int
    plan: dict[str, Any] | None
    planned_so_far: int | None
    planned_total: int | None
    created_by: int | None
    created_at: datetime
    planned_at: datetime | None
    starts_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def what(self) -> Content:
        return Content.of(self.content)

    @property
    def files(self) -> set[str]:
        return files_of(self.organisation_id, self.audience, self.content)

    @property
    def when(self) -> Schedule:
        return Schedule.of(self.schedule)

    @property
    def stops_at(self) -> Limits:
        return limits_of(self.limits)


def files_of(organisation_id: int, audience: Mapping[str, Any], content: Mapping[str, Any]) -> set[str]:
    """Where a campaign's lists and headers lie: folders and files of ``kit.files``."""
    lists = {f"audiences/{organisation_id}/{one['file']}" for one in audience.get("sources", ()) if "file" in one}
    values = [value for variant in content.get("variants", ()) for value in variant["values"].values()]
    return lists | {value["file"] for value in values if "file" in value}
