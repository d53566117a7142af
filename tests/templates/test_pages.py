"""The pages about templates, as somebody in the office uses them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.datastructures import FormData
from tests.templates.conftest import BODY, Shop, spec
from tests.web.conftest import Browser, add_user

from twinline.rules import template_checks
from twinline.templates import forms, words
from twinline.web.app import build

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(shop: Shop) -> AsyncIterator[Browser]:
    transport = httpx.ASGITransport(build(shop.app), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://twinline.test") as http:
        browser = Browser(http, shop.app)
        await browser.log_in()
        yield browser


FORM = {
    "name": "bike_ready",
    "language": "en_US",
    "category": "UTILITY",
    "parameter_format": "POSITIONAL",
    "body": BODY["text"],
    "example.body.1": "Ann",
    "example.body.2": "Friday",
}


async def test_a_template_is_written_on_the_page_and_stands_in_the_list(shop: Shop, browser: Browser) -> None:
    made = await browser.submit(f"/templates/{shop.waba_id}/new", FORM)
    assert made.status_code == 303, made.text
    page = (await browser.get(made.headers["location"])).text
    assert "In review" in page
    assert "Dear Ann, your bike is mended" in page
    found = (await browser.get(f"/templates/{shop.waba_id}?q=bike&status=PENDING")).text
    assert "bike_ready" in found
    assert "bike_ready" not in (await browser.get(f"/templates/{shop.waba_id}?status=APPROVED")).text


async def test_the_form_comes_back_with_what_was_typed_and_what_is_wrong(shop: Shop, browser: Browser) -> None:
    answer = await browser.submit(f"/templates/{shop.waba_id}/new", {**FORM, "name": "Bike Ready"})
    assert answer.status_code == 422
    assert "small letters, digits and underscores only" in answer.text
    assert BODY["text"] in answer.text


async def test_the_check_says_what_the_rules_say_and_draws_the_bubble(shop: Shop, browser: Browser) -> None:
    asked = {**FORM, "body": "{{1}} is *{{2}}*", "example.body.2": ""}
    told = (await browser.submit(f"/templates/{shop.waba_id}/check", asked)).json()
    assert {problem["where"] for problem in told["problems"]} == {"body", "example.body.2"}
    assert [variable["key"] for variable in told["variables"]] == ["body.1", "body.2"]
    assert 'Ann is <strong><mark class="variable">2</mark></strong>' in told["preview"]
    assert told["lengths"]["body"] == [16, 1024]


async def test_nobody_of_another_house_sees_or_changes_anything(shop: Shop, browser: Browser) -> None:
    made = await shop.create(approve=True)
    await add_user(shop.app, shop.clock.now(), None, "eve@example.com", "owner")
    browser.http.cookies.clear()
    await browser.log_in("eve@example.com")
    for path in ("", "/new", f"/{made}", f"/{made}/edit", f"/{made}/sample"):
        assert (await browser.get(f"/templates/{shop.waba_id}{path}")).status_code == 404
    for path in ("sync", "new", "check", f"{made}/delete", f"{made}/unpause", f"{made}/fallbacks"):
        assert (await browser.submit(f"/templates/{shop.waba_id}/{path}", FORM)).status_code == 404
    assert (await browser.get(f"/inbox/{shop.number_id}/1/templates")).status_code == 404
    assert (await shop.template(made)).told.sends


async def test_who_only_answers_sets_fallbacks_but_makes_no_templates(shop: Shop, browser: Browser) -> None:
    made = await shop.create(approve=True)
    await add_user(shop.app, shop.clock.now(), shop.organisation_id, "bob@example.com", "agent")
    browser.http.cookies.clear()
    await browser.log_in("bob@example.com")
    assert (await browser.submit(f"/templates/{shop.waba_id}/new", FORM)).status_code == 403
    assert (await browser.submit(f"/templates/{shop.waba_id}/{made}/delete")).status_code == 403
    saved = await browser.submit(f"/templates/{shop.waba_id}/{made}/fallbacks", {"body.1": "friend"})
    assert saved.status_code == 303
    assert (await shop.template(made)).fallbacks == {"body.1": "friend"}


async def test_deleting_asks_for_one_language_or_all(shop: Shop, browser: Browser) -> None:
    await shop.sync()
    one = await shop.named("order_ready", "es")
    await browser.submit(f"/templates/{shop.waba_id}/{one.id}/delete")
    assert (await shop.named("order_ready")).language == "en_US"
    other = await shop.named("order_ready")
    await browser.submit(f"/templates/{shop.waba_id}/{other.id}/delete", {"all": "yes"})
    assert await shop.rows("SELECT id FROM templates WHERE name = 'order_ready' AND gone_at IS NULL") == []


async def test_a_template_goes_out_from_the_chat_filled_in(shop: Shop, browser: Browser) -> None:
    made = await shop.create(approve=True)
    contact = await shop.contact("+14155550171")
    base = f"/inbox/{shop.number_id}/{contact}/templates"
    # A chat is there once somebody has written in it.
    await shop.rows("INSERT INTO chats (number_id, contact_id) VALUES (%s, %s) RETURNING contact_id",
                    shop.number_id, contact)  # fmt: skip
    assert "bike_ready" in (await browser.get(base)).text
    fields = (await browser.get(f"{base}/{made}")).text
    assert 'name="value.body.1"' in fields
    drawn = await browser.submit(f"{base}/{made}/preview", {"value.body.1": "<Nora>"})
    assert "Dear &lt;Nora&gt;, your bike" in drawn.text
    few = await browser.submit(f"{base}/{made}", {"key": "12345678", "value.body.1": "Nora"})
    assert few.status_code == 409
    assert "{{2}} in the text" in few.text
    values = {"value.body.1": "Nora", "value.body.2": "Friday"}
    for _ in range(2):
        sent = await browser.submit(f"{base}/{made}", {"key": "12345678", **values})
        assert sent.status_code == 204, sent.text
    [row] = await shop.rows("SELECT text FROM outbox")
    assert row["text"].startswith("Dear Nora, your bike is mended")


async def test_the_headers_sample_is_sent_where_nobody_chooses_another_file(shop: Shop, browser: Browser) -> None:
    picture = b"\xff\xd8\xff" + b"\0" * 2000
    kept = await browser.http.post(
        f"/templates/{shop.waba_id}/sample",
        data={"header": "IMAGE"},
        files={"file": ("bike.jpg", picture, "image/jpeg")},
        headers={"x-csrf-token": await browser.csrf()},
    )
    handed = {"header": "IMAGE", "header_handle": kept.json()["handle"], "header_sample": kept.text}
    made = (await browser.submit(f"/templates/{shop.waba_id}/new", FORM | handed)).headers["location"]
    template = made.rsplit("/", 1)[1]
    await shop.step(template, "approve")
    assert (await browser.get(f"{made}/sample")).content == picture

    contact = await shop.contact("+14155550171")
    await shop.rows("INSERT INTO chats (number_id, contact_id) VALUES (%s, %s) RETURNING contact_id",
                    shop.number_id, contact)  # fmt: skip
    values = {"key": "12345678", "value.body.1": "Nora", "value.body.2": "Friday"}
    sent = await browser.submit(f"/inbox/{shop.number_id}/{contact}/templates/{template}", values)
    assert sent.status_code == 204, sent.text
    assert f"POST /v26.0/{shop.phone_id}/media" in shop.way.calls
    [row] = await shop.rows("SELECT content FROM outbox")
    [parameter] = row["content"]["components"][0]["parameters"]
    assert parameter["type"] == "image"
    assert parameter["image"]["id"]


# --- the form ---------------------------------------------------------------------------------------------------------


def _form(shown: dict[str, Any]) -> FormData:
    """What a browser sends of a form that shows this."""
    rows = shown.pop("buttons")
    fields = [(name, str(value)) for name, value in shown.items() if isinstance(value, str | int) and value is not True]
    fields += [(name, "yes") for name, value in shown.items() if value is True]
    fields += [(f"example.{key}", value) for key, value in shown["examples"].items()]
    fields += [(f"button_{name}", row[name]) for row in rows for name in ("type", "text", "value")]
    return FormData(fields)


async def test_what_the_form_shows_of_a_template_is_what_it_sends_again() -> None:
    header = {"type": "HEADER", "format": "TEXT", "text": "For {{1}}", "example": {"header_text": ["Ann"]}}
    buttons = [
        {"type": "QUICK_REPLY", "text": "Yes"},
        {"type": "URL", "text": "See", "url": "https://a.example/{{1}}", "example": ["https://a.example/17"]},
        {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+351210007788"},
        {"type": "COPY_CODE", "example": "BREAD10"},
    ]
    for components in (
        [header, BODY, {"type": "FOOTER", "text": "The shop"}, {"type": "BUTTONS", "buttons": buttons}],
        [{"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Soon!", "has_expiration": True}}, BODY],
    ):
        whole = {**spec("bike_ready", *components, category="MARKETING"), "parameter_format": "POSITIONAL"}
        assert forms.read(_form(forms.shown(whole))) == whole
    code = {
        **spec("code", category="AUTHENTICATION"),
        "parameter_format": "POSITIONAL",
        "components": [
            {"type": "BODY", "add_security_recommendation": True},
            {"type": "FOOTER", "code_expiration_minutes": 5},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy"}]},
        ],
    }
    assert template_checks.problems(code) == []
    assert forms.read(_form(forms.shown(code))) == code


async def test_nothing_in_a_template_becomes_html() -> None:
    evil = spec("evil", {"type": "BODY", "text": "<script>{{1}}</script> *{{2}}*"})
    drawn = str(words.bubble(evil, {"body.1": "<img src=x>"}).text)
    assert drawn == '&lt;script&gt;&lt;img src=x&gt;&lt;/script&gt; <strong><mark class="variable">2</mark></strong>'
