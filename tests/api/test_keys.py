"""Who gets in: keys, scopes, organisations, pace."""

from collections.abc import Callable

import httpx
import pytest
from tests.api.conftest import Program, make_key, refusal
from tests.sending.conftest import Shop

from twinline.accounts import keys

pytestmark = pytest.mark.anyio


async def test_a_key_says_whose_it_is_and_is_seen_to_be_used(program: Program) -> None:
    told = await program.gets("/v1/key")
    assert (told["name"], told["organisation"], told["scopes"]) == ("the till", "Bakery", list(keys.SCOPES))
    first = await program.shop.value("SELECT last_used_at FROM api_keys")
    await program.gets("/v1/key")
    assert await program.shop.value("SELECT last_used_at FROM api_keys") == first
    program.shop.clock.advance(seconds=61)
    await program.gets("/v1/key")
    assert await program.shop.value("SELECT last_used_at FROM api_keys") > first


async def test_without_a_key_there_is_nothing(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/v1/key")
    assert refusal(answer, 401)["code"] == "key.missing"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "bend",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key.replace("twl_1_", "twl_2_"),
        lambda key: key.replace("twl_1_", "twl_999999999999999999999_"),
        lambda key: key.split("_", 2)[2],
        lambda key: key + "x",
        lambda _: "Bearer",
        lambda _: "",
    ],
)
async def test_what_is_not_quite_a_key_opens_nothing(
    stranger: httpx.AsyncClient, shop: Shop, bend: Callable[[str], str]
) -> None:
    key = await make_key(shop.app, 1)
    assert (await stranger.get("/v1/key", headers={"authorization": f"Bearer {key}"})).is_success
    refusal(await stranger.get("/v1/key", headers={"authorization": f"Bearer {bend(key)}".encode()}), 401)


async def test_the_key_itself_is_kept_nowhere(stranger: httpx.AsyncClient, shop: Shop) -> None:
    key = await make_key(shop.app, 1)
    kept = str(await shop.dicts("SELECT * FROM api_keys")) + str(await shop.dicts("SELECT * FROM audit"))
    assert key[-20:] not in kept


async def test_a_program_that_asks_too_often_is_told_for_how_long_to_wait(program: Program) -> None:
    program.shop.clock.stop()
    at_once = 2 * program.shop.app.settings.api_per_second
    answers = [await program.http.get("/v1/key") for _ in range(at_once + 1)]
    assert [answer.status_code for answer in answers] == [200] * at_once + [429]
    assert refusal(answers[-1], 429)["code"] == "key.too_fast"
    program.shop.clock.advance(seconds=int(answers[-1].headers["retry-after"]))
    assert (await program.http.get("/v1/key")).is_success


async def test_a_key_may_only_what_it_was_made_for(stranger: httpx.AsyncClient, shop: Shop) -> None:
    stranger.headers["authorization"] = f"Bearer {await make_key(shop.app, 1, ['numbers:read'])}"
    assert (await stranger.get("/v1/key")).is_success


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nowhere", 404, "address.unknown"),
        ("PUT", "/v1/key", 405, "method.unknown"),
        ("GET", "/v1/", 404, "address.unknown"),
    ],
)
async def test_addresses_that_are_not_there_answer_in_the_same_shape(
    program: Program, method: str, path: str, status: int, code: str
) -> None:
    assert (await program.is_refused(status, method, path))["code"] == code
