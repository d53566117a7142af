"""How migrations run: one transaction, under an advisory lock, never waiting long for a table."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, text

# Any constant will do, as long as every release uses the same one.
ADVISORY_LOCK = 0x7717_11E


def run() -> None:
    url = context.config.attributes["url"]
    # By psycopg itself, so that every spelling of an address that the rest of the house understands is understood here.
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.connect() as connection:
        # Two deploys at once: the second waits here and then finds nothing left to do.
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        try:
            connection.execute(text("SET lock_timeout = '5s'"))
            connection.execute(text("SET statement_timeout = '10min'"))
            connection.commit()
            context.configure(connection=connection, target_metadata=None)
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
            connection.commit()
    engine.dispose()


run()
