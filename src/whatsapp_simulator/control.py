"""The control API: every hand on the phone, on the customers and on the simulated Meta, as JSON over loopback.

No authentication: whoever reaches the port may do everything. ``docs/simulator.md`` is its reference.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, fields
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from . import numbers, people, sending, signup, sync, templates
from . import phone as phones
from .errors import CATALOGUE
from .graph import Graph, entry
from .media import UPLOAD_LIVES
from .state import ALL_FIELDS, Customer, Fault, Json, Message, Phone, Session
from .world import Refused, World

Action = Callable[[World, Json, dict[str, str]], Any]


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=_plain), status, media_type="application/json")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else msgspec.to_builtins(value)


# -- what is shown -----------------------------------------------------------------------------------------------


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
        "subscribed": waba.subscribed,
        "pending_session": phone.pending_session,
    }


def show_customer(customer: Customer) -> Json:
    return asdict(customer)


def show_message(message: Message) -> Json:
    shown = {key: value for key, value in vars(message).items() if key != "priced"}
    if message.type == "template":
        shown["text"] = templates.text(message.content)
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


# -- actions -----------------------------------------------------------------------------------------------------


def make_phone(world: World, body: Json, _: dict[str, str]) -> Json:
    connect, token = bool(body.pop("connected", False)), None
    customers = body.pop("customers", ())
    share = bool(body.pop("share_history", True))
    phone = world.make_phone(**body, customers=tuple(customers))
    if connect:
        phones.onboard(world, phone, share_history=share, share_contacts=True)
        world.waba(phone).subscribed = True
        token = world.grant(phone.waba_id).token
    return {**show_phone(world, phone), "token": token}


def make_customers(world: World, body: Json, _: dict[str, str]) -> Json:
    count = int(body.pop("count", 1))
    made = [world.make_customer(**body) for _ in range(count)]
    return show_customer(made[0]) if count == 1 else {"customers": [show_customer(c) for c in made]}


def phone_send(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = _whom(world, body)
    return show_message(phones.write(world, world.phone(at["phone"]), customer, body.get("type", "text"), body))


def _whom(world: World, body: Json) -> Customer:
    """The customer meant by ``customer`` (an id) or ``number``."""
    if "customer" in body:
        return world.customer(str(body["customer"]))
    found = world.customer_by_number(str(body.get("number", "")))
    if found is None:
        raise Refused("Say whom: customer (an id) or number.", 404)
    return found


def phone_edit(world: World, body: Json, at: dict[str, str]) -> Json:
    made = phones.edit(world, world.phone(at["phone"]), _whom(world, body), body["message"], body["text"])
    return {"id": made}


def phone_delete(world: World, body: Json, at: dict[str, str]) -> Json:
    return {"id": phones.revoke(world, world.phone(at["phone"]), _whom(world, body), body["message"])}


def phone_react(world: World, body: Json, at: dict[str, str]) -> Json:
    phone, emoji = world.phone(at["phone"]), body.get("emoji", "")
    return {"id": phones.react(world, phone, _whom(world, body), body["message"], emoji)}


def phone_read(world: World, body: Json, at: dict[str, str]) -> Json:
    phones.read(world, world.phone(at["phone"]), _whom(world, body))
    return {}


def phone_contact(world: World, body: Json, at: dict[str, str]) -> Json:
    phone, customer = world.phone(at["phone"]), _whom(world, body)
    if body.get("remove"):
        phones.remove_contact(world, phone, customer)
    else:
        phones.save_contact(world, phone, customer, body.get("full_name", ""), body.get("first_name"))
    return {}


def phone_app(world: World, body: Json, at: dict[str, str]) -> Json:
    phone = world.phone(at["phone"])
    phones.set_app(world, phone, is_open=bool(body["open"]))
    return show_phone(world, phone)


def phone_confirm(world: World, body: Json, at: dict[str, str]) -> Json:
    session = signup.confirm(
        world,
        world.phone(at["phone"]),
        str(body.get("code", "")),
        share_history=bool(body.get("share_history", True)),
        share_contacts=bool(body.get("share_contacts", True)),
    )
    return show_session(session)


def phone_disconnect(world: World, body: Json, at: dict[str, str]) -> Json:
    phone = world.phone(at["phone"])
    phones.disconnect(world, phone, body.get("reason", "disconnect"))
    return show_phone(world, phone)


def phone_offboard(world: World, _: Json, at: dict[str, str]) -> Json:
    phone = world.phone(at["phone"])
    phones.offboard(world, phone)
    return show_phone(world, phone)


def phone_reconnect(world: World, body: Json, at: dict[str, str]) -> Json:
    phone = world.phone(at["phone"])
    phones.reconnect(world, phone, keep=bool(body.get("keep", True)))
    return show_phone(world, phone)


def phone_settings(world: World, body: Json, at: dict[str, str]) -> Json:
    """Name, app version, quality, and how the past is uploaded."""
    phone = world.phone(at["phone"])
    _set(phone.sync_options, body.pop("sync", {}))
    for key in body:
        if key not in ("name", "app_version", "country", "quality"):
            raise Refused(f"{key!r} can't be set.", 400)
    _set(phone, body)
    world.changed("phone", phone=phone.id)
    return show_phone(world, phone)


def phone_token(world: World, _: Json, at: dict[str, str]) -> Json:
    return {"access_token": world.grant(world.phone(at["phone"]).waba_id).token}


def customer_send(world: World, body: Json, at: dict[str, str]) -> Json:
    customer, phone = world.customer(at["customer"]), _to(world, body)
    kind = body.get("type", "text")
    if kind == "first_message":
        return show_message(people.first_message(world, customer, phone, {**body, "type": body.get("as", "text")}))
    return show_message(people.write(world, customer, phone, kind, body))


def _to(world: World, body: Json) -> Phone:
    """The business meant by ``phone`` (an id); with one phone only, that one."""
    if "phone" in body:
        return world.phone(str(body["phone"]))
    if len(world.state.phones) == 1:
        return next(iter(world.state.phones.values()))
    raise Refused("Say which business: phone (an id).", 400)


def customer_tap(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = world.customer(at["customer"])
    return show_message(people.tap(world, customer, _to(world, body), body["message"], body["choice"]))


def customer_react(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = world.customer(at["customer"])
    return {"id": people.react(world, customer, _to(world, body), body["message"], body.get("emoji", ""))}


def customer_edit(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = world.customer(at["customer"])
    return {"id": people.edit(world, customer, _to(world, body), body["message"], body["text"])}


def customer_delete(world: World, body: Json, at: dict[str, str]) -> Json:
    return {"id": people.revoke(world, world.customer(at["customer"]), _to(world, body), body["message"])}


def customer_read(world: World, body: Json, at: dict[str, str]) -> Json:
    return {"read": people.read(world, world.customer(at["customer"]), _to(world, body))}


def customer_play(world: World, body: Json, at: dict[str, str]) -> Json:
    people.play(world, world.customer(at["customer"]), _to(world, body), body["message"])
    return {}


def customer_marketing(world: World, body: Json, at: dict[str, str]) -> Json:
    people.marketing(world, world.customer(at["customer"]), _to(world, body), body["value"])
    return {}


def customer_number(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = world.customer(at["customer"])
    people.change_number(world, customer, str(body["number"]))
    return show_customer(customer)


def customer_present(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = world.customer(at["customer"])
    people.present(
        world, customer, online=body.get("online"), open_with=body.get("open_with"), closed=body.get("closed")
    )
    return show_customer(customer)


def customer_settings(world: World, body: Json, at: dict[str, str]) -> Json:
    customer = world.customer(at["customer"])
    for key in body:
        if key not in ("name", "username", "phone_visible", "language"):
            raise Refused(f"{key!r} can't be set.", 400)
    _set(customer, body)
    world.changed("customer", customer=customer.id)
    return show_customer(customer)


def _set(target: Any, values: Json) -> None:
    """Set known attributes; unknown names and wrong types are refused."""
    known = {f.name: f.type for f in fields(target)}
    for key in values:
        if key not in known:
            raise Refused(f"There is no setting {key!r}; there are {', '.join(known)}.", 400)
    try:
        checked = msgspec.convert({**asdict(target), **values}, type(target), strict=False)
    except msgspec.ValidationError as error:
        raise Refused(str(error), 400) from error
    for key in values:
        setattr(target, key, getattr(checked, key))


def set_options(world: World, body: Json, _: dict[str, str]) -> Json:
    _set(world.state.options, body)
    world.changed("options")
    return asdict(world.state.options)


def set_delivery(world: World, body: Json, _: dict[str, str]) -> Json:
    _set(world.state.delivery, body)
    world.courier.resize()
    world.changed("options")
    return asdict(world.state.delivery)


def set_app(world: World, body: Json, _: dict[str, str]) -> Json:
    """The app's dashboard: address, verify token, fields."""
    app = world.state.app
    wanted = set(body.get("fields", app.fields))
    if unknown := wanted - ALL_FIELDS:
        raise Refused(f"No such webhook fields: {', '.join(sorted(unknown))}.", 400)
    app.callback_url = body.get("callback_url", app.callback_url)
    app.verify_token = body.get("verify_token", app.verify_token)
    app.fields = wanted
    world.changed("app")
    return asdict(app)


def add_fault(world: World, body: Json, _: dict[str, str]) -> Json:
    try:
        fault = msgspec.convert({"id": world.ids.text(8), "effect": "error", **body}, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(str(error), 400) from error
    if fault.code not in CATALOGUE:
        raise Refused(f"{fault.code} isn't in the catalogue of errors.", 400)
    if fault.to is not None and fault.to.startswith("+"):
        fault.to = numbers.digits(fault.to)
    world.state.faults.append(fault)
    world.changed("fault")
    return asdict(fault)


def clear_faults(world: World, _: Json, at: dict[str, str]) -> Json:
    wanted = at.get("fault")
    world.state.faults = [f for f in world.state.faults if wanted is not None and f.id != wanted]
    world.changed("fault")
    return {}


def move_clock(world: World, body: Json, _: dict[str, str]) -> Json:
    world.clock.advance(float(body["advance"]))
    world.changed("clock")
    return {"now": world.now(), "offset": world.clock.offset}


def revoke_token(world: World, body: Json, _: dict[str, str]) -> Json:
    """Make a token invalid, or all of them."""
    wanted = body.get("token")
    for token in world.state.tokens.values():
        if wanted in (None, token.token):
            token.revoked = True
    world.dirty = True
    return {}


def begin_session(world: World, body: Json, _: dict[str, str]) -> Json:
    extras = body.get("extras") or {}
    session = signup.begin(world, str(body.get("config_id", "")), extras, body.get("phone_number"))
    return show_session(session)


def session_number(world: World, body: Json, at: dict[str, str]) -> Json:
    session = signup.find(world, at["session"])
    signup.choose_number(world, session, str(body.get("phone_number", "")))
    return show_session(session)


def finish_session(world: World, _: Json, at: dict[str, str]) -> Json:
    session = signup.find(world, at["session"])
    signup.finish(world, session)
    return show_session(session)


def cancel_session(world: World, body: Json, at: dict[str, str]) -> Json:
    session = signup.find(world, at["session"])
    signup.cancel(world, session, body.get("current_step"), body.get("error_message"))
    return show_session(session)


ACTIONS: dict[tuple[str, str], Action] = {
    ("POST", "/control/phones"): make_phone,
    ("POST", "/control/phones/{phone}/send"): phone_send,
    ("POST", "/control/phones/{phone}/edit"): phone_edit,
    ("POST", "/control/phones/{phone}/delete"): phone_delete,
    ("POST", "/control/phones/{phone}/react"): phone_react,
    ("POST", "/control/phones/{phone}/read"): phone_read,
    ("POST", "/control/phones/{phone}/contacts"): phone_contact,
    ("POST", "/control/phones/{phone}/app"): phone_app,
    ("POST", "/control/phones/{phone}/confirm"): phone_confirm,
    ("POST", "/control/phones/{phone}/disconnect"): phone_disconnect,
    ("POST", "/control/phones/{phone}/offboard"): phone_offboard,
    ("POST", "/control/phones/{phone}/reconnect"): phone_reconnect,
    ("POST", "/control/phones/{phone}/settings"): phone_settings,
    ("POST", "/control/phones/{phone}/token"): phone_token,
    ("POST", "/control/customers"): make_customers,
    ("POST", "/control/customers/{customer}/send"): customer_send,
    ("POST", "/control/customers/{customer}/tap"): customer_tap,
    ("POST", "/control/customers/{customer}/react"): customer_react,
    ("POST", "/control/customers/{customer}/edit"): customer_edit,
    ("POST", "/control/customers/{customer}/delete"): customer_delete,
    ("POST", "/control/customers/{customer}/read"): customer_read,
    ("POST", "/control/customers/{customer}/play"): customer_play,
    ("POST", "/control/customers/{customer}/marketing"): customer_marketing,
    ("POST", "/control/customers/{customer}/number"): customer_number,
    ("POST", "/control/customers/{customer}/present"): customer_present,
    ("POST", "/control/customers/{customer}/settings"): customer_settings,
    ("POST", "/control/options"): set_options,
    ("POST", "/control/delivery"): set_delivery,
    ("POST", "/control/app"): set_app,
    ("POST", "/control/faults"): add_fault,
    ("DELETE", "/control/faults"): clear_faults,
    ("DELETE", "/control/faults/{fault}"): clear_faults,
    ("POST", "/control/clock"): move_clock,
    ("POST", "/control/tokens/revoke"): revoke_token,
    ("POST", "/signup/sessions"): begin_session,
    ("POST", "/signup/sessions/{session}/number"): session_number,
    ("POST", "/signup/sessions/{session}/finish"): finish_session,
    ("POST", "/signup/sessions/{session}/cancel"): cancel_session,
}


def _int(query: dict[str, str], key: str, default: int) -> int:
    text = query.get(key, "")
    return int(text) if text.lstrip("-").isdigit() else default


def _state(world: World, _: dict[str, str], __: dict[str, str]) -> Json:
    state = world.state
    return {
        "now": world.now(),
        "offset": world.clock.offset,
        "app": asdict(state.app),
        "options": asdict(state.options),
        "delivery": {**asdict(state.delivery), **world.courier.summary()},
        "wabas": [asdict(w) for w in state.wabas.values()],
        "phones": [show_phone(world, p) for p in state.phones.values()],
        "customers": len(state.customers),
        "messages": len(state.messages),
        "faults": [asdict(f) for f in state.faults],
        "sessions": [show_session(s) for s in state.sessions.values()],
    }


def _deliveries(world: World, query: dict[str, str], __: dict[str, str]) -> Json:
    since, limit = _int(query, "since", 0), _int(query, "limit", 200)
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
        "messages": thread(world, phone, customer, _int(query, "limit", 100), before),
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


View = Callable[[World, dict[str, str], dict[str, str]], Json]
VIEWS: dict[str, View] = {
    "/control/state": _state,
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
    "/control/app": lambda w, _, __: asdict(w.state.app),
    "/control/faults": lambda w, _, __: {"faults": [asdict(f) for f in w.state.faults]},
    "/signup/sessions/{session}": lambda w, _, at: show_session(signup.find(w, at["session"])),
}


# -- what needs more than the world --------------------------------------------------------------------------------


def _world(request: Request) -> World:
    world: World = request.app.state.simulator.world
    return world


def pending(world: World) -> int:
    """All that still leads to a webhook by itself."""
    return world.courier.waiting + len(world.timers) + sync.running(world)


async def flush(request: Request) -> Response:
    """Wait until every webhook is acknowledged and nothing more is due."""
    world, body = _world(request), await _body(request)
    deadline = time.monotonic() + float(body.get("timeout", 30.0))
    while pending(world) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.005)  # what is pending has many sources; none of them can be one event
    return _json({"drained": not pending(world), "pending": pending(world), **world.courier.summary()})


async def log(request: Request) -> Response:
    """Graph requests seen, oldest first: ``since``, ``limit``, ``path`` (a part of it), ``method``."""
    graph: Graph = request.app.state.simulator.graph
    query = dict(request.query_params)
    since, limit = _int(query, "since", 0), _int(query, "limit", 1000)
    found = [
        entry(seen)
        for seen in graph.log
        if seen.seq > since
        and query.get("path", "") in seen.path
        and query.get("method", seen.method).upper() == seen.method
    ]
    return _json({"requests": found[-limit:]})


async def put_media(request: Request) -> Response:
    """Store a file to be sent later: the raw bytes, with their Content-Type."""
    world = _world(request)
    data = await request.body()
    mime = request.headers.get("content-type", "application/octet-stream")
    media = world.shelf.add(
        world.ids.number(), data, mime, world.now(), UPLOAD_LIVES, request.query_params.get("filename")
    )
    return _json({"id": media.id, "mime_type": media.mime, "size": media.size})


async def get_media(request: Request) -> Response:
    """The bytes of any media id, also of pictures in the generated past (``kind`` says their type)."""
    world, media_id = _world(request), request.path_params["media"]
    media = world.state.media.get(media_id)
    kind = request.query_params.get("kind", "image")
    if media is None:
        if not media_id.isdigit() or kind not in ("image", "audio", "video", "document", "sticker"):
            raise Refused("No such media.", 404)
        media = world.shelf.generate(media_id, kind, world.now())
    return Response(
        world.shelf.read(media),
        media_type=media.mime,
        headers={"cache-control": "max-age=86400", "x-size": str(media.size)},
    )


async def events(request: Request) -> Response:
    """Server-Sent Events: what changed, as ``{"kind": …, …ids}``."""
    world = _world(request)

    async def stream() -> AsyncIterator[bytes]:
        yield b": listening\n\n"
        async for event in world.hub.listen():
            yield b"data: " + orjson.dumps(event) + b"\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def reset(request: Request) -> Response:
    """Everything as at the first start. ``contacts`` and ``messages`` size the first phone."""
    fresh: Callable[[Json], Awaitable[None]] = request.app.state.simulator.reset
    await fresh(await _body(request))
    return _json(_state(_world(request), {}, {}))


async def _body(request: Request) -> Json:
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(f"The body isn't JSON: {error}", 400) from error
    if not isinstance(body, dict):
        raise Refused("The body must be a JSON object.", 400)
    return body


async def refused(_: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, error.status if isinstance(error, Refused) else 500)


def _endpoint(action: Action) -> Callable[[Request], Awaitable[Response]]:
    async def act(request: Request) -> Response:
        try:
            done = action(_world(request), await _body(request), dict(request.path_params))
        except KeyError as error:
            raise Refused(f"{error.args[0]} is missing.", 400) from error
        except (TypeError, ValueError) as error:
            raise Refused(str(error), 400) from error
        return _json(done)

    return act


def _view(view: View) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        return _json(view(_world(request), dict(request.query_params), dict(request.path_params)))

    return show


routes = [
    Route("/control/delivery/flush", flush, methods=["POST"]),
    Route("/control/log", log),
    Route("/control/media", put_media, methods=["POST"]),
    Route("/control/media/{media}", get_media),
    Route("/control/events", events),
    Route("/control/reset", reset, methods=["POST"]),
    *(Route(path, _view(view)) for path, view in VIEWS.items()),
    *(Route(path, _endpoint(action), methods=[method]) for (method, path), action in ACTIONS.items()),
]
