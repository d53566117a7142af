"""What others may ask of the mirror."""

from collections.abc import Sequence
from datetime import datetime

import psycopg

from twinline.app import App
from twinline.db import Tx
from twinline.kit import log
from twinline.meta import webhooks as wire
from twinline.mirror import ingest, queries
from twinline.mirror.models import Follower

logger = log.get("mirror")


async def claim(tx: Tx, phone_number_id: str, waba_id: str, now: datetime) -> int:
    """A number was added: what was said of it before is folded behind this transaction. Answers how many bodies."""
    addresses = [f"n:{phone_number_id}", f"w:{waba_id}"]
    waiting = await tx.rows(queries.CLAIM_WAITING, {"addresses": addresses})
    await _defer_all(tx, waiting)
    return len(waiting)


async def retry_unreadable(tx: Tx) -> int:
    """After a fix: every body that couldn't be understood is read again. Answers how many."""
    waiting = await tx.rows(queries.RETRY_UNREADABLE)
    await _defer_all(tx, waiting)
    return len(waiting)


async def _defer_all(tx: Tx, waiting: Sequence[tuple[object, ...]]) -> None:
    for day, digest in waiting:
        assert isinstance(digest, bytes)
        await ingest.defer_fold(tx, str(day), digest)


async def fold_archived(app: App, day: str, digest: bytes, followers: Sequence[Follower]) -> None:
    """Folds a body that stands in the archive, slice by slice, and writes down what became of it.

    May be repeated at any point: what was folded already joins into itself.
    """
    async with app.db.transaction() as tx:
        rows = await tx.rows(queries.BODY, {"day": day, "digest": digest})
    if not rows:
        return  # older than the archive keeps
    state, reason = "folded", None
    homeless: set[str] = set()
    try:
        parsed = wire.parse(rows[0][0])
    except wire.Unreadable as error:
        state, reason = "unreadable", str(error)
    else:
        if parsed.problems:
            state, reason = "unreadable", "; ".join(parsed.problems)
        for start in range(0, len(parsed.events), ingest.SLICE):
            found = parsed.events[start : start + ingest.SLICE]
            try:
                async with app.db.transaction() as tx:
                    homeless |= await ingest.fold_slice(app, tx, found, followers, app.clock.now())
            except psycopg.OperationalError:
                raise  # the job is tried again when the database is back
            except psycopg.Error as error:
                logger.error("slice_refused", digest=digest.hex(), start=start, error=type(error).__name__)
                state, reason = (
                    "unreadable",
                    f"the database refused a part: {error.diag.message_primary or error}",
                )
    async with app.db.transaction() as tx:
        if homeless:
            state = "unclaimed"
            kept = [(address, digest) for address in sorted(homeless)]
            await ingest.keep_unclaimed(tx, kept, day, app.clock.now())
        await tx.execute(queries.SETTLE, {"day": day, "digest": digest, "state": state, "reason": reason})
