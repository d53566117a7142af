"""The life of a connection: connecting, connected, offboarded, disconnected.

What is known about a number is a set of facts: ours ("we connected it"), Meta's (`account_update`), and
what polling `is_on_biz_app` shows. They come late, twice and out of order, so the state isn't stepped
along; it is folded anew from all facts, ordered by their own time. Any order and any repetition of the same
facts give the same state.

*Offboarded* is temporary: the phone was changed, or the app reinstalled, and Meta usually brings the number
back by itself within minutes. *Disconnected* is the end of this connection; only connecting again, or Meta
saying so, revives it. A poll that sees the number on the app revives nothing, because the app works on by
itself after a disconnect.

Being disabled by Meta is kept apart from the connection: it lies on top of it and is lifted without
touching it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Connection(StrEnum):
    """The state of a number on this platform."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    OFFBOARDED = "offboarded"
    DISCONNECTED = "disconnected"


class FactKind(StrEnum):
    """What can be known. Upper case is Meta's own spelling of an `account_update` event."""

    OBSERVED_OFF_APP = "observed_off_app"
    OBSERVED_ON_APP = "observed_on_app"
    ACCOUNT_OFFBOARDED = "ACCOUNT_OFFBOARDED"
    ACCOUNT_RECONNECTED = "ACCOUNT_RECONNECTED"
    PARTNER_APP_UNINSTALLED = "PARTNER_APP_UNINSTALLED"
    PARTNER_REMOVED = "PARTNER_REMOVED"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"
    DISABLED_UPDATE = "DISABLED_UPDATE"
    CONNECTED = "connected"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known about a number at `at` (aware).

    `reason` is `disconnection_info.reason`, or for DISABLED_UPDATE the `waba_ban_state`; `initiated_by` is
    USER or SYSTEM where Meta says it.
    """

    at: datetime
    kind: FactKind
    reason: str | None = None
    initiated_by: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Where the number stands, since when, and by which reason; `since` is None before the first fact."""

    state: Connection
    since: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, in the owner's words, and what to do about it."""

    says: str
    do: str


START: Final = State(Connection.CONNECTING)
DISABLED: Final = "DISABLE"
OFF_APP: Final = "observed_off_app"
"""The reason of an offboarding that only polling has seen so far."""

_C = Connection
# event → the state it leads to from each state; a state that isn't named stays.
_LEADS: Final = MappingProxyType(
    {
        FactKind.CONNECTED: dict.fromkeys(Connection, _C.CONNECTED),
        FactKind.ACCOUNT_OFFBOARDED: dict.fromkeys(set(Connection) - {_C.DISCONNECTED}, _C.OFFBOARDED),
        FactKind.ACCOUNT_RECONNECTED: {_C.OFFBOARDED: _C.CONNECTED, _C.DISCONNECTED: _C.CONNECTED},
        FactKind.PARTNER_REMOVED: dict.fromkeys(Connection, _C.DISCONNECTED),
        FactKind.PARTNER_APP_UNINSTALLED: dict.fromkeys(Connection, _C.DISCONNECTED),
        FactKind.ACCOUNT_DELETED: dict.fromkeys(Connection, _C.DISCONNECTED),
        FactKind.OBSERVED_OFF_APP: {_C.CONNECTED: _C.OFFBOARDED},
        FactKind.OBSERVED_ON_APP: {_C.OFFBOARDED: _C.CONNECTED},
        FactKind.DISABLED_UPDATE: {},
    }
)
# In one second the graver event is taken as the later one: a device change that ends in a removal sends
# both. A connection of ours comes last, since signing up again is what answers a removal.
_RANK: Final = MappingProxyType({kind: rank for rank, kind in enumerate(FactKind)})
# A second event about the same end may say more than the first did.
_VAGUE: Final = frozenset({None, OFF_APP, FactKind.PARTNER_APP_UNINSTALLED.value})
_BANS: Final = MappingProxyType({DISABLED: True, "REINSTATE": False})

_REVIEW: Final = "Open Meta's Business Support Home to see why and to ask for a review."
_RECONNECT: Final = "Connect the number again from this platform; chats and contacts kept here stay."
_EXPLANATIONS: Final = MappingProxyType(
    {
        None: Explanation(
            "The number was disconnected in the WhatsApp Business app (Settings > Account > Business Platform).",
            "If that was a mistake, connect the number again. The phone works as before.",
        ),
        "COMPANION_INACTIVITY": Explanation(
            "WhatsApp ended the connection because it wasn't used for about 30 days.",
            _RECONNECT,
        ),
        "PRIMARY_INACTIVITY": Explanation(
            "WhatsApp ended the connection because the app on the phone wasn't opened for about 14 days.",
            f"Open the WhatsApp Business app. {_RECONNECT} Then open the app at least every 13 days.",
        ),
        "CHANGE_NUMBER": Explanation(
            "The phone now uses another number, so the old one was disconnected.",
            "Connect the new number.",
        ),
        "BUSINESS_DOWNGRADE": Explanation(
            "The number was registered in the ordinary WhatsApp app, which can't be connected.",
            f"Register it in the WhatsApp Business app again. {_RECONNECT}",
        ),
        "USER_RE_REGISTERED": Explanation(
            "The number was registered anew on a phone, and the connection wasn't carried over.",
            _RECONNECT,
        ),
        "ACCOUNT_DISCONNECTED": Explanation(
            "The WhatsApp account was deleted, or WhatsApp closed it under its policies.",
            f"Open the app on the phone to see which of the two. {_REVIEW}",
        ),
        DISABLED: Explanation(
            "Meta has disabled this WhatsApp Business account.",
            f"{_REVIEW} Sending resumes when Meta reinstates it.",
        ),
        FactKind.ACCOUNT_OFFBOARDED.value: Explanation(
            "The phone was changed, or the app was installed or registered anew. This is usually temporary: "
            "WhatsApp brings the number back by itself within minutes.",
            "Keep the app open. If it lists formerly connected products, leave this one ticked. "
            "Messages from the gap may be on the phone only.",
        ),
        OFF_APP: Explanation(
            "Meta no longer shows this number as connected to the WhatsApp Business app, and hasn't said why.",
            "Open the app and look at Settings > Account > Business Platform. If it isn't listed there, "
            "connect the number again.",
        ),
        FactKind.PARTNER_APP_UNINSTALLED.value: Explanation(
            "This platform's permission was removed, in the WhatsApp Business app or in Meta Business Settings.",
            _RECONNECT,
        ),
        FactKind.ACCOUNT_DELETED.value: Explanation(
            "The WhatsApp Business account was deleted at Meta.",
            "Connect the number again; that makes a new account.",
        ),
    }
)


def fold(facts: Iterable[Fact]) -> State:
    """The state that these facts add up to, in whatever order and however often they are given."""
    link, ban = START, State(Connection.CONNECTED)
    banned = False
    for fact in sorted(set(facts), key=_order):
        reached = _LEADS[fact.kind].get(link.state)
        if reached is not None and (reached is not link.state or fact.kind is FactKind.CONNECTED):
            link = State(reached, fact.at, _reason(fact, reached))
        elif reached is not None and link.reason in _VAGUE:
            link = replace(link, reason=_reason(fact, reached))
        if fact.kind is FactKind.DISABLED_UPDATE and fact.reason is not None and fact.reason in _BANS:
            banned = _BANS[fact.reason]
            ban = State(Connection.OFFBOARDED, fact.at, DISABLED)
    if banned and link.state is not Connection.DISCONNECTED:
        return ban
    return link


def explain(reason: str | None) -> Explanation:
    """What to tell the owner about an offboarded or disconnected number; None means Disconnect was pressed.

    Meta has no reason for that button (Meta: account_update reference), so its absence is read as the
    button. A reason that is new to us is passed on as it is.
    """
    known = _EXPLANATIONS.get(reason)
    return known or Explanation(f'WhatsApp ended the connection and gave "{reason}" as the reason.', _RECONNECT)


def may_send(state: Connection) -> bool:
    """Whether anything may go out through the API."""
    return state is Connection.CONNECTED


def _order(fact: Fact) -> tuple[datetime, int, str, str]:
    return fact.at, _RANK[fact.kind], fact.reason or "", fact.initiated_by or ""


def _reason(fact: Fact, reached: Connection) -> str | None:
    if reached is Connection.CONNECTED:
        return None
    return fact.reason if fact.kind is FactKind.PARTNER_REMOVED else fact.kind.value
