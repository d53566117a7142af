"""Files that a program leaves with us before it sends them: it gets a handle, and messages name that."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twinline.db import Tx, as_json
from twinline.sending.models import Draft

KEEP = """
INSERT INTO handles (number_id, handle, created_at, type, content)
VALUES (%(number)s, %(handle)s, %(now)s, %(type)s, %(content)s::jsonb)
"""

KEPT = "SELECT type, content FROM handles WHERE number_id = %(number)s AND handle = %(handle)s"


@dataclass(frozen=True, slots=True)
class Kept:
    """As what a file is sent, and its facts as a draft holds them."""

    type: str
    content: dict[str, Any]


async def keep(tx: Tx, number_id: int, draft: Draft, now: datetime, handle: str | None = None) -> str:
    """The handle of an attached file, by which later messages of this number name it; ``handle``: the one that it has
    at another number already.
    """
    handle = handle or f"m_{secrets.token_urlsafe(16)}"
    content = as_json(draft.content)
    await tx.execute(KEEP, {"number": number_id, "handle": handle, "now": now, "type": draft.type, "content": content})
    return handle


async def kept(tx: Tx, number_id: int, handle: str) -> Kept | None:
    return await tx.one(Kept, KEPT, {"number": number_id, "handle": handle})
