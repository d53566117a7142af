"""The page on which an administrator looks after webhooks."""

import re
from typing import Any

import httpx
import pytest
from tests.fixtures import wire
from tests.fixtures.wire import RUA, T0
from tests.web.conftest import Browser, add_user
from tests.webhooks_out.conftest import Bakery

from twinline.web.app import build

pytestmark = pytest.mark.anyio
PAGE = "/account/webhooks"


@pytest.fixture
async def browser(bakery: Bakery) -> Any:
    await add_user(bakery.app, bakery.clock.now(), bakery.organisation_id, "ada@example.com", "owner")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(build(bakery.app)), base_url="http://twinline.test"
    ) as http:
        ada = Browser(http, bakery.app)
        await ada.log_in()
        yield ada


async def test_a_webhook_is_added_tested_stopped_and_turned_on_again(bakery: Bakery, browser: Browser) -> None:
    form = {"url": bakery.receiver.url, "type": "message.received", "which": "all", "description": "The <till>"}
    made = await browser.submit(PAGE, form)
    assert made.status_code == 201
    found = re.search(r'value="(whsec_[^"]+)"', made.text)
    assert found is not None
    bakery.secret, bakery.endpoint_id = found[1], 1
    assert "The &lt;till&gt;" in made.text
    one = f"{PAGE}/1"
    assert found[1] not in (await browser.get(one)).text
    assert (await browser.submit(f"{one}/test")).status_code == 303
    assert 'hx-trigger="every 3s"' in (await browser.get(one)).text
    await bakery.tends()
    page = (await browser.get(one)).text
    assert "webhook.test" in page
    assert "delivered" in page
    assert "every 3s" not in page
    assert bakery.receiver.got[0].signed_by(found[1])
    bakery.receiver.answers = [410]
    await bakery.hears(wire.inbound(RUA, wire.text("wamid.1", T0, "hello")))
    await bakery.tends()
    assert "This webhook has stopped" in (await browser.get(one)).text
    assert (await browser.submit(f"{one}/test")).status_code == 422
    assert (await browser.submit(f"{one}/on", {"catch_up": "1"})).status_code == 303
    await bakery.tends()
    assert bakery.receiver.types == ["webhook.test", "message.received", "message.received"]
    assert (await browser.submit(f"{one}/replay", {"hours": "24"})).status_code == 303
    assert (await browser.submit(f"{one}/replay", {"hours": "x"})).status_code == 422
    shown = (await browser.get(f"{one}/deliveries/2")).text
    assert "wamid.1" in shown
    assert (await browser.submit(f"{one}/deliveries/2/replay")).status_code == 303
    rotated = await browser.submit(f"{one}/rotate")
    assert "Its new secret" in rotated.text
    assert (await browser.submit(f"{one}/delete")).status_code == 303
    assert (await browser.get(one)).status_code == 404
    account = (await browser.get("/account")).text
    for says in ("added a webhook", "deleted a webhook", "stopped itself: a webhook"):
        assert says in account


async def test_what_is_wrong_is_said_and_the_form_keeps_what_was_given(bakery: Bakery, browser: Browser) -> None:
    form = {"url": "https://192.168.1.1/x", "type": "chat.updated", "which": "all", "description": "mine"}
    refused = await browser.submit(PAGE, form)
    assert refused.status_code == 422
    assert "TWINLINE_OUTSIDE_ALLOWED" in refused.text
    assert 'value="https://192.168.1.1/x"' in refused.text
    assert re.search(r'value="chat.updated" checked', refused.text)
    await bakery.listens("message.received")
    assert (await browser.submit(f"{PAGE}/{bakery.endpoint_id}", form)).status_code == 422
    form |= {"url": bakery.receiver.url, "which": "some", "number": str(bakery.number_id), "order_by": "chat"}
    assert (await browser.submit(f"{PAGE}/{bakery.endpoint_id}", form)).status_code == 303
    changed = await bakery.endpoint()
    assert (changed.types, changed.numbers, changed.order_by) == (["chat.updated"], [bakery.number_id], "chat")


async def test_agents_look_after_no_webhooks_and_nobody_after_those_of_others(bakery: Bakery, browser: Browser) -> None:
    await bakery.listens("message.received")
    now = bakery.clock.now()
    other = await add_user(bakery.app, now, None, "eve@example.com", "owner")
    await add_user(bakery.app, now, other, "bob@example.com", "agent")
    browser.http.cookies.clear()
    await browser.log_in("bob@example.com")
    one = f"{PAGE}/{bakery.endpoint_id}"
    assert [(await browser.get(path)).status_code for path in (PAGE, one)] == [403, 403]
    assert (await browser.submit(PAGE, {"url": bakery.receiver.url, "type": "chat.updated"})).status_code == 403
    browser.http.cookies.clear()
    await browser.log_in("eve@example.com")
    assert (await browser.get(one)).status_code == 404
    for step in ("", "/test", "/on", "/off", "/rotate", "/delete", "/deliveries/1/replay"):
        form = {"url": bakery.receiver.url, "type": "chat.updated", "which": "all"}
        assert (await browser.submit(one + step, form)).status_code == 404
    assert (await bakery.endpoint()).state == "on"
