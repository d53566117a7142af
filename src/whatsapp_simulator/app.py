"""The composition: settings -> state, world, courier, Graph and routes -> an ASGI application."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from . import control, popup, sending, store, sync
from .clock import Clock
from .delivery import Courier
from .graph import Graph, download
from .ids import Ids
from .state import App, Json, State
from .world import Refused, World

APP_ID = "100000000000001"
APP_SECRET = "simulator-app-secret"
VERIFY_TOKEN = "simulator-verify-token"
CONFIG_ID = "200000000000001"


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


def first_state(settings: Settings) -> State:
    app = App(
        settings.app_id,
        settings.app_secret,
        settings.verify_token,
        settings.config_id,
        business_id=Ids(settings.seed).number(),
        callback_url=settings.callback,
    )
    return State(app, settings.seed)


def furnish(world: World, contacts: int, messages: int) -> None:
    """A first phone, and the three kinds of people there are since usernames."""
    plain = world.make_customer("Nora Whitcombe", "14155550171")
    shown = world.make_customer("Lucía Ferrán", "5215550104477", username="lucia.ferran")
    hidden = world.make_customer("Beto Amaral", "5511955501234", username="beto_amaral", phone_visible=False)
    first = (plain.id, shown.id, hidden.id)
    world.make_phone(contacts=max(contacts, len(first)), messages=messages, customers=first)


def _pages() -> Sequence[BaseRoute]:
    """The HTML pages, when they are installed beside this module."""
    try:
        module = importlib.import_module(f"{__package__}.pages")
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.pages":
            raise
        return ()
    routes: Sequence[BaseRoute] = module.routes
    return routes


def create(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    client: httpx.AsyncClient | None = None,
    base_url: str = "http://127.0.0.1:4010",
) -> Starlette:
    """The application. ``client`` delivers webhooks (a test passes one that stays in the process)."""
    settings = settings or Settings()
    clock = clock or Clock(settings.clock_file)
    folder = settings.data

    def build(state: State) -> World:
        courier = Courier(state, clock.now, client)
        return World(state, clock, courier, folder / "media" if folder else None)

    restored = store.load(folder) if folder else None
    world = build(restored or first_state(settings))
    if restored is None:
        furnish(world, settings.contacts, settings.messages)
    elif settings.callback:
        world.state.app.callback_url = settings.callback

    async def start(fresh: World) -> None:
        fresh.base_url = app.state.base_url
        app.state.world = fresh
        app.state.graph.world = fresh
        await fresh.courier.start()
        fresh.state.pending = []
        sending.resume(fresh)
        sync.resume(fresh)

    async def stop() -> None:
        old: World = app.state.world
        old.timers.clear()
        for task in list(old.tasks):
            task.cancel()
        await asyncio.gather(*old.tasks, return_exceptions=True)
        await old.courier.stop()

    async def reset(body: Json) -> None:
        await stop()
        old: World = app.state.world
        state = first_state(settings)
        state.app.callback_url = old.state.app.callback_url
        fresh = build(state)
        fresh.hub = old.hub
        contacts, messages = body.get("contacts", settings.contacts), body.get("messages", settings.messages)
        furnish(fresh, int(contacts), int(messages))
        app.state.graph.log.clear()
        await start(fresh)
        fresh.changed("reset")

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        await start(world)
        saving = asyncio.create_task(store.keep_saving(folder, lambda: app.state.world)) if folder else None
        try:
            yield
        finally:
            if saving is not None:
                saving.cancel()
                with suppress(asyncio.CancelledError):
                    await saving
            await stop()
            if folder is not None:
                store.save(folder, app.state.world.state)

    graph = Graph(world)
    app = Starlette(
        routes=[
            *_pages(),
            *control.routes,
            Route("/sdk.js", popup.sdk),
            Route("/signup", popup.popup),
            Route("/media-download/", download),
            Route("/{path:path}", graph.__call__, methods=["GET", "POST", "DELETE"]),
        ],
        lifespan=life,
        exception_handlers={Refused: control.refused},
    )
    app.state.world, app.state.graph, app.state.reset, app.state.base_url = world, graph, reset, base_url
    return app
