"""Webhooks over HTTP: a program sets up its own, sees what was delivered, and has it delivered once more."""

from typing import Any

import httpx
import pytest
from tests.api.conftest import make_key, refusal
from tests.fixtures import wire
from tests.fixtures.wire import RUA, T0
from tests.webhooks_out.conftest import Bakery

from twinline.web.app import build

pytestmark = pytest.mark.anyio


@pytest.fixture
async def http(bakery: Bakery) -> Any:
    token = await make_key(bakery.app, bakery.organisation_id)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build(bakery.app)),
        base_url="http://twinline.test/v1",
        headers={"authorization": f"Bearer {token}"},
    ) as http:
        yield http


async def test_a_program_sets_up_its_webhook_and_follows_what_was_delivered(
    bakery: Bakery, http: httpx.AsyncClient
) -> None:
    made = await http.post("/webhooks", json={"url": bakery.receiver.url, "types": ["message.received"]})
    assert made.status_code == 201, made.text
    hook, bakery.secret = f"/webhooks/{made.json()['id']}", made.json()["secret"]
    bakery.endpoint_id = made.json()["id"]
    assert "secret" not in (await http.get(hook)).json()
    bakery.receiver.answers = [500]
    await bakery.hears(wire.inbound(RUA, wire.text("wamid.1", T0, "hello")))
    await bakery.tends()
    listed = (await http.get(f"{hook}/deliveries", params={"state": "waiting"})).json()["deliveries"]
    assert [(one["code"], one["tries"], one["answer"]) for one in listed] == [(500, 1, "ok")]
    assert (await http.get(hook)).json()["failing_since"] is not None
    again = await http.post(f"{hook}/deliveries/{listed[0]['id']}/replay")
    assert again.json()["next_at"] == "2026-11-20T12:00:00Z"
    await bakery.tends()
    one = (await http.get(f"{hook}/deliveries/{listed[0]['id']}")).json()
    assert (one["state"], one["body"]) == ("delivered", bakery.receiver.got[1].body.decode())
    assert one["webhook_id"] == bakery.receiver.got[1].key
    count = await http.post(f"{hook}/replay", json={"since": "2026-11-20T00:00:00+01:00"})
    assert count.json() == {"count": 1}
    tested = await http.post(f"{hook}/test")
    assert (tested.status_code, tested.json()["type"]) == (202, "webhook.test")
    new = (await http.post(f"{hook}/rotate")).json()["secret"]
    await bakery.tends()
    assert bakery.receiver.types[-2:] == ["message.received", "webhook.test"]
    assert bakery.receiver.got[-1].signed_by(new)
    changed = await http.patch(hook, json={"types": ["message.sent"], "numbers": [bakery.number_id]})
    assert (changed.json()["types"], changed.json()["numbers"]) == (["message.sent"], [bakery.number_id])
    assert (await http.post(f"{hook}/off")).json()["state"] == "off"
    assert (await http.post(f"{hook}/on", json={"catch_up": False})).json()["state"] == "on"
    assert (await http.delete(hook)).status_code == 204
    assert (await http.get("/webhooks")).json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"url": "http://127.0.0.1:1/"}, 422),
        ({"url": "https://10.0.0.1/"}, 422),
        ({"numbers": [999]}, 422),
        ({"numbers": []}, 422),
        ({"types": ["message.whatever"]}, 400),
        ({"types": []}, 400),
    ],
)
async def test_what_cannot_be_is_refused_with_what_to_do(
    bakery: Bakery, http: httpx.AsyncClient, change: dict[str, Any], status: int
) -> None:
    asked = {"url": bakery.receiver.url, "types": ["message.received"], **change}
    refusal(await http.post("/webhooks", json=asked), status)


async def test_keys_open_only_what_their_scopes_say_and_nobody_elses(bakery: Bakery, http: httpx.AsyncClient) -> None:
    await bakery.listens("message.received")
    hook = f"/webhooks/{bakery.endpoint_id}"
    reader = await make_key(bakery.app, bakery.organisation_id, ["webhooks:read"])
    may_read = {"authorization": f"Bearer {reader}"}
    assert (await http.get(hook, headers=may_read)).status_code == 200
    assert refusal(await http.post(f"{hook}/test", headers=may_read), 403)["code"] == "key.scope"
    async with bakery.app.db.transaction() as tx:
        other = await tx.value("INSERT INTO organisations (name, created_at) VALUES ('x', now()) RETURNING id")
    stranger = {"authorization": f"Bearer {await make_key(bakery.app, other)}"}
    for method, path in (("GET", hook), ("DELETE", hook), ("POST", f"{hook}/rotate"), ("GET", f"{hook}/deliveries")):
        assert refusal(await http.request(method, path, headers=stranger), 404)["code"] == "webhook.unknown"
    refusal(await http.get(f"{hook}/deliveries/1", headers=stranger), 404)
