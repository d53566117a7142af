"""Connecting a number: from the popup's code to the requested synchronisation.

    exchange -> resolve -> subscribe -> sync -> done          stopped: the popup went another way

The code lives for 30 seconds, so it is exchanged while the browser waits; everything after that is a job. Each step
reads the onboarding's row, asks Meta, and writes what came of it together with the next step's name in one
transaction. A crash anywhere therefore repeats at most one step, and every step may be repeated: resolving and
subscribing change nothing the second time, and a synchronisation that stands requested is never requested again by
itself (``numbers.sync``). The order is Meta's: the WABA is subscribed before anything is synchronised, since a
request made earlier is burnt.

``/register`` and ``/deregister`` are never called: they would end the session on the phone.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.db import Tx
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.meta import signup
from twinline.meta.graph import GraphError, PhoneNumber, Token
from twinline.mirror import events, turn
from twinline.numbers import queries, requirements, service, sync
from twinline.numbers.models import NumberError, Onboarding
from twinline.numbers.tokens import nothing_shared
from twinline.rules.identity import digits

logger = log.get("numbers.connect")

MANAGEMENT = "whatsapp_business_management"


class Unresolved(Exception):
    """Which number was connected can't be told from what Meta says; the message is for the owner."""


# --- while the browser waits --------------------------------------------------------------------------------------


async def finish(
    app: App, organisation_id: int, onboarding_id: int, code: str | None, message: Mapping[str, Any] | None
) -> str | None:
    """Takes what the popup gave: its code, its window message. Answers the problem, or None when it goes on.

    May be called again with the same: only the first code is exchanged.
    """
    async with app.db.transaction() as tx:
        onboarding = await queries.onboarding(tx, organisation_id, onboarding_id)
    if onboarding is None:
        return "This try at connecting isn't known any more. Start anew."
    if onboarding.agreed_at is None:
        return "Read first what the phone keeps and loses, and agree to it."
    if onboarding.step != "exchange":
        return onboarding.problem if onboarding.step == "stopped" else None
    said = signup.parse(message) if message else None
    if isinstance(said, signup.FellThrough):
        return await _stop(app, onboarding, FELL_THROUGH)
    if isinstance(said, signup.Cancelled):
        return await _again(app, onboarding, in_words(said))
    if code is None:
        return await _again(app, onboarding, in_words(said))
    try:
        token = await app.graph.exchange_code(app.settings.app_id, app.settings.app_secret.get_secret_value(), code)
    except GraphError as error:
        logger.warning("code not exchanged", onboarding_id=onboarding_id, code=error.code)
        return await _again(
            app, onboarding, f"Meta didn't accept the signup's code: {error}. It lives for 30 seconds; try again."
        )
    # A message that was lost or says nothing of use is no failure while there is a code: Meta is asked instead.
    await _keep_token(app, onboarding, token, said.waba_id if isinstance(said, signup.Finished) else None)
    return None


FELL_THROUGH = (
    "Meta's window finished the ordinary signup, which is for numbers that leave the phone, instead of connecting "
    "the app. Nothing was registered and the phone works as before. Start anew and choose to connect the existing "
    "WhatsApp Business app; if the window doesn't offer that, an operator has to check the signup configuration."
)


def in_words(said: signup.SignupResult | None) -> str:
    """Why the popup brought nothing, and that nothing has changed."""
    if isinstance(said, signup.Cancelled) and said.error_message:
        reference = f" For Meta's support: error {said.error_id}, session {said.session_id}."
        return f"Meta's window reported: {said.error_message}{reference if said.session_id else ''}"
    if isinstance(said, signup.Cancelled):
        step = signup.CANCEL_STEPS.get(said.step or "")
        where = f" while {step}" if step else ""
        return f"You left Meta's window{where}. Nothing has changed; start again when you like."
    if isinstance(said, signup.Failed):
        return f"Meta's window failed: {said.error_message}"
    return "Meta's window was closed before it gave a permission. Nothing has changed; start again when you like."


async def _stop(app: App, onboarding: Onboarding, problem: str) -> str:
    async with app.db.transaction() as tx:
        now = app.clock.now()
        await _update(tx, onboarding, step="stopped", problem=problem, finished_at=now)
        await _record(tx, onboarding, "onboarding.stopped", now)
    return problem


async def _again(app: App, onboarding: Onboarding, problem: str) -> str:
    async with app.db.transaction() as tx:
        await _update(tx, onboarding, problem=problem)
        await _record(tx, onboarding, "onboarding.failed", app.clock.now())
    return problem


async def _keep_token(app: App, onboarding: Onboarding, token: Token, waba_id: str | None) -> None:
    now = app.clock.now()
    async with app.db.transaction() as tx:
        current = await queries.onboarding(tx, onboarding.organisation_id, onboarding.id, lock=True)
        if current is None or current.step != "exchange":
            return  # another tab was faster
        await _update(
            tx,
            onboarding,
            step="resolve",
            waba_id=waba_id,
            token=app.vault.seal(token.access_token),
            token_expires_at=now + timedelta(seconds=token.expires_in) if token.expires_in else None,
            problem=None,
        )
        await _record(tx, onboarding, "onboarding.exchanged", now)
        await service.go_on(tx, onboarding.organisation_id, onboarding.id)


# --- the job ------------------------------------------------------------------------------------------------------


async def advance(app: App, organisation_id: int, onboarding_id: int, *, last_try: bool = False) -> None:
    """Does the steps that remain, until it is done or a person has to decide.

    Raises GraphError when Meta is unwell and trying again later may help, unless this is the last try.
    """
    while True:
        async with app.db.transaction() as tx:
            onboarding = await queries.onboarding(tx, organisation_id, onboarding_id)
        step = STEPS.get(onboarding.step) if onboarding else None
        if onboarding is None or step is None or onboarding.must_choose:
            return
        try:
            await step(app, onboarding)
            problem = None
        except GraphError as error:
            if error.outcome.wait_before(1) is not None and not last_try:
                raise
            problem = f"{error.outcome.says} {error.outcome.do} ({error})"
        except (Unresolved, NumberError, VaultError) as error:
            problem = str(error)
        if problem is not None:
            async with app.db.transaction() as tx:
                await _update(tx, onboarding, problem=problem)
            return


async def _resolve(app: App, onboarding: Onboarding) -> None:
    token = _token(app, onboarding)
    wabas = [onboarding.waba_id] if onboarding.waba_id else await _wabas(app, token)
    found = [(waba, number) for waba in wabas for number in await app.graph.phone_numbers(waba, token=token)]
    shared = [(waba, number) for waba, number in found if number.is_on_biz_app]
    if chosen := onboarding.answers.get("chosen"):
        shared = [(waba, number) for waba, number in shared if number.id == chosen]
    if not shared:
        raise Unresolved(nothing_shared([number for _, number in found]))
    async with app.db.transaction() as tx:
        current = await queries.onboarding(tx, onboarding.organisation_id, onboarding.id, lock=True)
        if current is None or current.step != "resolve":
            return
        if len(shared) > 1:
            await _update(tx, onboarding, answers={"candidates": [_candidate(number) for _, number in shared]})
            return
        [(waba, number)] = shared
        number_id = await service.add_number(
            app,
            tx,
            onboarding.organisation_id,
            waba,
            number.id,
            number.display_phone_number or "",
            token,
            verified=True,
            verified_name=number.verified_name,
            token_expires_at=onboarding.token_expires_at,
            user_id=onboarding.user_id,
        )
        # The token now lives with the number; a second copy would only be one more to lose.
        await _update(tx, onboarding, step="subscribe", waba_id=waba, number_id=number_id, token=None, problem=None)


async def _subscribe(app: App, onboarding: Onboarding) -> None:
    async with app.db.transaction() as tx:
        number = await queries.number_by_id(tx, onboarding.number_id or 0)
    if number is None or number.token is None:
        raise NumberError("The number was removed meanwhile. Start anew.")
    await app.graph.subscribe_app(number.waba_id, token=app.vault.unseal(number.token))
    async with app.db.transaction() as tx:
        await _update(tx, onboarding, step="sync", problem=None)


async def _sync(app: App, onboarding: Onboarding) -> None:
    number_id = onboarding.number_id or 0
    for kind in sync.KINDS:
        await sync.request(app, number_id, kind)
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await _update(tx, onboarding, step="done", problem=None, finished_at=now)
        await events.publish(tx, {number_id: {"number": True}}, now)


STEPS: dict[str, Callable[[App, Onboarding], Awaitable[None]]] = {
    "resolve": _resolve,
    "subscribe": _subscribe,
    "sync": _sync,
}


# --- small parts --------------------------------------------------------------------------------------------------


async def _wabas(app: App, token: str) -> list[str]:
    """The accounts that the token was given for; how a lost window message is made good."""
    debugged = await app.graph.debug_token(token, token=requirements.app_token(app))
    found = [waba for scope in debugged.granular_scopes if scope.scope == MANAGEMENT for waba in scope.target_ids]
    if not found:
        raise Unresolved(
            "Meta gave a permission, but not for which WhatsApp account. Start anew, and tick the account in the "
            "last screen of Meta's window."
        )
    return found


def _candidate(number: PhoneNumber) -> dict[str, Any]:
    return {
        "phone_number_id": number.id,
        "display_phone": digits(number.display_phone_number or ""),
        "verified_name": number.verified_name,
    }


def _token(app: App, onboarding: Onboarding) -> str:
    if onboarding.token is None:
        raise NumberError("The permission from Meta is missing. Start anew.")
    return app.vault.unseal(onboarding.token)


async def _update(tx: Tx, onboarding: Onboarding, **values: Any) -> None:
    await queries.update_onboarding(tx, onboarding.organisation_id, onboarding.id, **values)


async def _record(tx: Tx, onboarding: Onboarding, action: str, now: datetime) -> None:
    await accounts.record(
        tx, onboarding.organisation_id, onboarding.user_id, action, {"onboarding": onboarding.id}, now
    )
