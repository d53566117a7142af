"""Webhooks out: envelope, signature, retries, order, and who gets what."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import replace

import anyio
import httpx
import pytest

from whatsapp_simulator.clock import Clock

pytestmark = pytest.mark.anyio
APP_TOKEN = "100000000000001|simulator-app-secret"


async def test_the_envelope_is_metas(sim):
    await sim.connect()
    await sim.flush()
    sim.platform.bodies.clear()
    await sim.write(text="¿Precio / horario? 🙂")
    await sim.flush()
    (raw,) = sim.platform.bodies  # the platform checked its signature over these bytes
    raw.decode("ascii")
    assert b"\\u00bfPrecio \\/ horario? \\ud83d\\ude42" in raw
    body = json.loads(raw)
    assert body["object"] == "whatsapp_business_account"
    (entry,) = body["entry"]
    assert entry["id"] == sim.phone.waba_id
    (change,) = entry["changes"]
    assert list(change) == ["value", "field"]
    value = change["value"]
    assert value["metadata"] == {"display_phone_number": sim.phone.number, "phone_number_id": sim.phone.id}
    nora = sim.world.customer("c1")
    assert value["contacts"] == [{"profile": {"name": nora.name}, "wa_id": nora.number, "user_id": nora.bsuid}]
    (message,) = value["messages"]
    assert message["timestamp"].isdigit()
    assert (message["from"], message["from_user_id"]) == (nora.number, nora.bsuid)


async def test_what_is_not_acknowledged_comes_again(sim):
    await sim.connect()
    await sim.flush()
    sim.platform.answers += [500, 429, 404]
    came = await sim.write()
    await sim.flush()
    assert [m["id"] for m in sim.platform.messages()] == [came["id"]]
    log = (await sim.get("/control/deliveries?bodies=1"))["deliveries"]
    assert [d["status"] for d in log[-4:]] == [500, 429, 404, 200]
    assert [d["attempt"] for d in log[-4:]] == [1, 2, 3, 4]


async def test_what_waits_leaves_in_batches_and_may_come_twice(sim):
    await sim.connect()
    await sim.flush()
    await sim.post("/control/delivery", paused=True, batch_max=50, duplicate=1.0)
    sim.platform.bodies.clear()
    sent = [(await sim.write(text=str(i)))["id"] for i in range(20)]
    await sim.post("/control/delivery", paused=False)
    await sim.flush()
    first, second = sim.platform.bodies
    assert first == second
    assert [m["id"] for m in sim.platform.messages()] == sent * 2


async def test_a_single_worker_waits_for_the_answer_before_it_posts_the_next(sim):
    await sim.connect()
    await sim.flush()
    await sim.post("/control/delivery", workers=1, batch_max=1)
    sent = [(await sim.write(text=str(i)))["id"] for i in range(12)]
    await sim.flush()
    assert [m["id"] for m in sim.platform.messages()] == sent
    await sim.post("/control/delivery", workers=4)
    await sim.write()
    await sim.flush()
    assert len(sim.platform.messages()) == 13


async def test_old_bodies_leave_the_log_before_their_lines(sim, monkeypatch):
    monkeypatch.setattr("whatsapp_simulator.delivery.BODIES_KEPT", 2000)
    await sim.connect()
    for _ in range(9):
        await sim.write()
        await sim.flush()
    lines = (await sim.get("/control/deliveries?bodies=1"))["deliveries"][-9:]
    kept = [line["body"] is not None for line in lines]
    assert kept == sorted(kept)
    assert 1 <= sum(kept) <= 4


async def test_fields_are_gated_by_the_app_and_the_waba(sim):
    await sim.connect()
    await sim.post("/control/app", fields=["account_update"])
    await sim.write()
    await sim.post("/control/app", fields=["messages"])
    heard = await sim.write()
    await sim.graph("DELETE", f"{sim.phone.waba_id}/subscribed_apps")
    await sim.write()
    await sim.flush()
    assert [m["id"] for m in sim.platform.messages()] == [heard["id"]]
    assert (await sim.graph("GET", f"{sim.phone.waba_id}/subscribed_apps"))["data"] == []


async def test_an_override_is_verified_and_gets_messages_but_not_account_events(sim):
    await sim.connect()
    await sim.flush()
    edge = f"{sim.phone.waba_id}/subscribed_apps"
    refused = await sim.error("POST", edge, override_callback_uri="http://platform.test/waba", verify_token="wrong")
    assert refused["code"] == 2200
    await sim.graph(
        "POST", edge, override_callback_uri="http://platform.test/waba", verify_token="simulator-verify-token"
    )
    sim.platform.paths.clear()
    await sim.write()
    await sim.flush()
    await sim.post(f"/control/phones/{sim.phone.id}/disconnect")
    await sim.flush()
    assert sim.platform.paths == ["/waba", "/hook"]


async def test_the_app_subscribes_with_its_own_token(sim):
    body = {
        "object": "whatsapp_business_account",
        "callback_url": "http://platform.test/other",
        "verify_token": "simulator-verify-token",
        "fields": "messages,history",
    }
    await sim.graph("POST", "100000000000001/subscriptions", token=APP_TOKEN, **body)
    shown = await sim.graph("GET", "100000000000001/subscriptions", token=APP_TOKEN)
    assert shown["data"][0]["callback_url"] == "http://platform.test/other"
    assert [f["name"] for f in shown["data"][0]["fields"]] == ["history", "messages"]
    await sim.connect()
    assert (await sim.error("GET", "100000000000001/subscriptions"))["code"] == 15


async def test_a_restart_forgets_nothing(start, settings, folder):
    settings = replace(settings, data=folder)
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings)
        await sim.connect()
        await sim.post("/control/delivery", paused=True)
        came = await sim.write(type="image")
        typed = await sim.post(f"/control/phones/{sim.phone.id}/send", customer="c2", text="hola")
        waba, token, before = sim.phone.waba_id, sim.token, await sim.get("/control/state")
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings)
        after = await sim.get("/control/state")
        assert after["phones"] == before["phones"]
        assert after["messages"] == before["messages"]
        await sim.post("/control/delivery", paused=False)
        await sim.flush()
        assert [m["id"] for m in sim.platform.messages()] == [came["id"]]
        assert [m["id"] for m in sim.platform.echoes()] == [typed["id"]]
        assert (await sim.graph("GET", waba, token=token))["id"] == waba
        newer = await sim.write(text="after the restart")
        assert newer["id"] != came["id"]


async def test_a_history_half_uploaded_goes_on_after_a_restart(start, settings, folder):
    settings = replace(settings, data=folder)
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings)
        await sim.connect()
        await sim.post(f"/control/phones/{sim.phone.id}/settings", sync={"per_chunk": 10})
        await sim.sync("history")
        phone = sim.phone
        while phone.syncs["history"].position < 5:
            await anyio.lowlevel.checkpoint()
        await sim.post(f"/control/phones/{phone.id}/app", open=False)
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings)
        await sim.post(f"/control/phones/{sim.phone.id}/app", open=True)
        await sim.flush()
    ids = [
        m["id"]
        for v in sim.platform.changes("history")
        for p in v.get("history", [])
        for t in p["threads"]
        for m in t["messages"]
    ]
    assert len(set(ids)) == 300


async def test_two_simulators_of_one_seed_are_alike_and_a_reset_is_the_beginning(start, settings):
    async with AsyncExitStack() as stack:
        one, two = await start(stack, settings), await start(stack, settings)
        assert (await one.get("/control/customers")) == (await two.get("/control/customers"))
        await one.write()
        fresh = await one.post("/control/reset")
        assert fresh["messages"] == 0
        assert (await one.get("/control/customers")) == (await two.get("/control/customers"))


def test_the_clock_is_shared_by_a_file(tmp_path):
    file = tmp_path / "clock"
    one, two = Clock(file, real=lambda: 1000.0), Clock(file, real=lambda: 1000.0)
    assert one.now() == 1000.0
    assert one.advance(3600) == 4600.0
    assert two.now() == 4600.0
    file.write_text("90000\n")
    assert one.now() == 91000.0
    file.write_text("not a number")
    assert one.now() == 91000.0
    file.unlink()
    assert two.now() == 1000.0


def test_the_command_says_where_it_listens_and_that_a_port_is_taken(folder):
    command = [sys.executable, "-m", "whatsapp_simulator.cli"]
    options = ["--port", "0", "--messages", "50", "--data", str(folder)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith("whatsapp-simulator listening on http://127.0.0.1:")
            address = line.split()[-1]
            made = httpx.post(f"{address}/control/phones", json={"connected": True}, trust_env=False).json()
            httpx.post(f"{address}/control/faults", json={"effect": "half_answer", "edge": "phone"}, trust_env=False)
            bearer = {"Authorization": f"Bearer {made['token']}"}
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(f"{address}/v26.0/{made['id']}", headers=bearer, trust_env=False)
            port = address.rpartition(":")[2]
            taken = subprocess.run([*command, "--port", port], capture_output=True, text=True, check=False)
            assert taken.returncode == 2
            assert "Choose another with --port" in taken.stderr
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(10)
    assert (folder / "simulator.json").exists()
