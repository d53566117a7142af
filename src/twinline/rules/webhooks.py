"""Outgoing webhooks: what can be told, how it is signed (standardwebhooks.com), when it is tried again."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "message.received": "A customer has written",
        "message.echoed": "Somebody has written on the phone",
        "message.sent": "WhatsApp has taken a message that was sent from here",
        "message.status": "A message was sent, delivered, read, or failed",
        "message.edited": "A message was edited, by the customer or on the phone",
        "message.revoked": "A message was deleted for everyone",
        "contact.updated": "A contact's name, tags or fields changed, or two turned out to be one",
        "chat.updated": "A chat was assigned, or somebody else has the floor",
        "consent.changed": "A customer wants marketing, or no more of it",
        "number.updated": "A number was connected or disconnected, or something stands still",
        "template.updated": "A template's state, quality or category changed",
        "campaign.updated": "A campaign was planned, started, paused or stopped",
        "campaign.finished": "A campaign is done, with its results",
        "campaign.recipient": "What became of each person of a campaign: one event a step",
    }
)
"""What can be told, and when it is."""

AT_FIRST: Final = ("message.received", "message.echoed", "message.sent", "message.status")
TEST: Final = "webhook.test"

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
OVERLAP: Final = timedelta(hours=24)
"""How long the secret before the newest signs too."""

WAITS: Final = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1800, 3600))
"""Between a failed try and the next; the last one over and over."""
LONGEST_ASKED: Final = timedelta(days=1)
GIVE_UP: Final = timedelta(days=3)
"""After the first try of a delivery no other begins."""
STOP_AFTER: Final = timedelta(days=5)
"""An endpoint that took nothing for so long is stopped."""
GONE: Final = 410


def wait(tries: int, asked: timedelta | None = None) -> timedelta:
    """How long to wait after so many failed tries; ``asked``: for how long the receiver wants to be left alone."""
    own = WAITS[min(tries, len(WAITS)) - 1]
    return max(own, min(asked, LONGEST_ASKED)) if asked is not None else own


def delivered(status: int) -> bool:
    return 200 <= status < 300


def secret(random: bytes) -> str:
    """As receivers know it. ``random``: SECRET_BYTES of chance."""
    return PREFIX + base64.b64encode(random).decode()


def headers(secrets: Sequence[str], key: str, at: datetime, body: bytes) -> dict[str, str]:
    """By which a receiver knows that this comes from here. ``key`` is the same for every try, ``at`` is this one's."""
    timestamp = int(at.timestamp())
    return {
        "webhook-id": key,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secrets, key, timestamp, body),
    }


def signature(secrets: Sequence[str], key: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one signature for each secret. ``timestamp``: unix seconds of the try."""
    signed = b"%s.%d.%s" % (key.encode(), timestamp, body)
    return " ".join(
        "v1,"
        + base64.b64encode(
            hmac.new(base64.b64decode(one.removeprefix(PREFIX)), signed, hashlib.sha256).digest()
        ).decode()
        for one in secrets
    )
