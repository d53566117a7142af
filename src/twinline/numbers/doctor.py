"""The doctor: what is misconfigured, what that breaks, and how to mend it.

Every check is a line of ``CHECKS``; a new one is a function and an entry. A check that itself fails says so and
doesn't take the others with it. No finding holds a secret.
"""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

import httpx
import psycopg
from pydantic import SecretStr

from twinline.app import App
from twinline.db import migrate
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.numbers import queries, requirements
from twinline.numbers.models import Number
from twinline.rules.requirements import SCOPES, TEMPLATE_FIELDS, WEBHOOK_FIELDS

OLDEST_POSTGRESQL = 150000
SKEW = timedelta(seconds=30)  # a signup's code lives as long
EXPIRES_SOON = timedelta(days=14)
PATIENCE = 10.0  # seconds for each check
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, and how to mend it (empty when there is nothing to mend)."""

    title: str
    level: Level
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class House:
    """What is looked at: the whole platform, or with an organisation only that one's numbers."""

    app: App
    organisation_id: int | None

    async def numbers(self) -> list[Number]:
        async with self.app.db.transaction() as tx:
            if self.organisation_id is None:
                return await queries.every_number(tx)
            return await queries.numbers(tx, self.organisation_id)


@dataclass(frozen=True, slots=True)
class Check:
    title: str
    look: Callable[[House], Awaitable[list[Finding]]]


async def run(app: App, organisation_id: int | None = None) -> list[Finding]:
    """Looks at everything at once; the findings come in the order of ``CHECKS``."""
    house = House(app, organisation_id)
    return [
        finding for found in await asyncio.gather(*(_safely(house, check) for check in CHECKS)) for finding in found
    ]


async def _safely(house: House, check: Check) -> list[Finding]:
    try:
        return await asyncio.wait_for(check.look(house), PATIENCE)
    except TimeoutError:
        return [
            Finding(check.title, Level.FAIL, "No answer within ten seconds.", "Look at the network, then run it again.")
        ]
    except (psycopg.Error, GraphError, OSError) as error:
        return [Finding(check.title, Level.FAIL, f"Couldn't be checked: {error}", "See the other lines first.")]


# --- here ---------------------------------------------------------------------------------------------------------


async def _database(house: House) -> list[Finding]:
    app = house.app
    title = "Database"
    async with app.db.transaction() as tx:
        version = int(await tx.value("SHOW server_version_num"))
        shown = await tx.value("SHOW server_version")
        schema = await tx.value("SELECT version_num FROM alembic_version")
    if version < OLDEST_POSTGRESQL:
        return [Finding(title, Level.FAIL, f"PostgreSQL {shown} is too old.", "Use PostgreSQL 15 or newer.")]
    if schema != migrate.head():
        says = f"The schema is at {schema}, this release needs {migrate.head()}."
        return [Finding(title, Level.FAIL, says, "Run: twinline migrate")]
    return [Finding(title, Level.OK, f"PostgreSQL {shown}, schema {schema}.")]


async def _vault(house: House) -> list[Finding]:
    app = house.app
    title = "Vault key"
    if app.settings.vault_keys is None:
        path = app.settings.data / "vault.key"
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & 0o077:
            says = f"Others on this machine can read vault.key (mode {mode:04o})."
            return [Finding(title, Level.FAIL, says, f"Run: chmod 600 {path}")]
    locked = [number for number in await house.numbers() if number.token is not None and _unsealed(app, number) is None]
    if locked:
        return [
            Finding(
                title,
                Level.FAIL,
                f"The tokens of {_named(locked)} were sealed with a key that isn't here.",
                "Put the old key behind the present one in TWINLINE_VAULT_KEYS, or connect these numbers again.",
            )
        ]
    return [Finding(title, Level.OK, "Present, private, and it opens every stored token.")]


async def _settings(house: House) -> list[Finding]:
    app = house.app
    found = []
    for title, name, level, breaks in _NEEDED:
        value = getattr(app.settings, name)
        value = value.get_secret_value() if isinstance(value, SecretStr) else value
        mend = f"Set TWINLINE_{name.upper()}; the value is in Meta's App Dashboard."
        found.append(Finding(title, Level.OK, "Set.") if value else Finding(title, level, f"Not set: {breaks}.", mend))
    return found


_NEEDED = (
    ("App id", "app_id", Level.FAIL, "nothing can be connected or checked"),
    ("App secret", "app_secret", Level.FAIL, "every webhook is refused"),
    ("Verify token", "verify_token", Level.FAIL, "Meta can't verify the callback"),
    ("Signup configuration", "signup_config_id", Level.WARN, "the signup window can't be opened"),
)


async def _address(house: House) -> list[Finding]:
    app = house.app
    title = "Public address"
    parts = urlsplit(app.settings.address)
    if (parts.hostname or "") in LOOPBACK:
        says = f"{app.settings.address} is reached from this machine only. That is right for the simulator."
        return [Finding(title, Level.WARN, says, "For Meta, set TWINLINE_PUBLIC_URL to the public https address.")]
    if parts.scheme != "https":
        says = f"{app.settings.address} isn't https; Meta and the signup window accept nothing else."
        return [
            Finding(title, Level.FAIL, says, "Put a TLS proxy in front and set TWINLINE_PUBLIC_URL to its address.")
        ]
    return [Finding(title, Level.OK, app.settings.address)]


async def _callback(house: House) -> list[Finding]:
    app = house.app
    title = "Webhook callback"
    if await requirements.callback_reachable(app):
        return [Finding(title, Level.OK, f"{app.settings.address}{requirements.HOOK} answers Meta's handshake.")]
    return [
        Finding(
            title,
            Level.FAIL,
            f"{app.settings.address}{requirements.HOOK} doesn't answer Meta's handshake, so no message arrives.",
            "Start the web process (twinline up), and look at the proxy, its certificate and the verify token.",
        )
    ]


async def _webhooks(house: House) -> list[Finding]:
    app = house.app
    async with app.db.transaction() as tx:
        waiting = await queries.waiting_webhooks(tx)
    found = []
    for state, level, says, mend in (
        (
            "unreadable",
            Level.FAIL,
            "couldn't be understood",
            "They are kept. After an update, have them read again on the configuration check page.",
        ),
        ("unclaimed", Level.WARN, "speak of numbers that aren't here", "Connect or add the number; they follow then."),
        (
            "waiting",
            Level.WARN,
            "wait to be folded",
            "If they don't get fewer, see that a worker runs: twinline worker",
        ),
    ):
        count, oldest = waiting.get(state, (0, None))
        fresh = state == "waiting" and oldest is not None and app.clock.now() - oldest < timedelta(minutes=5)
        if count and oldest is not None and not fresh:
            since = f"{oldest:%Y-%m-%d %H:%M}"
            found.append(Finding("Webhooks", level, f"{count} {says}, the oldest since {since} UTC.", mend))
    return found or [Finding("Webhooks", Level.OK, "None waits, none is unreadable.")]


# --- at Meta ------------------------------------------------------------------------------------------------------


async def _graph(house: House) -> list[Finding]:
    app = house.app
    title = "Graph API"
    settings = app.settings
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        try:
            answer = await http.get(f"{settings.graph_url}/{settings.graph_version}/{settings.app_id or 'me'}")
        except httpx.HTTPError as error:
            says = f"{settings.graph_url} can't be reached ({type(error).__name__})."
            return [Finding(title, Level.FAIL, says, "Look at the network, DNS and proxy of this machine.")]
    found = [Finding(title, Level.OK, f"{settings.graph_url} answers, version {settings.graph_version}.")]
    date = answer.headers.get("date")
    if date is not None:
        skew = abs(app.clock.now() - parsedate_to_datetime(date))
        found.append(
            Finding("Clock", Level.OK, "Agrees with Meta's.")
            if skew <= SKEW
            else Finding(
                "Clock",
                Level.WARN,
                f"Off by {round(skew.total_seconds())} seconds from Meta's: windows and deadlines will be wrong.",
                "Let the machine set its clock by NTP. A clock moved for a demonstration shows up here too.",
            )
        )
    return found


async def _fields(house: House) -> list[Finding]:
    app = house.app
    title = "Webhook fields"
    if not app.settings.app_id:
        return [Finding(title, Level.FAIL, "Can't be asked without the app id.", "Set TWINLINE_APP_ID.")]
    try:
        fields = await requirements.webhook_fields(app)
    except GraphError as error:
        return [Finding(title, Level.FAIL, f"Meta refused to tell: {error}", "Check the app id and the app secret.")]
    missing = [field for field in WEBHOOK_FIELDS if field not in fields]
    if missing:
        return [
            Finding(
                title,
                Level.FAIL,
                f"Not subscribed: {', '.join(missing)}. What they carry never arrives.",
                "Meta App Dashboard > WhatsApp > Configuration > Webhook fields: subscribe them.",
            )
        ]
    if stale := [field for field in TEMPLATE_FIELDS if field not in fields]:
        return [
            Finding(
                title,
                Level.WARN,
                f"Not subscribed: {', '.join(stale)}. Templates are read once a day, so a pause is noticed late.",
                "Meta App Dashboard > WhatsApp > Configuration > Webhook fields: subscribe them.",
            )
        ]
    return [Finding(title, Level.OK, "All that a shared number needs are subscribed.")]


async def _tokens(house: House) -> list[Finding]:
    return list(await asyncio.gather(*(_token(house.app, number) for number in await house.numbers())))


async def _token(app: App, number: Number) -> Finding:
    title = f"Token of +{number.display_phone}"
    mend = "Connect the number again, or paste a new token. Chats and contacts stay."
    token = _unsealed(app, number)
    if token is None:
        return Finding(title, Level.WARN, "None that can be read: nothing can be sent.", mend)
    try:
        debugged = await app.graph.debug_token(token, token=requirements.app_token(app))
    except GraphError as error:
        return Finding(title, Level.FAIL, f"Couldn't be checked: {error}", "Check the app id and the app secret.")
    lacking = [scope for scope in SCOPES if scope not in debugged.scopes]
    if not debugged.is_valid:
        return Finding(title, Level.FAIL, "Expired or withdrawn: nothing can be sent.", mend)
    if lacking:
        return Finding(title, Level.FAIL, f"Lacks {', '.join(lacking)}.", mend)
    expires = number.token_expires_at
    if expires is not None and expires - app.clock.now() < EXPIRES_SOON:
        return Finding(title, Level.WARN, f"Expires on {expires:%Y-%m-%d}.", mend)
    return Finding(title, Level.OK, f"Valid{f' until {expires:%Y-%m-%d}' if expires else ', without an end'}.")


def _unsealed(app: App, number: Number) -> str | None:
    if number.token is None:
        return None
    try:
        return app.vault.unseal(number.token)
    except VaultError:
        return None


def _named(numbers: list[Number]) -> str:
    return ", ".join(f"+{number.display_phone}" for number in numbers)


CHECKS = (
    Check("Database", _database),
    Check("Vault key", _vault),
    Check("Settings", _settings),
    Check("Public address", _address),
    Check("Webhook callback", _callback),
    Check("Graph API", _graph),
    Check("Webhook fields", _fields),
    Check("Tokens", _tokens),
    Check("Webhooks", _webhooks),
)
