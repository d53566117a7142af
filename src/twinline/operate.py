"""Running Twinline: the database made ready, the processes put together.

``cli`` says what to do, this module does it, and errors that a person can mend are of one type, ``OperatorError``.
"""

import asyncio
import contextlib
import fcntl
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import uvicorn
from psycopg_pool import PoolTimeout

from twinline import worker
from twinline.accounts import service as accounts
from twinline.app import App, open_app
from twinline.db import embedded, migrate
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.mirror import archive
from twinline.settings import Settings
from twinline.web.app import build

FIRST_LOGIN = "first-login.txt"
FIRST_EMAIL = "owner@localhost"

logger = log.get("operate")


class OperatorError(Exception):
    """Something the operator can mend; the message says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """The login made at the first start; ``password`` None: it has been changed since."""

    email: str
    password: str | None


def database(settings: Settings) -> str:
    """The database's URL; without one in the settings the embedded server is started (or joined)."""
    if settings.database_url:
        return settings.database_url
    try:
        return embedded.start(settings.data)
    except Exception as error:
        raise OperatorError(
            f"The embedded PostgreSQL in {settings.data / 'postgres'} didn't start: {error}. "
            "Look into its log there, choose another folder with --data, or set DATABASE_URL."
        ) from error


def schema(url: str) -> None:
    """Brings the database to this release's schema."""
    try:
        migrate.migrate(url)
    except migrate.DatabaseTooNew as error:
        raise OperatorError(str(error)) from error
    except psycopg.OperationalError as error:
        raise OperatorError(f"The database can't be reached: {error}. Check DATABASE_URL.") from error


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[App]:
    """An App on a database that is up to date: what every command begins with."""
    url = await asyncio.to_thread(database, settings)
    await asyncio.to_thread(schema, url)
    try:
        async with open_app(settings, url) as app:
            async with app.db.transaction() as tx:
                await archive.keep_days(tx, app.clock.now().date(), settings.archive_days)
            yield app
    except PoolTimeout as error:
        raise OperatorError(f"The database doesn't answer: {error}.") from error
    except VaultError as error:
        raise OperatorError(str(error)) from error


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the folder for one ``up``. Raises OperatorError when another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OperatorError(
                f"Another `twinline up` is running on {folder}. Stop it first, or give this one its own folder with "
                "--data."
            ) from error
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises OperatorError when the port is taken."""
    try:
        return socket.create_server((host, port), backlog=2048, reuse_port=False)
    except OSError as error:
        raise OperatorError(
            f"Can't listen on {host}:{port}: {error.strerror}. Stop what uses that port, or choose another with --port."
        ) from error


async def first_login(app: App) -> Login:
    """On an empty database makes an organisation and its owner; the password stays in the data folder, mode 0600."""
    note = app.settings.data / FIRST_LOGIN
    async with app.db.transaction() as tx:
        if not await tx.value("SELECT EXISTS (SELECT FROM users)"):
            password = secrets.token_urlsafe(9)
            await accounts.create_user(tx, None, FIRST_EMAIL, "Owner", "owner", password, app.clock.now())
            note.touch(mode=0o600)
            note.write_text(password + "\n")
        with contextlib.suppress(FileNotFoundError):
            password = note.read_text().strip()
            if await accounts.authenticate(tx, FIRST_EMAIL, password):
                return Login(FIRST_EMAIL, password)
        email = await tx.value("SELECT email FROM users WHERE role = 'owner' ORDER BY id LIMIT 1")
    return Login(email or FIRST_EMAIL, None)


async def web(app: App, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serves hook and pages until ``stop``."""
    config = uvicorn.Config(
        build(app),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=3,
        ws="none",
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


class _Server(uvicorn.Server):
    """Leaves signals to us: one process may hold web and worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def work(app: App, stop: asyncio.Event) -> None:
    """Runs jobs until ``stop``."""
    working = asyncio.create_task(worker.run(app))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def until_stopped(*parts: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs the parts side by side until SIGINT or SIGTERM, or until one of them ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)

    async def part(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        try:
            await run(stop)
        finally:
            stop.set()

    async with asyncio.TaskGroup() as group:
        for run in parts:
            group.create_task(part(run))
