"""Messages by the API: what a call is answered, and the statuses that follow.

A 200 means accepted. What comes after (sent, delivered, read, played, failed) comes as webhooks, after small real
pauses, and a customer whose phone is off gets the message when it is on again.
"""

from __future__ import annotations

from . import marketing, numbers, pricing, templates, validate, wire
from .errors import NOT_ON_PLATFORM, GraphError
from .faults import Occasion
from .state import Customer, Json, Message, Phone, Template
from .world import Refused, World

WINDOW = 86400.0  # Meta: customer service window
RANK = {"accepted": 0, "sent": 1, "delivered": 2, "read": 3, "played": 4}
READ_REACH = 30 * 86400.0  # Meta: read receipts work this long
REACTION_REACH = 30 * 86400.0  # Meta: reaction messages


def on_platform(phone: Phone) -> bool:
    return phone.state in ("connected", "cloud_only")


def window_open(phone: Phone, customer: Customer, now: float) -> bool:
    """Opened by what the customer wrote after the number came to the platform, for 24 hours."""
    opened = phone.windows.get(customer.id)
    return opened is not None and opened >= (phone.onboarded_at or 0.0) and now < opened + WINDOW


def occasion(world: World, args: Json, at: float, edge: str, path: str, node: str) -> Occasion:
    """What faults may ask of a call."""
    phone = node if node in world.state.phones else None
    if edge != "messages":
        return Occasion(at, edge, path, phone)
    digits, bsuid = numbers.digits(str(args.get("to") or "")), str(args.get("recipient") or "")
    customer = world.customer_by_number(digits) if digits else world.customer_by_bsuid(bsuid)
    known = (customer.id, customer.number, customer.bsuid) if customer else ()
    template = args.get("template")
    name = template.get("name") if isinstance(template, dict) else None
    return Occasion(at, edge, path, phone, tuple(filter(None, (digits or bsuid, *known))), name)


def accept(world: World, phone: Phone, body: Json, at: float | None = None) -> Json:
    """``POST /<PHONE_NUMBER_ID>/messages``, which came at ``at``. Raises ``GraphError``.

    GUESS: what is wrong with the message itself is said before a limit is."""
    if not on_platform(phone):
        raise GraphError(NOT_ON_PLATFORM)
    now = world.now() if at is None else at
    if now < phone.maintenance_until:
        raise GraphError(131057)
    if "status" in body:
        return _mark_read(world, phone, body)
    kind = validate.message(body)
    customer, contact, sent_to = _recipient(world, phone, body)
    content, usable = _content(world, kind, body)
    template, rendered = None, None
    if kind == "template":
        template = _template(world, phone, content, sent_to)
        rendered, usable = _filled(world, template, content)
    recipient = customer.id if customer else str(body.get("to") or body.get("recipient"))
    in_window = customer is not None and window_open(phone, customer, now)
    outside = customer is not None and template is None and not in_window
    if outside and world.state.options.window_error == "sync":
        raise GraphError(131047)
    _pace(world, phone, recipient, now)

    number = customer.number if customer else numbers.digits(recipient)
    message = Message(
        id=world.ids.wamid(number, outgoing=True),
        phone=phone.id,
        customer=customer.id if customer else "",
        direction="out",
        origin="api",
        type=kind,
        content=content,
        at=now,
        status="accepted",
        opaque=body.get("biz_opaque_callback_data"),
        category=template.category.lower() if template else "service",
        template=template.id if template else None,
        shown=rendered,
        expires=now + template.ttl if template and template.ttl else None,
        sent_to="bsuid" if sent_to == "bsuid" else "phone",
    )
    answer: Json = {"id": message.id}
    fate = _fate(world, phone, customer, message, body, template, in_window=in_window, usable=usable)
    if fate is None and customer is not None:
        fate = _bill(world, phone, customer, message, in_window=in_window)
    if template is not None:
        message.held = fate is None and templates.held(template, message, world.state.options, now)
        answer["message_status"] = "held_for_quality_assessment" if message.held else "accepted"
    if customer is not None:
        _keep(world, phone, customer, message, body.get("context"), fate)
    pause = world.state.options.sent_delay
    if fate is not None:
        message.error = fate
        nobody = Customer("", "", number, str(body.get("recipient") or ""), "", phone_visible=False)
        world.timers.after(pause, lambda: fail(world, message, fate, nobody))
    elif not message.held:
        world.timers.after(pause, lambda: progress(world, message, "sent"))
    return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [answer]}


def _pace(world: World, phone: Phone, recipient: str, now: float) -> None:
    """The limits of the number (130429) and of the pair (131056)."""
    timeline, options = world.timeline(phone), world.state.options
    if not world.second(phone).take(now):
        timeline.note(now, "too_fast")
        raise GraphError(130429)
    if options.pair_limit and not world.pair(phone).take(recipient, now, silence=options.pair_silence):
        timeline.note(now, "pair")
        raise GraphError(131056)
    timeline.note(now, "out")


def _bill(world: World, phone: Phone, customer: Customer, message: Message, *, in_window: bool) -> int | None:
    """Settle the price, and count what is free. Answers the code for what can't be paid for, if so.

    GUESS: a free entry point is opened by an answer over the API only; a reaction is a service message like others."""
    waba, options, now = world.waba(phone), world.state.options, message.at
    entry = phone.entries.get(customer.id)
    if entry is not None and entry.until is None and now < entry.clicked_at + WINDOW:
        entry.until = now + options.entry_point_hours * 3600
    if entry is not None and entry.until is not None and now < entry.until:
        message.entry_until = entry.until
    message.price = pricing.price(
        waba,
        phone,
        message.category,
        now,
        in_window=in_window,
        entry=message.entry_until is not None,
        free=options.free_service,
    )
    if message.price["billable"] and not waba.payment_method:
        message.price = None
        return 131042  # GUESS: also when it is the free tier that is used up
    if message.category == "service" and message.entry_until is None:
        pricing.count(waba, phone, now)
    return None


def _recipient(world: World, phone: Phone, body: Json) -> tuple[Customer | None, Json, str]:
    """Who is meant, the ``contacts[0]`` of the answer, and by which kind of address. A phone goes before a user id."""
    if body.get("to"):
        given = str(body["to"])
        number = numbers.digits(given)
        if not 5 <= len(number) <= 15:
            raise GraphError(131009, "The recipient's phone number isn't valid.")
        if phone.number in numbers.variants(number):
            raise GraphError(131021)
        customer = world.customer_by_number(number)
        if customer is None and world.state.options.unknown_recipients == "create":
            customer = world.make_customer(number=number)
        return customer, {"input": given, "wa_id": customer.number if customer else number}, "phone"
    bsuid = str(body["recipient"])
    if not validate.BSUID.fullmatch(bsuid):
        raise GraphError(131009, "The recipient isn't a business-scoped user ID.")
    # GUESS: one that nobody has is undeliverable, as a number without WhatsApp is.
    return world.customer_by_bsuid(bsuid), {"input": bsuid, "user_id": bsuid}, "bsuid"


def _template(world: World, phone: Phone, content: Json, sent_to: str) -> Template:
    """The template meant, if it may go to such an address."""
    found = templates.chosen(world.state.templates.values(), phone.waba_id, content)
    if found.category == "AUTHENTICATION" and sent_to == "bsuid":
        raise GraphError(131062)
    if found.category == "MARKETING" and not world.state.options.marketing_api:
        raise GraphError(131063)
    return found


def _filled(world: World, template: Template, content: Json) -> tuple[Json, bool]:
    """The template as the customer reads it, and whether the file in its header can be sent (else 131053)."""
    fit = True

    def medium(kind: str, given: Json) -> Json:
        nonlocal fit
        found, fit = _content(world, kind, {kind: given})
        return found

    return templates.filled(template, content.get("components"), medium), fit


def _content(world: World, kind: str, body: Json) -> tuple[Json, bool]:
    """The object of the message, and whether its file can be sent as this type (else 131053)."""
    content: Json = body[kind]
    if kind == "interactive":
        header = content.get("header") or {"type": "text"}
        return content, header["type"] == "text" or _content(world, header["type"], header)[1]
    if kind not in validate.MEDIA or not content.get("id"):
        return content, True
    media = world.shelf.get(str(content["id"]), world.now())
    if media is None:
        raise GraphError(
            100, f"Param {kind}['id'] is not a valid whatsapp business account media attachment ID: it doesn't exist,"
            " or has expired."
        )  # fmt: skip
    usable = validate.fits(kind, media.mime, media.size, voice=bool(content.get("voice")))
    if usable and kind == "sticker" and media.size > validate.STILL_STICKER:
        usable = b"ANIM" in world.shelf.read(media)[:64]
    return {**content, "mime_type": media.mime}, usable


def _keep(
    world: World, phone: Phone, customer: Customer, message: Message, context: Json | None, fate: int | None
) -> None:
    """Into the chat; a reaction goes upon its message."""
    if message.type == "reaction":
        world.state.messages[message.id] = message
        if fate is None:
            target = world.message(phone, customer.id, message.content["message_id"])
            target.reactions["business"] = message.content["emoji"]
    else:
        message.context = _quote(world, phone, customer, context) if context else None
        world.keep(message)
    world.changed("message", phone=phone.id, customer=customer.id, message=message.id)


def _quote(world: World, phone: Phone, customer: Customer, context: Json) -> Json | None:
    """A quote of something unknown is dropped, as the phone shows the message without it."""
    try:
        return world.context(phone, customer, context.get("message_id"))
    except Refused:
        return None


def _reachable(world: World, phone: Phone, customer: Customer, content: Json) -> bool:
    """Whether there is such a message to react upon (Meta: reaction messages: of this chat, not older than 30 days, not
    deleted, not a reaction)."""
    try:
        target = world.message(phone, customer.id, content["message_id"])
    except Refused:
        return False
    return target.type != "reaction" and not target.revoked and world.now() - target.at <= REACTION_REACH


def _fate(
    world: World,
    phone: Phone,
    customer: Customer | None,
    message: Message,
    body: Json,
    template: Template | None,
    *,
    in_window: bool,
    usable: bool,
) -> int | None:
    """The code this message will fail with after its 200, if any."""
    if world.state.faults:
        fault = world.faults.strike(("fail",), occasion(world, body, message.at, "messages", "", phone.id))
        if fault is not None:
            world.changed("fault")
            return fault.code
    if customer is None:
        return 131026
    key = body.get("recipient_identity_key_hash")
    if key is not None and key != wire.identity_key(customer):
        return 137000
    if not usable:
        return 131053
    if template is not None:
        return marketing.fate(world, phone, customer, template, message.at, in_window=in_window)
    if not in_window:
        return 131047
    if message.type == "reaction" and not _reachable(world, phone, customer, message.content):
        return 131009
    return None


def fail(world: World, message: Message, code: int, nobody: Customer | None = None) -> None:
    """The end of a message. ``nobody``: how the recipient was addressed, if there is no such customer."""
    phone, customer = world.state.phones[message.phone], world.state.customers.get(message.customer) or nobody
    assert customer is not None
    message.status, message.error = "failed", code
    shown = wire.status(message, customer, "failed", world.now(), None)
    world.emit(phone, "messages", wire.status_value(phone, customer, shown))
    world.changed("status", phone=phone.id, customer=message.customer, message=message.id, status="failed")


def report(world: World, message: Message, status: str) -> None:
    """Raise a message's status and send the webhook; a status that isn't news is dropped."""
    if message.status == "failed" or RANK[status] <= RANK.get(message.status, 0):
        return
    phone, customer = world.state.phones[message.phone], world.state.customers[message.customer]
    skipped = status in ("read", "played") and message.status == "sent"
    message.status = status
    world.changed("status", phone=phone.id, customer=customer.id, message=message.id, status=status)
    if not on_platform(phone) or (message.origin != "api" and not world.state.options.app_statuses):
        return
    shown = wire.status(message, customer, status, world.now(), None)
    if message.price is not None and (status in ("sent", "delivered") or skipped):
        shown |= _priced(world, message, message.price)
    world.emit(phone, "messages", wire.status_value(phone, customer, shown))


def _priced(world: World, message: Message, price: Json) -> Json:
    """``pricing``, and ``conversation`` where there still is one."""
    entered = message.entry_until
    about = message.id if entered is None else f"{message.phone}:{message.customer}:{entered}"
    known = pricing.conversation(about, price, world.state.app.webhook_version, message.at, entered)
    return {**({"conversation": known} if known else {}), "pricing": price}


def progress(world: World, message: Message, status: str) -> None:
    """Reach a status and plan the next one."""
    customer, options = world.state.customers[message.customer], world.state.options
    if status == "delivered" and not customer.online:
        return
    if message.expires is not None and status == "delivered" and world.now() > message.expires:
        return  # Meta: what couldn't be delivered in its time to live is dropped without a word
    report(world, message, status)
    if status == "sent" and options.auto_deliver and customer.online:
        # Meta: a status may skip ``delivered`` when the chat is open on the customer's phone.
        skipping = options.skip_delivered and message.phone in customer.open_with
        following = "read" if skipping else "delivered"
        world.timers.after(options.delivered_delay, lambda: progress(world, message, following))
    if status == "delivered" and (options.auto_read or message.phone in customer.open_with):
        world.timers.after(options.read_delay, lambda: progress(world, message, "read"))


def deliver_waiting(world: World, customer: Customer) -> None:
    """The customer's phone came online: what waited arrives."""
    for phone in world.state.phones.values():
        for message in world.live(phone, customer.id):
            if message.direction == "out" and message.status == "sent":
                progress(world, message, "delivered")


def resume(world: World) -> None:
    """After a restart: go on with messages that were on their way."""
    for message in world.state.messages.values():
        if message.direction != "out" or message.origin == "history" or not message.customer:
            continue
        if message.held:
            continue
        if message.status == "accepted" and message.error is None:
            progress(world, message, "sent")
        elif message.status == "accepted" and message.error is not None:
            fail(world, message, message.error)
        elif message.status == "sent" and world.state.options.auto_deliver:
            progress(world, message, "delivered")


def _mark_read(world: World, phone: Phone, body: Json) -> Json:
    """Read receipt, and typing indicator when asked for. Marks all earlier messages of the chat."""
    validate.receipt(body)
    message = world.state.messages.get(body["message_id"])
    if message is None or message.phone != phone.id or message.direction != "in":
        raise GraphError(131009, "message_id isn't a message received by this phone number.")
    if world.now() - message.at > READ_REACH:
        raise GraphError(131009, "The message came more than 30 days ago.")
    for earlier_id in reversed(phone.chats.get(message.customer, ())):
        earlier = world.state.messages[earlier_id]
        if earlier.direction == "in" and earlier.at <= message.at:
            if earlier.status == "read":
                break  # and so is all before it
            earlier.status = "read"
    phone.unread.pop(message.customer, None)
    world.changed("read", phone=phone.id, customer=message.customer)
    if body.get("typing_indicator"):
        world.changed("typing", phone=phone.id, customer=message.customer)
    return {"success": True}
