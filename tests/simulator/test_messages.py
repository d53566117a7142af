"""Messages of every type on their way: what is refused at once, what fails later, and what the customer gets."""

from __future__ import annotations

from typing import Any

import pytest

from whatsapp_simulator.media import picture, sticker

pytestmark = pytest.mark.anyio
NORA = "14155550171"


@pytest.fixture
async def open_chat(sim):
    await sim.connect()
    await sim.write(text="hi")
    return sim


async def send(sim: Any, kind: str, given: Any, **more: Any) -> str:
    body = {"messaging_product": "whatsapp", "to": NORA, "type": kind, kind: given, **more}
    if "recipient" in more:
        del body["to"]
    return str((await sim.graph("POST", f"{sim.phone.id}/messages", **body))["messages"][0]["id"])


async def refused(sim: Any, kind: str, given: Any, **more: Any) -> dict[str, Any]:
    body = {"messaging_product": "whatsapp", "to": NORA, "type": kind, kind: given, **more}
    return await sim.error("POST", f"{sim.phone.id}/messages", **body)


async def end(sim: Any, wamid: str) -> int | str:
    """The code it failed with, else its last status."""
    await sim.flush()
    last = sim.platform.statuses(wamid)[-1]
    return last["errors"][0]["code"] if last["status"] == "failed" else last["status"]


async def upload(sim: Any, data: bytes, mime: str) -> str:
    answer = await sim.http.post("/control/media?filename=a", content=data, headers={"content-type": mime})
    return str(answer.json()["id"])


PLACE = {"latitude": 41.4, "longitude": 2.2, "name": "Here"}
CARDS = [{"name": {"formatted_name": "Ann", "first_name": "Ann"}, "phones": [{"phone": "+1 415", "type": "CELL"}]}]
URL = {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://example.org"}}
FLOW = {"name": "flow", "parameters": {"flow_message_version": "3", "flow_name": "book", "flow_cta": "Book"}}
ROWS = {"button": "Pick", "sections": [{"rows": [{"id": "a", "title": "A", "description": "first"}]}]}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("text", {"body": "https://example.org", "preview_url": True}),
        ("image", {"link": "https://example.org/a.png", "caption": "look"}),
        ("location", PLACE),
        ("contacts", CARDS),
        ("interactive", {"type": "list", "body": {"text": "Which?"}, "action": ROWS}),
        ("interactive", {"type": "cta_url", "body": {"text": "See"}, "action": URL}),
        ("interactive", {"type": "flow", "body": {"text": "When?"}, "action": FLOW}),
    ],
)
async def test_every_type_arrives_as_it_was_sent(open_chat, kind, given):
    wamid = await send(open_chat, kind, given)
    assert await end(open_chat, wamid) == "delivered"
    chat = await open_chat.get(f"/control/phones/{open_chat.phone.id}/chats/c1")
    assert (chat["messages"][-1]["type"], chat["messages"][-1]["content"]) == (kind, given)


async def test_a_file_goes_by_its_id_until_that_has_expired(open_chat):
    media = await upload(open_chat, picture(1), "image/png")
    assert await end(open_chat, await send(open_chat, "image", {"id": media})) == "delivered"
    assert await end(open_chat, await send(open_chat, "image", {"id": media})) == "delivered"
    await open_chat.post("/control/clock", advance=30 * 86400)
    error = await refused(open_chat, "image", {"id": media})
    assert error["code"] == 100
    assert "media attachment ID" in error["error_data"]["details"]
    header = {"type": "image", "image": {"id": media}}
    buttons = {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "A"}}]}
    given = {"type": "button", "header": header, "body": {"text": "b"}, "action": buttons}
    assert (await refused(open_chat, "interactive", given))["code"] == 100


async def test_a_file_of_the_wrong_kind_fails_after_it_was_accepted(open_chat):
    image, song = await upload(open_chat, picture(1), "image/png"), await upload(open_chat, b"x", "audio/mpeg")
    still, moving = sticker(1) + b"\0" * (101 << 10), b"RIFF0000WEBPVP8X0000ANIM" + b"\0" * (101 << 10)
    for kind, given, fate in (
        ("video", {"id": image}, 131053),
        ("document", {"id": image, "filename": "a.png"}, "delivered"),
        ("audio", {"id": song}, "delivered"),
        ("audio", {"id": song, "voice": True}, 131053),
        ("sticker", {"id": await upload(open_chat, still, "image/webp")}, 131053),
        ("sticker", {"id": await upload(open_chat, moving, "image/webp")}, "delivered"),
    ):
        assert await end(open_chat, await send(open_chat, kind, given)) == fate


async def test_a_reaction_is_put_on_changed_and_taken_off(open_chat):
    (came,) = [m for m in open_chat.world.state.messages.values() if m.customer == "c1"]
    for emoji in ("👍", "❤️", ""):
        wamid = await send(open_chat, "reaction", {"message_id": came.id, "emoji": emoji})
        assert await end(open_chat, wamid) == "delivered"
        assert came.reactions["business"] == emoji


async def test_a_reaction_upon_nothing_fails_later(open_chat):
    (came,) = [m for m in open_chat.world.state.messages.values() if m.customer == "c1"]
    wamid = await send(open_chat, "reaction", {"message_id": "wamid.nothing", "emoji": "👍"})
    assert await end(open_chat, wamid) == 131009
    assert came.reactions == {}
    await open_chat.post("/control/customers/c1/delete", message=came.id)
    wamid = await send(open_chat, "reaction", {"message_id": came.id, "emoji": "👍"})
    assert await end(open_chat, wamid) == 131009


async def test_a_quote_of_something_unknown_arrives_without_it(open_chat):
    (came,) = [m for m in open_chat.world.state.messages.values() if m.customer == "c1"]
    quoting = await send(open_chat, "text", {"body": "yes"}, context={"message_id": came.id})
    assert open_chat.world.state.messages[quoting].context == {"from": NORA, "id": came.id}
    lost = await send(open_chat, "text", {"body": "yes"}, context={"message_id": "wamid.nothing"})
    assert open_chat.world.state.messages[lost].context is None
    assert await end(open_chat, lost) == "delivered"


async def test_a_phone_number_goes_before_a_user_id(open_chat):
    stranger = {"recipient": "US.99999999999999999999"}
    body = {"messaging_product": "whatsapp", "to": NORA, "type": "text", "text": {"body": "hi"}, **stranger}
    sent = await open_chat.graph("POST", f"{open_chat.phone.id}/messages", **body)
    assert sent["contacts"] == [{"input": NORA, "wa_id": NORA}]


async def test_a_user_id_that_nobody_has_is_undeliverable_and_one_that_is_none_is_refused(open_chat):
    body = {"messaging_product": "whatsapp", "type": "text", "text": {"body": "hi"}, "recipient": "US.999999999999"}
    sent = await open_chat.graph("POST", f"{open_chat.phone.id}/messages", **body)
    assert sent["contacts"] == [{"input": "US.999999999999", "user_id": "US.999999999999"}]
    wamid = sent["messages"][0]["id"]
    assert await end(open_chat, wamid) == 131026
    (failed,) = open_chat.platform.statuses(wamid)
    assert failed["recipient_user_id"] == "US.999999999999"
    assert "recipient_id" not in failed
    for wrong in ("1415", "us.999", "US.9-9", "US." + "9" * 129):
        body["recipient"] = wrong
        assert (await open_chat.error("POST", f"{open_chat.phone.id}/messages", **body))["code"] == 131009


async def test_a_number_that_cannot_be_one_is_refused(open_chat):
    for wrong in ("123", "1" * 16, "call me"):
        assert (await refused(open_chat, "text", {"body": "hi"}, to=wrong))["code"] == 131009


async def test_a_message_for_the_identity_of_before_fails(open_chat):
    key = (await open_chat.get("/control/customers/c1"))["identity_key_hash"]
    wamid = await send(open_chat, "text", {"body": "hi"}, recipient_identity_key_hash=key)
    assert await end(open_chat, wamid) == "delivered"
    wamid = await send(open_chat, "text", {"body": "hi"}, recipient_identity_key_hash="another")
    assert await end(open_chat, wamid) == 137000
    await open_chat.post("/control/customers/c1/number", number="+1 415-555-0199")
    assert (await open_chat.get("/control/customers/c1"))["identity_key_hash"] != key


async def test_a_read_receipt_needs_a_message_of_a_customer_of_the_last_thirty_days(open_chat):
    came = await open_chat.write()
    edge, body = f"{open_chat.phone.id}/messages", {"messaging_product": "whatsapp", "status": "read"}
    own = await open_chat.text()
    for wrong, code in (("wamid.nothing", 131009), (own, 131009), (5, 100)):
        assert (await open_chat.error("POST", edge, **body, message_id=wrong))["code"] == code
    assert (await open_chat.error("POST", edge, **body))["code"] == 131008
    typing = {"message_id": came["id"], "typing_indicator": {"type": "dance"}}
    assert (await open_chat.error("POST", edge, **body, **typing))["code"] == 131009
    assert await open_chat.graph("POST", edge, **body, message_id=came["id"]) == {"success": True}
    chat = await open_chat.get(f"/control/phones/{open_chat.phone.id}/chats/c1")
    assert {m["status"] for m in chat["messages"] if m["direction"] == "in"} == {"read"}
    await open_chat.post("/control/clock", advance=31 * 86400)
    assert (await open_chat.error("POST", edge, **body, message_id=came["id"]))["code"] == 131009


async def test_reading_opens_no_window(sim):
    await sim.connect()
    came = await sim.write()
    await sim.post("/control/clock", advance=86401)
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": came["id"]}
    await sim.graph("POST", f"{sim.phone.id}/messages", **body, typing_indicator={"type": "text"})
    assert await end(sim, await sim.text()) == 131047


async def test_a_message_into_an_open_chat_may_be_read_without_having_been_delivered(open_chat):
    await open_chat.post("/control/options", skip_delivered=True)
    await open_chat.post("/control/customers/c1/present", open_with=open_chat.phone.id)
    wamid = await open_chat.text()
    assert await end(open_chat, wamid) == "read"
    statuses = {s["status"]: s for s in open_chat.platform.statuses(wamid)}
    assert set(statuses) == {"sent", "read"}
    assert "pricing" in statuses["read"]
