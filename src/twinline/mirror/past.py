"""The past, in bulk: how the messages of a history are folded while the present goes on.

A history chunk holds thousands of messages, and the number it belongs to is in use. Were they folded under the
number's turn, every live message of the number would wait for them, and with it the batch it came in. So imported
messages, which change nothing but their own rows and the lines of their chats, are written without the turn:

1. *Who are they?* Asked once for the body. Whoever is new becomes a contact in a turn, which is short.
2. *Write*, in slices, holding the number's people, so that none of them is merged away meanwhile. Rows are written in
   the order of keys, as everywhere.
3. *What isn't plain* is left to the ordinary way (``ingest.fold_slice``). A message that is known to be in somebody
   else's chat, for one, means that two contacts are one person.
4. At the end of the body the lines of the chats are computed anew under the turn, a hundred at a time.

A crash anywhere repeats the body, so steps 1 and 2 don't wait for the disk: it has them when it has what is committed
after them. The events of step 4 it must have, for readers count them. Until then the chats' lines may lag behind.
"""

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeGuard, TypeVar

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.kit.courtesy import Courtesy
from twinline.meta import webhooks as wire
from twinline.mirror import events, ingest, news, people, queries, turn
from twinline.mirror.fold import ContactRow, Keys, MessageRow, Rows, as_rows, contacts_of
from twinline.mirror.models import Folded, Number

T = TypeVar("T")

GROUP = 100  # chats whose lines are computed in one turn

# (number, contact) -> the newest of its messages written, unix seconds; None: all of the chat may have changed.
Touched = dict[tuple[int, int], int | None]
People = dict[tuple[int, Keys], ContactRow]

courtesy = Courtesy()


class _Merged(Exception):
    """Somebody was merged away since we asked who they are."""


def is_past(event: wire.Event) -> TypeGuard[wire.Message]:
    return isinstance(event, wire.Message) and not event.live and event.person.known


async def fold(app: App, found: Sequence[wire.Message], now: datetime) -> tuple[Touched, Sequence[wire.Message]]:
    """Writes imported messages; answers the chats touched, and what has to be folded the ordinary way."""
    rows = Rows()
    odd = {message.wamid for message in await _gather(app, rows, found)}
    rows.number(now)
    touched: Touched = {}
    met: People = {}
    left = dict.fromkeys(rows.messages)
    for group in map(dict, ingest.slices(rows.people.items())):
        merged = await _tried(_meet(app, group, now))
        if merged is not None:
            join(touched, merged)
            met.update(group)
    for part in ingest.slices(_placed(rows, met)):
        if await _tried(_write(app, part)):
            for row in part:
                del left[row.number_id, row.wamid]
                join(touched, {(row.number_id, row.contact_id or 0): row.at})
    odd.update(wamid for _, wamid in left)
    return touched, [message for message in found if message.wamid in odd]


async def _tried(work: Awaitable[T]) -> T | None:
    """None: something was refused. The ordinary way finds out what, and says so."""
    try:
        async with courtesy.piece():
            return await work
    except Exception as error:
        if ingest.is_away(error):
            raise
        return None


def join(touched: Touched, others: Touched) -> None:
    for chat, newest in others.items():
        known = touched.get(chat, newest)
        touched[chat] = None if known is None or newest is None else max(known, newest)


async def _gather(app: App, rows: Rows, found: Sequence[wire.Message]) -> list[wire.Message]:
    """Makes rows of what can be written like this; answers the others."""
    async with app.db.transaction() as tx:
        named = sorted({message.address.phone_number_id or "" for message in found})
        numbers = {n.phone_number_id: n.id for n in await tx.all(Number, queries.NUMBERS, (named,)) if n.keep_edited}
    others: list[wire.Message] = []
    for part in ingest.slices(found):
        async with courtesy.piece():
            for message in part:
                number_id = numbers.get(message.address.phone_number_id or "")
                if number_id is None:
                    others.append(message)
                else:
                    rows.add(number_id, message, 0)
    return others


async def _meet(app: App, group: People, now: datetime) -> Touched:
    """Gives each of these people their contact, and writes down what is told of them."""
    rows = Rows()
    rows.people = group
    async with app.db.pipelined(durable=False) as tx:
        await _hold(tx, {number_id for number_id, _ in group})
        if await _identify(tx, rows):
            await tx.send(queries.WRITE_CONTACTS, (as_rows(contacts_of(rows).values()),))
            return {}
    return await _introduce(app, rows, now)


async def _hold(tx: Tx, numbers: Iterable[int]) -> None:
    """Until the commit nobody of these numbers is merged away."""
    await tx.send(queries.HOLD_PEOPLE, (sorted(numbers),))


async def _identify(tx: Tx, rows: Rows) -> bool:
    """Gives each person their contact, if all of them are known."""
    identified = await people.ask(tx, rows).identified.rows()
    contact_of = {(number_id, key): contact_id for number_id, key, contact_id, _ in identified}
    for (number_id, keys), person in rows.people.items():
        ids = {contact_of[number_id, key] for key in keys}
        if len(ids) > 1 or None in ids:
            return False
        [person.id] = ids
    return True


async def _introduce(app: App, rows: Rows, now: datetime) -> Touched:
    """Makes contacts of people nobody knows yet, and one of two that turn out to be one; answers chats touched."""
    folded = Folded({})
    async with app.db.pipelined() as tx:
        await turn.take(tx, {number_id for number_id, _ in rows.people})
        await people.resolve(tx, people.ask(tx, rows), rows, folded, now)
        await tx.send(queries.WRITE_CONTACTS, (as_rows(contacts_of(rows).values()),))
    return {(number_id, chat): None for number_id, body in folded.events.items() for chat in body.get("chats", ())}


def _placed(rows: Rows, met: People) -> Iterator[MessageRow]:
    """The messages of which we know in whose chat they are; they get its contact."""
    for (number_id, wamid), row in rows.messages.items():
        known = [met.get((number_id, keys)) for keys in rows.of[number_id, wamid]]
        owners = {person.id if person else None for person in known}
        if len(owners) == 1 and None not in owners:
            [row.contact_id] = owners
            yield row


async def _write(app: App, messages: Sequence[MessageRow]) -> bool:
    """Writes them, unless one of them is known to be in another chat. Raises _Merged."""
    owners = {(row.number_id, row.contact_id) for row in messages}
    async with app.db.pipelined(durable=False) as tx:
        await _hold(tx, {number_id for number_id, _ in owners})
        there = tx.ask(queries.STILL_THERE, (as_json([{"number_id": n, "id": contact} for n, contact in owners]),))
        new = tx.ask(queries.IMPORT_MESSAGES, (as_rows(messages),))
        if (await there.rows())[0][0] < len(owners):
            raise _Merged
        if (await new.rows())[0][0] < len(messages):
            chats = [{"number_id": m.number_id, "wamid": m.wamid, "contact_id": m.contact_id} for m in messages]
            if await tx.rows(queries.CONTRADICTIONS, (as_json(chats),)):
                return False
        await news.want(tx, [row for row in messages if row.media_id is not None])
    return True


async def refresh(app: App, chats: Touched) -> None:
    """Brings the lines of these chats up to their messages, and tells browsers of them."""
    for group in ingest.slices(sorted(chats), GROUP):
        async with courtesy.piece(), app.db.pipelined() as tx:
            await turn.take(tx, [number_id for number_id, _ in group])
            touched = [{"number_id": n, "contact_id": c, "newest": chats[n, c]} for n, c in group]
            await tx.send(queries.REFRESH_CHATS, (as_json(touched),))
            told: dict[int, dict[str, list[int]]] = {}
            for number_id, contact_id in group:
                told.setdefault(number_id, {"chats": []})["chats"].append(contact_id)
            await events.publish(tx, told, app.clock.now())
