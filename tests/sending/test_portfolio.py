"""The ledger of people whom a portfolio has reached: what counts, what doesn't, and for how long."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.contacts.conftest import TEMPLATE
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, Human
from tests.sending.conftest import Shop, error

from twinline.meta.graph import Graph
from twinline.rules.portfolio import Limit
from twinline.sending import portfolio
from twinline.sending.models import Draft, Lane
from twinline.sending.portfolio import Portfolio

pytestmark = pytest.mark.anyio

CAKES = Draft("template", None, {"name": "cakes", "language": {"code": "en_US"}, "components": []})
CAMPAIGN: dict[str, Any] = {"lane": Lane.MARKETING, "author": "campaign", "author_id": 1}


async def template(shop: Shop) -> None:
    body = '[{"type": "BODY", "text": "Three cakes for two."}]'
    named = {"name": "cakes", "category": "MARKETING", "components": body, "now": shop.clock.now()}
    await shop.execute(TEMPLATE, {**named, "number": shop.number_id})


async def standing(shop: Shop, number_id: int | None = None) -> Portfolio:
    async with shop.app.db.transaction() as tx:
        return await portfolio.standing(tx, number_id or shop.number_id, shop.clock.now())


async def limited(shop: Shop, said: str | int) -> None:
    value = {"max_daily_conversations_per_business": said, "max_phone_numbers_per_waba": 25}
    await shop.hears(wire.hook("business_capability_update", value, time=shop.seconds))


async def test_whoever_is_written_to_outside_of_a_window_counts_once_and_for_a_day(shop: Shop) -> None:
    await template(shop)
    ana = await shop.customer("351910000001", writes=False)
    bea = await shop.customer("351910000002")  # has just written
    for person in (ana, ana, bea):
        await shop.says(person, CAKES, **CAMPAIGN)
    assert (await standing(shop)).waiting == 1
    await shop.drain()
    assert len(shop.meta.messages) == 3
    now = await standing(shop)
    assert (now.reached, now.waiting, now.room) == (1, 0, 236)
    shop.clock.advance(hours=25)
    assert (await standing(shop)).reached == 0
    await portfolio.sweep(shop.app)
    assert await shop.value("SELECT count(*) FROM reached") == 0


async def test_what_meta_refused_or_failed_later_was_nobody_reached(shop: Shop) -> None:
    await template(shop)
    people = [await shop.customer(f"35191000000{n}", writes=False) for n in range(3)]
    shop.meta.will("template", error(131026))
    for person in people:
        await shop.says(person, CAKES, **CAMPAIGN)
    await shop.drain()
    assert (await standing(shop)).reached == 2
    failed = {"errors": [{"code": 131026, "title": "Undeliverable"}]}
    await shop.status(shop.meta.messages[1], "failed", "wamid.2", **failed)
    assert (await standing(shop)).reached == 1


async def test_in_doubt_counts(shop: Shop) -> None:
    await template(shop)
    shop.meta.will("template", httpx.ReadTimeout("no answer"))
    ana = await shop.customer("351910000001", writes=False)
    sent = await shop.says(ana, CAKES, **CAMPAIGN)
    await shop.drain()
    assert await shop.state(sent) == "in_doubt"
    assert (await standing(shop)).reached == 1


async def test_the_newest_word_about_the_limit_counts_whoever_said_it(shop: Shop) -> None:
    assert not (await standing(shop)).limit.known

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=meta[request.url.path.rsplit("/", 1)[1]])

    meta = {
        BAKERY.phone_number_id: {"id": BAKERY.phone_number_id, "whatsapp_business_manager_messaging_limit": "TIER_2K"},
        BAKERY.waba_id: {"id": BAKERY.waba_id, "owner_business_info": {"name": "Bakery", "id": "77"}},
    }
    graph = Graph(httpx.AsyncClient(transport=httpx.MockTransport(answer)), "https://graph.test", "v26.0")
    shop.app = replace(shop.app, graph=graph)
    async with shop.app.db.transaction() as tx:
        assert await portfolio.to_ask(tx, shop.clock.now()) == [shop.number_id]
    await portfolio.ask(shop.app, shop.number_id)
    async with shop.app.db.transaction() as tx:
        assert await portfolio.to_ask(tx, shop.clock.now()) == []
    assert (await standing(shop)).limit == Limit(2_000)
    shop.clock.advance(seconds=60)
    await limited(shop, 10_000)
    assert (await standing(shop)).limit == Limit(10_000)
    assert (await standing(shop)).room == 9_500
    shop.clock.advance(seconds=60)
    await limited(shop, "TIER_UNLIMITED")
    assert (await standing(shop)).room == portfolio.UNLIMITED
    shop.clock.advance(days=1, seconds=60)
    await portfolio.ask(shop.app, shop.number_id)
    assert (await standing(shop)).limit == Limit(2_000)


SIBLING = """
INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at, connected_at, state)
SELECT organisation_id, %(waba)s, '900', '351999999999', created_at, connected_at, state FROM numbers RETURNING id
"""
OWNED = "INSERT INTO portfolios (number_id, business_id, asked_at) SELECT id, '77', now() FROM numbers"
KNOWN = "INSERT INTO contacts (number_id, phone, bsuid) VALUES (%s, %s, %s) RETURNING id"


async def test_the_numbers_of_a_portfolio_share_it_and_a_person_of_both_is_one(shop: Shop) -> None:
    other = await shop.value(SIBLING, {"waba": "another-waba"})
    await shop.hears(wire.inbound(Human("351910000001", user_id="PT.1"), wire.text("wamid.A", shop.seconds, "Hi")))
    ana = await shop.value("SELECT id FROM contacts")
    same, bea = await shop.value(KNOWN, (other, "351910000001", "PT.1")), await shop.value(KNOWN, (other, "1", None))
    async with shop.app.db.transaction() as tx:
        now = shop.clock.now()
        await portfolio.reach(tx, shop.number_id, [(ana, 1)], now)
        await portfolio.reach(tx, other, [(same, 2), (bea, 3)], now - timedelta(hours=2))
    assert (await standing(shop)).reached == 1  # nobody has said yet whose the other number is
    await shop.execute(OWNED)
    here, there = await standing(shop), await standing(shop, other)
    assert (here.reached, there.reached) == (2, 2)
    assert list(here.members) == [shop.number_id, other]
    async with shop.app.db.transaction() as tx:
        times = await portfolio.times(tx, other, now)
    assert times[1] - times[0] == 2 * 3_600_000_000


async def test_what_nobody_can_read_leaves_the_lowest_limit(shop: Shop) -> None:
    await limited(shop, json.dumps({"new": "shape"}))
    assert (await standing(shop)).limit.most == 250
