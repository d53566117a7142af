"""The past, in bulk: how the messages of a history are folded while the present goes on.

A history chunk holds thousands of messages, and the number it belongs to is in use. Were they folded under the
number's turn, every live message of the number would wait for them, and with it the batch it came in. So imported
messages, which change nothing but their own rows and the lines of their chats, are written without the turn:

1. *Who are they?* Whoever is new becomes a contact in a turn of its own, which is short.
2. *Write*, holding the number's people, so that none of them is merged away meanwhile. Contacts first, then messages,
   each in the order of keys, as everywhere.
3. *Contradictions*: a message that is known to be in somebody else's chat means that two contacts are one person.
   Then the slice is folded once more, the ordinary way (``ingest.fold_slice``), which merges them.
4. At the end of the body the lines of the chats are computed anew under the turn, a hundred at a time.

A crash anywhere repeats the body. Until the last step the chats' lines may lag behind their messages.
"""

from collections.abc import Sequence
from datetime import datetime

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.meta import webhooks as wire
from twinline.mirror import events, news, people, queries, turn
from twinline.mirror.fold import Rows, as_rows, contacts_of
from twinline.mirror.models import Folded, Number

GROUP = 100  # chats whose lines are computed in one turn


def is_past(event: wire.Event) -> bool:
    return isinstance(event, wire.Message) and not event.live and event.person.known


# (number, contact) -> the newest of its messages written, unix seconds; None: all of the chat may have changed.
Touched = dict[tuple[int, int], int | None]


async def fold(app: App, found: Sequence[wire.Event], now: datetime) -> Touched | None:
    """Writes imported messages; answers the chats touched. None: fold them the ordinary way."""
    async with app.db.transaction() as tx:
        named = sorted({event.address.phone_number_id or "" for event in found})
        numbers = {n.phone_number_id: n for n in await tx.all(Number, queries.NUMBERS, (named,))}
    rows = Rows()
    for event in found:
        number = numbers.get(event.address.phone_number_id or "")
        if number is None or not number.keep_edited:
            return None
        rows.add(number.id, event, 0)
    rows.number(now)
    touched: Touched = {}
    if not await _write(app, rows):
        touched = await _introduce(app, rows, now)
        if not await _write(app, rows):
            return None
    for row in rows.messages.values():
        if row.contact_id is not None:
            join(touched, {(row.number_id, row.contact_id): row.at})
    return touched


def join(touched: Touched, others: Touched) -> None:
    for chat, newest in others.items():
        known = touched.get(chat, newest)
        touched[chat] = None if known is None or newest is None else max(known, newest)


async def _write(app: App, rows: Rows) -> bool:
    """Writes contacts, then messages, if everybody is known and nothing contradicts."""
    # Two transactions: a live message of one of these people waits for the first, which is short, never for the second.
    async with app.db.pipelined() as tx:
        await _hold(tx, rows)
        if not await _identify(tx, rows):
            return False
        contacts = contacts_of(rows)
        await tx.send(queries.WRITE_CONTACTS, (as_rows(contacts.values()),))
    messages = list(rows.messages.values())
    async with app.db.pipelined() as tx:
        await _hold(tx, rows)
        owners = [{"number_id": number_id, "id": contact_id} for number_id, contact_id in contacts]
        if await tx.value(queries.STILL_THERE, (as_json(owners),)) < len(owners):
            return False
        await tx.send(queries.WRITE_MESSAGES, (as_rows(messages),))
        chats = [{"number_id": m.number_id, "wamid": m.wamid, "contact_id": m.contact_id} for m in messages]
        if await tx.rows(queries.CONTRADICTIONS, (as_json(chats),)):
            return False
        await news.want(tx, [row for row in messages if row.media_id is not None])
    return True


async def _hold(tx: Tx, rows: Rows) -> None:
    """Until the commit nobody of these numbers is merged away."""
    await tx.send(queries.HOLD_PEOPLE, (sorted({number_id for number_id, _ in rows.people}),))


async def _introduce(app: App, rows: Rows, now: datetime) -> Touched:
    """Makes contacts of people nobody knows yet, and one of two that turn out to be one; answers chats touched."""
    strangers = Rows()
    strangers.people = rows.people
    folded = Folded({})
    async with app.db.pipelined() as tx:
        await turn.take(tx, {number_id for number_id, _ in rows.people})
        await people.resolve(tx, people.ask(tx, strangers), strangers, folded, now)
        await tx.send(queries.WRITE_CONTACTS, (as_rows(contacts_of(strangers).values()),))
    return {(number_id, chat): None for number_id, body in folded.events.items() for chat in body.get("chats", ())}


async def _identify(tx: Tx, rows: Rows) -> bool:
    """Gives each person and message its contact, if all of them are known and agree."""
    identified = await people.ask(tx, rows).identified.rows()
    contact_of = {(number_id, key): contact_id for number_id, key, contact_id, _ in identified}
    for (number_id, keys), person in rows.people.items():
        ids = {contact_of.get((number_id, key)) for key in keys}
        contact_id = ids.pop()
        if ids or contact_id is None:
            return False
        person.id = contact_id
    for (number_id, wamid), all_keys in rows.of.items():
        ids = {contact_of[number_id, keys[0]] for keys in all_keys}
        rows.messages[number_id, wamid].contact_id = ids.pop()
        if ids:
            return False
    return True


async def refresh(app: App, chats: Touched) -> None:
    """Brings the lines of these chats up to their messages, and tells browsers of them."""
    ordered = sorted(chats)
    for start in range(0, len(ordered), GROUP):
        group = ordered[start : start + GROUP]
        async with app.db.pipelined() as tx:
            await turn.take(tx, [number_id for number_id, _ in group])
            touched = [{"number_id": n, "contact_id": c, "newest": chats[n, c]} for n, c in group]
            await tx.send(queries.REFRESH_CHATS, (as_json(touched),))
            told: dict[int, dict[str, list[int]]] = {}
            for number_id, contact_id in group:
                told.setdefault(number_id, {"chats": []})["chats"].append(contact_id)
            await events.publish(tx, told, app.clock.now())
