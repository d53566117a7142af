"""Contacts and history, once each, within a day."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as thorough
from hypothesis import strategies as st

from whatsapp_simulator.history import DAY, Past, chunks, phase_of
from whatsapp_simulator.state import Customer, HistoryPlan

pytestmark = pytest.mark.anyio


async def test_each_kind_is_synchronised_once(sim):
    await sim.connect()
    assert await sim.sync("smb_app_state_sync")
    assert await sim.sync("history")
    path, body = f"{sim.phone.id}/smb_app_data", {"messaging_product": "whatsapp", "sync_type": "history"}
    assert (await sim.error("POST", path, **body))["code"] == 2593107
    await sim.flush()
    contacts = [c for v in sim.platform.changes("smb_app_state_sync") for c in v["state_sync"]]
    assert len(contacts) == len(sim.phone.book)
    assert all(c["action"] == "add" and c["contact"]["user_id"] for c in contacts)


async def test_after_a_day_it_is_too_late(sim):
    await sim.connect()
    await sim.post("/control/clock", advance=24 * 3600 + 1)
    path, body = f"{sim.phone.id}/smb_app_data", {"messaging_product": "whatsapp", "sync_type": "history"}
    late = await sim.error("POST", path, **body)
    assert late["code"] == 2593108
    assert late["message"].startswith("(#2593108) ")
    assert late["fbtrace_id"]


async def test_asking_before_subscribing_burns_the_attempt(sim):
    session = await sim.sign_up()
    sim.token = (await sim.exchange(session["code"])).json()["access_token"]
    assert await sim.sync("history")
    await sim.graph("POST", f"{sim.phone.waba_id}/subscribed_apps")
    path, body = f"{sim.phone.id}/smb_app_data", {"messaging_product": "whatsapp", "sync_type": "history"}
    assert (await sim.error("POST", path, **body))["code"] == 2593107
    await sim.flush()
    assert sim.platform.changes("history") == []


async def test_a_history_not_shared_comes_as_an_error_inside_a_webhook(sim):
    await sim.connect(share_history=False)
    await sim.sync("history")
    await sim.flush()
    (value,) = sim.platform.changes("history")
    assert value["history"][0]["errors"][0]["code"] == 2593109


async def test_a_new_signup_allows_another_synchronisation(sim):
    await sim.connect()
    await sim.sync("history")
    await sim.flush()
    await sim.post(f"/control/phones/{sim.phone.id}/disconnect")
    await sim.connect()
    assert await sim.sync("history")


async def test_the_whole_past_arrives_with_its_media_following(sim):
    await sim.connect()
    await sim.post("/control/delivery", shuffle=True, duplicate=0.3)
    options = {"per_chunk": 40, "shuffle": True, "followups": "mixed"}
    await sim.post(f"/control/phones/{sim.phone.id}/settings", sync=options)
    await sim.sync("history")
    await sim.flush()
    ids, placeholders, followed, progress = set(), set(), set(), 0
    for value in sim.platform.changes("history"):
        for part in value.get("history", []):
            progress = max(progress, part["metadata"]["progress"])
            for thread in part["threads"]:
                assert thread["context"]["user_id"]
                for message in thread["messages"]:
                    ids.add(message["id"])
                    assert message["history_context"]["status"].isupper()
                    if message["type"] == "media_placeholder":
                        placeholders.add(message["id"])
        for message in value.get("messages", []) + value.get("message_echoes", []):
            followed.add(message["id"])
            content = message[message["type"]]
            shown = await sim.graph("GET", content["id"])
            data = await sim.http.get(shown["url"], headers={"Authorization": f"Bearer {sim.token}"})
            assert len(data.content) == shown["file_size"]
    assert len(ids) == 300
    assert progress == 100
    assert followed
    assert followed < placeholders


async def test_what_was_said_before_connecting_is_history_and_what_comes_after_is_live(sim):
    early = await sim.write(text="before")
    typed = await sim.post(f"/control/phones/{sim.phone.id}/send", customer="c1", text="typed before")
    await sim.connect()
    late = await sim.write(text="after")
    await sim.sync("history")
    await sim.flush()
    said = [
        m["id"]
        for v in sim.platform.changes("history")
        for part in v.get("history", [])
        for thread in part["threads"]
        for m in thread["messages"]
    ]
    assert early["id"] in said
    assert typed["id"] in said
    assert late["id"] not in said
    assert [m["id"] for m in sim.platform.messages()] == [late["id"]]


async def test_a_closed_app_stalls_the_upload(sim):
    await sim.connect()
    await sim.post(f"/control/phones/{sim.phone.id}/app", open=False)
    await sim.sync("history")
    await sim.flush()  # what is stalled isn't pending
    assert sim.platform.changes("history") == []
    await sim.post(f"/control/phones/{sim.phone.id}/app", open=True)
    await sim.flush()
    assert sim.platform.changes("history")


async def test_a_hidden_number_shows_nowhere_in_history(sim):
    await sim.connect()
    await sim.sync("history")
    await sim.flush()
    hidden = sim.world.customer("c3")
    threads = [
        t
        for v in sim.platform.changes("history")
        for p in v.get("history", [])
        for t in p["threads"]
        if t["context"]["user_id"] == hidden.bsuid
    ]
    assert threads
    for thread in threads:
        assert "id" not in thread
        assert "wa_id" not in thread["context"]
        assert thread["context"]["username"] == "beto_amaral"
        assert f'"{hidden.number}"' not in json.dumps(thread)
        assert all("from" in m or m["from_user_id"] == hidden.bsuid for m in thread["messages"])


async def test_an_empty_phone_reports_a_whole_hundred(start, settings):
    async with AsyncExitStack() as stack:
        sim = await start(stack, replace(settings, messages=0))
        await sim.connect()
        await sim.sync("history")
        await sim.flush()
        (value,) = sim.platform.changes("history")
        assert value["history"] == [{"metadata": {"phase": 0, "chunk_order": 1, "progress": 100}, "threads": []}]


# -- the laws of the chunks ---------------------------------------------------------------------------------------


def past_of(messages: int, people: int, seed: int, *, edits: bool = False) -> Past:
    who = {f"c{i}": Customer(f"c{i}", "Inês Leitão", f"35191{i:07}", f"PT.{i}", "PT", "pt") for i in range(people)}
    numbers = tuple(c.number for c in who.values())
    return Past(HistoryPlan(seed, messages, 1.79e9, tuple(who), numbers, edits=edits), "1", who)


@thorough(max_examples=40, deadline=None)
@given(
    messages=st.integers(0, 700),
    people=st.integers(1, 30),
    seed=st.integers(0, 9),
    size=st.integers(1, 200),
    later=st.sampled_from([0, 0.5, 3, 91, 200]),
    edits=st.booleans(),
)
def test_every_message_young_enough_is_in_exactly_one_chunk(messages, people, seed, size, later, edits):
    past, onboarded_at = past_of(messages, people, seed, edits=edits), 1.79e9 + later * DAY
    made = list(chunks(past, {}, onboarded_at, size))
    ids = [m.id for c in made for m in c.messages]
    assert len(ids) == len(set(ids))
    everything = [m for who in past.plan.customers for m in past.thread(who)]
    assert len(everything) == messages
    assert set(ids) == {m.id for m in everything if phase_of(m.at, onboarded_at) is not None}
    assert all(phase_of(m.at, onboarded_at) == c.phase for c in made for m in c.messages)
    assert all(c.size <= size for c in made)
    assert [c.progress for c in made] == sorted(c.progress for c in made)
    assert [c.progress == 100 for c in made] == [False] * (len(made) - 1) + [True]
    for phase in range(3):
        orders = [c.order for c in made if c.phase == phase]
        assert orders == list(range(1, len(orders) + 1)) or not ids


def test_the_same_seed_makes_the_same_past():
    one, two = past_of(500, 5, 3), past_of(500, 5, 3)
    assert [one.thread(c) for c in one.plan.customers] == [two.thread(c) for c in two.plan.customers]
    assert one.thread("c0") != past_of(500, 5, 4).thread("c0")
