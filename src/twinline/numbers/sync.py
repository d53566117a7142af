"""Requesting the first synchronisation, and the ledger of what came of it.

Meta accepts each request once per connection, and its answer may be lost. So the request is written down before it
is made, and a request that stands written is never repeated by itself: after a crash or a timeout it is *unknown*,
and what arrives settles it. Only a person may ask again, and then only while that can do no harm: Meta refuses the
second of two (2593107), which proves the first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from twinline.app import App
from twinline.db import Tx
from twinline.kit import log
from twinline.meta.graph import GraphError
from twinline.mirror import events, turn
from twinline.numbers import queries
from twinline.numbers.models import Chunk, Counts, Number, NumberError, SyncRequest
from twinline.rules import sync
from twinline.rules.sync import Ledger, SyncState, SyncType

logger = log.get("numbers.sync")

# Contacts first, then history: Meta's own order (coexistence-protocol, section 2).
KINDS = {"contacts": SyncType.CONTACTS, "history": SyncType.HISTORY}

ASKABLE = frozenset({SyncState.WAITING, SyncState.UNKNOWN, SyncState.FAILED})


@dataclass(frozen=True, slots=True)
class Account:
    """The first synchronisation of a number, as the page shows it."""

    contacts: Ledger
    history: Ledger
    requests: dict[str, SyncRequest]
    counts: Counts

    def ledger(self, kind: str) -> Ledger:
        return self.contacts if kind == "contacts" else self.history

    def may_ask(self, kind: str) -> bool:
        ledger = self.ledger(kind)
        return ledger.state in ASKABLE and ledger.seconds_left > 0


async def account(tx: Tx, number: Number, now: datetime) -> Account:
    requests = await queries.sync_requests(tx, number.id)
    chunks = await queries.chunks(tx, number.id)
    counts = await queries.counts(tx, number.id)
    connected_at = number.connected_at or now
    contacts, history = requests.get("contacts"), requests.get("history")
    return Account(
        contacts=sync.ledger(SyncType.CONTACTS, now, connected_at, _asked(contacts), _contacts_came(contacts, counts)),
        history=sync.ledger(SyncType.HISTORY, now, connected_at, _asked(history), _history_came(history, chunks)),
        requests=requests,
        counts=counts,
    )


async def request(app: App, number_id: int, kind: str, *, by_hand: bool = False) -> None:
    """Requests contacts or history, unless that was done before.

    By hand, an unknown or refused request may be made once more. Raises NumberError when the ledger forbids that,
    and GraphError when nothing left this machine, so that trying again is safe.
    """
    now = app.clock.now()
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        number = await queries.number_by_id(tx, number_id)
        if number is None or number.token is None:
            raise NumberError("Without a token of this number Meta can't be asked. Connect the number again.")
        token = app.vault.unseal(number.token)
        state = await account(tx, number, now)
        if by_hand and not state.may_ask(kind):
            raise NumberError(state.ledger(kind).advice)
        if state.ledger(kind).seconds_left == 0 or not await queries.claim_sync(
            tx, number_id, kind, now, again=by_hand
        ):
            return
        await events.publish(tx, {number_id: {"sync": True}}, now)

    request_id, refusal = None, None
    try:
        request_id = await app.graph.request_sync(number.phone_number_id, KINDS[kind], token=token)
    except GraphError as error:
        if error.ambiguous:
            logger.warning("sync request unanswered", number_id=number_id, kind=kind)
            return
        if not error.answered:
            async with app.db.transaction() as tx:
                await queries.release_sync(tx, number_id, kind)
            raise
        refusal = error

    now = app.clock.now()
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await queries.answer_sync(
            tx,
            number_id,
            kind,
            now,
            request_id=request_id,
            error_code=refusal.code if refusal else None,
            error_text=str(refusal) if refusal else None,
        )
        await events.publish(tx, {number_id: {"sync": True}}, now)


def _asked(request: SyncRequest | None) -> Iterator[sync.Request]:
    if request is not None and request.requested_at is not None:
        yield sync.Request(request.requested_at, request.request_id is not None, request.error_code)


def _history_came(request: SyncRequest | None, chunks: list[Chunk]) -> Iterator[sync.Chunk]:
    if request is not None and request.declined_at is not None:
        yield sync.Chunk(request.declined_at, code=sync.NOT_SHARED)
    for chunk in chunks:
        yield sync.Chunk(chunk.received_at, chunk.phase, chunk.chunk_order, chunk.progress, chunk.messages)


def _contacts_came(request: SyncRequest | None, counts: Counts) -> Iterator[sync.Chunk]:
    """Contacts leave no chunks behind, only themselves; that some are there shows that they came."""
    if request is not None and request.requested_at is not None and counts.contacts:
        yield sync.Chunk(request.answered_at or request.requested_at)
