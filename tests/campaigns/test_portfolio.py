"""The ledger beside Meta's own: both count the same people, and agree about the limit."""

import pytest
from tests.templates.conftest import RunningClock, Shop, clock, shop, spec

from twinline.rules.portfolio import Limit
from twinline.sending import portfolio
from twinline.sending.models import Lane
from twinline.sending.portfolio import Portfolio

__all__ = ["RunningClock", "clock", "shop"]

pytestmark = pytest.mark.anyio

NOBODY = "+351910000001"


async def ours(shop: Shop) -> Portfolio:
    async with shop.app.db.transaction() as tx:
        return await portfolio.standing(tx, shop.number_id, shop.clock.now())


async def metas(shop: Shop) -> dict[str, object]:
    """The portfolio that the number belongs to, by what Graph said when it was asked."""
    [row] = await shop.rows("SELECT business_id FROM portfolios")
    found = (await shop.sim.get("/control/portfolios")).json()["portfolios"]
    return next(dict(one) for one in found if one["id"] == row["business_id"])


async def test_both_count_the_same_people_and_forget_them_at_the_same_time(shop: Shop) -> None:
    await portfolio.ask(shop.app, shop.number_id)
    await shop.create(spec(), approve=True)
    values = {"type": "body", "parameters": [{"type": "text", "text": word} for word in ("Ann", "Friday")]}
    customers = (await shop.sim.get("/control/customers")).json()["customers"]
    people = ["+" + one["number"].lstrip("+") for one in customers if one["number"]][:3]
    for address in (*people, people[0], NOBODY):  # the last isn't on WhatsApp: it fails, and counts nowhere
        await shop.says(address, "bike_ready", values, lane=Lane.UTILITY, author="campaign", author_id=1)
    await shop.drain()
    reached, used = (await ours(shop)).reached, (await metas(shop))["used"]
    assert reached == used
    assert reached == len(people) == 3
    await shop.passes(86_401)
    assert ((await ours(shop)).reached, (await metas(shop))["used"]) == (0, 0)


async def test_the_limit_is_what_graph_says_until_a_webhook_says_more(shop: Shop) -> None:
    assert not (await ours(shop)).limit.known
    await portfolio.ask(shop.app, shop.number_id)
    assert (await ours(shop)).limit == Limit(250)
    business = str((await metas(shop))["id"])
    shop.clock.advance(seconds=5)
    await shop.control(f"portfolios/{business}", tier="TIER_10K")
    await shop.hears()
    assert (await ours(shop)).limit == Limit(10_000)
    [row] = await shop.rows("SELECT business_id, messaging_limit FROM portfolios")
    assert row == {"business_id": business, "messaging_limit": "TIER_250"}
