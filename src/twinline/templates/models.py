"""Templates and their accounts, as small frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twinline.rules import templates as rules
from twinline.rules.templates import Filled, Problem, Slot, Told


class TemplateError(Exception):
    """Something about a template can't be done; the message is for the person who asked. ``problems`` holds each
    reason on its own, with the field it is about.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(f"{problem.says} {problem.do}".strip() for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Account:
    """A WABA of an organisation, with the numbers that share its templates."""

    organisation_id: int
    waba_id: str
    name: str
    numbers: list[int]
    token: bytes | None
    read_at: datetime | None
    problem: str | None
    event_seq: int  # of the first of its numbers: what a page listens from

    @property
    def place(self) -> tuple[int, str]:
        return self.organisation_id, self.waba_id


@dataclass(frozen=True, slots=True)
class Template:
    organisation_id: int
    waba_id: str
    id: str
    name: str
    language: str
    components: list[dict[str, Any]]
    parameter_format: str
    status: str
    status_v: int
    reason: str | None
    paused_until: datetime | None
    quality: str
    category: str
    next_category: str | None
    next_category_at: datetime | None
    fallbacks: dict[str, str]
    edited: list[datetime]
    sample: dict[str, Any] | None
    fetched_at: datetime | None

    @property
    def spec(self) -> dict[str, Any]:
        """As the rules take it, and as Graph was told."""
        return {
            "name": self.name,
            "language": self.language,
            "category": self.category,
            "parameter_format": self.parameter_format,
            "components": self.components,
        }

    @property
    def slots(self) -> tuple[Slot, ...]:
        return rules.slots(self.spec)

    @property
    def told(self) -> Told:
        return rules.explain(self.status, self.reason)

    def fill(self, values: Mapping[str, Any]) -> Filled:
        return rules.fill(self.spec, values, self.fallbacks)


@dataclass(frozen=True, slots=True)
class Ready:
    """A template that may go out: the text as it will be read, the content for the outbox, and its category, which
    decides which opt-outs bind it.
    """

    text: str
    content: dict[str, Any]
    category: str
