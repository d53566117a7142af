"""Logging in and out, and one's own account."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from twinline.accounts import gate, queries, service
from twinline.accounts.throttle import Throttle
from twinline.app import App
from twinline.kit.html import render

AUDIT_LINES = 50


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    return [
        Route("/login", pages.login, methods=["GET"]),
        Route("/login", pages.log_in, methods=["POST"]),
        Route("/logout", pages.log_out, methods=["POST"]),
        Route("/account", pages.account, methods=["GET"]),
        Route("/account/password", pages.change_password, methods=["POST"]),
    ]


def local(path: str) -> str:
    """The path if it leads into this site, else the start page: never an open redirect."""
    parts = urlsplit(path)
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc
    return path if inside else "/"


class _Pages:
    def __init__(self, app: App) -> None:
        self._app = app
        self._throttle = Throttle()

    async def login(self, request: Request) -> Response:
        if request.state.viewer is not None:
            return RedirectResponse(local(request.query_params.get("next", "/")), status_code=303)
        return await self._login_page(request, next=request.query_params.get("next", "/"))

    async def log_in(self, request: Request) -> Response:
        form = await request.form()
        email, password = str(form.get("email", "")), str(form.get("password", ""))
        next_path = str(form.get("next", "/"))
        address = request.client.host if request.client else ""
        now = self._app.clock.now()
        key = f"{email.strip().lower()} {address}"
        if wait := self._throttle.wait(key, now):
            problem = f"Too many wrong passwords. Wait {_in_words(wait.total_seconds())}, then try again."
            return await self._login_page(request, 429, email=email, next=next_path, problem=problem)
        async with self._app.db.transaction() as tx:
            user = await service.authenticate(tx, email, password)
            if user is not None:
                session = await service.open_session(tx, user, now, {"address": address})
            else:
                await service.record_refusal(tx, email, now, {"address": address})
        if user is None:
            self._throttle.failed(key, now)
            problem = "The e-mail address or the password isn't right."
            return await self._login_page(request, 401, email=email, next=next_path, problem=problem)
        self._throttle.succeeded(key)
        response = RedirectResponse(local(next_path), status_code=303)
        gate.set_cookie(response, session, self._app)
        return response

    async def _login_page(self, request: Request, status: int = 200, **context: str) -> Response:
        async with self._app.db.transaction() as tx:
            empty = not await queries.anybody(tx)
        context = {"email": "", "next": "/", "problem": "", **context}
        return render(request, "accounts/login.html", status=status, empty=empty, **context)

    async def log_out(self, request: Request) -> Response:
        async with self._app.db.transaction() as tx:
            await service.close_session(tx, request.cookies.get(gate.COOKIE, ""))
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(gate.COOKIE, path="/")
        return response

    async def account(self, request: Request) -> Response:
        return await self._account_page(request)

    async def change_password(self, request: Request) -> Response:
        form = await request.form()
        now = self._app.clock.now()
        viewer = request.state.viewer
        if wait := self._throttle.wait(viewer.email, now):
            problem = f"Too many wrong passwords. Wait {_in_words(wait.total_seconds())}, then try again."
            return await self._account_page(request, 429, problem=problem)
        try:
            async with self._app.db.transaction() as tx:
                await service.change_password(tx, viewer, str(form.get("current", "")), str(form.get("new", "")), now)
        except service.AccountError as error:
            self._throttle.failed(viewer.email, now)
            return await self._account_page(request, 422, problem=str(error))
        self._throttle.succeeded(viewer.email)
        return await self._account_page(
            request, done="Your password is changed. Every other session of yours has ended."
        )

    async def _account_page(
        self, request: Request, status: int = 200, *, problem: str = "", done: str = ""
    ) -> Response:
        viewer = request.state.viewer
        async with self._app.db.transaction() as tx:
            users = await queries.users(tx, viewer.organisation_id)
            entries = await queries.audit(tx, viewer.organisation_id, AUDIT_LINES) if viewer.may_administer else []
        return render(
            request,
            "accounts/account.html",
            status=status,
            users=users,
            entries=entries,
            problem=problem,
            done=done,
            shortest=service.SHORTEST_PASSWORD,
        )


def _in_words(seconds: float) -> str:
    return f"{round(seconds)} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
