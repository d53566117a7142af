"""Read receipts and "typing…": told once, only of what came live, only where the number shows it."""

from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Shop, error

from twinline.inbox import service as inbox
from twinline.meta.graph import GraphError
from twinline.sending import receipts

pytestmark = pytest.mark.anyio

ANA = "351910000001"


async def reads(shop: Shop, contact_id: int) -> None:
    async with shop.app.db.transaction() as tx:
        await inbox.mark_read(tx, shop.number_id, contact_id, shop.clock.now())


async def types(shop: Shop, contact_id: int) -> None:
    async with shop.app.db.transaction() as tx:
        await receipts.typing(tx, shop.number_id, contact_id, shop.clock.now())


async def ordered(shop: Shop) -> list[dict[str, Any]]:
    sql = "SELECT args FROM procrastinate_jobs WHERE task_name = 'sending.receipt' ORDER BY id"
    return [row["args"] for row in await shop.dicts(sql)]


async def told(shop: Shop) -> list[dict[str, Any]]:
    """Runs what was ordered; answers what Meta heard."""
    for args in await ordered(shop):
        await receipts.send(shop.app, **args)
    await shop.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'sending.receipt'")
    heard, shop.meta.messages = shop.meta.messages, []
    return heard


def receipt(wamid: str) -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "status": "read", "message_id": wamid}


async def test_reading_a_chat_tells_of_its_newest_message_once(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.hears(wire.inbound(Human(ANA), wire.text("wamid.LAST", shop.seconds, "Anybody there?")))
    await reads(shop, ana)
    await reads(shop, ana)
    assert await told(shop) == [receipt("wamid.LAST")]
    await shop.hears(wire.inbound(Human(ANA), wire.text("wamid.MORE", shop.seconds, "Hello?")))
    await reads(shop, ana)
    assert await told(shop) == [receipt("wamid.MORE")]


async def test_what_came_with_the_history_is_read_in_silence(shop: Shop) -> None:
    before = wire.theirs(Human(ANA), wire.text("wamid.P", shop.seconds - 7200, "Good morning"))
    await shop.hears(wire.chunk(0, 1, 100, wire.thread(Human(ANA), before)))
    ana = await shop.value("SELECT contact_id FROM identities WHERE key = %s", (f"p:{ANA}",))
    await shop.execute("UPDATE chats SET unread = 1")
    await reads(shop, ana)
    await types(shop, ana)
    assert await told(shop) == []


async def test_after_thirty_days_it_is_too_late(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.clock.advance(days=30, seconds=1)
    await reads(shop, ana)
    assert await told(shop) == []


async def test_typing_is_told_at_most_every_twenty_seconds_and_only_while_it_is_true(shop: Shop) -> None:
    shop.clock.stop()
    ana = await shop.customer(ANA)
    shows = receipt("wamid.IN1") | {"typing_indicator": {"type": "text"}}
    await types(shop, ana)
    await types(shop, ana)
    assert await told(shop) == [shows]
    shop.clock.advance(seconds=19)
    await types(shop, ana)
    assert await told(shop) == []
    shop.clock.advance(seconds=1)
    await types(shop, ana)
    shop.clock.advance(seconds=receipts.TYPING_LATE.total_seconds())
    assert await told(shop) == [], "nobody may be typing any more"


async def test_neither_opens_or_lengthens_the_window(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    before = await shop.dicts("SELECT last_inbound_at, answered_at FROM chats")
    shop.clock.advance(hours=1)
    await reads(shop, ana)
    await types(shop, ana)
    await told(shop)
    assert await shop.dicts("SELECT last_inbound_at, answered_at FROM chats") == before


@pytest.mark.parametrize(
    ("setting", "reading", "typing"),
    [
        ("send_receipts = false", 0, 0),
        ("send_typing = false", 1, 0),
        ("state = 'offboarded'", 0, 0),
        ("state = 'disconnected'", 0, 0),
        ("token = NULL", 0, 0),
    ],
)
@pytest.mark.parametrize("when", ["before it is ordered", "after"])
async def test_a_number_shows_what_it_is_set_to_and_nothing_while_it_is_away(
    shop: Shop, setting: str, reading: int, typing: int, when: str
) -> None:
    counts = []
    for act in (reads, types):
        ana = await shop.customer(f"35191000{len(counts):04}")
        if when == "after":
            await act(shop, ana)
        await shop.execute(f"UPDATE numbers SET {setting}")
        if when != "after":
            await act(shop, ana)
        counts.append(len(await told(shop)))
        await shop.execute(
            "UPDATE numbers SET send_receipts = true, send_typing = true, state = 'connected', token = %s",
            (shop.app.vault.seal("EAAGtokenOfTheBakery"),),
        )
    assert counts == [reading, typing]


async def test_a_receipt_that_meta_cannot_take_now_is_told_again_one_it_wont_have_isnt(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await reads(shop, ana)
    [args] = await ordered(shop)
    shop.meta.will("read", error(131000, 500), error(131009))
    with pytest.raises(GraphError):
        await receipts.send(shop.app, **args)
    await receipts.send(shop.app, **args)
    assert len(shop.meta.messages) == 2


def test_typing_shows_no_longer_than_it_is_told_anew() -> None:
    assert timedelta(seconds=15) <= receipts.TYPING_EVERY < timedelta(seconds=25)
