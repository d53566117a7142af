"""The pages of what automations may ask outside: connections, and what an AI agent may read."""

from typing import Any, Final

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of, viewer_of, writer_of
from twinline.app import App
from twinline.automations import connections, knowledge
from twinline.automations.connections import NotThere, Unusable
from twinline.kit.html import render, see_other

ADMINISTRATORS_ONLY: Final = "Connections hold keys, so only an owner or administrator may change them."
WRITERS_ONLY: Final = "Your role may look at this but not change it. Ask an owner or administrator."
ICONS: Final = {"http": "link", "bot": "robot", "ai": "spark"}
SHORT: Final = {"http": "Web address", "bot": "Bot", "ai": "AI"}
LANGUAGES: Final = {
    "en": "English", "es": "Español", "pt": "Português", "ca": "Català", "de": "Deutsch", "fr": "Français",
    "it": "Italiano", "nl": "Nederlands", "": "Another",
}  # fmt: skip


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    return [
        Route("/automations/connections", pages.connections, methods=["GET", "POST"]),
        Route("/automations/connections/{connection:int}", pages.connection, methods=["GET", "POST"]),
        Route("/automations/connections/{connection:int}/remove", pages.remove_connection, methods=["POST"]),
        Route("/automations/knowledge", pages.knowledge, methods=["GET", "POST"]),
        Route("/automations/knowledge/{source:int}", pages.source),
        Route("/automations/knowledge/{source:int}/remove", pages.remove_source, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    # --- connections --------------------------------------------------------------------------------------------------

    async def connections(self, request: Request) -> Response:
        """The list; POST: a new one, whose signing secret is shown this once."""
        if request.method == "GET":
            return await self._connections(request)
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form:
            given = _said(form)
        try:
            async with self._app.db.transaction() as tx:
                _, secret = await connections.create(
                    self._app,
                    tx,
                    viewer.organisation_id,
                    given["kind"],
                    given["name"],
                    given["url"],
                    model=given["model"],
                    secret=given["secret"] or None,
                    headers=_headers(given["headers"]),
                    tool=_tool(given),
                    user_id=viewer.user_id,
                    now=self._app.clock.now(),
                )
        except Unusable as error:
            return await self._connections(request, given=given, problem=str(error), status=422)
        return await self._connections(request, secret=secret, made=given["name"])

    async def _connections(self, request: Request, *, status: int = 200, **more: Any) -> Response:
        async with self._app.db.transaction() as tx:
            found = await connections.connections(self._app, tx, viewer_of(request).organisation_id)
        empty = dict.fromkeys(("kind", "name", "url", "model", "secret", "headers", "description", "path"), "")
        shown = {"given": empty, "problem": "", "secret": None, "made": "", **more}
        return render(
            request, "automations/connections.html", status=status, found=found, kinds=connections.KINDS,
            icons=ICONS, short=SHORT, **shown,
        )  # fmt: skip

    async def connection(self, request: Request) -> Response:
        viewer, which = administrator_of(request, ADMINISTRATORS_ONLY), request.path_params["connection"]
        problem, status = "", 200
        if request.method == "POST":
            async with request.form() as form:
                given = _said(form)
            try:
                async with self._app.db.transaction() as tx:
                    await connections.change(
                        self._app,
                        tx,
                        viewer.organisation_id,
                        which,
                        name=given["name"],
                        url=given["url"],
                        model=given["model"],
                        secret=given["secret"] or None,
                        headers=_headers(given["headers"]) or None,
                        tool=_tool(given),
                        no_tool=not given["description"],
                        user_id=viewer.user_id,
                        now=self._app.clock.now(),
                    )
            except NotThere as error:
                raise HTTPException(404) from error
            except Unusable as error:
                problem, status = str(error), 422
            else:
                return see_other("/automations/connections")
        try:
            async with self._app.db.transaction() as tx:
                one = await connections.found(self._app, tx, viewer.organisation_id, which)
        except NotThere as error:
            raise HTTPException(404) from error
        return render(
            request, "automations/connection.html", status=status, one=one, kinds=connections.KINDS, problem=problem
        )

    async def remove_connection(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        try:
            async with self._app.db.transaction() as tx:
                which = request.path_params["connection"]
                await connections.remove(tx, viewer.organisation_id, which, viewer.user_id, self._app.clock.now())
        except NotThere as error:
            raise HTTPException(404) from error
        return see_other("/automations/connections")

    # --- knowledge ----------------------------------------------------------------------------------------------------

    async def knowledge(self, request: Request) -> Response:
        """The texts, and what of them would be found for a question (``q``); POST: another text."""
        if request.method == "GET":
            return await self._knowledge(request)
        viewer = writer_of(request, WRITERS_ONLY)
        if int(request.headers.get("content-length") or 0) > 8 * knowledge.LONGEST:
            raise HTTPException(413, "This file is larger than can be read here. Divide it into several.")
        async with request.form(max_files=1, max_part_size=4 * knowledge.LONGEST) as form:
            given = {name: str(form.get(name, "")) for name in ("name", "text", "language")}
            file = form.get("file")
            data = await file.read() if isinstance(file, UploadFile) and file.filename else None
            filename = file.filename or "" if isinstance(file, UploadFile) else ""
        try:
            if data is not None:
                given["text"] = knowledge.read(filename, data)
                given["name"] = given["name"] or filename.rpartition(".")[0]
            async with self._app.db.transaction() as tx:
                await knowledge.put(
                    tx, viewer.organisation_id, given["name"], given["text"], given["language"], viewer.user_id,
                    self._app.clock.now(),
                )  # fmt: skip
        except Unusable as error:
            return await self._knowledge(request, given, str(error), 422)
        return see_other("/automations/knowledge")

    async def _knowledge(
        self, request: Request, given: dict[str, str] | None = None, problem: str = "", status: int = 200
    ) -> Response:
        viewer, question = viewer_of(request), request.query_params.get("q", "").strip()[: knowledge.QUESTION]
        async with self._app.db.transaction() as tx:
            found = await knowledge.sources(tx, viewer.organisation_id)
            passages = await knowledge.search(tx, viewer.organisation_id, question) if question else []
        return render(
            request, "automations/knowledge.html", status=status, found=found, passages=passages, question=question,
            given=given or {"name": "", "text": "", "language": "en"}, problem=problem, languages=LANGUAGES,
        )  # fmt: skip

    async def source(self, request: Request) -> Response:
        viewer, which = viewer_of(request), request.path_params["source"]
        try:
            async with self._app.db.transaction() as tx:
                one = await knowledge.found(tx, viewer.organisation_id, which)
                text = await knowledge.text_of(tx, viewer.organisation_id, which)
        except NotThere as error:
            raise HTTPException(404) from error
        spoken = next((code for code, name in knowledge.LANGUAGES.items() if name == one.language), "")
        return render(
            request, "automations/source.html", one=one, text=text, languages=LANGUAGES, spoken=spoken, problem=""
        )

    async def remove_source(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        try:
            async with self._app.db.transaction() as tx:
                which = request.path_params["source"]
                await knowledge.remove(tx, viewer.organisation_id, which, viewer.user_id, self._app.clock.now())
        except NotThere as error:
            raise HTTPException(404) from error
        return see_other("/automations/knowledge")


def _said(form: FormData) -> dict[str, str]:
    names = ("kind", "name", "url", "model", "secret", "headers", "description", "method", "path")
    return {name: str(form.get(name, "")).strip() for name in names}


def _headers(text: str) -> dict[str, str]:
    """One in each line: ``Accept: application/json``."""
    lines = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name.strip(): value.strip() for name, _, value in lines}


def _tool(given: dict[str, str]) -> dict[str, Any] | None:
    """How an agent may use it: said in words; the path's ``{{args.…}}`` are its parameters."""
    if not given["description"]:
        return None
    parameters = {
        part.split("}}")[0].split("|")[0].strip(): "" for part in given["path"].split("{{args.")[1:] if "}}" in part
    }
    told = {name: name.replace("_", " ") for name in parameters}
    return {
        "description": given["description"], "method": given["method"] or "GET", "path": given["path"],
        "parameters": told,
    }  # fmt: skip
