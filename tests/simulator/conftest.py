"""A simulator in this process, and the platform that gets its webhooks: no ports, no sleeping."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from whatsapp_simulator.app import Settings, create
from whatsapp_simulator.clock import Clock

Json = dict[str, Any]
APP, SECRET, CONFIG = "100000000000001", "simulator-app-secret", "200000000000001"
APP_TOKEN = f"{APP}|{SECRET}"
COEXISTENCE = {"setup": {}, "featureType": "whatsapp_business_app_onboarding", "sessionInfoVersion": "3"}


class Platform:
    """A webhook receiver that checks every signature and keeps every change."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        """Statuses to answer before it goes back to 200."""
        self.app = Starlette(routes=[Route("/{path:path}", self._hook, methods=["GET", "POST"])])

    async def _hook(self, request: Request) -> Response:
        if request.method == "GET":
            right = request.query_params["hub.verify_token"] == "simulator-verify-token"
            return PlainTextResponse(request.query_params["hub.challenge"] if right else "no", 200 if right else 403)
        raw = await request.body()
        expected = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        assert request.headers["x-hub-signature-256"] == expected
        assert len(raw) < 3_000_000
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.bodies.append(raw)
            self.paths.append(request.url.path)
        return PlainTextResponse("", status)

    def changes(self, field: str) -> list[Json]:
        """The ``value`` of every change of a field, in order of arrival."""
        return [
            change["value"]
            for raw in self.bodies
            for entry in json.loads(raw).get("entry", [])
            for change in entry["changes"]
            if change["field"] == field
        ]

    def statuses(self, wamid: str) -> list[Json]:
        return [s for value in self.changes("messages") for s in value.get("statuses", []) if s["id"] == wamid]

    def messages(self) -> list[Json]:
        return [m for value in self.changes("messages") for m in value.get("messages", [])]

    def echoes(self) -> list[Json]:
        return [m for value in self.changes("smb_message_echoes") for m in value["message_echoes"]]

    def events(self) -> list[str]:
        return [value["event"] for value in self.changes("account_update")]


class Sim:
    """A hand on the simulator."""

    def __init__(self, app: Starlette, http: httpx.AsyncClient, platform: Platform) -> None:
        self.app = app
        self.http = http
        self.platform = platform
        self.token = ""
        self.phone = self.world.state.phones[next(iter(self.world.state.phones))]

    @property
    def world(self) -> Any:
        return self.app.state.simulator.world

    async def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Json:
        answer = await self.http.request(method, path, json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, status: int = 200, **body: Any) -> Json:
        return await self.ask("POST", path, status, **body)

    async def get(self, path: str, status: int = 200) -> Json:
        return await self.ask("GET", path, status)

    async def graph(self, method: str, path: str, expect: int = 200, token: str | None = None, **body: Any) -> Json:
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        answer = await self.http.request(method, f"/v26.0/{path}", headers=headers, json=body or None)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def error(self, method: str, path: str, **body: Any) -> Json:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.http.request(method, f"/v26.0/{path}", headers=headers, json=body or None)
        assert answer.status_code >= 400, answer.text
        return answer.json()["error"]

    async def text(self, to: str = "14155550171", body: str = "hello", **more: Any) -> str:
        sent = await self.graph(
            "POST",
            f"{self.phone.id}/messages",
            messaging_product="whatsapp",
            to=to,
            type="text",
            text={"body": body},
            **more,
        )
        return str(sent["messages"][0]["id"])

    async def flush(self) -> Json:
        done = await self.post("/control/delivery/flush", timeout=60)
        assert done["drained"], done
        return done

    async def sign_up(self, *, share_history: bool = True) -> Json:
        """The popup and the phone, to the end: the finished session."""
        begun = await self.post(
            "/signup/sessions", config_id=CONFIG, extras=COEXISTENCE, phone_number=f"+{self.phone.number}"
        )
        return await self.post(
            f"/control/phones/{self.phone.id}/confirm",
            code=begun["verification_code"],
            share_history=share_history,
        )

    async def exchange(self, code: str, secret: str = SECRET) -> httpx.Response:
        query = {"client_id": APP, "client_secret": secret, "code": code}
        return await self.http.get("/v26.0/oauth/access_token", params=query)

    async def connect(self, *, share_history: bool = True) -> None:
        """Onboard the number and subscribe to its webhooks, as a platform does."""
        session = await self.sign_up(share_history=share_history)
        self.token = (await self.exchange(session["code"])).json()["access_token"]
        await self.graph("POST", f"{self.phone.waba_id}/subscribed_apps")

    async def sync(self, kind: str) -> str:
        path = f"{self.phone.id}/smb_app_data"
        return str((await self.graph("POST", path, messaging_product="whatsapp", sync_type=kind))["request_id"])

    async def write(self, customer: str = "c1", **body: Any) -> Json:
        return await self.post(f"/control/customers/{customer}/send", **(body or {"text": "hi"}))


@pytest.fixture
def platform() -> Platform:
    return Platform()


class Frozen:
    """Real time that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = time.time()

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def still() -> Frozen:
    return Frozen()


@pytest.fixture
def settings() -> Settings:
    return Settings(callback="http://platform.test/hook", contacts=8, messages=300)


@pytest.fixture
def start(platform: Platform) -> Any:
    """Start a simulator by hand; it stops with the stack it was started on."""

    async def begin(stack: AsyncExitStack, settings: Settings, clock: Clock | None = None) -> Sim:
        outgoing = httpx.AsyncClient(transport=httpx.ASGITransport(app=platform.app))
        app = create(settings, clock=clock, client=outgoing, base_url="http://simulator.test")
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app=app)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://simulator.test"))
        sim = Sim(app, http, platform)
        await sim.post("/control/options", sent_delay=0, delivered_delay=0, read_delay=0)
        await sim.post("/control/delivery", retry=[0.01])
        return sim

    return begin


@pytest.fixture
async def sim(start: Any, settings: Settings) -> AsyncIterator[Sim]:
    async with AsyncExitStack() as stack:
        yield await start(stack, settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "simulator"
