"""What others may ask of the mirror."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.kit import log
from twinline.meta import webhooks as wire
from twinline.mirror import archive, ingest, past, queries
from twinline.mirror.fold import ContactRow, MessageRow
from twinline.mirror.models import Follower
from twinline.rules.identity import digits, is_address, is_user_id, phone_key, user_key

logger = log.get("mirror")

GIVEN_UP = timedelta(hours=1)  # a body that waits for longer isn't waiting for its turn any more


async def claim(tx: Tx, phone_number_id: str, waba_id: str, now: datetime) -> int:
    """A number was added: what was said of it before is folded behind this transaction. Answers how many bodies."""
    await ingest.take_unclaimed(tx)
    added = await tx.rows(queries.ADDED, {"ids": [phone_number_id, waba_id]})
    return await ingest.attach(tx, sorted({home for row in added for home in ingest.homes(*row)}))


async def retry_unreadable(tx: Tx, now: datetime) -> int:
    """After a fix: every body that couldn't be understood, or whose folding was given up, is read again.

    Answers how many.
    """
    waiting = await tx.rows(queries.RETRY_UNREADABLE, {"before": now - GIVEN_UP})
    for day, digest in waiting:
        await ingest.defer_fold(tx, str(day), digest)
    return len(waiting)


async def fold_archived(app: App, day: str, digest: bytes, followers: Sequence[Follower]) -> None:
    """Folds a body that stands in the archive, slice by slice, and writes down what became of it.

    May be repeated at any point: what was folded already joins into itself.
    """
    async with app.db.pipelined() as tx:
        rows = await tx.rows(queries.BODY, {"day": day, "digest": digest})
    if not rows:
        return  # older than the archive keeps
    stored, received = rows[0]
    state, reason = "folded", None
    homeless: set[str] = set()
    older: list[past.Chat] = []
    try:
        parsed = wire.parse(archive.unpack(stored, digest))
    except wire.Unreadable as error:
        state, reason = "unreadable", str(error)
    else:
        if parsed.problems:
            state, reason = "unreadable", "; ".join(parsed.problems)
        imported, others = past.apart(parsed.events)
        chats, odd = await past.fold(app, imported, app.clock.now())
        for found in ingest.slices([*odd, *others]):
            try:
                async with app.db.pipelined() as tx:
                    homeless |= await ingest.fold_slice(app, tx, found, followers, app.clock.now(), received)
            except Exception as error:
                if ingest.is_away(error):
                    raise  # the job is tried again when the database is back
                logger.error("slice_refused", digest=digest.hex(), error=type(error).__name__)
                state, reason = "unreadable", ingest.reason(error)
        older = await past.refresh(app, chats)
    async with app.db.pipelined() as tx:
        await past.tell(tx, older, app.clock.now())
        if homeless:
            await ingest.take_unclaimed(tx)
            state = "unclaimed"
        await tx.send(queries.SETTLE, {"day": day, "digest": digest, "state": state, "reason": reason})
        if homeless:
            kept = [(address, digest) for address in sorted(homeless)]
            await ingest.keep_unclaimed(tx, kept, day, app.clock.now())


async def record(tx: Tx, messages: Sequence[MessageRow]) -> None:
    """Messages that this platform itself sent join the mirror. The caller holds the numbers' turns."""
    await tx.execute(queries.WRITE_MESSAGES, (msgspec.json.encode(messages).decode(),))
    answered: dict[tuple[int, int], int] = {}
    for row in messages:
        if row.contact_id is not None and row.at is not None:
            key = (row.number_id, row.contact_id)
            answered[key] = max(answered.get(key, 0), row.at)
    chats = [{"number_id": n, "contact_id": c, "plain": True, "answered_at": at} for (n, c), at in answered.items()]
    await tx.execute(queries.REFRESH_CHATS, (as_json(chats),))


async def contact_for(tx: Tx, number_id: int, recipient: str) -> int | None:
    """The contact behind a phone number or business-scoped user id, made if it is new; None when it is neither.

    The caller holds the number's turn.
    """
    return (await contacts_for(tx, number_id, [recipient])).get(recipient)


async def contacts_for(tx: Tx, number_id: int, recipients: Iterable[str]) -> dict[str, int]:
    """The contacts behind many at once, those that are new made; what is no address isn't among them."""
    named = {recipient: found for recipient in recipients if (found := _person(number_id, recipient)) is not None}
    keys = dict.fromkeys(key for key, _ in named.values())
    asked = [{"number_id": number_id, "key": key} for key in keys]
    answered = await tx.rows(queries.IDENTIFY, (as_json(asked),))
    contacts = {key: known if known is not None else fresh_id for _, key, known, fresh_id in answered}
    fresh = {key for _, key, known, _ in answered if known is None}
    if fresh:
        added = [{"number_id": number_id, "key": key, "contact_id": contacts[key]} for key in sorted(fresh)]
        rows = {key: row for key, row in named.values() if key in fresh}
        for key, row in rows.items():
            row.id = contacts[key]
        await tx.execute(queries.ADD_IDENTITIES, (as_json(added),))
        await tx.execute(queries.WRITE_CONTACTS, (msgspec.json.encode(list(rows.values())).decode(),))
    return {recipient: int(contacts[key]) for recipient, (key, _) in named.items()}


def _person(number_id: int, recipient: str) -> tuple[str, ContactRow] | None:
    """The key of an address, and what it alone tells of the person."""
    if is_user_id(recipient):
        return user_key(recipient), ContactRow(number_id, bsuid=recipient, bsuid_v=0)
    if not is_address(recipient):
        return None
    phone = digits(recipient)
    return phone_key(phone), ContactRow(number_id, phone=phone, phone_v=0)
