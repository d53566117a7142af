"""The one way out: ``submit``. And what incoming webhooks settle: ``follow``."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.db.jobs import defer
from twinline.kit import sniff
from twinline.meta import webhooks as wire
from twinline.mirror import events, turn
from twinline.mirror import service as mirror
from twinline.mirror.fold import MessageRow, StatusRow, version
from twinline.mirror.models import Folded
from twinline.rules import floor, guard
from twinline.rules.delivery import Delivery
from twinline.rules.floor import Floor, Holder
from twinline.rules.identity import is_group
from twinline.rules.lifecycle import Connection
from twinline.rules.window import window
from twinline.sending import queries
from twinline.sending.compose import outbox_id
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
    refuse(sender, recipient, draft, lane, HOLDERS[author], now)
    here = await speak(tx, sender, recipient, HOLDERS[author], now)
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


def refuse(sender: Sender, recipient: Recipient, draft: Draft, lane: int, holder: Holder, now: datetime) -> None:
    """Every rule about what may go out, in one place for inbox, API, automations and campaigns. Raises Refused."""
    content = draft.content or {}
    is_media = draft.type in wire.MEDIA
    refusal = guard.guard(
        guard.Attempt(
            kind=draft.type,
            recipient=recipient.phone or recipient.bsuid or "",
            purpose=PURPOSES[Lane(lane)],
            text=None if is_media else draft.text,
            caption=draft.text if is_media else None,
            size=content.get("size"),
            mime=content.get("mime_type"),
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
            speech=floor.may_speak(floor_of(recipient), holder, None, now),
            disconnect_reason=sender.state_reason,
        ),
    )
    if refusal is not None:
        raise Refused(refusal)


def floor_of(recipient: Recipient) -> Floor:
    return Floor(Holder(recipient.floor_holder), recipient.floor_epoch, recipient.floor_until, recipient.floor_since)


async def speak(tx: Tx, sender: Sender, recipient: Recipient, holder: Holder, now: datetime) -> Floor:
    """``holder`` takes the floor of a chat, if it may; answers the floor as it is then."""
    until = now + timedelta(seconds=sender.phone_pause_seconds) if holder in floor.PEOPLE else None
    taken = floor.take(floor_of(recipient), holder, now, until)
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


async def wake(tx: Tx, number_id: int, at: datetime | None = None) -> None:
    """Sees to it that the number's lane is drained (again). The caller holds the number's turn."""
    lane = f"lane:{number_id}"
    # The queue runs jobs of one lock in order, waiting even for one that is planned for later: so what is wanted now
    # has the higher priority.
    waiting, priority = (lane, 1) if at is None else (f"{lane}:later", 0)
    await defer(
        tx,
        "sending.drain",
        queue="lane",
        lock=lane,
        queueing_lock=waiting,
        priority=priority,
        at=at,
        number_id=number_id,
    )


# --- what webhooks settle -----------------------------------------------------------------------------------------


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """In the ingest's transaction: statuses settle what was sent, replies from the phone take the floor."""
    for status in folded.statuses:
        ours = outbox_id(status.callback_data)
        if ours is not None:
            await _settle_by_status(tx, folded, ours, status, now)
    for number_id in {said.number_id for said in folded.echoed}:
        await _phone_speaks(tx, folded, number_id, now)


async def _settle_by_status(tx: Tx, folded: Folded, ours: int, status: StatusRow, now: datetime) -> None:
    failed = status.status == Delivery.FAILED
    errors: Sequence[Any] = (status.detail or {}).get("errors") or [{}]
    code = errors[0].get("code") if failed else None
    contact_id = await settle(
        tx,
        status.number_id,
        ours,
        "sent",
        now,
        wamid=status.wamid,
        code=code,
        text=errors[0].get("title") if failed else None,
    )
    if contact_id is not None:
        folded.tell(status.number_id, "outbox", [contact_id, ours, "sent"])


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
) -> int | None:
    """Ends a row's way, once, and lets a sent one appear in the chat. Answers its contact, None if it had ended."""
    rows = await tx.dicts(
        queries.SETTLE,
        {"number": number_id, "id": outbox, "state": state, "now": now, "wamid": wamid, "code": code, "text": text},
    )
    if not rows:
        return None
    [row] = rows
    if wamid is not None:
        at = int((row["sending_at"] or now).timestamp())
        content = {k: v for k, v in (row["content"] or {}).items() if k != "file"} or None
        message = MessageRow(
            number_id,
            wamid,
            outgoing=True,
            contact_id=row["contact_id"],
            live=True,
            version=version(wire.OURS, at, outbox),
            at=at,
            type=row["type"],
            text=row["text"],
            content=content,
            media_id=(content or {}).get("id"),
            quoted=row["quoted"],
            author=row["author"],
            author_id=row["author_id"],
            delivery=int(Delivery.ACCEPTED),
        )
        await mirror.record(tx, [message])
    contact_id: int = row["contact_id"]
    return contact_id


# --- files --------------------------------------------------------------------------------------------------------

# By what a file is -> how it is sent. Everything else goes as a document.
SENT_AS = {
    "image/jpeg": "image",
    "image/png": "image",
    "image/webp": "sticker",
    "video/mp4": "video",
    "video/3gpp": "video",
    "audio/aac": "audio",
    "audio/amr": "audio",
    "audio/mpeg": "audio",
    "audio/mp4": "audio",
    "audio/ogg": "audio",
}


async def attach(app: App, data: bytes, name: str, caption: str | None, quoted: str | None = None) -> Draft:
    """Keeps a file and answers the message that carries it. What it is, its content says."""
    mime = sniff.mime_type(data, name)
    digest = hashlib.sha256(data).hexdigest()
    file = f"outgoing/{digest}"
    await asyncio.to_thread(app.files.write, file, data)
    content = {"file": file, "mime_type": mime, "filename": name, "size": len(data), "sha256": digest}
    return Draft(SENT_AS.get(mime, "document"), caption or None, content, quoted)


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
    """Like ``submit``, to a phone number or a business-scoped user id. Raises Refused also for groups and lists."""
    await turn.take(tx, [number_id])
    contact_id = None
    if not is_group(recipient):
        contact_id = await mirror.contact_for(tx, number_id, recipient)
    if contact_id is None:
        sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
        if sender is None:
            raise NoSuchContact(f"there is no number {number_id}")
        stranger = Recipient(0, recipient, None, False, None, None, None, "nobody", 0, None, None)
        refuse(sender, stranger, draft, lane, HOLDERS[author], app.clock.now())
        raise NoSuchContact(f"{recipient} is neither a phone number nor a business-scoped user id")
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
