"""Whose turn it is to speak in a chat, as rows: every speaker takes the floor and hands it back here.

What is decided is in ``rules.floor``. All of this happens under the number's turn.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from twinline.db import Tx, as_json
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


async def keep(tx: Tx, number_id: int, turns: Mapping[int, Floor]) -> None:
    """Writes down whose turn it is in these chats."""
    rows = [{"contact_id": contact_id, **asdict(here)} for contact_id, here in turns.items()]
    if rows:
        await tx.execute(queries.SET_FLOORS, {"number": number_id, "rows": as_json(rows)})


async def speak(
    tx: Tx, sender: Sender, recipients: Iterable[Recipient], holder: Holder, now: datetime
) -> dict[int, Floor]:
    """``holder`` takes the floor of each of these chats where it may; answers the floors as they are then.

    A machine that has the floor goes on under the same epoch, or its second sentence would cancel its first.
    """
    floors = {recipient.contact_id: floor_of(recipient) for recipient in recipients}
    until = now + timedelta(seconds=sender.phone_pause_seconds) if holder in floor.PEOPLE else None
    taken = {
        contact_id: turn.floor
        for contact_id, here in floors.items()
        if holder in floor.PEOPLE or floor.holder_now(here, now) is not holder
        if (turn := floor.take(here, holder, now, until)).taken
    }
    await keep(tx, sender.id, taken)
    return floors | taken


async def release(tx: Tx, number_id: int, contact_id: int, by: Holder, now: datetime) -> bool:
    """``by`` hands the chat back; answers whether that changed anything."""
    here = (await floors(tx, number_id, [contact_id]))[contact_id]
    freed = floor.release(here, by, now)
    if freed == here:
        return False
    await keep(tx, number_id, {contact_id: freed})
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
        taken: dict[int, Floor] = {}
        for contact_id, here in (await floors(tx, number_id, chats)).items():
            said_at = datetime.fromtimestamp(chats[contact_id], UTC)
            pause = said_at + timedelta(seconds=sender.phone_pause_seconds)
            turn = floor.take(here, Holder.PHONE, now, pause, said_at)
            if turn.taken:
                taken[contact_id] = turn.floor
        await keep(tx, number_id, taken)
