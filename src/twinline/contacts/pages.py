"""The pages of contacts: the list and its filter, one of them, import.

Every address names a number, which is looked up with the viewer's organisation first; anything else is a 404. What is
laid down for all of them, tags and fields and who may be sent marketing, is in ``consent_pages``.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import orjson
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import viewer_of, writer_of
from twinline.app import App
from twinline.contacts import conditions, consent_pages, exchange, queries, service
from twinline.contacts.asked import SHOWN_PROBLEMS, Change, around, changed, download, file_of, place_of, q_of
from twinline.contacts.models import ContactError, Imported, Place, Tag
from twinline.db import Tx
from twinline.kit.html import render, see_other

AT_ONCE: Final = 1000  # contacts tagged in one transaction
WRITERS_ONLY: Final = "Your role may read but not change contacts. Ask an owner or administrator."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    here, one = "/contacts/{number_id:int}", "/contacts/{number_id:int}/{contact_id:int}"
    return [
        *consent_pages.routes(app),
        Route("/contacts", pages.start),
        Route(here, pages.list),
        Route(f"{here}/new", pages.new, methods=["POST"]),
        Route(f"{here}/tag", pages.tag_many, methods=["POST"]),
        Route(f"{here}/export.csv", pages.export),
        Route(f"{here}/import", pages.import_, methods=["GET", "POST"]),
        Route(f"{here}/segments", pages.keep_segment, methods=["POST"]),
        Route(f"{here}/segments/{{segment_id:int}}/forget", pages.forget_segment, methods=["POST"]),
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
            place = await place_of(tx, request)
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
                q=q_of(request),
                filter_=filter_,
                now=now,
                before=_int(query.get("before", "")),
            )
            offered = await conditions.offers(tx, viewer.organisation_id)
            context = {
                **await around(tx, request, place),
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
            q=q_of(request),
            tagged=_int(query.get("tagged", "")),
            untagged=_int(query.get("untagged", "")),
            here=_address(place.id, q_of(request), filter_, segment.id if segment else None).partition("?")[2],
            filter=_json(filter_),
            told=[
                (conditions.told(said, offered), _address(place.id, q_of(request), _without(filter_, number)))
                for number, said in enumerate(filter_)
            ],
            segments=segments,
            segment=segment,
            conditions=conditions.CONDITIONS.values(),
            offered=offered,
            more=_address(place.id, q_of(request), filter_, segment.id if segment else None, page.next),
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
        return see_other(_address(number_id, q_of(request), filter_))

    async def new(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            place = await place_of(tx, request)
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
            place = await place_of(tx, request)
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
            place = await place_of(tx, request)
            found = await queries.everybody(tx, viewer.organisation_id, place.id, _filter(request), now, q_of(request))
            consents = await service.consents(tx, place.id, [one.id for one in found])
            fields = await queries.fields(tx, viewer.organisation_id)
        return download(exchange.contacts_file(found, fields, consents), "contacts.csv")

    async def import_(self, request: Request) -> Response:
        done: Imported | None = None
        problem, status = "", 200
        async with self._app.db.transaction() as tx:
            place = await place_of(tx, request)
            context = await around(tx, request, place)
            context["fields"] = await queries.fields(tx, viewer_of(request).organisation_id)
            context["topics"] = await queries.topics(tx, viewer_of(request).organisation_id)
        if request.method == "POST":
            viewer = writer_of(request, WRITERS_ONLY)
            async with request.form(max_files=1) as form:
                data, name = await file_of(form)
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
            place = await place_of(tx, request)
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
            place = await place_of(tx, request)
            await service.forget_segment(tx, viewer.organisation_id, request.path_params["segment_id"])
        return see_other(f"/contacts/{place.id}")

    # --- one of them ----------------------------------------------------------------------------------------------

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, *, status: int = 200, problem: str = "") -> Response:
        organisation = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            place = await place_of(tx, request)
            contact = await queries.one(tx, place.id, request.path_params["contact_id"])
            if contact is None:
                raise HTTPException(404, "This contact isn't here any more. It may have become one with another.")
            topics = [topic for topic in await queries.topics(tx, organisation) if topic.key]
            context = {
                **await around(tx, request, place),
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

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            fields = {
                field.key: str(form[f"field.{field.key}"])
                for field in await queries.fields(tx, viewer_of(request).organisation_id)
                if f"field.{field.key}" in form
            }
            known = {"name": str(form.get("name", "")), "language": str(form.get("language", "")), "fields": fields}
            await service.know(tx, place.id, {request.path_params["contact_id"]: known}, self._app.clock.now())

        return await self._changed(request, change)

    async def tag_one(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            add, remove = str(form.get("add", "")).split(","), [str(form.get("remove", ""))]
            ids = [request.path_params["contact_id"]]
            await service.tag(tx, place.id, ids, self._app.clock.now(), add=add, remove=remove)

        return await self._changed(request, change)

    async def say(self, request: Request) -> Response:
        """Somebody of the team records what the person told them, and how it can be proved."""
        viewer = writer_of(request, WRITERS_ONLY)

        async def change(tx: Tx, place: Place, form: FormData) -> None:
            now = self._app.clock.now()
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

        return await self._changed(request, change)

    async def _changed(self, request: Request, change: Change) -> Response:
        return await changed(self._app, request, change, f"/{request.path_params['contact_id']}", self._one)


# --- reading a request ------------------------------------------------------------------------------------------------


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


def _day(said: str, now: datetime) -> datetime | None:
    """Midnight of that day; today and nothing mean now."""
    if not said or said == now.date().isoformat():
        return None
    try:
        return datetime.fromisoformat(said[:10]).replace(tzinfo=UTC)
    except ValueError as error:
        raise ContactError("That day can't be read: write it like 2026-11-22.") from error


def _in_colour(tags: Sequence[Tag]) -> Callable[[str], Tag]:
    """Tags by their name; one that was forgotten a moment ago has still some colour."""
    known = {tag.name: tag for tag in tags}
    return lambda name: known.get(name) or Tag(name, 0, 0)
