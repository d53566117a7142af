"""Who gets in: keys, scopes, organisations, pace."""

import httpx
import pytest
from tests.api.conftest import Program, make_key, refusal
from tests.sending.conftest import Shop

from twinline.accounts import keys

pytestmark = pytest.mark.anyio


async def test_a_key_says_whose_it_is(program: Program) -> None:
    told = await program.gets("/v1/key")
    assert (told["name"], told["organisation"], told["scopes"]) == ("the till", "Bakery", list(keys.SCOPES))


async def test_without_a_key_there_is_nothing(stranger: httpx.AsyncClient, shop: Shop) -> None:
    answer = await stranger.get("/v1/key")
    assert refusal(answer, 401)["code"] == "key.missing"
    assert answer.headers["www-authenticate"] == "Bearer"
