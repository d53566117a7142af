"""Finding people, tagging them and keeping a segment, in Chromium, under the policy that the pages are served with."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect
from tests.contacts.conftest import ANA, BEA, Shop
from tests.fixtures.browser import MARKS, chromium, served, window
from tests.web.conftest import PASSWORD, add_user

from twinline.web.app import build

__all__ = ["chromium"]

pytestmark = MARKS


@pytest.fixture
async def page(shop: Shop, chromium: Browser) -> AsyncIterator[Page]:
    await add_user(shop.app, shop.clock.now(), await shop.organisation, "ada@example.com", "owner")
    login = "ada@example.com", PASSWORD
    async with served(build(shop.app)) as address, window(chromium, address, login) as page:
        yield page


async def test_people_are_marked_tagged_found_again_and_kept_as_a_segment(shop: Shop, page: Page) -> None:
    for phone in (ANA, BEA):
        await shop.customer(phone)
    await page.goto(f"/contacts/{shop.number_id}")
    people = page.locator(".people-list li")
    await expect(people).to_have_count(2)
    await expect(page.get_by_role("button", name="Add tag")).to_be_hidden()
    await page.get_by_label(re.compile("Mark \\+351 910 000 001")).check()
    await expect(page.locator("[data-count]")).to_have_text("1 of 2")
    await page.locator(".bulk [name=tag]").fill("vip")
    await page.get_by_role("button", name="Add tag").click()
    await expect(page.get_by_text("1 contact got the tag")).to_be_visible()

    # Only what a condition takes is asked for.
    await page.locator(".adder summary").click()
    await page.get_by_label("Whoever…").select_option("wrote")
    await expect(page.get_by_label("Days")).to_be_visible()
    await expect(page.locator("#c-tag")).to_be_hidden()
    await page.get_by_label("Whoever…").select_option("tag")
    await page.locator("#c-tag").select_option("vip")
    await page.get_by_role("button", name="Add the filter").click()
    await expect(people).to_have_count(1)
    await expect(page.locator(".condition")).to_have_text("has the tag vip")
    await page.get_by_role("button", name="Keep as a segment").click()
    await page.locator("#segment-name").fill("Best")
    await page.get_by_role("button", name="Keep it").click()
    await expect(page.locator(".chip[aria-current]")).to_have_text("Best")
    await expect(people).to_have_count(1)


async def test_a_tag_is_given_and_taken_beside_the_chat(shop: Shop, page: Page) -> None:
    ana = await shop.customer(ANA)
    await page.set_viewport_size({"width": 1400, "height": 900})
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    panel = page.locator("#panel")
    await panel.get_by_label("Add a tag").fill("vip")
    await panel.get_by_label("Add a tag").press("Enter")
    await expect(panel.locator(".tag")).to_have_text("vip")
    await panel.get_by_role("button", name="Remove the tag vip").click()
    await expect(panel.locator(".tag")).to_have_count(0)
    assert await shop.value("SELECT tags FROM contacts WHERE id = %s", (ana,)) == []
