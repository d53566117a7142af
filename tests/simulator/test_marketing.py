"""Who may be reached: the limit of a portfolio, the cap of a person, opt-outs, and what the US don't get."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

DAY = 86400


def sale(to: str = "14155550171", name: str = "spring_sale", **more: Any) -> dict[str, Any]:
    body = {"type": "body", "parameters": [{"type": "text", "text": one} for one in ("Nora", "20 %")]}
    template = {"name": name, "language": {"code": "en_US"}, "components": [body]}
    return {"messaging_product": "whatsapp", "to": to, "type": "template", "template": template, **more}


async def send(sim: Any, to: str = "14155550171", **more: Any) -> str:
    sent = await sim.graph("POST", f"{sim.phone.id}/messages", **sale(to, **more))
    return str(sent["messages"][0]["id"])


async def fate(sim: Any, wamid: str) -> int | str:
    """The code it failed with, or its last status."""
    await sim.flush()
    last = sim.platform.statuses(wamid)[-1]
    return last["errors"][0]["code"] if last["status"] == "failed" else last["status"]


async def sent(sim: Any, to: str = "14155550171", **more: Any) -> int | str:
    return await fate(sim, await send(sim, to, **more))


@pytest.fixture
async def shop(sim: Any) -> Any:
    """A connected number that may write to Americans, so that one rule is looked at."""
    await sim.connect()
    await sim.post("/control/options", us_marketing=True, pair_limit=False, throughput=100000)
    return sim


# -- the portfolio -------------------------------------------------------------------------------------------------


async def crowd(sim: Any, count: int) -> list[str]:
    made = await sim.post("/control/customers", count=count, country="BR")
    return [one["number"] for one in made["customers"]]


async def test_the_251st_person_of_a_day_is_one_too_many(shop):
    people = await crowd(shop, 252)
    for number in people[:250]:
        await send(shop, number, name="order_ready")
    assert await sent(shop, people[250], name="order_ready") == 131048
    # Somebody who is among them already, and somebody who wrote, may still be reached.
    assert await sent(shop, people[0], name="order_ready") == "delivered"
    await shop.write("c1")
    assert await sent(shop, name="order_ready") == "delivered"
    await shop.post("/control/clock", advance=DAY + 1)
    assert await sent(shop, people[250], name="order_ready") == "delivered"


async def test_all_numbers_of_a_portfolio_share_its_limit_and_a_new_one_is_told(shop):
    owner = shop.world.state.wabas[shop.phone.waba_id].owner_business_id
    second = await shop.post("/control/phones", name="Second", waba_id=shop.phone.waba_id, connected=True)
    people = await crowd(shop, 251)
    for number in people[:250]:
        await send(shop, number, name="order_ready")
    used = (await shop.get("/control/portfolios"))["portfolios"][0]
    assert (used["used"], used["limit"], used["tier"]) == (250, 250, "TIER_250")
    body = sale(people[250], name="order_ready")
    other = await shop.graph("POST", f"{second['id']}/messages", token=second["token"], **body)
    assert await fate(shop, other["messages"][0]["id"]) == 131048

    await shop.post(f"/control/portfolios/{owner}", tier="TIER_2K")
    await shop.flush()
    (told,) = shop.platform.changes("business_capability_update")
    assert told == {"max_daily_conversations_per_business": 2000, "max_phone_numbers_per_waba": 25}
    field = "whatsapp_business_manager_messaging_limit"
    assert (await shop.graph("GET", f"{shop.phone.id}?fields={field}"))[field] == "TIER_2K"
    assert await sent(shop, people[250], name="order_ready") == "delivered"
    assert "TIER_10K" in (await shop.post(f"/control/portfolios/{owner}", 400, tier="TIER_3K"))["error"]
    await shop.post("/control/portfolios/1", 404, tier="TIER_2K")


async def test_the_code_of_a_full_portfolio_is_a_guess_that_can_be_changed(shop):
    people = await crowd(shop, 251)
    await shop.post("/control/options", portfolio_code=130429)
    for number in people[:250]:
        await send(shop, number, name="order_ready")
    assert await sent(shop, people[250], name="order_ready") == 130429
    await shop.post("/control/options", portfolio_limit=False)
    assert await sent(shop, people[250], name="order_ready") == "delivered"


# -- a person's wish -----------------------------------------------------------------------------------------------


async def test_whoever_stopped_promotions_gets_none_but_still_gets_what_was_ordered(shop):
    await shop.post("/control/customers/c1/marketing", value="stop")
    assert await sent(shop) == 131050
    assert await sent(shop, name="order_ready") == "delivered"
    (preference,) = shop.platform.changes("user_preferences")[0]["user_preferences"]
    assert (preference["value"], preference["wa_id"]) == ("stop", "14155550171")
    assert isinstance(preference["timestamp"], int)
    await shop.post("/control/customers/c1/marketing", value="resume")
    assert await sent(shop) == "delivered"
    assert shop.platform.changes("user_preferences")[1]["user_preferences"][0]["value"] == "resume"


async def test_a_hidden_number_stops_promotions_under_its_user_id(shop):
    await shop.post("/control/customers/c3/marketing", value="stop")
    await shop.flush()
    (value,) = shop.platform.changes("user_preferences")
    assert "wa_id" not in value["user_preferences"][0]
    assert value["user_preferences"][0]["user_id"] == shop.world.customer("c3").bsuid


# -- Meta's own reasons --------------------------------------------------------------------------------------------


async def test_no_marketing_reaches_the_united_states_and_everything_else_does(shop):
    await shop.post("/control/options", us_marketing=False)
    assert await sent(shop) == 131049
    assert await sent(shop, name="order_ready") == "delivered"
    canadian = await shop.post("/control/customers", number="+1 416 555 0123")
    assert await sent(shop, canadian["number"]) == "delivered"


async def test_a_person_gets_so_much_marketing_a_day_and_who_insists_loses_them(shop):
    await shop.post("/control/options", marketing_cap=2, cap_repeats=2)
    assert [await sent(shop) for _ in range(3)] == ["delivered", "delivered", 131049]
    assert await sent(shop, name="order_ready") == "delivered"
    await shop.post("/control/clock", advance=DAY + 1)
    assert await sent(shop) == "delivered"

    second = await shop.post("/control/phones", name="Second", connected=True)
    body = sale()
    other = await shop.graph("POST", f"{second['id']}/messages", token=second["token"], **body)
    assert await fate(shop, other["messages"][0]["id"]) == "delivered"
    # Two businesses together used the day up. The first insists, and is shut out for a day longer than the cap.
    await shop.post("/control/clock", advance=DAY - 60)
    assert [await sent(shop) for _ in range(3)] == [131049] * 3
    await shop.post("/control/clock", advance=120)
    assert await sent(shop) == 131049
    other = await shop.graph("POST", f"{second['id']}/messages", token=second["token"], **body)
    assert await fate(shop, other["messages"][0]["id"]) == "delivered"
    await shop.post("/control/clock", advance=DAY)
    assert await sent(shop) == "delivered"


async def test_europeans_are_not_capped(shop):
    await shop.post("/control/options", marketing_cap=1)
    german = await shop.post("/control/customers", number="+49 155 50112233")
    assert [await sent(shop, german["number"]) for _ in range(3)] == ["delivered"] * 3


async def test_who_is_in_an_experiment_gets_no_marketing(shop):
    await shop.post("/control/customers/c1/settings", experiment=True)
    assert await sent(shop) == 130472
    assert await sent(shop, name="order_ready") == "delivered"


async def test_marketing_may_have_moved_to_another_api(shop):
    await shop.post("/control/options", marketing_api=False)
    assert (await shop.error("POST", f"{shop.phone.id}/messages", **sale()))["code"] == 131063
    assert await sent(shop, name="order_ready") == "delivered"


# -- media ---------------------------------------------------------------------------------------------------------


async def _upload(sim: Any, data: bytes, mime: str) -> Any:
    return await sim.http.post(
        f"/v26.0/{sim.phone.id}/media",
        headers={"Authorization": f"Bearer {sim.token}"},
        data={"messaging_product": "whatsapp"},
        files={"file": ("a", data, mime)},
    )


async def test_an_upload_lives_a_month_and_what_a_customer_sent_a_week(shop):
    ours = (await _upload(shop, b"%PDF-1.4", "application/pdf")).json()["id"]
    theirs = (await shop.write("c1", type="image"))["content"]["id"]
    await shop.post("/control/clock", advance=7 * DAY - 60)
    await shop.graph("GET", theirs)
    await shop.post("/control/clock", advance=120)
    assert (await shop.error("GET", theirs))["error_subcode"] == 33
    await shop.post("/control/clock", advance=23 * DAY - 120)
    await shop.graph("GET", ours)
    await shop.post("/control/clock", advance=120)
    assert (await shop.error("GET", ours))["error_subcode"] == 33


async def test_a_deleted_file_cannot_be_seen_fetched_or_sent(shop):
    ours = (await _upload(shop, b"%PDF-1.4", "application/pdf")).json()["id"]
    url = (await shop.graph("GET", ours))["url"]
    assert await shop.graph("DELETE", ours) == {"success": True}
    assert (await shop.error("GET", ours))["error_subcode"] == 33
    gone = await shop.http.get(url, headers={"Authorization": f"Bearer {shop.token}"})
    assert gone.status_code == 404
    message = {"messaging_product": "whatsapp", "to": "14155550171", "type": "document", "document": {"id": ours}}
    assert (await shop.error("POST", f"{shop.phone.id}/messages", **message))["code"] == 100


@pytest.mark.parametrize(
    ("size", "mime", "code"),
    [
        (10, "application/zip", 100),
        ((5 << 20) + 1, "image/png", 131053),
        ((500 << 10) + 1, "image/webp", 131053),
    ],
)
async def test_a_file_that_whatsapp_cannot_carry_is_refused_at_its_upload(shop, size, mime, code):
    assert (await _upload(shop, bytes(size), mime)).json()["error"]["code"] == code
