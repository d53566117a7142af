"""What the mirror hands on: to followers in the same transaction, and to whoever asks."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from twinline.app import App
from twinline.db import Tx
from twinline.mirror.events import Marks
from twinline.mirror.fold import StatusRow


@dataclass(frozen=True, slots=True)
class Number:
    """As much of a number as the ingest needs, read under its lock; in the order of ``queries.CLAIM``."""

    id: int
    waba_id: str
    phone_number_id: str
    display_phone: str
    connected_at: datetime | None
    budget_tat: int
    keep_edited: bool
    count_echoes: bool


class Said(NamedTuple):
    """A message that is new to this platform and happened while connected."""

    number_id: int
    contact_id: int
    wamid: str
    type: str
    at: int  # unix seconds
    text: str | None


@dataclass(slots=True)
class Folded:
    """What one transaction of the ingest changed. Followers may add to ``events``."""

    numbers: dict[int, Number]
    received: list[Said] = field(default_factory=list)  # from customers
    echoed: list[Said] = field(default_factory=list)  # from the phone
    statuses: list[StatusRow] = field(default_factory=list)
    numbers_with_notices: set[int] = field(default_factory=set)
    events: dict[int, dict[str, Any]] = field(default_factory=dict)
    marks: dict[int, Marks] = field(default_factory=dict)
    asides: list[object] = field(default_factory=list)  # what a follower leaves for those behind it

    def tell(self, number_id: int, kind: str, *items: Any) -> None:
        """Adds to the event that this transaction publishes; see ``mirror.events`` for the kinds."""
        self.events.setdefault(number_id, {}).setdefault(kind, []).extend(items)

    def flag(self, number_id: int, kind: str) -> None:
        self.events.setdefault(number_id, {})[kind] = True


class Follower(Protocol):
    """A feature that acts on what was folded, in the same transaction and under the same numbers' turns."""

    async def __call__(self, app: App, tx: Tx, folded: Folded, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class OnlyWhere:
    """A follower whose statements a batch is spared unless ``condition`` (SQL about a number ``n``) is true of one of
    its numbers. All such conditions are one question, asked under the numbers' turns.
    """

    condition: str
    follower: Follower

    async def __call__(self, app: App, tx: Tx, folded: Folded, now: datetime) -> None:
        await self.follower(app, tx, folded, now)
