"""The one way out: ``submit``. And what becomes of a message then: ``settle``, ``follow``."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.db.jobs import defer
from twinline.kit import sniff
from twinline.kit.clock import microseconds
from twinline.meta import webhooks as wire
from twinline.mirror import events, turn
from twinline.mirror import service as mirror
from twinline.mirror.fold import MessageRow, version
from twinline.mirror.models import Folded
from twinline.rules import floor, guard, outcomes
from twinline.rules.delivery import Delivery
from twinline.rules.floor import Floor, Holder
from twinline.rules.guard import Refusal
from twinline.rules.identity import is_group
from twinline.rules.lifecycle import Connection
from twinline.rules.window import window
from twinline.sending import queries
from twinline.sending.compose import Callback, read_callback
from twinline.sending.models import Draft, Lane, Recipient, Refused, Sender

# Whose turn it is when a message of this author goes out.
HOLDERS = {
    "person": Holder.PERSON,
    "automation": Holder.AUTOMATION,
    "campaign": Holder.CAMPAIGN,
}

PURPOSES = {
    Lane.PERSON: guard.Purpose.REPLY,
    Lane.AUTOMATION: guard.Purpose.AUTOMATION,
    Lane.UTILITY: guard.Purpose.UTILITY,
    Lane.MARKETING: guard.Purpose.MARKETING,
}


class NoSuchContact(LookupError):
    """The number has no such contact."""


async def submit(
    app: App,
    tx: Tx,
    number_id: int,
    contact_id: int,
    draft: Draft,
    *,
    lane: int = Lane.PERSON,
    author: str = "person",
    author_id: int | None = None,
    idempotency_key: str | None = None,
) -> int:
    """Puts a message into the outbox and answers its id there; the same key answers the same id.

    Raises Refused when a rule forbids it, NoSuchContact. Takes the number's turn; the caller commits.
    """
    await turn.take(tx, [number_id])
    named = {"number": number_id, "contact": contact_id, "key": idempotency_key}
    if idempotency_key is not None and (known := await tx.value(queries.SAME_KEY, named)) is not None:
        return int(known)
    now = app.clock.now()
    sender = await tx.one(Sender, queries.SENDER, named)
    recipient = await tx.one(Recipient, queries.RECIPIENT, named)
    if sender is None or recipient is None:
        raise NoSuchContact(f"number {number_id} has no contact {contact_id}")
    holder = HOLDERS[author]
    refused = refusal(sender, recipient, draft, lane, holder, now)
    if refused is not None:
        raise Refused(refused)
    here = await speak(tx, sender, recipient, holder, now)
    new_id = await tx.value(
        queries.ENQUEUE,
        {
            **named,
            "lane": int(lane),
            "author": author,
            "author_id": author_id,
            "epoch": here.epoch,
            "now": now,
            "type": draft.type,
            "text": draft.text,
            "content": as_json(draft.content) if draft.content is not None else None,
            "quoted": draft.quoted,
        },
    )
    await wake(tx, number_id)
    told = {"outbox": [[contact_id, new_id, "queued"]], "chats": [contact_id]}
    await events.publish(tx, {number_id: told}, now)
    return int(new_id)


def refusal(
    sender: Sender,
    recipient: Recipient,
    draft: Draft,
    lane: int,
    holder: Holder,
    now: datetime,
    epoch: int | None = None,
) -> Refusal | None:
    """Every rule about what may go out, in one place for inbox, API, automations and campaigns.

    Asked when a message is written, and once more when it is its turn; ``epoch`` is then the floor's at its writing.
    """
    return guard.guard(
        guard.Attempt(
            kind=draft.type,
            recipient=recipient.phone or recipient.bsuid or "",
            purpose=PURPOSES[Lane(lane)],
            text=draft.text,
            content=draft.content,
            quoted=draft.quoted,
        ),
        guard.Standing(
            connection=Connection(sender.state),
            window=window(
                now,
                sender.connected_at,
                recipient.last_inbound_at,
                recipient.last_customer_at,
                recipient.last_phone_reply_at,
            ),
            opted_out=recipient.opted_out,
            speech=floor.may_speak(floor_of(recipient), holder, epoch, now),
            disconnect_reason=sender.state_reason,
        ),
    )


def floor_of(recipient: Recipient) -> Floor:
    return Floor(Holder(recipient.floor_holder), recipient.floor_epoch, recipient.floor_until, recipient.floor_since)


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
        await set_floor(tx, sender.id, recipient.contact_id, taken.floor)
    return taken.floor


async def set_floor(tx: Tx, number_id: int, contact_id: int, here: Floor) -> None:
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


async def wake(tx: Tx, number_id: int, after: timedelta | None = None) -> None:
    """Sees to it that the number's lane is drained (again). The caller holds the number's turn."""
    lane = f"lane:{number_id}"
    await defer(tx, "sending.drain", queue="lane", lock=lane, queueing_lock=lane, after=after, number_id=number_id)


# --- what becomes of it -------------------------------------------------------------------------------------------


async def settle(
    tx: Tx,
    number_id: int,
    outbox: int,
    state: str,
    now: datetime,
    *,
    wamid: str | None = None,
    code: int | None = None,
    text: str | None = None,
) -> None:
    """Ends a row's way, once, lets a sent one appear in the chat, and says so. The caller holds the number's turn."""
    rows = await tx.dicts(
        queries.SETTLE,
        {"number": number_id, "id": outbox, "state": state, "now": now, "wamid": wamid, "code": code, "text": text},
    )
    await _show(tx, rows, now)
    for row in rows:
        told: dict[str, object] = {"outbox": [[row["contact_id"], outbox, state]]}
        if wamid is not None:
            told["messages"] = [[row["contact_id"], wamid, "sent"]]
        await events.publish(tx, {number_id: told}, now)


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """In the ingest's transaction: statuses settle what was sent, replies from the phone take the floor."""
    await _settle_by_statuses(tx, folded, now)
    for number_id in {said.number_id for said in folded.echoed}:
        await _phone_speaks(tx, folded, number_id, now)


async def _settle_by_statuses(tx: Tx, folded: Folded, now: datetime) -> None:
    """A status with our callback data proves that Meta has the message, even if its answer never reached us."""
    proven: dict[Callback, dict[str, Any]] = {}
    for status in folded.statuses:
        ours = read_callback(status.callback_data)
        if ours is None or ours.number_id != status.number_id:
            continue
        row = proven.setdefault(ours, {**ours._asdict(), "id": ours.outbox_id, "wamid": status.wamid})
        if status.status == Delivery.FAILED:
            errors: Sequence[Any] = (status.detail or {}).get("errors") or [{}]
            meaning = outcomes.outcome(errors[0].get("code"))
            row |= {"code": meaning.code, "text": meaning.says}
    if not proven:
        return
    settled = await tx.dicts(queries.SETTLE_BY_STATUS, {"rows": as_json(list(proven.values())), "now": now})
    await _show(tx, settled, now)
    for row in settled:
        folded.tell(row["number_id"], "outbox", [row["contact_id"], row["id"], "sent"])
        folded.tell(row["number_id"], "messages", [row["contact_id"], row["wamid"], "sent"])


async def _show(tx: Tx, settled: Sequence[dict[str, Any]], now: datetime) -> None:
    """What Meta took becomes a message of its chat."""
    messages = [_message(row, now) for row in settled if row["wamid"] is not None]
    if messages:
        await mirror.record(tx, messages)


def _message(row: dict[str, Any], now: datetime) -> MessageRow:
    at = int((row["sending_at"] or now).timestamp())
    content = {key: value for key, value in (row["content"] or {}).items() if key != "file"}
    return MessageRow(
        row["number_id"],
        row["wamid"],
        outgoing=True,
        contact_id=row["contact_id"],
        heard=microseconds(now),
        live=True,
        version=version(wire.OURS, at, row["id"]),
        at=at,
        type=row["type"],
        text=row["text"],
        content=content or None,
        media_id=content.get("id"),
        quoted=row["quoted"],
        author=row["author"],
        author_id=row["author_id"],
        delivery=int(Delivery.ACCEPTED),
    )


async def _phone_speaks(tx: Tx, folded: Folded, number_id: int, now: datetime) -> None:
    """The owner wrote on the phone: automations and campaigns fall silent in that chat for a while (G2)."""
    newest: dict[int, int] = {}
    for said in folded.echoed:
        if said.number_id == number_id:
            newest[said.contact_id] = max(newest.get(said.contact_id, 0), said.at)
    sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
    assert sender is not None
    for contact_id, holder, epoch, until, since in await tx.rows(
        queries.FLOORS, {"number": number_id, "contacts": list(newest)}
    ):
        said_at = datetime.fromtimestamp(newest[contact_id], UTC)
        pause = said_at + timedelta(seconds=sender.phone_pause_seconds)
        taken = floor.take(Floor(Holder(holder), epoch, until, since), Holder.PHONE, now, pause, said_at)
        if taken.taken:
            await set_floor(tx, number_id, contact_id, taken.floor)


# --- files --------------------------------------------------------------------------------------------------------

# By what a file is -> how it is sent. Everything else goes as a document.
SENT_AS = {
    "image/jpeg": "image",
    "image/png": "image",
    "video/mp4": "video",
    "video/3gpp": "video",
    "audio/aac": "audio",
    "audio/amr": "audio",
    "audio/mpeg": "audio",
    "audio/mp4": "audio",
    "audio/ogg": "audio",
}


async def attach(
    app: App,
    data: bytes,
    name: str,
    caption: str | None,
    quoted: str | None = None,
    *,
    as_document: bool = False,
) -> Draft:
    """Keeps a file and answers the message that carries it. What it is, its content says, not its name."""
    mime = sniff.mime_type(data, name)
    digest = hashlib.sha256(data).hexdigest()
    file = f"outgoing/{digest}"
    await asyncio.to_thread(app.files.write, file, data)
    shown = re.sub(r"[\x00-\x1f/\\]", "_", name)[-200:]
    content = {"file": file, "mime_type": mime, "filename": shown, "size": len(data), "sha256": digest}
    kind = "document" if as_document else SENT_AS.get(mime, "document")
    return Draft(kind, caption or None, content, quoted)


# --- for those who know a number, not a contact -------------------------------------------------------------------


async def submit_to(
    app: App,
    tx: Tx,
    number_id: int,
    recipient: str,
    draft: Draft,
    *,
    lane: int = Lane.PERSON,
    author: str = "person",
    author_id: int | None = None,
    idempotency_key: str | None = None,
) -> int:
    """Like ``submit``, to a phone number or a business-scoped user id, known or not.

    Raises Refused also for groups, lists and what can't be an address, NoSuchContact without the number.
    """
    await turn.take(tx, [number_id])
    contact_id = None
    if not is_group(recipient):
        contact_id = await mirror.contact_for(tx, number_id, recipient)
    if contact_id is None:
        sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
        if sender is None:
            raise NoSuchContact(f"there is no number {number_id}")
        # Nobody can be reached under this: the rules say why, first of all the capability matrix.
        stranger = Recipient(0, recipient, None, False, None, None, None, "nobody", 0, None, None)
        refused = refusal(sender, stranger, draft, lane, HOLDERS[author], app.clock.now())
        assert refused is not None
        raise Refused(refused)
    return await submit(
        app,
        tx,
        number_id,
        contact_id,
        draft,
        lane=lane,
        author=author,
        author_id=author_id,
        idempotency_key=idempotency_key,
    )
