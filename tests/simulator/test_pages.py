"""The pages of the simulator: they answer, they load nothing from elsewhere, and their scripts find each other."""

from __future__ import annotations

import re

import pytest

PAGES = ("/", "/phone", "/customers", "/customer/c1", "/templates", "/signup?config_id=200000000000001")

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_says_that_it_is_a_simulator_and_runs_only_its_own_scripts(sim, path):
    answer = await sim.http.get(path, follow_redirects=True)
    assert answer.status_code == 200
    assert ">Simulator</" in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", answer.text)
    for address in re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', answer.text):
        assert address.startswith("/")
        assert (await sim.http.get(address)).status_code == 200


async def test_the_modules_find_each_other(sim):
    waiting, seen = {"phone.js", "customer.js", "customers.js", "start.js", "signup.js", "templates.js"}, set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        text = (await sim.http.get(f"/static/js/{name}")).raise_for_status().text
        waiting |= set(re.findall(r'from "\./([\w.]+)"', text)) - seen


async def test_the_phone_that_is_asked_to_confirm_is_the_one_that_opens(sim):
    other = await sim.post("/control/phones", name="Second")
    assert (await sim.http.get("/phone")).headers["location"] == f"/phone/{sim.phone.id}"
    extras = {"featureType": "whatsapp_business_app_onboarding"}
    body = {"config_id": "200000000000001", "extras": extras, "phone_number": other["number"]}
    await sim.post("/signup/sessions", **body)
    assert (await sim.http.get("/phone")).headers["location"] == f"/phone/{other['id']}"


async def test_a_phone_or_customer_that_is_gone_leads_to_those_that_are_there(sim):
    assert (await sim.http.get("/phone/1")).headers["location"] == "/phone"
    assert (await sim.http.get("/customer/nobody")).headers["location"] == "/customers"
