"""One pool of psycopg connections, and the transaction that services are handed.

There is no ORM: statements are set-based and stand beside the function that runs them; rows come back as small
frozen classes (``row=`` below). One commit, at the edge: only ``Database.transaction`` commits.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg.rows import class_row, dict_row, tuple_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

T = TypeVar("T")
Params = Sequence[Any] | Mapping[str, Any]

set_json_loads(orjson.loads)

BY_KEY = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)
"""


def as_json(value: object) -> str:
    """A parameter for ``%s::json``: how a batch of rows travels to ``json_to_recordset``."""
    return orjson.dumps(value).decode()


class Tx:
    """An open transaction. Services take one and never commit it."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], pipeline: psycopg.AsyncPipeline | None = None) -> None:
        self.connection = connection
        self._pipeline = pipeline

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Runs the statement; answers how many rows it touched."""
        cursor = await self.connection.execute(sql, params)
        if self._pipeline is not None:
            await self._pipeline.sync()
        return cursor.rowcount

    async def hot(self, sql: str, params: Params = ()) -> psycopg.AsyncCursor[Any]:
        """A statement of the busiest path, planned once per connection.

        In a pipelined transaction it isn't waited for; reading its cursor does that, or the commit.
        """
        return await self.connection.execute(sql, params, prepare=True)

    async def by_key(self) -> None:
        """For the rest of the transaction every lookup goes by key, with plans that are made once and stay.

        On a young database the planner knows no sizes yet: it would read whole tables, and plan each time anew.
        """
        await self.hot(BY_KEY)

    async def rows(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        async with self.connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(sql, params)
            return await cursor.fetchall()

    async def value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row; None when there is none."""
        async with self.connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(sql, params)
            row = await cursor.fetchone()
            return row[0] if row else None

    async def all(self, row: type[T], sql: str, params: Params = ()) -> list[T]:
        """Rows as instances of ``row``, whose fields bear the columns' names."""
        async with self.connection.cursor(row_factory=class_row(row)) as cursor:
            await cursor.execute(sql, params)
            return await cursor.fetchall()

    async def one(self, row: type[T], sql: str, params: Params = ()) -> T | None:
        async with self.connection.cursor(row_factory=class_row(row)) as cursor:
            await cursor.execute(sql, params)
            return await cursor.fetchone()

    async def dicts(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        async with self.connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(sql, params)
            return await cursor.fetchall()


class Database:
    def __init__(self, url: str, *, size: int = 8) -> None:
        self.url = url
        self._pool = AsyncConnectionPool(
            url, min_size=1, max_size=size, open=False, kwargs={"autocommit": True}, configure=_configure
        )

    async def open(self) -> None:
        """Raises psycopg_pool.PoolTimeout when the server doesn't answer."""
        await self._pool.open(wait=True, timeout=15)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._pool.connection() as connection, connection.transaction():
            yield Tx(connection)

    @asynccontextmanager
    async def pipelined(self) -> AsyncIterator[Tx]:
        """A transaction whose statements don't wait for each other's answers unless these are read."""
        async with self._pool.connection() as connection:
            try:
                async with connection.pipeline() as pipeline, connection.transaction():
                    yield Tx(connection, pipeline)
            except BaseException:
                # What failed may have been noticed only at the end, when there was no transaction left to roll back.
                await connection.rollback()
                raise

    async def listener(self) -> psycopg.AsyncConnection[Any]:
        """A connection of its own, for LISTEN; the caller closes it."""
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    # A stuck statement must not hold a number's row for ever.
    await connection.execute("SET statement_timeout = '60s'")
    await connection.execute("SET idle_in_transaction_session_timeout = '60s'")
