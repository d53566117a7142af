"""Settings → Webhooks: where events go, what was delivered, once more what is needed once more."""

from datetime import timedelta
from typing import Any, Final

import orjson
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of
from twinline.accounts.models import Viewer
from twinline.app import App
from twinline.db import Tx
from twinline.kit.html import render, see_other
from twinline.numbers import queries as numbers
from twinline.rules import webhooks as rules
from twinline.webhooks_out import queries, service
from twinline.webhooks_out.models import NoSuchWebhook, WebhookError

ADMINISTRATORS_ONLY: Final = "Only an owner or administrator of the organisation may look after webhooks. Ask one."
PAGE: Final = 50
SPANS: Final = {1: "the last hour", 24: "the last day", 168: "the last week", 720: "the last 30 days"}  # hours
SHOWN: Final = {"": "All", "waiting": "Waiting", "delivered": "Delivered", "failed": "Given up"}
BASE: Final = "/account/webhooks"


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    one = f"{BASE}/{{webhook:int}}"
    return [
        Route(BASE, pages.list, methods=["GET"]),
        Route(BASE, pages.add, methods=["POST"]),
        Route(one, pages.one, methods=["GET"]),
        Route(one, pages.change, methods=["POST"]),
        Route(f"{one}/rotate", pages.rotate, methods=["POST"]),
        Route(f"{one}/delete", pages.remove, methods=["POST"]),
        *(Route(f"{one}/{name}", pages.step, methods=["POST"]) for name in ("on", "off", "test", "replay")),
        Route(f"{one}/deliveries/{{delivery:int}}", pages.delivery, methods=["GET"]),
        Route(f"{one}/deliveries/{{delivery:int}}/replay", pages.again, methods=["POST"]),
    ]


def _fields(form: FormData) -> dict[str, Any]:
    chosen = [int(one) for one in form.getlist("number") if isinstance(one, str) and one.isdecimal()]
    return {
        "url": str(form.get("url", "")),
        "types": [str(one) for one in form.getlist("type")],
        "numbers": None if form.get("which", "all") == "all" else chosen,
        "description": str(form.get("description", "")),
        "order_by": str(form.get("order_by", "number")),
    }


BLANK: Final = {"url": "", "types": rules.AT_FIRST, "numbers": None, "description": "", "order_by": "number"}


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self, request: Request) -> Response:
        return await self._list(request)

    async def add(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        fields = _fields(await request.form())
        try:
            async with self._app.db.transaction() as tx:
                made, secret = await service.add(
                    self._app, tx, viewer.organisation_id, user_id=viewer.user_id, **fields
                )
        except WebhookError as error:
            return await self._list(request, 422, problem=str(error), form=fields)
        return await self._one(request, made, 201, secret=secret)

    async def _list(self, request: Request, status: int = 200, **context: Any) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            found = await queries.endpoints(tx, viewer.organisation_id)
            of = await numbers.numbers(tx, viewer.organisation_id)
        context = {"problem": "", "form": BLANK, **context}
        return render(
            request, "webhooks/list.html", status=status, endpoints=found, numbers=of, types=rules.TYPES, **context
        )

    async def one(self, request: Request) -> Response:
        return await self._one(request, request.path_params["webhook"])

    async def change(self, request: Request) -> Response:
        viewer, webhook = administrator_of(request, ADMINISTRATORS_ONLY), request.path_params["webhook"]
        fields = _fields(await request.form())
        try:
            async with self._app.db.transaction() as tx:
                await service.change(self._app, tx, viewer.organisation_id, webhook, viewer.user_id, **fields)
        except NoSuchWebhook as error:
            raise HTTPException(404) from error
        except WebhookError as error:
            return await self._one(request, webhook, 422, problem=str(error), form=fields)
        return see_other(f"{BASE}/{webhook}")

    async def rotate(self, request: Request) -> Response:
        viewer, webhook = administrator_of(request, ADMINISTRATORS_ONLY), request.path_params["webhook"]
        try:
            async with self._app.db.transaction() as tx:
                secret = await service.rotate(self._app, tx, viewer.organisation_id, webhook, viewer.user_id)
        except NoSuchWebhook as error:
            raise HTTPException(404) from error
        return await self._one(request, webhook, secret=secret)

    async def remove(self, request: Request) -> Response:
        viewer, webhook = administrator_of(request, ADMINISTRATORS_ONLY), request.path_params["webhook"]
        try:
            async with self._app.db.transaction() as tx:
                await service.remove(tx, viewer.organisation_id, webhook, viewer.user_id, self._app.clock.now())
        except NoSuchWebhook as error:
            raise HTTPException(404) from error
        return see_other(BASE)

    async def step(self, request: Request) -> Response:
        """What a button does: on, off, test, replay."""
        viewer, webhook = administrator_of(request, ADMINISTRATORS_ONLY), request.path_params["webhook"]
        steps = {"on": self._turn_on, "off": self._turn_off, "test": self._test, "replay": self._replay}
        doing = steps[request.url.path.rsplit("/", 1)[1]]
        form = await request.form()
        try:
            async with self._app.db.transaction() as tx:
                await doing(tx, viewer, webhook, form)
        except NoSuchWebhook as error:
            raise HTTPException(404) from error
        except WebhookError as error:
            return await self._one(request, webhook, 422, problem=str(error))
        return see_other(f"{BASE}/{webhook}#deliveries")

    async def _turn_on(self, tx: Tx, viewer: Viewer, webhook: int, form: FormData) -> None:
        catch_up, now = form.get("catch_up") == "1", self._app.clock.now()
        await service.turn_on(tx, viewer.organisation_id, webhook, viewer.user_id, now, catch_up=catch_up)

    async def _turn_off(self, tx: Tx, viewer: Viewer, webhook: int, form: FormData) -> None:
        await service.turn_off(tx, viewer.organisation_id, webhook, viewer.user_id, self._app.clock.now())

    async def _test(self, tx: Tx, viewer: Viewer, webhook: int, form: FormData) -> None:
        await service.test(tx, viewer.organisation_id, webhook, self._app.clock.now())

    async def _replay(self, tx: Tx, viewer: Viewer, webhook: int, form: FormData) -> None:
        hours = str(form.get("hours", ""))
        if hours not in map(str, SPANS):
            raise WebhookError("Choose since when everything is to be delivered once more.")
        now = self._app.clock.now()
        await service.replay_since(tx, viewer.organisation_id, webhook, now - timedelta(hours=int(hours)), now)

    async def again(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        webhook, delivery = request.path_params["webhook"], request.path_params["delivery"]
        try:
            async with self._app.db.transaction() as tx:
                await service.replay(tx, viewer.organisation_id, webhook, delivery, self._app.clock.now())
        except NoSuchWebhook as error:
            raise HTTPException(404) from error
        except WebhookError as error:
            return await self._one(request, webhook, 422, problem=str(error))
        return see_other(f"{BASE}/{webhook}#deliveries")

    async def delivery(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        webhook, delivery = request.path_params["webhook"], request.path_params["delivery"]
        async with self._app.db.transaction() as tx:
            endpoint = await queries.endpoint(tx, viewer.organisation_id, webhook)
            found = await queries.delivery(tx, viewer.organisation_id, webhook, delivery)
        if endpoint is None or found is None:
            raise HTTPException(404)
        body = orjson.dumps(orjson.loads(found.body), option=orjson.OPT_INDENT_2).decode()
        return render(request, "webhooks/delivery.html", endpoint=endpoint, one=found, body=body)

    async def _one(self, request: Request, webhook: int, status: int = 200, **context: Any) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        asked = request.query_params
        state = asked.get("state", "") if asked.get("state") in SHOWN else ""
        before = asked.get("before", "")
        async with self._app.db.transaction() as tx:
            endpoint = await queries.endpoint(tx, viewer.organisation_id, webhook)
            if endpoint is None:
                raise HTTPException(404)
            of = await numbers.numbers(tx, viewer.organisation_id)
            last = int(before) if before.isdecimal() and len(before) < 19 else 2**63 - 1
            rows = await queries.deliveries(
                tx, viewer.organisation_id, webhook, before=last, state=state, limit=PAGE + 1
            )
        context = {"problem": "", "secret": "", "form": endpoint, **context}
        return render(
            request,
            "webhooks/one.html",
            status=status,
            endpoint=endpoint,
            numbers=of,
            types=rules.TYPES,
            rows=rows[:PAGE],
            older=rows[PAGE - 1].id if len(rows) > PAGE else None,
            state=state,
            shown=SHOWN,
            spans=SPANS,
            overlapping=endpoint.old_until is not None and endpoint.old_until > self._app.clock.now(),
            kept=self._app.settings.deliveries_days,
            **context,
        )
