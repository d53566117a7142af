"""What a browser gets."""

from typing import Any

import httpx
import pytest

from twinline.app import App
from twinline.inbox.models import Media

pytestmark = pytest.mark.anyio

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


@pytest.fixture
async def ana(shop: Any) -> int:
    return int(await shop.contact("34600111222", profile_name="Ana Whitfield"))


def chat(shop: Any, contact: int, more: str = "") -> str:
    return f"/inbox/{shop.number_id}/{contact}{more}"


async def test_without_a_number_the_inbox_leads_to_connecting_one(shop: Any, browser: httpx.AsyncClient) -> None:
    await shop.execute("DELETE FROM numbers")
    assert 'href="/numbers/connect"' in (await browser.get("/inbox")).text


async def test_nothing_of_another_organisation_can_be_read_or_changed(
    shop: Any, another_shop: Any, browser: httpx.AsyncClient
) -> None:
    other = await another_shop("Somebody else")
    theirs = await other.contact("34699999999", profile_name="Secret")
    await other.say(theirs, "secret")
    await other.execute(
        "INSERT INTO media (number_id, media_id, state, file) VALUES (%s, 'm', 'kept', 'x')", (other.number_id,)
    )
    base = f"/inbox/{other.number_id}"
    for address in (base, f"{base}/rows", f"{base}/rows?ids={theirs}", f"{base}/{theirs}", f"{base}/{theirs}/messages"):
        assert (await browser.get(address)).status_code == 404, address
    for address in (f"{base}/{theirs}/panel", f"{base}/{theirs}/state", f"/media/{other.number_id}/m"):
        assert (await browser.get(address)).status_code == 404, address
    for action in ("read", "name", "assign", "floor/release"):
        assert (await browser.post(f"{base}/{theirs}/{action}")).status_code == 404, action
    sent = await browser.post(f"{base}/{theirs}/messages", data={"text": "x", "key": "12345678"})
    assert sent.status_code == 404
    # Through one's own number, another's contact isn't there either.
    assert (await browser.get(chat(shop, theirs))).status_code == 404


async def test_hostile_text_and_names_stay_text(shop: Any, browser: httpx.AsyncClient) -> None:
    who = await shop.contact("34600111222", profile_name=HOSTILE, book_name=HOSTILE, username=HOSTILE)
    first = await shop.say(who, HOSTILE, ago=50)
    await shop.write(
        shop.row(who, HOSTILE, ago=40, quoted=first),
        shop.row(who, HOSTILE, ago=30, type="document", content={"filename": HOSTILE}),
        shop.row(who, None, ago=20, type="contacts", content={"items": [{"name": {"formatted_name": HOSTILE}}]}),
        shop.row(who, None, ago=15, type="location", content={"latitude": 1, "longitude": 2, "name": HOSTILE}),
        shop.row(who, HOSTILE, ago=10, type=HOSTILE[:60]),
    )
    for address in (chat(shop, who), chat(shop, who, "/panel"), f"/inbox/{shop.number_id}/rows?q=script"):
        text = (await browser.get(address)).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "&lt;script&gt;" in text


async def test_a_thread_says_who_wrote_from_where_and_how_far_it_came(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    await shop.write(
        shop.row(ana, "from before", ago=900, live=False),
        shop.row(ana, "typed on the phone", ago=90, outgoing=True, delivery=6),
        shop.row(ana, "typed here", ago=80, outgoing=True, author="person", author_id=shop.viewer.user_id, delivery=5),
        shop.row(ana, "by a machine", ago=70, outgoing=True, author="automation", delivery=3),
        shop.row(ana, None, ago=60, type="media_placeholder", live=False),
        shop.row(ana, None, ago=50, type="unsupported", extra={"errors": [{"code": 131060}]}),
        shop.row(ana, "gone", ago=40, revoked_at=shop.now.isoformat()),
        shop.row(ana, "offer", ago=30, outgoing=True, author="campaign", delivery=4),
    )
    await shop.execute(
        "INSERT INTO statuses (number_id, wamid, status, version, at, detail)"
        ' SELECT number_id, wamid, 4, 1, at, \'{"errors": [{"code": 131026}]}\' FROM messages WHERE delivery = 4'
    )
    text = (await browser.get(chat(shop, ana))).text
    for expected in ("From the phone", shop.viewer.name, "Automation", "Campaign", 'title="Read"', 'title="Delivered"'):
        assert expected in text
    for expected in ("Older media", "Only on the phone for now", "deleted this message", 'title="Failed"', "history"):
        assert expected in text


async def test_opening_a_chat_marks_it_read_and_tells_the_other_browsers(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    await shop.say(ana, "hola")
    rows = await browser.get(f"/inbox/{shop.number_id}/rows?filter=unread")
    assert rows.headers["x-unread"] == "1"
    assert "Ana Whitfield" in rows.text
    await browser.get(chat(shop, ana))
    assert (await browser.get(f"/inbox/{shop.number_id}/rows")).headers["x-unread"] == "0"
    async with shop.app.db.transaction() as tx:
        assert await tx.value("SELECT body FROM events") == {"chats": [ana]}
        assert await tx.value("SELECT read_at FROM chats") == shop.now


async def test_a_message_written_here_is_queued_once_however_often_it_is_sent(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    first = await shop.say(ana, "hola", ago=60)
    form = {"text": "  buenos días\r\n¿qué tal?  ", "quoted": first, "key": "0b6d8f3e-1"}
    for _ in range(2):
        answer = await browser.post(chat(shop, ana, "/messages"), data=form)
        assert answer.status_code == 200
        assert "¿qué tal?" in answer.text
    async with shop.app.db.transaction() as tx:
        rows = await tx.rows("SELECT type, text, quoted, author, author_id, lane FROM outbox")
    assert rows == [("text", "buenos días\n¿qué tal?", first, "person", shop.viewer.user_id, 0)]
    assert "buenos días" in (await browser.get(chat(shop, ana))).text


COUNT = """
INSERT INTO deliveries SELECT %s, 'wamid.' || n, %s, 'service', false, false, '3460' FROM generate_series(1, 1000) AS n
"""


async def test_the_composer_says_what_a_reply_costs_by_what_card_and_the_way_that_costs_nothing(
    shop: Any, browser: httpx.AsyncClient
) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=60)
    said = "INSERT INTO billing (number_id, set_currency, set_zone) VALUES (%s, 'USD', 'Europe/Madrid')"
    await shop.execute(said, (shop.number_id,))
    text = (await browser.get(f"/inbox/{shop.number_id}/{ana}/state")).text
    for words in ("A reply is free", "1,000 of 1,000", "in Europe/Madrid", "about USD 0.0707", "from 2026-10-01"):
        assert words in text
    assert 'href="https://wa.me/34600111222"' in text
    assert '<svg viewBox="0 0 29 29" class="qr">' in text
    await shop.execute(COUNT, (shop.number_id, shop.now))
    text = (await browser.get(f"/inbox/{shop.number_id}/{ana}/state")).text
    assert "A reply costs about USD 0.02" in text
    assert "0 of 1,000" in text


async def test_outside_the_window_the_composer_says_why_and_a_forced_message_is_refused(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    await shop.say(ana, "hola", ago=25 * 3600)
    text = (await browser.get(chat(shop, ana))).text
    assert "The 24-hour window is closed" in text
    assert "https://wa.me/34600111222" in text
    answer = await browser.post(chat(shop, ana, "/messages"), data={"text": "x", "key": "0b6d8f3e-2"})
    assert answer.status_code == 409
    assert "24 hours" in answer.text
    async with shop.app.db.transaction() as tx:
        assert await tx.value("SELECT count(*) FROM outbox") == 0


async def test_a_file_is_kept_sent_as_what_it_is_and_shown_while_it_waits(
    shop: Any, app: App, ana: int, browser: httpx.AsyncClient
) -> None:
    await shop.say(ana, "hola", ago=60)
    files = {"file": ("a/b\nphoto.jpg", b"\xff\xd8\xff jpeg", "image/jpeg")}
    answer = await browser.post(chat(shop, ana, "/messages"), data={"text": "mira", "key": "0b6d8f3e-3"}, files=files)
    assert answer.status_code == 200
    async with shop.app.db.transaction() as tx:
        [(outbox_id, kind, text, content)] = await tx.rows("SELECT id, type, text, content FROM outbox")
    assert (kind, text, content["size"], content["filename"]) == ("image", "mira", 8, "a_b%0Aphoto.jpg")
    assert app.files.open(content["file"]).read() == b"\xff\xd8\xff jpeg"
    shown = await browser.get(f"/outgoing/{shop.number_id}/{outbox_id}")
    assert (shown.content, shown.headers["content-type"]) == (b"\xff\xd8\xff jpeg", "image/jpeg")


async def test_media_that_could_run_are_only_ever_downloaded(shop: Any, app: App, browser: httpx.AsyncClient) -> None:
    app.files.write("1/ab/abc", b"0123456789")
    for media_id, mime in (("pic", "image/png"), ("svg", "image/svg+xml"), ("html", "text/html; charset=utf-8")):
        await shop.execute(
            "INSERT INTO media (number_id, media_id, state, mime_type, file) VALUES (%s, %s, 'kept', %s, '1/ab/abc')",
            (shop.number_id, media_id, mime),
        )
    picture = await browser.get(f"/media/{shop.number_id}/pic")
    assert (picture.content, picture.headers["content-disposition"]) == (b"0123456789", "inline")
    for media_id in ("svg", "html"):
        got = await browser.get(f"/media/{shop.number_id}/{media_id}?name=x%22.html")
        assert got.headers["content-type"] == "application/octet-stream"
        assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''x%22.html"
        assert got.headers["x-content-type-options"] == "nosniff"
    ranges = {"bytes=2-4": b"234", "bytes=7-": b"789", "bytes=-2": b"89", "bytes=0-99": b"0123456789"}
    for asked, expected in ranges.items():
        part = await browser.get(f"/media/{shop.number_id}/pic", headers={"range": asked})
        assert (part.status_code, part.content) == (206, expected)
    beyond = await browser.get(f"/media/{shop.number_id}/pic", headers={"range": "bytes=50-"})
    assert beyond.status_code == 416


async def test_the_floor_is_shown_and_can_be_handed_back(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    await shop.say(ana, "hola")
    await shop.execute(
        "UPDATE chats SET floor_holder = 'phone', floor_epoch = 4, floor_until = %s + interval '1 hour'", (shop.now,)
    )
    assert "The owner is answering on the phone" in (await browser.get(chat(shop, ana))).text
    assert "On the phone" in (await browser.get(f"/inbox/{shop.number_id}/rows")).text
    answer = await browser.post(chat(shop, ana, "/floor/release"))
    assert "The owner is answering" not in answer.text
    async with shop.app.db.transaction() as tx:
        assert await tx.rows("SELECT floor_holder, floor_epoch FROM chats") == [("nobody", 5)]


async def test_a_name_given_here_comes_first_and_an_empty_one_gives_way(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    await shop.say(ana, "hola")
    assert "Ana (catering)" in (await browser.post(chat(shop, ana, "/name"), data={"name": " Ana  (catering) "})).text
    assert "Ana (catering)" in (await browser.get(f"/inbox/{shop.number_id}/rows")).text
    await browser.post(chat(shop, ana, "/name"), data={"name": ""})
    assert "Ana Whitfield" in (await browser.get(f"/inbox/{shop.number_id}/rows")).text


async def test_mine_holds_what_was_assigned_to_me(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    await shop.say(ana, "hola")
    mine = f"/inbox/{shop.number_id}/rows?filter=mine"
    assert "Ana Whitfield" not in (await browser.get(mine)).text
    await browser.post(chat(shop, ana, "/assign"), data={"to": "me"})
    assert "Ana Whitfield" in (await browser.get(mine)).text
    await browser.post(chat(shop, ana, "/assign"), data={"to": "nobody"})
    assert "Ana Whitfield" not in (await browser.get(mine)).text


async def test_a_chat_whose_person_turned_out_to_be_another_leads_there(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    await shop.execute(
        "INSERT INTO merges (number_id, at, winner_id, loser_id, loser) VALUES (%s, %s, %s, 999, '{}')",
        (shop.number_id, shop.now, ana),
    )
    assert (await browser.get(chat(shop, 999))).headers["location"] == chat(shop, ana)
    assert (await browser.get(chat(shop, 998))).status_code == 404
    sent = await browser.post(chat(shop, 998, "/messages"), data={"text": "x", "key": "0b6d8f3e-4"})
    assert sent.status_code == 404


@pytest.mark.parametrize("cursor", ["x", "1", "1.x", "9" * 30 + ".0.w"])
async def test_a_place_that_no_page_gave_out_is_refused(
    shop: Any, ana: int, browser: httpx.AsyncClient, cursor: str
) -> None:
    for way in ("before", "after"):
        assert (await browser.get(chat(shop, ana, f"/messages?{way}={cursor}"))).status_code == 400


@pytest.mark.parametrize(
    ("name", "mime_type", "format"),
    [("price list.v2.xlsx", "application/vnd.ms-excel", "XLSX"), (None, "application/pdf", "PDF"), (None, "", "")],
)
def test_a_file_bears_the_name_of_its_format_that_people_know(name: str | None, mime_type: str, format: str) -> None:
    assert Media(None, "kept", mime_type, 1, name, None).format == format


async def test_jumping_to_a_message_of_long_ago_opens_the_thread_around_it(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    wamids = await shop.write(*[shop.row(ana, f"number {n}.", ago=10_000 - n) for n in range(300)])
    text = (await browser.get(chat(shop, ana, f"?around={wamids[100]}"))).text
    assert "number 100." in text
    assert "number 60." in text
    assert "number 140." in text
    assert "number 299." not in text.split('id="messages"')[1]
    assert 'id="newer"' in text
