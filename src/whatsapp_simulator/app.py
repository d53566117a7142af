"""The composition: settings -> state, world, courier, Graph and routes -> an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Route

from . import control, pages, sending, store, sync, template_life
from .clock import Clock
from .delivery import Courier
from .graph import Graph, download
from .ids import Ids
from .state import App, Json, State
from .world import Refused, World

# Known to everybody, as the simulator guards nothing.
APP_ID = "100000000000001"
APP_SECRET = "simulator-app-secret"  # noqa: S105
VERIFY_TOKEN = "simulator-verify-token"  # noqa: S105
CONFIG_ID = "200000000000001"


class _Version(StringConvertor):
    """Any Graph version: ``v26.0``."""

    regex = r"v\d+\.\d+"


register_url_convertor("graph", _Version())


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    data: Path | None = None
    callback: str | None = None
    app_id: str = APP_ID
    app_secret: str = APP_SECRET
    verify_token: str = VERIFY_TOKEN
    config_id: str = CONFIG_ID
    clock_file: Path | None = None
    seed: int = 1
    contacts: int = 40
    messages: int = 2000

    def first_state(self) -> State:
        business = Ids(self.seed).number()
        app = App(self.app_id, self.app_secret, self.verify_token, self.config_id, business, callback_url=self.callback)
        return State(app, self.seed)


def furnish(world: World, contacts: int, messages: int) -> None:
    """A first phone, and the three kinds of people there are since usernames."""
    plain = world.make_customer("Nora Whitcombe", "14155550171")
    shown = world.make_customer("Lucía Ferrán", "5215550104477", username="lucia.ferran")
    hidden = world.make_customer("Beto Amaral", "5511955501234", username="beto_amaral", phone_visible=False)
    first = (plain.id, shown.id, hidden.id)
    world.make_phone(contacts=max(contacts, len(first)), messages=messages, customers=first)


class Simulator:
    """One world after another (a reset makes a new one) and the life around it."""

    def __init__(self, settings: Settings, clock: Clock, client: httpx.AsyncClient | None, base_url: str) -> None:
        self.settings = settings
        self.clock = clock
        self.base_url = base_url
        self._client = client
        restored = store.load(settings.data) if settings.data else None
        self.world = self._build(restored or settings.first_state())
        if restored is None:
            furnish(self.world, settings.contacts, settings.messages)
        elif settings.callback:
            restored.app.callback_url = settings.callback
        self.graph = Graph(self.world)

    def _build(self, state: State) -> World:
        folder = self.settings.data
        courier = Courier(state, self.clock.now, self._client)
        return World(state, self.clock, courier, folder / "media" if folder else None, self.base_url)

    async def start(self) -> None:
        await self.world.courier.start()
        sending.resume(self.world)
        template_life.resume(self.world)
        sync.resume(self.world)

    async def stop(self) -> None:
        await self.world.stop()

    async def reset(self, body: Json) -> None:
        """A new world; the app keeps its webhook address, and listeners stay."""
        old = self.world
        await old.stop()
        state = self.settings.first_state()
        state.app.callback_url = old.state.app.callback_url
        self.world = self.graph.world = self._build(state)
        self.world.hub = old.hub
        contacts, messages = body.get("contacts", self.settings.contacts), body.get("messages", self.settings.messages)
        furnish(self.world, int(contacts), int(messages))
        self.graph.log.clear()
        await self.start()
        self.world.changed("reset")

    @asynccontextmanager
    async def life(self, _: Starlette) -> AsyncIterator[None]:
        folder = self.settings.data
        await self.start()
        saving = asyncio.create_task(store.keep_saving(folder, lambda: self.world)) if folder else None
        try:
            yield
        finally:
            if saving is not None:
                saving.cancel()
                with suppress(asyncio.CancelledError):
                    await saving
            await self.stop()
            if folder is not None:
                store.save(folder, self.world.state)


def create(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    client: httpx.AsyncClient | None = None,
    base_url: str = "http://127.0.0.1:4010",
) -> Starlette:
    """The application. ``client`` delivers webhooks (a test passes one that stays in the process)."""
    settings = settings or Settings()
    simulator = Simulator(settings, clock or Clock(settings.clock_file), client, base_url)
    app = Starlette(
        routes=[
            # First, since it is the busiest: routes are tried in order.
            Route("/{version:graph}/{path:path}", simulator.graph.__call__, methods=["GET", "POST", "DELETE"]),
            *pages.routes,
            *control.routes,
            Route("/media-download/", download),
        ],
        lifespan=simulator.life,
        exception_handlers={Refused: control.refused},
    )
    app.state.simulator = simulator
    return app
