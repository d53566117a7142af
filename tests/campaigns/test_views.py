"""What pages read of campaigns."""

from datetime import timedelta

import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta, phones

from twinline.campaigns import views

pytestmark = pytest.mark.anyio

__all__ = ["bakery", "clock", "meta"]

SENT = "UPDATE recipients SET state = 'sent', sent_at = %s WHERE campaign_id = %s AND phone = %s"


async def test_how_fast_it_went_is_told_in_even_steps_from_the_first_message_on(bakery: Bakery) -> None:
    people = phones(5)
    one = await bakery.campaign(people)
    begun = bakery.clock.now()
    for phone, seconds in zip(people[:4], (0, 4, 5, 296), strict=True):
        await bakery.shop.execute(SENT, (begun + timedelta(seconds=seconds), one.id, phone))
    async with bakery.app.db.transaction() as tx:
        rate = await views.rate(tx, one.number_id, one.id, begun, running=False)
        until_now = await views.rate(tx, one.number_id, one.id, begun + timedelta(minutes=20), running=True)
        tally = await views.tally(tx, one.number_id, one.id)
    assert rate is not None
    assert (rate.since, rate.seconds, rate.bars) == (begun, 5, [2, 1, *[0] * 57, 1])
    assert until_now is not None
    assert (until_now.seconds, until_now.bars[0], until_now.bars[14:]) == (30, 3, [0] * 27)
    assert (tally.people, tally["sent"], tally["waiting"]) == (5, 4, 1)
