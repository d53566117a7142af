"""Campaigns over /v1: brought, planned, run, told of; and refused in one shape."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import openpyxl
import pytest
from tests.api.conftest import Program, make_key, refusal
from tests.campaigns.bakery import Bakery, bakery, clock, meta

from twinline.accounts import service as accounts
from twinline.automations import service as automations
from twinline.campaigns import following, planning, service
from twinline.db import as_json
from twinline.web.app import build

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(40)
SHEET = f"name;phone\nAna;+{ANA}\nBea;910 000 002\nNobody;12\nAna again;00{ANA}\n"


@pytest.fixture
async def program(bakery: Bakery) -> AsyncIterator[Program]:
    token = await make_key(bakery.app, bakery.organisation_id)
    headers = {"authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(build(bakery.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://twinline.test", headers=headers) as http:
        yield Program(http, bakery.shop)


def spring(*people: str, **more: Any) -> dict[str, Any]:
    sources = [{"people": [{"to": f"+{phone}"} for phone in people]}] if people else [{"conditions": []}]
    variants = [{"template": "spring", "languages": ["en"]}]
    return {"name": "Spring", "variants": variants, "audience": {"sources": sources}, **more}


async def made(program: Program, *people: str, **more: Any) -> str:
    """A campaign, planned; its address."""
    one = await program.posts(f"{program.base}/campaigns", spring(*people, **more))
    where = f"{program.base}/campaigns/{one['id']}"
    assert (await program.posts(f"{where}/plan"))["state"] == "planning"
    await planning.plan(program.shop.app, 1, one["id"])
    return where


async def test_a_campaign_from_a_file_to_its_results(bakery: Bakery, program: Program) -> None:
    answer = await program.http.post(f"{program.base}/lists", files={"file": ("people.csv", SHEET.encode())})
    listed = answer.json()
    assert (answer.status_code, listed["people"], listed["duplicates"], listed["bad"]) == (201, 3, 1, 1)
    assert (listed["phone"], listed["columns"], listed["country"]) == ("phone", ["name", "phone"], "PT")
    assert listed["bad_lines"][0]["line"] == 4
    bad = await program.http.get(f"{program.base}/lists/{listed['file']}/bad.csv")
    assert "Nobody;12;4;" in bad.text

    asked = {**spring(), "audience": {"sources": [{"file": listed["file"]}]}}
    one = await program.posts(f"{program.base}/campaigns", asked)
    assert (one["state"], "plan" in one["may"]) == ("draft", True)
    where = f"{program.base}/campaigns/{one['id']}"
    assert (await program.gets(f"{where}/plan"))["plan"] is None
    await program.posts(f"{where}/plan")
    await planning.plan(bakery.app, bakery.organisation_id, one["id"])
    dry = await program.gets(f"{where}/plan")
    assert (dry["state"], dry["plan"]["people"], dry["plan"]["sendable"]) == ("planned", 4, 2)
    assert {group["reason"]: group["people"] for group in dry["plan"]["groups"]} == {"invalid": 1, "duplicate": 1}

    assert (await program.posts(f"{where}/start"))["state"] == "running"
    await bakery.goes_on()
    assert sorted(bakery.reached) == [ANA, BEA]
    await bakery.status(ANA, "read")
    await bakery.look()
    told = await program.gets(f"{where}/results")
    counts = {name: told[name] for name in ("people", "sent", "delivered", "read", "skipped", "waiting")}
    assert counts == {"people": 2, "sent": 2, "delivered": 1, "read": 1, "skipped": 2, "waiting": 0}
    assert {cause["reason"] for cause in told["left_out"]} == {"invalid", "duplicate"}
    assert (await program.gets(where))["state"] == "finished"
    assert [one["sent"] for one in (await program.gets(f"{program.base}/campaigns", group="over"))["campaigns"]] == [2]


async def test_a_file_that_was_uploaded_heads_the_message_of_everybody(bakery: Bakery, program: Program) -> None:
    parts = [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Spring is here."}]
    await bakery.shop.execute("UPDATE templates SET components = %s::jsonb", (as_json(parts),))
    cake = {"file": ("cake.png", PICTURE)}
    uploaded = (await program.http.post(f"{program.base}/media", files=cake)).json()
    headed = [{"template": "spring", "languages": ["en"], "values": {"header.image": {"media": uploaded["media"]}}}]
    where = await made(program, ANA, BEA, variants=headed)
    await program.posts(f"{where}/start")
    await bakery.goes_on()
    heads = [message["template"]["components"][0]["parameters"][0]["image"] for message in bakery.meta.messages]
    assert len(heads) == 2
    assert heads[0] == heads[1] != {}

    gone = [{**headed[0], "values": {"header.image": {"media": "m_elsewhere"}}}]
    one = await program.posts(f"{program.base}/campaigns", spring(ANA, variants=gone))
    await program.posts(f"{program.base}/campaigns/{one['id']}/plan")
    await planning.plan(bakery.app, bakery.organisation_id, one["id"])
    assert "no uploaded file" in (await program.gets(f"{program.base}/campaigns/{one['id']}"))["says"]


async def test_answers_are_routed_to_the_team_and_nobody_elses(bakery: Bakery, program: Program) -> None:
    async with bakery.app.db.transaction() as tx:
        eve = await accounts.create_user(
            tx, bakery.organisation_id, "eve@example.com", "Eve", "agent", "correct horse", bakery.clock.now()
        )
    where = await made(program, ANA, routing={"tag": "spring", "assign_to": eve})
    await program.posts(f"{where}/start")
    answer = await program.http.put(f"{where}/routing", json={"tag": "answered", "assign_to": eve})
    assert (answer.json()["state"], answer.json()["routing"]) == ("running", {"tag": "answered", "assign_to": eve})
    async with bakery.app.db.transaction() as tx:
        greets = await automations.create(tx, bakery.organisation_id, {"name": "Greets"}, None, bakery.clock.now())
    answer = await program.http.put(f"{where}/routing", json={"automation": greets})
    assert answer.json()["routing"] == {"automation": greets}
    await bakery.goes_on()
    await bakery.answers(ANA, "Yes, please")
    async with bakery.app.db.transaction() as tx:
        wamids = [row[0] for row in await tx.rows("SELECT wamid FROM messages WHERE NOT outgoing", ())]
        by_contact, talks = await following.answered(tx, bakery.shop.number_id, wamids)
    assert list(by_contact.values()) == list(talks) == [int(where.rpartition("/")[2])]
    assert list(talks.values()) == [str(greets)]
    for wrong in ({"assign_to": 99999}, {"automation": 99999}, {"tag": "a,b"}):
        assert (await program.is_refused(422, "PUT", f"{where}/routing", wrong))["code"] == "campaign.routing"
        asked = spring(ANA, routing=wrong)
        error = await program.is_refused(422, "POST", f"{program.base}/campaigns", asked)
        assert error["code"] == "campaign.routing"


async def test_the_same_key_makes_one_campaign(program: Program) -> None:
    first, again = [
        await program.posts(f"{program.base}/campaigns", spring(ANA), **{"Idempotency-Key": "spring-2027"})
        for _ in range(2)
    ]
    assert first == again
    path, other = f"{program.base}/campaigns", spring(BEA)
    error = await program.is_refused(409, "POST", path, other, **{"Idempotency-Key": "spring-2027"})
    assert error["code"] == "idempotency.reused"
    assert len((await program.gets(path))["campaigns"]) == 1


async def test_steps_may_be_repeated_but_not_out_of_turn(bakery: Bakery, program: Program) -> None:
    one = await program.posts(f"{program.base}/campaigns", spring(ANA))
    where = f"{program.base}/campaigns/{one['id']}"
    error = await program.is_refused(409, "POST", f"{where}/start")
    assert (error["code"], "planned yet" in error["message"]) == ("campaign.draft", True)
    where = await made(program, ANA, BEA, speed=0.5)
    for step, state in (
        ("start", "running"), ("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("resume", "running"),
        ("cancel", "cancelled"), ("cancel", "cancelled"),
    ):  # fmt: skip
        assert (await program.posts(f"{where}/{step}"))["state"] == state
    assert (await program.is_refused(409, "POST", f"{where}/start"))["code"] == "campaign.cancelled"
    assert (await program.is_refused(409, "PATCH", where, {"name": "x"}))["code"] == "campaign.cancelled"


async def test_a_repeated_start_never_overtakes_the_schedule(bakery: Bakery, program: Program) -> None:
    at = f"{bakery.clock.now() + timedelta(days=1):%Y-%m-%dT%H:%M}"
    where = await made(program, ANA, schedule={"at": at, "zone": "Europe/Lisbon"})
    for _ in range(2):
        waits = await program.posts(f"{where}/start")
        assert (waits["state"], waits["starts_at"][:10]) == ("scheduled", at[:10])
    later = {"at": at[:11] + "23:30", "zone": "UTC"}
    assert "23:30" in (await program.posts(f"{where}/schedule", later))["starts_at"]
    assert (await program.posts(f"{where}/unschedule"))["state"] == "planned"
    assert (await program.posts(f"{where}/start", {"now": True}))["state"] == "running"


async def test_a_changed_campaign_is_a_draft_again(program: Program) -> None:
    where = await made(program, ANA)
    changed = await program.http.patch(where, json={"name": "Late spring", "limits": {"failed": 0.2}, "speed": 3})
    told = changed.json()
    assert (told["state"], told["name"], told["limits"]["failed"], told["speed"]) == ("draft", "Late spring", 0.2, 3)
    assert told["limits"]["blocked"] == service.defaults()["blocked"]
    assert (await program.gets(f"{where}/plan"))["plan"] is None
    assert (await program.http.patch(where, json={"speed": None})).json()["speed"] is None
    for wrong, code in (
        ({"limits": {"fialed": 0.2}}, "campaign.limits"),
        ({"speed": 100}, "campaign.speed"),
        ({"schedule": {"at": "tomorrow"}}, "campaign.schedule"),
        ({"schedule": {"zone": "Mars/Olympus"}}, "campaign.schedule"),
        ({"audience": {"sources": [{"conditions": [{"is": "rich"}]}]}}, "audience.conditions"),
    ):
        assert (await program.is_refused(422, "PATCH", where, wrong))["code"] == code


async def test_what_cannot_be_planned_says_why(bakery: Bakery, program: Program) -> None:
    wrong = spring(ANA) | {"variants": [{"template": "autumn", "languages": ["en"]}]}
    one = await program.posts(f"{program.base}/campaigns", wrong)
    where = f"{program.base}/campaigns/{one['id']}"
    await program.posts(f"{where}/plan")
    await planning.plan(bakery.app, bakery.organisation_id, one["id"])
    dry = await program.gets(f"{where}/plan")
    assert (dry["state"], dry["plan"], "autumn" in dry["says"]) == ("draft", None, True)
    empty = await program.posts(f"{program.base}/campaigns", {"name": "Nothing"})
    error = await program.is_refused(422, "POST", f"{program.base}/campaigns/{empty['id']}/plan")
    assert error["code"] == "campaign.empty"


async def test_a_few_get_it_first_and_not_again(bakery: Bakery, program: Program) -> None:
    where = await made(program, ANA, BEA, CARL)
    people = (await program.gets(f"{where}/recipients"))["recipients"]
    first = {"people": [f"+{CARL}", people[0]["id"]]}
    assert (await program.posts(f"{where}/first", first))["queued"] == 2
    error = await program.is_refused(404, "POST", f"{where}/first", {"people": ["+351919999999"]})
    assert error["code"] == "recipient.unknown"
    await bakery.goes_on()
    assert sorted(bakery.reached) == [ANA, CARL]
    await program.posts(f"{where}/start")
    await bakery.goes_on()
    assert sorted(bakery.reached) == [ANA, BEA, CARL]


async def test_people_are_listed_page_by_page_and_downloaded(bakery: Bakery, program: Program, tmp_path: Any) -> None:
    where = await made(program, ANA, BEA, CARL, "351910000001")
    seen, cursor = [], None
    while True:
        page = await program.gets(f"{where}/recipients", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [one["phone"] for one in page["recipients"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == [ANA, BEA, CARL, ANA]
    [left_out] = (await program.gets(f"{where}/recipients", state="skipped"))["recipients"]
    assert (left_out["reason"], left_out["says"][-1]) == ("duplicate", ".")
    sheet = await program.http.get(f"{where}/recipients.csv")
    assert sheet.headers["content-type"].startswith("text/csv")
    assert len(sheet.text.strip().splitlines()) == 5
    book = await program.http.get(f"{where}/recipients.xlsx", params={"state": "skipped"})
    (tmp_path / "people.xlsx").write_bytes(book.content)
    rows = list(openpyxl.load_workbook(tmp_path / "people.xlsx").active.values)
    assert [row[5] for row in rows] == ["reason", "duplicate"]


async def test_conversions_are_told_once_and_priced(bakery: Bakery, program: Program) -> None:
    where = await made(program, ANA, BEA)
    order = {"who": f"+{ANA}", "key": "order-1", "what": "order", "value": 19.9, "currency": "EUR"}
    error = await program.is_refused(422, "POST", f"{where}/conversions", order)
    assert error["code"] == "conversion.not_sent"
    await program.posts(f"{where}/start")
    await bakery.goes_on()
    for phone in (ANA, BEA):
        await bakery.status(phone, "delivered")
    await bakery.look()
    await bakery.shop.execute("UPDATE recipients SET cost = 0.05")
    assert [(await program.posts(f"{where}/conversions", order))["new"] for _ in range(2)] == [True, False]
    [ana, bea] = (await program.gets(f"{where}/recipients"))["recipients"]
    seen = await program.gets(f"{where}/recipients/{ana['id']}")
    assert (seen["text"], [one["key"] for one in seen["conversions"]]) == ("Spring is here.", ["order-1"])
    assert {name: seen[name] for name in ana} == ana
    assert (await program.gets(f"{where}/recipients/{bea['id']}"))["conversions"] == []
    assert (await program.is_refused(404, "GET", f"{where}/recipients/999"))["code"] == "recipient.unknown"
    told = await program.gets(f"{where}/results")
    assert (told["converted"], told["value"], told["spent"]) == (1, {"EUR": "19.9"}, "0.10")
    assert {name: float(cost) for name, cost in told["cost_per"].items() if cost} == {
        "delivered": 0.05,
        "converted": 0.1,
    }
    assert told["cost_per"]["replied"] is None
    for wrong in ({**order, "currency": None}, {**order, "value": -1}, {**order, "at": "yesterday"}):
        assert (await program.is_refused(400, "POST", f"{where}/conversions", wrong))["code"] == "request.invalid"
    late = {**order, "key": "b", "at": "2020-01-01T00:00:00Z"}
    assert (await program.is_refused(422, "POST", f"{where}/conversions", late))["code"] == "conversion.before"


async def test_campaigns_of_others_are_not_there(bakery: Bakery, program: Program) -> None:
    where = await made(program, ANA)
    await program.is_refused(404, "GET", f"{program.base}/campaigns/999")
    florist = await bakery.shop.value(
        "INSERT INTO organisations (name, created_at) VALUES ('Florist', %s) RETURNING id", (bakery.clock.now(),)
    )
    program.http.headers["authorization"] = f"Bearer {await make_key(bakery.app, florist)}"
    for path in (where, f"{where}/plan", f"{where}/recipients", f"{where}/results", f"{where}/recipients.csv"):
        assert (await program.is_refused(404, "GET", path))["code"] == "number.unknown"
    program.http.headers["authorization"] = (
        f"Bearer {await make_key(bakery.app, bakery.organisation_id, ['campaigns:read'])}"
    )
    assert (await program.http.get(where)).is_success
    refusal(await program.http.post(f"{where}/start"), 403)


@pytest.mark.parametrize(
    "wrong",
    [
        {"variants": [{"template": "spring", "languages": []}]},
        {"variants": [{"template": "spring", "languages": ["en"], "values": {"body.1": {"text": "a", "column": "b"}}}]},
        {"audience": {"sources": []}},
        {"audience": {"sources": [{"file": "x", "segment": 3}]}},
        {"audience": {"sources": [{"people": []}]}},
        {"name": ""},
        {"speed": "fast"},
        {"colour": "red"},
    ],
)
async def test_what_cannot_be_read_is_named(program: Program, wrong: dict[str, Any]) -> None:
    error = await program.is_refused(400, "POST", f"{program.base}/campaigns", spring(ANA) | wrong)
    assert error["code"] == "request.invalid"
    assert error["details"]
