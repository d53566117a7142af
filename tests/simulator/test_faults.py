"""What goes wrong on purpose: for whom, how often, by which lot, and how an answer is spoiled."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_simulator.app import Settings, create
from whatsapp_simulator.clock import Clock
from whatsapp_simulator.events import Hub
from whatsapp_simulator.faults import BEFORE, Faults, Occasion
from whatsapp_simulator.log import Filter
from whatsapp_simulator.server import Protocol
from whatsapp_simulator.state import App, Fault, State

pytestmark = pytest.mark.anyio
TEXT = {"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": "hi"}}


IMPATIENT = httpx.Timeout(30, read=0.1)


def state(*faults: Fault, seed: int = 1) -> State:
    return State(App("1", "s", "v", "c", "b"), seed, faults=list(faults))


def call(to: str = "1", **more: Any) -> Occasion:
    return Occasion(more.pop("at", 0.0), more.pop("edge", "messages"), to=(to,), **more)


# -- which calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meant", "hit", "missed"),
    [
        ({"to": "1"}, call("1"), call("2")),
        ({"phone": "7"}, call(phone="7"), call(phone="8")),
        ({"template": "sale"}, call(template="sale"), call()),
        ({"edge": "media"}, call(edge="media"), call()),
        ({"edge": "any", "path": "/99/"}, call(edge="waba", path="/v26.0/99/x"), call(path="/v26.0/98/x")),
        ({"since": 10.0, "until": 20.0}, call(at=10.0), call(at=20.0)),
    ],
)
def test_a_fault_strikes_what_it_is_meant_for(meant, hit, missed):
    faults = Faults(state(Fault("f", "error", times=None, **meant)))
    assert faults.strike(BEFORE, missed) is None
    assert faults.strike(BEFORE, hit) is not None
    assert faults.strike(("fail",), hit) is None


def test_a_fault_lets_some_pass_strikes_as_often_as_it_may_and_is_gone():
    here = state(Fault("f", "error", skip=2, times=3))
    faults = Faults(here)
    assert [faults.strike(BEFORE, call()) is not None for _ in range(6)] == [False, False, True, True, True, False]
    assert here.faults == []


PEOPLE = [str(i) for i in range(40)]


@given(st.permutations(PEOPLE * 3))
def test_the_same_calls_of_each_recipient_are_struck_in_whatever_order_they_come(order):
    def struck(who: list[str]) -> dict[str, list[bool]]:
        faults, seen = Faults(state(Fault("f", "fail", times=None, probability=0.3))), {one: [] for one in PEOPLE}
        for one in who:
            seen[one].append(faults.strike(("fail",), call(one)) is not None)
        return seen

    assert struck(order) == struck(sorted(order))


def test_a_rate_is_kept_and_another_seed_draws_others():
    def struck(seed: int) -> list[bool]:
        faults = Faults(state(Fault("f", "fail", times=None, probability=0.1), seed=seed))
        return [faults.strike(("fail",), call(str(i))) is not None for i in range(5000)]

    first = struck(1)
    assert 400 < sum(first) < 600
    assert first == struck(1) != struck(2)


async def test_a_fault_that_makes_no_sense_is_refused_with_the_reason(sim):
    for wrong, word in (
        ({"effect": "explode"}, "effect"),
        ({"code": 5}, "catalogue"),
        ({"probability": 5}, "share"),
        ({"times": 0}, "times"),
        ({"effect": "http", "status": 200}, "status"),
        ({"recipient": "1"}, "recipient"),
    ):
        answer = await sim.http.post("/control/faults", json=wrong)
        assert answer.status_code == 400
        assert word in answer.json()["error"]


# -- what becomes of them --------------------------------------------------------------------------------------------


async def test_by_code_recipient_and_for_a_while(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        await sim.write()
        await sim.post("/control/faults", code=131016, to="+1 415-555-0171", times=None, lasts=60, details="Not now.")
        refused = await sim.error("POST", f"{sim.phone.id}/messages", **TEXT)
        assert (refused["code"], refused["error_data"]["details"]) == (131016, "Not now.")
        await sim.text("5215550104477")
        still.time += 60
        await sim.text()
        assert (await sim.get("/control/faults"))["faults"][0]["struck"] == 1


async def test_media_may_fail_and_a_management_call_too(sim):
    await sim.connect()
    await sim.http.post("/control/faults", json={"code": 4, "path": f"/{sim.phone.waba_id}/phone_numbers"})
    assert (await sim.error("GET", f"{sim.phone.waba_id}/phone_numbers"))["code"] == 4
    await sim.graph("GET", f"{sim.phone.waba_id}/phone_numbers")
    await sim.http.post("/control/faults", json={"effect": "http", "status": 502, "edge": "media"})
    bearer = {"Authorization": f"Bearer {sim.token}"}
    answer = await sim.http.post(f"/v26.0/{sim.phone.id}/media", headers=bearer, data={"messaging_product": "whatsapp"})
    assert (answer.status_code, answer.content) == (502, b"")


async def test_a_failure_by_chance_takes_the_same_people_each_time(sim):
    await sim.connect()
    await sim.post("/control/options", throughput=1000)
    people = (await sim.post("/control/customers", count=60))["customers"]
    for person in people:
        await sim.write(person["id"])
    await sim.post("/control/faults", effect="fail", code=131049, times=None, probability=0.2, seed=9)
    failed = []
    for _ in range(2):
        wamids = [await sim.text(person["number"]) for person in people]
        await sim.flush()
        failed.append([sim.platform.statuses(wamid)[0]["status"] == "failed" for wamid in wamids])
        await sim.ask("DELETE", "/control/faults")
        await sim.post("/control/faults", effect="fail", code=131049, times=None, probability=0.2, seed=9)
    assert failed[0] == failed[1]
    assert 3 <= sum(failed[0]) <= 25


# -- at the other end of a wire --------------------------------------------------------------------------------------


@pytest.fixture
async def wire() -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """A simulator with a port, a client that holds a token, and its world."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create(Settings(contacts=4, messages=0), base_url=address)
    server = uvicorn.Server(uvicorn.Config(app, http=Protocol, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        made = (await client.post("/control/phones", json={"connected": True})).json()
        client.headers["authorization"] = f"Bearer {made['token']}"
        client.base_url = httpx.URL(f"{address}/v26.0/{made['id']}/")
        yield client, app.state.simulator
    server.should_exit = True
    await serving
    listener.close()


async def _armed(client: httpx.AsyncClient, **fault: Any) -> None:
    root = str(client.base_url).partition("/v26.0")[0]
    (await client.post(f"{root}/control/faults", json=fault)).raise_for_status()


@pytest.mark.parametrize(
    ("fault", "done"),
    [
        ({"effect": "no_answer", "seconds": 0}, True),
        ({"effect": "half_answer"}, True),
        ({"effect": "lost", "seconds": 0}, False),
    ],
)
async def test_the_connection_is_cut_with_the_message_sent_or_not(wire, fault, done):
    client, simulator = wire
    await _armed(client, **fault)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await client.post("messages", json=TEXT)
    assert len(simulator.world.state.messages) == done
    (line,) = simulator.graph.log.newest(0, Filter(), 1)
    assert (line.fault, line.status) == (fault["effect"], 0)
    assert (await client.post("messages", json=TEXT)).status_code == 200


@pytest.mark.parametrize("done", [True, False])
async def test_a_bare_503_says_nothing_of_whether_it_was_sent(wire, done):
    client, simulator = wire
    await _armed(client, effect="http", status=503, done=done)
    answer = await client.post("messages", json=TEXT)
    assert (answer.status_code, answer.content) == (503, b"")
    assert len(simulator.world.state.messages) == done


async def test_a_client_that_waits_too_little_never_learns_that_it_was_sent(wire):
    client, simulator = wire
    await _armed(client, effect="slow", seconds=30)
    heard = asyncio.create_task(_message(simulator.world.hub))
    with pytest.raises(httpx.ReadTimeout):
        await client.post("messages", json=TEXT, timeout=IMPATIENT)
    await heard
    assert len(simulator.world.state.messages) == 1


async def test_a_late_message_is_sent_after_its_client_has_gone(wire):
    client, simulator = wire
    await _armed(client, effect="late", seconds=1)
    heard = asyncio.create_task(_message(simulator.world.hub))
    with pytest.raises(httpx.ReadTimeout):
        await client.post("messages", json=TEXT, timeout=IMPATIENT)
    assert simulator.world.state.messages == {}
    await heard
    assert len(simulator.world.state.messages) == 1


async def _message(hub: Hub) -> None:
    async for event in hub.listen():
        if event["kind"] == "message":
            return


async def test_requests_are_logged_by_when_their_first_byte_came(wire):
    client, simulator = wire
    before = simulator.world.now()
    await client.post("messages", json=TEXT)
    (line,) = simulator.graph.log.newest(0, Filter(), 1)
    (instant,) = simulator.world.timeline(next(reversed(simulator.world.state.phones.values()))).between()
    assert before <= line.at <= simulator.world.now()
    assert instant.us == round(line.at * 1_000_000)
