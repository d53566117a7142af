"""Payload shapes: from state to the JSON that Meta would send. Nothing here decides, and nothing remembers.

Shapes follow Meta's webhook references and its page on business-scoped user IDs. Absent values are left out, never
sent as empty strings. Timestamps in messages are strings of unix seconds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from typing import Any

from .errors import in_webhook
from .state import BookEntry, Customer, Hook, Json, Message, Phone, Template, Waba

MEDIA_TYPES = frozenset({"image", "video", "audio", "document", "sticker"})


def encode(value: Any) -> str:
    """JSON as Meta writes it: ASCII only, ``\\uXXXX`` for the rest, slashes escaped, no spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("/", "\\/")


def signature(secret: str, body: bytes) -> str:
    """``X-Hub-Signature-256`` over the raw bytes."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def change(field: str, value: Json) -> str:
    return encode({"value": value, "field": field})


def body(hooks: Sequence[Hook]) -> bytes:
    """One POST: changes grouped by their entry, in order of appearance."""
    if hooks[0].bare:
        return hooks[0].change.encode()
    entries: dict[tuple[str, int | None], list[str]] = {}
    for hook in hooks:
        entries.setdefault((hook.entry_id, hook.time), []).append(hook.change)
    parts = []
    for (entry_id, time), changes in entries.items():
        stamp = "" if time is None else f'"time":{time},'
        parts.append(f'{{"id":"{entry_id}",{stamp}"changes":[{",".join(changes)}]}}')
    return ('{"object":"whatsapp_business_account","entry":[' + ",".join(parts) + "]}").encode()


def stamp(at: float) -> str:
    return str(int(at))


def metadata(phone: Phone) -> Json:
    return {"display_phone_number": phone.number, "phone_number_id": phone.id}


def value(phone: Phone, **parts: Any) -> Json:
    """The ``value`` of a message-type change."""
    return {"messaging_product": "whatsapp", "metadata": metadata(phone), **parts}


def contact(customer: Customer, *, username: bool = True) -> Json:
    profile: Json = {"name": customer.name}
    if username and customer.username:
        profile["username"] = customer.username
    seen: Json = {"profile": profile}
    if customer.phone_visible:
        seen["wa_id"] = customer.number
    seen["user_id"] = customer.bsuid
    return seen


def identity_key(customer: Customer) -> str:
    """The hash of the key that WhatsApp knows a person by: another one after a change of number."""
    raw = hashlib.sha256(f"identity:{customer.number}:{customer.bsuid}".encode()).digest()
    return base64.b64encode(raw[:15]).decode()


def _payload(message: Message) -> Json:
    """``type`` and the object of that name, with quote and errors beside it."""
    parts: Json = {"type": message.type}
    if message.type == "unsupported":
        code = message.content["code"]
        if message.content.get("type"):
            parts["unsupported"] = {"type": message.content["type"]}
        parts["errors"] = [in_webhook(code, href=False)]
    else:
        parts[message.type] = message.content
    if message.context:
        parts["context"] = message.context
    return parts


def inbound(message: Message, customer: Customer, referral: Json | None = None) -> Json:
    """An element of ``messages[]``."""
    shown: Json = {"from": customer.number} if customer.phone_visible else {}
    shown |= {"from_user_id": customer.bsuid, "id": message.id, "timestamp": stamp(message.at)}
    shown |= _payload(message)
    if referral:
        shown["referral"] = referral
    return shown


def echo(message: Message, phone: Phone, customer: Customer) -> Json:
    """An element of ``message_echoes[]``."""
    shown: Json = {"from": phone.number}
    if customer.phone_visible:
        shown["to"] = customer.number
    shown |= {"to_user_id": customer.bsuid, "id": message.id, "timestamp": stamp(message.at)}
    return shown | _payload(message)


def status(message: Message, customer: Customer, name: str, at: float, pricing: Json | None) -> Json:
    """An element of ``statuses[]``."""
    shown: Json = {"id": message.id, "status": name, "timestamp": stamp(at)}
    if message.sent_to == "phone" or customer.phone_visible:
        shown["recipient_id"] = customer.number
    if name != "failed" or message.sent_to == "bsuid":
        shown["recipient_user_id"] = customer.bsuid
    if message.opaque is not None:
        shown["biz_opaque_callback_data"] = message.opaque
    if pricing:
        shown["pricing"] = pricing
    if name == "failed" and message.error is not None:
        shown["errors"] = [in_webhook(message.error)]
    return shown


def status_value(phone: Phone, customer: Customer, shown: Json) -> Json:
    """Failed statuses carry no contacts; the username shows only once delivered."""
    if shown["status"] == "failed":
        return value(phone, statuses=[shown])
    username = shown["status"] in ("delivered", "read", "played")
    return value(phone, contacts=[contact(customer, username=username)], statuses=[shown])


def history_message(message: Message, phone: Phone, customer: Customer) -> Json:
    """An element of ``threads[].messages[]``: media as a placeholder, status in upper case."""
    if message.direction == "out":
        shown: Json = {"from": phone.number}
        if not customer.phone_visible:
            shown["to_user_id"] = customer.bsuid
    else:
        shown = {"from": customer.number} if customer.phone_visible else {}
        shown["from_user_id"] = customer.bsuid
    shown |= {"id": message.id, "timestamp": stamp(message.at)}
    if message.type in MEDIA_TYPES:
        shown["type"] = "media_placeholder"
        if message.context:
            shown["context"] = message.context
    else:
        shown |= _payload(message)
    shown["history_context"] = {"status": message.status.upper()}
    return shown


def thread(phone: Phone, customer: Customer, messages: Iterable[Message]) -> Json:
    shown: Json = {"id": customer.number} if customer.phone_visible else {}
    context: Json = {"wa_id": customer.number} if customer.phone_visible else {}
    context["user_id"] = customer.bsuid
    if customer.username:
        context["username"] = customer.username
    shown["context"] = context
    shown["messages"] = [history_message(m, phone, customer) for m in messages]
    return shown


def book_entry(customer: Customer, entry: BookEntry | None, at: float) -> Json:
    """An element of ``state_sync[]``: an edit is an ``add``, a removal carries no names."""
    known: Json = {}
    if entry is not None:
        known |= {"full_name": entry.full_name, "first_name": entry.first_name}
    if customer.phone_visible:
        known["phone_number"] = customer.number
    known["user_id"] = customer.bsuid
    if customer.username:
        known["username"] = customer.username
    return {
        "type": "contact",
        "contact": known,
        "action": "remove" if entry is None else "add",
        "metadata": {"timestamp": stamp(at)},
    }


def waba_info(waba: Waba, **more: str) -> Json:
    return {"waba_id": waba.id, "owner_business_id": waba.owner_business_id, **more}


# -- templates -----------------------------------------------------------------------------------------------------


def template(one: Template, **parts: Any) -> Json:
    """The value of a change that speaks of a template: ids are numbers here, and text in REST."""
    return {
        **parts,
        "message_template_id": int(one.id),
        "message_template_name": one.name,
        "message_template_language": one.language,
    }


def template_status(one: Template, event: str, reason: str | None = "NONE", **parts: Any) -> Json:
    shown = template(one, event=event)
    return {**shown, "reason": reason, "message_template_category": one.category, **parts}


def template_components(one: Template) -> Json:
    """What of an edited template the webhook repeats: texts, and buttons that lead somewhere."""
    found = {part["type"]: part for part in one.components}
    shown = template(one, message_template_element=found["BODY"]["text"])
    for key, kind in (("message_template_title", "HEADER"), ("message_template_footer", "FOOTER")):
        if found.get(kind, {}).get("text"):
            shown[key] = found[kind]["text"]
    buttons = [
        {
            f"message_template_button_{key}": button[key]
            for key in ("type", "text", "url", "phone_number")
            if button.get(key)
        }
        for button in found.get("BUTTONS", {}).get("buttons", ())
        if button["type"] in ("URL", "PHONE_NUMBER")
    ]
    return shown | ({"message_template_buttons": buttons} if buttons else {})
