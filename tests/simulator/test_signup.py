"""From the popup to a subscribed number."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio
CONFIG = "200000000000001"


async def test_the_owner_confirms_on_the_phone_and_the_platform_gets_a_number_in_both_places(sim):
    session = await sim.sign_up()
    assert session["window_message"] == {
        "type": "WA_EMBEDDED_SIGNUP",
        "event": "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING",
        "data": {"waba_id": sim.phone.waba_id},
        "version": 3,
    }
    sim.token = (await sim.exchange(session["code"])).json()["access_token"]
    found = await sim.graph("GET", f"{session['waba_id']}/phone_numbers?fields=id,is_on_biz_app,platform_type")
    assert found["data"] == [{"id": sim.phone.id, "is_on_biz_app": True, "platform_type": "CLOUD_API"}]
    told = (await sim.graph("GET", f"debug_token?input_token={sim.token}"))["data"]
    assert told["is_valid"]
    assert told["expires_at"] == 0
    assert {"scope": "whatsapp_business_management", "target_ids": [sim.phone.waba_id]} in told["granular_scopes"]
    await sim.flush()
    assert sim.platform.events() == ["PARTNER_ADDED", "PARTNER_APP_INSTALLED"]


async def test_a_code_works_once(sim):
    code = (await sim.sign_up())["code"]
    assert (await sim.exchange(code, secret="wrong")).json()["error"]["code"] == 1
    assert (await sim.exchange(code)).status_code == 200
    again = (await sim.exchange(code)).json()["error"]
    assert again["code"] == 100
    assert "has been used" in again["message"]


async def test_a_code_lives_thirty_seconds(sim):
    code = (await sim.sign_up())["code"]
    await sim.post("/control/clock", advance=31)
    assert "has expired" in (await sim.exchange(code)).json()["error"]["message"]


async def test_without_the_feature_type_the_popup_falls_through_to_a_new_number(sim):
    session = await sim.post("/signup/sessions", config_id=CONFIG, extras={"setup": {}}, phone_number=sim.phone.number)
    assert session["window_message"]["event"] == "FINISH"
    fresh = session["window_message"]["data"]["phone_number_id"]
    assert fresh != sim.phone.id
    sim.token = (await sim.exchange(session["code"])).json()["access_token"]
    assert (await sim.graph("GET", f"{fresh}?fields=is_on_biz_app"))["is_on_biz_app"] is False
    assert sim.phone.state == "app_only"


async def test_a_ticked_product_brings_coexistence_without_the_feature_type(sim):
    await sim.post("/control/options", product_ticked=True)
    session = await sim.post("/signup/sessions", config_id=CONFIG, extras={"setup": {}}, phone_number=sim.phone.number)
    assert session["state"] == "code_shown"


async def test_leaving_the_popup_tells_the_step(sim):
    session = await sim.post("/signup/sessions", config_id=CONFIG, extras={})
    left = await sim.post(f"/signup/sessions/{session['session_id']}/cancel")
    assert left["window_message"] == {
        "type": "WA_EMBEDDED_SIGNUP",
        "event": "CANCEL",
        "data": {"current_step": "PHONE_NUMBER_SETUP"},
    }


async def test_a_wrong_configuration_says_only_that_something_went_wrong(sim):
    answer = await sim.post("/signup/sessions", 400, config_id="1", extras={})
    assert answer == {"error": "Sorry, something went wrong."}


async def test_an_old_app_and_a_wrong_code_are_refused(sim):
    extras = {"featureType": "whatsapp_business_app_onboarding"}
    await sim.post(f"/control/phones/{sim.phone.id}/settings", app_version="2.24.16.9")
    body = {"config_id": CONFIG, "extras": extras, "phone_number": sim.phone.number}
    assert "2.24.17" in (await sim.post("/signup/sessions", 409, **body))["error"]
    await sim.post(f"/control/phones/{sim.phone.id}/settings", app_version="2.24.17.1")
    await sim.post("/signup/sessions", **body)
    wrong = await sim.post(f"/control/phones/{sim.phone.id}/confirm", 400, code="NOPE")
    assert wrong == {"error": "That code isn't right."}


async def test_a_token_sees_its_own_waba_only(sim):
    other = await sim.post("/control/phones", connected=True)
    await sim.connect()
    missing = await sim.error("GET", f"{other['waba_id']}/phone_numbers")
    assert (missing["code"], missing["error_subcode"]) == (100, 33)
    assert (await sim.graph("GET", other["id"], token=other["token"]))["id"] == other["id"]
    refused = await sim.graph("GET", sim.phone.id, 401, token="EAAnonsense")
    assert refused["error"]["code"] == 190
    await sim.post("/control/tokens/revoke", token=sim.token)
    assert (await sim.error("GET", sim.phone.id))["code"] == 190


async def test_registering_by_the_api_logs_the_phone_out_and_is_counted(sim):
    await sim.connect()
    refused = await sim.error("POST", f"{sim.phone.id}/deregister")
    assert refused["code"] == 100
    assert refused["message"] == "Deregister endpoint is not available for API solution for SMB businesses."
    await sim.graph("POST", f"{sim.phone.id}/register", messaging_product="whatsapp", pin="123456")
    shown = await sim.get(f"/control/phones/{sim.phone.id}")
    assert (shown["register_calls"], shown["deregister_calls"], shown["session_destroyed"]) == (1, 1, True)


async def test_the_sdk_and_the_popup_are_served(sim):
    assert "window.FB" in (await sim.http.get("/sdk.js")).text
    assert (await sim.http.get("/signup?config_id=1")).status_code == 200
