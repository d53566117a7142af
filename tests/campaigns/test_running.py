"""A campaign on its way: fed, paused, held, stopped, answered; and each of its people gets it once."""

from datetime import timedelta
from typing import Any

import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta, phones
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import error

from twinline.campaigns import running, service
from twinline.campaigns.models import Schedule
from twinline.rules.refusal import Refused

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"


async def test_a_campaign_reaches_everybody_once_and_tells_what_became_of_each(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA, BEA, CARL])
    assert one.state == "planned"
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert sorted(bakery.reached) == [ANA, BEA, CARL]
    assert await bakery.states(one) == ["sent"] * 3
    assert await bakery.state(one) == "finished", "nothing is left to do"
    await bakery.status(ANA, "delivered")
    await bakery.status(BEA, "read")
    await bakery.look()
    assert await bakery.states(one) == ["delivered", "read", "sent"]
    await bakery.answers(CARL, "How lovely")
    await bakery.look()
    ana, bea, carl = await bakery.people(one)
    assert (carl["state"], carl["reply_wamid"]) == ("replied", "wamid.IN1")
    assert bea["delivered_at"] is not None, "what was read was delivered"
    assert ana["read_at"] is None
