"""Templates over HTTP, under the number that sends them. Numbers of one WhatsApp account share theirs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.datastructures import UploadFile

from twinline.accounts.api import Here, key, number
from twinline.accounts.models import Caller
from twinline.app import App
from twinline.db import Tx
from twinline.kit.api import ApiError, In, Out, Text, errors
from twinline.meta.graph import GraphError
from twinline.rules import template_checks
from twinline.rules import templates as rules
from twinline.templates import models, queries, service
from twinline.templates.models import TemplateError

router = APIRouter(prefix="/numbers/{number_id}/templates", tags=["Templates"])

Reader = Annotated[Caller, key("templates:read")]
Writer = Annotated[Caller, key("templates:write")]
Read = Annotated[int, number("templates:read")]
Written = Annotated[int, number("templates:write")]


class Slot(Out):
    key: str = Field(examples=["body.1", "header.image", "buttons.0"])
    kind: str = Field(description="text, image, video, document, location, url, coupon, payload, flow or expiry.")
    label: str
    example: str
    required: bool


class Template(Out):
    id: str = Field(description="Meta's.")
    name: str
    language: str
    category: str
    next_category: str | None = Field(description="What Meta has announced to count it as.")
    next_category_at: datetime | None
    status: str
    reason: str | None = Field(description="Of a pause or rejection, as Meta names it.")
    says: str = Field(description="What the state means, in words.")
    what_to_do: str
    may_be_sent: bool
    paused_until: datetime | None = Field(description="When a pause lifts itself.")
    quality: str
    parameter_format: Literal["POSITIONAL", "NAMED"]
    components: list[dict[str, Any]] = Field(description="Meta's.")
    slots: list[Slot] = Field(description="The places for values.")
    fallbacks: dict[str, str]

    @classmethod
    def of(cls, one: models.Template) -> "Template":
        told = one.told
        return cls.model_validate(
            {
                **{name: getattr(one, name) for name in cls.model_fields if hasattr(one, name)},
                "slots": [Slot.model_validate(slot) for slot in one.slots],
                "says": told.says,
                "what_to_do": told.do,
                "may_be_sent": told.sends,
            }
        )


class Templates(Out):
    templates: list[Template]
    read_at: datetime | None = Field(description="When they were last read from Meta.")


class New(In):
    """As Meta takes it: https://developers.facebook.com/docs/whatsapp → Templates → Components."""

    name: str
    language: str
    category: str
    parameter_format: str = "POSITIONAL"
    components: list[dict[str, Any]]
    message_send_ttl_seconds: int | None = None

    @property
    def spec(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Version(In):
    components: list[dict[str, Any]]
    category: str | None = Field(default=None, description="Only of one that isn't approved.")


class Found(Out):
    field: str
    rule: str
    problem: str
    what_to_do: str
    sure: bool = Field(description="False: Meta may take it all the same.")


class Checked(Out):
    problems: list[Found]


class Values(In):
    values: dict[str, Any] = Field(description="Slot key → value; media as {id} or {link}.")


class Filled(Out):
    text: str = Field(description="As the customer will read it.")
    components: list[dict[str, Any]] = Field(description="For a message of type template.")
    missing: list[str]
    surplus: list[str]


class Fallbacks(In):
    fallbacks: dict[str, str] = Field(description="Slot key → what stands there when a value is empty. Replaces all.")


class Count(Out):
    count: int


class Sample(Out):
    handle: str = Field(description="For example.header_handle of a header.")
    mime_type: str
    size: int


@router.get("", summary="List templates")
async def list_templates(
    app: Here,
    who: Reader,
    number_id: Read,
    q: Annotated[Text, Query(max_length=200, description="In names and texts.")] = "",
    status: Annotated[Text, Query(max_length=40)] = "",
    category: Annotated[Text, Query(max_length=40)] = "",
    language: Annotated[Text, Query(max_length=40)] = "",
) -> Templates:
    """As far as they were read: that happens on connecting, daily, and by webhook. `POST …/sync` does it now."""
    async with app.db.transaction() as tx:
        place = await _place(tx, number_id)
        [account] = await queries.accounts(tx, *place)
        found = await queries.templates(
            tx, *place, q=q, status=status.upper(), category=category.upper(), language=rules.language(language)
        )
    return Templates(templates=[Template.of(one) for one in found], read_at=account.read_at)


@router.post("/sync", summary="Read templates from Meta", responses=errors(422, 502))
async def sync_templates(app: Here, who: Writer, number_id: Written) -> Count:
    """Answers how many there are."""
    try:
        return Count(count=await service.sync(app, *await _of(app, number_id)))
    except (GraphError, TemplateError) as error:
        raise _told(error) from error


@router.post("/check", summary="Check a template")
async def check_template(who: Reader, number_id: Read, new: New) -> Checked:
    """What Meta would refuse in it, without handing it in."""
    return Checked(problems=[_found(problem) for problem in template_checks.problems(new.spec)])


@router.post("/media", status_code=201, summary="Upload a header's example", responses=errors(413, 422, 502))
async def upload_sample(app: Here, who: Writer, number_id: Written, request: Request) -> Sample:
    """A form with `file` and `format` (IMAGE, VIDEO or DOCUMENT); the file goes to Meta at once."""
    async with request.form(max_files=1, max_fields=5) as form:
        file, kind = form.get("file"), str(form.get("format", "")).upper()
        if not isinstance(file, UploadFile):
            raise ApiError(
                400, "request.invalid", "The form has no file.", "Send multipart/form-data with a part file."
            )
        data, name = await file.read(), file.filename or "file"
    try:
        return Sample.model_validate(await service.keep_sample(app, *await _of(app, number_id), kind, data, name))
    except (GraphError, TemplateError) as error:
        raise _told(error) from error


@router.post("", status_code=201, summary="Make a template", responses=errors(422, 502))
async def create_template(app: Here, who: Writer, number_id: Written, new: New) -> Template:
    """Hands it in for review. What Meta would refuse is refused here, each thing with its field."""
    where = await _of(app, number_id)
    try:
        made = await service.create(app, *where, new.spec)
        return Template.of(await service.template_of(app, *where, made))
    except (GraphError, TemplateError) as error:
        raise _told(error) from error


@router.get("/{template_id}", summary="One template", responses=errors(404))
async def get_template(app: Here, who: Reader, number_id: Read, template_id: Text) -> Template:
    return Template.of(await _one(app, number_id, template_id))


@router.put("/{template_id}", summary="Change a template", responses=errors(404, 422, 502))
async def edit_template(app: Here, who: Writer, number_id: Written, template_id: Text, version: Version) -> Template:
    """Replaces all components; it goes back to review. An approved one: once in 24 hours, ten times in 30 days."""
    one = await _one(app, number_id, template_id)
    try:
        await service.edit(app, one.organisation_id, one.waba_id, one.id, version.model_dump(exclude_none=True))
    except (GraphError, TemplateError) as error:
        raise _told(error) from error
    return Template.of(await _one(app, number_id, template_id))


@router.delete("/{template_id}", summary="Delete a template", responses=errors(404, 422, 502))
async def delete_template(
    app: Here,
    who: Writer,
    number_id: Written,
    template_id: Text,
    all_languages: Annotated[bool, Query(description="Not only this one.")] = False,
) -> Count:
    """Answers how many languages that were. The name of an approved one stays blocked at Meta for 30 days."""
    one = await _one(app, number_id, template_id)
    only = None if all_languages else one.id
    try:
        return Count(count=await service.delete(app, one.organisation_id, one.waba_id, one.name, only))
    except (GraphError, TemplateError) as error:
        raise _told(error) from error


@router.post("/{template_id}/unpause", summary="End a pause", responses=errors(404, 422, 502))
async def unpause_template(app: Here, who: Writer, number_id: Written, template_id: Text) -> Template:
    one = await _one(app, number_id, template_id)
    try:
        await service.unpause(app, one.organisation_id, one.waba_id, one.id)
    except (GraphError, TemplateError) as error:
        raise _told(error) from error
    return Template.of(await _one(app, number_id, template_id))


@router.put("/{template_id}/fallbacks", summary="Set fallback values", responses=errors(404, 422))
async def set_fallbacks(app: Here, who: Writer, number_id: Written, template_id: Text, wanted: Fallbacks) -> Template:
    one = await _one(app, number_id, template_id)
    try:
        async with app.db.transaction() as tx:
            await service.set_fallbacks(app, tx, one, wanted.fallbacks)
    except TemplateError as error:
        raise _told(error) from error
    return Template.of(await _one(app, number_id, template_id))


@router.post("/{template_id}/fill", summary="Fill in a template", responses=errors(404))
async def fill_template(app: Here, who: Reader, number_id: Read, template_id: Text, given: Values) -> Filled:
    """The components for a message, from values by slot key. Nothing is sent."""
    filled = (await _one(app, number_id, template_id)).fill(given.values)
    return Filled(
        text=filled.text,
        components=list(filled.components),
        missing=[slot.key for slot in filled.missing],
        surplus=list(filled.surplus),
    )


async def _place(tx: Tx, number_id: int) -> tuple[int, str]:
    place = await queries.account_of(tx, number_id)
    if place is None:
        raise ApiError(404, "number.unknown", f"There is no number {number_id}.", "GET /v1/numbers lists them.")
    return place


async def _of(app: App, number_id: int) -> tuple[int, str]:
    async with app.db.transaction() as tx:
        return await _place(tx, number_id)


async def _one(app: App, number_id: int, template_id: str) -> models.Template:
    async with app.db.transaction() as tx:
        found = await queries.template(tx, *await _place(tx, number_id), template_id)
    if found is None:
        raise ApiError(
            404,
            "template.unknown",
            f"This number's account has no template {template_id}.",
            "GET …/templates lists them; POST …/templates/sync reads them from Meta anew.",
        )
    return found


def _found(problem: rules.Problem) -> Found:
    return Found(field=problem.where, rule=problem.rule, problem=problem.says, what_to_do=problem.do, sure=problem.sure)


def _told(error: GraphError | TemplateError) -> ApiError:
    if isinstance(error, TemplateError):
        first = error.problems[0]
        details = [{"field": problem.where, "problem": problem.says} for problem in error.problems]
        return ApiError(422, first.rule, first.says, first.do, details)
    if error.code is None:
        return ApiError(502, "meta.unreachable", error.outcome.says, error.outcome.do)
    return ApiError(422, "meta.refused", service.meta_said(error), error.outcome.do)
