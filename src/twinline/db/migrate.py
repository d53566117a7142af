"""Bringing a database to this release's schema, and refusing one that is ahead of it."""

from pathlib import Path

import psycopg

MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseTooNew(Exception):
    """The database was written by a newer release than this one."""


def current(url: str) -> str | None:
    """The revision the database stands at; None when it is empty."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None


def known() -> list[str]:
    """The revisions of this release, oldest first: a migration's file name begins with its revision."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def head() -> str:
    return known()[-1]


def check(url: str) -> bool:
    """Whether the database is at this release's schema. Raises DatabaseTooNew when it is ahead."""
    revision = current(url)
    if revision is not None and revision not in known():
        raise DatabaseTooNew(
            f"The database is at schema {revision}, which this release doesn't know: a newer Twinline has written "
            "it. Start that release (or a newer one), or restore the backup made before the upgrade."
        )
    return revision == head()


def migrate(url: str) -> None:
    """Raises DatabaseTooNew; otherwise the database is at head afterwards."""
    if check(url):
        return
    # Half of a command's start would be spent on loading Alembic, which is only needed here.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    command.upgrade(config, "head")
