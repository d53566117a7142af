"""The stream: nothing is missed, nothing is told to a stranger, nobody is told everything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.fixtures import plans
from tests.fixtures.patience import PATIENCE, comes

from twinline.app import App
from twinline.db import as_json
from twinline.inbox import live as live_module
from twinline.inbox.live import Live
from twinline.mirror import events, turn

pytestmark = pytest.mark.anyio


@pytest.fixture
async def live(app: App) -> AsyncIterator[Live]:
    hub = Live(app)
    await hub.start()
    yield hub
    await hub.stop()


async def tell(shop: Any, *chats: int) -> None:
    async with shop.app.db.transaction() as tx:
        await turn.take(tx, [shop.number_id])
        await events.publish(tx, {shop.number_id: {"chats": list(chats)}}, shop.now)


async def tell_silently(shop: Any, chat: int) -> None:
    """As ``events.publish`` does, but without its notice."""
    async with shop.app.db.transaction() as tx:
        await tx.execute("UPDATE numbers SET event_seq = event_seq + 1 WHERE id = %s", (shop.number_id,))
        await tx.execute(
            "INSERT INTO events SELECT id, event_seq, %s, %s::jsonb FROM numbers WHERE id = %s",
            (shop.now, as_json({"chats": [chat]}), shop.number_id),
        )


class Stream:
    """Reads server-sent events one by one."""

    def __init__(self, hub: Live, shop: Any, since: str | None) -> None:
        self._chunks = hub.stream(shop.viewer.organisation_id, since)
        self._blocks: list[str] = []
        self.id = ""

    async def next(self) -> dict[str, Any]:
        while True:
            while not self._blocks:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    return {"event": "end"}
                self._blocks = chunk.removesuffix("\n\n").split("\n\n")
            fields = dict(line.split(": ", 1) for line in self._blocks.pop(0).split("\n") if ": " in line)
            self.id = fields.get("id", self.id)
            if "event" in fields:
                return {"event": fields["event"]}
            if "data" in fields:
                found: dict[str, Any] = orjson.loads(fields["data"])
                return found

    async def soon(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.next(), PATIENCE)

    async def close(self) -> None:
        await self._chunks.aclose()  # type: ignore[attr-defined]


async def test_an_event_arrives_with_the_cursor_that_continues_after_it(shop: Any, live: Live) -> None:
    stream = Stream(live, shop, f"{shop.number_id}:0")
    first = asyncio.create_task(stream.soon())
    await comes(lambda: live._subscribers)
    await tell(shop, 7)
    assert await first == {"number_id": shop.number_id, "seq": 1, "chats": [7]}
    assert stream.id == f"{shop.number_id}:1"
    await stream.close()
    await tell(shop, 8)
    await tell(shop, 9)
    again = Stream(live, shop, stream.id)
    assert [(await again.soon())["chats"] for _ in range(2)] == [[8], [9]]
    await again.close()


async def test_whoever_is_cut_off_amid_what_came_together_is_told_of_all_of_it_again(shop: Any, live: Live) -> None:
    for chat in (7, 8, 9):
        await tell(shop, chat)
    stream = Stream(live, shop, f"{shop.number_id}:0")
    assert [((await stream.soon())["chats"], stream.id) for _ in range(2)] == [([7], ""), ([8], "")]
    assert ((await stream.soon())["chats"], stream.id) == ([9], f"{shop.number_id}:3")
    await stream.close()


async def test_what_is_new_is_found_without_reading_what_is_old(shop: Any, another_shop: Any) -> None:
    numbers = [shop.number_id, (await another_shop("Somebody else")).number_id]
    await shop.execute(
        "INSERT INTO events (number_id, seq, at, body)"
        " SELECT id, seq, now(), '{}' FROM numbers CROSS JOIN generate_series(1, 3000) AS seq"
    )
    await shop.execute("ANALYZE events")
    named = {"numbers": numbers, "seqs": [2999] * 2, "limit": live_module.QUEUE}
    async with shop.app.db.transaction() as tx:
        assert await plans.read(tx, live_module.NEWER, named) == 2


async def test_without_a_cursor_a_stream_begins_at_the_present(shop: Any, live: Live) -> None:
    await tell(shop, 1)
    stream = Stream(live, shop, None)
    news = asyncio.create_task(stream.soon())
    await comes(lambda: live._subscribers)
    await tell(shop, 2)
    assert (await news)["chats"] == [2]
    await stream.close()


async def test_a_stranger_hears_nothing_whatever_cursor_they_bring(shop: Any, another_shop: Any, live: Live) -> None:
    other = await another_shop("Somebody else")
    await tell(shop, 1)
    spy = Stream(live, other, f"{shop.number_id}:0,{other.number_id}:0")
    heard = asyncio.create_task(spy.soon())
    await comes(lambda: live._subscribers)
    await tell(shop, 2)
    await tell(other, 3)
    assert (await heard)["number_id"] == other.number_id
    await spy.close()


async def test_a_lost_notice_only_delays(shop: Any, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "SWEEP", 0.1)
    stream = Stream(live, shop, f"{shop.number_id}:0")
    news = asyncio.create_task(stream.soon())
    await comes(lambda: live._subscribers)
    await tell(shop, 0)  # wakes the pump, which then sleeps by the shorter measure
    assert (await news)["chats"] == [0]
    news = asyncio.create_task(stream.soon())
    await tell_silently(shop, 5)
    assert (await news)["chats"] == [5]
    await stream.close()


async def test_a_lost_notice_only_delays_also_while_notices_of_others_come_without_end(
    shop: Any, another_shop: Any, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "SWEEP", 0.5)  # longer than a notice takes
    other = await another_shop("Somebody else")
    streams = [Stream(live, watched, f"{watched.number_id}:0") for watched in (shop, other)]
    for stream, watched in zip(streams, (shop, other), strict=True):
        first = asyncio.create_task(stream.soon())
        await comes(lambda watched=watched: watched.number_id in live._subscribers)
        await tell(watched, 0)
        await first
    news = asyncio.create_task(streams[0].soon())
    await tell_silently(shop, 5)
    while not news.done():
        await tell(other, 1)
    assert (await news)["chats"] == [5]
    for stream in streams:
        await stream.close()


async def cut(app: App) -> int:
    """Answers how many listeners there were."""
    async with app.db.transaction() as tx:
        return await tx.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
        )


async def test_the_hub_hears_again_after_its_connection_was_cut(shop: Any, live: Live) -> None:
    stream = Stream(live, shop, f"{shop.number_id}:0")
    news = asyncio.create_task(stream.soon())
    await comes(lambda: live._subscribers)
    while not await cut(shop.app):
        await asyncio.sleep(0.01)
    await tell(shop, 4)
    assert (await news)["chats"] == [4]
    await stream.close()


async def test_whoever_is_too_far_behind_is_told_to_load_again(shop: Any, live: Live) -> None:
    await shop.execute("UPDATE numbers SET event_seq = %s", (live_module.BEHIND + 1,))
    assert await Stream(live, shop, f"{shop.number_id}:0").soon() == {"event": "reload"}


async def test_events_that_were_cleared_away_are_not_passed_over_in_silence(shop: Any, live: Live) -> None:
    for chat in range(5):
        await tell(shop, chat)
    await shop.execute("DELETE FROM events WHERE seq <= 3")
    assert await Stream(live, shop, f"{shop.number_id}:1").soon() == {"event": "reload"}


async def test_a_browser_that_is_too_slow_is_told_to_load_again(
    shop: Any, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(live, shop, f"{shop.number_id}:0")
    news = asyncio.create_task(stream.soon())
    await comes(lambda: live._subscribers)
    await tell(shop, 1)
    await news
    monkeypatch.setattr(live_module, "HEARTBEAT", 0.05)
    [subscriber] = live._subscribers[shop.number_id]
    for seq in range(live_module.QUEUE + 1):
        subscriber.offer(live_module.Event(shop.number_id, seq, "{}"))
    assert subscriber.overflown
    assert await stream.soon() == {"event": "reload"}


async def test_a_closed_stream_leaves_nothing_behind(shop: Any, live: Live) -> None:
    stream = Stream(live, shop, f"{shop.number_id}:0")
    await tell(shop, 1)
    await stream.soon()
    await stream.close()
    assert not live._subscribers
    assert not live._heads


@pytest.mark.parametrize("numbers", ["of the shop", "none yet"])
async def test_every_stream_ends_when_the_process_goes_also_one_that_comes_then(
    shop: Any, live: Live, numbers: str
) -> None:
    organisation = shop.viewer.organisation_id if numbers == "of the shop" else 0
    streams = [live.stream(organisation, None) for _ in range(2)]
    assert await anext(streams[0]) == "retry: 1000\n\n"
    live.close()
    for stream in streams:
        async with asyncio.timeout(PATIENCE):
            assert [said async for said in stream if "here" in said] == []
