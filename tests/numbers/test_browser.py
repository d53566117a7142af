"""A number's page in Chromium."""

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
