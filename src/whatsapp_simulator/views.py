"""What the control API shows: phones, chats, customers, sessions and the webhook log as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from . import pacing, pricing, sending, signup, wire
from .state import Customer, Json, Message, Phone, Session
from .world import Refused, World


def show_phone(world: World, phone: Phone) -> Json:
    waba = world.waba(phone)
    return {
        "id": phone.id,
        "waba_id": phone.waba_id,
        "business_id": waba.owner_business_id,
        "number": phone.number,
        "name": phone.name,
        "country": phone.country,
        "app_version": phone.app_version,
        "app_open": phone.app_open,
        "state": phone.state,
        "onboarded_at": phone.onboarded_at,
        "share_history": phone.share_history,
        "share_contacts": phone.share_contacts,
        "contacts_synced": phone.contacts_synced,
        "syncs": {kind: asdict(one) for kind, one in phone.syncs.items()},
        "sync_options": asdict(phone.sync_options),
        "history_messages": phone.history.messages if phone.history else 0,
        "contacts": len(phone.book),
        "unread": sum(phone.unread.values()),
        "register_calls": phone.register_calls,
        "deregister_calls": phone.deregister_calls,
        "session_destroyed": phone.session_destroyed,
        "throughput": phone.throughput,
        "per_second": world.throughput(phone),
        "service_count": pricing.used(waba, phone, world.now()),
        "subscribed": waba.subscribed,
        "pending_session": phone.pending_session,
    }


def show_customer(customer: Customer) -> Json:
    return {**asdict(customer), "identity_key_hash": wire.identity_key(customer)}


def show_message(message: Message) -> Json:
    shown = dict(vars(message))
    if message.shown is not None:
        shown["text"] = message.shown["body"]
    return shown


def show_session(session: Session) -> Json:
    return {
        "session_id": session.id,
        "state": session.state,
        "phone_id": session.phone_id,
        "verification_code": session.verification_code,
        "event": session.event,
        "code": session.code,
        "waba_id": session.data.get("waba_id"),
        "window_message": signup.window_message(session),
    }


def chats(world: World, phone: Phone) -> list[Json]:
    """The chat list of the phone, newest first."""
    past = world.past(phone)
    people_here = dict.fromkeys(past.plan.customers if past else ())
    people_here |= dict.fromkeys(phone.chats)
    rows = []
    for customer_id in people_here:
        live = [m for m in world.live(phone, customer_id) if m.origin != "history"]
        last = live[-1] if live else (past.newest(customer_id) if past else None)
        if last is None:
            continue
        customer = world.state.customers[customer_id]
        book = phone.book.get(customer_id)
        rows.append(
            {
                "customer": customer_id,
                "name": book.full_name if book else customer.name,
                "saved": book is not None,
                "number": customer.number,
                "unread": phone.unread.get(customer_id, 0),
                "window_open": sending.window_open(phone, customer, world.now()),
                "last": show_message(last),
            }
        )
    return sorted(rows, key=lambda row: -row["last"]["at"])


def thread(world: World, phone: Phone, customer: Customer, limit: int, before: float | None) -> list[Json]:
    """The newest ``limit`` messages of a chat, oldest first."""
    messages = [m for m in world.chat(phone, customer.id) if before is None or m.at < before]
    return [show_message(m) for m in messages[-limit:]]


def number(query: dict[str, str], key: str, default: int) -> int:
    text = query.get(key, "")
    return int(text) if text.lstrip("-").isdigit() else default


def state(world: World, _: dict[str, str], __: dict[str, str]) -> Json:
    here = world.state
    return {
        "now": world.now(),
        "offset": world.clock.offset,
        "app": asdict(here.app),
        "options": asdict(here.options),
        "delivery": {**asdict(here.delivery), **world.courier.summary()},
        "wabas": [asdict(w) for w in here.wabas.values()],
        "phones": [show_phone(world, p) for p in here.phones.values()],
        "customers": len(here.customers),
        "messages": len(here.messages),
        "faults": [asdict(f) for f in here.faults],
        "sessions": [show_session(s) for s in here.sessions.values()],
    }


def _deliveries(world: World, query: dict[str, str], __: dict[str, str]) -> Json:
    since, limit = number(query, "since", 0), number(query, "limit", 200)
    found = [asdict(d) for d in world.courier.log if d.seq > since][-limit:]
    if query.get("bodies") != "1":
        for one in found:
            del one["body"]
    return {"deliveries": found, **world.courier.summary()}


def _thread(world: World, query: dict[str, str], at: dict[str, str]) -> Json:
    phone, customer = world.phone(at["phone"]), world.customer(at["customer"])
    before = float(query["before"]) if "before" in query else None
    return {
        "customer": show_customer(customer),
        "window_open": sending.window_open(phone, customer, world.now()),
        "marketing_stopped": customer.id in phone.stopped,
        "messages": thread(world, phone, customer, number(query, "limit", 100), before),
    }


def _businesses(world: World, _: dict[str, str], at: dict[str, str]) -> Json:
    """The chats of one customer: every business, with the last message where there is one."""
    customer, rows = world.customer(at["customer"]), []
    for phone in world.state.phones.values():
        row = next((one for one in chats(world, phone) if one["customer"] == customer.id), None)
        rows.append({"phone": phone.id, "name": phone.name, "number": phone.number, "last": row and row["last"]})
    return {"chats": rows}


def _contacts(world: World, _: dict[str, str], at: dict[str, str]) -> Json:
    book = world.phone(at["phone"]).book
    return {"contacts": [{"customer": who, **asdict(one)} for who, one in book.items()]}


def _pacing(world: World, query: dict[str, str], _: dict[str, str]) -> Json:
    """How fast numbers spoke: ``phone`` (an id; else all), ``since`` and ``until`` (unix seconds), ``window`` (seconds,
    1), ``limit`` (else Meta's), ``seconds=1`` and ``instants=1`` for each second's counts and each message's time."""
    phones = [world.phone(query["phone"])] if query.get("phone") else list(world.state.phones.values())
    try:
        since, until = (float(query[key]) if query.get(key) else None for key in ("since", "until"))
        window = float(query.get("window") or 1)
    except ValueError as error:
        raise Refused(f"since, until and window are numbers: {error}", 400) from error
    if window <= 0:
        raise Refused("window is a number of seconds above 0.", 400)
    told = []
    for phone in phones:
        found = world.timeline(phone).between(since, until)
        one = {"phone": phone.id, **pacing.judge(found, number(query, "limit", world.throughput(phone)), window)}
        if query.get("seconds") == "1":
            one["seconds"] = pacing.by_second(found)
        if query.get("instants") == "1":
            one["instants"] = [[instant.us, instant.kind] for instant in found]
        told.append(one)
    return told[0] if query.get("phone") else {"phones": told}


View = Callable[[World, dict[str, str], dict[str, str]], Json]
VIEWS: dict[str, View] = {
    "/control/state": state,
    "/control/clock": lambda w, _, __: {"now": w.now(), "offset": w.clock.offset},
    "/control/phones": lambda w, _, __: {"phones": [show_phone(w, p) for p in w.state.phones.values()]},
    "/control/phones/{phone}": lambda w, _, at: show_phone(w, w.phone(at["phone"])),
    "/control/phones/{phone}/chats": lambda w, _, at: {"chats": chats(w, w.phone(at["phone"]))},
    "/control/phones/{phone}/chats/{customer}": _thread,
    "/control/phones/{phone}/contacts": _contacts,
    "/control/customers": lambda w, _, __: {"customers": [show_customer(c) for c in w.state.customers.values()]},
    "/control/customers/{customer}": lambda w, _, at: show_customer(w.customer(at["customer"])),
    "/control/customers/{customer}/chats": _businesses,
    "/control/options": lambda w, _, __: asdict(w.state.options),
    "/control/delivery": lambda w, _, __: {**asdict(w.state.delivery), **w.courier.summary()},
    "/control/deliveries": _deliveries,
    "/control/pacing": _pacing,
    "/control/wabas": lambda w, _, __: {"wabas": [asdict(one) for one in w.state.wabas.values()]},
    "/control/app": lambda w, _, __: asdict(w.state.app),
    "/control/faults": lambda w, _, __: {"faults": [asdict(f) for f in w.state.faults]},
    "/signup/sessions/{session}": lambda w, _, at: show_session(signup.find(w, at["session"])),
}
