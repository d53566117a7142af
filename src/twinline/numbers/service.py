"""The doors through which numbers and onboardings change."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.db import Tx, jobs
from twinline.mirror import events, turn
from twinline.mirror import service as mirror
from twinline.numbers import lifecycle, queries, tokens
from twinline.numbers.models import NumberError
from twinline.rules.identity import digits
from twinline.rules.lifecycle import Connection, FactKind
from twinline.rules.outcomes import TOKENLESS, Way
from twinline.sending import stops
from twinline.templates import service as templates

__all__ = [
    "NumberError",
    "add_number",
    "add_with_token",
    "agree",
    "answer",
    "begin",
    "choose",
    "go_on",
    "invite",
    "observe",
    "retry",
    "set_preferences",
]

ONBOARD = "numbers.onboard"
LONGEST_PAUSE = timedelta(days=7)


async def add_number(
    app: App,
    tx: Tx,
    organisation_id: int,
    waba_id: str,
    phone_number_id: str,
    display_phone: str,
    token: str | None,
    *,
    verified: bool,
    verified_name: str | None = None,
    token_expires_at: datetime | None = None,
    user_id: int | None = None,
) -> int:
    """Adds the number, or connects it anew, and answers its id.

    ``verified``: Graph has just confirmed that it lives in the Business App. Without a token nothing can be sent,
    but what Meta delivers is kept. A number that is connected already only gets the new token; any other starts a
    new connection, with a new right to both synchronisations. Webhooks that came for it before are folded behind.

    Raises NumberError when another organisation holds the number.
    """
    now = app.clock.now()
    phone = digits(display_phone)
    found = await queries.upsert_number(
        tx,
        {
            "organisation_id": organisation_id,
            "waba_id": waba_id,
            "phone_number_id": phone_number_id,
            "display_phone": phone,
            "verified_name": verified_name,
            "token": app.vault.seal(token) if token else None,
            "token_expires_at": token_expires_at,
            "now": now,
        },
    )
    if found is None:
        raise NumberError(
            f"The number {display_phone} belongs to another organisation on this platform. "
            "It has to be removed there before it can be connected here."
        )
    number_id, state, has_token = found
    await turn.take(tx, [number_id])
    if verified:
        await queries.set_verified(tx, number_id, now)
    if token:
        await stops.relieve(tx, number_id, Way.TOKEN, now)
    elif not has_token:
        await stops.stop(tx, number_id, TOKENLESS, now)
    if state != Connection.CONNECTED:
        await queries.forget_sync(tx, number_id)
        await queries.set_connected(tx, number_id, now)
        await lifecycle.note(tx, number_id, FactKind.CONNECTED, now)
        detail = {"number": number_id, "phone": phone}
        await accounts.record(tx, organisation_id, user_id, "number.connected", detail, now)
        if token:
            await templates.want(tx, organisation_id, waba_id)
    await mirror.claim(tx, phone_number_id, waba_id, now)
    return number_id


async def add_with_token(
    app: App, organisation_id: int, waba_id: str, token: str, *, phone_number_id: str = "", user_id: int | None = None
) -> int:
    """Adds a number that was onboarded elsewhere, once Graph has confirmed token and number; answers its id.

    Asks Meta, so it opens its own transaction. Raises NumberError with what is wrong, and GraphError when Meta
    doesn't answer.
    """
    number = await tokens.confirm(app, waba_id, token, phone_number_id)
    await app.graph.subscribe_app(waba_id, token=token)
    async with app.db.transaction() as tx:
        return await add_number(
            app,
            tx,
            organisation_id,
            waba_id,
            number.phone_number_id,
            number.display_phone,
            token,
            verified=True,
            verified_name=number.verified_name,
            token_expires_at=number.expires_at,
            user_id=user_id,
        )


async def observe(app: App, tx: Tx, number_id: int, now: datetime) -> None:
    """Brings the number's state up to its notices."""
    await lifecycle.observe(tx, number_id, now)


async def set_preferences(
    tx: Tx,
    organisation_id: int,
    number_id: int,
    *,
    phone_pause: timedelta,
    keep_edited: bool,
    send_receipts: bool,
    send_typing: bool,
    count_echoes: bool,
    user_id: int | None,
    now: datetime,
) -> None:
    """Raises NumberError for a pause that makes no sense or a number that isn't there."""
    if not timedelta() <= phone_pause <= LONGEST_PAUSE:
        raise NumberError("The pause after a reply from the phone must be between nothing and seven days.")
    await turn.take(tx, [number_id])
    chosen = {
        "keep_edited": keep_edited,
        "send_receipts": send_receipts,
        "send_typing": send_typing,
        "count_echoes": count_echoes,
    }
    if not await queries.set_preferences(tx, organisation_id, number_id, phone_pause=phone_pause, **chosen):
        raise NumberError("There is no such number.")
    detail = {"number": number_id, "phone_pause": phone_pause.total_seconds(), **chosen}
    await accounts.record(tx, organisation_id, user_id, "number.preferences", detail, now)
    await events.publish(tx, {number_id: {"number": True}}, now)


async def begin(tx: Tx, organisation_id: int, user_id: int | None, seen: Mapping[str, Any], now: datetime) -> int:
    """Opens a try at connecting, with what the owner has seen on the phone; answers its id."""
    onboarding_id = await invite(tx, organisation_id, user_id, now)
    await answer(tx, organisation_id, onboarding_id, seen)
    return onboarding_id


async def invite(tx: Tx, organisation_id: int, user_id: int | None, now: datetime) -> int:
    """Opens a try at connecting that somebody else will go through; answers its id."""
    onboarding_id = await queries.insert_onboarding(tx, organisation_id, user_id, now)
    detail = {"onboarding": onboarding_id}
    await accounts.record(tx, organisation_id, user_id, "onboarding.begun", detail, now)
    return onboarding_id


async def answer(tx: Tx, organisation_id: int, onboarding_id: int, seen: Mapping[str, Any]) -> None:
    """Keeps what the owner has seen on the phone: ``phone``, ``app_version``, ``days_in_use``."""
    await queries.update_onboarding(tx, organisation_id, onboarding_id, answers={"seen": dict(seen)})


async def agree(
    tx: Tx, organisation_id: int, onboarding_id: int, matrix_date: str, user_id: int | None, now: datetime
) -> None:
    """Records that the owner agreed to what the phone keeps and loses, by the matrix of that date."""
    await queries.update_onboarding(tx, organisation_id, onboarding_id, agreed_at=now, agreed_to=matrix_date)
    detail = {"onboarding": onboarding_id, "matrix": matrix_date}
    await accounts.record(tx, organisation_id, user_id, "onboarding.agreed", detail, now)


async def choose(tx: Tx, organisation_id: int, onboarding_id: int, phone_number_id: str) -> None:
    """Takes the owner's choice among several numbers and lets the job go on. Raises NumberError."""
    onboarding = await queries.onboarding(tx, organisation_id, onboarding_id, lock=True)
    if onboarding is None or not onboarding.must_choose:
        raise NumberError("There is nothing to choose any more.")
    if phone_number_id not in {candidate["phone_number_id"] for candidate in onboarding.candidates}:
        raise NumberError("That number isn't among those that Meta listed.")
    await queries.update_onboarding(
        tx, organisation_id, onboarding_id, answers={"chosen": phone_number_id}, problem=None
    )
    await go_on(tx, organisation_id, onboarding_id)


async def retry(tx: Tx, organisation_id: int, onboarding_id: int) -> None:
    """Goes on with a connection that is stuck; what was done stays done."""
    onboarding = await queries.onboarding(tx, organisation_id, onboarding_id, lock=True)
    if onboarding is not None and onboarding.problem is not None and onboarding.finished_at is None:
        await queries.update_onboarding(tx, organisation_id, onboarding_id, problem=None)
        await go_on(tx, organisation_id, onboarding_id)


async def go_on(tx: Tx, organisation_id: int, onboarding_id: int) -> None:
    """Enqueues the job that does the remaining steps. The caller holds the onboarding's row."""
    name = f"onboarding:{organisation_id}:{onboarding_id}"
    await jobs.defer(
        tx,
        ONBOARD,
        queue="sync",
        lock=name,
        queueing_lock=name,
        priority=10,
        organisation_id=organisation_id,
        onboarding_id=onboarding_id,
    )
