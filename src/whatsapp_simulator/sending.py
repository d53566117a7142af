"""Messages by the API: what a call is answered, and the statuses that follow.

A 200 means accepted. What comes after (sent, delivered, read, played, failed) comes as webhooks, after small real
pauses, and a customer whose phone is off gets the message when it is on again.
"""

from __future__ import annotations

from . import numbers, templates, validate, wire
from .errors import NOT_ON_PLATFORM, GraphError
from .pricing import pricing
from .state import Customer, Json, Message, Phone
from .world import Refused, World

WINDOW = 86400.0  # Meta: customer service window
RANK = {"accepted": 0, "sent": 1, "delivered": 2, "read": 3, "played": 4}
READ_REACH = 30 * 86400.0  # Meta: read receipts work this long


def on_platform(phone: Phone) -> bool:
    return phone.state in ("connected", "cloud_only")


def window_open(phone: Phone, customer: Customer, now: float) -> bool:
    """Opened by what the customer wrote after the number came to the platform, for 24 hours."""
    opened = phone.windows.get(customer.id)
    return opened is not None and opened >= (phone.onboarded_at or 0.0) and now < opened + WINDOW


def accept(world: World, phone: Phone, body: Json) -> Json:
    """``POST /<PHONE_NUMBER_ID>/messages``. Raises ``GraphError``."""
    if not on_platform(phone):
        raise GraphError(NOT_ON_PLATFORM)
    if "status" in body:
        return _mark_read(world, phone, body)
    kind = validate.message(body)
    now = world.now()
    customer, contact, sent_to = _recipient(world, phone, body)
    template = _template(body) if kind == "template" else None
    content = _content(world, kind, body)
    recipient = customer.id if customer else str(body.get("to") or body.get("recipient"))
    outside = customer is not None and template is None and not window_open(phone, customer, now)
    if outside and world.state.options.window_error == "sync":
        raise GraphError(131047)
    if not world.second(phone).take(now):
        raise GraphError(130429)
    if world.state.options.pair_limit and not world.pair(phone).take(recipient, now):
        raise GraphError(131056)

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
        category=template.category if template else "service",
        sent_to="bsuid" if sent_to == "bsuid" else "phone",
    )
    answer: Json = {"id": message.id}
    if template is not None:
        answer["message_status"] = "accepted"
    fate = _fate(world, phone, customer, message, body, outside=outside)
    if customer is not None:
        if kind != "reaction" and body.get("context"):
            message.context = _quote(world, phone, customer, body["context"])
        if kind == "reaction":
            world.state.messages[message.id] = message
            _react(world, phone, customer, content, fate)
        else:
            world.keep(message)
        world.changed("message", phone=phone.id, customer=customer.id, message=message.id)
    pause = world.state.options.sent_delay
    if fate is not None:
        message.error = fate
        world.timers.after(pause, lambda: _fail(world, phone, customer, message, number))
    else:
        assert customer is not None
        world.timers.after(pause, lambda: progress(world, message, "sent"))
    return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [answer]}


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
    customer = world.customer_by_bsuid(bsuid)
    if customer is None:
        raise GraphError(131009, "The recipient's business-scoped user ID isn't known.")
    return customer, {"input": bsuid, "user_id": bsuid}, "bsuid"


def _template(body: Json) -> templates.Template:
    name, language = body["template"]["name"], body["template"]["language"]["code"]
    found = templates.find(name, language)
    if found is None:
        raise GraphError(132001, f"template name ({name}) does not exist in {language}")
    return found


def _content(world: World, kind: str, body: Json) -> Json:
    content: Json = body[kind]
    if kind in validate.MEDIA and content.get("id"):
        media = world.shelf.get(str(content["id"]), world.now())
        if media is None:
            raise GraphError(100, f"Media ID {content['id']} doesn't exist or has expired.")
        return {**content, "mime_type": media.mime}
    return content


def _quote(world: World, phone: Phone, customer: Customer, context: Json) -> Json | None:
    """A quote of something unknown is dropped, as the phone shows the message without it."""
    try:
        return world.context(phone, customer, context.get("message_id"))
    except Refused:
        return None


def _react(world: World, phone: Phone, customer: Customer, content: Json, fate: int | None) -> None:
    if fate is not None:
        return
    try:
        target = world.message(phone, customer.id, content["message_id"])
    except Refused:
        return
    target.reactions["business"] = content.get("emoji", "")


def _fate(
    world: World, phone: Phone, customer: Customer | None, message: Message, body: Json, *, outside: bool
) -> int | None:
    """The code this message will fail with after its 200, if any."""
    for address in (numbers.digits(str(body.get("to") or "")), body.get("recipient"), customer and customer.id):
        if address:
            fault = world.fault(("fail",), "messages", str(address))
            if fault is not None:
                return fault.code
    if customer is None:
        return 131026
    if outside:
        return 131047
    if message.category == "marketing" and customer.id in phone.stopped:
        return 131050
    return None


def _fail(world: World, phone: Phone, customer: Customer | None, message: Message, number: str) -> None:
    message.status = "failed"
    nobody = Customer("", "", number, "", "")
    shown = wire.status(message, customer or nobody, "failed", world.now(), None)
    world.emit(phone, "messages", wire.status_value(phone, customer or nobody, shown))
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
    priced = pricing(message.category) if status in ("sent", "delivered") or skipped else None
    shown = wire.status(message, customer, status, world.now(), priced)
    world.emit(phone, "messages", wire.status_value(phone, customer, shown))


def progress(world: World, message: Message, status: str) -> None:
    """Reach a status and plan the next one."""
    customer, options = world.state.customers[message.customer], world.state.options
    if status == "delivered" and not customer.online:
        return
    report(world, message, status)
    if status == "sent" and options.auto_deliver and customer.online:
        world.timers.after(options.delivered_delay, lambda: progress(world, message, "delivered"))
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
        if message.status == "accepted" and message.error is None:
            progress(world, message, "sent")
        elif message.status == "accepted":
            phone, customer = world.state.phones[message.phone], world.state.customers[message.customer]
            _fail(world, phone, customer, message, customer.number)
        elif message.status == "sent" and world.state.options.auto_deliver:
            progress(world, message, "delivered")


def _mark_read(world: World, phone: Phone, body: Json) -> Json:
    """Read receipt, and typing indicator when asked for. Marks all earlier messages of the chat."""
    if body.get("status") != "read":
        raise GraphError(131009, "status must be read.")
    message = world.state.messages.get(str(body.get("message_id")))
    now = world.now()
    if message is None or message.phone != phone.id or message.direction != "in" or now - message.at > READ_REACH:
        raise GraphError(131009, "message_id isn't a message received by this phone number.")
    for earlier in world.live(phone, message.customer):
        if earlier.direction == "in" and earlier.at <= message.at:
            earlier.status = "read"
    phone.unread.pop(message.customer, None)
    world.changed("read", phone=phone.id, customer=message.customer)
    if body.get("typing_indicator"):
        world.changed("typing", phone=phone.id, customer=message.customer)
    return {"success": True}
