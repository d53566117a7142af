"""Every change of endpoints and deliveries."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.db import Tx
from twinline.db.jobs import defer
from twinline.kit.outside import OutsideError
from twinline.numbers import queries as numbers
from twinline.rules import webhooks as rules
from twinline.webhooks_out import queries, reading
from twinline.webhooks_out.models import OFF, ON, STOPPED, Delivery, Endpoint, NoSuchWebhook, WebhookError

TEND: Final = "webhooks_out.tend"
QUEUE: Final = "webhook"
ORDERS: Final = ("number", "chat")
MOST_ENDPOINTS: Final = 20
LONGEST_DESCRIPTION: Final = 200
TURNED_OFF: Final = "The webhook was turned off before this could be delivered."


async def wake(tx: Tx, organisation_id: int, endpoint_id: int, after: Any = None) -> None:
    """Somebody looks at the endpoint, at once or ``after`` a while."""
    name = f"webhook:{endpoint_id}"
    await defer(
        tx,
        TEND,
        queue=QUEUE,
        lock=name,
        queueing_lock=name,
        after=after,
        organisation_id=organisation_id,
        endpoint_id=endpoint_id,
    )


async def found(tx: Tx, organisation_id: int, endpoint_id: int, *, lock: bool = False) -> Endpoint:
    """Raises NoSuchWebhook."""
    endpoint = await queries.endpoint(tx, organisation_id, endpoint_id, lock=lock)
    if endpoint is None:
        raise NoSuchWebhook(f"There is no webhook {endpoint_id}.")
    return endpoint


async def add(
    app: App,
    tx: Tx,
    organisation_id: int,
    url: str,
    types: Iterable[str],
    user_id: int | None,
    *,
    numbers: Sequence[int] | None = None,
    description: str = "",
    order_by: str = "number",
) -> tuple[int, str]:
    """The new endpoint's id, and its secret, which isn't shown again. It hears what happens from now on.

    Raises WebhookError.
    """
    if len(await queries.endpoints(tx, organisation_id)) >= MOST_ENDPOINTS:
        raise WebhookError(f"There are {MOST_ENDPOINTS} webhooks already. Delete one that isn't needed any more.")
    fields = await _fields(app, tx, organisation_id, url, types, numbers, description, order_by)
    secret, now = rules.secret(secrets.token_bytes(rules.SECRET_BYTES)), app.clock.now()
    more = {"secret": app.vault.seal(secret), "user": user_id, "now": now}
    endpoint_id = int(await tx.value(queries.INSERT, {**fields, **more}))
    await tx.execute(queries.FOLLOW, {"organisation": organisation_id, "id": endpoint_id, "at_end": True})
    await reading.remember(tx, await found(tx, organisation_id, endpoint_id))
    await _record(tx, organisation_id, user_id, "webhook.created", endpoint_id, now)
    return endpoint_id, secret


async def change(
    app: App,
    tx: Tx,
    organisation_id: int,
    endpoint_id: int,
    user_id: int | None,
    *,
    url: str,
    types: Iterable[str],
    numbers: Sequence[int] | None,
    description: str,
    order_by: str,
) -> None:
    """What is told of from now on; numbers that are new to it are told of from now on too. Raises WebhookError."""
    await found(tx, organisation_id, endpoint_id, lock=True)
    named = {"organisation": organisation_id, "id": endpoint_id}
    fields = await _fields(app, tx, organisation_id, url, types, numbers, description, order_by)
    await tx.execute(queries.UPDATE, {**fields, **named})
    await tx.execute(queries.UNFOLLOW, named)
    await tx.execute(queries.FOLLOW, {**named, "at_end": True})
    await _record(tx, organisation_id, user_id, "webhook.changed", endpoint_id, app.clock.now())
    await wake(tx, organisation_id, endpoint_id)


async def _fields(
    app: App,
    tx: Tx,
    organisation_id: int,
    url: str,
    types: Iterable[str],
    of_numbers: Sequence[int] | None,
    description: str,
    order_by: str,
) -> dict[str, Any]:
    url, wanted = url.strip(), set(types)
    try:
        app.outside.check(url)
    except OutsideError as error:
        raise WebhookError(str(error)) from error
    if unknown := sorted(wanted - rules.TYPES.keys()):
        raise WebhookError(f"There is no event type {unknown[0]!r}. Types are: {', '.join(rules.TYPES)}.")
    if not wanted:
        raise WebhookError("Choose at least one type of event.")
    if order_by not in ORDERS:
        raise WebhookError(f"The order is kept by number or by chat, not by {order_by!r}.")
    if len(description) > LONGEST_DESCRIPTION:
        raise WebhookError(f"Describe it in at most {LONGEST_DESCRIPTION} characters.")
    if of_numbers is not None:
        known = {number.id for number in await numbers.numbers(tx, organisation_id)}
        if not of_numbers:
            raise WebhookError("Choose at least one number, or all.")
        if strange := sorted(set(of_numbers) - known):
            raise WebhookError(f"There is no number {strange[0]}.")
    return {
        "organisation": organisation_id,
        "url": url,
        "types": [kind for kind in rules.TYPES if kind in wanted],
        "numbers": sorted(set(of_numbers)) if of_numbers is not None else None,
        "description": " ".join(description.split()),
        "order_by": order_by,
    }


async def rotate(app: App, tx: Tx, organisation_id: int, endpoint_id: int, user_id: int | None) -> str:
    """The new secret. For a while the old one signs as well, so that no receiver has to change at that very moment."""
    await found(tx, organisation_id, endpoint_id, lock=True)
    secret, now = rules.secret(secrets.token_bytes(rules.SECRET_BYTES)), app.clock.now()
    named = {"organisation": organisation_id, "id": endpoint_id}
    sealed = {"secret": app.vault.seal(secret), "until": now + rules.OVERLAP}
    await tx.execute(queries.ROTATE, {**named, **sealed})
    await _record(tx, organisation_id, user_id, "webhook.rotated", endpoint_id, now)
    return secret


async def turn_on(
    tx: Tx, organisation_id: int, endpoint_id: int, user_id: int | None, now: datetime, *, catch_up: bool
) -> None:
    """``catch_up``: what happened meanwhile is told as well; else what waited is given up, and it begins at now."""
    endpoint = await found(tx, organisation_id, endpoint_id, lock=True)
    if endpoint.state == ON:
        return
    named = {"organisation": organisation_id, "id": endpoint_id, "now": now}
    if catch_up:
        await tx.execute(queries.HURRY, named)
    else:
        await tx.execute(queries.DROP, {**named, "why": TURNED_OFF})
        await tx.execute(queries.TO_THE_END, named)
        await reading.remember(tx, endpoint)
    await tx.execute(queries.SET_STATE, {**named, "state": ON, "says": ""})
    await _record(tx, organisation_id, user_id, "webhook.on", endpoint_id, now)
    await wake(tx, organisation_id, endpoint_id)


async def turn_off(tx: Tx, organisation_id: int, endpoint_id: int, user_id: int | None, now: datetime) -> None:
    """Nothing goes out any more. What waits, and what happens from now on, can still be told later."""
    await found(tx, organisation_id, endpoint_id, lock=True)
    await _set(tx, organisation_id, endpoint_id, OFF, "", now)
    await _record(tx, organisation_id, user_id, "webhook.off", endpoint_id, now)


async def stop(tx: Tx, endpoint: Endpoint, says: str, now: datetime) -> None:
    """By itself; ``says`` why, to people."""
    await _set(tx, endpoint.organisation_id, endpoint.id, STOPPED, says, now)
    await _record(tx, endpoint.organisation_id, None, "webhook.stopped", endpoint.id, now)


async def _set(tx: Tx, organisation_id: int, endpoint_id: int, state: str, says: str, now: datetime) -> None:
    named = {"organisation": organisation_id, "id": endpoint_id, "state": state, "says": says, "now": now}
    await tx.execute(queries.SET_STATE, named)


async def remove(tx: Tx, organisation_id: int, endpoint_id: int, user_id: int | None, now: datetime) -> None:
    """With all of its deliveries."""
    await found(tx, organisation_id, endpoint_id, lock=True)
    for statement in queries.DELETE:
        await tx.execute(statement, {"organisation": organisation_id, "id": endpoint_id})
    await _record(tx, organisation_id, user_id, "webhook.deleted", endpoint_id, now)


async def test(tx: Tx, organisation_id: int, endpoint_id: int, now: datetime) -> int:
    """An event that says nothing goes out; answers its delivery's id. Raises WebhookError while it is off."""
    await _on(tx, organisation_id, endpoint_id)
    key = f"msg_test_{secrets.token_hex(8)}"
    body = {"type": rules.TEST, "timestamp": now, "data": {"says": "This is a test. Nothing has happened."}}
    named = {
        "organisation": organisation_id,
        "id": endpoint_id,
        "key": key,
        "type": rules.TEST,
        "body": orjson.dumps(body, option=orjson.OPT_UTC_Z).decode(),
        "now": now,
    }
    delivery_id = int(await tx.value(queries.WRITE_TEST, named))
    await wake(tx, organisation_id, endpoint_id)
    return delivery_id


async def replay(tx: Tx, organisation_id: int, endpoint_id: int, delivery_id: int, now: datetime) -> Delivery:
    """Once more, with the same id and the same body; one that waits is tried at once. Raises WebhookError."""
    await _on(tx, organisation_id, endpoint_id)
    named = {"organisation": organisation_id, "id": endpoint_id, "delivery": delivery_id, "since": None, "now": now}
    await tx.execute(queries.REPLAY, named)
    delivery = await queries.delivery(tx, organisation_id, endpoint_id, delivery_id)
    if delivery is None:
        raise NoSuchWebhook(f"This webhook has no delivery {delivery_id}. Old ones are deleted.")
    await wake(tx, organisation_id, endpoint_id)
    return delivery


async def replay_since(tx: Tx, organisation_id: int, endpoint_id: int, since: datetime, now: datetime) -> int:
    """Everything that has happened since then, once more, in order; answers how much. Raises WebhookError."""
    await _on(tx, organisation_id, endpoint_id)
    named = {"organisation": organisation_id, "id": endpoint_id, "delivery": None, "since": since, "now": now}
    count = await tx.execute(queries.REPLAY, named)
    await wake(tx, organisation_id, endpoint_id)
    return count


async def _on(tx: Tx, organisation_id: int, endpoint_id: int) -> None:
    if (await found(tx, organisation_id, endpoint_id, lock=True)).state != ON:
        raise WebhookError("This webhook is off. Turn it on first.")


async def _record(
    tx: Tx, organisation_id: int, user_id: int | None, action: str, endpoint_id: int, now: datetime
) -> None:
    await accounts.record(tx, organisation_id, user_id, action, {"webhook": endpoint_id}, now)
