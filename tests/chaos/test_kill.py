"""A web process is killed in the middle of its work, again and again; the sender repeats what wasn't answered 200.

That is Meta's promise and ours: what was answered is in the rows, what wasn't comes again, and coming again does
nothing twice.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import add_number, exported, fold_behind, value
from tests.fixtures.wire import T0, Human

from twinline.app import App
from twinline.meta import signature

pytestmark = pytest.mark.anyio

SECRET = "app secret"
PEOPLE = [Human(f"35191000{n:04d}", f"PT.{n}", f"Person {n}") for n in range(12)]
MESSAGES = 300
KILLS = 3
SENDERS = 24


class Web:
    """The hook in a process of its own, killed without warning and started anew.

    The listening socket is ours and outlives the process, so who connects meanwhile waits instead of being refused.
    """

    def __init__(self, database_url: str, data: Path) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._process: asyncio.subprocess.Process | None = None
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "TWINLINE_DATA": str(data),
            "TWINLINE_APP_SECRET": SECRET,
            "LISTENING": str(self._listening.fileno()),
        }

    async def start(self) -> None:
        script = Path(__file__).with_name("serve_hook.py")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), env=self._environment, pass_fds=[self._listening.fileno()]
        )

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def close(self) -> None:
        await self.kill()
        self._listening.close()


@asynccontextmanager
async def running(web: Web) -> AsyncIterator[None]:
    await web.start()
    try:
        yield
    finally:
        await web.close()


def said(n: int) -> list[bytes]:
    """The n-th message and what belongs to it: an echo that answers it, the echo's status, now and then an edit."""
    person = PEOPLE[n % len(PEOPLE)]
    parts = [
        wire.inbound(person, wire.text(f"wamid.{n}", T0 + n, f"question {n}")),
        wire.echoes(person, wire.text(f"wamid.a{n}", T0 + n, f"answer {n}")),
        wire.statuses(wire.status(person, f"wamid.a{n}", "delivered", T0 + n), human=person),
    ]
    if n % 10 == 0:
        parts.append(
            wire.inbound(person, wire.edit_of(f"wamid.e{n}", T0 + n, f"wamid.{n}", "text", {"body": "better"}))
        )
    if n % 100 == 0:
        lines = [wire.theirs(person, wire.text(f"wamid.h{n}.{k}", T0 - 9999 + k, "long ago")) for k in range(300)]
        parts.append(wire.chunk(0, n // 100, 10, wire.thread(person, *lines)))
    return [wire.body(part) for part in parts]


async def test_killing_the_web_process_under_load_loses_nothing_and_does_nothing_twice(
    app: App, tmp_path: Path
) -> None:
    number = await add_number(app)
    bodies = [body for n in range(MESSAGES) for body in said(n)]
    Random(1).shuffle(bodies)
    todo = list(bodies)
    answered = unanswered = 0
    milestones = [asyncio.Event() for _ in range(KILLS)]
    web = Web(app.db.url, tmp_path)

    async def sender(client: httpx.AsyncClient) -> None:
        nonlocal answered, unanswered
        while todo:
            body = todo.pop()
            try:
                headers = {signature.HEADER: signature.sign(SECRET, body)}
                answer = await client.post("/hook/meta", content=body, headers=headers)
                assert answer.status_code == 200
            except httpx.TransportError:
                unanswered += 1
                todo.insert(0, body)
                continue
            answered += 1
            for kill, milestone in enumerate(milestones, 1):
                if answered * (KILLS + 1) >= kill * len(bodies):
                    milestone.set()

    async def killer() -> None:
        for milestone in milestones:
            await milestone.wait()
            await web.kill()
            await web.start()

    async with running(web), httpx.AsyncClient(base_url=web.address, timeout=60) as client:
        await asyncio.gather(killer(), *(sender(client) for _ in range(SENDERS)))
    assert answered == len(bodies)
    assert unanswered >= KILLS
    await fold_behind(app)

    found = await exported(app, number)
    lines = [json.loads(line) for line in found]
    messages = [line["wamid"] for line in lines if line["kind"] == "message"]
    expected = {f"wamid.{n}" for n in range(MESSAGES)} | {f"wamid.a{n}" for n in range(MESSAGES)}
    expected |= {f"wamid.h{n}.{k}" for n in range(0, MESSAGES, 100) for k in range(300)}
    assert sorted(messages) == sorted(expected)
    assert all(line["type"] == "text" for line in lines if line["kind"] == "message")
    assert len([line for line in lines if line["kind"] == "status"]) == MESSAGES
    assert len([line for line in lines if line["kind"] == "edit"]) == MESSAGES // 10
    assert len([line for line in lines if line["kind"] == "contact"]) == len(PEOPLE)
    assert await value(app, "SELECT count(*) FROM webhooks WHERE state <> 'folded'") == 0
    assert await value(app, "SELECT max(seq) - count(*) FROM events") == 0
    assert await value(app, "SELECT count(*) FROM webhooks") == len(bodies)
    received = await value(
        app, "SELECT count(*) FROM events, jsonb_array_elements(body -> 'messages') m WHERE m ->> 2 = 'received'"
    )
    assert received == MESSAGES
