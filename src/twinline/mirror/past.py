"""The past, in bulk: how the messages of a history are folded while the present goes on.

A history chunk holds thousands of messages, and the number it belongs to is in use. Were they folded under the
number's turn, every live message of the number would wait for them, and with it the batch it came in. So imported
messages, which change nothing but their own rows and the lines of their chats, are written without the turn:

1. *Slice by slice*, holding the number's people, so that none of them is merged away meanwhile: who are they, what is
   new about them, and their messages. Rows are written in the order of keys, as everywhere.
2. Whoever is new becomes a contact first, in a turn, which is short.
3. *What isn't plain* is left to the ordinary way (``ingest.fold_slice``). A message that is known to be in somebody
   else's chat, for one, means that two contacts are one person.
4. When all are written, the lines of the chats that end with one of them are computed anew under the turn, a hundred
   at a time. A history comes newest first, so most chats end with something else already, and are only told of.

A crash anywhere repeats the body, so steps 1 and 2 don't wait for the disk: it has them when it has what is committed
after them. The events of step 4 it must have, for readers count them. Until then the chats' lines may lag behind.
"""

from collections.abc import Awaitable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from operator import attrgetter, gt
from typing import TypeVar

import psycopg

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.kit.courtesy import Courtesy
from twinline.meta import webhooks as wire
from twinline.mirror import events, ingest, news, people, queries, turn
from twinline.mirror.fold import CONTACT_REGISTERS, ContactRow, Keys, MessageRow, Rows, as_rows, contacts_of
from twinline.mirror.models import Folded, Number

T = TypeVar("T")

LARGE = 2  # slices in one, where nobody waits for a core: half the trips
GROUP = 100  # chats whose lines are computed in one turn

Chat = tuple[int, int]  # number, contact
Touched = dict[Chat, int | None]  # the newest of its messages written, unix seconds; None: all of it may have changed
People = dict[tuple[int, Keys], ContactRow]

courtesy = Courtesy()


def _piece(app: App) -> AbstractAsyncContextManager[None]:
    """A piece of work that makes room for live messages: what comes for a number is one event, or a few together."""
    return courtesy.piece(partial(app.db.value, queries.HAPPENED))


_versions = attrgetter(*(version for version, _ in CONTACT_REGISTERS))


def apart(found: Iterable[wire.Event]) -> tuple[list[wire.Message], list[wire.Event]]:
    """Imported messages, and everything else."""
    imported: list[wire.Message] = []
    others: list[wire.Event] = []
    for event in found:
        if type(event) is wire.Message and not event.live and event.person.known:
            imported.append(event)
        else:
            others.append(event)
    return imported, others


async def fold(app: App, found: Sequence[wire.Message], now: datetime) -> tuple[Touched, Sequence[wire.Message]]:
    """Writes imported messages; answers the chats touched, and what has to be folded the ordinary way."""
    rows = Rows()
    odd = {message.wamid for message in await _gather(app, rows, found)}
    rows.number(now)
    touched: Touched = {}
    for part in ingest.slices(rows.messages.values(), ingest.SLICE * (1 if courtesy.crowded else LARGE)):
        written = await _tried(app, _write(app, rows, part, touched, now)) or []
        for row in written:
            _touch(touched, (row.number_id, row.contact_id or 0), row.at)
        if len(written) < len(part):
            odd.update({row.wamid for row in part}.difference(row.wamid for row in written))
    return touched, [message for message in found if message.wamid in odd] if odd else ()


async def _tried(app: App, work: Awaitable[T]) -> T | None:
    """None: something was refused. The ordinary way finds out what, and says so.

    So it is when this and a live batch had to wait for each other: the ordinary way takes turns.
    """
    try:
        async with _piece(app):
            return await work
    except psycopg.errors.DeadlockDetected:
        return None
    except Exception as error:
        if ingest.is_away(error):
            raise
        return None


def _touch(touched: Touched, chat: Chat, newest: int | None) -> None:
    known = touched.get(chat, newest)
    touched[chat] = None if known is None or newest is None else max(known, newest)


async def _gather(app: App, rows: Rows, found: Sequence[wire.Message]) -> list[wire.Message]:
    """Makes rows of what can be written like this; answers the others."""
    async with app.db.pipelined() as tx:
        named = sorted({message.address.phone_number_id or "" for message in found})
        numbers = {n.phone_number_id: n.id for n in await tx.all(Number, queries.NUMBERS, (named,)) if n.keep_edited}
    others: list[wire.Message] = []
    for part in ingest.slices(found):
        async with _piece(app):
            for message in part:
                number_id = numbers.get(message.address.phone_number_id or "")
                if number_id is None:
                    others.append(message)
                else:
                    rows.add(number_id, message, 0)
    return others


async def _write(
    app: App, rows: Rows, part: Sequence[MessageRow], touched: Touched, now: datetime
) -> Sequence[MessageRow]:
    """Writes what is plain of a slice, and answers it."""
    crowd: People = {}
    whose: list[list[ContactRow]] = []
    for row in part:
        tellers = [(row.number_id, keys) for keys in rows.of[row.number_id, row.wamid]]
        whose.append([crowd.setdefault(teller, rows.people[teller]) for teller in tellers])
    written = await _put(app, part, whose, crowd)
    if written is None:
        await _introduce(app, crowd, touched, now)
        written = await _put(app, part, whose, crowd)
    return written or ()


async def _put(
    app: App, part: Sequence[MessageRow], whose: Sequence[Sequence[ContactRow]], crowd: People
) -> Sequence[MessageRow] | None:
    """The same; None: somebody isn't known yet. ``whose``: in whose chat each message was said to be."""
    async with app.db.pipelined(durable=False) as tx:
        await tx.send(queries.HOLD_PEOPLE, (sorted({number_id for number_id, _ in crowd}),))
        changed = await _recognise(tx, crowd)
        if changed is None:
            return None
        if changed.people:
            await tx.send(queries.WRITE_CONTACTS, (as_rows(contacts_of(changed).values()),))
        plain: list[MessageRow] = []
        for row, persons in zip(part, whose, strict=True):
            row.contact_id = persons[0].id
            if len(persons) == 1 or all(person.id == row.contact_id for person in persons):
                plain.append(row)
        document = as_rows(plain)
        if await tx.execute(queries.IMPORT_MESSAGES, (document,)) < len(plain):
            chats = [{"number_id": m.number_id, "wamid": m.wamid, "contact_id": m.contact_id} for m in plain]
            await tx.send(queries.WRITE_MESSAGES, (document,))
            if await tx.rows(queries.CONTRADICTIONS, (as_json(chats),)):
                return ()
        await news.want(tx, [row for row in plain if row.media_id is not None])
    return plain


async def _recognise(tx: Tx, crowd: People) -> Rows | None:
    """Gives each person their contact; answers those of whom something new is told. None: somebody isn't known."""
    asked = dict.fromkeys((number_id, key) for number_id, keys in crowd for key in keys)
    found = await tx.rows(queries.RECOGNISE, (as_json([{"number_id": n, "key": key} for n, key in asked]),))
    known = {(row[0], row[1]): row for row in found}
    changed = Rows()
    for (number_id, keys), person in crowd.items():
        told = known[number_id, keys[0]]
        contact_id = told[2]
        if contact_id is None or (len(keys) > 1 and any(known[number_id, key][2] != contact_id for key in keys)):
            return None
        person.id = contact_id
        if any(map(gt, _versions(person), told[3:])):
            changed.people[number_id, keys] = person
    return changed


async def _introduce(app: App, crowd: People, touched: Touched, now: datetime) -> None:
    """Makes contacts of people nobody knows yet, and one of two that turn out to be one."""
    rows, folded = Rows(), Folded({})
    rows.people = dict(crowd)
    async with app.db.pipelined(durable=False) as tx:
        await turn.take(tx, {number_id for number_id, _ in crowd})
        await people.resolve(tx, people.ask(tx, rows), rows, folded, now)
        await tx.send(queries.WRITE_CONTACTS, (as_rows(contacts_of(rows).values()),))
    for number_id, body in folded.events.items():
        for contact_id in body.get("chats", ()):
            _touch(touched, (number_id, contact_id), None)


async def refresh(app: App, chats: Touched) -> list[Chat]:
    """Brings the lines of these chats up to their messages, and tells of them; answers those whose line needn't move.

    Nobody's turn is needed to find out: a line moves back only when it is computed anew, with what is written by then.
    """
    touched = [{"number_id": n, "contact_id": c, "newest": newest} for (n, c), newest in chats.items()]
    async with app.db.pipelined() as tx:
        behind = {(n, c): chats[n, c] for n, c in await tx.rows(queries.BEHIND, (as_json(touched),))}
    for group in ingest.slices(sorted(behind), GROUP):
        async with _piece(app), app.db.pipelined() as tx:
            await turn.take(tx, [number_id for number_id, _ in group])
            touched = [{"number_id": n, "contact_id": c, "newest": behind[n, c]} for n, c in group]
            await tx.send(queries.REFRESH_CHATS, (as_json(touched),))
            await _tell(tx, group, app.clock.now())
    return sorted(chats.keys() - behind)


async def tell(tx: Tx, chats: Sequence[Chat], now: datetime) -> None:
    """Tells of chats that have got older messages. Takes their numbers' turns."""
    await turn.take(tx, [number_id for number_id, _ in chats])
    for group in ingest.slices(chats):
        await _tell(tx, group, now)


async def _tell(tx: Tx, chats: Iterable[Chat], now: datetime) -> None:
    told: dict[int, dict[str, list[int]]] = {}
    for number_id, contact_id in chats:
        told.setdefault(number_id, {"chats": []})["chats"].append(contact_id)
    await events.publish(tx, told, now)
