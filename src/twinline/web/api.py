"""The HTTP API under ``/v1``: each feature's router, one shape of errors, the OpenAPI document.

It stands outside of the gate: programs bring a key instead of a cookie (``accounts.api``), so no page of another site
can use somebody's login here. A feature joins by adding its router to ``ROUTERS``.

This module is imported when the first program asks (``web.app.Api``): FastAPI would take a fifth of a second of every
start, and many installations never use it.
"""

import contextlib
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twinline.accounts import api as accounts
from twinline.accounts.throttle import Pace
from twinline.app import App
from twinline.automations import api as automations
from twinline.campaigns import api as campaigns
from twinline.contacts import api as contacts
from twinline.inbox import api as inbox
from twinline.kit import log
from twinline.kit.api import ApiError, check_storable, errors, unreadable
from twinline.numbers import api as numbers
from twinline.sending import api as sending
from twinline.templates import api as templates
from twinline.webhooks_out import api as webhooks_out

ROUTERS: Final[tuple[APIRouter, ...]] = (
    accounts.router,
    numbers.router,
    sending.router,
    inbox.router,
    contacts.router,
    templates.router,
    campaigns.router,
    webhooks_out.router,
    automations.router,
)

BODY: Final = 1024 * 1024  # bytes of a JSON body; the longest message has a tenth of it
FILE: Final = 101 * 1024 * 1024  # the largest document, and the form around it (Meta: supported media types)
UPLOADS: Final = ("/media", "/lists")

DESCRIPTION: Final = """
Send WhatsApp messages from a number that also lives on a phone, and see what became of them.

Show a key with every call: `Authorization: Bearer twl_…`. Whatever goes wrong has one shape, `{"error": {"code",
"message", "what_to_do", "details"}}`: go by `code`, show the rest to a person. **400** the request can't be read,
**401** no key, **403** not with this key, **404** not there, **409** it contradicts an earlier request, **422** a rule
speaks against it, **429** too fast (see `Retry-After`).
"""

logger = log.get("api")


def build(app: App) -> FastAPI:
    api = FastAPI(
        title="Twinline",
        version="1",
        description=DESCRIPTION.strip(),
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": f"{app.settings.address}/v1"}],
        root_path_in_servers=False,
        responses=errors(400, 401, 403, 404, 429),
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    api.state.app = app
    api.state.pace = Pace(app.settings.api_per_second)
    for router in ROUTERS:
        api.include_router(router)
    api.add_exception_handler(ApiError, _told)
    api.add_exception_handler(RequestValidationError, _unreadable)
    api.add_exception_handler(HTTPException, _refused)
    api.add_exception_handler(Exception, _broken)
    return api


class Border:
    """Reads no further than a body may be long, and lets only such JSON in as can be kept and sent on."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(UPLOADS):
            receive = _up_to(FILE, receive)
        else:
            try:
                body = await _whole(_up_to(BODY, receive))
                check_storable(body)
            except ApiError as error:
                await error.response()(scope, receive, send)
                return
            receive = _again(body, receive)
        # What breaks was answered and logged by ``_broken``; it is raised once more for servers that want to know.
        with contextlib.suppress(Exception):
            await self._inner(scope, receive, send)


def _up_to(most: int, receive: Receive) -> Receive:
    left = most

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            says = f"The body is larger than this address takes, which is {most // (1024 * 1024)} MB."
            raise ApiError(413, "request.too_large", says, "Send less.")
        return message

    return bounded


async def _whole(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return unreadable(error).response()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: ApiError(404, "address.unknown", "There is nothing at this address.", "/v1/docs lists the addresses."),
        405: ApiError(405, "method.unknown", "This address doesn't take that method.", "/v1/docs lists the methods."),
    }
    told = known.get(error.status_code) or ApiError(
        400, "request.invalid", "The request can't be read.", "Correct it; /v1/docs shows what is expected."
    )
    told.headers = error.headers
    return told.response()


async def _broken(request: Request, error: Exception) -> Response:
    # The route, not the path: that may name somebody by their phone number.
    route = getattr(request.scope.get("route"), "path", "")
    logger.error("api failed", method=request.method, route=route, exc_info=error)
    return ApiError(
        500,
        "internal",
        "Something broke on our side.",
        "Try again with the same Idempotency-Key; if it stays, the operator finds the error in the server's log.",
    ).response()
