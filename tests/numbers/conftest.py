"""A Meta of our own for these tests: it answers what the platform asks while connecting, and remembers everything."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.kit.clock import Clock, ManualClock
from twinline.meta.graph import Graph
from twinline.numbers import connect, queries, service
from twinline.numbers.models import Number, Onboarding
from twinline.rules.requirements import TEMPLATE_FIELDS, WEBHOOK_FIELDS

WABA = "215589647219233"
PHONE_ID = "418893301309544"
BUSINESS_TOKEN = "EAAGbusinessToken"
SCOPES = ["whatsapp_business_management", "whatsapp_business_messaging", "business_management"]

FINISHED = {
    "type": "WA_EMBEDDED_SIGNUP",
    "event": "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING",
    "data": {"waba_id": WABA},
    "version": 3,
}


@dataclass
class Meta:
    """Change its fields to make it behave otherwise. ``calls`` holds method and path of every request."""

    codes: set[str] = field(default_factory=lambda: {"code-1"})
    phones: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            PHONE_ID: {"display_phone_number": "+351 21 000 7788", "verified_name": "Padaria", "is_on_biz_app": True}
        }
    )
    wabas: list[str] = field(default_factory=lambda: [WABA])
    scopes: list[str] = field(default_factory=lambda: list(SCOPES))
    expires_at: int = 0
    valid: bool = True
    fields: list[str] = field(default_factory=lambda: [*WEBHOOK_FIELDS, *TEMPLATE_FIELDS])
    subscribed: bool = False
    synced: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fail: dict[str, Callable[[httpx.Request], httpx.Response]] = field(default_factory=dict)
    passing: Callable[[], None] = lambda: None

    def handle(self, request: httpx.Request) -> httpx.Response:
        edge = request.url.path.removeprefix("/v26.0/")
        self.calls.append(f"{request.method} {edge}")
        self.passing()
        answer = self._answer(request, edge)
        self.passing()
        return answer

    def _answer(self, request: httpx.Request, edge: str) -> httpx.Response:
        asked = {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}
        last = edge.rsplit("/", 1)[-1]
        if last in self.fail:
            return self.fail[last](request)
        match last:
            case "access_token":
                if asked["code"] not in self.codes:
                    return refusal(100, "This authorization code has been used.")
                self.codes.remove(asked["code"])
                return httpx.Response(200, json={"access_token": BUSINESS_TOKEN, "token_type": "bearer"})
            case "debug_token":
                granular = [{"scope": scope, "target_ids": self.wabas} for scope in self.scopes[:2]]
                data = {
                    "is_valid": self.valid,
                    "expires_at": self.expires_at,
                    "scopes": self.scopes,
                    "granular_scopes": granular,
                }
                return httpx.Response(200, json={"data": data})
            case "phone_numbers":
                rows = [{"id": name, **fields} for name, fields in self.phones.items()]
                return httpx.Response(200, json={"data": rows})
            case "subscribed_apps":
                self.subscribed = True
                return httpx.Response(200, json={"success": True})
            case "smb_app_data":
                kind = json.loads(request.content)["sync_type"]
                assert self.subscribed, "a synchronisation that is requested before the subscription is burnt"
                assert kind not in self.synced, f"{kind} was requested twice"
                self.synced.append(kind)
                return httpx.Response(200, json={"messaging_product": "whatsapp", "request_id": f"req-{kind}"})
            case "subscriptions":
                row = {
                    "object": "whatsapp_business_account",
                    "callback_url": "https://twinline.test/hook/meta",
                    "active": True,
                    "fields": [{"name": name, "version": "v26.0"} for name in self.fields],
                }
                return httpx.Response(200, json={"data": [row]})
        if edge in self.phones:
            return httpx.Response(200, json={"id": edge, "is_on_biz_app": self.phones[edge]["is_on_biz_app"]})
        if edge in self.wabas:
            return httpx.Response(200, json={"id": edge, "business_verification_status": "verified"})
        return refusal(100, "Unsupported request")


def refusal(code: int, message: str, status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "type": "OAuthException", "code": code}})


def timeout(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route", request=request)


@pytest.fixture
def meta() -> Meta:
    return Meta()


@pytest.fixture
async def app(app: App, meta: Meta) -> AsyncIterator[App]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(meta.handle)) as http:
        # What isn't asked through the Graph client (the doctor's own look) finds a closed port, never the network.
        closed = {"graph_url": "http://127.0.0.1:9", "port": 9}
        settings = app.settings.model_copy(update={"app_id": "100", "signup_config_id": "200", **closed})
        yield replace(app, graph=Graph(http, "https://graph.test"), settings=settings)


@dataclass
class Office:
    """An organisation, and what its owner does while connecting."""

    app: App
    clock: Clock
    organisation_id: int
    user_id: int

    async def begin(self, *, agree: bool = True) -> int:
        now = self.clock.now()
        async with self.app.db.transaction() as tx:
            seen = {"phone": "+351210007788", "app_version": "2.26.1", "days_in_use": 30}
            onboarding_id = await service.begin(tx, self.organisation_id, self.user_id, seen, now)
            if agree:
                await service.agree(tx, self.organisation_id, onboarding_id, "2026-09-11", self.user_id, now)
        return onboarding_id

    async def finish(
        self, onboarding_id: int, code: str | None = "code-1", message: dict[str, Any] | None = FINISHED
    ) -> str | None:
        return await connect.finish(self.app, self.organisation_id, onboarding_id, code, message)

    async def advance(self, onboarding_id: int, *, last_try: bool = False) -> None:
        await connect.advance(self.app, self.organisation_id, onboarding_id, last_try=last_try)

    async def onboarding(self, onboarding_id: int) -> Onboarding:
        async with self.app.db.transaction() as tx:
            found = await queries.onboarding(tx, self.organisation_id, onboarding_id)
        assert found is not None
        return found

    async def number(self, number_id: int | None) -> Number:
        async with self.app.db.transaction() as tx:
            found = await queries.number(tx, self.organisation_id, number_id or 0)
        assert found is not None
        return found

    async def connect(self) -> Number:
        """The whole way, without a hitch."""
        onboarding_id = await self.begin()
        assert await self.finish(onboarding_id) is None
        await self.advance(onboarding_id)
        onboarding = await self.onboarding(onboarding_id)
        assert onboarding.step == "done"
        return await self.number(onboarding.number_id)


async def open_office(app: App, clock: Clock, email: str) -> Office:
    async with app.db.transaction() as tx:
        user_id = await accounts.create_user(tx, None, email, "", "owner", "correct horse", clock.now())
        organisation_id = await tx.value("SELECT organisation_id FROM users WHERE id = %s", (user_id,))
    return Office(app, clock, organisation_id, user_id)


@pytest.fixture
async def office(app: App, clock: ManualClock) -> Office:
    return await open_office(app, clock, "ada@example.com")
