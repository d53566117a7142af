"""The inbox in Chromium, under the policy that it is served with."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from tests.fixtures.browser import MARKS, chromium, served, window

from twinline.accounts.gate import SecurityHeaders
from twinline.app import App
from twinline.automations import service as automations
from twinline.contacts import service as contacts
from twinline.inbox import service
from twinline.inbox.live import Live
from twinline.kit.html import WEB
from twinline.mirror import events, turn

__all__ = ["chromium"]

pytestmark = MARKS

# A conversation that has just handed its chat to people.
HANDED = """
WITH a AS (
    INSERT INTO automations (organisation_id, name, position, draft, draft_at, made_at)
    VALUES (%(organisation)s, 'Orders', 1, '{}', %(now)s, %(now)s) RETURNING id
)
INSERT INTO runs (number_id, organisation_id, automation_id, version, contact_id, state, waits, run, began_at, moved_at,
                  ended_at, released)
SELECT %(number)s, %(organisation)s, a.id, 1, %(contact)s, 'ended', '', '{}', %(now)s, %(now)s, %(now)s, true FROM a
"""


# Twinline can't be reached for addresses with ``away`` in them: at first for what stands further up, or down.
AWAY = """
const asked = fetch;
window.away = "before=";
window.refused = 0;
window.fetch = (address, options) => {
  if (!away || !String(address).includes(away)) return asked(address, options);
  refused += 1;
  return Promise.reject(new TypeError("away"));
};
"""


@pytest.fixture
async def page(app: App, shop: Any, seen_by: Any, site: Any, chromium: Browser) -> AsyncIterator[Page]:
    live = Live(app)
    await live.start()
    made = site(app, live)
    made.router.routes.append(Mount("/static", StaticFiles(directory=WEB / "static")))
    seen = SecurityHeaders(seen_by(made, shop.viewer))
    async with served(seen, lifespan="off") as address, window(chromium, address) as page:
        yield page
    await live.stop()


async def test_what_happens_elsewhere_appears_and_what_is_being_done_here_stays(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    bruno = await shop.contact("34600111333", profile_name="Bruno")
    await shop.write(*[shop.row(ana, f"line {n}", ago=500 - n) for n in range(60)])
    await shop.say(bruno, "oi", ago=50)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    box = page.get_by_label("Write a message")
    await box.fill("half a sen")

    await shop.say(ana, "a new one", tell=True)
    await expect(page.locator(".bubble .text", has_text="a new one")).to_be_in_viewport()
    await expect(box).to_have_value("half a sen")

    await shop.say(bruno, "and one in the other chat", tell=True)
    await expect(page.locator("#rows .chat").first).to_contain_text("Bruno")
    await expect(page).to_have_title("(1) Ana · Twinline")

    # Scrolled up, a message doesn't move what is being read.
    await page.locator("#scroller").evaluate("scroller => { scroller.scrollTop = -900 }")
    reading = page.locator(".bubble", has_text="line 30")
    before = await reading.bounding_box()
    await shop.say(ana, "below the fold", tell=True)
    await expect(page.locator("#to-newest")).to_contain_text("1 new message")
    after = await reading.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 2


async def test_the_details_follow_what_happens_and_what_is_being_filled_in_stays(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    panel = page.locator("#panel")
    received = panel.locator("dt:has-text('Received') + dd")
    await expect(received).to_have_text("1")
    name = panel.get_by_label("Name here")
    await name.fill("Ana from the mar")

    await shop.say(ana, "a new one", tell=True)
    await expect(received).to_have_text("2")
    async with shop.app.db.transaction() as tx:
        await contacts.tag(tx, shop.number_id, [ana], shop.now, add=["vip"])
    await expect(panel.locator(".tag")).to_have_text("vip")
    async with shop.app.db.transaction() as tx:
        await automations.take_floor(shop.app, tx, shop.number_id, ana, None, shop.now)
    await expect(panel.get_by_text("A person has the floor")).to_be_visible()
    await expect(panel.get_by_text("A person took the chat.")).to_be_visible()
    async with shop.app.db.transaction() as tx:
        await service.rename(tx, shop.number_id, ana, "Ana Ruiz", shop.now)
    await expect(panel.locator("#about-identity")).to_contain_text("Ana Ruiz")
    await expect(name).to_have_value("Ana from the mar")
    await expect(name).to_be_focused()


async def test_a_chat_that_is_handed_to_people_is_marked_counted_and_found_at_once(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    bruno = await shop.contact("34600111333", profile_name="Bruno")
    await shop.say(ana, "A cake, please", ago=60)
    await shop.say(bruno, "oi", ago=50)
    await page.goto(f"/inbox/{shop.number_id}")
    chip = page.get_by_role("link", name="Waiting for a person")
    await expect(chip.locator("b")).to_be_hidden()
    async with shop.app.db.transaction() as tx:
        await turn.take(tx, [shop.number_id])
        named = {"number": shop.number_id, "organisation": shop.viewer.organisation_id, "contact": ana}
        await tx.execute(HANDED, {**named, "now": shop.now})
        await events.publish(tx, {shop.number_id: {"chats": [ana]}}, shop.now)
    await expect(page.locator(f"#c-{ana} .badge")).to_have_text("Waiting")
    await expect(chip.locator("b")).to_have_text("1")
    await chip.click()
    await expect(page.locator("#rows .chat .who")).to_have_text(["Ana"])
    async with shop.app.db.transaction() as tx:
        await automations.release_floor(shop.app, tx, shop.number_id, ana, None, shop.now)
    await expect(page.locator("#rows .chat")).to_have_count(0)
    await expect(chip.locator("b")).to_be_hidden()


async def test_enter_sends_once_and_the_answer_stands_in_the_thread_at_once(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=60)
    await page.goto(f"/inbox/{shop.number_id}")
    await page.locator(f"#c-{ana}").click()
    box = page.get_by_label("Write a message")
    await box.fill("buenos días")
    await box.press("Enter")
    await box.press("Enter")
    await expect(page.locator(".bubble.unsent")).to_contain_text("buenos días")
    await expect(box).to_have_value("")
    await page.reload()
    await expect(page.locator(".bubble.unsent")).to_have_count(1)


async def test_what_has_not_left_stays_at_the_end_and_tells_its_day(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    await page.get_by_label("Write a message").fill("buenos días")
    await page.get_by_label("Write a message").press("Enter")
    await expect(page.locator(".bubble.unsent")).to_be_visible()
    await expect(page.locator(".day")).to_have_count(1)
    for n in (1, 2):
        await shop.say(ana, f"{n} days later", ago=-n * 86_400, tell=True)
        await expect(page.locator(".bubble .text").last).to_have_text("buenos días")
        await expect(page.locator(".day")).to_have_count(n + 2)
        await expect(page.locator(".day").last).to_contain_text("Not settled")


async def test_a_pasted_text_is_never_cut_off_unsaid(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    box = page.get_by_label("Write a message")
    await box.focus()
    await page.keyboard.insert_text("y" * 5000)
    await expect(box).to_have_value("y" * 5000)


async def test_the_history_comes_in_above_to_its_beginning(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.write(*[shop.row(ana, f"line {n}", ago=500_000 - n * 1000) for n in range(130)])
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    scrolled_to_the_beginning = "() => { scroller.scrollTop = -1e6; return !document.querySelector('#older') }"
    await page.wait_for_function(scrolled_to_the_beginning)
    await expect(page.locator(".bubble .text")).to_have_text([f"line {n}" for n in range(130)])


async def test_what_could_not_be_loaded_is_asked_for_again_and_said_once(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    others = [await shop.contact(f"346002{n:05}", profile_name=f"Person {n}") for n in range(50)]
    await shop.write(*[shop.row(ana, f"line {n}", ago=10_000 - n * 100) for n in range(60)])
    await shop.write(*[shop.row(other, "hola", ago=20_000 + n) for n, other in enumerate(others)])
    await page.clock.install()
    await page.add_init_script(AWAY)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    await page.evaluate("scroller.scrollTop = -1e6; rows.scrollTop = 1e6")
    toast = page.locator(".toast", has_text="can't be reached")
    await page.wait_for_function("() => window.refused >= 2")
    await expect(toast).to_have_count(1)
    await page.clock.fast_forward(3100)
    await page.wait_for_function("() => window.refused >= 4")
    await expect(toast).to_have_count(1)
    await page.evaluate("window.away = null")
    await page.clock.fast_forward(3100)
    await expect(page.locator(".bubble .text", has_text="line 0")).to_be_attached()
    await expect(page.locator("#rows .chat")).to_have_count(51)


async def test_news_that_could_not_be_fetched_are_there_once_twinline_is_back(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=60)
    await page.clock.install()
    await page.add_init_script(AWAY)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    received = page.locator("#panel dt:has-text('Received') + dd")
    await expect(received).to_have_text("1")
    await page.evaluate("window.away = '/inbox/'")
    await shop.say(ana, "are you open?", tell=True)
    await page.wait_for_function("() => window.refused >= 2")  # the bubble, and the list's line
    await page.clock.fast_forward(1000)  # head and panel follow a little later
    await page.wait_for_function("() => window.refused >= 4")
    await page.evaluate("window.away = null")
    await page.clock.fast_forward(3100)
    await expect(page.locator(".bubble .text")).to_have_text(["hola", "are you open?"])
    await expect(page.locator(f"#c-{ana}")).to_contain_text("are you open?")
    await expect(received).to_have_text("2")


async def test_an_answer_and_a_reaction_name_the_message_that_they_are_about(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    wamid = await shop.say(ana, "shall we say eleven?", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    bubble = page.locator(".bubble", has_text="shall we say eleven?").first
    await bubble.hover()
    await bubble.get_by_label("React", exact=True).click()
    await page.get_by_role("menuitem", name="👍").click()
    await expect(bubble.locator(".reactions")).to_contain_text("👍")
    await bubble.hover()
    await bubble.get_by_label("Answer this message").click()
    box = page.get_by_label("Write a message")
    await box.fill("fine")
    await box.press("Enter")
    await expect(page.locator(".bubble.unsent .quote")).to_contain_text("shall we say eleven?")
    async with shop.app.db.transaction() as tx:
        rows = await tx.rows("SELECT type, text, quoted FROM outbox ORDER BY id")
    assert rows == [("reaction", "👍", wamid), ("text", "fine", wamid)]


async def test_the_window_closes_by_itself_and_what_is_unfolded_stays_so(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "hola", ago=86_400 - 3)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    await expect(page.locator("#window")).to_contain_text("Open until")
    await page.get_by_text("Free from your phone").click()
    await expect(page.locator("#by-phone svg.qr")).to_be_visible()
    await page.get_by_label("Write a message").fill("half a sen")
    shop.app.clock.advance(seconds=4)
    await expect(page.locator("#window")).to_contain_text("The 24-hour window is closed")
    await expect(page.locator("#by-phone svg.qr")).to_be_visible()
    await expect(page.locator("#composer")).to_be_hidden()
    await expect(page.locator("#window [data-open=templates]")).to_be_visible()
    await shop.say(ana, "¿sigues ahí?", tell=True)
    await expect(page.get_by_label("Write a message")).to_have_value("half a sen")


async def test_what_isnt_text_is_said_from_the_menu_with_the_keyboard_alone(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "what do you have?", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    await page.get_by_label("Attach", exact=True).focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("menuitem", name="List").focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Message with a list")
    await dialog.get_by_label("Message").fill("What would you like?")
    await dialog.get_by_label("Text of the button that opens it").fill("See all")
    await dialog.get_by_role("textbox", name="Row").fill("Lemon")
    await expect(dialog.get_by_text("1 of 10", exact=True)).to_be_visible()
    for _ in range(9):
        await dialog.get_by_role("button", name="Row", exact=True).press("Enter")
    await expect(dialog.get_by_role("button", name="Row", exact=True)).to_be_disabled()
    for at, row in enumerate(await dialog.locator("[name=title]").all()):
        await row.fill(f"Cake {at}")
    await expect(dialog.locator(".list-part").last.get_by_text("6/24")).to_be_visible()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.locator(".bubble.unsent")).to_contain_text("See all")
    async with shop.app.db.transaction() as tx:
        [(content,)] = await tx.rows("SELECT content FROM outbox")
    assert [row["id"] for row in content["action"]["sections"][0]["rows"]] == [f"cake-{at}" for at in range(10)]


async def test_a_recording_leaves_as_a_voice_message_and_can_be_thrown_away(shop: Any, page: Page) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    await shop.say(ana, "tell me", ago=60)
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    box = page.get_by_label("Write a message")
    await box.fill("not yet")
    await expect(page.get_by_label("Record a voice message")).to_be_hidden()
    await box.fill("")
    await page.get_by_label("Record a voice message").click()
    await expect(page.get_by_text("Recording…")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(box).to_be_visible()
    await page.get_by_label("Record a voice message").click()
    await expect(page.locator(".recording output")).to_have_text("0:01")
    await page.get_by_label("Send the voice message").click()
    await expect(page.locator(".bubble.unsent .voice")).to_be_visible()
    async with shop.app.db.transaction() as tx:
        rows = await tx.rows("SELECT type, content->>'mime_type', content->>'voice' FROM outbox")
    assert rows == [("audio", "audio/ogg", "true")]


async def test_a_link_gets_its_preview_unless_told_otherwise_and_a_reaction_is_taken_back(
    shop: Any, page: Page
) -> None:
    ana = await shop.contact("34600111222", profile_name="Ana")
    wamid = await shop.say(ana, "where?", ago=60)
    await shop.say(ana, "🙏", ago=50, type="reaction", quoted=wamid, outgoing=True, author="person")
    await page.goto(f"/inbox/{shop.number_id}/{ana}")
    box = page.get_by_label("Write a message")
    preview = page.get_by_label("Show a preview of the link")
    await box.fill("here")
    await expect(preview).to_be_hidden()
    for text in ("https://example.com/one", "https://example.com/two"):
        await box.fill(text)
        await expect(preview).to_be_checked()
        if text.endswith("two"):
            await preview.uncheck()
        await box.press("Enter")
        await expect(page.locator(".bubble.unsent", has_text=text)).to_be_visible()
    async with page.expect_response("**/messages"):
        await page.get_by_label("Take back your 🙏").click()
    await expect(page.locator(".reactions")).to_have_count(0)
    async with shop.app.db.transaction() as tx:
        rows = await tx.rows("SELECT type, text, content FROM outbox ORDER BY id")
    assert rows == [
        ("text", "https://example.com/one", {"preview_url": True}),
        ("text", "https://example.com/two", None),
        ("reaction", None, None),
    ]
