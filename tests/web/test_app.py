"""The doors of the house: who gets in, what is checked on the way, and what a stranger may see."""

import re
from dataclasses import replace

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.types import Message

from twinline.accounts.throttle import FREE_TRIES
from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.numbers import service as numbers
from twinline.web.app import build

from .conftest import PASSWORD, Browser, add_user

pytestmark = pytest.mark.anyio


# --- strangers ----------------------------------------------------------------------------------------------------


async def test_a_stranger_is_sent_to_the_login_and_back_to_where_they_wanted(browser: Browser) -> None:
    sent = await browser.get("/numbers/connect?from=mail")
    assert sent.status_code == 303
    assert sent.headers["location"] == "/login?next=/numbers/connect%3Ffrom%3Dmail"
    back = await browser.post(
        "/login", {"email": "ada@example.com", "password": PASSWORD, "next": "/numbers/connect?from=mail"}
    )
    assert (back.status_code, back.headers["location"]) == (303, "/numbers/connect?from=mail")


@pytest.mark.parametrize("elsewhere", ["//evil.test/", "https://evil.test", "/\\evil.test", "javascript:alert(1)"])
async def test_the_login_never_leads_to_another_site(browser: Browser, elsewhere: str) -> None:
    answer = await browser.post("/login", {"email": "ada@example.com", "password": PASSWORD, "next": elsewhere})
    assert answer.headers["location"] == "/"


async def test_a_script_without_a_session_is_told_so_instead_of_getting_a_page(browser: Browser) -> None:
    assert (await browser.get("/live", accept="text/event-stream")).status_code == 401
    htmx = await browser.get("/numbers", **{"hx-request": "true"})
    assert (htmx.status_code, htmx.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/static/app.css", "/login"])
async def test_some_doors_are_open_to_all(browser: Browser, path: str) -> None:
    assert (await browser.get(path)).status_code == 200


async def test_a_wrong_password_is_refused_without_saying_which_was_wrong(browser: Browser) -> None:
    wrong = await browser.log_in(password="battery staple")
    unknown = await browser.log_in(email="nobody@example.com")
    assert wrong.status_code == unknown.status_code == 401
    assert "twinline" not in browser.http.cookies
    says = "The e-mail address or the password isn&#39;t right."
    assert says in wrong.text
    assert says in unknown.text


async def test_guessing_gets_slower_and_the_right_password_has_to_wait_too(
    browser: Browser, clock: ManualClock
) -> None:
    for _ in range(FREE_TRIES):
        await browser.log_in(password="battery staple")
    assert (await browser.log_in()).status_code == 429
    clock.advance(seconds=31)
    assert (await browser.log_in()).status_code == 303


async def test_what_the_database_has_no_place_for_is_said_and_no_error_of_ours(browser: Browser) -> None:
    answer = await browser.post("/login", {"email": "ada\0@example.com", "password": PASSWORD})
    assert answer.status_code == 400
    assert "can't be stored" in answer.text


# --- sessions -----------------------------------------------------------------------------------------------------


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    cookie = (await browser.log_in()).headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert (await browser.get("/numbers")).status_code == 200


async def test_behind_https_the_cookie_is_secure(app: App) -> None:
    settings = app.settings.model_copy(update={"public_url": "https://twinline.test"})
    transport = httpx.ASGITransport(app=build(replace(app, settings=settings)))
    async with httpx.AsyncClient(transport=transport, base_url="https://twinline.test") as http:
        answer = await http.post("/login", data={"email": "ada@example.com", "password": PASSWORD})
        assert "Secure" in answer.headers["set-cookie"]


async def test_logging_out_ends_the_session_and_thirty_days_end_it_too(browser: Browser, clock: ManualClock) -> None:
    await browser.log_in()
    token = browser.http.cookies["twinline"]
    assert (await browser.submit("/logout")).headers["location"] == "/login"
    browser.http.cookies.set("twinline", token)
    assert (await browser.get("/numbers")).status_code == 303
    browser.http.cookies.clear()
    await browser.log_in()
    clock.advance(days=30)
    assert (await browser.get("/numbers")).status_code == 303


async def test_a_new_password_is_set_from_the_account_page(browser: Browser) -> None:
    await browser.log_in()
    refused = await browser.submit("/account/password", {"current": "wrong", "new": "battery staple"})
    assert refused.status_code == 422
    done = await browser.submit("/account/password", {"current": PASSWORD, "new": "battery staple"})
    assert "Your password is changed" in done.text


# --- forms --------------------------------------------------------------------------------------------------------


async def test_a_form_without_the_sessions_token_changes_nothing(browser: Browser) -> None:
    await browser.log_in()
    assert (await browser.post("/echo", {"a": "b"})).status_code == 403
    assert (await browser.post("/echo", {"csrf": "guessed", "a": "b"})).status_code == 403
    assert (await browser.post("/echo", {"a": "b"}, **{"x-csrf-token": "guessed"})).status_code == 403


async def test_the_token_is_taken_from_header_form_or_upload_and_the_body_arrives_whole(browser: Browser) -> None:
    await browser.log_in()
    csrf = await browser.csrf()
    large = "x" * 200_000
    by_header = await browser.post("/echo", {"a": large}, **{"x-csrf-token": csrf})
    by_field = await browser.post("/echo", {"csrf": csrf, "a": large})
    upload = await browser.http.post("/echo", data={"csrf": csrf}, files={"file": ("a.bin", large.encode())})
    assert by_header.text == str(200_002)
    assert by_field.text == str(len(csrf) + len("csrf=&a=") + 200_000)
    assert int(upload.text) > 200_000


async def test_the_token_has_to_stand_at_the_head_of_the_form(browser: Browser) -> None:
    await browser.log_in()
    late = await browser.post("/echo", {"a": "x" * 20_000, "csrf": await browser.csrf()})
    assert late.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.test"}, 403),
        ({"origin": "http://twinline.test"}, 303),
        ({}, 303),
    ],
)
async def test_nobody_is_logged_in_from_another_site(browser: Browser, headers: dict[str, str], status: int) -> None:
    form = {"email": "ada@example.com", "password": PASSWORD}
    assert (await browser.http.post("/login", data=form, headers=headers)).status_code == status


# --- what every answer bears --------------------------------------------------------------------------------------


async def test_every_page_bears_a_strict_policy(browser: Browser) -> None:
    headers = (await browser.get("/login")).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


async def test_only_the_signup_page_lets_metas_script_in(browser: Browser, clock: ManualClock) -> None:
    await browser.log_in()
    assert "connect.facebook.net" not in (await browser.get("/numbers/connect")).headers["content-security-policy"]
    async with browser.app.db.transaction() as tx:
        organisation_id = await tx.value("SELECT id FROM organisations")
        onboarding_id = await numbers.begin(tx, organisation_id, None, {"phone": "1"}, clock.now())
        await numbers.agree(tx, organisation_id, onboarding_id, "2026-09-11", None, clock.now())
    page = await browser.get(f"/numbers/connect/{onboarding_id}")
    assert (
        "script-src 'self' https://*.facebook.com https://connect.facebook.net"
        in page.headers["content-security-policy"]
    )
    assert page.headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
    assert "whatsapp_business_app_onboarding" in page.text


async def test_a_page_that_isnt_there_says_so_kindly(browser: Browser) -> None:
    await browser.log_in()
    page = await browser.get("/nowhere")
    assert page.status_code == 404
    assert "There is nothing at this address" in page.text


async def test_a_page_that_breaks_shows_nothing_of_the_inside(browser: Browser) -> None:
    await browser.log_in()
    page = await browser.get("/explode")
    assert page.status_code == 500
    assert "Something broke on our side" in page.text
    assert "inside of the house" not in page.text


async def test_a_browser_that_ends_in_the_middle_of_a_form_is_one_quiet_line(browser: Browser, site: Starlette) -> None:
    await browser.log_in()
    begun = f"csrf={await browser.csrf()}&a=".encode()
    coming = iter([{"type": "http.request", "body": begun, "more_body": True}])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    request = browser.http.build_request("POST", "/echo", headers={"content-type": "application/x-www-form-urlencoded"})
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    scope = {"type": "http", "method": "POST", "path": "/echo", "root_path": "", "query_string": b"", "scheme": "http"}
    with structlog.testing.capture_logs() as logged:
        await site({**scope, "headers": headers, "server": ("twinline.test", 80)}, receive, send)
    assert [(line["event"], line["log_level"]) for line in logged] == [("browser gone", "info")]
    assert sent[0]["status"] == 400


async def test_ready_means_the_database_is_current(browser: Browser) -> None:
    async with browser.app.db.transaction() as tx:
        await tx.execute("UPDATE alembic_version SET version_num = '0000'")
    assert (await browser.get("/ready")).status_code == 503
    assert (await browser.get("/health")).status_code == 200


# --- the hook -----------------------------------------------------------------------------------------------------


async def test_the_hook_answers_meta_without_a_session(browser: Browser) -> None:
    question = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "verify-token"}
    answer = await browser.http.get("/hook/meta", params=question)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert "content-security-policy" not in answer.headers
    assert (await browser.http.post("/hook/meta", content=b"{}")).status_code == 401


# --- who may what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["agent", "viewer"])
async def test_agents_and_viewers_see_numbers_but_connect_none(browser: Browser, clock: ManualClock, role: str) -> None:
    await add_user(browser.app, clock.now(), 1, "bob@example.com", role)
    await browser.log_in("bob@example.com")
    assert (await browser.get("/numbers")).status_code == 200
    for path in ("/numbers/connect", "/numbers/add", "/doctor"):
        page = await browser.get(path)
        assert page.status_code == 403
        assert "Only an owner or administrator" in page.text


@pytest.fixture
async def number_id(app: App) -> int:
    async with app.db.transaction() as tx:
        return await numbers.add_number(app, tx, 1, "700", "800", "351210007788", None, verified=False)


@pytest.mark.parametrize("page", ["", "/sync", "/sync/ledger", "/disconnect"])
async def test_a_number_is_shown_to_its_own_organisation_only(
    browser: Browser, clock: ManualClock, number_id: int, page: str
) -> None:
    await browser.log_in()
    assert (await browser.get(f"/numbers/{number_id}{page}")).status_code == 200
    await add_user(browser.app, clock.now(), None, "eve@example.com", "owner")
    browser.http.cookies.clear()
    await browser.log_in("eve@example.com")
    assert (await browser.get(f"/numbers/{number_id}{page}")).status_code == 404


async def test_a_number_that_was_disconnected_needs_no_typing_to_be_connected_again(
    browser: Browser, number_id: int
) -> None:
    async with browser.app.db.transaction() as tx:
        await tx.execute("UPDATE numbers SET state = 'disconnected' WHERE id = %s", (number_id,))
    await browser.log_in()
    page = await browser.get(f"/numbers/{number_id}")
    link = re.search(r'href="([^"]+)">Connect again', page.text)
    assert link is not None
    assert 'value="+351210007788"' in (await browser.get(link[1])).text


async def test_settings_of_a_number_are_saved(browser: Browser, number_id: int) -> None:
    await browser.log_in()
    saved = await browser.submit(f"/numbers/{number_id}/preferences", {"phone_pause": "240", "send_receipts": "yes"})
    assert saved.status_code == 303
    async with browser.app.db.transaction() as tx:
        row = await tx.rows("SELECT extract(epoch FROM phone_pause), keep_edited, send_receipts FROM numbers")
    assert row == [(14_400, False, True)]
    assert (await browser.submit(f"/numbers/{number_id}/preferences", {"phone_pause": "-5"})).status_code == 422


async def test_a_sync_that_cannot_be_requested_is_refused_kindly(browser: Browser, number_id: int) -> None:
    await browser.log_in()
    answer = await browser.submit(f"/numbers/{number_id}/sync/history")
    assert answer.status_code == 409
    assert "Without a token" in answer.text
    assert (await browser.submit(f"/numbers/{number_id}/sync/groups")).status_code == 404


async def test_somebody_invited_goes_through_the_wizard_without_a_login(
    browser: Browser, site: Starlette, clock: ManualClock
) -> None:
    await browser.log_in()
    page = await browser.submit("/numbers/invite")
    link = page.text.split('value="http://127.0.0.1:9')[1].split('"')[0]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=site), base_url="http://twinline.test") as http:
        guest = Browser(http, browser.app)
        assert "What only you can see" in (await guest.get(link)).text
        assert (
            await guest.post(f"{link}/agree", {"agreed": "yes"}, **{"sec-fetch-site": "cross-site"})
        ).status_code == 403
        async with browser.app.db.transaction() as tx:
            await numbers.answer(tx, 1, 1, {"phone": "+351210007788", "app_version": "2.26.1", "days_in_use": 30})
        assert "What changes on the phone" in (await guest.get(link)).text
        assert (await guest.post(f"{link}/agree", {"agreed": "yes"})).status_code == 303
        assert "Connect with Meta" in (await guest.get(link)).text
        clock.advance(days=7)
        assert (await guest.get(link)).status_code == 403
