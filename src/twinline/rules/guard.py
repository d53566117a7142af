"""May this message go out? One answer for inbox, API, automations and campaigns alike.

A message is an `Attempt`, what is known about its number and chat is a `Standing`, and the answer is the
first rule that speaks against it, or None. A refusal names its rule for programs and has two sentences for
people: what stands in the way, and what to do. Rules are asked in the order of the list at the end: first
what can never work, then what doesn't work now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from twinline.rules import capabilities, floor, identity, lifecycle
from twinline.rules import window as windows
from twinline.rules.floor import Verdict
from twinline.rules.lifecycle import Connection
from twinline.rules.window import Window, WindowReason


class Purpose(StrEnum):
    """Why a message is sent; it decides which opt-outs bind it."""

    REPLY = "reply"
    AUTOMATION = "automation"
    UTILITY = "utility"
    AUTHENTICATION = "authentication"
    MARKETING = "marketing"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A message that somebody wants to send.

    `kind` is the Cloud API's `type` ("text", "image", "template" …) or the id of a feature in the
    capability matrix ("status", "calls" …). `text` is the body of a text or interactive message, `caption`
    goes with media; `size` is in bytes and `mime` without parameters, both None for media by link.
    `view_once` and `disappearing` are what an integrator may ask for and never gets.
    """

    kind: str
    recipient: str
    purpose: Purpose = Purpose.REPLY
    text: str | None = None
    caption: str | None = None
    size: int | None = None
    mime: str | None = None
    animated: bool = False
    view_once: bool = False
    disappearing: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known at this moment: the number, the chat's window, the person's opt-out, the floor's verdict.

    `speech` None means that the floor isn't asked (a person presses the button).
    """

    connection: Connection
    window: Window
    opted_out: bool = False
    speech: Verdict | None = None
    disconnect_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message doesn't go out. `rule` is stable and meant for programs, the rest for people."""

    rule: str
    text: str
    what_to_do: str


KB: Final = 1024
MB: Final = 1024 * KB

LENGTHS: Final = MappingProxyType({"text": 4096, "interactive": 1024})
"""Characters allowed in the body, by kind (Meta: messages reference)."""
CAPTION_LENGTH: Final = 1024
CAPTIONED: Final = frozenset({"image", "video", "document"})
"""Kinds that can carry a caption; audio and stickers can't."""

_AUDIO: Final = ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus")
_DOCUMENTS: Final = (
    "text/plain",
    "application/pdf",
    "application/msword",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
)
MEDIA: Final = MappingProxyType(
    {
        "image": (5 * MB, ("image/jpeg", "image/png")),
        "video": (16 * MB, ("video/mp4", "video/3gpp")),
        "audio": (16 * MB, _AUDIO),
        "document": (100 * MB, _DOCUMENTS),
        "sticker": (100 * KB, ("image/webp",)),
        "animated sticker": (500 * KB, ("image/webp",)),
    }
)
"""Kind → largest size in bytes and accepted formats (Meta: media reference, supported media types)."""

_NEEDS_TEXT: Final = frozenset({"text", "interactive"})
_CHOOSE_OTHER: Final = "Choose another recipient."


def guard(attempt: Attempt, standing: Standing) -> Refusal | None:
    """The first rule that speaks against this message, or None if it may go out."""
    refusals = (rule(attempt, standing) for rule in _RULES)
    return next((refusal for refusal in refusals if refusal is not None), None)


def _capability(attempt: Attempt, _: Standing) -> Refusal | None:
    features = (
        attempt.kind,
        "groups" if identity.is_group(attempt.recipient) else "",
        "status" if attempt.recipient == "status@broadcast" else "",
        "broadcast_lists" if attempt.recipient.endswith("@broadcast") else "",
        "view_once" if attempt.view_once else "",
        "disappearing_messages" if attempt.disappearing else "",
    )
    for feature in features:
        told = capabilities.refusal(feature)
        if told is not None:
            return Refusal(f"capability.{feature}", told, "Do it in the WhatsApp Business app on the phone.")
    return None


def _recipient(attempt: Attempt, _: Standing) -> Refusal | None:
    if attempt.recipient.strip():
        return None
    return Refusal("recipient.missing", "This message has no recipient.", _CHOOSE_OTHER)


def _body(attempt: Attempt, _: Standing) -> Refusal | None:
    text = attempt.text or ""
    if attempt.kind in _NEEDS_TEXT and not text.strip():
        return Refusal("text.empty", "The message is empty.", "Write something first.")
    return _too_long("text", "message", text, LENGTHS.get(attempt.kind))


def _caption(attempt: Attempt, _: Standing) -> Refusal | None:
    if not attempt.caption:
        return None
    if attempt.kind in MEDIA and attempt.kind not in CAPTIONED:
        return Refusal(
            "caption.impossible",
            f"WhatsApp shows no caption with {_a(attempt.kind)}.",
            "Send the text as a message of its own.",
        )
    return _too_long("caption", "caption", attempt.caption, CAPTION_LENGTH)


def _media(attempt: Attempt, _: Standing) -> Refusal | None:
    kind = "animated sticker" if attempt.kind == "sticker" and attempt.animated else attempt.kind
    largest, formats = MEDIA.get(kind, (None, ()))
    if largest is None:
        return None
    if attempt.mime is not None and attempt.mime.lower() not in formats:
        return Refusal(
            "media.format",
            f"WhatsApp doesn't accept {attempt.mime} as {_a(kind)}.",
            f"Use one of: {', '.join(formats)}.",
        )
    if attempt.size is not None and attempt.size > largest:
        return Refusal(
            "media.size",
            f"The file has {_bytes(attempt.size)}; WhatsApp allows {_bytes(largest)} for {_a(kind)}.",
            "Make it smaller, or send it as a document.",
        )
    if attempt.size == 0:
        return Refusal("media.empty", "The file is empty.", "Choose another file.")
    return None


def _number(_: Attempt, standing: Standing) -> Refusal | None:
    if lifecycle.may_send(standing.connection):
        return None
    if standing.connection is Connection.CONNECTING:
        return Refusal(
            "number.connecting",
            "This number isn't connected yet.",
            "Finish connecting it on the number's page; the phone can write meanwhile.",
        )
    told = lifecycle.explain(standing.disconnect_reason)
    return Refusal(f"number.{standing.connection}", told.says, told.do)


def _opt_out(attempt: Attempt, standing: Standing) -> Refusal | None:
    if attempt.purpose is not Purpose.MARKETING or not standing.opted_out:
        return None
    return Refusal(
        "opted_out",
        "This person has stopped marketing messages from you.",
        "Leave them out. Answers and service messages are still possible.",
    )


def _window(attempt: Attempt, standing: Standing) -> Refusal | None:
    if attempt.kind == "template" or standing.window.open:
        return None
    reason = standing.window.reason
    what = "Connect the number." if reason is WindowReason.NOT_CONNECTED else "Choose a template, or use the phone."
    return Refusal(f"window.{reason}", windows.text(reason), what)


def _floor(_: Attempt, standing: Standing) -> Refusal | None:
    if standing.speech is None or standing.speech.allowed:
        return None
    why = standing.speech.why
    return Refusal(f"floor.{why}", floor.says(why), "Wait until they hand the chat back, or take it over yourself.")


_RULES: Final[tuple[Callable[[Attempt, Standing], Refusal | None], ...]] = (
    _capability,
    _recipient,
    _body,
    _caption,
    _media,
    _number,
    _opt_out,
    _window,
    _floor,
)


def _too_long(rule: str, what: str, text: str, limit: int | None) -> Refusal | None:
    if limit is None or len(text) <= limit:
        return None
    return Refusal(
        f"{rule}.too_long",
        f"The {what} has {len(text)} characters; WhatsApp allows {limit}.",
        "Shorten it, or send it in parts.",
    )


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _bytes(size: int) -> str:
    return f"{size / MB:.1f} MB" if size >= MB else f"{size / KB:.0f} KB"
