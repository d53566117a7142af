"""Sending over HTTP: every type, once and only once, refused well, and what became of it."""

import asyncio
from typing import Any

import httpx
import pytest
from tests.api.conftest import Program, make_key, refusal
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Shop, error

from twinline.meta.graph import Graph, Template
from twinline.rules import capabilities
from twinline.sending.api import Impossible

pytestmark = pytest.mark.anyio

ANA, BEA = "351910000001", "351910000002"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def text(body: str = "Your bread is ready.", to: str = f"+{ANA}", **more: Any) -> dict[str, Any]:
    return {"to": to, "type": "text", "text": {"body": body}, **more}


def said(kind: str, about: Any, **more: Any) -> dict[str, Any]:
    return {"to": ANA, "type": kind, kind: about, **more}


def buttons(*titles: str) -> dict[str, Any]:
    replies = [{"reply": {"id": str(place), "title": title}} for place, title in enumerate(titles)]
    return said("interactive", {"type": "button", "body": {"text": "Rye?"}, "action": {"buttons": replies}})


async def outbox(shop: Shop) -> int:
    return int(await shop.value("SELECT count(*) FROM outbox"))


# --- one message from its request to its end ----------------------------------------------------------------------


async def test_a_message_is_taken_sent_and_followed_to_its_reader(program: Program) -> None:
    shop = program.shop
    ana = await shop.customer(ANA)
    taken = await program.posts(f"{program.base}/messages", text())
    assert (taken["state"], taken["wamid"], taken["delivery"]) == ("queued", None, None)
    assert taken["to"] == {"contact": ana, "phone": ANA, "user_id": None}
    where = f"{program.base}/messages/{taken['id']}"
    await shop.drain()
    assert shop.meta.texts == ["Your bread is ready."]
    sent = await program.gets(where)
    assert (sent["state"], sent["wamid"], sent["delivery"]) == ("sent", "wamid.1", "accepted")
    assert sent["sent_at"] is not None
    for word in ("delivered", "read"):
        await shop.status(shop.meta.messages[0], word)
    seen = await program.gets(where)
    assert seen["delivery"] == "read"
    assert seen["delivered_at"] is not None
    assert seen["read_at"] is not None
    row = await shop.row(taken["id"])
    assert (row["author"], row["api_key_id"]) == ("person", await shop.value("SELECT id FROM api_keys"))


async def test_what_meta_refuses_is_told_with_its_code_and_what_to_do(program: Program) -> None:
    await program.shop.customer(ANA)
    program.shop.meta.will("No", error(131026))
    taken = await program.posts(f"{program.base}/messages", text("No"))
    await program.shop.drain()
    told = await program.gets(f"{program.base}/messages/{taken['id']}")
    assert (told["state"], told["error"]["code"]) == ("failed", 131026)
    assert told["error"]["says"].endswith(".")
    assert told["error"]["what_to_do"].endswith(".")


async def test_what_meta_cannot_deliver_later_is_told_too(program: Program) -> None:
    await program.shop.customer(ANA)
    taken = await program.posts(f"{program.base}/messages", text())
    await program.shop.drain()
    errors = [{"code": 131026, "title": "Message undeliverable"}]
    await program.shop.status(program.shop.meta.messages[0], "failed", errors=errors)
    told = await program.gets(f"{program.base}/messages/{taken['id']}")
    assert (told["state"], told["delivery"], told["error"]["code"]) == ("sent", "failed", 131026)


@pytest.mark.parametrize("to", ["+351 910 000 001", "351910000001", "PT.1000000001", "contact:"])
async def test_a_person_is_reached_by_phone_user_id_or_contact(program: Program, to: str) -> None:
    shop = program.shop
    both = Human(ANA, "PT.1000000001", "Ana")
    await shop.hears(wire.inbound(both, wire.text("wamid.IN", shop.seconds, "Hello?")))
    ana = await shop.value("SELECT id FROM contacts")
    taken = await program.posts(f"{program.base}/messages", text(to=to + (str(ana) if to == "contact:" else "")))
    assert taken["to"] == {"contact": ana, "phone": ANA, "user_id": "PT.1000000001"}


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (
            said("text", {"body": "https://example.com", "preview_url": True}),
            {"body": "https://example.com", "preview_url": True},
        ),
        (
            said("image", {"link": "https://example.com/a.png", "caption": "Rye"}),
            {"link": "https://example.com/a.png", "caption": "Rye"},
        ),
        (said("audio", {"link": "https://example.com/a.ogg"}), {"link": "https://example.com/a.ogg"}),
        (said("sticker", {"link": "https://example.com/a.webp"}), {"link": "https://example.com/a.webp"}),
        (
            said("document", {"link": "https://example.com/a.pdf", "filename": "menu.pdf"}),
            {"link": "https://example.com/a.pdf", "filename": "menu.pdf"},
        ),
        (
            said("location", {"latitude": 38.7223, "longitude": -9.1393, "name": "Padaria"}),
            {"latitude": 38.7223, "longitude": -9.1393, "name": "Padaria"},
        ),
        (
            said("contacts", [{"name": {"formatted_name": "Lu"}, "phones": [{"phone": f"+{BEA}"}]}]),
            [{"name": {"formatted_name": "Lu"}, "phones": [{"phone": f"+{BEA}"}]}],
        ),
        (said("reaction", {"message_id": "wamid.IN1", "emoji": "🧡"}), {"message_id": "wamid.IN1", "emoji": "🧡"}),
        (said("reaction", {"message_id": "wamid.IN1", "emoji": ""}), {"message_id": "wamid.IN1", "emoji": ""}),
        (
            buttons("Yes", "No"),
            {
                "type": "button",
                "body": {"text": "Rye?"},
                "action": {
                    "buttons": [
                        {"type": "reply", "reply": {"id": "0", "title": "Yes"}},
                        {"type": "reply", "reply": {"id": "1", "title": "No"}},
                    ]
                },
            },
        ),
        (
            said(
                "interactive",
                {
                    "type": "list",
                    "body": {"text": "Which?"},
                    "action": {"button": "Breads", "sections": [{"rows": [{"id": "1", "title": "Rye"}]}]},
                },
            ),
            {
                "type": "list",
                "body": {"text": "Which?"},
                "action": {"button": "Breads", "sections": [{"rows": [{"id": "1", "title": "Rye"}]}]},
            },
        ),
        (
            said(
                "interactive",
                {
                    "type": "cta_url",
                    "body": {"text": "The menu"},
                    "action": {"parameters": {"display_text": "Look", "url": "https://example.com"}},
                },
            ),
            {
                "type": "cta_url",
                "body": {"text": "The menu"},
                "action": {"name": "cta_url", "parameters": {"display_text": "Look", "url": "https://example.com"}},
            },
        ),
        (
            said(
                "interactive",
                {
                    "type": "flow",
                    "body": {"text": "Book"},
                    "action": {"parameters": {"flow_id": "7", "flow_cta": "Book", "flow_action": "navigate"}},
                },
            ),
            {
                "type": "flow",
                "body": {"text": "Book"},
                "action": {
                    "name": "flow",
                    "parameters": {
                        "flow_message_version": "3", "flow_id": "7", "flow_cta": "Book", "flow_action": "navigate",
                    },
                },
            },
        ),
    ],
)  # fmt: skip
async def test_every_type_reaches_meta_as_it_was_meant(program: Program, message: dict[str, Any], body: Any) -> None:
    await program.shop.customer(ANA)
    await program.posts(f"{program.base}/messages", message)
    await program.shop.drain()
    [sent] = program.shop.meta.messages
    assert (sent["type"], sent[sent["type"]]) == (message["type"], body)


async def test_a_quote_and_a_purpose_are_kept(program: Program) -> None:
    await program.shop.customer(ANA)
    taken = await program.posts(f"{program.base}/messages", text(reply_to="wamid.IN1", purpose="automation"))
    assert taken["purpose"] == "automation"
    row = await program.shop.row(taken["id"])
    assert (row["author"], row["lane"], row["quoted"]) == ("automation", 1, "wamid.IN1")


# --- once and only once -------------------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_message_whenever_it_is_repeated(program: Program) -> None:
    await program.shop.customer(ANA)
    key = {"idempotency-key": "order-7"}
    first, second = await asyncio.gather(
        program.posts(f"{program.base}/messages", text(), **key),
        program.posts(f"{program.base}/messages", text(), **key),
    )
    assert first == second
    await program.shop.drain()
    program.shop.clock.advance(hours=30)  # the window has closed, but the answer was given
    late = await program.posts(f"{program.base}/messages", text(), **key)
    assert (late["id"], late["state"]) == (first["id"], "sent")
    assert program.shop.meta.texts == ["Your bread is ready."]


@pytest.mark.parametrize(
    "other", [text("Another."), text(to=f"+{BEA}"), text(reply_to="wamid.IN1"), text(purpose="automation")]
)
async def test_a_key_with_another_body_is_a_mistake(program: Program, other: dict[str, Any]) -> None:
    await program.shop.customer(ANA)
    await program.shop.customer(BEA)
    key = {"idempotency-key": "order-7"}
    first = await program.posts(f"{program.base}/messages", text(), **key)
    told = await program.is_refused(409, "POST", f"{program.base}/messages", other, **key)
    assert told["code"] == "idempotency.reused"
    assert str(first["id"]) in told["message"]
    assert await outbox(program.shop) == 1


async def test_a_refused_message_may_be_tried_again_with_its_key(program: Program) -> None:
    ana = await program.shop.customer(ANA, writes=False)
    key = {"idempotency-key": "order-7"}
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text(), **key)
    assert told["code"] == "window.never_wrote"
    await program.shop.customer(ANA)
    assert (await program.posts(f"{program.base}/messages", text(), **key))["to"]["contact"] == ana


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "ключ".encode().decode("latin-1")])
async def test_a_key_that_cannot_be_kept_is_refused(program: Program, key: str) -> None:
    headers = {"idempotency-key": key.encode("latin-1")}
    answer = await program.http.post(f"{program.base}/messages", json=text(), headers=headers)
    assert refusal(answer, 400)["details"][0]["field"] == "Idempotency-Key"


# --- refused well -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "rule", "says"),
    [
        (text("x" * 4097), "text.too_long", "4097"),
        (text(" "), "text.empty", "empty"),
        (buttons("Yes", "No", "Perhaps", "Later"), "action.buttons.too_many", "Later"),
        (buttons("x" * 21), "action.buttons.reply.title.too_long", "21"),
        (said("image", {}), "media.missing", "file"),
        (said("image", {"link": "ftp://example.com/a.png"}), "media.missing", "file"),
        (said("image", {"media": "m_nothing"}), "media.unknown", "m_nothing"),
        (said("location", {"latitude": 91, "longitude": 0}), "latitude.range", "90"),
        (said("reaction", {"message_id": "wamid.IN1", "emoji": "hello"}), "reaction.emoji", "one emoji"),
        (text(to="12036304@g.us"), "capability.groups", "phone"),
        (text(to="120363041234567890"), "capability.groups", "phone"),
        (text(to="status@broadcast"), "capability.status", "phone"),
        (text(to="friends@broadcast"), "capability.broadcast_lists", "phone"),
        (text(view_once=True), "capability.view_once", "phone"),
        (text(disappearing=True), "capability.disappearing_messages", "phone"),
        (text(to="contact:999"), "recipient.unknown", "contact:999"),
    ],
)
async def test_what_cannot_go_out_is_refused_with_rule_reason_and_advice(
    program: Program, message: dict[str, Any], rule: str, says: str
) -> None:
    await program.shop.customer(ANA)
    told = await program.is_refused(422, "POST", f"{program.base}/messages", message)
    assert told["code"] == rule
    assert says in told["message"] + told["what_to_do"]
    assert await outbox(program.shop) == 0
    assert await program.shop.value("SELECT count(*) FROM contacts") == 1


@pytest.mark.parametrize("to", ["Ana", "", "+12", "contact:", "contact:0", "US.", "+351 910 000 001 ext. 4"])
async def test_a_recipient_that_cannot_be_is_refused(program: Program, to: str) -> None:
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text(to=to))
    assert told["code"].startswith("recipient.")


@pytest.mark.parametrize("kind", Impossible.model_fields["type"].annotation.__args__)  # type: ignore[union-attr]
async def test_what_only_the_phone_can_do_names_the_phone(program: Program, kind: str) -> None:
    await program.shop.customer(ANA)
    asked = {"to": ANA, "type": kind, "anything": {"else": True}}
    told = await program.is_refused(422, "POST", f"{program.base}/messages", asked)
    feature = capabilities.refused(kind)
    assert feature is not None
    assert (told["code"], told["message"]) == (f"capability.{feature.id}", feature.error)
    assert told["what_to_do"] == feature.what_to_do


async def test_a_closed_window_is_refused_with_its_reason(program: Program) -> None:
    await program.shop.customer(ANA)
    program.shop.clock.advance(hours=25)
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text())
    assert told["code"] == "window.expired"
    assert "template" in told["what_to_do"]


@pytest.mark.parametrize("state", ["connecting", "offboarded", "disconnected"])
async def test_a_number_that_is_away_sends_nothing(program: Program, state: str) -> None:
    await program.shop.customer(ANA)
    await program.shop.execute("UPDATE numbers SET state = %s", (state,))
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text())
    assert told["code"] == f"number.{state}"


async def test_a_program_yields_to_people_and_marketing_to_an_opt_out(program: Program) -> None:
    await program.shop.customer(ANA)
    await program.shop.hears(wire.preference(Human(ANA), "stop", program.shop.seconds))
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text(purpose="marketing"))
    assert told["code"] == "opted_out"
    await program.shop.phone_says(ANA, "I'll call you.")
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text(purpose="automation"))
    assert told["code"].startswith("floor.")
    assert (await program.posts(f"{program.base}/messages", text()))["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"type": "text", "text": {"body": "Hi"}}, "to", "is missing"),
        ({"to": ANA, "type": "text"}, "text", "is missing"),
        ({"to": ANA, "type": "text", "text": {}}, "text.body", "is missing"),
        ({"to": ANA, "type": "text", "text": {"body": 7}}, "text.body", "has to be text"),
        ({"to": ANA, "type": "text", "text": "Hi"}, "text", "has to be an object"),
        ({"to": ANA, "type": "text", "text": {"body": "Hi"}, "coment": "x"}, "coment", "isn't known here"),
        ({"to": ANA, "type": "poem", "poem": {}}, "the body", "has to be one of text, image"),
        ({"to": ANA}, "the body", "needs type"),
        (said("location", {"latitude": "north", "longitude": 0}), "location.latitude", "has to be a number"),
        (said("contacts", [{"name": {}}]), "contacts.0.name.formatted_name", "is missing"),
        (said("interactive", {"type": "button", "body": {"text": "?"}}), "interactive.action", "is missing"),
        (said("interactive", {"type": "carousel"}), "interactive", "has to be one of button, list"),
        (text() | {"to": "1" * 201}, "to", "has more than 200 characters"),
        (text(purpose="gossip"), "purpose", "has to be one of person, automation"),
        ([], "the body", "has to be an object"),
        (None, "the body", "is missing"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_field_by_field(
    program: Program, body: Any, field: str, says: str
) -> None:
    told = await program.is_refused(400, "POST", f"{program.base}/messages", body)
    assert told["code"] == "request.invalid"
    assert told["details"][0]["field"] == field
    assert says in told["details"][0]["problem"]


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"\xff", b'{"to": "\\ud800"}', b'{"to": NaN}', b'{"to": "\\u0000"}', b'{"a": [{"b\\u0000": 1}]}',
        b'{"to": 99999999999999999999999}', b"[" * 5000,
    ],
)  # fmt: skip
async def test_bytes_that_are_no_usable_json_are_refused(program: Program, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await program.http.post(f"{program.base}/messages", content=body, headers=headers)
    assert refusal(answer, 400)["code"] == "request.invalid"


async def test_a_body_larger_than_any_message_is_not_read_to_its_end(program: Program) -> None:
    answer = await program.http.post(f"{program.base}/messages", json=text("x" * 1_100_000))
    error = refusal(answer, 413)
    assert (error["code"], error["message"]) == (
        "request.too_large",
        "The body is larger than this address takes, which is 1 MB.",
    )


# --- listing and taking back --------------------------------------------------------------------------------------


async def test_messages_are_listed_newest_first_page_by_page(program: Program) -> None:
    ana, bea = await program.shop.customer(ANA), await program.shop.customer(BEA)
    made = [
        (await program.posts(f"{program.base}/messages", text(f"{n}", to)))["id"] for n, to in enumerate([ANA, BEA] * 3)
    ]
    first = await program.gets(f"{program.base}/messages", limit=4)
    rest = await program.gets(f"{program.base}/messages", limit=4, cursor=first["next"])
    assert [message["id"] for message in first["messages"] + rest["messages"]] == made[::-1]
    assert rest["next"] is None
    only = await program.gets(f"{program.base}/messages", contact=ana, state="queued")
    assert {message["to"]["contact"] for message in only["messages"]} == {ana}
    assert (await program.gets(f"{program.base}/messages", contact=bea, state="failed"))["messages"] == []
    await program.is_refused(400, "GET", f"{program.base}/messages?cursor=yesterday")
    told = await program.is_refused(400, "GET", f"{program.base}/messages?limit=1000")
    assert told["details"] == [{"field": "limit", "problem": "has to be 200 or less"}]


async def test_a_message_that_waits_is_taken_back_and_one_that_left_is_not(program: Program) -> None:
    await program.shop.customer(ANA)
    waits = await program.posts(f"{program.base}/messages", text("Never mind"))
    for _ in range(2):
        taken = await program.posts(f"{program.base}/messages/{waits['id']}/cancel")
        assert taken["state"] == "cancelled"
    left = await program.posts(f"{program.base}/messages", text("We close at 7."))
    await program.shop.drain()
    assert program.shop.meta.texts == ["We close at 7."]
    told = await program.is_refused(409, "POST", f"{program.base}/messages/{left['id']}/cancel")
    assert told["code"] == "message.too_late"
    assert (await program.is_refused(404, "POST", f"{program.base}/messages/999/cancel"))["code"] == "message.unknown"


# --- whose it is --------------------------------------------------------------------------------------------------


async def test_another_organisation_finds_nothing_here(program: Program, stranger: httpx.AsyncClient) -> None:
    await program.shop.customer(ANA)
    taken = await program.posts(f"{program.base}/messages", text())
    other = await program.shop.value(
        "INSERT INTO organisations (name, created_at) VALUES ('Florist', %s) RETURNING id", (program.shop.clock.now(),)
    )
    stranger.headers["authorization"] = f"Bearer {await make_key(program.shop.app, other)}"
    for method, path in (
        ("GET", f"{program.base}/messages"),
        ("GET", f"{program.base}/messages/{taken['id']}"),
        ("POST", f"{program.base}/messages/{taken['id']}/cancel"),
        ("GET", f"{program.base}/chats/{ANA}"),
    ):
        assert (await program.is_refused(404, method, path))["code"] == "number.unknown"
    told = await program.is_refused(404, "POST", f"{program.base}/messages", text())
    assert told["code"] == "number.unknown"


async def test_a_key_that_only_reads_sends_nothing(program: Program, stranger: httpx.AsyncClient) -> None:
    stranger.headers["authorization"] = f"Bearer {await make_key(program.shop.app, 1, ['messages:read'])}"
    told = await program.is_refused(403, "POST", f"{program.base}/messages", text())
    assert told["code"] == "key.scope"
    assert "messages:write" in told["message"]
    assert (await program.gets(f"{program.base}/messages"))["messages"] == []


# --- files --------------------------------------------------------------------------------------------------------


async def upload(program: Program, name: str, data: bytes) -> httpx.Response:
    return await program.http.post(f"{program.base}/media", files={"file": (name, data)})


async def test_an_uploaded_file_is_sent_as_often_as_wanted(program: Program) -> None:
    await program.shop.customer(ANA)
    handle = (await upload(program, "bread.png", PNG)).json()
    assert (handle["type"], handle["mime_type"], handle["size"]) == ("image", "image/png", len(PNG))
    for caption in ("Rye", "Oat"):
        await program.posts(f"{program.base}/messages", said("image", {"media": handle["media"], "caption": caption}))
    await program.shop.drain()
    assert [message["image"]["caption"] for message in program.shop.meta.messages] == ["Rye", "Oat"]


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [("bread.gif", b"GIF89a" + bytes(40), "media.format"), ("empty.txt", b"", "media.empty")],
)
async def test_a_file_that_whatsapp_does_not_take_is_refused_with_what_it_takes(
    program: Program, name: str, data: bytes, rule: str
) -> None:
    told = refusal(await upload(program, name, data), 422)
    assert told["code"] == rule
    assert await program.shop.value("SELECT count(*) FROM handles") == 0


async def test_a_file_is_judged_by_how_the_message_sends_it(program: Program) -> None:
    await program.shop.customer(ANA)
    handle = (await upload(program, "bread.png", PNG)).json()["media"]
    told = await program.is_refused(422, "POST", f"{program.base}/messages", said("video", {"media": handle}))
    assert told["code"] == "media.format"
    assert "MP4" in told["what_to_do"]


async def test_an_upload_without_a_file_or_with_too_large_a_one_is_refused(program: Program) -> None:
    answer = await program.http.post(f"{program.base}/media", data={"file": "bread.png"})
    assert refusal(answer, 400)["code"] == "request.invalid"
    refusal(await program.http.post(f"{program.base}/media", content=b"x"), 400)

    async def endless() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(102):
            yield bytes(1024 * 1024)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await program.http.post(f"{program.base}/media", content=endless(), headers=headers)
    assert refusal(answer, 413)["code"] == "request.too_large"


# --- chats --------------------------------------------------------------------------------------------------------


async def test_a_chat_tells_whether_it_is_open_why_and_until_when(program: Program) -> None:
    ana = await program.shop.customer(ANA)
    told = await program.gets(f"{program.base}/chats/+{ANA}")
    assert (told["window"]["open"], told["window"]["reason"], told["floor"]) == (True, "open", "nobody")
    assert told["window"]["until"] is not None
    assert told["to"]["contact"] == ana
    assert told["phone_link"] == f"https://wa.me/{ANA}"
    assert [one["category"] for one in told["estimates"]] == ["service", "utility", "marketing", "authentication"]
    month = told["service_messages"]
    assert (month["sent_this_month"], month["free_left"], month["zone"]) == (0, 1000, None)
    assert told["free_entry_point"] == {"until": None, "answer_by": None}
    program.shop.clock.advance(hours=25)
    told = await program.gets(f"{program.base}/chats/contact:{ana}")
    assert (told["window"]["open"], told["window"]["reason"]) == (False, "expired")
    assert told["window"]["says"].startswith("More than 24 hours")


async def test_asking_about_a_stranger_makes_nobody(program: Program) -> None:
    told = await program.gets(f"{program.base}/chats/{BEA}")
    assert (told["to"], told["window"]["reason"]) == (None, "never_wrote")
    assert await program.shop.value("SELECT count(*) FROM contacts") == 0
    assert (await program.is_refused(422, "GET", f"{program.base}/chats/Ana"))["code"].startswith("recipient.")
    assert (await program.is_refused(404, "GET", f"{program.base}/chats/contact:7"))["code"] == "contact.unknown"


# --- templates ----------------------------------------------------------------------------------------------------


@pytest.fixture
def at_meta(monkeypatch: pytest.MonkeyPatch) -> list[Template]:
    """What Meta knows of: a template for orders, one that is paused, and one for codes."""
    ready = {"type": "BODY", "text": "Hello {{1}}, order {{2}} is ready.", "example": {"body_text": [["Ana", "7"]]}}
    code = [
        {"type": "BODY"},
        {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy"}]},
    ]
    known = [
        Template("1", "order_ready", "en_US", "APPROVED", "UTILITY", [ready]),
        Template("2", "spring_sale", "en_US", "PAUSED", "MARKETING", [{"type": "BODY", "text": "It is spring."}]),
        Template("3", "login_code", "en_US", "APPROVED", "AUTHENTICATION", code),
    ]

    async def templates(*_: Any, name: str | None = None, **__: Any) -> tuple[Template, ...]:
        return tuple(one for one in known if name is None or name in one.name)

    monkeypatch.setattr(Graph, "templates", templates)
    return known


def template(name: str, to: str = ANA, language: Any = "en_US", **more: Any) -> dict[str, Any]:
    return {"to": to, "type": "template", "template": {"name": name, "language": language, **more}}


@pytest.mark.parametrize(
    "values",
    [
        {"values": {"body.1": "Ana", "body.2": "7"}},
        {
            "language": {"code": "en_US"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "7"}]}
            ],
        },
    ],
)
async def test_a_template_goes_out_at_any_time_with_its_values(
    program: Program, at_meta: list[Template], values: dict[str, Any]
) -> None:
    taken = await program.posts(f"{program.base}/messages", template("order_ready", **values))
    assert taken["text"] == "Hello Ana, order 7 is ready."
    await program.shop.drain()
    [sent] = program.shop.meta.messages
    texts = [parameter["text"] for parameter in sent["template"]["components"][0]["parameters"]]
    assert (sent["template"]["name"], texts) == ("order_ready", ["Ana", "7"])


@pytest.mark.parametrize(
    ("message", "rule", "says"),
    [
        (template("order_redy"), "template.unknown", "order_redy"),
        (template("order_ready", language="pt_BR"), "template.language", "en_US"),
        (template("order_ready", values={"body.1": "Ana"}), "template.missing", "{{2}}"),
        (template("order_ready"), "template.missing", "{{1}}"),
        (template("order_ready", values={"body.1": "A", "body.2": "7", "body.3": "x"}), "template.surplus", "body.3"),
        (template("spring_sale"), "template.paused", "spring_sale"),
        (template("login_code", to="PT.1000000001", values={"body.1": "1"}), "template.needs_phone", "phone"),
    ],
)
async def test_a_template_that_cannot_go_out_says_what_is_wrong_with_it(
    program: Program, at_meta: list[Template], message: dict[str, Any], rule: str, says: str
) -> None:
    told = await program.is_refused(422, "POST", f"{program.base}/messages", message)
    assert told["code"] == rule
    assert says in told["message"] + told["what_to_do"]
    assert await outbox(program.shop) == 0


# --- what stands still --------------------------------------------------------------------------------------------


async def test_a_stopped_number_refuses_people_and_holds_what_machines_write(program: Program) -> None:
    await program.shop.customer(ANA)
    await program.shop.customer(BEA)
    program.shop.meta.will("First", error(131031))
    await program.posts(f"{program.base}/messages", text("First"))
    await program.shop.drain()
    told = await program.is_refused(422, "POST", f"{program.base}/messages", text())
    [stop] = (await program.gets(program.base))["stops"]
    assert (stop["code"], stop["says"]) == (131031, told["message"])
    held = await program.posts(f"{program.base}/messages", text(to=BEA, purpose="automation"))
    assert (held["state"], held["error"]["code"]) == ("held", 131031)
    assert (await program.posts(f"{program.base}/messages/{held['id']}/cancel"))["state"] == "cancelled"
