"""An automation started by a program, once for each idempotency key."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from twinline.app import App
from twinline.automations import service
from twinline.db import Tx
from twinline.mirror import turn

KNOWN: Final = """
SELECT run_id, request_digest FROM started WHERE number_id = %(number)s AND idempotency_key = %(key)s
"""
KEEP: Final = """
INSERT INTO started (number_id, idempotency_key, request_digest, run_id, at)
VALUES (%(number)s, %(key)s, %(digest)s, %(run)s, %(now)s)
"""


class OtherStart(Exception):
    """The idempotency key came before, with another request; ``run_id`` is what that one began."""

    def __init__(self, run_id: int) -> None:
        super().__init__(f"the idempotency key is that of run {run_id}")
        self.run_id = run_id


async def once(
    app: App,
    tx: Tx,
    number_id: int,
    contact_id: int,
    automation_id: int,
    now: datetime,
    vars: Mapping[str, Any],
    *,
    by: str,
    key: str | None,
    digest: bytes,
) -> int:
    """``service.start``; the same key answers the same run. Raises OtherStart, and what that raises."""
    await turn.take(tx, [number_id])
    named = {"number": number_id, "key": key, "digest": digest, "now": now}
    if key is not None and (known := await tx.rows(KNOWN, named)):
        [(run_id, known_digest)] = known
        if known_digest != digest:
            raise OtherStart(run_id)
        return int(run_id)
    run_id = await service.start(app, tx, number_id, contact_id, automation_id, now, vars, by=by)
    if key is not None:
        await tx.execute(KEEP, {**named, "run": run_id})
    return run_id
