"""What the customer sees of the team's reading and writing: the blue ticks, and "typing…".

Neither is a message: they aren't paced, cost nothing, and open no window. Each is a job, ordered in the transaction
that makes it necessary. A read receipt is ordered once, for the newest live message of theirs, which covers all before
it; what came with the history gets none. Meta takes it for thirty days, and shows "typing" for 25 seconds or until the
answer (Meta: mark messages as read, typing indicators). Whoever is seen typing has read, so a number whose receipts
are off isn't seen typing either.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from twinline.app import App
from twinline.db import Tx
from twinline.db.jobs import defer
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import turn
from twinline.rules import lifecycle
from twinline.rules.lifecycle import Connection
from twinline.rules.outcomes import Class

TAKEN_FOR = timedelta(days=30)
TYPING_EVERY = timedelta(seconds=20)
TYPING_LATE = timedelta(seconds=10)  # an order that is older than this would tell of what was

# The newest of their messages that a receipt can be about.
NEWEST = """
SELECT m.wamid, k.receipt_wamid, k.typing_at, n.send_receipts, n.send_typing, n.state
FROM numbers n
JOIN chats k ON k.number_id = n.id AND k.contact_id = %(contact)s
CROSS JOIN LATERAL (
    SELECT wamid FROM messages
    WHERE number_id = n.id AND contact_id = k.contact_id AND live AND NOT outgoing
      AND type NOT IN ('system', 'request_welcome') AND type NOT IN ('reaction', 'call')
      AND at > %(since)s AND at >= date_trunc('second', n.connected_at)
    ORDER BY at DESC, heard DESC LIMIT 1
) m
WHERE n.id = %(number)s
"""

ORDERED = """
UPDATE chats SET receipt_wamid = %(wamid)s, typing_at = coalesce(%(typing_at)s, typing_at)
WHERE number_id = %(number)s AND contact_id = %(contact)s
"""

NUMBER = "SELECT phone_number_id, token, state, send_receipts, send_typing FROM numbers WHERE id = %s"

logger = log.get("sending.receipts")


@dataclass(frozen=True, slots=True)
class _Newest:
    wamid: str
    receipt_wamid: str | None
    typing_at: datetime | None
    send_receipts: bool
    send_typing: bool
    state: str

    @property
    def wanted(self) -> bool:
        return self.send_receipts and lifecycle.may_send(Connection(self.state))


@dataclass(frozen=True, slots=True)
class _Number:
    phone_number_id: str
    token: bytes | None
    state: str
    send_receipts: bool
    send_typing: bool


async def read(tx: Tx, number_id: int, contact_id: int, now: datetime) -> None:
    """The team has read this chat. The caller holds the number's turn."""
    newest = await _newest(tx, number_id, contact_id, now)
    if newest is not None and newest.wanted and newest.receipt_wamid != newest.wamid:
        await _order(tx, number_id, contact_id, newest.wamid)


async def typing(tx: Tx, number_id: int, contact_id: int, now: datetime) -> None:
    """Somebody is writing an answer. Told at most every twenty seconds. Takes the number's turn."""
    await turn.take(tx, [number_id])
    newest = await _newest(tx, number_id, contact_id, now)
    if newest is None or not newest.wanted or not newest.send_typing:
        return
    if newest.typing_at is None or newest.typing_at + TYPING_EVERY <= now:
        await _order(tx, number_id, contact_id, newest.wamid, typing_at=now)


async def _newest(tx: Tx, number_id: int, contact_id: int, now: datetime) -> _Newest | None:
    return await tx.one(_Newest, NEWEST, {"number": number_id, "contact": contact_id, "since": now - TAKEN_FOR})


async def _order(tx: Tx, number_id: int, contact_id: int, wamid: str, typing_at: datetime | None = None) -> None:
    named = {"number": number_id, "contact": contact_id, "wamid": wamid, "typing_at": typing_at}
    await tx.execute(ORDERED, named)
    late = (typing_at + TYPING_LATE).timestamp() if typing_at else None
    await defer(tx, "sending.receipt", queue="lane", number_id=number_id, wamid=wamid, typing_until=late)


async def send(app: App, number_id: int, wamid: str, typing_until: float | None) -> None:
    """Tells Meta. Raises GraphError for what may be tried again; a typing indicator never is."""
    async with app.db.transaction() as tx:
        number = await tx.one(_Number, NUMBER, (number_id,))
    if number is None or number.token is None or not number.send_receipts:
        return
    if not lifecycle.may_send(Connection(number.state)):
        return
    typing = typing_until is not None and number.send_typing and app.clock.now().timestamp() < typing_until
    if typing_until is not None and not typing:
        return
    try:
        token = app.vault.unseal(number.token)
        await app.graph.mark_read(number.phone_number_id, wamid, token=token, typing=typing)
    except VaultError:
        logger.warning("receipt_without_token", number=number_id)
    except GraphError as error:
        logger.warning("receipt_refused", number=number_id, code=error.code, typing=typing)
        if not typing and (error.outcome.klass is Class.RETRY or error.outcome.is_throttle):
            raise
