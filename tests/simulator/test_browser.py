"""The pages of the simulator in Chromium: somebody lives in them."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright
from tests.fixtures.browser import CHROMIUM, FLAGS, IN_CHROMIUM
from tests.fixtures.patience import PATIENCE, eventually
from tests.simulator.test_pages import PAGES

from whatsapp_simulator.app import Settings, create

pytestmark = IN_CHROMIUM


class Served:
    """A simulator on a port of its own, in a thread, and a hand on it."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        app = create(Settings(contacts=6, messages=200), base_url=self.address)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started)
        self.http = httpx.Client(base_url=self.address, trust_env=False)
        self.phone = self.get("/control/phones")["phones"][0]

    def stop(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def get(self, path: str) -> Any:
        return self.http.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return self.http.post(path, json=body).raise_for_status().json()

    def connect(self) -> str:
        """Onboard the phone by script: a token for it."""
        extras = {"featureType": "whatsapp_business_app_onboarding"}
        begun = self.post("/signup/sessions", config_id="200000000000001", extras=extras, phone_number=self.number)
        self.post(f"/control/phones/{self.phone['id']}/confirm", code=begun["verification_code"])
        return str(self.post(f"/control/phones/{self.phone['id']}/token")["access_token"])

    @property
    def number(self) -> str:
        return str(self.phone["number"])

    def send(self, token: str, **body: Any) -> None:
        """A message of the platform to the first customer."""
        sent = self.http.post(
            f"/v26.0/{self.phone['id']}/messages",
            json={"messaging_product": "whatsapp", "to": "14155550171", **body},
            headers={"authorization": f"Bearer {token}"},
        )
        sent.raise_for_status()


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=1000 * PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Browser, served: Served) -> Iterator[BrowserContext]:
    """A browser of its own for a test. What a script complains about fails the test."""
    complaints: list[str] = []
    context = chromium.new_context(base_url=served.address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(1000 * PATIENCE)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
    yield context
    context.close()
    assert complaints == []


def _is_complaint(said: ConsoleMessage) -> bool:
    """Chromium also writes down every refusal (400, 409), which pages show to the person."""
    return said.type == "error" and not re.search(r"status of 4(00|09)", said.text)


def _open(window: BrowserContext, path: str) -> Page:
    page = window.new_page()
    page.goto(path)
    return page


def _front(page: Page) -> Page:
    """A window behind another draws once a second, and a click waits until what it hits stands still."""
    page.bring_to_front()
    return page


def _write(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


def _bubble(page: Page, text: str) -> Locator:
    return page.locator(".row", has_text=text)


def _menu(page: Page, text: str, item: str) -> None:
    _bubble(_front(page), text).click(button="right")
    page.get_by_role("menuitem", name=item).click()


def test_the_owner_connects_the_number_from_popup_and_phone(served, window):
    start = _open(window, "/")
    with start.expect_popup() as opened:
        start.get_by_role("button", name="Open the signup popup").click()
    popup = opened.value
    popup.get_by_role("button", name="Continue as").click()
    popup.get_by_label("Café Aurora").check()
    popup.get_by_role("button", name="Next").click()
    code = popup.locator(".big-code").text_content()

    with window.expect_page() as opened:
        popup.get_by_role("link", name="Open the simulated phone").click()
    phone = opened.value
    phone.get_by_role("link", name="Connect", exact=True).click()
    phone.get_by_role("button", name="Confirm").click()
    phone.get_by_role("button", name="Don't share chats").click()
    phone.get_by_label("Code").fill("AAAA-AAAA")
    phone.keyboard.press("Enter")
    phone.get_by_text("That code isn't right.").wait_for()
    phone.get_by_label("Code").fill(code)
    phone.keyboard.press("Enter")
    phone.get_by_role("link", name="Done").click()
    phone.get_by_text("Connected to").wait_for()

    popup.get_by_role("button", name="Finish").click()
    start.locator(".heard", has_text="code ").wait_for()
    message, _, code = start.locator(".heard").text_content().partition("\ncode ")
    assert json.loads(message) == {
        "type": "WA_EMBEDDED_SIGNUP",
        "event": "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING",
        "data": {"waba_id": served.phone["waba_id"]},
        "version": 3,
    }
    app = served.get("/control/app")
    query = {"client_id": app["id"], "client_secret": app["secret"], "code": code}
    assert served.http.get("/v26.0/oauth/access_token", params=query).status_code == 200
    shown = served.get(f"/control/phones/{served.phone['id']}")
    assert (shown["state"], shown["share_history"]) == ("connected", False)

    phone.get_by_role("button", name="Disconnect", exact=True).click()
    phone.get_by_role("dialog").get_by_role("button", name="Disconnect").click()
    phone.get_by_text("It was connected before").wait_for()
    eventually(lambda: served.get(f"/control/phones/{served.phone['id']}")["state"] == "disconnected")


@pytest.mark.parametrize(
    ("answer", "event"), [("Fell through", "FINISH"), ("Error inside", "CANCEL"), ("ERROR event", "ERROR")]
)
def test_the_popup_ends_as_meta_might_end_it(served, window, answer, event):
    start = _open(window, "/")
    with start.expect_popup() as opened:
        start.get_by_role("button", name="Open the signup popup").click()
    popup = opened.value
    popup.get_by_label("As Meta might answer").select_option(answer)
    popup.get_by_role("button", name="Continue as").click()
    popup.get_by_role("button", name="Next").click()
    if event == "FINISH":
        popup.get_by_role("button", name="Finish").click()
    start.locator(".heard", has_text="code ").wait_for()
    heard = json.loads(start.locator(".heard").text_content().partition("\ncode ")[0])
    assert heard["event"] == event
    assert ("error_message" in heard["data"]) == (event != "FINISH")


def test_closing_the_popup_tells_the_step_that_was_open(served, window):
    start = _open(window, "/")
    with start.expect_popup() as opened:
        start.get_by_role("button", name="Open the signup popup").click()
    popup = opened.value
    popup.get_by_role("button", name="Continue as").click()
    popup.get_by_role("button", name="Next").click()
    popup.locator(".big-code").wait_for()
    popup.close(run_before_unload=True)
    start.locator(".heard", has_text="code none").wait_for()
    heard = json.loads(start.locator(".heard").text_content().partition("\ncode ")[0])
    assert heard["data"] == {"current_step": "PHONE_NUMBER_VERIFICATION"}
    eventually(lambda: served.get(f"/control/phones/{served.phone['id']}")["pending_session"] is None)


def test_a_conversation_goes_between_the_two_phones(served, window):
    chat = f"/phone/{served.phone['id']}"
    owner = _open(window, chat)
    customer = _open(window, "/customer/c1")
    _write(customer, "Do you have *fresh* bread?")
    row = owner.locator("[data-customer=c1]", has_text="fresh")
    row.locator(".count", has_text="1").wait_for()
    _bubble(customer, "fresh").locator(".ticks.delivered").wait_for()
    _front(owner)
    row.click()
    _bubble(owner, "fresh").locator("b", has_text="fresh").wait_for()
    _bubble(customer, "fresh").locator(".ticks.read").wait_for()

    _menu(owner, "fresh", "Reply")
    _write(owner, "Yes, untill 7")
    _bubble(customer, "untill").locator(".quote", has_text="fresh").wait_for()
    _menu(owner, "untill", "Edit")
    _write(owner, "Yes, until 7")
    _bubble(customer, "until 7").get_by_text("Edited").wait_for()
    _bubble(owner, "until 7").locator(".ticks.read").wait_for()

    _menu(customer, "until 7", "React 👍")
    _bubble(owner, "until 7").locator(".reactions").wait_for()
    _write(customer, "wrong chat")
    _menu(customer, "wrong chat", "Delete for everyone")
    customer.get_by_role("dialog").get_by_role("button", name="Delete").click()
    owner.get_by_text("This message was deleted").wait_for()


def test_every_kind_of_attachment_is_shown_on_the_other_side(served, window):
    owner = _open(window, f"/phone/{served.phone['id']}#/chat/c1")
    customer = _open(window, "/customer/c1")
    owner.locator(".row").first.wait_for()
    for item, shown in {
        "Sample picture": ".picture img",
        "Sample document": ".paper",
        "Sample voice message": ".voice",
        "Sample video": ".missing, .film",
        "Sample sticker": ".sticker",
        "Poll": ".poll",
    }.items():
        before = owner.locator(shown).count()
        _front(customer).get_by_role("button", name="Attach").click()
        customer.get_by_role("menuitem", name=item).click()
        owner.locator(shown).nth(before).wait_for(state="attached")
    for item, shown in {"Location": "Plaça", "Contact": "Joan"}.items():
        customer.get_by_role("button", name="Attach").click()
        customer.get_by_role("menuitem", name=item, exact=True).click()
        customer.get_by_role("dialog").get_by_role("button", name="Send").click()
        _bubble(owner, shown).wait_for()
    picture = (Path(__file__).parents[2] / "src/whatsapp_simulator/static/icon.svg").read_bytes()
    _front(owner)
    with owner.expect_file_chooser() as chosen:
        owner.get_by_role("button", name="Attach").click()
        owner.get_by_role("menuitem", name="Document from a file").click()
    chosen.value.set_files({"name": "menu.pdf", "mimeType": "application/pdf", "buffer": picture})
    owner.get_by_role("dialog").get_by_role("button", name="Send").click()
    _bubble(customer, "menu.pdf").wait_for()


def test_what_the_platform_sends_is_an_own_message_and_its_buttons_can_be_pressed(served, window):
    token = served.connect()
    owner = _open(window, f"/phone/{served.phone['id']}#/chat/c1")
    customer = _open(window, "/customer/c1")
    _write(customer, "hello?")
    _bubble(owner, "hello?").wait_for()
    buttons = [{"type": "reply", "reply": {"id": f"b{i}", "title": title}} for i, title in enumerate(("Yes", "No"))]
    question = {"type": "button", "body": {"text": "A table for two?"}, "action": {"buttons": buttons}}
    served.send(token, type="interactive", interactive=question)
    expect(_bubble(owner, "A table for two?").get_by_role("button", name="Yes")).to_be_disabled()
    customer.get_by_role("button", name="Yes").click()
    _bubble(owner, "Yes").last.locator(".quote", has_text="A table").wait_for()

    rows = [{"id": "r1", "title": "19:00"}, {"id": "r2", "title": "20:30", "description": "On the terrace"}]
    action = {"button": "Choose a time", "sections": [{"title": "Tonight", "rows": rows}]}
    served.send(token, type="interactive", interactive={"type": "list", "body": {"text": "When?"}, "action": action})
    customer.get_by_role("button", name="Choose a time").click()
    customer.get_by_role("dialog").get_by_label("20:30").check()
    customer.get_by_role("dialog").get_by_role("button", name="Send").click()
    _bubble(owner, "On the terrace").wait_for()

    components = [{"type": "body", "parameters": [{"type": "text", "text": v} for v in ("Nora", "#81")]}]
    template = {"name": "order_ready", "language": {"code": "en_US"}, "components": components}
    served.send(token, type="template", template=template)
    customer.get_by_text("Hi Nora, your order #81 is ready for pickup.").wait_for()


def test_the_operator_judges_a_template_and_what_is_held_goes_out(served, window):
    token = served.connect()
    served.post("/control/options", template_review="manual", pacing_after=1, us_marketing=True)
    desk = _open(window, "/templates")
    desk.get_by_role("button", name="New template").click()
    form = desk.get_by_role("dialog")
    form.get_by_label("Name").fill("bike_days")
    form.get_by_label("Category").select_option("Marketing")
    form.get_by_label("Body").fill("Dear {{1}}, come and ride with us on {{2}} all day long.")
    form.get_by_label("Quick replies").fill("I'm in, Stop promotions")
    form.get_by_role("button", name="Hand in").click()
    one = desk.locator("#one")
    one.get_by_text("Dear example 1, come and ride").wait_for()
    one.get_by_role("button", name="Reject").click()
    desk.get_by_role("dialog").get_by_label("Reason").select_option("Scam")
    desk.get_by_role("dialog").get_by_role("button", name="Reject").click()
    one.get_by_text("Rejected: Scam.").wait_for()
    one.get_by_role("button", name="Approve after all").click()
    one.get_by_role("button", name="Green").click()
    one.get_by_role("button", name="Green", pressed=True).wait_for()

    body = {"type": "body", "parameters": [{"type": "text", "text": text} for text in ("Nora", "Sunday")]}
    template = {"name": "bike_days", "language": {"code": "en_US"}, "components": [body]}
    owner, customer = _open(window, f"/phone/{served.phone['id']}#/chat/c1"), _open(window, "/customer/c1")
    for _ in range(2):
        served.send(token, type="template", template=template)
    _front(owner).locator(".held", has_text="Held").wait_for()
    _front(desk)
    one.get_by_role("button", name="They liked it").click()
    _front(owner).locator(".held").wait_for(state="detached")
    _bubble(_front(customer), "Dear Nora, come and ride with us on Sunday").nth(1).wait_for()
    customer.get_by_role("button", name="I'm in").first.click()
    _bubble(owner, "I'm in").last.locator(".quote", has_text="Dear Nora").wait_for()
    _bubble(customer, "Dear Nora").first.click(button="right")
    customer.get_by_role("menuitem", name="Stop promotions").click()
    customer.get_by_text("Stopped by this person.").wait_for()

    _front(desk)
    one.get_by_role("button", name="Red").click()
    one.get_by_text("Paused for low quality until").wait_for()
    one.get_by_role("button", name="Unpause").click()
    one.get_by_role("button", name="Another category").click()
    desk.get_by_role("dialog").get_by_label("Hours of notice").fill("0")
    desk.get_by_role("dialog").get_by_role("button", name="Recategorise").click()
    desk.get_by_label("Limit of Café Aurora").select_option("2K")
    eventually(lambda: served.get("/control/portfolios")["portfolios"][0]["tier"] == "TIER_2K")


def test_the_owner_keeps_contacts_and_the_customer_stops_promotions(served, window):
    owner = _open(window, f"/phone/{served.phone['id']}#/contact/c1")
    owner.get_by_label("Name").fill("Nora from the bakery")
    owner.get_by_role("button", name="Save").click()
    owner.locator(".chat-head", has_text="Nora from the bakery").get_by_role("link", name="Back").click()
    owner.locator("[data-customer=c1]", has_text="Nora from the bakery").wait_for()
    customer = _open(window, "/customer/c1")
    customer.get_by_role("button", name="Stop promotions").click()
    customer.get_by_text("Stopped by this person.").wait_for()
    expect(customer.get_by_label("Hide the number")).to_be_disabled()
    customer.get_by_label("Username").fill("@nora")
    customer.keyboard.press("Tab")
    customer.get_by_label("Hide the number").click()
    owner.goto(f"/phone/{served.phone['id']}#/chat/c1")
    owner.locator(".chat-head small", has_text="@nora").wait_for()


def test_the_phone_is_closed_moved_and_registered_again(served, window):
    token = served.connect()
    served.http.post(
        f"/v26.0/{served.phone['waba_id']}/subscribed_apps", headers={"authorization": f"Bearer {token}"}
    ).raise_for_status()
    page = _open(window, f"/phone/{served.phone['id']}#/settings/platform")
    page.get_by_text("Connected to").wait_for()
    page.get_by_role("button", name="Close the app").click()
    page.get_by_text("The app is closed").wait_for()
    served.http.post(
        f"/v26.0/{served.phone['id']}/smb_app_data",
        json={"messaging_product": "whatsapp", "sync_type": "history"},
        headers={"authorization": f"Bearer {token}"},
    ).raise_for_status()
    page.get_by_role("button", name="Business chat").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_role("link", name="Business Platform").click()
    page.get_by_text("Synced", exact=True).wait_for()
    page.get_by_role("button", name="Change device").click()
    page.get_by_text("Connection paused").wait_for()
    page.get_by_role("button", name="Re-register", exact=True).click()
    page.get_by_text("Connected to").wait_for()
    page.get_by_role("button", name="Inactive 14 days").click()
    page.get_by_text("It was connected before").wait_for()


def test_the_operator_moves_the_clock_and_arms_a_fault(served, window):
    token = served.connect()
    start = _open(window, "/")
    start.get_by_role("button", name="+25 h").click()
    start.get_by_text("25 hours ahead").wait_for()
    start.get_by_role("button", name="Back to real").click()
    start.get_by_text("Real time").wait_for()
    start.get_by_role("button", name="Set …").click()
    start.get_by_label("Date and time").fill("2031-03-09T10:30")
    start.get_by_role("button", name="Set", exact=True).click()
    start.locator("#clock .time", has_text="2031").wait_for()
    start.get_by_role("button", name="Back to real").click()
    start.get_by_text("Real time").wait_for()
    start.get_by_label("Code").fill("131026")
    start.get_by_role("button", name="Arm").click()
    start.get_by_text("Next 1: sends fail after a 200, 131026 undeliverable").wait_for()
    customer = _open(window, "/customer/c1")
    _write(customer, "hi")
    _bubble(customer, "hi").last.wait_for()
    served.send(token, type="text", text={"body": "hello"})
    start.get_by_text("Next 1: sends fail").wait_for(state="detached")
    line = _front(start).locator("#requests .line", has_text="/messages")
    line.click()
    line.locator("pre", has_text='"body": "hello"').wait_for()


def test_the_operator_sets_limits_by_hand_and_sees_the_pace(served, window):
    token = served.connect()
    start = _open(window, "/")
    start.get_by_label("Messages a second").fill("2")
    start.keyboard.press("Tab")
    start.locator("#limits input[value='2']").wait_for()
    assert served.get("/control/options")["throughput"] == 2
    start.get_by_label("Has a payment method").click()
    start.get_by_text("can't pay").wait_for()

    def sent() -> Any:
        body = {"messaging_product": "whatsapp", "to": "14155550171", "type": "text", "text": {"body": "hi"}}
        headers = {"authorization": f"Bearer {token}"}
        served.http.post(f"/v26.0/{served.phone['id']}/messages", json=body, headers=headers)
        return served.get(f"/control/pacing?phone={served.phone['id']}")

    told = eventually(sent, lambda told: told["too_fast"] > 0)
    pace = start.locator(".pace", has_text=f"{told['out']} out · {told['too_fast']} too fast")
    pace.get_by_role("img", name="messages went out in the last minute").wait_for()
    start.get_by_label("Which requests").select_option("Refused")
    start.locator("#requests .line", has_text="130429").nth(told["too_fast"] - 1).wait_for()
    expect(start.locator("#requests .pill.good")).to_have_count(0)


def test_a_fault_is_meant_for_some_and_says_so(served, window):
    start = _open(window, "/")
    start.get_by_label("What happens").select_option("are done, never answered")
    start.get_by_label("How many").fill("")
    start.get_by_label("Chance, %").fill("12.5")
    start.get_by_label("After seconds").fill("3")
    start.get_by_text("Only some of them").click()
    start.get_by_label("To", exact=True).fill("+1 415-555-0171")
    start.locator("select[name=phone]").select_option("Café Aurora")
    start.get_by_label("For minutes").fill("10")
    start.get_by_role("button", name="Arm", exact=True).click()
    start.get_by_text("12.5 % of sends to +1 415 555 0171 from Café Aurora are done, never answered, 3 s").wait_for()
    (fault,) = served.get("/control/faults")["faults"]
    assert (fault["effect"], fault["times"], fault["probability"]) == ("no_answer", None, 0.125)
    assert (fault["to"], fault["phone"], fault["seconds"]) == ("14155550171", served.phone["id"], 3)
    start.get_by_role("button", name="Remove").click()
    start.get_by_text("12.5 % of sends").wait_for(state="detached")


def test_no_page_is_wider_than_a_phone(served, window):
    for path in (*PAGES, "/phone#/settings/platform", "/phone#/contacts", "/phone#/chat/c1", "/phone#/connect"):
        page = _open(window, path)
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_load_state("networkidle" if path == "/signup" else "load")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
        page.close()
