"""Campaigns over HTTP: bring a list, make a campaign, plan it, look at the dry run, run it, see what became of it.

What is taken and answered is in ``shapes``.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import UploadFile

from twinline.accounts.api import Here, key, number
from twinline.accounts.models import Caller
from twinline.app import App
from twinline.campaigns import audience as audiences
from twinline.campaigns import conversions, lists, service, sheets, views
from twinline.campaigns.conversions import Told
from twinline.campaigns.lists import Options
from twinline.campaigns.models import Campaign as Row
from twinline.campaigns.planning import Plan
from twinline.campaigns.service import NoSuchCampaign, OtherCampaign
from twinline.campaigns.shapes import (
    Begin,
    Campaign,
    Campaigns,
    Change,
    Conversion,
    Counted,
    Detail,
    DryRun,
    First,
    List,
    New,
    People,
    Person,
    Queued,
    Results,
    Routing,
    Schedule,
    Summary,
    results,
)
from twinline.campaigns.views import Wanted
from twinline.db import Tx
from twinline.kit.api import ApiError, Id, Text, errors
from twinline.rules import campaigns as rules
from twinline.rules.campaigns import State, Step
from twinline.rules.refusal import Refused

router = APIRouter(prefix="/numbers/{number_id}", tags=["Campaigns"])

Writer = Annotated[Caller, key("campaigns:write")]
Reader = Annotated[Caller, key("campaigns:read")]
Written = Annotated[int, number("campaigns:write")]
Read = Annotated[int, number("campaigns:read")]
PAGE: Final = 50
ONCE = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Any text of your own, new for each campaign. Repeating the request with it makes no second one.",
    ),
]
Cursor = Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Shown = Literal["waiting", "sent", "delivered", "read", "replied", "failed", "doubtful", "cancelled", "skipped"]


# --- lists ------------------------------------------------------------------------------------------------------------

UPLOAD: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "CSV or XLSX, at most 32 MB."},
                        **{
                            name: {"type": "string", "description": "Default: found out."}
                            for name in ("phone", "country", "language", "encoding", "sheet")
                        },
                        "header": {"type": "boolean", "description": "Whether the first line names the columns."},
                    },
                }
            }
        },
    }
}


@router.post(
    "/lists", status_code=201, summary="Bring a list of people", responses=errors(413, 422), openapi_extra=UPLOAD
)
async def bring_list(app: Here, who: Writer, number_id: Written, request: Request) -> List:
    """Keeps a CSV or XLSX file for campaigns and says what is in it. The same file twice is the same list."""
    async with request.form(max_files=1, max_fields=10) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(
                400, "request.invalid", "The form has no file.", "Send multipart/form-data with a part named file."
            )
        given: dict[str, Any] = {name: str(value) for name, value in form.items() if name != "file"}
        data, name = await file.read(), file.filename or "list"
    if "header" in given:
        given["header"] = given["header"].lower() in ("true", "1", "yes")
    async with app.db.transaction() as tx:
        country = await audiences.country_of(tx, who.organisation_id, number_id)
    try:
        options = Options.of(given)
        return List.of(await lists.bring(app, who.organisation_id, name, data, country=country, options=options))
    except Refused as refused:
        raise _told(refused) from refused


@router.get("/lists/{file}/bad.csv", summary="Lines of a list that can't be used", response_class=Response)
async def bad_lines(
    app: Here,
    who: Reader,
    number_id: Read,
    file: Text,
    phone: Annotated[Text | None, Query(max_length=200)] = None,
    country: Annotated[Text | None, Query(max_length=2)] = None,
) -> Response:
    """With the list's own columns, the line and the reason. Read as it was when it was brought without options."""
    async with app.db.transaction() as tx:
        home = await audiences.country_of(tx, who.organisation_id, number_id)
    try:
        options = Options.of({"phone": phone, "country": country})
        found = await lists.bad_lines(app, who.organisation_id, file, options, country=home)
    except Refused as refused:
        raise _told(refused) from refused
    return Response(found, media_type="text/csv; charset=utf-8")


# --- campaigns --------------------------------------------------------------------------------------------------------


@router.post("/campaigns", status_code=201, summary="Make a campaign", responses=errors(409, 422))
async def create_campaign(
    app: Here, who: Writer, number_id: Written, new: New, idempotency_key: ONCE = None
) -> Campaign:
    """A draft. Plan it, look at the dry run, then start it: nothing is sent before."""
    asked = [number_id, new.model_dump(mode="json")]
    request = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()
    try:
        async with app.db.transaction() as tx:
            made = await service.create(
                tx,
                who.organisation_id,
                number_id,
                now=app.clock.now(),
                **await new.parts(app, tx, who.organisation_id, number_id),
                api_key_id=who.key_id,
                idempotency_key=f"api:{idempotency_key}" if idempotency_key else None,
                digest=request,
            )
    except Refused as refused:
        raise _told(refused) from refused
    except OtherCampaign as error:
        raise ApiError(
            409,
            "idempotency.reused",
            f"This Idempotency-Key belongs to another campaign, {error.campaign_id}.",
            "Make a new key for each campaign; keep it only to repeat the same request.",
        ) from error
    return Campaign.of(made)


@router.get("/campaigns", summary="List campaigns")
async def list_campaigns(
    app: Here,
    who: Reader,
    number_id: Read,
    group: Annotated[Literal["draft", "scheduled", "running", "over"] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = PAGE,
    cursor: Cursor = None,
) -> Campaigns:
    """Newest first."""
    async with app.db.transaction() as tx:
        found = await views.campaigns(
            tx,
            who.organisation_id,
            number_id=number_id,
            group=group or "",
            before=int(cursor) if cursor else None,
            limit=limit + 1,
        )
    more = len(found) > limit
    return Campaigns(
        campaigns=[
            Summary.model_validate(
                {
                    **{name: getattr(one, name) for name in Summary.model_fields if hasattr(one, name)},
                    "says": one.says or None,
                    "people": one.tally.people,
                    "sent": one.tally["sent"],
                }
            )
            for one in found[:limit]
        ],
        next=str(found[limit - 1].id) if more else None,
    )


@router.get("/campaigns/{campaign_id}", summary="One campaign")
async def get_campaign(app: Here, who: Reader, number_id: Read, campaign_id: Id) -> Campaign:
    async with app.db.transaction() as tx:
        return Campaign.of(await _one(tx, who, number_id, campaign_id))


@router.patch("/campaigns/{campaign_id}", summary="Change a campaign", responses=errors(409, 422))
async def edit_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id, change: Change) -> Campaign:
    """As long as it hasn't begun. It is a draft then, and is planned anew."""

    async def edit(tx: Tx, organisation_id: int, campaign_id: int, now: datetime) -> Row:
        parts = await change.parts(app, tx, organisation_id, number_id)
        return await service.edit(tx, organisation_id, campaign_id, now, **parts)

    return await _step(app, who, number_id, campaign_id, edit)


@router.put("/campaigns/{campaign_id}/routing", summary="Say what is done with answers", responses=errors(422))
async def route_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id, routing: Routing) -> Campaign:
    """With those that come from now on, also of a campaign that runs or is over. Its dry run stays."""

    async def route(tx: Tx, organisation_id: int, campaign_id: int, now: datetime) -> Row:
        return await service.route(tx, organisation_id, campaign_id, now, routing.model_dump(exclude_none=True))

    return await _step(app, who, number_id, campaign_id, route)


@router.post("/campaigns/{campaign_id}/plan", status_code=202, summary="Plan a campaign", responses=errors(409, 422))
async def plan_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id) -> Campaign:
    """Makes the dry run, which takes seconds: its state is `planning`, then `planned`, or `draft` with the reason."""
    return await _step(app, who, number_id, campaign_id, service.plan_requested, Step.PLAN)


@router.get("/campaigns/{campaign_id}/plan", summary="Read the dry run")
async def get_plan(app: Here, who: Reader, number_id: Read, campaign_id: Id) -> DryRun:
    """Who gets it and who doesn't and why, how long it takes, what it costs, and what to look out for."""
    async with app.db.transaction() as tx:
        one = await _one(tx, who, number_id, campaign_id)
    return DryRun(state=one.state, says=one.says or None, plan=Plan.of(one.plan) if one.plan else None)


@router.post("/campaigns/{campaign_id}/first", summary="Send it to a few people first", responses=errors(404, 409, 422))
async def send_first(app: Here, who: Writer, number_id: Written, campaign_id: Id, first: First) -> Queued:
    """Real messages to some of its people, before all others; they don't get it again."""
    try:
        async with app.db.transaction() as tx:
            one = await _one(tx, who, number_id, campaign_id)
            people = [await _recipient(tx, one, whom) for whom in first.people]
            return Queued(queued=await service.try_first(app, tx, who.organisation_id, campaign_id, people))
    except Refused as refused:
        raise _told(refused) from refused


@router.post("/campaigns/{campaign_id}/start", summary="Start a campaign", responses=errors(409, 422))
async def start_campaign(
    app: Here, who: Writer, number_id: Written, campaign_id: Id, begin: Begin | None = None
) -> Campaign:
    """One that has a time waits for it, unless it is to begin `now`. Doing it twice is no mistake."""
    at_once = begin is not None and begin.now

    async def start(tx: Tx, organisation_id: int, campaign_id: int, now: datetime) -> Row:
        one = await service.found(tx, organisation_id, campaign_id)
        if one.state is State.SCHEDULED and not at_once:
            return one
        return await service.start(tx, organisation_id, campaign_id, now, at_once=at_once)

    return await _step(app, who, number_id, campaign_id, start, Step.START)


@router.post("/campaigns/{campaign_id}/schedule", summary="Set a campaign's time", responses=errors(409, 422))
async def schedule_campaign(
    app: Here, who: Writer, number_id: Written, campaign_id: Id, schedule: Schedule
) -> Campaign:
    """It begins then by itself. Also moves one that waits for another time."""

    async def wait(tx: Tx, organisation_id: int, campaign_id: int, now: datetime) -> Row:
        return await service.schedule(tx, organisation_id, campaign_id, now, when=schedule.when)

    return await _step(app, who, number_id, campaign_id, wait)


@router.post("/campaigns/{campaign_id}/unschedule", summary="Take its time away", responses=errors(409, 422))
async def unschedule_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id) -> Campaign:
    return await _step(app, who, number_id, campaign_id, service.unschedule, Step.UNSCHEDULE)


@router.post("/campaigns/{campaign_id}/pause", summary="Pause a campaign", responses=errors(409, 422))
async def pause_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id) -> Campaign:
    """Within a second: what hasn't left is taken back, and goes out after `resume`."""
    return await _step(app, who, number_id, campaign_id, service.pause, Step.PAUSE)


@router.post("/campaigns/{campaign_id}/resume", summary="Let a campaign go on", responses=errors(409, 422))
async def resume_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id) -> Campaign:
    """Also one that has stopped itself: then with more room at the limit that it crossed."""
    return await _step(app, who, number_id, campaign_id, service.resume, Step.RESUME)


@router.post("/campaigns/{campaign_id}/cancel", summary="Cancel a campaign", responses=errors(409, 422))
async def cancel_campaign(app: Here, who: Writer, number_id: Written, campaign_id: Id) -> Campaign:
    """For good, within a second. What has left can't be taken back, and is followed further."""
    return await _step(app, who, number_id, campaign_id, service.cancel, Step.CANCEL)


# --- what became of it ------------------------------------------------------------------------------------------------


@router.get("/campaigns/{campaign_id}/recipients", summary="List a campaign's people")
async def list_recipients(
    app: Here,
    who: Reader,
    number_id: Read,
    campaign_id: Id,
    state: Annotated[
        Shown | None, Query(description="Who has read it also counts as `delivered`, and they as `sent`.")
    ] = None,
    reason: Annotated[Text, Query(max_length=200)] = "",
    variant: Annotated[int | None, Query(ge=0, le=100)] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> People:
    """Each with their state, its times and its reason, in the order of the audience."""
    wanted = Wanted(state or "", reason, variant=variant)
    async with app.db.transaction() as tx:
        one = await _one(tx, who, number_id, campaign_id)
        found = await views.people(tx, number_id, one.id, wanted, after=int(cursor or 0), limit=limit + 1)
    more = len(found) > limit
    return People(recipients=[Person.of(row) for row in found[:limit]], next=str(found[limit - 1].id) if more else None)


@router.get("/campaigns/{campaign_id}/recipients/{recipient_id}", summary="One of its people")
async def get_recipient(app: Here, who: Reader, number_id: Read, campaign_id: Id, recipient_id: Id) -> Detail:
    """What became of them, and what they read: also before anything was sent, as a preview."""
    async with app.db.transaction() as tx:
        one = await _one(tx, who, number_id, campaign_id)
        found = await views.person(tx, number_id, one.id, recipient_id)
    if found is None:
        raise _nobody(recipient_id)
    person, more = found
    return Detail.model_validate({**Person.of(person).model_dump(), **more, "conversions": more["conversions"] or []})


@router.get(
    "/campaigns/{campaign_id}/recipients.{kind}", summary="Download a campaign's people", response_class=Response
)
async def export_recipients(
    app: Here, who: Reader, number_id: Read, campaign_id: Id, kind: Literal["csv", "xlsx"], state: Shown | None = None
) -> Response:
    async with app.db.transaction() as tx:
        one = await _one(tx, who, number_id, campaign_id)
    body, media_type = sheets.written(app.db, one, Wanted(state or ""), kind)
    name = f'attachment; filename="campaign-{one.id}.{kind}"'
    return StreamingResponse(body, media_type=media_type, headers={"content-disposition": name})


@router.get("/campaigns/{campaign_id}/results", summary="A campaign's results")
async def get_results(app: Here, who: Reader, number_id: Read, campaign_id: Id) -> Results:
    async with app.db.transaction() as tx:
        one = await _one(tx, who, number_id, campaign_id)
        return await results(tx, one)


@router.post("/campaigns/{campaign_id}/conversions", summary="Tell a conversion", responses=errors(404, 422))
async def tell_conversion(
    app: Here, who: Writer, number_id: Written, campaign_id: Id, conversion: Conversion
) -> Counted:
    """That somebody bought, booked, came, after the campaign had gone to them. The same `key` counts once."""
    now = app.clock.now()
    told = Told(conversion.key, conversion.at or now, conversion.what, conversion.value, conversion.currency)
    try:
        async with app.db.transaction() as tx:
            one = await _one(tx, who, number_id, campaign_id)
            recipient = await _recipient(tx, one, conversion.who)
            return Counted(recipient=recipient, new=await conversions.tell(tx, one, recipient, told, now))
    except Refused as refused:
        raise _told(refused) from refused


# --- the border -------------------------------------------------------------------------------------------------------


async def _step(
    app: App,
    who: Caller,
    number_id: int,
    campaign_id: int,
    doing: Callable[[Tx, int, int, datetime], Awaitable[Row]],
    step: Step | None = None,
) -> Campaign:
    """Makes a step. A program that repeats one, since it lost the answer, isn't told that it is too late for it."""
    async with app.db.transaction() as tx:
        before = await _one(tx, who, number_id, campaign_id)
    try:
        async with app.db.transaction() as tx:
            return Campaign.of(await doing(tx, who.organisation_id, campaign_id, app.clock.now()))
    except Refused as refused:
        if step is not None and before.state in rules.STEPS[step].values():
            return Campaign.of(before)
        raise _told(refused) from refused


async def _one(tx: Tx, who: Caller, number_id: int, campaign_id: int) -> Row:
    try:
        one = await service.found(tx, who.organisation_id, campaign_id)
        if one.number_id == number_id:
            return one
    except NoSuchCampaign:
        pass
    raise ApiError(
        404, "campaign.unknown", f"This number has no campaign {campaign_id}.", "GET …/campaigns lists those there are."
    )


async def _recipient(tx: Tx, one: Row, whom: int | str) -> int:
    found = await conversions.find(tx, one, whom)
    if found is None:
        raise _nobody(whom)
    return found


def _nobody(whom: int | str) -> ApiError:
    return ApiError(
        404,
        "recipient.unknown",
        f"{whom} isn't among this campaign's people.",
        "GET …/recipients lists them; who isn't in the audience can't get it.",
    )


_STATES: Final = frozenset(f"campaign.{state}" for state in State)


def _told(refused: Refused) -> ApiError:
    """409 where it is only that the campaign is in another state."""
    why = refused.refusal
    do = why.what_to_do or "Correct it; /v1/docs shows what is expected."
    return ApiError(409 if why.rule in _STATES else 422, why.rule, why.text, do)
