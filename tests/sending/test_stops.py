"""An error that concerns more than its message: what stands still then, what waits behind it, and what ends it."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, Human
from tests.sending.conftest import Shop, error

from twinline.rules.outcomes import Way
from twinline.rules.refusal import Refused
from twinline.sending import lane, stops
from twinline.sending.models import Draft, Lane

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"
MACHINE = {"author": "automation", "lane": Lane.AUTOMATION}
CAMPAIGN = {"author": "campaign", "lane": Lane.MARKETING}


async def standing(shop: Shop) -> dict[int | None, stops.Standing]:
    async with shop.app.db.transaction() as tx:
        return {one.code: one for one in await stops.standing(tx, shop.number_id, shop.clock.now())}


async def failed(shop: Shop, code: int, of: int = 0, *, at: int | None = None) -> None:
    """Meta says later that it couldn't deliver what it had taken."""
    message = shop.meta.messages[of]
    told = wire.status(
        Human(message["to"]),
        f"wamid.{of + 1}",
        "failed",
        shop.seconds if at is None else at,
        biz_opaque_callback_data=message["biz_opaque_callback_data"],
        errors=[{"code": code, "title": "No"}],
    )
    await shop.hears(wire.statuses(told))


async def relieve(shop: Shop, way: Way) -> None:
    async with shop.app.db.transaction() as tx:
        await stops.relieve(tx, shop.number_id, way, shop.clock.now())


async def press(shop: Shop, code: int) -> bool:
    button = (await standing(shop))[code].button
    async with shop.app.db.transaction() as tx:
        organisation = await tx.value("SELECT organisation_id FROM numbers")
        return await stops.resume(tx, organisation, shop.number_id, button or "", 7, shop.clock.now())


# --- a number -----------------------------------------------------------------------------------------------------


async def test_a_dead_token_stops_the_number_and_a_new_one_lets_everything_go(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    first = await shop.says(ana, "an answer", **MACHINE)
    second = await shop.says(bea, "another", **MACHINE)
    shop.meta.will("an answer", error(190, 401))
    shop.meta.will("another", error(190, 401))
    await shop.drain()
    for outbox in (first, second):
        row = await shop.row(outbox)
        assert (row["state"], row["error_code"]) == ("held", 190)
        assert row["error_text"] == "The access token is missing, has expired or was withdrawn."
    with pytest.raises(Refused) as refused:
        await shop.says(ana, "a person's words")
    assert refused.value.refusal.rule == "stopped.number"
    assert "token" in refused.value.refusal.what_to_do
    third = await shop.says(ana, "a machine's words", **MACHINE)
    assert await shop.state(third) == "held"
    heard = len(shop.meta.messages)
    shop.clock.advance(days=1)
    shop.heard += 1
    await shop.customer(ANA)
    await shop.customer(BEA)
    await shop.drain()
    assert len(shop.meta.messages) == heard, "time alone doesn't mend a token"
    await relieve(shop, Way.TOKEN)
    await shop.drain()
    assert [await shop.state(outbox) for outbox in (first, second, third)] == ["sent"] * 3
    assert await standing(shop) == {}


async def test_what_waited_too_long_is_held_to_the_rules_of_the_day(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("soon", error(190, 401))
    outbox = await shop.says(ana, "soon", **MACHINE)
    await shop.drain()
    shop.clock.advance(hours=25)
    await relieve(shop, Way.TOKEN)
    await shop.drain()
    row = await shop.row(outbox)
    assert row["state"] == "failed"
    assert "24 hours" in row["error_text"]


async def test_a_person_lets_a_locked_account_go_on_and_meta_decides(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("hello", error(131031), error(131031))
    outbox = await shop.says(ana, "hello", **MACHINE)
    await shop.drain()
    assert set(await standing(shop)) == {131031}
    assert await press(shop, 131031)
    assert not await standing(shop)
    shop.clock.advance(minutes=1)
    await shop.drain()
    assert await shop.state(outbox) == "held", "Meta said it again"
    assert await press(shop, 131031)
    await shop.drain()
    assert await shop.state(outbox) == "sent"
    audit = await shop.dicts("SELECT action, user_id, detail FROM audit")
    assert [(row["action"], row["user_id"]) for row in audit] == [("number.resumed", 7)] * 2


async def test_an_offboarded_number_holds_what_machines_write_and_refuses_what_people_do(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    before = await shop.says(ana, "written before", **CAMPAIGN)
    await shop.execute("UPDATE numbers SET state = 'offboarded', state_since = %s", (shop.clock.now(),))
    after = await shop.says(ana, "written after", **CAMPAIGN)
    await shop.drain()
    assert [await shop.state(outbox) for outbox in (before, after)] == ["held", "held"]
    with pytest.raises(Refused) as refused:
        await shop.says(ana, "a person's words")
    assert refused.value.refusal.rule == "number.offboarded"
    assert shop.meta.messages == []
    await shop.execute("UPDATE numbers SET state = 'connected'")
    await shop.drain()
    assert shop.meta.texts == ["written before", "written after"]


async def test_an_account_that_is_stopped_stops_its_other_numbers_too(shop: Shop) -> None:
    sibling = await shop.value(
        "INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at, state)"
        " SELECT organisation_id, waba_id, 'other', '1', created_at, state FROM numbers RETURNING id"
    )
    ana = await shop.customer(ANA)
    await shop.says(ana, "hello")
    await shop.drain()
    await failed(shop, 131042)
    async with shop.app.db.transaction() as tx:
        [one] = await stops.standing(tx, sibling, shop.clock.now())
        assert (one.code, one.scope) == (131042, "account")
        await stops.relieve(tx, sibling, Way.BILLED, shop.clock.now())
        assert await stops.standing(tx, sibling, shop.clock.now()) == []
    assert await standing(shop) == {}


# --- said later ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [131042, 131031, 190, 131037])
async def test_a_failed_status_stops_as_an_answer_does(shop: Shop, code: int) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, "hello", **MACHINE)
    await shop.drain()
    await failed(shop, code)
    assert set(await standing(shop)) == {code}
    waits = await shop.says(ana, "wait", **MACHINE)
    await shop.drain()
    assert await shop.state(waits) == "held"


async def test_a_failure_of_yesterday_stops_nothing_that_has_worked_since(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, "yesterday")
    await shop.drain()
    said = shop.seconds
    shop.clock.advance(hours=20)
    await shop.says(ana, "today")
    await shop.drain()
    await shop.status(shop.meta.messages[1], "sent", "wamid.2")
    await failed(shop, 131031, at=said)
    assert await standing(shop) == {}
    # The same words, but of now: this counts.
    shop.clock.advance(seconds=5)
    await failed(shop, 131031)
    assert set(await standing(shop)) == {131031}


async def test_people_who_blocked_the_number_stop_its_campaigns_for_a_day(shop: Shop) -> None:
    ana, bea, carl = [await shop.customer(phone) for phone in (ANA, BEA, CARL)]
    await shop.says(ana, "offer", **CAMPAIGN)
    await shop.drain()
    await failed(shop, 131048)
    offer = await shop.says(bea, "another offer", **CAMPAIGN)
    answer = await shop.says(carl, "an answer")
    await shop.drain()
    assert await shop.state(offer) == "held"
    assert await shop.state(answer) == "sent", "a campaign's stop is nobody else's"
    shop.clock.advance(hours=23)
    await shop.customer(BEA)
    await shop.drain()
    assert await shop.state(offer) == "held"
    shop.clock.advance(hours=2)
    await shop.drain()
    assert await shop.state(offer) == "sent"


async def test_a_reply_doesnt_wait_while_a_long_campaign_is_put_aside(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stops, "SLICE", 2)
    people = [await shop.customer(f"3519200000{n:02}") for n in range(11)]
    offers = [await shop.says(person, "offer", **CAMPAIGN) for person in people]
    async with shop.app.db.transaction() as tx:
        await stops.stop(tx, shop.number_id, 131048, shop.clock.now())
    answer = await shop.says(await shop.customer(ANA), "an answer")
    planned = await lane.plan(shop.app, shop.number_id)
    assert planned is not None
    assert [row.id for row, _ in planned.rows] == [answer]
    assert sum([await shop.state(offer) == "held" for offer in offers]) == 2, "the rest follows, slice by slice"
    await shop.drain()
    assert {await shop.state(offer) for offer in offers} == {"held"}
    await shop.execute("DELETE FROM stops")
    await shop.drain()
    assert {await shop.state(offer) for offer in offers} == {"sent"}


async def test_a_pause_of_calls_to_meta_grows_and_holds_nobodys_words(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    async with shop.app.db.transaction() as tx:
        now = shop.clock.now()
        await stops.stop(tx, shop.number_id, 80007, now)
    [one] = (await standing(shop)).values()
    assert (one.holds, one.until) == (False, now + timedelta(seconds=60))
    assert await shop.state(await shop.says(ana, "a person's words")) == "queued"


# --- a template ---------------------------------------------------------------------------------------------------

SALE = {"name": "spring_sale", "language": {"code": "pt_BR"}, "components": []}
READY = {"name": "order_ready", "language": {"code": "en_US"}, "components": []}


def template(content: dict[str, Any]) -> Draft:
    return Draft("template", "Hello", content)


def approved(event: str, at: int, title: str | None = None, name: str = "spring_sale") -> dict[str, Any]:
    value = {
        "event": event,
        "message_template_id": 1,
        "message_template_name": name,
        "message_template_language": "pt-BR",
        "reason": None,
        "other_info": {"title": title},
    }
    change = {"field": "message_template_status_update", "value": value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": BAKERY.waba_id, "time": at, "changes": [change]}],
    }


async def put(shop: Shop, contact: int, content: dict[str, Any], author: str = "campaign") -> int:
    """A template message stands in the outbox: whether it may be filled in so, is not the question here."""
    return int(
        await shop.value(
            "INSERT INTO outbox (number_id, contact_id, lane, author, floor_epoch, created_at, type, text, content)"
            " VALUES (%s, %s, %s, %s, 0, %s, 'template', 'Hello', %s) RETURNING id",
            (
                shop.number_id,
                contact,
                Lane.PERSON if author == "person" else Lane.MARKETING,
                author,
                shop.clock.now(),
                stops.as_json(content),
            ),
        )
    )


async def test_a_paused_template_waits_for_its_approval_and_no_other_does(shop: Shop) -> None:
    ana, bea, carl = [await shop.customer(phone) for phone in (ANA, BEA, CARL)]
    shop.meta.will("template", error(132015))
    hit = await put(shop, ana, SALE)
    behind = await put(shop, bea, SALE)
    shop.meta.will("template", error(132015))
    other = await put(shop, carl, READY)
    await shop.drain()
    assert [await shop.state(row) for row in (hit, behind, other)] == ["held", "held", "sent"]
    await shop.hears(approved("APPROVED", shop.seconds, name="order_ready"))
    await shop.drain()
    assert await shop.state(hit) == "held", "that was another template"
    shop.clock.advance(hours=1)
    await shop.hears(approved("APPROVED", shop.seconds))
    await shop.drain()
    assert [await shop.state(row) for row in (hit, behind)] == ["sent", "sent"]


async def test_a_pause_that_meta_announces_ends_as_it_says(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.hears(approved("PAUSED", shop.seconds, "FIRST_PAUSE"))
    [one] = (await standing(shop)).values()
    assert (one.code, one.key) == (132015, "spring_sale/pt_BR")
    waits = await put(shop, ana, SALE)
    await shop.drain()
    assert await shop.state(waits) == "held"
    shop.clock.advance(hours=3, minutes=1)
    await shop.drain()
    assert await shop.state(waits) == "sent"


async def test_an_approval_that_overtook_the_pause_still_ends_it(shop: Shop) -> None:
    paused, again = approved("PAUSED", shop.seconds), approved("APPROVED", shop.seconds + 60)
    await shop.hears(again)
    await shop.hears(paused)
    assert await standing(shop) == {}


async def test_a_slip_of_a_person_stops_nobody_and_a_machines_stops_machines(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    shop.meta.will("template", error(132000))
    slip = await put(shop, ana, SALE, "person")
    await shop.drain()
    assert (await shop.row(slip))["state"] == "failed"
    assert await standing(shop) == {}
    shop.meta.will("template", error(132000))
    machine = await put(shop, bea, SALE)
    await shop.drain()
    assert await shop.state(machine) == "held"
    person = await put(shop, ana, SALE, "person")
    await shop.drain()
    assert await shop.state(person) == "sent"


# --- the law ------------------------------------------------------------------------------------------------------

WHAT_IS_KNOWN = """
SELECT (SELECT json_agg(s ORDER BY scope, key, code) FROM stops s) AS stops,
       (SELECT json_agg(r ORDER BY way, key) FROM reliefs r) AS reliefs,
       (SELECT json_agg(json_build_array(id, error_code, failed_at) ORDER BY id) FROM outbox) AS failures,
       (SELECT json_agg(json_build_array(id, opted_out, opted_v) ORDER BY id) FROM contacts) AS people
"""


async def test_webhooks_in_any_order_and_repeated_end_in_the_same_stops(shop: Shop) -> None:
    for phone in (ANA, BEA, CARL):
        await shop.says(await shop.customer(phone), "offer", **CAMPAIGN)
    await shop.drain()
    first, second, third = shop.meta.messages
    at = shop.seconds

    def fails(message: dict[str, Any], wamid: str, code: int, later: int) -> dict[str, Any]:
        callback = message["biz_opaque_callback_data"]
        errors = [{"code": code, "title": "No"}]
        human = Human(message["to"])
        told = wire.status(human, wamid, "failed", at + later, biz_opaque_callback_data=callback, errors=errors)
        return wire.statuses(told)

    told = [
        fails(first, "wamid.1", 131042, 10),
        fails(second, "wamid.2", 131050, 20),
        fails(third, "wamid.3", 131031, 30),
        wire.preference(Human(BEA), "resume", at + 15),
        approved("PAUSED", at + 5, "SECOND_PAUSE"),
        approved("APPROVED", at + 25),
        approved("PAUSED", at + 40),
        approved("DISABLED", at + 2, name="other"),
        wire.hook("account_review_update", {"decision": "APPROVED"}, time=at + 50),
    ]
    chance = Random(7)
    seen = []
    for _ in range(12):
        order = told + chance.sample(told, 3)
        chance.shuffle(order)
        for webhook in order:
            await shop.hears(webhook)
        [known] = await shop.dicts(WHAT_IS_KNOWN)
        seen.append((known, set(await standing(shop))))
        for table in ("stops", "reliefs", "notices", "webhooks"):
            await shop.execute(f"DELETE FROM {table}")
        await shop.execute("UPDATE outbox SET error_code = NULL, error_text = NULL, failed_at = NULL")
        await shop.execute("UPDATE contacts SET opted_out = false, opted_v = -1")
    # 131042: nothing has eased it. 132015: paused again after the approval. 132016: disabled. 131031: reinstated.
    assert seen[0][1] == {131042, 132015, 132016}
    assert all(one == seen[0] for one in seen)


# --- a person -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [False, True], ids=["answered", "said later"])
async def test_who_opted_out_gets_no_marketing_any_more(shop: Shop, later: bool) -> None:
    ana = await shop.customer(ANA)
    if not later:
        shop.meta.will("offer", error(131050))
    await shop.says(ana, "offer", **CAMPAIGN)
    await shop.drain()
    if later:
        await failed(shop, 131050)
    assert await shop.value("SELECT opted_out FROM contacts WHERE id = %s", (ana,))
    with pytest.raises(Refused) as refused:
        await shop.says(ana, "another offer", **CAMPAIGN)
    assert refused.value.refusal.rule == "opted_out"
    assert await shop.says(ana, "your order is ready", author="campaign", lane=Lane.UTILITY)


async def test_who_resumed_after_an_opt_out_that_came_late_is_in_again(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.says(ana, "offer", **CAMPAIGN)
    await shop.drain()
    before = shop.seconds
    shop.clock.advance(hours=1)
    await shop.hears(wire.preference(Human(ANA), "resume", shop.seconds))
    await failed(shop, 131050, at=before)
    assert not await shop.value("SELECT opted_out FROM contacts WHERE id = %s", (ana,))


@pytest.mark.parametrize("later", [False, True], ids=["answered", "said later"])
async def test_who_had_enough_marketing_is_left_alone_for_a_day(shop: Shop, later: bool) -> None:
    ana = await shop.customer(ANA)
    if not later:
        shop.meta.will("offer", error(131049))
    await shop.says(ana, "offer", **CAMPAIGN)
    await shop.drain()
    if later:
        await failed(shop, 131049)
    assert await standing(shop) == {}
    shop.clock.advance(hours=23)
    with pytest.raises(Refused) as refused:
        await shop.says(ana, "another offer", **CAMPAIGN)
    assert refused.value.refusal.rule == "capped"
    shop.clock.advance(hours=2)
    await shop.customer(ANA)
    assert await shop.says(ana, "another offer", **CAMPAIGN)


async def test_machines_give_up_on_who_cannot_be_reached_and_people_need_not(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    for n in range(3):
        shop.clock.advance(seconds=1)
        await shop.says(ana, f"try {n}", **MACHINE)
        await shop.drain()
        await failed(shop, 131026, n)
    with pytest.raises(Refused) as refused:
        await shop.says(ana, "try again", **MACHINE)
    assert refused.value.refusal.rule == "unreachable"
    assert await shop.says(ana, "a person tries")
    shop.clock.advance(hours=3)  # and leaves the chat to machines again
    await shop.customer(ANA)
    assert await shop.says(ana, "there you are", **MACHINE)
