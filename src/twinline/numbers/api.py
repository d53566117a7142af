"""Numbers over HTTP: which there are, how each stands, what it has sent this month, and what is possible at all."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from twinline.accounts.api import Here, key, number
from twinline.accounts.models import Caller
from twinline.costs import service as costs
from twinline.kit.api import Out
from twinline.numbers import models, queries
from twinline.rules import capabilities, lifecycle
from twinline.sending import stops

router = APIRouter(tags=["Numbers"])

Reader = Annotated[Caller, key("numbers:read")]


class Stop(Out):
    scope: str = Field(description="What stands still: message, pair, number, template, campaign, account or app.")
    key: str = Field(description="Which one, for templates.")
    code: int | None = Field(description="Meta's error code; null for a connection that was lost.")
    since: datetime | None
    until: datetime | None = Field(description="Null: it doesn't end by time alone.")
    says: str
    do: str


class Number(Out):
    id: int
    phone: str = Field(description="Digits only.")
    name: str | None = Field(description="As WhatsApp has verified it.")
    phone_number_id: str = Field(description="Meta's.")
    waba_id: str
    state: str = Field(description="connecting, connected, offboarded or disconnected")
    state_since: datetime | None
    may_send: bool = Field(description="Whether it is connected and has a token; a stop may still speak against it.")
    why: str | None = Field(description="Why it is offboarded or disconnected, and what to do.")
    connected_at: datetime | None = Field(description="Only what customers wrote after that opens a window.")
    phone_seen_at: datetime | None = Field(description="The newest sign of life of the phone.")
    token_expires_at: datetime | None

    @classmethod
    def of(cls, one: models.Number) -> "Number":
        lost = one.state in (lifecycle.Connection.OFFBOARDED, lifecycle.Connection.DISCONNECTED)
        because = lifecycle.explain(one.state_reason) if lost else None
        return cls(
            id=one.id,
            phone=one.display_phone,
            name=one.verified_name,
            phone_number_id=one.phone_number_id,
            waba_id=one.waba_id,
            state=one.state,
            state_since=one.state_since,
            may_send=lifecycle.may_send(lifecycle.Connection(one.state)) and one.token is not None,
            why=f"{because.says} {because.do}" if because else None,
            connected_at=one.connected_at,
            phone_seen_at=one.phone_seen_at,
            token_expires_at=one.token_expires_at,
        )


class Line(Out):
    category: str
    delivered: int
    free: int
    amount: Decimal = Field(description="An estimate; what has no rate isn't in it.")
    unknown: int = Field(description="How many have no rate.")


class Month(Out):
    """Delivered messages by category, in the account's time zone."""

    begins: datetime
    ends: datetime
    service_sent: int
    free_left: int = Field(description="Service messages that are still free this month.")
    currency: str | None
    lines: list[Line]


class OneNumber(Number):
    stops: list[Stop] = Field(description="What stands still now, why, and what ends it.")
    month: Month | None


class Numbers(Out):
    numbers: list[Number]


class Feature(Out):
    id: str
    title: str
    phone: str = Field(description="What becomes of it on the phone: kept, changed or lost.")
    phone_says: str
    api: str = Field(description="yes, partly or no")
    api_says: str
    error: str | None = Field(description="What is answered to those who ask for it here.")
    what_to_do: str | None = Field(description="What they can do instead.")
    source: str
    date: date
    confidence: str


class Capabilities(Out):
    features: list[Feature]


@router.get("/numbers", summary="List numbers")
async def list_numbers(app: Here, who: Reader) -> Numbers:
    async with app.db.transaction() as tx:
        found = await queries.numbers(tx, who.organisation_id)
    return Numbers(numbers=[Number.of(one) for one in found])


@router.get("/numbers/{number_id}", summary="See how a number stands")
async def get_number(app: Here, who: Reader, number_id: Annotated[int, number("numbers:read")]) -> OneNumber:
    """Its connection, what stands still and why, and its month so far."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        found = await queries.number(tx, who.organisation_id, number_id)
        assert found is not None
        standing = await stops.standing(tx, number_id, now)
        month = await costs.month(tx, number_id, now)
    return OneNumber(
        **dict(Number.of(found)),
        stops=[Stop.model_validate(one) for one in standing],
        month=Month.model_validate(month) if month else None,
    )


@router.get("/capabilities", summary="See what is possible")
async def get_capabilities(who: Reader) -> Capabilities:
    """What the phone keeps and what the API can do, feature by feature, with source and date."""
    return Capabilities(features=[Feature.model_validate(one) for one in capabilities.features()])
