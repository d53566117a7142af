"""The pages about campaigns, as a browser asks for them."""

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import openpyxl
import pytest
from starlette.applications import Starlette
from starlette.datastructures import FormData
from tests.campaigns.bakery import Bakery, bakery, clock, meta, phones
from tests.inbox.conftest import Seen, user

from twinline.accounts.models import Viewer
from twinline.campaigns import forms, lists, pages, planning, service, views, words
from twinline.campaigns.forms import Choice
from twinline.campaigns.models import Campaign, Content, Variant
from twinline.campaigns.pages import better
from twinline.contacts import service as contacts
from twinline.db import as_json
from twinline.rules.comparison import differ

pytestmark = pytest.mark.anyio

__all__ = ["bakery", "clock", "meta"]

PEOPLE = """Name;Mobile;Until
Ana;+351 910 000 001;Friday
Bea;910000002;Saturday
Ana again;00351910000001;Friday
Cid;12;Friday
=Dina;+351 910 000 004;
"""


async def says(bakery: Bakery, text: str, name: str = "spring") -> None:
    body = [{"type": "BODY", "text": text, "example": {"body_text": [["Ann", "Friday"]]}}]
    await bakery.shop.execute("UPDATE templates SET components = %s::jsonb WHERE name = %s", (as_json(body), name))


async def browser_of(bakery: Bakery, role: str = "owner", organisation: int | None = None) -> httpx.AsyncClient:
    async with bakery.app.db.transaction() as tx:
        viewer = await user(tx, bakery.app, organisation or bakery.organisation_id, f"Ada the {role}", role)
    return client(bakery, viewer)


def client(bakery: Bakery, viewer: Viewer) -> httpx.AsyncClient:
    site = Seen(Starlette(routes=pages.routes(bakery.app)), viewer)
    return httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://twinline", follow_redirects=True)


@pytest.fixture
async def browser(bakery: Bakery) -> AsyncIterator[httpx.AsyncClient]:
    async with await browser_of(bakery) as made:
        yield made


def text(answer: httpx.Response) -> str:
    """What a reader sees of a page, in one line."""
    assert answer.status_code < 400, answer.text
    return " ".join(re.sub(r"<[^>]*>", " ", answer.text).split())


def field(answer: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{re.escape(name)}" value="([^"]*)"', answer.text)
    assert found is not None, name
    return found[1].replace("&amp;", "&")


async def made(browser: httpx.AsyncClient) -> str:
    return str((await browser.post("/campaigns")).url.path)


async def with_people(browser: httpx.AsyncClient, here: str, **more: str) -> httpx.Response:
    files = {"people": ("people.csv", PEOPLE.encode(), "text/csv")}
    return await browser.post(f"{here}/file", files=files, data={"template": "spring", "way": "file", **more})


async def drafted(browser: httpx.AsyncClient, here: str, **more: Any) -> httpx.Response:
    data = {"name": "Spring", "template": "spring", "way": "file", "when": "now", "zone": "Europe/Lisbon", **more}
    return await browser.post(f"{here}/draft", data=data)


async def planned(bakery: Bakery, browser: httpx.AsyncClient, here: str) -> httpx.Response:
    await browser.post(f"{here}/plan")
    await planning.plan(bakery.app, bakery.organisation_id, int(here.rpartition("/")[2]))
    return await browser.get(here)


async def test_from_nothing_to_a_dry_run_and_to_what_became_of_each(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    await says(bakery, "Dear {{1}}, spring is here until {{2}}.")
    assert "No campaign yet" in text(await browser.get("/campaigns"))
    here = await made(browser)

    # A template and a file: which column stands where is guessed, and seen beside at once.
    kept = text(await drafted(browser, here))
    assert "Choose who gets it" in kept
    answer = await with_people(browser, here, values_for="")
    assert "Dear Ana, spring is here until Friday." in text(answer)
    assert "1 row can’t be used" in text(answer)
    assert "3 people" in text(answer)
    assert 'value="column:Name" selected' in answer.text
    assert "Dear Bea, spring is here until Saturday." in text(await browser.get(f"{here}/person?skip=1"))

    # The dry run: everybody is accounted for, with the people behind each reason.
    dry = await planned(bakery, browser, here)
    assert "2 people get it, 3 are left out" in text(dry)
    assert "A value is missing" in text(dry)
    assert "“12” is too short" in text(await browser.get(f"{here}/behind?reason=invalid"))
    assert "Ana again" in text(await browser.get(f"{here}/behind?reason=duplicate"))
    bad = list(csv.reader(io.StringIO((await browser.get(f"{here}/bad.csv")).text.lstrip("\ufeff")), delimiter=";"))
    assert [row[0] for row in bad[1:]] == ["Ana again", "Cid"]
    following = re.search(r'hx-get="([^"]*step=next)"', dry.text)
    assert following is not None
    assert "Dear Bea" in text(await browser.get(following[1].replace("&amp;", "&")))

    # One of them first, then the others.
    [ana, _] = [row["id"] for row in await bakery.people(await found(bakery, here)) if row["state"] == "planned"]
    tried = text(await browser.post(f"{here}/first", data={"recipient": str(ana)}))
    assert "Tried with Ana" in tried
    assert "Nothing has been sent to the others yet" in tried
    await browser.post(f"{here}/start")
    await bakery.goes_on()
    assert bakery.reached == ["351910000001", "351910000002"]
    await bakery.status("351910000001", "read")
    await bakery.answers("351910000001", "Lovely")
    await bakery.goes_on()
    live = text(await browser.get(f"{here}/live"))
    assert "2 of 2 people" in live
    assert "Replied 1 50 % of those sent" in live

    people = await browser.get(f"{here}/people?shown=replied")
    assert "Ana" in people.text
    assert "Bea" not in people.text
    assert re.search(rf'href="/inbox/{bakery.shop.number_id}/\d+" aria-label="Chat with Ana"', people.text)
    assert "Bea" in text(await browser.get(f"{here}/people?q=910000002"))
    assert "Cid" in text(await browser.get(f"{here}/people?shown=skipped&reason=invalid"))


async def found(bakery: Bakery, here: str) -> Campaign:
    async with bakery.app.db.transaction() as tx:
        return await service.found(tx, bakery.organisation_id, int(here.rpartition("/")[2]))


async def test_what_is_no_figure_is_told_and_the_rest_is_kept(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    here = await made(browser)
    answer = await drafted(browser, here, name="Sale", speed="fast", **{"limit.failed": "5"})
    assert "“fast” isn&#39;t a number." in answer.text
    one = await found(bakery, here)
    assert (one.name, one.speed, one.limits) == ("Sale", None, {"failed": 0.05})
    answer = await drafted(browser, here, name="Sale of the year", speed="200")
    assert "up to 20 messages a second" in answer.text
    assert (await found(bakery, here)).name == "Sale of the year"
    assert "Choose the day and the time" in (await drafted(browser, here, when="at", name="Sale of the year")).text
    await drafted(browser, here, name=" ", speed="2,5", when="at", at="2026-12-01T10:00", zone="recipient")
    one = await found(bakery, here)
    assert (one.name, one.speed, one.when.at, one.when.zone) == (
        "Sale of the year",
        2.5,
        "2026-12-01T10:00",
        "recipient",
    )


async def test_people_are_typed_in(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    here = await made(browser)
    answer = await drafted(browser, here, way="list", list="+351 910 000 001, +351 910 000 002\nnobody")
    assert "2 people to begin with" in text(answer)
    page = await browser.get(here)
    assert "+351 910 000 001\n+351 910 000 002\nnobody</textarea>" in page.text


async def contact(bakery: Bakery, phone: str, tag: str) -> None:
    async with bakery.app.db.transaction() as tx:
        who = await contacts.contact_for(tx, bakery.shop.number_id, f"+{phone}")
        await contacts.tag(tx, bakery.shop.number_id, [who], bakery.clock.now(), add=[tag])


async def test_people_are_chosen_by_what_they_are(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    for phone, tag in (("351910000001", "vip"), ("34600110002", "vip"), ("351910000003", "bread")):
        await contact(bakery, phone, tag)
    here = await made(browser)
    chosen = {"who.0.0.is": "tag", "who.0.0.tag": "vip"}

    answer = await drafted(browser, here, **{"way": "people", "who.0.0.is": "tag"})
    assert "Complete “has the tag”" in text(answer)
    assert 'name="who.0.0.tag"' in answer.text, "what it asks for is drawn"
    assert "to begin with" not in text(answer)
    assert "sources" not in (await found(bakery, here)).audience, "half a condition isn't kept"

    answer = await drafted(browser, here, **{"way": "people", **chosen})
    assert "2 people to begin with" in text(answer)
    portuguese = {"who.0.1.is": "country", "who.0.1.country": "PT"}
    answer = await drafted(browser, here, **{"way": "people", **chosen, **portuguese})
    assert "1 person to begin with" in text(answer)
    answer = await drafted(browser, here, **{"way": "people", **chosen, "add": "tag:bread"})
    assert "3 people to begin with" in text(answer), "or: whoever passes one of the groups"
    answer = await drafted(browser, here, **{"way": "people", **chosen, "who.1.0.is": "everybody"})
    assert "3 people to begin with" in text(answer), "nobody counts twice"
    assert (await found(bakery, here)).audience["sources"] == [
        {"conditions": [{"is": "tag", "tag": "vip"}]},
        {"conditions": []},
    ]
    page = await browser.get(here)
    assert page.text.count('value="tag" selected') == 1, "the page that is opened again shows them"
    answer = await drafted(browser, here, **{"way": "people", **chosen, "remove": "0.0"})
    assert (await found(bakery, here)).audience == {}


async def test_a_saved_filter_is_chosen_and_asked_anew_each_time(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    await contact(bakery, "351910000001", "vip")
    async with bakery.app.db.transaction() as tx:
        filter_ = [{"is": "tag", "tag": "vip"}]
        kept = await contacts.keep_segment(tx, bakery.organisation_id, "Regulars", filter_, None, bakery.clock.now())
    here = await made(browser)
    answer = await drafted(browser, here, way="people", add=f"segment:{kept.id}")
    assert "is in Regulars has the tag vip" in text(answer)
    assert "1 person to begin with" in text(answer)
    assert (await found(bakery, here)).audience == {"sources": [{"segment": kept.id}]}
    answer = await drafted(browser, here, **{"way": "people", "who.0.0.is": "segment", "who.0.0.segment": "77"})
    assert "The saved filter isn&#39;t there any more" in text(answer)


async def test_what_a_program_put_together_stays_as_it_is(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    await contact(bakery, "351910000009", "vip")
    people = [{"to": "+351910000001", "values": {"off": "20 %"}}, {"to": "+351910000002", "values": {"off": "30 %"}}]
    reading = await lists.bring_list(bakery.app, bakery.organisation_id, people, country="PT")
    sources = [{"file": reading.file, **reading.options}, {"conditions": [{"is": "tag", "tag": "vip"}]}]
    one = await bakery.draft(audience={"sources": sources})
    here = f"/campaigns/{one.id}"
    page = await browser.get(here)
    assert "A program put this together: the list list.csv and 1 filter." in text(page)
    answer = await drafted(browser, here, way="kept", name="Summer")
    assert "3 people to begin with" in text(answer)
    assert (await found(bakery, here)).audience == {"sources": sources}


async def test_the_page_of_a_planning_shows_how_far_it_is(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    here = await made(browser)
    await with_people(browser, here, values_for="")
    await browser.post(f"{here}/plan")
    assert "Going through the people" in text(await browser.get(here))
    one = await found(bakery, here)
    async with bakery.app.db.transaction() as tx:
        await service.planned_so_far(tx, one, 5_000, 12_000, bakery.clock.now())
    told = await browser.get(f"{here}/state?was=planning")
    assert "5,000 of 12,000 people" in text(told)
    assert 'max="12000" value="5000"' in told.text
    await planning.plan(bakery.app, bakery.organisation_id, one.id)
    assert (await browser.get(f"{here}/state?was=planning")).headers["hx-refresh"] == "true"


async def test_answers_are_routed_from_the_builder_and_from_a_running_campaigns_page(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    async with bakery.app.db.transaction() as tx:
        eve = await user(tx, bakery.app, bakery.organisation_id, "Eve", "agent")
    here = await made(browser)
    await drafted(browser, here, **{"route.tag": "spring", "route.assign_to": str(eve.user_id)})
    assert (await found(bakery, here)).routing == {"tag": "spring", "assign_to": eve.user_id}
    refused = await drafted(browser, here, **{"route.tag": "", "route.assign_to": "99999"})
    assert "isn&#39;t in your team" in text(refused)
    assert (await found(bakery, here)).routing["tag"] == "spring"

    one = await bakery.campaign(phones(2))
    await bakery.does(service.start, one)
    shown = text(await browser.get(f"/campaigns/{one.id}"))
    assert "Answers come to the inbox like all others." in shown
    routing = {"route.tag": "answered", "route.assign_to": str(eve.user_id), "route.converted_by": "bought"}
    shown = text(await browser.post(f"/campaigns/{one.id}/routing", data=routing))
    assert "Running" in shown, "it goes on"
    assert "Whoever answers gets the tag “answered”." in shown
    assert "Their chats become those of Eve" in shown
    assert "the tag “bought” afterwards counts as a conversion" in shown
    elsewhere = await browser.post(f"/campaigns/{one.id}/routing", data={"route.assign_to": "99999"})
    assert elsewhere.status_code == 409


async def test_a_draft_that_cant_be_planned_says_what_is_missing(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    here = await made(browser)
    answer = await browser.post(f"{here}/plan", data={"values_for": "", "way": "file", "when": "now"})
    assert answer.status_code == 409
    assert "Choose a template" in answer.text
    assert (await found(bakery, here)).state == "draft"


async def test_whoever_planned_it_meanwhile_isnt_overwritten(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await bakery.campaign(phones(2))
    await bakery.does(service.start, one)
    answer = await browser.post(f"/campaigns/{one.id}/draft", data={"name": "Other", "way": "file", "when": "now"})
    assert answer.status_code == 409
    assert answer.headers["hx-refresh"] == "true"
    assert (await bakery.found(one)).name == "Spring"


async def test_it_is_paused_goes_on_and_is_cancelled_and_copied(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await bakery.campaign(phones(3))
    here = f"/campaigns/{one.id}"
    await bakery.does(service.start, one)
    assert "Paused" in text(await browser.post(f"{here}/pause"))
    assert "Running" in text(await browser.post(f"{here}/resume"))
    assert "Cancelled" in text(await browser.post(f"{here}/cancel"))
    refused = await browser.post(f"{here}/resume")
    assert refused.status_code == 409
    assert "can&#39;t be resumed" in refused.text
    copied = await browser.post(f"{here}/copy")
    assert "Spring (copy)" in copied.text
    assert copied.url.path != here


async def test_a_draft_that_was_thrown_away_isnt_listed(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    here = await made(browser)
    assert "Campaign of 20 November" in text(await browser.get("/campaigns"))
    assert "No campaign yet" in text(await browser.post(f"{here}/cancel"))


async def test_the_page_of_one_state_is_drawn_anew_when_that_is_over(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    one = await bakery.campaign(phones(1))
    address = f"/campaigns/{one.id}/state?was=planned"
    assert "hx-refresh" not in (await browser.get(address)).headers
    await bakery.does(service.start, one)
    assert (await browser.get(address)).headers["hx-refresh"] == "true"


async def test_nobody_sees_or_touches_what_isnt_theirs(bakery: Bakery) -> None:
    one = await bakery.campaign(phones(1))
    here = f"/campaigns/{one.id}"
    other = await bakery.shop.value("INSERT INTO organisations (name, created_at) VALUES ('Other', now()) RETURNING id")
    async with await browser_of(bakery, organisation=other) as stranger:
        for path in (
            "",
            "/live",
            "/people",
            "/people.csv",
            "/plan",
            "/state",
            "/preview",
            "/behind",
            "/person",
            "/tried",
        ):
            assert (await stranger.get(here + path)).status_code == 404, path
        for path in ("draft", "file", "plan", "first", "start", "schedule", "pause", "cancel", "copy", "nothing"):
            assert (await stranger.post(f"{here}/{path}")).status_code == 404, path
    async with await browser_of(bakery, "viewer") as viewer:
        assert (await viewer.get(f"{here}/people")).status_code == 200
        assert "Cancel this" not in (await viewer.get(f"{here}/live")).text
        for path in ("draft", "file", "plan", "first", "start", "schedule", "pause", "cancel", "copy"):
            assert (await viewer.post(f"{here}/{path}")).status_code == 403, path
        assert (await viewer.post("/campaigns")).status_code == 403
    assert await bakery.state(one) == "planned"


async def test_files_of_its_people_hold_no_formulas(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await bakery.campaign(phones(3))
    named = "UPDATE recipients SET name = CASE id %% 3 WHEN 0 THEN '=1+1' WHEN 1 THEN E'A\\x07na' ELSE 'Bea' END"
    await bakery.shop.execute(named, ())
    rows = list(
        csv.DictReader(io.StringIO((await browser.get(f"/campaigns/{one.id}/people.csv")).text.lstrip("\ufeff")))
    )
    assert sorted(row["name"] for row in rows) == ["'=1+1", "A\x07na", "Bea"]
    assert {row["phone"] for row in rows} == {f"+{phone}" for phone in phones(3)}
    answer = await browser.get(f"/campaigns/{one.id}/people.xlsx?q={phones(3)[1]}")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content))["People"]
    header, *rest = list(sheet.iter_rows())
    assert [cell.value for cell in header][:3] == ["name", "phone", "user_id"]
    assert [row[1].value for row in rest] == [f"+{phones(3)[1]}"]
    whole = openpyxl.load_workbook(io.BytesIO((await browser.get(f"/campaigns/{one.id}/people.xlsx")).content))[
        "People"
    ]
    assert {(row[0].value, row[0].data_type) for row in list(whole.iter_rows())[1:]} == {
        ("=1+1", "s"),
        ("Ana", "s"),
        ("Bea", "s"),
    }


async def test_variants_stand_side_by_side(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    await bakery.template("summer")
    one = await bakery.campaign(phones(4), ["spring", "summer"])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    await bakery.answers(phones(4)[1], "Tell me more")
    await bakery.goes_on()
    page = text(await browser.get(f"/campaigns/{one.id}"))
    assert "Which one does better Too early to tell them apart" in page
    assert "B · summer 2" in page
    assert "351910000001" in (await browser.get(f"/campaigns/{one.id}/people.csv?variant=1&shown=replied")).text


def variant(index: int, template: str, by: dict[str, int]) -> views.Variant:
    rest: dict[str, Any] = dict.fromkeys(("opted_out", "blocked", "converted", "spent", "unpriced"), 0)
    return views.Variant(index=index, template=template, counts=by, buttons={}, **rest)


def counts(**states: int) -> dict[str, int]:
    return states


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (counts(replied=60, delivered=440), counts(replied=20, delivered=480), "A is answered more often"),
        (counts(replied=20, delivered=480), counts(replied=60, delivered=440), "B is answered more often"),
        (counts(read=100, delivered=400), counts(read=200, delivered=300), "B is read more often"),
        (counts(replied=2, delivered=3), counts(delivered=5), "Too early"),
        ({}, {}, "Too early"),
    ],
)
async def test_which_is_better_is_said_only_where_it_is_sure(
    one: dict[str, int], other: dict[str, int], says: str
) -> None:
    found = [variant(n, name, by) for n, (name, by) in enumerate((("A", one), ("B", other)))]
    assert says in better(found)


async def test_shares_differ_only_beyond_chance() -> None:
    assert differ(300, 1000, 200, 1000)
    assert not differ(22, 100, 20, 100)
    assert not differ(5, 5, 0, 5)
    assert not differ(0, 0, 3, 5)


def choice(text: str, name: str = "spring", **more: Any) -> dict[str, Choice]:
    from twinline.templates.models import Template

    spec = [{"type": "BODY", "text": text}]
    one = Template(1, "w", "1", name, "en", spec, more.pop("format", "POSITIONAL"), "APPROVED", 0, None, None, "GREEN",
                   "MARKETING", None, None, {}, [], None, None)  # fmt: skip
    return {name: Choice(name, "MARKETING", ["en"], text, "", [one])}


def read(known: dict[str, Choice], columns: Sequence[str], had: Content | None = None, **said: str) -> Content:
    form = FormData([("template", next(iter(known))), *said.items()])
    return forms.content(form, known, columns, {"city": "City"}, "UTC", had or Content())


async def test_a_variable_gets_the_column_or_field_that_is_called_like_it() -> None:
    named = choice("{{first_name}} {{city}} {{Código}} {{other}}", format="NAMED")
    [variant] = read(named, ["codigo", "Name"]).variants
    assert variant.values == {
        "body.first_name": {"contact": "first_name"},
        "body.city": {"field": "city"},
        "body.Código": {"column": "codigo"},
    }
    [variant] = read(choice("{{1}} {{2}} {{3}}"), ["Name", "Until"]).variants
    assert variant.values == {"body.1": {"column": "Name"}, "body.2": {"column": "Until"}}


async def test_what_only_a_program_can_say_of_the_content_stays() -> None:
    known = choice("Hi") | choice("Hello", "summer") | choice("Ciao", "autumn")
    shares = [Variant(name, ["en"], share=share) for share, name in enumerate(known, start=1)]
    said = {"template_b": "summer", "values_for": forms.values_for(["spring", "summer", "autumn"], [])}
    assert read(known, [], Content(shares), **said) == Content(shares)
    assert forms.chosen(Content(shares), known).second == "33 % of the people get this one"


async def test_what_somebody_chose_stays_and_isnt_taken_over_by_another_template() -> None:
    known = choice("{{1}} {{2}}")
    drawn = forms.values_for(["spring"], ["Name"])
    said = {"values_for": drawn, "from.v0.body.1": "text", "text.v0.body.1": "you", "from.v0.body.2": ""}
    [variant] = read(known, ["Name"], **said).variants
    assert variant.values == {"body.1": {"text": "you"}}
    [variant] = read(choice("{{1}}", "summer"), ["Name"], **said).variants
    assert variant.values == {"body.1": {"column": "Name"}}


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0.2, "less than a second"), (1, "1 second"), (75, "1 minute 15 seconds"), (3600, "1 hour"),
     (90_000, "1 day 1 hour"), (86_460, "1 day")],
)  # fmt: skip
async def test_durations_are_said_as_people_say_them(seconds: float, says: str) -> None:
    assert words.lasts(seconds) == says


async def test_shares_of_nothing_are_no_figure() -> None:
    assert [words.percent(share) for share in (None, 0, 0.034, 0.5, 1)] == ["–", "0 %", "3.4 %", "50 %", "100 %"]
