"""Answers of an agent's that a person looks at before they go out.

Of a chat one waits at most: what the customer wrote since has made an older one stale. Approved, it goes out as the
automation's, if nobody has spoken since it was written; else it is dropped, and says why.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from twinline.accounts import queries as accounts
from twinline.app import App
from twinline.automations import tending
from twinline.automations.connections import NotThere
from twinline.automations.models import Kind
from twinline.automations.outside import Errand
from twinline.contacts.models import Named
from twinline.db import Tx
from twinline.mirror import events, turn
from twinline.rules import messages
from twinline.rules.refusal import Refused
from twinline.sending import service as sending
from twinline.sending.models import Draft, Lane

NEWER: Final = "A newer answer was written."
SPOKEN: Final = "Somebody has spoken in the chat since it was written."
DECIDED: Final = {
    "sent": "was approved{by}.",
    "declined": "was declined{by}.",
    "dropped": "was approved{by}, but not sent: {why}",
}
GONE: Final = "The chat isn't there any more, or was joined with another."


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Named):
    """``state``: waiting, sent, declined, or dropped: ``why`` says the reason. The customer bears the ``name``."""

    number_id: int
    id: int
    contact_id: int
    automation_id: int
    automation: str
    run_id: int
    text: str
    made_at: datetime
    state: str
    decided_at: datetime | None
    decided_by: int | None
    outbox_id: int | None
    why: str


COLUMNS = """
p.number_id, p.id, p.contact_id, p.automation_id, a.name AS automation, p.run_id, p.text, p.made_at, p.state,
p.decided_at, p.decided_by, p.outbox_id, p.why,
c.custom_name, c.book_name, c.profile_name, c.username, c.phone, c.bsuid
FROM approvals p
JOIN numbers n ON n.id = p.number_id
JOIN automations a ON a.organisation_id = n.organisation_id AND a.id = p.automation_id
LEFT JOIN contacts c ON c.number_id = p.number_id AND c.id = p.contact_id
"""
WAITING = f"""
SELECT {COLUMNS}
WHERE p.number_id IN (SELECT id FROM numbers WHERE organisation_id = %(organisation)s)
  AND (%(number)s::bigint IS NULL OR p.number_id = %(number)s)
  AND (%(contact)s::bigint IS NULL OR p.contact_id = %(contact)s)
  AND p.state = 'waiting'
ORDER BY p.made_at, p.id LIMIT %(limit)s
"""
ONE = f"SELECT {COLUMNS} WHERE p.number_id = %(number)s AND p.id = %(id)s"
HOLD = """
INSERT INTO approvals (number_id, contact_id, automation_id, run_id, since, text, made_at)
VALUES (%(number)s, %(contact)s, %(automation)s, %(run)s, %(since)s, %(text)s, %(now)s)
RETURNING id
"""
STALE = """
UPDATE approvals SET state = 'dropped', decided_at = %(now)s, why = %(why)s
WHERE number_id = %(number)s AND contact_id = %(contact)s AND state = 'waiting'
"""
# Whether nobody has spoken since, no other conversation either; NULL when there is no such chat.
UNTOUCHED = """
SELECT k.floor_since IS NOT DISTINCT FROM p.since AND NOT EXISTS (
    SELECT FROM runs r WHERE r.number_id = p.number_id AND r.contact_id = p.contact_id AND r.id > p.run_id
)
FROM approvals p JOIN chats k ON k.number_id = p.number_id AND k.contact_id = p.contact_id
WHERE p.number_id = %(number)s AND p.id = %(id)s
"""
DECIDE = """
UPDATE approvals SET state = %(state)s, decided_at = %(now)s, decided_by = %(user)s, text = %(text)s,
    outbox_id = %(outbox)s, why = %(why)s
WHERE number_id = %(number)s AND id = %(id)s AND state = 'waiting'
"""


async def waiting(
    tx: Tx, organisation_id: int, number_id: int | None = None, contact_id: int | None = None, limit: int = 100
) -> list[Approval]:
    """Oldest first."""
    named = {"organisation": organisation_id, "number": number_id, "contact": contact_id, "limit": limit}
    return await tx.all(Approval, WAITING, named)


async def found(tx: Tx, number_id: int, approval_id: int) -> Approval:
    """Raises NotThere."""
    one = await tx.one(Approval, ONE, {"number": number_id, "id": approval_id})
    if one is None:
        raise NotThere(f"There is no answer {approval_id} that waits for approval.")
    return one


async def hold(tx: Tx, one: Errand, text: str, now: datetime) -> int:
    """An answer that waits for a person; its id. The caller holds the number's turn."""
    named = {"number": one.number_id, "contact": one.contact_id, "now": now}
    stale = await tx.execute(STALE, {**named, "why": NEWER})
    what = {"automation": one.automation_id, "run": one.run_id, "since": one.since, "text": text}
    held = int(await tx.value(HOLD, {**named, **what}))
    instead = ", in place of the one before" if stale else ""
    says = f"“{one.automation}” drafted an answer and kept it for approval{instead}."
    await tending.note(tx, one.number_id, one.contact_id, Kind.DRAFTED, says, now, one.automation_id, one.run_id)
    await events.publish(tx, {one.number_id: {"chats": [one.contact_id]}}, now)
    return held


async def decide(
    app: App,
    tx: Tx,
    number_id: int,
    approval_id: int,
    approve: bool,
    user_id: int | None,
    text: str | None = None,
) -> Approval:
    """Sends it, as it is or in other words (``text``), or declines it; deciding twice changes nothing.

    What can't go out any more is dropped, which the answer's ``state`` and ``why`` say. Raises NotThere, and Refused
    when the words are no message: it goes on waiting.
    """
    await turn.take(tx, [number_id])
    now = app.clock.now()
    one = await found(tx, number_id, approval_id)
    if one.state != "waiting":
        return one
    words = one.text if text is None else text.strip()
    if approve and (refusal := messages.problem("text", words)):
        raise Refused(refusal)
    state, why, outbox_id = "declined", "", None
    if approve:
        untouched = await tx.value(UNTOUCHED, {"number": number_id, "id": approval_id})
        state, why = "dropped", "" if untouched else GONE if untouched is None else SPOKEN
        if untouched:
            try:
                outbox_id = await sending.submit(
                    app,
                    tx,
                    number_id,
                    one.contact_id,
                    Draft("text", words),
                    lane=Lane.AUTOMATION,
                    author="automation",
                    author_id=one.automation_id,
                    idempotency_key=f"approval:{approval_id}",
                )
                state = "sent"
            except Refused as error:
                why = error.refusal.text
    decided = {"state": state, "user": user_id, "text": words, "outbox": outbox_id, "why": why}
    await tx.execute(DECIDE, {"number": number_id, "id": approval_id, "now": now, **decided})
    user = await accounts.user(tx, user_id) if user_id is not None else None
    says = DECIDED[state].format(by=f" by {user.name}" if user else "", why=tending.lower(why))
    says = f"What “{one.automation}” had drafted {says}"
    await tending.note(tx, number_id, one.contact_id, Kind.DRAFTED, says, now, one.automation_id, one.run_id)
    await events.publish(tx, {number_id: {"chats": [one.contact_id]}}, now)
    return await found(tx, number_id, approval_id)
