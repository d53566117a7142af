"""What is told of what: each type in the shape in which the API answers, and states only when they changed."""

from typing import Any

import pytest
from tests.fixtures import mirror, wire
from tests.fixtures.mirror import ask, change, value
from tests.fixtures.wire import RUA, T0
from tests.webhooks_out.conftest import Bakery

from twinline import wiring
from twinline.contacts import service as contacts
from twinline.inbox import service as inbox
from twinline.mirror import events, turn

pytestmark = pytest.mark.anyio
HELLO = wire.inbound(RUA, wire.text("wamid.1", T0, "hello"))


@pytest.fixture
async def told(bakery: Bakery) -> Any:
    """What the till is told when something happens: (type, data) each."""
    await mirror.tell(bakery.app, HELLO, followers=wiring.followers(bakery.app))
    await bakery.listens()

    async def told(*webhooks: Any) -> list[tuple[str, dict[str, Any]]]:
        for webhook in webhooks:
            await mirror.tell(bakery.app, webhook, followers=wiring.followers(bakery.app))
        before = len(bakery.receiver.got)
        await bakery.tends()
        return [(one.type, one.told["data"]) for one in bakery.receiver.got[before:]]

    return told


async def test_of_a_message_every_step_is_told(told: Any) -> None:
    found = await told(wire.echoes(RUA, wire.text("wamid.2", T0 + 1, "yes")))
    assert ("message.echoed", "yes") in [(kind, data.get("message", {}).get("text")) for kind, data in found]
    found = await told(wire.statuses(wire.status(RUA, "wamid.2", "read", T0 + 2), human=RUA))
    assert [(kind, data["message"]["delivery"]) for kind, data in found] == [("message.status", "read")]
    found = await told(wire.inbound(RUA, wire.edit_of("wamid.e", T0 + 3, "wamid.1", "text", {"body": "hello!"})))
    assert [(kind, data["message"]["text"], data["message"]["edited"]) for kind, data in found] == [
        ("message.edited", "hello!", True)
    ]
    found = await told(wire.inbound(RUA, wire.revoke_of("wamid.r", T0 + 4, "wamid.1")))
    assert [(kind, data["message"]["text"]) for kind, data in found] == [("message.revoked", None)]


async def test_who_has_the_floor_and_whose_a_chat_is(bakery: Bakery, told: Any) -> None:
    now = int(bakery.clock.now().timestamp())
    found = await told(wire.echoes(RUA, wire.text("wamid.2", now, "yes")))
    assert [data["chat"]["floor"] for kind, data in found if kind == "chat.updated"] == ["phone"]
    found = await told(wire.echoes(RUA, wire.text("wamid.3", now + 1, "and")))
    assert [kind for kind, _ in found] == ["message.echoed"], "the floor is where it was"
    await change(bakery.app, "UPDATE chats SET assigned_to = 7")
    async with bakery.app.db.transaction() as tx:
        await turn.take(tx, [bakery.number_id])
        await events.publish(tx, {bakery.number_id: {"chats": [1]}}, bakery.clock.now())
    assert [(kind, data["chat"]["assigned_to"]) for kind, data in await told()] == [("chat.updated", 7)]


async def test_names_tags_and_words_about_marketing(bakery: Bakery, told: Any) -> None:
    found = await told(wire.state_sync(wire.contact(RUA, "add", T0, "Rua the baker")))
    assert [(kind, data["contact"]["name"]) for kind, data in found] == [("contact.updated", "Rua the baker")]
    now = bakery.clock.now()
    async with bakery.app.db.transaction() as tx:
        await contacts.tag(tx, bakery.number_id, [1], now, add=["vip"])
    assert [(kind, data["contact"]["tags"]) for kind, data in await told()] == [("contact.updated", ["vip"])]
    async with bakery.app.db.transaction() as tx:
        await contacts.say(tx, bakery.number_id, 1, False, now, source="person")
    found = await told()
    assert [(kind, data["marketing"]["allowed"]) for kind, data in found] == [("consent.changed", False)]
    async with bakery.app.db.transaction() as tx:
        await inbox.mark_read(tx, bakery.number_id, 1, now)
    assert await told() == []


async def test_a_number_is_told_of_when_something_about_it_changed(bakery: Bakery, told: Any) -> None:
    found = await told(wire.account("offboarded"))
    assert [(kind, data["number"]["state"]) for kind, data in found] == [("number.updated", "offboarded")]
    async with bakery.app.db.transaction() as tx:
        await turn.take(tx, [bakery.number_id])
        await events.publish(tx, {bakery.number_id: {"number": True, "templates": True}}, bakery.clock.now())
    assert await told() == []


async def test_a_template_is_told_of_when_its_state_changed(bakery: Bakery, told: Any) -> None:
    waba = await value(bakery.app, "SELECT waba_id FROM numbers")
    add = (
        "INSERT INTO templates (organisation_id, waba_id, id, name, language, parameter_format, status, status_v, "
        "category, category_v) VALUES (%s, %s, %s, 'hello', 'en', 'POSITIONAL', 'PENDING', 1, 'UTILITY', 1)"
    )

    async def heard() -> list[tuple[str, str, str]]:
        async with bakery.app.db.transaction() as tx:
            await turn.take(tx, [bakery.number_id])
            await events.publish(tx, {bakery.number_id: {"templates": True}}, bakery.clock.now())
        return [(kind, data["template"]["id"], data["template"]["status"]) for kind, data in await told()]

    for template in ("t1", "t2"):
        await change(bakery.app, add, bakery.organisation_id, waba, template)
    assert await heard() == [("template.updated", "t1", "PENDING"), ("template.updated", "t2", "PENDING")]
    await change(bakery.app, "UPDATE templates SET status = 'APPROVED' WHERE id = 't2'")
    assert await heard() == [("template.updated", "t2", "APPROVED")]


async def test_a_campaign_is_told_of_step_by_step_and_once_when_it_is_done(bakery: Bakery, told: Any) -> None:
    now = bakery.clock.now()
    await change(
        bakery.app,
        "INSERT INTO campaigns (organisation_id, number_id, name, state_since, created_at) "
        "VALUES (%s, %s, 'x', %s, %s)",
        bakery.organisation_id,
        bakery.number_id,
        now,
        now,
    )
    ((campaign,),) = await ask(bakery.app, "SELECT id FROM campaigns")

    async def heard() -> list[tuple[str, str]]:
        async with bakery.app.db.transaction() as tx:
            await turn.take(tx, [bakery.number_id])
            await events.publish(tx, {bakery.number_id: {"campaigns": [campaign]}}, now)
        return [(kind, data["campaign"]["state"]) for kind, data in await told()]

    assert await heard() == [("campaign.updated", "draft")]
    await change(bakery.app, "UPDATE campaigns SET state = 'finished'")
    assert await heard() == [("campaign.updated", "finished"), ("campaign.finished", "finished")]
    assert await heard() == []


async def test_a_message_from_here_is_told_with_what_the_api_answers(bakery: Bakery, told: Any) -> None:
    columns = "number_id, contact_id, lane, author, floor_epoch, created_at, type, text, state, error_code, error_text"
    for state, code in (("sent", None), ("failed", 131026)):
        await change(
            bakery.app,
            f"INSERT INTO outbox ({columns}) VALUES (%s, 1, 0, 'person', 0, %s, 'text', 'bye', %s, %s, %s)",
            bakery.number_id,
            bakery.clock.now(),
            state,
            code,
            "Not delivered." if code else None,
        )
    await change(
        bakery.app,
        "INSERT INTO recipients (number_id, campaign_id, key, contact_id, state, outbox_id) "
        "VALUES (%s, 5, 'p:1', 1, 'queued', 1)",
        bakery.number_id,
    )
    async with bakery.app.db.transaction() as tx:
        await turn.take(tx, [bakery.number_id])
        told_of = {"outbox": [[1, 1, "sent"], [1, 2, "failed"], [1, 2, "queued"]]}
        await events.publish(tx, {bakery.number_id: told_of}, bakery.clock.now())
    found = await told()
    assert [kind for kind, _ in found] == ["message.sent", "campaign.recipient", "message.status"]
    assert [data["message"]["sent"]["id"] for kind, data in found if kind.startswith("message.")] == [1, 2]
    assert (found[1][1]["recipient"]["campaign_id"], found[1][1]["recipient"]["state"]) == (5, "sent")
    assert found[2][1]["message"]["errors"] == [{"code": 131026, "title": "Not delivered."}]
