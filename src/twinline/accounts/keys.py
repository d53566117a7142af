"""Keys of programs: made, shown once, recognised, revoked.

A key looks like ``twl_7_<secret>``: the number in it is the organisation's, so it is looked up where that one's data
lie. Only its SHA-256 is kept; the secret is 256 bits of chance, so a slow hash would protect nothing.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from twinline.accounts import queries, service
from twinline.accounts.models import ApiKey, Caller
from twinline.accounts.service import AccountError
from twinline.db import Tx

SCOPES: Final = MappingProxyType(
    {
        "numbers:read": "See the numbers, their state and limits, and what is possible at all",
        "messages:write": "Send and cancel messages, mark messages as read, show typing",
        "messages:read": "See what became of messages, and whether a chat is open",
        "media:write": "Upload files to send",
        "templates:read": "See templates and their state",
        "templates:write": "Make, change and delete templates",
        "campaigns:read": "See campaigns, their dry runs, their people and results",
        "campaigns:write": "Make, plan, start, pause and cancel campaigns, and tell conversions",
        "contacts:read": "See contacts, their tags and fields, and what they said about marketing",
        "automations:read": "See automations, their conversations, and why something was said or wasn't",
        "automations:write": "Make, change and turn on automations, connections and what agents may read",
        "automations:run": "Start and end automations in a chat, take and release the floor, approve answers",
        "contacts:write": "Make and change contacts, record opt-ins and opt-outs, keep the suppression list",
        "webhooks:read": "See webhooks, and all that was told by them, message texts included",
        "webhooks:write": "Make and change webhooks, which tell what is written in every chat",
    }
)
"""What a key may be allowed, and how a person is asked."""

AT_FIRST: Final = ("numbers:read", "messages:write", "messages:read", "media:write", "templates:read")
"""What most programs need."""

LONGEST_NAME: Final = 80
HINT: Final = 4  # characters of its end by which a key is known again
SEEN_AGAIN: Final = timedelta(minutes=1)  # how exact ``last_used_at`` is, so that a busy key isn't written each time

_FORM = re.compile(r"twl_([1-9][0-9]{0,17})_[\w-]{43}", re.ASCII)


async def create(
    tx: Tx, organisation_id: int, name: str, scopes: Iterable[str], created_by: int | None, now: datetime
) -> tuple[int, str]:
    """The new key's id, and the key itself, which can't be had a second time. Raises AccountError."""
    name = " ".join(name.split())
    allowed = [scope for scope in SCOPES if scope in set(scopes)]
    if not name or len(name) > LONGEST_NAME:
        raise AccountError(f"Give the key a name of 1 to {LONGEST_NAME} characters: what uses it, and where.")
    if unknown := sorted(set(scopes) - set(allowed)):
        raise AccountError(f"There is no scope {unknown[0]!r}. Scopes are: {', '.join(SCOPES)}.")
    if not allowed:
        raise AccountError("A key that may do nothing is of no use: choose at least one scope.")
    token = f"twl_{organisation_id}_{secrets.token_urlsafe(32)}"
    key_id = await queries.insert_key(
        tx, organisation_id, name, token[-HINT:], service.digest_of(token), allowed, created_by, now
    )
    await service.record(tx, organisation_id, created_by, "key.created", {"key": key_id, "name": name}, now)
    return key_id, token


async def caller(tx: Tx, token: str, now: datetime) -> Caller | None:
    """Whose key this is; None when it is unknown or revoked."""
    found = _FORM.fullmatch(token)
    if found is None:
        return None
    return await queries.use_key(tx, int(found[1]), service.digest_of(token), now, now - SEEN_AGAIN)


async def of(tx: Tx, organisation_id: int) -> Sequence[ApiKey]:
    """The organisation's keys, those in use first, then newest first."""
    return await queries.keys(tx, organisation_id)


async def revoke(tx: Tx, organisation_id: int, key_id: int, user_id: int | None, now: datetime) -> ApiKey:
    """The key opens nothing from now on; revoking it twice is no mistake. Raises AccountError."""
    key = await queries.key(tx, organisation_id, key_id)
    if key is None:
        raise AccountError(f"There is no key {key_id}.")
    if await queries.revoke_key(tx, organisation_id, key_id, now):
        await service.record(tx, organisation_id, user_id, "key.revoked", {"key": key_id, "name": key.name}, now)
    return key
