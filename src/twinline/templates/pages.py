"""The pages about templates: the list, one of them, writing one."""

import asyncio
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of, viewer_of, writer_of
from twinline.app import App
from twinline.kit.html import environment, render, see_other
from twinline.meta.graph import GraphError
from twinline.rules import template_checks
from twinline.rules import templates as rules
from twinline.rules.templates import Problem
from twinline.templates import forms, queries, service, words
from twinline.templates.models import Account, Template, TemplateError

FILTERS = ("q", "status", "category", "language")
MOST = 101 * 1024 * 1024  # bytes of a header's file and the form around it
WRITERS_ONLY = "Your role may look at templates but not change them. Ask an owner or administrator."
ADMINISTRATORS_ONLY = "Only an owner or administrator may do this with templates. Ask one of them."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    account = "/templates/{waba:str}"
    one = f"{account}/{{template:str}}"
    return [
        Route("/templates", pages.start),
        Route(account, pages.list),
        Route(f"{account}/sync", pages.sync, methods=["POST"]),
        Route(f"{account}/new", pages.new, methods=["GET", "POST"]),
        Route(f"{account}/check", pages.check, methods=["POST"]),
        Route(f"{account}/sample", pages.sample, methods=["POST"]),
        Route(one, pages.one),
        Route(f"{one}/edit", pages.edit, methods=["GET", "POST"]),
        Route(f"{one}/fallbacks", pages.fallbacks, methods=["POST"]),
        Route(f"{one}/unpause", pages.unpause, methods=["POST"]),
        Route(f"{one}/delete", pages.delete, methods=["POST"]),
        Route(f"{one}/sample", pages.kept_sample),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    # --- looking --------------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            accounts = await queries.accounts(tx, viewer_of(request).organisation_id)
        if not accounts:
            return render(request, "templates/none.html")
        return see_other(f"/templates/{accounts[0].waba_id}")

    async def list(self, request: Request) -> Response:
        return await self._list(request)

    async def _list(self, request: Request, problem: str = "", status: int = 200) -> Response:
        account = await self._account(request)
        asked = {name: request.query_params.get(name, "").strip()[:200] for name in FILTERS}
        async with self._app.db.transaction() as tx:
            accounts = await queries.accounts(tx, account.organisation_id)
            every = await queries.templates(tx, account.organisation_id, account.waba_id)
            found = await queries.templates(tx, account.organisation_id, account.waba_id, **asked)
        return render(
            request,
            "templates/list.html",
            status=status,
            account=account,
            accounts=accounts,
            asked=asked,
            groups=_by_name(found),
            every=every,
            problem=problem,
            words=words,
            rules=rules.rules(),
        )

    async def sync(self, request: Request) -> Response:
        administrator_of(request, ADMINISTRATORS_ONLY)
        account = await self._account(request)
        try:
            await service.sync(self._app, account.organisation_id, account.waba_id)
        except (GraphError, TemplateError) as error:
            return await self._list(request, _said(error), 502)
        return see_other(f"/templates/{account.waba_id}")

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, problem: str = "", status: int = 200) -> Response:
        account, template = await self._template(request)
        async with self._app.db.transaction() as tx:
            siblings = await queries.by_name(tx, account.organisation_id, account.waba_id, template.name)
        return render(
            request,
            "templates/one.html",
            status=status,
            account=account,
            one=template,
            siblings=siblings,
            bubble=words.bubble(template.spec),
            uneditable=rules.may_edit(template.status, template.edited, self._app.clock.now()),
            problem=problem,
            words=words,
            rules=rules.rules(),
        )

    async def kept_sample(self, request: Request) -> Response:
        """The header's file, if it was handed in from here."""
        _, template = await self._template(request)
        if template.sample is None:
            raise HTTPException(404)
        stream = await asyncio.to_thread(self._app.files.open, template.sample["file"])
        data = await asyncio.to_thread(stream.read)
        stream.close()
        return Response(
            data,
            media_type=template.sample["mime_type"],
            headers={
                "content-security-policy": "default-src 'none'; sandbox",
                "cache-control": "private, max-age=3600",
            },
        )

    # --- writing --------------------------------------------------------------------------------------------------

    async def new(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        account = await self._account(request)
        if request.method == "GET":
            return self._form(request, account, await self._begun(request, account))
        async with request.form(max_part_size=256 * 1024) as form:
            spec, sample = forms.read(form), forms.sample(form)
        try:
            made = await service.create(
                self._app,
                account.organisation_id,
                account.waba_id,
                spec,
                sample=sample,
                user_id=viewer.user_id,
            )
        except (GraphError, TemplateError) as error:
            return self._form(request, account, spec, error=error, sample=sample)
        return see_other(f"/templates/{account.waba_id}/{made}")

    async def _begun(self, request: Request, account: Account) -> dict[str, Any]:
        """An empty form, or a copy of a template (``from``): under a new name, or in another language."""
        like = request.query_params.get("from")
        async with self._app.db.transaction() as tx:
            found = await queries.template(tx, account.organisation_id, account.waba_id, like) if like else None
        if found is None:
            return {"language": "en_US", "category": "UTILITY", "components": []}
        other = request.query_params.get("as") == "language"
        return {
            **found.spec,
            "name": found.name if other else f"{found.name}_2",
            "language": "" if other else found.language,
        }

    async def edit(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        account, template = await self._template(request)
        if not forms.fits(template.spec):
            return await self._one(request, "A carousel is changed as a file: twinline template create --file.", 409)
        if request.method == "GET":
            return self._form(request, account, template.spec, template, sample=template.sample)
        async with request.form(max_part_size=256 * 1024) as form:
            spec, sample = forms.read(form), forms.sample(form)
        spec |= {"name": template.name, "language": template.language, "parameter_format": template.parameter_format}
        try:
            await service.edit(
                self._app,
                account.organisation_id,
                account.waba_id,
                template.id,
                spec,
                sample=sample,
                user_id=viewer.user_id,
            )
        except (GraphError, TemplateError) as error:
            return self._form(request, account, spec, template, error, sample)
        return see_other(f"/templates/{account.waba_id}/{template.id}")

    def _form(
        self,
        request: Request,
        account: Account,
        spec: dict[str, Any],
        template: Template | None = None,
        error: GraphError | TemplateError | None = None,
        sample: dict[str, Any] | None = None,
    ) -> Response:
        return render(
            request,
            "templates/form.html",
            status=422 if error else 200,
            account=account,
            one=template,
            given=forms.shown(spec),
            sample=sample,
            problem=_said(error) if error else "",
            bubble=words.bubble(spec),
            rules=rules.rules(),
            words=words,
        )

    async def check(self, request: Request) -> Response:
        """What Meta would say to the form as it stands, and how it looks: asked while somebody types."""
        account = await self._account(request)
        async with request.form(max_part_size=256 * 1024) as form:
            spec, editing = forms.read(form), bool(form.get("editing"))
        found = template_checks.problems(spec)
        if not editing and spec["name"]:
            async with self._app.db.transaction() as tx:
                now = self._app.clock.now()
                found += await service.may_create(tx, account.organisation_id, account.waba_id, spec, now)
        preview = environment.get_template("templates/bubble.html").render(bubble=words.bubble(spec), sample=None)
        return JSONResponse(
            {
                "preview": preview,
                "problems": [_as_json(problem) for problem in found],
                "variables": [
                    {"key": slot.key, "label": slot.label, "name": slot.name}
                    for slot in rules.slots(spec)
                    if slot.kind in ("text", "url") and spec["category"] != "AUTHENTICATION"
                ],
                "lengths": _lengths(spec),
            }
        )

    async def sample(self, request: Request) -> Response:
        """Keeps the file of a media header and hands it to Meta; answers its handle."""
        administrator_of(request, ADMINISTRATORS_ONLY)
        account = await self._account(request)
        if int(request.headers.get("content-length") or 0) > MOST:
            raise HTTPException(413, "The file is larger than WhatsApp takes (100 MB).")
        async with request.form(max_files=1) as form:
            file, kind = form.get("file"), str(form.get("header", ""))
            if not isinstance(file, UploadFile) or not file.filename:
                raise HTTPException(400, "There is no file in what was sent. Choose one and try again.")
            data, name = await file.read(), file.filename
        try:
            kept = await service.keep_sample(self._app, account.organisation_id, account.waba_id, kind, data, name)
        except (GraphError, TemplateError) as error:
            return JSONResponse({"problem": _said(error)}, status_code=422)
        return JSONResponse(kept)

    # --- doing ----------------------------------------------------------------------------------------------------

    async def fallbacks(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        account, template = await self._template(request)
        async with request.form() as form:
            given = {key: str(value) for key, value in form.items() if key != "csrf"}
        try:
            async with self._app.db.transaction() as tx:
                await service.set_fallbacks(self._app, tx, template, given, viewer.user_id)
        except TemplateError as error:
            return await self._one(request, str(error), 422)
        return see_other(f"/templates/{account.waba_id}/{template.id}")

    async def unpause(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        account, template = await self._template(request)
        where = account.organisation_id, account.waba_id
        try:
            await service.unpause(self._app, *where, template.id, user_id=viewer.user_id)
        except (GraphError, TemplateError) as error:
            return await self._one(request, _said(error), 409)
        return see_other(f"/templates/{account.waba_id}/{template.id}")

    async def delete(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        account, template = await self._template(request)
        async with request.form() as form:
            only = None if form.get("all") == "yes" else template.id
        where = account.organisation_id, account.waba_id
        try:
            await service.delete(self._app, *where, template.name, only, user_id=viewer.user_id)
        except (GraphError, TemplateError) as error:
            return await self._one(request, _said(error), 409)
        return see_other(f"/templates/{account.waba_id}")

    # --- reading a request ----------------------------------------------------------------------------------------

    async def _account(self, request: Request) -> Account:
        async with self._app.db.transaction() as tx:
            found = await queries.accounts(tx, viewer_of(request).organisation_id, request.path_params["waba"])
        if not found:
            raise HTTPException(404)
        return found[0]

    async def _template(self, request: Request) -> tuple[Account, Template]:
        account = await self._account(request)
        async with self._app.db.transaction() as tx:
            found = await queries.template(
                tx, account.organisation_id, account.waba_id, request.path_params["template"]
            )
        if found is None:
            raise HTTPException(404, "This template isn't there any more: it was deleted, here or in WhatsApp Manager.")
        return account, found


def _by_name(found: list[Template]) -> dict[str, list[Template]]:
    groups: dict[str, list[Template]] = {}
    for template in found:
        groups.setdefault(template.name, []).append(template)
    return groups


def _said(error: GraphError | TemplateError) -> str:
    return service.meta_said(error) if isinstance(error, GraphError) else str(error)


def _as_json(problem: Problem) -> dict[str, Any]:
    return {"where": problem.where, "says": problem.says, "do": problem.do, "sure": problem.sure}


def _lengths(spec: dict[str, Any]) -> dict[str, list[int]]:
    """Field -> characters and how many there may be."""
    parts = rules.components(spec)
    body = rules.part(parts, "BODY").get("text") or ""
    header = rules.part(parts, "HEADER").get("text") or ""
    footer = rules.part(parts, "FOOTER").get("text") or ""
    most = rules.limit("offer_body" if rules.part(parts, "LIMITED_TIME_OFFER") else "body")
    return {
        "body": [len(body), most],
        "header_text": [len(header), rules.limit("header")],
        "footer": [len(footer), rules.limit("footer")],
    }
