"""The pages of automations, as a browser asks for them."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
from starlette.applications import Starlette
from tests.automations.conftest import ANA, BEA, Bakery
from tests.fixtures import mirror
from tests.fixtures.wire import FLORIST
from tests.inbox.conftest import Seen, user

from twinline.accounts.models import Viewer
from twinline.automations import (
    builder,
    forms,
    known,
    number_pages,
    outside_pages,
    pages,
    queries,
    schema,
    service,
    shapes,
    starters,
    words,
)
from twinline.automations.builder import Lines, drawable
from twinline.automations.models import Settings
from twinline.automations.starters import all_
from twinline.inbox import pages as inbox
from twinline.rules.automations.facts import Facts
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import BLOCKS

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
HELLO: Json = {"name": "Hello", "triggers": [{"message": {}}], "steps": [{"send": {"text": "Hi {{contact.name}}"}}]}


async def browser_of(bakery: Bakery, role: str = "owner", organisation: int | None = None) -> httpx.AsyncClient:
    async with bakery.app.db.transaction() as tx:
        viewer = await user(tx, bakery.app, organisation or bakery.organisation_id, f"Ada the {role}", role)
    return client(bakery, viewer)


def client(bakery: Bakery, viewer: Viewer) -> httpx.AsyncClient:
    found = [*pages.routes(bakery.app), *outside_pages.routes(bakery.app), *number_pages.routes(bakery.app)]
    site = Seen(Starlette(routes=[*found, *inbox.routes(bakery.app)]), viewer)
    return httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://twinline", follow_redirects=True)


@pytest.fixture
async def browser(bakery: Bakery) -> AsyncIterator[httpx.AsyncClient]:
    async with await browser_of(bakery) as made:
        yield made


async def made(bakery: Bakery, definition: Json = HELLO) -> int:
    async with bakery.app.db.transaction() as tx:
        return await service.create(tx, bakery.organisation_id, definition, None, bakery.clock.now())


async def draft_at(bakery: Bakery, automation: int) -> str:
    async with bakery.app.db.transaction() as tx:
        found = await queries.automation(tx, bakery.organisation_id, automation)
    assert found is not None
    return found.draft_at.isoformat()


async def sends(browser: httpx.AsyncClient, path: str, **given: Any) -> Json:
    answer = await browser.post(path, json=given)
    assert answer.status_code == 200, answer.text
    return orjson.loads(answer.content)


# --- what the editor offers -------------------------------------------------------------------------------------------


def kinds(schema_of: str) -> set[str]:
    """The kinds that a definition may hold, as its JSON Schema names them."""
    found = schema.json_schema()["$defs"][schema_of]
    members = found.get("oneOf") or found["anyOf"]
    names = [schema.json_schema()["$defs"][one["$ref"].rpartition("/")[2]] for one in members]
    return {key for one in names for key in one["properties"]}


@pytest.mark.parametrize("kind", shapes.MESSAGES)
def test_every_type_of_message_has_its_form(kind: str) -> None:
    assert kind in {value for value, _ in forms.MESSAGES}
    shown = [one for one in forms.STEPS["send"]["fields"] if kind in one.get("show", {"type": [kind]})["type"]]
    assert {one["name"] for one in shown} == set(shapes.MESSAGES[kind].model_fields) - {"quote"} | (
        {"quote"} if kind in forms.QUOTING else set()
    )
    if kind == "contacts":
        assert {one["name"] for one in forms.CARD} == set(shapes.Card.model_fields)


def test_the_editor_offers_every_trigger_condition_and_step_that_there_is() -> None:
    assert set(forms.TRIGGERS) == kinds("Trigger")
    assert set(forms.STEPS) == kinds("Step")
    assert set(forms.CONDITIONS) | {"not"} == kinds("Condition")
    assert {kind: tuple(lane for lane, _ in offer.get("lanes", ())) for kind, offer in forms.STEPS.items()} == {
        kind: BLOCKS.get(kind, ()) for kind in forms.STEPS
    }


@pytest.mark.parametrize("one", all_(), ids=lambda one: f"{one.key}.{one.language}")
def test_every_starter_can_be_drawn_and_each_of_its_parts_reads_as_a_sentence(one: Any) -> None:
    assert drawable(one.definition)
    said = words.sentences(one.definition)
    assert not [sentence for sentence in said.values() if sentence == "…" or "not known" in sentence]
    assert len(said) >= len(list(words.walk(one.definition["steps"])))


@pytest.mark.parametrize(
    "strange",
    [
        {}, {"steps": 5}, {"steps": [5]}, {"steps": [{}]}, {"steps": [{"send": 5}]}, {"steps": [{"branch": {}}]},
        {"steps": [{"branch": [{"steps": [{"a": 1, "b": 2}]}]}]}, {"steps": [{"ask": {"choices": ["A"]}}]},
        {"triggers": {}}, {"when": [{"any": 5}]}, {"steps": [{"ask": {"on_timeout": [1]}}]}, {"settings": 1}, [], None,
    ],
)  # fmt: skip
async def test_what_is_no_definition_is_refused_and_breaks_nothing(
    bakery: Bakery, browser: httpx.AsyncClient, strange: Any
) -> None:
    one = await made(bakery)
    for path in ("draft", "yaml", "try"):
        answer = await browser.post(f"/automations/{one}/{path}", json={"definition": strange, "said": "Hi"})
        assert answer.status_code in (200, 400, 422)


@pytest.mark.parametrize(
    "strange",
    [
        {}, {"steps": 5}, {"steps": "x"}, {"triggers": 5}, {"triggers": "abc"}, {"triggers": [None, {}, {"kyword": 5}]},
        {"steps": [{"sned": {"text": "x"}}]}, {"steps": [None, 1, {}]}, {"steps": [{"branch": 5}, {"ask": 7}]},
    ],
)  # fmt: skip
async def test_whatever_a_program_keeps_as_a_draft_the_pages_show_it(
    bakery: Bakery, browser: httpx.AsyncClient, strange: Json
) -> None:
    one = await made(bakery, {"name": "Odd", **strange})
    for path in ("", f"/{one}", f"/{one}/export.yaml"):
        answer = await browser.get(f"/automations{path}")
        assert answer.status_code == 200
        assert "Odd" in answer.text


# --- the editor -------------------------------------------------------------------------------------------------------


async def test_a_draft_is_kept_as_it_is_written_and_told_what_is_wrong_with_it(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    one = await made(bakery)
    draft = {**HELLO, "steps": [{"ask": {"text": ""}}, {"branch": [{"when": [{"choice": ""}], "steps": []}]}]}
    said = await sends(
        browser, f"/automations/{one}/draft", definition=draft, open=["/steps/0"], keep=True,
        draft_at=await draft_at(bakery, one),
    )  # fmt: skip
    assert said["kept"]
    places = [problem["path"] for problem in said["problems"]]
    assert ["steps", 0, "ask", "text"] in places
    assert ["steps", 1, "branch", 0, "when", 0, "choice"] in places
    assert said["sentences"]["/steps/1/branch/0"] == "If they chose …"
    assert "The text appears here." in said["previews"]["/steps/0"]
    assert draft["steps"][0] == (await found(bakery, one)).draft["steps"][0]


async def found(bakery: Bakery, automation: int) -> Any:
    async with bakery.app.db.transaction() as tx:
        return await queries.automation(tx, bakery.organisation_id, automation)


async def test_what_isnt_filled_in_yet_is_called_empty_at_its_field(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery)
    link = {"send": {"type": "cta_url", "text": "", "url": "https://x.example"}}
    told = await sends(browser, f"/automations/{one}/draft", definition={**HELLO, "steps": [link]})
    assert [(each["path"][-1], each["says"]) for each in told["problems"]] == [
        ("text", "This is still empty."),
        ("button", "This is still empty."),
    ]


async def test_two_people_who_edit_at_once_dont_overwrite_each_other(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    one = await made(bakery)
    seen = await draft_at(bakery, one)

    async def saves(text: str, draft_at: str = seen) -> httpx.Response:
        definition = {**HELLO, "steps": [{"send": {"text": text}}]}
        given = {"definition": definition, "keep": True, "draft_at": draft_at}
        return await browser.post(f"/automations/{one}/draft", json=given)

    # Of two that reach us together, by clocks that say the same, one is kept.
    answers = await asyncio.gather(saves("Mine"), saves("Yours"))
    second, first = sorted((answer.json() for answer in answers), key=lambda answer: answer["kept"])
    assert [first["kept"], second["kept"]] == [True, False]
    assert "Somebody else saved this automation meanwhile" in second["overtaken"]
    kept = (await found(bakery, one)).draft["steps"][0]["send"]["text"]
    other = ({"Mine", "Yours"} - {kept}).pop()
    assert f"Say “{other}”" in second["overtaken"], "whoever came second is shown how theirs differs"
    assert f"before: Say “{kept}”" in second["overtaken"]
    assert f"text: {other}" in second["overtaken"], "and it can still be kept as another"

    # Knowing of the other, it may take its place; then the first one is out of date.
    told = re.search(r'data-replace="([^"]+)"', second["overtaken"])
    assert told is not None
    assert (await saves(other, told[1])).json()["kept"]
    assert not (await saves(kept, first["draft_at"])).json()["kept"]
    assert (await found(bakery, one)).draft["steps"][0]["send"]["text"] == other


async def test_what_is_published_is_what_was_looked_at(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery)
    asked = await browser.get(f"/automations/{one}/publish")
    shown = re.search(r'name="draft_at" value="([^"]+)"', asked.text)
    assert shown is not None
    async with bakery.app.db.transaction() as tx:
        await service.save(tx, bakery.organisation_id, one, {**HELLO, "description": "Later"}, bakery.clock.now())
    answer = await browser.post(f"/automations/{one}/publish", data={"draft_at": shown[1]})
    assert answer.status_code == 409
    assert "Somebody else changed this automation" in answer.text
    assert (await found(bakery, one)).version == 0


async def test_the_fields_that_a_starter_needs_are_made_with_one_press(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    one = await made(bakery, dict(starters.starter("lead", "en").definition))  # type: ignore[union-attr]
    definition = (await found(bakery, one)).draft
    before = await sends(browser, f"/automations/{one}/draft", definition=definition)
    assert [(told["says"], told["lacks"]) for told in before["problems"]] == [
        ("There is no field “interest”.", {"what": "field", "name": "interest"}),
        ("There is no field “email”.", {"what": "field", "name": "email"}),
    ]
    assert "Make “interest” and “email”" in (await browser.get(f"/automations/{one}/publish")).text

    # A colleague may write automations; what is kept of every contact is an administrator's.
    async with await browser_of(bakery, "agent") as agent:
        refused = await agent.post(f"/automations/{one}/lacking", json={"definition": definition, "what": "field"})
        assert refused.status_code == 403
        assert "Make “interest”" not in (await agent.get(f"/automations/{one}/publish")).text
    answer = await sends(browser, f"/automations/{one}/lacking", definition=definition, what="field")
    assert answer["made"] == ["interest", "email"]
    assert answer["known"]["fields"] == [["email", "Email"], ["interest", "Interest"]]
    assert (await sends(browser, f"/automations/{one}/draft", definition=definition))["problems"] == []
    again = await sends(browser, f"/automations/{one}/lacking", definition=definition, what="field")
    assert again["made"] == [], "what is there isn't made again"


async def test_a_tag_that_nobody_has_yet_is_put_on_the_list(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    definition = {**HELLO, "triggers": [{"tag_added": {"tag": "done"}}], "when": [{"window": "open"}]}
    one = await made(bakery, definition)
    answer = await sends(browser, f"/automations/{one}/lacking", definition=definition, what="tag")
    assert (answer["made"], answer["known"]["tags"]) == (["done"], [["done", "done"]])
    assert (await sends(browser, f"/automations/{one}/draft", definition=definition))["problems"] == []


async def test_a_name_that_is_taken_is_said_at_the_name(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    await made(bakery)
    one = await made(bakery, {**HELLO, "name": "Other"})
    said = await sends(
        browser, f"/automations/{one}/draft", definition=HELLO, keep=True, draft_at=await draft_at(bakery, one)
    )
    assert not said["kept"]
    assert said["problems"][0]["path"] == ["name"]


async def test_yaml_is_the_same_and_its_errors_have_their_lines(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery)
    told = await sends(browser, f"/automations/{one}/yaml", definition=HELLO)
    assert schema.from_yaml(told["yaml"]) == schema.read(HELLO)
    wrong = told["yaml"].replace("send:", "sned:")
    back = await sends(browser, f"/automations/{one}/yaml", yaml=wrong)
    [problem] = back["problems"]
    assert wrong.split("\n")[problem["line"] - 1].strip().startswith("- sned:")
    broken = await sends(browser, f"/automations/{one}/yaml", yaml="name: [")
    assert broken["definition"] is None
    assert broken["problems"][0]["line"] == 1


async def test_a_draft_that_isnt_fit_yet_is_written_in_order_too(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery)
    draft = {
        "steps": [{"ask": {"on_timeout": [{"end": {}}], "text": ""}}, {"branch": [{"steps": [], "when": []}]}],
        "triggers": [], "settings": {"limits": {}}, "name": "Hello",
    }  # fmt: skip
    told = await sends(browser, f"/automations/{one}/yaml", definition=draft)
    keys = [line.strip(" -").split(":")[0] for line in told["yaml"].split("\n") if line]
    assert keys == ["name", "triggers", "steps", "ask", "text", "on_timeout", "end", "branch", "when", "steps"]
    assert told["problems"][0]["line"] is not None


def test_the_line_of_a_path_is_that_of_its_key() -> None:
    lines = Lines("name: A\nsteps:\n  - send:\n      text: B\n  - wait: 10m\n")
    assert lines.of(("steps", 0, "send", "text")) == 4
    assert lines.of(("steps", 1, "wait")) == 5
    assert lines.of(("steps", 0, "send", "nowhere")) == 3
    assert lines.of(()) is None
    assert Lines("{").of(("name",)) is None


async def test_it_is_tried_on_a_customer_who_isnt_there(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery)
    asks = {"ask": {"text": "Well?", "choices": [{"id": "yes", "title": "Yes"}], "save": "well"}}
    definition = {**HELLO, "steps": [asks, {"send": {"text": "So: {{vars.well}}"}}]}
    path = f"/automations/{one}/try"
    said = await sends(browser, path, definition=definition, said="<b>Hi</b>")
    assert "&lt;b&gt;Hi&lt;/b&gt;" in said["html"]
    assert 'data-choice="yes"' in said["html"]
    assert said["cursor"] == ["steps", 0]
    silent = await sends(browser, path, definition=definition, state=said["state"], replied="phone")
    assert "falls silent: the phone has the floor" in silent["html"]
    after = await sends(browser, path, definition=definition, state=said["state"], choice="yes", title="Yes")
    assert "So: yes" in after["html"]
    unfit = await browser.post(path, json={"definition": {**HELLO, "steps": []}, "said": "Hi"})
    assert unfit.status_code == 422
    strange = await browser.post(path, json={"definition": definition, "said": "Hi", "state": {"now": 5}})
    assert strange.status_code == 422
    assert bakery.meta.texts == []


async def test_its_time_is_chosen_on_the_numbers_clock_and_goes_on(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    hours = {"week": {"mon": [["09:00", "18:00"]]}}
    async with bakery.app.db.transaction() as tx:
        chosen = Settings(hours=hours, zone="America/Sao_Paulo")
        who = {"user_id": None, "now": bakery.clock.now()}
        await service.set_settings(tx, bakery.organisation_id, bakery.number_id, chosen, **who)
    away = {
        "name": "Away",
        "triggers": [{"outside_hours": {}}, {"schedule": {"at": "08:00", "days": ["mon"]}}],
        "when": [{"not": {"tag": "vip"}}],
        "steps": [{"send": {"text": "Closed"}}],
    }
    one = await made(bakery, away)
    path = f"/automations/{one}/try"
    looked = await sends(browser, path, definition=away, look=True, at="2026-11-23T10:00")
    assert looked["clock"] == {"at": "2026-11-23T10:00", "zone": "America/Sao_Paulo", "open": True, "number": 1}
    opened = await sends(browser, path, definition=away, said="Hello?", at="2026-11-23T10:00")
    assert "It waits for a message outside of the business hours" in opened["html"]
    later = await sends(browser, path, definition=away, state=opened["state"], passed="9h")
    assert "9 hours later: <strong>Mon 23 Nov, 19:00</strong>" in later["html"]
    assert later["clock"]["open"] is False
    closed = await sends(browser, path, definition=away, state=later["state"], said="Hello?")
    assert "Closed" in closed["html"]
    assert "19:00</span>" in closed["html"], "what is said bears its time"
    morning = await sends(browser, path, definition=away, state=closed["state"], until="2026-11-24T09:30")
    assert morning["clock"]["at"] == "2026-11-24T09:30"
    due = await sends(browser, path, definition=away, state=opened["state"], due=True)
    assert due["clock"]["at"] == "2026-11-30T08:00"

    back = {"definition": away, "state": closed["state"], "until": "2026-11-23T09:30"}
    for given in (back, {**back, "until": "soon"}, {"definition": away, "said": "x", "at": "9999-12-31T23:59"}):
        refused = await browser.post(path, json=given)
        assert refused.status_code == 422, given
    now = await sends(browser, path, definition=away, look=True)
    there = bakery.clock.now().astimezone(ZoneInfo("America/Sao_Paulo"))
    assert now["clock"]["at"] == there.strftime("%Y-%m-%dT%H:%M"), "unless it is chosen, it is now"


def test_what_its_triggers_wait_for_can_be_let_happen() -> None:
    triggers = [{kind: offer["initial"]} for kind, offer in forms.TRIGGERS.items()]
    triggers += [{"tag_added": {"tag": "done"}}, {"button": {"titles": ["Yes"]}}, {"keyword": {"words": ["cake"]}}]
    definition = {"name": "X", "steps": [{"send": {"text": "Hi"}}]}
    for trigger in triggers:
        [(kind, given)] = trigger.items()
        acts = builder.beginnings({**definition, "triggers": [trigger]})
        if kind in ("message", "first_contact", "outside_hours", "keyword", "api"):
            assert acts == [], "by writing, or by hand"
            continue
        [act] = acts
        if given.get("tag") == "":
            continue  # not chosen yet
        when = [{"tag": "vip"}] if kind == "schedule" else []
        told = {**definition, "when": when, "triggers": [trigger]}
        at = Facts(datetime(2026, 11, 23, 12, tzinfo=UTC), {"tags": ["vip"]}, window_open=True)
        scene = builder.Scene(at, Hours.of(None), timedelta(hours=2), None)
        state: Any = None
        if kind == "no_answer":
            state, _ = builder.play(told, {"said": "Hello?"}, scene)
        _, did = builder.play(told, {"state": state, **act["play"]}, scene)
        assert "sent" in [one.kind for one in did], act


async def test_what_is_published_is_told_in_words_first(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery)
    shown = (await browser.get(f"/automations/{one}/publish")).text
    assert "Any message" in shown
    assert "Turn it on" in shown
    done = await browser.post(f"/automations/{one}/publish", data={"draft_at": await draft_at(bakery, one)})
    assert "Version 1 is published" in done.text
    assert "It is off, and answers nobody yet." in done.text
    turned = await browser.post(f"/automations/{one}/enable", data={"on": "yes", "here": "yes"})
    assert turned.url.path == f"/automations/{one}", "where the button stood"
    assert "Turn it off" in turned.text
    changed = {**HELLO, "steps": [{"send": {"text": "Good morning"}}, {"wait": "10m"}]}
    async with bakery.app.db.transaction() as tx:
        await service.save(tx, bakery.organisation_id, one, changed, bakery.clock.now())
    again = (await browser.get(f"/automations/{one}/publish")).text
    assert "Say “Good morning”" in again
    assert "before: Say “Hi" in again
    assert "Wait 10 minutes" in again
    await browser.post(f"/automations/{one}/publish", data={"draft_at": await draft_at(bakery, one)})
    versions = (await browser.get(f"/automations/{one}/versions")).text
    assert "Version 2" in versions
    assert (await browser.post(f"/automations/{one}/versions/1")).status_code == 200
    assert (await found(bakery, one)).draft == HELLO
    exported = await browser.get(f"/automations/{one}/export.yaml?version=2")
    assert schema.from_yaml(exported.text) == schema.read(changed)


async def test_an_unfit_draft_isnt_published(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await made(bakery, {**HELLO, "steps": []})
    assert "Not ready yet" in (await browser.get(f"/automations/{one}/publish")).text
    answer = await browser.post(f"/automations/{one}/publish", data={"draft_at": await draft_at(bakery, one)})
    assert answer.status_code == 422


def test_what_changed_is_told_where_it_changed() -> None:
    before = schema.read({**HELLO, "steps": [branch("A")]})
    after = schema.read({**HELLO, "name": "Other", "steps": [branch("B"), {"end": {}}]})
    told = [(change.kind, change.where, change.says) for change in words.changes(before, after)]
    assert told == [
        ("changed", "", "Name: Other"),
        ("changed", "If the contact has the tag “vip”", "Say “B”"),
        ("added", "", "End"),
    ]
    assert words.changes(before, before) == []


def branch(text: str) -> Json:
    return {"branch": [{"when": [{"tag": "vip"}], "steps": [{"send": {"text": text}}]}]}


# --- the list and the library -----------------------------------------------------------------------------------------


async def test_starters_are_taken_under_a_free_name_and_files_imported(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    assert "Away message" in (await browser.get("/automations/new")).text
    assert 'lang="pt"' in (await browser.get("/automations/new?language=pt")).text
    for _ in range(2):
        assert (await browser.post("/automations", data={"starter": "away", "language": "en"})).status_code == 200
    file = {"file": ("hello.yaml", io.BytesIO(schema.to_yaml(schema.read(HELLO)).encode()))}
    assert (await browser.post("/automations/import", files=file)).status_code == 200
    wrong = await browser.post("/automations/import", data={"text": "name: A\nsteps:\n  - send"})
    assert wrong.status_code == 422
    async with bakery.app.db.transaction() as tx:
        names = [one.name for one in await queries.automations(tx, bakery.organisation_id)]
    assert names == ["Away message", "Away message 2", "Hello"]


async def test_the_list_switches_orders_copies_and_removes(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    first, second = await made(bakery), await bakery.automation("Other", {"send": {"text": "B"}})
    assert "was never published" in (await browser.post(f"/automations/{first}/enable", data={"on": "yes"})).text
    await browser.post(f"/automations/{second}/enable")
    assert not (await found(bakery, second)).enabled
    await browser.post(f"/automations/{second}/move", data={"to": "0"})
    await browser.post(f"/automations/{first}/copy")
    await browser.post(f"/automations/{first}/archive")
    async with bakery.app.db.transaction() as tx:
        names = [one.name for one in await queries.automations(tx, bakery.organisation_id)]
    assert names == ["Other", "Hello 2"]
    assert (await browser.get(f"/automations/{first}")).status_code == 404


# --- what they did ----------------------------------------------------------------------------------------------------


async def test_a_run_is_shown_step_by_step_and_can_be_stopped(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await bakery.automation("Hello", {"ask": {"text": "Well?", "save": "well", "timeout": "1h"}})
    contact = await bakery.writes(ANA, "Hi")
    assert "Waits for an answer" in (await browser.get(f"/automations/{one}/runs")).text
    [run] = await bakery.runs(contact)
    path = f"/automations/runs/{run.number_id}/{run.id}"
    shown = (await browser.get(path)).text
    assert "Ask “Well?” and keep it as well" in shown
    assert "ada the owner" not in shown.lower()
    await browser.post(f"{path}/end")
    [ended] = await bakery.runs(contact)
    assert ended.ended_at is not None
    assert "A person ended it." in (await browser.get(path)).text


async def test_a_rehearsal_shows_both_sides_and_sends_nothing(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    bakery.clock.advance(minutes=1)
    await bakery.writes(ANA, "What does a cake cost?")
    bakery.clock.advance(minutes=1)
    await bakery.types(ANA, "Thirty euros.")
    bakery.clock.advance(minutes=1)
    await bakery.writes(ANA, "Thanks <3")
    one = await made(bakery, {**HELLO, "triggers": [{"keyword": {"words": ["cost"]}}]})
    shown = (await browser.get(f"/automations/{one}/rehearsal?days=30")).text
    assert "What does a cake cost?" in shown
    assert "Thirty euros." in shown
    assert "It would have answered" in shown
    assert "the phone has the floor" in shown
    assert "Thanks &lt;3" in shown
    assert await bakery.goes_out() == []
    unfit = await made(bakery, {"name": "Unfit", "triggers": [], "steps": []})
    assert "rehearsed yet" in (await browser.get(f"/automations/{unfit}/rehearsal")).text


# --- in the chat ------------------------------------------------------------------------------------------------------


async def test_a_person_takes_a_chat_hands_it_back_starts_and_stops(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    one = await bakery.automation("Hello", {"ask": {"text": "Well?"}}, triggers=[{"api": {}}])
    contact = await bakery.writes(ANA, "Hi")
    chat = f"/inbox/{bakery.number_id}/{contact}"
    panel = await browser.post(f"{chat}/floor/take", data={"for": "30m"})
    assert "A person took the chat for 30 minutes." in panel.text
    assert (await bakery.floor(contact))["floor_holder"] == "person"
    assert (await browser.post(f"{chat}/floor/take", data={"for": "soon"})).status_code == 422
    assert "talking" not in (await browser.post(f"{chat}/floor/release")).text
    assert (await bakery.floor(contact))["floor_holder"] == "nobody"
    assert (await browser.post(f"{chat}/automation/start", data={"automation": str(one)})).status_code == 200
    assert "“Hello” is talking here" in (await browser.get(f"{chat}/state")).text
    assert "is talking here" not in (await browser.post(f"{chat}/automation/stop")).text
    assert (await browser.post(f"{chat}/automation/start", data={"automation": "999"})).status_code == 404
    assert (await browser.post(f"/inbox/{bakery.number_id}/999999/floor/take")).status_code == 404


async def test_whoever_lets_go_of_a_chat_hands_it_back(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    contact = await bakery.writes(ANA, "Hi")
    chat = f"/inbox/{bakery.number_id}/{contact}"
    await browser.post(f"{chat}/floor/take", data={"for": "1d"})
    await browser.post(f"{chat}/assign", data={"to": "me"})
    assert (await bakery.floor(contact))["floor_holder"] == "person"
    await browser.post(f"{chat}/assign", data={"to": "nobody"})
    assert (await bakery.floor(contact))["floor_holder"] == "nobody"


async def test_an_answer_that_waits_is_seen_in_its_chat_and_goes_out_when_somebody_says_so(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    one = await bakery.automation("Agent", {"ask": {"text": "Well?"}}, triggers=[{"api": {}}])
    ana, bea = await bakery.writes(ANA, "Do you deliver?"), await bakery.writes(BEA, "And on Sundays?")
    for contact in (ana, bea):
        await hold(bakery, one, contact, "Yes, until noon.")
    shown = (await browser.get("/automations/approvals")).text
    assert "Do you deliver?" in shown
    first, second = [row["id"] for row in await bakery.dicts("SELECT id FROM approvals ORDER BY id", ())]
    chat = f"/inbox/{bakery.number_id}/{ana}"
    assert "“Agent” would say:" in (await browser.get(f"{chat}/state")).text
    assert "would say" not in (await browser.post(f"{chat}/approvals/{first}/send")).text
    cleared = await browser.post(
        f"/automations/approvals/{bakery.number_id}/{second}", data={"approve": "yes", "text": " "}
    )
    assert "The message is empty." in cleared.text
    assert "Yes, until noon." in cleared.text
    await bakery.types(BEA, "I'll call you.")
    late = await browser.post(
        f"/automations/approvals/{bakery.number_id}/{second}", data={"approve": "yes", "text": "Yes, until noon."}
    )
    assert "Somebody has spoken in the chat" in late.text
    assert await bakery.goes_out() == ["Yes, until noon."]


async def hold(bakery: Bakery, automation: int, contact: int, text: str) -> None:
    async with bakery.app.db.transaction() as tx:
        await tx.execute(
            "INSERT INTO approvals (number_id, contact_id, automation_id, run_id, since, text, made_at)"
            " SELECT number_id, contact_id, %s, 1, floor_since, %s, %s FROM chats WHERE contact_id = %s",
            (automation, text, bakery.clock.now(), contact),
        )


# --- a number's settings ----------------------------------------------------------------------------------------------


async def test_a_number_says_when_it_is_open_and_what_words_mean(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    path = f"/numbers/{bakery.number_id}/automations"
    assert "#bot" in (await browser.get(path)).text
    form: Sequence[tuple[str, str]] = [
        ("zone", "Europe/Lisbon"), ("open", "hours"), ("from.mon", "09:00"), ("to.mon", "13:00"),
        ("from.mon", "14:00"), ("to.mon", "18:00"), ("holiday", "2026-12-25"), ("holiday.yearly", "yes"),
        ("holiday.from", ""), ("holiday.to", ""), ("holiday", "2026-12-24"), ("holiday.yearly", "no"),
        ("holiday.from", "09:00"), ("holiday.to", "12:00"), ("phone_pause", "30"), ("word", "#lunch"),
        ("does", "pause"), ("more", "1h"), ("send_receipts", "yes"), ("language", "pt"),
    ]  # fmt: skip
    saved = await browser.post(path, content=httpx.QueryParams(form).__str__().encode(), headers=FORM)
    assert "Saved" in saved.text
    async with bakery.app.db.transaction() as tx:
        kept = await service.settings_of(tx, bakery.number_id)
    assert kept.hours == {
        "week": {"mon": [["09:00", "13:00"], ["14:00", "18:00"]]},
        "holidays": {"12-25": [], "2026-12-24": [["09:00", "12:00"]]},
    }
    assert kept.phone_keywords == [{"word": "#lunch", "does": "pause", "for": "1h"}]
    assert (kept.zone, kept.language, kept.pause.total_seconds()) == ("Europe/Lisbon", "pt", 1800)
    wrong = await browser.post(path, data={"word": "#go", "does": "start", "more": "", "phone_pause": "30"})
    assert wrong.status_code == 422
    assert "which automation it starts" in wrong.text


FORM = {"content-type": "application/x-www-form-urlencoded"}


# --- outside ----------------------------------------------------------------------------------------------------------


async def test_a_bots_secret_is_shown_once(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    given = {"kind": "bot", "name": "Concierge", "url": "https://bots.example/hook"}
    first = await browser.post("/automations/connections", data=given)
    assert "whsec_" in first.text
    assert "whsec_" not in (await browser.get("/automations/connections")).text
    again = await browser.post("/automations/connections", data=given)
    assert again.status_code == 422
    async with bakery.app.db.transaction() as tx:
        assert (await known.known(tx, bakery.organisation_id)).connections == {"Concierge": "bot"}
    which = await bakery.value("SELECT id FROM connections")
    changed = await browser.post(f"/automations/connections/{which}", data={**given, "name": "Porter"})
    assert "Porter" in changed.text
    await browser.post(f"/automations/connections/{which}/remove")
    assert "Porter" not in (await browser.get("/automations/connections")).text


async def test_a_text_is_kept_and_found_by_a_question(bakery: Bakery, browser: httpx.AsyncClient) -> None:
    text = {"name": "Delivery", "language": "en", "text": "# Saturdays\nWe deliver on Saturdays until noon."}
    assert "Delivery" in (await browser.post("/automations/knowledge", data=text)).text
    assert "until noon" in (await browser.get("/automations/knowledge?q=Do+you+deliver+on+Saturday")).text
    file = {"file": ("costs.md", io.BytesIO(b"Delivery is free from 30 euros."))}
    assert "costs" in (await browser.post("/automations/knowledge", files=file, data={"language": "en"})).text
    picture = {"file": ("costs.png", io.BytesIO(b"\x89PNG"))}
    assert (await browser.post("/automations/knowledge", files=picture)).status_code == 422
    which = await bakery.value("SELECT min(id) FROM knowledge")
    assert "We deliver" in (await browser.get(f"/automations/knowledge/{which}")).text
    await browser.post(f"/automations/knowledge/{which}/remove")
    assert "Delivery</h2>" not in (await browser.get("/automations/knowledge")).text


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_who_may_only_look_changes_nothing(bakery: Bakery) -> None:
    one = await made(bakery)
    async with await browser_of(bakery, "viewer") as looker:
        assert "Greeting" not in (await looker.get("/automations")).text
        assert (await looker.get(f"/automations/{one}")).status_code == 200
        said = await sends(looker, f"/automations/{one}/draft", definition=HELLO)
        assert not said["kept"]
        for path in ("publish", "enable", "move", "copy", "archive"):
            assert (await looker.post(f"/automations/{one}/{path}", data={"to": "0"})).status_code == 403
        kept = await looker.post(f"/automations/{one}/draft", json={"definition": HELLO, "keep": True})
        assert kept.status_code == 403
        assert (await looker.post("/automations/connections", data={})).status_code == 403
        assert (await looker.post(f"/numbers/{bakery.number_id}/automations")).status_code == 403


async def test_another_organisations_are_not_there(bakery: Bakery) -> None:
    one = await made(bakery)
    automation = await bakery.automation("Other", {"ask": {"text": "Well?"}})
    contact = await bakery.writes(ANA, "Hi")
    [run] = await bakery.runs(contact)
    other = await mirror.add_number(bakery.app, FLORIST)
    organisation = await bakery.value("SELECT organisation_id FROM numbers WHERE id = %s", (other,))
    async with await browser_of(bakery, organisation=organisation) as stranger:
        for path in ("", "/runs", "/versions", "/rehearsal", "/publish", "/export.yaml"):
            assert (await stranger.get(f"/automations/{one}{path}")).status_code == 404
        assert (await stranger.get(f"/automations/runs/{run.number_id}/{run.id}")).status_code == 404
        assert (await stranger.post(f"/automations/{automation}/enable")).status_code == 404
        assert (await stranger.get(f"/numbers/{bakery.number_id}/automations")).status_code == 404
        assert (await stranger.post(f"/inbox/{bakery.number_id}/{contact}/floor/take")).status_code == 404
        assert "Hello" not in (await stranger.get("/automations")).text
