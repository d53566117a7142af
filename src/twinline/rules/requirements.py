"""What must be true before a number can be connected, as a checklist for the owner.

What Graph can tell is asked of Graph; what only the owner can see is asked of the owner, with where to
look. Whatever isn't known is ASK or UNKNOWN, never a guess. Where sources conflict (country, warm-up,
business verification) the check warns and lets the owner try: Meta decides, and its answer is free.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.identity import digits


class Status(StrEnum):
    """FAIL stops, WARN doesn't; ASK waits for the owner, UNKNOWN for an answer of Graph's."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    ASK = "ask"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist; `where_to_look` says where the answer is found or mended."""

    id: str
    title: str
    status: Status
    detail: str
    where_to_look: str
    source: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known so far; None means not asked or not answered yet.

    `app_version` and `days_in_use` are the owner's answers, the phone number is digits with or without "+";
    `business_verification` is Graph's `business_verification_status` ("verified", "not_verified", "pending"
    …); `webhook_fields` the subscribed fields, `token_scopes` the granted scopes of `debug_token`.
    """

    phone: str | None = None
    app_version: str | None = None
    days_in_use: int | None = None
    business_verification: str | None = None
    webhook_fields: frozenset[str] | None = None
    callback_reachable: bool | None = None
    app_live: bool | None = None
    token_scopes: frozenset[str] | None = None
    cloud_api_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Country:
    """A dated remark about numbers that begin with `prefix`."""

    prefix: str
    name: str
    says: str
    source: str
    date: date
    confidence: str


WEBHOOK_FIELDS: Final = (
    "messages",
    "account_update",
    "history",
    "smb_app_state_sync",
    "smb_message_echoes",
)
"""The fields without which a shared number can't work (Meta: Onboard WhatsApp Business app users)."""

TEMPLATE_FIELDS: Final = (
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
)
"""Without these a template's state is only as fresh as the last reading (Meta: template webhooks)."""

SCOPES: Final = ("whatsapp_business_management", "whatsapp_business_messaging")
"""The permissions that the app needs, with advanced access."""

_ONBOARD: Final = "Meta: Onboard WhatsApp Business app users, 2026-09-11"
_DASHBOARD: Final = "Meta App Dashboard"


def checklist(known: Known) -> tuple[Check, ...]:
    """Every requirement and how it stands, in the order in which an owner goes through them."""
    return tuple(check(known) for check in _CHECKS)


def ready(checks: tuple[Check, ...]) -> bool:
    """Whether the popup may be opened: nothing fails. Warnings and open questions don't hold it back."""
    return all(check.status is not Status.FAIL for check in checks)


def version_at_least(version: str, minimum: str) -> bool | None:
    """Whether "2.24.17.78" is at least "2.24.17", number by number; None if it isn't a version at all."""
    have, need = _numbers(version), _numbers(minimum)
    return None if have is None or need is None else have >= need


def country(phone: str) -> Country | None:
    """The remark about this number's country, if there is one; phone as digits with or without "+"."""
    number = digits(phone)
    return next((line for line in countries() if number.startswith(line.prefix)), None)


@cache
def countries() -> tuple[Country, ...]:
    """Every remark about a country, longest prefix first."""
    lines = (Country(**line) for line in _data()["country"])
    return tuple(sorted(lines, key=lambda line: len(line.prefix), reverse=True))


def _app_version(known: Known) -> Check:
    minimum = _data()["app"]["minimum"]
    fits = version_at_least(known.app_version, minimum) if known.app_version else None
    status, detail = {
        True: (Status.OK, f"Version {known.app_version} is new enough."),
        False: (Status.FAIL, f"Version {known.app_version} is too old: update to {minimum} or newer."),
        None: (Status.ASK, f"Is the WhatsApp Business app at version {minimum} or newer?"),
    }[fits]
    return Check(
        "app_version",
        "WhatsApp Business app",
        status,
        detail,
        "In the WhatsApp Business app: Settings > Help > App info",
        _data()["app"]["source"],
    )


def _country(known: Known) -> Check:
    remark = country(known.phone) if known.phone else None
    status, detail = Status.OK, "No restriction is known for this country."
    if not known.phone:
        status, detail = Status.ASK, "Which number is to be connected?"
    elif remark is not None:
        status, detail = Status.WARN, remark.says
    return Check(
        "country",
        "Country of the number",
        status,
        detail,
        "In the WhatsApp Business app: Settings > your name",
        remark.source if remark else _ONBOARD,
    )


def _warm_up(known: Known) -> Check:
    rule = _data()["warm_up"]
    status, detail = Status.OK, "The number has been in use long enough."
    if known.days_in_use is None:
        status, detail = Status.ASK, f"Has the number been in use in the app for {rule['days']} days?"
    elif known.days_in_use < rule["days"]:
        status, detail = Status.WARN, rule["says"]
    return Check(
        "warm_up",
        "Number in real use",
        status,
        detail,
        "In the WhatsApp Business app: the date of the first chats",
        rule["source"],
    )


def _verification(known: Known) -> Check:
    answer = (known.business_verification or "").lower()
    status, detail = (
        Status.WARN,
        f"Meta says \"{answer}\". Some partners require verification; Meta's page doesn't.",
    )
    if not answer:
        status, detail = Status.UNKNOWN, "Meta hasn't been asked yet."
    elif answer == "verified":
        status, detail = Status.OK, "The business is verified."
    return Check(
        "business_verified",
        "Business verified",
        status,
        detail,
        "Meta Business Settings > Security Centre",
        f"{_ONBOARD}, silent; partners' documentation",
    )


def _webhooks(known: Known) -> Check:
    status, detail = Status.OK, "All needed fields are subscribed."
    if known.webhook_fields is None:
        status, detail = Status.UNKNOWN, "Meta hasn't been asked yet."
    elif missing := [field for field in WEBHOOK_FIELDS if field not in known.webhook_fields]:
        status, detail = Status.FAIL, f"Not subscribed: {', '.join(missing)}."
    return Check(
        "webhooks",
        "Webhooks active",
        status,
        detail,
        f"{_DASHBOARD} > WhatsApp > Configuration > Webhook fields",
        _ONBOARD,
    )


def _scopes(known: Known) -> Check:
    status, detail = Status.OK, "Both permissions are granted."
    if known.token_scopes is None:
        status, detail = Status.UNKNOWN, "Meta hasn't been asked yet."
    elif missing := [scope for scope in SCOPES if scope not in known.token_scopes]:
        status, detail = Status.FAIL, f"Not granted: {', '.join(missing)}."
    return Check(
        "permissions",
        "App permissions",
        status,
        detail,
        f"{_DASHBOARD} > App Review > Permissions and features",
        "Meta: Embedded Signup overview",
    )


@dataclass(frozen=True, slots=True)
class _YesNo:
    """A check that is a single yes or no of Graph's."""

    id: str
    title: str
    fact: Callable[[Known], bool | None]
    yes: str
    no: str
    where_to_look: str
    source: str

    def __call__(self, known: Known) -> Check:
        status, detail = {
            True: (Status.OK, self.yes),
            False: (Status.FAIL, self.no),
            None: (Status.UNKNOWN, "It hasn't been checked yet."),
        }[self.fact(known)]
        return Check(self.id, self.title, status, detail, self.where_to_look, self.source)


_CHECKS: Final[tuple[Callable[[Known], Check], ...]] = (
    _app_version,
    _country,
    _warm_up,
    _verification,
    _YesNo(
        "cloud_api",
        "Cloud API enabled",
        lambda known: known.cloud_api_enabled,
        "The app has the WhatsApp product.",
        "The app has no WhatsApp product yet: add it.",
        f"{_DASHBOARD} > Add product > WhatsApp",
        "Meta: Cloud API get started",
    ),
    _YesNo(
        "app_live",
        "App in live mode",
        lambda known: known.app_live,
        "The app is live.",
        "The app is in development mode, in which some webhooks don't arrive: switch it to live.",
        f"{_DASHBOARD} > App Mode",
        "Meta: Webhooks overview",
    ),
    _scopes,
    _webhooks,
    _YesNo(
        "callback",
        "Callback reachable",
        lambda known: known.callback_reachable,
        "Meta can reach this platform.",
        "Meta can't reach this platform: the callback must be public HTTPS with a valid certificate.",
        f"{_DASHBOARD} > WhatsApp > Configuration > Callback URL",
        "Meta: Webhooks, create an endpoint",
    ),
)


@cache
def _data() -> MappingProxyType[str, Any]:
    return MappingProxyType(tomllib.loads(files(__package__).joinpath("countries.toml").read_text("utf-8")))


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.strip().removeprefix("v").split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdigit() for part in parts) else None
