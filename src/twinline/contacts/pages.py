"""The pages of contacts: the list and its filter, one of them, import, consent, tags and fields.

Every address names a number, which is looked up with the viewer's organisation first; anything else is a 404.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of, viewer_of, writer_of
from twinline.app import App
from twinline.contacts import conditions, exchange, queries, service
from twinline.contacts.models import ContactError, Imported, Place, Tag
from twinline.db import Tx
from twinline.kit.html import render, see_other
from twinline.rules import keywords

AT_ONCE: Final = 1000  # contacts tagged in one transaction
SHOWN_PROBLEMS: Final = 200
WRITERS_ONLY: Final = "Your role may read but not change contacts. Ask an owner or administrator."
ADMINISTRATORS_ONLY: Final = "Only an owner or administrator of the organisation may change this. Ask one."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    here, one = "/contacts/{number_id:int}", "/contacts/{number_id:int}/{contact_id:int}"
    return [
        Route("/contacts", pages.start),
        Route(here, pages.list),
        Route(f"{here}/new", pages.new, methods=["POST"]),
        Route(f"{here}/tag", pages.tag_many, methods=["POST"]),
        Route(f"{here}/export.csv", pages.export),
        Route(f"{here}/import", pages.import_, methods=["GET", "POST"]),
        Route(f"{here}/segments", pages.keep_segment, methods=["POST"]),
        Route(f"{here}/segments/{{segment_id:int}}/forget", pages.forget_segment, methods=["POST"]),
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
        Route(one, pages.one, methods=["GET"]),
        Route(one, pages.know, methods=["POST"]),
        Route(f"{one}/tags", pages.tag_one, methods=["POST"]),
        Route(f"{one}/consent", pages.say, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    # --- the list -------------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            places = await queries.places(tx, viewer_of(request).organisation_id)
        if not places:
            return render(request, "inbox/none.html")
        return see_other(f"/contacts/{places[0].id}")

    async def list(self, request: Request) -> Response:
        """Who passes the filter. ``f`` is the filter as JSON; ``is`` and its arguments add a condition to it."""
        if "is" in request.query_params:
            return await self._narrowed(request)
        return await self._list(request)

    async def _list(self, request: Request, *, status: int = 200, problem: str = "") -> Response:
        viewer, query = viewer_of(request), request.query_params
        now = self._app.clock.now()
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            segments = await queries.segments(tx, viewer.organisation_id)
            segment = next((one for one in segments if str(one.id) == query.get("segment")), None)
            try:
                filter_ = segment.conditions if segment else _filter(request)
            except ContactError as error:
                filter_, problem, status = [], str(error), 422
            page = await queries.page(
                tx,
                viewer.organisation_id,
                place.id,
                q=_q(request),
                filter_=filter_,
                now=now,
                before=_int(query.get("before", "")),
            )
            offered = await conditions.offers(tx, viewer.organisation_id)
            context = {
                **await self._around(tx, request, place),
                "page": page,
                "consents": await service.consents(tx, place.id, [one.id for one in page.contacts]),
                "tags": await queries.tags(tx, viewer.organisation_id),
            }
            context["hue_of"] = _in_colour(context["tags"])
        return render(
            request,
            "contacts/list.html",
            status=status,
            problem=problem,
            q=_q(request),
            tagged=_int(query.get("tagged", "")),
            untagged=_int(query.get("untagged", "")),
            here=_address(place.id, _q(request), filter_, segment.id if segment else None).partition("?")[2],
            filter=_json(filter_),
            told=[
                (conditions.told(said, offered), _address(place.id, _q(request), _without(filter_, number)))
                for number, said in enumerate(filter_)
            ],
            segments=segments,
            segment=segment,
            conditions=conditions.CONDITIONS.values(),
            offered=offered,
            more=_address(place.id, _q(request), filter_, segment.id if segment else None, page.next),
            most=queries.MOST_COUNTED,
            **context,
        )

    async def _narrowed(self, request: Request) -> Response:
        """The same list with one condition more, under an address that can be kept."""
        query = request.query_params
        number_id = request.path_params["number_id"]
        try:
            added = {"is": query["is"], **{kind: query.get(kind, "") for kind in conditions.KINDS}}
            filter_ = conditions.read([*_filter(request), added])
        except ContactError as error:
            return await self._list(request, status=422, problem=str(error))
        return see_other(_address(number_id, _q(request), filter_))

    async def new(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            try:
                who = exchange.address({"phone": str(form.get("phone", "")).strip()}, place.display_phone)
                contact_id = await service.contact_for(tx, place.id, who)
                if name := str(form.get("name", "")).strip():
                    await service.know(tx, place.id, {contact_id: {"name": name}}, self._app.clock.now())
            except ContactError as error:
                raise HTTPException(422, str(error)) from error
        return see_other(f"/contacts/{place.id}/{contact_id}")

    async def tag_many(self, request: Request) -> Response:
        """The marked contacts, or all who pass the filter, get a tag or lose one."""
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form(max_fields=2000) as form:
            name, takes = str(form.get("tag", "")), form.get("do") == "remove"
            back, f, q = str(form.get("back", "")), str(form.get("f", "")), str(form.get("q", ""))
            ids = [int(one) for one in form.getlist("contact") if isinstance(one, str) and one.isdecimal()]
            everybody = "all" in form
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            if everybody:
                now, org = self._app.clock.now(), viewer.organisation_id
                found = await queries.everybody(tx, org, place.id, _read(f), now, q)
                ids = [one.id for one in found]
        changed = 0
        for start in range(0, len(ids), AT_ONCE):
            async with self._app.db.transaction() as tx:
                try:
                    which = {"remove" if takes else "add": [name]}
                    some = ids[start : start + AT_ONCE]
                    changed += len(await service.tag(tx, place.id, some, self._app.clock.now(), **which))
                except ContactError as error:
                    raise HTTPException(422, str(error)) from error
        back += ("&" if back else "") + urlencode({"untagged" if takes else "tagged": changed})
        return see_other(f"/contacts/{place.id}?{back}")

    async def export(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        now = self._app.clock.now()
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            found = await queries.everybody(tx, viewer.organisation_id, place.id, _filter(request), now, _q(request))
            consents = await service.consents(tx, place.id, [one.id for one in found])
            fields = await queries.fields(tx, viewer.organisation_id)
        return _download(exchange.contacts_file(found, fields, consents), "contacts.csv")

    async def import_(self, request: Request) -> Response:
        done: Imported | None = None
        problem, status = "", 200
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            context = await self._around(tx, request, place)
            context["fields"] = await queries.fields(tx, viewer_of(request).organisation_id)
            context["topics"] = await queries.topics(tx, viewer_of(request).organisation_id)
        if request.method == "POST":
            viewer = writer_of(request, WRITERS_ONLY)
            async with request.form(max_files=1) as form:
                data, name = await _file(form)
                tags = str(form.get("tags", "")).split(",")
            try:
                done = await exchange.import_contacts(
                    self._app, place.id, data, user_id=viewer.user_id, tags=tags, detail=name
                )
            except ContactError as error:
                problem, status = str(error), 422
        return render(
            request, "contacts/import.html", status=status, problem=problem, done=done, shown=SHOWN_PROBLEMS, **context
        )

    # --- segments -------------------------------------------------------------------------------------------------

    async def keep_segment(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            try:
                kept = await service.keep_segment(
                    tx,
                    viewer.organisation_id,
                    str(form.get("name", "")),
                    _read(str(form.get("f", ""))),
                    viewer.user_id,
                    self._app.clock.now(),
                )
            except ContactError as error:
                raise HTTPException(422, str(error)) from error
        return see_other(f"/contacts/{place.id}?segment={kept.id}")

    async def forget_segment(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            await service.forget_segment(tx, viewer.organisation_id, request.path_params["segment_id"])
        return see_other(f"/contacts/{place.id}")

    # --- one of them ----------------------------------------------------------------------------------------------

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, *, status: int = 200, problem: str = "") -> Response:
        organisation = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            contact = await queries.one(tx, place.id, request.path_params["contact_id"])
            if contact is None:
                raise HTTPException(404, "This contact isn't here any more. It may have become one with another.")
            topics = [topic for topic in await queries.topics(tx, organisation) if topic.key]
            context = {
                **await self._around(tx, request, place),
                "contact": contact,
                "consent": await service.consent(tx, place.id, contact.id),
                "by_topic": [(topic, await service.consent(tx, place.id, contact.id, topic.key)) for topic in topics],
                "history": await queries.history(tx, organisation, place.id, contact.id),
                "fields": await queries.fields(tx, organisation),
                "tags": await queries.tags(tx, organisation),
                "topics": {topic.key: topic.title for topic in topics},
            }
            context["worn"] = [_in_colour(context["tags"])(name) for name in contact.tags]
        today = self._app.clock.now().date().isoformat()
        return render(request, "contacts/one.html", status=status, problem=problem, today=today, **context)

    async def know(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            fields = {
                field.key: str(form[f"field.{field.key}"])
                for field in await queries.fields(tx, viewer_of(request).organisation_id)
                if f"field.{field.key}" in form
            }
            change = {"name": str(form.get("name", "")), "language": str(form.get("language", "")), "fields": fields}
            try:
                contact_id = request.path_params["contact_id"]
                await service.know(tx, place.id, {contact_id: change}, self._app.clock.now())
            except ContactError as error:
                problem = str(error)
            else:
                return self._back(request)
        return await self._one(request, status=422, problem=problem)

    async def tag_one(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            add, remove = str(form.get("add", "")).split(","), [str(form.get("remove", ""))]
            try:
                ids = [request.path_params["contact_id"]]
                await service.tag(tx, place.id, ids, self._app.clock.now(), add=add, remove=remove)
            except ContactError as error:
                problem = str(error)
            else:
                return self._back(request)
        return await self._one(request, status=422, problem=problem)

    async def say(self, request: Request) -> Response:
        """Somebody of the team records what the person told them, and how it can be proved."""
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            now = self._app.clock.now()
            try:
                await service.say(
                    tx,
                    place.id,
                    request.path_params["contact_id"],
                    form.get("granted") == "yes",
                    now,
                    topic=str(form.get("topic", "")),
                    source="person",
                    detail=" ".join(str(form.get("detail", "")).split()),
                    at=_day(str(form.get("since", "")), now),
                    user_id=viewer.user_id,
                )
            except ContactError as error:
                problem = str(error)
            else:
                return self._back(request)
        return await self._one(request, status=422, problem=problem)

    def _back(self, request: Request) -> Response:
        number_id, contact_id = request.path_params["number_id"], request.path_params["contact_id"]
        return see_other(f"/contacts/{number_id}/{contact_id}")

    # --- tags and fields ------------------------------------------------------------------------------------------

    async def fields(self, request: Request) -> Response:
        return await self._fields(request)

    async def _fields(self, request: Request, *, status: int = 200, problem: str = "") -> Response:
        organisation = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            context = await self._around(tx, request, await _place(tx, request))
            tags = await queries.tags(tx, organisation)
            fields = await queries.fields(tx, organisation)
        return render(
            request, "contacts/fields.html", status=status, problem=problem, tags=tags, fields=fields, **context
        )

    async def add_field(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            try:
                label, kind = str(form.get("label", "")), str(form.get("kind", "text"))
                await service.add_field(tx, viewer.organisation_id, label, kind, self._app.clock.now())
            except ContactError as error:
                problem = str(error)
            else:
                return see_other(f"/contacts/{place.id}/fields")
        return await self._fields(request, status=422, problem=problem)

    async def forget_field(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            key, now = str(form.get("key", "")), self._app.clock.now()
            await service.forget_field(tx, viewer.organisation_id, key, viewer.user_id, now)
        return see_other(f"/contacts/{place.id}/fields")

    async def forget_tag(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            name, now = str(form.get("tag", "")), self._app.clock.now()
            await service.forget_tag(tx, viewer.organisation_id, name, viewer.user_id, now)
        return see_other(f"/contacts/{place.id}/fields")

    # --- consent --------------------------------------------------------------------------------------------------

    async def consent(self, request: Request) -> Response:
        return await self._consent(request)

    async def _consent(
        self, request: Request, *, status: int = 200, problem: str = "", done: Imported | None = None
    ) -> Response:
        organisation = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
            context = await self._around(tx, request, place)
            listening = {words.language: words for words in await service.words_of(tx, place.id)}
            topics = await queries.topics(tx, organisation)
            asked = request.query_params.get("after", "")
            suppressed = await queries.suppressed(tx, organisation, q=_digits(_q(request)), after=asked)
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
            q=_q(request),
            more=suppressed[-1].key if len(suppressed) == queries.PAGE else None,
            **context,
        )

    async def set_keywords(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            try:
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
            except ContactError as error:
                problem = str(error)
            else:
                return see_other(f"/contacts/{place.id}/consent")
        return await self._consent(request, status=422, problem=problem)

    async def keep_topic(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            key = form.get("key")
            try:
                await service.keep_topic(
                    tx,
                    viewer.organisation_id,
                    str(form.get("title", "")),
                    needs_opt_in="needs_opt_in" in form,
                    key=key if isinstance(key, str) else None,
                    user_id=viewer.user_id,
                    now=self._app.clock.now(),
                )
            except ContactError as error:
                problem = str(error)
            else:
                return see_other(f"/contacts/{place.id}/consent")
        return await self._consent(request, status=422, problem=problem)

    async def forget_topic(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            key, now = str(form.get("key", "")), self._app.clock.now()
            await service.forget_topic(tx, viewer.organisation_id, key, user_id=viewer.user_id, now=now)
        return see_other(f"/contacts/{place.id}/consent")

    async def suppress(self, request: Request) -> Response:
        """One number that was typed, or a file of them."""
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            place = await _place(tx, request)
        async with request.form(max_files=1) as form:
            why = " ".join(str(form.get("why", "")).split())
            typed = str(form.get("phone", "")).strip()
            data, _ = await _file(form)
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
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await _place(tx, request)
            keys = [str(form.get("key", ""))]
            await service.release(tx, viewer.organisation_id, keys, viewer.user_id, self._app.clock.now())
        return see_other(f"/contacts/{place.id}/consent#list")

    async def export_suppressed(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            entries = await queries.suppressed(tx, viewer.organisation_id, limit=None)
        return _download(exchange.suppressions_file(entries), "suppression-list.csv")

    async def _around(self, tx: Tx, request: Request, place: Place) -> dict[str, Any]:
        """What every page here has: the number, and the others to change to."""
        return {
            "place": place,
            "places": await queries.places(tx, viewer_of(request).organisation_id),
        }


# --- reading a request ------------------------------------------------------------------------------------------------


async def _place(tx: Tx, request: Request) -> Place:
    place = await queries.place(tx, request.path_params["number_id"], viewer_of(request).organisation_id)
    if place is None:
        raise HTTPException(404)
    return place


def _q(request: Request) -> str:
    return request.query_params.get("q", "").replace("\0", "").strip()[:200]


def _filter(request: Request) -> list[dict[str, str]]:
    """Raises ContactError for what no page here gives out."""
    return _read(request.query_params.get("f", ""))


def _read(said: str) -> list[dict[str, str]]:
    try:
        found = orjson.loads(said or "[]")
    except orjson.JSONDecodeError as error:
        raise ContactError("The filter can't be read. Begin anew.") from error
    return conditions.read(found if isinstance(found, list) else [found])


def _json(filter_: conditions.Filter) -> str:
    return orjson.dumps(list(filter_)).decode()


def _without(filter_: conditions.Filter, number: int) -> conditions.Filter:
    return [said for n, said in enumerate(filter_) if n != number]


def _address(
    number_id: int, q: str, filter_: conditions.Filter, segment_id: int | None = None, before: int | None = None
) -> str:
    asked = {
        "q": q,
        "segment": segment_id,
        "f": _json(filter_) if filter_ and segment_id is None else None,
        "before": before,
    }
    said = urlencode({name: value for name, value in asked.items() if value})
    return f"/contacts/{number_id}{'?' if said else ''}{said}"


def _int(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None


def _digits(q: str) -> str:
    """What of a search can stand in a key: a phone's digits, or a user id as it is."""
    bare = "".join(char for char in q if char.isalnum() or char == ".")
    return bare if q else ""


def _day(said: str, now: datetime) -> datetime | None:
    """Midnight of that day; today and nothing mean now."""
    if not said or said == now.date().isoformat():
        return None
    try:
        return datetime.fromisoformat(said[:10]).replace(tzinfo=UTC)
    except ValueError as error:
        raise ContactError("That day can't be read: write it like 2026-11-22.") from error


def _words(form: FormData, name: str) -> list[str] | None:
    """Words apart by commas or lines; None: the form doesn't speak of them."""
    if name not in form:
        return None
    found = [" ".join(word.split()) for word in str(form[name]).replace("\n", ",").split(",")]
    return [word for word in found if word]


def _text(form: FormData, name: str) -> str | None:
    return str(form[name]).replace("\r\n", "\n").strip() if name in form else None


async def _file(form: FormData) -> tuple[bytes, str]:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        return b"", ""
    return await file.read(exchange.BIGGEST + 1), (file.filename or "")[:100]


def _in_colour(tags: Sequence[Tag]) -> Callable[[str], Tag]:
    """Tags by their name; one that was forgotten a moment ago has still some colour."""
    known = {tag.name: tag for tag in tags}
    return lambda name: known.get(name) or Tag(name, 0, 0)


def _download(pieces: Iterator[str], name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return StreamingResponse(
        (piece.encode() for piece in pieces), media_type="text/csv; charset=utf-8", headers=headers
    )
