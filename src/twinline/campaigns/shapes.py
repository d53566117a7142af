"""What the HTTP API of campaigns takes and answers."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, model_validator

from twinline.app import App
from twinline.campaigns import audience as audiences
from twinline.campaigns import conversions, lists, service, views, words
from twinline.campaigns.audience import MOST_SOURCES
from twinline.campaigns.models import Campaign as Row
from twinline.campaigns.models import Content
from twinline.campaigns.models import Schedule as When
from twinline.campaigns.models import Variant as Says
from twinline.campaigns.planning import Plan
from twinline.costs.service import account_of
from twinline.db import Tx
from twinline.kit.api import BIGGEST_ID, In, Out
from twinline.rules import campaigns as rules
from twinline.rules.campaigns import State

Whom = Annotated[int, Field(ge=1, le=BIGGEST_ID)] | Annotated[str, Field(max_length=200)]
WHOM: Final = "One of the campaign's people: their id there, a phone number, a user id, or `contact:12`."


# --- what is asked for ----------------------------------------------------------------------------------------------


class Entry(In):
    to: str = Field(max_length=200, description="A phone number or a user id.", examples=["+351 910 000 001"])
    language: str | None = Field(default=None, max_length=20, description="Of the template, if there are several.")
    values: dict[str, str] = Field(default_factory=dict, description="Columns, as if this were a line of a list.")


class FromFile(In):
    """A list that was brought. What isn't said of how to read it is found out."""

    file: str = Field(max_length=40, description="What `POST …/lists` answered.")
    phone: str | None = Field(default=None, max_length=200, description="The column with the numbers.")
    country: str | None = Field(default=None, max_length=2, description="Of numbers without a country code.")
    language: str | None = Field(default=None, max_length=200, description="The column with each one's language.")
    header: bool | None = Field(default=None, description="Whether the first line names the columns.")
    encoding: str | None = Field(default=None, max_length=40)
    sheet: str | None = Field(default=None, max_length=200, description="Of a workbook.")


class FromConditions(In):
    conditions: list[dict[str, str]] = Field(
        description="All have to hold, as in the saved filters of contacts. None: everybody whom the number knows.",
        examples=[[{"is": "tag", "tag": "vip"}, {"is": "wrote", "days": "30"}]],
    )


class FromSegment(In):
    segment: int = Field(ge=1, le=BIGGEST_ID, description="A saved filter's id.")


class FromPeople(In):
    people: list[Entry] = Field(min_length=1, max_length=10_000, description="One by one; for many, bring a file.")


class Audience(In):
    """Whom it goes to. Who may not get it is left out by the dry run, with the reason."""

    sources: list[FromFile | FromConditions | FromSegment | FromPeople] = Field(
        min_length=1, max_length=MOST_SOURCES, description="Whoever is in several gets it once."
    )


class Value(In):
    """What stands in a place of the template: one of these."""

    column: str | None = Field(default=None, max_length=200, description="Of the list.")
    field: str | None = Field(default=None, max_length=200, description="Of the contact: a field's key.")
    contact: Literal["name", "first_name", "phone", "username"] | None = None
    text: str | None = Field(default=None, max_length=4096, description="The same for everybody.")
    value: dict[str, Any] | None = Field(default=None, description='An object of Meta\'s: `{"link": …}` of an image.')
    media: str | None = Field(
        default=None, pattern="^m_[A-Za-z0-9_-]{1,98}$", description="A header's file: what `POST …/media` answered."
    )
    fallback: str | None = Field(default=None, max_length=1024, description="Where that is empty.")

    @model_validator(mode="after")
    def _one_way(self) -> "Value":
        if len(self.model_dump(exclude_none=True).keys() - {"fallback"}) != 1:
            raise ValueError("has to be exactly one of column, field, contact, text, value and media")
        return self


class Variant(In):
    """A template. Of several, each gets its share of the people, and the results compare them."""

    template: str = Field(max_length=600)
    languages: list[str] = Field(
        min_length=1,
        max_length=80,
        description="Of the template: each gets theirs, and the first who has none of them.",
    )
    values: dict[str, Value] = Field(default_factory=dict, examples=[{"body.1": {"column": "name", "fallback": "you"}}])
    share: int = Field(default=1, ge=1, le=1000, description="1 and 1 is half and half.")

    @property
    def says(self) -> Says:
        values = {place: value.model_dump(exclude_none=True) for place, value in self.values.items()}
        return Says(self.template, self.languages, values, self.share)


class Schedule(In):
    at: str | None = Field(default=None, max_length=40, examples=["2026-12-01T10:00"], description="A clock's time.")
    zone: str = Field(default="UTC", max_length=60, description="An IANA name, or `recipient`: each in their own.")
    hours: float | None = Field(default=None, description="Spread evenly over so many.")
    between: list[str] | None = Field(
        default=None, min_length=2, max_length=2, examples=[["09:00", "20:00"]], description="Only at this time of day."
    )

    @property
    def when(self) -> When:
        return When(self.at, self.zone, self.hours, self.between)


class Routing(In):
    """What is done with replies, and which tag is a conversion."""

    tag: str | None = Field(default=None, max_length=40, description="Given to whoever replies.")
    assign_to: int | None = Field(default=None, ge=1, le=BIGGEST_ID, description="Whose chat it becomes: a user's id.")
    automation: int | None = Field(default=None, ge=1, le=BIGGEST_ID, description="Which talks with them: its id.")
    converted_by: str | None = Field(
        default=None, max_length=40, description="Whoever is given this tag has converted."
    )


class Change(In):
    """What is left out stays. Whatever was planned is void then, and has to be planned again."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    variants: list[Variant] | None = Field(default=None, max_length=10)
    audience: Audience | None = None
    schedule: Schedule | None = None
    limits: dict[str, float] | None = Field(
        default=None,
        description="When it stops by itself: `failed`, `blocked`, `opted_out` as shares of those sent, `after` so "
        "many; and `weekly`, how many campaigns one person gets in seven days.",
        examples=[{"failed": 0.05}],
    )
    routing: Routing | None = None
    topic: str | None = Field(default=None, max_length=40, description="What it is about, for consent.")
    speed: float | None = Field(default=None, description="Messages a second at most; null: whatever is left.")

    async def parts(self, app: App, tx: Tx, organisation_id: int, number_id: int) -> dict[str, Any]:
        """What was given, as ``service`` takes it."""
        given = self.model_fields_set
        found: dict[str, Any] = {
            name: getattr(self, name) for name in ("name", "limits", "topic", "speed") if name in given
        }
        if self.variants is not None:
            found["content"] = Content([one.says for one in self.variants])
        if self.schedule is not None:
            found["schedule"] = self.schedule.when
        if self.routing is not None:
            found["routing"] = self.routing.model_dump(exclude_none=True)
        if self.audience is not None:
            found["audience"] = await _audience(app, tx, organisation_id, number_id, self.audience)
        return {name: value for name, value in found.items() if value is not None or name == "speed"}


class New(Change):
    name: str = Field(min_length=1, max_length=200)


class Begin(In):
    now: bool = Field(default=False, description="Of one with a time: don't wait for it.")


class First(In):
    people: list[Whom] = Field(min_length=1, max_length=service.MOST_FIRST, description=f"{WHOM} Up to ten.")


class Conversion(In):
    who: Whom = Field(description=WHOM)
    key: str = Field(
        min_length=1, max_length=200, examples=["order-1001"], description="Counts once, however often told."
    )
    what: str = Field(default="", max_length=200, examples=["order"])
    value: Decimal | None = Field(default=None, ge=0, max_digits=18, decimal_places=6)
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$", description="Of the value.")
    at: AwareDatetime | None = Field(default=None, description="When it happened; default: now.")

    @model_validator(mode="after")
    def _worth(self) -> "Conversion":
        if (self.value is None) != (self.currency is None):
            raise ValueError("has to have both a value and its currency, or neither")
        return self


# --- what is answered -----------------------------------------------------------------------------------------------


class Line(Out):
    line: int
    problem: str


class List(Out):
    file: str = Field(description="What a campaign's audience names.")
    name: str
    columns: list[str]
    phone: str = Field(description="The column with the numbers.")
    language: str | None
    country: str = Field(description="Of numbers without a country code.")
    people: int = Field(description="Lines that can be used.")
    duplicates: int = Field(description="Among these, those who are there already. They get it once.")
    bad: int = Field(description="Lines that can't be used; all of them: `GET …/lists/{file}/bad.csv`.")
    bad_lines: list[Line] = Field(description="The first hundred.")
    sample: list[list[str]]

    @classmethod
    def of(cls, one: lists.Reading) -> "List":
        bad = [Line(line=line, problem=problem) for line, problem in one.bad_lines]
        return cls.model_validate({**{name: getattr(one, name) for name in cls.model_fields}, "bad_lines": bad})


class Campaign(Out):
    id: int
    number_id: int
    name: str
    state: State
    state_since: datetime
    reason: str | None = Field(description="Of the state, where it has one: `limit.failed`, `stopped.template` …")
    says: str | None = Field(description="The same for people.")
    may: list[str] = Field(description="The steps that are possible now.")
    audience: dict[str, Any]
    variants: list[dict[str, Any]]
    schedule: dict[str, Any]
    limits: dict[str, float]
    routing: dict[str, Any]
    topic: str
    speed: float | None
    created_at: datetime
    planned_so_far: int | None = Field(description="While it is planned: people that were looked at, of…")
    planned_total: int | None = Field(description="… so many. Null: not counted yet, or not being planned.")
    planned_at: datetime | None
    starts_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, one: Row) -> "Campaign":
        same = {name: getattr(one, name) for name in cls.model_fields if name not in ("may", "variants", "limits")}
        return cls(
            **{
                **same,
                "reason": one.reason or None,
                "says": one.says or None,
                "may": sorted(rules.possible(one.state)),
                "variants": one.content.get("variants", []),
                "limits": {**service.defaults(), **one.limits},
            }
        )


class Summary(Out):
    id: int
    name: str
    state: State
    says: str | None
    templates: list[str]
    people: int
    sent: int
    created_at: datetime
    starts_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class Campaigns(Out):
    campaigns: list[Summary]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end.")


class DryRun(Out):
    """What would happen. Nothing has been sent."""

    state: State
    says: str | None = Field(description="Why it couldn't be planned, if it couldn't.")
    plan: Plan | None = Field(description="Null: it isn't planned (yet).")


class Person(Out):
    id: int
    contact_id: int | None
    name: str | None
    phone: str | None
    bsuid: str | None
    line: int | None = Field(description="Of the list.")
    language: str | None
    variant: int = Field(description="From 0.")
    market: str | None
    cost: Decimal | None
    state: str
    reason: str | None = Field(description="For programs: `opted_out`, `131026` …")
    says: str | None = Field(description="The same for people.")
    queued_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    replied_at: datetime | None
    failed_at: datetime | None
    button: str | None = Field(description="The first one that they tapped.")
    opted_out_at: datetime | None
    converted_at: datetime | None

    @classmethod
    def of(cls, one: views.Person) -> "Person":
        said = {"reason": one.reason or None, "says": words.reason(one.reason, one.says) or None}
        return cls.model_validate({name: getattr(one, name) for name in cls.model_fields} | said)


class People(Out):
    recipients: list[Person]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end.")


class Detail(Person):
    text: str | None = Field(description="What they read, or will: frozen by the planning. Null: left out.")
    filled: dict[str, str] = Field(description="The values by the template's places.")
    wamid: str | None
    reply_wamid: str | None = Field(description="The first message with which they answered.")
    conversions: list[dict[str, Any]]


class Cause(Out):
    reason: str
    says: str
    people: int


class Figures(Out):
    """Counted over the recipients' rows. Who has read it is among those delivered, and those among the ones sent."""

    people: int = Field(description="Without those left out.")
    waiting: int
    sent: int = Field(description="Meta has it, and it didn't fail.")
    delivered: int
    read: int = Field(description="As far as people let that be known.")
    replied: int
    failed: int
    doubtful: int = Field(description="Meta may have it; never sent again by itself.")
    cancelled: int
    opted_out: int = Field(description="Said here that they want no more.")
    blocked: int = Field(description="Told WhatsApp so.")
    converted: int
    buttons: dict[str, int] = Field(description="People by the first button that they tapped.")
    spent: Decimal = Field(description="For what was delivered: an estimate, in the results' currency.")
    unpriced: int = Field(description="Delivered to, without a known rate.")
    cost_per: dict[str, Decimal | None] = Field(description="Delivered, read, replied, converted; null: nobody did.")
    value: dict[str, Decimal] = Field(description="Of the conversions, by currency.")


class Compared(Figures):
    template: str


class Results(Figures):
    state: State
    currency: str | None = Field(description="Of the account; null: not known yet.")
    skipped: int = Field(description="Left out, by the dry run or since.")
    left_out: list[Cause]
    failures: list[Cause]
    variants: list[Compared]


class Queued(Out):
    queued: int = Field(description="To how many it goes. Whom a rule forbids is skipped, with the reason.")


class Counted(Out):
    recipient: int
    new: bool = Field(description="False: it had been told before, and is as told now.")


async def _audience(app: App, tx: Tx, organisation_id: int, number_id: int, asked: Audience) -> dict[str, Any]:
    """As ``audience`` keeps it; people who are named one by one become a list. Raises Refused."""
    sources = []
    for source in asked.sources:
        said = source.model_dump(exclude_none=True)
        if isinstance(source, FromPeople):
            country = await audiences.country_of(tx, organisation_id, number_id)
            reading = await lists.bring_list(app, organisation_id, said["people"], country=country)
            said = {"file": reading.file, **reading.options}
        sources.append(said)
    found = {"sources": sources}
    audiences.sources_of(found)
    return found


# --- figures ----------------------------------------------------------------------------------------------------------


async def results(tx: Tx, one: Row) -> Results:
    """The figures of a campaign, and of each of its variants."""
    where = one.number_id, one.id
    variants = await views.variants(tx, *where, [variant.template for variant in one.what.variants])
    account = await account_of(tx, one.number_id)
    worth = await conversions.worth(tx, one)
    everybody = await views.tally(tx, *where)
    return Results(
        state=one.state,
        currency=account.currency if account else None,
        skipped=everybody["skipped"],
        left_out=[_cause(cause) for cause in await views.reasons(tx, *where, "skipped")],
        failures=[_cause(cause) for cause in await views.reasons(tx, *where, "failed")],
        variants=[Compared(template=each.template, **_figures([each], worth)) for each in variants],
        **_figures(variants, worth),
    )


COUNTED: Final = ("waiting", "sent", "delivered", "read", "replied", "failed", "doubtful", "cancelled")


def _figures(variants: list[views.Variant], worth: Mapping[int, Mapping[str, Decimal]]) -> dict[str, Any]:
    counts = {name: sum(each.tally[name] for each in variants) for name in COUNTED}
    sums: dict[str, Any] = {
        name: sum(getattr(each, name) for each in variants)
        for name in ("opted_out", "blocked", "converted", "unpriced")
    }
    spent = sum((each.spent for each in variants), Decimal(0))
    buttons: dict[str, int] = {}
    value: dict[str, Decimal] = {}
    for each in variants:
        for button, people in each.buttons.items():
            buttons[button] = buttons.get(button, 0) + people
        for currency, amount in worth.get(each.index, {}).items():
            value[currency] = value.get(currency, Decimal(0)) + amount
    per = {**counts, **sums}
    return {
        **counts,
        **sums,
        "people": sum(each.tally.people for each in variants),
        "spent": spent,
        "buttons": buttons,
        "value": value,
        "cost_per": {
            name: round(spent / per[name], 6) if per[name] else None
            for name in ("delivered", "read", "replied", "converted")
        },
    }


def _cause(cause: views.Reason) -> Cause:
    return Cause(reason=cause.reason, says=words.cause(cause), people=cause.people)
