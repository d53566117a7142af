"""The details beside a chat, as they stand on the screen."""

from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.fixtures.browser import MARKS, chromium
from tests.inbox.test_browser import page

__all__ = ["chromium", "page"]

pytestmark = MARKS


@pytest.mark.parametrize("width", [1280, 390])
async def test_what_is_said_of_marketing_stands_wholly_on_the_panel(shop: Any, page: Page, width: int) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "no more adverts, please", ago=60)
    await shop.execute("UPDATE contacts SET opted_out = true WHERE id = %s", (ana,))
    await page.set_viewport_size({"width": width, "height": 820})
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    if width < 1000:
        await page.get_by_label("Details", exact=True).click()
    badge = page.locator("#about-contact .badge")
    await expect(badge).to_have_text("Stopped in WhatsApp")
    place, panel = await badge.bounding_box(), await page.locator("#panel").bounding_box()
    assert place is not None
    assert panel is not None
    assert place["x"] + place["width"] <= panel["x"] + panel["width"]
