"""A marketer's first campaign, in Chromium, under the policy that the pages are served with."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect
from tests.campaigns.bakery import Bakery, bakery, clock, meta
from tests.fixtures.browser import MARKS, chromium, served, window

from twinline.accounts import service as accounts
from twinline.campaigns import planning
from twinline.contacts import service as contacts
from twinline.db import as_json
from twinline.web.app import build

pytestmark = MARKS

__all__ = ["bakery", "chromium", "clock", "meta"]

PEOPLE = """First name,WhatsApp,Discount
Ana,+351 910 000 001,20 %
Bea,910000002,15 %
Cid,12,15 %
"""


@pytest.fixture
async def page(bakery: Bakery, chromium: Browser) -> AsyncIterator[Page]:
    body = [{"type": "BODY", "text": "Hi {{1}}, everything is {{2}} cheaper until Friday."}]
    await bakery.shop.execute("UPDATE templates SET components = %s::jsonb", (as_json(body),))
    async with bakery.app.db.transaction() as tx:
        now = bakery.clock.now()
        who = bakery.organisation_id, "ada@example.com", "Ada", "owner", "correct horse"
        await accounts.create_user(tx, *who, now)
    login = "ada@example.com", "correct horse"
    async with served(build(bakery.app)) as address, window(chromium, address, login) as page:
        yield page


async def makes(page: Page, folder: Path) -> int:
    """From the list of campaigns to a request for a dry run; answers the campaign's id."""
    people = folder / "people.csv"
    await asyncio.to_thread(people.write_text, PEOPLE)
    await page.get_by_role("link", name="Campaigns").click()
    await page.get_by_role("button", name="New campaign").click()
    await page.wait_for_url(re.compile(r"/campaigns/\d+$"))
    await page.get_by_label("Name", exact=True).fill("Spring sale")
    await page.get_by_role("radio", name="spring").check(force=True)
    await expect(page.get_by_label("{{1}} in the text: where it comes from")).to_be_visible()
    await page.get_by_label("A CSV or XLSX file with the people").set_input_files(people)
    await expect(page.get_by_role("region", name="The first rows")).to_contain_text("910000002")
    return int(page.url.rpartition("/")[2])


async def test_from_nothing_to_a_dry_run_a_few_first_and_a_campaign_that_runs(
    bakery: Bakery, page: Page, tmp_path: Path
) -> None:
    campaign = await makes(page, tmp_path)

    # What stands in the variables was guessed from the columns, and is seen as each person will read it.
    preview = page.locator("#preview")
    await expect(preview).to_contain_text("Hi Ana, everything is 20 % cheaper until Friday.")
    await page.get_by_role("button", name="The next one").click()
    await expect(preview).to_contain_text("Hi Bea, everything is 15 % cheaper")
    await page.get_by_label("{{2}} in the text: where it comes from").select_option("text")
    await page.get_by_label("{{2}} in the text: for everybody").fill("10 %")
    await expect(preview).to_contain_text("Hi Bea, everything is 10 % cheaper")
    await page.reload()
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Spring sale")
    await expect(page.get_by_label("{{2}} in the text: for everybody")).to_have_value("10 %")

    # The page waits for the dry run, and shows it by itself.
    await page.get_by_role("button", name="Dry run").click()
    await expect(page.get_by_text("Going through the people")).to_be_visible()
    await planning.plan(bakery.app, bakery.organisation_id, campaign)
    await expect(page.get_by_text("2 people get it")).to_be_visible()
    await page.get_by_text("The number can't be read").click()
    await expect(page.locator(".behind").first).to_contain_text("“12” is too short")
    await expect(page.locator("#preview")).to_contain_text("Hi Ana, everything is 10 % cheaper")

    # One of them first; what becomes of that is told on the open page.
    await page.get_by_label("Bea").uncheck()
    await page.get_by_role("button", name=re.compile("Send to these")).click()
    await expect(page.locator("#tried")).to_contain_text("Next in line")
    await bakery.goes_on()
    await expect(page.locator("#tried")).to_contain_text("Sent")
    assert bakery.reached == ["351910000001"]

    # Then all the others, live.
    await page.get_by_role("button", name="Send to 2 people now").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await bakery.goes_on()
    await expect(page.locator("#tally-sent")).to_contain_text("2")
    assert bakery.reached == ["351910000001", "351910000002"]
    await bakery.answers("351910000002", "Lovely")
    await bakery.goes_on()
    await expect(page.locator("#tally-replied strong")).to_have_text("1")
    await page.locator("#tally-replied").click()
    await page.get_by_role("link", name="Chat with Bea").click()
    await page.wait_for_url("**/inbox/**")
    await expect(page.locator(".bubble", has_text="Lovely").first).to_be_visible()


async def test_it_can_be_paused_and_cancelled_with_the_keyboard_alone(
    bakery: Bakery, page: Page, tmp_path: Path
) -> None:
    campaign = await makes(page, tmp_path)
    await page.get_by_role("button", name="Dry run").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Going through the people")).to_be_visible()
    await planning.plan(bakery.app, bakery.organisation_id, campaign)
    await page.get_by_role("button", name="Send to 2 people now").press("Enter")
    await page.get_by_role("button", name="Pause").press("Enter")
    await expect(page.locator(".page-head .badge")).to_have_text("Paused")
    await page.get_by_role("button", name="Cancel").press("Enter")
    question = page.get_by_role("dialog", name="Cancel this campaign?")
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    await page.get_by_role("button", name="Cancel").press("Enter")
    await question.get_by_role("button", name="Cancel it").press("Enter")
    await expect(page.locator(".page-head .badge")).to_have_text("Cancelled")
    assert bakery.reached == []


async def test_people_are_chosen_by_what_they_are_with_the_keyboard_alone(bakery: Bakery, page: Page) -> None:
    async with bakery.app.db.transaction() as tx:
        for phone in ("+351910000001", "+34600110002"):
            who = await contacts.contact_for(tx, bakery.shop.number_id, phone)
            await contacts.tag(tx, bakery.shop.number_id, [who], bakery.clock.now(), add=["vip"])
    await page.goto("/campaigns")
    await page.get_by_role("button", name="New campaign").click()
    await page.get_by_role("radio", name="Contacts").check(force=True)
    await page.get_by_label("The first condition").select_option(label="has the tag")
    condition = page.get_by_label("Condition", exact=True)
    await condition.first.focus()
    await page.get_by_label("Tag", exact=True).select_option("vip")
    await expect(page.locator("#reach")).to_contain_text("2 people")
    further = page.get_by_label("A further condition")
    await further.focus()
    await further.select_option(label="country of the phone is")
    await page.get_by_label("Country", exact=True).select_option(label="Spain")
    await expect(page.locator("#reach")).to_contain_text("1 person")
    await expect(condition.nth(1)).to_be_focused()
    await page.get_by_role("button", name="Take this condition away").first.press("Enter")
    await expect(condition).to_have_count(1)
    await expect(page.get_by_label("Country", exact=True)).to_have_value("ES")


async def test_a_time_is_chosen_and_given_up_again(bakery: Bakery, page: Page, tmp_path: Path) -> None:
    campaign = await makes(page, tmp_path)
    await page.get_by_role("button", name="Dry run").click()
    await expect(page.get_by_text("Going through the people")).to_be_visible()
    await planning.plan(bakery.app, bakery.organisation_id, campaign)
    await page.get_by_role("button", name="Schedule", exact=True).click()
    dialog = page.get_by_role("dialog", name="When should it begin?")
    await dialog.get_by_label("Day and time").fill("2026-12-01T10:00")
    await dialog.get_by_label("Whose clock").select_option("Europe/Lisbon")
    await dialog.get_by_role("button", name="Schedule").click()
    await expect(page.get_by_text("It begins by itself")).to_be_visible()
    await page.get_by_role("button", name="Take it off the schedule").click()
    await expect(page.locator(".page-head .badge")).to_have_text("Planned")
    await page.locator("form").get_by_role("button", name="Change").click()
    await expect(page.get_by_role("heading", name="Who gets it")).to_be_visible()
    await expect(page.get_by_label("Name", exact=True)).to_have_value("Spring sale")
