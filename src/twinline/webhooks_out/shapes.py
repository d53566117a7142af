"""What is told, in the shapes in which ``/v1`` answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from twinline.kit.api import Out
from twinline.rules.delivery import Delivery as Reached
from twinline.sending.api import Person, Sent


class Message(Out):
    """Something that was written in a chat, whoever wrote it and wherever."""

    wamid: str | None = Field(description="Null: it failed before WhatsApp had it.")
    contact: Person | None
    direction: Literal["in", "out"]
    author: str | None = Field(description="customer, phone, person, automation or campaign.")
    type: str
    text: str | None
    content: dict[str, Any] | None = Field(description="What else is in it, named as in Meta's Cloud API.")
    reply_to: str | None = Field(description="The wamid of the message that it quotes.")
    at: datetime
    delivery: str | None = Field(description="accepted, sent, delivered, read, played or failed; null: incoming.")
    delivered_at: datetime | None
    read_at: datetime | None
    errors: list[dict[str, Any]] = Field(description="Meta's, if it failed.")
    edited: bool
    revoked_at: datetime | None = Field(description="Deleted for everyone; then there is neither text nor content.")
    sent: Sent | None = Field(description="As `GET …/messages/{id}` answers, if it was sent from here.")

    @classmethod
    def of(cls, row: Mapping[str, Any], sent: Sent | None) -> "Message":
        gone, out = row["revoked_at"] is not None, row["outgoing"]
        return cls(
            **{name: row[name] for name in ("wamid", "author", "type", "at", "edited", "revoked_at")},
            **{name: row[name] for name in ("delivered_at", "read_at")},
            contact=Person(contact=row["contact_id"], phone=row["phone"], user_id=row["bsuid"])
            if row["contact_id"] is not None
            else None,
            direction="out" if out else "in",
            text=None if gone else row["text"],
            content=None if gone else row["content"],
            reply_to=row["quoted"],
            delivery=Reached(row["delivery"]).name.lower() if out and row["delivery"] else None,
            errors=row["errors"] or [],
            sent=sent,
        )

    @classmethod
    def unsent(cls, sent: Sent, author: str | None) -> "Message":
        """One that isn't in its chat: it never left, or nobody knows yet under which id."""
        return cls(
            wamid=sent.wamid,
            contact=sent.to,
            direction="out",
            author=author,
            type=sent.type,
            text=sent.text,
            content=None,
            reply_to=None,
            at=sent.created_at,
            delivery="failed" if sent.state == "failed" else sent.delivery,
            delivered_at=None,
            read_at=None,
            errors=[{"code": sent.error.code, "title": sent.error.says}] if sent.error else [],
            edited=False,
            revoked_at=None,
            sent=sent,
        )


class Chat(Out):
    contact: Person
    assigned_to: int | None = Field(description="A user's id.")
    floor: str = Field(description="Who is speaking: nobody, phone, person, automation or campaign.")
    floor_since: datetime | None
    floor_until: datetime | None


class Recipient(Out):
    campaign_id: int
    recipient_id: int
    contact_id: int
    phone: str | None
    state: str = Field(description="queued, sending, sent, delivered, read, replied, failed, held, cancelled …")
    wamid: str | None
    error: str | None


def envelope(kind: str, at: datetime, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body of every webhook."""
    return {"type": kind, "timestamp": at, "data": data}


def dumped(data: Mapping[str, Any] | Sequence[Any] | Out) -> Any:
    return data.model_dump(mode="json") if isinstance(data, Out) else data
