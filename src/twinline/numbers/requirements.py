"""Asking Meta, and ourselves, what the checklist before connecting needs to know.

Every question is asked on its own and within a few seconds; one that isn't answered leaves its line open instead
of holding back the page.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from twinline.app import App
from twinline.meta.graph import GraphError
from twinline.rules.requirements import Known

T = TypeVar("T")

PATIENCE = 6.0  # seconds for each question
HOOK = "/hook/meta"
NOTHING: Mapping[str, Any] = {}


async def known_before(app: App, seen: Mapping[str, Any] = NOTHING) -> Known:
    """What is known before the popup: the owner's answers (``seen``), and what Graph says about our own app."""
    fields, reachable = await asyncio.gather(_in_time(webhook_fields(app)), _in_time(callback_reachable(app)))
    return replace(
        from_owner(seen),
        webhook_fields=fields,
        # Only an app with the WhatsApp product can be subscribed to its fields; an app without any may have it.
        cloud_api_enabled=True if fields else None,
        callback_reachable=reachable,
    )


async def known_after(app: App, waba_id: str, token: str) -> Known:
    """What is known with a business's token in hand: also its permissions, and how its verification stands."""
    before, debugged, waba = await asyncio.gather(
        known_before(app),
        _in_time(app.graph.debug_token(token, token=app_token(app))),
        _in_time(app.graph.waba(waba_id, token=token)),
    )
    return replace(
        before,
        token_scopes=frozenset(debugged.scopes) if debugged else None,
        business_verification=waba.business_verification_status if waba else None,
    )


async def webhook_fields(app: App) -> frozenset[str]:
    """The WhatsApp fields that Meta sends to our app. Raises GraphError."""
    subscriptions = await app.graph.app_subscriptions(app.settings.app_id, token=app_token(app))
    return frozenset(
        field
        for subscription in subscriptions
        if subscription.object == "whatsapp_business_account" and subscription.active
        for field in subscription.fields
    )


def from_owner(seen: Mapping[str, Any]) -> Known:
    return Known(
        phone=seen.get("phone") or None,
        app_version=seen.get("app_version") or None,
        days_in_use=seen.get("days_in_use"),
    )


async def callback_reachable(app: App) -> bool:
    """Does Meta's handshake as Meta does it, through the public address."""
    challenge = secrets.token_hex(8)
    question = {
        "hub.mode": "subscribe",
        "hub.challenge": challenge,
        "hub.verify_token": app.settings.verify_token.get_secret_value(),
    }
    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            answer = await http.get(app.settings.address + HOOK, params=question)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.text == challenge


async def _in_time(question: Awaitable[T]) -> T | None:
    try:
        return await asyncio.wait_for(question, PATIENCE)
    except (GraphError, TimeoutError):
        return None


def app_token(app: App) -> str:
    """Meta: an app access token may be written as id and secret."""
    return f"{app.settings.app_id}|{app.settings.app_secret.get_secret_value()}"
