"""A program in front of the whole web process, with a key of the bakery's, and a Meta that does as it is told."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from tests.sending.conftest import Meta, RunningClock, Shop, clock, meta, shop

from twinline.accounts import keys
from twinline.app import App
from twinline.web.app import build

__all__ = ["Meta", "RunningClock", "clock", "meta", "shop"]


@dataclass
class Program:
    """Calls ``/v1`` with its key."""

    http: httpx.AsyncClient
    shop: Shop

    @property
    def base(self) -> str:
        return f"/v1/numbers/{self.shop.number_id}"

    async def gets(self, path: str, **params: Any) -> Any:
        """What is answered, which has to be a success."""
        return _good(await self.http.get(path, params=params))

    async def posts(self, path: str, body: Any = None, **headers: str) -> Any:
        return _good(await self.http.post(path, json=body, headers=headers))

    async def is_refused(self, status: int, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The error, which has the one shape that errors have, and says what to do."""
        answer = await self.http.request(method, path, json=body, headers=headers)
        return refusal(answer, status)


def _good(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "what_to_do", "details"}
    assert error["message"].endswith(".")
    assert error["what_to_do"]
    return dict(error)


async def make_key(app: App, organisation_id: int, scopes: Sequence[str] = tuple(keys.SCOPES)) -> str:
    async with app.db.transaction() as tx:
        _, token = await keys.create(tx, organisation_id, "the till", scopes, None, app.clock.now())
    return token


@pytest.fixture
def site(shop: Shop) -> Starlette:
    return build(shop.app)


@pytest.fixture
async def stranger(site: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://twinline.test") as http:
        yield http


@pytest.fixture
async def program(shop: Shop, stranger: httpx.AsyncClient) -> Program:
    organisation = await shop.value("SELECT organisation_id FROM numbers WHERE id = %s", (shop.number_id,))
    stranger.headers["authorization"] = f"Bearer {await make_key(shop.app, organisation)}"
    return Program(stranger, shop)
