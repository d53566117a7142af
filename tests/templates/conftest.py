"""A bakery whose number is connected to a simulated Meta in this process: Graph one way, webhooks the other."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.sending.conftest import RunningClock, clock

from twinline import wiring
from twinline.accounts import service as accounts
from twinline.app import App
from twinline.meta.graph import Graph
from twinline.mirror import hook, ingest
from twinline.mirror import service as mirror
from twinline.numbers import service as numbers
from twinline.sending import lane
from twinline.sending import service as sending
from twinline.sending.models import Draft
from twinline.templates import queries, service
from twinline.templates.models import Template
from whatsapp_simulator.app import Settings, create
from whatsapp_simulator.clock import Clock

__all__ = ["RunningClock", "clock"]

Json = dict[str, Any]

BODY = {
    "type": "BODY",
    "text": "Dear {{1}}, your bike is mended and waits for you until {{2}} at the shop.",
    "example": {"body_text": [["Ann", "Friday"]]},
}


def spec(name: str = "bike_ready", *components: Json, **more: Any) -> Json:
    whole = {"name": name, "language": "en_US", "category": "UTILITY", "components": list(components) or [BODY]}
    return whole | more


@dataclass
class Way(httpx.AsyncBaseTransport):
    """The way to Meta. ``lose`` names the paths whose next answer gets lost after Meta has acted on it."""

    meta: httpx.ASGITransport
    calls: list[str] = field(default_factory=list)
    lose: list[str] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        answer = await self.meta.handle_async_request(request)
        lost = next((end for end in self.lose if request.method == "POST" and end in request.url.path), None)
        if lost is not None:
            self.lose.remove(lost)
            raise httpx.ReadTimeout("lost on the way", request=request)
        return answer


@dataclass
class Shop:
    """The bakery and its hand on Meta."""

    app: App
    clock: RunningClock
    way: Way
    sim: httpx.AsyncClient
    organisation_id: int
    user_id: int
    number_id: int
    waba_id: str
    phone_id: str

    @property
    def place(self) -> tuple[int, str]:
        return self.organisation_id, self.waba_id

    async def control(self, path: str, **body: Any) -> Any:
        answer = await self.sim.post(f"/control/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def hears(self) -> None:
        """Everything that Meta had to say has been folded."""
        assert (await self.control("delivery/flush", timeout=60))["drained"]

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        await self.control("clock", advance=0)
        await self.hears()

    async def step(self, template_id: str, step: str, **body: Any) -> None:
        """Something that Meta does, a second after whatever was before: webhooks tell no smaller time."""
        self.clock.advance(seconds=1)
        await self.control(f"templates/{template_id}/{step}", **body)
        await self.hears()

    async def sync(self) -> int:
        return await service.sync(self.app, *self.place)

    async def create(self, whole: Json | None = None, *, approve: bool = False) -> str:
        made = await service.create(self.app, *self.place, whole or spec(), user_id=self.user_id)
        if approve:
            await self.step(made, "approve")
        return made

    async def template(self, template_id: str) -> Template:
        return await service.template_of(self.app, *self.place, template_id)

    async def named(self, name: str, language: str = "en_US") -> Template:
        async with self.app.db.transaction() as tx:
            return next(one for one in await queries.by_name(tx, *self.place, name) if one.language == language)

    async def says(self, to: str, name: str, *components: Json, language: str = "en_US", **options: Any) -> int:
        content = {"name": name, "language": {"code": language}, "components": list(components)}
        async with self.app.db.transaction() as tx:
            return await sending.submit_to(
                self.app, tx, self.number_id, to, Draft("template", None, content), **options
            )

    async def contact(self, address: str) -> int:
        async with self.app.db.transaction() as tx:
            found = await mirror.contact_for(tx, self.number_id, address)
        assert found is not None
        return found

    async def rows(self, sql: str, *params: Any) -> list[Json]:
        async with self.app.db.transaction() as tx:
            return await tx.dicts(sql, params)

    async def jobs(self, task: str) -> list[Json]:
        return [
            row["args"] for row in await self.rows("SELECT args FROM procrastinate_jobs WHERE task_name = %s", task)
        ]

    async def drain(self) -> None:
        await lane.drain(self.app, self.number_id)
        await self.hears()


def receiver(ours: Callable[[], App]) -> Starlette:
    async def take(request: Request) -> Response:
        app = ours()
        await hook.commit(app, [ingest.read(await request.body(), 1 << 20)], wiring.followers(app))
        return PlainTextResponse("")

    return Starlette(routes=[Route("/hook", take, methods=["POST"])])


@pytest.fixture
async def shop(app: App, clock: RunningClock) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        here: list[App] = [app]
        outgoing = httpx.AsyncClient(transport=httpx.ASGITransport(receiver(lambda: here[0])))
        settings = Settings(callback="http://platform.test/hook", contacts=3, messages=10)
        meta = create(settings, clock=Clock(real=lambda: clock.now().timestamp()), client=outgoing,
                      base_url="http://meta.test")  # fmt: skip
        await stack.enter_async_context(meta.router.lifespan_context(meta))
        inside = httpx.ASGITransport(meta)
        sim = await stack.enter_async_context(httpx.AsyncClient(transport=inside, base_url="http://meta.test"))
        way = Way(inside)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=way))
        known = app.settings.model_copy(update={"app_id": "100000000000001"})
        here[0] = app = replace(app, graph=Graph(http, "http://meta.test"), settings=known)
        phone = (await sim.post("/control/phones", json={"connected": True})).json()
        shop = await opened(app, clock, way, sim, phone)
        await shop.hears()
        yield shop


async def opened(app: App, clock: RunningClock, way: Way, sim: httpx.AsyncClient, phone: Json) -> Shop:
    now: datetime = clock.now()
    async with app.db.transaction() as tx:
        user_id = await accounts.create_user(tx, None, "ada@example.com", "Ada", "owner", "correct horse", now)
        organisation_id = await tx.value("SELECT organisation_id FROM users WHERE id = %s", (user_id,))
        number_id = await numbers.add_number(
            app, tx, organisation_id, phone["waba_id"], phone["id"], phone["number"], phone["token"], verified=True
        )
    return Shop(app, clock, way, sim, organisation_id, user_id, number_id, phone["waba_id"], phone["id"])
