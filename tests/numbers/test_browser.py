"""A number's page in Chromium."""

from typing import Any

import pytest
from playwright.async_api import Browser, expect
from tests.fixtures.browser import MARKS, chromium, served, window
from tests.numbers.conftest import Office

from twinline.mirror import events, turn
from twinline.web.app import build

pytestmark = MARKS

__all__ = ["chromium"]

# Twinline can't be reached by parts of the page while ``away``; what is said of it in the console is expected.
AWAY = """
console.error = () => {};
window.away = false;
window.refused = 0;
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (body) {
  if (!away) return send.call(this, body);
  refused += 1;
  return queueMicrotask(() => this.dispatchEvent(new ProgressEvent("error")));
};
"""


@pytest.mark.parametrize("tab", ["", "/disconnect"])
async def test_a_disconnection_that_could_not_be_shown_is_shown_once_twinline_is_back(
    office: Office, chromium: Browser, tab: str
) -> None:
    number = await office.connect()
    login = "ada@example.com", "correct horse"
    async with served(build(office.app)) as address, window(chromium, address, login) as page:
        await page.clock.install()
        await page.add_init_script(AWAY)
        await page.goto(f"/numbers/{number.id}{tab}")
        await page.evaluate("window.away = true")
        async with office.app.db.transaction() as tx:
            await turn.take(tx, [number.id])
            await tx.execute("UPDATE numbers SET state = 'disconnected' WHERE id = %s", (number.id,))
            await events.publish(tx, {number.id: {"number": True}}, office.clock.now())
        await page.wait_for_function("() => window.refused >= 1")
        await expect(page.locator(".toast")).to_have_count(1)
        await page.evaluate("window.away = false")
        await page.clock.fast_forward(3100)
        await expect(page.locator("#head")).to_contain_text("Disconnected")


@pytest.mark.parametrize(
    ("tab", "width", "left_out"),
    [("", 390, ["0px", "40px"]), ("/disconnect", 390, ["40px", "0px"]), ("", 1280, ["0px", "0px"])],
)
async def test_tabs_show_the_current_one_and_fade_towards_those_that_dont_fit(
    office: Office, chromium: Browser, tab: str, width: int, left_out: list[str]
) -> None:
    number = await office.connect()
    login = "ada@example.com", "correct horse"
    size: Any = {"viewport": {"width": width, "height": 820}}
    async with served(build(office.app)) as address, window(chromium, address, login, **size) as page:
        await page.goto(f"/numbers/{number.id}{tab}")
        await expect(page.locator(".tabs [aria-current]")).to_be_in_viewport(ratio=0.9)
        tabs = page.get_by_label("About this number")
        for side, fades in zip(("before", "after"), left_out, strict=True):
            await expect(tabs).to_have_css(f"--left-out-{side}", fades)
