"""A worker that kills itself without warning at one step of sending: the process that ``test_sending`` starts.

``DIE_AT`` names the step and which time it dies there: ``after the call:3``. Without it the worker lives until it is
killed from outside.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Any

import httpx

from twinline import worker
from twinline.app import open_app
from twinline.db import Tx
from twinline.meta.graph import Graph
from twinline.sending import lane, queries, service
from twinline.settings import Settings

STEP, _, TIME = os.environ.get("DIE_AT", "").partition(":")
passed = count(1)


def passing(step: str) -> None:
    if STEP and step == STEP and next(passed) == int(TIME):
        os.kill(os.getpid(), signal.SIGKILL)


def around(function: Callable[..., Awaitable[Any]], before: str, after: str) -> Callable[..., Awaitable[Any]]:
    async def stepped(*args: Any, **options: Any) -> Any:
        passing(before)
        answer = await function(*args, **options)
        passing(after)
        return answer

    return stepped


class DyingTransport(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        what = "upload" if request.url.path.endswith("/media") else "call"
        passing(f"before the {what}")
        answer = await self._inner.handle_async_request(request)
        passing(f"after the {what}")
        return answer


async def execute(self: Tx, sql: str, params: Any = ()) -> int:
    touched = await tx_execute(self, sql, params)
    if sql == queries.MARK_SENDING:
        passing("marked, not committed")
    if sql == queries.REMEMBER_UPLOAD:
        passing("upload noted, not committed")
    return touched


tx_execute = Tx.execute
Tx.execute = execute  # type: ignore[method-assign]
lane.drain = around(lane.drain, "job taken", "drained")
lane.plan = around(lane.plan, "before a plan", "planned")
service.settle = around(service.settle, "answered", "settled, not committed")  # type: ignore[assignment]
lane._Drain._settle = around(lane._Drain._settle, "about to settle", "settled")  # type: ignore[method-assign,assignment]
lane._Drain._halt = around(lane._Drain._halt, "refused for speed", "halted")  # type: ignore[method-assign,assignment]
lane._Drain._refused = around(lane._Drain._refused, "refused", "postponed")  # type: ignore[method-assign,assignment]


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=DyingTransport(), timeout=30)


async def main() -> None:
    worker.HEARTBEAT, worker.STALLED_AFTER, worker.RECOVER_EVERY = 0.3, 1.5, 0.3
    settings = Settings()
    assert settings.database_url
    async with open_app(settings, settings.database_url) as app, client() as http:
        await worker.run(replace(app, graph=Graph(http, settings.graph_url)))


if __name__ == "__main__":
    asyncio.run(main())
