"""What a chat shows of automations, and what a person does about them: who has the floor, what is under way, why.

Taking, handing back, starting and stopping answer the chat's state or its panel, as the page asks for them.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from twinline.accounts.gate import writer_of
from twinline.app import App
from twinline.automations import approvals, queries, service, words
from twinline.automations.connections import NotThere
from twinline.automations.models import NoSuchAutomation
from twinline.db import Tx
from twinline.inbox.models import Number
from twinline.rules.automations.program import duration
from twinline.rules.refusal import Refused

LINES: Final = 30
FOR: Final = (("30m", "30 minutes"), ("2h", "2 hours"), ("8h", "8 hours"), ("1d", "a day"), ("7d", "a week"))
"""How long a person may take a chat for."""

WRITERS_ONLY: Final = "Your role may read but not answer. Ask an owner or administrator to change it."
Drawn = Callable[[Request], Awaitable[Response]]
Doing = Callable[[Tx, Number, int], Awaitable[Any]]
Finding = Callable[[Tx, Request], Awaitable[Number]]


class Floor:
    """``state`` and ``panel`` draw a chat anew; ``number`` finds it, or raises 404."""

    def __init__(self, app: App, number: Finding, state: Drawn, panel: Drawn) -> None:
        self._app = app
        self._number = number
        self._state = state
        self._panel = panel

    def routes(self, chat: str) -> list[Route]:
        return [
            Route(f"{chat}/floor/take", self.take, methods=["POST"]),
            Route(f"{chat}/floor/release", self.release, methods=["POST"]),
            Route(f"{chat}/automation/start", self.start, methods=["POST"]),
            Route(f"{chat}/automation/stop", self.stop, methods=["POST"]),
            Route(f"{chat}/approvals/{{approval:int}}/{{decision}}", self.decide, methods=["POST"]),
        ]

    # --- looking ------------------------------------------------------------------------------------------------------

    async def above(self, tx: Tx, organisation_id: int, number_id: int, contact_id: int) -> dict[str, Any]:
        """What stands above the messages: a conversation under way, an answer that waits for approval."""
        run = await queries.open_run(tx, number_id, contact_id)
        handed = await queries.handed(tx, number_id, contact_id, self._app.clock.now())
        waiting = await approvals.waiting(tx, organisation_id, number_id, contact_id, 1)
        at = str(run.run.get("cursor") or "") if run else ""
        definition = await queries.definition(tx, organisation_id, run.automation_id, run.version) if run else None
        return {
            "run": run,
            "handed": handed,
            "standing": words.by_path(definition).get(at, "") if definition else "",
            "approval": waiting[0] if waiting else None,
        }

    async def beside(self, tx: Tx, organisation_id: int, number_id: int, contact_id: int) -> dict[str, Any]:
        """What the panel has of them: those that can be started, and the chat's why-log."""
        found = await queries.automations(tx, organisation_id)
        startable = [
            one for one in found if one.version and (one.numbers is None or number_id in one.numbers)
        ]  # fmt: skip
        return {
            "startable": startable,
            "lines": await queries.log(tx, number_id, contact_id, LINES),
            "take_for": FOR,
        }

    # --- doing --------------------------------------------------------------------------------------------------------

    async def take(self, request: Request) -> Response:
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        for_ = await _length(request)

        async def doing(tx: Tx, number: Number, contact_id: int) -> None:
            await service.take_floor(self._app, tx, number.id, contact_id, viewer.user_id, now, for_)

        return await self._do(request, doing, self._panel)

    async def release(self, request: Request) -> Response:
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()

        async def doing(tx: Tx, number: Number, contact_id: int) -> None:
            await service.release_floor(self._app, tx, number.id, contact_id, viewer.user_id, now)

        return await self._do(request, doing, self._panel if "panel" in request.query_params else self._state)

    async def start(self, request: Request) -> Response:
        """Whoever starts one hands it the chat."""
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()
        async with request.form() as form:
            wanted = str(form.get("automation", ""))

        async def doing(tx: Tx, number: Number, contact_id: int) -> None:
            await service.start(
                self._app, tx, number.id, contact_id, int(wanted) if wanted.isdecimal() else 0, now,
                by=f"{viewer.name or viewer.email} started it", release=True, user_id=viewer.user_id,
            )  # fmt: skip

        return await self._do(request, doing, self._panel)

    async def stop(self, request: Request) -> Response:
        viewer, now = writer_of(request, WRITERS_ONLY), self._app.clock.now()

        async def doing(tx: Tx, number: Number, contact_id: int) -> None:
            run = await queries.open_run(tx, number.id, contact_id)
            if run is not None:
                why = f"{viewer.name or viewer.email} stopped it."
                await service.end_run(tx, number.id, run.id, now, why=why, user_id=viewer.user_id)

        return await self._do(request, doing, self._state)

    async def decide(self, request: Request) -> Response:
        """Sends or declines what an agent wrote."""
        viewer, decision = writer_of(request, WRITERS_ONLY), request.path_params["decision"]
        if decision not in ("send", "decline"):
            raise HTTPException(404)
        dropped = ""
        async with self._app.db.transaction() as tx:
            number = await self._number(tx, request)
            try:
                decided = await approvals.decide(
                    self._app, tx, number.id, request.path_params["approval"], decision == "send", viewer.user_id
                )
            except NotThere as error:
                raise HTTPException(404) from error
            if decided.state == "dropped":
                dropped = f"It wasn't sent. {decided.why}"
        return PlainTextResponse(dropped, 409) if dropped else await self._state(request)

    async def _do(self, request: Request, doing: Doing, drawn: Drawn) -> Response:
        try:
            async with self._app.db.transaction() as tx:
                await doing(tx, await self._number(tx, request), request.path_params["contact_id"])
        except (NoSuchAutomation, KeyError) as error:  # KeyError: the number has no such chat
            raise HTTPException(404) from error
        except Refused as refused:
            return PlainTextResponse(refused.refusal.says, 409)
        return await drawn(request)


async def _length(request: Request) -> timedelta | None:
    async with request.form() as form:
        said = str(form.get("for", ""))
    try:
        return duration(said) if said else None
    except ValueError as error:
        raise HTTPException(422, f"That isn't a length of time: {error}.") from error
