"""What all pages of contacts read of a request, and how they answer."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from twinline.accounts.gate import viewer_of
from twinline.app import App
from twinline.contacts import exchange, queries
from twinline.contacts.models import ContactError, Place
from twinline.db import Tx
from twinline.kit.html import see_other

SHOWN_PROBLEMS: Final = 200

Change = Callable[[Tx, Place, FormData], Awaitable[object]]
"""What a form asks for. Raises ContactError."""


async def changed(
    app: App, request: Request, change: Change, there: str, again: Callable[..., Awaitable[Response]]
) -> Response:
    """Makes a change and goes on to the page ``there``; or changes nothing, and shows it ``again`` with the problem."""
    try:
        async with request.form() as form, app.db.transaction() as tx:
            place = await place_of(tx, request)
            await change(tx, place, form)
    except ContactError as error:
        return await again(request, status=422, problem=str(error))
    return see_other(f"/contacts/{place.id}{there}")


async def place_of(tx: Tx, request: Request) -> Place:
    place = await queries.place(tx, request.path_params["number_id"], viewer_of(request).organisation_id)
    if place is None:
        raise HTTPException(404)
    return place


async def around(tx: Tx, request: Request, place: Place) -> dict[str, Any]:
    """What every page here has: the number, and the others to change to."""
    return {"place": place, "places": await queries.places(tx, viewer_of(request).organisation_id)}


def q_of(request: Request) -> str:
    return request.query_params.get("q", "").replace("\0", "").strip()[:200]


async def file_of(form: FormData) -> tuple[bytes, str]:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        return b"", ""
    return await file.read(exchange.BIGGEST + 1), (file.filename or "")[:100]


def download(pieces: Iterator[str], name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}
    return StreamingResponse(
        (piece.encode() for piece in pieces), media_type="text/csv; charset=utf-8", headers=headers
    )
