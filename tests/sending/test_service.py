"""The one way out, and everything that may bar it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.wire import DANI, Human
from tests.sending.conftest import Shop

from twinline.meta import graph
from twinline.rules.guard import Refusal
from twinline.rules.messages import MB
from twinline.rules.refusal import Refused
from twinline.sending import service, waking
from twinline.sending.models import Draft, Lane
from twinline.sending.service import NoSuchContact
from twinline.templates import queries as templates

pytestmark = pytest.mark.anyio

ANA, BEA = "351910000001", "351910000002"


async def refused(shop: Shop, contact_id: int, what: str | Draft, **options: Any) -> Refusal:
    """The refusal of a message; nothing of it stays behind."""
    with pytest.raises(Refused) as caught:
        await shop.says(contact_id, what, **options)
    assert not await shop.dicts("SELECT * FROM outbox")
    assert not await shop.jobs()
    refusal = caught.value.refusal
    assert str(caught.value) == refusal.text
    assert refusal.text.endswith(".")
    assert refusal.what_to_do.endswith(".")
    return refusal


def photo(size: int = 1000, mime: str = "image/png", caption: str | None = None) -> Draft:
    return Draft("image", caption, {"file": "outgoing/ab", "mime_type": mime, "filename": "a", "size": size})


async def test_a_message_and_the_job_that_sends_it_are_one_commit(shop: Shop) -> None:
    ana = await shop.customer(ANA)

    async def think_better_of_it() -> None:
        async with shop.app.db.transaction() as tx:
            await service.submit(shop.app, tx, shop.number_id, ana, Draft("text", "never mind"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await think_better_of_it()
    assert not await shop.dicts("SELECT * FROM outbox")
    assert not await shop.jobs()
    outbox = await shop.says(ana, "Yes, we are open.", author_id=3)
    row = await shop.row(outbox)
    assert (row["state"], row["author"], row["author_id"], row["lane"]) == ("queued", "person", 3, Lane.PERSON)
    [job] = await shop.jobs()
    assert (job["task_name"], job["args"], job["status"]) == ("sending.drain", {"number_id": shop.number_id}, "todo")
    assert await shop.told("outbox") == [[ana, outbox, "queued"]]


async def test_the_same_key_is_the_same_message(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    first = await shop.says(ana, "once", idempotency_key="k1")
    assert await shop.says(ana, "once", idempotency_key="k1") == first
    assert await shop.says(ana, "once", idempotency_key="k2") != first
    await shop.drain()
    assert await shop.says(ana, "once", idempotency_key="k1") == first
    assert await shop.says(bea, "once") != first
    await shop.drain()
    assert shop.meta.texts == ["once"] * 3


async def test_two_that_press_at_once_with_one_key_send_one_message(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    pressed = await asyncio.gather(*[shop.says(ana, "once", idempotency_key="k") for _ in range(6)])
    assert len(set(pressed)) == 1
    await shop.drain()
    assert shop.meta.texts == ["once"]


async def test_a_hundred_that_press_at_once_leave_one_job(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await asyncio.gather(*[shop.says(ana, f"{n}") for n in range(100)])
    assert len(await shop.jobs()) == 1


@pytest.mark.parametrize(
    ("story", "rule"),
    [
        ("stranger", "window.never_wrote"),
        ("yesterday", "window.expired"),
        ("phone answered", "window.only_phone_answered"),
    ],
)
async def test_a_closed_window_is_refused_with_its_reason(shop: Shop, story: str, rule: str) -> None:
    ana = await shop.customer(ANA, writes=story == "yesterday")
    if story == "yesterday":
        shop.clock.advance(hours=24)
    if story == "phone answered":
        await shop.phone_says(ANA, "I'll call you.")
    refusal = await refused(shop, ana, "Hello?")
    assert refusal.rule == rule
    assert "template" in refusal.what_to_do


async def test_who_wrote_before_the_number_was_connected_has_no_window_yet(shop: Shop) -> None:
    before = wire.theirs(Human(ANA), wire.text("wamid.P", shop.seconds - 7200, "Good morning"))
    await shop.hears(wire.chunk(0, 1, 100, wire.thread(Human(ANA), before)))
    ana = await shop.value("SELECT contact_id FROM identities WHERE key = %s", (f"p:{ANA}",))
    assert (await refused(shop, ana, "Hello?")).rule == "window.wrote_before_connect"


async def test_an_opt_out_binds_campaigns_and_nobody_else(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.hears(wire.preference(Human(ANA), "stop", shop.seconds))
    refusal = await refused(shop, ana, "An offer!", lane=Lane.MARKETING, author="campaign")
    assert refusal.rule == "opted_out"
    assert await shop.says(ana, "Your bread is ready.", lane=Lane.UTILITY, author="automation")
    assert await shop.says(ana, "Hello Ana.")


@pytest.mark.parametrize(
    ("draft", "rule"),
    [
        (Draft("text", "x" * 4097), "text.too_long"),
        (Draft("text", "  "), "text.empty"),
        (photo(mime="image/gif"), "media.format"),
        (photo(size=5 * MB + 1), "media.size"),
        (photo(size=0), "media.empty"),
        (photo(caption="x" * 1025), "caption.too_long"),
        (Draft("audio", "listen", {"mime_type": "audio/ogg", "size": 9}), "caption.impossible"),
        (Draft("status", "to everybody"), "capability.status"),
    ],
)
async def test_what_whatsapp_would_not_take_is_refused_before_it_is_kept(shop: Shop, draft: Draft, rule: str) -> None:
    ana = await shop.customer(ANA)
    assert (await refused(shop, ana, draft)).rule == rule


@pytest.mark.parametrize("state", ["connecting", "offboarded", "disconnected"])
async def test_a_number_that_is_not_connected_sends_nothing(shop: Shop, state: str) -> None:
    ana = await shop.customer(ANA)
    await shop.execute("UPDATE numbers SET state = %s", (state,))
    assert (await refused(shop, ana, "Hello?")).rule == f"number.{state}"


async def test_a_number_lost_while_a_message_waits_holds_it_in_plain_words(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, "Hello?")
    await shop.execute("UPDATE numbers SET state = 'disconnected', state_reason = 'PRIMARY_INACTIVITY'")
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], shop.meta.texts) == ("held", [])
    assert "wasn't opened for about 14 days" in row["error_text"]


async def test_a_window_that_closes_while_a_message_waits_fails_it_with_the_reason(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await shop.says(ana, "Hello?")
    shop.clock.advance(hours=25)
    await shop.drain()
    row = await shop.row(outbox)
    assert (row["state"], shop.meta.texts) == ("failed", [])
    assert row["error_text"].startswith("More than 24 hours have passed")


async def test_a_stranger_is_no_contact(shop: Shop) -> None:
    with pytest.raises(NoSuchContact):
        await shop.says(12345, "Who are you?")


# --- to somebody by address ---------------------------------------------------------------------------------------


async def to(shop: Shop, recipient: str, draft: Draft | None = None, **options: Any) -> int:
    async with shop.app.db.transaction() as tx:
        said = draft or Draft("text", "Hello")
        return await service.submit_to(shop.app, tx, shop.number_id, recipient, said, **options)


TEMPLATE = Draft("template", None, {"name": "hello", "language": {"code": "pt_PT"}})


async def approve(shop: Shop) -> None:
    """Meta has told of the template."""
    async with shop.app.db.transaction() as tx:
        place = await templates.account_of(tx, shop.number_id)
        assert place is not None
        hello = graph.Template("1", "hello", "pt_PT", "APPROVED", "UTILITY", [{"type": "BODY", "text": "Hello."}])
        await templates.write(tx, [templates.row(place, hello, shop.clock.now())])


async def test_a_new_phone_number_becomes_a_contact(shop: Shop) -> None:
    await approve(shop)
    outbox = await to(shop, "+351 910 000 077", TEMPLATE)
    assert await to(shop, "351910000077", TEMPLATE) != outbox
    await shop.drain()
    assert [message["to"] for message in shop.meta.messages] == ["351910000077"] * 2
    assert shop.meta.messages[0]["template"] == {**(TEMPLATE.content or {}), "components": []}
    assert await shop.value("SELECT count(*) FROM contacts") == 1


async def test_a_user_id_is_written_to_by_recipient(shop: Shop) -> None:
    assert DANI.user_id is not None
    await approve(shop)
    await to(shop, DANI.user_id, TEMPLATE)
    await shop.drain()
    [message] = shop.meta.messages
    assert message["recipient"] == DANI.user_id
    assert "to" not in message


async def test_a_customer_known_by_two_names_is_written_to_by_phone(shop: Shop) -> None:
    both = Human("351910000009", "PT.99", "Nine")
    await shop.hears(wire.inbound(both, wire.text("wamid.N", shop.seconds, "Hi")))
    await to(shop, "PT.99")
    await shop.drain()
    assert shop.meta.messages[0]["to"] == "351910000009"


@pytest.mark.parametrize("garbage", ["", "hello", "12", "12345 or so", "ana@example.com"])
async def test_what_is_no_address_is_said_to_be_none(shop: Shop, garbage: str) -> None:
    with pytest.raises(Refused) as caught:
        await to(shop, garbage)
    assert caught.value.refusal.rule == ("recipient.impossible" if garbage else "recipient.missing")
    assert await shop.value("SELECT count(*) FROM contacts") == 0


@pytest.mark.parametrize(
    ("address", "feature"),
    [
        ("120363040469423382@g.us", "groups"),
        ("status@broadcast", "status"),
        ("1600000000@broadcast", "broadcast_lists"),
    ],
)
async def test_groups_lists_and_status_are_for_the_phone(shop: Shop, address: str, feature: str) -> None:
    with pytest.raises(Refused) as caught:
        await to(shop, address)
    assert caught.value.refusal.rule == f"capability.{feature}"
    assert "phone" in caught.value.refusal.what_to_do


async def test_the_rules_hold_for_addresses_too(shop: Shop) -> None:
    with pytest.raises(Refused) as caught:
        await to(shop, "351910000077")
    assert caught.value.refusal.rule == "window.never_wrote"
    assert await shop.value("SELECT count(*) FROM contacts") == 0, "a refused message left a contact behind"


# --- jobs ---------------------------------------------------------------------------------------------------------


async def test_a_job_for_later_never_bars_one_for_now_nor_the_earlier_of_two(shop: Shop) -> None:
    async def wake(after: timedelta | None) -> float | None:
        async with shop.app.db.transaction() as tx:
            await waking.wake(tx, shop.number_id, after)
        [job] = await shop.jobs()
        ahead = await shop.value(
            "SELECT extract(epoch FROM scheduled_at - now()) FROM procrastinate_jobs WHERE id = %s", (job["id"],)
        )
        return None if ahead is None else round(float(ahead) / 10) * 10

    assert await wake(timedelta(minutes=10)) == 600
    assert await wake(timedelta(minutes=20)) == 600
    assert await wake(timedelta(minutes=5)) == 300
    assert await wake(None) is None
    assert await wake(timedelta(minutes=5)) is None
