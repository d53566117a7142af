"""A bot of somebody's: what it is handed, how it knows by whom, and what it may answer."""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.automations.abroad import abroad
from tests.sending.conftest import Shop, clock, meta, shop

from twinline.automations import bots, connections
from twinline.automations.outside import Failed
from twinline.rules import webhooks

__all__ = ["clock", "meta", "shop"]

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs" / "automations.md"


async def test_it_is_handed_the_turn_with_the_chat_signed(shop: Shop) -> None:
    reply = {"messages": [{"text": "At seven."}], "tags": {"add": ["asked"]}, "vars": {"n": 1}, "end": True}
    async with abroad(shop, reply) as far:
        secret = await far.connection("bot", "Helper", "/turn", headers={"X-Key": "k"})
        one = await far.waits("bot", {"connection": "Helper"})
        value = await bots.ask(far.shop.app, one)
        [asked] = far.there.asked
    assert value["messages"] == [{"text": "At seven."}]
    assert (value["tags"], value["vars"], value["end"]) == ({"add": ["asked"], "remove": []}, {"n": 1}, True)
    assert (value["release"], value["held"], value["assign"], value["fields"]) == (None, None, None, {})
    told = asked.json
    assert (told["type"], told["version"], told["run"], told["message"]["text"]) == (
        "turn",
        1,
        one.run_id,
        "Where is it?",
    )
    assert told["contact"]["id"] == far.contact_id
    assert [(said["from"], said["text"]) for said in told["messages"]] == [("customer", "Hello?")]
    assert secret is not None
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    proof = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert asked.headers["webhook-signature"] == f"v1,{proof}"
    assert asked.headers["x-key"] == "k"


@pytest.mark.parametrize("silence", [b"", {}, b"null"])
async def test_a_bot_may_stay_silent(shop: Shop, silence: Any) -> None:
    async with abroad(shop, (200, silence)) as far:
        await far.connection("bot", "Helper")
        value = await bots.ask(far.shop.app, await far.waits("bot", {"connection": "Helper"}))
    assert (value["messages"], value["end"], value["release"]) == ([], False, None)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"message": "Hi"}, "message: Extra"),
        ({"messages": ["Hi"]}, r"messages\.0"),
        ({"messages": [{"text": "x" * 5000}]}, "message 1 can't be sent"),
        ({"messages": [{"type": "buttons", "text": "?", "buttons": []}]}, "message 1 can't be sent"),
        ({"messages": [{"text": "Hi"}] * 11}, "messages"),
        ({"fields": {"city": 7}}, r"fields\.city"),
        ({"end": "yes"}, "end"),
        ("Hi", "its answer"),
        (b"<html>", "its answer"),
    ],
)
async def test_what_cant_be_used_is_named_and_nothing_of_it_is_done(answer: Any, problem: str) -> None:
    with pytest.raises(Failed, match=problem):
        bots.read(answer if not isinstance(answer, bytes) else answer.decode())


async def test_a_hand_over_may_say_why() -> None:
    assert bots.read({"release": "Wants a cake"})["release"] == "Wants a cake"
    assert bots.read({"release": True})["release"] == ""
    assert bots.read({"release": False})["release"] is None


def test_the_bot_of_the_documentation_knows_us_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = connections.signing_secret()
    monkeypatch.setenv("BOT_SECRET", secret)
    [source] = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    bot: dict[str, Any] = {"__name__": "bot"}
    exec(compile(source, str(DOCS), "exec"), bot)
    turn, reply = map(json.loads, re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL))
    body = json.dumps(turn).encode()
    headers = webhooks.headers([secret], "twinline-1-81-4", datetime.now(UTC), body)
    assert bot["is_genuine"](headers, body)
    assert not bot["is_genuine"](headers, body + b" ")
    assert not bot["is_genuine"](webhooks.headers([connections.signing_secret()], "x", datetime.now(UTC), body), body)
    assert not bot["is_genuine"](webhooks.headers([secret], "x", datetime(2026, 1, 1, tzinfo=UTC), body), body)
    assert bots.read(bot["answer"](turn))["messages"] == [{"text": "Which cake, Ana?"}]
    assert bots.read(reply)["assign"] == "ana@example.com"
