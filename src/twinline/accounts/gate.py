"""The gate before every page: who is asking, may they, and did the request come from our own page?

Pure ASGI, so that streams pass through it unbuffered. It sets ``request.state.viewer`` (a Viewer or None) and
``request.state.now``, sends strangers to the login page, and demands of everything that isn't a plain read the
session's CSRF token: in the header ``X-CSRF-Token``, or in a form field ``csrf`` that stands first in its form.
"""

import re
import secrets
from collections.abc import Collection
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twinline.accounts import service
from twinline.accounts.models import Session, Viewer
from twinline.app import App

COOKIE = "twinline"
READS = frozenset({"GET", "HEAD", "OPTIONS"})

# The token is looked for at the head of the body only: an upload of megabytes is never held back for it.
HEAD_OF_BODY = 16 * 1024
FIELD = re.compile(rb'(?:^|&)csrf=([\w-]+)|name="csrf"\r\n\r\n([\w-]+)\r\n')

STALE = (
    "This page was open for longer than your login, or the form came from somewhere else. "
    "Reload the page and try once more: nothing has been changed."
)


class Gate:
    """``open_paths`` are prefixes that need no login (the login page itself, an invitation)."""

    def __init__(self, inner: ASGIApp, app: App, open_paths: Collection[str]) -> None:
        self._inner = inner
        self._app = app
        self._open = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request = Request(scope)
        viewer = await self._viewer(request)
        scope["state"] = {**scope.get("state", {}), "viewer": viewer, "now": self._app.clock.now()}
        if viewer is None and not request.url.path.startswith(self._open):
            await _to_login(request)(scope, receive, send)
            return
        if request.method not in READS:
            receive = await self._checked(request, viewer, receive)
        await self._inner(scope, receive, send)

    async def _viewer(self, request: Request) -> Viewer | None:
        token = request.cookies.get(COOKIE)
        if not token:
            return None
        async with self._app.db.transaction() as tx:
            return await service.viewer_of(tx, token, self._app.clock.now())

    async def _checked(self, request: Request, viewer: Viewer | None, receive: Receive) -> Receive:
        """Answers a ``receive`` that still yields the whole body. Raises HTTPException 403."""
        if viewer is None:
            # Without a session there is no token yet; but a browser says where a form came from.
            if not came_from_us(request.headers, self._app.settings.address):
                raise HTTPException(403, STALE)
            return receive
        given = request.headers.get("x-csrf-token", "").encode()
        if not given:
            seen, receive = await _peek(receive)
            found = FIELD.search(seen, 0, HEAD_OF_BODY)
            given = (found[1] or found[2]) if found else b""
        if not secrets.compare_digest(given, viewer.csrf_token.encode()):
            raise HTTPException(403, STALE)
        return receive


def viewer_of(request: Request) -> Viewer:
    """Who is asking; behind the gate there is always somebody."""
    viewer: Viewer = request.state.viewer
    return viewer


def writer_of(request: Request, otherwise: str) -> Viewer:
    """Who is asking, if they may change anything. Raises HTTPException 403 with the sentence ``otherwise``."""
    viewer = viewer_of(request)
    if not viewer.may_write:
        raise HTTPException(403, otherwise)
    return viewer


def administrator_of(request: Request, otherwise: str) -> Viewer:
    """Who is asking, if they are owner or administrator. Raises HTTPException 403 with the sentence ``otherwise``."""
    viewer = viewer_of(request)
    if not viewer.may_administer:
        raise HTTPException(403, otherwise)
    return viewer


def came_from_us(headers: Headers, address: str) -> bool:
    """Whether a request that changes something was made by a page of ours, or by no page at all."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True  # not a browser: it has no cookies of anybody's to misuse
    return origin == address or urlsplit(origin).netloc == headers.get("host")


def set_cookie(response: Response, session: Session, app: App) -> None:
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=int(service.SESSION_LIFE.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=app.settings.cookies_are_secure,
    )


def _to_login(request: Request) -> Response:
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.headers.get("hx-request"):
        # htmx would put the login page into a corner of the present one.
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if request.method not in READS or "text/html" not in request.headers.get("accept", "text/html"):
        return Response("Log in first.", status_code=401, media_type="text/plain")
    return RedirectResponse(f"/login?next={quote(where)}", status_code=303)


async def _peek(receive: Receive) -> tuple[bytes, Receive]:
    """The first bytes of the body, and a ``receive`` that gives them again before it goes on."""
    waiting: list[Message] = []
    seen = b""
    while len(seen) < HEAD_OF_BODY:
        message = await receive()
        waiting.append(message)
        seen += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break

    async def again() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return seen, again


class SecurityHeaders:
    """The headers every page bears; a page that needs more (the signup popup) sets its own policy."""

    POLICY = (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
    )

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("content-security-policy", self.POLICY)
                headers.setdefault("x-content-type-options", "nosniff")
                headers.setdefault("referrer-policy", "same-origin")
                headers.setdefault("cross-origin-opener-policy", "same-origin")
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._inner(scope, receive, with_headers if scope["type"] == "http" else send)
