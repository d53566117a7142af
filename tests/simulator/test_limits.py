"""How often one may speak: seconds, pairs, hours, registrations, and what the simulator tells of a client's pacing."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_simulator.clock import Clock
from whatsapp_simulator.limits import HourlyCalls, PairLimit, SlidingSecond
from whatsapp_simulator.pacing import SECOND, Instant, Timeline, above, busiest, judge

pytestmark = pytest.mark.anyio
TEXT = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "hi"}}


# -- a second --------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=120))
def test_no_second_holds_more_than_the_limit_and_no_send_is_refused_without_need(instants):
    second, taken = SlidingSecond(20), []
    for at in sorted(instants):
        within = [t for t in taken if at - 1.0 < t <= at]
        assert second.take(at) == (len(within) < 20)
        if len(within) < 20:
            taken.append(at)


def test_a_request_looked_at_late_counts_and_a_clock_moved_back_begins_anew():
    second = SlidingSecond(2)
    assert [second.take(at) for at in (100.0, 100.5, 99.0, 98.9)] == [True, True, False, False]
    assert second.take(40.0)


async def test_a_number_with_the_app_stays_at_twenty(sim):
    await sim.connect()
    await sim.post(f"/control/phones/{sim.phone.id}/settings", 409, throughput="HIGH")


async def test_a_number_without_the_app_has_eighty_a_second_or_a_thousand(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        await sim.post("/control/options", pair_limit=False)
        sim.phone.state = "cloud_only"
        for _ in range(80):
            await sim.text()
        refused = await sim.error("POST", f"{sim.phone.id}/messages", to="14155550171", **TEXT)
        assert (refused["code"], refused["message"]) == (130429, "(#130429) Rate limit hit")
        await sim.post(f"/control/phones/{sim.phone.id}/settings", throughput="HIGH")
        assert (await sim.error("POST", f"{sim.phone.id}/messages", to="14155550171", **TEXT))["code"] == 131057
        still.time += 60
        shown = await sim.graph("GET", f"{sim.phone.id}?fields=throughput")
        assert shown["throughput"] == {"level": "HIGH"}
        await sim.text()
        await sim.flush()
        (told,) = sim.platform.changes("phone_number_quality_update")
        assert (told["event"], told["current_limit"]) == ("THROUGHPUT_UPGRADE", "TIER_UNLIMITED")
        await sim.post("/control/options", throughput=5)
        still.time += 1
        for _ in range(5):
            await sim.text()
        assert (await sim.error("POST", f"{sim.phone.id}/messages", to="14155550171", **TEXT))["code"] == 130429


# -- a pair ----------------------------------------------------------------------------------------------------------


def test_a_debt_is_paid_back_by_the_six_seconds():
    pair = PairLimit()
    assert [pair.take("a", 0.0) for _ in range(46)] == [True] * 45 + [False]
    assert pair.take("b", 0.0)
    assert not pair.take("a", 5.9)
    assert pair.take("a", 6.0)
    assert not pair.take("a", 6.1)


def test_read_to_the_letter_a_burst_of_twenty_is_followed_by_two_minutes_of_silence():
    pair = PairLimit()
    assert all(pair.take("a", i / 4, silence=True) for i in range(20))
    assert [pair.take("a", at, silence=True) for at in (6.0, 119.9)] == [False, False]
    assert pair.take("a", 120.0, silence=True)


def test_a_clock_that_is_moved_back_leaves_no_debt_behind():
    pair = PairLimit()
    assert all(pair.take("a", 1e6) for _ in range(45))
    assert pair.take("a", 0.0)


async def test_one_person_is_limited_and_the_others_are_not(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        for _ in range(45):
            await sim.text()
            still.time += 0.1
        refused = await sim.error("POST", f"{sim.phone.id}/messages", to="14155550171", **TEXT)
        assert refused["code"] == 131056
        await sim.text("5215550104477")


# -- an hour, and three days -----------------------------------------------------------------------------------------


def test_an_hour_moves_with_the_clock_and_says_when_one_may_go_on():
    calls = HourlyCalls()
    assert [calls.take(600.0 * i, 3) for i in range(4)] == [True, True, True, False]
    (told,) = json.loads(calls.usage("77", 1800.0, 3))["77"]
    assert (told["call_count"], told["estimated_time_to_regain_access"]) == (100, 30)
    assert calls.take(3600.0, 3)


async def test_management_calls_of_a_waba_are_counted_by_the_hour(sim):
    await sim.connect()
    await sim.post("/control/options", hourly_calls=4)
    await sim.post("/control/clock", advance=3601)
    bearer = {"Authorization": f"Bearer {sim.token}"}
    answers = [await sim.http.get(f"/v26.0/{sim.phone.waba_id}", headers=bearer) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [400]
    assert answers[-1].json()["error"]["code"] == 80007
    used = [json.loads(a.headers["x-business-use-case-usage"])[sim.phone.waba_id][0] for a in answers]
    assert [one["call_count"] for one in used] == [25, 50, 75, 100, 100]
    assert used[-1]["estimated_time_to_regain_access"] > 0
    await sim.graph("GET", sim.phone.id)  # the number's own calls aren't among them
    await sim.post("/control/clock", advance=3601)
    await sim.graph("GET", sim.phone.waba_id)


async def test_a_waba_without_a_registered_number_has_two_hundred_calls(sim):
    await sim.connect()
    await sim.post(f"/control/phones/{sim.phone.id}/disconnect")
    await sim.post("/control/clock", advance=3601)
    for _ in range(200):
        await sim.graph("GET", sim.phone.waba_id)
    assert (await sim.error("GET", sim.phone.waba_id))["code"] == 80007


async def test_the_eleventh_registration_in_three_days_is_refused(sim):
    await sim.connect()
    sim.phone.state = "cloud_only"
    for _ in range(5):
        await sim.graph("POST", f"{sim.phone.id}/register")
        await sim.graph("POST", f"{sim.phone.id}/deregister")
    assert (await sim.error("POST", f"{sim.phone.id}/register"))["code"] == 133016
    await sim.post("/control/clock", advance=72 * 3600 + 1)
    await sim.graph("POST", f"{sim.phone.id}/register")


# -- what is told of pacing ------------------------------------------------------------------------------------------


async def test_the_busiest_second_is_found_with_what_was_refused_in_it(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        began = still.time
        for _ in range(3):
            await sim.write()
        for i in range(20):
            if i < 17:
                await sim.text()
            else:
                await sim.error("POST", f"{sim.phone.id}/messages", to="14155550171", **TEXT)
            still.time += 0.01
        still.time += 5
        await sim.text()
        told = await sim.get(f"/control/pacing?phone={sim.phone.id}")
        assert (told["in"], told["out"], told["too_fast"], told["limit"]) == (3, 18, 3, 20)
        assert (told["busiest"]["messages"], told["busiest"]["out"], told["above"]) == (23, 17, 3)
        assert told["busiest"]["from"] == pytest.approx(began, abs=1e-5)
        assert told["busiest_out"]["messages"] == 17
        later = await sim.get(f"/control/pacing?phone={sim.phone.id}&since={began + 4}&instants=1")
        assert (later["out"], [kind for _, kind in later["instants"]]) == (1, ["out"])
        assert [one["phone"] for one in (await sim.get("/control/pacing"))["phones"]] == [sim.phone.id]
        await sim.get("/control/pacing?window=nothing", 400)


def test_a_second_holds_its_beginning_and_not_its_end():
    at = [Instant(us, "out") for us in (0, SECOND - 1, SECOND)]
    found = busiest(at)
    assert found is not None
    assert (found["messages"], found["from"], found["to"]) == (2, 0, (SECOND - 1) / SECOND)
    assert (above(at, 1), above(at, 2)) == (2, 0)


@given(st.lists(st.tuples(st.integers(0, 5 * SECOND), st.sampled_from(("in", "out", "too_fast"))), max_size=60))
def test_the_busiest_second_is_the_busiest_of_all(marks):
    timeline = Timeline()
    for us, kind in marks:
        timeline.note(us / SECOND, kind)
    instants = timeline.between()
    assert [(one.us, one.kind) for one in instants] == sorted(
        marks, key=lambda mark: (mark[0], ("out", "in", "too_fast").index(mark[1]))
    )
    counts = [sum(one.us <= other.us < one.us + SECOND for other in instants) for one in instants]
    told = judge(instants, 20)
    assert (told["busiest"] or {"messages": 0})["messages"] == max(counts, default=0)


@given(
    noted=st.lists(st.integers(0, 9 * SECOND), max_size=60),
    since=st.integers(0, 9 * SECOND),
    length=st.integers(0, 9 * SECOND),
)
def test_a_part_of_the_timeline_is_found_however_far_out_of_order_it_was_noted(noted, since, length):
    timeline = Timeline()
    for us in noted:
        timeline.note(us / SECOND, "out")
    found = timeline.between(since / SECOND, (since + length) / SECOND)
    assert [one.us for one in found] == sorted(us for us in noted if since <= us < since + length)


def test_the_timeline_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr("whatsapp_simulator.pacing.ROOM", 10)
    timeline = Timeline()
    for second in range(25):
        timeline.note(second, "out")
    assert [one.us // SECOND for one in timeline.between()] == list(range(10, 25))
