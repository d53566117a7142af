"""A browser in front of the whole web process, without a port."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from twinline.accounts import service
from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.web.app import build

PASSWORD = "correct horse"


async def _explode(request: Request) -> Response:
    raise RuntimeError("the inside of the house")


async def _echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


PROBES: list[BaseRoute] = [Route("/explode", _explode), Route("/echo", _echo, methods=["GET", "POST"])]


@dataclass
class Browser:
    """Keeps cookies, follows no redirect by itself, and says where a form came from, as browsers do."""

    http: httpx.AsyncClient
    app: App

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers={"accept": "text/html", **headers})

    async def post(self, path: str, data: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, data=data, headers={"sec-fetch-site": "same-origin", **headers})

    async def submit(self, path: str, data: dict[str, str] | None = None) -> httpx.Response:
        """A form of our own page: with its token."""
        return await self.post(path, {"csrf": await self.csrf(), **(data or {})})

    async def csrf(self) -> str:
        async with self.app.db.transaction() as tx:
            token = self.http.cookies["twinline"]
            viewer = await service.viewer_of(tx, token, self.app.clock.now())
        assert viewer is not None
        return viewer.csrf_token

    async def log_in(self, email: str = "ada@example.com", password: str = PASSWORD) -> httpx.Response:
        return await self.post("/login", {"email": email, "password": password})


@pytest.fixture
async def app(app: App, clock: ManualClock) -> App:
    settings = app.settings.model_copy(
        update={
            "graph_url": "http://127.0.0.1:9",
            "port": 9,
            "app_id": "100",
            "signup_config_id": "200",
            "app_secret": SecretStr("app-secret"),
            "verify_token": SecretStr("verify-token"),
        }
    )
    app = replace(app, settings=settings)
    await add_user(app, clock.now(), None, "ada@example.com", "owner")
    return app


async def add_user(app: App, now: datetime, organisation_id: int | None, email: str, role: str) -> int:
    """Answers the user's organisation."""
    async with app.db.transaction() as tx:
        user_id = await service.create_user(tx, organisation_id, email, "", role, PASSWORD, now)
        found: int = await tx.value("SELECT organisation_id FROM users WHERE id = %s", (user_id,))
        return found


@pytest.fixture
def site(app: App) -> Starlette:
    return build(app, PROBES)


@pytest.fixture
async def browser(app: App, site: Starlette) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(app=site, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://twinline.test") as http:
        yield Browser(http, app)
