"""Automations over HTTP: written, checked, published and started; what they are doing; who may speak in a chat; the
places they ask, what agents may read, and answers that wait for a person.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Header, Path, Query
from pydantic import Field, model_validator

from twinline.accounts.api import Here, key, number
from twinline.accounts.models import Caller
from twinline.app import App
from twinline.automations import approvals, connections, knowledge, notation, queries, schema, sense, service, starting
from twinline.automations.connections import NotThere, Unusable
from twinline.automations.known import known
from twinline.automations.models import Automation as Row
from twinline.automations.models import NoSuchAutomation
from twinline.automations.models import Run as RunRow
from twinline.automations.models import Settings as Chosen
from twinline.automations.problems import Problem, Unfit
from twinline.db import Tx
from twinline.kit.api import BIGGEST_ID, ApiError, Id, In, Out, Text, errors
from twinline.rules import floor as floors
from twinline.rules.automations.program import duration
from twinline.rules.floor import Holder
from twinline.rules.refusal import Refused
from twinline.sending import service as sending
from twinline.sending import speech

router = APIRouter(tags=["Automations"])

Reader = Annotated[Caller, key("automations:read")]
Writer = Annotated[Caller, key("automations:write")]
Runner = Annotated[Caller, key("automations:run")]
ReadNumber = Annotated[int, number("automations:read")]
WriteNumber = Annotated[int, number("automations:write")]
RunNumber = Annotated[int, number("automations:run")]
Recipient = Annotated[Text, Path(max_length=200, examples=["+351910000001"])]
Cursor = Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200)]
ONCE = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Any text of your own, new for each start. Repeating the request with it begins nothing twice.",
    ),
]
PAGE: Final = 50
Length = Annotated[str, Field(max_length=20, examples=["2h"], description="45s, 10m, 2h or 1d.")]


# --- what is asked for ----------------------------------------------------------------------------------------------


class Draft(In):
    """Either ``definition``, as JSON, or ``yaml``, the same as people write it."""

    definition: dict[str, Any] | None = None
    yaml: str | None = Field(default=None, max_length=notation.LONGEST)

    @model_validator(mode="after")
    def _one_way(self) -> "Draft":
        if (self.definition is None) is (self.yaml is None):
            raise ValueError("has to have either a definition or yaml")
        return self

    def read(self) -> dict[str, Any]:
        """As it is, fit or not. Raises ApiError for YAML that isn't one."""
        if self.definition is not None:
            return self.definition
        try:
            found = schema.parsed(self.yaml or "")
        except Unfit as error:
            raise _unfit(error.problems) from error
        if not isinstance(found, dict):
            raise _unfit([Problem((), "An automation is an object with a name, triggers and steps.")])
        return found


class Saved(Draft):
    publish: bool = Field(default=False, description="Whether it is to begin from now on as it stands here.")


class Start(In):
    to: str = Field(
        max_length=200, description="A phone number, a user id, or `contact:12`.", examples=["+351910000001"]
    )
    automation: Annotated[int, Field(ge=1, le=BIGGEST_ID)] | Annotated[str, Field(min_length=1, max_length=200)] = (
        Field(description="Its id or its name.")
    )
    vars: dict[str, Any] = Field(
        default_factory=dict, max_length=100, description="What its placeholders read as `vars.…`."
    )


class Take(In):
    for_: Length | None = Field(default=None, alias="for", description="Default: as long as after any reply.")


class Decision(In):
    approve: bool
    text: str | None = Field(default=None, max_length=4096, description="What goes out instead.")


class NewConnection(In):
    kind: Literal["http", "bot", "ai"]
    name: str = Field(max_length=60)
    url: str = Field(max_length=2048, examples=["https://shop.example.com/api"])
    model: str = Field(default="", max_length=240, description="Of a language model.")
    secret: str | None = Field(default=None, max_length=4000, description="Sealed, and never shown again.")
    headers: dict[str, str] = Field(default_factory=dict, max_length=20, description="Sealed, too.")
    tool: dict[str, Any] | None = Field(
        default=None,
        description="How an agent may use an HTTP interface: description, method, path, parameters, body.",
    )


class ChangedConnection(In):
    """What is left out stays."""

    name: str | None = Field(default=None, max_length=60)
    url: str | None = Field(default=None, max_length=2048)
    model: str | None = Field(default=None, max_length=240)
    secret: str | None = Field(default=None, max_length=4000)
    headers: dict[str, str] | None = Field(default=None, max_length=20)
    tool: dict[str, Any] | None = None


class Reading(In):
    name: str = Field(max_length=60, description="By which an agent's step names it. What was there is replaced.")
    text: str = Field(max_length=knowledge.LONGEST)
    language: str = Field(default="", max_length=10, examples=["pt"])


class ChangedSettings(In):
    """What is left out stays."""

    pause: int | None = Field(default=None, ge=0, le=604_800, description="Seconds, after a reply from the phone.")
    hours: dict[str, Any] | None = Field(
        default=None,
        description="Of business: `week` by day, `holidays` by date; null: always open.",
        examples=[{"week": {"mon": [["09:00", "18:00"]]}, "holidays": {"12-25": []}}],
    )
    zone: str | None = Field(default=None, max_length=60, examples=["Europe/Lisbon"])
    language: str | None = Field(default=None, max_length=20)
    phone_keywords: list[dict[str, Any]] | None = Field(
        default=None, examples=[[{"word": "#sales", "does": "start", "automation": 12}]]
    )


# --- what is answered -----------------------------------------------------------------------------------------------


class Found(Out):
    path: list[str | int] = Field(description="Where it is in the definition.")
    says: str
    level: Literal["error", "warning"]


class Checked(Out):
    fit: bool = Field(description="Whether it can be published.")
    problems: list[Found]
    definition: dict[str, Any] | None = Field(description="As it is kept: without what is as by default.")
    yaml: str | None


class Automation(Out):
    id: int
    name: str
    enabled: bool
    version: int = Field(description="The one that begins; 0: none was published yet.")
    changed: bool = Field(description="Whether the draft says something else than what runs.")
    numbers: list[int] | None = Field(description="Where it may begin; null: everywhere.")
    draft: dict[str, Any]
    definition: dict[str, Any] | None = Field(description="Of the version that begins.")
    published_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> "Automation":
        return cls.model_validate({name: getattr(row, name) for name in cls.model_fields})


class Written(Automation):
    """As it is kept, and what is to be said of its draft."""

    problems: list[Found] = Field(description="As `validate` has them: errors stand in the way of publishing.")


class Automations(Out):
    automations: list[Automation] = Field(description="In the order in which they are asked whether they are meant.")


class Run(Out):
    id: int
    automation_id: int
    automation: str
    version: int
    contact_id: int
    name: str = Field(description="Of the customer.")
    state: str = Field(description="waiting, yielded (a person spoke) or ended.")
    waits: str | None = Field(description="For what: answer, time, call, bot or agent.")
    wakes_at: datetime | None
    sent: int = Field(description="Messages.")
    began_at: datetime
    ended_at: datetime | None
    began_by: str
    why: str
    vars: dict[str, Any]
    trace: list[str] = Field(description="What it did, step by step.")

    @classmethod
    def of(cls, row: RunRow) -> "Run":
        same = {name: getattr(row, name) for name in cls.model_fields if name not in ("vars", "trace")}
        trace = [str(said) for _, said in row.trace]
        return cls.model_validate({**same, "vars": row.run.get("vars") or {}, "trace": trace})


class Runs(Out):
    runs: list[Run]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end.")


class Line(Out):
    id: int
    at: datetime
    kind: str
    says: str
    automation: str | None
    run_id: int | None
    wamid: str | None


class Log(Out):
    log: list[Line] = Field(description="Newest first.")
    next: str | None


class Floor(Out):
    """Who may speak in a chat."""

    holder: Holder
    until: datetime | None = Field(description="Null: until somebody changes it.")
    automations_may_speak: bool = Field(description="False while a person has the floor: none can be started.")
    run: Run | None = Field(description="What an automation has begun here.")
    handed: Run | None = Field(
        description="What handed the chat to people, who haven't answered yet: until they have, or for a day, no "
        "message of the customer's begins anything."
    )


class Approval(Out):
    id: int
    contact_id: int
    name: str = Field(description="Of the customer.")
    automation: str
    text: str
    made_at: datetime
    state: Literal["waiting", "sent", "declined", "dropped"]
    why: str = Field(description="Dropped: the reason.")
    outbox_id: int | None = Field(description="Sent: the message's id.")


class Approvals(Out):
    approvals: list[Approval] = Field(description="Oldest first.")


class Connection(Out):
    id: int
    kind: Literal["http", "bot", "ai"]
    name: str
    url: str
    model: str
    tool: dict[str, Any] | None
    has_secret: bool
    header_names: list[str]


class MadeConnection(Connection):
    secret: str | None = Field(description="A bot's signing secret: shown this once.")


class Settings(Out):
    """What a number is told about itself."""

    pause: int = Field(description="Seconds, after a reply from the phone.")
    hours: dict[str, Any] | None
    zone: str
    language: str
    phone_keywords: list[dict[str, Any]]

    @classmethod
    def of(cls, found: Chosen) -> "Settings":
        same = {name: getattr(found, name) for name in ("hours", "zone", "language")}
        keywords = [dict(one) for one in found.phone_keywords]
        return cls(**same, phone_keywords=keywords, pause=int(found.pause.total_seconds()))


class Connections(Out):
    connections: list[Connection]


class Source(Out):
    id: int
    name: str
    language: str
    characters: int
    passages: int


class Sources(Out):
    knowledge: list[Source]


# --- definitions ----------------------------------------------------------------------------------------------------


@router.get("/automations", summary="List automations")
async def list_automations(app: Here, who: Reader) -> Automations:
    async with app.db.transaction() as tx:
        rows = await queries.automations(tx, who.organisation_id)
    return Automations(automations=[Automation.of(row) for row in rows])


@router.post("/automations", status_code=201, summary="Make an automation", responses=errors(422))
async def make_automation(app: Here, who: Writer, saved: Saved) -> Written:
    """A draft, which may be unfinished, and off. `publish` it to let it begin, once it is turned on."""
    definition = saved.read()
    async with app.db.transaction() as tx:
        try:
            made = await service.create(tx, who.organisation_id, definition, None, app.clock.now())
        except Refused as refused:
            raise _told(refused) from refused
        return await _saved(app, tx, who, made, saved)


@router.post("/automations/validate", summary="Check a definition")
async def validate_automation(app: Here, who: Reader, draft: Draft) -> Checked:
    """What is wrong with it, in sentences; also what it names that isn't there. Nothing is kept."""
    definition = draft.read()
    async with app.db.transaction() as tx:
        return await _checked(tx, who, definition)


@router.get("/automations/{automation_id}", summary="See an automation")
async def get_automation(app: Here, who: Reader, automation_id: Id) -> Automation:
    async with app.db.transaction() as tx:
        return await _automation(tx, who, automation_id)


@router.put("/automations/{automation_id}", summary="Change an automation", responses=errors(422))
async def change_automation(app: Here, who: Writer, automation_id: Id, saved: Saved) -> Written:
    """Its draft. What runs goes on as it is, unless `publish` is asked for; conversations end on their version."""
    definition = saved.read()
    async with app.db.transaction() as tx:
        await _automation(tx, who, automation_id)
        try:
            await service.save(tx, who.organisation_id, automation_id, definition, app.clock.now())
        except Refused as refused:
            raise _told(refused) from refused
        return await _saved(app, tx, who, automation_id, saved)


@router.post("/automations/{automation_id}/publish", summary="Publish a draft", responses=errors(422))
async def publish_automation(app: Here, who: Writer, automation_id: Id) -> Written:
    """From now on it begins as the draft says."""
    async with app.db.transaction() as tx:
        return await _published(app, tx, who, automation_id)


@router.post("/automations/{automation_id}/enable", summary="Turn an automation on", responses=errors(422))
async def enable_automation(app: Here, who: Writer, automation_id: Id) -> Automation:
    return await _enabled(app, who, automation_id, True)


@router.post("/automations/{automation_id}/disable", summary="Turn an automation off", responses=errors(422))
async def disable_automation(app: Here, who: Writer, automation_id: Id) -> Automation:
    """It doesn't begin any more; conversations under way go on."""
    return await _enabled(app, who, automation_id, False)


@router.delete("/automations/{automation_id}", status_code=204, summary="Archive an automation")
async def archive_automation(app: Here, who: Writer, automation_id: Id) -> None:
    """For good. What it said stays, and conversations under way go on."""
    async with app.db.transaction() as tx:
        await _automation(tx, who, automation_id)
        await service.archive(tx, who.organisation_id, automation_id, app.clock.now())


async def _saved(app: App, tx: Tx, who: Caller, automation_id: int, saved: Saved) -> Written:
    if saved.publish:
        return await _published(app, tx, who, automation_id)
    return await _written(tx, who, automation_id)


async def _published(app: App, tx: Tx, who: Caller, automation_id: int) -> Written:
    await _automation(tx, who, automation_id)
    try:
        await service.publish(tx, who.organisation_id, automation_id, None, app.clock.now())
    except Unfit as error:
        raise _unfit(error.problems) from error
    return await _written(tx, who, automation_id)


async def _enabled(app: App, who: Caller, automation_id: int, on: bool) -> Automation:
    async with app.db.transaction() as tx:
        await _automation(tx, who, automation_id)
        try:
            await service.enable(tx, who.organisation_id, automation_id, on, app.clock.now())
        except Refused as refused:
            raise _told(refused) from refused
        return await _automation(tx, who, automation_id)


async def _written(tx: Tx, who: Caller, automation_id: int) -> Written:
    found = await _automation(tx, who, automation_id)
    return Written(**found.model_dump(), problems=(await _checked(tx, who, found.draft)).problems)


async def _checked(tx: Tx, who: Caller, definition: dict[str, Any]) -> Checked:
    try:
        found = schema.read(definition)
    except Unfit as error:
        return Checked(fit=False, problems=_problems(error.problems), definition=None, yaml=None)
    problems = sense.check(found, await known(tx, who.organisation_id))
    return Checked(fit=True, problems=_problems(problems), definition=found, yaml=schema.to_yaml(found))


async def _automation(tx: Tx, who: Caller, automation_id: int) -> Automation:
    row = await queries.automation(tx, who.organisation_id, automation_id)
    if row is None or row.archived_at is not None:
        raise _no_automation(automation_id)
    return Automation.of(row)


# --- conversations --------------------------------------------------------------------------------------------------


@router.get("/numbers/{number_id}/runs", summary="List conversations of automations")
async def list_runs(
    app: Here,
    who: Reader,
    number_id: ReadNumber,
    automation: Annotated[int | None, Query(ge=1, le=BIGGEST_ID, description="Only this one's.")] = None,
    contact: Annotated[int | None, Query(ge=1, le=BIGGEST_ID, description="Only those with this contact.")] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Runs:
    """Newest first."""
    async with app.db.transaction() as tx:
        rows = await queries.runs(
            tx,
            who.organisation_id,
            automation,
            number_id=number_id,
            contact_id=contact,
            before=int(cursor) if cursor else None,
            limit=limit + 1,
        )
    more = str(rows[limit - 1].id) if len(rows) > limit else None
    return Runs(runs=[Run.of(row) for row in rows[:limit]], next=more)


@router.post("/numbers/{number_id}/runs", status_code=202, summary="Start an automation", responses=errors(409, 422))
async def start_automation(
    app: Here, who: Runner, number_id: RunNumber, start: Start, idempotency_key: ONCE = None
) -> Run:
    """Whatever its triggers say, at somebody who is known here. Refused while a person has the floor of the chat."""
    now = app.clock.now()
    digest = hashlib.sha256(orjson.dumps(start.model_dump(), option=orjson.OPT_SORT_KEYS)).digest()
    async with app.db.transaction() as tx:
        contact_id = await _contact(app, tx, number_id, start.to)
        automation_id = start.automation
        if isinstance(automation_id, str):
            named = await queries.automation_named(tx, who.organisation_id, automation_id)
            if named is None:
                raise _no_automation(automation_id)
            automation_id = named.id
        try:
            run_id = await starting.once(
                app, tx, number_id, contact_id, automation_id, now, start.vars, by=who.name, key=idempotency_key,
                digest=digest,
            )  # fmt: skip
        except starting.OtherStart as error:
            raise ApiError(
                409,
                "idempotency.reused",
                f"This Idempotency-Key belongs to another start, of run {error.run_id}.",
                "Make a new key for each start; keep it only to repeat the same request.",
            ) from error
        except NoSuchAutomation as error:
            raise _no_automation(automation_id) from error
        except Refused as refused:
            raise _told(refused) from refused
        return await _run(tx, number_id, run_id)


@router.get("/numbers/{number_id}/runs/{run_id}", summary="See a conversation")
async def get_run(app: Here, who: Reader, number_id: ReadNumber, run_id: Id) -> Run:
    async with app.db.transaction() as tx:
        return await _run(tx, number_id, run_id)


@router.post("/numbers/{number_id}/runs/{run_id}/end", summary="End a conversation")
async def end_run(app: Here, who: Runner, number_id: RunNumber, run_id: Id) -> Run:
    """What it had queued is dropped. Doing it twice is no mistake."""
    async with app.db.transaction() as tx:
        await _run(tx, number_id, run_id)
        await service.end_run(tx, number_id, run_id, app.clock.now(), why=f"{who.name} ended it.")
        return await _run(tx, number_id, run_id)


async def _run(tx: Tx, number_id: int, run_id: int) -> Run:
    row = await queries.run(tx, number_id, run_id)
    if row is None:
        raise ApiError(404, "run.unknown", f"This number has no run {run_id}.", "GET …/runs lists those there are.")
    return Run.of(row)


# --- chats ----------------------------------------------------------------------------------------------------------


@router.get("/numbers/{number_id}/chats/{recipient}/floor", summary="Who may speak", responses=errors(422))
async def get_floor(app: Here, number_id: ReadNumber, recipient: Recipient) -> Floor:
    async with app.db.transaction() as tx:
        return await _floor(tx, number_id, await _contact(app, tx, number_id, recipient), app.clock.now())


@router.post("/numbers/{number_id}/chats/{recipient}/floor/take", summary="Take the floor", responses=errors(422))
async def take_floor(app: Here, number_id: RunNumber, recipient: Recipient, take: Take | None = None) -> Floor:
    """As a person would: automations and campaigns are silent in the chat meanwhile."""
    now = app.clock.now()
    try:
        for_ = duration(take.for_) if take and take.for_ else None
    except ValueError as error:
        raise ApiError(400, "request.invalid", f"for: {error}.", "Correct it; /v1/docs shows every field.") from error
    async with app.db.transaction() as tx:
        contact_id = await _contact(app, tx, number_id, recipient)
        await service.take_floor(app, tx, number_id, contact_id, None, now, for_)
        return await _floor(tx, number_id, contact_id, now)


@router.post("/numbers/{number_id}/chats/{recipient}/floor/release", summary="Release the floor", responses=errors(422))
async def release_floor(app: Here, number_id: RunNumber, recipient: Recipient) -> Floor:
    """Automations may speak again, and answer what was left open. Doing it twice is no mistake."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        contact_id = await _contact(app, tx, number_id, recipient)
        await service.release_floor(app, tx, number_id, contact_id, None, now)
        return await _floor(tx, number_id, contact_id, now)


@router.get(
    "/numbers/{number_id}/chats/{recipient}/log", summary="Why something was said or not", responses=errors(422)
)
async def get_log(
    app: Here, number_id: ReadNumber, recipient: Recipient, limit: Limit = PAGE, cursor: Cursor = None
) -> Log:
    """Of each of a customer's messages: who had the floor, and why an automation answered or was silent."""
    async with app.db.transaction() as tx:
        contact_id = await _contact(app, tx, number_id, recipient)
        before = int(cursor) if cursor else None
        rows = await queries.log(tx, number_id, contact_id, limit + 1, before=before)
    lines = [Line.model_validate(row) for row in rows[:limit]]
    return Log(log=lines, next=str(rows[limit - 1].id) if len(rows) > limit else None)


async def _floor(tx: Tx, number_id: int, contact_id: int, now: datetime) -> Floor:
    here = (await speech.floors(tx, number_id, [contact_id])).get(contact_id, floors.EMPTY)
    row = await queries.open_run(tx, number_id, contact_id)
    handed = await queries.handed(tx, number_id, contact_id, now)
    holder = floors.holder_now(here, now)
    return Floor(
        holder=holder,
        until=here.until if holder is not Holder.NOBODY else None,
        automations_may_speak=holder not in floors.PEOPLE,
        run=Run.of(row) if row else None,
        handed=Run.of(handed) if handed else None,
    )


async def _contact(app: App, tx: Tx, number_id: int, recipient: str) -> int:
    try:
        _, person = await sending.standing(tx, number_id, recipient, app.clock.now())
    except Refused as refused:
        raise _told(refused) from refused
    except sending.NoSuchContact as error:
        raise _nobody(recipient) from error
    if not person.contact_id:
        raise _nobody(recipient)
    return person.contact_id


@router.get("/numbers/{number_id}/automations/settings", summary="See what automations go by")
async def get_settings(app: Here, number_id: ReadNumber) -> Settings:
    """The pause after a reply from the phone, business hours, time zone, language, keywords on the phone."""
    async with app.db.transaction() as tx:
        return Settings.of(await service.settings_of(tx, number_id))


@router.patch(
    "/numbers/{number_id}/automations/settings", summary="Change what automations go by", responses=errors(422)
)
async def change_settings(app: Here, who: Writer, number_id: WriteNumber, changed: ChangedSettings) -> Settings:
    given = changed.model_dump(exclude_unset=True)
    kept = {name: value for name, value in given.items() if value is not None or name == "hours"}
    if "pause" in kept:
        kept["pause"] = timedelta(seconds=kept["pause"])
    async with app.db.transaction() as tx:
        chosen = replace(await service.settings_of(tx, number_id), **kept)
        try:
            await service.set_settings(tx, who.organisation_id, number_id, chosen, user_id=None, now=app.clock.now())
        except Refused as refused:
            raise _told(refused) from refused
        return Settings.of(await service.settings_of(tx, number_id))


# --- answers that wait for a person ---------------------------------------------------------------------------------


@router.get("/numbers/{number_id}/approvals", summary="List answers that wait for a person")
async def list_approvals(app: Here, who: Reader, number_id: ReadNumber) -> Approvals:
    async with app.db.transaction() as tx:
        rows = await approvals.waiting(tx, who.organisation_id, number_id)
    return Approvals(approvals=[Approval.model_validate(row) for row in rows])


@router.post("/numbers/{number_id}/approvals/{approval_id}", summary="Approve an answer, or decline it")
async def decide_approval(app: Here, number_id: RunNumber, approval_id: Id, decision: Decision) -> Approval:
    """What can't go out any more is dropped, and `why` says the reason. Deciding twice changes nothing."""
    async with app.db.transaction() as tx:
        try:
            one = await approvals.decide(app, tx, number_id, approval_id, decision.approve, None, decision.text)
        except NotThere as error:
            raise _unknown("approval", error) from error
        except Refused as refused:
            raise _told(refused) from refused
    return Approval.model_validate(one)


# --- connections and knowledge --------------------------------------------------------------------------------------


@router.get("/connections", summary="List connections")
async def list_connections(app: Here, who: Reader) -> Connections:
    """The places that automations ask. What they prove themselves with is never shown."""
    async with app.db.transaction() as tx:
        rows = await connections.connections(app, tx, who.organisation_id)
    return Connections(connections=[Connection.model_validate(row) for row in rows])


@router.post("/connections", status_code=201, summary="Make a connection", responses=errors(422))
async def make_connection(app: Here, who: Writer, new: NewConnection) -> MadeConnection:
    async with app.db.transaction() as tx:
        try:
            made, secret = await connections.create(
                app, tx, who.organisation_id, **new.model_dump(), user_id=None, now=app.clock.now()
            )
        except Unusable as error:
            raise _unusable("connection", error) from error
        row = await connections.found(app, tx, who.organisation_id, made)
    return MadeConnection(**Connection.model_validate(row).model_dump(), secret=secret)


@router.patch("/connections/{connection_id}", summary="Change a connection", responses=errors(422))
async def change_connection(app: Here, who: Writer, connection_id: Id, changed: ChangedConnection) -> Connection:
    """With an address elsewhere, secret and headers are forgotten unless they are given anew."""
    given = changed.model_dump(exclude_unset=True)
    no_tool = "tool" in given and given["tool"] is None
    async with app.db.transaction() as tx:
        try:
            row = await connections.change(
                app, tx, who.organisation_id, connection_id, **given, no_tool=no_tool, user_id=None, now=app.clock.now()
            )
        except NotThere as error:
            raise _unknown("connection", error) from error
        except Unusable as error:
            raise _unusable("connection", error) from error
    return Connection.model_validate(row)


@router.delete("/connections/{connection_id}", status_code=204, summary="Remove a connection")
async def remove_connection(app: Here, who: Writer, connection_id: Id) -> None:
    """Steps that name it fail from now on."""
    async with app.db.transaction() as tx:
        try:
            await connections.remove(tx, who.organisation_id, connection_id, None, app.clock.now())
        except NotThere as error:
            raise _unknown("connection", error) from error


@router.get("/knowledge", summary="List what agents may read")
async def list_knowledge(app: Here, who: Reader) -> Sources:
    async with app.db.transaction() as tx:
        return Sources(
            knowledge=[Source.model_validate(row) for row in await knowledge.sources(tx, who.organisation_id)]
        )


@router.put("/knowledge", summary="Keep a text that agents may read", responses=errors(422))
async def keep_knowledge(app: Here, who: Writer, reading: Reading) -> Source:
    async with app.db.transaction() as tx:
        try:
            row = await knowledge.put(
                tx, who.organisation_id, **reading.model_dump(), user_id=None, now=app.clock.now()
            )
        except Unusable as error:
            raise _unusable("knowledge", error) from error
    return Source.model_validate(row)


@router.delete("/knowledge/{source_id}", status_code=204, summary="Remove a text")
async def remove_knowledge(app: Here, who: Writer, source_id: Id) -> None:
    async with app.db.transaction() as tx:
        try:
            await knowledge.remove(tx, who.organisation_id, source_id, None, app.clock.now())
        except NotThere as error:
            raise _unknown("knowledge", error) from error


# --- the border -----------------------------------------------------------------------------------------------------


def _problems(problems: Any) -> list[Found]:
    return [Found(path=list(one.path), says=one.says, level=one.level) for one in problems]


def _unfit(problems: Any) -> ApiError:
    found = [{"field": ".".join(map(str, one.path)) or "the definition", "problem": one.says} for one in problems]
    return ApiError(
        422,
        "automation.unfit",
        "This can't be an automation yet: the details say what stands in the way.",
        "Correct it; docs/automations.md describes every part.",
        found,
    )


def _told(refused: Refused) -> ApiError:
    why = refused.refusal
    return ApiError(422, why.rule, why.text, why.what_to_do or "Correct it; /v1/docs shows what is expected.")


def _no_automation(which: int | str) -> ApiError:
    named = f"“{which}”" if isinstance(which, str) else which
    return ApiError(
        404, "automation.unknown", f"There is no automation {named}.", "GET /v1/automations lists those there are."
    )


def _nobody(recipient: str) -> ApiError:
    return ApiError(404, "contact.unknown", f"{recipient} isn't known here.", "Take one of this number's contacts.")


def _unknown(what: str, error: Exception) -> ApiError:
    return ApiError(404, f"{what}.unknown", str(error), "Take an id from the list.")


def _unusable(what: str, error: Exception) -> ApiError:
    return ApiError(422, f"{what}.unusable", str(error), "Correct it; docs/automations.md says what is possible.")
