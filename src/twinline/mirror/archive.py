"""The raw archive of webhook bodies: partitioned by day, so that old days go in one stroke.

Light bodies stand there as they came, heavy ones packed (zlib).
"""

import hashlib
import zlib
from datetime import date, timedelta

from psycopg import sql

from twinline.db import Tx

AHEAD = 7  # days

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'webhooks'::regclass"
STRAY = "SELECT EXISTS (SELECT FROM webhooks_other WHERE received_on = %s)"
LOCK = "SELECT pg_advisory_xact_lock(hashtext('twinline.archive'))"


def pack(body: bytes) -> bytes:
    """A heavy body as it is kept. PostgreSQL would pack it too, in seven times the time and half again the size."""
    return zlib.compress(body, 1)


def unpack(kept: bytes, digest: bytes) -> bytes:
    """The body with that digest, as it came: what is kept and hasn't the digest itself is packed."""
    return kept if hashlib.sha256(kept).digest() == digest else zlib.decompress(kept)


async def keep_days(tx: Tx, today: date, days: int) -> None:
    """Makes the partitions of the coming week and drops those older than ``days``."""
    await tx.execute(LOCK)
    existing = {name for (name,) in await tx.rows(PARTITIONS)}
    for ahead in range(AHEAD + 1):
        day = today + timedelta(days=ahead)
        name = f"webhooks_{day:%Y%m%d}"
        # A body that came before its day was made stands in the partition for everything else, and its day stays there.
        if name in existing or await tx.value(STRAY, (day,)):
            continue
        await tx.connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF webhooks FOR VALUES FROM ({}) TO ({})").format(
                sql.Identifier(name), sql.Literal(day), sql.Literal(day + timedelta(days=1))
            )
        )
    oldest = f"webhooks_{today - timedelta(days=days):%Y%m%d}"
    for name in existing:
        if name != "webhooks_other" and name < oldest:
            await tx.connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    for table in ("webhooks_other", "unclaimed"):
        await tx.execute(f"DELETE FROM {table} WHERE received_on < %s", (today - timedelta(days=days),))
