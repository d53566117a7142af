"""The first synchronisation as a ledger: what was asked, what came, what is missing, how long is left.

After connecting, contacts and then history can each be requested once, within 24 hours (Meta: Onboard
WhatsApp Business app users). The request's answer says little: a timeout may have been carried out,
"already requested" (2593107) means that it was, and only arriving chunks prove anything. So the ledger is
read off two sets of facts, the requests made and the chunks that came, and any order of them gives the same
ledger.

History comes in phases (the last day, up to day 90, up to day 180) cut into numbered chunks. A phase
without chats sends nothing. Chunks come in any order, and Meta doesn't say whether numbers start anew in
each phase or run through all of them. Both are read: if no number occurs in two phases and the phases
follow one another, they run through, and a phase that begins with 6 misses nothing. Otherwise each phase is
counted from its start.

The owner may decline to share the past (2593109). That is a normal outcome: the connection goes on without
it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Final

DEADLINE: Final = timedelta(hours=24)
"""How long after connecting a synchronisation can be requested."""
PHASES: Final = MappingProxyType({0: (0, 1), 1: (1, 90), 2: (90, 180)})
"""Phase → the days before connecting that it covers, from and to."""
STALLED_AFTER: Final = timedelta(minutes=10)
"""Silence after which the owner is asked to keep the app open; Meta says that a synchronisation takes
minutes.
"""
SETTLED_AFTER: Final = timedelta(hours=24)
"""Silence after which a history that reported 100 % is taken as complete, gaps or not."""

ALREADY_REQUESTED: Final = 2593107
OUTSIDE_WINDOW: Final = 2593108
NOT_SHARED: Final = 2593109


class SyncType(StrEnum):
    """What can be synchronised, in Meta's words: `sync_type` of `smb_app_data`."""

    CONTACTS = "smb_app_state_sync"
    HISTORY = "history"


class SyncState(StrEnum):
    """How a synchronisation stands."""

    WAITING = "waiting"
    REQUESTED = "requested"
    UNKNOWN = "unknown"
    RECEIVING = "receiving"
    COMPLETE = "complete"
    DECLINED = "declined"
    TOO_LATE = "too_late"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Request:
    """One call of `smb_app_data`: accepted, refused with an error code, or neither (timeout, crash):
    unknown.
    """

    at: datetime
    accepted: bool = False
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One arrival: a history object, or a batch of contacts (then without phase, order and progress).

    `progress` is 0 to 100. `code` is set when it carries an error instead of chats.
    """

    at: datetime
    phase: int | None = None
    order: int | None = None
    progress: int | None = None
    messages: int = 0
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Phase:
    """What came of one phase: chunk numbers seen, numbers missing below the highest, messages counted."""

    phase: int
    days: tuple[int, int] | None
    seen: tuple[int, ...]
    holes: tuple[int, ...]
    messages: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole account at one moment. `seconds_left` counts down to `deadline` and stops at 0."""

    state: SyncState
    deadline: datetime
    seconds_left: int
    progress: int
    phases: tuple[Phase, ...]
    messages: int
    last_heard_at: datetime | None
    stalled: bool
    advice: str


_MOVING: Final = frozenset({SyncState.REQUESTED, SyncState.UNKNOWN, SyncState.RECEIVING})
_WAY_BACK: Final = (
    "To get the past after all: disconnect in the WhatsApp Business app (Settings > Account > "
    "Business Platform), "
    "then connect the number again and request it within 24 hours."
)
_ADVICE: Final = MappingProxyType(
    {
        SyncState.WAITING: "Not requested yet. It can be requested once, within 24 hours of connecting.",
        SyncState.REQUESTED: "Requested. The phone is getting its chats ready; keep the app open.",
        SyncState.UNKNOWN: (
            "The request got no answer, so it may have been carried out. What arrives will show; it won't be "
            "repeated blindly."
        ),
        SyncState.RECEIVING: "Arriving. Keep the app open on the phone, on a stable connection.",
        SyncState.COMPLETE: "Everything that was shared has arrived.",
        SyncState.DECLINED: f"The owner chose not to share the past. New messages work as usual. {_WAY_BACK}",
        SyncState.TOO_LATE: f"The 24 hours for requesting it are over. New messages work as usual. {_WAY_BACK}",
        SyncState.FAILED: "WhatsApp refused the request. It can be tried again while time is left.",
    }
)
_STALLED_ADVICE: Final = (
    "Nothing has arrived for a while. Open the WhatsApp Business app on the phone, keep it open and on a "
    "stable connection; it goes on by itself."
)
_HOLES_ADVICE: Final = "WhatsApp reported the end, but some parts are still on their way. Keep the app open."


def ledger(
    kind: SyncType,
    now: datetime,
    connected_at: datetime,
    requests: Iterable[Request],
    chunks: Iterable[Chunk],
) -> Ledger:
    """The account of one synchronisation, read off its facts; their order and repetition don't matter."""
    asked, came = frozenset(requests), frozenset(chunks)
    content = frozenset(chunk for chunk in came if chunk.code is None)
    deadline = connected_at + DEADLINE
    progress = max((chunk.progress or 0 for chunk in content), default=0)
    phases = _phases(content)
    heard = max((chunk.at for chunk in content), default=None)
    last_sign = max({request.at for request in asked} | {chunk.at for chunk in content}, default=now)
    quiet = now - last_sign
    holes = any(phase.holes for phase in phases)
    if content:
        done = _DONE[kind](progress, holes, quiet)
        state = SyncState.COMPLETE if done else SyncState.RECEIVING
    else:
        state = _before_arrival(now, deadline, asked, came)
    stalled = state in _MOVING and quiet >= STALLED_AFTER
    return Ledger(
        state=state,
        deadline=deadline,
        seconds_left=max(0, int((deadline - now).total_seconds())),
        progress=100 if state is SyncState.COMPLETE else min(progress, 100),
        phases=phases,
        messages=sum(phase.messages for phase in phases),
        last_heard_at=heard,
        stalled=stalled,
        advice=_advice(state, stalled, progress >= 100 and holes),
    )


# Contacts come without an end mark, so a quiet after the first of them is the end. A history has one, but
# it may overtake the last chunks, so gaps keep it open for a day.
_DONE: Final[MappingProxyType[SyncType, Callable[[int, bool, timedelta], bool]]] = MappingProxyType(
    {
        SyncType.CONTACTS: lambda _progress, _holes, quiet: quiet >= STALLED_AFTER,
        SyncType.HISTORY: lambda progress, holes, quiet: progress >= 100 and (not holes or quiet >= SETTLED_AFTER),
    }
)


def _before_arrival(now: datetime, deadline: datetime, asked: frozenset[Request], came: frozenset[Chunk]) -> SyncState:
    """What is known while nothing but answers and errors has come."""
    codes = {request.code for request in asked} | {chunk.code for chunk in came}
    if NOT_SHARED in codes:
        return SyncState.DECLINED
    if ALREADY_REQUESTED in codes or any(request.accepted for request in asked):
        return SyncState.REQUESTED
    # An unanswered request may have been the one that counted, even if a later one was refused as too late.
    if any(request.code is None for request in asked):
        return SyncState.UNKNOWN
    if OUTSIDE_WINDOW in codes or now >= deadline:
        return SyncState.TOO_LATE
    return SyncState.FAILED if asked or came else SyncState.WAITING


def _phases(content: frozenset[Chunk]) -> tuple[Phase, ...]:
    numbers: dict[int, set[int]] = defaultdict(set)
    messages: dict[int, int] = defaultdict(int)
    for chunk in content:
        if chunk.phase is not None:
            messages[chunk.phase] += chunk.messages
            numbers[chunk.phase] |= {chunk.order} if chunk.order is not None else set()
    runs_through = _run_through(numbers)
    below = 0
    phases = []
    for phase in sorted(numbers):
        seen = numbers[phase]
        first = below + 1 if runs_through else min({1} | seen)
        holes = set(range(first, max(seen, default=0))) - seen
        phases.append(Phase(phase, PHASES.get(phase), tuple(sorted(seen)), tuple(sorted(holes)), messages[phase]))
        below = max({below} | seen)
    return tuple(phases)


def _run_through(numbers: dict[int, set[int]]) -> bool:
    """Whether each phase's numbers all lie above those of the phase before."""
    filled = [numbers[phase] for phase in sorted(numbers) if numbers[phase]]
    return all(max(before) < min(after) for before, after in pairwise(filled))


def _advice(state: SyncState, stalled: bool, ended_with_holes: bool) -> str:
    if stalled:
        return _STALLED_ADVICE
    return _HOLES_ADVICE if state is SyncState.RECEIVING and ended_with_holes else _ADVICE[state]
