"""Somebody who never wrote a program builds an automation, tries it, and turns it on; then it meets a customer."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect
from tests.automations.conftest import ANA, Bakery
from tests.fixtures.browser import MARKS, chromium, served, window

from twinline.accounts import service as accounts
from twinline.automations import queries
from twinline.web.app import build

pytestmark = MARKS

__all__ = ["chromium"]


@pytest.fixture
async def page(bakery: Bakery, chromium: Browser) -> AsyncIterator[Page]:
    async with bakery.app.db.transaction() as tx:
        who = bakery.organisation_id, "ada@example.com", "Ada", "owner", "correct horse"
        await accounts.create_user(tx, *who, bakery.clock.now())
    login = "ada@example.com", "correct horse"
    async with served(build(bakery.app)) as address, window(chromium, address, login) as page:
        yield page


async def adds(page: Page, place: str, what: str) -> None:
    await page.get_by_role("button", name=place, exact=True).last.click()
    await page.get_by_role("searchbox", name="Search").fill(what)
    await page.get_by_role("dialog", name="Add a step").get_by_role("button").filter(has_text=what).click()


async def test_a_lead_is_captured_with_two_questions_and_a_branch(bakery: Bakery, page: Page) -> None:
    await page.get_by_role("link", name="Automations").click()
    await page.get_by_role("link", name="New automation").click()
    await page.get_by_role("button", name="Begin", exact=True).click()
    await page.wait_for_url(re.compile(r"/automations/\d+$"))
    automation = int(page.url.rpartition("/")[2])
    await page.get_by_label("Name", exact=True).fill("Lead capture")

    # When: a message with a word.
    await page.get_by_role("button", name="Choose what begins it").click()
    await page.get_by_role("button", name="Certain words").click()
    await page.get_by_label("Words: add one").fill("price")
    await page.get_by_label("Words: add one").press("Enter")

    # Two questions, the first with choices.
    await adds(page, "Add a step at the beginning", "Ask and wait")
    await page.get_by_label("Question").fill("What do you need, {{con")
    await page.get_by_role("option", name=re.compile("Their name")).click()
    await expect(page.get_by_label("Question")).to_have_value("What do you need, {{contact.name|there}}")
    await page.get_by_role("button", name="Add a choice").click()
    await page.get_by_label("Choice", exact=True).fill("A cake")
    await page.get_by_label("Choice", exact=True).press("Enter")
    await page.get_by_label("Choice", exact=True).last.fill("Bread")
    await page.get_by_role("button", name=re.compile("^Ask “What do you need")).click()
    await adds(page, "Add a step after step 1", "Branch")
    await expect(page.get_by_role("heading", name="If they chose “A cake”")).to_be_visible()
    cake = page.locator(".column", has=page.get_by_role("heading", name="If they chose “A cake”"))
    await cake.get_by_role("button", name="Add a step at the beginning").click()
    await page.get_by_role("button", name="Ask and wait").click()
    await cake.get_by_label("Question").fill("And for what day?")
    await cake.get_by_label("Keep it as").fill("day")
    await cake.get_by_role("button", name=re.compile("^Ask “And for what day")).click()
    await cake.get_by_role("button", name="Add a step after step 1").click()
    await page.get_by_role("button", name="Hand to a person").click()
    await cake.get_by_label("Note for the team").fill("Cake for {{vars.day}}")
    bread = page.locator(".column", has=page.get_by_role("heading", name="If they chose “Bread”"))
    await bread.get_by_role("button", name="Add a step at the beginning").click()
    await page.get_by_role("button", name="Send a message").click()

    # What is missing is said where it is missing, and all of it is kept as it is written.
    await expect(page.locator("#problems")).to_have_text("1 to mend")
    await expect(bread.locator(".step .error:visible")).to_have_count(1)
    await bread.get_by_label("Text", exact=True).fill("We bake every morning.")
    await expect(bread.locator(".preview")).to_contain_text("We bake every morning.")
    await expect(page.locator("#problems")).not_to_contain_text("mend")
    await expect(page.locator("#saved")).to_have_text("Saved as draft")

    # Tried on a customer who isn't there.
    await page.get_by_label("Write as the customer").fill("What's the price?")
    await page.get_by_label("Write as the customer").press("Enter")
    talk = page.get_by_role("log", name="The conversation")
    await expect(talk).to_contain_text("What do you need, Ana")
    await talk.get_by_role("button", name="A cake").click()
    await expect(talk).to_contain_text("And for what day?")
    await page.get_by_role("button", name="The owner answers on the phone").click()
    await expect(talk).to_contain_text("It falls silent: the phone has the floor")
    await page.get_by_label("Write as the customer").fill("Friday")
    await page.get_by_label("Write as the customer").press("Enter")
    await expect(talk).to_contain_text("It is silent")

    # Published, with what it does in words, and on.
    await page.get_by_role("button", name="Publish").click()
    dialog = page.get_by_role("dialog", name="Publish")
    await expect(dialog).to_contain_text("If they chose “Bread”")
    await dialog.get_by_role("button", name="Publish").click()
    await expect(page.get_by_text("Version 1 is published")).to_be_visible()
    async with bakery.app.db.transaction() as tx:
        one = await queries.automation(tx, bakery.organisation_id, automation)
        await tx.execute("UPDATE automations SET quiet_for = '0'")
    assert one is not None
    assert one.enabled
    assert one.definition is not None
    assert [next(iter(step)) for step in one.definition["steps"]] == ["ask", "branch"]

    # A customer writes, and a person sees in the chat who is talking, and takes over.
    contact = await bakery.writes(ANA, "What's the price?")
    await page.goto(f"/inbox/{bakery.number_id}/{contact}")
    await expect(page.locator("#floor")).to_contain_text("“Lead capture” is talking here")
    await page.get_by_role("button", name="Take over").click()
    await expect(page.locator("#floor")).to_contain_text("A person is answering here")
    await expect(page.locator(".why-log")).to_contain_text("A person took the chat for 2 hours.")
    await page.locator("#floor").get_by_role("button", name="Hand back").click()
    await expect(page.locator("#floor")).not_to_contain_text("A person is answering here")


async def test_steps_are_moved_by_keyboard_and_mouse_and_come_back(bakery: Bakery, page: Page) -> None:
    made = await bakery.automation(
        "Greeting",
        {"send": {"text": "One"}},
        {"branch": [{"when": [{"tag": "vip"}], "steps": []}, {"otherwise": True, "steps": []}]},
        {"send": {"text": "Two"}},
    )
    await page.goto(f"/automations/{made}")
    outer = page.locator("#flow > .lane > .node > .step .sentence")
    await expect(outer).to_have_text(["Say “One”", "Then it depends: 1 way, or otherwise", "Say “Two”"])
    await page.get_by_role("button", name="Say “Two”").press("Alt+ArrowUp")
    await expect(outer).to_have_text(["Say “One”", "Say “Two”", "Then it depends: 1 way, or otherwise"])
    await page.keyboard.press("Alt+ArrowRight")
    vip = page.locator(".column", has_text="If the contact has the tag “vip”")
    await expect(vip.get_by_role("button", name="Say “Two”")).to_be_focused()
    await page.keyboard.press("Alt+ArrowRight")
    await expect(page.locator(".column.otherwise").get_by_role("button", name="Say “Two”")).to_be_focused()
    await page.keyboard.press("Delete")
    await expect(page.get_by_role("button", name="Say “Two”")).to_have_count(0)
    await page.locator("#toasts").get_by_role("button", name="Undo").click()
    await expect(page.locator(".column.otherwise").get_by_role("button", name="Say “Two”")).to_be_visible()
    await page.get_by_role("button", name="Say “One”").drag_to(page.locator("#flow > .lane > .joint").last)
    await expect(outer).to_have_text(["Then it depends: 1 way, or otherwise", "Say “One”"])
    await expect(page.locator("#saved")).to_have_text("Saved as draft")

    # The same as YAML: an error has its line, and what is mended there is seen in the flow.
    await page.get_by_role("link", name="YAML").click()
    yaml = page.get_by_label("The automation as YAML")
    await expect(yaml).to_have_value(re.compile("text: Two"))
    text = await yaml.input_value()
    line = next(at for at, line in enumerate(text.split("\n"), 1) if line.endswith("- send:"))
    await yaml.fill(text.replace("- send:", "- sned:", 1))
    problem = page.locator(".yaml-problems .fail")
    await expect(problem).to_contain_text(f"Line {line}")
    await expect(problem).to_contain_text("did you mean “send”?")
    await yaml.fill(text.replace("One", "Hello"))
    await expect(problem).to_have_count(0)
    await page.get_by_role("link", name="Flow").click()
    await expect(page.get_by_role("button", name="Say “Hello”")).to_be_visible()
    await expect(page.locator("#saved")).to_have_text("Saved as draft")


async def test_another_type_of_message_leaves_nothing_of_the_one_before(bakery: Bakery, page: Page) -> None:
    made = await bakery.automation("Greeting", {"send": {"text": "Hello", "preview": True}})
    await page.goto(f"/automations/{made}")
    await page.get_by_role("button", name="Say “Hello”").click()
    await page.get_by_role("button", name="Contact", exact=True).click()
    await page.get_by_role("button", name="Add a contact").click()
    await page.get_by_label("Name", exact=True).last.fill("Maria")
    await page.get_by_label("Phone", exact=True).fill("+351 910 009 000")
    await expect(page.get_by_role("button", name="Send the contact Maria")).to_be_visible()
    await expect(page.locator(".preview")).to_contain_text("Maria +351 910 009 000")
    await page.get_by_role("button", name="Picture", exact=True).click()
    await page.get_by_label("or its address on the web").fill("https://shop.example/cake.jpg")
    await expect(page.locator("#problems")).to_have_text("Ready")
    await page.get_by_role("link", name="YAML").click()
    yaml = page.get_by_label("The automation as YAML")
    await expect(yaml).to_have_value(re.compile(r"type: image\n\s+link: https://shop.example/cake.jpg\n*$"))


async def test_a_starter_is_mended_with_one_press_and_tried_in_the_evening(bakery: Bakery, page: Page) -> None:
    await page.goto("/automations/new")
    await page.get_by_role("button", name="Use New customer").click()
    await expect(page.locator("#problems")).to_have_text("2 to mend")
    await page.get_by_role("button", name="Make the fields “interest” and “email”").first.click()
    await expect(page.locator("#problems")).to_have_text("Ready")
    await expect(page.locator(".the-end")).to_contain_text("It begins anew when they come by an ad once more")

    # On the number's clock, at an hour of one's own; and time goes on.
    await page.get_by_label("It is", exact=True).fill("2026-11-23T21:00")
    await expect(page.locator("#talk-zone")).to_have_text("Europe/Lisbon")
    await page.get_by_role("button", name="They come by the ad").click()
    talk = page.get_by_role("log", name="The conversation")
    await expect(talk).to_contain_text("Waits for an answer until 23 Nov, 23:00.")
    await page.get_by_label("Wait: how many").fill("3")
    await page.get_by_role("button", name="Let it pass").click()
    await expect(talk).to_contain_text("3 hours later: Tue 24 Nov, 00:00")
    await expect(talk).to_contain_text("Handed to a person: Began to ask for an offer, and didn't go on.")
    await expect(page.get_by_label("It is", exact=True)).to_have_value("2026-11-24T00:00")
    await page.get_by_label("It is", exact=True).fill("2026-11-23T08:00")
    await expect(talk).to_be_empty()


async def test_of_two_tabs_the_second_is_told_and_keeps_what_it_wrote(bakery: Bakery, page: Page) -> None:
    made = await bakery.automation("Greeting", {"send": {"text": "Hello"}})
    other = await page.context.new_page()
    for tab in (page, other):
        await tab.goto(f"/automations/{made}")
        await tab.get_by_role("button", name="Say “Hello”").click()
        await expect(tab.get_by_label("Text", exact=True)).to_have_value("Hello")
    await page.get_by_label("Text", exact=True).fill("Good morning")
    await expect(page.locator("#saved")).to_have_text("Saved as draft")
    await other.get_by_label("Text", exact=True).fill("Good evening")
    dialog = other.get_by_role("dialog", name="Somebody else saved it meanwhile")
    await expect(dialog).to_contain_text("Say “Good evening”before: Say “Good morning”")

    # As another automation it is there beside the first; or it takes its place.
    await dialog.get_by_role("button", name="Keep mine as another automation").click()
    await expect(other.get_by_label("Name", exact=True)).to_have_value("Greeting 2")
    await expect(other.get_by_role("button", name="Say “Good evening”")).to_be_visible()
    await other.goto(f"/automations/{made}")
    await other.get_by_role("button", name="Say “Good morning”").click()
    await page.get_by_label("Text", exact=True).fill("Good day")
    await expect(page.get_by_role("button", name="Say “Good day”")).to_be_visible()
    await expect(page.locator("#saved")).to_have_text("Saved as draft")
    await other.get_by_label("Text", exact=True).fill("Good night")
    await dialog.get_by_role("button", name="Put mine in its place").click()
    await expect(dialog).to_be_hidden()
    await expect(other.locator("#saved")).to_have_text("Saved as draft")
    await page.reload()
    await expect(page.get_by_role("button", name="Say “Good night”")).to_be_visible()
