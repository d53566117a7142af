"""How what happens is told to other programs: signed, in order, once more until it is taken."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import change, tell, value
from tests.fixtures.patience import PATIENCE
from tests.fixtures.wire import RUA, T0
from tests.webhooks_out.conftest import Bakery

from twinline.db import Tx
from twinline.rules import webhooks as rules
from twinline.webhooks_out import delivering, jobs, queries, service
from twinline.webhooks_out.models import WebhookError

pytestmark = pytest.mark.anyio
OTHER = wire.Human("351910000009", "PT.9", "Bo")


def says(n: int, text: str = "", human: Any = RUA) -> Any:
    return wire.inbound(human, wire.text(f"wamid.{n}", T0 + n, text or f"no. {n}"))


async def test_what_customers_and_the_phone_write_is_told_signed_and_in_order(bakery: Bakery) -> None:
    await bakery.listens("message.received", "message.echoed")
    await bakery.hears(says(1), wire.echoes(RUA, wire.text("wamid.2", T0 + 2, "from the phone")), says(3))
    await bakery.tends()
    assert bakery.receiver.types == ["message.received", "message.echoed", "message.received"]
    assert bakery.receiver.texts == ["no. 1", "from the phone", "no. 3"]
    assert all(one.signed_by(bakery.secret) for one in bakery.receiver.got)
    first = bakery.receiver.got[0]
    assert first.told["timestamp"].startswith("2026-11-20T12:00:00")
    assert first.told["data"]["number_id"] == bakery.number_id
    message = first.told["data"]["message"]
    assert (message["direction"], message["author"], message["wamid"]) == ("in", "customer", "wamid.1")
    assert message["contact"]["phone"] == RUA.phone
    assert [one.state for one in await bakery.deliveries()] == ["delivered"] * 3


async def test_a_new_webhook_begins_at_now_and_hears_only_what_it_asked_for(bakery: Bakery) -> None:
    await bakery.hears(says(1))
    await bakery.listens("message.received")
    await bakery.hears(says(2), wire.echoes(RUA, wire.text("wamid.3", T0 + 3, "from the phone")))
    await bakery.tends()
    assert bakery.receiver.texts == ["no. 2"]


async def test_whoever_dies_after_the_receiver_took_it_tells_it_again_under_the_same_id(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bakery.listens("message.received")
    await bakery.hears(says(1))

    async def die(*_: Any) -> None:
        raise ConnectionAbortedError

    with monkeypatch.context() as dying:
        dying.setattr(delivering._Round, "_settle", die)
        with pytest.raises(ConnectionAbortedError):
            await bakery.tends()
    await bakery.tends()
    first, second = bakery.receiver.got
    assert (first.key, first.body) == (second.key, second.body)
    assert [one.state for one in await bakery.deliveries()] == ["delivered"]


async def test_whoever_dies_while_reading_events_leaves_no_gap_and_no_double(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bakery.listens("message.received")
    await bakery.hears(says(1), says(2))
    execute = Tx.execute

    async def die_at_the_cursor(tx: Tx, sql: str, params: Any = ()) -> int:
        if sql == queries.MOVE:
            raise ConnectionAbortedError
        return await execute(tx, sql, params)

    with monkeypatch.context() as dying:
        dying.setattr(Tx, "execute", die_at_the_cursor)
        with pytest.raises(ConnectionAbortedError):
            await bakery.tends()
    assert await bakery.deliveries() == []
    await bakery.tends()
    assert bakery.receiver.texts == ["no. 1", "no. 2"]


async def test_a_receiver_that_is_away_gets_everything_in_order_when_it_is_back(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    bakery.receiver.answers = [503] * 8
    await bakery.hears(*(says(n) for n in range(1, 6)))
    await bakery.tends()
    for seconds in (5, 30, 120):
        await bakery.later(seconds=seconds)
    assert bakery.receiver.texts == ["no. 1", "no. 2"] * 4, "nobody else is tried meanwhile"
    await bakery.later(seconds=600)
    assert bakery.receiver.texts[8:] == [f"no. {n}" for n in range(1, 6)]
    assert len({one.key for one in bakery.receiver.got}) == 5
    assert (await bakery.endpoint()).failing_since is None


async def test_what_a_receiver_cannot_take_holds_up_nobody_else(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    bakery.receiver.refuses = {"wamid.2": 500}
    await bakery.hears(says(1), says(2), says(3))
    await bakery.tends()
    assert bakery.receiver.texts == ["no. 1", "no. 2", "no. 3"]
    stuck = (await bakery.deliveries("waiting"))[0]
    assert (stuck.code, stuck.tries, stuck.problem) == (500, 1, "The receiver answered 500.")
    await bakery.hears(says(4))
    await bakery.tends()
    assert bakery.receiver.texts[3:] == ["no. 4"]


async def test_trying_goes_on_for_three_days_and_then_ends(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    bakery.receiver.refuses = {"wamid.1": 500}
    await bakery.hears(says(1))
    await bakery.tends()
    for _ in range(200):
        one = (await bakery.deliveries())[0]
        if one.state != "waiting":
            break
        await bakery.later(seconds=(one.due_at - bakery.clock.now()).total_seconds())
    assert one.state == "failed"
    assert one.first_at is not None
    assert one.tried_at is not None
    assert timedelta(days=2, hours=22) < one.tried_at - one.first_at <= rules.GIVE_UP
    assert one.tries < 80


async def test_a_receiver_says_how_long_it_wants_to_be_left_alone(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    bakery.receiver.answers, bakery.receiver.headers = [429], "retry-after: 900\r\n"
    await bakery.hears(says(1))
    await bakery.tends()
    assert (await bakery.deliveries())[0].due_at == bakery.clock.now() + timedelta(minutes=15)


async def test_gone_is_the_end_and_so_are_days_of_silence(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    bakery.receiver.answers = [410]
    await bakery.hears(says(1))
    await bakery.tends()
    stopped = await bakery.endpoint()
    assert (stopped.state, "410" in stopped.says) == ("stopped", True)
    async with bakery.app.db.transaction() as tx:
        await service.turn_on(tx, bakery.organisation_id, bakery.endpoint_id, None, bakery.clock.now(), catch_up=True)
    bakery.receiver.answers = [500] * 1000
    await bakery.tends()
    await bakery.later(days=4)
    assert (await bakery.endpoint()).state == "on"
    await bakery.hears(says(2))
    await bakery.later(days=1, minutes=1)
    stopped = await bakery.endpoint()
    assert (stopped.state, "5 days" in stopped.says) == ("stopped", True)
    asked = len(bakery.receiver.got)
    await bakery.later(days=1)
    assert len(bakery.receiver.got) == asked


@pytest.mark.parametrize(("catch_up", "texts"), [(True, ["no. 1", "no. 2"]), (False, [])])
async def test_what_happened_while_it_was_off_is_told_if_that_is_wanted(
    bakery: Bakery, catch_up: bool, texts: list[str]
) -> None:
    await bakery.listens("message.received")
    async with bakery.app.db.transaction() as tx:
        await service.turn_off(tx, bakery.organisation_id, bakery.endpoint_id, None, bakery.clock.now())
    await bakery.hears(says(1), says(2))
    await bakery.tends()
    assert bakery.receiver.got == []
    async with bakery.app.db.transaction() as tx:
        now = bakery.clock.now()
        await service.turn_on(tx, bakery.organisation_id, bakery.endpoint_id, None, now, catch_up=catch_up)
    await bakery.tends()
    assert bakery.receiver.texts == texts


async def test_one_or_all_since_a_time_are_told_once_more_with_their_ids(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    await bakery.hears(says(1))
    bakery.clock.advance(hours=1)
    since = bakery.clock.now()
    await bakery.hears(says(2), says(3))
    await bakery.tends()
    keys = [one.key for one in bakery.receiver.got]
    where = bakery.organisation_id, bakery.endpoint_id
    async with bakery.app.db.transaction() as tx:
        await service.replay(tx, *where, (await bakery.deliveries())[0].id, bakery.clock.now())
    await bakery.tends()
    async with bakery.app.db.transaction() as tx:
        assert await service.replay_since(tx, *where, since, bakery.clock.now()) == 2
    await bakery.tends()
    assert [one.key for one in bakery.receiver.got] == [*keys, keys[0], *keys[1:]]


async def test_a_test_says_that_it_is_one(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    async with bakery.app.db.transaction() as tx:
        await service.test(tx, bakery.organisation_id, bakery.endpoint_id, bakery.clock.now())
    await bakery.tends()
    assert bakery.receiver.types == ["webhook.test"]
    assert bakery.receiver.got[0].signed_by(bakery.secret)


async def test_for_a_day_after_a_new_secret_the_old_one_signs_too(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    old = bakery.secret
    async with bakery.app.db.transaction() as tx:
        new = await service.rotate(bakery.app, tx, bakery.organisation_id, bakery.endpoint_id, None)
    await bakery.hears(says(1))
    await bakery.tends()
    await bakery.hears(says(2))
    await bakery.later(days=1)
    first, second = bakery.receiver.got
    assert (first.signed_by(old), first.signed_by(new)) == (True, True)
    assert (second.signed_by(old), second.signed_by(new)) == (False, True)


async def test_several_chats_are_told_of_at_once_where_that_is_wanted_each_in_order(bakery: Bakery) -> None:
    await bakery.listens("message.received", order_by="chat")
    bakery.receiver.hold = asyncio.Event()
    await bakery.hears(says(1), says(2), says(3, human=OTHER))
    tending = asyncio.create_task(bakery.tends())
    while len(bakery.receiver.got) < 2:
        await asyncio.sleep(0.01)
    assert sorted(bakery.receiver.texts) == ["no. 1", "no. 3"]
    bakery.receiver.hold.set()
    await tending
    assert bakery.receiver.texts[2:] == ["no. 2"]


async def test_while_a_receiver_thinks_no_connection_to_the_database_is_held(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    bakery.receiver.hold = asyncio.Event()
    await bakery.hears(says(1))
    tending = asyncio.create_task(bakery.tends())
    while not bakery.receiver.got:
        await asyncio.sleep(0.01)
    assert await value(bakery.app, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%%'") == 0
    bakery.receiver.hold.set()
    await tending


async def test_where_too_much_waits_events_stay_unread_and_none_is_lost(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "MOST_WAITING", 2)
    monkeypatch.setattr("twinline.webhooks_out.reading.EVENTS", 2)
    await bakery.listens("message.received")
    bakery.receiver.answers = [503, 503]
    await bakery.hears(*(says(n) for n in range(1, 8)))
    await bakery.tends()
    assert len(await bakery.deliveries()) == 2
    await bakery.later(seconds=6)
    assert bakery.receiver.texts[2:] == [f"no. {n}" for n in range(1, 8)]


async def test_an_address_inside_is_refused_when_it_is_given_and_when_it_is_asked(bakery: Bakery) -> None:
    async with bakery.app.db.transaction() as tx:
        for url in ("http://127.0.0.1:1/", "https://169.254.169.254/", "http://example.com/", "nonsense"):
            with pytest.raises(WebhookError):
                await service.add(bakery.app, tx, bakery.organisation_id, url, ["message.received"], None)
    await bakery.listens("message.received")
    await change(bakery.app, "UPDATE webhook_endpoints SET url = 'https://localhost:1/'")
    await bakery.hears(says(1))
    await bakery.tends()
    refused = (await bakery.deliveries())[0]
    assert (refused.code, refused.problem is not None and "TWINLINE_OUTSIDE_ALLOWED" in refused.problem) == (None, True)


async def test_of_another_organisation_nothing_is_told(bakery: Bakery) -> None:
    other = await value(bakery.app, "INSERT INTO organisations (name, created_at) VALUES ('x', now()) RETURNING id")
    bakery.organisation_id = other
    await bakery.listens()
    await bakery.hears(says(1))
    await bakery.tends()
    assert bakery.receiver.got == []
    async with bakery.app.db.transaction() as tx:
        with pytest.raises(WebhookError):
            await service.replay(tx, other + 1, bakery.endpoint_id, 1, bakery.clock.now())


async def test_a_number_that_comes_later_is_told_of_from_its_first_event(bakery: Bakery) -> None:
    await bakery.listens("message.received")
    cafe = wire.Business("7001", "8001", "351210007799")
    later = await value(
        bakery.app,
        "INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at, connected_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
        bakery.organisation_id,
        cafe.waba_id,
        cafe.phone_number_id,
        cafe.phone,
        *[bakery.clock.now() + timedelta(seconds=1)] * 2,
    )
    await bakery.hears(wire.inbound(RUA, wire.text("wamid.1", T0, "to the café"), business=cafe))
    async with bakery.app.db.transaction() as tx:
        heard = await tx.rows(queries.LISTENING, {"numbers": [later]})
    assert heard == [(bakery.organisation_id, bakery.endpoint_id)]
    await bakery.tends()
    assert bakery.receiver.texts == ["to the café"]


async def test_news_wake_the_webhook_and_what_nobody_heard_is_found(bakery: Bakery) -> None:
    waiting = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'webhooks_out.tend' AND status = 'todo'"
    await bakery.listens("message.received")
    await bakery.hears(says(1))
    async with bakery.app.db.transaction() as tx:
        behind = await tx.rows(queries.BEHIND, {"now": bakery.clock.now()})
    assert behind == [(bakery.organisation_id, bakery.endpoint_id)]
    listening = asyncio.create_task(jobs.listen(bakery.app))
    async with asyncio.timeout(PATIENCE):
        while not await value(bakery.app, waiting):  # what was said before anybody listened
            await asyncio.sleep(0.02)
        await bakery.tends()
        await change(bakery.app, "DELETE FROM procrastinate_jobs")
        await tell(bakery.app, says(2))
        while not await value(bakery.app, waiting):
            await asyncio.sleep(0.02)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert await value(bakery.app, waiting) == 1


async def test_old_deliveries_are_forgotten_page_by_page_unless_they_still_wait(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PAGE", 2)
    await bakery.listens("message.received")
    await bakery.hears(*(says(n) for n in range(1, 6)))
    await bakery.tends()
    await change(bakery.app, "UPDATE webhook_deliveries SET state = 'waiting' WHERE body LIKE '%%no. 3%%'")
    bakery.clock.advance(days=bakery.app.settings.deliveries_days - 1)
    await jobs.forget(bakery.app)
    assert len(await bakery.deliveries()) == 5
    bakery.clock.advance(days=1, minutes=1)
    await jobs.forget(bakery.app)
    assert [one.state for one in await bakery.deliveries()] == ["waiting"]
