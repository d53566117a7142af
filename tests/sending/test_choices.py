"""What a person decides about a message that didn't simply go out."""

import httpx
import pytest
from tests.sending.conftest import Shop, error

from twinline.inbox.models import Bubble
from twinline.inbox.queries import Thread
from twinline.rules.refusal import Refused
from twinline.sending import choices, lane
from twinline.sending.models import Lane

pytestmark = pytest.mark.anyio

ANA, BEA = "351910000001", "351910000002"
MACHINE = {"author": "automation", "lane": Lane.AUTOMATION}


async def doubtful(shop: Shop, contact: int, text: str = "Come at five") -> int:
    """A message that nobody knows the fate of: Meta took it and didn't answer."""
    shop.meta.will(text, httpx.ReadTimeout("no answer"))
    outbox = await shop.says(contact, text, author_id=7)
    await shop.drain()
    assert await shop.state(outbox) == "in_doubt"
    return outbox


async def again(shop: Shop, contact: int, outbox: int, *, certain: bool = False) -> int:
    async with shop.app.db.transaction() as tx:
        return await choices.again(shop.app, tx, shop.number_id, contact, outbox, 8, certain=certain)


async def arrived(shop: Shop, contact: int, outbox: int) -> None:
    async with shop.app.db.transaction() as tx:
        await choices.arrived(tx, shop.number_id, contact, outbox, shop.clock.now())


async def cancel(shop: Shop, contact: int, outbox: int) -> None:
    async with shop.app.db.transaction() as tx:
        await choices.cancel(tx, shop.number_id, contact, outbox, shop.clock.now())


async def bubbles(shop: Shop, contact: int) -> list[Bubble]:
    """What was written from here, as the chat shows it."""
    async with shop.app.db.transaction() as tx:
        organisation = await tx.value("SELECT organisation_id FROM numbers")
        thread = Thread(tx, shop.number_id, contact, organisation, "Ana")
        return [one for one in [*await thread.older(), *await thread.unsent()] if one.outgoing]


async def test_what_somebody_saw_arrive_joins_the_chat(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await doubtful(shop, ana)
    [shown] = await bubbles(shop, ana)
    assert shown.offers == ("arrived", "surely")
    await arrived(shop, ana, outbox)
    [shown] = await bubbles(shop, ana)
    assert (shown.text, shown.tick, shown.offers, shown.failure) == ("Come at five", "sent", (), None)
    assert await shop.state(outbox) == "sent"
    await shop.drain()
    assert shop.meta.texts == ["Come at five"]


async def test_a_status_that_comes_after_all_replaces_what_stood_in_for_it(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await doubtful(shop, ana)
    await arrived(shop, ana, outbox)
    await shop.status(shop.meta.messages[0], "read", "wamid.real")
    [shown] = await bubbles(shop, ana)
    assert (shown.wamid, shown.text, shown.tick) == ("wamid.real", "Come at five", "read")
    assert (await shop.row(outbox))["wamid"] == "wamid.real"


async def test_a_doubtful_message_goes_again_only_when_somebody_is_sure(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await doubtful(shop, ana)
    with pytest.raises(Refused) as refused:
        await again(shop, ana, outbox)
    assert refused.value.refusal.rule == "outbox.in_doubt"
    new = await again(shop, ana, outbox, certain=True)
    assert await again_is_one(shop, ana, outbox) == new
    await shop.drain()
    assert [await shop.state(row) for row in (outbox, new)] == ["cancelled", "sent"]
    assert shop.meta.texts == ["Come at five"] * 2
    assert (await shop.row(new))["author_id"] == 8
    # The first one did arrive: the truth is shown, although it isn't what anybody hoped for.
    await shop.status(shop.meta.messages[0], "delivered", "wamid.first")
    assert len(await bubbles(shop, ana)) == 2


async def again_is_one(shop: Shop, contact: int, outbox: int) -> int:
    """The button pressed a second time, in another window: it finds that there is nothing left to decide."""
    with pytest.raises(Refused) as refused:
        await again(shop, contact, outbox, certain=True)
    assert refused.value.refusal.rule == "outbox.moved_on"
    return int(await shop.value("SELECT max(id) FROM outbox"))


async def test_what_failed_may_be_sent_again_where_that_makes_sense(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("Hello", error(131026))
    outbox = await shop.says(ana, "Hello")
    await shop.drain()
    [shown] = await bubbles(shop, ana)
    assert (shown.offers, shown.offers_for) == (("again",), outbox)
    await again(shop, ana, outbox)
    await shop.drain()
    [shown] = await bubbles(shop, ana)
    assert (shown.text, shown.tick) == ("Hello", "pending")


async def test_what_failed_later_may_be_sent_again_too_but_not_what_would_do_harm(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    first, second = await shop.says(ana, "Hello"), await shop.says(bea, "Hello")
    await shop.drain()
    for place, code in ((0, 131053), (1, 131049)):
        said = shop.meta.messages[place]
        await shop.status(said, "failed", f"wamid.{place + 1}", errors=[{"code": code, "title": "No"}])
    [hers] = await bubbles(shop, ana)
    assert (hers.offers, hers.offers_for) == (("again",), first)
    [theirs] = await bubbles(shop, bea)
    assert theirs.offers == ()
    assert (await shop.row(second))["error_code"] == 131049
    with pytest.raises(Refused) as refused:
        await again(shop, bea, second)
    assert refused.value.refusal.rule == "outbox.not_again"
    new = await again(shop, ana, first)
    assert await again(shop, ana, first) == new, "pressed twice, written once"


async def test_who_changed_their_mind_takes_back_what_waits(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    shop.meta.will("an answer", error(190))
    held = await shop.says(ana, "an answer", **MACHINE)
    await shop.drain()
    behind = await shop.says(ana, "and another", **MACHINE)
    assert [one.offers for one in await bubbles(shop, ana)] == [("cancel",)] * 2
    await cancel(shop, ana, held)
    assert [one.outbox_id for one in await bubbles(shop, ana)] == [behind]
    await shop.execute("DELETE FROM stops")
    await shop.drain()
    assert [await shop.state(row) for row in (held, behind)] == ["cancelled", "sent"]
    assert shop.meta.texts == ["an answer", "and another"], "the first is the one that Meta refused"


async def test_what_has_left_cannot_be_taken_back(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    sent = await shop.says(ana, "Hello")
    await shop.drain()
    doubt = await doubtful(shop, bea)
    for contact, outbox in ((ana, sent), (bea, doubt), (ana, doubt)):
        with pytest.raises(Refused) as refused:
            await cancel(shop, contact, outbox)
        assert refused.value.refusal.rule == "outbox.moved_on"


async def test_the_unknown_are_decided_like_the_doubtful(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    outbox = await doubtful(shop, ana)
    shop.clock.advance(minutes=11)
    await lane.despair(shop.app)
    assert await shop.state(outbox) == "unknown"
    [shown] = await bubbles(shop, ana)
    assert shown.offers == ("arrived", "surely")
    await arrived(shop, ana, outbox)
    with pytest.raises(Refused):
        await again(shop, ana, outbox, certain=True)
