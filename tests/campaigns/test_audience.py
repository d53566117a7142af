"""A bakery brings its lists along and chooses who hears of spring, and what each of them reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.campaigns.bakery import TEMPLATE as ADD_TEMPLATE
from tests.campaigns.bakery import Bakery, bakery, clock, meta
from tests.fixtures.wire import BAKERY
from tests.kit.test_tables import workbook

from twinline.app import App
from twinline.campaigns import audience, lists, service, writing
from twinline.campaigns.audience import Person
from twinline.campaigns.lists import Options, Reading
from twinline.campaigns.models import Campaign, Content, Variant
from twinline.contacts import service as contacts
from twinline.db import as_json
from twinline.kit import beside
from twinline.rules.refusal import Refused

__all__ = ["bakery", "clock", "meta"]

LIST = """Nome;Telemóvel;Cidade;Idioma
Ana Sousa;910 000 001;Porto;
Rui;00351 910 000 002;;es
Olga;não tem;Faro;
Ana;+351910000001;Lisboa;
Inês;1,5512E+12;Faro;
João;5511912345678;Braga;
"""
BODY = "Olá {{1}}, há folares em {{2}}."


@dataclass
class Planner:
    """Somebody who makes campaigns at the bakery."""

    bakery: Bakery

    @property
    def app(self) -> App:
        return self.bakery.app

    async def brings(self, text: str | bytes, name: str = "clientes.csv", **how: Any) -> Reading:
        data = text.encode("cp1252") if isinstance(text, str) else text
        options = Options.of(how) if how else None
        return await lists.bring(self.app, self.bakery.organisation_id, name, data, country="PT", options=options)

    async def template(self, name: str, language: str, text: str, *more: Mapping[str, Any], **row: Any) -> None:
        body = [{"type": "BODY", "text": text}, *more]
        named = {"organisation": self.bakery.organisation_id, "waba": BAKERY.waba_id, "name": f"{name}.{language}"}
        named |= {"now": self.bakery.clock.now(), "components": as_json(body), "category": "MARKETING"}
        await self.bakery.shop.execute(ADD_TEMPLATE, named)
        change = "UPDATE templates SET name = %s, language = %s WHERE id = %s"
        await self.bakery.shop.execute(change, (name, language, f"{name}.{language}"))
        for column, value in row.items():
            change = f"UPDATE templates SET {column} = %s WHERE id = %s"
            await self.bakery.shop.execute(change, (value, f"{name}.{language}"))

    async def campaign(self, *sources: Mapping[str, Any], **variant: Any) -> Campaign:
        """One with a single template, ``folar`` unless told otherwise, of which there may be several languages."""
        what = Variant(**{"template": "folar", "languages": ["pt_PT"], "values": VALUES, **variant})
        return await self.of([what], *sources)

    async def of(self, variants: Sequence[Variant], *sources: Mapping[str, Any]) -> Campaign:
        async with self.app.db.transaction() as tx:
            return await service.create(
                tx,
                self.bakery.organisation_id,
                self.bakery.shop.number_id,
                "Páscoa",
                self.bakery.clock.now(),
                audience={"sources": list(sources)},
                content=Content(variants),
            )

    async def people(self, one: Campaign) -> list[Person]:
        async with self.app.db.transaction() as tx:
            found = await audience.people(self.app, tx, one, self.bakery.clock.now())
            return [person async for slice_ in found for person in slice_]

    async def preview(self, one: Campaign, **which: Any) -> Person | None:
        async with self.app.db.transaction() as tx:
            return await audience.preview(self.app, tx, one, self.bakery.clock.now(), **which)

    async def size(self, one: Campaign) -> int:
        async with self.app.db.transaction() as tx:
            where = one.organisation_id, one.number_id
            return await audience.size(self.app, tx, *where, one.audience, self.bakery.clock.now())

    async def customer(self, phone: str, **knows: Any) -> int:
        """Somebody who has written; ``tags``, ``fields``, ``language``, ``name`` are what the bakery knows of them."""
        found = await self.bakery.shop.customer(phone)
        now, number = self.bakery.clock.now(), self.bakery.shop.number_id
        async with self.app.db.transaction() as tx:
            await contacts.tag(tx, number, [found], now, add=knows.pop("tags", ()))
            await contacts.know(tx, number, {found: knows}, now)
        return found


VALUES = {"body.1": {"column": "Nome"}, "body.2": {"column": "Cidade", "fallback": "sua casa"}}


@pytest.fixture
async def planner(bakery: Bakery) -> Planner:
    found = Planner(bakery)
    await found.template("folar", "pt_PT", BODY)
    return found


def texts(people: Sequence[Person]) -> list[str]:
    return [person.draft["text"] for person in people if person.draft]


pytestmark = pytest.mark.anyio


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_a_list_is_read_without_a_question(planner: Planner) -> None:
    found = await planner.brings(LIST)
    assert (found.phone, found.called, found.language, found.header) == ("Telemóvel", "Nome", "Idioma", True)
    assert (found.shape["encoding"], found.shape["delimiter"]) == ("cp1252", ";")
    assert (found.people, found.duplicates, found.bad) == (4, 1, 2)
    assert [line for line, _ in found.bad_lines] == [4, 6]
    assert "“não tem” isn't a phone number" in found.bad_lines[0][1]
    assert "rounded" in found.bad_lines[1][1]
    assert found.twins == [(5, "The same person as in line 2.")]


async def test_what_cannot_be_used_comes_back_as_a_file_to_be_mended(planner: Planner) -> None:
    found = await planner.brings(LIST)
    options = Options()
    data = await lists.bad_lines(planner.app, planner.bakery.organisation_id, found.file, options, country="PT")
    head, *rows = data.decode("utf-8-sig").splitlines()
    assert head == "Nome;Telemóvel;Cidade;Idioma;Line;Reason"
    assert [row.split(";")[:2] + row.split(";")[4:5] for row in rows] == [
        ["Olga", "não tem", "4"],
        ["Ana", "+351910000001", "5"],
        ["Inês", "1,5512E+12", "6"],
    ]
    mended = data.decode("utf-8-sig").replace("não tem", "910 000 009").encode()
    again = await planner.brings(mended, "mended.csv")
    assert (again.people, again.bad) == (2, 1)


async def test_the_same_list_from_a_workbook(planner: Planner) -> None:
    rows = [line.split(";") for line in LIST.splitlines()]
    rows[1][1] = 351910000001  # type: ignore[call-overload]
    found = await planner.brings(workbook(*rows), "clientes.xlsx")  # type: ignore[arg-type]
    assert (found.people, found.duplicates, found.bad) == (4, 1, 2)


async def test_a_list_can_be_read_in_another_way(planner: Planner) -> None:
    data = "a,b\n910000001,220000001\n910000002,220000002\n"
    first = await planner.brings(data)
    second = await planner.brings(data, phone="b", country="pt")
    assert (first.phone, second.phone, first.file) == ("a", "b", second.file)
    assert first.key != second.key
    abroad = await planner.brings("nome,tel\nAnn,2065550100\n", country="US")
    assert (abroad.people, abroad.country) == (1, "US")


@pytest.mark.parametrize(
    ("data", "how", "rule"),
    [
        ("", {}, "audience.file"),
        ("Nome;Cidade\nAna;Porto\n", {}, "audience.phone"),
        ("Nome;Telefone\nAna;123\n", {}, "audience.empty"),
        ("Nome;Telefone\nAna;910000001\n", {"phone": "Fax"}, "audience.column"),
        ("Nome;Telefone\nAna;910000001\n", {"country": "XX"}, "audience.country"),
        ("Nome;Telefone\nAna;910000001\n", {"colour": "red"}, "audience.option"),
        ("Nome;Telefone\nAna;910000001\n", {"header": "yes"}, "audience.option"),
        ("Nome;Telefone\nAna;910000001\n", {"encoding": "klingon"}, "audience.file"),
    ],
)
async def test_a_list_that_is_none_is_refused(planner: Planner, data: str, how: dict[str, Any], rule: str) -> None:
    with pytest.raises(Refused) as refused:
        await planner.brings(data, **how)
    assert refused.value.refusal.rule == rule


@pytest.mark.parametrize("data", [",,\n,,\n", "\n\n", ";\n", " \n", "x\n"])
async def test_a_list_without_a_column_of_numbers_never_offers_none_to_choose_from(planner: Planner, data: str) -> None:
    with pytest.raises(Refused) as refused:
        await planner.brings(data)
    assert ": ." not in refused.value.refusal.what_to_do
    assert refused.value.refusal.what_to_do


async def test_a_list_belongs_to_its_organisation(planner: Planner) -> None:
    found = await planner.brings(LIST)
    for organisation, file in ((planner.bakery.organisation_id + 1, found.file), (1, "../1/" + found.file)):
        with pytest.raises(Refused, match="There is no list"):
            await lists.read(planner.app, organisation, file, Options(), country="PT")


async def test_a_program_gives_people_one_by_one(planner: Planner) -> None:
    entries = [
        {"to": "+351910000001", "values": {"Nome": 'Ana "A"\nSousa', "Cidade": "=Porto"}},
        {"to": "US.13491208655302741918", "language": "es", "values": {"Nome": "Dani"}},
        {"to": "nobody\ud83d"},
    ]
    found = await lists.bring_list(planner.app, planner.bakery.organisation_id, entries, country="PT")
    assert (found.people, found.bad, list(found.columns)) == (2, 1, ["to", "language", "Nome", "Cidade"])
    people = await planner.people(await planner.campaign({"file": found.file, **found.options}))
    assert [(person.phone, person.bsuid) for person in people[:2]] == [
        ("351910000001", None),
        (None, "US.13491208655302741918"),
    ]
    assert texts(people) == ['Olá Ana "A" Sousa, há folares em =Porto.', "Olá Dani, há folares em sua casa."]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.binary(max_size=200) | st.text(st.sampled_from('Tel,;"\n1290+ é'), max_size=120).map(str.encode))
async def test_any_file_is_read_or_refused(planner: Planner, data: bytes) -> None:
    try:
        found = await planner.brings(data)
    except Refused as refused:
        assert refused.refusal.text  # noqa: PT017
        return
    read = list(lists.entries(planner.app.files, planner.bakery.organisation_id, found))
    assert len(read) == found.people + found.bad
    assert len({entry.line for entry in read}) == len(read)
    assert all(entry.address.isdigit() for entry in read if not entry.problem)


# --- who --------------------------------------------------------------------------------------------------------------


async def test_every_line_of_a_list_is_accounted_for(planner: Planner) -> None:
    found = await planner.brings(LIST)
    people = await planner.people(await planner.campaign({"file": found.file}))
    assert [(person.line, person.reason, person.phone) for person in people] == [
        (2, "", "351910000001"),
        (3, "", "351910000002"),
        (4, "invalid", None),
        (5, "duplicate", "351910000001"),
        (6, "invalid", None),
        (7, "", "5511912345678"),
    ]
    assert len({person.key for person in people if person.reason != "duplicate"}) == 5
    assert people[3].says == "The same person as in line 2."


async def test_old_and_new_spelling_of_a_number_are_one_person(planner: Planner) -> None:
    found = await planner.brings("Nome,Tel,Cidade\nJosé,+5511912345678,x\nZé,+551112345678,y\nZé,+55 11 91234-5678,z\n")
    people = await planner.people(await planner.campaign({"file": found.file}))
    assert [person.reason for person in people if person.key == "p:5511912345678"] == ["", "duplicate"]


async def test_two_lists_and_a_filter_are_joined_and_nobody_comes_twice(planner: Planner) -> None:
    vip = await planner.customer("351910000001", tags=["vip"], name="Ana Sousa")
    await planner.customer("351910000055", tags=["vip"])
    await planner.customer("351910000077")
    one = await planner.brings("Nome,Tel,Cidade\nRui,910000002,Porto\n")
    other = await planner.brings("Tel,Nome,Cidade\n910000002,Rui,Faro\n910000001,Ana,Faro\n")
    made = await planner.campaign(
        {"conditions": [{"is": "tag", "tag": "vip"}]}, {"file": one.file}, {"file": other.file},
        values={"body.1": {"contact": "first_name", "fallback": "-"}, "body.2": {"column": "Cidade", "fallback": "?"}},
    )  # fmt: skip
    people = await planner.people(made)
    assert [(person.phone, person.contact_id, person.reason) for person in people] == [
        ("351910000001", vip, ""),
        ("351910000055", people[1].contact_id, ""),
        ("351910000002", None, ""),
        ("351910000002", None, "duplicate"),
        ("351910000001", vip, "duplicate"),
    ]
    assert texts(people)[0] == "Olá Ana, há folares em ?."
    assert texts(people)[2] == "Olá Rui, há folares em Porto."
    assert await planner.size(made) == 5


async def test_a_saved_filter_is_asked_at_the_moment_of_planning(planner: Planner) -> None:
    await planner.customer("351910000001", fields={}, language="pt_PT")
    now = planner.bakery.clock.now()
    async with planner.app.db.transaction() as tx:
        kept = await contacts.keep_segment(
            tx, planner.bakery.organisation_id, "Portugal", [{"is": "country", "country": "pt"}], None, now
        )
    made = await planner.campaign({"segment": kept.id}, values={"body.1": {"text": "x"}, "body.2": {"text": "y"}})
    assert len(await planner.people(made)) == await planner.size(made) == 1
    await planner.customer("351910000002")
    await planner.customer("34600000001")
    assert len(await planner.people(made)) == await planner.size(made) == 2


async def test_who_answered_a_campaign_can_be_chosen_for_the_next(planner: Planner) -> None:
    people = [await planner.customer(f"35191000000{n}") for n in range(3)]
    first = await planner.campaign({"conditions": []})
    row = """INSERT INTO recipients (number_id, campaign_id, key, contact_id, state, sent_at, replied_at)
             VALUES (%s, %s, %s, %s, 'sent', %s, %s)"""
    now = planner.bakery.clock.now()
    for contact, replied in zip(people[:2], (now, None), strict=True):
        await planner.bakery.shop.execute(
            row, (first.number_id, first.id, f"k{contact}", contact, now - timedelta(days=1), replied)
        )
    said = {"body.1": {"text": "x"}, "body.2": {"text": "y"}}
    for condition, chosen in (("got", people[:2]), ("replied", people[:1]), ("not_replied", people[1:2])):
        made = await planner.campaign({"conditions": [{"is": condition, "campaign": str(first.id)}]}, values=said)
        assert [person.contact_id for person in await planner.people(made)] == chosen


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ({}, "audience.shape"),
        ({"sources": []}, "audience.none"),
        ({"sources": [{"file": "x", "segment": 1}]}, "audience.source"),
        ({"sources": [{"segment": 99}]}, "audience.segment"),
        ({"sources": [{"segment": "1"}]}, "audience.source"),
        ({"sources": [{"file": "x"}]}, "audience.unknown"),
        ({"sources": [{"conditions": [{"is": "tall"}]}]}, "audience.conditions"),
    ],
)
async def test_an_audience_that_cannot_be_understood_is_refused(planner: Planner, spec: Any, rule: str) -> None:
    async with planner.app.db.transaction() as tx:
        with pytest.raises(Refused) as refused:
            await audience.size(
                planner.app,
                tx,
                planner.bakery.organisation_id,
                planner.bakery.shop.number_id,
                spec,
                planner.bakery.clock.now(),
            )
    assert refused.value.refusal.rule == rule


# --- what they read ---------------------------------------------------------------------------------------------------


async def test_each_reads_their_own_and_empty_values_give_way(planner: Planner) -> None:
    found = await planner.brings(LIST)
    people = await planner.people(await planner.campaign({"file": found.file}))
    assert texts(people) == [
        "Olá Ana Sousa, há folares em Porto.",
        "Olá Rui, há folares em sua casa.",
        "Olá João, há folares em Braga.",
    ]
    assert people[0].filled == {"body.1": "Ana Sousa", "body.2": "Porto"}
    assert people[0].draft == {
        "type": "template",
        "text": "Olá Ana Sousa, há folares em Porto.",
        "content": {
            "name": "folar",
            "language": {"code": "pt_PT"},
            "components": [
                {
                    "type": "body",
                    "parameters": [{"type": "text", "text": "Ana Sousa"}, {"type": "text", "text": "Porto"}],
                }
            ],
            "shown": {"header": None, "footer": "", "buttons": [], "category": "MARKETING"},
        },
    }


async def test_who_lacks_a_value_is_told_and_gets_nothing(planner: Planner) -> None:
    found = await planner.brings(
        "Nome,Tel,Cidade\n,910000001,Porto\nAna,910000002,\n" + f"{'x' * 1100},910000003,Faro\n"
    )
    values = {**VALUES, "body.2": {"column": "Cidade"}}
    people = await planner.people(await planner.campaign({"file": found.file}, values=values))
    assert [(person.reason, person.draft) for person in people] == [
        ("missing", None),
        ("missing", None),
        ("content", None),
    ]
    assert [person.says for person in people[:2]] == [
        "There is no value for {{1}} in the text.",
        "There is no value for {{2}} in the text.",
    ]
    assert "WhatsApp allows 1024" in people[2].says


async def test_a_template_s_own_fallback_stands_behind_the_campaign_s(planner: Planner) -> None:
    await planner.template("com", "pt_PT", BODY, fallbacks=as_json({"body.2": "todo o lado"}))
    found = await planner.brings("Nome,Tel,Cidade\nAna,910000001,\n")
    values = {"body.1": {"column": "Nome"}, "body.2": {"column": "Cidade"}}
    made = await planner.campaign({"file": found.file}, template="com", values=values)
    assert texts(await planner.people(made)) == ["Olá Ana, há folares em todo o lado."]


async def test_everybody_reads_their_language(planner: Planner) -> None:
    for language in ("en_US", "es", "pt_BR"):
        await planner.template("folar", language, f"{language}: {{{{1}}}} {{{{2}}}}")
    await planner.customer("351910000008", language="pt_BR")
    found = await planner.brings(
        "Nome,Tel,Idioma\nA,910000001,\nB,910000002,es_MX\nC,+5511912345678,\nD,910000008,\nE,+41791234567,\nF,910000006,English\n"
    )
    values = {"body.1": {"column": "Nome"}, "body.2": {"text": "!"}}
    languages = ["en_US", "es", "pt_BR", "pt_PT"]
    made = await planner.campaign({"file": found.file}, languages=languages, values=values)
    people = await planner.people(made)
    assert [person.language for person in people] == ["pt_PT", "es", "pt_BR", "pt_BR", "en_US", "pt_PT"]
    assert texts(people)[1] == "es: B !"


async def test_two_templates_are_compared_and_everybody_keeps_theirs(planner: Planner) -> None:
    await planner.template("bolo", "pt_PT", "Bolo para {{1}}?")
    found = await planner.brings("Nome,Tel,Cidade\n" + "".join(f"N{n},91{n:07},x\n" for n in range(60)))
    variants = [Variant("folar", ["pt_PT"], VALUES), Variant("bolo", ["pt_PT"], {"body.1": {"column": "Nome"}})]
    made = await planner.of(variants, {"file": found.file})
    people = await planner.people(made)
    assert {person.variant for person in people} == {0, 1}
    assert all(text.startswith("Bolo") == bool(one.variant) for one, text in zip(people, texts(people), strict=True))
    assert people == await planner.people(made)


async def test_pictures_links_codes_and_payloads(planner: Planner) -> None:
    parts = [
        {"type": "HEADER", "format": "IMAGE"},
        {
            "type": "BUTTONS",
            "buttons": [
                {"type": "QUICK_REPLY", "text": "Quero"},
                {"type": "URL", "text": "Ver", "url": "https://padaria.example/{{1}}"},
                {"type": "COPY_CODE"},
            ],
        },
    ]
    await planner.template("rico", "pt_PT", "Olá {{1}}", *parts)
    found = await planner.brings("Nome,Tel,Foto,Fim\nAna,910000001,https://img.example/a.jpg,novo pão?x=1\n")
    values = {
        "body.1": {"column": "Nome"},
        "header.image": {"column": "Foto"},
        "buttons.0": {"text": "quero:folar"},
        "buttons.1": {"column": "Fim"},
        "buttons.2": {"text": "PASCOA10"},
    }
    made = await planner.campaign({"file": found.file}, template="rico", values=values)
    [ana] = await planner.people(made)
    assert ana.draft is not None
    picture, _, *buttons = ana.draft["content"]["components"]
    assert picture["parameters"] == [{"type": "image", "image": {"link": "https://img.example/a.jpg"}}]
    assert [button["parameters"][0] for button in buttons] == [
        {"type": "payload", "payload": "quero:folar"},
        {"type": "text", "text": "novo%20p%C3%A3o?x=1"},
        {"type": "coupon_code", "coupon_code": "PASCOA10"},
    ]


PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


async def test_a_header_s_file_goes_up_once_for_everybody_and_not_for_a_preview(planner: Planner) -> None:
    await planner.template("foto", "pt_PT", "Olá {{1}}", {"type": "HEADER", "format": "IMAGE"})
    found = await planner.brings("Nome,Tel\nAna,910000001\nRui,910000002\n")
    kept = await writing.keep_media(planner.app, planner.bakery.organisation_id, "image", PNG, "folar.png")
    values = {"body.1": {"column": "Nome"}, "header.image": kept}
    made = await planner.campaign({"file": found.file}, template="foto", values=values)
    seen = await planner.preview(made)
    assert seen is not None
    assert planner.bakery.meta.uploads == []
    people = await planner.people(made)
    assert len(planner.bakery.meta.uploads) == 1
    for person in people:
        assert person.draft is not None
        assert person.draft["content"]["components"][0]["parameters"][0]["image"] == {"id": "media-1"}
    for stolen in ({"file": "campaigns/999/abc"}, {"file": f"campaigns/{planner.bakery.organisation_id}/gone"}):
        other = await planner.campaign({"file": found.file}, template="foto", values={**values, "header.image": stolen})
        with pytest.raises(Refused, match="file"):
            await planner.people(other)
    with pytest.raises(Refused, match="text/plain"):
        await writing.keep_media(planner.app, planner.bakery.organisation_id, "image", b"no picture", "folar.png")


@pytest.mark.parametrize(
    ("variant", "rule"),
    [
        ({"template": "unheard"}, "template.unknown"),
        ({"languages": ["de"]}, "template.unknown"),
        ({"values": {"body.1": {"column": "Nome"}}}, "content.unsaid"),
        ({"values": {**VALUES, "body.9": {"text": "x"}}}, "content.surplus"),
        ({"values": {**VALUES, "body.1": {"column": "Apelido"}}}, "content.column"),
        ({"values": {**VALUES, "body.1": {"field": "city"}}}, "content.field"),
        ({"values": {**VALUES, "body.1": {"contact": "age"}}}, "content.contact"),
        ({"values": {**VALUES, "body.1": {"value": {"id": "1"}}}}, "content.value"),
        ({"values": {**VALUES, "body.1": {"text": "x", "column": "Nome"}}}, "content.way"),
        ({"values": {**VALUES, "body.1": {}}}, "content.way"),
    ],
)
async def test_what_cannot_be_said_to_anybody_is_refused_before_anybody_is_looked_at(
    planner: Planner, variant: dict[str, Any], rule: str
) -> None:
    found = await planner.brings(LIST)
    with pytest.raises(Refused) as refused:
        await planner.people(await planner.campaign({"file": found.file}, **variant))
    assert refused.value.refusal.rule == rule


async def test_a_paused_template_is_named_as_what_stands_in_the_way(planner: Planner) -> None:
    await planner.template("mau", "pt_PT", "Olá", status="PAUSED")
    found = await planner.brings(LIST)
    with pytest.raises(Refused) as refused:
        await planner.people(await planner.campaign({"file": found.file}, template="mau", values={}))
    assert refused.value.refusal.rule == "template.paused"


async def test_anybody_s_message_can_be_looked_at_before_anything_is_planned(planner: Planner) -> None:
    found = await planner.brings(LIST)
    made = await planner.campaign({"file": found.file})
    shown = [await planner.preview(made), await planner.preview(made, skip=1), await planner.preview(made, line=7)]
    assert [person.name for person in shown if person] == ["Ana Sousa", "Rui", "João"]
    assert await planner.preview(made, line=4) is None
    assert await planner.preview(made, skip=99) is None


async def test_a_large_list_is_read_by_another_process_which_may_refuse_it(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "LARGE", 0)
    with pytest.raises(Refused) as refused:
        await planner.brings("Telefone;Nome\n12;Ninguém\n")
    assert refused.value.refusal.rule == "audience.empty"
    reading = await planner.brings("Telefone;Nome\n910 000 001;Ana\n12;Ninguém\n")
    assert (reading.people, reading.bad) == (1, 1)
    assert await planner.brings("Telefone;Nome\n910 000 001;Ana\n12;Ninguém\n") == reading
