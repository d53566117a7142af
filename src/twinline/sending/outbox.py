"""A look into the outbox: what became of a message, and all of them page by page."""

from dataclasses import dataclass
from datetime import datetime

from twinline.db import Tx
from twinline.rules.delivery import Delivery

KNOWN = f"""
SELECT o.id, o.contact_id, c.phone, c.bsuid, o.lane, o.type, o.text, o.state, o.wamid, o.created_at, o.not_before,
       o.sending_at, o.settled_at, o.error_code, o.error_text, coalesce(m.delivery, 0) AS delivery,
       s.delivered_at, s.read_at
FROM outbox o
LEFT JOIN contacts c ON c.number_id = o.number_id AND c.id = o.contact_id
LEFT JOIN messages m ON m.number_id = o.number_id AND m.wamid = o.wamid
LEFT JOIN LATERAL (
    SELECT min(t.at) FILTER (WHERE t.status = {int(Delivery.DELIVERED)}) AS delivered_at,
           min(t.at) FILTER (WHERE t.status = {int(Delivery.READ)}) AS read_at
    FROM statuses t WHERE t.number_id = o.number_id AND t.wamid = o.wamid
) s ON true
WHERE o.number_id = %(number)s
"""

MESSAGE = f"{KNOWN} AND o.id = %(id)s"

MESSAGES = f"""
{KNOWN} AND o.id < %(before)s AND (%(state)s::text IS NULL OR o.state = %(state)s)
  AND (%(contact)s::bigint IS NULL OR o.contact_id = %(contact)s)
ORDER BY o.id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a message that was to be sent, its later fate included."""

    id: int
    contact_id: int
    phone: str | None
    bsuid: str | None
    lane: int
    type: str
    text: str | None
    state: str
    wamid: str | None
    created_at: datetime
    not_before: datetime | None
    sending_at: datetime | None
    settled_at: datetime | None
    error_code: int | None
    error_text: str | None
    delivery: int
    delivered_at: datetime | None
    read_at: datetime | None


async def message(tx: Tx, number_id: int, outbox_id: int) -> Known | None:
    return await tx.one(Known, MESSAGE, {"number": number_id, "id": outbox_id})


async def messages(
    tx: Tx, number_id: int, *, before: int, state: str | None = None, contact_id: int | None = None, limit: int
) -> list[Known]:
    """Newest first; ``before`` is an id."""
    asked = {"number": number_id, "before": before, "state": state, "contact": contact_id, "limit": limit}
    return await tx.all(Known, MESSAGES, asked)
