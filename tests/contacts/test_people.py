"""Tags, fields, segments; and two contacts that turn out to be one person."""

from datetime import timedelta
from typing import Any

import pytest
from tests.contacts.conftest import ANA, BEA, Shop
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.contacts import conditions, queries, service
from twinline.contacts.conditions import Condition
from twinline.contacts.models import ContactError, NotThere
from twinline.rules.consent import Why

pytestmark = pytest.mark.anyio


async def found(shop: Shop, *filter_: dict[str, str], q: str = "") -> set[str]:
    """The phones of those who pass, by page and as a whole, which must be the same."""
    organisation, now = await shop.organisation, shop.clock.now()
    kept = conditions.read(filter_)
    async with shop.app.db.transaction() as tx:
        page = await queries.page(tx, organisation, shop.number_id, q=q, filter_=kept, now=now)
        everybody = await queries.everybody(tx, organisation, shop.number_id, kept, now, q)
    assert {one.id for one in page.contacts} == {one.id for one in everybody}
    assert page.count == len(everybody)
    return {str(one.phone) for one in everybody}


async def test_tags_come_and_go_and_are_kept_once(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    now, number = shop.clock.now(), shop.number_id
    assert await shop.do(service.tag, number, [ana, bea], now, add=["vip", " regular  guest "]) == [ana, bea]
    assert await shop.do(service.tag, number, [ana], now, add=["vip"]) == []
    assert await shop.do(service.tag, number, [ana], now, add=["berlin"], remove=["vip"]) == [ana]
    assert await shop.value("SELECT tags FROM contacts WHERE id = %s", (ana,)) == ["berlin", "regular guest"]
    tags = await shop.do(queries.tags, await shop.organisation)
    assert [(tag.name, tag.contacts) for tag in tags] == [("berlin", 1), ("regular guest", 2), ("vip", 1)]
    assert await found(shop, {"is": "tag", "tag": "vip"}) == {BEA}
    assert await found(shop, {"is": "no_tag", "tag": "vip"}) == {ANA}
    assert await shop.told("chats")
    await shop.do(service.forget_tag, await shop.organisation, "regular guest", None, now)
    assert await shop.value("SELECT tags FROM contacts WHERE id = %s", (bea,)) == ["vip"]
    for wrong in ("a,b", "x" * 60, "\0"):
        with pytest.raises(ContactError):
            await shop.do(service.tag, number, [ana], now, add=[wrong])


async def test_fields_take_what_they_are_made_for(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    now, number, organisation = shop.clock.now(), shop.number_id, await shop.organisation
    for label, kind in (("City", "text"), ("Órders a year", "number"), ("Born", "date")):
        await shop.do(service.add_field, organisation, label, kind, now)
    with pytest.raises(ContactError, match="already"):
        await shop.do(service.add_field, organisation, "city", "text", now)
    about = {"fields": {"city": " São  Paulo ", "orders_a_year": "12,5", "born": "1990-02-28"}, "language": "pt-br"}
    assert await shop.do(service.know, number, {ana: about, bea: {"fields": {"orders_a_year": "3"}}}, now) == [ana, bea]
    async with shop.app.db.transaction() as tx:
        known = await service.known(tx, number, f"+{ANA}")
    assert known.fields == {"city": "São Paulo", "orders_a_year": "12.5", "born": "1990-02-28"}
    assert known.language == "pt_BR"
    for wrong in ({"orders_a_year": "many"}, {"born": "1990-02-30"}, {"city": "x" * 600}, {"shoe": "43"}):
        with pytest.raises(ContactError):
            await shop.do(service.know, number, {ana: {"fields": wrong}}, now)
    assert await found(shop, {"is": "field_is", "field": "city", "value": "são paulo"}) == {ANA}
    assert await found(shop, {"is": "field_has", "field": "city", "value": "PAUL"}) == {ANA}
    assert await found(shop, {"is": "field_over", "field": "orders_a_year", "number": "9"}) == {ANA}
    assert await found(shop, {"is": "field_under", "field": "orders_a_year", "number": "9"}) == {BEA}
    assert await found(shop, {"is": "field_over", "field": "city", "number": "9"}) == set()
    assert await found(shop, {"is": "field_empty", "field": "city"}) == {BEA}
    assert await found(shop, {"is": "language", "language": "pt_BR"}) == {ANA}
    assert await shop.do(service.know, number, {ana: {"fields": {"city": ""}, "language": ""}}, now) == [ana]
    await shop.do(service.forget_field, organisation, "orders_a_year", None, now)
    assert await shop.value("SELECT fields FROM contacts WHERE id = %s", (ana,)) == {"born": "1990-02-28"}


async def test_people_are_found_by_what_they_did(shop: Shop) -> None:
    await shop.customer(ANA)
    shop.clock.advance(days=8)
    await shop.customer(BEA)
    await shop.hears(wire.state_sync(wire.contact(Human("12125550100"), "add", shop.seconds, "Cy")))
    assert await found(shop, {"is": "wrote", "days": "7"}) == {BEA}
    assert await found(shop, {"is": "silent", "days": "7"}) == {ANA, "12125550100"}
    assert await found(shop, {"is": "window_open"}) == {BEA}
    assert await found(shop, {"is": "in_book"}) == {"12125550100"}
    assert await found(shop, {"is": "country", "country": "us"}) == {"12125550100"}
    assert await found(shop, {"is": "country", "country": "CA"}) == set()
    assert await found(shop, {"is": "country", "country": "PT"}, {"is": "wrote", "days": "7"}) == {BEA}
    assert await found(shop, q="cy") == {"12125550100"}
    assert await found(shop, q="+1 (212) 555") == {"12125550100"}
    assert await found(shop, q="Çý") == {"12125550100"}
    await shop.writes(BEA, "Stop")
    await shop.do(service.suppress, await shop.organisation, [(f"p:{ANA}", "", None)], None, shop.clock.now())
    assert await found(shop, {"is": "stopped_marketing"}) == {ANA, BEA}
    assert await found(shop, {"is": "may_get_marketing"}) == {"12125550100"}


async def test_the_filter_and_the_question_before_sending_agree(shop: Shop) -> None:
    """Two readings of who may be sent marketing: the list's and the lane's."""
    people = [await shop.customer(f"35191000010{n}") for n in range(6)]
    await shop.hears(wire.preference(Human("351910000101"), "stop", shop.seconds))
    for n, words in ((2, ["STOP"]), (3, ["STOP", "START"]), (4, ["START", "STOP"])):
        for word in words:
            shop.clock.advance(seconds=10)
            await shop.writes(f"35191000010{n}", word)
    await shop.do(service.suppress, await shop.organisation, [("p:351910000105", "", None)], None, shop.clock.now())
    async with shop.app.db.transaction() as tx:
        asked = await service.consents(tx, shop.number_id, people)
    allowed = {f"35191000010{n}" for n, one in enumerate(people) if asked[one].allowed}
    assert allowed == {"351910000100", "351910000103"}
    assert await found(shop, {"is": "may_get_marketing"}) == allowed


async def test_a_segment_keeps_a_filter_and_finds_who_fits_later(shop: Shop) -> None:
    organisation, now = await shop.organisation, shop.clock.now()
    kept = await shop.do(service.keep_segment, organisation, "Asleep", [{"is": "silent", "days": "30"}], None, now)
    ana = await shop.customer(ANA)
    assert await shop.do(service.members, shop.number_id, kept.id, shop.clock.now()) == []
    later = now + timedelta(days=31)
    assert [one.id for one in await shop.do(service.members, shop.number_id, kept.id, later)] == [ana]
    same = await shop.do(service.keep_segment, organisation, "ASLEEP", [{"is": "silent", "days": "60"}], None, now)
    assert same.id == kept.id
    assert await shop.do(service.members, shop.number_id, kept.id, later) == []
    assert conditions.told(same.conditions[0], {}) == "didn't write in the last 60 days"
    assert await shop.do(service.forget_segment, organisation, kept.id)
    with pytest.raises(NotThere):
        await shop.do(service.members, shop.number_id, kept.id, later)


@pytest.mark.parametrize(
    "wrong",
    [
        [], [{"is": "dreaming"}], ["tag"], [{"is": "tag"}], [{"is": "tag", "tag": " "}], [{"is": "wrote", "days": "0"}],
        [{"is": "country", "country": "Spain"}], [{"is": "language", "language": "castellano antiguo"}],
        [{"is": "field_over", "field": "x", "number": "a lot"}], [{"is": "window_open"}] * 21,
    ],
)  # fmt: skip
async def test_a_filter_that_cant_be_read_is_refused_with_what_is_wanted(shop: Shop, wrong: Any) -> None:
    with pytest.raises(ContactError, match=r"[.:]"):
        await shop.do(service.keep_segment, await shop.organisation, "X", wrong, None, shop.clock.now())


async def test_a_feature_above_brings_conditions_of_its_own(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As campaigns do with who replied to one."""
    await shop.customer(ANA)
    await shop.customer(BEA)
    monkeypatch.setattr(conditions, "CONDITIONS", dict(conditions.CONDITIONS))
    conditions.add(Condition("replied", "replied to the campaign", "k.id = {campaign}::bigint", ("campaign",)))
    assert await found(shop, {"is": "replied", "campaign": "1"}) == {ANA}


# --- two contacts are one person --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", ["phone", "user"], ids=["the one with the phone stopped", "the one without"])
async def test_a_merge_carries_tags_fields_and_consent_along(shop: Shop, stops: str) -> None:
    by_phone, by_user = Human(ANA), Human(None, "PT.1000000001")
    await shop.writes(by_phone, "hello")
    await shop.writes(by_user, "hello")
    ids = {row["key"][:1]: row["contact_id"] for row in await shop.dicts("SELECT key, contact_id FROM identities")}
    now, number, organisation = shop.clock.now(), shop.number_id, await shop.organisation
    for key in ("city", "size"):
        await shop.do(service.add_field, organisation, key, "text", now)
    await shop.do(service.tag, number, [ids["p"]], now, add=["vip", "old"])
    await shop.do(service.tag, number, [ids["u"]], now, add=["new", "vip"])
    await shop.do(service.know, number, {ids["p"]: {"fields": {"city": "Porto"}}}, now)
    about = {"fields": {"city": "Faro", "size": "L"}, "language": "pt"}
    await shop.do(service.know, number, {ids["u"]: about}, now)
    await shop.writes(by_phone if stops == "phone" else by_user, "STOP")
    await shop.writes(Human(ANA, "PT.1000000001"), "It's me!")
    [contact] = await shop.dicts("SELECT * FROM contacts")
    assert contact["id"] == ids["p"]
    assert contact["tags"] == ["new", "old", "vip"]
    assert contact["fields"] == {"city": "Porto", "size": "L"}
    assert contact["language"] == "pt"
    assert (await shop.may(contact["id"])).why is Why.OPTED_OUT
    # What went is kept, so that the merge can be undone.
    assert (await shop.value("SELECT loser FROM merges"))["tags"] == ["new", "vip"]


async def test_the_list_holds_for_who_was_put_on_it_by_a_number_that_is_found_out_later(shop: Shop) -> None:
    hidden = Human(None, "PT.1000000001")
    await shop.writes(hidden, "hello")
    [contact] = await shop.dicts("SELECT id FROM contacts")
    await shop.do(service.suppress, await shop.organisation, [(f"p:{ANA}", "", None)], None, shop.clock.now())
    assert (await shop.may(contact["id"])).allowed
    await shop.writes(Human(ANA, "PT.1000000001"), "My number, by the way")
    assert (await shop.may(contact["id"])).why is Why.SUPPRESSED
