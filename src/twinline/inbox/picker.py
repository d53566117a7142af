"""Choosing a template in a chat: which there are, what goes into them, what it costs, and out by the one door.

Drawn from ``web/templates/templates/pick*.html``; opened by anything that bears ``data-open="templates"``.
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import viewer_of
from twinline.app import App
from twinline.costs import service as costs
from twinline.db import Tx
from twinline.inbox import queries
from twinline.inbox.models import Number, OpenChat
from twinline.kit.html import render
from twinline.rules.refusal import Refused
from twinline.rules.templates import Slot
from twinline.sending import service as sending
from twinline.sending.models import Draft, Lane
from twinline.templates import queries as templates
from twinline.templates import service, words
from twinline.templates.models import Template

KEY = re.compile(r"[\w-]{8,100}")
PLACE = ("latitude", "longitude", "name", "address")

# Named variables that mean the person written to, as people call them in the languages of our pages.
NAMES = frozenset({"name", "customer_name", "full_name", "nombre", "nome", "cliente"})
FIRST_NAMES = frozenset({"first_name", "firstname", "primer_nombre", "primeiro_nome"})


def routes(app: App) -> list[BaseRoute]:
    picker = _Picker(app)
    chosen = "/inbox/{number_id:int}/{contact_id:int}/templates/{template:str}"
    return [
        Route("/inbox/{number_id:int}/{contact_id:int}/templates", picker.list),
        Route(chosen, picker.chosen, methods=["GET"]),
        Route(chosen, picker.send, methods=["POST"]),
        Route(f"{chosen}/preview", picker.preview, methods=["POST"]),
    ]


class _Picker:
    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self, request: Request) -> Response:
        """The dialog: every template that may be sent."""
        async with self._app.db.transaction() as tx:
            number, chat = await _chat(tx, request)
            place = await templates.account_of(tx, number.id)
            assert place is not None
            [account] = await templates.accounts(tx, *place)
            found = await templates.templates(tx, *place)
        sendable = [one for one in found if one.told.sends]
        return render(
            request,
            "templates/pick.html",
            base=f"/inbox/{number.id}/{chat.contact_id}/templates",
            chat=chat,
            account=account,
            found=sendable,
            others=len(found) - len(sendable),
            words=words,
        )

    async def chosen(self, request: Request) -> Response:
        """One template with fields for its values, as far as they are known already."""
        now = self._app.clock.now()
        async with self._app.db.transaction() as tx:
            number, chat = await _chat(tx, request)
            template = await _template(tx, request, number)
            estimate = await costs.estimate(tx, number.id, chat.contact_id, template.category, now)
        known = _known(chat)
        values = {slot.key: _prefilled(slot, known) for slot in template.slots if slot.kind == "text"}
        return render(
            request,
            "templates/pick_one.html",
            base=f"/inbox/{number.id}/{chat.contact_id}/templates/{template.id}",
            number=number,
            one=template,
            fields=[slot for slot in template.slots if slot.required and not slot.like],
            values=values,
            known=known,
            estimate=estimate,
            bubble=words.bubble(template.spec, {**template.fallbacks, **_given(values)}, examples=False),
            sample=_sample(template),
            words=words,
        )

    async def preview(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            number, _ = await _chat(tx, request)
            template = await _template(tx, request, number)
        async with request.form() as form:
            values = {slot.key: _said(form, slot) for slot in template.slots if slot.kind == "text"}
        bubble = words.bubble(template.spec, {**template.fallbacks, **_given(values)}, examples=False)
        return render(request, "templates/bubble.html", bubble=bubble, sample=_sample(template))

    async def send(self, request: Request) -> Response:
        """204 when it is on its way; 409 with the reason when it may not go."""
        viewer = viewer_of(request)
        if not viewer.may_write:
            raise HTTPException(403, "Your role may read but not answer. Ask an owner or administrator to change it.")
        async with self._app.db.transaction() as tx:
            number, chat = await _chat(tx, request)
            template = await _template(tx, request, number)
        async with request.form(max_files=20, max_part_size=64 * 1024) as form:
            key = str(form.get("key", ""))
            if not KEY.fullmatch(key):
                raise HTTPException(400, "The form came without its key. Reload the page and try once more.")
            try:
                values = await self._values(form, number, template)
                content = service.sendable(template, template.fill(values))
                async with self._app.db.transaction() as tx:
                    await sending.submit(
                        self._app,
                        tx,
                        number.id,
                        chat.contact_id,
                        Draft("template", None, content),
                        lane=Lane.PERSON,
                        author="person",
                        author_id=viewer.user_id,
                        idempotency_key=f"inbox:{viewer.user_id}:{key}",
                    )
            except Refused as refused:
                return render(request, "inbox/refused.html", status=409, refusal=refused.refusal)
        return Response(status_code=204)

    async def _values(self, form: FormData, number: Number, template: Template) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for slot in template.slots:
            match slot.kind:
                case "image" | "video" | "document":
                    values[slot.key] = await self._file(form.get(f"file.{slot.key}"), slot, number, template)
                case "location":
                    parts = {part: str(form.get(f"value.{slot.key}.{part}", "")).strip() for part in PLACE}
                    values[slot.key] = {part: value for part, value in parts.items() if value}
                case "expiry":
                    values[slot.key] = _expiry(_said(form, slot), str(form.get("zone", "0")))
                case _:
                    values[slot.key] = _said(form, slot)
        return values

    async def _file(self, file: Any, slot: Slot, number: Number, template: Template) -> dict[str, Any] | None:
        """The header's file, handed to Meta: the one that was chosen, or the template's own sample."""
        if isinstance(file, UploadFile) and file.filename:
            return await service.media(self._app, number.id, slot.kind, await file.read(), file.filename)
        if template.sample is None or slot.card is not None:
            return None
        data = await asyncio.to_thread(_read, self._app, template.sample["file"])
        return await service.media(self._app, number.id, slot.kind, data, template.sample["filename"])


def _read(app: App, name: str) -> bytes:
    with app.files.open(name) as stream:
        return stream.read()


async def _chat(tx: Tx, request: Request) -> tuple[Number, OpenChat]:
    viewer = viewer_of(request)
    number = await queries.number(tx, request.path_params["number_id"], viewer.organisation_id)
    chat = await queries.open_chat(tx, number, request.path_params["contact_id"]) if number else None
    if number is None or chat is None:
        raise HTTPException(404)
    return number, chat


async def _template(tx: Tx, request: Request, number: Number) -> Template:
    place = await templates.account_of(tx, number.id)
    found = await templates.template(tx, *place, request.path_params["template"]) if place else None
    if found is None:
        raise HTTPException(404, "This template isn't there any more: it was deleted, here or in WhatsApp Manager.")
    return found


def _known(chat: OpenChat) -> dict[str, str]:
    """What is known of the person, by what it is called on the page."""
    first = chat.name.split()[0] if chat.name and not chat.name.startswith(("+", "@")) else ""
    found = {
        "Name": chat.name if first else "",
        "First name": first,
        "Phone": chat.shown_phone,
        "Username": f"@{chat.username}" if chat.username else "",
    }
    return {name: value for name, value in found.items() if value}


def _prefilled(slot: Slot, known: Mapping[str, str]) -> str:
    name = slot.name.lower()
    return known.get("Name" if name in NAMES else "First name" if name in FIRST_NAMES else "", "")


def _given(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _said(form: FormData, slot: Slot) -> str:
    return str(form.get(f"value.{slot.key}", "")).strip()


def _expiry(said: str, zone: str) -> dict[str, int] | None:
    """The reader's local time (minutes behind UTC beside it) as Meta wants it: milliseconds since 1970."""
    try:
        at = datetime.fromisoformat(said).replace(tzinfo=UTC) + timedelta(minutes=int(zone))
    except ValueError:
        return None
    return {"expiration_time_ms": int(at.timestamp() * 1000)}


def _sample(template: Template) -> str | None:
    return f"/templates/{template.waba_id}/{template.id}/sample" if template.sample else None
