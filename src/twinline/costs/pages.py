"""The page of rates: what is built in, and an organisation's own card."""

from datetime import date

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import administrator_of, viewer_of
from twinline.app import App
from twinline.costs import service
from twinline.costs.models import plain
from twinline.kit.html import render, see_other
from twinline.rules import pricing
from twinline.rules.pricing import Reading, read_text

ADMINISTRATORS_ONLY = "Only an owner or administrator of the organisation may change rates. Ask one."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    return [
        Route("/rates", pages.rates, methods=["GET"]),
        Route("/rates", pages.bring, methods=["POST"]),
        Route("/rates/forget", pages.forget, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    async def rates(self, request: Request) -> Response:
        return await self._page(request)

    async def bring(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        now = self._app.clock.now()
        async with request.form(max_files=1) as form:
            card = form.get("card")
            data = await card.read(service.LONGEST_CARD * 4) if isinstance(card, UploadFile) else b""
            said = str(form.get("since", ""))
        try:
            since = date.fromisoformat(said)
            async with self._app.db.transaction() as tx:
                reading = await service.import_card(
                    tx, viewer.organisation_id, read_text(data), since, user_id=viewer.user_id, now=now
                )
        except ValueError:
            return await self._page(request, status=422, problem="The day from which it is valid is missing.")
        except service.CostError as error:
            return await self._page(request, status=422, problem=str(error))
        return await self._page(request, status=200 if reading.rates else 422, reading=reading)

    async def forget(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            await service.forget_card(tx, viewer.organisation_id, user_id=viewer.user_id, now=self._app.clock.now())
        return see_other("/rates")

    async def _page(
        self, request: Request, *, status: int = 200, problem: str = "", reading: Reading | None = None
    ) -> Response:
        viewer = viewer_of(request)
        async with self._app.db.transaction() as tx:
            own = await service.own_rates(tx, viewer.organisation_id)
        cards = [card for _, found in sorted(pricing.built_in().items()) for card in reversed(found)]
        return render(
            request,
            "costs/rates.html",
            status=status,
            problem=problem,
            reading=reading,
            own=own,
            cards=cards,
            columns=pricing.CARD_ORDER,
            today=self._app.clock.now().date().isoformat(),
            plain=plain,
        )
