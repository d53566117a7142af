"""The inbox's addresses. Each page is also answered in pieces, so that a browser draws only what changed.

Every address that names a number looks it up with the viewer's organisation first; anything else is a 404.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import orjson
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import viewer_of, writer_of
from twinline.app import App
from twinline.automations import service as automations
from twinline.contacts import service as contacts
from twinline.contacts.models import ContactError
from twinline.costs import service as costs
from twinline.db import Tx
from twinline.inbox import queries, service, words
from twinline.inbox.floor import Floor
from twinline.inbox.live import Live
from twinline.inbox.models import Number, OpenChat
from twinline.inbox.queries import Thread
from twinline.kit import qr, thumbnails
from twinline.kit.html import environment, render, see_other
from twinline.numbers.words import TONES
from twinline.rules import pricing
from twinline.rules.lifecycle import Connection
from twinline.rules.refusal import Refused
from twinline.sending import choices, receipts, stops
from twinline.sending import service as sending
from twinline.sending.models import Draft, Lane

environment.filters["filesize"] = words.size
environment.filters["connection"] = lambda state: TONES[Connection(state)]

MAX_FILE: Final = 100 * 1024 * 1024  # a document's limit, the largest of them (Meta: supported media types)
MAX_IDS: Final = 100

# What a browser may show in place. Everything else is downloaded: an SVG or HTML file from a customer is a program.
INLINE: Final = frozenset(
    {"image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4", "video/3gpp", "audio/ogg", "audio/mpeg"}
    | {"audio/mp4", "audio/aac", "audio/amr", "audio/wav", "audio/webm", "audio/opus"}
)

THUMBNAILED: Final = frozenset({"image/png", "image/jpeg", "image/webp"})

RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
PIECE: Final = 256 * 1024
KEY: Final = re.compile(r"[\w-]{8,100}")

# What the composer makes of a form alone, and what it may ask a file to be sent as.
COMPOSED: Final = frozenset({"text", "reaction", "location", "contacts", "interactive"})
SENT_AS: Final = frozenset({"sticker", "voice", "document"})
THUMBNAILS_AT_ONCE: Final = 2
WRITERS_ONLY: Final = "Your role may read but not answer. Ask an owner or administrator to change it."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    chat = "/inbox/{number_id:int}/{contact_id:int}"
    return [
        Route("/inbox", pages.start),
        Route("/inbox/{number_id:int}", pages.inbox),
        Route("/inbox/{number_id:int}/rows", pages.rows),
        Route("/inbox/{number_id:int}/cards", pages.cards),
        Route(chat, pages.chat),
        Route(f"{chat}/messages", pages.messages, methods=["GET"]),
        Route(f"{chat}/messages", pages.send, methods=["POST"]),
        Route(f"{chat}/outbox/{{outbox_id:int}}/{{choice}}", pages.choose, methods=["POST"]),
        Route(f"{chat}/state", pages.state),
        Route(f"{chat}/panel", pages.panel),
        Route(f"{chat}/name", pages.rename, methods=["POST"]),
        Route(f"{chat}/assign", pages.assign, methods=["POST"]),
        Route(f"{chat}/tags", pages.tag, methods=["POST"]),
        Route(f"{chat}/read", pages.read, methods=["POST"]),
        Route(f"{chat}/typing", pages.typing, methods=["POST"]),
        *pages.floor.routes(chat),
        Route("/media/{number_id:int}/{media_id}", pages.media),
        Route("/outgoing/{number_id:int}/{outbox_id:int}", pages.outgoing),
        Route("/live", pages.live),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app
        self._drawing = CapacityLimiter(THUMBNAILS_AT_ONCE)
        self.floor = Floor(app, _number, self.state, self.panel)

    # --- the list -------------------------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            numbers = await queries.numbers(tx, viewer_of(request).organisation_id)
        if not numbers:
            return render(request, "inbox/none.html")
        return see_other(f"/inbox/{numbers[0].id}")

    async def inbox(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            number = await _number(tx, request)
            return render(request, "inbox/page.html", chat=None, **await self._list(tx, request, number))

    async def rows(self, request: Request) -> Response:
        """Lines of the list: the named ones (``ids``), or a page of it."""
        async with self._app.db.transaction() as tx:
            number = await _number(tx, request)
            if "ids" not in request.query_params:
                context = await self._list(tx, request, number, whole="before" not in request.query_params)
                response = render(request, "inbox/rows.html", **context)
            else:
                ids = _ids(request.query_params["ids"])
                chats = await queries.chats_by_id(
                    tx, number.id, viewer_of(request).user_id, self._app.clock.now(), ids, filter=_filter(request)
                )
                response = render(request, "inbox/rows.html", **self._said(request, number), chats=chats, more=None)
            for name, count in (await queries.to_see(tx, number.id, self._app.clock.now())).items():
                response.headers[f"X-{name.capitalize()}"] = str(count)
            return response

    async def _list(self, tx: Tx, request: Request, number: Number, *, whole: bool = True) -> dict[str, Any]:
        """What the chat list is drawn from: a page of chats, or what a search found."""
        viewer = viewer_of(request)
        context = self._said(request, number)
        if whole:
            context["numbers"] = await queries.numbers(tx, viewer.organisation_id)
            context["to_see"] = await queries.to_see(tx, number.id, context["now"])
        before = _cursor(request, "before")
        if q := context["q"]:
            context["chats"] = [] if before else await queries.chats_by_name(tx, number.id, context["now"], q)
            context["hits"], more = await queries.hits(tx, number.id, q, before=before)
            context["more"] = context["hits"][-1].cursor if more else None
            return context
        position = (before[0], _int(before[1])) if before else None
        chats = await queries.chats(
            tx, number.id, viewer.user_id, context["now"], filter=context["filter"], before=position
        )
        context["chats"] = chats
        context["more"] = chats[-1].cursor if len(chats) == queries.CHATS_PAGE else None
        return context

    def _said(self, request: Request, number: Number) -> dict[str, Any]:
        return {
            "number": number,
            "now": self._app.clock.now(),
            "filter": _filter(request),
            "q": request.query_params.get("q", "").strip()[:200],
            "hits": [],
            "current": request.path_params.get("contact_id") or _int(request.query_params.get("current", "0")),
        }

    # --- a chat ---------------------------------------------------------------------------------------------------

    async def chat(self, request: Request) -> Response:
        """The whole page, or only its thread for a browser that has the list already. Opening it marks it read."""
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            number, chat = await self._chat(tx, request)
            if chat is None:
                winner = await queries.merged_into(tx, number.id, request.path_params["contact_id"])
                if winner is None:
                    raise HTTPException(404)
                return see_other(f"/inbox/{number.id}/{winner}")
            context = await self._thread(tx, request, number, chat)
            if not request.headers.get("hx-request"):
                context = {**await self._list(tx, request, number), **context}
        if chat.unread and viewer.may_write:
            async with self._app.db.transaction() as tx:
                await service.mark_read(tx, number.id, chat.contact_id, self._app.clock.now())
        whole = not request.headers.get("hx-request")
        return render(request, "inbox/page.html" if whole else "inbox/thread.html", **context)

    async def messages(self, request: Request) -> Response:
        """Bubbles: the named ones (``wamid``, ``outbox``), or the page before or after a cursor."""
        async with self._app.db.transaction() as tx:
            number, chat = await self._chat(tx, request)
            if chat is None:
                raise HTTPException(404)
            thread = self._reader(tx, request, number, chat)
            older = newer = None
            query = request.query_params
            if before := _cursor(request, "before", queries.parse_thread_cursor):
                bubbles = await thread.older(before)
                older = bubbles[0].cursor if len(bubbles) == queries.THREAD_PAGE else None
            elif after := _cursor(request, "after", queries.parse_thread_cursor):
                bubbles = await thread.newer(after)
                newer = bubbles[-1].cursor if len(bubbles) == queries.THREAD_PAGE else None
                if newer is None:
                    bubbles += await thread.unsent()
            else:
                wamids = [wamid for wamid in query.get("wamid", "").split(",") if wamid][:MAX_IDS]
                outbox = _ids(query.get("outbox", ""))
                bubbles = await thread.these(wamids) if wamids else []
                bubbles += await thread.unsent(outbox) if outbox else []
        return render(
            request, "inbox/bubbles.html", number=number, chat=chat, bubbles=bubbles, older=older, newer=newer
        )

    async def state(self, request: Request) -> Response:
        """What surrounds the thread: its head, the floor, the window. Drawn anew when the chat's line changed."""
        async with self._app.db.transaction() as tx:
            number, chat = await self._chat(tx, request)
            if chat is None:
                raise HTTPException(404)
            context = await self._around(tx, request, number, chat)
        return render(request, "inbox/state.html", **context)

    async def panel(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            number, chat = await self._chat(tx, request)
            if chat is None:
                raise HTTPException(404)
            counts = await queries.counts(tx, number.id, chat.contact_id)
            strip = await queries.strip(tx, number.id, chat.contact_id)
            known = await contacts.of_contact(tx, number.id, chat.contact_id)
            beside = await self.floor.beside(tx, viewer_of(request).organisation_id, number.id, chat.contact_id)
            context = {**await self._around(tx, request, number, chat), **beside}
        return render(request, "inbox/panel.html", **context, counts=counts, strip=strip, known=known, many=words.MANY)

    async def _thread(self, tx: Tx, request: Request, number: Number, chat: OpenChat) -> dict[str, Any]:
        thread = self._reader(tx, request, number, chat)
        around = request.query_params.get("around")
        position = await thread.position(around) if around else None
        newer = None
        if position is None:
            bubbles = await thread.older()
        else:
            after = await thread.newer(position)
            newer = after[-1].cursor if len(after) == queries.THREAD_PAGE else None
            # Just after it, so that the message itself is in the older half.
            bubbles = [*await thread.older((position[0], position[1] + "~")), *after]
        full = len(bubbles) >= queries.THREAD_PAGE
        return {
            **await self._around(tx, request, number, chat),
            "bubbles": bubbles + (await thread.unsent() if newer is None else []),
            "older": bubbles[0].cursor if full else None,
            "newer": newer,
            "around": around if position else None,
        }

    async def _around(self, tx: Tx, request: Request, number: Number, chat: OpenChat) -> dict[str, Any]:
        now = self._app.clock.now()
        facts = await costs.standing(tx, number.id, chat.contact_id, now)
        assert facts is not None
        return {
            "number": number,
            "chat": chat,
            "current": chat.contact_id,
            "now": now,
            "holder": chat.holder(now),
            "limits": words.LIMITS,
            "stopped": stops.blocking(await stops.standing(tx, number.id, now), "person", Lane.PERSON, "text", None),
            "window": facts.window,
            "facts": facts,
            "allowance": pricing.rules().free_service_messages,
            "qr": qr.svg(facts.on_phone) if facts.on_phone else None,
            **await self.floor.above(tx, viewer_of(request).organisation_id, number.id, chat.contact_id),
        }

    def _reader(self, tx: Tx, request: Request, number: Number, chat: OpenChat) -> Thread:
        return Thread(tx, number.id, chat.contact_id, viewer_of(request).organisation_id, chat.name)

    async def _chat(self, tx: Tx, request: Request) -> tuple[Number, OpenChat | None]:
        number = await _number(tx, request)
        return number, await queries.open_chat(tx, number, request.path_params["contact_id"])

    # --- what a person does ---------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        """One message: text, a file, or a reaction. Answers its bubble; 409 with the reason when it may not go."""
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form(max_files=1, max_part_size=64 * 1024) as form:
            key = str(form.get("key", ""))
            if not KEY.fullmatch(key):
                raise HTTPException(400, "The form came without its key. Reload the page and try once more.")
            # The number is looked at before a file is kept for it.
            async with self._app.db.transaction() as tx:
                number = await _number(tx, request)
            draft = await self._draft(form.get("file"), str(form.get("text", "")), str(form.get("quoted", "")), form)
        try:
            async with self._app.db.transaction() as tx:
                outbox_id = await sending.submit(
                    self._app,
                    tx,
                    number.id,
                    request.path_params["contact_id"],
                    draft,
                    lane=Lane.PERSON,
                    author="person",
                    author_id=viewer.user_id,
                    idempotency_key=f"inbox:{viewer.user_id}:{key}",
                )
        except sending.NoSuchContact as error:
            raise HTTPException(404) from error
        except Refused as refused:
            refusal = refused.refusal
            return render(request, "inbox/refused.html", status=409, refusal=refusal)
        async with self._app.db.transaction() as tx:
            _, chat = await self._chat(tx, request)
            assert chat is not None
            bubbles = await self._reader(tx, request, number, chat).unsent([outbox_id])
        return render(request, "inbox/bubbles.html", number=number, chat=chat, bubbles=bubbles, older=None, newer=None)

    async def _draft(self, file: Any, text: str, quoted: str, form: Any) -> Draft:
        """The message that a form describes; whether it may go out as it is, the rules say."""
        text = text.replace("\r\n", "\n").strip()
        target = quoted[:512] or None
        kind = str(form.get("type") or "text")
        if isinstance(file, UploadFile) and file.filename:
            if (file.size or 0) > MAX_FILE:
                raise HTTPException(413, "The file is larger than WhatsApp takes (100 MB).")
            sent_as = kind if kind in SENT_AS else None
            return await sending.attach(self._app, await file.read(), file.filename, text, target, kind=sent_as)
        if kind not in COMPOSED:
            raise HTTPException(400, "There is nothing to send yet: write something or add a file.")
        content = _content(str(form.get("content") or "{}"))
        if kind == "interactive":
            text = str((content.get("body") or {}).get("text") or "") if isinstance(content.get("body"), dict) else ""
        return Draft(kind, text or (None if kind in ("location", "contacts") else ""), content or None, target)

    async def typing(self, request: Request) -> Response:
        """Somebody writes an answer; the customer may see that."""
        writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            number = await _number(tx, request)
            await receipts.typing(tx, number.id, request.path_params["contact_id"], self._app.clock.now())
        return Response(status_code=204)

    async def cards(self, request: Request) -> Response:
        """People of this number whose contact can be sent, as choices of a list."""
        writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            number = await _number(tx, request)
            found = await queries.people(tx, number.id, request.query_params.get("q", "").strip()[:200])
        return render(request, "inbox/cards.html", people=found)

    async def choose(self, request: Request) -> Response:
        """What becomes of a message that waits, failed or is in doubt. Answers the chat's state; the bubble follows."""
        viewer = writer_of(request, WRITERS_ONLY)
        choice, outbox_id = request.path_params["choice"], request.path_params["outbox_id"]
        contact_id, now = request.path_params["contact_id"], self._app.clock.now()
        try:
            async with self._app.db.transaction() as tx:
                number = await _number(tx, request)
                match choice:
                    case "cancel":
                        await choices.cancel(tx, number.id, contact_id, outbox_id, now)
                    case "arrived":
                        await choices.arrived(tx, number.id, contact_id, outbox_id, now)
                    case "again" | "surely":
                        certain = choice == "surely"
                        await choices.again(
                            self._app, tx, number.id, contact_id, outbox_id, viewer.user_id, certain=certain
                        )
                    case _:
                        raise HTTPException(404)
        except sending.NoSuchContact as error:
            raise HTTPException(404) from error
        except Refused as refused:
            return PlainTextResponse(refused.refusal.says, 409)
        return await self.state(request)

    async def read(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with self._app.db.transaction() as tx:
            number = await _number(tx, request)
            await service.mark_read(tx, number.id, request.path_params["contact_id"], self._app.clock.now())
        return Response(status_code=204)

    async def rename(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            number = await _number(tx, request)
            name = str(form.get("name", ""))
            await service.rename(tx, number.id, request.path_params["contact_id"], name, self._app.clock.now())
        return await self.panel(request)

    async def assign(self, request: Request) -> Response:
        viewer = writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            number = await _number(tx, request)
            to = viewer.user_id if form.get("to") == "me" else None
            contact_id, now = request.path_params["contact_id"], self._app.clock.now()
            await service.assign(tx, number.id, contact_id, to, now)
            if to is None:  # who lets go of a chat hands it back
                await automations.release_floor(self._app, tx, number.id, contact_id, viewer.user_id, now)
        return await self.panel(request)

    async def tag(self, request: Request) -> Response:
        writer_of(request, WRITERS_ONLY)
        async with request.form() as form, self._app.db.transaction() as tx:
            number = await _number(tx, request)
            add, remove = str(form.get("add", "")).split(","), [str(form.get("remove", ""))]
            try:
                ids = [request.path_params["contact_id"]]
                await contacts.tag(tx, number.id, ids, self._app.clock.now(), add=add, remove=remove)
            except ContactError as error:
                raise HTTPException(422, str(error)) from error
        return await self.panel(request)

    # --- files ----------------------------------------------------------------------------------------------------

    async def media(self, request: Request) -> Response:
        number_id, media_id = request.path_params["number_id"], request.path_params["media_id"]
        async with self._app.db.transaction() as tx:
            found = await queries.kept_file(tx, number_id, media_id, viewer_of(request).organisation_id)
        return await self._file(request, found)

    async def outgoing(self, request: Request) -> Response:
        number_id, outbox_id = request.path_params["number_id"], request.path_params["outbox_id"]
        async with self._app.db.transaction() as tx:
            found = await queries.outgoing_file(tx, number_id, outbox_id, viewer_of(request).organisation_id)
        return await self._file(request, found)

    async def _file(self, request: Request, found: tuple[str, str] | None) -> Response:
        """The file, or the part of it that a player asked for (Range)."""
        if found is None:
            raise HTTPException(404, "This file isn't here: it was never fetched, or it has been removed.")
        name, mime = found
        mime = mime.split(";")[0].strip().lower()
        files = self._app.files
        try:
            if "small" in request.query_params and mime in THUMBNAILED:
                name, mime = await to_thread.run_sync(thumbnails.small, files, name, mime, limiter=self._drawing)
            stream = await to_thread.run_sync(files.open, name)
        except FileNotFoundError as error:
            raise HTTPException(404, "This file isn't in the store any more.") from error
        except OSError as error:
            raise HTTPException(503, "The place where files are kept doesn't answer. Try again in a moment.") from error
        size = await to_thread.run_sync(stream.seek, 0, 2)
        start, end, status = 0, size - 1, 200
        if asked := RANGE.fullmatch(request.headers.get("range", "")):
            start, end = _range(asked[1], asked[2], size)
            status = 206
            if start > end:
                stream.close()
                return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
        shown = request.query_params.get("name", "")
        kind = "inline" if mime in INLINE else "attachment"
        headers = {
            "content-type": mime if mime in INLINE else "application/octet-stream",
            "content-disposition": f"{kind}; filename*=UTF-8''{quote(shown, safe='')}" if shown else kind,
            "content-length": str(end - start + 1),
            "accept-ranges": "bytes",
            "x-content-type-options": "nosniff",
            "content-security-policy": "default-src 'none'; sandbox",
            # A media id never changes what it means.
            "cache-control": "private, max-age=31536000, immutable",
        }
        if status == 206:
            headers["content-range"] = f"bytes {start}-{end}/{size}"

        async def body() -> AsyncIterator[bytes]:
            try:
                await to_thread.run_sync(stream.seek, start)
                left = end - start + 1
                while left > 0 and (piece := await to_thread.run_sync(stream.read, min(PIECE, left))):
                    left -= len(piece)
                    yield piece
            finally:
                stream.close()

        return StreamingResponse(body(), status_code=status, headers=headers)

    # --- live -----------------------------------------------------------------------------------------------------

    async def live(self, request: Request) -> Response:
        hub: Live = request.app.state.live
        since = request.headers.get("last-event-id") or request.query_params.get("since")
        return StreamingResponse(
            hub.stream(viewer_of(request).organisation_id, since),
            headers={
                "content-type": "text/event-stream",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
            },
        )


# --- reading a request ------------------------------------------------------------------------------------------------


async def _number(tx: Tx, request: Request) -> Number:
    number = await queries.number(tx, request.path_params["number_id"], viewer_of(request).organisation_id)
    if number is None:
        raise HTTPException(404)
    return number


def _filter(request: Request) -> str:
    asked = request.query_params.get("filter", "all")
    return asked if asked in queries.FILTERS else "all"


def _cursor(
    request: Request, name: str, read: Callable[[str], tuple[datetime, str]] = queries.parse_cursor
) -> tuple[datetime, str] | None:
    value = request.query_params.get(name)
    if not value:
        return None
    try:
        return read(value)
    except ValueError as error:
        raise HTTPException(400, "This address isn't one that a page here gives out.") from error


def _content(said: str) -> dict[str, Any]:
    try:
        content = orjson.loads(said)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise HTTPException(400, "The form can't be read. Reload the page and try once more.")
    return content


def _ids(value: str) -> Sequence[int]:
    return [int(part) for part in value.split(",") if part.isascii() and part.isdigit()][:MAX_IDS]


def _int(value: str) -> int:
    return int(value) if value.isascii() and value.isdigit() else 0


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    """The bytes that a Range header means, both ends included; ``start > end`` when there are none."""
    if first:
        return int(first), min(int(last), size - 1) if last else size - 1
    return (max(0, size - int(last)), size - 1) if last else (0, size - 1)
