"""Files: kept, sent up once, and said with a message."""

import asyncio
from typing import Any

import httpx
import pytest
from tests.sending.conftest import Shop, error

from twinline.rules.outcomes import TOKENLESS, Way
from twinline.sending import service, stops
from twinline.sending.models import Draft, Lane

pytestmark = pytest.mark.anyio

ANA, BEA = "351910000001", "351910000002"
PNG = b"\x89PNG\r\n\x1a\n" + b"tart" * 100
PDF = b"%PDF-1.7 the order"


async def attached(shop: Shop, data: bytes = PNG, name: str = "tart.png", caption: str | None = None) -> Draft:
    return await service.attach(shop.app, data, name, caption)


async def test_a_photo_goes_up_and_then_out_with_its_caption(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, await attached(shop, caption="Still warm"))
    await shop.drain()
    [message] = shop.meta.messages
    assert message["image"] == {"id": "media-1", "caption": "Still warm"}
    [upload] = shop.meta.uploads
    assert PNG in upload
    assert b"image/png" in upload
    row = await shop.row(outbox)
    assert (row["state"], row["attempts"], row["content"]["id"]) == ("sent", 1, "media-1")
    [kept] = await shop.dicts("SELECT * FROM media")
    assert (kept["media_id"], kept["state"], kept["mime_type"], kept["size"]) == (
        "media-1", "kept", "image/png", len(PNG)
    )  # fmt: skip
    [shown] = await shop.dicts("SELECT * FROM messages WHERE outgoing")
    assert (shown["type"], shown["text"], shown["media_id"]) == ("image", "Still warm", "media-1")
    assert "file" not in shown["content"]


@pytest.mark.parametrize(
    ("data", "name", "kind", "extra"),
    [
        (PDF, "order.pdf", "document", {"filename": "order.pdf", "caption": "Your order"}),
        (b"OggS OpusHead voice", "note.ogg", "audio", {}),
        (b"\0\0\0\x18ftypmp42", "oven.mp4", "video", {"caption": "Your order"}),
        (b"Dear Ana", "letter.txt", "document", {"filename": "letter.txt", "caption": "Your order"}),
    ],
)
async def test_every_file_goes_as_what_it_is(shop: Shop, data: bytes, name: str, kind: str, extra: Any) -> None:
    ana = await shop.customer(ANA)
    draft = await attached(shop, data, name, extra.get("caption"))
    assert draft.type == kind
    await shop.says(ana, draft)
    await shop.drain()
    [message] = shop.meta.messages
    assert message[kind] == {"id": "media-1", **extra}


async def test_a_file_goes_up_once_however_often_its_message_is_tried(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("image", error(131000, 500), error(130429))
    outbox = await shop.says(ana, await attached(shop))
    await shop.drain()
    assert (await shop.row(outbox))["state"] == "sent"
    assert (len(shop.meta.uploads), len(shop.meta.messages)) == (1, 3)


async def test_an_upload_without_an_answer_is_no_doubt_for_nobody_was_written_to(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("upload", httpx.ReadTimeout("no answer"))
    outbox = await shop.says(ana, await attached(shop))
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], row["attempts"]) == ("sent", 2)
    assert (len(shop.meta.uploads), len(shop.meta.messages)) == (2, 1)


async def test_a_file_that_whatsapp_cannot_use_fails_its_message_in_plain_words(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("upload", error(131053))
    outbox = await shop.says(ana, await attached(shop))
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], row["error_text"]) == ("failed", "WhatsApp couldn't use this file.")
    assert not shop.meta.messages


async def test_a_file_that_is_gone_fails_its_message_and_nothing_else(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    lost = Draft("image", None, {"file": "outgoing/lost", "mime_type": "image/png", "size": 3})
    outbox = await shop.says(ana, lost)
    other = await shop.says(bea, "Good morning")
    await shop.drain()
    row = await shop.row(outbox)
    assert row["state"] == "failed"
    assert "Attach it again" in row["error_text"]
    assert await shop.state(other) == "sent"


async def test_a_slow_upload_holds_back_its_own_chat_only(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    done = asyncio.Event()

    async def slow() -> httpx.Response:
        await done.wait()
        return httpx.Response(200, json={"id": "media-slow"})

    shop.meta.will("upload", slow)
    photo = await shop.says(ana, await attached(shop))
    behind = await shop.says(ana, "That was this morning's.")
    other = await shop.says(bea, "Good morning")
    draining = asyncio.create_task(shop.drain())
    await shop.until(other, "sent")
    assert (await shop.state(photo), await shop.state(behind)) == ("queued", "queued")
    done.set()
    await draining
    assert shop.meta.texts == ["Good morning", "image", "That was this morning's."]


async def test_messages_of_a_number_without_a_token_wait_for_one(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    [number] = await shop.dicts("SELECT token FROM numbers")
    await shop.execute("UPDATE numbers SET token = NULL")
    rows = [await shop.says(ana, "Hello"), await shop.says(bea, await attached(shop))]
    await shop.drain()
    for row in rows:
        kept = await shop.row(row)
        assert (kept["state"], kept["error_code"]) == ("held", TOKENLESS)
    async with shop.app.db.transaction() as tx:
        await tx.execute("UPDATE numbers SET token = %s", (number["token"],))
        await stops.relieve(tx, shop.number_id, Way.TOKEN, shop.clock.now())
    await shop.drain()
    assert [await shop.state(row) for row in rows] == ["sent", "sent"]


@pytest.mark.parametrize(("who", "places"), [(Lane.PERSON, 3), (Lane.MARKETING, 2)])
async def test_few_files_go_up_at_once_and_one_more_where_a_person_waits(shop: Shop, who: Lane, places: int) -> None:
    customers = [await shop.customer(f"35191000{n:04}") for n in range(6)]
    now = most = 0

    async def upload() -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return httpx.Response(200, json={"id": f"media-{len(shop.meta.uploads)}"})

    shop.meta.will("upload", *[upload] * 6)
    author = "person" if who is Lane.PERSON else "campaign"
    rows = [
        await shop.says(customer, await attached(shop, PNG + bytes([n])), lane=who, author=author)
        for n, customer in enumerate(customers)
    ]
    await shop.drain()
    assert [await shop.state(row) for row in rows] == ["sent"] * 6
    assert most == places


# --- once for all ---------------------------------------------------------------------------------------------------


async def test_a_file_that_many_messages_carry_goes_up_once_even_if_they_wait_together(shop: Shop) -> None:
    customers = [await shop.customer(f"35191000{n:04}") for n in range(5)]
    rows = [await shop.says(customer, await attached(shop)) for customer in customers]
    await shop.drain()
    assert [await shop.state(row) for row in rows] == ["sent"] * 5
    assert len(shop.meta.uploads) == 1
    assert {message["image"]["id"] for message in shop.meta.messages} == {"media-1"}


async def test_a_file_that_meta_has_is_reused_while_it_lives_and_goes_up_anew_after(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    await shop.says(ana, await attached(shop))
    await shop.drain()
    await shop.says(bea, await attached(shop, caption="The same"))
    await shop.drain()
    assert len(shop.meta.uploads) == 1
    shop.clock.advance(days=30)
    carla = await shop.customer("351910000003")
    await shop.says(carla, await attached(shop))
    await shop.drain()
    assert [message["image"]["id"] for message in shop.meta.messages] == ["media-1", "media-1", "media-2"]


@pytest.mark.parametrize("code", [100, 131053])
async def test_a_file_that_meta_forgot_goes_up_once_more_and_no_more_than_that(shop: Shop, code: int) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    await shop.says(ana, await attached(shop))
    await shop.drain()
    shop.meta.will("image", error(code))
    again = await shop.says(bea, await attached(shop))
    await shop.drain()
    assert (await shop.row(again))["state"] == "sent"
    assert [message["image"]["id"] for message in shop.meta.messages] == ["media-1", "media-1", "media-2"]
    shop.meta.will("image", error(code), error(code))
    third = await shop.says(bea, await attached(shop, caption="Once more"))
    await shop.drain()
    assert (await shop.row(third))["state"] == "failed"
    assert len(shop.meta.uploads) == 3


async def test_a_file_that_fails_a_message_later_goes_up_anew_with_the_next(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    first = await shop.says(ana, await attached(shop))
    await shop.drain()
    await shop.status(shop.meta.messages[0], "failed", errors=[{"code": 131053, "title": "Media upload error"}])
    assert await shop.state(first) == "sent", "what failed for good isn't sent again by itself"
    await shop.says(ana, await attached(shop, caption="Once more"))
    await shop.drain()
    assert [message["image"]["id"] for message in shop.meta.messages] == ["media-1", "media-2"]


async def test_the_same_bytes_under_another_format_are_another_file(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    container = b"PK\x03\x04 the same archive"
    for name in ("order.docx", "order.xlsx"):
        await shop.says(ana, await attached(shop, container, name))
        await shop.drain()
    assert len(shop.meta.uploads) == 2
