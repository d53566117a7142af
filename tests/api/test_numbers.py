"""Numbers, capabilities, receipts and typing over HTTP."""

import httpx
import pytest
from tests.api.conftest import Program, make_key

from twinline.rules import capabilities

pytestmark = pytest.mark.anyio

ANA = "351910000001"


async def test_a_number_tells_how_it_stands(program: Program) -> None:
    [listed] = (await program.gets("/v1/numbers"))["numbers"]
    told = await program.gets(program.base)
    assert {name: told[name] for name in listed} == listed
    assert (told["state"], told["may_send"], told["why"], told["stops"]) == ("connected", True, None, [])
    assert (told["month"]["service_sent"], told["month"]["free_left"]) == (0, 1000)
    assert "token" not in str(told).replace("token_expires_at", "")


async def test_a_number_that_is_lost_tells_why_and_what_to_do(program: Program) -> None:
    await program.shop.execute("UPDATE numbers SET state = 'disconnected', state_reason = 'USER_INITIATED'")
    told = await program.gets(program.base)
    assert (told["state"], told["may_send"]) == ("disconnected", False)
    assert told["why"].endswith(".")
    assert [stop["scope"] for stop in told["stops"]] == ["number"]


async def test_numbers_of_others_are_not_there(program: Program, stranger: httpx.AsyncClient) -> None:
    other = await program.shop.value(
        "INSERT INTO organisations (name, created_at) VALUES ('Florist', %s) RETURNING id", (program.shop.clock.now(),)
    )
    stranger.headers["authorization"] = f"Bearer {await make_key(program.shop.app, other)}"
    assert (await program.gets("/v1/numbers"))["numbers"] == []
    for path in (program.base, "/v1/numbers/9223372036854775807"):
        assert (await program.is_refused(404, "GET", path))["code"] == "number.unknown"
    await program.is_refused(400, "GET", "/v1/numbers/9223372036854775808")
    await program.is_refused(400, "GET", "/v1/numbers/one")


async def test_the_capability_matrix_is_the_one_that_the_pages_show(program: Program) -> None:
    told = (await program.gets("/v1/capabilities"))["features"]
    assert [(one["id"], one["error"]) for one in told] == [(one.id, one.error) for one in capabilities.features()]


async def test_a_chat_is_marked_as_read_and_typing_is_shown(program: Program) -> None:
    await program.shop.customer(ANA)
    chat = f"{program.base}/chats/{ANA}"
    assert await program.shop.value("SELECT unread FROM chats") == 1
    assert (await program.http.post(f"{chat}/read")).status_code == 204
    assert await program.shop.value("SELECT unread FROM chats") == 0
    assert (await program.http.post(f"{chat}/typing")).status_code == 204
    ordered = "SELECT args FROM procrastinate_jobs WHERE task_name = 'sending.receipt' ORDER BY id"
    orders = await program.shop.dicts(ordered)
    assert [order["args"]["typing_until"] is not None for order in orders] == [False, True]


@pytest.mark.parametrize("what", ["read", "typing"])
async def test_nothing_can_be_read_of_somebody_who_never_wrote(program: Program, what: str) -> None:
    assert (await program.is_refused(404, "POST", f"{program.base}/chats/{ANA}/{what}"))["code"] == "contact.unknown"
    told = await program.is_refused(404, "POST", f"{program.base}/chats/contact:77/{what}")
    assert told["code"] == "contact.unknown"
    await program.is_refused(422, "POST", f"{program.base}/chats/Ana/{what}")
