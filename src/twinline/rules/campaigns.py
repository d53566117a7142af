"""The states of a campaign and of each of its recipients: which step leads from which to which, as data.

A campaign is a draft until it is planned, and only what is planned can be started: nothing is sent that nobody has seen
counted. While it runs it may be *paused* by a person, *held* by something that stands still (a template that WhatsApp
paused, a phone that was disconnected) and goes on by itself, or *stopped* by its own limits, from which only a person
lets it go on.

A recipient's state is worked out from what is known of their message (`recipient_state`), so late, repeated and
disordered news come to the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from twinline.rules.delivery import Delivery
from twinline.rules.floor import Floor, Holder, holder_now
from twinline.rules.refusal import Refusal

# --- campaigns ----------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Where a campaign stands."""

    DRAFT = "draft"
    PLANNING = "planning"
    PLANNED = "planned"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    HELD = "held"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    FINISHED = "finished"


class Step(StrEnum):
    """What may happen to one."""

    EDIT = "edit"
    PLAN = "plan"
    PLANNED = "planned"
    UNPLANNABLE = "unplannable"
    TRY = "try"
    START = "start"
    SCHEDULE = "schedule"
    UNSCHEDULE = "unschedule"
    BEGIN = "begin"
    PAUSE = "pause"
    RESUME = "resume"
    HOLD = "hold"
    RELEASE = "release"
    STOP = "stop"
    CANCEL = "cancel"
    FINISH = "finish"


OVER: Final = frozenset({State.CANCELLED, State.FINISHED})

_S = State
STEPS: Final[Mapping[Step, Mapping[State, State]]] = MappingProxyType(
    {
        # People's steps, by page, API or command.
        Step.EDIT: {_S.DRAFT: _S.DRAFT, _S.PLANNED: _S.DRAFT},
        Step.PLAN: {_S.DRAFT: _S.PLANNING, _S.PLANNED: _S.PLANNING},
        Step.TRY: {_S.PLANNED: _S.PLANNED, _S.SCHEDULED: _S.SCHEDULED},  # sends to a few first
        Step.START: {_S.PLANNED: _S.RUNNING, _S.SCHEDULED: _S.RUNNING},
        Step.SCHEDULE: {_S.PLANNED: _S.SCHEDULED, _S.SCHEDULED: _S.SCHEDULED},
        Step.UNSCHEDULE: {_S.SCHEDULED: _S.PLANNED},
        Step.PAUSE: {_S.RUNNING: _S.PAUSED, _S.HELD: _S.PAUSED},
        Step.RESUME: {_S.PAUSED: _S.RUNNING, _S.STOPPED: _S.RUNNING},
        Step.CANCEL: dict.fromkeys(frozenset(State) - OVER, _S.CANCELLED),
        # Those that happen by themselves.
        Step.PLANNED: {_S.PLANNING: _S.PLANNED},
        Step.UNPLANNABLE: {_S.PLANNING: _S.DRAFT},
        Step.BEGIN: {_S.SCHEDULED: _S.RUNNING},
        Step.HOLD: {_S.RUNNING: _S.HELD, _S.HELD: _S.HELD},  # held for another reason, too
        Step.RELEASE: {_S.HELD: _S.RUNNING},
        Step.STOP: {_S.RUNNING: _S.STOPPED, _S.HELD: _S.STOPPED, _S.PAUSED: _S.STOPPED},
        Step.FINISH: {_S.RUNNING: _S.FINISHED},
    }
)
PEOPLES: Final = frozenset(
    {
        Step.EDIT,
        Step.PLAN,
        Step.TRY,
        Step.START,
        Step.SCHEDULE,
        Step.UNSCHEDULE,
        Step.PAUSE,
        Step.RESUME,
        Step.CANCEL,
    }
)

_CANT: Final = MappingProxyType(
    {
        State.DRAFT: ("it hasn't been planned yet", "Plan it first, and look at the dry run."),
        State.PLANNING: ("it is being planned", "Wait until its dry run is there; that takes seconds."),
        State.PLANNED: ("it hasn't been started", "Start it, or choose a time for it."),
        State.SCHEDULED: ("it waits for its time", "Take it off the schedule first."),
        State.RUNNING: ("it is running", "Pause it first."),
        State.PAUSED: ("it is paused", "Let it go on, or cancel it."),
        State.HELD: ("it waits for something that stands still", "Look at what it waits for; it goes on by itself."),
        State.STOPPED: ("it has stopped itself", "Look at the reason, then let it go on or cancel it."),
        State.CANCELLED: ("it was cancelled", "Make a copy of it for those who are left."),
        State.FINISHED: ("it is finished", "Make a copy of it to send it again."),
    }
)
_DOING: Final = MappingProxyType(
    {
        Step.EDIT: "changed",
        Step.PLAN: "planned",
        Step.TRY: "sent to a few people first",
        Step.START: "started",
        Step.SCHEDULE: "scheduled",
        Step.UNSCHEDULE: "taken off the schedule",
        Step.PAUSE: "paused",
        Step.RESUME: "resumed",
        Step.CANCEL: "cancelled",
    }
)


def after(state: State, step: Step) -> State | None:
    """The state to which a step leads, or None where it can't be made."""
    return STEPS[step].get(state)


def possible(state: State) -> frozenset[Step]:
    """What people may do with a campaign in this state."""
    return frozenset(step for step in PEOPLES if state in STEPS[step])


def refusal(state: State, step: Step) -> Refusal:
    """Why a person's step isn't possible in this state, and what to do."""
    why, do = _CANT[state]
    return Refusal(f"campaign.{state}", f"This campaign can't be {_DOING[step]}: {why}.", do)


# --- recipients ---------------------------------------------------------------------------------------------------


class Recipient(StrEnum):
    """What became of one person. In the order in which it comes about, as far as there is one."""

    PLANNED = "planned"
    SKIPPED = "skipped"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    REPLIED = "replied"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    UNKNOWN = "unknown"
    HELD = "held"
    CANCELLED = "cancelled"


_R = Recipient
OPEN: Final = frozenset({_R.PLANNED, _R.QUEUED, _R.SENDING, _R.IN_DOUBT, _R.HELD})
"""Something is still to happen that the campaign waits for."""
REACHED: Final = frozenset({_R.SENT, _R.DELIVERED, _R.READ, _R.REPLIED})
"""Meta has it, and didn't say that it failed."""


FLOOR: Final = "floor"
"""The reason of who is held because somebody speaks in their chat."""
FLOOR_AGAIN: Final = timedelta(minutes=10)
"""After which it is looked whether they still do, if nothing is heard of it before."""


def look_again_at(here: Floor, now: datetime) -> datetime:
    """When somebody who is held for the floor of their chat is tried again: as soon as it is free, as far as that is
    known beforehand.
    """
    if holder_now(here, now) is Holder.NOBODY:
        return now
    return min(now + FLOOR_AGAIN, here.until or now + FLOOR_AGAIN)


def recipient_state(outbox: str, delivery: int, *, replied: bool) -> Recipient:
    """The state of somebody whose message is in the outbox: the row's state, how far its message came, and whether
    they answered it.

    A word of theirs proves that they have read it, whatever the receipts say; what wasn't delivered wasn't answered.
    """
    if outbox != "sent":
        return Recipient(outbox)
    if delivery == Delivery.FAILED:
        return _R.FAILED
    if replied:
        return _R.REPLIED
    if delivery >= Delivery.READ:
        return _R.READ
    return _R.DELIVERED if delivery >= Delivery.DELIVERED else _R.SENT


# --- limits -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """When a campaign stops itself: shares of those whom it was sent to. 0 switches one off.

    `failed`: Meta couldn't deliver it, for whatever reason. `blocked`: they told WhatsApp to stop marketing, or Meta
    says that they had. `opted_out`: they said so here, by keyword. `after`: not before so many were sent, since three
    of ten say little. `weekly`: how many campaigns with marketing one person gets in seven days at most; who has
    had as many is left out.
    """

    failed: float = 0.10
    blocked: float = 0.02
    opted_out: float = 0.03
    after: int = 50
    weekly: int = 3


@dataclass(frozen=True, slots=True)
class Tally:
    """How many people a campaign was sent to, and what three kinds of them did."""

    sent: int
    failed: int
    blocked: int
    opted_out: int


_CROSSED: Final = MappingProxyType(
    {
        "failed": "of the messages couldn't be delivered",
        "blocked": "of the people have told WhatsApp to stop messages like this one",
        "opted_out": "of the people have answered that they don't want any more",
    }
)


def crossed(limits: Limits, tally: Tally) -> Refusal | None:
    """The first limit that a campaign has crossed, as it is told to people."""
    if tally.sent < max(limits.after, 1):
        return None
    for name, what in _CROSSED.items():
        limit, count = getattr(limits, name), getattr(tally, name)
        if limit and count > limit * tally.sent:
            share = f"{100 * count / tally.sent:.1f} %"
            return Refusal(
                f"limit.{name}",
                f"{share} {what} ({count} of {tally.sent}); this campaign stops at {100 * limit:g} %.",
                "Look at those people and the reasons, then let it go on or cancel it.",
            )
    return None


_COUNTS: Final = MappingProxyType({"after": 1, "weekly": 0})
"""Limits that aren't shares, with the least of each."""


def limits_of(changed: Mapping[str, object]) -> Limits:
    """The defaults, with what was changed. Raises ValueError with a sentence for people."""
    known = {field.name for field in fields(Limits)}
    if surplus := sorted(changed.keys() - known):
        raise ValueError(f"There is no limit called {surplus[0]}; there are {', '.join(sorted(known))}.")
    for name, value in changed.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"The limit {name} must be a number.")
        if name in _COUNTS:
            if value != int(value) or not _COUNTS[name] <= value <= 1_000_000:
                raise ValueError(f"The limit {name} is a number of messages, at least {_COUNTS[name]}.")
        elif not 0 <= value <= 1:
            raise ValueError(f"The limit {name} is a share between 0 and 1; 0.05 is 5 %.")
    return replace(Limits(), **changed)  # type: ignore[arg-type]
