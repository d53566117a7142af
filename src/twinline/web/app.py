"""The web process: hook, API, pages, health, put together.

The hook stands outside of everything else. It carries Meta's traffic, has its own authentication (the signature),
and owes nobody a cookie. The API (``web.api``) has keys. Pages stand behind the gate: headers, error pages, session,
then the route.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import prometheus_client
import psycopg
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from twinline.accounts import pages as accounts_pages
from twinline.accounts.gate import Gate, SecurityHeaders
from twinline.app import App
from twinline.automations import number_pages as automations_number
from twinline.automations import outside_pages as automations_outside
from twinline.automations import pages as automations_pages
from twinline.campaigns import pages as campaigns_pages
from twinline.contacts import pages as contacts_pages
from twinline.costs import pages as costs_pages
from twinline.db import migrate
from twinline.inbox import pages as inbox_pages
from twinline.inbox import picker
from twinline.inbox.live import Live
from twinline.kit import log
from twinline.kit.html import WEB, render
from twinline.mirror.hook import Hook
from twinline.numbers import pages as numbers_pages
from twinline.templates import pages as templates_pages
from twinline.webhooks_out import pages as webhooks_out_pages
from twinline.wiring import followers

if TYPE_CHECKING:
    from fastapi import FastAPI

logger = log.get("web")

# What needs no login: the login page itself, the pages of an invitation, which carry their own proof, and what the API
# is, which is no secret.
OPEN_PATHS = ("/login", "/join/", "/v1/docs")

HOOK = "/hook/meta"

ERRORS = {
    403: ("Not allowed", "You may not do this, or the page was too old to do it."),
    404: ("Not found", "There is nothing at this address. It may have been moved or removed."),
    405: ("Not found", "This address doesn't take that kind of request."),
    413: ("Too large", "What you sent is larger than this page takes."),
}


def build(app: App, extra: Sequence[BaseRoute] = ()) -> "Platform":
    """The ASGI application. ``extra`` are further routes behind the login."""
    live = Live(app)
    hook = Hook(app, followers(app))
    api = Api(app)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        await live.start()
        await hook.start()
        try:
            yield {"live": live}
        finally:
            await hook.stop()
            await live.stop()

    pages = Router(
        [
            Route("/", _start),
            Route("/v1/docs", api.docs),
            *accounts_pages.routes(app),
            *webhooks_out_pages.routes(app),
            *numbers_pages.routes(app),
            *costs_pages.routes(app),
            *templates_pages.routes(app),
            *campaigns_pages.routes(app),
            *automations_pages.routes(app),
            *automations_outside.routes(app),
            *automations_number.routes(app),
            *contacts_pages.routes(app),
            *inbox_pages.routes(app),
            *picker.routes(app),
            *extra,
        ]
    )
    said = {HTTPException: _refused, psycopg.DataError: _unstorable, ClientDisconnect: _gone}
    guarded = SecurityHeaders(ExceptionMiddleware(Gate(pages, app, OPEN_PATHS), handlers=said))
    platform = Platform(
        hook,
        routes=[
            Mount("/static", Static(directory=WEB / "static")),
            Route("/health", _health),
            Route("/ready", _ready(app)),
            Route("/metrics", _metrics),
            Route("/v1/docs", guarded),
            Mount("/v1", api),
            Mount("/", guarded),
        ],
        exception_handlers={Exception: _broken},
        lifespan=lifespan,
    )
    platform.state.app = app
    platform.state.live = live
    return platform


class Platform(Starlette):
    """Everything, with the busiest door first: a webhook passes no router and no middleware."""

    def __init__(self, hook: Hook, **parts: Any) -> None:
        super().__init__(**parts)
        self.hook = hook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == HOOK:
            await self.hook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Api:
    """The HTTP API, put together when it is first asked for: its libraries would lengthen each start."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._building = asyncio.Lock()
        self._built: FastAPI | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = await self._ready()
        from twinline.web.api import Border

        await Border(inner)(scope, receive, send)

    async def docs(self, request: Request) -> Response:
        from twinline.web import reference

        document = await to_thread.run_sync((await self._ready()).openapi)
        return render(
            request,
            "api/docs.html",
            document=document,
            sections=reference.sections(document),
            about=reference.prose(document["info"]["description"]),
        )

    async def _ready(self) -> "FastAPI":
        async with self._building:
            if self._built is None:
                self._built = await to_thread.run_sync(self._build)
            return self._built

    def _build(self) -> "FastAPI":
        from twinline.web import api

        return api.build(self._app)


class Static(StaticFiles):
    """A file named with its version (``?v=``) never changes; any other is asked for again each time."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        for_ever = b"v=" in scope.get("query_string", b"")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if for_ever else "no-cache"
        response.headers["x-content-type-options"] = "nosniff"
        return response


async def _start(request: Request) -> Response:
    return RedirectResponse("/inbox", status_code=303)


async def _health(request: Request) -> Response:
    """The process answers. Nothing is asked of the database: a slow one is no reason to kill this process."""
    return JSONResponse({"status": "ok"})


def _ready(app: App) -> Callable[[Request], Awaitable[Response]]:
    """Whether work may be sent here: the database answers, and stands at this release's schema."""
    head = migrate.head()

    async def ready(request: Request) -> Response:
        try:
            async with app.db.transaction() as tx:
                schema = await tx.value("SELECT version_num FROM alembic_version")
        except Exception as error:
            logger.warning("not ready", error=type(error).__name__)
            return JSONResponse({"status": "no database"}, status_code=503)
        if schema != head:
            return JSONResponse({"status": "schema", "is": schema, "needs": head}, status_code=503)
        return JSONResponse({"status": "ok"})

    return ready


async def _metrics(request: Request) -> Response:
    return Response(
        prometheus_client.generate_latest(), headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST}
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title, says = ERRORS.get(error.status_code, ("That didn't work", "The request couldn't be answered."))
    # Starlette's own detail is the bare phrase ("Not Found"), which says less than we do.
    detail = error.detail if " " in error.detail and len(error.detail) > 30 else says
    if "text/html" not in request.headers.get("accept", "text/html") or request.headers.get("hx-request"):
        return PlainTextResponse(detail, status_code=error.status_code, headers=error.headers)
    return render(request, "error.html", status=error.status_code, title=title, says=detail)


async def _unstorable(request: Request, error: Exception) -> Response:
    """A value that PostgreSQL has no place for: no page sends one, whoever made the request up did."""
    logger.warning("unstorable", path=request.url.path, error=type(error).__name__)
    says = "There is a character or a number in it that can't be stored. Take it out and try once more."
    return await _refused(request, HTTPException(400, says))


async def _gone(request: Request, error: Exception) -> Response:
    """A browser that ended in the middle of its request: nothing of that was done, and nobody reads the answer."""
    logger.info("browser gone", path=request.url.path)
    return Response(status_code=400)


async def _broken(request: Request, error: Exception) -> Response:
    logger.error("page failed", path=request.url.path, exc_info=error)
    return render(
        request,
        "error.html",
        status=500,
        title="Something broke on our side",
        says="The error is in the server's log. Nothing you did was lost before this page; try it once more.",
    )
