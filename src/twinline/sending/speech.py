"""Whose turn it is to speak in a chat, as rows: every speaker takes the floor and hands it back here.

What is decided is in ``rules.floor``. All of this happens under the number's turn.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from twinline.db import Tx, as_json
from twinline.mirror.models import Folded, Said
from twinline.rules import floor
from twinline.rules.automations import keywords
from twinline.rules.automations.keywords import Command
from twinline.rules.floor import Floor, Holder
from twinline.sending import queries
from twinline.sending.models import Recipient, Sender


def floor_of(recipient: Recipient) -> Floor:
    return Floor(Holder(recipient.floor_holder), recipient.floor_epoch, recipient.floor_until, recipient.floor_since)


async def floors(tx: Tx, number_id: int, contact_ids: Collection[int]) -> dict[int, Floor]:
    """Of these chats, as they are kept: a turn whose time is over still stands there (``floor.holder_now``)."""
    rows = await tx.rows(queries.FLOORS, {"number": number_id, "contacts": list(contact_ids)})
    return {contact: Floor(Holder(holder), epoch, until, since) for contact, holder, epoch, until, since in rows}


Tell = Callable[[Tx, int, Collection[int], datetime], Awaitable[None]]
"""Tells a feature above of chats or messages of a number, by their ids, in the transaction in which it happens."""

_freed: list[Tell] = []
_overtaken: list[Tell] = []


def when_freed(tell: Tell) -> None:
    """Of chats that are handed back."""
    _freed.append(tell)


def when_overtaken(tell: Tell) -> None:
    """Of messages of the outbox that are dropped at the last look, since somebody spoke first."""
    _overtaken.append(tell)


async def overtaken(tx: Tx, number_id: int, outbox_ids: Collection[int], now: datetime) -> None:
    for tell in _overtaken:
        await tell(tx, number_id, outbox_ids, now)


async def keep(tx: Tx, number_id: int, turns: Mapping[int, Floor], now: datetime) -> None:
    """Writes down whose turn it is in these chats. Every turn that is taken or handed back comes through here."""
    rows = [{"contact_id": contact_id, **asdict(here)} for contact_id, here in turns.items()]
    if rows:
        await tx.execute(queries.SET_FLOORS, {"number": number_id, "rows": as_json(rows)})
    if freed := [contact_id for contact_id, here in turns.items() if here.holder is Holder.NOBODY]:
        for tell in _freed:
            await tell(tx, number_id, freed, now)


async def speak(
    tx: Tx, sender: Sender, recipients: Iterable[Recipient], holder: Holder, now: datetime
) -> dict[int, Floor]:
    """``holder`` takes the floor of each of these chats where it may; answers the floors as they are then.

    A person has it for as long as the number pauses, a machine for its last words.
    """
    floors = {recipient.contact_id: floor_of(recipient) for recipient in recipients}
    people = timedelta(seconds=sender.phone_pause_seconds)
    until = now + (people if holder in floor.PEOPLE else floor.LAST_WORDS)
    taken = {
        contact_id: turn.floor
        for contact_id, here in floors.items()
        if (turn := floor.speak(here, holder, now, until)).taken and turn.floor != here
    }
    await keep(tx, sender.id, taken, now)
    return floors | taken


async def hold(tx: Tx, number_id: int, contact_id: int, now: datetime, for_: timedelta | None = None) -> datetime:
    """A person takes the chat without a word, for so long (None: as long as the number pauses); answers until when."""
    sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
    assert sender is not None
    here = (await floors(tx, number_id, [contact_id]))[contact_id]
    until = now + (timedelta(seconds=sender.phone_pause_seconds) if for_ is None else for_)
    await keep(tx, number_id, {contact_id: floor.take(here, Holder.PERSON, now, until).floor}, now)
    return until


async def release(tx: Tx, number_id: int, contact_id: int, by: Holder, now: datetime) -> bool:
    """``by`` hands the chat back; answers whether that changed anything."""
    here = (await floors(tx, number_id, [contact_id]))[contact_id]
    freed = floor.release(here, by, now)
    if freed == here:
        return False
    await keep(tx, number_id, {contact_id: freed}, now)
    return True


@dataclass(frozen=True, slots=True)
class Commanded:
    """A keyword that the owner typed on the phone (``rules.automations.keywords``); ``heard`` False: too late.

    ``before``: the floor as it stood.
    """

    said: Said
    command: Command
    heard: bool
    before: Floor


async def phone_spoke(tx: Tx, folded: Folded, now: datetime) -> None:
    """The owner wrote on the phone: automations and campaigns fall silent in that chat for a while (G2).

    A keyword is no reply: it hands the chat back, or pauses it for as long as it says. What was typed is gone through
    in its order; of a keyword and a reply of the same second the reply counts as the later one, which is the quiet way
    to be wrong. Whether it was edited or deleted since doesn't matter.
    """
    numbers: dict[int, list[Said]] = {}
    for said in folded.echoed:
        numbers.setdefault(said.number_id, []).append(said)
    if not numbers:
        return
    own = dict(await tx.rows(queries.PHONE_KEYWORDS, {"numbers": list(numbers)}))
    for number_id, spoken in numbers.items():
        sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
        assert sender is not None
        words = own.get(number_id)
        before = await floors(tx, number_id, {said.contact_id for said in spoken})
        after = dict(before)
        heard = [(said, keywords.read(said.text, keywords.DEFAULTS if words is None else words)) for said in spoken]
        for said, command in sorted(heard, key=lambda one: (one[0].at, one[1] is None)):
            here = after[said.contact_id]
            after[said.contact_id] = _after(here, said, command, sender, now)
            if command is not None:
                folded.asides.append(Commanded(said, command, after[said.contact_id] != here, here))
        await keep(tx, number_id, {one: here for one, here in after.items() if here != before[one]}, now)


def _after(here: Floor, said: Said, command: Command | None, sender: Sender, now: datetime) -> Floor:
    said_at = datetime.fromtimestamp(said.at, UTC)
    if command is not None and command.kind != "pause":
        freed = floor.release(here, Holder.PHONE, now, said_at)
        # Where no person was speaking, what a machine has said by now may leave.
        return freed if floor.holder_now(here, now) in floor.PEOPLE else replace(here, since=freed.since)
    usual = timedelta(seconds=sender.phone_pause_seconds)
    pause = usual if command is None or command.for_ is None else command.for_
    return floor.take(here, Holder.PHONE, now, said_at + pause, said_at).floor
