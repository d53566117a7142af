"""What the chat offers for messages that didn't simply go out, and why nothing can be sent."""

from typing import Any

import httpx
import pytest
from markupsafe import escape

from twinline.mirror import turn
from twinline.numbers.words import TONES
from twinline.rules import lifecycle
from twinline.sending import stops

pytestmark = pytest.mark.anyio

WRITE = """
INSERT INTO outbox (number_id, contact_id, lane, author, floor_epoch, created_at, type, text, state, error_code,
                    error_text)
VALUES (%s, %s, 0, 'person', 0, %s, 'text', %s, %s, %s, %s) RETURNING id
"""


@pytest.fixture
async def ana(shop: Any) -> int:
    contact = int(await shop.contact("34600111222", profile_name="Ana Whitfield"))
    await shop.say(contact, "Is it ready?", ago=60, live=True)
    return contact


async def outbox(shop: Any, contact: int, state: str, code: int | None = None, why: str | None = None) -> int:
    async with shop.app.db.transaction() as tx:
        params = (shop.number_id, contact, shop.now, f"Hello {state}", state, code, why)
        return int(await tx.value(WRITE, params))


def chat(shop: Any, contact: int, more: str = "") -> str:
    return f"/inbox/{shop.number_id}/{contact}{more}"


async def state(shop: Any, outbox_id: int) -> str:
    async with shop.app.db.transaction() as tx:
        return str(await tx.value("SELECT state FROM outbox WHERE id = %s", (outbox_id,)))


async def test_each_message_offers_what_makes_sense_for_it(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    held = await outbox(shop, ana, "held", 131042, "Meta has a problem with the payment method, or there is none.")
    doubt = await outbox(shop, ana, "in_doubt")
    capped = await outbox(shop, ana, "failed", 131049)
    failed = await outbox(shop, ana, "failed", 131026)
    page = (await browser.get(chat(shop, ana))).text
    assert "Held: Meta has a problem with the payment method" in page
    assert f"/outbox/{held}/cancel" in page
    assert f"/outbox/{doubt}/arrived" in page
    assert f"/outbox/{doubt}/surely" in page
    assert "reads it twice" in page
    assert f"/outbox/{failed}/again" in page
    assert f"/outbox/{capped}/" not in page, "sending that again could block the person"


async def test_buttons_do_what_they_say_and_explain_what_they_cannot(
    shop: Any, ana: int, browser: httpx.AsyncClient
) -> None:
    held, doubt = await outbox(shop, ana, "held", 131042), await outbox(shop, ana, "unknown")
    assert (await browser.post(chat(shop, ana, f"/outbox/{held}/cancel"))).status_code == 200
    assert await state(shop, held) == "cancelled"
    late = await browser.post(chat(shop, ana, f"/outbox/{held}/cancel"))
    assert (late.status_code, "moved on" in late.text) == (409, True)
    unsure = await browser.post(chat(shop, ana, f"/outbox/{doubt}/again"))
    assert (unsure.status_code, "Look on the phone first" in unsure.text) == (409, True)
    assert (await browser.post(chat(shop, ana, f"/outbox/{doubt}/arrived"))).status_code == 200
    assert await state(shop, doubt) == "sent"
    assert "Hello unknown" in (await browser.get(chat(shop, ana))).text
    assert (await browser.post(chat(shop, ana, f"/outbox/{doubt}/explode"))).status_code == 404


async def test_nobody_decides_about_anothers_messages(
    shop: Any, ana: int, another_shop: Any, browser: httpx.AsyncClient
) -> None:
    other = await another_shop("Somebody else")
    theirs = await other.contact("34699999999")
    held = await outbox(other, theirs, "held")
    for address in (f"/inbox/{other.number_id}/{theirs}", chat(shop, theirs), chat(shop, ana)):
        answer = await browser.post(f"{address}/outbox/{held}/cancel")
        assert answer.status_code in (404, 409)
    assert await state(other, held) == "held"


async def test_the_composer_says_why_a_number_cannot_send(shop: Any, ana: int, browser: httpx.AsyncClient) -> None:
    async with shop.app.db.transaction() as tx:
        await turn.take(tx, [shop.number_id])
        await stops.stop(tx, shop.number_id, 131042, shop.now)
    page = (await browser.get(chat(shop, ana))).text
    assert "See what stands still" in page
    assert f"/numbers/{shop.number_id}#still" in page
    refused = await browser.post(chat(shop, ana, "/messages"), data={"text": "Yes!", "key": "abcdefgh"})
    assert refused.status_code == 409
    assert "Add or mend the payment method" in refused.text
    async with shop.app.db.transaction() as tx:
        await tx.execute("DELETE FROM stops")
    assert "See what stands still" not in (await browser.get(chat(shop, ana, "/state"))).text


@pytest.mark.parametrize(("state", "reason"), [("disconnected", None), ("offboarded", "ACCOUNT_OFFBOARDED")])
async def test_a_lost_connection_is_told_once_and_isnt_called_a_closed_window(
    shop: Any, ana: int, browser: httpx.AsyncClient, state: str, reason: str | None
) -> None:
    assert "Open" in (await browser.get(chat(shop, ana, "/panel"))).text
    lost = "UPDATE numbers SET state = %s, state_reason = %s, state_since = %s"
    await shop.execute(lost, (state, reason, shop.now))
    told = escape(lifecycle.explain(reason).says)
    for address in (chat(shop, ana), chat(shop, ana, "/state")):
        assert (await browser.get(address)).text.count(told) == 1
    panel = (await browser.get(chat(shop, ana, "/panel"))).text
    assert TONES[lifecycle.Connection(state)][1] in panel, "the number's own page says it in the same word"
    assert "nothing can be sent from here" in panel
    assert "Closed" not in panel, "the customer wrote a moment ago"
