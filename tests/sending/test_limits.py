"""What keeps a message waiting, and whom it doesn't: pairs, halts, those behind others, and what customers write."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import RunningClock, Shop, error
from tests.sending.test_pacing import queue

from twinline.kit.clock import at_microseconds, microseconds
from twinline.mirror import pace
from twinline.rules.budget import PAIR, SECOND, THROUGHPUT
from twinline.sending import lane
from twinline.sending.clerk import Clerk
from twinline.sending.models import Lane

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"
OWED = "INSERT INTO pairs (number_id, contact_id, tat) VALUES (%s, %s, %s)"


async def owes(shop: Shop, contact_id: int, messages: int) -> int:
    """So many messages have just gone to this person. Answers the pair's tat."""
    tat = PAIR.reserve(0, microseconds(shop.clock.now()), messages, 0).tat
    await shop.execute(OWED, (shop.number_id, contact_id, tat))
    return tat


async def plan(shop: Shop, **options: int) -> lane.Round:
    planned = await lane.plan(shop.app, shop.number_id, **options)
    assert planned is not None
    return planned


# --- pairs --------------------------------------------------------------------------------------------------------


async def test_whoever_was_written_to_45_times_waits_and_nobody_else(shop: Shop, clock: RunningClock) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    clock.stop()
    tat = await owes(shop, ana, 45)
    late, behind = await shop.says(ana, "the 46th"), await shop.says(ana, "the 47th")
    for n in range(3):
        await shop.says(bea, f"to Bea {n}")
    first = await plan(shop)
    assert [row.text for row, _ in first.rows] == ["to Bea 0"]
    assert (await shop.row(late))["not_before"] == at_microseconds(PAIR.free_at(tat))
    assert (await shop.row(behind))["behind"]
    clock.advance(seconds=6)
    second = await plan(shop)
    assert [row.text for row, _ in second.rows] == ["the 46th"]
    assert (await shop.row(late))["attempts"] == 1


async def test_what_is_sent_is_owed_by_its_pair(shop: Shop, clock: RunningClock) -> None:
    ana = await shop.customer(ANA)
    clock.stop()
    await shop.says(ana, "hello")
    await plan(shop)
    moment = microseconds(clock.now())
    assert await shop.value("SELECT tat FROM pairs WHERE contact_id = %s", (ana,)) == moment + 6 * SECOND
    clock.advance(seconds=7)
    await lane.forget_pairs(shop.app)
    assert not await shop.dicts("SELECT * FROM pairs")


async def test_too_many_to_one_person_waits_longer_each_time_and_is_never_a_failure(
    shop: Shop, clock: RunningClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """131056: 1, 4, 16 seconds (Meta: pair rate limits), for this person only."""
    monkeypatch.setattr(lane, "LINGER", timedelta(0))
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    shop.meta.will("again", *[error(131056)] * 3)
    outbox, behind = await shop.says(ana, "again"), await shop.says(ana, "and this")
    for n, wait in enumerate((1, 4, 16)):
        other = await shop.says(bea, f"to Bea {n}")
        await shop.drain()
        assert await shop.state(other) == "sent"
        row = await shop.row(outbox)
        assert (row["state"], row["attempts"], row["throttled"], row["error_code"]) == ("queued", 0, n + 1, 131056)
        assert int((row["not_before"] - row["sending_at"]).total_seconds()) == wait
        assert await shop.state(behind) == "queued"
        clock.advance(seconds=wait + 1)
    await shop.drain()
    assert await shop.state(outbox) == "sent"
    assert shop.meta.texts.count("again") == 4


# --- halts --------------------------------------------------------------------------------------------------------


async def test_after_too_fast_the_number_comes_back_at_half_speed_and_a_restart_knows_it(
    shop: Shop, clock: RunningClock
) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("too fast", error(130429))
    outbox = await shop.says(ana, "too fast")
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], row["attempts"]) == ("sent", 1), "a halt is no try"
    [number] = await shop.dicts("SELECT * FROM numbers")
    assert number["slow_share"] == 500
    clock.stop()
    await queue(shop, 30)
    await shop.execute("UPDATE numbers SET slow_since = %s, budget_tat = 0", (microseconds(clock.now()),))
    half = await plan(shop)
    await shop.execute("UPDATE numbers SET slow_share = 1000, budget_tat = 0")
    assert len(half.rows) == pytest.approx(len((await plan(shop)).rows) / 2, abs=1)


async def test_an_account_s_throttle_silences_all_its_numbers_for_a_minute(shop: Shop, clock: RunningClock) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    shop.meta.will("one call too many", error(80007))
    outbox = await shop.says(ana, "one call too many")
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], row["attempts"]) == ("queued", 0)
    assert timedelta(seconds=50) < row["not_before"] - clock.now() <= timedelta(seconds=60)
    other = await shop.value(
        "INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, token, created_at,"
        " connected_at, state) SELECT organisation_id, waba_id, '2', '2', token, created_at, connected_at, state"
        " FROM numbers RETURNING id"
    )
    await shop.execute("INSERT INTO contacts (number_id, id, phone) VALUES (%s, %s, '1')", (other, bea))
    await shop.execute(
        "INSERT INTO outbox (number_id, contact_id, lane, author, floor_epoch, created_at, type, text)"
        " VALUES (%s, %s, 0, 'person', 0, now(), 'text', 'from another number')",
        (other, bea),
    )
    planned = await lane.plan(shop.app, other)
    assert planned is not None
    assert (list(planned.rows), planned.silent) == ([], True)


# --- a long queue -------------------------------------------------------------------------------------------------


async def test_hundreds_to_one_person_are_passed_by_once(shop: Shop, clock: RunningClock) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    clock.stop()
    await shop.execute(
        "INSERT INTO outbox (number_id, contact_id, lane, author, floor_epoch, created_at, type, text)"
        " SELECT %s, %s, 0, 'person', 0, %s, 'text', 'to Ana ' || n FROM generate_series(1, 300) n",
        (shop.number_id, ana, clock.now()),
    )
    await shop.says(bea, "to Bea")
    assert [row.text for row, _ in (await plan(shop)).rows] == ["to Ana 1", "to Bea"]
    assert await shop.value("SELECT count(*) FROM outbox WHERE behind") == 299
    await shop.execute("UPDATE outbox SET state = 'sent' WHERE state = 'sending'")  # without letting anybody forward
    clock.advance(seconds=1)
    assert not (await plan(shop)).rows
    await lane.rescue(shop.app)
    assert [row.text for row, _ in (await plan(shop)).rows] == ["to Ana 2"]


async def test_what_goes_out_lets_the_next_of_its_chat_come_forward(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    for n in range(3):
        await shop.says(ana, f"line {n}")
    shop.meta.will("line 1", error(131026))  # not only what is sent does
    await shop.drain()
    assert shop.meta.texts == ["line 0", "line 1", "line 2"]
    assert not await shop.value("SELECT count(*) FROM outbox WHERE behind")


# --- a reply during a campaign ------------------------------------------------------------------------------------


async def test_a_reply_overtakes_what_a_campaign_has_in_hand(shop: Shop, clock: RunningClock) -> None:
    ana = await shop.customer(ANA)
    clock.stop()
    clock.advance(seconds=2)
    await queue(shop, 100, Lane.MARKETING)
    campaign = await plan(shop)
    assert len(campaign.rows) == lane.SLOTS
    drain = lane._Drain(shop.app, shop.number_id, Clerk(shop.app))
    drain._take(campaign)
    reply = await shop.says(ana, "I'm here")
    assert not (await plan(shop)).rows, "there is no room"
    planned = await plan(shop, machines=lane.SLOTS)
    [(row, paid_for)] = planned.rows
    assert row.id == reply
    drain._take(planned)
    assert drain._rows[0].id == reply
    assert drain._instants[0] == campaign.rows[0][1]
    assert drain._instants[-1] == paid_for
    assert list(drain._instants) == sorted(drain._instants)


async def test_a_reply_leaves_while_a_slow_graph_has_taken_all_places_of_machines(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "AT_ONCE", 3)
    answered = asyncio.Event()

    async def slowly() -> httpx.Response:
        await answered.wait()
        return httpx.Response(200, json={"messages": [{"id": f"wamid.{len(shop.meta.messages)}"}]})

    people = [await shop.customer(f"35191000{n:04}") for n in range(8)]
    for n, customer in enumerate(people[:7]):
        await shop.says(customer, f"offer {n}", lane=Lane.MARKETING, author="campaign")
        shop.meta.will(f"offer {n}", slowly)
    draining = asyncio.create_task(shop.drain())
    async with asyncio.timeout(30):
        while len(shop.meta.messages) < 3:
            await asyncio.sleep(0.01)
    reply = await shop.says(people[7], "I'm here")
    await shop.until(reply, "sent")
    assert shop.meta.texts == ["offer 0", "offer 1", "offer 2", "I'm here"]
    answered.set()
    await draining
    assert len(shop.meta.messages) == 8


async def test_a_drain_hears_of_a_reply_and_of_what_customers_write(shop: Shop, clock: RunningClock) -> None:
    """Through PostgreSQL, as between processes."""
    ana = await shop.customer(ANA)
    lanes = lane.Lanes(shop.app)
    heard: asyncio.Queue[pace.Charge | None] = asyncio.Queue()
    listening = asyncio.create_task(lanes.listen())
    with lanes._ears.hearing(shop.number_id, heard.put_nowait):
        async with asyncio.timeout(30):
            assert await heard.get() is None  # the ears are open: look, for who knows what was missed
            await shop.says(ana, "hello")
            assert await heard.get() is None
            before = await shop.value("SELECT budget_tat FROM numbers")
            await shop.execute("UPDATE numbers SET budget_tat = %s", (microseconds(clock.now()) + SECOND // 2,))
            await shop.hears(wire.inbound(Human(BEA), *[wire.text(f"wamid.C{n}", shop.seconds, "?") for n in range(3)]))
            charge = await heard.get()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert charge is not None
    assert (charge.number_id, charge.messages) == (shop.number_id, 3)
    assert charge.tat == await shop.value("SELECT budget_tat FROM numbers") > before


async def test_promised_instants_give_way_to_what_customers_write_and_each_message_counts_once(
    shop: Shop, clock: RunningClock
) -> None:
    clock.stop()
    clock.advance(seconds=2)
    await queue(shop, 40)
    drain = lane._Drain(shop.app, shop.number_id, Clerk(shop.app))
    planned = await plan(shop)
    drain._take(planned)
    promised = list(drain._instants)
    for _ in range(2):  # a notice may come twice
        drain.hear(pace.Charge(shop.number_id, 2, microseconds(clock.now()), planned.tat + 2 * THROUGHPUT.interval_us))
    late = [instant + 2 * THROUGHPUT.interval_us for instant in promised]
    assert list(drain._instants) == late
    # The same charge is found by the next plan, which was told how far this drain's promises reach.
    await shop.execute("UPDATE numbers SET budget_tat = budget_tat + %s", (2 * THROUGHPUT.interval_us,))
    clock.advance(seconds=0.25)
    following = await lane.plan(shop.app, shop.number_id, paid_until=drain._paid_until)
    assert following is not None
    drain._take(following)
    assert list(drain._instants)[: len(late)] == late
    assert drain._instants[len(late)] - late[-1] == lane.PACE.interval_us


async def test_what_was_charged_unheard_is_made_up_for_by_the_next_plan(shop: Shop, clock: RunningClock) -> None:
    clock.stop()
    clock.advance(seconds=2)
    await queue(shop, 40)
    drain = lane._Drain(shop.app, shop.number_id, Clerk(shop.app))
    drain._take(await plan(shop))
    promised = list(drain._instants)
    await shop.hears(wire.inbound(Human(BEA), wire.text("wamid.C", shop.seconds, "Hello?")))
    clock.advance(seconds=0.2)
    drain._take(await plan(shop))
    assert list(drain._instants)[: len(promised)] == [at + THROUGHPUT.interval_us for at in promised]


# --- what the phone sends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("counted", [False, True])
async def test_what_the_phone_sends_counts_where_the_owner_says_so(
    shop: Shop, clock: RunningClock, counted: bool
) -> None:
    clock.stop()
    await shop.execute("UPDATE numbers SET count_echoes = %s, budget_tat = 0", (counted,))
    await shop.phone_says(ANA, "I'll call you.")
    tat = await shop.value("SELECT budget_tat FROM numbers")
    assert tat == (microseconds(clock.now()) + THROUGHPUT.interval_us if counted else 0)
