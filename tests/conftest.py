"""A real PostgreSQL for every test that asks for one.

Migrating takes a second, copying a migrated database a few hundredths: so it's migrated once a session, and
each test gets a copy of its own that goes when the test ends.
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings

from twinline.accounts import passwords
from twinline.app import App
from twinline.db import Database, embedded, migrate
from twinline.kit.clock import ManualClock
from twinline.kit.files import Files
from twinline.kit.vault import Vault
from twinline.settings import Settings

# Hundreds of processes start here, and load the same modules: compiled once, whatever the shell says of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A hash that resists takes as long as a whole test.
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

# The same examples each time, however slow the machine: a change is judged by what it changes. Looking for new ones is
# `pytest --hypothesis-profile=default`.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@pytest.fixture(scope="session")
def database_server() -> str:
    """The server named by ``DATABASE_URL``, else an embedded one in a folder that goes with the session."""
    if url := os.environ.get("DATABASE_URL"):
        return url
    folder = Path(tempfile.mkdtemp(prefix="twinline-"))
    # Registered before the server's own stop, so it runs after it.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    url = embedded.start(folder)
    with psycopg.connect(url, autocommit=True) as connection:
        # Nothing here outlives the machine, so no test waits for its disk.
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def keeper(database_server: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection by which databases are made and dropped."""
    with psycopg.connect(database_server, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def database_url(database_server: str, keeper: psycopg.Connection[Any]) -> Iterator[str]:
    """A migrated database which tests copy and never write to."""
    name = f"template_{uuid4().hex[:12]}"
    keeper.execute(f'CREATE DATABASE "{name}"')
    url = _named(database_server, name)
    migrate.migrate(url)
    yield url
    keeper.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty_database(database_url: str, keeper: psycopg.Connection[Any]) -> Iterator[str]:
    """The address of a database of the test's own, migrated and empty."""
    name, template = f"test_{uuid4().hex[:12]}", urlsplit(database_url).path.lstrip("/")
    keeper.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    yield _named(database_url, name)
    keeper.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


@pytest.fixture
async def app(empty_database: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[App]:
    """An App on a database of its own. Its graph is None: a test that sends puts its own in place."""
    db = Database(empty_database)
    await db.open()
    yield App(
        settings=Settings(data=tmp_path),
        db=db,
        graph=cast(Any, None),
        clock=clock,
        vault=Vault.open(tmp_path, None),
        files=Files(f"file://{tmp_path}/media"),
    )
    await db.close()
