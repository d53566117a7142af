"""The pages of costs: a number's month, and the rates."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from tests.costs.conftest import Bakery
from tests.fixtures.mirror import ask, value
from tests.inbox.conftest import Seen

from twinline.accounts.models import Viewer
from twinline.app import App
from twinline.costs import pages
from twinline.numbers import pages as numbers_pages

pytestmark = pytest.mark.anyio


@pytest.fixture
async def owner(bakery: Bakery) -> Viewer:
    organisation = await value(bakery.app, "SELECT organisation_id FROM numbers")
    return Viewer(0, organisation, "Bakery", "o@example.com", "Olga", "owner", "csrf")


def looking(app: App, viewer: Viewer) -> httpx.AsyncClient:
    site = Starlette(routes=[*pages.routes(app), *numbers_pages.routes(app)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(Seen(site, viewer)), base_url="http://twinline")


@pytest.fixture
async def browser(bakery: Bakery, owner: Viewer) -> AsyncIterator[httpx.AsyncClient]:
    async with looking(bakery.app, owner) as client:
        yield client


def card(text: str) -> dict[str, Any]:
    return {"files": {"card": ("card.csv", text.encode(), "text/csv")}, "data": {"since": "2026-11-01"}}


async def test_the_month_says_what_was_sent_what_is_left_and_when_it_begins_anew(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    await bakery.delivered(1040)
    await bakery.delivered(2, "marketing", whose="8131")
    await bakery.delivered(3, "unknown")
    text = (await browser.get(f"/numbers/{bakery.number_id}/costs")).text
    for words in ("1,040", "1 December", "at midnight in America/Los_Angeles", "3 messages have no rate", "USD 0.85"):
        assert words in text, words
    about = (await browser.get(f"/numbers/{bakery.number_id}")).text
    assert "left of 1,000 this month" in about
    bakery.at(2026, 9, 30)
    assert "until October 2026" in (await browser.get(f"/numbers/{bakery.number_id}")).text


async def test_a_person_may_set_what_meta_doesnt_say_and_is_told_what_cant_be(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    await bakery.pays(None, None)
    address = f"/numbers/{bakery.number_id}/costs"
    assert "currency isn&#39;t known yet" in (await browser.get(address)).text
    wrong = await browser.post(address, data={"currency": "EUR", "zone": "Mars/Olympus", "hours": "72"})
    assert wrong.status_code == 422
    assert "no time zone" in wrong.text
    saved = await browser.post(address, data={"currency": "eur", "zone": "Europe/Lisbon", "hours": "96"})
    assert saved.status_code == 303
    text = (await browser.get(address)).text
    assert "Europe/Lisbon" in text
    assert 'value="96"' in text
    [(action,)] = await ask(bakery.app, "SELECT action FROM audit")
    assert action == "costs.account"


async def test_a_rate_card_is_taken_over_with_its_bad_lines_named_and_can_be_forgotten(
    bakery: Bakery, browser: httpx.AsyncClient
) -> None:
    text = "market,currency,category,rate\nPT,USD,marketing,0.0100\n<b>Narnia</b>,USD,utility,1\n"
    read = await browser.post("/rates", **card(text))
    assert read.status_code == 200
    assert "1 rate was taken over" in read.text
    assert "&lt;b&gt;Narnia&lt;/b&gt;" in read.text
    assert (await bakery.estimate("351912345678", "marketing")).text == "about USD 0.01"
    assert "1 rate, before the built-in ones" in (await browser.get("/rates")).text
    await browser.post("/rates/forget")
    assert (await bakery.estimate("351912345678", "marketing")).text == "about USD 0.0592"


@pytest.mark.parametrize("text", ["", "hello", "market,currency,category,rate\nNarnia,USD,utility,1\n"])
async def test_a_file_that_is_no_card_changes_nothing(browser: httpx.AsyncClient, text: str) -> None:
    read = await browser.post("/rates", **card(text))
    assert read.status_code == 422
    assert "You haven't brought one" in read.text


async def test_rates_are_changed_by_administrators_and_seen_by_their_own_organisation_only(
    bakery: Bakery, owner: Viewer
) -> None:
    text = "market,currency,category,rate\nPT,USD,marketing,0.0100\n"
    async with looking(bakery.app, replace(owner, role="agent")) as agent:
        assert (await agent.post("/rates", **card(text))).status_code == 403
        assert (await agent.post("/rates/forget")).status_code == 403
        changed = await agent.post(f"/numbers/{bakery.number_id}/costs", data={"hours": "1"})
        assert changed.status_code == 403
    async with looking(bakery.app, owner) as administrator:
        await administrator.post("/rates", **card(text))
    stranger = await value(bakery.app, "INSERT INTO organisations (name, created_at) VALUES ('o', now()) RETURNING id")
    async with looking(bakery.app, replace(owner, organisation_id=stranger)) as other:
        assert "You haven't brought one" in (await other.get("/rates")).text
        assert (await other.get(f"/numbers/{bakery.number_id}/costs")).status_code == 404


async def test_every_currency_that_is_built_in_is_shown_with_its_source(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/rates")).text
    for words in ("USD, from 2026-10-01", "47 markets", "transcribed", "EUR, from 2026-07-01", "0.0068"):
        assert words in text


def test_no_page_of_costs_has_a_style_or_script_of_its_own() -> None:
    templates = Path(pages.__file__).parent.parent / "web/templates"
    for name in ("costs/rates.html", "numbers/costs.html", "inbox/parts.html"):
        text = (templates / name).read_text()
        assert "style=" not in text
        assert "<script" not in text
