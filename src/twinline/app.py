"""The composition root's shape: what every feature is handed, and nothing it has to look up elsewhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from twinline.db import Database
from twinline.kit.clock import Clock, FileClock, SystemClock
from twinline.kit.files import Files
from twinline.kit.outside import Outside
from twinline.kit.vault import Vault
from twinline.meta import express
from twinline.meta.graph import Graph
from twinline.settings import Settings


@dataclass(frozen=True, slots=True)
class App:
    settings: Settings
    db: Database
    graph: Graph
    clock: Clock
    vault: Vault
    files: Files
    outside: Outside = field(default_factory=Outside)


@asynccontextmanager
async def open_app(settings: Settings, database_url: str, clock: Clock | None = None) -> AsyncIterator[App]:
    """Opens the pool and the HTTP clients, and closes them."""
    settings.data.mkdir(parents=True, exist_ok=True)
    keys = settings.vault_keys.get_secret_value() if settings.vault_keys else None
    if clock is None:
        clock = FileClock(settings.clock_file) if settings.clock_file else SystemClock()
    outside = Outside(settings.outside_allowed)
    db = Database(database_url, size=settings.db_pool)
    # Meta's 200 usually comes within a second; a minute covers slow media without hanging a lane for ever.
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(30, connect=10), transport=express.transport(connections=100)
    ) as http:
        await db.open()
        try:
            yield App(
                settings=settings,
                db=db,
                graph=Graph(http, base_url=settings.graph_url, version=settings.graph_version),
                clock=clock,
                vault=Vault.open(settings.data, keys),
                files=Files(settings.media_url or f"file://{settings.data.absolute()}/media"),
                outside=outside,
            )
        finally:
            await db.close()
            await outside.aclose()
