"""Writing a template and sending it, in Chromium, under the policy that the pages are served with."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect
from tests.fixtures.browser import MARKS, chromium, served, window
from tests.templates.conftest import Shop

from twinline.web.app import build

__all__ = ["chromium"]

pytestmark = MARKS


@pytest.fixture
async def page(shop: Shop, chromium: Browser) -> AsyncIterator[Page]:
    login = "ada@example.com", "correct horse"
    async with served(build(shop.app)) as address, window(chromium, address, login) as page:
        yield page


async def test_a_template_is_written_approved_and_sent_from_the_chat(shop: Shop, page: Page) -> None:
    customer = (await shop.control("customers/c1/send", phone=shop.phone_id, text="Is my bike ready?"))["customer"]
    assert customer
    await shop.hears()
    await shop.control("options", template_review="manual")

    # Written, with Meta's rules beside it while typing.
    await page.goto(f"/templates/{shop.waba_id}/new")
    await page.get_by_label("Name").fill("Bike Ready")
    await page.get_by_label("Name").press("Tab")
    await expect(page.locator('[data-problem="name"]')).to_contain_text("Write bike_ready")
    await page.get_by_label("Name").fill("bike_ready")
    await page.locator("#body").fill("Hi {{1}}, your bike is *mended* and waits until {{2}} for you.")
    await page.get_by_label("{{1}} in the text").fill("Ann")
    await expect(page.locator("#preview .wa-text")).to_have_text(
        "Hi Ann, your bike is mended and waits until {{2}} for you.".replace("{{2}}", "2")
    )
    await page.get_by_label("{{2}} in the text").fill("Friday")
    await expect(page.locator("#verdict")).to_have_text("Nothing stands in the way")
    await page.get_by_role("button", name="Hand in to Meta").click()
    await expect(page.locator(".page-head .badge").first).to_have_text("In review")

    # Approved by Meta, and by itself on the open page.
    made = page.url.rsplit("/", 1)[1]
    await shop.step(made, "approve")
    await expect(page.locator("#state .facts dd").first).to_have_text("Approved")

    # Found and filled in with the keyboard, and sent once.
    await page.goto("/inbox")
    await page.locator("#rows .chat").first.click()
    await page.locator("details.attach > summary").click()
    await page.get_by_role("menuitem", name="Template").click()
    await expect(page.get_by_label("Search templates")).to_be_focused()
    await page.keyboard.type("bike")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    fields = page.locator(".template-picker form")
    await expect(fields.get_by_label("{{1}} in the text")).to_be_focused()
    await page.keyboard.type("Nora")
    await expect(page.locator("[data-pick-preview] .wa-text")).to_contain_text("Hi Nora, your bike is mended")
    await fields.get_by_label("{{2}} in the text").fill("Friday")
    await page.keyboard.press("Enter")
    await expect(page.locator(".bubble.unsent")).to_contain_text("Hi Nora, your bike is mended and waits until Friday")
    await expect(page.locator(".template-picker")).to_have_count(0)
    assert len(await shop.rows("SELECT id FROM outbox")) == 1
