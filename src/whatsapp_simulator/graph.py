"""The Graph API: one table from (method, kind of node, edge) to what it does.

Every path is ``/v<N>.<N>/<node>[/<edge>]``. An id that doesn't exist and one that the token may not see get the same
answer, as at Meta.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import marketing, numbers, sending, signup, sync, template_api, upload_api, wire
from .errors import GraphError, no_such_object
from .faults import BEFORE, WIRE, Cut
from .limits import CALLS, REGISTRATION_SPAN, REGISTRATIONS
from .log import SECRET, Log, Seen
from .media import LIMITS, UPLOAD_LIVES
from .state import ALL_FIELDS, Fault, Json, Override, Phone, Token, Waba
from .world import World

SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging", "business_management", "public_profile")
COUNTED = ("whatsapp_business_management", "whatsapp_business_messaging")
"""Scopes that name their WABAs in ``granular_scopes``."""


@dataclass(frozen=True)
class File:
    """An uploaded file."""

    data: bytes
    mime: str
    name: str | None


@dataclass
class Call:
    """A request on its way through the table. ``args``: query and body together, the body first."""

    world: World
    method: str
    node: str
    args: Json
    token: Token | None
    is_app: bool
    request: Request
    upload: File | None
    at: float
    """When it came, on the simulator's clock; of one that was held up, when it went on."""

    @property
    def phone(self) -> Phone:
        return self.world.state.phones[self.node]

    @property
    def waba(self) -> Waba:
        return self.world.state.wabas[self.node]

    @property
    def version(self) -> str:
        return str(self.request.path_params["version"])

    def select(self, known: Json, default: tuple[str, ...], what: str) -> Json:
        """Only what ``fields`` names, always with the id."""
        wanted = [f.strip() for f in str(self.args.get("fields") or "").split(",") if f.strip()] or list(default)
        shown: Json = {}
        for name in wanted:
            plain = re.split(r"[.({]", name)[0]
            if plain not in known:
                text = f"(#100) Tried accessing nonexisting field ({plain}) on node type ({what})"
                raise GraphError(100, message=text)
            if known[plain] is not None:
                shown[plain] = known[plain]
        return {**shown, "id": known["id"]}


Handler = Callable[[Call], Awaitable[Json]]


class Graph:
    """The ASGI endpoint for every versioned path, and its log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.log = Log()

    async def __call__(self, request: Request) -> Response:
        began, world = time.perf_counter(), self.world
        arrived = request.scope.get("extensions", {}).get(WIRE, {}).get("arrived")
        at = world.now() if arrived is None else world.clock.offset + arrived
        query = {k: v for k, v in request.query_params.items() if k not in SECRET}
        seen = self.log.open(at, request.method, request.url.path, query)
        headers: dict[str, str] = {}
        try:
            response = await self._respond(request, seen, headers, began)
        finally:
            self.log.close(seen)
        world.hub.tell("request", seq=seen.seq)
        return response

    async def _respond(self, request: Request, seen: Seen, headers: dict[str, str], began: float) -> Response:
        fault, seen.status = None, 500
        try:
            answer, fault = await self._answer(request, seen, headers)
            seen.status = 200
        except GraphError as error:
            seen.status, seen.code = error.http_status, error.code
            answer = error.body(self.world.ids.trace())
        seen.answer = orjson.dumps(answer)
        seen.ms = round((time.perf_counter() - began) * 1000, 2)
        response = Response(seen.answer, seen.status, headers, "application/json")
        return response if fault is None else await _spoiled(response, fault, seen)

    async def _answer(self, request: Request, seen: Seen, headers: dict[str, str]) -> tuple[Json, Fault | None]:
        world = self.world
        node, _, edge = request.path_params["path"].strip("/").partition("/")
        args, upload = await _arguments(request, seen)
        token, is_app = (None, False) if (node, edge) == ("oauth", "access_token") else _bearer(world, request, args)
        call = Call(world, request.method, node, args, token, is_app, request, upload, seen.at)
        kind = _kind(world, call)
        if kind == "waba":
            _count(call, headers)
        handler = TABLE.get((request.method, kind, edge))
        if handler is None:
            if edge and any(key[1] == kind and key[2] == edge for key in TABLE):
                raise GraphError(100, message=f"Unsupported {request.method.lower()} request.", subcode=33)
            if edge:
                raise GraphError(2500, message=f"Unknown path components: /{edge}")
            raise no_such_object(request.method, node)
        if edge == "messages" and (to := args.get("to") or args.get("recipient")):
            seen.to = numbers.digits(str(to)) if args.get("to") else str(to)
        fault = None
        if world.state.faults:
            fault = world.faults.strike(BEFORE, sending.occasion(world, args, seen.at, edge or kind, seen.path, node))
        if fault is None:
            return await handler(call), None
        world.changed("fault")
        if fault.effect == "error":
            seen.fault = "error"
            raise GraphError(fault.code, fault.details)
        if fault.effect == "lost" or (fault.effect == "http" and not fault.done):
            return {}, fault
        if fault.effect == "late":
            await asyncio.sleep(fault.seconds)
            call.at = world.now()
        return await handler(call), fault


async def _spoiled(response: Response, fault: Fault, seen: Seen) -> Response:
    """An answer that goes wrong: late, without a body, cut in half, or never coming (status 0 in the log)."""
    seen.fault = fault.effect
    if fault.effect in ("slow", "late"):
        if fault.effect == "slow":
            await asyncio.sleep(fault.seconds)
        return response
    seen.status = fault.status if fault.effect == "http" else 0
    if fault.effect == "http":
        return Response(b"", fault.status)
    half = fault.effect == "half_answer"
    return Cut(bytes(response.body), 0 if half else fault.seconds, half=half)


def _count(call: Call, headers: dict[str, str]) -> None:
    """Management calls of a WABA are counted by the hour (80007)."""
    world, at = call.world, call.at
    registered = any(sending.on_platform(p) for p in world.state.phones.values() if p.waba_id == call.node)
    wanted = world.state.options.hourly_calls
    limit = CALLS[registered] if wanted is None else wanted
    calls = world.calls(call.node)
    taken = calls.take(at, limit)
    headers["x-business-use-case-usage"] = calls.usage(call.node, at, limit)
    if not taken:
        raise GraphError(80007)


async def _arguments(request: Request, seen: Seen) -> tuple[Json, File | None]:
    """Query and body (JSON, form or multipart) as one mapping; what was sent, but for a file, goes to the log."""
    args: Json = dict(request.query_params)
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    # The bytes of a resumable upload are its own business, whatever their type is said to be.
    if request.method == "GET" or f"/{upload_api.SCHEME}" in request.url.path:
        return args, None
    if kind == "multipart/form-data":
        async with request.form() as form:
            found = form.get("file")
            args |= {k: v for k, v in form.items() if isinstance(v, str)}
            if isinstance(found, UploadFile):
                return args, File(await found.read(), found.content_type or "", found.filename)
        return args, None
    raw = await request.body()
    if kind == "application/x-www-form-urlencoded":
        form_args = dict(parse_qsl(raw.decode(errors="replace")))
        seen.body = orjson.dumps(form_args)
        return args | form_args, None
    seen.body = raw
    if raw.strip():
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise GraphError(100, "The body isn't valid JSON.") from None
        if not isinstance(body, dict):
            raise GraphError(100, "The body must be a JSON object.")
        args |= body
    return args, None


def _bearer(world: World, request: Request, args: Json) -> tuple[Token | None, bool]:
    """The business token, or whether it is the app's own. Raises 190."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    text = given.strip() if scheme.lower() in ("bearer", "oauth") else str(args.get("access_token") or "")
    if text == world.state.app.token:
        return None, True
    token = world.state.tokens.get(text)
    if token is None or token.revoked:
        raise GraphError(190)
    if token.expires_at and world.now() >= token.expires_at:
        raise GraphError(190, message="Error validating access token: Session has expired.", subcode=463)
    return token, False


def _kind(world: World, call: Call) -> str:
    """What the node is, if this token may see it."""
    state, node = world.state, call.node
    if node in ("oauth", "debug_token"):
        return node
    if node == state.app.id:
        return "app"
    allowed = call.token.waba_ids if call.token else set()
    if node in state.wabas and node in allowed:
        return "waba"
    if node in state.phones and state.phones[node].waba_id in allowed:
        return "phone"
    if node in state.templates and state.templates[node].waba_id in allowed:
        return "template"
    if node in state.media and call.token is not None:
        return "media"
    if upload_api.found(world, node) is not None:
        return "upload"
    raise no_such_object(call.method, node)


# -- fields ------------------------------------------------------------------------------------------------------


def _phone_fields(world: World, phone: Phone) -> Json:
    urls = {
        "phone_number": phone.override and phone.override.uri,
        "whatsapp_business_account": (override := world.waba(phone).override) and override.uri,
        "application": world.state.app.callback_url,
    }
    live = phone.state in ("connected", "offboarded")
    return {
        "id": phone.id,
        "display_phone_number": numbers.display(phone.number),
        "verified_name": phone.name,
        "name_status": "APPROVED",
        "quality_rating": phone.quality,
        "code_verification_status": "VERIFIED",
        # Neither of these two is in Meta's OpenAPI file; the onboarding page shows them.
        "is_on_biz_app": phone.state != "cloud_only" and live,
        "platform_type": "CLOUD_API" if live or phone.register_calls else "NOT_APPLICABLE",
        "status": "CONNECTED" if sending.on_platform(phone) else "DISCONNECTED",
        "account_mode": "LIVE",
        "throughput": {"level": phone.throughput},
        "is_official_business_account": False,
        "whatsapp_business_manager_messaging_limit": marketing.portfolio(world, world.waba(phone)).tier,
        "webhook_configuration": {k: v for k, v in urls.items() if v},
    }


PHONE_DEFAULT = (
    "verified_name",
    "code_verification_status",
    "display_phone_number",
    "quality_rating",
    "platform_type",
    "throughput",
    "webhook_configuration",
)


async def get_phone(call: Call) -> Json:
    return call.select(_phone_fields(call.world, call.phone), PHONE_DEFAULT, "WhatsAppBusinessPhoneNumber")


async def get_phones(call: Call) -> Json:
    """Meta: phone numbers of a WABA; those that left the platform aren't in it."""
    there = [p for p in call.world.state.phones.values() if p.waba_id == call.node and p.state not in ("app_only",)]
    data = [call.select(_phone_fields(call.world, p), PHONE_DEFAULT, "WhatsAppBusinessPhoneNumber") for p in there]
    return {"data": data, "paging": {"cursors": {"before": "QVFI", "after": "QVFJ"}}} if data else {"data": []}


async def get_waba(call: Call) -> Json:
    waba = call.waba
    known = {
        "id": waba.id,
        "name": waba.name,
        "business_verification_status": waba.business_verification_status,
        "account_review_status": waba.account_review_status,
        "currency": waba.currency,
        "timezone_id": waba.timezone_id,
        "country": waba.country,
        "ownership_type": "CLIENT_OWNED",
        "message_template_namespace": f"{int(waba.id):x}",
        "owner_business_info": {"name": waba.name, "id": waba.owner_business_id},
        "primary_business_location": waba.country,
    }
    return call.select(known, ("name", "timezone_id", "message_template_namespace"), "WhatsAppBusinessAccount")


async def get_app(call: Call) -> Json:
    app = call.world.state.app
    known = {"id": app.id, "name": app.name, "namespace": "", "link": call.world.base_url, "category": "Business"}
    return call.select(known, ("name", "category", "link"), "Application")


# -- tokens ------------------------------------------------------------------------------------------------------


async def exchange(call: Call) -> Json:
    args = call.args
    token = signup.exchange(
        call.world, str(args.get("client_id")), str(args.get("client_secret")), str(args.get("code"))
    )
    answer: Json = {"access_token": token.token, "token_type": "bearer"}
    if token.expires_at:
        answer["expires_in"] = int(token.expires_at - call.world.now())
    return answer


async def debug_token(call: Call) -> Json:
    world, text = call.world, str(call.args.get("input_token") or "")
    app = world.state.app
    if text == app.token:
        return {"data": {"app_id": app.id, "application": app.name, "type": "APP", "is_valid": True, "scopes": []}}
    token = world.state.tokens.get(text)
    if token is None:
        error = {"code": 190, "message": "Malformed access token"}
        return {"data": {"error": error, "is_valid": False, "scopes": []}}
    valid = not token.revoked and not (token.expires_at and world.now() >= token.expires_at)
    targets = sorted(token.waba_ids)
    return {
        "data": {
            "app_id": app.id,
            "type": "SYSTEM_USER",
            "application": app.name,
            "data_access_expires_at": 0,
            "expires_at": int(token.expires_at),
            "is_valid": valid,
            "issued_at": int(token.issued_at),
            "scopes": list(SCOPES),
            "granular_scopes": [{"scope": s, "target_ids": targets} if s in COUNTED else {"scope": s} for s in SCOPES],
            "user_id": "122100000000000001",
        }
    }


# -- subscriptions -----------------------------------------------------------------------------------------------


async def _override(call: Call, given: Json) -> Override | None:
    """A checked override address; an empty one removes it."""
    uri = given.get("override_callback_uri")
    if not uri:
        return None
    if len(str(uri)) > 200:
        raise GraphError(100, "override_callback_uri is longer than 200 characters.")
    token = str(given.get("verify_token") or "")
    await _handshake(call, str(uri), token)
    return Override(str(uri), token)


async def _handshake(call: Call, url: str, token: str) -> None:
    challenge = str(call.world.ids.random.randint(10**8, 10**10))
    problem = await call.world.courier.verify(url, token, challenge)
    if problem:
        raise GraphError(
            2200,
            message=f"(#2200) Callback verification failed with the following errors: {problem}",
            details=problem,
        )


async def subscribe(call: Call) -> Json:
    override = await _override(call, call.args)
    call.waba.subscribed = True
    call.waba.override = override
    call.world.changed("waba", waba=call.node)
    return {"success": True}


async def unsubscribe(call: Call) -> Json:
    call.waba.subscribed, call.waba.override = False, None
    call.world.changed("waba", waba=call.node)
    return {"success": True}


async def subscriptions_of_waba(call: Call) -> Json:
    waba, app = call.waba, call.world.state.app
    if not waba.subscribed:
        return {"data": []}
    about = {"link": call.world.base_url, "name": app.name, "id": app.id}
    one: Json = {"whatsapp_business_api_data": about}
    if waba.override:
        one["override_callback_uri"] = waba.override.uri
    return {"data": [one]}


def _app_only(call: Call) -> None:
    if not call.is_app:
        raise GraphError(15, message="(#15) This method must be called with an app access_token.")


async def subscriptions_of_app(call: Call) -> Json:
    _app_only(call)
    app = call.world.state.app
    if not app.callback_url:
        return {"data": []}
    return {
        "data": [
            {
                "object": "whatsapp_business_account",
                "callback_url": app.callback_url,
                "active": True,
                "fields": [{"name": name, "version": app.webhook_version} for name in sorted(app.fields)],
            }
        ]
    }


async def subscribe_app(call: Call) -> Json:
    """Address and fields of the app; the fields given replace those there were."""
    _app_only(call)
    app, args = call.world.state.app, call.args
    if args.get("object") != "whatsapp_business_account":
        raise GraphError(100, "object must be whatsapp_business_account")
    given = args.get("fields")
    fields = set(given if isinstance(given, list) else str(given or "").replace(" ", "").split(",")) - {""}
    if unknown := fields - ALL_FIELDS:
        raise GraphError(100, f"Unknown fields: {', '.join(sorted(unknown))}")
    url, token = str(args.get("callback_url") or app.callback_url or ""), str(args.get("verify_token") or "")
    if not url:
        raise GraphError(100, "callback_url is required.")
    await _handshake(call, url, token or app.verify_token)
    app.callback_url, app.verify_token = url, token or app.verify_token
    app.fields = fields or app.fields
    call.world.changed("app")
    return {"success": True}


async def configure_phone(call: Call) -> Json:
    """``webhook_configuration`` of one number; an empty address removes it."""
    given = call.args.get("webhook_configuration")
    if not isinstance(given, dict):
        raise GraphError(100, "webhook_configuration is required.")
    call.phone.override = await _override(call, given)
    call.world.changed("phone", phone=call.node)
    return {"success": True}


# -- the number --------------------------------------------------------------------------------------------------


async def smb_app_data(call: Call) -> Json:
    if call.args.get("messaging_product") != "whatsapp":
        raise GraphError(100, "(#100) The parameter messaging_product is required.")
    request_id = sync.request(call.world, call.phone, str(call.args.get("sync_type")))
    return {"messaging_product": "whatsapp", "request_id": request_id}


async def send(call: Call) -> Json:
    return sending.accept(call.world, call.phone, call.args, call.at)


def _registering(call: Call) -> None:
    """Registrations and deregistrations of a number are few (133016)."""
    phone, at = call.phone, call.at
    phone.registrations = [then for then in phone.registrations if at - REGISTRATION_SPAN < then <= at]
    if len(phone.registrations) >= REGISTRATIONS:
        raise GraphError(133016)
    phone.registrations.append(at)


async def register(call: Call) -> Json:
    """Never to be called for a coexistence number: that it logs the phone out is what integrators fear (not
    documented); here it does, and it is counted."""
    phone = call.phone
    _registering(call)
    phone.register_calls += 1
    if phone.state != "cloud_only":
        phone.session_destroyed = True
        phone.app_open = False
    call.world.changed("phone", phone=phone.id)
    return {"success": True}


async def deregister(call: Call) -> Json:
    phone = call.phone
    _registering(call)
    phone.deregister_calls += 1
    call.world.changed("phone", phone=phone.id)
    if phone.state == "cloud_only":
        return {"success": True}
    raise GraphError(100, message="Deregister endpoint is not available for API solution for SMB businesses.")


# -- media -------------------------------------------------------------------------------------------------------


async def upload(call: Call) -> Json:
    if call.args.get("messaging_product") != "whatsapp":
        raise GraphError(100, "(#100) The parameter messaging_product is required.")
    if call.upload is None:
        raise GraphError(100, "(#100) The parameter file is required.")
    mime = str(call.args.get("type") or call.upload.mime)
    plain = mime.partition(";")[0].strip()
    if plain not in LIMITS:
        raise GraphError(
            100,
            f"Param file must be a file with one of the following types: {', '.join(sorted(LIMITS))}."
            f" Received file of type '{plain}'.",
        )
    data = call.upload.data
    if len(data) > LIMITS[plain]:
        raise GraphError(131053, f"The file is larger than {LIMITS[plain]} bytes.")
    world = call.world
    media = world.shelf.add(world.ids.number(), data, mime, world.now(), UPLOAD_LIVES, call.upload.name)
    world.dirty = True
    return {"id": media.id}


async def get_media(call: Call) -> Json:
    media = call.world.shelf.get(call.node, call.world.now())
    if media is None:
        raise no_such_object(call.method, call.node)
    return {
        "url": call.world.media_url(media.id),
        "mime_type": media.mime,
        "sha256": media.sha256,
        "file_size": media.size,
        "id": media.id,
        "messaging_product": "whatsapp",
    }


async def delete_media(call: Call) -> Json:
    call.world.shelf.remove(call.node)
    call.world.dirty = True
    return {"success": True}


async def download(request: Request) -> Response:
    """The address from ``GET /<MEDIA_ID>``: needs the token too, and lives five minutes."""
    world = cast(World, request.app.state.simulator.world)
    try:
        _bearer(world, request, {})
    except GraphError as error:
        return JSONResponse(error.body(world.ids.trace()), 401)
    query = request.query_params
    mid, ext = query.get("mid", ""), query.get("ext", "")
    expected = wire.signature(world.state.app.secret, f"{mid}:{ext}".encode())[7:39]
    media = world.shelf.get(mid, world.now())
    if media is None or query.get("hash") != expected or not ext.isdigit() or world.now() > int(ext):
        return Response("URL signature expired", 404, media_type="text/plain")
    return Response(world.shelf.read(media), media_type=media.mime)


TABLE: dict[tuple[str, str, str], Handler] = {
    ("GET", "oauth", "access_token"): exchange,
    ("POST", "oauth", "access_token"): exchange,
    ("GET", "debug_token", ""): debug_token,
    ("GET", "app", ""): get_app,
    ("GET", "app", "subscriptions"): subscriptions_of_app,
    ("POST", "app", "subscriptions"): subscribe_app,
    ("GET", "waba", ""): get_waba,
    ("GET", "waba", "phone_numbers"): get_phones,
    ("GET", "waba", "subscribed_apps"): subscriptions_of_waba,
    ("POST", "waba", "subscribed_apps"): subscribe,
    ("DELETE", "waba", "subscribed_apps"): unsubscribe,
    ("GET", "phone", ""): get_phone,
    ("POST", "phone", ""): configure_phone,
    ("POST", "phone", "messages"): send,
    ("POST", "phone", "media"): upload,
    ("POST", "phone", "smb_app_data"): smb_app_data,
    ("POST", "phone", "register"): register,
    ("POST", "phone", "deregister"): deregister,
    ("GET", "media", ""): get_media,
    ("DELETE", "media", ""): delete_media,
    **template_api.TABLE,
    **upload_api.TABLE,
}
