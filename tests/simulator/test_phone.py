"""The owner's phone and the customers, as the platform hears of them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio


async def test_what_is_typed_on_the_phone_is_echoed_and_what_the_api_sends_is_not(sim):
    await sim.connect()
    came = await sim.write()
    phone = f"/control/phones/{sim.phone.id}"
    typed = await sim.post(f"{phone}/send", customer="c1", text="Sí, hasta las 7 🙂", reply_to=came["id"])
    await sim.text()
    await sim.flush()
    (echo,) = sim.platform.echoes()
    assert echo["id"] == typed["id"]
    assert (echo["from"], echo["to"]) == (sim.phone.number, "14155550171")
    assert echo["context"] == {"from": "14155550171", "id": came["id"]}
    assert b"S\\u00ed, hasta las 7 \\ud83d\\ude42" in b"".join(sim.platform.bodies)
    shown = await sim.get(f"{phone}/chats/c1?limit=3")
    assert [m["origin"] for m in shown["messages"]] == ["customer", "app", "api"]
    assert sim.platform.statuses(typed["id"]) == []


async def test_an_edit_a_deletion_and_a_reaction_on_the_phone_are_echoed(sim):
    await sim.connect()
    phone = f"/control/phones/{sim.phone.id}"
    typed = await sim.post(f"{phone}/send", customer="c1", type="image", caption="new")
    await sim.post(f"{phone}/edit", customer="c1", message=typed["id"], text="newer")
    await sim.post(f"{phone}/delete", customer="c1", message=typed["id"])
    came = await sim.write()
    await sim.post(f"{phone}/react", customer="c1", message=came["id"], emoji="👍")
    await sim.flush()
    kinds = {e["type"]: e for e in sim.platform.echoes()}
    assert kinds["edit"]["edit"]["original_message_id"] == typed["id"]
    assert kinds["edit"]["edit"]["message"]["image"]["caption"] == "newer"
    assert kinds["revoke"]["revoke"] == {"original_message_id": typed["id"]}
    assert kinds["reaction"]["reaction"] == {"message_id": came["id"], "emoji": "👍"}
    assert len({e["id"] for e in sim.platform.echoes()}) == 4


async def test_the_address_book_is_told_only_after_its_first_synchronisation(sim):
    await sim.connect()
    path = f"/control/phones/{sim.phone.id}/contacts"
    await sim.post(path, customer="c1", full_name="Nora W.")
    await sim.flush()
    assert sim.platform.changes("smb_app_state_sync") == []
    await sim.sync("smb_app_state_sync")
    await sim.flush()
    await sim.post(path, customer="c1", full_name="Nora (VIP)")
    await sim.post(path, customer="c1", remove=True)
    await sim.flush()
    last = [c for v in sim.platform.changes("smb_app_state_sync") for c in v["state_sync"]][-2:]
    by_action = {c["action"]: c["contact"] for c in last}
    assert by_action["add"]["full_name"] == "Nora (VIP)"
    assert "full_name" not in by_action["remove"]


async def test_a_device_change_holds_everything_until_the_app_is_back(sim):
    await sim.connect()
    await sim.write()
    phone = f"/control/phones/{sim.phone.id}"
    await sim.post(f"{phone}/offboard")
    lost = await sim.write(text="in the gap")
    body = {"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": "hi"}}
    assert (await sim.error("POST", f"{sim.phone.id}/messages", **body))["code"] == 133010
    assert (await sim.graph("GET", sim.phone.id))["id"] == sim.phone.id
    await sim.post(f"{phone}/reconnect")
    await sim.text()
    await sim.flush()
    assert sim.platform.events()[-2:] == ["ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"]
    assert lost["id"] not in [m["id"] for m in sim.platform.messages()]


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("disconnect", None),
        ("inactivity", {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}),
        ("change_number", {"reason": "CHANGE_NUMBER", "initiated_by": "USER"}),
    ],
)
async def test_a_disconnection_says_why_when_meta_would(sim, why, told):
    await sim.connect()
    await sim.post(f"/control/phones/{sim.phone.id}/disconnect", reason=why)
    await sim.flush()
    last = sim.platform.changes("account_update")[-1]
    assert last["event"] == "PARTNER_REMOVED"
    assert last["waba_info"]["waba_id"] == sim.phone.waba_id
    assert last.get("disconnection_info") == told
    shown = await sim.graph("GET", f"{sim.phone.waba_id}/phone_numbers?fields=is_on_biz_app")
    assert shown["data"][0]["is_on_biz_app"] is False


async def test_customers_send_every_type(sim):
    await sim.connect()
    kinds = ["image", "video", "voice", "audio", "document", "sticker", "location", "contacts", "unsupported"]
    for kind in kinds:
        await sim.write(type=kind)
    await sim.write(type="first_message", text="from an ad", heal_after=0)
    await sim.flush()
    came = sim.platform.messages()
    assert len(came) == len(kinds) + 2
    by_type = {m["type"]: m for m in came}
    assert by_type["image"]["image"]["url"].startswith("http://simulator.test/media-download/")
    errors = {m["errors"][0]["code"] for m in came if m["type"] == "unsupported"}
    assert errors == {131051, 131060}
    hidden = next(m for m in came if m.get("errors", [{}])[0].get("code") == 131060)
    healed = next(m for m in came if m["type"] == "text")
    assert hidden["id"] == healed["id"]


async def test_customers_edit_for_fifteen_minutes_and_delete_for_two_days(sim):
    await sim.connect()
    first = await sim.write(text="one")
    await sim.post("/control/customers/c1/edit", message=first["id"], text="two")
    await sim.post("/control/clock", advance=15 * 60 + 1)
    await sim.post("/control/customers/c1/edit", 409, message=first["id"], text="three")
    await sim.post("/control/clock", advance=86400)
    await sim.post("/control/customers/c1/delete", message=first["id"])
    second = await sim.write(text="four")
    await sim.post("/control/clock", advance=2 * 86400 + 1)
    await sim.post("/control/customers/c1/delete", 409, message=second["id"])
    await sim.post("/control/customers/c1/react", message=second["id"], emoji="")
    await sim.flush()
    by_type = {m["type"]: m for m in sim.platform.messages()}
    assert by_type["edit"]["edit"]["message"]["text"] == {"body": "two"}
    assert by_type["revoke"]["revoke"] == {"original_message_id": first["id"]}
    assert "emoji" not in by_type["reaction"]["reaction"]


async def test_a_new_number_brings_a_new_user_id(sim):
    await sim.connect()
    await sim.write()
    old = sim.world.customer("c1").bsuid
    fresh = await sim.post("/control/customers/c1/number", number="+1 415 555 0172")
    await sim.flush()
    system = sim.platform.messages()[-1]
    assert system["system"]["type"] == "user_changed_user_id"
    assert system["system"]["wa_id"] == "14155550172"
    (update,) = sim.platform.changes("user_id_update")[0]["user_id_update"]
    assert update["user_id"] == {"previous": old, "current": fresh["bsuid"]}


async def test_the_generated_past_can_be_quoted_and_read_on_the_phone(sim):
    await sim.connect()
    shown = await sim.get(f"/control/phones/{sim.phone.id}/chats/c1?limit=1000")
    old = next(m for m in shown["messages"] if m["type"] == "text" and m["direction"] == "out")
    await sim.write(text="about this", reply_to=old["id"])
    await sim.post("/control/customers/c1/react", message=old["id"], emoji="❤️")
    await sim.flush()
    quoting, reaction = sim.platform.messages()
    if quoting["type"] == "reaction":
        quoting, reaction = reaction, quoting
    assert quoting["context"] == {"from": sim.phone.number, "id": old["id"]}
    again = await sim.get(f"/control/phones/{sim.phone.id}/chats/c1?limit=1000")
    assert len(again["messages"]) == len(shown["messages"]) + 1
    assert next(m for m in again["messages"] if m["id"] == old["id"])["reactions"]["customer"] == "❤️"
    chats = (await sim.get(f"/control/phones/{sim.phone.id}/chats"))["chats"]
    assert chats[0]["customer"] == "c1"
    assert chats[0]["unread"] == 1
