"""Bringing a database to this release's schema, and refusing one that is ahead of it."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


class DatabaseTooNew(Exception):
    """The database was written by a newer release than this one."""


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["url"] = url
    return config


def current(url: str) -> str | None:
    """The revision the database stands at; None when it is empty."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None


def head() -> str:
    revision = ScriptDirectory.from_config(_config("")).get_current_head()
    assert revision is not None
    return revision


def check(url: str) -> bool:
    """Whether the database is at this release's schema. Raises DatabaseTooNew when it is ahead."""
    revision = current(url)
    known = {script.revision for script in ScriptDirectory.from_config(_config(url)).walk_revisions()}
    if revision is not None and revision not in known:
        raise DatabaseTooNew(
            f"The database is at schema {revision}, which this release doesn't know: a newer Twinline has written "
            "it. Start that release (or a newer one), or restore the backup made before the upgrade."
        )
    return revision == head()


def migrate(url: str) -> None:
    """Raises DatabaseTooNew; otherwise the database is at head afterwards."""
    if not check(url):
        command.upgrade(_config(url), "head")
