"""The files that wait beside the composer."""

from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.fixtures.browser import MARKS, chromium
from tests.inbox.test_browser import page

from twinline.inbox import words

__all__ = ["chromium", "page"]

pytestmark = MARKS


@pytest.mark.parametrize("octets", [11, 1536, 20_000, 3_500_000])
async def test_a_document_is_called_the_same_before_and_after_it_is_sent(shop: Any, page: Page, octets: int) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "the menu?", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    file: Any = {"name": "menu.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4\n".ljust(octets)}
    await page.locator("[name=file]").set_input_files(file)
    said = f"PDF · {words.size(octets)}"
    await expect(page.locator(".tray li")).to_contain_text(said)
    await page.get_by_label("Send", exact=True).click()
    await expect(page.locator(".bubble.unsent .about")).to_have_text(said)


async def test_what_cannot_be_drawn_has_an_icon_and_says_why_it_cannot_go(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "a picture?", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    file: Any = {"name": "cake.png", "mimeType": "image/png", "buffer": b"\x89PNG".ljust(6 << 20)}
    await page.locator("[name=file]").set_input_files(file)
    await expect(page.locator(".tray .thumb use")).to_have_attribute("href", "/static/icons.svg#photo")
    await expect(page.locator(".tray .thumb img")).to_have_count(0)
    await expect(page.locator(".tray .problem")).to_have_text("6.0 MB: WhatsApp takes images up to 5.0 MB.")
