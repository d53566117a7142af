"""The first synchronisation: one accepted call per kind, then webhooks until all is said.

The webhooks of a kind are one stream that is the same each time it is made, so a restart goes on by skipping what was
handed over. The stream is made in a thread, a webhook at a time, and only as fast as webhooks leave: a past of any
size costs little memory and doesn't hold up live messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

from . import history, wire
from .errors import NOT_ON_PLATFORM, GraphError, in_webhook
from .media import webhook_hash
from .state import Hook, Message, Phone, Sync
from .world import World

CONTACTS, HISTORY = "smb_app_state_sync", "history"
WITHIN = 86400.0  # Meta: both synchronisations inside 24 hours of onboarding
BOOK_BATCH = 200
LINE_FULL = 50
"""Webhooks waiting to leave above which the phone stops uploading."""
SHUFFLE_REACH = 6


def request(world: World, phone: Phone, sync_type: str) -> str:
    """``POST /<PHONE_NUMBER_ID>/smb_app_data``: the request id. Raises ``GraphError``."""
    if phone.state != "connected" or phone.onboarded_at is None:
        raise GraphError(NOT_ON_PLATFORM)
    if sync_type not in (CONTACTS, HISTORY):
        raise GraphError(100, "sync_type must be one of {smb_app_state_sync, history}")
    if sync_type in phone.syncs:
        raise GraphError(2593107)
    now = world.now()
    if now - phone.onboarded_at > WITHIN:
        raise GraphError(2593108)
    sync = Sync(world.ids.request(), now)
    phone.syncs[sync_type] = sync
    if not (world.waba(phone).subscribed and sync_type in world.state.app.fields):
        sync.state = "burned"  # reported by integrators: the one attempt is gone, and nothing comes
    elif sync_type == CONTACTS:
        phone.contacts_synced = phone.share_contacts
        world.run(run(world, phone, sync_type))
    else:
        world.run(run(world, phone, sync_type))
    world.changed("sync", phone=phone.id)
    return sync.request_id


def resume(world: World) -> None:
    """After a restart: go on with what was running."""
    for phone in world.state.phones.values():
        for sync_type, sync in phone.syncs.items():
            if sync.state == "running":
                world.run(run(world, phone, sync_type))


def stalled(phone: Phone) -> bool:
    """The app isn't there to upload."""
    return not phone.app_open or phone.state == "offboarded"


def running(world: World) -> int:
    """Synchronisations that are going on and not stalled."""
    return sum(
        sync.state == "running" and not stalled(phone)
        for phone in world.state.phones.values()
        for sync in phone.syncs.values()
    )


async def run(world: World, phone: Phone, sync_type: str) -> None:
    """Hand the stream over, webhook by webhook; ends early when the number leaves the platform."""
    sync = phone.syncs[sync_type]
    if sync_type == HISTORY and not phone.share_history:
        _decline(world, phone)
        sync.state = "declined"
        world.changed("sync", phone=phone.id)
        return
    stream = enumerate(_contacts(world, phone, sync) if sync_type == CONTACTS else _history(world, phone, sync))
    while (step := await asyncio.to_thread(next, stream, None)) is not None:
        index, (change, progress) = step
        if index < sync.position:
            continue
        while stalled(phone) or world.courier.waiting > LINE_FULL:
            if phone.syncs.get(sync_type) is not sync:
                return
            await asyncio.sleep(0.02)
        if phone.state != "connected" or phone.syncs.get(sync_type) is not sync:
            return
        world.courier.send(Hook(sync_type, phone.waba_id, phone.waba_id, change, phone_id=phone.id))
        sync.position = index + 1
        sync.progress = max(sync.progress, progress)
        world.changed("sync", phone=phone.id)
        if phone.sync_options.pace:
            await asyncio.sleep(phone.sync_options.pace)
    sync.progress, sync.state = 100, "done"
    world.changed("sync", phone=phone.id)


def _decline(world: World, phone: Phone) -> None:
    value = wire.value(phone, history=[{"errors": [in_webhook(2593109, href=False)]}])
    if phone.sync_options.declined_bare:
        hook = Hook("history", phone.waba_id, phone.waba_id, wire.encode(value), phone_id=phone.id, bare=True)
        world.courier.send(hook)
    else:
        world.emit(phone, "history", value)


def _contacts(world: World, phone: Phone, sync: Sync) -> Iterator[tuple[str, int]]:
    """The address book in bulk."""
    entries = list(phone.book.items()) if phone.share_contacts else []
    for start in range(0, len(entries), BOOK_BATCH):
        part = [
            wire.book_entry(world.state.customers[who], entry, sync.at)
            for who, entry in entries[start : start + BOOK_BATCH]
        ]
        done = 100 * min(start + BOOK_BATCH, len(entries)) // len(entries)
        yield wire.change("smb_app_state_sync", wire.value(phone, state_sync=part)), done


def _history(world: World, phone: Phone, sync: Sync) -> Iterator[tuple[str, int]]:
    """Chunks and media follow-ups in the order they are handed over."""
    options, onboarded_at = phone.sync_options, phone.onboarded_at or sync.at
    rng = Random(f"{world.state.seed}:{phone.id}:{sync.request_id}")
    until = sync.at if options.overlap else onboarded_at
    live = {who: [m for m in world.live(phone, who) if m.at <= until and _shareable(m)] for who in list(phone.chats)}
    chunks = history.chunks(world.past(phone), live, onboarded_at, options.per_chunk)
    if options.shuffle:
        chunks = _shuffled(chunks, rng)
    late: list[Message] = []
    for chunk in chunks:
        after: list[Message] = []
        for message in chunk.messages:
            if message.type in wire.MEDIA_TYPES and onboarded_at - message.at < history.MEDIA_DAYS * history.DAY:
                when = rng.choice(("early", "after", "late")) if options.followups == "mixed" else options.followups
                if when == "early":
                    yield _followup(world, phone, message), 0
                else:
                    (late if when == "late" else after).append(message)
        threads = [wire.thread(phone, world.state.customers[who], said) for who, said in chunk.threads]
        about = {"phase": chunk.phase, "chunk_order": chunk.order, "progress": chunk.progress}
        yield (
            wire.change("history", wire.value(phone, history=[{"metadata": about, "threads": threads}])),
            chunk.progress,
        )
        for message in after:
            yield _followup(world, phone, message), 0
    for message in late:
        yield _followup(world, phone, message), 0


def _shareable(message: Message) -> bool:
    """Rows of the generated past come with their plan; what was deleted or failed isn't shared."""
    return message.origin != "history" and not message.revoked and message.status not in ("failed", "accepted")


def _shuffled(chunks: Iterator[history.Chunk], rng: Random) -> Iterator[history.Chunk]:
    """Any order inside a moving reach."""
    held: list[history.Chunk] = []
    for chunk in chunks:
        held.append(chunk)
        if len(held) > SHUFFLE_REACH:
            yield held.pop(rng.randrange(len(held)))
    rng.shuffle(held)
    yield from held


def _followup(world: World, phone: Phone, message: Message) -> str:
    """The real media of a placeholder: same id, field ``history``, no phase (Meta: history reference)."""
    customer = world.state.customers[message.customer]
    content = message.content
    if message.origin == "history":
        media = world.shelf.generate(content["id"], message.type, world.now(), content.get("filename"))
        media.created_at = world.now()  # a page may have shown it before: its seven days begin here
        content = {**content, "sha256": webhook_hash(media)}
        if world.state.options.media_urls:
            content["url"] = world.media_url(media.id)
    shown = Message(**{**vars(message), "content": content})
    contacts = [wire.contact(customer)]
    if message.direction == "out":
        value = wire.value(phone, contacts=contacts, message_echoes=[wire.echo(shown, phone, customer)])
    else:
        value = wire.value(phone, contacts=contacts, messages=[wire.inbound(shown, customer)])
    return wire.change("history", value)
