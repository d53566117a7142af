"""Automations over /v1: written, checked, published, started; the floor; and what is refused, in one shape."""

from typing import Any

import pytest
from tests.api.conftest import Program, clock, make_key, meta, program, refusal, shop, site, stranger
from tests.sending.conftest import Shop

from twinline.automations import tending

__all__ = ["clock", "meta", "program", "shop", "site", "stranger"]

pytestmark = pytest.mark.anyio

ANA = "351910009001"
GREETING: dict[str, Any] = {
    "name": "Greeting",
    "triggers": [{"message": {}}],
    "settings": {"quiet_for": "1s"},
    "steps": [{"send": {"text": "Hi {{contact.name|there}}, {{vars.what|welcome}}!"}}, {"wait": "10m"}],
}
YAML = """
name: Greeting
triggers:
  - message: {}
steps:
  - send: {text: "Hi!"}
"""


async def running(program: Program, definition: dict[str, Any] = GREETING) -> int:
    """An automation, published and on."""
    made = await program.posts("/v1/automations", {"definition": definition, "publish": True})
    await program.posts(f"/v1/automations/{made['id']}/enable")
    return int(made["id"])


async def test_from_a_draft_to_a_version_that_answers(program: Program, shop: Shop) -> None:
    made = await program.posts("/v1/automations", {"yaml": YAML})
    where = f"/v1/automations/{made['id']}"
    assert (made["version"], made["enabled"], made["changed"], made["definition"]) == (0, False, True, None)
    assert (await program.is_refused(422, "POST", f"{where}/enable"))["code"] == "automation.unpublished"
    made = await program.posts(f"{where}/publish")
    assert (made["version"], made["changed"]) == (1, False)
    assert (await program.posts(f"{where}/enable"))["enabled"]
    changed = (await program.http.put(where, json={"definition": GREETING})).json()
    assert (changed["version"], changed["changed"]) == (1, True)
    changed = (await program.http.put(where, json={"definition": GREETING, "publish": True})).json()
    assert (changed["version"], changed["draft"]["name"]) == (2, "Greeting")
    assert [one["id"] for one in (await program.gets("/v1/automations"))["automations"]] == [made["id"]]
    assert not (await program.posts(f"{where}/disable"))["enabled"]
    assert (await program.http.delete(where)).status_code == 204
    assert (await program.is_refused(404, "GET", where))["code"] == "automation.unknown"


async def test_a_definition_is_checked_in_sentences(program: Program) -> None:
    fit = await program.posts("/v1/automations/validate", {"yaml": YAML})
    assert (fit["fit"], fit["problems"], fit["definition"]["name"]) == (True, [], "Greeting")
    assert "name: Greeting" in fit["yaml"]
    lacks = {"when": [{"tag": "vip"}], "steps": [{"bot": {"connection": "Helper"}}]}
    checked = await program.posts("/v1/automations/validate", {"definition": {**GREETING, **lacks}})
    said = [(one["level"], one["says"]) for one in checked["problems"]]
    assert any(level == "warning" and "vip" in says for level, says in said)
    assert any(level == "error" and "Helper" in says for level, says in said)
    unfit = {"definition": {**GREETING, "steps": [{"sent": {"text": "Hi"}}]}}
    checked = await program.posts("/v1/automations/validate", unfit)
    assert (checked["fit"], checked["definition"]) == (False, None)
    assert checked["problems"][0]["path"] == ["steps", 0]
    error = await program.is_refused(422, "POST", "/v1/automations", {**unfit, "publish": True})
    assert (error["code"], error["details"][0]["field"]) == ("automation.unfit", "steps.0")
    assert (await program.gets("/v1/automations"))["automations"] == [], "nothing of it was kept"
    for status, wrong in (
        (400, {}),
        (400, {"yaml": "- a", "definition": {}}),
        (422, {"yaml": "a: [", "publish": True}),
        (422, {"yaml": "[]"}),
    ):
        refusal(await program.http.post("/v1/automations", json=wrong), status)


async def test_whoever_writes_one_is_told_what_validate_would_tell(program: Program) -> None:
    lacks = {**GREETING, "when": [{"tag": "vip"}]}
    said = (await program.posts("/v1/automations/validate", {"definition": lacks}))["problems"]
    assert [one["level"] for one in said if "“vip”" in one["says"]] == ["warning"]
    made = await program.posts("/v1/automations", {"definition": lacks, "publish": True})
    assert (made["version"], made["problems"]) == (1, said)
    where = f"/v1/automations/{made['id']}"
    fewer = (await program.http.put(where, json={"definition": GREETING})).json()["problems"]
    assert fewer == [one for one in said if "“vip”" not in one["says"]]
    unfinished = (await program.http.put(where, json={"definition": {"name": "Greeting"}})).json()
    assert {one["level"] for one in unfinished["problems"]} == {"error"}
    await program.http.put(where, json={"definition": lacks})
    assert (await program.posts(f"{where}/publish"))["problems"] == said


async def test_a_program_starts_one_once(program: Program, shop: Shop) -> None:
    contact_id, automation = await shop.customer(ANA), await running(program)
    start = {"to": f"+{ANA}", "automation": "greeting", "vars": {"what": "your bread is ready"}}
    runs = f"{program.base}/runs"
    one = await program.posts(runs, start, **{"Idempotency-Key": "k1"})
    assert (one["state"], one["waits"], one["sent"], one["began_by"]) == ("waiting", "time", 1, "the till")
    assert one["vars"] == {"what": "your bread is ready"}
    assert (await program.posts(runs, start, **{"Idempotency-Key": "k1"}))["id"] == one["id"]
    other = {**start, "automation": automation}
    assert (await program.is_refused(409, "POST", runs, other, **{"Idempotency-Key": "k1"}))[
        "code"
    ] == "idempotency.reused"
    await shop.drain()
    assert shop.meta.texts == ["Hi there, your bread is ready!"]
    assert [run["id"] for run in (await program.gets(runs, contact=contact_id))["runs"]] == [one["id"]]
    ended = await program.posts(f"{runs}/{one['id']}/end")
    assert (ended["state"], ended["why"]) == ("ended", "the till ended it.")
    error = await program.is_refused(404, "POST", runs, {**start, "automation": "Nobody"})
    assert (error["code"], error["message"]) == ("automation.unknown", "There is no automation “Nobody”.")
    assert (await program.is_refused(404, "POST", runs, {**start, "to": "+351910009009"}))["code"] == "contact.unknown"
    assert (await program.is_refused(404, "GET", f"{runs}/99"))["code"] == "run.unknown"


async def test_nothing_is_started_while_a_person_has_the_floor(program: Program, shop: Shop) -> None:
    await shop.customer(ANA)
    await running(program)
    chat = f"{program.base}/chats/+{ANA}"
    assert (await program.gets(f"{chat}/floor"))["holder"] == "nobody"
    taken = await program.posts(f"{chat}/floor/take", {"for": "2h"})
    assert (taken["holder"], taken["automations_may_speak"]) == ("person", False)
    assert taken["until"].startswith("2026-11-20T14:00")
    error = await program.is_refused(422, "POST", f"{program.base}/runs", {"to": f"+{ANA}", "automation": "Greeting"})
    assert error["code"] == "floor.person_speaks"
    await tending.look(shop.app, shop.number_id)
    freed = await program.posts(f"{chat}/floor/release")
    assert (freed["holder"], freed["automations_may_speak"]) == ("nobody", True)
    assert (await program.posts(f"{chat}/floor/release"))["holder"] == "nobody"
    log = (await program.gets(f"{chat}/log"))["log"]
    assert {line["kind"] for line in log} >= {"floor"}


async def test_who_has_the_floor_tells_also_that_a_person_is_waited_for(program: Program, shop: Shop) -> None:
    await shop.customer(ANA)
    await running(program, {"name": "Calls", "triggers": [{"api": {}}], "steps": [{"release": {}}]})
    chat = f"{program.base}/chats/+{ANA}"
    assert (await program.gets(f"{chat}/floor"))["handed"] is None
    started = await program.posts(f"{program.base}/runs", {"to": f"+{ANA}", "automation": "Calls"})
    found = await program.gets(f"{chat}/floor")
    assert (found["holder"], found["handed"]["id"], found["handed"]["automation"]) == ("nobody", started["id"], "Calls")
    assert (await program.posts(f"{chat}/floor/take"))["handed"] is None
    assert (await program.is_refused(400, "POST", f"{chat}/floor/take", {"for": "soon"}))["code"] == "request.invalid"


async def test_what_a_number_goes_by(program: Program) -> None:
    where = f"{program.base}/automations/settings"
    assert (await program.gets(where))["pause"] == 7200
    hours = {"week": {"mon": [["09:00", "18:00"]]}}
    words = [{"word": "#zurück", "does": "release"}]
    changed = {"pause": 600, "hours": hours, "zone": "Europe/Lisbon", "phone_keywords": words}
    assert (await program.http.patch(where, json=changed)).json() == {**changed, "language": ""}
    assert (await program.http.patch(where, json={"pause": 0})).json() == {**changed, "language": "", "pause": 0}
    assert (await program.http.patch(where, json={"hours": None})).json()["hours"] is None
    for wrong in ({"zone": "Mars"}, {"hours": {"week": {"mon": [["9", "8"]]}}}, {"phone_keywords": [{"word": ""}]}):
        assert refusal(await program.http.patch(where, json=wrong), 422)["code"].startswith("automation.")


@pytest.mark.parametrize("which", [9999, "Nope", True, [1]])
async def test_a_number_doesnt_go_by_what_there_isnt(program: Program, which: Any) -> None:
    where = f"{program.base}/automations/settings"
    word = {"word": "#sales", "does": "start", "automation": which}
    error = refusal(await program.http.patch(where, json={"phone_keywords": [word]}), 422)
    assert error["code"] == "automation.keyword"
    assert "“#sales” starts an automation" in error["message"]
    assert "and there is none" in error["message"]
    error = refusal(await program.http.patch(where, json={"language": "xx-nonsense"}), 422)
    assert error["code"] == "automation.language"
    assert "“xx-nonsense” can't be the language" in error["message"]
    assert (await program.http.patch(where, json={"language": "pt-br"})).json()["language"] == "pt_BR"


async def test_a_keyword_outlives_its_automation_without_holding_up_the_rest(program: Program) -> None:
    where = f"{program.base}/automations/settings"
    made = (await program.posts("/v1/automations", {"definition": GREETING, "publish": True}))["id"]
    words = [{"word": "#sales", "does": "start", "automation": made}]
    assert (await program.http.patch(where, json={"phone_keywords": words})).json()["phone_keywords"] == words
    await program.http.delete(f"/v1/automations/{made}")
    assert (await program.http.patch(where, json={"pause": 60})).json()["phone_keywords"] == words


async def test_connections_never_show_what_they_prove_themselves_with(program: Program, shop: Shop) -> None:
    new = {
        "kind": "http",
        "name": "Till",
        "url": "https://shop.example.com/api",
        "secret": "s3cret-1",
        "headers": {"X": "y"},
    }
    till = await program.posts("/v1/connections", new)
    assert (till["has_secret"], till["header_names"], till["secret"]) == (True, ["X"], None)
    bot = await program.posts("/v1/connections", {"kind": "bot", "name": "Helper", "url": "https://bot.example.com"})
    assert bot["secret"].startswith("whsec_")
    listed = await program.http.get("/v1/connections")
    assert [one["name"] for one in listed.json()["connections"]] == ["Helper", "Till"]
    assert "s3cret" not in listed.text
    assert "whsec_" not in listed.text
    sealed = await shop.value("SELECT secret FROM connections WHERE name = 'Till'")
    assert b"s3cret" not in sealed
    where = f"/v1/connections/{till['id']}"
    moved = (await program.http.patch(where, json={"url": "https://shop.example.com/v2"})).json()
    assert (moved["url"], moved["has_secret"]) == ("https://shop.example.com/v2", True)
    moved = (await program.http.patch(where, json={"url": "https://elsewhere.example.com"})).json()
    assert (moved["has_secret"], moved["header_names"]) == (False, []), "it isn't carried to another place"
    for wrong in (
        {"url": "http://shop.example.com"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://shop.example.com/{{vars.x}}"},
        {"name": "helper"},
        {"headers": {"Host": "x"}},
        {"headers": {"X": "a\r\nb"}},
        {"tool": {"description": ""}},
        {"tool": {"description": "x", "method": "HEAD"}},
        {"tool": {"description": "x", "parameters": {"A B": "?"}}},
        {"tool": {"what": 1}},
    ):
        error = refusal(await program.http.patch(where, json=wrong), 422)
        assert error["code"] == "connection.unusable", wrong
    error = refusal(
        await program.http.patch(f"/v1/connections/{bot['id']}", json={"url": "https://b.example.com"}), 422
    )
    assert "new signing secret" in error["message"]
    assert (await program.http.delete(where)).status_code == 204
    assert (await program.is_refused(404, "DELETE", where))["code"] == "connection.unknown"


async def test_what_agents_may_read(program: Program) -> None:
    reading = {"name": "House", "text": "# Hours\nFrom seven.", "language": "en"}
    source = (await program.http.put("/v1/knowledge", json=reading)).json()
    assert (source["language"], source["passages"], source["characters"]) == ("english", 1, 19)
    assert [one["name"] for one in (await program.gets("/v1/knowledge"))["knowledge"]] == ["House"]
    error = refusal(await program.http.put("/v1/knowledge", json={**reading, "text": " "}), 422)
    assert error["code"] == "knowledge.unusable"
    error = refusal(await program.http.put("/v1/knowledge", json={**reading, "language": "klingon"}), 422)
    assert "“klingon” can't be the language" in error["message"]
    assert (await program.http.delete(f"/v1/knowledge/{source['id']}")).status_code == 204
    assert (await program.gets("/v1/knowledge"))["knowledge"] == []


async def test_each_scope_opens_its_own_doors(program: Program, shop: Shop) -> None:
    await shop.customer(ANA)
    organisation = await shop.value("SELECT organisation_id FROM numbers")
    doors = {
        "automations:read": ("GET", "/v1/automations"),
        "automations:write": ("POST", "/v1/automations"),
        "automations:run": ("POST", f"{program.base}/chats/+{ANA}/floor/take"),
    }
    for scope in doors:
        program.http.headers["authorization"] = f"Bearer {await make_key(shop.app, organisation, [scope])}"
        for needed, (method, path) in doors.items():
            answer = await program.http.request(method, path, json={} if method == "POST" else None)
            assert (answer.status_code == 403) is (needed != scope), (scope, needed)


async def test_another_organisations_are_not_there(program: Program, shop: Shop) -> None:
    made = await running(program)
    till = await program.posts("/v1/connections", {"kind": "bot", "name": "Helper", "url": "https://bot.example.com"})
    source = (await program.http.put("/v1/knowledge", json={"name": "House", "text": "Seven."})).json()
    other = await shop.value("INSERT INTO organisations (name, created_at) VALUES ('Other', now()) RETURNING id")
    program.http.headers["authorization"] = f"Bearer {await make_key(shop.app, other)}"
    for name in ("automations", "connections", "knowledge"):
        assert (await program.gets(f"/v1/{name}"))[name] == []
    for method, path in (
        ("GET", f"/v1/automations/{made}"),
        ("POST", f"/v1/automations/{made}/publish"),
        ("POST", f"/v1/automations/{made}/disable"),
        ("DELETE", f"/v1/automations/{made}"),
        ("DELETE", f"/v1/connections/{till['id']}"),
        ("DELETE", f"/v1/knowledge/{source['id']}"),
        ("GET", f"{program.base}/runs"),
        ("GET", f"{program.base}/approvals"),
    ):
        await program.is_refused(404, method, path)
