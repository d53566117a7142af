"""Contacts over /v1."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.conftest import Program, make_key, refusal
from tests.contacts.conftest import ANA, BEA, Shop

from twinline.rules.consent import Why
from twinline.web.app import build

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build(shop.app)), base_url="http://twinline.test"
    ) as http:
        yield http


@pytest.fixture
async def program(shop: Shop, http: httpx.AsyncClient) -> Program:
    http.headers["authorization"] = f"Bearer {await make_key(shop.app, await shop.organisation)}"
    return Program(http, shop)


async def test_a_contact_is_made_changed_tagged_and_found(shop: Shop, program: Program) -> None:
    people = f"{program.base}/contacts"
    await program.posts("/v1/fields", {"label": "Customer number", "kind": "number"})
    about = {"name": "Ana", "language": "pt-br", "fields": {"customer_number": "12"}, "add_tags": ["vip"]}
    for _ in range(2):
        made = (await program.http.put(f"{people}/+{ANA}", json=about)).json()
        assert (made["name"], made["language"], made["tags"]) == ("Ana", "pt_BR", ["vip"])
        assert made["fields"] == {"customer_number": "12"}
        assert made["marketing"]["why"] == "nothing_said"
    changed = (
        await program.http.put(f"{people}/contact:{made['id']}", json={"fields": {"customer_number": None}})
    ).json()
    assert (changed["name"], changed["fields"]) == ("Ana", {})
    bea = (await program.http.put(f"{people}/+{BEA}", json={})).json()
    assert (await program.posts(f"{people}/tags", {"contacts": [made["id"], bea["id"], 999], "add": ["fair"]})) == {
        "count": 2
    }
    assert [one["id"] for one in (await program.gets(people, tag="vip"))["contacts"]] == [made["id"]]
    kept = await program.posts("/v1/segments", {"name": "Silent", "conditions": [{"is": "silent", "days": 3}]})
    page = await program.gets(people, segment=kept["id"], limit=1)
    assert (page["count"], [one["id"] for one in page["contacts"]], page["next"]) == (2, [bea["id"]], bea["id"])
    page = await program.gets(people, segment=kept["id"], limit=1, cursor=page["next"])
    assert ([one["id"] for one in page["contacts"]], page["next"]) == ([made["id"]], None)
    assert [one["id"] for one in (await program.gets(people, q="+351 910 000 002"))["contacts"]] == [bea["id"]]
    assert {tag["name"]: tag["contacts"] for tag in (await program.gets("/v1/tags"))["tags"]} == {"fair": 2, "vip": 1}
    assert {"tag", "wrote", "country"} <= {one["name"] for one in (await program.gets("/v1/conditions"))["conditions"]}
    assert (await program.http.delete(f"/v1/segments/{kept['id']}")).status_code == 204
    await program.is_refused(404, "DELETE", f"/v1/segments/{kept['id']}")
    await program.is_refused(404, "GET", f"{people}?segment={kept['id']}")


async def test_what_somebody_said_is_recorded_and_shown(shop: Shop, program: Program) -> None:
    ana = await shop.customer(ANA)
    where = f"{program.base}/contacts/+{ANA}/consent"
    await program.posts("/v1/topics", {"title": "News"})
    assert (await program.gets("/v1/topics"))["topics"] == [{"key": "news", "title": "News", "needs_opt_in": True}]
    said = {"granted": True, "topic": "news", "at": "2026-11-01T09:00:00+01:00", "proof": "web form 12"}
    told = await program.posts(where, said)
    assert told == await program.posts(where, said)
    assert told["topics"]["news"] == {
        "allowed": True, "why": "opted_in", "says": "They asked for it.", "since": "2026-11-01T08:00:00Z",
    }  # fmt: skip
    await shop.writes(ANA, "STOP")
    told = await program.gets(where)
    assert (told["marketing"]["allowed"], told["marketing"]["why"]) == (False, "opted_out")
    assert [(word["source"], word["detail"]) for word in told["said"]] == [("keyword", "STOP"), ("api", "web form 12")]
    assert (await shop.may(ana)).why is Why.OPTED_OUT
    for wrong in ({"granted": True, "topic": "x"}, {"granted": True, "at": "2031-01-01T00:00:00Z"}):
        await program.is_refused(404 if "topic" in wrong else 422, "POST", where, wrong)
    await program.is_refused(400, "POST", where, {"granted": True, "at": "2026-11-01T09:00:00"})


async def test_the_suppression_list_is_kept_by_programs_too(shop: Shop, program: Program) -> None:
    people = [{"address": "+34 600 111 222", "why": "by letter"}, {"address": "PT.1000000001"}]
    assert await program.posts("/v1/suppressions", {"people": people}) == {"count": 2}
    assert await program.posts("/v1/suppressions", {"people": people}) == {"count": 0}
    page = await program.gets("/v1/suppressions", limit=1)
    assert ([one["address"] for one in page["people"]], page["count"]) == (["+34600111222"], 2)
    page = await program.gets("/v1/suppressions", limit=1, cursor=page["next"])
    assert [one["address"] for one in page["people"]] == ["PT.1000000001"]
    answer = await program.http.delete("/v1/suppressions/+34600111222")
    assert answer.json() == {"count": 1}
    told = await program.is_refused(422, "POST", "/v1/suppressions", {"people": [*people, {"address": "12"}]})
    assert told["details"][0]["field"] == "people.2.address"
    assert (await program.gets("/v1/suppressions"))["count"] == 1


async def test_a_key_needs_the_scope(shop: Shop, http: httpx.AsyncClient) -> None:
    await shop.customer(ANA)
    people = f"/v1/numbers/{shop.number_id}/contacts"
    http.headers["authorization"] = f"Bearer {await make_key(shop.app, await shop.organisation, ['contacts:read'])}"
    assert (await http.get(people)).is_success
    for method, path, body in (
        ("PUT", f"{people}/+{ANA}", {}),
        ("POST", f"{people}/+{ANA}/consent", {"granted": True}),
        ("POST", "/v1/suppressions", {"people": []}),
        ("DELETE", f"/v1/suppressions/+{ANA}", None),
    ):
        assert refusal(await http.request(method, path, json=body), 403)["code"] == "key.scope"


async def test_what_cant_be_is_refused_with_what_to_do(shop: Shop, program: Program) -> None:
    people = f"{program.base}/contacts"
    await program.is_refused(404, "GET", f"{people}/+{ANA}")
    await program.is_refused(404, "GET", f"{people}/contact:99")
    for path, body in (
        (f"{people}/nobody", {}),
        (f"{people}/+{ANA}", {"fields": {"shoe": "43"}}),
        (f"{people}/+{ANA}", {"language": "the best"}),
        (f"{people}/+{ANA}", {"add_tags": ["a,b"]}),
    ):
        await program.is_refused(404 if "fields" in body else 422, "PUT", path, body)
    assert await shop.value("SELECT count(*) FROM contacts") == 0
