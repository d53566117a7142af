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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg

from twinline.app import App
from twinline.db import Asked, Tx
from twinline.db.jobs import defer
from twinline.meta import webhooks as wire
from twinline.mirror import archive, events, news, people, queries
from twinline.mirror.fold import Rows, as_rows, contacts_of
from twinline.mirror.models import Folded, Follower, Number, OnlyWhere
from twinline.rules.identity import canonical_phone

T = TypeVar("T")

SLICE = 500  # events of a heavy body that are folded in one transaction


@dataclass(slots=True)
class Arrival:
    """A webhook body on its way in, read as far as it can be without the database."""

    kept: bytes  # as the archive keeps it
    digest: bytes
    heavy: bool = False
    past: bool = False  # heavy, with a piece of the history
    parsed: wire.Parsed | None = None
    problem: str | None = None
    unclaimed: bool = False  # it speaks of a number that isn't here; known once it was ingested

    @property
    def state(self) -> str:
        if self.heavy:
            return "waiting"
        if self.unclaimed:
            return "unclaimed"
        return "unreadable" if self.problem else "folded"


def read(body: bytes, heavy_from: int) -> Arrival:
    """Parses a light body; a heavy one is only packed."""
    digest = hashlib.sha256(body).digest()
    if len(body) > heavy_from:
        return Arrival(archive.pack(body), digest, heavy=True, past=b'"history"' in body)
    arrival = Arrival(body, digest)
    try:
        arrival.parsed = wire.parse(body)
    except wire.Unreadable as error:
        arrival.problem = str(error)
    else:
        arrival.problem = "; ".join(arrival.parsed.problems) or None
    return arrival


async def ingest(app: App, tx: Tx, arrivals: Sequence[Arrival], followers: Sequence[Follower], now: datetime) -> None:
    """Archives the bodies and folds the light ones. The caller commits."""
    unique: dict[bytes, Arrival] = {}
    for arrival in arrivals:
        unique.setdefault(arrival.digest, arrival)  # of repeats the first says what became of the body
    readable = [arrival for arrival in unique.values() if arrival.parsed is not None]
    claiming = _claim(tx, (event for a in readable if a.parsed for event in a.parsed.events))
    archived = _archive(tx, list(unique.values()), now)
    claims = await _claims(claiming)
    # Repeats are rare, so the questions about everything travel with the bodies.
    told = [said for arrival in readable for said in claims.said(arrival)]
    asked = _ask(app, tx, told, followers, now)
    fresh = {bytes(digest) for (digest,) in await archived.rows()}
    if not fresh.issuperset(arrival.digest for arrival in readable):
        told = [said for arrival in readable if arrival.digest in fresh for said in claims.said(arrival)]
        asked = _ask(app, tx, told, followers, now)
    homeless: list[tuple[str, bytes]] = []
    for arrival in readable:
        unknown = claims.homeless(arrival.parsed.events if arrival.parsed else ())
        arrival.unclaimed = bool(unknown)
        if arrival.digest in fresh:
            homeless += [(address, arrival.digest) for address in unknown]
    if homeless:
        await _keep_homeless(tx, homeless, now)
    if told:
        await _fold(app, tx, claims.numbers, asked, followers, now)
    for arrival in unique.values():
        if arrival.heavy and arrival.digest in fresh:
            await defer_fold(tx, now.date().isoformat(), arrival.digest, past=arrival.past)


async def defer_fold(tx: Tx, day: str, digest: bytes, *, past: bool = True) -> None:
    """Enqueues the folding of a body that stands in the archive under that day (ISO); what isn't past goes first."""
    await defer(tx, "mirror.fold_behind", queue="history", priority=0 if past else 1, day=day, digest=digest.hex())


async def fold_slice(
    app: App, tx: Tx, found: Sequence[wire.Event], followers: Sequence[Follower], now: datetime, received: datetime
) -> set[str]:
    """Folds events of a body that was archived at ``received``; answers the addresses that no number here has."""
    claims = await _claims(_claim(tx, found))
    told = [(number_id, event) for event in found for number_id in claims.of(event.address)]
    if told:
        await _fold(app, tx, claims.numbers, _ask(app, tx, told, followers, now, received), followers, now)
    return claims.homeless(found)


def slices(found: Iterable[T], size: int = SLICE) -> Iterator[list[T]]:
    """What one transaction takes, one after the other."""
    every = list(found)
    for start in range(0, len(every), size):
        yield every[start : start + size]


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

    def said(self, arrival: Arrival) -> list[tuple[int, wire.Event]]:
        """What a body says of which number."""
        found = arrival.parsed.events if arrival.parsed is not None else ()
        return [(number_id, event) for event in found for number_id in self.of(event.address)]

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


def _claim(tx: Tx, found: Iterable[wire.Event]) -> Asked | None:
    """Takes the turns of the numbers that these events are about."""
    addresses = {event.address for event in found}
    if not addresses:
        return None
    claiming = tx.ask(
        queries.CLAIM,
        {
            "phone_number_ids": [a.phone_number_id for a in addresses if a.phone_number_id],
            "waba_ids": [a.waba_id for a in addresses if not a.phone_number_id and a.waba_id],
        },
    )
    tx.push()
    return claiming


async def _claims(claiming: Asked | None) -> _Claims:
    return _Claims(Number(*row) for row in await claiming.rows()) if claiming is not None else _Claims(())


def _archive(tx: Tx, arrivals: Sequence[Arrival], now: datetime) -> Asked:
    """Keeps the bodies; the answer is the digests that are new today."""
    archived = tx.ask(
        queries.ARCHIVE,
        {
            "day": now.date(),
            "now": now,
            "digests": [arrival.digest for arrival in arrivals],
            "states": [arrival.state for arrival in arrivals],
            "reasons": [arrival.problem for arrival in arrivals],
            "bodies": [arrival.kept for arrival in arrivals],
        },
    )
    tx.push()
    return archived


async def _keep_homeless(tx: Tx, homeless: Sequence[tuple[str, bytes]], now: datetime) -> None:
    """Bodies that were just archived speak of numbers that aren't here."""
    named = {"day": now.date(), "digests": [digest for _, digest in homeless]}
    await tx.send(queries.UNCLAIMED, named)
    await keep_unclaimed(tx, homeless, now.date(), now)


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

    Taken after the numbers' turns, and before any row of the archive is changed that somebody else can see.
    """
    await tx.execute(queries.UNCLAIMED_TURN)


async def attach(tx: Tx, addresses: Sequence[str]) -> int:
    """Lets the bodies that waited for these addresses be folded behind; answers how many. Needs the turn above."""
    waiting = await tx.rows(queries.CLAIM_WAITING, {"addresses": list(addresses)})
    for day, digest in waiting:
        await defer_fold(tx, str(day), digest)
    return len(waiting)


# --- folding ------------------------------------------------------------------------------------------------------


class _Questions(NamedTuple):
    """What events come to, and what was asked about it."""

    rows: Rows
    people: people.Questions
    concerned: Asked | None


def _ask(
    app: App,
    tx: Tx,
    told: Sequence[tuple[int, wire.Event]],
    followers: Sequence[Follower],
    now: datetime,
    received: datetime | None = None,
) -> _Questions:
    """``received``: when the body was, if not now."""
    rows = Rows()
    second = int((received or now).timestamp())
    for number_id, event in told:
        rows.add(number_id, event, second)
    rows.number(app.clock.now())  # by now the turns are ours: what is read before this moment was there to be seen
    conditions = tuple(follower.condition for follower in followers if isinstance(follower, OnlyWhere))
    numbers = {"numbers": list({number_id for number_id, _ in told})}
    concerned = tx.ask(queries.concerned(conditions), numbers) if conditions else None
    return _Questions(rows, people.ask(tx, rows), concerned)


async def _fold(
    app: App,
    tx: Tx,
    numbers: dict[int, Number],
    asked: _Questions,
    followers: Sequence[Follower],
    now: datetime,
) -> None:
    rows, folded = asked.rows, Folded(numbers)
    resolved = await people.resolve(tx, asked.people, rows, folded, now)
    await _write(tx, rows, resolved.fresh, folded, now)
    await news.spread(tx, rows, folded, resolved.came, now)
    concerned = iter((await asked.concerned.rows())[0] if asked.concerned is not None else ())
    for follower in followers:
        if not isinstance(follower, OnlyWhere) or next(concerned):
            await follower(app, tx, folded, now)
    await events.publish(tx, folded.events, now, folded.marks)


async def _write(tx: Tx, rows: Rows, fresh: set[int], folded: Folded, now: datetime) -> None:
    contacts = contacts_of(rows).values()
    for statement, found in (
        (queries.ADD_CONTACTS, [row for row in contacts if row.id in fresh]),
        (queries.CHANGE_CONTACTS, [row for row in contacts if row.id not in fresh]),
        (queries.WRITE_MESSAGES, rows.messages.values()),
        (queries.WRITE_STATUSES, rows.statuses.values()),
        (queries.WRITE_EDITS, rows.edits.values()),
        (queries.WRITE_NOTICES, rows.notices.values()),
    ):
        if found:
            await tx.send(statement, (as_rows(found),))
    tx.push()
    if rows.chunks:
        await tx.send(queries.WRITE_CHUNKS, {"rows": as_rows(rows.chunks.values()), "now": now})
    if rows.declined:
        await tx.send(queries.DECLINE_HISTORY, {"numbers": list(rows.declined), "now": now})
    await _erase(tx, rows, folded)


async def _erase(tx: Tx, rows: Rows, folded: Folded) -> None:
    """Where the owner keeps no edited or deleted texts, they go with the batch that brought the edit, or the text."""
    numbers = [number.id for number in folded.numbers.values() if not number.keep_edited]
    if numbers:
        wamids = [wamid for number_id, wamid in rows.messages if number_id in numbers]
        for statement in (queries.ERASE_REVOKED, queries.ERASE_EDITED, queries.ERASE_EDITS):
            await tx.send(statement, {"numbers": numbers, "wamids": wamids})
