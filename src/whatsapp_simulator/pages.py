"""The pages: an operator's start page, a phone and customers one can hold, and the signup popup.

The server sends shells; the modules in ``static/js`` fill them over the control API and follow ``/control/events``.
So whatever a page can do, a script can do too. Nothing is loaded from elsewhere and no script stands in a page, and
a policy header holds them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import Scope

from .world import World

_HERE = Path(__file__).parent
_templates = Jinja2Templates(_HERE / "templates")

POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    # A message sent by link shows a picture from wherever the platform keeps it.
    "img-src 'self' data: blob: http: https:; media-src 'self' blob: http: https:"
)


class _Fresh(StaticFiles):
    """Files that a browser asks about each time: an update of the simulator is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def _world(request: Request) -> World:
    world: World = request.app.state.simulator.world
    return world


def _page(request: Request, name: str, **context: Any) -> Response:
    headers = {"content-security-policy": POLICY, "cache-control": "no-store", "referrer-policy": "same-origin"}
    return _templates.TemplateResponse(request, name, context, headers=headers)


async def start(request: Request) -> Response:
    return _page(request, "start.html")


async def any_phone(request: Request) -> Response:
    """The phone that is asked to confirm a connection, else the first one."""
    phones = list(_world(request).state.phones.values())
    if not phones:
        return RedirectResponse("/")
    chosen = next((p for p in phones if p.pending_session), phones[0])
    return RedirectResponse(f"/phone/{chosen.id}")


async def phone(request: Request) -> Response:
    found = _world(request).state.phones.get(request.path_params["phone"])
    return _page(request, "phone.html", phone=found) if found else RedirectResponse("/phone")


async def customers(request: Request) -> Response:
    return _page(request, "customers.html")


async def customer(request: Request) -> Response:
    found = _world(request).state.customers.get(request.path_params["customer"])
    return _page(request, "customer.html", customer=found) if found else RedirectResponse("/customers")


async def templates(request: Request) -> Response:
    return _page(request, "templates.html")


async def signup(request: Request) -> Response:
    return _page(request, "signup.html")


async def sdk(_: Request) -> Response:
    """What a platform loads in place of Facebook's script; it opens ``/signup``."""
    return FileResponse(_HERE / "static" / "sdk.js", headers={"cache-control": "no-cache"})


routes: Sequence[BaseRoute] = [
    Route("/", start),
    Route("/phone", any_phone),
    Route("/phone/{phone}", phone),
    Route("/customers", customers),
    Route("/customer/{customer}", customer),
    Route("/templates", templates),
    Route("/signup", signup),
    Route("/sdk.js", sdk),
    Mount("/static", _Fresh(directory=_HERE / "static")),
]
