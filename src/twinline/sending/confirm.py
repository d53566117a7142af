"""The answer to STOP and START: what ``contacts`` recorded is confirmed in the chat, once, inside all rules."""

from datetime import datetime

from twinline.app import App
from twinline.contacts import service as contacts
from twinline.db import Tx
from twinline.kit import log
from twinline.mirror.models import Folded
from twinline.rules.refusal import Refused
from twinline.sending import service
from twinline.sending.models import Draft, Lane

logger = log.get("sending")

# Who may say it: an automation, or the campaign whose message was just answered and which has the floor. Where a person
# is speaking, they have read the word themselves.
SPEAKERS = ("automation", "campaign")


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """In the ingest's transaction, after what was said has been recorded."""
    for due in await contacts.heard(tx, folded, now):
        for author in SPEAKERS:
            try:
                await service.submit(
                    app,
                    tx,
                    due.number_id,
                    due.contact_id,
                    Draft("text", due.text),
                    lane=Lane.AUTOMATION,
                    author=author,
                    idempotency_key=f"keyword:{due.wamid}",
                )
                break
            except Refused as refused:
                logger.info("not_confirmed", contact=due.contact_id, author=author, rule=refused.refusal.rule)
