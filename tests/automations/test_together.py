"""Everything at once, for real: customers, the phone, the engine and the lane, each in transactions of its own.

Nothing here is a matter of timing: what a person said and the platform had committed when the lane asked its last
question must have dropped the automated answer, and nobody is answered twice, however the transactions interleave.
"""

import asyncio
import random
from typing import Any

import pytest
from tests.automations.conftest import Bakery

from twinline.automations import tending
from twinline.sending import queries

pytestmark = pytest.mark.anyio

CHATS = 24


async def test_no_answer_leaves_once_a_persons_word_was_there_to_be_known(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bakery.automation("Greeting", {"send": {"text": "Hello {{contact.phone}}"}})
    draw = random.Random(7)
    phones = [f"35192000{n:04}" for n in range(CHATS)]
    chats = {phone: await bakery.customer(phone, writes=False) for phone in phones}
    spoken: set[int] = set()  # chats in which a person's word is committed
    known: dict[int, bool] = {}  # chat -> whether one was when the lane asked for the last time
    look = bakery.app.db.value

    async def value(sql: str, params: Any = ()) -> Any:
        if sql == queries.EPOCH:
            known[params["contact"]] = params["contact"] in spoken
        return await look(sql, params)

    monkeypatch.setattr(bakery.app.db, "value", value)

    async def talk(phone: str) -> None:
        """A customer asks; the owner answers on the phone or in the inbox, at any moment or not at all."""
        await asyncio.sleep(draw.random() * 0.5)
        asked = bakery.writing(phone, "Are you open?")
        who = draw.choice(["phone", "inbox", "both in a batch", "nobody"])
        if who == "both in a batch":
            await bakery.hears(*draw.sample([asked, bakery.typing(phone, "Yes!")], 2))
            spoken.add(chats[phone])
            return
        await bakery.hears(asked)
        await asyncio.sleep(draw.random() * 0.3)
        if who == "phone":
            await bakery.hears(bakery.typing(phone, "Yes!"))
            spoken.add(chats[phone])
        elif who == "inbox":
            await bakery.says(chats[phone], "Yes!")
            spoken.add(chats[phone])

    async def always(work: Any) -> None:
        while True:
            await work()
            await asyncio.sleep(0)

    machines: list[asyncio.Task[None]] = [
        asyncio.create_task(always(lambda: tending.look(bakery.app, bakery.number_id))),
        asyncio.create_task(always(bakery.drain)),
    ]
    try:
        await asyncio.gather(*(talk(phone) for phone in phones))
        async with asyncio.timeout(60):
            while await bakery.value("SELECT count(*) FROM turns") or await bakery.value(
                "SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending')"
            ):
                await asyncio.sleep(0.02)
    finally:
        for machine in machines:
            machine.cancel()
        await asyncio.gather(*machines, return_exceptions=True)

    said = [(message["to"], message["text"]["body"]) for message in bakery.meta.messages]
    assert len(set(said)) == len(said)  # nothing twice
    greeted = {chats[phone] for phone, text in said if text.startswith("Hello")}
    assert not [chat for chat in greeted if known[chat]]
    assert set(chats.values()) <= greeted | spoken  # and whom nobody answered was
