"""What customers do: write, quote, react, edit, delete, read, change their number, stop marketing."""

from __future__ import annotations

from typing import Any

from . import numbers, templates, wire
from .sending import deliver_waiting, on_platform, report
from .state import Customer, EntryPoint, Json, Message, Phone
from .world import Refused, World

EDIT_SECONDS = 15 * 60  # Meta: messages/edit reference
REVOKE_SECONDS = 2 * 86400  # Meta: messages/revoke reference
EDITABLE = frozenset({"text", "image", "video", "document"})


def write(
    world: World,
    customer: Customer,
    phone: Phone,
    kind: str,
    given: Json,
) -> Message:
    """Send a message of any type. ``given``: ``text`` for texts, ``media_id``/``caption``/``filename``/``voice`` for
    media, ``content`` for the others, ``reply_to`` for a quote, ``referral`` for an ad, ``forwarded``."""
    content, shown_as = _content(world, kind, given)
    context = world.context(phone, customer, given.get("reply_to"))
    if given.get("forwarded"):
        context = {**(context or {}), "forwarded": True}
    message = Message(
        id=world.ids.wamid(customer.number, outgoing=False),
        phone=phone.id,
        customer=customer.id,
        direction="in",
        origin="customer",
        type=shown_as,
        content=content,
        at=world.now(),
        status="delivered",
        context=context,
    )
    if shown_as in ("interactive", "button"):
        message.context = _answered(world, phone, customer, given)
    world.keep(message)
    phone.unread[customer.id] = phone.unread.get(customer.id, 0) + 1
    arrive(world, phone, customer, message, opens_window=True, referral=given.get("referral"))
    world.changed("message", phone=phone.id, customer=customer.id, message=message.id)
    return message


def first_message(world: World, customer: Customer, phone: Phone, given: Json) -> Message:
    """A message that the API gets as unavailable (131060) while the phone shows it. With ``heal_after`` (real
    seconds) the real one follows under the same id: whether Meta does that isn't documented."""
    content, kind = _content(world, given.get("type", "text"), given)
    at = world.now()
    message = Message(
        world.ids.wamid(customer.number, outgoing=False),
        phone.id,
        customer.id,
        "in",
        "customer",
        kind,
        content,
        at,
        status="delivered",
    )
    world.keep(message)
    phone.unread[customer.id] = phone.unread.get(customer.id, 0) + 1
    hidden = Message(
        message.id,
        phone.id,
        customer.id,
        "in",
        "customer",
        "unsupported",
        {"code": 131060, "type": "media_placeholder"},
        at,
    )
    arrive(world, phone, customer, hidden, opens_window=True, referral=given.get("referral"))
    if given.get("heal_after") is not None:
        world.timers.after(
            float(given["heal_after"]), lambda: arrive(world, phone, customer, message, opens_window=False)
        )
    world.changed("message", phone=phone.id, customer=customer.id, message=message.id)
    return message


def arrive(
    world: World,
    phone: Phone,
    customer: Customer,
    message: Message,
    *,
    opens_window: bool,
    referral: Json | None = None,
) -> None:
    """Hand a customer's message to the platform, if the number is on it."""
    if not on_platform(phone):
        return
    now = world.now()
    world.second(phone).charge(now)
    world.timeline(phone).note(now, "in")
    if opens_window:
        phone.windows[customer.id] = now
    if referral:
        phone.entries[customer.id] = EntryPoint(now)
    shown = wire.inbound(message, customer, referral)
    world.emit(phone, "messages", wire.value(phone, contacts=[wire.contact(customer)], messages=[shown]))


def _content(world: World, kind: str, given: Json) -> tuple[Any, str]:
    """The content object, and the type it travels under."""
    if kind == "text":
        if not given.get("text"):
            raise Refused("A text needs words.", 400)
        return {"body": given["text"]}, "text"
    if kind == "voice":
        return world.media_content("audio", {**given, "voice": True}), "audio"
    if kind in wire.MEDIA_TYPES:
        return world.media_content(kind, given), kind
    if kind == "unsupported":
        return {"code": int(given.get("code", 131051)), "type": given.get("subtype", "poll_creation")}, kind
    if kind in PREPARED and "content" not in given:
        return PREPARED[kind], kind
    if kind in TAKEN:
        if "content" not in given:
            raise Refused(f"A message of type {kind} needs its content.", 400)
        return given["content"], kind
    raise Refused(f"A customer can't send the type {kind!r}.", 400)


PREPARED: dict[str, Any] = {
    "location": {"latitude": 41.3874, "longitude": 2.1686, "name": "Plaça de Catalunya", "address": "Barcelona"},
    "contacts": [
        {
            "name": {"formatted_name": "Joan Serra", "first_name": "Joan", "last_name": "Serra"},
            "phones": [{"phone": "+1 415-555-0188", "wa_id": "14155550188", "type": "CELL"}],
        }
    ],
}
"""What is sent when no content is given."""
TAKEN = frozenset({"location", "contacts", "interactive", "button", "order"})


def _answered(world: World, phone: Phone, customer: Customer, given: Json) -> Json:
    """A tap on a button or a list row quotes the message that had it."""
    message_id = given.get("reply_to")
    if message_id is None:
        offers = [m for m in world.live(phone, customer.id) if m.type in ("interactive", "template")]
        if not offers:
            raise Refused("There is no message with buttons in this chat.")
        message_id = offers[-1].id
    return {"from": phone.number, "id": message_id}


def tap(world: World, customer: Customer, phone: Phone, message_id: str, choice: str) -> Message:
    """Press a reply button, a list row or a template's quick reply, by its id or title."""
    offer = world.message(phone, customer.id, message_id)
    action = offer.content.get("action", {}) if isinstance(offer.content, dict) else {}
    for button in action.get("buttons", []):
        reply = button.get("reply", {})
        if choice in (reply.get("id"), reply.get("title")):
            given = {"type": "button_reply", "button_reply": {"id": reply["id"], "title": reply["title"]}}
            return write(world, customer, phone, "interactive", {"content": given, "reply_to": message_id})
    for section in action.get("sections", []):
        for row in section.get("rows", []):
            if choice in (row.get("id"), row.get("title")):
                picked = {key: row[key] for key in ("id", "title", "description") if key in row}
                given = {"type": "list_reply", "list_reply": picked}
                return write(world, customer, phone, "interactive", {"content": given, "reply_to": message_id})
    for button in templates.buttons(offer.shown) if offer.shown else ():
        if button["type"] == "QUICK_REPLY" and choice in (button["payload"], button["text"]):
            content = {"payload": button["payload"], "text": button["text"]}
            return write(world, customer, phone, "button", {"content": content, "reply_to": message_id})
    raise Refused(f"This message has no choice {choice!r}.", 404)


def _event(world: World, customer: Customer, phone: Phone, kind: str, content: Json) -> str:
    """Something about an earlier message: it has an id and travels like a message, but is no bubble."""
    message = Message(
        world.ids.wamid(customer.number, outgoing=False),
        phone.id,
        customer.id,
        "in",
        "customer",
        kind,
        content,
        world.now(),
    )
    # A reaction is something the customer says; that edits and deletions open no window is a guess.
    arrive(world, phone, customer, message, opens_window=kind == "reaction")
    world.changed("message", phone=phone.id, customer=customer.id, message=message.id)
    return message.id


def react(world: World, customer: Customer, phone: Phone, message_id: str, emoji: str) -> str:
    """Put an emoji upon a message; an empty one takes it away, and then the webhook has none."""
    target = world.message(phone, customer.id, message_id)
    if emoji:
        target.reactions["customer"] = emoji
    else:
        target.reactions.pop("customer", None)
    content = {"message_id": message_id, **({"emoji": emoji} if emoji else {})}
    return _event(world, customer, phone, "reaction", content)


def edit(world: World, customer: Customer, phone: Phone, message_id: str, text: str) -> str:
    """Change a text or a caption, within 15 minutes."""
    target = _own(world, customer, phone, message_id)
    if world.now() - target.at > EDIT_SECONDS:
        raise Refused("A message can be edited for 15 minutes.")
    return _event(world, customer, phone, "edit", apply_edit(target, text))


def apply_edit(target: Message, text: str) -> Json:
    """Change a message and answer the object that the webhook carries."""
    if target.type not in EDITABLE:
        raise Refused("Only texts and captions can be edited.")
    key = "body" if target.type == "text" else "caption"
    target.edits.append(target.content)
    target.content = {**target.content, key: text}
    return {
        "original_message_id": target.id,
        "message": {"context": {"id": "M0"}, "type": target.type, target.type: target.content},
    }


def revoke(world: World, customer: Customer, phone: Phone, message_id: str) -> str:
    """Delete a message for everyone, within two days."""
    target = _own(world, customer, phone, message_id)
    if world.now() - target.at > REVOKE_SECONDS:
        raise Refused("A message can be deleted for two days.")
    target.revoked = True
    return _event(world, customer, phone, "revoke", {"original_message_id": message_id})


def _own(world: World, customer: Customer, phone: Phone, message_id: str) -> Message:
    target = world.message(phone, customer.id, message_id)
    if target.direction != "in":
        raise Refused("That message isn't the customer's.")
    if target.revoked:
        raise Refused("That message was deleted.")
    return target


def read(world: World, customer: Customer, phone: Phone) -> int:
    """Read the chat: every message of the business that arrived becomes read. Answers how many."""
    unread = [
        m
        for m in world.live(phone, customer.id)
        if m.direction == "out" and m.origin != "history" and m.status in ("sent", "delivered")
    ]
    for message in unread:
        report(world, message, "read")
    return len(unread)


def play(world: World, customer: Customer, phone: Phone, message_id: str) -> None:
    """Listen to a voice note (status ``played``)."""
    message = world.message(phone, customer.id, message_id)
    if message.direction != "out" or message.type != "audio" or not message.content.get("voice"):
        raise Refused("Only a voice note of the business can be played.")
    report(world, message, "read")
    report(world, message, "played")


def change_number(world: World, customer: Customer, number: str) -> None:
    """A new number, and with it a new business-scoped user id: a system message to every business the customer wrote
    with, and ``user_id_update`` (Meta: business-scoped user IDs)."""
    number = numbers.digits(number)
    if not number or world.customer_by_number(number) or world.phone_by_number(number):
        raise Refused(f"{number or 'That number'} can't be taken.")
    old_number, old_bsuid = customer.number, customer.bsuid
    world.reindex(customer, number, world.ids.bsuid(customer.country))
    at = world.now()
    for phone in world.state.phones.values():
        known = customer.id in phone.chats or (phone.history and customer.id in phone.history.customers)
        if not known or not on_platform(phone):
            continue
        system: Json = {
            "body": f"User {customer.name} changed from {old_bsuid} to {customer.bsuid}",
            "user_id": customer.bsuid,
            "type": "user_changed_user_id",
        }
        update: Json = {
            "detail": f"User id for {customer.name} has been updated.",
            "user_id": {"previous": old_bsuid, "current": customer.bsuid},
            "timestamp": wire.stamp(at),
        }
        shown: Json = {"id": world.ids.wamid(old_number, outgoing=False), "timestamp": wire.stamp(at)}
        contact: Json = {"profile": {"name": customer.name}}
        if customer.phone_visible:
            system["wa_id"] = update["wa_id"] = contact["wa_id"] = number
            shown["from"] = old_number
        else:
            shown["from_user_id"] = old_bsuid
        shown |= {"type": "system", "system": system}
        world.emit(phone, "messages", wire.value(phone, messages=[shown]))
        world.emit(phone, "user_id_update", wire.value(phone, contacts=[contact], user_id_update=[update]))
    world.changed("customer", customer=customer.id)


def marketing(world: World, customer: Customer, phone: Phone, value: str) -> None:
    """Stop or resume marketing messages of this business (Meta: user_preferences reference)."""
    if value not in ("stop", "resume"):
        raise Refused("Marketing is stopped or resumed.", 400)
    (phone.stopped.add if value == "stop" else phone.stopped.discard)(customer.id)
    preference: Json = {"wa_id": customer.number} if customer.phone_visible else {}
    preference |= {
        "user_id": customer.bsuid,
        "detail": f"User requested to {value} marketing messages",
        "category": "marketing_messages",
        "value": value,
        "timestamp": int(world.now()),
    }
    if on_platform(phone):
        value_ = wire.value(phone, contacts=[wire.contact(customer)], user_preferences=[preference])
        world.emit(phone, "user_preferences", value_)
    world.changed("customer", customer=customer.id)


def present(
    world: World,
    customer: Customer,
    *,
    online: bool | None = None,
    open_with: str | None = None,
    closed: str | None = None,
) -> None:
    """Phone on or off; a chat opened on the screen (its messages are read as they come) or left."""
    if closed is not None:
        customer.open_with.discard(closed)
    if online is not None:
        customer.online = online
        if online:
            deliver_waiting(world, customer)
    if open_with is not None:
        phone = world.phone(open_with)
        customer.open_with.add(phone.id)
        read(world, customer, phone)
    world.changed("customer", customer=customer.id)
