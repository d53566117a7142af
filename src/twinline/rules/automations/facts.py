"""What an automation may know when it decides: the moment, the contact, the number, and what was said."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a customer wrote in one go, the oldest first. ``choice`` and ``title``: the button or row that was chosen,
    by its id and by what stood on it; ``referral``: Meta's object of the ad they came by; ``campaign``: the one that
    this answers.
    """

    texts: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    choice: str | None = None
    title: str | None = None
    media: tuple[Any, ...] = ()
    referral: Json | None = None
    campaign: int | None = None
    wamids: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it in one; what stands on a button counts as said."""
        return "\n".join(text for text in self.texts if text) or self.title or ""


@dataclass(frozen=True, slots=True)
class Facts:
    """``now`` is aware, in the number's zone. ``contact``: name, phone, language, fields (by key) and tags;
    ``number``: name.
    """

    now: datetime
    contact: Json = field(default_factory=dict)
    number: Json = field(default_factory=dict)
    hours_open: bool = True
    window_open: bool = True
    assigned: bool = False

    def contact_with(self, **changed: Any) -> "Facts":
        return replace(self, contact={**self.contact, **changed})


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a decision is made: the facts, what the run has noted, and what was said last (``said``)."""

    facts: Facts
    vars: Json = field(default_factory=dict)
    said: Json = field(default_factory=dict)

    def scope(self) -> dict[str, Any]:
        """What placeholders read, as JSON."""
        contact = self.facts.contact
        return {
            "contact": {
                "name": contact.get("name"),
                "phone": contact.get("phone"),
                "language": contact.get("language"),
                "fields": dict(contact.get("fields") or {}),
                "tags": list(contact.get("tags") or ()),
            },
            "vars": dict(self.vars),
            "message": {name: self.said.get(name) for name in ("text", "choice", "title")},
            "number": dict(self.facts.number),
            "now": self.facts.now.isoformat(),
        }


def said(turn: Turn | None) -> dict[str, Any]:
    """What a run remembers of the last turn, as JSON."""
    if turn is None:
        return {}
    return {
        "text": turn.text,
        "choice": turn.choice,
        "title": turn.title,
        "types": list(turn.types),
        "wamid": turn.wamids[-1] if turn.wamids else None,
    }
