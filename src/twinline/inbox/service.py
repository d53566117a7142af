"""What the inbox changes. Each function takes the number's turn, writes rows and event, and leaves the commit."""

from datetime import datetime

from twinline.db import Tx
from twinline.mirror import events, turn
from twinline.sending import receipts

MARK_READ = """
UPDATE chats SET read_at = %(now)s, unread = 0
WHERE number_id = %(number)s AND contact_id = %(contact)s AND unread > 0
"""

ASSIGN = """
UPDATE chats SET assigned_to = %(user)s
WHERE number_id = %(number)s AND contact_id = %(contact)s AND assigned_to IS DISTINCT FROM %(user)s
"""

NAME = """
UPDATE contacts SET custom_name = %(name)s
WHERE number_id = %(number)s AND id = %(contact)s AND custom_name IS DISTINCT FROM %(name)s
"""

LONGEST_NAME = 200


async def mark_read(tx: Tx, number_id: int, contact_id: int, now: datetime) -> None:
    """The team has read this chat up to now, and the customer may be told so."""
    await _change_chat(tx, MARK_READ, number_id, contact_id, now)
    await receipts.read(tx, number_id, contact_id, now)


async def assign(tx: Tx, number_id: int, contact_id: int, user_id: int | None, now: datetime) -> None:
    """Whose chat it is; None: nobody's in particular."""
    await _change_chat(tx, ASSIGN, number_id, contact_id, now, user=user_id)


async def rename(tx: Tx, number_id: int, contact_id: int, name: str, now: datetime) -> None:
    """What the person is called here; an empty name gives way to the phone's and the profile's."""
    shown = " ".join(name.split())[:LONGEST_NAME] or None
    await _change_chat(tx, NAME, number_id, contact_id, now, name=shown)


async def _change_chat(
    tx: Tx, statement: str, number_id: int, contact_id: int, now: datetime, **params: object
) -> None:
    await turn.take(tx, [number_id])
    if await tx.execute(statement, {"number": number_id, "contact": contact_id, "now": now, **params}):
        await events.publish(tx, {number_id: {"chats": [contact_id]}}, now)
