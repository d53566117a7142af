"""What a message would cost, by the rules of its day, and how its statuses tell it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from whatsapp_simulator.clock import Clock
from whatsapp_simulator.pricing import zone

pytestmark = pytest.mark.anyio
LAST_FREE_DAY = datetime(2026, 9, 30, 12, tzinfo=UTC).timestamp()
NOVEMBER = datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp()
FREE = {"billable": False, "pricing_model": "PMP", "type": "free_customer_service", "category": "service"}
AD = {"source_type": "ad", "source_id": "1", "source_url": "https://fb.me/1", "headline": "Cake"}


@pytest.fixture
async def business(start, settings, still):
    """A connected number in November 2026, and a hand on time."""
    still.time = NOVEMBER
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        await sim.write()
        yield sim


async def template(sim: Any, name: str, to: str = "14155550171", *values: str) -> str:
    given: dict[str, Any] = {"name": name, "language": {"code": "en_US"}}
    if values:
        given["components"] = [{"type": "body", "parameters": [{"type": "text", "text": value} for value in values]}]
    sent = await sim.graph(
        "POST", f"{sim.phone.id}/messages", messaging_product="whatsapp", to=to, type="template", template=given
    )
    return str(sent["messages"][0]["id"])


async def prices(sim: Any, wamid: str) -> dict[str, Any]:
    """Status -> pricing, as far as they have one."""
    await sim.flush()
    return {s["status"]: s["pricing"] for s in sim.platform.statuses(wamid) if "pricing" in s}


async def test_replies_cost_after_a_thousand_a_month_since_october_2026(business, still):
    await business.post(f"/control/phones/{business.phone.id}/settings", service_count=999)
    assert (await prices(business, await business.text())) == {"sent": FREE, "delivered": FREE}
    paid = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "service"}
    assert (await prices(business, await business.text())) == {"sent": paid, "delivered": paid}
    shown = await business.get(f"/control/phones/{business.phone.id}")
    assert shown["service_count"] == 1001


async def test_the_month_begins_at_midnight_of_the_waba(business, still):
    await business.post(f"/control/wabas/{business.phone.waba_id}", timezone_id="Asia/Tokyo", currency="JPY")
    await business.post(f"/control/phones/{business.phone.id}/settings", service_count=5000)
    still.time = datetime(2026, 11, 30, 14, 59, tzinfo=UTC).timestamp()
    await business.write()
    assert (await prices(business, await business.text()))["sent"]["type"] == "regular"
    still.time += 60
    assert (await prices(business, await business.text()))["sent"] == FREE
    fields = await business.graph("GET", f"{business.phone.waba_id}?fields=currency,timezone_id")
    assert (fields["currency"], fields["timezone_id"]) == ("JPY", "Asia/Tokyo")


async def test_until_september_2026_replies_and_utility_in_the_window_were_free(business, still):
    still.time = business.phone.onboarded_at = LAST_FREE_DAY
    await business.write()
    await business.post(f"/control/phones/{business.phone.id}/settings", service_count=5000)
    assert (await prices(business, await business.text()))["sent"] == FREE
    wamid = await template(business, "order_ready", "14155550171", "Nora", "7")
    assert (await prices(business, wamid))["sent"] == {**FREE, "category": "utility"}
    outside = await template(business, "order_ready", "5215550104477", "Lucía", "8")
    assert (await prices(business, outside))["sent"]["type"] == "regular"
    still.time += 86400
    await business.write()
    wamid = await template(business, "order_ready", "14155550171", "Nora", "9")
    assert (await prices(business, wamid))["sent"]["billable"] is True


async def test_a_failed_message_has_no_price_and_a_skipped_delivery_leaves_it_to_the_reading(business):
    await business.post("/control/faults", effect="fail", code=131026)
    assert await prices(business, await business.text()) == {}
    await business.post("/control/options", auto_deliver=False)
    wamid = await business.text()
    await business.post("/control/customers/c1/read")
    assert set(await prices(business, wamid)) == {"sent", "read"}


async def test_without_a_payment_method_what_costs_fails(business):
    await business.post(f"/control/wabas/{business.phone.waba_id}", payment_method=False)
    await business.post(f"/control/phones/{business.phone.id}/settings", service_count=999)
    assert (await prices(business, await business.text()))["sent"] == FREE
    for wamid in (await business.text(), await template(business, "hello_world")):
        await business.flush()
        (failed,) = business.platform.statuses(wamid)
        assert (failed["status"], failed["errors"][0]["code"]) == ("failed", 131042)


async def test_an_answer_to_an_ad_makes_everything_free_for_three_days(business, still):
    await business.post(f"/control/phones/{business.phone.id}/settings", service_count=5000)
    await business.write(text="Is this still on?", referral=AD)
    still.time += 3600
    wamid = await business.text()
    free = {"billable": False, "pricing_model": "PMP", "type": "free_entry_point", "category": "referral_conversion"}
    assert (await prices(business, wamid))["sent"] == free
    sent = next(s for s in business.platform.statuses(wamid) if s["status"] == "sent")
    assert sent["conversation"]["origin"] == {"type": "referral_conversion"}
    assert int(sent["conversation"]["expiration_timestamp"]) == int(still.time + 72 * 3600)
    still.time += 71 * 3600
    wamid = await template(business, "order_ready", "14155550171", "Nora", "7")
    assert (await prices(business, wamid))["sent"] == free
    still.time += 3601
    wamid = await template(business, "order_ready", "14155550171", "Nora", "8")
    assert (await prices(business, wamid))["sent"]["type"] == "regular"
    assert not any("conversation" in s for s in business.platform.statuses(wamid))


async def test_an_ad_that_is_answered_after_a_day_gives_nothing(business, still):
    await business.write(text="Hello?", referral=AD)
    still.time += 86401
    wamid = await template(business, "hello_world")
    assert (await prices(business, wamid))["sent"]["type"] == "regular"


async def test_webhooks_of_an_older_version_still_have_a_conversation(business):
    await business.post("/control/app", webhook_version="v23.0")
    wamid = await template(business, "hello_world")
    await business.flush()
    sent = next(s for s in business.platform.statuses(wamid) if s["status"] == "sent")
    assert sent["conversation"]["origin"] == {"type": "utility"}
    await business.post("/control/app", 400, webhook_version="newest")


async def test_before_july_2025_conversations_were_charged(business, still):
    still.time = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
    business.phone.onboarded_at = still.time
    await business.write()
    assert (await prices(business, await business.text()))["sent"]["pricing_model"] == "CBP"


def test_time_zones_go_by_metas_numbers_and_by_name():
    assert str(zone("1")) == "America/Los_Angeles"
    assert str(zone("Europe/Madrid")) == "Europe/Madrid"
    assert zone("9999") is zone("../etc") is UTC
