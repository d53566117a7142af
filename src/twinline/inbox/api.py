"""Chats over HTTP: that they are read, and that somebody is writing."""

from typing import Annotated

from fastapi import APIRouter, Path

from twinline.accounts.api import Here, number
from twinline.db import Tx
from twinline.inbox import service
from twinline.kit.api import ApiError, Text, errors
from twinline.rules.refusal import Refused
from twinline.sending import receipts
from twinline.sending import service as sending

router = APIRouter(prefix="/numbers/{number_id}/chats/{recipient}", tags=["Chats"])

Written = Annotated[int, number("messages:write")]
Recipient = Annotated[Text, Path(max_length=200, examples=["+351910000001"])]


@router.post("/read", status_code=204, summary="Mark a chat as read", responses=errors(422))
async def mark_read(app: Here, number_id: Written, recipient: Recipient) -> None:
    """In the inbox at once; the customer sees it too, if the number's settings say so."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        contact_id = await _contact(app, tx, number_id, recipient)
        await service.mark_read(tx, number_id, contact_id, now)


@router.post("/typing", status_code=204, summary="Show that somebody is writing", responses=errors(422))
async def show_typing(app: Here, number_id: Written, recipient: Recipient) -> None:
    """For 25 seconds or until a message arrives, if the number's settings say so. It implies that all was read."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        contact_id = await _contact(app, tx, number_id, recipient)
        await receipts.typing(tx, number_id, contact_id, now)


async def _contact(app: Here, tx: Tx, number_id: int, recipient: str) -> int:
    try:
        _, person = await sending.standing(tx, number_id, recipient, app.clock.now())
    except Refused as refused:
        raise ApiError(422, refused.refusal.rule, refused.refusal.text, refused.refusal.what_to_do) from refused
    except sending.NoSuchContact as error:
        raise _nobody(recipient) from error
    if not person.contact_id:
        raise _nobody(recipient)
    return person.contact_id


def _nobody(recipient: str) -> ApiError:
    return ApiError(404, "contact.unknown", f"{recipient} has never written here.", "There is nothing to read yet.")
