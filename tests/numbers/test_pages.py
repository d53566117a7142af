"""What a number's page says."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from tests.inbox.conftest import Seen
from tests.numbers.conftest import Office

from twinline.accounts.models import Viewer
from twinline.numbers import pages

pytestmark = pytest.mark.anyio


@pytest.fixture
async def browser(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    viewer = Viewer(office.user_id, office.organisation_id, "Padaria", "ada@example.com", "Ada", "owner", "csrf")
    transport = httpx.ASGITransport(Seen(Starlette(routes=pages.routes(office.app)), viewer))
    async with httpx.AsyncClient(transport=transport, base_url="http://twinline") as client:
        yield client


async def test_chats_from_before_and_a_past_not_shared_this_time_dont_contradict(
    office: Office, browser: httpx.AsyncClient
) -> None:
    number = await office.connect()
    async with office.app.db.transaction() as tx:
        await tx.execute(
            "UPDATE sync_requests SET declined_at = %s WHERE number_id = %s AND kind = 'history'",
            (office.clock.now(), number.id),
        )
    for page in ("", "/sync"):
        text = (await browser.get(f"/numbers/{number.id}{page}")).text
        assert "kept here in all" in text
        assert "when last connected" in text
    assert "when last connected: not shared" in (await browser.get(f"/numbers/{number.id}")).text
