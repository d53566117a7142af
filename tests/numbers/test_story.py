"""The whole way against the simulator: a process of its own, real HTTP both ways, the real queue."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from twinline import worker
from twinline.app import App
from twinline.kit.clock import FileClock
from twinline.meta.graph import Graph
from twinline.meta.signup import login_options
from twinline.numbers import doctor, queries, sync
from twinline.numbers.doctor import Level
from twinline.rules.sync import SyncState
from twinline.web.app import build

from .conftest import Office, open_office

pytestmark = pytest.mark.anyio

CONFIG = "200000000000001"


@pytest.fixture
def clock_file(tmp_path: Path) -> Path:
    """Both sides move by it."""
    return tmp_path / "clock"


@pytest.fixture
def simulator(clock_file: Path) -> Iterator[str]:
    """The simulator's address."""
    command = [sys.executable, "-m", "whatsapp_simulator.cli", "--port", "0", "--clock-file", str(clock_file)]
    command += ["--messages", "300", "--contacts", "12"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listening on" in line, line
        yield line.split()[-1]
        process.terminate()


@dataclass
class World:
    """Both sides: our office, and the hands on the simulated phone."""

    office: Office
    control: httpx.AsyncClient
    phone: dict[str, Any]

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await (self.control.get(path) if body is None else self.control.post(path, json=body))
        answer.raise_for_status()
        return answer.json()

    async def signup(self, *, share_history: bool = True) -> tuple[str, dict[str, Any]]:
        """The owner goes through the popup and confirms on the phone: the code and the window message."""
        session = await self.ask(
            "/signup/sessions",
            {"config_id": CONFIG, "extras": login_options(CONFIG)["extras"], "phone_number": self.phone["number"]},
        )
        done = await self.ask(
            f"/control/phones/{self.phone['id']}/confirm",
            {"code": session["verification_code"], "share_history": share_history, "share_contacts": True},
        )
        return done["code"], done["window_message"]

    async def connect(self, *, share_history: bool = True) -> int:
        """From consent to everything that follows by itself; the number's id."""
        onboarding_id = await self.office.begin()
        code, message = await self.signup(share_history=share_history)
        assert await self.office.finish(onboarding_id, code, message) is None
        await self.settle()
        onboarding = await self.office.onboarding(onboarding_id)
        assert (onboarding.step, onboarding.problem) == ("done", None)
        return onboarding.number_id or 0

    async def account(self, number_id: int) -> sync.Account:
        number = await self.office.number(number_id)
        async with self.office.app.db.transaction() as tx:
            return await sync.account(tx, number, self.office.app.clock.now())

    async def on_phone(self) -> dict[str, Any]:
        shown: dict[str, Any] = await self.ask(f"/control/phones/{self.phone['id']}")
        return shown

    async def later(self, **delta: float) -> None:
        """Moves the clocks of both sides."""
        await self.ask("/control/clock", {"advance": timedelta(**delta).total_seconds()})

    async def settle(self) -> None:
        """Until nothing is on its way: jobs here, webhooks there, and what they made necessary."""
        for _ in range(3):
            await worker.run_waiting(self.office.app, "sync", "history")
            flushed = await self.ask("/control/delivery/flush", {})
            assert flushed["drained"], flushed


@pytest.fixture
async def world(app: App, simulator: str, clock_file: Path) -> AsyncIterator[World]:
    async with httpx.AsyncClient() as graph, httpx.AsyncClient(base_url=simulator, timeout=60) as control:
        listener = socket.create_server(("127.0.0.1", 0))
        settings = app.settings.model_copy(
            update={
                "graph_url": simulator,
                "port": listener.getsockname()[1],
                "app_id": "100000000000001",
                "app_secret": SecretStr("simulator-app-secret"),
                "verify_token": SecretStr("simulator-verify-token"),
                "signup_config_id": CONFIG,
            }
        )
        app = replace(app, settings=settings, graph=Graph(graph, simulator), clock=FileClock(clock_file))
        async with _serving(app, listener):
            await control.post("/control/app", json={"callback_url": f"{settings.address}/hook/meta"})
            phone = (await control.get("/control/phones")).json()["phones"][0]
            office = await open_office(app, app.clock, "ada@example.com")
            yield World(office, control, phone)


@asynccontextmanager
async def _serving(app: App, listener: Any) -> AsyncIterator[None]:
    server = uvicorn.Server(uvicorn.Config(build(app), log_level="warning", access_log=False))
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])
        while not server.started:
            await anyio.sleep(0.01)
        yield
        server.should_exit = True


async def test_a_number_is_connected_and_its_past_arrives_whole(world: World) -> None:
    number_id = await world.connect()
    phone = await world.on_phone()
    assert (phone["state"], phone["subscribed"], phone["register_calls"]) == ("connected", True, 0)
    assert (await world.office.number(number_id)).state == "connected"
    account = await world.account(number_id)
    assert account.history.state is SyncState.COMPLETE
    assert account.counts.messages == phone["history_messages"] == 300
    assert account.counts.contacts == phone["contacts"]
    assert not any(part.holes for part in account.history.phases)
    assert account.requests["contacts"].request_id
    async with world.office.app.db.transaction() as tx:
        stored = await tx.value("SELECT count(*) FROM messages WHERE number_id = %s AND type IS NOT NULL", (number_id,))
    assert stored >= 300


async def test_a_past_that_isnt_shared_is_a_normal_outcome(world: World) -> None:
    number_id = await world.connect(share_history=False)
    assert (await world.office.number(number_id)).state == "connected"
    account = await world.account(number_id)
    assert account.history.state is SyncState.DECLINED
    assert account.counts.contacts > 0
    assert not account.may_ask("history")


async def test_an_answer_that_got_lost_is_settled_by_what_arrives(world: World) -> None:
    await world.ask("/control/faults", {"effect": "no_answer", "edge": "smb_app_data", "times": 2, "seconds": 0})
    account = await world.account(await world.connect())
    assert account.requests["history"].answered_at is None
    assert account.history.state is SyncState.COMPLETE
    log = (await world.ask("/control/log?limit=500"))["requests"]
    assert len([line for line in log if line["path"].endswith("/smb_app_data")]) == 2


async def test_disconnected_on_the_phone_and_connected_again(world: World) -> None:
    number_id = await world.connect()
    await world.later(days=20)
    await world.ask(f"/control/phones/{world.phone['id']}/disconnect", {"reason": "inactivity"})
    await world.settle()
    number = await world.office.number(number_id)
    assert (number.state, number.state_reason) == ("disconnected", "PRIMARY_INACTIVITY")
    await world.later(days=1)
    assert await world.connect() == number_id
    assert (await world.office.number(number_id)).state == "connected"
    assert (await world.account(number_id)).history.state is SyncState.COMPLETE


async def test_another_phone_interrupts_and_whatsapp_reconnects(world: World) -> None:
    number_id = await world.connect()
    await world.later(hours=2)
    await world.ask(f"/control/phones/{world.phone['id']}/offboard", {})
    await world.settle()
    assert (await world.office.number(number_id)).state == "offboarded"
    await world.later(minutes=5)
    await world.ask(f"/control/phones/{world.phone['id']}/reconnect", {})
    await world.settle()
    assert (await world.office.number(number_id)).state == "connected"


async def test_the_doctor_finds_nothing_to_mend(world: World) -> None:
    await world.connect()
    findings = await doctor.run(world.office.app)
    assert {finding.title for finding in findings if finding.level is not Level.OK} == {"Public address"}
    async with world.office.app.db.transaction() as tx:
        assert await queries.waiting_webhooks(tx) == {}
