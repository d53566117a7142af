"""Contacts over HTTP, under the number that knows them; segments, topics and the suppression list, which are shared."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, Field

from twinline.accounts.api import Here, key, number
from twinline.accounts.models import Caller
from twinline.contacts import conditions, queries, service
from twinline.contacts.models import ContactError, NotThere
from twinline.db import Tx
from twinline.kit.api import BIGGEST_ID, ApiError, Id, In, Out, Text, errors
from twinline.kit.phones import read_phone
from twinline.rules.consent import Consent as Told

router = APIRouter(tags=["Contacts"])

Reader = Annotated[Caller, key("contacts:read")]
Writer = Annotated[Caller, key("contacts:write")]
Read = Annotated[int, number("contacts:read")]
Written = Annotated[int, number("contacts:write")]
Address = Annotated[
    Text,
    Path(max_length=200, description="A phone number, a user id, or contact:12.", examples=["+351910000001"]),
]

PEOPLE = "/numbers/{number_id}/contacts"
MOST = 500


def _in_our_time(at: datetime) -> datetime:
    if at.tzinfo is None or not 2009 <= at.year <= 9000:
        raise ValueError("has to be a time with its zone, like 2026-11-22T09:30:00Z")
    return at.astimezone(UTC)


Time = Annotated[datetime, AfterValidator(_in_our_time)]


class Consent(Out):
    allowed: bool = Field(description="Whether marketing may be sent to them.")
    why: str = Field(description="nothing_said, opted_in, meta, suppressed, opted_out, opted_out_of_topic, no_opt_in.")
    says: str
    since: datetime | None

    @classmethod
    def of(cls, told: Told) -> "Consent":
        return cls(allowed=told.allowed, why=told.why, says=told.says, since=told.since)


class Contact(Out):
    id: int
    phone: str | None
    user_id: str | None
    name: str = Field(description="The name given here, else the address book's, the profile's, the number.")
    custom_name: str | None = Field(description="The name given here.")
    language: str | None
    tags: list[str]
    fields: dict[str, str]
    marketing: Consent
    last_wrote_at: datetime | None


class Contacts(Out):
    contacts: list[Contact]
    count: int = Field(description=f"How many fit; counted to {queries.MOST_COUNTED}.")
    next: int | None = Field(description="The cursor of the following page.")


class Change(In):
    """What is left out stays as it is; null or an empty text takes a value away."""

    name: str | None = Field(default=None, max_length=service.LONGEST_NAME)
    language: str | None = Field(default=None, examples=["pt_BR"])
    fields: dict[str, str | None] = Field(default_factory=dict, description="Key → value, always as text.")
    add_tags: list[str] = Field(default_factory=list, max_length=service.MOST_TAGS)
    remove_tags: list[str] = Field(default_factory=list, max_length=service.MOST_TAGS)


class Word(In):
    granted: bool = Field(description="True: they want marketing. False: they want no more.")
    topic: str = Field(default="", description='"" is marketing as a whole.')
    at: Time | None = Field(default=None, description="When they said so; now, if left out.")
    proof: str = Field(default="", max_length=service.LONGEST_DETAIL, description="How it can be shown later.")


class Said(Out):
    topic: str
    at: datetime
    granted: bool
    source: str = Field(description="keyword, person, import, api, command, or whatsapp for Meta's own switch.")
    detail: str


class History(Out):
    marketing: Consent
    topics: dict[str, Consent]
    said: list[Said] = Field(description="Newest first.")


class Tagging(In):
    contacts: list[int] = Field(max_length=5000, description="Ids.")
    add: list[str] = Field(default_factory=list, max_length=service.MOST_TAGS)
    remove: list[str] = Field(default_factory=list, max_length=service.MOST_TAGS)


class Count(Out):
    count: int


class Tag(Out):
    name: str
    contacts: int


class Tags(Out):
    tags: list[Tag]


class NewField(In):
    label: str
    kind: Literal["text", "number", "date"] = "text"
    key: str | None = Field(default=None, description="Made from the label, if left out.")


class AField(Out):
    key: str
    label: str
    kind: str


class Fields(Out):
    fields: list[AField]


class NewSegment(In):
    name: str
    conditions: list[dict[str, str | int]] = Field(
        max_length=conditions.MOST,
        description="All have to hold: {is: tag, tag: vip}, {is: wrote, days: 30} …; GET /v1/conditions lists them.",
        examples=[[{"is": "tag", "tag": "vip"}]],
    )


class Segment(Out):
    id: int
    name: str
    conditions: list[dict[str, str]]


class Segments(Out):
    segments: list[Segment]


class ACondition(Out):
    name: str
    label: str
    takes: list[str]


class Conditions(Out):
    conditions: list[ACondition]


class NewTopic(In):
    title: str
    needs_opt_in: bool = Field(default=True, description="Goes only to people who asked for it.")


class Topic(Out):
    key: str
    title: str
    needs_opt_in: bool


class Topics(Out):
    topics: list[Topic]


class Entry(In):
    address: str = Field(description="A phone number with country code, or a user id.")
    why: str = Field(default="", max_length=service.LONGEST_DETAIL)
    since: Time | None = None


class Entries(In):
    people: list[Entry] = Field(max_length=5000)


class Suppressed(Out):
    address: str
    why: str
    at: datetime


class Suppressions(Out):
    people: list[Suppressed]
    count: int
    next: str | None = Field(description="The cursor of the following page.")


# --- people -----------------------------------------------------------------------------------------------------------


@router.get(PEOPLE, summary="List contacts", responses=errors(422))
async def list_contacts(
    app: Here,
    who: Reader,
    number_id: Read,
    q: Annotated[Text, Query(max_length=200, description="In names and numbers.")] = "",
    segment: Annotated[int | None, Query(ge=1, le=BIGGEST_ID)] = None,
    tag: Annotated[Text, Query(max_length=40)] = "",
    cursor: Annotated[int | None, Query(ge=1, le=BIGGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> Contacts:
    """Those known last come first."""
    now = app.clock.now()
    with _told():
        async with app.db.transaction() as tx:
            filter_ = conditions.read([{"is": "tag", "tag": tag}] if tag else [])
            if segment is not None:
                filter_ += (await _segment(tx, who.organisation_id, segment)).conditions
            page = await queries.page(
                tx, who.organisation_id, number_id, q=q, filter_=filter_, now=now, before=cursor, limit=limit
            )
            consents = await service.consents(tx, number_id, [one.id for one in page.contacts])
    return Contacts(
        contacts=[contact_of(one, consents[one.id]) for one in page.contacts], count=page.count, next=page.next
    )


@router.get(f"{PEOPLE}/{{address}}", summary="One contact", responses=errors(422))
async def get_contact(app: Here, who: Reader, number_id: Read, address: Address) -> Contact:
    with _told():
        async with app.db.transaction() as tx:
            return await _shown(tx, number_id, (await service.known(tx, number_id, address)).id)


@router.put(f"{PEOPLE}/{{address}}", summary="Make or change a contact", responses=errors(422))
async def put_contact(app: Here, who: Writer, number_id: Written, address: Address, change: Change) -> Contact:
    """Makes the contact if the number doesn't know it. Repeating it changes nothing more."""
    now = app.clock.now()
    about = change.model_dump(include={"name", "language", "fields"}, exclude_unset=True)
    with _told():
        async with app.db.transaction() as tx:
            contact_id = await service.contact_for(tx, number_id, address)
            if about:
                await service.know(tx, number_id, {contact_id: about}, now)
            if change.add_tags or change.remove_tags:
                await service.tag(tx, number_id, [contact_id], now, add=change.add_tags, remove=change.remove_tags)
            return await _shown(tx, number_id, contact_id)


@router.post(f"{PEOPLE}/tags", summary="Tag many contacts", responses=errors(422))
async def tag_contacts(app: Here, who: Writer, number_id: Written, tagging: Tagging) -> Count:
    """Answers for how many something changed."""
    with _told():
        async with app.db.transaction() as tx:
            ids = [one for one in tagging.contacts if 0 < one <= BIGGEST_ID]
            now = app.clock.now()
            changed = await service.tag(tx, number_id, ids, now, add=tagging.add, remove=tagging.remove)
    return Count(count=len(changed))


@router.get(f"{PEOPLE}/{{address}}/consent", summary="See what somebody said about marketing", responses=errors(422))
async def get_consent(app: Here, who: Reader, number_id: Read, address: Address) -> History:
    with _told():
        async with app.db.transaction() as tx:
            contact = await service.known(tx, number_id, address)
            return await _history(tx, who.organisation_id, number_id, contact.id)


@router.post(f"{PEOPLE}/{{address}}/consent", summary="Record an opt-in or opt-out", responses=errors(422))
async def record_consent(app: Here, who: Writer, number_id: Written, address: Address, word: Word) -> History:
    """Words are only added, and the newest counts. Makes the contact if the number doesn't know it."""
    with _told():
        async with app.db.transaction() as tx:
            contact_id = await service.contact_for(tx, number_id, address)
            await service.say(
                tx,
                number_id,
                contact_id,
                word.granted,
                app.clock.now(),
                topic=word.topic,
                source="api",
                detail=word.proof,
                at=word.at,
            )
            return await _history(tx, who.organisation_id, number_id, contact_id)


# --- what the organisation shares -------------------------------------------------------------------------------------


@router.get("/tags", summary="List tags")
async def list_tags(app: Here, who: Reader) -> Tags:
    async with app.db.transaction() as tx:
        return Tags(tags=[Tag.model_validate(tag) for tag in await queries.tags(tx, who.organisation_id)])


@router.get("/fields", summary="List fields")
async def list_fields(app: Here, who: Reader) -> Fields:
    async with app.db.transaction() as tx:
        return Fields(fields=[AField.model_validate(one) for one in await queries.fields(tx, who.organisation_id)])


@router.post("/fields", status_code=201, summary="Make a field", responses=errors(422))
async def add_field(app: Here, who: Writer, new: NewField) -> AField:
    with _told():
        async with app.db.transaction() as tx:
            made = await service.add_field(tx, who.organisation_id, new.label, new.kind, app.clock.now(), key=new.key)
    return AField.model_validate(made)


@router.get("/conditions", summary="What contacts can be chosen by")
async def list_conditions(who: Reader) -> Conditions:
    return Conditions(conditions=[ACondition.model_validate(_plain(one)) for one in conditions.CONDITIONS.values()])


@router.get("/segments", summary="List segments")
async def list_segments(app: Here, who: Reader) -> Segments:
    async with app.db.transaction() as tx:
        found = await queries.segments(tx, who.organisation_id)
    return Segments(segments=[Segment.model_validate(one) for one in found])


@router.post("/segments", status_code=201, summary="Keep a segment", responses=errors(422))
async def keep_segment(app: Here, who: Writer, new: NewSegment) -> Segment:
    """A name that there is already means that segment, which gets these conditions."""
    filter_ = [{name: str(value) for name, value in said.items()} for said in new.conditions]
    with _told():
        async with app.db.transaction() as tx:
            kept = await service.keep_segment(tx, who.organisation_id, new.name, filter_, None, app.clock.now())
    return Segment.model_validate(kept)


@router.delete("/segments/{segment_id}", status_code=204, summary="Delete a segment")
async def delete_segment(app: Here, who: Writer, segment_id: Id) -> None:
    with _told():
        async with app.db.transaction() as tx:
            await _segment(tx, who.organisation_id, segment_id)
            await service.forget_segment(tx, who.organisation_id, segment_id)


@router.get("/topics", summary="List topics")
async def list_topics(app: Here, who: Reader) -> Topics:
    async with app.db.transaction() as tx:
        return Topics(topics=[Topic.model_validate(one) for one in await queries.topics(tx, who.organisation_id)])


@router.post("/topics", status_code=201, summary="Make or change a topic", responses=errors(422))
async def keep_topic(app: Here, who: Writer, new: NewTopic) -> Topic:
    with _told():
        async with app.db.transaction() as tx:
            kept = await service.keep_topic(
                tx,
                who.organisation_id,
                new.title,
                needs_opt_in=new.needs_opt_in,
                user_id=None,
                now=app.clock.now(),
            )
    return Topic.model_validate(kept)


@router.get("/suppressions", summary="See the suppression list")
async def list_suppressions(
    app: Here,
    who: Reader,
    cursor: Annotated[Text, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> Suppressions:
    async with app.db.transaction() as tx:
        found = await queries.suppressed(tx, who.organisation_id, after=cursor, limit=limit)
        count = await queries.count_suppressed(tx, who.organisation_id)
    return Suppressions(
        people=[Suppressed(address=one.address, why=one.why, at=one.at) for one in found],
        count=count,
        next=found[-1].key if len(found) == limit else None,
    )


@router.post("/suppressions", summary="Put people on the suppression list", responses=errors(422))
async def suppress(app: Here, who: Writer, entries: Entries) -> Count:
    """Answers how many weren't on it. One that can't be read refuses all, and says which."""
    found, wrong = [], []
    for place, entry in enumerate(entries.people):
        try:
            found.append((_key(entry.address), entry.why, entry.since))
        except ValueError as error:
            wrong.append({"field": f"people.{place}.address", "problem": str(error)})
    if wrong:
        says = f"{len(wrong)} of these addresses can't be read."
        raise ApiError(422, "contact.address", says, "Correct them; details says which.", wrong)
    async with app.db.transaction() as tx:
        return Count(count=await service.suppress(tx, who.organisation_id, found, None, app.clock.now()))


@router.delete("/suppressions/{address}", summary="Take somebody off the suppression list", responses=errors(422))
async def release(app: Here, who: Writer, address: Address) -> Count:
    """What they themselves said stays. Answers how many that were: 1 or 0."""
    try:
        found = _key(address)
    except ValueError as error:
        raise ApiError(422, "contact.address", f"This address {error}.", "Give the number or id.") from error
    async with app.db.transaction() as tx:
        return Count(count=await service.release(tx, who.organisation_id, [found], None, app.clock.now()))


# --- shapes -----------------------------------------------------------------------------------------------------------


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NotThere as error:
        raise ApiError(404, "contact.unknown", _sentence(error), "Look at what there is first.") from error
    except ContactError as error:
        raise ApiError(422, "contact.invalid", _sentence(error), "Correct it; nothing was changed.") from error


def _sentence(error: Exception) -> str:
    said = str(error)
    return said if said.endswith(".") else f"{said}."


async def _segment(tx: Tx, organisation_id: int, segment_id: int) -> Any:
    found = await queries.segment(tx, organisation_id, segment_id)
    if found is None:
        raise NotThere(f"There is no segment {segment_id}.")
    return found


async def _shown(tx: Tx, number_id: int, contact_id: int) -> Contact:
    contact = await queries.one(tx, number_id, contact_id)
    return contact_of(contact, await service.consent(tx, number_id, contact_id))


def contact_of(one: Any, told: Told) -> Contact:
    return Contact(
        id=one.id,
        phone=one.phone,
        user_id=one.bsuid,
        name=one.name,
        custom_name=one.custom_name,
        language=one.language,
        tags=one.tags,
        fields=one.fields,
        marketing=Consent.of(told),
        last_wrote_at=one.last_inbound_at,
    )


async def _history(tx: Tx, organisation_id: int, number_id: int, contact_id: int) -> History:
    topics = [topic.key for topic in await queries.topics(tx, organisation_id) if topic.key]
    return History(
        marketing=Consent.of(await service.consent(tx, number_id, contact_id)),
        topics={topic: Consent.of(await service.consent(tx, number_id, contact_id, topic)) for topic in topics},
        said=[Said.model_validate(word) for word in await queries.history(tx, organisation_id, number_id, contact_id)],
    )


def _key(address: str) -> str:
    """Raises ValueError. A program gives numbers with their country code."""
    found = service.key_of(address)
    if found is None:
        raise ValueError("is neither a phone number with its country code nor a user id")
    if found.startswith("p:"):
        read_phone(f"+{found[2:]}", found[2:])
    return found


def _plain(one: conditions.Condition) -> dict[str, Any]:
    return {"name": one.name, "label": one.label, "takes": list(one.takes)}
