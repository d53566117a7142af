"""An outbox row -> the body of ``POST /{phone number id}/messages`` (Meta: messages endpoint)."""

from datetime import datetime
from typing import Any, NamedTuple

from twinline.kit.clock import microseconds
from twinline.meta.webhooks import MEDIA, TEXT_OF
from twinline.rules.messages import CAPTIONED
from twinline.sending.models import Draft, Outgoing

CALLBACK = "tw"


class Callback(NamedTuple):
    """What of ``biz_opaque_callback_data`` comes back in statuses: which outbox row it was.

    The moment the row was written is part of it. Ids begin anew in a new database, and statuses of last week's
    messages may still arrive, or those of another installation on the same number.
    """

    number_id: int
    outbox_id: int
    created: int  # microseconds since 1970

    def __str__(self) -> str:
        return f"{CALLBACK}:{self.number_id}:{self.outbox_id}:{self.created}"


def callback(number_id: int, outbox_id: int, created_at: datetime) -> Callback:
    return Callback(number_id, outbox_id, microseconds(created_at))


def read_callback(said: str | None) -> Callback | None:
    """The row that a status speaks of; None for anybody else's."""
    parts = (said or "").split(":")
    if len(parts) != 4 or parts[0] != CALLBACK or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        return None
    number_id, outbox_id, created = map(int, parts[1:])
    return Callback(number_id, outbox_id, created) if max(number_id, outbox_id, created) < 1 << 63 else None


def body(number_id: int, row: Outgoing) -> dict[str, Any]:
    """Addressed by phone where one is known: authentication templates need it, and Meta prefers it anyway."""
    composed: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "type": row.type,
        row.type: said(row),
        "biz_opaque_callback_data": str(callback(number_id, row.id, row.created_at)),
    }
    if row.phone is not None:
        composed["to"] = row.phone
    else:
        composed["recipient"] = row.bsuid
    if row.quoted is not None and row.type != "reaction":
        composed["context"] = {"message_id": row.quoted}
    return composed


def said(row: Outgoing) -> Any:
    """What stands under the type's name."""
    content = row.content or {}
    match row.type:
        case "text":
            return {"body": row.text or "", "preview_url": bool(content.get("preview_url"))}
        case "reaction":
            return {"message_id": row.quoted, "emoji": row.text or ""}
        case "contacts":
            return content["contacts"]
        case "template":
            return {key: part for key, part in content.items() if key != "shown"}
        case kind if kind in MEDIA:
            return _file(row, content)
    return content


def _file(row: Outgoing, content: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"id": content["id"]} if "id" in content else {"link": content["link"]}
    if row.text and row.type in CAPTIONED:
        made["caption"] = row.text
    if row.type == "document" and content.get("filename"):
        made["filename"] = content["filename"]
    if row.type == "audio" and content.get("voice"):
        made["voice"] = True
    return made


def words_of(draft: Draft) -> str | None:
    """What of a message is text to read and to search where it has none of its own."""
    content = draft.content or {}
    match draft.type:
        case "interactive":
            return str(content["body"]["text"])
        case "contacts" | "location":
            return TEXT_OF[draft.type](content.get("contacts", content))
    return None
