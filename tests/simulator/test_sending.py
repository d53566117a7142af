"""Messages by the API: the window, the twenty a second, and what becomes of a message."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from whatsapp_simulator.clock import Clock
from whatsapp_simulator.limits import PairLimit, SlidingSecond

pytestmark = pytest.mark.anyio


async def test_an_answer_inside_the_window_is_sent_delivered_and_read(sim):
    await sim.connect()
    await sim.write(text="¿Precio?")
    wamid = await sim.text("+1 (415) 555-0171", biz_opaque_callback_data="outbox:7")
    await sim.flush()
    await sim.post("/control/customers/c1/read")
    await sim.flush()
    sent, delivered, read = sorted(
        sim.platform.statuses(wamid), key=lambda s: ["sent", "delivered", "read"].index(s["status"])
    )
    assert {s["biz_opaque_callback_data"] for s in (sent, delivered, read)} == {"outbox:7"}
    free = {"billable": False, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"}
    assert sent["pricing"] == delivered["pricing"] == free
    assert "pricing" not in read
    assert sent["recipient_id"] == "14155550171"
    assert isinstance(sent["timestamp"], str)


async def test_outside_the_window_a_message_is_accepted_and_then_fails(sim):
    await sim.connect()
    await sim.write()
    await sim.post("/control/clock", advance=24 * 3600)
    wamid = await sim.text()
    await sim.flush()
    (failed,) = sim.platform.statuses(wamid)
    assert (failed["status"], failed["errors"][0]["code"]) == ("failed", 131047)
    assert "pricing" not in failed
    assert "recipient_user_id" not in failed
    assert all("contacts" not in v for v in sim.platform.changes("messages") if "statuses" in v)


async def test_the_window_can_be_refused_at_once_and_templates_pass_it(sim):
    await sim.connect()
    await sim.post("/control/options", window_error="sync")
    body = {"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": "hi"}}
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 131047
    template = {"name": "hello_world", "language": {"code": "en_US"}}
    body |= {"type": "template", "template": template}
    sent = await sim.graph("POST", f"{sim.phone.id}/messages", **body)
    assert sent["messages"][0]["message_status"] == "accepted"
    template["name"] = "no_such_template"
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 132001


async def test_a_message_before_the_connection_opens_no_window(sim):
    await sim.write()
    await sim.connect()
    wamid = await sim.text()
    await sim.flush()
    assert sim.platform.statuses(wamid)[0]["errors"][0]["code"] == 131047


async def test_twenty_messages_a_second_in_both_directions_and_not_one_more(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        for _ in range(5):
            await sim.write()
        for _ in range(15):
            await sim.text()
        body = {"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": "hi"}}
        refused = await sim.error("POST", f"{sim.phone.id}/messages", **body)
        assert refused["code"] == 130429
        still.time += 0.999
        assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 130429
        still.time += 0.001
        await sim.text()


def test_the_sliding_second_is_exact_at_its_edges():
    second = SlidingSecond(3)
    assert [second.take(t) for t in (10.0, 10.5, 10.9, 10.99, 11.0, 11.4, 11.5)] == [
        True, True, True, False, True, False, True,
    ]  # fmt: skip
    second.charge(11.5)
    assert not second.take(11.6)


def test_a_pair_may_borrow_forty_five_messages():
    pair = PairLimit()
    assert [pair.take("a", 0.0) for _ in range(46)] == [True] * 45 + [False]
    assert pair.take("b", 0.0)
    assert not pair.take("a", 5.9)
    assert pair.take("a", 6.0)


async def test_a_stranger_is_undeliverable_and_the_business_cannot_write_to_itself(sim):
    await sim.connect()
    wamid = await sim.text("4915550112233")
    await sim.flush()
    assert sim.platform.statuses(wamid)[0]["errors"][0]["code"] == 131026
    body = {"messaging_product": "whatsapp", "to": sim.phone.number, "type": "text", "text": {"body": "hi"}}
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 131021


async def test_a_mexican_number_without_the_one_is_the_same_person(sim):
    await sim.connect()
    await sim.write("c2", text="hola")
    sent = await sim.graph(
        "POST",
        f"{sim.phone.id}/messages",
        messaging_product="whatsapp",
        to="525550104477",
        type="text",
        text={"body": "hola"},
    )
    assert sent["contacts"] == [{"input": "525550104477", "wa_id": "5215550104477"}]


async def test_a_person_without_a_visible_number_is_answered_by_user_id(sim):
    await sim.connect()
    inbound = await sim.write("c3", text="oi")
    hidden = sim.world.customer("c3")
    sent = await sim.graph(
        "POST",
        f"{sim.phone.id}/messages",
        messaging_product="whatsapp",
        recipient=hidden.bsuid,
        type="text",
        text={"body": "olá"},
        context={"message_id": inbound["id"]},
    )
    assert sent["contacts"] == [{"input": hidden.bsuid, "user_id": hidden.bsuid}]
    await sim.flush()
    (came,) = sim.platform.messages()
    assert "from" not in came
    assert came["from_user_id"] == hidden.bsuid
    for value in sim.platform.changes("messages"):
        (contact,) = value["contacts"]
        assert contact["user_id"] == hidden.bsuid
        assert "wa_id" not in contact
    for status in sim.platform.statuses(sent["messages"][0]["id"]):
        assert status["recipient_user_id"] == hidden.bsuid
        assert "recipient_id" not in status


async def test_a_phone_that_is_off_gets_its_messages_when_it_is_on_again(sim):
    await sim.connect()
    await sim.write()
    await sim.post("/control/customers/c1/present", online=False)
    wamid = await sim.text()
    await sim.flush()
    assert [s["status"] for s in sim.platform.statuses(wamid)] == ["sent"]
    await sim.post("/control/customers/c1/present", online=True, open_with=sim.phone.id)
    await sim.flush()
    assert sorted(s["status"] for s in sim.platform.statuses(wamid)) == ["delivered", "read", "sent"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"to": "14155550171", "text": {"body": "no product"}}, 100),
        ({"messaging_product": "whatsapp", "text": {"body": "nobody"}}, 131008),
        ({"messaging_product": "whatsapp", "to": "14155550171", "type": "poll"}, 100),
        ({"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": ""}}, 131008),
        ({"messaging_product": "whatsapp", "to": "14155550171", "text": {"body": "x" * 4097}}, 131009),
        ({"messaging_product": "whatsapp", "to": "14155550171", "type": "image", "image": {}}, 131009),
        ({"messaging_product": "whatsapp", "to": "14155550171", "type": "image", "image": {"id": "1"}}, 100),
        (
            {
                "messaging_product": "whatsapp",
                "to": "14155550171",
                "type": "interactive",
                "interactive": {
                    "type": "list",
                    "body": {"text": "b"},
                    "action": {
                        "button": "Pick",
                        "sections": [{"rows": [{"id": str(i), "title": "t"} for i in range(11)]}],
                    },
                },
            },
            131009,
        ),
    ],
)
async def test_a_body_that_meta_would_refuse_is_refused(sim, body, code):
    await sim.connect()
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == code


async def test_a_reply_button_is_offered_and_pressed(sim):
    await sim.connect()
    await sim.write()
    buttons = [{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]
    sent = await sim.graph(
        "POST",
        f"{sim.phone.id}/messages",
        messaging_product="whatsapp",
        to="14155550171",
        type="interactive",
        interactive={"type": "button", "body": {"text": "Shall we?"}, "action": {"buttons": buttons}},
    )
    wamid = sent["messages"][0]["id"]
    await sim.post("/control/customers/c1/tap", message=wamid, choice="yes")
    await sim.flush()
    answer = sim.platform.messages()[-1]
    assert answer["interactive"] == {"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes"}}
    assert answer["context"]["id"] == wamid


async def test_a_read_receipt_marks_the_chat_and_an_unknown_message_is_an_error(sim):
    await sim.connect()
    came = await sim.write()
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": came["id"]}
    done = await sim.graph("POST", f"{sim.phone.id}/messages", **body, typing_indicator={"type": "text"})
    assert done == {"success": True}
    body["message_id"] = "wamid.nothing"
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 131009


async def test_media_is_uploaded_sent_and_downloaded_within_five_minutes(sim):
    await sim.connect()
    await sim.write()
    picture = (await sim.http.get("/control/media/77?kind=image")).content
    bearer = {"Authorization": f"Bearer {sim.token}"}
    answer = await sim.http.post(
        f"/v26.0/{sim.phone.id}/media",
        headers=bearer,
        data={"messaging_product": "whatsapp"},
        files={"file": ("a.png", picture, "image/png")},
    )
    media = answer.json()["id"]
    shown = await sim.graph("GET", media)
    assert shown["file_size"] == len(picture)
    assert (await sim.http.get(shown["url"])).status_code == 401
    assert (await sim.http.get(shown["url"], headers=bearer)).content == picture
    await sim.post("/control/clock", advance=301)
    assert (await sim.http.get(shown["url"], headers=bearer)).status_code == 404
    sent = await sim.graph(
        "POST",
        f"{sim.phone.id}/messages",
        messaging_product="whatsapp",
        to="14155550171",
        type="image",
        image={"id": media, "caption": "look"},
    )
    assert sent["messages"]
    await sim.post("/control/clock", advance=31 * 86400)
    assert (await sim.error("GET", media))["error_subcode"] == 33


async def test_faults_answer_or_fail_by_code_and_recipient(sim):
    await sim.connect()
    await sim.write()
    await sim.post("/control/faults", code=131000, times=1)
    body = {"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": "hi"}}
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 131000
    await sim.post("/control/faults", effect="fail", code=131049, to="14155550171", times=1)
    wamid = await sim.text()
    fine = await sim.text()
    await sim.flush()
    assert sim.platform.statuses(wamid)[0]["errors"][0]["code"] == 131049
    assert {s["status"] for s in sim.platform.statuses(fine)} == {"sent", "delivered"}


async def test_every_request_is_in_the_log_and_no_token_is(sim):
    await sim.connect()
    await sim.text()
    requests = (await sim.get("/control/log?path=/messages"))["requests"]
    assert requests[-1]["body"]["text"] == {"body": "hello"}
    assert requests[-1]["status"] == 200
    asked = [{**r, "answer": None} for r in (await sim.get("/control/log"))["requests"]]
    assert sim.token not in str(asked)
