"""The client of Meta's Graph API: one method per call that the platform makes, typed answers, one kind of
error.

Every call carries its own token, because each connected business has one; the client keeps none, and no
token or secret ever reaches an exception, a `repr` or a log line. Two calls have them in the address (Meta
leaves no choice), so the HTTP library's own log line is blanked too.

Everything that goes wrong is a `GraphError`: a refusal of Meta's, a timeout, an answer that can't be read.
What it means is looked up in `rules.outcomes`; whether the request may have been carried out all the same
is `ambiguous`, and whoever sent a message must not send it again while that is so.

A number that lives on the phone must never be registered or deregistered by a platform: Meta skips that
step for such numbers and doesn't say what calling it does to the phone (Meta: Onboard WhatsApp Business app
users). So this client refuses, whoever asks.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from twinline.meta import express
from twinline.rules import outcomes
from twinline.rules.outcomes import Outcome

COEXISTENCE_FIELDS: Final = ("id", "is_on_biz_app", "platform_type")
"""Asked apart from all others: they are in no published schema, and an unknown field fails a whole request.
"""
NUMBER_FIELDS: Final = ("id", "display_phone_number", "verified_name", "quality_rating", "name_status")
WABA_FIELDS: Final = (
    "id",
    "name",
    "currency",
    "timezone_id",
    "country",
    "business_verification_status",
    "account_review_status",
)

PORTFOLIO_FIELDS: Final = ("id", "whatsapp_business_manager_messaging_limit")

UPLOAD_TRIES: Final = 3

_REGISTRATION: Final = frozenset({"register", "deregister", "request_code", "verify_code"})
_BAD_REQUEST: Final = 100
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MEDIA_HOSTS: Final = ("facebook.com", "fbsbx.com", "fbcdn.net", "whatsapp.net")
_SECRETS: Final = re.compile(r"\b(access_token|client_secret|code|input_token|fb_exchange_token)=[^&\s\"]+")
# Meta's messages sometimes quote a token, not always the one that was sent.
_TOKEN_LIKE: Final = re.compile(r"\bEAA[A-Za-z0-9]{8,}")
# The request never left: no connection, no place in the pool, an address that isn't one.
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

Json = dict[str, Any]
T = TypeVar("T")


class _BlankSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _SECRETS.sub(r"\1=…", record.getMessage()), ()
        return True


logging.getLogger("httpx").addFilter(_BlankSecrets())


class RegistrationRefused(Exception):
    """Somebody tried to register, deregister or re-verify a number. That would be done to the owner's
    phone.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is never called: this number lives on the phone.")


class GraphError(Exception):
    """Meta refused, didn't answer, or answered something unreadable.

    `code` and `subcode` are Meta's, None without an answer; `http_status` is None if nothing came back at
    all. `outcome` says what it means for a person and for the next try. `ambiguous` means that the request
    may have been carried out, so that repeating it could do it twice; `answered` that Meta gave an error
    code, and so didn't.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        subcode: int | None = None,
        http_status: int | None = None,
        details: str | None = None,
        fbtrace_id: str | None = None,
        ambiguous: bool | None = None,
    ) -> None:
        meaning = outcomes.outcome(code, http_status)
        if ambiguous is not None:
            meaning = replace(meaning, ambiguous=ambiguous)
        self.message = message
        self.code = code
        self.subcode = subcode
        self.http_status = http_status
        self.details = details
        self.fbtrace_id = fbtrace_id
        self.outcome: Outcome = meaning
        trace = f"trace {fbtrace_id}" if fbtrace_id else None
        number = f"code {code}" if code is not None else None
        extra = ", ".join(part for part in (number, details, trace) if part)
        super().__init__(f"{message} ({extra})" if extra else message)

    @property
    def ambiguous(self) -> bool:
        return self.outcome.ambiguous

    @property
    def answered(self) -> bool:
        return self.code is not None


class _Secretive(msgspec.Struct, frozen=True):
    """A value whose fields named `*token` are never shown."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, "…" if name.endswith("token") else getattr(self, name)) for name in self.__struct_fields__]


class Token(_Secretive, frozen=True):
    """A business token. `expires_in` is in seconds; None or 0 means that it doesn't expire."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int | None = None


class GranularScope(msgspec.Struct, frozen=True):
    """A permission and the ids of the assets (WABAs) that it was given for."""

    scope: str
    target_ids: tuple[str, ...] = ()


class DebugToken(msgspec.Struct, frozen=True):
    """What Meta knows of a token. Times are unix seconds, 0 means never."""

    is_valid: bool = False
    app_id: str = ""
    type: str = ""
    user_id: str | None = None
    expires_at: int = 0
    data_access_expires_at: int = 0
    scopes: tuple[str, ...] = ()
    granular_scopes: tuple[GranularScope, ...] = ()


class PhoneNumber(msgspec.Struct, frozen=True):
    """A number of a WABA; what wasn't asked for, or isn't told, is None."""

    id: str
    display_phone_number: str | None = None
    verified_name: str | None = None
    quality_rating: str | None = None
    name_status: str | None = None
    is_on_biz_app: bool | None = None
    platform_type: str | None = None
    whatsapp_business_manager_messaging_limit: str | None = None


class Waba(msgspec.Struct, frozen=True):
    """A WhatsApp Business account."""

    id: str
    name: str | None = None
    currency: str | None = None
    timezone_id: str | None = None
    country: str | None = None
    business_verification_status: str | None = None
    account_review_status: str | None = None


class _Owned(msgspec.Struct, frozen=True):
    owner_business_info: dict[str, str] | None = None


class SubscribedApp(msgspec.Struct, frozen=True):
    """An app that gets a WABA's webhooks, with the address that replaces the app's own, if there is one."""

    id: str
    name: str | None = None
    override_callback_uri: str | None = None


class AppSubscription(msgspec.Struct, frozen=True):
    """What an app is subscribed to, and where it is sent."""

    object: str
    callback_url: str | None
    active: bool
    fields: tuple[str, ...]


class Sent(msgspec.Struct, frozen=True):
    """Meta accepted a message, which isn't delivered yet.

    `wa_id` is there when it was sent to a phone, and may be spelled unlike the number given; `user_id` when
    it was sent to a BSUID; `message_status` for templates: accepted, held_for_quality_assessment or paused.
    """

    wamid: str
    wa_id: str | None = None
    user_id: str | None = None
    message_status: str | None = None


TEMPLATE_FIELDS: Final = (
    "id",
    "name",
    "language",
    "status",
    "category",
    "components",
    "parameter_format",
    "rejected_reason",
    "quality_score",
)
"""All are named, since Meta leaves the last two out unless asked for (Meta: template management)."""


class Template(msgspec.Struct, frozen=True):
    """A template as it stands at Meta. `components` are Meta's; `quality_score` is its `score`."""

    id: str
    name: str
    language: str
    status: str
    category: str
    components: list[Json] = []
    parameter_format: str | None = None
    rejected_reason: str | None = None
    quality_score: Json | None = None

    @property
    def quality(self) -> str:
        return str((self.quality_score or {}).get("score") or "UNKNOWN").upper()


class MediaInfo(msgspec.Struct, frozen=True):
    """Where a file can be fetched for five minutes, with the token. `sha256` is hex, `file_size` in bytes."""

    id: str
    url: str
    mime_type: str | None = None
    sha256: str | None = None
    file_size: int | None = None


class Graph:
    """Graph over a given HTTP client, which brings time-outs, limits and, in tests, its own transport.

    Every method raises GraphError, and nothing else but RegistrationRefused.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str = "https://graph.facebook.com",
        version: str = "v26.0",
    ) -> None:
        self._http = http
        self._base = base_url.rstrip("/")
        self._version = version.strip("/")

    def __repr__(self) -> str:
        return f"Graph({self._base}/{self._version})"

    # Tokens ---------------------------------------------------------------------------------------------

    async def exchange_code(self, app_id: str, app_secret: str, code: str) -> Token:
        """The business token for a sign-up's code: single use, within 30 s (Meta: Embedded Signup)."""
        params = {"client_id": app_id, "client_secret": app_secret, "code": code}
        body = await self._call("GET", "oauth/access_token", None, (app_secret, code), params=params)
        return self._as(Token, body)

    async def debug_token(self, input_token: str, *, token: str) -> DebugToken:
        """What Meta knows of `input_token`; `token` is the app's own, `app_id|app_secret`."""
        params = {"input_token": input_token}
        body = await self._call("GET", "debug_token", token, (input_token,), params=params)
        return self._as(_Debugged, body).data

    # Accounts and numbers -------------------------------------------------------------------------------

    async def phone_numbers(self, waba_id: str, *, token: str) -> tuple[PhoneNumber, ...]:
        """Every number of a WABA, with `is_on_biz_app` and `platform_type` where Meta tells them."""
        details = await self._pages(f"{waba_id}/phone_numbers", token, NUMBER_FIELDS)
        try:
            shared = await self._pages(f"{waba_id}/phone_numbers", token, COEXISTENCE_FIELDS)
        except GraphError as error:
            if error.code != _BAD_REQUEST:
                raise
            shared = []
        merged: dict[str, Json] = {}
        for row in (*details, *shared):
            merged.setdefault(str(row.get("id")), {}).update(row)
        return tuple(self._convert(PhoneNumber, row) for row in merged.values())

    async def phone_number(
        self, phone_number_id: str, fields: Sequence[str] = COEXISTENCE_FIELDS, *, token: str
    ) -> PhoneNumber:
        """These fields of one number; without any, whether it is on the app."""
        params = {"fields": ",".join(fields)}
        return self._as(PhoneNumber, await self._call("GET", phone_number_id, token, params=params))

    async def waba(self, waba_id: str, *, token: str) -> Waba:
        """A WhatsApp Business account and how its verification stands."""
        return self._as(Waba, await self._call("GET", waba_id, token, params={"fields": ",".join(WABA_FIELDS)}))

    async def owner(self, waba_id: str, *, token: str) -> str | None:
        """The business portfolio that a WhatsApp Business account belongs to; None where Meta doesn't tell."""
        params = {"fields": "id,owner_business_info"}
        told = self._as(_Owned, await self._call("GET", waba_id, token, params=params)).owner_business_info
        return told.get("id") if told else None

    # Subscriptions --------------------------------------------------------------------------------------

    async def subscribe_app(
        self,
        waba_id: str,
        *,
        token: str,
        override_callback_uri: str | None = None,
        verify_token: str | None = None,
    ) -> None:
        """Sends this WABA's webhooks to the token's app; always before any synchronisation is requested."""
        override = {"override_callback_uri": override_callback_uri, "verify_token": verify_token}
        body = {name: value for name, value in override.items() if value} or None
        _succeed(await self.post(f"{waba_id}/subscribed_apps", token=token, json=body))

    async def subscribed_apps(self, waba_id: str, *, token: str) -> tuple[SubscribedApp, ...]:
        """The apps that get this WABA's webhooks."""
        rows = await self._pages(f"{waba_id}/subscribed_apps", token)
        return tuple(
            self._convert(
                SubscribedApp,
                {
                    **(row.get("whatsapp_business_api_data") or {}),
                    "override_callback_uri": row.get("override_callback_uri"),
                },
            )
            for row in rows
        )

    async def app_subscriptions(self, app_id: str, *, token: str) -> tuple[AppSubscription, ...]:
        """The webhook fields that an app is subscribed to; `token` is the app's own."""
        rows = await self._pages(f"{app_id}/subscriptions", token)
        return tuple(
            AppSubscription(
                object=str(row.get("object", "")),
                callback_url=row.get("callback_url"),
                active=bool(row.get("active", False)),
                fields=tuple(
                    str(field["name"] if isinstance(field, Mapping) else field) for field in row.get("fields") or ()
                ),
            )
            for row in rows
        )

    # Synchronisation ------------------------------------------------------------------------------------

    async def request_sync(self, phone_number_id: str, sync_type: str, *, token: str) -> str:
        """Requests `smb_app_state_sync` or `history`, once each; gives the request id for Meta's support.

        2593107 means that it was accepted before, 2593108 that the 24 hours are over.
        """
        body = {"messaging_product": "whatsapp", "sync_type": sync_type}
        answer = await self.post(f"{phone_number_id}/smb_app_data", token=token, json=body)
        return str(answer.get("request_id") or "")

    # Messages -------------------------------------------------------------------------------------------

    async def send_message(
        self, phone_number_id: str, body: Mapping[str, Any], *, token: str, leaves: Callable[[], None] | None = None
    ) -> Sent:
        """Sends one message; `body` is Meta's, with `to` or `recipient` and `biz_opaque_callback_data`.

        `leaves` is called when it goes on its way: a connection may have to be made first.
        """

        async def trace(event: str, _: object) -> None:
            if leaves is not None and event == express.LEAVES:
                leaves()

        answer = self._object(
            await self._call(
                "POST",
                f"{phone_number_id}/messages",
                token,
                json={"messaging_product": "whatsapp", **body},
                extensions={"trace": trace},
            )
        )
        message = _first(answer, "messages")
        contact = _first(answer, "contacts")
        if not message.get("id"):
            raise _unreadable()
        return Sent(
            wamid=str(message["id"]),
            wa_id=contact.get("wa_id"),
            user_id=contact.get("user_id"),
            message_status=message.get("message_status"),
        )

    async def mark_read(self, phone_number_id: str, wamid: str, *, token: str, typing: bool = False) -> None:
        """Marks a message and all before it as read; with `typing`, shows "typing…" for up to 25 s."""
        body: Json = {"messaging_product": "whatsapp", "status": "read", "message_id": wamid}
        if typing:
            body["typing_indicator"] = {"type": "text"}
        _succeed(await self.post(f"{phone_number_id}/messages", token=token, json=body))

    # Media ----------------------------------------------------------------------------------------------

    async def upload_media(
        self, phone_number_id: str, content: bytes, mime_type: str, filename: str, *, token: str
    ) -> str:
        """Uploads a file to be sent; its id is good for 30 days."""
        body = await self._call(
            "POST",
            f"{phone_number_id}/media",
            token,
            data={"messaging_product": "whatsapp", "type": mime_type},
            files={"file": (filename, content, mime_type)},
        )
        return str(self._object(body).get("id") or "")

    async def media(self, media_id: str, *, token: str, phone_number_id: str | None = None) -> MediaInfo:
        """Where a file can be fetched; with `phone_number_id` only if it belongs to that number."""
        params = {"phone_number_id": phone_number_id} if phone_number_id else None
        return self._as(MediaInfo, await self._call("GET", media_id, token, params=params))

    async def download(self, url: str, *, token: str) -> AsyncIterator[bytes]:
        """The bytes of a file, as they come.

        The token goes only to Meta's hosts, or to the Graph's own; another address is a GraphError.
        """
        if not self._may_see_token(url):
            raise GraphError("This address isn't Meta's, so the token isn't sent to it.", code=_BAD_REQUEST)
        failure: GraphError
        try:
            async with self._http.stream("GET", url, headers=_bearer(token), follow_redirects=True) as answer:
                if answer.is_success:
                    async for part in answer.aiter_bytes():
                        yield part
                    return
                failure = _refusal(await answer.aread(), answer.status_code, "GET", (token,))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = _unanswered(error, "GET")
        # Outside the handler, so that the HTTP library's error, which holds the request, isn't chained.
        raise failure

    # Templates ------------------------------------------------------------------------------------------

    async def templates(self, waba_id: str, *, token: str, name: str | None = None) -> tuple[Template, ...]:
        """Every template of a WABA, or those whose name contains `name`."""
        narrowed = {"name": name} if name else {}
        rows = await self._pages(f"{waba_id}/message_templates", token, TEMPLATE_FIELDS, narrowed)
        return tuple(self._convert(Template, row) for row in rows)

    async def template(self, template_id: str, *, token: str) -> Template:
        """One template. Error 100 with subcode 33: it isn't there (any more)."""
        params = {"fields": ",".join(TEMPLATE_FIELDS)}
        return self._as(Template, await self._call("GET", template_id, token, params=params))

    async def create_template(self, waba_id: str, spec: Mapping[str, Any], *, token: str) -> Json:
        """Hands a template in for review; answers its `id`, `status` and `category`, which Meta may have changed."""
        answer = await self.post(f"{waba_id}/message_templates", token=token, json=spec)
        if not answer.get("id"):
            raise _unreadable()
        return answer

    async def edit_template(self, template_id: str, changes: Mapping[str, Any], *, token: str) -> None:
        """Replaces all `components`, and the `category` of one that isn't approved; back to review."""
        _succeed(await self.post(template_id, token=token, json=changes))

    async def delete_template(self, waba_id: str, name: str, *, token: str, template_id: str | None = None) -> None:
        """Deletes all languages of a name, or the one with this id."""
        params = {"name": name} | ({"hsm_id": template_id} if template_id else {})
        _succeed(await self.delete(f"{waba_id}/message_templates", token=token, params=params))

    async def unpause_template(self, template_id: str, *, token: str) -> None:
        """Ends a pause, which one that comes from pacing needs."""
        _succeed(await self.post(f"{template_id}/unpause", token=token))

    async def upload_sample(self, app_id: str, content: bytes, mime_type: str, filename: str, *, token: str) -> str:
        """Uploads the sample of a media header, and goes on where it broke off; answers its handle (Meta: Resumable
        Upload API).
        """
        params = {"file_name": filename, "file_length": str(len(content)), "file_type": mime_type}
        session = str(self._object(await self._call("POST", f"{app_id}/uploads", token, params=params)).get("id") or "")
        if not session.startswith("upload:"):
            raise _unreadable()
        offset = 0
        for left in reversed(range(UPLOAD_TRIES)):
            try:
                answer = await self._piece(session, content, offset, token)
            except GraphError as error:
                if error.answered or not left:
                    raise
                offset = _integer((await self.get(session, token=token)).get("file_offset")) or 0
            else:
                return answer
        raise AssertionError

    async def _piece(self, session: str, content: bytes, offset: int, token: str) -> str:
        body = await self._call(
            "POST",
            session,
            token,
            content=content[offset:],
            headers={"Authorization": f"OAuth {token}", "file_offset": str(offset)},
        )
        handle = self._object(body).get("h")
        if not handle:
            raise _unreadable()
        return str(handle)

    # Anything else --------------------------------------------------------------------------------------

    async def get(self, path: str, *, token: str, params: Mapping[str, str] | None = None) -> Json:
        """Reads any node or edge as Meta gives it."""
        return self._object(await self._call("GET", path, token, params=params))

    async def post(self, path: str, *, token: str, json: Mapping[str, Any] | None = None) -> Json:
        """Writes any node or edge. Raises RegistrationRefused for the calls that would touch the phone."""
        return self._object(await self._call("POST", path, token, json=json))

    async def delete(self, path: str, *, token: str, params: Mapping[str, str] | None = None) -> Json:
        """Deletes any node or edge."""
        return self._object(await self._call("DELETE", path, token, params=params))

    # The wire -------------------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        token: str | None,
        secrets: tuple[str, ...] = (),
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        extensions: Mapping[str, Any] = MappingProxyType({}),
    ) -> bytes:
        """One request, and the body of a good answer. Nothing in `secrets`, nor the token, is ever quoted."""
        path = path.strip("/")
        if _is_registration(path):
            raise RegistrationRefused(path)
        headers = {**(_bearer(token) if token else {}), **headers}
        if json is not None:
            content, headers = msgspec.json.encode(json), {**headers, "Content-Type": "application/json"}
        try:
            answer = await self._http.request(
                method,
                f"{self._base}/{self._version}/{path}",
                headers=headers,
                params=params,
                content=content,
                data=data,
                files=files,
                extensions=dict(extensions),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = _unanswered(error, method)
        else:
            if answer.is_success:
                return answer.content
            failure = _refusal(answer.content, answer.status_code, method, (*secrets, token or ""))
        # Outside the handler, so that the HTTP library's error, which holds the request, isn't chained.
        raise failure

    async def _pages(
        self, path: str, token: str, fields: Sequence[str] = (), narrowed: Mapping[str, str] = MappingProxyType({})
    ) -> list[Json]:
        """All rows of an edge, following Meta's cursors."""
        params = {"limit": "100", **narrowed} | ({"fields": ",".join(fields)} if fields else {})
        rows: list[Json] = []
        while True:
            answer = await self.get(path, token=token, params=params)
            rows += [row for row in answer.get("data") or () if isinstance(row, dict)]
            paging = answer.get("paging") or {}
            after = (paging.get("cursors") or {}).get("after")
            if not paging.get("next") or not after or after == params.get("after"):
                return rows
            params["after"] = after

    def _may_see_token(self, url: str) -> bool:
        try:
            asked, own = urlsplit(url), urlsplit(self._base)
            if _origin(asked) == _origin(own):
                return True
        except ValueError:
            return False
        host = asked.hostname or ""
        return asked.scheme == "https" and any(host == known or host.endswith(f".{known}") for known in _MEDIA_HOSTS)

    @staticmethod
    def _object(body: bytes) -> Json:
        return _decoded(body, Json)

    @staticmethod
    def _as(kind: type[T], body: bytes) -> T:
        return _decoded(body, kind)

    @staticmethod
    def _convert(kind: type[T], row: Json) -> T:
        try:
            return msgspec.convert(row, kind, strict=False)
        except msgspec.ValidationError:
            raise _unreadable() from None


class _Debugged(msgspec.Struct, frozen=True):
    data: DebugToken


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _origin(parts: Any) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _is_registration(path: str) -> bool:
    last = unquote(path.split("?", 1)[0].split("#", 1)[0]).rstrip("/").rsplit("/", 1)[-1]
    return last.strip().lower() in _REGISTRATION


def _decoded(body: bytes, kind: type[T]) -> T:
    """An answer that said 200 but can't be read: it was carried out, and what came of it isn't known."""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _unreadable() from None


def _succeed(answer: Json) -> None:
    if answer.get("success") is False:
        raise GraphError("Meta answered that it didn't succeed.", http_status=200, ambiguous=False)


def _unreadable() -> GraphError:
    return GraphError("Meta's answer couldn't be read.", http_status=200, ambiguous=True)


def _unanswered(error: Exception, method: str) -> GraphError:
    never_sent = isinstance(error, _NEVER_SENT)
    message = "Meta couldn't be reached." if never_sent else "Meta didn't answer."
    return GraphError(message, details=type(error).__name__, ambiguous=method != "GET" and not never_sent)


def _refusal(body: bytes, http_status: int, method: str, secrets: tuple[str, ...]) -> GraphError:
    """Meta's error object, in any of its shapes, without any secret that it may quote."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        error = {}
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else data
    details = error.get("error_user_msg") or details
    code = _integer(error.get("code"))
    return GraphError(
        _without(str(error.get("message") or f"Meta answered HTTP {http_status}."), secrets),
        code=code,
        subcode=_integer(error.get("error_subcode")),
        http_status=http_status,
        details=_without(str(details), secrets) if details else None,
        fbtrace_id=str(error["fbtrace_id"]) if error.get("fbtrace_id") else None,
        ambiguous=False if method == "GET" else None,
    )


def _without(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    return _TOKEN_LIKE.sub("…", text)


def _integer(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None


def _first(answer: Json, name: str) -> Json:
    rows = answer.get(name)
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
