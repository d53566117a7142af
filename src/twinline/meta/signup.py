"""The Embedded Signup popup: what opens it, and what it tells the page that opened it.

The popup ends in a window message. For a number that stays on the phone it is
`FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING`, documented with a `waba_id` only, so `phone_number_id` is never
counted on. A plain `FINISH` means that the popup fell through to the ordinary flow, for numbers that leave
the phone: that is said to the owner, and nothing is registered (Meta: Embedded Signup, implementation and
flow errors).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

FEATURE_TYPE: Final = "whatsapp_business_app_onboarding"
_MESSAGE: Final = "WA_EMBEDDED_SIGNUP"
_COEXISTENCE: Final = "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING"

CANCEL_STEPS: Final = MappingProxyType(
    {
        "BUSINESS_ACCOUNT_SELECTION": "choosing the business",
        "WABA_PHONE_PROFILE_PICKER": "choosing the WhatsApp account",
        "WHATSAPP_BUSINESS_PROFILE_SETUP": "filling in the business profile",
        "PHONE_NUMBER_SETUP": "entering the number",
        "PHONE_NUMBER_VERIFICATION": "verifying the number",
        "PERMISSIONS": "granting the permissions",
    }
)
"""Where an owner can leave the popup, in words (Meta: Embedded Signup flow errors)."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The number was connected and stays on the phone. The number's id is a hint, if it is there at all."""

    waba_id: str
    phone_number_id: str | None = None


@dataclass(frozen=True, slots=True)
class FellThrough:
    """The popup finished the ordinary flow instead of the shared one; `event` says in which variant."""

    event: str
    waba_id: str | None = None
    phone_number_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The owner left the popup at `step`, or reported an error in it; then `session_id` is for Meta's
    support.
    """

    step: str | None = None
    error_message: str | None = None
    error_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The popup failed, or said something that isn't known here."""

    error_message: str
    error_id: str | None = None
    session_id: str | None = None


SignupResult = Finished | FellThrough | Cancelled | Failed


def parse(message: str | bytes | Mapping[str, Any]) -> SignupResult | None:
    """The outcome of the popup, from its message as text or as an object; None if it isn't the popup's at
    all.

    Never raises: other scripts post messages to the window too, in any shape.
    """
    if isinstance(message, str | bytes):
        try:
            decoded = msgspec.json.decode(message)
        except (msgspec.DecodeError, UnicodeError):
            return None
        if not isinstance(decoded, dict):
            return None
        message = decoded
    if message.get("type") != _MESSAGE:
        return None
    event = str(message.get("event") or "").upper()
    data = message.get("data")
    return _read(event, data if isinstance(data, Mapping) else {})


def login_options(
    config_id: str,
    feature_type: str = FEATURE_TYPE,
    session_info_version: str = "3",
    extras: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The options of `FB.login`.

    How version 4 of the popup is asked for a shared number is where Meta's pages disagree, so everything is
    a value: an empty `feature_type` or `session_info_version` is left out, and `extras` has the last word
    on each member.
    """
    asked = {"featureType": feature_type, "sessionInfoVersion": session_info_version}
    return {
        "config_id": config_id,
        "response_type": "code",
        "override_default_response_type": True,
        "extras": {
            "setup": {},
            **{name: value for name, value in asked.items() if value},
            **(extras or {}),
        },
    }


def _read(event: str, data: Mapping[str, Any]) -> SignupResult:
    waba_id, phone_number_id = _text(data, "waba_id"), _text(data, "phone_number_id")
    error_id, session_id = _text(data, "error_id", "error_code"), _text(data, "session_id")
    told = _text(data, "error_message")
    if event == _COEXISTENCE:
        if waba_id is None:
            return Failed("The popup finished without naming the account.", error_id, session_id)
        return Finished(waba_id, phone_number_id)
    if event.startswith("FINISH"):
        return FellThrough(event, waba_id, phone_number_id)
    if event == "CANCEL":
        return Cancelled(_text(data, "current_step"), told, error_id, session_id)
    if event == "ERROR":
        return Failed(told or "The popup failed and gave no reason.", error_id, session_id)
    return Failed(told or f'The popup ended with "{event}", which isn\'t known here.', error_id, session_id)


def _text(data: Mapping[str, Any], *names: str) -> str | None:
    """The first of these members that holds an id or a text."""
    values = (data.get(name) for name in names)
    return next((str(value) for value in values if isinstance(value, str | int) and str(value)), None)
