"""What people say by the composer: every type, with its limits, and how it looks in the thread then."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.rules.test_messages import BUTTONS, CARDS, FLOW, LINK, LIST, PLACE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ana(shop: Any) -> int:
    contact = int(await shop.contact("34600111222", profile_name="Ana Whitfield"))
    await shop.say(contact, "hola", ago=60)
    return contact


def chat(shop: Any, contact: int, more: str = "") -> str:
    return f"/inbox/{shop.number_id}/{contact}{more}"


def picture(kind: str = "PNG", size: tuple[int, int] = (900, 600)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "orange").save(out, kind)
    return out.getvalue()


async def outbox(shop: Any) -> list[dict[str, Any]]:
    async with shop.app.db.transaction() as tx:
        return list(await tx.dicts("SELECT type, text, content, quoted FROM outbox ORDER BY id"))


@pytest.mark.parametrize(
    ("kind", "content", "text", "shown"),
    [
        ("location", PLACE, "The bakery", "openstreetmap.org"),
        ("contacts", CARDS, "Ana", "+34 600"),
        ("interactive", BUTTONS, "Shall we?", "Choice 2"),
        ("interactive", LIST, "What would you like?", "Until it&#39;s gone"),
        ("interactive", LINK, "Our shop", 'href="https://example.com/shop"'),
        ("interactive", FLOW, "Book a table", "Book"),
        ("text", {"preview_url": True}, "https://example.com", "https://example.com"),
    ],
)
async def test_every_type_is_written_with_a_quote_and_shown_at_once(
    shop: Any, ana: int, browser: httpx.AsyncClient, kind: str, content: dict[str, Any], text: str, shown: str
) -> None:
    form = {"key": "key-1234", "type": kind, "content": json.dumps(content), "quoted": "wamid.00000001"}
    answer = await browser.post(chat(shop, ana, "/messages"), data=form | ({"text": text} if kind == "text" else {}))
    assert answer.status_code == 200, answer.text
    assert shown in answer.text
    assert await outbox(shop) == [{"type": kind, "text": text, "content": content, "quoted": "wamid.00000001"}]


async def test_what_is_wrong_is_said_part_by_part(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    many = {**BUTTONS, "action": {"buttons": [*BUTTONS["action"]["buttons"], BUTTONS["action"]["buttons"][0]]}}
    form = {"key": "key-1234", "type": "interactive", "content": json.dumps(many)}
    refused = await browser.post(chat(shop, ana, "/messages"), data=form)
    assert refused.status_code == 409
    assert "4 buttons; WhatsApp allows 3" in refused.text


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"type": "status", "text": "to everybody"}, 400),
        ({"type": "interactive", "content": "[1]"}, 400),
        ({"type": "interactive", "content": "not json"}, 400),
        ({"type": "interactive", "content": '{"body": 7}'}, 409),
        ({"type": "location", "content": '{"latitude": "here"}'}, 409),
        ({"type": "reaction", "text": "👍"}, 409),
        ({"text": "  "}, 409),
    ],
)
async def test_a_form_that_means_nothing_is_refused_and_leaves_nothing(
    shop: Any, ana: int, browser: httpx.AsyncClient, form: dict[str, str], status: int
) -> None:
    answer = await browser.post(chat(shop, ana, "/messages"), data={"key": "key-1234", **form})
    assert answer.status_code == status
    assert await outbox(shop) == []


async def test_a_picture_becomes_a_sticker_and_a_recording_a_voice_message(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    for kind, name, data in (
        ("sticker", "cat.png", picture()),
        ("voice", "voice.ogg", b"OggS" + b"\0" * 24 + b"OpusHead"),
        ("voice", "voice.m4a", b"\0\0\0\x18ftypM4A sound"),
    ):
        files = {"file": (name, data, "application/octet-stream")}
        form = {"key": f"key-{name}".replace(".", "-"), "type": kind}
        answer = await browser.post(chat(shop, ana, "/messages"), data=form, files=files)
        assert answer.status_code == 200, answer.text
    sticker, voice, sound = await outbox(shop)
    assert sticker["type"] == "sticker"
    assert {key: sticker["content"][key] for key in ("mime_type", "width", "height", "animated")} == {
        "mime_type": "image/webp",
        "width": 512,
        "height": 512,
        "animated": False,
    }
    assert (voice["type"], voice["content"]["voice"]) == ("audio", True)
    assert (sound["type"], sound["content"].get("voice")) == ("audio", None), "WhatsApp plays only Opus as a voice"


async def test_a_file_that_whatsapp_wont_have_is_refused_with_what_it_would(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    files = {"file": ("tune.ogg", b"OggS" + b"\0" * 24 + b"\x01vorbis", "audio/ogg")}
    answer = await browser.post(chat(shop, ana, "/messages"), data={"key": "key-1234"}, files=files)
    assert answer.status_code == 409
    assert "audio/vorbis" in answer.text
    assert "M4A" in answer.text


async def test_pictures_are_shown_small_and_opened_whole(
    shop: Any, ana: int, browser: httpx.AsyncClient, tmp_path: Path
) -> None:
    whole = picture("JPEG", (2000, 1000))
    shop.app.files.write("1/ab/photo", whole)
    await shop.execute(
        "INSERT INTO media (number_id, media_id, state, mime_type, file)"
        " VALUES (%s, 'm', 'kept', 'image/jpeg', '1/ab/photo')",
        (shop.number_id,),
    )
    await shop.say(ana, None, type="image", media_id="m")
    page = (await browser.get(chat(shop, ana))).text
    assert f'href="/media/{shop.number_id}/m"' in page
    assert f'src="/media/{shop.number_id}/m?small"' in page
    small = await browser.get(f"/media/{shop.number_id}/m?small")
    assert small.headers["content-type"] == "image/webp"
    assert small.headers["x-content-type-options"] == "nosniff"
    assert Image.open(io.BytesIO(small.content)).size == (480, 240)
    part = await browser.get(f"/media/{shop.number_id}/m", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    for path in (tmp_path / "media" / "1").rglob("photo*"):
        path.unlink()
    for address in ("m", "m?small"):
        assert (await browser.get(f"/media/{shop.number_id}/{address}")).status_code == 404


async def test_people_to_send_are_found_by_name_and_number(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    await shop.contact("34600999888", book_name="Bruno 100%")
    await shop.contact(None, bsuid="ES.1", username="secretive")
    everybody = (await browser.get(f"/inbox/{shop.number_id}/cards")).text
    assert "Ana Whitfield" in everybody
    assert "Bruno" in everybody
    assert "secretive" not in everybody, "who has no telephone number can't be sent as a contact"
    found = (await browser.get(f"/inbox/{shop.number_id}/cards?q=100%25")).text
    assert "Bruno" in found
    assert "Ana" not in found


async def test_typing_is_told_to_the_customer(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    for _ in range(3):
        assert (await browser.post(chat(shop, ana, "/typing"))).status_code == 204
    async with shop.app.db.transaction() as tx:
        jobs = await tx.rows("SELECT args->>'wamid' FROM procrastinate_jobs WHERE task_name = 'sending.receipt'")
    assert jobs == [("wamid.00000001",)]


async def test_what_customers_tap_and_fill_in_says_what_it_was(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    await shop.write(
        shop.row(ana, "Lemon", ago=50, type="interactive", content={
            "type": "list_reply", "list_reply": {"id": "lemon", "title": "Lemon", "description": "With almonds"}}),
        shop.row(ana, "Yes", ago=40, type="interactive", content={
            "type": "button_reply", "button_reply": {"id": "yes", "title": "Yes"}}),
        shop.row(ana, "Sent", ago=30, type="interactive", content={
            "type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json":
                '{"flow_token": "t", "party_size": 4, "name": "<b>Ana</b>"}'}}),
        shop.row(ana, None, ago=20, type="interactive", content={
            "type": "nfm_reply", "nfm_reply": {"response_json": "{"}}),
        shop.row(ana, None, ago=10, type="image", extra={"errors": [{"code": 131052}]}),
    )  # fmt: skip
    page = (await browser.get(chat(shop, ana))).text
    for expected in ("With almonds", "Filled in the form", "party size", '<dd dir="auto">4</dd>', "&lt;b&gt;Ana"):
        assert expected in page
    assert "flow_token" not in page
    assert "couldn&#39;t pass on" in page
