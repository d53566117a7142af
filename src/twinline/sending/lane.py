"""The lane: drains one number's outbox inside its 20 messages a second.

**One drain per number.** It is a job under the lock ``lane:<number>``, so however many workers there are, one of them
drains a number at a time, and rows found in ``sending`` at its start belong to a drain that died: nobody knows whether
Meta took them, so they become *in doubt*. Nothing in doubt is sent again by itself.

**Reserve, mark, commit, then speak.** In one short transaction under the number's turn the drain reserves instants
from the number's budget (``rules.budget``: exact, whoever else charges it), picks as many rows in the order of lanes,
asks once more what may have changed since they were written (who has the floor, whether the window is still open) and
marks them ``sending``. Only then it calls Graph. It never reserves more than half a second ahead: that is what a
person's reply may have to wait for behind a campaign, and what a crash can put in doubt.

**Order inside a chat is kept**: two rows of one chat are sent one after the other, others side by side.

**Settled once.** Graph's answer, or a status webhook that carries our id, ends a row's way, whichever comes first
(``service.settle``). A timeout ends in doubt; a status settles it; ten minutes of silence make it *unknown*, which a
person sees.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twinline.app import App
from twinline.db import Tx
from twinline.kit import log
from twinline.kit.clock import microseconds
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.meta.webhooks import MEDIA
from twinline.mirror import events, turn
from twinline.rules import floor
from twinline.rules.budget import SECOND, THROUGHPUT
from twinline.rules.floor import Floor, Holder
from twinline.rules.outcomes import Class
from twinline.sending import compose, queries, service
from twinline.sending.models import Outgoing, Sender

HORIZON = SECOND // 2  # microseconds
DESPAIR_AFTER = timedelta(minutes=10)
HALT = 2.0  # seconds of silence after 130429 (reference: cloud API, throughput)

logger = log.get("sending.lane")


@dataclass(frozen=True, slots=True)
class Round:
    """What one transaction of the drain decided."""

    sender: Sender
    rows: Sequence[tuple[Outgoing, int]]  # each with its instant, in microseconds
    again_at: datetime | None  # when to look next; None: nothing waits
    dropped: bool = False


async def drain(app: App, number_id: int) -> None:
    """Sends what waits, until nothing does."""
    await _doubt_abandoned(app, number_id)
    chats: dict[int, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as calls:
        while True:
            planned = await plan(app, number_id)
            if planned is None:
                return
            for row, instant in planned.rows:
                before = chats.get(row.contact_id)
                chats[row.contact_id] = calls.create_task(_send(app, planned.sender, row, instant, before))
            if planned.dropped:
                continue
            if planned.again_at is None:
                pending = [call for call in chats.values() if not call.done()]
                if not pending:
                    return
                # A call may bring a row back (throttled, to be tried again): look once more when it is done.
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                continue
            wait = (planned.again_at - app.clock.now()).total_seconds()
            if wait > 60 and all(call.done() for call in chats.values()):
                async with app.db.transaction() as tx:
                    await turn.take(tx, [number_id])
                    await service.wake(tx, number_id, planned.again_at)
                return
            await asyncio.sleep(max(0.0, min(wait, HORIZON / SECOND)))


async def plan(app: App, number_id: int) -> Round | None:
    """Reserves instants, picks rows, marks them ``sending``. None when the number is gone."""
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        now = app.clock.now()
        named = {"number": number_id, "now": now}
        sender = await tx.one(Sender, queries.SENDER, named)
        if sender is None:
            return None
        moment = microseconds(now)
        granted = THROUGHPUT.reserve(sender.budget_tat, moment, HORIZON * 20 // SECOND, HORIZON)
        waiting = await tx.all(Outgoing, queries.NEXT, {**named, "limit": max(1, len(granted.times))})
        if not waiting:
            return Round(sender, (), await tx.value(queries.WAITING, named))
        if not granted.times:
            free_at = now + timedelta(microseconds=max(0, granted.tat - HORIZON - moment))
            return Round(sender, (), free_at)
        ready = [row for row in waiting if _may_still_speak(row, now)]
        late = [row for row in waiting if row not in ready]
        for row in late:
            told = "Somebody spoke in this chat while this was waiting, so it was dropped."
            await service.settle(tx, number_id, row.id, "cancelled", now, text=told)
        if late:
            told_of = {"outbox": [[row.contact_id, row.id, "cancelled"] for row in late]}
            await events.publish(tx, {number_id: told_of}, now)
        # Only what is used is paid for: the rest of the half second stays free for a reply that comes meanwhile.
        used = THROUGHPUT.reserve(sender.budget_tat, moment, len(ready), HORIZON)
        await tx.execute(queries.SPEND, {"number": number_id, "tat": used.tat})
        await tx.execute(queries.MARK_SENDING, {**named, "ids": [row.id for row in ready]})
        rows = list(zip(ready, used.times, strict=True))
        last = timedelta(microseconds=max(0, (used.times[-1] if used.times else moment) - moment))
        return Round(sender, rows, now + last, dropped=bool(late) and not ready)


def _may_still_speak(row: Outgoing, now: datetime) -> bool:
    here = Floor(Holder(row.floor_holder), row.current_epoch, row.floor_until)
    return floor.may_speak(here, service.HOLDERS[row.author], row.floor_epoch, now).allowed


async def _send(app: App, sender: Sender, row: Outgoing, instant: int, before: asyncio.Task[None] | None) -> None:
    if before is not None:
        await asyncio.wait([before])
    await asyncio.sleep(max(0, instant - microseconds(app.clock.now())) / SECOND)
    try:
        if sender.token is None:
            raise VaultError("This number has no token: paste one on its page, or connect it again.")
        token = app.vault.unseal(sender.token)
        media_id = await _uploaded(app, sender, row, token)
        body = compose.body(sender.id, row, media_id)
        sent = await app.graph.send_message(sender.phone_number_id, body, token=token)
    except VaultError as error:
        await _settle(app, sender.id, row, "failed", text=str(error))
    except GraphError as error:
        await _failed(app, sender, row, error)
    else:
        await _settle(app, sender.id, row, "sent", wamid=sent.wamid)


async def _uploaded(app: App, sender: Sender, row: Outgoing, token: str) -> str | None:
    """The media id of a row that carries a file: uploaded once, and then remembered with it."""
    content = row.content or {}
    if row.type not in MEDIA or content.get("id") is not None or "file" not in content:
        return str(content["id"]) if content.get("id") is not None else None
    with app.files.open(content["file"]) as file:
        data = file.read()
    name = content.get("filename") or "file"
    media_id = await app.graph.upload_media(sender.phone_number_id, data, content["mime_type"], name, token=token)
    async with app.db.transaction() as tx:
        named = {"number": sender.id, "media_id": media_id, "id": row.id}
        about = {"mime": content["mime_type"], "sha256": content.get("sha256"), "size": len(data)}
        await tx.execute(queries.UPLOADED, {**named, **about, "file": content["file"]})
        await tx.execute(queries.REMEMBER_UPLOAD, named)
    return media_id


async def _failed(app: App, sender: Sender, row: Outgoing, error: GraphError) -> None:
    """Graph said no, or nothing: the table of outcomes decides by code, never by HTTP status."""
    outcome = error.outcome
    logger.warning("send_failed", number=sender.id, outbox=row.id, code=error.code, outcome=str(outcome.klass))
    if error.ambiguous:
        await _update(app, sender.id, row, queries.DOUBT, "in_doubt", text=outcome.says)
        return
    wait = outcome.wait_before(row.attempts + 1)
    if wait is None:
        await _settle(app, sender.id, row, "failed", code=error.code, text=outcome.says)
        return
    if outcome.klass is Class.THROTTLE:
        async with app.db.transaction() as tx:
            await turn.take(tx, [sender.id])
            tat = await tx.value(queries.BUDGET, {"number": sender.id})
            tat = THROUGHPUT.halt(tat, microseconds(app.clock.now()), HALT)
            await tx.execute(queries.SPEND, {"number": sender.id, "tat": tat})
    await _update(
        app,
        sender.id,
        row,
        queries.POSTPONE,
        "queued",
        code=error.code,
        text=outcome.says,
        not_before=app.clock.now() + timedelta(seconds=wait),
        forgiven=int(outcome.is_throttle),
    )


async def _settle(
    app: App,
    number_id: int,
    row: Outgoing,
    state: str,
    *,
    wamid: str | None = None,
    code: int | None = None,
    text: str | None = None,
) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        now = app.clock.now()
        contact_id = await service.settle(tx, number_id, row.id, state, now, wamid=wamid, code=code, text=text)
        if contact_id is not None:
            told: dict[str, object] = {"outbox": [[contact_id, row.id, state]]}
            if wamid is not None:
                told["messages"] = [[contact_id, wamid, "sent"]]
            await events.publish(tx, {number_id: told}, now)


async def _update(app: App, number_id: int, row: Outgoing, statement: str, state: str, **params: object) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        contact_id = await tx.value(statement, {"number": number_id, "id": row.id, **params})
        if contact_id is not None:
            await events.publish(tx, {number_id: {"outbox": [[contact_id, row.id, state]]}}, app.clock.now())


async def _doubt_abandoned(app: App, number_id: int) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await _tell(tx, number_id, await tx.rows(queries.ABANDONED, {"number": number_id}), app.clock.now())


async def despair(app: App) -> None:
    """What stayed in doubt without a word from Meta becomes *unknown*: a person decides what to do."""
    before = app.clock.now() - DESPAIR_AFTER
    async with app.db.transaction() as tx:
        numbers = [row[0] for row in await tx.rows(queries.NUMBERS_IN_DOUBT, {"before": before})]
    for number_id in numbers:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            now = app.clock.now()
            rows = await tx.rows(queries.DESPAIR, {"number": number_id, "before": before, "now": now})
            await _tell(tx, number_id, rows, now)


async def _tell(tx: Tx, number_id: int, rows: Sequence[tuple[object, ...]], now: datetime) -> None:
    if rows:
        await events.publish(tx, {number_id: {"outbox": [list(row) for row in rows]}}, now)
