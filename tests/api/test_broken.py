"""What breaks inside is told to nobody outside, and to the operator once."""

import httpx
import pytest
import structlog
from tests.api.conftest import Program, refusal

from twinline.sending import outbox

pytestmark = pytest.mark.anyio


async def test_what_breaks_shows_nothing_of_the_inside_and_is_logged_once(
    program: Program, stranger: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def explode(*_: object) -> None:
        raise RuntimeError("the inside of the house")

    monkeypatch.setattr(outbox, "message", explode)
    with structlog.testing.capture_logs() as logged:
        answer = await stranger.get(f"{program.base}/messages/1")
    assert refusal(answer, 500)["code"] == "internal"
    assert "inside of the house" not in answer.text
    [line] = logged
    assert (line["event"], line["method"]) == ("api failed", "GET")
    assert line["route"].endswith("/messages/{message_id}")
