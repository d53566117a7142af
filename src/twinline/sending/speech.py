"""Whose turn it is to speak in a chat, as rows: every speaker takes the floor and hands it back here.

What is decided is in ``rules.floor``. All of this happens under the number's turn.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from twinline.db import Tx
from twinline.mirror.models import Folded
from twinline.rules import floor
from twinline.rules.floor import Floor, Holder
from twinline.sending import queries
from twinline.sending.models import Recipient, Sender


def floor_of(recipient: Recipient) -> Floor:
    return Floor(Holder(recipient.floor_holder), recipient.floor_epoch, recipient.floor_until, recipient.floor_since)


async def floors(tx: Tx, number_id: int, contact_ids: Collection[int]) -> dict[int, Floor]:
    """Of these chats, as they are kept: a turn whose time is over still stands there (``floor.holder_now``)."""
    rows = await tx.rows(queries.FLOORS, {"number": number_id, "contacts": list(contact_ids)})
    return {contact: Floor(Holder(holder), epoch, until, since) for contact, holder, epoch, until, since in rows}


async def keep(tx: Tx, number_id: int, contact_id: int, here: Floor) -> None:
    await tx.execute(
        queries.SET_FLOOR,
        {
            "number": number_id,
            "contact": contact_id,
            "holder": str(here.holder),
            "epoch": here.epoch,
            "until": here.until,
            "since": here.since,
        },
    )


async def speak(tx: Tx, sender: Sender, recipient: Recipient, holder: Holder, now: datetime) -> Floor:
    """``holder`` takes the floor of a chat, if it may; answers the floor as it is then.

    A machine that has the floor goes on under the same epoch, or its second sentence would cancel its first.
    """
    here = floor_of(recipient)
    if holder not in floor.PEOPLE and floor.holder_now(here, now) is holder:
        return here
    until = now + timedelta(seconds=sender.phone_pause_seconds) if holder in floor.PEOPLE else None
    taken = floor.take(here, holder, now, until)
    if taken.taken:
        await keep(tx, sender.id, recipient.contact_id, taken.floor)
    return taken.floor


async def release(tx: Tx, number_id: int, contact_id: int, by: Holder, now: datetime) -> bool:
    """``by`` hands the chat back; answers whether that changed anything."""
    here = (await floors(tx, number_id, [contact_id]))[contact_id]
    freed = floor.release(here, by, now)
    if freed == here:
        return False
    await keep(tx, number_id, contact_id, freed)
    return True


async def phone_spoke(tx: Tx, folded: Folded, now: datetime) -> None:
    """The owner wrote on the phone: automations and campaigns fall silent in that chat for a while (G2)."""
    newest: dict[int, dict[int, int]] = {}
    for said in folded.echoed:
        chats = newest.setdefault(said.number_id, {})
        chats[said.contact_id] = max(chats.get(said.contact_id, 0), said.at)
    for number_id, chats in newest.items():
        sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
        assert sender is not None
        for contact_id, here in (await floors(tx, number_id, chats)).items():
            said_at = datetime.fromtimestamp(chats[contact_id], UTC)
            pause = said_at + timedelta(seconds=sender.phone_pause_seconds)
            taken = floor.take(here, Holder.PHONE, now, pause, said_at)
            if taken.taken:
                await keep(tx, number_id, contact_id, taken.floor)
