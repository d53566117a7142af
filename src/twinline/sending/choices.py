"""What a person decides about a message on its way: that it isn't to be sent, that it arrived, that it goes once more.

Nothing in doubt is ever sent again by itself; here somebody who has looked at the phone says what is to become of it.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from twinline.app import App
from twinline.contacts import service as contacts
from twinline.db import Tx
from twinline.mirror import events, turn
from twinline.rules import outcomes
from twinline.rules.delivery import Delivery
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import queries, service
from twinline.sending.models import Draft, Lane
from twinline.sending.waking import wake

# Before it is handed out, or while nobody knows whether it was.
CANCEL = """
UPDATE outbox SET state = 'cancelled', settled_at = %(now)s, error_text = %(why)s
WHERE number_id = %(number)s AND contact_id = %(contact)s AND id = %(id)s AND state = ANY(%(states)s)
RETURNING contact_id, id, state
"""

WITHDRAW = """
UPDATE outbox SET state = 'cancelled', settled_at = %(now)s, error_text = %(why)s
WHERE number_id = %(number)s AND id = ANY(%(ids)s) AND state IN ('queued', 'held')
RETURNING contact_id, id, state
"""

ARRIVED = f"""
UPDATE outbox o SET state = 'sent', settled_at = %(now)s, wamid = %(wamid)s, error_code = NULL, error_text = NULL
WHERE number_id = %(number)s AND contact_id = %(contact)s AND id = %(id)s AND state IN ('in_doubt', 'unknown')
RETURNING {queries.SETTLED}
"""

SAID = """
SELECT type, text, content, quoted, topic, lane, state, error_code FROM outbox
WHERE number_id = %(number)s AND contact_id = %(contact)s AND id = %(id)s
"""

TOO_LATE: Final = Refusal(
    "outbox.moved_on",
    "This message has moved on meanwhile.",
    "Look at it again: the chat shows where it stands now.",
)
DOUBTFUL: Final = ("in_doubt", "unknown")


async def cancel(tx: Tx, number_id: int, contact_id: int, outbox_id: int, now: datetime) -> None:
    """Takes back a message that hasn't left. Raises Refused when it has, or is about to."""
    await _drop(tx, number_id, contact_id, outbox_id, ("queued", "held"), "Taken back.", now)


async def withdraw(tx: Tx, number_id: int, outbox_ids: Collection[int], why: str, now: datetime) -> list[int]:
    """Takes back those of many messages that haven't left; answers which. The caller holds the number's turn."""
    rows = await tx.rows(WITHDRAW, {"number": number_id, "ids": list(outbox_ids), "why": why, "now": now})
    if rows:
        await service.free(tx, {(number_id, row[0]) for row in rows})
        await wake(tx, number_id)  # for whoever waited behind them
        await events.publish(tx, {number_id: {"outbox": [list(row) for row in rows]}}, now)
    return [row[1] for row in rows]


async def arrived(tx: Tx, number_id: int, contact_id: int, outbox_id: int, now: datetime) -> None:
    """Somebody has seen a doubtful message on the phone. It joins the chat; a status of Meta's may still follow."""
    await turn.take(tx, [number_id])
    named = {"number": number_id, "contact": contact_id, "id": outbox_id, "now": now}
    rows = await tx.dicts(ARRIVED, {**named, "wamid": service.stand_in(number_id, outbox_id)})
    if not rows:
        raise Refused(TOO_LATE)
    await service.show(tx, rows, now, Delivery.SENT)
    told = {"outbox": [[contact_id, outbox_id, "sent"]], "messages": [[contact_id, rows[0]["wamid"], "sent"]]}
    await events.publish(tx, {number_id: told}, now)


async def again(
    app: App, tx: Tx, number_id: int, contact_id: int, outbox_id: int, user_id: int, *, certain: bool = False
) -> int:
    """Writes the same message once more, as this person's; answers the new one's id. The old one is left behind.

    A doubtful one needs ``certain``: it may have arrived, and the person would read it twice. Raises Refused.
    """
    await turn.take(tx, [number_id])
    named = {"number": number_id, "contact": contact_id, "id": outbox_id}
    rows: list[dict[str, Any]] = await tx.dicts(SAID, named)
    if not rows:
        raise Refused(TOO_LATE)
    said = rows[0]
    failed = said["state"] == "failed" or (said["state"] == "sent" and said["error_code"] is not None)
    if not failed and said["state"] not in DOUBTFUL:
        raise Refused(TOO_LATE)
    if failed and said["error_code"] is not None:
        meaning = outcomes.outcome(said["error_code"])
        if not meaning.again:
            raise Refused(Refusal("outbox.not_again", meaning.says, meaning.do))
    if said["state"] in DOUBTFUL and not certain:
        raise Refused(
            Refusal(
                "outbox.in_doubt",
                "This message may have arrived: WhatsApp hasn't said so, but hasn't denied it either.",
                "Look on the phone first, then confirm that it is to be sent once more.",
            )
        )
    if said["lane"] == Lane.MARKETING:  # as a person's it would pass for an answer
        consent = await contacts.consent(tx, number_id, contact_id, said["topic"])
        if consent.refusal is not None:
            raise Refused(consent.refusal)
    content = said["content"]
    if content and "file" in content:  # its id may be what was wrong; the file itself is here
        content = {name: part for name, part in content.items() if name not in ("id", "uploaded_again")}
    draft = Draft(said["type"], said["text"], content, said["quoted"], said["topic"])
    new = await service.submit(
        app,
        tx,
        number_id,
        contact_id,
        draft,
        lane=Lane.PERSON,
        author="person",
        author_id=user_id,
        idempotency_key=f"again:{outbox_id}",
    )
    if said["state"] != "sent":
        states = ("failed", *DOUBTFUL)
        await _drop(tx, number_id, contact_id, outbox_id, states, "Sent once more.", app.clock.now())
    return new


async def _drop(
    tx: Tx, number_id: int, contact_id: int, outbox_id: int, states: tuple[str, ...], why: str, now: datetime
) -> None:
    await turn.take(tx, [number_id])
    named = {"number": number_id, "contact": contact_id, "id": outbox_id, "states": list(states)}
    rows = await tx.rows(CANCEL, {**named, "why": why, "now": now})
    if not rows:
        raise Refused(TOO_LATE)
    await service.free(tx, [(number_id, contact_id)])
    await wake(tx, number_id)  # for whoever waited behind it
    await events.publish(tx, {number_id: {"outbox": [list(row) for row in rows]}}, now)
