"""The pages of automations: the list, the library, the editor, versions, what they did, and a rehearsal."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import orjson
from markupsafe import Markup
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from twinline.accounts import queries as accounts
from twinline.accounts.gate import administrator_of, viewer_of, writer_of
from twinline.app import App
from twinline.automations import approvals, builder, forms, known, notation, queries, service, starters, views, words
from twinline.automations.approvals import Approval
from twinline.automations.forms import CATALOGUE
from twinline.automations.models import Automation, NoSuchAutomation, Overtaken, Run
from twinline.automations.problems import Unfit
from twinline.automations.rehearsing import Rehearsal
from twinline.contacts.models import ContactError
from twinline.db import Tx
from twinline.kit.html import environment, render, see_other
from twinline.numbers import queries as numbers
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import handles
from twinline.sending import service as sending

WRITERS_ONLY: Final = "Your role may look at automations but not change them. Ask an owner or administrator."
CHANGED: Final = "Somebody else changed this automation while you were looking. Go back to the flow and look once more."
FIELDS_ARE_MADE_BY: Final = "Fields are made by an owner or administrator of the organisation. Ask one of them."
RUNS: Final = 30
MOST_FILE: Final = 101 * 1024 * 1024
LANGUAGES: Final = {"en": "English", "es": "Español", "pt": "Português"}
EMPTY: Final[dict[str, Any]] = {"triggers": [], "steps": []}
Doing = Callable[[Tx, int, int, datetime], Awaitable[Any]]


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    one = "/automations/{automation:int}"
    return [
        Route("/automations", pages.list, methods=["GET"]),
        Route("/automations", pages.create, methods=["POST"]),
        Route("/automations/new", pages.library),
        Route("/automations/import", pages.import_, methods=["POST"]),
        Route("/automations/media", pages.media, methods=["POST"]),
        Route("/automations/runs", pages.runs),
        Route("/automations/runs/{number:int}/{run:int}", pages.run),
        Route("/automations/runs/{number:int}/{run:int}/end", pages.end_run, methods=["POST"]),
        Route("/automations/approvals", pages.approvals),
        Route("/automations/approvals/{number:int}/{approval:int}", pages.decide, methods=["POST"]),
        Route(one, pages.editor),
        Route(f"{one}/draft", pages.draft, methods=["POST"]),
        Route(f"{one}/yaml", pages.yaml, methods=["POST"]),
        Route(f"{one}/lacking", pages.lacking, methods=["POST"]),
        Route(f"{one}/try", pages.play, methods=["POST"]),
        Route(f"{one}/publish", pages.publish, methods=["GET", "POST"]),
        Route(f"{one}/export.yaml", pages.export),
        Route(f"{one}/versions", pages.versions),
        Route(f"{one}/versions/{{version:int}}", pages.restore, methods=["POST"]),
        Route(f"{one}/runs", pages.runs),
        Route(f"{one}/rehearsal", pages.rehearsal),
        Route(f"{one}/enable", pages.enable, methods=["POST"]),
        Route(f"{one}/move", pages.move, methods=["POST"]),
        Route(f"{one}/copy", pages.copy, methods=["POST"]),
        Route(f"{one}/archive", pages.archive, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    # --- the list -----------------------------------------------------------------------------------------------------

    async def list(self, request: Request) -> Response:
        return await self._list(request)

    async def _list(self, request: Request, problem: str = "", status: int = 200) -> Response:
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            found = await queries.automations(tx, viewer.organisation_id)
            tallies = await views.tallies(tx, viewer.organisation_id, self._app.clock.now())
            waiting = await approvals.waiting(tx, viewer.organisation_id, limit=100)
            places = {one.id: one.name for one in await numbers.numbers(tx, viewer.organisation_id)}
        return render(
            request,
            "automations/list.html",
            status=status,
            found=found,
            tallies=tallies,
            waiting=len(waiting),
            places=places,
            problem=problem,
            words=words,
            forms=forms,
        )

    async def library(self, request: Request) -> Response:
        return self._library(request)

    def _library(self, request: Request, text: str = "", told: Any = (), status: int = 200) -> Response:
        writer_of(request, WRITERS_ONLY)
        chosen = request.query_params.get("language", "en")
        return render(
            request,
            "automations/library.html",
            status=status,
            language=chosen if chosen in LANGUAGES else "en",
            languages=LANGUAGES,
            starters=starters.in_language(chosen if chosen in LANGUAGES else "en"),
            text=text,
            told=told,
            words=words,
            forms=forms,
        )

    async def create(self, request: Request) -> Response:
        """From a starter (``starter``, ``language``), or with nothing in it."""
        async with request.form() as form:
            key, language = str(form.get("starter", "")), str(form.get("language", "en"))
        chosen = starters.starter(key, language) if key else None
        if key and chosen is None:
            raise HTTPException(404)
        begun = dict(chosen.definition) if chosen else {"name": "New automation", **EMPTY}
        return await self._made(request, begun)

    async def _made(self, request: Request, definition: dict[str, Any]) -> Response:
        """A new one, under a name that is free."""
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        async with self._app.db.transaction() as tx:
            taken = {one.name.lower() for one in await queries.automations(tx, viewer.organisation_id)}
            name = str(definition.get("name") or "New automation")[: service.LONGEST_NAME - 4]
            free = (f"{name} {count}" for count in range(2, 1000))
            definition = {**definition, "name": name if name.lower() not in taken else _first(free, taken)}
            try:
                made = await service.create(tx, viewer.organisation_id, definition, viewer.user_id, now)
            except Refused as refused:
                raise HTTPException(422, refused.refusal.says) from refused
        return see_other(f"/automations/{made}")

    async def import_(self, request: Request) -> Response:
        """A YAML file, or its text."""
        viewer = writer_of(request, WRITERS_ONLY)
        if int(request.headers.get("content-length") or 0) > 4 * notation.LONGEST:
            raise HTTPException(413, "This file is larger than an automation can be.")
        async with request.form(max_files=1, max_part_size=2 * notation.LONGEST) as form:
            file, text = form.get("file"), str(form.get("text", ""))
            if isinstance(file, UploadFile) and file.filename:
                text = (await file.read()).decode("utf-8-sig", "replace")
        async with self._app.db.transaction() as tx:
            here = await known.known(tx, viewer.organisation_id)
        definition, told = builder.of_yaml(text.replace("\r\n", "\n"), here)
        if definition is None:
            return self._library(request, text, told or [{"line": None, "says": "There is nothing in it."}], 422)
        return await self._made(request, definition)

    async def enable(self, request: Request) -> Response:
        async with request.form() as form:
            on, here = form.get("on") == "yes", form.get("here") == "yes"

        async def doing(tx: Tx, organisation: int, automation: int, now: datetime) -> None:
            await service.enable(tx, organisation, automation, on, now, user_id=viewer_of(request).user_id)

        own = f"/automations/{request.path_params['automation']}"
        return await self._do(request, doing, own if here else "/automations")

    async def move(self, request: Request) -> Response:
        async with request.form() as form:
            place = str(form.get("to", ""))
        if not place.isdecimal():
            raise HTTPException(422, "This isn't a place in the list. Reload the page.")

        async def doing(tx: Tx, organisation: int, automation: int, now: datetime) -> None:
            await service.move(tx, organisation, automation, int(place))

        return await self._do(request, doing)

    async def archive(self, request: Request) -> Response:
        async def doing(tx: Tx, organisation: int, automation: int, now: datetime) -> None:
            await service.archive(tx, organisation, automation, now, user_id=viewer_of(request).user_id)

        return await self._do(request, doing)

    async def _do(self, request: Request, doing: Doing, back: str = "/automations") -> Response:
        """Something with an automation; then the page that it was done on."""
        viewer = writer_of(request, WRITERS_ONLY)
        try:
            async with self._app.db.transaction() as tx:
                await doing(tx, viewer.organisation_id, request.path_params["automation"], self._app.clock.now())
        except NoSuchAutomation as error:
            raise HTTPException(404) from error
        except Refused as refused:
            return await self._list(request, refused.refusal.says, 200 if request.headers.get("hx-request") else 409)
        if request.headers.get("hx-request"):
            return await self._list(request)
        return see_other(back)

    async def copy(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
        return await self._made(request, {**one.draft, "name": one.name})

    # --- the editor ---------------------------------------------------------------------------------------------------

    async def editor(self, request: Request) -> Response:
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            here = await builder.surroundings(tx, viewer.organisation_id, one.name)
            draft = one.draft if builder.drawable(one.draft) else {**EMPTY, "name": one.name}
            where = await builder.scene(tx, viewer.organisation_id, draft, self._app.clock.now())
        data = {
            "definition": draft,
            "catalogue": CATALOGUE,
            "known": here.offered,
            "problems": [builder.as_json(found, draft) for found in builder.problems(draft, here.known)],
            "sentences": words.sentences(draft),
            "beginnings": builder.beginnings(draft),
            "clock": where.clock(None),
            "draft_at": one.draft_at.isoformat(),
            "readonly": not viewer.may_write,
            "makes": [what for what in builder.MADE_HERE if what == "tag" or viewer.may_administer],
            "made_at": builder.MADE_AT,
        }
        return render(
            request, "automations/editor.html", one=one, tab="flow", name=draft.get("name"), data=_inline(data)
        )

    async def draft(self, request: Request) -> Response:
        """What the draft comes to; ``keep``: and it is kept."""
        viewer, given = viewer_of(request), await builder.body(request)
        definition, now = await builder.definition_of(given), self._app.clock.now()
        kept: datetime | None = None
        refused = overtaken = ""
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            here = await builder.surroundings(tx, viewer.organisation_id, one.name)
        if given.get("keep"):
            writer_of(request, WRITERS_ONLY)
            seen = _moment(given.get("draft_at"))
            try:
                async with self._app.db.transaction() as tx:
                    kept = await service.save(tx, viewer.organisation_id, one.id, definition, now, seen=seen)
            except NoSuchAutomation as error:
                raise HTTPException(404) from error
            except Overtaken:
                overtaken = await self._overtaken(request, definition)
            except Refused as error:
                refused = error.refusal.says
        told = [builder.as_json(found, definition) for found in builder.problems(definition, here.known)]
        if refused:
            told = [one for one in told if one["path"] != ["name"]]
            told.insert(0, {"path": ["name"], "says": refused, "warning": False})
        opened = given.get("open")
        return JSONResponse(
            {
                "problems": told,
                "sentences": words.sentences(definition),
                "beginnings": builder.beginnings(definition),
                "previews": builder.previews(definition, opened if isinstance(opened, list) else [], here),
                "draft_at": kept.isoformat() if kept else None,
                "kept": kept is not None,
                "overtaken": overtaken,
            }
        )

    async def lacking(self, request: Request) -> Response:
        """Makes the fields or tags that the definition speaks of and nobody has made; answers what there is then."""
        given = await builder.body(request)
        definition, what = await builder.definition_of(given), str(given.get("what"))
        if what not in builder.MADE_HERE:
            raise HTTPException(422, "This can't be made from here.")
        viewer = administrator_of(request, FIELDS_ARE_MADE_BY) if what == "field" else writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            wanted = builder.lacking(definition, await known.known(tx, viewer.organisation_id), what)
            try:
                await builder.make(tx, viewer.organisation_id, wanted, self._app.clock.now())
            except ContactError as error:
                raise HTTPException(422, str(error)) from error
            here = await builder.surroundings(tx, viewer.organisation_id, one.name)
        return JSONResponse({"made": [each.name for each in wanted], "known": here.offered})

    async def _overtaken(self, request: Request, mine: dict[str, Any]) -> str:
        """Somebody else saved it meanwhile: how the two differ, and what can be done with what was written here."""
        async with self._app.db.transaction() as tx:
            theirs = await _automation(tx, request)
        return environment.get_template("automations/overtaken.html").render(
            viewer=viewer_of(request),
            one=theirs,
            changes=words.changes(theirs.draft, mine) if builder.drawable(theirs.draft) else [],
            yaml=builder.to_yaml(mine),
        )

    async def yaml(self, request: Request) -> Response:
        """The definition as YAML, or YAML as a definition; nothing is kept."""
        viewer, given = viewer_of(request), await builder.body(request)
        async with self._app.db.transaction() as tx:
            here = await known.known(tx, viewer.organisation_id)
        if "yaml" in given:
            definition, told = builder.of_yaml(str(given["yaml"]), here)
            return JSONResponse({"definition": definition, "problems": told})
        text = builder.to_yaml(await builder.definition_of(given))
        return JSONResponse({"yaml": text, "problems": builder.of_yaml(text, here)[1]})

    async def play(self, request: Request) -> Response:
        """A word of the simulated customer's, and what the automation makes of it."""
        viewer, given = viewer_of(request), await builder.body(request)
        definition, now = await builder.definition_of(given), self._app.clock.now()
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            here = await builder.surroundings(tx, viewer.organisation_id, one.name)
            where = await builder.scene(tx, viewer.organisation_id, definition, now)
        try:
            where = where.beginning(given.get("at"))
            if given.get("look"):
                return JSONResponse({"clock": where.clock(None)})
            state, did = builder.play(definition, given, where)
        except Unfit as error:
            first = error.problems[0].says
            raise HTTPException(422, f"It can't be tried yet. {first}") from error
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        drawn = [(each, builder.draw(each.message, here, at=each.at) if each.message else "") for each in did]
        html = environment.get_template("automations/played.html").render(
            given=given, drawn=drawn, state=state, now=where.now(state), words=words
        )
        cursor = builder.cursor(definition, state)
        return JSONResponse({"state": state, "html": html, "cursor": cursor, "clock": where.clock(state)})

    async def publish(self, request: Request) -> Response:
        """What would change, in words; POST: it does."""
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            here = await known.known(tx, viewer.organisation_id)
            if request.method == "GET":
                shown = builder.publishing(one, here, makes_fields=viewer_of(request).may_administer)
                return render(request, "automations/publishing.html", one=one, **shown)
            async with request.form() as form:
                on, seen = form.get("on") == "yes", _moment(form.get("draft_at"))
            try:
                version = await service.publish(tx, viewer.organisation_id, one.id, viewer.user_id, now, seen=seen)
                if on and not one.enabled:
                    await service.enable(tx, viewer.organisation_id, one.id, True, now, user_id=viewer.user_id)
            except Unfit as error:
                raise HTTPException(422, error.problems[0].says) from error
            except Overtaken as error:
                raise HTTPException(409, CHANGED) from error
        return see_other(f"/automations/{one.id}?published={version}")

    async def export(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            version = request.query_params.get("version", "")
            definition: dict[str, Any] | None = one.draft
            if version.isdecimal():
                definition = await queries.definition(tx, one.organisation_id, one.id, int(version))
        if definition is None:
            raise HTTPException(404)
        named = f"attachment; filename*=UTF-8''{quote(one.name, safe='')}.yaml"
        return Response(
            builder.to_yaml(definition), media_type="application/yaml", headers={"content-disposition": named}
        )

    async def versions(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            found = await queries.versions(tx, one.organisation_id, one.id)
            names = {user.id: user.name for user in await accounts.users(tx, one.organisation_id)}
            kept = {
                each.version: await queries.definition(tx, one.organisation_id, one.id, each.version) for each in found
            }
        told = [
            (each, names.get(each.made_by or 0), words.changes(kept.get(each.version - 1), kept[each.version] or {}))
            for each in found
        ]
        return render(request, "automations/versions.html", one=one, tab="versions", told=told)

    async def restore(self, request: Request) -> Response:
        """An older version becomes the draft; what runs stays."""
        writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            kept = await queries.definition(tx, one.organisation_id, one.id, request.path_params["version"])
            if kept is None:
                raise HTTPException(404)
            try:
                await service.save(tx, one.organisation_id, one.id, kept, self._app.clock.now())
            except Refused as refused:
                raise HTTPException(422, refused.refusal.says) from refused
        return see_other(f"/automations/{one.id}")

    async def media(self, request: Request) -> Response:
        """Keeps a file under one handle, for each of the organisation's numbers."""
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        if int(request.headers.get("content-length") or 0) > MOST_FILE:
            raise HTTPException(413, "The file is larger than WhatsApp takes (100 MB).")
        async with request.form(max_files=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile) or not file.filename:
                raise HTTPException(400, "There is no file in what was sent. Choose one and try again.")
            draft = await sending.attach(self._app, await file.read(), file.filename, "", None)
            name = file.filename
        async with self._app.db.transaction() as tx:
            handle = None
            for number in await numbers.numbers(tx, viewer.organisation_id):
                handle = await handles.keep(tx, number.id, draft, now, handle)
        return JSONResponse({"handle": handle, "type": draft.type, "filename": name})

    # --- what they did ------------------------------------------------------------------------------------------------

    async def runs(self, request: Request) -> Response:
        """Of one automation, or of all."""
        viewer, asked = viewer_of(request), request.query_params.get("before", "")
        automation_id = request.path_params.get("automation")
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request) if automation_id is not None else None
            found = await queries.runs(
                tx, viewer.organisation_id, automation_id,
                before=int(asked) if asked.isdecimal() else None, limit=RUNS + 1,
            )  # fmt: skip
        template = "automations/rows.html" if request.headers.get("hx-request") else "automations/runs.html"
        return render(request, template, one=one, tab="runs", found=found[:RUNS], more=len(found) > RUNS)

    async def run(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            found = await self._run(tx, request)
            definition = await queries.definition(tx, found.organisation_id, found.automation_id, found.version)
            lines = await queries.log(tx, found.number_id, found.contact_id, 200)
        steps = words.by_path(definition or {})
        return render(
            request,
            "automations/run.html",
            run=found,
            trace=_trace(found, steps),
            lines=[line for line in reversed(lines) if line.run_id == found.id],
            standing=steps.get(str(found.run.get("cursor") or "")),
            forms=forms,
        )

    async def end_run(self, request: Request) -> Response:
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        async with self._app.db.transaction() as tx:
            found = await self._run(tx, request)
            await service.end_run(tx, found.number_id, found.id, now, user_id=viewer.user_id)
        return see_other(f"/automations/runs/{found.number_id}/{found.id}")

    async def _run(self, tx: Tx, request: Request) -> Run:
        found = await queries.run(tx, request.path_params["number"], request.path_params["run"])
        if found is None or found.organisation_id != viewer_of(request).organisation_id:
            raise HTTPException(404)
        return found

    async def rehearsal(self, request: Request) -> Response:
        """On chats that have been: what people answered, and what it would have said. Nothing is sent."""
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            one = await _automation(tx, request)
            shown = await Rehearsal(self._app, tx, viewer.organisation_id).of(one, request.query_params)
        return render(request, "automations/rehearsal.html", one=one, tab="rehearsal", **shown)

    # --- answers that wait for a person -------------------------------------------------------------------------------

    async def approvals(self, request: Request) -> Response:
        return await self._approvals(request)

    async def _approvals(
        self, request: Request, decided: Approval | None = None, refused: Refusal | None = None
    ) -> Response:
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            found = await approvals.waiting(tx, viewer.organisation_id, limit=50)
            asked = await views.last_words(tx, [(each.number_id, each.contact_id) for each in found])
        return render(request, "automations/approvals.html", found=found, asked=asked, decided=decided, refused=refused)

    async def decide(self, request: Request) -> Response:
        viewer = writer_of(request, "Your role may read but not answer. Ask an owner or administrator.")
        number_id, approval_id = request.path_params["number"], request.path_params["approval"]
        async with request.form() as form:
            approve, text = form.get("approve") == "yes", str(form.get("text", ""))
        async with self._app.db.transaction() as tx:
            if await numbers.number(tx, viewer.organisation_id, number_id) is None:
                raise HTTPException(404)
            try:
                decided = await approvals.decide(self._app, tx, number_id, approval_id, approve, viewer.user_id, text)
            except Refused as refused:
                return await self._approvals(request, refused=refused.refusal)
        return await self._approvals(request, decided)


# --- small things -----------------------------------------------------------------------------------------------------


async def _automation(tx: Tx, request: Request) -> Automation:
    found = await queries.automation(tx, viewer_of(request).organisation_id, request.path_params["automation"])
    if found is None or found.archived_at is not None:
        raise HTTPException(404, "This automation isn't there any more: somebody has removed it.")
    return found


def _moment(said: Any) -> datetime:
    """The draft that the page has seen."""
    try:
        return datetime.fromisoformat(str(said)).astimezone(UTC)
    except ValueError as error:
        raise HTTPException(
            400, "The page doesn't say which draft it has seen. Reload it and try once more."
        ) from error


def _inline(data: Any) -> Markup:
    """JSON that can stand in a page, in its order."""
    return Markup(orjson.dumps(data).decode().replace("<", "\\u003c"))  # noqa: S704 — nothing in it ends the element


def _trace(run: Run, steps: dict[str, str]) -> list[dict[str, Any]]:
    """When and what; the path of a step is its sentence."""
    return [
        {"at": datetime.fromtimestamp(at, run.began_at.tzinfo), "says": steps.get(str(said), str(said)),
         "step": str(said) in steps, "path": str(said)}
        for at, said in run.trace
    ]  # fmt: skip


def _first(names: Iterable[str], taken: set[str]) -> str:
    return next(name for name in names if name.lower() not in taken)
