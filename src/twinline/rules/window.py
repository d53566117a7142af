"""The 24-hour customer service window.

Free-form messages may go out through the API only for 24 hours after the customer last wrote or called, and on
a number shared with a phone only what came *after* the number was connected counts. What the
owner types on the phone and what the first synchronisation brings in never open, extend or touch it (Meta:
Onboard WhatsApp Business app users). Outside it only approved templates go out.

A closed window isn't an error but an answer, so it comes with its reason.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

LENGTH: Final = timedelta(hours=24)


class WindowReason(StrEnum):
    """Why the window is open or closed."""

    OPEN = "open"
    NEVER_WROTE = "never_wrote"
    WROTE_BEFORE_CONNECT = "wrote_before_connect"
    EXPIRED = "expired"
    ONLY_PHONE_ANSWERED = "only_phone_answered"
    NOT_CONNECTED = "not_connected"


@dataclass(frozen=True, slots=True)
class Window:
    """`until` is when an open window closes, or when an expired one closed; None if there never was one."""

    open: bool
    reason: WindowReason
    until: datetime | None


NON_OPENING: Final = MappingProxyType(
    {
        "system": "WhatsApp reports a change of number or identity; the customer said nothing",
        "edit": "it corrects an earlier message, which opened the window when it came",
        "revoke": "it takes an earlier message back",
        "request_welcome": "the customer opened the chat but hasn't written yet",
    }
)
"""Inbound message types that don't open the window, each with the why."""

_TEXTS: Final = MappingProxyType(
    {
        WindowReason.OPEN: "The customer wrote or called in the last 24 hours, so you can answer freely.",
        WindowReason.NEVER_WROTE: (
            "This customer hasn't written yet. From here you can only send an approved template; "
            "your phone can write freely."
        ),
        WindowReason.WROTE_BEFORE_CONNECT: (
            "This customer wrote before the number was connected, and messages from that time don't count. "
            "From here you can only send an approved template; your phone can answer freely."
        ),
        WindowReason.EXPIRED: (
            "More than 24 hours have passed since the customer last wrote or called. From here you can only send an "
            "approved template; your phone can answer freely."
        ),
        WindowReason.ONLY_PHONE_ANSWERED: (
            "Since the number was connected only your phone has written in this chat, and that opens nothing "
            "here. Send an approved template, or go on from the phone."
        ),
        WindowReason.NOT_CONNECTED: "This number isn't connected, so nothing can be sent from here.",
    }
)


def opens(message_type: str) -> bool:
    """Whether an inbound message of this type, arriving live, opens the window or starts it anew."""
    return message_type not in NON_OPENING


def window(
    now: datetime,
    connected_at: datetime | None,
    last_live_inbound_at: datetime | None,
    last_customer_at: datetime | None,
    last_phone_reply_at: datetime | None,
) -> Window:
    """Whether free-form messages may go out through the API in this chat, why, and until when.

    All times are aware. `last_live_inbound_at` is the customer's newest live message or call that `opens`
    the window; `last_customer_at` is their newest message from any source, imports included;
    `last_phone_reply_at` is the newest message typed on the phone. It is open from the message on, and
    closed at exactly 24 hours.
    """
    if connected_at is None:
        return Window(False, WindowReason.NOT_CONNECTED, None)
    # WhatsApp stamps messages in whole seconds: one written in the second of connecting came after it, else
    # it wouldn't have come live.
    start = connected_at.replace(microsecond=0)
    if last_live_inbound_at is not None and last_live_inbound_at >= start:
        until = last_live_inbound_at + LENGTH
        still_open = now < until
        return Window(still_open, WindowReason.OPEN if still_open else WindowReason.EXPIRED, until)
    if last_phone_reply_at is not None and last_phone_reply_at >= start:
        return Window(False, WindowReason.ONLY_PHONE_ANSWERED, None)
    if last_customer_at is not None or last_live_inbound_at is not None:
        return Window(False, WindowReason.WROTE_BEFORE_CONNECT, None)
    return Window(False, WindowReason.NEVER_WROTE, None)


def text(reason: WindowReason) -> str:
    """The reason as a sentence for the person at the composer, with what they can do."""
    return _TEXTS[reason]
