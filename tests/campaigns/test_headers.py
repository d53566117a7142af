"""A campaign that goes out when Meta has forgotten its file."""

from datetime import timedelta

import httpx
import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta
from tests.campaigns.test_planning import drafted, listed, replanned

from twinline.campaigns import headers, service, writing
from twinline.campaigns.models import Campaign, Content, Variant
from twinline.db import as_json
from twinline.rules.refusal import Refused

pytestmark = pytest.mark.anyio

__all__ = ["bakery", "clock", "meta"]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
HEADED = "UPDATE templates SET components = %s::jsonb WHERE name = 'spring'"
PEOPLE = ("+351910000001,Ana", "+351910000002,Bea")


async def planned(bakery: Bakery) -> Campaign:
    body = {"type": "BODY", "text": "Dear {{1}}, spring is here.", "example": {"body_text": [["Ann"]]}}
    await bakery.shop.execute(HEADED, (as_json([{"type": "HEADER", "format": "IMAGE"}, body]),))
    kept = await writing.keep_media(bakery.app, bakery.organisation_id, "image", PNG, "spring.png")
    values = {"body.1": {"column": "Name"}, "header.image": kept}
    content = Content([Variant("spring", ["en"], values)])
    one = await drafted(bakery, await listed(bakery, *PEOPLE), content)
    await replanned(bakery, one)
    return one


def shown(bakery: Bakery) -> list[dict[str, str]]:
    return [message["template"]["components"][0]["parameters"][0]["image"] for message in bakery.meta.messages]


async def test_what_is_sent_after_a_month_has_its_file_handed_over_once_more(bakery: Bakery) -> None:
    one = await planned(bakery)
    bakery.clock.advance(days=29)
    await bakery.does(service.start, one)
    await bakery.look()
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("held", headers.GONE.rule)
    await bakery.goes_on()
    assert await bakery.state(one) == "finished"
    assert shown(bakery) == [{"id": "media-2"}] * 2
    assert len(bakery.meta.uploads) == 2


async def test_it_waits_until_the_file_can_be_handed_over(bakery: Bakery) -> None:
    one = await planned(bakery)
    bakery.clock.advance(days=40)
    away = [httpx.ConnectError("away") for _ in range(8)]
    bakery.meta.will("upload", *away)
    await bakery.does(service.start, one)
    for _ in range(3):
        assert await bakery.look() == timedelta(seconds=5)
    assert await bakery.state(one) == "held"
    bakery.meta.ready.clear()
    await bakery.goes_on()
    assert {image["id"] for image in shown(bakery)} == {f"media-{len(bakery.meta.uploads)}"}


async def test_another_campaign_with_the_same_file_hands_over_nothing(bakery: Bakery) -> None:
    for _ in range(2):
        one = await planned(bakery)
    assert len(bakery.meta.uploads) == 1
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert shown(bakery) == [{"id": "media-1"}] * 2


async def test_a_few_first_get_it_only_while_its_file_is_there(bakery: Bakery) -> None:
    one = await planned(bakery)
    bakery.clock.advance(days=40)
    first = [(await bakery.people(one))[0]["id"]]
    with pytest.raises(Refused, match="planned before that"):
        await tries(bakery, one, first)
    await replanned(bakery, one)
    await tries(bakery, one, [(await bakery.people(one))[0]["id"]])
    await bakery.goes_on()
    assert shown(bakery) == [{"id": "media-2"}]


async def tries(bakery: Bakery, one: Campaign, recipients: list[int]) -> None:
    async with bakery.app.db.transaction() as tx:
        await service.try_first(bakery.app, tx, bakery.organisation_id, one.id, recipients)
