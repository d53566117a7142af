"""The pages of what is laid down for all contacts: tags and fields, words that end marketing, topics, suppressions."""

from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of, viewer_of
from twinline.app import App
from twinline.contacts import exchange, queries, service
from twinline.contacts.asked import SHOWN_PROBLEMS, around, changed, download, file_of, place_of, q_of
from twinline.contacts.models import ContactError, Imported, Place
from twinline.db import Tx
from twinline.kit.html import render
from twinline.rules import keywords

ADMINISTRATORS_ONLY: Final = "Only an owner or administrator of the organisation may change this. Ask one."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    here = "/contacts/{number_id:int}"
    return [
        Route(f"{here}/fields", pages.fields, methods=["GET"]),
        Route(f"{here}/fields", pages.add_field, methods=["POST"]),
        Route(f"{here}/fields/forget", pages.forget_field, methods=["POST"]),
        Route(f"{here}/tags/forget", pages.forget_tag, methods=["POST"]),
        Route(f"{here}/consent", pages.consent, methods=["GET"]),
        Route(f"{here}/consent/keywords", pages.set_keywords, methods=["POST"]),
        Route(f"{here}/consent/topics", pages.keep_topic, methods=["POST"]),
        Route(f"{here}/consent/topics/forget", pages.forget_topic, methods=["POST"]),
        Route(f"{here}/consent/suppress", pages.suppress, methods=["POST"]),
        Route(f"{here}/consent/release", pages.release, methods=["POST"]),
        Route(f"{here}/consent/suppressed.csv", pages.export_suppressed),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    # --- tags and fields ------------------------------------------------------------------------------------------

    async def fields(self, request: Request) -> Response:
        return await self._fields(request)

    async def _fields(self, request: Request, *, status: int = 200, problem: str = "") -> Response:
        organisation = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            context = await around(tx, request, await place_of(tx, request))
            tags = await queries.tags(tx, organisation)
            fields = await queries.fields(tx, organisation)
        return render(
            request, "contacts/fields.html", status=status, problem=problem, tags=tags, fields=fields, **context
        )

    async def add_field(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            label, kind = str(form.get("label", "")), str(form.get("kind", "text"))
            await service.add_field(tx, viewer.organisation_id, label, kind, self._app.clock.now())

        return await changed(self._app, request, change, "/fields", self._fields)

    async def forget_field(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            key, now = str(form.get("key", "")), self._app.clock.now()
            await service.forget_field(tx, viewer.organisation_id, key, viewer.user_id, now)

        return await changed(self._app, request, change, "/fields", self._fields)

    async def forget_tag(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            name, now = str(form.get("tag", "")), self._app.clock.now()
            await service.forget_tag(tx, viewer.organisation_id, name, viewer.user_id, now)

        return await changed(self._app, request, change, "/fields", self._fields)

    # --- consent --------------------------------------------------------------------------------------------------

    async def consent(self, request: Request) -> Response:
        return await self._consent(request)

    async def _consent(
        self, request: Request, *, status: int = 200, problem: str = "", done: Imported | None = None
    ) -> Response:
        organisation = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            place = await place_of(tx, request)
            context = await around(tx, request, place)
            listening = {words.language: words for words in await service.words_of(tx, place.id)}
            topics = await queries.topics(tx, organisation)
            asked = request.query_params.get("after", "")
            suppressed = await queries.suppressed(tx, organisation, q=_digits(q_of(request)), after=asked)
            count = await queries.count_suppressed(tx, organisation)
        return render(
            request,
            "contacts/consent.html",
            status=status,
            problem=problem,
            done=done,
            shown=SHOWN_PROBLEMS,
            languages=[(listening.get(code, usual), code in listening) for code, usual in keywords.built_in().items()],
            topics=topics,
            whole=next((topic for topic in topics if not topic.key), None),
            suppressed=suppressed,
            count=count,
            q=q_of(request),
            more=suppressed[-1].key if len(suppressed) == queries.PAGE else None,
            **context,
        )

    async def set_keywords(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            await service.set_keywords(
                tx,
                place.id,
                str(form.get("language", "")),
                enabled="enabled" in form,
                stop=_words(form, "stop"),
                start=_words(form, "start"),
                stopped=_text(form, "stopped"),
                started=_text(form, "started"),
                user_id=viewer.user_id,
                now=self._app.clock.now(),
            )

        return await changed(self._app, request, change, "/consent", self._consent)

    async def keep_topic(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            key = form.get("key")
            await service.keep_topic(
                tx,
                viewer.organisation_id,
                str(form.get("title", "")),
                needs_opt_in="needs_opt_in" in form,
                key=key if isinstance(key, str) else None,
                user_id=viewer.user_id,
                now=self._app.clock.now(),
            )

        return await changed(self._app, request, change, "/consent", self._consent)

    async def forget_topic(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            key, now = str(form.get("key", "")), self._app.clock.now()
            await service.forget_topic(tx, viewer.organisation_id, key, user_id=viewer.user_id, now=now)

        return await changed(self._app, request, change, "/consent", self._consent)

    async def suppress(self, request: Request) -> Response:
        """One number that was typed, or a file of them."""
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            place = await place_of(tx, request)
        async with request.form(max_files=1) as form:
            why = " ".join(str(form.get("why", "")).split())
            typed = str(form.get("phone", "")).strip()
            data, _ = await file_of(form)
        if typed:
            rows = exchange.written(("phone", "why"), [(typed, why)])
            data = "".join(rows).encode()
        try:
            done = await exchange.import_suppressions(
                self._app, viewer.organisation_id, data, place.display_phone, viewer.user_id
            )
        except ContactError as error:
            return await self._consent(request, status=422, problem=str(error))
        return await self._consent(request, status=422 if done.problems else 200, done=done)

    async def release(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            keys = [str(form.get("key", ""))]
            await service.release(tx, viewer.organisation_id, keys, viewer.user_id, self._app.clock.now())

        return await changed(self._app, request, change, "/consent#list", self._consent)

    async def export_suppressed(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            entries = await queries.suppressed(tx, viewer.organisation_id, limit=None)
        return download(exchange.suppressions_file(entries), "suppression-list.csv")


# --- reading a request ------------------------------------------------------------------------------------------------


def _digits(q: str) -> str:
    """What of a search can stand in a key: a phone's digits, or a user id as it is."""
    bare = "".join(char for char in q if char.isalnum() or char == ".")
    return bare if q else ""


def _words(form: FormData, name: str) -> list[str] | None:
    """Words apart by commas or lines; None: the form doesn't speak of them."""
    if name not in form:
        return None
    found = [" ".join(word.split()) for word in str(form[name]).replace("\n", ",").split(",")]
    return [word for word in found if word]


def _text(form: FormData, name: str) -> str | None:
    return str(form[name]).replace("\r\n", "\n").strip() if name in form else None
