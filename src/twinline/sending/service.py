"""The one way out: ``submit``, and ``submit_many``. And what becomes of a message then: ``settle``, ``follow``."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from twinline.app import App
from twinline.contacts import service as contacts
from twinline.db import Tx, as_json
from twinline.kit.clock import microseconds
from twinline.meta import webhooks as wire
from twinline.mirror import events, turn
from twinline.mirror import service as mirror
from twinline.mirror.fold import MessageRow, version
from twinline.mirror.models import Folded
from twinline.rules import floor, guard, outcomes
from twinline.rules.consent import FREE, Consent
from twinline.rules.delivery import Delivery
from twinline.rules.floor import Floor, Holder
from twinline.rules.guard import Refusal
from twinline.rules.identity import is_address, is_group, is_user_id, phone_key, user_key
from twinline.rules.lifecycle import Connection
from twinline.rules.refusal import Refused
from twinline.rules.window import Window, window
from twinline.sending import portfolio, queries, speech, stops, uploads
from twinline.sending.compose import Callback, read_callback, words_of
from twinline.sending.models import Cause, Draft, Lane, Recipient, Result, Sender, Submission, stranger
from twinline.sending.waking import wake
from twinline.templates import service as templates

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


UNREACHABLE_AFTER = 3  # messages that couldn't be delivered (131026), with nothing that could, and no word, since
CAPPED_FOR = timedelta(seconds=outcomes.outcome(131049).wait[0])

# By Meta's category of a template.
CATEGORIES = {
    "MARKETING": guard.Purpose.MARKETING,
    "UTILITY": guard.Purpose.UTILITY,
    "AUTHENTICATION": guard.Purpose.AUTHENTICATION,
}


class NoSuchContact(LookupError):
    """The number has no such contact."""


class OtherMessage(Exception):
    """The idempotency key came before, with another request; ``outbox_id`` is what that one became."""

    def __init__(self, outbox_id: int) -> None:
        super().__init__(f"the idempotency key is that of message {outbox_id}")
        self.outbox_id = outbox_id


Became = int | Refused | NoSuchContact | OtherMessage
"""What becomes of a message that is to be written: its id in the outbox, or what ``submit`` raises."""


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
    cause: Cause | None = None,
) -> int:
    """Puts a message into the outbox and answers its id there; the same key answers the same id.

    Raises Refused when a rule forbids it, NoSuchContact, and OtherMessage when the key belongs to another request.
    Takes the number's turn; the caller commits.
    """
    one = Submission(contact_id, draft, lane, idempotency_key)
    [became] = await submit_many(app, tx, number_id, [one], author=author, author_id=author_id, cause=cause)
    if isinstance(became, Exception):
        raise became
    return became


async def submit_many(
    app: App,
    tx: Tx,
    number_id: int,
    asked: Sequence[Submission],
    *,
    author: str = "person",
    author_id: int | None = None,
    cause: Cause | None = None,
) -> list[Became]:
    """``submit`` for many messages at once, in as many statements as for one. Answers for each what it would have
    answered or raised; one that may not go out leaves the others alone. Those with the same key are one message.
    """
    await turn.take(tx, [number_id])
    desk = _Desk(tx, number_id, author, author_id, cause, app.clock.now(), dict(enumerate(asked)))
    await desk.write()
    return [desk.became[place] for place in range(len(asked))]


@dataclass(slots=True)
class _Desk:
    """Messages of one author on their way into the outbox, by their places: those that are left, and what became of
    the others.
    """

    tx: Tx
    number_id: int
    author: str
    author_id: int | None
    cause: Cause | None
    now: datetime
    left: dict[int, Submission]
    became: dict[int, Became] = field(default_factory=dict)

    async def write(self) -> None:
        twins = await self._leave_out_known()
        if self.left:
            await self._write_new()
        self.became |= {place: self.became[first] for place, first in twins.items()}

    def _ends(self, place: int, became: Became) -> None:
        self.became[place] = became
        del self.left[place]

    async def _leave_out_known(self) -> dict[int, int]:
        """What was written under the same key before; answers who has the key of another of these, and whose."""
        keys = [one.key for one in self.left.values() if one.key is not None]
        named = {"number": self.number_id, "keys": keys}
        known = {key: found for key, *found in await self.tx.rows(queries.SAME_KEYS, named)} if keys else {}
        first: dict[str, int] = {}
        twins: dict[int, int] = {}
        for place, one in list(self.left.items()):
            if one.key in known:
                outbox_id, digest = known[one.key]
                same = self.cause is None or self.cause.request_digest == digest
                self._ends(place, outbox_id if same else OtherMessage(outbox_id))
            elif one.key is not None and first.setdefault(one.key, place) != place:
                twins[place] = first[one.key]
                del self.left[place]
        return twins

    async def _write_new(self) -> None:
        named = {"number": self.number_id, "contacts": sorted({one.contact_id for one in self.left.values()})}
        sender = await self.tx.one(Sender, queries.SENDER, named)
        found = await self.tx.all(Recipient, queries.RECIPIENTS, named)
        there = {recipient.contact_id: recipient for recipient in found}
        for place, one in list(self.left.items()):
            if sender is None or one.contact_id not in there:
                self._ends(place, NoSuchContact(f"number {self.number_id} has no contact {one.contact_id}"))
        await self._fill_in(there)
        if sender is None or not self.left:
            return
        stopped = await stops.standing(self.tx, self.number_id, self.now)
        await self._ask(sender, there, stopped)
        if self.left:
            speaking = [there[one.contact_id] for one in self.left.values()]
            floors = await speech.speak(self.tx, sender, speaking, HOLDERS[self.author], self.now)
            await self._enqueue(floors, stopped)

    async def _fill_in(self, there: Mapping[int, Recipient]) -> None:
        """Templates as they will be read, and files by the ids under which Meta has them."""
        forms = [place for place, one in self.left.items() if one.draft.type == "template"]
        asked = [(self.left[at].draft.content or {}, there[self.left[at].contact_id].phone is not None) for at in forms]
        for place, ready in zip(forms, await templates.ready_many(self.tx, self.number_id, asked), strict=True):
            if isinstance(ready, Refused):
                self._ends(place, ready)
            else:
                one = self.left[place]
                self.left[place] = replace(one, draft=replace(one.draft, text=ready.text, content=ready.content))
        drafts = await uploads.given(self.tx, self.number_id, [one.draft for one in self.left.values()], self.now)
        for (place, one), draft in zip(self.left.items(), drafts, strict=True):
            self.left[place] = replace(one, draft=draft)

    async def _ask(self, sender: Sender, there: Mapping[int, Recipient], stopped: Sequence[stops.Standing]) -> None:
        """Every rule, of every message; whose fails goes no further."""
        consents = await consents_of(self.tx, self.number_id, self.left.values())
        for place, one in list(self.left.items()):
            recipient, draft = there[one.contact_id], one.draft
            consent = consents.get((one.contact_id, draft.topic), FREE)
            refused = refusal(sender, recipient, draft, one.lane, HOLDERS[self.author], self.now, consent)
            refused = refused or stops.refusal(stopped, self.author, one.lane, draft.type, draft.content)
            if refused is not None:
                self._ends(place, Refused(refused))

    async def _enqueue(self, floors: Mapping[int, Floor], stopped: Sequence[stops.Standing]) -> None:
        rows = [self._row(one, floors[one.contact_id], stopped) for one in self.left.values()]
        named = {
            "number": self.number_id,
            "author": self.author,
            "author_id": self.author_id,
            "now": self.now,
            "api_key": self.cause.api_key_id if self.cause else None,
            "digest": self.cause.request_digest if self.cause else None,
            "rows": as_json(rows),
        }
        ids = sorted(row[0] for row in await self.tx.rows(queries.ENQUEUE, named))
        self.became |= zip(self.left, ids, strict=True)
        await wake(self.tx, self.number_id)
        told = {
            "outbox": [[row["contact_id"], new_id, row["state"]] for row, new_id in zip(rows, ids, strict=True)],
            "chats": list(floors),
        }
        await events.publish(self.tx, {self.number_id: told}, self.now)

    def _row(self, one: Submission, here: Floor, stopped: Sequence[stops.Standing]) -> dict[str, Any]:
        draft = one.draft
        behind = stops.blocking(stopped, self.author, one.lane, draft.type, draft.content)
        return {
            "contact_id": one.contact_id,
            "lane": int(one.lane),
            "epoch": here.epoch,
            "key": one.key,
            "type": draft.type,
            "text": draft.text or words_of(draft),
            "content": draft.content,
            "quoted": draft.quoted,
            "topic": draft.topic,
            "state": "held" if behind else "queued",
            "code": behind.code if behind else None,
            "why": behind.says if behind else None,
        }


async def consents_of(tx: Tx, number_id: int, asked: Iterable[Submission]) -> dict[tuple[int, str], Consent]:
    """What those said about marketing who are to be sent some, by contact and topic."""
    topics: dict[str, list[int]] = {}
    for one in asked:
        if is_marketing(one.draft, one.lane):
            topics.setdefault(one.draft.topic, []).append(one.contact_id)
    return {
        (contact_id, topic): consent
        for topic, ids in topics.items()
        for contact_id, consent in (await contacts.consents(tx, number_id, ids, topic)).items()
    }


def refusal(
    sender: Sender,
    recipient: Recipient,
    draft: Draft,
    lane: int,
    holder: Holder,
    now: datetime,
    consent: Consent,
    epoch: int | None = None,
) -> Refusal | None:
    """Every rule about what may go out, in one place for inbox, API, automations and campaigns.

    Asked when a message is written, and once more when it is its turn; ``epoch`` is then the floor's at its writing.
    ``consent`` is the recipient's; only marketing is bound by it (``is_marketing``), so only for that it is looked up.
    """
    return guard.guard(
        guard.Attempt(
            kind=draft.type,
            recipient=recipient.phone or recipient.bsuid or "",
            purpose=_purpose(draft, lane),
            text=draft.text,
            content=draft.content,
            quoted=draft.quoted,
        ),
        guard.Standing(
            connection=_connection(sender, holder),
            window=window_of(sender, recipient, now),
            consent=consent,
            capped=recipient.capped_at is not None and now < recipient.capped_at + CAPPED_FOR,
            unreachable=recipient.missed >= UNREACHABLE_AFTER,
            speech=floor.may_speak(speech.floor_of(recipient), holder, epoch, now),
            disconnect_reason=sender.state_reason,
            phone=sender.display_phone,
        ),
    )


def _connection(sender: Sender, holder: Holder) -> Connection:
    """A number that is away refuses what people write; what machines write waits for it (``stops``)."""
    here = Connection(sender.state)
    return here if holder in floor.PEOPLE or here is Connection.CONNECTING else Connection.CONNECTED


def _purpose(draft: Draft, lane: int) -> guard.Purpose:
    """What a message is for: a template says it itself, whoever sends it; anything else goes by its lane."""
    shown = (draft.content or {}).get("shown") if draft.type == "template" else None
    category = shown.get("category") if isinstance(shown, dict) else None
    return CATEGORIES.get(str(category), PURPOSES[Lane(lane)])


def is_marketing(draft: Draft, lane: int) -> bool:
    return _purpose(draft, lane) is guard.Purpose.MARKETING


def window_of(sender: Sender, recipient: Recipient, now: datetime) -> Window:
    return window(
        now,
        sender.connected_at,
        recipient.last_inbound_at,
        recipient.last_customer_at,
        recipient.last_phone_reply_at,
    )


# --- what becomes of it -------------------------------------------------------------------------------------------


async def settle(tx: Tx, results: Sequence[Result], now: datetime) -> None:
    """Ends the way of rows, each once, lets those that were sent appear in their chats, and says so.

    The caller holds the turns of all their numbers.
    """
    rows = await tx.dicts(queries.SETTLE, {"rows": as_json([asdict(result) for result in results]), "now": now})
    if not rows:
        return
    await show(tx, rows, now)
    await portfolio.unreach(tx, (row for row in rows if row["state"] == "failed"))
    await free(tx, {(row["number_id"], row["contact_id"]) for row in rows})
    told: dict[int, dict[str, list[Any]]] = {}
    for row in rows:
        body = told.setdefault(row["number_id"], {"outbox": []})
        body["outbox"].append([row["contact_id"], row["id"], row["state"]])
        if row["wamid"] is not None:
            body.setdefault("messages", []).append([row["contact_id"], row["wamid"], "sent"])
    for number_id in told:
        dropped = [row["id"] for row in rows if row["number_id"] == number_id and row["state"] == "cancelled"]
        if dropped:
            await speech.overtaken(tx, number_id, dropped, now)
    await events.publish(tx, told, now)


async def free(tx: Tx, chats: Iterable[tuple[int, int]]) -> None:
    """The next message of each of these chats (number, contact) comes forward: none is before it any more."""
    numbers, contacts = zip(*sorted(chats), strict=True)
    await tx.execute(queries.FREE, {"numbers": list(numbers), "contacts": list(contacts)})


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """In the ingest's transaction: statuses settle what was sent, replies from the phone take the floor."""
    await _settle_by_statuses(tx, folded, now)
    await stops.noticed(tx, folded)
    await speech.phone_spoke(tx, folded, now)


async def _settle_by_statuses(tx: Tx, folded: Folded, now: datetime) -> None:
    """A status with our callback data proves that Meta has the message, even if its answer never reached us."""
    proven: dict[Callback, dict[str, Any]] = {}
    failed: dict[Callback, dict[str, Any]] = {}
    for status in folded.statuses:
        ours = read_callback(status.callback_data)
        if ours is None or ours.number_id != status.number_id:
            continue
        row = {**ours._asdict(), "id": ours.outbox_id, "wamid": status.wamid}
        proven.setdefault(ours, row)
        if status.status == Delivery.FAILED:
            meaning = outcomes.outcome(wire.error_code(status.detail), 400)
            failed[ours] = {**row, "code": meaning.code, "text": meaning.says, "at": status.at}
    if not proven:
        return
    settled = await tx.dicts(queries.SETTLE_BY_STATUS, {"rows": as_json(list(proven.values())), "now": now})
    if settled:
        seen = [stand_in(row["number_id"], row["id"]) for row in settled]
        await tx.execute(queries.MAKE_ROOM, {"numbers": [row["number_id"] for row in settled], "wamids": seen})
        await show(tx, settled, now)
        await free(tx, {(row["number_id"], row["contact_id"]) for row in settled})
    for settled_row in settled:
        folded.tell(settled_row["number_id"], "outbox", [settled_row["contact_id"], settled_row["id"], "sent"])
        folded.tell(settled_row["number_id"], "messages", [settled_row["contact_id"], settled_row["wamid"], "sent"])
    if failed:
        rows = await tx.dicts(queries.FAIL_BY_STATUS, {"rows": as_json(list(failed.values()))})
        await portfolio.unreach(tx, rows)
        await stops.heard(tx, folded, rows)
        await uploads.heard(tx, rows)


def stand_in(number_id: int, outbox_id: int) -> str:
    """The id of a message that somebody has seen arrive, for as long as Meta hasn't told its wamid."""
    return f"twinline:{number_id}:{outbox_id}"


async def show(tx: Tx, settled: Sequence[dict[str, Any]], now: datetime, reached: Delivery = Delivery.ACCEPTED) -> None:
    """What Meta took becomes a message of its chat."""
    messages = [_message(row, now, reached) for row in settled if row["wamid"] is not None]
    if messages:
        await mirror.record(tx, messages)


def _message(row: dict[str, Any], now: datetime, reached: Delivery) -> MessageRow:
    at = int((row["sending_at"] or now).timestamp())
    content = {key: value for key, value in (row["content"] or {}).items() if key not in uploads.OURS}
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
        delivery=int(reached),
    )


# --- files --------------------------------------------------------------------------------------------------------


async def attach(
    app: App,
    data: bytes,
    name: str,
    caption: str | None,
    quoted: str | None = None,
    *,
    kind: str | None = None,
) -> Draft:
    """Keeps a file and answers the message that carries it. What it is, its content says, not its name.

    ``kind`` is what it is to be sent as, "voice" for a voice message; without it a picture goes as an image, and so on.
    """
    made = await asyncio.to_thread(uploads.prepare, data, name, kind)
    digest = hashlib.sha256(made.data).hexdigest()
    file = f"outgoing/{digest}"
    await asyncio.to_thread(app.files.write, file, made.data)
    shown = re.sub(r"[\x00-\x1f/\\]", "_", made.name)[-200:]
    about = {"file": file, "mime_type": made.mime_type, "filename": shown, "size": len(made.data), "sha256": digest}
    return Draft(made.type, caption or None, {**about, **made.facts}, quoted)


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
    cause: Cause | None = None,
) -> int:
    """Like ``submit``, to a phone number or a business-scoped user id, known or not, or to ``contact:<id>``.

    Raises Refused also for groups, lists and what can't be an address, NoSuchContact without the number.
    """
    await turn.take(tx, [number_id])
    contact_id = contact_id_of(recipient)
    if contact_id is None and not is_group(recipient):
        contact_id = await mirror.contact_for(tx, number_id, recipient)
    if contact_id is None:
        sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
        if sender is None:
            raise NoSuchContact(f"there is no number {number_id}")
        # Nobody can be reached under this: the rules say why, first of all the capability matrix.
        refused = refusal(sender, stranger(recipient), draft, lane, HOLDERS[author], app.clock.now(), FREE)
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
        cause=cause,
    )


async def standing(tx: Tx, number_id: int, recipient: str, now: datetime) -> tuple[Sender, Recipient]:
    """A number and somebody who may be reached under this, as they stand; ``contact_id`` 0: not known here yet.

    Raises Refused for what can't be an address, NoSuchContact.
    """
    contact_id = contact_id_of(recipient)
    named = {"number": number_id, "contact": contact_id}
    if is_address(recipient):
        key = user_key(recipient) if is_user_id(recipient) else phone_key(recipient)
        named["contact"] = await tx.value(queries.CONTACT_OF, {"number": number_id, "key": key})
    sender = await tx.one(Sender, queries.SENDER, named)
    known = await tx.one(Recipient, queries.RECIPIENTS, {**named, "contacts": [named["contact"] or 0]})
    if sender is None or (known is None and contact_id is not None):
        raise NoSuchContact(f"number {number_id} has no {recipient}")
    if known is None and not is_address(recipient):
        refused = refusal(sender, stranger(recipient), Draft("text", "?"), Lane.PERSON, Holder.PERSON, now, FREE)
        assert refused is not None
        raise Refused(refused)
    return sender, known or stranger(recipient)


def contact_id_of(recipient: str) -> int | None:
    """The id in ``contact:12``, our own way to name somebody who is known here."""
    found = re.fullmatch(r"contact:([1-9][0-9]{0,17})", recipient)
    return int(found[1]) if found else None
