"""HTTP calls of automations: what is put in stays what it is, what may pass is tried again, secrets stay at home."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.automations.abroad import abroad
from tests.sending.conftest import Shop, clock, meta, shop

from twinline.automations import outside
from twinline.automations.connections import Opened
from twinline.automations.outside import Again, Failed
from twinline.kit.outside import Outside

__all__ = ["clock", "meta", "shop"]

pytestmark = pytest.mark.anyio


async def test_placeholders_stay_what_they_are_in_address_headers_and_body(shop: Shop) -> None:
    async with abroad(shop, {"status": "baked", "left": [1, {"of": None}]}) as far:
        await far.connection("http", "Till", "/api", secret="s3cret", headers={"X-Shop": "1"})
        step = {
            "method": "PUT",
            "connection": "Till",
            "url": "/orders/{{vars.order}}?who={{contact.phone}}",
            "headers": {"X-Name": "{{contact.name}}", "x-shop": "mine"},
            "body": {
                "name": "{{contact.name}}",
                "sum": "{{vars.sum}}",
                "text": "Of {{vars.sum}}",
                "no": "{{vars.no|-}}",
            },
        }
        name = 'Ana"\r\nX-Evil: 1 ü'
        contact = {**far.scope["contact"], "name": name}
        one = await far.waits("call", step, contact=contact, vars={"order": "a/7?ü", "sum": 4.5})
        assert await outside.call(far.shop.app, one) == {
            "status": 200,
            "body": {"status": "baked", "left": [1, {"of": None}]},
        }
        [asked] = far.there.asked
    assert (asked.method, asked.path) == ("PUT", "/api/orders/a%2F7%3F%C3%BC?who=351910009001")
    assert asked.headers["x-name"] == 'Ana" X-Evil: 1 %C3%BC'
    assert "x-evil" not in asked.headers
    assert (asked.headers["authorization"], asked.headers["x-shop"]) == ("Bearer s3cret", "1")
    assert asked.headers["idempotency-key"] == one.key
    assert asked.json == {"name": name, "sum": 4.5, "text": "Of 4.5", "no": "-"}


@pytest.mark.parametrize(
    ("body", "headers", "sent"),
    [
        ('{"said": "{{message.text}}"}', {}, b'{"said": "\\"Hi\\"\\n&"}'),
        ("said={{message.text}}", {"Content-Type": "application/x-www-form-urlencoded"}, b"said=%22Hi%22%0A%26"),
        ("{{message.text}}!", {}, b'"Hi"\n&!'),
        (["{{message.text}}"], {}, b'["\\"Hi\\"\\n&"]'),
        (None, {}, b""),
    ],
)
def test_a_body_of_any_kind_takes_any_words(body: Any, headers: dict[str, str], sent: bytes) -> None:
    assert outside.body_filled(body, {"message": {"text": '"Hi"\n&'}}, headers)[0] == sent


@pytest.mark.parametrize(
    ("url", "order"),
    [
        ("/orders/{{vars.order}}/status", ".."),
        ("/orders/{{vars.order}}", "%2e%2e"),
        ("{{vars.order}}", "http://127.0.0.1:1/"),
        ("http://{{vars.order}}/", "127.0.0.1"),
        ("http://127.0.0.1:1/", ""),
        ("https://example.com/", ""),
    ],
)
async def test_nobody_leads_a_call_elsewhere(shop: Shop, url: str, order: str) -> None:
    async with abroad(shop, {}) as far:
        await far.connection("http", "Till", "/api", secret="s3cret")
        one = await far.waits("call", {"method": "GET", "connection": "Till", "url": url}, vars={"order": order})
        if order == "%2e%2e":  # stays a name with percent signs in it
            await outside.call(far.shop.app, one)
            assert far.there.asked[0].path == "/api/orders/%252e%252e"
            return
        with pytest.raises(Failed):
            await outside.call(far.shop.app, one)
        assert not far.there.asked


TILL = Opened("http", "Till", "https://shop.example.com/api", "", None, "s3cret", {})


@given(
    st.text(max_size=60) | st.sampled_from(["..", ".", "a/../../b", "?x=1", "#", "@evil.example.com", "%2e%2e", "\\"])
)
def test_whatever_is_put_into_an_address_stays_one_part_of_it(said: str) -> None:
    app = cast(Any, SimpleNamespace(outside=Outside()))
    try:
        found = outside.address(
            app, TILL, "/orders/{{message.text}}/lines?of={{message.text}}", {"message": {"text": said}}
        )
    except Failed:
        assert said.strip() in (".", "..")
        return
    parts = urlsplit(found)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "shop.example.com", "")
    put = said.replace("\0", "").strip()
    assert [unquote(part) for part in parts.path.split("/")] == ["", "api", "orders", put, "lines"]
    assert parts.query.startswith("of=")
    assert "&" not in parts.query


async def test_only_what_may_pass_is_asked_again_and_not_for_longer_than_anybody_waits(shop: Shop) -> None:
    async with abroad(shop, (503, {}), (404, {"what": "order"}), b"x" * 70_000, b"\xff\x00 plain") as far:
        one = await far.waits("call", {"method": "GET", "url": f"{far.there.url}/", "retries": 1})
        app = far.shop.app
        with pytest.raises(Again, match="503"):
            await outside.call(app, one)
        with pytest.raises(Failed, match="404 Not Found") as caught:
            await outside.call(app, one)
        assert not isinstance(caught.value, Again)
        assert caught.value.value["body"] == {"what": "order"}
        with pytest.raises(Failed, match="longer than 64 KB"):
            await outside.call(app, one)
        assert (await outside.call(app, one))["body"] == "\N{REPLACEMENT CHARACTER} plain"
        async with app.db.transaction() as tx:
            assert not await outside.repeat(tx, one, one.until), "nobody waits for it any more"
            assert await outside.repeat(tx, one, shop.clock.now())
            again = await outside.errand(tx, one.number_id, one.run_id, one.token)
            assert again is not None
            assert not await outside.repeat(tx, again, shop.clock.now()), "it was to be tried twice"


async def test_a_private_address_is_refused_at_once(shop: Shop) -> None:
    async with abroad(shop, {}) as far:
        one = await far.waits("call", {"method": "GET", "url": "https://169.254.169.254/latest/meta-data"})
        with pytest.raises(Failed, match="public internet") as caught:
            await outside.call(far.shop.app, one)
    assert not isinstance(caught.value, Again)


async def test_an_errand_goes_by_its_token(shop: Shop) -> None:
    async with abroad(shop, {}) as far:
        one = await far.waits("call", {"method": "GET", "url": far.there.url})
        await shop.execute("UPDATE runs SET token = 2")
        async with shop.app.db.transaction() as tx:
            assert await outside.errand(tx, one.number_id, one.run_id, 1) is None
    jobs = await shop.dicts("SELECT * FROM procrastinate_jobs WHERE queue_name = 'outside'")
    assert [job["args"] for job in jobs] == [{"number_id": one.number_id, "run_id": one.run_id, "token": 1}]


async def test_a_person_who_has_spoken_makes_an_errand_pointless(shop: Shop) -> None:
    async with abroad(shop, {}) as far:
        one = await far.waits("call", {"method": "GET", "url": far.there.url})
        assert not one.spoken
        await shop.says(far.contact_id, "I'm here.")
        async with shop.app.db.transaction() as tx:
            found = await outside.errand(tx, one.number_id, one.run_id, 1)
    assert found is not None
    assert found.spoken


async def test_deep_answers_are_kept_as_text(shop: Shop) -> None:
    async with abroad(shop, b"[" * 200 + b"]" * 200) as far:
        one = await far.waits("call", {"method": "GET", "url": far.there.url})
        assert (await outside.call(far.shop.app, one))["body"] == "[" * 200 + "]" * 200
        await asyncio.sleep(0)
