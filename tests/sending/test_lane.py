"""What waits goes out: in order, once, and so that everybody sees what became of it."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Shop, error

from twinline.inbox.queries import Thread
from twinline.sending import lane
from twinline.sending.models import Lane

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"


async def test_a_reply_goes_out_and_appears_in_the_chat(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.clock.advance(minutes=1)
    outbox = await shop.says(ana, "They are just out of the oven.", author_id=7)
    await shop.drain()
    [message] = shop.meta.messages
    assert message["to"] == ANA
    assert message["text"] == {"body": "They are just out of the oven.", "preview_url": False}
    row = await shop.row(outbox)
    assert (row["state"], row["wamid"], row["attempts"]) == ("sent", "wamid.1", 1)
    [shown] = await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert (shown["wamid"], shown["author"], shown["author_id"], shown["contact_id"]) == ("wamid.1", "person", 7, ana)
    assert (shown["text"], shown["live"], shown["delivery"]) == ("They are just out of the oven.", True, 2)
    [chat] = await shop.dicts("SELECT * FROM chats")
    assert (chat["last_wamid"], chat["unread"]) == ("wamid.1", 0)
    assert await shop.told("outbox") == [[ana, outbox, "queued"], [ana, outbox, "sent"]]
    assert [ana, "wamid.1", "sent"] in await shop.told("messages")


async def test_what_is_said_in_a_chat_arrives_in_the_order_it_was_said(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    said = [f"line {n}" for n in range(5)]
    shop.meta.will("line 0", lambda: slowly(shop, 0.2))
    for line in said:
        await shop.says(ana, line)
    await shop.drain()
    assert shop.meta.texts == said


async def slowly(shop: Shop, seconds: float) -> httpx.Response:
    shown = len(shop.meta.messages)
    await asyncio.sleep(seconds)
    assert len(shop.meta.messages) == shown, "another message of this chat was sent meanwhile"
    return httpx.Response(200, json={"messages": [{"id": f"wamid.{shown}"}]})


async def test_people_go_before_automations_before_campaigns(shop: Shop) -> None:
    ana, bea, carl = [await shop.customer(phone) for phone in (ANA, BEA, CARL)]
    await shop.says(ana, "an offer", lane=Lane.MARKETING, author="campaign")
    await shop.says(bea, "opening hours", lane=Lane.AUTOMATION, author="automation")
    await shop.says(carl, "Hello Carl", lane=Lane.PERSON)
    await shop.drain()
    assert shop.meta.texts == ["Hello Carl", "opening hours", "an offer"]


async def test_a_slow_answer_in_one_chat_holds_nobody_else_up(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    answered = asyncio.Event()

    async def hang() -> httpx.Response:
        await answered.wait()
        return httpx.Response(200, json={"messages": [{"id": "wamid.slow"}]})

    shop.meta.will("first", hang)
    slow = await shop.says(ana, "first")
    draining = asyncio.create_task(shop.drain())
    await shop.until(slow, "sending")
    # This one is written while the drain only waits for an answer.
    quick = await shop.says(bea, "second")
    await shop.until(quick, "sent")
    assert await shop.state(slow) == "sending"
    answered.set()
    await draining
    assert await shop.state(slow) == "sent"


async def test_statuses_may_come_before_the_answer(shop: Shop) -> None:
    ana = await shop.customer(ANA)

    async def delivered_first() -> httpx.Response:
        [message] = shop.meta.messages
        await shop.status(message, "delivered")
        return httpx.Response(200, json={"messages": [{"id": "wamid.1"}]})

    shop.meta.will("quick", delivered_first)
    outbox = await shop.says(ana, "quick")
    await shop.drain()
    assert await shop.state(outbox) == "sent"
    [shown] = await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert (shown["text"], shown["delivery"], shown["author"]) == ("quick", 5, "person")
    assert (await shop.told("outbox")).count([ana, outbox, "sent"]) == 1


async def test_no_answer_is_a_doubt_that_is_never_sent_again_and_that_a_status_settles(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("lost?", httpx.ReadTimeout("no answer"))
    outbox = await shop.says(ana, "lost?")
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], row["wamid"]) == ("in_doubt", None)
    assert "isn't certain" in row["error_text"]
    await shop.drain()
    shop.clock.advance(hours=1)
    await shop.drain()
    assert shop.meta.texts == ["lost?"]
    [message] = shop.meta.messages
    await shop.status(message, "sent", "wamid.9")
    row = await shop.row(outbox)
    assert (row["state"], row["wamid"], row["error_text"]) == ("sent", "wamid.9", None)
    [shown] = await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert (shown["text"], shown["author"], shown["delivery"]) == ("lost?", "person", 3)
    assert [ana, "wamid.9", "sent"] in await shop.told("messages")


async def test_a_doubt_that_nobody_settles_is_shown_as_unknown_and_may_still_be_settled(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("lost?", httpx.Response(502))
    outbox = await shop.says(ana, "lost?")
    await shop.drain()
    await lane.despair(shop.app)
    assert await shop.state(outbox) == "in_doubt"
    shop.clock.advance(minutes=11)
    await lane.despair(shop.app)
    assert await shop.state(outbox) == "unknown"
    assert [ana, outbox, "unknown"] in await shop.told("outbox")
    await shop.status(shop.meta.messages[0], "read")
    assert await shop.state(outbox) == "sent"


async def test_what_comes_after_a_doubt_still_goes_out(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("lost?", httpx.ReadTimeout("no answer"))
    await shop.says(ana, "lost?")
    second = await shop.says(ana, "Are you there?")
    await shop.drain()
    assert await shop.state(second) == "sent"


async def test_too_fast_silences_the_number_puts_back_what_was_reserved_and_is_no_try(shop: Shop) -> None:
    customers = [await shop.customer(f"35191000{n:04}") for n in range(12)]
    shop.clock.advance(minutes=1)
    shop.meta.will("to 0", error(130429))
    outbox = [await shop.says(customer, f"to {n}") for n, customer in enumerate(customers)]
    draining = asyncio.create_task(shop.drain())
    async with asyncio.timeout(30):
        while (await shop.row(outbox[0]))["error_code"] != 130429:
            await asyncio.sleep(0.01)
    until = (await shop.row(outbox[0]))["not_before"]
    # Calls that had begun when Meta said so can't be called back; all others wait.
    async with asyncio.timeout(30):
        while "sending" in (states := [await shop.state(row) for row in outbox]):
            await asyncio.sleep(0.01)
    assert states.count("queued") >= 6
    await draining
    assert [await shop.state(row) for row in outbox] == ["sent"] * 12
    assert sorted(shop.meta.texts) == sorted([f"to {n}" for n in range(12)] + ["to 0"])
    assert [(await shop.row(row))["attempts"] for row in outbox] == [1] * 12
    assert [at for at in shop.meta.at if at >= until]
    assert (await shop.row(outbox[0]))["error_code"] is None


async def test_a_passing_problem_is_tried_again_after_its_waits_and_then_given_up(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("again", *[error(131000, 500)] * 9)
    outbox = await shop.says(ana, "again")
    behind = await shop.says(ana, "and this after it")
    draining = asyncio.create_task(shop.drain())
    waits = []
    async with asyncio.timeout(60):
        while (row := await shop.row(outbox))["state"] != "failed":
            if row["state"] == "queued" and row["not_before"] and row["not_before"] > shop.clock.now():
                assert shop.meta.texts == ["again"] * row["attempts"], "a later message overtook it"
                waits.append(round((row["not_before"] - row["sending_at"]).total_seconds()))
                shop.clock.advance(seconds=waits[-1])
            elif row["state"] == "queued" and draining.done():
                await shop.says(ana, "wake up")
                draining = asyncio.create_task(shop.drain())
            await asyncio.sleep(0.02)
    assert waits == [1, 2, 4, 8, 16]
    await draining
    row = await shop.row(outbox)
    assert (row["error_code"], row["attempts"]) == (131000, 6)
    assert row["error_text"] == "WhatsApp had a temporary problem."
    assert await shop.state(behind) == "sent"
    assert shop.meta.texts[:7] == ["again"] * 6 + ["and this after it"]


async def test_a_connection_that_never_came_about_is_no_doubt(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("hello", httpx.ConnectError("refused"))
    outbox = await shop.says(ana, "hello")
    draining = asyncio.create_task(shop.drain())
    row = await shop.until(outbox, "queued", "in_doubt")
    await draining
    row = await shop.row(outbox)
    assert (row["state"], row["attempts"]) == ("sent", 2)


async def test_a_refusal_for_good_fails_in_plain_words(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("no", error(131026))
    shop.meta.will("odd", error(999_999))
    outbox, odd = await shop.says(ana, "no"), await shop.says(ana, "odd")
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], row["error_code"]) == ("failed", 131026)
    assert row["error_text"].startswith("The message couldn't be delivered")
    assert (await shop.row(odd))["state"] == "failed"
    assert not await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert [ana, outbox, "failed"] in await shop.told("outbox")


async def test_a_failure_that_comes_after_the_200_marks_the_message(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, "hello")
    await shop.drain()
    await shop.status(shop.meta.messages[0], "failed", errors=[wire.TOO_LATE])
    [shown] = await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert shown["delivery"] == 4
    [status] = await shop.dicts("SELECT * FROM statuses")
    assert status["detail"]["errors"][0]["code"] == 131047
    assert await shop.state(outbox) == "sent"  # it was: the message says what became of it


async def test_whatever_becomes_of_a_message_the_person_who_wrote_it_reads_it_in_plain_words(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("refused", error(131026))
    shop.meta.will("lost?", httpx.ReadTimeout("no answer"))
    for text in ("refused", "lost?", "too late"):
        await shop.says(ana, text)
    await shop.drain()
    await shop.status(shop.meta.messages[2], "failed", "wamid.3", errors=[wire.TOO_LATE])
    async with shop.app.db.transaction() as tx:
        thread = Thread(tx, shop.number_id, ana, 1, "Ana")
        read = {bubble.text: bubble for bubble in [*await thread.older(), *await thread.unsent()]}
    assert (read["refused"].tick, read["lost?"].tick, read["too late"].tick) == ("failed", "doubt", "failed")
    assert (read["refused"].failure or "").startswith("The message couldn't be delivered")
    assert (read["lost?"].failure or "").startswith("WhatsApp hasn't said")
    assert (read["too late"].failure or "").startswith("More than 24 hours have passed")
    assert all(read[text].remedy for text in ("refused", "lost?", "too late"))


async def test_a_failure_that_is_all_we_hear_settles_the_doubt_and_says_why(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("lost?", httpx.ReadTimeout("no answer"))
    outbox = await shop.says(ana, "lost?")
    await shop.drain()
    await shop.status(shop.meta.messages[0], "failed", errors=[wire.TOO_LATE])
    row = await shop.row(outbox)
    assert (row["state"], row["error_code"]) == ("sent", 131047)
    assert row["error_text"].startswith("More than 24 hours have passed")
    [shown] = await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert (shown["text"], shown["delivery"]) == ("lost?", 4)


async def test_a_status_of_another_installation_settles_nothing_here(shop: Shop) -> None:
    """Two installations on one number, or one whose database began anew, give out the same ids."""
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, "mine")
    for foreign in (f"tw:{shop.number_id}:{outbox}", f"tw:{shop.number_id}:{outbox}:1", f"tw:99:{outbox}:1", "other"):
        told = wire.status(Human(ANA), "wamid.X", "read", shop.seconds, biz_opaque_callback_data=foreign)
        await shop.hears(wire.statuses(told))
        assert await shop.state(outbox) == "queued"
    await shop.drain()
    assert shop.meta.texts == ["mine"]


async def test_rows_of_a_drain_that_died_are_in_doubt_when_the_next_begins(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    outbox = await shop.says(ana, "half said")
    planned = await lane.plan(shop.app, shop.number_id)
    assert planned is not None
    assert [row.id for row, _ in planned.rows] == [outbox]
    after = await shop.says(bea, "still waiting")
    await shop.drain()
    assert shop.meta.texts == ["still waiting"]
    assert (await shop.state(outbox), await shop.state(after)) == ("in_doubt", "sent")


async def test_a_message_far_off_is_left_to_a_job_and_the_drain_ends(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("later", error(131057, 503))
    outbox = await shop.says(ana, "later")
    await shop.execute("DELETE FROM procrastinate_jobs")
    await shop.drain()
    assert await shop.state(outbox) == "queued"
    [job] = await shop.jobs()
    ahead = await shop.value("SELECT scheduled_at - now() FROM procrastinate_jobs WHERE queue_name = 'lane'")
    assert timedelta(seconds=20) < ahead <= timedelta(seconds=30)
    assert (job["lock"], job["task_name"]) == (f"lane:{shop.number_id}", "sending.drain")


async def test_a_reply_pressed_meanwhile_brings_the_job_forward(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    shop.meta.will("later", error(131057, 503))
    await shop.says(ana, "later")
    await shop.execute("DELETE FROM procrastinate_jobs")
    await shop.drain()
    await shop.says(bea, "now")
    [job] = await shop.jobs()
    assert job["scheduled_at"] is None


async def test_an_unforeseen_error_leaves_the_other_calls_alone_and_ends_the_drain(shop: Shop) -> None:
    ana, bea, carl = [await shop.customer(phone) for phone in (ANA, BEA, CARL)]
    bad = await shop.says(ana, "bad")
    good = await shop.says(bea, "good")
    shop.meta.will("bad", ZeroDivisionError("a bug of ours"))
    shop.meta.will("good", lambda: slowly(shop, 0.2))
    with pytest.raises(ZeroDivisionError):
        await shop.drain()
    assert (await shop.state(bad), await shop.state(good)) == ("sending", "sent")
    last = await shop.says(carl, "next")
    await shop.drain()
    assert (await shop.state(bad), await shop.state(last)) == ("in_doubt", "sent")


async def test_a_drain_that_is_cut_off_puts_back_what_it_did_not_say(shop: Shop) -> None:
    customers = [await shop.customer(f"35191000{n:04}") for n in range(9)]
    outbox = [await shop.says(customer, f"to {n}") for n, customer in enumerate(customers)]
    answered = asyncio.Event()

    async def hang() -> httpx.Response:
        answered.set()
        await asyncio.sleep(0.1)
        return httpx.Response(200, json={"messages": [{"id": "wamid.slow"}]})

    shop.meta.will("to 0", hang)
    draining = asyncio.create_task(shop.drain())
    await answered.wait()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    states = [await shop.state(row) for row in outbox]
    assert states[0] == "sent", "the call under way was given time to be answered"
    assert set(states) == {"sent", "queued"}
    assert [(await shop.row(row))["attempts"] for row in outbox if await shop.state(row) == "queued"] == [
        0 for state in states if state == "queued"
    ]
    await shop.drain()
    assert sorted(shop.meta.texts) == [f"to {n}" for n in range(9)]


async def test_a_long_queue_is_not_held_in_memory(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands that wait, a drain holds those of the next half second; besides them only those being answered."""
    customers = [await shop.customer(f"35191000{n:04}") for n in range(60)]
    for customer in customers:
        await shop.says(customer, "hello")
    most = 0
    start = lane._Drain._start

    def counting(self: lane._Drain, call):  # type: ignore[no-untyped-def]
        nonlocal most
        most = max(most, len(self._rows))
        return start(self, call)

    monkeypatch.setattr(lane._Drain, "_start", counting)
    await shop.drain()
    assert len(shop.meta.texts) == 60
    assert most <= lane.SLOTS + lane.AHEAD
