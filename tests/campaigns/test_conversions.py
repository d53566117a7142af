"""What a campaign brings about: told by a program, or by a tag."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta

from twinline.campaigns import conversions, service
from twinline.campaigns.conversions import Told
from twinline.campaigns.models import Campaign
from twinline.contacts import service as contacts
from twinline.rules.refusal import Refused

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"


async def tells(
    bakery: Bakery, one: Campaign, phone: str, key: str, value: str | None = None, *, at: datetime | None = None
) -> bool:
    worth: dict[str, Any] = {} if value is None else {"value": Decimal(value), "currency": "EUR"}
    async with bakery.app.db.transaction() as tx:
        found = await conversions.find(tx, one, phone)
        assert found is not None
        now = bakery.clock.now()
        return await conversions.tell(tx, one, found, Told(key, at or now, "order", **worth), now)


async def worth(bakery: Bakery, one: Campaign) -> Any:
    async with bakery.app.db.transaction() as tx:
        return await conversions.worth(tx, one)


async def test_an_order_counts_once_however_often_it_is_told(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA, BEA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    bakery.clock.advance(hours=2)
    assert await tells(bakery, one, "+351 910 000 001", "order-1", "19.90")
    assert not await tells(bakery, one, ANA, "order-1", "18.90"), "corrected, not added"
    assert await tells(bakery, one, ANA, "order-2", "1.10")
    ana, bea = await bakery.people(one)
    assert ana["converted_at"] > ana["sent_at"]
    assert bea["converted_at"] is None
    assert await worth(bakery, one) == {0: {"EUR": Decimal("20.00")}}


async def test_what_was_before_the_message_or_is_to_come_is_no_result_of_it(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA])
    with pytest.raises(Refused, match="never gone"):
        await tells(bakery, one, ANA, "a")
    await bakery.does(service.start, one)
    await bakery.goes_on()
    now = bakery.clock.now()
    with pytest.raises(Refused, match="before the message"):
        await tells(bakery, one, ANA, "a", at=now - timedelta(days=1))
    with pytest.raises(Refused, match="still to come"):
        await tells(bakery, one, ANA, "a", at=now + timedelta(days=1))
    assert (await bakery.people(one))[0]["converted_at"] is None


async def test_somebody_is_found_by_phone_user_id_contact_or_row(bakery: Bakery) -> None:
    ana = await bakery.shop.customer(ANA)
    one = await bakery.campaign([ANA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    [row] = await bakery.people(one)
    async with bakery.app.db.transaction() as tx:
        for whom in (row["id"], ANA, "+351 910-000-001", f"contact:{ana}"):
            assert await conversions.find(tx, one, whom) == row["id"]
        for nobody in (row["id"] + 1, BEA, "contact:99", "contact:", "contact:1e9", "PT.1", "Ana", ""):
            assert await conversions.find(tx, one, nobody) is None


async def test_who_is_given_the_tag_of_a_campaign_has_converted(bakery: Bakery) -> None:
    ids = {phone: await bakery.shop.customer(phone) for phone in (ANA, BEA, CARL)}

    async def tag(name: str, *phones: str) -> None:
        async with bakery.app.db.transaction() as tx:
            people = [ids[phone] for phone in phones]
            await contacts.tag(tx, bakery.shop.number_id, people, bakery.clock.now(), add=[name])

    await tag("bought", CARL)
    one = await bakery.campaign([ANA, BEA, CARL], routing={"converted_by": "bought"})
    await bakery.does(service.start, one)
    await bakery.goes_on()
    bakery.clock.advance(hours=3)
    await tag("bought", ANA, CARL)
    await tag("vip", BEA)
    bakery.clock.advance(hours=1)
    await tag("vip", ANA)
    await bakery.look()
    ana, bea, carl = await bakery.people(one)
    assert (bea["converted_at"], carl["converted_at"]) == (None, None), "Carl had bought before"
    assert ana["converted_at"] - ana["sent_at"] < timedelta(hours=3, minutes=5), "when they were tagged, not heard of"
    assert ana["conversion"]["told"][0]["what"] == "bought"
    assert not await tells(bakery, one, ANA, conversions.BY_TAG), "a program may say more of it"


async def test_a_tag_of_long_after_is_no_result(bakery: Bakery) -> None:
    ana = await bakery.shop.customer(ANA)
    one = await bakery.campaign([ANA], routing={"converted_by": "bought"})
    await bakery.does(service.start, one)
    await bakery.goes_on()
    bakery.clock.advance(seconds=(conversions.WITHIN + timedelta(hours=1)).total_seconds())
    async with bakery.app.db.transaction() as tx:
        await contacts.tag(tx, bakery.shop.number_id, [ana], bakery.clock.now(), add=["bought"])
    await bakery.look()
    assert (await bakery.people(one))[0]["converted_at"] is None
