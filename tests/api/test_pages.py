"""The API's two pages: its documentation, and its keys."""

import re

import httpx
import pytest
from starlette.applications import Starlette
from tests.sending.conftest import Shop
from tests.web.conftest import PASSWORD, Browser, add_user

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(shop: Shop, site: Starlette, stranger: httpx.AsyncClient) -> Browser:
    """Ada, who owns the bakery."""
    organisation = await shop.value("SELECT organisation_id FROM numbers WHERE id = %s", (shop.number_id,))
    await add_user(shop.app, shop.clock.now(), organisation, "ada@example.com", "owner")
    ada = Browser(stranger, shop.app)
    assert (await ada.log_in()).status_code == 303
    return ada


async def test_whoever_can_reach_the_platform_can_read_what_its_api_is(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/v1/openapi.json")).json()
    page = await stranger.get("/v1/docs")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path, methods in document["paths"].items():
        for said in methods.values():
            assert f'id="{said["operationId"]}"' in page.text, path
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.text)


async def test_a_key_is_made_shown_once_and_revoked(browser: Browser) -> None:
    made = await browser.submit("/account/keys", {"name": "Till in the shop", "scope": "numbers:read"})
    assert made.status_code == 201
    found = re.search(r'value="(twl_[^"]+)"', made.text)
    assert found is not None
    headers = {"authorization": f"Bearer {found[1]}"}
    told = await browser.http.get("/v1/key", headers=headers)
    assert (told.json()["name"], told.json()["scopes"]) == ("Till in the shop", ["numbers:read"])
    page = await browser.get("/account/keys")
    assert found[1] not in page.text
    assert "Till in the shop" in page.text
    revoke = re.search(r'action="(/account/keys/\d+/revoke)"', page.text)
    assert revoke is not None
    assert (await browser.submit(revoke[1])).status_code == 303
    assert (await browser.http.get("/v1/key", headers=headers)).status_code == 401
    account = await browser.get("/account")
    assert "made an API key" in account.text
    assert "revoked an API key" in account.text


@pytest.mark.parametrize(
    ("form", "says"), [({"name": "", "scope": "numbers:read"}, "name"), ({"name": "Till"}, "at least one scope")]
)
async def test_a_key_without_name_or_scope_is_refused_and_the_form_keeps_what_was_said(
    browser: Browser, form: dict[str, str], says: str
) -> None:
    refused = await browser.submit("/account/keys", form)
    assert refused.status_code == 422
    assert says in refused.text


async def test_agents_make_no_keys_and_nobody_sees_those_of_others(browser: Browser, shop: Shop) -> None:
    await browser.submit("/account/keys", {"name": "the kitchen screen", "scope": "numbers:read"})
    other = await add_user(shop.app, shop.clock.now(), None, "eve@example.com", "owner")
    await add_user(shop.app, shop.clock.now(), other, "bob@example.com", "agent")
    browser.http.cookies.clear()
    await browser.log_in("bob@example.com", PASSWORD)
    assert (await browser.get("/account/keys")).status_code == 403
    assert (await browser.submit("/account/keys", {"name": "Mine", "scope": "numbers:read"})).status_code == 403
    browser.http.cookies.clear()
    await browser.log_in("eve@example.com", PASSWORD)
    assert "the kitchen screen" not in (await browser.get("/account/keys")).text
    assert (await browser.submit("/account/keys/1/revoke")).status_code == 404
