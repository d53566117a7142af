"""Contacts and the suppression list come and go as files; what can't be read is named by its line."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contacts.conftest import ANA, BEA, Shop

from twinline.contacts import exchange, queries, service
from twinline.contacts.models import ContactError, Imported
from twinline.kit.phones import read_phone
from twinline.rules.consent import Why

pytestmark = pytest.mark.anyio

PEOPLE = f"""\
Telefone;Nome;Idioma;Tags;City;Marketing;Since;Source;Shoe size
+{ANA};Ana;pt-BR;vip, café;Porto;sim;2026-01-31;the form in the shop;38
912 345 678;"Bia
Costa";;;Faro;não;;;
;Nobody;;;;;;;
12;Too short;;;;;;;
{BEA};Rui;portuguese of sorts;;;;;;
{BEA};Rui;;;;yes;;;
{BEA};Rui;;;;perhaps;;;
{BEA};Rui;;;;yes;2031-01-01;;
{BEA};Rui;;"{"x" * 50}";;;;;
"""


async def imports(shop: Shop, text: str | bytes, **more: object) -> Imported:
    data = text if isinstance(text, bytes) else text.encode()
    return await exchange.import_contacts(shop.app, shop.number_id, data, user_id=None, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
async def test_the_good_lines_come_in_and_the_bad_ones_are_named(shop: Shop, encoding: str) -> None:
    await shop.do(service.add_field, await shop.organisation, "City", "text", shop.clock.now())
    ana = await shop.customer(ANA)
    done = await imports(shop, PEOPLE.encode(encoding), tags=["fair 2026"])
    assert (done.people, done.new) == (2, 1)
    assert [line for line, _ in done.problems] == [1, 5, 6, 7, 8, 9, 10, 11]
    says = dict(done.problems)
    assert "Shoe size" in says[1]
    assert "no phone number" in says[5]
    assert "+34 600 111 222" in says[6]
    assert "language" in says[7]
    assert "since" in says[8]
    assert "perhaps" in says[9]
    [known] = await shop.dicts("SELECT * FROM contacts WHERE id = %s", (ana,))
    assert (known["custom_name"], known["language"], known["fields"]) == ("Ana", "pt_BR", {"city": "Porto"})
    assert known["tags"] == ["café", "fair 2026", "vip"]
    assert (await shop.may(ana)).since == datetime(2026, 1, 31, tzinfo=UTC)
    # Without a country code it is a phone of the business's own country.
    bia = await shop.value("SELECT contact_id FROM identities WHERE key = 'p:351912345678'")
    assert (await shop.may(bia)).why is Why.OPTED_OUT
    assert await shop.value("SELECT custom_name FROM contacts WHERE id = %s", (bia,)) == "Bia Costa"


async def test_importing_twice_changes_nothing_more(shop: Shop) -> None:
    await imports(shop, PEOPLE)
    known = "SELECT * FROM contacts ORDER BY id"
    words = "SELECT * FROM consents ORDER BY key, at"
    before = await shop.dicts(known), await shop.dicts(words)
    shop.clock.advance(days=1)
    again = await imports(shop, PEOPLE)
    assert (again.people, again.new) == (2, 0)
    assert (await shop.dicts(known), await shop.dicts(words)) == before


async def test_two_spellings_of_a_phone_are_one_person(shop: Shop) -> None:
    done = await imports(shop, "phone,name,tags\n+55 11 98123-4567,Bia,a\n55 11 8123 4567,Bia Sá,b\n")
    assert (done.people, done.new, done.problems) == (1, 1, [])
    [bia] = await shop.dicts("SELECT custom_name, tags FROM contacts")
    assert bia == {"custom_name": "Bia Sá", "tags": ["a", "b"]}
    assert (await imports(shop, "phone\n+52 1 55 1234 5678\n+52 55 1234 5678\n")).new == 1


async def test_an_old_yes_in_a_file_doesnt_undo_a_stop(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.writes(ANA, "STOP")
    await imports(shop, f"phone,marketing,since\n+{ANA},yes,2026-11-19\n")
    assert (await shop.may(ana)).why is Why.OPTED_OUT


async def test_what_is_exported_can_be_imported_and_no_spreadsheet_runs_it(shop: Shop) -> None:
    organisation, now = await shop.organisation, shop.clock.now()
    await shop.do(service.add_field, organisation, "Formula", "text", now)
    ana = await shop.customer(ANA)
    about = {"name": '=HYPERLINK("http://evil.test")', "fields": {"formula": "-5+cmd|' /C calc'!A0"}, "language": "es"}
    await shop.do(service.know, shop.number_id, {ana: about}, now)
    await shop.do(service.tag, shop.number_id, [ana], now, add=["b", "a"])

    async def text() -> str:
        async with shop.app.db.transaction() as tx:
            everybody = await queries.everybody(tx, organisation, shop.number_id, (), now)
            consents = await service.consents(tx, shop.number_id, [one.id for one in everybody])
            fields = await queries.fields(tx, organisation)
        return "".join(exchange.contacts_file(everybody, fields, consents))

    file = await text()
    assert f"+{ANA}," in file
    assert '"\'=HYPERLINK(""http' in file
    assert "'-5+cmd" in file
    await shop.execute("UPDATE contacts SET custom_name = NULL, fields = '{}', tags = '{}', language = NULL")
    await imports(shop, file)
    assert await text() == file


async def test_the_suppression_list_comes_and_goes(shop: Shop) -> None:
    async def take(text: str) -> Imported:
        home = await shop.value("SELECT display_phone FROM numbers")
        return await exchange.import_suppressions(shop.app, await shop.organisation, text.encode(), home, None)

    done = await take("+34 600 111 222\n0034600111222\n912 345 678\nPT.1000000001\nnonsense\n")
    assert (done.people, done.new) == (3, 3)
    assert [line for line, _ in done.problems] == [5]
    done = await take("why,phone,since\nbounced,+34 600 111 223,2026-10-01\nold,+34 600 111 222,\n")
    assert (done.people, done.new, done.problems) == (2, 1, [])

    async def text() -> str:
        async with shop.app.db.transaction() as tx:
            return "".join(
                exchange.suppressions_file(await queries.suppressed(tx, await shop.organisation, limit=None))
            )

    file = await text()
    assert file.splitlines()[0] == "phone,user_id,why,since"
    assert "+34600111223,,bounced,2026-10-01T00:00:00+00:00" in file
    assert ",PT.1000000001,," in file
    await shop.execute("DELETE FROM suppressions")
    assert (await take(file)).new == 4
    assert await text() == file


@pytest.mark.parametrize("wrong", ["", "\n\n", "name,city\nAna,Porto\n", 'phone\n"' + "x" * 200_000, "a\0b"])
async def test_what_is_no_list_of_people_is_refused(shop: Shop, wrong: str) -> None:
    with pytest.raises(ContactError, match=r"[.:]"):
        await imports(shop, wrong)


@given(st.binary(max_size=300))
def test_no_file_breaks_it(data: bytes) -> None:
    with suppress(ContactError):
        exchange.read(data)


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("+34 600 111 222", "34600111222"), ("0034600111222", "34600111222"), ("34600111222", "34600111222"),
        ("912 345 678", "351912345678"), ("(11) 91234-5678", None), ("+55 11 1234-5678", None), ("", None), ("x", None),
        ("+55 11 91234-5678", "5511912345678"), ("+52 1 55 1234 5678", "5215512345678"),
        ("+1 212 555 0100", "12125550100"),
    ],
)  # fmt: skip
def test_phones_are_read_as_the_businesss_country_writes_them(text: str, phone: str | None) -> None:
    if phone is None:
        with pytest.raises(ValueError, match="phone"):
            read_phone(text, "351210007788")
    else:
        assert read_phone(text, "351210007788") == phone
