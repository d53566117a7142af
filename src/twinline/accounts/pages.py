"""Logging in and out, one's own account, the keys of programs."""

from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from twinline.accounts import gate, keys, queries, service
from twinline.accounts.gate import administrator_of, viewer_of
from twinline.accounts.throttle import Throttle
from twinline.app import App
from twinline.kit.html import render, see_other

AUDIT_LINES = 50
ADMINISTRATORS_ONLY = "Only an owner or administrator of the organisation may do this. Ask one of them."


def routes(app: App) -> list[BaseRoute]:
    pages = _Pages(app)
    return [
        Route("/login", pages.login, methods=["GET"]),
        Route("/login", pages.log_in, methods=["POST"]),
        Route("/logout", pages.log_out, methods=["POST"]),
        Route("/account", pages.account, methods=["GET"]),
        Route("/account/password", pages.change_password, methods=["POST"]),
        Route("/account/keys", pages.keys, methods=["GET"]),
        Route("/account/keys", pages.create_key, methods=["POST"]),
        Route("/account/keys/{key:int}/revoke", pages.revoke_key, methods=["POST"]),
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
            return see_other(local(request.query_params.get("next", "/")))
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
        response = see_other(local(next_path))
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
        response = see_other("/login")
        response.delete_cookie(gate.COOKIE, path="/")
        return response

    async def account(self, request: Request) -> Response:
        return await self._account_page(request)

    async def change_password(self, request: Request) -> Response:
        form = await request.form()
        now = self._app.clock.now()
        viewer = viewer_of(request)
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
        viewer = viewer_of(request)
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

    # --- keys of programs -----------------------------------------------------------------------------------------

    async def keys(self, request: Request) -> Response:
        return await self._keys_page(request)

    async def create_key(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        form = await request.form()
        name, scopes = str(form.get("name", "")), [str(scope) for scope in form.getlist("scope")]
        now = self._app.clock.now()
        try:
            async with self._app.db.transaction() as tx:
                key_id, token = await keys.create(tx, viewer.organisation_id, name, scopes, viewer.user_id, now)
        except service.AccountError as error:
            return await self._keys_page(request, 422, problem=str(error), name=name, chosen=scopes)
        return await self._keys_page(request, 201, token=token, made=key_id)

    async def revoke_key(self, request: Request) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        now = self._app.clock.now()
        try:
            async with self._app.db.transaction() as tx:
                await keys.revoke(tx, viewer.organisation_id, request.path_params["key"], viewer.user_id, now)
        except service.AccountError as error:
            raise HTTPException(404) from error
        return see_other("/account/keys")

    async def _keys_page(self, request: Request, status: int = 200, **context: Any) -> Response:
        viewer = administrator_of(request, ADMINISTRATORS_ONLY)
        async with self._app.db.transaction() as tx:
            known = await keys.of(tx, viewer.organisation_id)
        context = {"problem": "", "token": "", "made": None, "name": "", "chosen": keys.AT_FIRST, **context}
        return render(
            request,
            "accounts/keys.html",
            status=status,
            keys=known,
            scopes=keys.SCOPES,
            longest=keys.LONGEST_NAME,
            address=self._app.settings.address,
            **context,
        )


def _in_words(seconds: float) -> str:
    return f"{round(seconds)} seconds" if seconds < 90 else f"{round(seconds / 60)} minutes"
