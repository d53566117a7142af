"""An outbox row -> the body of ``POST /{phone number id}/messages`` (Meta: messages endpoint)."""

from typing import Any

from twinline.meta.webhooks import MEDIA
from twinline.sending.models import Outgoing

CALLBACK = "tw:"  # biz_opaque_callback_data comes back in statuses; ours begin so


def callback_data(number_id: int, outbox_id: int) -> str:
    return f"{CALLBACK}{number_id}:{outbox_id}"


def outbox_id(callback: str | None) -> int | None:
    """The outbox id in a callback of ours; None for anybody else's."""
    if callback is None or not callback.startswith(CALLBACK):
        return None
    last = callback.rsplit(":", 1)[-1]
    return int(last) if last.isdigit() else None


def body(number_id: int, row: Outgoing, media_id: str | None) -> dict[str, Any]:
    """Addressed by phone where one is known: authentication templates need it, and Meta prefers it anyway."""
    composed: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "type": row.type,
        row.type: said(row, media_id),
        "biz_opaque_callback_data": callback_data(number_id, row.id),
    }
    if row.phone is not None:
        composed["to"] = row.phone
    else:
        composed["recipient"] = row.bsuid
    if row.quoted is not None and row.type != "reaction":
        composed["context"] = {"message_id": row.quoted}
    return composed


def said(row: Outgoing, media_id: str | None) -> dict[str, Any]:
    content = row.content or {}
    if row.type == "text":
        return {"body": row.text or "", "preview_url": bool(content.get("preview_url"))}
    if row.type == "reaction":
        return {"message_id": row.quoted, "emoji": row.text or ""}
    if row.type in MEDIA:
        made: dict[str, Any] = {"id": media_id}
        if row.text and row.type in ("image", "video", "document"):
            made["caption"] = row.text
        if row.type == "document" and content.get("filename"):
            made["filename"] = content["filename"]
        if row.type == "audio" and content.get("voice"):
            made["voice"] = True
        return made
    return content
