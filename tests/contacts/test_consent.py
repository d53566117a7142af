"""Marketing never goes to somebody who stopped it, whichever way it takes."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.api.conftest import make_key
from tests.contacts.conftest import ANA, BEA, Shop
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import error
from tests.web.conftest import PASSWORD, Browser, add_user

from twinline.contacts import service
from twinline.contacts.models import ContactError, NotThere
from twinline.rules.consent import Why
from twinline.rules.refusal import Refused
from twinline.sending import choices
from twinline.sending import service as sending
from twinline.sending.models import Draft, Lane
from twinline.web.app import build

pytestmark = pytest.mark.anyio

CAMPAIGN: dict[str, Any] = {"lane": Lane.MARKETING, "author": "campaign"}
OFFER = Draft("template", None, {"name": "offer", "language": {"code": "en_US"}})
BREAD = Draft("template", None, {"name": "bread", "language": {"code": "en_US"}})


@pytest.fixture
async def ana(shop: Shop) -> int:
    """A customer who can be written to, and two templates."""
    await shop.template("offer", "MARKETING")
    await shop.template("bread", "UTILITY")
    return await shop.customer(ANA)


async def stop_by_keyword(shop: Shop, ana: int) -> None:
    await shop.writes(ANA, "STOP")


async def stop_at_meta(shop: Shop, ana: int) -> None:
    await shop.hears(wire.preference(Human(ANA), "stop", shop.seconds))


async def stop_by_a_person(shop: Shop, ana: int) -> None:
    await shop.do(service.say, shop.number_id, ana, False, shop.clock.now(), source="person")


async def stop_by_list(shop: Shop, ana: int) -> None:
    entries = [(service.key_of(f"+{ANA}"), "asked by letter", None)]
    await shop.do(service.suppress, await shop.organisation, entries, None, shop.clock.now())


STOPS = [stop_by_keyword, stop_at_meta, stop_by_a_person, stop_by_list]


async def refused(shop: Shop, to: int | str, draft: Draft, **options: Any) -> str:
    submit: Any = sending.submit if isinstance(to, int) else sending.submit_to
    with pytest.raises(Refused) as told:
        await shop.do(lambda tx: submit(shop.app, tx, shop.number_id, to, draft, **options))
    return told.value.refusal.rule


@pytest.mark.parametrize("stops_it", STOPS)
async def test_nobody_writes_marketing_to_who_stopped_it_and_everybody_may_still_answer(
    shop: Shop, ana: int, stops_it: Any
) -> None:
    await stops_it(shop, ana)
    assert await refused(shop, ana, OFFER) == "opted_out"  # a person in the inbox
    assert await refused(shop, ana, OFFER, lane=Lane.AUTOMATION, author="automation") == "opted_out"
    assert (
        await refused(shop, ana, OFFER, lane=Lane.UTILITY, author="campaign") == "opted_out"
    )  # a campaign, mislabelled
    assert await refused(shop, ana, OFFER, **CAMPAIGN) == "opted_out"
    assert await refused(shop, ana, Draft("text", "Cakes!"), **CAMPAIGN) == "opted_out"  # without a template
    assert await refused(shop, f"+{ANA}", OFFER) == "opted_out"  # by number, as the command line does
    assert await refused(shop, f"contact:{ana}", OFFER) == "opted_out"
    await shop.says(ana, BREAD)
    await shop.says(ana, "Your bread is ready.")


@pytest.mark.parametrize("stops_it", STOPS)
async def test_what_was_written_before_they_stopped_it_stays_here(shop: Shop, ana: int, stops_it: Any) -> None:
    """The last question is asked when the message's turn comes, whatever was true when it was written."""
    waiting = [
        await shop.says(ana, OFFER, **CAMPAIGN),
        await shop.says(ana, Draft("text", "Cakes!"), **CAMPAIGN),
    ]
    bread = await shop.says(ana, BREAD, lane=Lane.UTILITY, author="campaign")
    await stops_it(shop, ana)
    await shop.drain()
    assert [await shop.state(one) for one in waiting] == ["failed", "failed"]
    assert await shop.state(bread) == "sent"
    assert not any(m.get("template", {}).get("name") == "offer" or "Cakes!" in str(m) for m in shop.meta.messages)
    assert "marketing" in (await shop.row(waiting[0]))["error_text"] or stops_it is stop_by_list


async def test_what_was_held_and_is_released_is_asked_once_more(shop: Shop, ana: int) -> None:
    shop.meta.will("template", error(132015))
    first = await shop.says(ana, OFFER, **CAMPAIGN)
    bea = await shop.customer(BEA)
    await shop.drain()
    second = await shop.says(bea, OFFER, **CAMPAIGN)
    assert (await shop.state(first), await shop.state(second)) == ("held", "held")
    await stop_at_meta(shop, ana)
    await shop.writes(BEA, "Baja")
    await shop.execute("DELETE FROM stops")
    await shop.drain()
    assert (await shop.state(first), await shop.state(second)) == ("failed", "failed")
    assert sum(m.get("type") == "template" for m in shop.meta.messages) == 1


async def test_who_presses_send_again_sends_no_marketing_to_who_stopped_it(shop: Shop, ana: int) -> None:
    """As a person's message it would otherwise pass for an answer."""
    shop.meta.will("Cakes!", error(131000), error(131026))
    failed = await shop.says(ana, Draft("text", "Cakes!"), **CAMPAIGN)
    await shop.execute("UPDATE outbox SET state = 'failed', error_code = 131026 WHERE id = %s", (failed,))
    await stop_by_keyword(shop, ana)
    with pytest.raises(Refused) as told:
        await shop.do(lambda tx: choices.again(shop.app, tx, shop.number_id, ana, failed, 1))
    assert told.value.refusal.rule == "opted_out"


async def test_a_program_and_a_page_are_told_why(shop: Shop, ana: int) -> None:
    await stop_by_keyword(shop, ana)
    site = build(shop.app)
    organisation = await shop.organisation
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://twinline.test") as http:
        key = {"authorization": f"Bearer {await make_key(shop.app, organisation)}"}
        body = {"to": f"+{ANA}", "type": "template", "template": {"name": "offer", "language": "en_US"}}
        answer = await http.post(f"/v1/numbers/{shop.number_id}/messages", json=body, headers=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "opted_out")
        chat = await http.get(f"/v1/numbers/{shop.number_id}/chats/+{ANA}", headers=key)
        assert chat.json()["opted_out"] is True
        await add_user(shop.app, shop.clock.now(), organisation, "ada@example.com", "agent")
        browser = Browser(http, shop.app)
        await browser.log_in("ada@example.com", PASSWORD)
        shown = await browser.submit(f"/inbox/{shop.number_id}/{ana}/templates/offer", {"key": "12345678"})
        assert shown.status_code == 409
        assert "no more marketing" in shown.text
    assert [text for text, _ in await shop.outbox()] == [await confirmation(shop)]


async def confirmation(shop: Shop) -> str:
    [words] = [words for words in await shop.do(service.words_of, shop.number_id) if words.language == "en"]
    return words.stopped


async def test_the_list_binds_also_those_who_arent_contacts_yet(shop: Shop, ana: int) -> None:
    await shop.do(
        service.suppress,
        await shop.organisation,
        [(service.key_of("+34 600 111 222"), "", None)],
        None,
        shop.clock.now(),
    )
    assert await refused(shop, "+34600111222", OFFER, **CAMPAIGN) == "opted_out"
    told = await shop.do(service.consents_of, shop.number_id, ["p:34600111222", "p:34600111333", f"p:{ANA}"])
    assert {key: one.why for key, one in told.items()} == {
        "p:34600111222": Why.SUPPRESSED, "p:34600111333": Why.NOTHING_SAID, f"p:{ANA}": Why.NOTHING_SAID,
    }  # fmt: skip
    assert await shop.do(service.release, await shop.organisation, ["p:34600111222"], None, shop.clock.now()) == 1
    async with shop.app.db.transaction() as tx:
        await sending.submit_to(shop.app, tx, shop.number_id, "+34600111222", OFFER, **CAMPAIGN)


async def test_a_word_to_one_number_holds_at_the_others_of_the_organisation(shop: Shop, ana: int) -> None:
    other = await shop.value(
        "INSERT INTO numbers"
        " (organisation_id, waba_id, phone_number_id, display_phone, created_at, connected_at, state)"
        " SELECT organisation_id, 'W2', 'P2', '34910004455', created_at, connected_at, 'connected' FROM numbers"
        " RETURNING id"
    )
    async with shop.app.db.transaction() as tx:
        there = await service.contact_for(tx, other, f"+{ANA}")
    assert (await shop.do(service.consent, other, there)).allowed
    await shop.writes(ANA, "Sair")
    assert (await shop.do(service.consent, other, there)).why is Why.OPTED_OUT


async def test_a_topic_that_needs_an_opt_in_goes_only_to_those_who_gave_one(shop: Shop, ana: int) -> None:
    organisation, now = await shop.organisation, shop.clock.now()
    topic = await shop.do(service.keep_topic, organisation, "Weekly news", needs_opt_in=True, user_id=None, now=now)
    assert topic.key == "weekly_news"
    news = Draft("text", "This week: rye.", topic="weekly_news")
    assert await refused(shop, ana, news, **CAMPAIGN) == "no_opt_in"
    await shop.do(
        service.say, shop.number_id, ana, True, now, topic="weekly_news", source="person", detail="form in the shop"
    )
    await shop.says(ana, news, **CAMPAIGN)
    shop.clock.advance(seconds=5)
    await shop.do(service.say, shop.number_id, ana, False, shop.clock.now(), topic="weekly_news", source="person")
    assert await refused(shop, ana, news, **CAMPAIGN) == "opted_out"
    await shop.says(ana, Draft("text", "Cakes!"), **CAMPAIGN)
    await shop.drain()
    assert "This week: rye." not in shop.meta.texts
    assert "Cakes!" in shop.meta.texts


async def test_what_cant_have_been_said_isnt_recorded(shop: Shop, ana: int) -> None:
    now = shop.clock.now()
    with pytest.raises(NotThere):
        await shop.do(service.say, shop.number_id, ana, True, now, topic="nowhere", source="person")
    with pytest.raises(NotThere):
        await shop.do(service.say, shop.number_id, ana + 1000, True, now, source="person")
    with pytest.raises(ContactError, match="still to come"):
        await shop.do(service.say, shop.number_id, ana, True, now, source="person", at=now + timedelta(hours=1))
