"""Meta's errors as data, and the two shapes they come in.

Texts follow Meta's error code page; the HTTP status of a code differs between Meta's own tables, so a client
should branch on the code. ``GUESS`` in a comment marks what no source states.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HREF = "https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes"


@dataclass(frozen=True)
class Spec:
    """``status``: HTTP status when answered to a call. ``details``: the default ``error_data.details``."""

    status: int
    title: str
    details: str = ""
    transient: bool = False


CATALOGUE: dict[int, Spec] = {
    0: Spec(401, "AuthException", "We were unable to authenticate the app user."),
    1: Spec(400, "API Unknown", "Invalid request or possible server error.", transient=True),
    2: Spec(503, "API Service", "Temporary due to downtime or due to being overloaded.", transient=True),
    3: Spec(500, "API Method", "Capability or permissions issue."),
    4: Spec(400, "API Too Many Calls", "The app has reached its API call rate limit.", transient=True),
    10: Spec(403, "Permission Denied", "Permission is either not granted or has been removed."),
    33: Spec(400, "Parameter value is not valid", "The business phone number has been deleted."),
    100: Spec(400, "Invalid parameter", "The request included one or more unsupported or misspelled parameters."),
    190: Spec(401, "Invalid OAuth access token - Cannot parse access token"),
    200: Spec(403, "API Permission", "Permission is either not granted or has been removed."),
    368: Spec(403, "Temporarily blocked for policies violations", "The account was restricted or disabled."),
    2200: Spec(400, "Callback verification failed"),
    80007: Spec(400, "Rate limit issues", "The WhatsApp Business Account has reached its rate limit.", transient=True),
    130429: Spec(
        429,
        "Rate limit hit",
        "Message failed to send because there were too many messages sent from this phone number in a short period"
        " of time",
    ),
    130472: Spec(400, "User's number is part of an experiment", "Message was not sent, as part of an experiment."),
    130497: Spec(403, "Business account is restricted from messaging users in this country."),
    131000: Spec(500, "Something went wrong", "Message failed to send due to an unknown error.", transient=True),
    131005: Spec(403, "Access denied", "Permission is either not granted or has been removed."),
    131008: Spec(400, "Required parameter is missing", "The request is missing a required parameter."),
    131009: Spec(400, "Parameter value is not valid", "One or more parameter values are invalid."),
    131016: Spec(500, "Service unavailable", "A service is temporarily unavailable.", transient=True),
    131021: Spec(400, "Recipient cannot be sender", "Sender and recipient phone number is the same."),
    131026: Spec(400, "Message undeliverable", "Message Undeliverable."),
    131030: Spec(400, "Recipient phone number not in allowed list"),
    131031: Spec(403, "Account has been locked", "The account has been restricted or disabled."),
    131037: Spec(400, "WhatsApp provided number needs display name approval before message can be sent."),
    131042: Spec(400, "Business eligibility payment issue", "There was an error related to your payment method."),
    131045: Spec(500, "Incorrect certificate", "Message failed to send due to a phone number registration error."),
    131047: Spec(
        400,
        "Re-engagement message",
        "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
    ),
    131048: Spec(400, "Spam rate limit hit", "Too many messages from this number were blocked or flagged as spam."),
    131049: Spec(
        400,
        "This message was not delivered to maintain healthy ecosystem engagement.",
        "In order to maintain a healthy ecosystem engagement, the message failed to be delivered.",
    ),
    131050: Spec(
        400,
        "User has stopped marketing messages from this business",
        "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on WhatsApp"
        " from your business",
    ),
    131051: Spec(400, "Message type unknown", "Message type is currently not supported."),
    131052: Spec(400, "Media download error", "Unable to download the media sent by the user."),
    131053: Spec(400, "Media upload error", "Unable to upload the media used in the message."),
    131055: Spec(400, "Method not allowed"),
    131056: Spec(
        400,
        "(Business Account, Consumer Account) pair rate limit hit",
        "Message failed to send because there were too many messages sent from this phone number to the same phone"
        " number in a short period of time.",
    ),
    131057: Spec(503, "Account in maintenance mode", "Business Account is in maintenance mode", transient=True),
    131060: Spec(400, "This message is currently unavailable.", "This message is currently unavailable."),
    131062: Spec(400, "Business-scoped user ID is not supported for this message"),
    131063: Spec(400, "Marketing messages are disabled", "Marketing templates can't be sent by the Cloud API."),
    131064: Spec(400, "Messaging limit reached because of template misclassification"),
    132000: Spec(400, "Number of parameters does not match the expected number of params"),
    132001: Spec(404, "Template name does not exist in the translation", "Template does not exist."),
    132005: Spec(400, "Translated text too long"),
    132007: Spec(400, "Template format character policy violated"),
    132008: Spec(400, "Parameter value is not valid for the template"),
    132012: Spec(400, "Parameter format does not match format in the created template"),
    132015: Spec(400, "Template is paused", "Template is paused due to low quality."),
    132016: Spec(400, "Template is disabled", "Template has been paused too many times due to low quality."),
    132018: Spec(400, "Template parameters are not valid"),
    132068: Spec(400, "Flow is blocked"),
    132069: Spec(400, "Flow is throttled"),
    133004: Spec(503, "Server temporarily unavailable", transient=True),
    133005: Spec(400, "Two step verification PIN mismatch"),
    133010: Spec(
        400, "Account not registered", "The sender's phone number is not registered on the WhatsApp Business Platform."
    ),
    133016: Spec(400, "Account register deregister rate limit exceeded"),
    134101: Spec(400, "Template is still syncing"),
    135000: Spec(400, "Generic user error", "Message failed to send because of an unknown error with the parameters."),
    137000: Spec(400, "Identity key hash mismatch"),
    2494100: Spec(400, "Account in maintenance mode", transient=True),
    2593107: Spec(
        400,
        "Synchronization Request limit exceeded",
        "Synchronization request was already made for this sync type since the number was onboarded",
    ),
    2593108: Spec(
        400,
        "Synchronization Request made outside of allowed time window",
        "Synchronization request can only be made within 24 hours of onboarding",
    ),
    2593109: Spec(
        400,
        "History sync is turned off by the business from the WhatsApp Business App",
        "History sharing is turned off by the business",
    ),
}

# GUESS: what a send answers while the number is offboarded or disconnected isn't documented; 133010 is the likeliest.
NOT_ON_PLATFORM = 133010
NO_SUCH_OBJECT = 33  # error_subcode of code 100


@dataclass
class GraphError(Exception):
    """An error answered to a Graph call."""

    code: int
    details: str = ""
    message: str = ""
    subcode: int | None = None
    status: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def http_status(self) -> int:
        return self.status or spec(self.code).status

    def body(self, trace: str) -> dict[str, Any]:
        known = spec(self.code)
        message = self.message or (known.title if self.code in (190, 0) else f"(#{self.code}) {known.title}")
        error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": self.code}
        if known.transient:
            error["is_transient"] = True
        details = self.details or ("" if self.subcode else known.details)
        if details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": {**error, **self.extra, "fbtrace_id": trace}}


def spec(code: int) -> Spec:
    return CATALOGUE.get(code) or Spec(400, "Unknown error", "Unknown error")


def in_webhook(code: int, *, href: bool = True) -> dict[str, Any]:
    """The error object inside a webhook (status ``failed``, ``unsupported`` messages, declined history)."""
    known = spec(code)
    error: dict[str, Any] = {
        "code": code,
        "title": known.title,
        "message": known.title,
        "error_data": {"details": known.details or known.title},
    }
    if href:
        error["href"] = HREF
    return error


def no_such_object(method: str, node: str) -> GraphError:
    """Meta's answer for an id that doesn't exist or that the token may not see: the two look the same."""
    return GraphError(
        100,
        message=f"Unsupported {method.lower()} request. Object with ID '{node}' does not exist, cannot be loaded due"
        " to missing permissions, or does not support this operation. Please read the Graph API documentation at"
        " https://developers.facebook.com/docs/graph-api",
        subcode=NO_SUCH_OBJECT,
        extra={"type": "GraphMethodException"},
    )
