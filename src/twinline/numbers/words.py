"""What the pages say about a number, in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from twinline.numbers.models import Notice, Number, Onboarding
from twinline.rules import lifecycle, outcomes
from twinline.rules.lifecycle import Connection
from twinline.rules.outcomes import Binds, Scope, Way
from twinline.rules.sync import SyncState
from twinline.sending.stops import Standing

# Meta ends a connection after about 14 days of an unused phone (account_update: PRIMARY_INACTIVITY).
QUIET_PHONE = timedelta(days=10)
TOKEN_ENDS_SOON = timedelta(days=7)

TONES = {
    Connection.CONNECTING: ("info", "Connecting"),
    Connection.CONNECTED: ("ok", "Connected"),
    Connection.OFFBOARDED: ("warn", "Interrupted"),
    Connection.DISCONNECTED: ("danger", "Disconnected"),
}

SYNC_TONES = {
    SyncState.WAITING: ("", "Not requested"),
    SyncState.REQUESTED: ("info", "Requested"),
    SyncState.UNKNOWN: ("warn", "Unanswered"),
    SyncState.RECEIVING: ("info", "Arriving"),
    SyncState.COMPLETE: ("ok", "Complete"),
    SyncState.DECLINED: ("", "Not shared"),
    SyncState.TOO_LATE: ("warn", "Too late"),
    SyncState.FAILED: ("danger", "Refused"),
}

_EVENTS = {
    "connected": "Connected to this platform",
    "observed_on_app": "Meta shows the number on the app",
    "observed_off_app": "Meta doesn't show the number on the app",
    "ACCOUNT_OFFBOARDED": "Interrupted: the phone or its app changed",
    "ACCOUNT_RECONNECTED": "Reconnected by WhatsApp",
    "PARTNER_ADDED": "Shared with this platform",
    "PARTNER_APP_INSTALLED": "Permission given",
    "PARTNER_APP_UNINSTALLED": "Permission removed",
    "PARTNER_REMOVED": "Disconnected",
    "ACCOUNT_DELETED": "The WhatsApp Business account was deleted",
    "ACCOUNT_RESTRICTION": "Meta has restricted the account",
    "ACCOUNT_VIOLATION": "Meta reports a breach of its policies",
    "DISABLED_UPDATE": "Meta has changed whether the account is disabled",
}

STEPS = (
    ("exchange", "Permission received from Meta"),
    ("resolve", "Finding the number"),
    ("subscribe", "Subscribing to its messages"),
    ("sync", "Requesting contacts and history"),
)


@dataclass(frozen=True, slots=True)
class Banner:
    tone: str
    title: str
    text: str
    action: str = ""  # where the button leads, and what it says; empty: nothing to press here
    verb: str = ""


def state(number: Number) -> tuple[str, str]:
    """A badge: tone and word."""
    return TONES[Connection(number.state)]


def banners(number: Number, now: datetime) -> list[Banner]:
    """What the owner should know about the connection: what happened, and what to do."""
    found = []
    if number.state in (Connection.OFFBOARDED, Connection.DISCONNECTED):
        because = lifecycle.explain(number.state_reason)
        tone, _ = state(number)
        page = f"/numbers/connect?phone=%2B{number.display_phone}"
        again = (page, "Connect again") if number.state == Connection.DISCONNECTED else ("", "")
        found.append(Banner(tone, because.says, because.do, *again))
    # Connecting is confirmed on the phone, or at Meta: what it wrote before that tells nothing of its silence.
    quiet = now - max(number.phone_seen_at or now, number.connected_at or now)
    if number.state == Connection.CONNECTED and quiet > QUIET_PHONE:
        says = (
            "WhatsApp ends the connection after about 14 days without use. Open the WhatsApp Business app on the phone."
        )
        found.append(Banner("phone", f"The phone hasn't been seen for {quiet.days} days", says))
    if number.token is None:
        says = "Messages that arrive are kept, but nothing can be sent. Paste a token, or connect the number."
        found.append(Banner("warn", "No token", says, "/numbers/add", "Paste a token"))
    elif number.token_expires_at and number.token_expires_at - now < TOKEN_ENDS_SOON:
        over = number.token_expires_at <= now
        title = "The token has expired" if over else "The token expires within a week"
        says = "Paste a new one, or connect the number again. Chats and contacts stay."
        found.append(Banner("danger" if over else "warn", title, says, "/numbers/add", "Paste a token"))
    return found


def wants_token(one: Standing) -> bool:
    """Whether a new token ends it."""
    return one.code is not None and Way.TOKEN in outcomes.outcome(one.code).resumes


def stands_still(one: Standing) -> str:
    """What a stop stops, in a line."""
    if one.scope is Scope.TEMPLATE:
        name, _, language = one.key.rpartition("/")
        whose = ", when a machine sends it" if one.binds is Binds.MACHINES else ""
        return f"The template {name} ({language}){whose}"
    whole = {
        Scope.ACCOUNT: "all numbers of this account",
        Scope.APP: "everything that this platform's app sends",
    }.get(one.scope, "this number")
    if one.binds is Binds.CAMPAIGNS:
        return f"Campaigns of {whole}"
    return f"Sending from {whole}" if one.scope is not Scope.APP else whole.capitalize()


def event(notice: Notice) -> str:
    """A notice in a line."""
    name = str(notice.value.get("event") or notice.field)
    return _EVENTS.get(name, name.replace("_", " ").capitalize())


def steps(onboarding: Onboarding) -> list[tuple[str, str]]:
    """The steps of connecting with how each stands: ok, wait, fail or todo."""
    order = [step for step, _ in STEPS]
    reached = len(order) if onboarding.step == "done" else order.index(onboarding.step)
    here = "fail" if onboarding.problem else "wait"
    return [
        ("ok" if place < reached else here if place == reached else "todo", title)
        for place, (_, title) in enumerate(STEPS)
    ]
