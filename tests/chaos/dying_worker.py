"""A worker that kills itself without warning at one step of sending, or of an automation: the process that
``test_sending`` and ``test_tending`` start.

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
from twinline.automations import outside, tending
from twinline.automations import service as automations
from twinline.db.engine import PipelinedTx
from twinline.meta.graph import Graph
from twinline.sending import lane, queries, service, uploads
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
        # What is asked every few minutes, of accounts and limits, is none of the steps.
        what = {"media": "upload", "messages": "call"}.get(request.url.path.rpartition("/")[2], "question")
        passing(f"before the {what}")
        answer = await self._inner.handle_async_request(request)
        passing(f"after the {what}")
        return answer


async def send(self: PipelinedTx, sql: str, params: Any = ()) -> None:
    await self.execute(sql, params)
    if sql == queries.MARK_SENDING:
        passing("marked, not committed")


PipelinedTx.send = send  # type: ignore[method-assign]
lane.Lanes.drain = around(lane.Lanes.drain, "job taken", "drained")  # type: ignore[method-assign,assignment]
lane.plan = around(lane.plan, "before a plan", "planned")
service.settle = around(service.settle, "answered", "settled, not committed")  # type: ignore[assignment]
uploads.remember = around(uploads.remember, "file is up", "upload noted, not committed")
tending.look = around(tending.look, "a look begins", "looked")  # type: ignore[assignment]
tending._Desk.write = around(  # type: ignore[method-assign]
    tending._Desk.write, "decided, nothing written", "all written, not committed"
)
tending._Desk._submit = around(  # type: ignore[method-assign]
    tending._Desk._submit, "nothing said yet", "said, and nothing else"
)
outside.request = around(outside.request, "about to ask outside", "asked outside")  # type: ignore[assignment]
automations.came = around(automations.came, "heard from outside", "went on")  # type: ignore[assignment]
outside.done = around(outside.done, "the errand is over", "forgotten, not committed")  # type: ignore[assignment]
for step, before, after in (
    ("_settle", "about to settle", "settled"),
    ("_halt", "refused for speed", "halted"),
    ("_halt_pair", "one too many for them", "pair halted"),
    ("_refused", "refused", "postponed"),
):
    setattr(lane._Drain, step, around(getattr(lane._Drain, step), before, after))


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=DyingTransport(), timeout=float(os.environ.get("PATIENCE", "30")))


async def main() -> None:
    worker.HEARTBEAT, worker.STALLED_AFTER, worker.RECOVER_EVERY = 0.3, 1.5, 0.3
    settings = Settings()
    assert settings.database_url
    async with open_app(settings, settings.database_url) as app, client() as http:
        await worker.run(replace(app, graph=Graph(http, settings.graph_url)))


if __name__ == "__main__":
    asyncio.run(main())
