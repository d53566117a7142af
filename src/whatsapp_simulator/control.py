"""The control API: every hand on the phone, on the customers and on the simulated Meta, as JSON over loopback.

No authentication: whoever reaches the port may do everything. ``docs/simulator.md`` is its reference.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, fields
from itertools import islice
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from . import numbers, people, pricing, signup, sync, template_control, template_life
from . import phone as phones
from .errors import CATALOGUE
from .graph import Graph
from .log import Filter
from .media import UPLOAD_LIVES
from .state import ALL_FIELDS, Customer, Fault, Json, Phone
from .views import VIEWS, View, number, show_customer, show_message, show_phone, show_session, state
from .world import Refused, World

Action = Callable[[World, Json, dict[str, str]], Any]
STREAMED = 500
"""Lines of the log made at a time."""
WABA_SETTINGS = frozenset(
    {
        "name", "country", "currency", "timezone_id", "payment_method", "business_verification_status",
        "account_review_status",
    }
)  # fmt: skip


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=_plain), status, media_type="application/json")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else msgspec.to_builtins(value)


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
    """Name, app version, quality, throughput, service messages counted this month, and how the past is uploaded."""
    phone = world.phone(at["phone"])
    _set(phone.sync_options, body.pop("sync", {}))
    if "service_count" in body:
        phone.service_month = f"{pricing.day(world.waba(phone), world.now()):%Y-%m}"
    for key in body:
        if key not in ("name", "app_version", "country", "quality", "throughput", "service_count"):
            raise Refused(f"{key!r} can't be set.", 400)
    upgraded = body.get("throughput") == "HIGH" != phone.throughput
    if upgraded and phone.state != "cloud_only":
        raise Refused("A number with the app stays at 20 messages a second.")
    _set(phone, body)
    if upgraded:
        phones.upgrade(world, phone)
    world.changed("phone", phone=phone.id)
    return show_phone(world, phone)


def set_waba(world: World, body: Json, at: dict[str, str]) -> Json:
    """What the account's own settings hold."""
    waba = world.state.wabas.get(at["waba"])
    if waba is None:
        raise Refused(f"No WABA {at['waba']!r}.", 404)
    for key in body:
        if key not in WABA_SETTINGS:
            raise Refused(f"{key!r} can't be set.", 400)
    _set(waba, body)
    world.changed("waba", waba=waba.id)
    return asdict(waba)


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
        if key not in ("name", "username", "phone_visible", "language", "experiment"):
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
    version = str(body.get("webhook_version", app.webhook_version))
    if not re.fullmatch(r"v\d+\.\d+", version):
        raise Refused(f"{version!r} isn't a Graph version such as v26.0.", 400)
    app.webhook_version, app.fields = version, wanted
    world.changed("app")
    return asdict(app)


def add_fault(world: World, body: Json, _: dict[str, str]) -> Json:
    """``lasts`` (seconds on the simulator's clock) may stand for ``until``. A fault for a path isn't tied to an edge
    unless it says so."""
    lasts = body.pop("lasts", None)
    drawn = {"id": world.ids.text(8), "effect": "error", "seed": len(world.state.faults)}
    if lasts is not None:
        drawn["until"] = world.now() + float(lasts)
    if "path" in body:
        drawn["edge"] = "any"
    try:
        fault = msgspec.convert({**drawn, **body}, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(str(error), 400) from error
    if fault.code not in CATALOGUE:
        raise Refused(f"{fault.code} isn't in the catalogue of errors.", 400)
    if not 0 <= fault.probability <= 1:
        raise Refused("probability is a share, from 0 to 1.", 400)
    if fault.times is not None and fault.times < 1:
        raise Refused("times is at least 1, or null for until it is removed.", 400)
    if not 400 <= fault.status <= 599:
        raise Refused("status is that of an error, 400 to 599.", 400)
    if unknown := body.keys() - {one.name for one in fields(Fault)}:
        raise Refused(f"A fault has no {', '.join(sorted(unknown))}.", 400)
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
    template_life.due(world)
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
    ("POST", "/control/wabas/{waba}"): set_waba,
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
    """Graph requests seen, oldest first: of those after ``since`` the newest ``limit``, or with ``page=1`` the oldest,
    which is how to walk through all. ``next`` is the ``since`` of what follows."""
    query = dict(request.query_params)
    since, limit = number(query, "since", 0), number(query, "limit", 1000)
    graph: Graph = request.app.state.simulator.graph
    if query.get("page") == "1":
        found = list(islice(graph.log.after(since, _wanted(query)), limit))
    else:
        found = graph.log.newest(since, _wanted(query), limit)
    return _json({"requests": [seen.shown() for seen in found], "next": found[-1].seq if found else since})


def _wanted(query: dict[str, str]) -> Filter:
    try:
        return Filter(
            path=query.get("path", ""),
            method=query.get("method", "").upper(),
            status=int(query["status"]) if query.get("status") else None,
            code=int(query["code"]) if query.get("code") else None,
            to=query.get("to", ""),
            fault=query.get("fault", ""),
            refused=query.get("refused") == "1",
            spoiled=query.get("spoiled") == "1",
            begin=float(query.get("begin") or "-inf"),
            until=float(query.get("until") or "inf"),
        )
    except ValueError as error:
        raise Refused(f"A filter isn't a number: {error}", 400) from error


async def log_lines(request: Request) -> Response:
    """The whole log, one JSON object a line, with the same filters."""
    graph: Graph = request.app.state.simulator.graph
    query = dict(request.query_params)
    wanted, since = _wanted(query), number(query, "since", 0)

    async def stream() -> AsyncIterator[bytes]:
        last = since
        while known := list(islice(graph.log.after(last, wanted), STREAMED)):
            last = known[-1].seq
            yield b"".join(orjson.dumps(seen.shown()) + b"\n" for seen in known)

    return StreamingResponse(stream(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})


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
    return _json(state(_world(request), {}, {}))


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
    Route("/control/log.ndjson", log_lines),
    Route("/control/media", put_media, methods=["POST"]),
    Route("/control/media/{media}", get_media),
    Route("/control/events", events),
    Route("/control/reset", reset, methods=["POST"]),
    *(Route(path, _view(view)) for path, view in (VIEWS | template_control.VIEWS).items()),
    *(
        Route(path, _endpoint(action), methods=[method])
        for (method, path), action in (ACTIONS | template_control.ACTIONS).items()
    ),
]
