"""Running Twinline: the database made ready, the processes put together.

``cli`` says what to do, this module does it, and errors that a person can mend are of one type, ``OperatorError``.
"""

import asyncio
import contextlib
import fcntl
import gc
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg_pool import PoolTimeout

from twinline.accounts import service as accounts
from twinline.app import App, open_app
from twinline.db import embedded, migrate
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.mirror import archive
from twinline.settings import Settings

FIRST_LOGIN = "first-login.txt"
FIRST_EMAIL = "owner@localhost"
UP = "up.lock"
SIMULATOR = "simulator"
A_LOOK = 1.0  # seconds that another command may look at the lock of an `up`
AN_END = 15.0  # seconds that a simulator may take to end

logger = log.get("operate")

Part = Callable[[asyncio.Event], Awaitable[None]]


class OperatorError(Exception):
    """Something the operator can mend; the message says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Login:
    """The login made at the first start; ``password`` None: it has been changed since."""

    email: str
    password: str | None


def folder(settings: Settings) -> None:
    """Makes the data folder, and sees that it can be written.

    As root it is open to walk through, for the embedded PostgreSQL; so what lies in it is private by itself.
    """
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        if settings.media_url is None:
            (settings.data / "media").mkdir(mode=0o700, exist_ok=True)
        if not os.access(settings.data, os.W_OK | os.X_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as error:
        raise OperatorError(
            f"The data folder {settings.data} can't be written: {error.strerror}. Choose another with --data or "
            "TWINLINE_DATA, or change its owner."
        ) from error


def database(settings: Settings) -> str:
    """The database's URL; without one in the settings the embedded server is started (or joined)."""
    if settings.database_url:
        return settings.database_url
    if opened_to_all := embedded.opened_folders(settings.data):
        logger.warning(
            "As root, the embedded PostgreSQL runs as a user of its own; so that it can, everybody on this machine may "
            "now walk through these folders. Keep data and program out of home folders, or run as another user.",
            opened=[str(path) for path in opened_to_all],
        )
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
    except Exception as error:
        cause = getattr(error, "orig", None) or error  # what the migrations' library wraps
        if isinstance(cause, psycopg.ProgrammingError) and cause.sqlstate is None:
            # Not the error's own words: they would quote the address, and with it the password.
            says = (
                "DATABASE_URL isn't an address of PostgreSQL. It looks like postgresql://user:password@host:5432/name."
            )
        elif isinstance(cause, psycopg.OperationalError):
            says = f"The database can't be reached: {_first_line(cause)}. Start it, or check DATABASE_URL."
        elif isinstance(cause, psycopg.Error):
            says = (
                f"The database couldn't be brought to this release's schema: {_first_line(cause)}. "
                "The user in DATABASE_URL must own the database; mend that, then run `twinline migrate`."
            )
        else:
            raise
        raise OperatorError(says) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[App]:
    """An App on a database that is up to date: what every command begins with."""
    folder(settings)
    url = await asyncio.to_thread(database, settings)
    await asyncio.to_thread(schema, url)
    async with AsyncExitStack() as stack:
        try:
            app = await stack.enter_async_context(open_app(settings, url))
            async with app.db.transaction() as tx:
                await archive.keep_days(tx, app.clock.now().date(), settings.archive_days)
        except PoolTimeout as error:
            raise OperatorError(f"The database doesn't answer: {error}. Start it, or check DATABASE_URL.") from error
        except VaultError as error:
            raise OperatorError(str(error)) from error
        yield app


# --- one `up`, and what others on the folder know of it -------------------------------------------------------------


@contextmanager
def only_one(data: Path) -> Iterator[IO[str]]:
    """Holds the folder for one ``up``; answers the file for ``announce``. Raises OperatorError when another has it."""
    with _locked(data / UP, f"Another `twinline up` is running on {data}.", A_LOOK) as file:
        file.truncate(0)
        yield file


def announce(file: IO[str], settings: Mapping[str, Any]) -> None:
    """Lets the other commands on this folder know what this ``up`` goes by: ``running`` reads it."""
    file.write(json.dumps(settings))
    file.flush()


def running(data: Path) -> dict[str, Any]:
    """The settings of the ``up`` that runs on this folder: its address, and its simulator's. Empty when none runs."""
    try:
        with (data / UP).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        told: dict[str, Any] = json.loads((data / UP).read_text() or "{}")
        return told
    except OSError:
        pass
    return {}


def misses_simulator(settings: Settings) -> bool:
    """Whether this folder has only ever known a simulator, which isn't there: Meta must not be sent its tokens."""
    meant = settings.app_id or "graph_url" in settings.model_fields_set
    return not meant and (settings.data / SIMULATOR).exists()


@contextmanager
def _locked(path: Path, taken: str, patience: float) -> Iterator[IO[str]]:
    """The file, private and locked. Raises OperatorError when another process keeps it for so many seconds."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise OperatorError(
                        f"{taken} Stop it first, or give this one a folder of its own: --data."
                    ) from error
                time.sleep(0.05)
        yield file


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises OperatorError when the port is taken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=False)
    except OSError as error:
        raise OperatorError(
            f"Can't listen on {host}:{port}: {error.strerror}. Stop what uses that port, or choose another with --port."
        ) from error


def nearby(settings: Settings) -> str:
    """Host and port by which this machine reaches the web process."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"


@dataclass(frozen=True, slots=True)
class Simulator:
    """The simulator as a process beside us, and the settings that point at it instead of at Meta."""

    process: asyncio.subprocess.Process
    settings: Mapping[str, Any]

    async def watch(self, stop: asyncio.Event) -> None:
        """A part of ``until_stopped``: without its simulator Twinline ends too. Raises OperatorError then."""
        gone = asyncio.create_task(self.process.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([gone, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not gone.cancel():
            raise OperatorError(
                f"The simulator has ended (exit code {gone.result()}). Start again: all it knew is kept."
            )


@asynccontextmanager
async def simulator(data: Path, hook: str, port: int, options: Iterable[str]) -> AsyncIterator[Simulator]:
    """The simulator on the data folder, delivering to ``hook``. It ends with us, even if we are killed."""
    (data / SIMULATOR).mkdir(parents=True, exist_ok=True)
    clock = data / "clock"
    command = [
        str(Path(sys.executable).parent / "whatsapp-simulator"),
        f"--port={port}",
        f"--data={data / 'simulator'}",
        f"--clock-file={clock}",
        f"--callback={hook}",
        "--until-stdin-closes",
        *options,
    ]
    # The simulator inherits the lock: after a kill -9 the next `up` waits until the old simulator has ended.
    with _locked(data / SIMULATOR / "lock", "The simulator of an earlier `twinline up` still runs.", AN_END) as lock:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[lock.fileno()],
            start_new_session=True,  # Ctrl-C reaches us first, and we stop it
        )
        try:
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            if "listening on" not in line:
                raise OperatorError("The simulator didn't start; it says above why. Its port is --simulator-port.")
            address = line.rsplit(" ", 1)[-1].strip()
            yield Simulator(
                process,
                {
                    "graph_url": address,
                    "app_id": "100000000000001",
                    "app_secret": "simulator-app-secret",
                    "verify_token": "simulator-verify-token",
                    "signup_config_id": "200000000000001",
                    "signup_sdk_url": f"{address}/sdk.js",
                    "signup_origins": (address,),
                    "clock_file": str(clock),
                },
            )
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 5)
    except TimeoutError:
        process.kill()
        await process.wait()


async def first_login(app: App) -> Login:
    """On an empty database makes an organisation and its owner; the password stays in the data folder, mode 0600."""
    note = app.settings.data / FIRST_LOGIN
    async with app.db.transaction() as tx:
        if not await tx.value("SELECT EXISTS (SELECT FROM users)"):
            password = secrets.token_urlsafe(9)
            await accounts.create_user(tx, None, FIRST_EMAIL, "Owner", "owner", password, app.clock.now())
            note.unlink(missing_ok=True)
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
    # As in ``work``: what runs for long loads what other commands needn't wait for.
    from twinline.web.app import build
    from twinline.web.server import server_of

    platform = build(app)
    server = server_of(platform)
    # Signals are ours: one process may hold web and worker.
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    platform.state.live.close()
    server.should_exit = True
    stopping.cancel()
    await serving


async def work(app: App, stop: asyncio.Event) -> None:
    """Runs jobs until ``stop``."""
    from twinline import worker

    working = asyncio.create_task(worker.run(app))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def until_stopped(*parts: Part) -> None:
    """Runs the parts side by side until SIGINT, SIGTERM or SIGHUP. Raises what one of them raises, once all ended."""
    _keep_what_is_loaded()
    stop = asyncio.Event()
    asked: list[int] = []

    def ask(name: int) -> None:
        asked.append(name)
        stop.set()

    for name in ENDING:
        asyncio.get_running_loop().add_signal_handler(name, ask, name)

    async def part(run: Part) -> None:
        try:
            await run(stop)
        finally:
            stop.set()

    for ended in await asyncio.gather(*(part(run) for run in parts), return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
    if not asked:
        raise OperatorError("A part of Twinline has ended by itself; it says above why. Start it again.")


def _keep_what_is_loaded() -> None:
    """The garbage collector needn't walk over it again and again, which takes up to a fifth of a busy process.

    It goes on as often as ever otherwise: looking seldom at more makes longer pauses.
    """
    gc.collect()
    gc.freeze()


# Ctrl-C, the service manager, a terminal that closes (unless that is to be outlived: nohup).
ENDING = (
    signal.SIGINT,
    signal.SIGTERM,
    *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []),
)


def end_like_ctrl_c() -> None:
    """From now on, whatever ends this process lets it tidy up first, as Ctrl-C does by itself."""
    # A shell's background begins deaf to Ctrl-C, and with it to all that is passed on as Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ENDING[1:]:
        signal.signal(name, lambda *_: signal.raise_signal(signal.SIGINT))


def end_undisturbed() -> None:
    """From here on only the database is stopped: a second Ctrl-C would leave it half-way."""
    for name in ENDING:
        signal.signal(name, signal.SIG_IGN)
