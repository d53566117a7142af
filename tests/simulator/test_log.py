"""The log of requests: exact, bounded, filtered, and readable to its end."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_simulator import log, store
from whatsapp_simulator.clock import Clock
from whatsapp_simulator.log import Filter, Log

pytestmark = pytest.mark.anyio
TEXT = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "hi"}}


async def test_a_line_tells_all_of_a_send(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        still.time = 1_800_000_000.123456
        await sim.error("POST", f"{sim.phone.id}/messages", to=sim.phone.number, **TEXT)
        (line,) = (await sim.get("/control/log?path=/messages"))["requests"]
        assert (line["at"], line["method"], line["to"]) == (1_800_000_000.123456, "POST", sim.phone.number)
        assert (line["status"], line["code"], line["answer"]["error"]["code"]) == (400, 131021, 131021)
        assert line["body"]["text"] == {"body": "hi"}


async def test_the_log_is_walked_in_pages_and_streamed_as_a_whole(sim):
    await sim.connect()
    await sim.post("/control/options", throughput=1000)
    for i in range(25):
        await sim.text(body=str(i))
    seen, since = [], 0
    while page := (await sim.get(f"/control/log?path=/messages&page=1&limit=10&since={since}"))["requests"]:
        seen += page
        since = page[-1]["seq"]
    assert [line["body"]["text"]["body"] for line in seen] == [str(i) for i in range(25)]
    assert (await sim.get(f"/control/log?page=1&since={since}"))["next"] == since
    newest = (await sim.get("/control/log?path=/messages&limit=3"))["requests"]
    assert [line["seq"] for line in newest] == [line["seq"] for line in seen[-3:]]
    streamed = (await sim.http.get("/control/log.ndjson?path=/messages")).text.splitlines()
    assert [json.loads(line) for line in streamed] == seen


async def test_it_is_filtered_by_what_became_of_a_request(sim):
    await sim.connect()
    await sim.text()
    await sim.text("5215550104477")
    await sim.error("POST", f"{sim.phone.id}/messages", to="1", **TEXT)
    at = sim.world.now()
    for query, count in (
        ("to=5215550104477", 1),
        ("code=131009", 1),
        ("status=200&path=/messages", 2),
        ("method=get", 1),
        (f"begin={at}", 0),
        (f"until={at}&path=/messages", 3),
        ("fault=slow", 0),
        ("spoiled=1", 0),
        ("refused=1", 1),
    ):
        assert len((await sim.get(f"/control/log?{query}"))["requests"]) == count, query
    assert "number" in (await sim.get("/control/log?code=many", 400))["error"]


async def test_secrets_are_not_in_it_and_what_is_long_is_not_kept(sim):
    await sim.connect()
    await sim.graph("POST", f"{sim.phone.id}/messages", to="14155550171", access_token="secret-1", **TEXT)
    await sim.http.post("/v26.0/oauth/access_token", data={"client_secret": "secret-2", "code": "secret-3"})
    await sim.error("POST", f"{sim.phone.id}/messages", to="1", **{**TEXT, "text": {"body": "x" * 20_000}})
    lines = (await sim.http.get("/control/log.ndjson")).text.splitlines()
    asked = [json.dumps({**json.loads(line), "answer": None}) for line in lines]
    assert not any("secret-" in line for line in asked)
    assert "too many to keep" in asked[-1]


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_it_never_holds_more_than_it_may(sizes):
    here = Log()
    for size in sizes:
        seen = here.open(0.0, "GET", "/", {})
        seen.body = b"x" * size
        here.close(seen, lines=20, room=20_000)
    kept = list(here.after(0, Filter()))
    assert len(kept) <= 20
    assert sum(len(seen.body) + log.OVERHEAD for seen in kept) <= 20_000
    assert [seen.seq for seen in kept] == list(range(len(sizes) - len(kept) + 1, len(sizes) + 1))


async def test_a_snapshot_in_slices_forgets_no_message(start, settings, folder, monkeypatch):
    monkeypatch.setattr(store, "SLICE", 3)
    settings = replace(settings, data=folder)
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings)
        await sim.connect()
        await sim.post("/control/options", throughput=1000)
        wamids = [(await sim.write())["id"], *[await sim.text() for _ in range(10)]]
        await sim.flush()
    assert len((folder / store.NAME).read_bytes().splitlines()) == 1 + 4
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings)
        assert list(sim.world.state.messages) == wamids
        assert {m.status for m in sim.world.state.messages.values()} == {"delivered"}
