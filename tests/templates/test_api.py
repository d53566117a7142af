"""Templates over /v1: the same rules, answered to programs."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.conftest import Program, make_key, refusal
from tests.templates.conftest import Shop, spec

from twinline.web.app import build

pytestmark = pytest.mark.anyio


@pytest.fixture
async def program(shop: Shop) -> AsyncIterator[Program]:
    token = await make_key(shop.app, shop.organisation_id)
    headers = {"authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(build(shop.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://twinline.test", headers=headers) as http:
        yield Program(http, shop)  # type: ignore[arg-type]


async def test_a_template_is_made_filled_in_sent_and_deleted(shop: Shop, program: Program) -> None:
    base = f"{program.base}/templates"
    made = await program.posts(base, spec())
    assert (made["status"], made["may_be_sent"]) == ("PENDING", False)
    assert [slot["key"] for slot in made["slots"]] == ["body.1", "body.2"]
    await shop.step(made["id"], "approve")
    [listed] = (await program.gets(base, status="approved"))["templates"]
    assert listed["id"] == made["id"]
    filled = await program.posts(f"{base}/{made['id']}/fill", {"values": {"body.1": "Ann", "body.9": "x"}})
    assert (filled["missing"], filled["surplus"]) == (["body.2"], ["body.9"])

    message = {"to": "+14155550171", "type": "template", "template": {"name": "bike_ready", "language": "en_US"}}
    error = await program.is_refused(422, "POST", f"{program.base}/messages", message)
    assert error["code"] == "template.missing"
    assert "{{1}} in the text" in error["message"]
    assert "{{2}} in the text" in error["message"]
    message["template"] |= {"values": {"body.1": "Ann", "body.2": "Friday"}}  # type: ignore[operator]
    sent = await program.posts(f"{program.base}/messages", message)
    assert sent["text"].startswith("Dear Ann, your bike is mended")

    answer = await program.http.delete(f"{base}/{made['id']}")
    assert answer.json() == {"count": 1}
    refusal(await program.http.get(f"{base}/{made['id']}"), 404)


async def test_every_broken_rule_is_named_with_its_field(shop: Shop, program: Program) -> None:
    bad = spec("Bike Ready", {"type": "BODY", "text": "{{1}} is ready"})
    found = await program.posts(f"{program.base}/templates/check", bad)
    assert {problem["field"] for problem in found["problems"]} == {"name", "body", "example.body.1"}
    error = await program.is_refused(422, "POST", f"{program.base}/templates", bad)
    assert {detail["field"] for detail in error["details"]} == {"name", "body", "example.body.1"}


async def test_a_template_made_elsewhere_can_be_sent_at_once(shop: Shop, program: Program) -> None:
    await shop.control("templates", waba=shop.waba_id, approved=True, **spec("made_elsewhere"))
    await shop.rows("DELETE FROM templates RETURNING id")
    values = {"body.1": "Ann", "body.2": "Friday"}
    template = {"name": "made_elsewhere", "language": "en-US", "values": values}
    sent = await program.posts(
        f"{program.base}/messages", {"to": "+14155550171", "type": "template", "template": template}
    )
    assert sent["text"].startswith("Dear Ann")
