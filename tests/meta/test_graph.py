"""The Graph client over a transport that plays Meta."""

import json
import logging
import traceback
from collections.abc import Awaitable, Callable

import httpx
import pytest

from twinline.meta.graph import Graph, GraphError, RegistrationRefused
from twinline.rules.outcomes import Class

pytestmark = pytest.mark.anyio

TOKEN = "EAAGsecretBusinessToken"
SECRET = "the-app-secret"
Handler = Callable[[httpx.Request], httpx.Response]


def graph(handler: Handler) -> Graph:
    return Graph(httpx.AsyncClient(transport=httpx.MockTransport(handler)), "https://graph.test/", "v26.0")


def answering(status: int, body: object, seen: list[httpx.Request] | None = None) -> Graph:
    def handler(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return httpx.Response(status, json=body)

    return graph(handler)


def failing(error: type[httpx.TransportError]) -> Graph:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error("connection to https://graph.test failed", request=request)

    return graph(handler)


RATE_LIMIT = {
    "error": {
        "message": "(#130429) Rate limit hit",
        "type": "OAuthException",
        "code": 130429,
        "error_subcode": 2494055,
        "error_data": {"messaging_product": "whatsapp", "details": "Too many messages"},
        "fbtrace_id": "Atrace",
    }
}


async def test_a_message_sent_to_a_phone_comes_back_with_its_wamid() -> None:
    seen: list[httpx.Request] = []
    body = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+16505550171", "wa_id": "16505550171"}],
        "messages": [{"id": "wamid.A", "message_status": "accepted"}],
    }
    sent = await answering(200, body, seen).send_message(
        "111", {"to": "+16505550171", "type": "text", "text": {"body": "Hi"}}, token=TOKEN
    )
    assert (sent.wamid, sent.wa_id, sent.user_id, sent.message_status) == (
        "wamid.A",
        "16505550171",
        None,
        "accepted",
    )
    request = seen[0]
    assert str(request.url) == "https://graph.test/v26.0/111/messages"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(request.content)["messaging_product"] == "whatsapp"


async def test_a_message_sent_to_a_user_id_comes_back_with_the_user_id() -> None:
    body = {"contacts": [{"input": "MX.77", "user_id": "MX.77"}], "messages": [{"id": "wamid.B"}]}
    sent = await answering(200, body).send_message("111", {"recipient": "MX.77"}, token=TOKEN)
    assert (sent.wa_id, sent.user_id) == (None, "MX.77")


async def test_a_refusal_carries_everything_that_meta_said_and_what_it_means() -> None:
    with pytest.raises(GraphError) as caught:
        await answering(400, RATE_LIMIT).send_message("111", {}, token=TOKEN)
    error = caught.value
    assert (error.code, error.subcode, error.http_status) == (130429, 2494055, 400)
    assert (error.details, error.fbtrace_id) == ("Too many messages", "Atrace")
    assert error.outcome.klass is Class.THROTTLE
    assert error.answered
    assert not error.ambiguous


@pytest.mark.parametrize(
    ("error", "ambiguous"),
    [
        (httpx.ConnectTimeout, False),
        (httpx.ConnectError, False),
        (httpx.PoolTimeout, False),
        (httpx.ReadTimeout, True),
        (httpx.WriteTimeout, True),
        (httpx.ReadError, True),
        (httpx.RemoteProtocolError, True),
    ],
)
async def test_a_send_without_an_answer_is_ambiguous_only_if_it_may_have_left(
    error: type[httpx.TransportError], ambiguous: bool
) -> None:
    with pytest.raises(GraphError) as caught:
        await failing(error).send_message("111", {}, token=TOKEN)
    assert caught.value.ambiguous is ambiguous
    assert caught.value.http_status is None
    assert not caught.value.answered
    assert caught.value.outcome.klass is Class.RETRY


async def test_reading_without_an_answer_can_always_be_repeated() -> None:
    with pytest.raises(GraphError) as caught:
        await failing(httpx.ReadTimeout).phone_number("111", token=TOKEN)
    assert not caught.value.ambiguous


@pytest.mark.parametrize("content", [b"<html>502</html>", b"", b"[1]", b'{"error":"oops"}'])
async def test_a_gateway_page_instead_of_an_answer_is_ambiguous(content: bytes) -> None:
    with pytest.raises(GraphError) as caught:
        await graph(lambda _: httpx.Response(502, content=content)).send_message("111", {}, token=TOKEN)
    assert caught.value.ambiguous
    assert caught.value.code is None


@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"messages":[]}', b'{"messages":"x"}', b"[]"])
async def test_a_200_that_cant_be_read_was_carried_out_for_all_we_know(content: bytes) -> None:
    with pytest.raises(GraphError) as caught:
        await graph(lambda _: httpx.Response(200, content=content)).send_message("111", {}, token=TOKEN)
    assert caught.value.ambiguous


@pytest.mark.parametrize(
    "path",
    [
        "111/register",
        "/111/deregister/",
        "111/Register?pin=123456",
        "111/request_code",
        "111/%76erify_code",
    ],
)
async def test_a_number_on_the_phone_is_never_registered(path: str) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(RegistrationRefused, match="lives on the phone"):
        await answering(200, {"success": True}, seen).post(path, token=TOKEN, json={"pin": "123456"})
    assert seen == []


async def test_a_code_becomes_a_token_that_no_repr_shows() -> None:
    seen: list[httpx.Request] = []
    body = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 5184000}
    token = await answering(200, body, seen).exchange_code("app", SECRET, "code-1")
    assert (token.access_token, token.expires_in) == (TOKEN, 5_184_000)
    assert TOKEN not in repr(token)
    assert TOKEN not in str(token)
    assert TOKEN not in str(token.__rich_repr__())
    assert dict(seen[0].url.params) == {"client_id": "app", "client_secret": SECRET, "code": "code-1"}


async def test_no_secret_reaches_an_error_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    quoting = {"error": {"message": f"Malformed access token {TOKEN}", "code": 190}}
    calls: list[Callable[[Graph], Awaitable[object]]] = [
        lambda meta: meta.debug_token(TOKEN, token=f"app|{SECRET}"),
        lambda meta: meta.exchange_code("app", SECRET, "single-use-code"),
        lambda meta: meta.waba("222", token=TOKEN),
    ]
    for meta in (answering(400, quoting), failing(httpx.ReadTimeout)):
        for call in calls:
            with pytest.raises(GraphError) as caught:
                await call(meta)
            told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
            told += repr(vars(caught.value)) + repr(meta)
            assert caught.value.__context__ is None
            assert TOKEN not in told
            assert SECRET not in told
            assert "single-use-code" not in told
    assert "graph.test" in caplog.text
    for secret in (TOKEN, SECRET, "single-use-code"):
        assert secret not in caplog.text


async def test_debug_token_tells_scopes_and_their_accounts() -> None:
    body = {
        "data": {
            "app_id": "9",
            "is_valid": True,
            "expires_at": 0,
            "scopes": ["whatsapp_business_messaging"],
            "granular_scopes": [{"scope": "whatsapp_business_management", "target_ids": ["222"]}, {"scope": "x"}],
        }
    }
    told = await answering(200, body).debug_token(TOKEN, token="app|secret")
    assert told.is_valid
    assert told.granular_scopes[0].target_ids == ("222",)
    assert told.granular_scopes[1].target_ids == ()


async def test_whether_a_number_is_on_the_app_is_asked_apart_and_over_all_pages() -> None:
    asked: list[dict[str, str]] = []

    def meta(request: httpx.Request) -> httpx.Response:
        params = dict(request.url.params)
        asked.append(params)
        if "is_on_biz_app" in params["fields"]:
            assert "verified_name" not in params["fields"]
            rows = [{"id": "1", "is_on_biz_app": True, "platform_type": "CLOUD_API"}, {"id": "2"}]
            return httpx.Response(200, json={"data": rows})
        if "after" not in params:
            paging = {"cursors": {"after": "A"}, "next": "https://graph.test/next"}
            return httpx.Response(200, json={"data": [{"id": "1", "verified_name": "Shop"}], "paging": paging})
        return httpx.Response(200, json={"data": [{"id": "2"}], "paging": {"cursors": {"after": "B"}}})

    numbers = await graph(meta).phone_numbers("222", token=TOKEN)
    assert [(n.id, n.verified_name, n.is_on_biz_app) for n in numbers] == [("1", "Shop", True), ("2", None, None)]
    assert len(asked) == 3


async def test_a_graph_that_doesnt_know_the_field_still_lists_the_numbers() -> None:
    def meta(request: httpx.Request) -> httpx.Response:
        if "is_on_biz_app" in request.url.params["fields"]:
            error = {"error": {"code": 100, "message": "(#100) Tried accessing nonexisting field"}}
            return httpx.Response(400, json=error)
        return httpx.Response(200, json={"data": [{"id": "1"}]})

    numbers = await graph(meta).phone_numbers("222", token=TOKEN)
    assert [(n.id, n.is_on_biz_app) for n in numbers] == [("1", None)]


async def test_the_two_synchronisations_are_requested_with_metas_words() -> None:
    seen: list[httpx.Request] = []
    meta = answering(200, {"messaging_product": "whatsapp", "request_id": "R1"}, seen)
    assert await meta.request_sync("111", "history", token=TOKEN) == "R1"
    assert json.loads(seen[0].content) == {"messaging_product": "whatsapp", "sync_type": "history"}
    assert seen[0].url.path == "/v26.0/111/smb_app_data"


async def test_a_synchronisation_outside_its_24_hours_is_told_as_such() -> None:
    body = {"error": {"code": 2593108, "message": "(#2593108) outside of allowed time window"}}
    with pytest.raises(GraphError) as caught:
        await answering(400, body).request_sync("111", "history", token=TOKEN)
    assert caught.value.code == 2593108
    assert "24 hours" in caught.value.outcome.says


async def test_subscribing_sends_only_what_is_set_and_believes_only_success() -> None:
    seen: list[httpx.Request] = []
    meta = answering(200, {"success": True}, seen)
    await meta.subscribe_app("222", token=TOKEN)
    await meta.subscribe_app("222", token=TOKEN, override_callback_uri="https://hooks.test/a", verify_token="v")
    assert seen[0].content == b""
    assert json.loads(seen[1].content) == {
        "override_callback_uri": "https://hooks.test/a",
        "verify_token": "v",
    }
    with pytest.raises(GraphError):
        await answering(200, {"success": False}).subscribe_app("222", token=TOKEN)


async def test_subscriptions_are_listed_from_both_sides() -> None:
    apps = {"data": [{"whatsapp_business_api_data": {"id": "9", "name": "Twin", "link": "x"}}]}
    subscribed = await answering(200, apps).subscribed_apps("222", token=TOKEN)
    assert [(app.id, app.name, app.override_callback_uri) for app in subscribed] == [("9", "Twin", None)]
    row = {
        "object": "whatsapp_business_account",
        "callback_url": "https://hooks.test/a",
        "active": True,
        "fields": [{"name": "messages", "version": "v26.0"}, "history"],
    }
    subscriptions = await answering(200, {"data": [row]}).app_subscriptions("9", token="app|secret")
    assert subscriptions[0].fields == ("messages", "history")


async def test_reading_and_typing_share_a_call() -> None:
    seen: list[httpx.Request] = []
    meta = answering(200, {"success": True}, seen)
    await meta.mark_read("111", "wamid.A", token=TOKEN)
    await meta.mark_read("111", "wamid.A", token=TOKEN, typing=True)
    plain, typing = (json.loads(request.content) for request in seen)
    assert plain == {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}
    assert typing == {**plain, "typing_indicator": {"type": "text"}}


async def test_a_file_goes_up_and_comes_down() -> None:
    def meta(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if request.method == "POST":
            assert b'filename="a.jpg"' in request.content
            assert b"image/jpeg" in request.content
            return httpx.Response(200, json={"id": "m1"})
        if request.url.path.endswith("/m1"):
            info = {
                "id": "m1",
                "url": "https://lookaside.fbsbx.com/f?mid=m1",
                "sha256": "ab",
                "file_size": "3",
            }
            return httpx.Response(200, json=info)
        return httpx.Response(200, content=b"jpg")

    client = graph(meta)
    assert await client.upload_media("111", b"jpg", "image/jpeg", "a.jpg", token=TOKEN) == "m1"
    info = await client.media("m1", token=TOKEN)
    assert info.file_size == 3
    assert b"".join([part async for part in client.download(info.url, token=TOKEN)]) == b"jpg"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/f",
        "http://lookaside.fbsbx.com/f",
        "https://fbsbx.com.evil.test/f",
        "https://graph.test:8443/f",
        "https://[broken/f",
        "file:///etc/passwd",
    ],
)
async def test_the_token_is_shown_to_no_stranger(url: str) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(GraphError, match="isn't Meta's"):
        _ = [part async for part in answering(200, {}, seen).download(url, token=TOKEN)]
    assert seen == []


async def test_an_expired_address_of_a_file_is_an_error_and_not_a_file() -> None:
    meta = graph(lambda _: httpx.Response(404, text="URL signature expired"))
    with pytest.raises(GraphError) as caught:
        _ = [part async for part in meta.download("https://graph.test/media/1", token=TOKEN)]
    assert (caught.value.http_status, caught.value.ambiguous) == (404, False)
