"""The door: who is let in, what is answered, and when."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY
from psycopg_pool import PoolTimeout
from tests.fixtures import wire
from tests.fixtures.mirror import add_number, ask, became, value
from tests.fixtures.wire import RUA, T0

from twinline.app import App
from twinline.meta import signature
from twinline.mirror import hook as hooks
from twinline.mirror import ingest
from twinline.mirror.hook import Hook
from twinline.settings import Settings

pytestmark = pytest.mark.anyio

SECRET = "app secret"
HELLO = wire.body(wire.inbound(RUA, wire.text("wamid.1", T0, "hello")))


@pytest.fixture
async def door(app: App) -> AsyncIterator[Hook]:
    await add_number(app)
    given = Settings(data=app.settings.data, app_secret=SECRET, verify_token="our token", hook_max_body=20_000)
    door = Hook(dataclasses.replace(app, settings=given), ())
    await door.start()
    yield door
    await door.stop()


async def call(
    door: Hook, method: str, *, query: str = "", headers: dict[str, str] | None = None, parts: Iterable[bytes] = (b"",)
) -> tuple[int, bytes]:
    """Speaks ASGI with the hook; answers the status and the body."""
    incoming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    incoming[-1]["more_body"] = False
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "query_string": query.encode(),
        "headers": [(key.lower().encode(), item.encode()) for key, item in (headers or {}).items()],
    }
    await door(scope, receive, send)
    start, body = sent
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(body["body"])
    return start["status"], body["body"]


async def post(door: Hook, body: bytes, *, secret: str = SECRET, parts: Iterable[bytes] | None = None) -> int:
    headers = {signature.HEADER: signature.sign(secret, body), "Content-Length": str(len(body))}
    if parts is not None:
        del headers["Content-Length"]
    status, _ = await call(door, "POST", headers=headers, parts=parts or [body])
    return status


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("twinline_webhooks_total", {"outcome": outcome}) or 0


async def test_metas_handshake_gets_its_challenge_back(door: Hook) -> None:
    asked = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=our%20token"
    assert await call(door, "GET", query=asked) == (200, b"1158201444")


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=another",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=our%20token",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=%ff%00",
    ],
)
async def test_anybody_else_gets_a_word_of_explanation(door: Hook, asked: str) -> None:
    status, text = await call(door, "GET", query=asked)
    assert status == 403
    assert b"verify token" in text


async def test_without_a_verify_token_of_ours_no_handshake_succeeds(app: App) -> None:
    bare = Hook(app, ())
    assert (await call(bare, "GET", query="hub.mode=subscribe&hub.challenge=1&hub.verify_token="))[0] == 403


async def test_what_meta_signed_is_committed_before_it_is_answered(door: Hook, app: App) -> None:
    before = counted("committed")
    assert await post(door, HELLO) == 200
    assert await value(app, "SELECT text FROM messages") == "hello"
    assert counted("committed") == before + 1


async def test_the_answer_waits_for_the_commit(door: Hook, app: App) -> None:
    async with app.db.transaction() as tx:
        await tx.execute("SELECT FROM numbers FOR UPDATE")
        answer = asyncio.create_task(post(door, HELLO))
        while not await value(app, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not answer.done()
        assert await value(app, "SELECT count(*) FROM webhooks") == 0
    assert await answer == 200


@pytest.mark.parametrize("header", [None, "", "sha256=", "sha256=00", signature.sign("another secret", HELLO)])
async def test_what_meta_didnt_sign_is_refused_and_counted(door: Hook, app: App, header: str | None) -> None:
    before = counted("bad_signature")
    headers = {} if header is None else {signature.HEADER: header}
    assert (await call(door, "POST", headers=headers, parts=[HELLO]))[0] == 401
    assert counted("bad_signature") == before + 1
    assert await value(app, "SELECT count(*) FROM webhooks") == 0


async def test_without_an_app_secret_nobody_is_believed(app: App) -> None:
    bare = Hook(app, ())
    assert await post(bare, HELLO, secret="") == 401


async def test_the_signature_is_over_the_bytes_as_they_came(door: Hook, app: App) -> None:
    spaced = HELLO.replace(b'"text":{', b'"text" :\t{')
    assert await post(door, spaced, parts=[spaced[:40], b"", spaced[40:]]) == 200
    assert await value(app, "SELECT body FROM webhooks") == spaced


async def test_a_body_larger_than_meta_sends_is_refused_declared_streamed_or_in_one_piece(door: Hook, app: App) -> None:
    before = counted("too_large")
    large = b" " * 20_001
    assert await post(door, large) == 413
    assert await post(door, large, parts=[large[:15_000], large[15_000:]]) == 413
    assert await post(door, large, parts=[large]) == 413
    assert counted("too_large") == before + 3
    assert await value(app, "SELECT count(*) FROM webhooks") == 0


async def test_a_sender_that_leaves_in_the_middle_leaves_nothing(door: Hook, app: App) -> None:
    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        answers.append(message)

    answers: list[Any] = []
    messages = iter([{"type": "http.request", "body": HELLO[:9], "more_body": True}, {"type": "http.disconnect"}])
    await door({"type": "http", "method": "POST", "query_string": b"", "headers": []}, receive, send)
    assert answers[0]["status"] == 400
    assert await value(app, "SELECT count(*) FROM webhooks") == 0


@pytest.mark.parametrize("trouble", [psycopg.OperationalError("connection refused"), PoolTimeout("no connection")])
async def test_while_the_database_is_away_meta_is_asked_to_send_again(
    door: Hook, app: App, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    async def away(*_: Any) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "ingest", away)
        assert await post(door, HELLO) == 503
    assert await value(app, "SELECT count(*) FROM webhooks") == 0
    assert await post(door, HELLO) == 200


async def test_a_bug_of_ours_costs_a_503_and_not_the_lane(
    door: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(hooks, "commit", broken)
        assert [await post(door, HELLO) for _ in range(5)] == [503] * 5
    assert await post(door, HELLO) == 200


async def test_a_deadlock_is_tried_again(door: Hook, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = ingest.ingest
    tries = 0

    async def unlucky_once(*args: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise psycopg.errors.DeadlockDetected
        await fold(*args)

    monkeypatch.setattr(ingest, "ingest", unlucky_once)
    assert await post(door, HELLO) == 200
    assert tries == 2


async def test_what_waits_is_committed_together(door: Hook, app: App) -> None:
    bodies = [wire.body(wire.inbound(RUA, wire.text(f"wamid.{n}", T0, "x"))) for n in range(100)]
    async with app.db.transaction() as tx:
        await tx.execute("SELECT FROM numbers FOR UPDATE")
        answers = [asyncio.create_task(post(door, body)) for body in bodies]
        while await value(app, "SELECT count(*) FROM pg_locks WHERE NOT granted") < 1:
            pass
    assert await asyncio.gather(*answers) == [200] * 100
    assert await value(app, "SELECT count(*) FROM messages") == 100
    assert await value(app, "SELECT count(*) FROM events") <= 4


async def test_a_strange_body_is_answered_200_because_sending_it_again_wouldnt_help(door: Hook, app: App) -> None:
    assert await post(door, b"not json") == 200
    assert (await became(app, b"not json"))[0] == "unreadable"
    assert await post(door, b"") == 200


async def test_stopping_asks_those_who_wait_to_send_again_and_keeps_what_was_committed(door: Hook, app: App) -> None:
    assert await post(door, HELLO) == 200
    async with app.db.transaction() as tx:
        await tx.execute("SELECT FROM numbers FOR UPDATE")
        late = [
            asyncio.create_task(post(door, wire.body(wire.inbound(RUA, wire.text(f"late.{n}", T0, "x")))))
            for n in range(3)
        ]
        while not await value(app, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        await door.stop()
        assert await asyncio.gather(*late) == [503] * 3
    assert await ask(app, "SELECT wamid FROM messages") == [("wamid.1",)]
