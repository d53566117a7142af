"""The ingest: webhook bodies in, rows and events out, in one transaction.

**What is promised.** When ``ingest`` returns and its transaction commits, every body it was given is in the archive,
and what it says is in the rows, or it is marked with the reason why not. Meta gets its 200 only after that commit, so
a crash at any moment loses nothing: what wasn't committed wasn't answered, and Meta sends it again.

**Order and repetition don't matter.** Every row is made of registers that can be joined in any order (``mirror.fold``).
An exact repeat of a body stops at the archive; the same message in another body joins into the same row.

**Two kinds of time.** Light bodies are folded before the answer. Heavy ones (a history chunk holds thousands of
messages) are archived and answered first; a job enqueued in the same transaction folds them right behind, in slices,
each a transaction of its own, so that a live message never waits for the past. A crash between slices repeats the
body from its start, which is harmless for the reason above.

**Who waits for whom.** A batch takes the turn of every number it writes to (``mirror.turn``), in the order of ids,
before it writes anything. Archive rows are written in the order of digests. So two batches, in whatever processes,
can't deadlock; they queue.

**Nobody blocks a neighbour.** What can't be parsed is known before the transaction begins. Should the database itself
refuse something in a batch, the hook repeats the batch body by body, and only the culprit is marked.

In a transaction: claim the numbers · archive the bodies · ask who these people are and what is known of these
messages · join contacts that turned out to be one person · write · refresh the chats touched · charge the budget ·
let followers act (sending settles what was sent, numbers fold their lifecycle …) · publish one event per number.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import psycopg

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.db.jobs import defer
from twinline.kit.clock import microseconds
from twinline.meta import webhooks as wire
from twinline.mirror import events, queries
from twinline.mirror.fold import ContactRow, Keys, MessageRow, People, Rows
from twinline.mirror.models import Folded, Follower, Number, Said
from twinline.rules import budget
from twinline.rules.identity import canonical_phone

SLICE = 500  # events of a heavy body that are folded in one transaction


@dataclass(slots=True)
class Arrival:
    """A webhook body on its way in, read as far as it can be without the database."""

    body: bytes
    digest: bytes
    heavy: bool = False
    parsed: wire.Parsed | None = None
    problem: str | None = None
    homeless: set[str] = field(default_factory=set)  # addresses that no number here has

    @property
    def state(self) -> str:
        if self.heavy:
            return "waiting"
        if self.homeless:
            return "unclaimed"
        return "unreadable" if self.problem else "folded"


def read(body: bytes, heavy_from: int) -> Arrival:
    """Parses a light body; a heavy one only gets its digest."""
    arrival = Arrival(body, hashlib.sha256(body).digest())
    if len(body) > heavy_from:
        arrival.heavy = True
        return arrival
    try:
        arrival.parsed = wire.parse(body)
    except wire.Unreadable as error:
        arrival.problem = str(error)
    else:
        arrival.problem = "; ".join(arrival.parsed.problems) or None
    return arrival


async def ingest(app: App, tx: Tx, arrivals: Sequence[Arrival], followers: Sequence[Follower], now: datetime) -> None:
    """Archives the bodies and folds the light ones. The caller commits."""
    await tx.by_key()
    unique = {arrival.digest: arrival for arrival in arrivals}
    readable = [arrival for arrival in unique.values() if arrival.parsed is not None]
    claims = await _claim(tx, (event for a in readable if a.parsed for event in a.parsed.events))
    for arrival in readable:
        assert arrival.parsed is not None
        arrival.homeless = claims.homeless(arrival.parsed.events)
    fresh = await _archive(tx, list(unique.values()), now)
    told = [
        (number_id, event)
        for arrival in readable
        if arrival.digest in fresh and arrival.parsed is not None
        for event in arrival.parsed.events
        for number_id in claims.of(event.address)
    ]
    await _fold(app, tx, claims.numbers, told, followers, now, received=now)
    for arrival in unique.values():
        if arrival.heavy and arrival.digest in fresh:
            await defer_fold(tx, now.date().isoformat(), arrival.digest)


async def defer_fold(tx: Tx, day: str, digest: bytes) -> None:
    """Enqueues the folding of a body that stands in the archive under that day (ISO)."""
    await defer(tx, "mirror.fold_behind", queue="history", day=day, digest=digest.hex())


async def fold_slice(
    app: App, tx: Tx, found: Sequence[wire.Event], followers: Sequence[Follower], now: datetime, received: datetime
) -> set[str]:
    """Folds events of a body that was archived at ``received``; answers the addresses that no number here has."""
    await tx.by_key()
    claims = await _claim(tx, found)
    told = [(number_id, event) for event in found for number_id in claims.of(event.address)]
    await _fold(app, tx, claims.numbers, told, followers, now, received)
    return claims.homeless(found)


def is_away(error: BaseException) -> bool:
    """Whether the database can't be asked at present. Else what it was given is to blame.

    A value that is too much for PostgreSQL (class 54, program limits) is an OperationalError to psycopg, but it won't
    be less when it comes again.
    """
    return isinstance(error, psycopg.OperationalError) and not (error.sqlstate or "").startswith("54")


def reason(error: Exception) -> str:
    """Why a body couldn't be folded, for the operator."""
    if isinstance(error, psycopg.Error):
        return f"the database refused it: {error.diag.message_primary or error}"
    return f"folding it failed: {type(error).__name__}: {error}"


# --- claiming -----------------------------------------------------------------------------------------------------


class _Claims:
    """Which numbers events are about. All of them are locked."""

    def __init__(self, numbers: Iterable[Number]) -> None:
        self.numbers = {number.id: number for number in numbers}
        self._by_phone_number_id = {number.phone_number_id: number for number in self.numbers.values()}
        self._by_waba: dict[str, list[Number]] = {}
        for number in self.numbers.values():
            self._by_waba.setdefault(number.waba_id, []).append(number)

    def of(self, address: wire.Address) -> list[int]:
        if address.phone_number_id is not None:
            number = self._by_phone_number_id.get(address.phone_number_id)
            return [number.id] if number else []
        # Account-level fields name the WABA, and those about one number also its phone: the others aren't meant.
        numbers = self._by_waba.get(address.waba_id or "", [])
        if address.phone is None:
            return [number.id for number in numbers]
        phone = canonical_phone(address.phone)
        return [number.id for number in numbers if canonical_phone(number.display_phone) == phone]

    def homeless(self, found: Iterable[wire.Event]) -> set[str]:
        return {_home(event.address) for event in found if not self.of(event.address)}


def _home(address: wire.Address) -> str:
    """What a number must have to be the one that is meant; see ``homes``."""
    if address.phone_number_id:
        return f"n:{address.phone_number_id}"
    return f"w:{address.waba_id}" + (f":{canonical_phone(address.phone)}" if address.phone else "")


def homes(phone_number_id: str, waba_id: str, display_phone: str) -> list[str]:
    """The addresses under which a number may have been spoken of before it was added."""
    return [f"n:{phone_number_id}", f"w:{waba_id}", f"w:{waba_id}:{canonical_phone(display_phone)}"]


async def _claim(tx: Tx, found: Iterable[wire.Event]) -> _Claims:
    addresses = {event.address for event in found}
    if not addresses:
        return _Claims(())
    return _Claims(
        await tx.all(
            Number,
            queries.CLAIM,
            {
                "phone_number_ids": [a.phone_number_id for a in addresses if a.phone_number_id],
                "waba_ids": [a.waba_id for a in addresses if not a.phone_number_id and a.waba_id],
            },
        )
    )


async def _archive(tx: Tx, arrivals: Sequence[Arrival], now: datetime) -> set[bytes]:
    """Keeps the bodies; answers the digests that are new today."""
    day = now.date()
    rows = await tx.rows(
        queries.ARCHIVE,
        {
            "day": day,
            "now": now,
            "digests": [arrival.digest for arrival in arrivals],
            "states": [arrival.state for arrival in arrivals],
            "reasons": [arrival.problem for arrival in arrivals],
            "bodies": [arrival.body for arrival in arrivals],
        },
    )
    fresh = {bytes(row[0]) for row in rows}
    homeless = [(address, a.digest) for a in arrivals if a.digest in fresh for address in a.homeless]
    if homeless:
        await keep_unclaimed(tx, homeless, day, now)
    return fresh


async def keep_unclaimed(tx: Tx, homeless: Sequence[tuple[str, bytes]], day: Any, now: datetime) -> None:
    """Notes which bodies wait for a number to be added; one that was added meanwhile gets them at once."""
    addresses, digests = zip(*homeless, strict=True)
    await take_unclaimed(tx)
    await tx.execute(
        queries.KEEP_UNCLAIMED,
        {"addresses": list(addresses), "digests": list(digests), "day": day, "now": now},
    )
    ids = [address.split(":")[1] for address in addresses]
    added = {home for row in await tx.rows(queries.ADDED, {"ids": ids}) for home in homes(*row)}
    if added:
        await attach(tx, sorted(added))


async def take_unclaimed(tx: Tx) -> None:
    """Adding a number and keeping what is said of an unknown one wait for each other, or both could miss it.

    Taken after the numbers' turns and before any row of the archive is changed.
    """
    await tx.execute(queries.UNCLAIMED_TURN)


async def attach(tx: Tx, addresses: Sequence[str]) -> int:
    """Lets the bodies that waited for these addresses be folded behind; answers how many. Needs the turn above."""
    waiting = await tx.rows(queries.CLAIM_WAITING, {"addresses": list(addresses)})
    for day, digest in waiting:
        await defer_fold(tx, str(day), digest)
    return len(waiting)


# --- folding ------------------------------------------------------------------------------------------------------


async def _fold(
    app: App,
    tx: Tx,
    numbers: dict[int, Number],
    told: Sequence[tuple[int, wire.Event]],
    followers: Sequence[Follower],
    now: datetime,
    received: datetime,
) -> None:
    if not told:
        return
    rows = Rows()
    for number_id, event in told:
        rows.add(number_id, event, int(received.timestamp()))
    folded = Folded(numbers)
    seen = await _resolve(tx, rows, folded, now)
    await _write(tx, rows, folded, now)
    await _tell(tx, rows, folded, seen, now)
    for follower in followers:
        await follower(app, tx, folded, now)
    await events.publish(tx, folded.events, now)


async def _resolve(tx: Tx, rows: Rows, folded: Folded, now: datetime) -> set[tuple[int, str]]:
    """Gives every person and message of the batch its contact; answers the messages seen before."""
    pairs = list(dict.fromkeys((number_id, key) for number_id, keys in rows.people for key in keys))
    async with tx.pipeline():
        identified = await tx.hot(
            queries.IDENTIFY, {"numbers": [n for n, _ in pairs], "keys": [key for _, key in pairs]}
        )
        recalled = await tx.hot(
            queries.RECALL,
            {"numbers": [n for n, _ in rows.messages], "wamids": [wamid for _, wamid in rows.messages]},
        )
    contact_of: dict[tuple[int, str], int] = {(n, key): c for n, key, c in await identified.fetchall()}
    contact_of_message: dict[tuple[int, str], int] = {}
    seen: set[tuple[int, str]] = set()
    homeless: list[tuple[int, str]] = []  # media follow-ups that didn't say to whom
    for number_id, wamid, contact_id, came_live, came in await recalled.fetchall():
        if contact_id is not None:
            contact_of_message[number_id, wamid] = contact_id
        elif came:
            homeless.append((number_id, wamid))
        if came_live:
            seen.add((number_id, wamid))
    if not _settled(rows, contact_of, contact_of_message):
        await _join_people(tx, rows, folded, contact_of, contact_of_message, now)
    for (number_id, keys), person in rows.people.items():
        person.id = contact_of[number_id, keys[0]]
    for message_key, all_keys in rows.of.items():
        rows.messages[message_key].contact_id = contact_of[message_key[0], all_keys[0][0]]
    for message_key, contact_id in contact_of_message.items():
        if rows.messages[message_key].contact_id is None:
            rows.messages[message_key].contact_id = contact_id
    for message_key in homeless:
        found = rows.messages[message_key].contact_id
        if found is not None:
            folded.tell(message_key[0], "chats", found)
    return seen


def _settled(
    rows: Rows, contact_of: dict[tuple[int, str], int], contact_of_message: dict[tuple[int, str], int]
) -> bool:
    """Whether everybody is known and nothing contradicts: the common case."""
    for number_id, keys in rows.people:
        first = contact_of.get((number_id, keys[0]))
        if first is None or any(contact_of.get((number_id, key)) != first for key in keys[1:]):
            return False
    for message_key, all_keys in rows.of.items():
        first = contact_of[message_key[0], all_keys[0][0]]
        if contact_of_message.get(message_key, first) != first:
            return False
        if any(contact_of[message_key[0], keys[0]] != first for keys in all_keys[1:]):
            return False
    return True


async def _join_people(
    tx: Tx,
    rows: Rows,
    folded: Folded,
    contact_of: dict[tuple[int, str], int],
    contact_of_message: dict[tuple[int, str], int],
    now: datetime,
) -> None:
    """New people become contacts; contacts that turn out to be one person are merged into the oldest."""
    people = People()
    for number_id, keys in rows.people:
        people.join(number_id, keys)
    for message_key, all_keys in rows.of.items():
        for keys in all_keys[1:]:
            people.join(message_key[0], (all_keys[0][0], keys[0]))
    for (number_id, key), contact_id in contact_of.items():
        people.join(number_id, (f"c:{contact_id}", key))
    for message_key, contact_id in contact_of_message.items():
        if message_key in rows.of:
            people.join(message_key[0], (f"c:{contact_id}", rows.of[message_key][0][0]))
    groups = people.groups()
    contacts = {root: sorted(int(k[2:]) for k in keys if k.startswith("c:")) for root, keys in groups.items()}
    newcomers = sorted(root for root, known in contacts.items() if not known)
    if newcomers:
        ids = await tx.rows(queries.NEW_CONTACT_IDS, (len(newcomers),))
        for root, (contact_id,) in zip(newcomers, ids, strict=True):
            contacts[root] = [contact_id]
    fresh: list[tuple[int, str, int]] = []
    gone: dict[int, int] = {}
    for root, members in groups.items():
        number_id, winner = root[0], contacts[root][0]
        for key in members:
            if not key.startswith("c:"):
                if (number_id, key) not in contact_of:
                    fresh.append((number_id, key, winner))
                contact_of[number_id, key] = winner
        for loser in contacts[root][1:]:
            gone[loser] = winner
            for key in await _merge(tx, rows, folded, number_id, winner, loser, now):
                contact_of[number_id, key] = winner
    for message_key, contact_id in contact_of_message.items():
        contact_of_message[message_key] = gone.get(contact_id, contact_id)
    if fresh:
        numbers, added, owners = zip(*sorted(fresh), strict=True)
        await tx.execute(
            queries.ADD_IDENTITIES, {"numbers": list(numbers), "keys": list(added), "contacts": list(owners)}
        )


async def _merge(tx: Tx, rows: Rows, folded: Folded, number_id: int, winner: int, loser: int, now: datetime) -> Keys:
    """The loser's rows become the winner's; what was known of it joins as one more account of the same person.

    Answers the keys it had.
    """
    named = {"number": number_id, "winner": winner, "loser": loser, "now": now}
    row: dict[str, Any] = await tx.value(queries.LOSER, named)
    for statement in queries.MERGE:
        await tx.execute(statement, {**named, "row": as_json(row)})
    keys: Keys = tuple(row["keys"])
    known = msgspec.convert({**row, "id": winner}, ContactRow)
    rows.people.setdefault((number_id, keys), ContactRow(number_id)).absorb(known)
    folded.tell(number_id, "chats", winner)
    folded.tell(number_id, "merged", [winner, loser])
    return keys


async def _write(tx: Tx, rows: Rows, folded: Folded, now: datetime) -> None:
    contacts: dict[tuple[int, int], ContactRow] = {}
    for person in rows.people.values():
        known = contacts.setdefault((person.number_id, person.id), person)
        if known is not person:
            known.absorb(person)
    async with tx.pipeline():
        for statement, found in (
            (queries.WRITE_CONTACTS, contacts.values()),
            (queries.WRITE_MESSAGES, rows.messages.values()),
            (queries.WRITE_STATUSES, rows.statuses.values()),
            (queries.WRITE_EDITS, rows.edits.values()),
            (queries.WRITE_NOTICES, rows.notices.values()),
        ):
            if found:
                await tx.hot(statement, (_json(found),))
        if rows.chunks:
            await tx.hot(queries.WRITE_CHUNKS, {"rows": _json(rows.chunks.values()), "now": now})
        if rows.declined:
            await tx.hot(queries.DECLINE_HISTORY, {"numbers": list(rows.declined), "now": now})
        await _erase(tx, rows, folded)


async def _erase(tx: Tx, rows: Rows, folded: Folded) -> None:
    """Where the owner keeps no edited or deleted texts, they go with the batch that brought the edit, or the text."""
    numbers = [number.id for number in folded.numbers.values() if not number.keep_edited]
    if numbers:
        wamids = [wamid for number_id, wamid in rows.messages if number_id in numbers]
        for statement in (queries.ERASE_REVOKED, queries.ERASE_EDITED, queries.ERASE_EDITS):
            await tx.hot(statement, {"numbers": numbers, "wamids": wamids})


async def _tell(tx: Tx, rows: Rows, folded: Folded, seen: set[tuple[int, str]], now: datetime) -> None:
    """Works out what is news, refreshes the chats it touches, charges the budget and asks for media."""
    touched: dict[tuple[int, int], int | None] = {}
    for number_id, winners in ((n, body.get("chats", ())) for n, body in folded.events.items()):
        touched.update({(number_id, winner): None for winner in winners})
    phone_seen: dict[int, int] = {}
    inbound: dict[int, int] = {}
    media: list[dict[str, Any]] = []
    for (number_id, wamid), row in rows.messages.items():
        contact_id = row.contact_id
        what = _what(row, (number_id, wamid) in seen)
        if row.type is not None:
            live_at = rows.live_at.get((number_id, wamid))
            if live_at is not None and row.outgoing:
                phone_seen[number_id] = max(phone_seen.get(number_id, 0), live_at)
            if row.live and (number_id, wamid) not in seen:
                if not row.outgoing:
                    inbound[number_id] = inbound.get(number_id, 0) + 1
                if contact_id is not None:
                    said = Said(number_id, contact_id, wamid, row.type, row.at or 0)
                    (folded.echoed if row.outgoing else folded.received).append(said)
            if row.media_id is not None:
                about = row.content or {}
                media.append({"number_id": number_id, "media_id": row.media_id,
                              "mime_type": about.get("mime_type"), "sha256": about.get("sha256")})  # fmt: skip
            if contact_id is not None:
                answered = live_at if row.outgoing else None
                known = touched.get((number_id, contact_id))
                touched[number_id, contact_id] = max(filter(None, (known, answered)), default=None)
        if contact_id is not None:
            if what == "imported":
                folded.events.setdefault(number_id, {}).setdefault("chats", []).append(contact_id)
            else:
                folded.tell(number_id, "messages", [contact_id, wamid, what])
    for body in folded.events.values():
        if "chats" in body:
            body["chats"] = sorted(set(body["chats"]))
    folded.statuses = list(rows.statuses.values())
    folded.numbers_with_notices = {number_id for number_id, *_ in rows.notices}
    for number_id in folded.numbers_with_notices:
        folded.flag(number_id, "number")
    for number_id, *_ in rows.chunks:
        folded.flag(number_id, "sync")
    for number_id in rows.declined:
        folded.flag(number_id, "sync")
    for person in rows.people.values():
        if person.book_v >= 0:
            folded.flag(person.number_id, "contacts")
    if touched:
        chats = [{"number_id": n, "contact_id": c, "answered_at": at} for (n, c), at in touched.items()]
        await tx.hot(queries.REFRESH_CHATS, (as_json(chats),))
    if inbound or phone_seen:
        await _charge(tx, folded, inbound, phone_seen, now)
    if media:
        unique = {(item["number_id"], item["media_id"]): item for item in media}
        for number_id, media_id in await tx.rows(queries.WANT_MEDIA, (as_json(list(unique.values())),)):
            await defer(tx, "mirror.download", queue="media", number_id=number_id, media_id=media_id)


def _what(row: MessageRow, seen: bool) -> str:
    """What an event calls this change; see ``mirror.events``."""
    if row.type is None:
        if row.revoked_at is not None:
            return "revoked"
        return "edited" if row.edit_v >= 0 else "status"
    if not row.live:
        return "imported"
    if seen:
        return "changed"
    return "echoed" if row.outgoing else "received"


async def _charge(tx: Tx, folded: Folded, inbound: dict[int, int], phone_seen: dict[int, int], now: datetime) -> None:
    """Inbound messages use up the number's 20 a second (Meta: throughput); echoes show that the phone is alive."""
    moment = microseconds(now)
    rows = [
        {
            "id": number_id,
            "budget_tat": budget.THROUGHPUT.charge(
                folded.numbers[number_id].budget_tat, moment, inbound.get(number_id, 0)
            ),
            "phone_seen_at": phone_seen.get(number_id),
        }
        for number_id in sorted(inbound.keys() | phone_seen.keys())
    ]
    await tx.hot(queries.CHARGE, (as_json(rows),))


def _json(rows: Iterable[msgspec.Struct]) -> str:
    return msgspec.json.encode(list(rows)).decode()
