"""May this message go out? One answer for inbox, API, automations and campaigns alike.

A message is an `Attempt`, what is known about its number and chat is a `Standing`, and the answer is the
first rule that speaks against it, or None. A refusal names its rule for programs and has two sentences for
people: what stands in the way, and what to do. Rules are asked in the order of the list at the end: first
what can never work, then what doesn't work now.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from twinline.rules import capabilities, floor, identity, lifecycle, messages, outcomes
from twinline.rules import window as windows
from twinline.rules.consent import FREE, Consent
from twinline.rules.floor import Verdict
from twinline.rules.lifecycle import Connection
from twinline.rules.refusal import Refusal
from twinline.rules.window import Window, WindowReason

__all__ = ["Attempt", "Purpose", "Refusal", "Standing", "guard"]


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
    capability matrix ("status", "calls" …); `text`, `content` and `quoted` are as in `rules.messages`.
    `view_once` and `disappearing` are what an integrator may ask for and never gets.
    """

    kind: str
    recipient: str
    purpose: Purpose = Purpose.REPLY
    text: str | None = None
    content: Mapping[str, Any] | None = None
    quoted: str | None = None
    view_once: bool = False
    disappearing: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known at this moment: the number, the chat's window, the person's consent, the floor's verdict.

    `speech` None means that the floor isn't asked (a person presses the button). `capped`: Meta withheld a
    marketing message from this person less than a day ago; `unreachable`: the last messages couldn't be
    delivered to them. `phone` is the number's own.
    """

    connection: Connection
    window: Window
    consent: Consent = FREE
    capped: bool = False
    unreachable: bool = False
    speech: Verdict | None = None
    disconnect_reason: str | None = None
    phone: str = ""


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
    for name in features:
        feature = capabilities.refused(name)
        if feature is not None:
            return Refusal(f"capability.{feature.id}", feature.error or "", feature.what_to_do or "")
    return None


def _recipient(attempt: Attempt, standing: Standing) -> Refusal | None:
    if not attempt.recipient.strip():
        return Refusal("recipient.missing", "This message has no recipient.", _CHOOSE_OTHER)
    if not identity.is_address(attempt.recipient):
        return Refusal(
            "recipient.impossible",
            f"“{attempt.recipient}” is neither a phone number nor a business-scoped user id.",
            "Give the number with its country code (+34 600 111 222), or an id like ES.13491208655302741918.",
        )
    own = identity.phone_key(standing.phone) if standing.phone else None
    if not identity.is_user_id(attempt.recipient) and identity.phone_key(attempt.recipient) == own:
        return Refusal("recipient.itself", "A number can't write to itself.", _CHOOSE_OTHER)
    return None


def _message(attempt: Attempt, _: Standing) -> Refusal | None:
    return messages.problem(attempt.kind, attempt.text, attempt.content, attempt.quoted)


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


def _consent(attempt: Attempt, standing: Standing) -> Refusal | None:
    return standing.consent.refusal if attempt.purpose is Purpose.MARKETING else None


def _capped(attempt: Attempt, standing: Standing) -> Refusal | None:
    if attempt.purpose is not Purpose.MARKETING or not standing.capped:
        return None
    withheld = outcomes.outcome(131049)
    return Refusal("capped", withheld.says, withheld.do)


def _unreachable(attempt: Attempt, standing: Standing) -> Refusal | None:
    """Machines give up; a person may know better, and try."""
    if attempt.purpose is Purpose.REPLY or not standing.unreachable:
        return None
    return Refusal(
        "unreachable", "The last messages to this person couldn't be delivered.", outcomes.outcome(131026).do
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
    _message,
    _number,
    _consent,
    _capped,
    _unreachable,
    _window,
    _floor,
)
