"""What the pages say of campaigns: states, reasons and durations in words."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from twinline.campaigns.planning import Plan
from twinline.campaigns.views import Message, Person, Reason
from twinline.costs.models import rounded
from twinline.kit.phones import shown_phone
from twinline.rules import funnel, outcomes
from twinline.rules.campaigns import Recipient, State

STATES: Final[Mapping[State, tuple[str, str]]] = MappingProxyType(
    {
        State.DRAFT: ("Draft", ""),
        State.PLANNING: ("Planning", "info"),
        State.PLANNED: ("Planned", "info"),
        State.SCHEDULED: ("Scheduled", "info"),
        State.RUNNING: ("Running", "ok"),
        State.PAUSED: ("Paused", "warn"),
        State.HELD: ("Waiting", "warn"),
        State.STOPPED: ("Stopped itself", "danger"),
        State.CANCELLED: ("Cancelled", ""),
        State.FINISHED: ("Finished", "ok"),
    }
)
"""A campaign's state: its word and its tone."""

GROUPS: Final = MappingProxyType(
    {"": "All", "draft": "Drafts", "scheduled": "Scheduled", "running": "Running", "over": "Over"}
)

RECIPIENTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        Recipient.PLANNED: ("Waiting", ""),
        Recipient.SKIPPED: ("Left out", "warn"),
        Recipient.QUEUED: ("Next in line", "info"),
        Recipient.SENDING: ("Being sent", "info"),
        Recipient.SENT: ("Sent", "info"),
        Recipient.DELIVERED: ("Delivered", "ok"),
        Recipient.READ: ("Read", "ok"),
        Recipient.REPLIED: ("Replied", "ok"),
        Recipient.FAILED: ("Failed", "danger"),
        Recipient.IN_DOUBT: ("In doubt", "warn"),
        Recipient.UNKNOWN: ("Unknown", "warn"),
        Recipient.HELD: ("Held", "warn"),
        Recipient.CANCELLED: ("Cancelled", ""),
    }
)

SHOWN: Final = MappingProxyType(
    {
        "": "Everybody",
        "waiting": "Waiting",
        "sent": "Sent",
        "delivered": "Delivered",
        "read": "Read",
        "replied": "Replied",
        "failed": "Failed",
        "doubtful": "In doubt",
        "cancelled": "Cancelled",
        "skipped": "Left out",
    }
)


def reason(code: str, says: str = "") -> str:
    """Why somebody is in their state: the sentence that was kept with it, else what the code means."""
    if says or not code:
        return says
    if code.isdigit():
        return outcomes.outcome(int(code)).says
    return funnel.reason_of(code).title


def cause(one: Reason) -> str:
    """Why people are in a state: what is true of all of them, where each has a sentence of their own."""
    if one.people > 1 and one.reason in funnel.REASONS:
        return funnel.REASONS[one.reason].title
    return reason(one.reason, one.says)


def who(one: Person | Message) -> str:
    """Name and number, as far as they are known."""
    shown = shown_phone(one.phone) if one.phone else one.bsuid or ""
    return f"{one.name} · {shown}" if one.name and shown else one.name or shown or "Somebody"


def money(amount: Decimal | str | None, currency: str | None, unknown: int = 0) -> str:
    """``unknown``: for how many more nobody knows the rate."""
    known = Decimal(amount or 0)
    if unknown and not known:
        return "unknown"
    if not known:
        return "nothing"
    return f"about {currency or ''} {rounded(known)}".replace("  ", " ") + (" and more" if unknown else "")


def cost(plan: Plan) -> str:
    return money(plan.total, plan.currency, plan.unknown)


def lasts(seconds: float) -> str:
    """A duration as people say it: two units at most."""
    if seconds < 1:
        return "less than a second"
    left, found = round(seconds), []
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count:
            found.append(f"{count} {name}{'' if count == 1 else 's'}")
        elif found:
            break
        if len(found) == 2:
            break
    return " ".join(found)


def percent(share: float | None) -> str:
    """Without places from ten on, with one below; a dash for a share of nothing."""
    if share is None:
        return "–"
    value = 100 * share
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"
