"""The pages about numbers: the list, connecting, one number, its first synchronisation, the doctor."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from twinline.accounts.gate import SecurityHeaders, administrator_of, viewer_of
from twinline.app import App
from twinline.costs import service as costing
from twinline.costs.models import rounded
from twinline.kit.html import render, see_other
from twinline.meta import signup
from twinline.meta.graph import GraphError
from twinline.mirror import service as mirror
from twinline.numbers import connect, doctor, invite, queries, requirements, service, sync, words
from twinline.numbers.models import Number, Onboarding
from twinline.numbers.service import NumberError
from twinline.rules import capabilities, pricing
from twinline.rules.requirements import Check, Known, Status, checklist, ready
from twinline.sending import stops

NOTICES_SHOWN = 30
# What the checklist asks of the owner, and so must be answered before going on.
OWNERS = ("app_version", "country", "warm_up")
PAUSES = (0, 15, 30, 60, 120, 240, 480, 1440)  # minutes

ADMINISTRATORS_ONLY = "Only an owner or administrator of the organisation may do this. Ask one of them."


def routes(app: App) -> list[BaseRoute]:
    pages, wizard = _Pages(app), _Wizard(app)
    return [
        Route("/numbers", pages.list),
        Route("/numbers/invite", pages.invite, methods=["POST"]),
        Route("/numbers/add", pages.add, methods=["GET", "POST"]),
        Route("/numbers/connect", wizard.begin, methods=["GET", "POST"]),
        Route("/numbers/connect/checks", wizard.checks),
        *wizard.routes("/numbers/connect/{onboarding:int}"),
        *wizard.routes("/join/{invitation}"),
        Route("/numbers/{number:int}", pages.number),
        Route("/numbers/{number:int}/preferences", pages.preferences, methods=["POST"]),
        Route("/numbers/{number:int}/resume", pages.resume, methods=["POST"]),
        Route("/numbers/{number:int}/costs", pages.costs, methods=["GET", "POST"]),
        Route("/numbers/{number:int}/disconnect", pages.disconnect),
        Route("/numbers/{number:int}/sync", pages.sync),
        Route("/numbers/{number:int}/sync/ledger", pages.ledger),
        Route("/numbers/{number:int}/sync/{kind}", pages.request_sync, methods=["POST"]),
        Route("/capabilities", pages.capabilities),
        Route("/doctor", pages.doctor),
        Route("/doctor/read-again", pages.read_again, methods=["POST"]),
    ]


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app

    async def list(self, request: Request) -> Response:
        return await self._list(request)

    async def _list(self, request: Request, invitation: str = "") -> Response:
        organisation_id = viewer_of(request).organisation_id
        async with self._app.db.transaction() as tx:
            numbers = await queries.numbers(tx, organisation_id)
            unfinished = await queries.open_onboardings(tx, organisation_id)
        return render(
            request,
            "numbers/list.html",
            numbers=numbers,
            unfinished=unfinished,
            invitation=invitation,
            words=words,
        )

    async def invite(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        now = self._app.clock.now()
        async with self._app.db.transaction() as tx:
            onboarding_id = await service.invite(tx, viewer.organisation_id, viewer.user_id, now)
        sealed = invite.seal(self._app.vault, viewer.organisation_id, onboarding_id, now)
        return await self._list(request, f"{self._app.settings.address}/join/{sealed}")

    async def add(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        names, problem = ("waba_id", "phone_number_id", "token"), ""
        # A number whose token ended leads here and names itself.
        given = {name: request.query_params.get(name, "") for name in names}
        if request.method == "POST":
            form = await request.form()
            given = {name: str(form.get(name, "")).strip() for name in names}
            try:
                number_id = await service.add_with_token(
                    self._app, viewer.organisation_id, user_id=viewer.user_id, **given
                )
            except NumberError as error:
                problem = str(error)
            except GraphError as error:
                problem = f"{error.outcome.says} {error.outcome.do} Meta said: {error}"
            else:
                return see_other(f"/numbers/{number_id}")
        # A token that was refused isn't sent back to the page.
        given["token"] = ""
        status = 422 if problem else 200
        return render(request, "numbers/add.html", status=status, given=given, problem=problem)

    async def number(self, request: Request) -> Response:
        now = self._app.clock.now()
        async with self._app.db.transaction() as tx:
            number = await self._number(request)
            notices = await queries.latest_notices(tx, number.id, NOTICES_SHOWN)
            account = await sync.account(tx, number, now)
            free_left = await costing.free_left(tx, number.id, now)
            stopped = await stops.standing(tx, number.id, now)
            held = await stops.held(tx, number.id) if stopped else {}
        return render(
            request,
            "numbers/number.html",
            number=number,
            stopped=stopped,
            held=held,
            free_left=free_left,
            allowance=pricing.rules().free_service_messages,
            notices=notices,
            account=account,
            banners=words.banners(number, now),
            pauses=PAUSES,
            words=words,
        )

    async def preferences(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        form = await request.form()
        try:
            pause = timedelta(minutes=int(str(form.get("phone_pause", ""))))
        except ValueError as error:
            raise HTTPException(422, "The pause has to be a number of minutes.") from error
        number_id = request.path_params["number"]
        try:
            async with self._app.db.transaction() as tx:
                await service.set_preferences(
                    tx,
                    viewer.organisation_id,
                    number_id,
                    phone_pause=pause,
                    keep_edited=form.get("keep_edited") == "yes",
                    send_receipts=form.get("send_receipts") == "yes",
                    send_typing=form.get("send_typing") == "yes",
                    count_echoes=form.get("count_echoes") == "yes",
                    user_id=viewer.user_id,
                    now=self._app.clock.now(),
                )
        except NumberError as error:
            raise HTTPException(422, str(error)) from error
        return see_other(f"/numbers/{number_id}")

    async def resume(self, request: Request) -> Response:
        """A person lets go on what stands still, whatever Meta may say to the next message."""
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        number = await self._number(request)
        form = await request.form()
        async with self._app.db.transaction() as tx:
            now = self._app.clock.now()
            button = str(form.get("stop", ""))
            if not await stops.resume(tx, viewer.organisation_id, number.id, button, viewer.user_id, now):
                raise HTTPException(409, "This doesn't stand still any more, or ends only by itself. Look again.")
        return see_other(f"/numbers/{number.id}")

    async def costs(self, request: Request) -> Response:
        """The month so far, and what is known of the account that pays. POST: a person's own words on that."""
        number = await self._number(request)
        now = self._app.clock.now()
        problem = ""
        if request.method == "POST":
            viewer = administrator_of(request, ADMINISTRATORS_ONLY)
            form = await request.form()
            given = {name: str(form.get(name, "")).strip() for name in ("currency", "zone", "hours")}
            try:
                async with self._app.db.transaction() as tx:
                    await costing.set_account(tx, number.id, user_id=viewer.user_id, now=now, **given)
            except costing.CostError as error:
                problem = str(error)
            else:
                return see_other(f"/numbers/{number.id}/costs")
        async with self._app.db.transaction() as tx:
            account = await costing.account_of(tx, number.id)
            month = await costing.month(tx, number.id, now)
        assert account is not None
        return render(
            request,
            "numbers/costs.html",
            status=422 if problem else 200,
            number=number,
            account=account,
            month=month,
            meta_zone=pricing.zone_name(account.timezone_id),
            zones=costing.zones(),
            allowance=pricing.rules().free_service_messages,
            problem=problem,
            rounded=rounded,
            words=words,
        )

    async def disconnect(self, request: Request) -> Response:
        return render(request, "numbers/disconnect.html", number=await self._number(request), words=words)

    async def sync(self, request: Request) -> Response:
        return await self._sync(request, "numbers/sync.html")

    async def ledger(self, request: Request) -> Response:
        return await self._sync(request, "numbers/_ledger.html")

    async def _sync(self, request: Request, template: str, status: int = 200, problem: str = "") -> Response:
        now = self._app.clock.now()
        number = await self._number(request)
        async with self._app.db.transaction() as tx:
            account = await sync.account(tx, number, now)
        return render(
            request,
            template,
            status=status,
            number=number,
            account=account,
            now=now,
            problem=problem,
            words=words,
        )

    async def request_sync(self, request: Request) -> Response:
        administrator_of(request, ADMINISTRATORS_ONLY)
        number = await self._number(request)
        kind = request.path_params["kind"]
        if kind not in sync.KINDS:
            raise HTTPException(404)
        try:
            await sync.request(self._app, number.id, kind, by_hand=True)
        except NumberError as error:
            return await self._sync(request, "numbers/sync.html", 409, str(error))
        except GraphError as error:
            return await self._sync(request, "numbers/sync.html", 502, f"{error.outcome.says} {error.outcome.do}")
        return see_other(f"/numbers/{number.id}/sync")

    async def _number(self, request: Request) -> Number:
        async with self._app.db.transaction() as tx:
            number = await queries.number(tx, viewer_of(request).organisation_id, request.path_params["number"])
        if number is None:
            raise HTTPException(404)
        return number

    async def capabilities(self, request: Request) -> Response:
        return render(request, "numbers/capabilities.html", features=capabilities.features())

    async def doctor(self, request: Request) -> Response:
        return await self._doctor(request)

    async def read_again(self, request: Request) -> Response:
        administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            count = await mirror.retry_unreadable(tx, self._app.clock.now())
        return await self._doctor(request, count)

    async def _doctor(self, request: Request, again: int | None = None) -> Response:
        findings = await doctor.run(self._app, administrator_of(request, ADMINISTRATORS_ONLY).organisation_id)
        return render(request, "numbers/doctor.html", findings=findings, again=again)


@dataclass(frozen=True, slots=True)
class _Guest:
    """Who goes through the wizard: a viewer, or somebody with an invitation. ``base`` is the wizard's address."""

    organisation_id: int
    onboarding_id: int
    base: str


class _Wizard:
    """Connecting, page by page. Which page is shown follows from the onboarding's row alone."""

    def __init__(self, app: App) -> None:
        self._app = app

    def routes(self, base: str) -> list[BaseRoute]:
        return [
            Route(base, self.show),
            Route(f"{base}/checks", self.checks),
            Route(f"{base}/answers", self.answers, methods=["POST"]),
            Route(f"{base}/agree", self.agree, methods=["POST"]),
            Route(f"{base}/finish", self.finish, methods=["POST"]),
            Route(f"{base}/choose", self.choose, methods=["POST"]),
            Route(f"{base}/retry", self.retry, methods=["POST"]),
            Route(f"{base}/progress", self.progress),
        ]

    async def begin(self, request: Request) -> Response:
        """The first page for somebody who is logged in; the row is only made when it is sent."""
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        if request.method == "GET":
            return self._check_page(request, "/numbers/connect", {"phone": request.query_params.get("phone")})
        seen = _seen(await request.form())
        known = await requirements.known_before(self._app, seen)
        if not _may_go_on(checklist(known)):
            return self._check_page(request, "/numbers/connect", seen, checklist(known))
        async with self._app.db.transaction() as tx:
            onboarding_id = await service.begin(tx, viewer.organisation_id, viewer.user_id, seen, self._app.clock.now())
        return see_other(f"/numbers/connect/{onboarding_id}")

    async def answers(self, request: Request) -> Response:
        """The first page for somebody who was invited."""
        guest, onboarding = await self._onboarding(request)
        seen = _seen(await request.form())
        known = await requirements.known_before(self._app, seen)
        if not _may_go_on(checklist(known)):
            return self._check_page(request, f"{guest.base}/answers", seen, checklist(known))
        async with self._app.db.transaction() as tx:
            await service.answer(tx, guest.organisation_id, onboarding.id, seen)
        return see_other(guest.base)

    def _check_page(
        self, request: Request, action: str, seen: Mapping[str, Any], lines: tuple[Check, ...] = ()
    ) -> Response:
        return render(
            request,
            "numbers/check.html",
            status=422 if lines else 200,
            at=1,
            action=action,
            checks=f"{action.removesuffix('/answers')}/checks",
            seen={"phone": None, "app_version": None, "days_in_use": None, **seen},
            heading="What stands in the way",
            lines=[line for line in lines if line.status in (Status.FAIL, Status.ASK)],
        )

    async def checks(self, request: Request) -> Response:
        """The part of the checklist that is asked of Graph; fetched by the first page, since it may take a while."""
        known = await self._known(request)
        lines = [line for line in checklist(known) if line.id not in OWNERS]
        return render(request, "numbers/_checks.html", heading="What Meta says", lines=lines)

    async def _known(self, request: Request) -> Known:
        if request.path_params:
            guest, onboarding = await self._onboarding(request)
            async with self._app.db.transaction() as tx:
                number = await queries.number(tx, guest.organisation_id, onboarding.number_id or 0)
            if number is not None and number.token is not None:
                token = self._app.vault.unseal(number.token)
                return await requirements.known_after(self._app, number.waba_id, token)
        return await requirements.known_before(self._app)

    async def show(self, request: Request) -> Response:
        guest, onboarding = await self._onboarding(request)
        if "seen" not in onboarding.answers:
            return self._check_page(request, f"{guest.base}/answers", {})
        if onboarding.agreed_at is None:
            return self._agree_page(request, guest, onboarding)
        if onboarding.step == "exchange":
            return self._popup_page(request, guest, onboarding)
        return await self._progress_page(request, "numbers/progress.html", guest, onboarding)

    def _agree_page(self, request: Request, guest: _Guest, onboarding: Onboarding) -> Response:
        lines = checklist(requirements.from_owner(onboarding.answers["seen"]))
        return render(
            request,
            "numbers/agree.html",
            at=2,
            base=guest.base,
            features=capabilities.features(),
            matrix_date=_matrix_date(),
            warnings=[line for line in lines if line.status is Status.WARN and line.id in OWNERS],
        )

    def _popup_page(self, request: Request, guest: _Guest, onboarding: Onboarding) -> Response:
        settings = self._app.settings
        viewer = request.state.viewer
        response = render(
            request,
            "numbers/popup.html",
            at=3,
            base=guest.base,
            onboarding=onboarding,
            ready=bool(settings.app_id and settings.signup_config_id),
            signup={
                "sdk": settings.signup_sdk_url,
                "appId": settings.app_id,
                "version": settings.graph_version,
                "options": signup.login_options(
                    settings.signup_config_id, settings.signup_feature_type, settings.signup_session_info
                ),
                "origins": list(settings.signup_origins),
                "finish": f"{guest.base}/finish",
                "csrf": viewer.csrf_token if viewer else "",
            },
        )
        response.headers["content-security-policy"] = _popup_policy(settings.signup_sdk_url, settings.signup_origins)
        # The popup answers through window.opener, which the usual policy would cut.
        response.headers["cross-origin-opener-policy"] = "same-origin-allow-popups"
        return response

    async def agree(self, request: Request) -> Response:
        guest, onboarding = await self._onboarding(request)
        form = await request.form()
        if form.get("agreed") != "yes":
            raise HTTPException(422, "Without your agreement the number can't be connected. Nothing has changed.")
        async with self._app.db.transaction() as tx:
            await service.agree(
                tx,
                guest.organisation_id,
                onboarding.id,
                _matrix_date(),
                request.state.viewer.user_id if request.state.viewer else None,
                self._app.clock.now(),
            )
        return see_other(guest.base)

    async def finish(self, request: Request) -> Response:
        guest = await self._guest(request)
        try:
            given = orjson.loads(await request.body())
            code, message = given["code"], given["message"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise HTTPException(400, "This isn't what the signup page sends.") from error
        problem = await connect.finish(
            self._app,
            guest.organisation_id,
            guest.onboarding_id,
            code if isinstance(code, str) and code else None,
            message if isinstance(message, dict) else None,
        )
        return JSONResponse({"problem": problem} if problem else {"next": guest.base})

    async def choose(self, request: Request) -> Response:
        guest, onboarding = await self._onboarding(request)
        form = await request.form()
        try:
            async with self._app.db.transaction() as tx:
                await service.choose(tx, guest.organisation_id, onboarding.id, str(form.get("phone_number_id", "")))
        except NumberError as error:
            raise HTTPException(409, str(error)) from error
        return see_other(guest.base)

    async def retry(self, request: Request) -> Response:
        guest, onboarding = await self._onboarding(request)
        async with self._app.db.transaction() as tx:
            await service.retry(tx, guest.organisation_id, onboarding.id)
        return see_other(guest.base)

    async def progress(self, request: Request) -> Response:
        guest, onboarding = await self._onboarding(request)
        return await self._progress_page(request, "numbers/_progress.html", guest, onboarding)

    async def _progress_page(self, request: Request, template: str, guest: _Guest, onboarding: Onboarding) -> Response:
        async with self._app.db.transaction() as tx:
            number = await queries.number(tx, guest.organisation_id, onboarding.number_id or 0)
        at = 4 if onboarding.step == "done" else 3
        return render(request, template, at=at, base=guest.base, onboarding=onboarding, number=number, words=words)

    async def _guest(self, request: Request) -> _Guest:
        if sealed := request.path_params.get("invitation"):
            invitation = invite.unseal(self._app.vault, sealed, self._app.clock.now())
            if invitation is None:
                raise HTTPException(403, "This invitation is over, or isn't complete. Ask for a new link.")
            return _Guest(invitation.organisation_id, invitation.onboarding_id, f"/join/{sealed}")
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        onboarding_id = request.path_params["onboarding"]
        return _Guest(viewer.organisation_id, onboarding_id, f"/numbers/connect/{onboarding_id}")

    async def _onboarding(self, request: Request) -> tuple[_Guest, Onboarding]:
        guest = await self._guest(request)
        async with self._app.db.transaction() as tx:
            onboarding = await queries.onboarding(tx, guest.organisation_id, guest.onboarding_id)
        if onboarding is None:
            raise HTTPException(404)
        return guest, onboarding


def _seen(form: Mapping[str, Any]) -> dict[str, Any]:
    """The owner's answers, as they are kept with the onboarding."""
    days = str(form.get("days_in_use", ""))
    return {
        "phone": str(form.get("phone", "")).strip(),
        "app_version": str(form.get("app_version", "")).strip(),
        "days_in_use": int(days) if days.isdecimal() else None,
    }


def _may_go_on(lines: tuple[Check, ...]) -> bool:
    answered = all(line.status is not Status.ASK for line in lines if line.id in OWNERS)
    return ready(lines) and answered


def _matrix_date() -> str:
    return max(feature.date for feature in capabilities.features()).isoformat()


def _popup_policy(sdk_url: str, origins: tuple[str, ...]) -> str:
    """The usual policy, and on top of it what Meta's script needs: to be loaded, to frame, to call home."""
    sdk = urlsplit(sdk_url)
    allowed = " ".join(sorted({f"{sdk.scheme}://{sdk.netloc}", *origins, "https://*.facebook.com"}))
    return f"{SecurityHeaders.POLICY}; script-src 'self' {allowed}; frame-src {allowed}; connect-src 'self' {allowed}"
