"""What the owner does on the phone: write, quote, edit, delete, react, keep contacts, connect, disconnect.

What is typed here reaches the platform as an echo; what the platform sends shows here without one.
"""

from __future__ import annotations

from typing import Any

from . import wire
from .people import PREPARED, apply_edit
from .sending import progress
from .state import BookEntry, Customer, Json, Message, Phone
from .world import Refused, World

UPGRADE_SECONDS = 60.0
REASONS: dict[str, tuple[str, str] | None] = {
    # what happened -> disconnection_info (reason, initiated by); Meta: account_update reference
    "disconnect": None,  # GUESS: no reason value exists for the button in the app, so no disconnection_info
    "account_deleted": ("ACCOUNT_DISCONNECTED", "USER"),
    "enforcement": ("ACCOUNT_DISCONNECTED", "SYSTEM"),
    "downgrade": ("BUSINESS_DOWNGRADE", "USER"),
    "change_number": ("CHANGE_NUMBER", "USER"),
    "companion_inactivity": ("COMPANION_INACTIVITY", "SYSTEM"),
    "inactivity": ("PRIMARY_INACTIVITY", "SYSTEM"),
    "re_registered": ("USER_RE_REGISTERED", "USER"),
}


def _new(world: World, phone: Phone, customer: Customer, kind: str, content: Any, context: Json | None) -> Message:
    if phone.session_destroyed:
        raise Refused("The app was logged out: its number was registered by the API. Register it again on the phone.")
    if not phone.app_open:
        raise Refused("The app is closed.")
    return Message(
        id=world.ids.wamid(customer.number, outgoing=True),
        phone=phone.id,
        customer=customer.id,
        direction="out",
        origin="app",
        type=kind,
        content=content,
        at=world.now(),
        status="accepted",
        context=context,
    )


def _echo(world: World, phone: Phone, customer: Customer, message: Message) -> None:
    if phone.state == "connected":
        shown = wire.echo(message, phone, customer)
        value = wire.value(phone, contacts=[wire.contact(customer)], message_echoes=[shown])
        world.emit(phone, "smb_message_echoes", value)
    world.changed("message", phone=phone.id, customer=customer.id, message=message.id)


def write(world: World, phone: Phone, customer: Customer, kind: str, given: Json) -> Message:
    """Send from the phone: needs no window and no template. ``given`` as for customers."""
    if kind == "text":
        if not given.get("text"):
            raise Refused("A text needs words.", 400)
        content: Any = {"body": given["text"]}
    elif kind == "voice":
        kind, content = "audio", world.media_content("audio", {**given, "voice": True})
    elif kind in wire.MEDIA_TYPES:
        content = world.media_content(kind, given)
    elif kind in PREPARED:
        content = given.get("content", PREPARED[kind])
    else:
        raise Refused(f"The app can't send the type {kind!r}.", 400)
    message = _new(world, phone, customer, kind, content, world.context(phone, customer, given.get("reply_to")))
    world.keep(message)
    _echo(world, phone, customer, message)
    world.timers.after(world.state.options.sent_delay, lambda: progress(world, message, "sent"))
    return message


def _own(world: World, phone: Phone, customer: Customer, message_id: str) -> Message:
    target = world.message(phone, customer.id, message_id)
    if target.direction != "out":
        raise Refused("That message isn't the business's.")
    if target.revoked:
        raise Refused("That message was deleted.")
    return target


def edit(world: World, phone: Phone, customer: Customer, message_id: str, text: str) -> str:
    """Change a text or a caption. The app's own time limit isn't kept here."""
    target = _own(world, phone, customer, message_id)
    message = _new(world, phone, customer, "edit", None, None)
    message.content = apply_edit(target, text)
    _echo(world, phone, customer, message)
    return message.id


def revoke(world: World, phone: Phone, customer: Customer, message_id: str) -> str:
    """Delete for everyone."""
    target = _own(world, phone, customer, message_id)
    message = _new(world, phone, customer, "revoke", {"original_message_id": message_id}, None)
    target.revoked = True
    _echo(world, phone, customer, message)
    return message.id


def react(world: World, phone: Phone, customer: Customer, message_id: str, emoji: str) -> str:
    target = world.message(phone, customer.id, message_id)
    content = {"message_id": message_id, **({"emoji": emoji} if emoji else {})}
    message = _new(world, phone, customer, "reaction", content, None)
    if emoji:
        target.reactions["business"] = emoji
    else:
        target.reactions.pop("business", None)
    _echo(world, phone, customer, message)
    return message.id


def read(world: World, phone: Phone, customer: Customer) -> None:
    """Open a chat in the app. That this tells the API nothing is a guess."""
    phone.unread.pop(customer.id, None)
    for message in world.live(phone, customer.id):
        if message.direction == "in":
            message.status = "read"
    world.changed("read", phone=phone.id, customer=customer.id)


def save_contact(world: World, phone: Phone, customer: Customer, full_name: str, first_name: str | None) -> None:
    """Add or rename a person in the address book."""
    if not full_name.strip():
        raise Refused("A contact needs a name.", 400)
    entry = BookEntry(full_name, first_name or full_name.split(maxsplit=1)[0], world.now())
    phone.book[customer.id] = entry
    _contact_changed(world, phone, customer, entry)


def remove_contact(world: World, phone: Phone, customer: Customer) -> None:
    """Take a person out of the address book; the chat stays."""
    if phone.book.pop(customer.id, None) is None:
        raise Refused("That person isn't in the address book.", 404)
    _contact_changed(world, phone, customer, None)


def _contact_changed(world: World, phone: Phone, customer: Customer, entry: BookEntry | None) -> None:
    # Whether changes come without a first synchronisation isn't documented: here they don't.
    if phone.state == "connected" and phone.contacts_synced:
        change = wire.book_entry(customer, entry, world.now())
        world.emit(phone, "smb_app_state_sync", wire.value(phone, state_sync=[change]))
    world.changed("contact", phone=phone.id, customer=customer.id)


def set_app(world: World, phone: Phone, *, is_open: bool) -> None:
    """Open or close the app: a closed one stalls the synchronisation."""
    if is_open and phone.session_destroyed:
        raise Refused("The app was logged out by a registration over the API: offboard and reconnect the number.")
    phone.app_open = is_open
    world.changed("phone", phone=phone.id)


def onboard(world: World, phone: Phone, *, share_history: bool, share_contacts: bool) -> None:
    """The number comes to the platform; synchronisation may be asked for anew."""
    phone.state = "connected"
    phone.onboarded_at = world.now()
    phone.share_history, phone.share_contacts = share_history, share_contacts
    phone.syncs.clear()
    phone.contacts_synced = False
    phone.pending_session = None
    waba, app = world.waba(phone), world.state.app
    world.emit_account(waba, "PARTNER_ADDED", partner=True, waba_info=wire.waba_info(waba))
    world.emit_account(
        waba, "PARTNER_APP_INSTALLED", partner=True, waba_info=wire.waba_info(waba, partner_app_id=app.id)
    )
    world.changed("phone", phone=phone.id)


def upgrade(world: World, phone: Phone) -> None:
    """A number without the app is given 1,000 messages a second (Meta: throughput page). GUESS: the whole minute that
    this may take nothing can be sent (131057)."""
    phone.maintenance_until = world.now() + UPGRADE_SECONDS
    told = {"display_phone_number": phone.number, "event": "THROUGHPUT_UPGRADE", "current_limit": "TIER_UNLIMITED"}
    world.emit_waba(world.waba(phone), "phone_number_quality_update", told)


def disconnect(world: World, phone: Phone, why: str = "disconnect") -> None:
    """Coexistence ends. Tokens and subscriptions stay as they are."""
    if why not in REASONS:
        raise Refused(f"{why!r} isn't one of {', '.join(REASONS)}.", 400)
    if phone.state not in ("connected", "offboarded"):
        raise Refused("This number isn't connected.")
    phone.state = "disconnected"
    waba = world.waba(phone)
    told: Json = {"waba_info": wire.waba_info(waba)}
    reason = REASONS[why]
    if reason is not None:
        told["disconnection_info"] = {"reason": reason[0], "initiated_by": reason[1]}
    world.emit_account(waba, "PARTNER_REMOVED", partner=True, **told)
    world.changed("phone", phone=phone.id)


def offboard(world: World, phone: Phone) -> None:
    """The app moves to another device: nothing passes until it is back."""
    if phone.state != "connected":
        raise Refused("This number isn't connected.")
    phone.state = "offboarded"
    world.emit_account(world.waba(phone), "ACCOUNT_OFFBOARDED")
    world.changed("phone", phone=phone.id)


def reconnect(world: World, phone: Phone, *, keep: bool = True) -> None:
    """Register the app again. ``keep``: the business platform stays ticked; else the connection is over."""
    if phone.state != "offboarded":
        raise Refused("This number isn't offboarded.")
    if not keep:
        disconnect(world, phone, "re_registered")
        return
    phone.state, phone.session_destroyed, phone.app_open = "connected", False, True
    world.emit_account(world.waba(phone), "ACCOUNT_RECONNECTED")
    world.changed("phone", phone=phone.id)
