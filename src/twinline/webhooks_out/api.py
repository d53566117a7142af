"""Outgoing webhooks over HTTP: where they go, what was delivered, once more what is needed once more."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from twinline.accounts.api import Here, key
from twinline.accounts.models import Caller
from twinline.kit.api import BIGGEST_ID, ApiError, Id, In, Out, errors
from twinline.rules import webhooks as rules
from twinline.webhooks_out import models, queries, service
from twinline.webhooks_out.models import NoSuchWebhook, WebhookError

router = APIRouter(prefix="/webhooks", tags=["Webhooks"])

Reader = Annotated[Caller, key("webhooks:read")]
Writer = Annotated[Caller, key("webhooks:write")]
Type = Literal[
    "message.received", "message.echoed", "message.sent", "message.status", "message.edited", "message.revoked",
    "contact.updated", "chat.updated", "consent.changed", "number.updated", "template.updated", "campaign.updated",
    "campaign.finished", "campaign.recipient",
]  # fmt: skip
assert set(get_args(Type)) == rules.TYPES.keys()
Order = Literal["number", "chat"]
ANumber = Annotated[int, Field(ge=1, le=BIGGEST_ID)]
ORDER = (
    "`number`: one at a time, in the order in which it happened. `chat`: several at a time, in order within each chat."
)


def _in_our_time(at: datetime) -> datetime:
    if at.tzinfo is None or not 2009 <= at.year <= 9000:
        raise ValueError("has to be a time with its zone, like 2026-11-22T09:30:00Z")
    return at.astimezone(UTC)


class New(In):
    url: str = Field(examples=["https://example.com/hooks/whatsapp"])
    types: list[Type] = Field(min_length=1)
    numbers: list[ANumber] | None = Field(default=None, description="Null: all, also those that come later.")
    description: str = Field(default="", max_length=service.LONGEST_DESCRIPTION)
    order_by: Order = Field(default="number", description=ORDER)


class Change(In):
    """What is left out stays."""

    url: str | None = None
    types: list[Type] | None = Field(default=None, min_length=1)
    numbers: list[ANumber] | None = Field(default=None, description="Null, if it is given: all.")
    description: str | None = Field(default=None, max_length=service.LONGEST_DESCRIPTION)
    order_by: Order | None = Field(default=None, description=ORDER)


class On(In):
    catch_up: bool = Field(default=True, description="What happened meanwhile is told as well; else it begins at now.")


class Since(In):
    since: Annotated[datetime, AfterValidator(_in_our_time)] = Field(examples=["2026-11-22T09:30:00Z"])


class Webhook(Out):
    id: int
    url: str
    description: str
    types: list[str]
    numbers: list[int] | None = Field(description="Null: all.")
    order_by: str = Field(description=ORDER)
    state: str = Field(description="on, off, or stopped: by itself, `says` tells why.")
    says: str | None
    waiting: int = Field(description="How much is still to be taken.")
    failing_since: datetime | None = Field(description="Nothing was taken since then. Null: all is well.")
    last_at: datetime | None = Field(description="When something was last taken.")
    created_at: datetime

    @classmethod
    def of(cls, one: models.Endpoint) -> "Webhook":
        return cls.model_validate({**{name: getattr(one, name) for name in cls.model_fields}, "says": one.says or None})


class Webhooks(Out):
    webhooks: list[Webhook]


class Made(Webhook):
    secret: str = Field(description="With which it is signed. It isn't shown again.")


class Secret(Out):
    secret: str = Field(description="It isn't shown again. The one before signs as well for a day.")


class Delivery(Out):
    id: int
    webhook_id: str = Field(description="The header `webhook-id`: the same however often it is delivered.")
    type: str
    at: datetime = Field(description="When it happened.")
    number_id: int | None
    state: str = Field(description="waiting, delivered, or failed: nobody tries any more.")
    tries: int
    tried_at: datetime | None
    next_at: datetime | None = Field(description="When it is tried next.")
    code: int | None = Field(description="Of the last answer.")
    took: int | None = Field(description="Milliseconds.")
    problem: str | None
    answer: str | None = Field(description="How the last answer began.")

    @classmethod
    def of(cls, one: models.Delivery, **more: Any) -> "Delivery":
        same = {name: getattr(one, name) for name in cls.model_fields if hasattr(one, name)}
        next_at = one.due_at if one.state == "waiting" else None
        return cls.model_validate({**same, "webhook_id": one.key, "next_at": next_at, **more})


class Whole(Delivery):
    body: str = Field(description="As it goes out, to the byte.")


class Deliveries(Out):
    deliveries: list[Delivery]
    next: int | None = Field(description="The cursor of the following page.")


class Count(Out):
    count: int


@router.get("", summary="List webhooks")
async def list_webhooks(app: Here, who: Reader) -> Webhooks:
    async with app.db.transaction() as tx:
        return Webhooks(webhooks=[Webhook.of(one) for one in await queries.endpoints(tx, who.organisation_id)])


@router.post("", status_code=201, summary="Make a webhook", responses=errors(422))
async def add_webhook(app: Here, who: Writer, new: New) -> Made:
    """It is told what happens from now on. Keep the secret: it isn't shown again."""
    with _told():
        async with app.db.transaction() as tx:
            made, secret = await service.add(app, tx, who.organisation_id, user_id=None, **new.model_dump())
            one = await service.found(tx, who.organisation_id, made)
    return Made(**Webhook.of(one).model_dump(), secret=secret)


@router.get("/{webhook_id}", summary="One webhook")
async def get_webhook(app: Here, who: Reader, webhook_id: Id) -> Webhook:
    with _told():
        async with app.db.transaction() as tx:
            return Webhook.of(await service.found(tx, who.organisation_id, webhook_id))


@router.patch("/{webhook_id}", summary="Change a webhook", responses=errors(422))
async def change_webhook(app: Here, who: Writer, webhook_id: Id, change: Change) -> Webhook:
    with _told():
        async with app.db.transaction() as tx:
            one = await service.found(tx, who.organisation_id, webhook_id)
            given = change.model_dump(exclude_unset=True)
            fields = {name: getattr(one, name) for name in Change.model_fields}
            fields |= {name: value for name, value in given.items() if value is not None or name == "numbers"}
            await service.change(app, tx, who.organisation_id, webhook_id, None, **fields)
            return Webhook.of(await service.found(tx, who.organisation_id, webhook_id))


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook")
async def delete_webhook(app: Here, who: Writer, webhook_id: Id) -> None:
    """With all that is known of its deliveries."""
    with _told():
        async with app.db.transaction() as tx:
            await service.remove(tx, who.organisation_id, webhook_id, None, app.clock.now())


@router.post("/{webhook_id}/on", summary="Turn a webhook on")
async def turn_webhook_on(app: Here, who: Writer, webhook_id: Id, on: On | None = None) -> Webhook:
    """Also one that has stopped by itself."""
    catch_up = on is None or on.catch_up
    with _told():
        async with app.db.transaction() as tx:
            now = app.clock.now()
            await service.turn_on(tx, who.organisation_id, webhook_id, None, now, catch_up=catch_up)
            return Webhook.of(await service.found(tx, who.organisation_id, webhook_id))


@router.post("/{webhook_id}/off", summary="Turn a webhook off")
async def turn_webhook_off(app: Here, who: Writer, webhook_id: Id) -> Webhook:
    """What waits, and what happens meanwhile, can still be told later."""
    with _told():
        async with app.db.transaction() as tx:
            await service.turn_off(tx, who.organisation_id, webhook_id, None, app.clock.now())
            return Webhook.of(await service.found(tx, who.organisation_id, webhook_id))


@router.post("/{webhook_id}/rotate", summary="Give a webhook a new secret")
async def rotate_secret(app: Here, who: Writer, webhook_id: Id) -> Secret:
    with _told():
        async with app.db.transaction() as tx:
            return Secret(secret=await service.rotate(app, tx, who.organisation_id, webhook_id, None))


@router.post("/{webhook_id}/test", status_code=202, summary="Send a test", responses=errors(422))
async def test_webhook(app: Here, who: Writer, webhook_id: Id) -> Delivery:
    """An event of type `webhook.test`. Ask for the delivery to see what became of it."""
    with _told():
        async with app.db.transaction() as tx:
            made = await service.test(tx, who.organisation_id, webhook_id, app.clock.now())
            one = await queries.delivery(tx, who.organisation_id, webhook_id, made)
    assert one is not None
    return Delivery.of(one)


@router.get("/{webhook_id}/deliveries", summary="List deliveries")
async def list_deliveries(
    app: Here,
    who: Reader,
    webhook_id: Id,
    state: Literal["waiting", "delivered", "failed"] | None = None,
    cursor: Annotated[int | None, Query(ge=1, le=BIGGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Deliveries:
    """Newest first, of the last 30 days."""
    with _told():
        async with app.db.transaction() as tx:
            await service.found(tx, who.organisation_id, webhook_id)
            found = await queries.deliveries(
                tx,
                who.organisation_id,
                webhook_id,
                before=cursor or BIGGEST_ID,
                state=state or "",
                limit=limit + 1,
            )
    more = len(found) > limit
    return Deliveries(
        deliveries=[Delivery.of(one) for one in found[:limit]], next=found[limit - 1].id if more else None
    )


@router.get("/{webhook_id}/deliveries/{delivery_id}", summary="One delivery, with its body")
async def get_delivery(app: Here, who: Reader, webhook_id: Id, delivery_id: Id) -> Whole:
    async with app.db.transaction() as tx:
        one = await queries.delivery(tx, who.organisation_id, webhook_id, delivery_id)
    if one is None:
        raise _no_delivery(delivery_id)
    return Whole.model_validate({**Delivery.of(one).model_dump(), "body": one.body})


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay", status_code=202, summary="Deliver once more", responses=errors(422)
)
async def replay_delivery(app: Here, who: Writer, webhook_id: Id, delivery_id: Id) -> Delivery:
    """With the same id and the same body. One that waits is tried at once."""
    with _told():
        async with app.db.transaction() as tx:
            return Delivery.of(await service.replay(tx, who.organisation_id, webhook_id, delivery_id, app.clock.now()))


@router.post(
    "/{webhook_id}/replay", status_code=202, summary="Deliver once more what happened since", responses=errors(422)
)
async def replay_webhook(app: Here, who: Writer, webhook_id: Id, since: Since) -> Count:
    """Answers how much. Receivers know repeats by their `webhook-id`."""
    with _told():
        async with app.db.transaction() as tx:
            now = app.clock.now()
            return Count(count=await service.replay_since(tx, who.organisation_id, webhook_id, since.since, now))


def _no_delivery(delivery_id: int) -> ApiError:
    return ApiError(404, "delivery.unknown", f"There is no delivery {delivery_id}.", "GET …/deliveries lists them.")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NoSuchWebhook as error:
        raise ApiError(404, "webhook.unknown", str(error), "GET /v1/webhooks lists those there are.") from error
    except WebhookError as error:
        raise ApiError(422, "webhook.invalid", str(error), "Correct it; nothing was changed.") from error
