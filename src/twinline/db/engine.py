"""One pool of psycopg connections, and the transaction that services are handed.

There is no ORM: statements are set-based and stand beside the function that runs them; rows come back as small
frozen classes (``row=`` below). One commit, at the edge: only ``Database.transaction`` commits.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import orjson
import psycopg
from psycopg.rows import class_row, dict_row, tuple_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool

from twinline.db.pipeline import Answer, Pipeline

T = TypeVar("T")
Params = Sequence[Any] | Mapping[str, Any]
Configure = Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]

set_json_loads(orjson.loads)

# For the pool of pipelined transactions: every lookup goes by key, with plans that are made once and stay. On a young
# database the planner knows no sizes yet: it would read whole tables, and plan each time anew. Without sorts, what asks
# for the newest of many finds the index that has them in order, not one that is as cheap as long as there are few.
BY_KEY = """
SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
       set_config('enable_mergejoin', 'off', false), set_config('enable_sort', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false)
"""


def as_json(value: object) -> str:
    """A parameter for ``%s::json``: how a batch of rows travels to ``json_to_recordset``."""
    return orjson.dumps(value).decode()


class Asked(Protocol):
    """The answer to a statement, when it is wanted."""

    async def rows(self) -> list[tuple[Any, ...]]: ...


class Tx:
    """An open transaction. Services take one and never commit it."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Runs the statement; answers how many rows it touched."""
        return (await self.connection.execute(sql, params)).rowcount

    async def send(self, sql: str, params: Params = ()) -> None:
        """Runs the statement; where the transaction is pipelined, not before somebody waits for an answer."""
        await self.connection.execute(sql, params)

    def ask(self, sql: str, params: Params = ()) -> "Asked":
        """A statement whose answer is read later; where the transaction is pipelined, together with others'."""
        return _Asked(self, sql, params)

    def push(self) -> None:
        """Lets what was sent and asked leave now, where the transaction is pipelined."""

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


@dataclass(frozen=True, slots=True)
class _Asked:
    tx: Tx
    sql: str
    params: Params

    async def rows(self) -> list[tuple[Any, ...]]:
        return await self.tx.rows(self.sql, self.params)


class PipelinedTx(Tx):
    """A transaction whose statements leave together, when an answer is needed (``db.pipeline``)."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], pipeline: Pipeline) -> None:
        super().__init__(connection)
        self._pipeline = pipeline

    def ask(self, sql: str, params: Params = ()) -> Answer:
        return self._pipeline.add(sql, params)

    def push(self) -> None:
        self._pipeline.push()

    async def execute(self, sql: str, params: Params = ()) -> int:
        return await self.ask(sql, params).touched()

    async def send(self, sql: str, params: Params = ()) -> None:
        self.ask(sql, params)

    async def rows(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        return await self.ask(sql, params).rows()

    async def value(self, sql: str, params: Params = ()) -> Any:
        rows = await self.rows(sql, params)
        return rows[0][0] if rows else None

    async def dicts(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        return await self.ask(sql, params).named()

    async def all(self, row: type[T], sql: str, params: Params = ()) -> list[T]:
        return [row(**found) for found in await self.dicts(sql, params)]

    async def one(self, row: type[T], sql: str, params: Params = ()) -> T | None:
        return next(iter(await self.all(row, sql, params)), None)


class Database:
    def __init__(self, url: str, *, size: int = 8) -> None:
        self.url = url
        self._pool = _pool(url, size, _configure)
        # Apart from the others: psycopg forgets all prepared statements of a connection when it rolls back.
        self._by_key = _pool(url, max(size // 2, 1), _configure_by_key)
        self._prepared: WeakKeyDictionary[psycopg.AsyncConnection[Any], dict[object, bytes]] = WeakKeyDictionary()

    async def open(self) -> None:
        """Raises psycopg_pool.PoolTimeout when the server doesn't answer."""
        await self._pool.open(wait=True, timeout=15)
        await self._by_key.open()

    async def close(self) -> None:
        await self._by_key.close()
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._pool.connection() as connection, connection.transaction():
            yield Tx(connection)

    @asynccontextmanager
    async def pipelined(self, *, durable: bool = True) -> AsyncIterator[PipelinedTx]:
        """A transaction for the busiest paths: few trips, and plans by key.

        A statement's failure may show only when an answer is read, or at the end. One that isn't ``durable`` doesn't
        wait for the disk: a crash of the server in the next moment may take it back, but nothing that was committed
        after it stays without it.
        """
        async with self._by_key.connection() as connection:
            try:
                pipeline = Pipeline(connection, self._prepared.setdefault(connection, {}))
                pipeline.add("BEGIN")
                if not durable:
                    pipeline.add("SET LOCAL synchronous_commit = off")
                yield PipelinedTx(connection, pipeline)
                pipeline.add("COMMIT")
                await pipeline.finish()
            except BaseException:
                # Answers may be on their way that nobody waits for; the server rolls back when it is hung up on.
                await connection.close()
                raise

    async def rows(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """Asked in one trip, outside of any transaction."""
        async with self._pool.connection() as connection:
            return await (await connection.execute(sql, params)).fetchall()

    async def value(self, sql: str, params: Params = ()) -> Any:
        """The first column of the first row; None when there is none. Asked as ``rows`` are."""
        rows = await self.rows(sql, params)
        return rows[0][0] if rows else None

    async def listener(self) -> psycopg.AsyncConnection[Any]:
        """A connection of its own, for LISTEN; the caller closes it."""
        # Who only listens would never notice that a peer has gone without a word.
        alive: dict[str, Any] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True, **alive)


def _pool(url: str, size: int, configure: Configure) -> AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
    return AsyncConnectionPool(
        url, min_size=1, max_size=size, open=False, kwargs={"autocommit": True}, configure=configure
    )


async def _configure_by_key(connection: psycopg.AsyncConnection[Any]) -> None:
    await _configure(connection)
    await connection.execute(BY_KEY)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    # A stuck statement must not hold a number's row for ever.
    await connection.execute("SET statement_timeout = '60s'")
    await connection.execute("SET idle_in_transaction_session_timeout = '60s'")
    # A plan by key looks dear to the planner: a server with LLVM would compile it, for longer than it runs.
    await connection.execute("SET jit = off")
