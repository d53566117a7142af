"""The phone takes the floor, and machines fall silent."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from tests.sending.conftest import Shop

from twinline.rules.refusal import Refused
from twinline.sending.models import Lane

pytestmark = pytest.mark.anyio

ANA, BEA = "351910000001", "351910000002"
MACHINE = {"lane": Lane.AUTOMATION, "author": "automation"}
CAMPAIGN = {"lane": Lane.UTILITY, "author": "campaign"}


async def test_a_reply_from_the_phone_drops_the_automations_answer_and_no_persons(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    machine = await shop.says(ana, "We open at seven.", **MACHINE)  # type: ignore[arg-type]
    await shop.phone_says(ANA, "I'm here, what do you need?")
    person = await shop.says(ana, "The owner is on it.")
    await shop.drain()
    assert shop.meta.texts == ["The owner is on it."]
    row = await shop.row(machine)
    assert (row["state"], row["attempts"]) == ("cancelled", 0)
    assert row["error_text"] == "A person is answering in the inbox."
    assert await shop.state(person) == "sent"
    assert [ana, machine, "cancelled"] in await shop.told("outbox")


async def test_the_one_that_was_dropped_holds_nobody_back(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    dropped = [await shop.says(ana, f"{n}", **MACHINE) for n in range(3)]  # type: ignore[arg-type]
    goes = await shop.says(bea, "to Bea", **MACHINE)  # type: ignore[arg-type]
    await shop.phone_says(ANA, "I'm here.")
    await shop.drain()
    assert [await shop.state(row) for row in dropped] == ["cancelled"] * 3
    assert (await shop.row(dropped[0]))["error_text"] == "The owner is answering from the phone."
    assert (await shop.state(goes), shop.meta.texts) == ("sent", ["to Bea"])


async def test_the_phone_is_heard_until_the_last_moment(shop: Shop) -> None:
    """Somebody's first message is on its way while the phone speaks: the second is dropped."""
    ana = await shop.customer(ANA)

    async def phone_speaks() -> httpx.Response:
        await shop.phone_says(ANA, "I'm here.")
        return httpx.Response(200, json={"messages": [{"id": "wamid.1"}]})

    shop.meta.will("first", phone_speaks)
    rows = [await shop.says(ana, text, **MACHINE) for text in ("first", "second")]  # type: ignore[arg-type]
    await shop.drain()
    assert [await shop.state(row) for row in rows] == ["sent", "cancelled"]


async def test_an_automation_may_say_two_things_in_a_row(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    rows = [await shop.says(ana, text, **MACHINE) for text in ("Hello!", "How can we help?")]  # type: ignore[arg-type]
    await shop.drain()
    assert [await shop.state(row) for row in rows] == ["sent", "sent"]


async def test_while_the_phone_speaks_machines_are_refused_and_afterwards_not(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.phone_says(ANA, "I'm here.")
    for machine in (MACHINE, CAMPAIGN):
        with pytest.raises(Refused) as caught:
            await shop.says(ana, "We open at seven.", **machine)  # type: ignore[arg-type]
        assert caught.value.refusal.rule == "floor.phone_speaks"
        assert caught.value.refusal.text == "The owner is answering from the phone."
    shop.clock.advance(hours=2, seconds=1)
    assert await shop.says(ana, "We open at seven.", **MACHINE)  # type: ignore[arg-type]


async def test_how_long_the_phone_silences_machines_is_the_numbers_own_choice(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    await shop.execute("UPDATE numbers SET phone_pause = '5 minutes'")
    said_at = shop.seconds
    await shop.phone_says(ANA, "I'm here.", at=said_at)
    [chat] = await shop.dicts("SELECT * FROM chats WHERE contact_id = %s", (ana,))
    assert chat["floor_holder"] == "phone"
    assert int(chat["floor_until"].timestamp()) == said_at + 300
    shop.clock.advance(minutes=5, seconds=1)
    assert await shop.says(ana, "We open at seven.", **MACHINE)  # type: ignore[arg-type]


async def test_an_echo_that_comes_late_takes_nothing(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    typed_at = shop.seconds
    shop.clock.advance(minutes=10)
    await shop.says(ana, "This is Rita in the inbox.")
    shop.clock.advance(minutes=10)
    before = await shop.dicts("SELECT floor_holder, floor_epoch, floor_until FROM chats")
    assert before[0]["floor_holder"] == "person"
    await shop.phone_says(ANA, "I'm here.", at=typed_at)
    assert await shop.dicts("SELECT floor_holder, floor_epoch, floor_until FROM chats") == before


async def test_an_echo_whose_pause_is_over_already_silences_nobody(shop: Shop) -> None:
    ana = await shop.customer(ANA)
    machine = await shop.says(ana, "We open at seven.", **MACHINE)  # type: ignore[arg-type]
    await shop.phone_says(ANA, "Good morning", at=int((shop.clock.now() - timedelta(hours=3)).timestamp()))
    await shop.drain()
    assert await shop.state(machine) == "sent"


async def test_the_phone_speaks_in_one_chat_only(shop: Shop) -> None:
    ana, bea = await shop.customer(ANA), await shop.customer(BEA)
    await shop.phone_says(ANA, "I'm here.")
    assert await shop.says(bea, "We open at seven.", **MACHINE)  # type: ignore[arg-type]
    with pytest.raises(Refused):
        await shop.says(ana, "We open at seven.", **MACHINE)  # type: ignore[arg-type]


async def test_no_machine_slips_through_between_the_phone_and_the_drain(shop: Shop) -> None:
    """Echo and drain take the number's turn one after the other: whichever is first decides, never both."""
    for n in range(12):
        phone = f"3519200000{n:02}"
        customer = await shop.customer(phone)
        machine = await shop.says(customer, f"machine {n}", **MACHINE)  # type: ignore[arg-type]
        await asyncio.gather(shop.phone_says(phone, "I'm here."), shop.drain())
        row = await shop.row(machine)
        [chat] = await shop.dicts("SELECT * FROM chats WHERE contact_id = %s", (customer,))
        assert chat["floor_holder"] == "phone"
        assert row["state"] == ("sent" if f"machine {n}" in shop.meta.texts else "cancelled")
