"""A transaction that travels in few trips: statements are sent when an answer is needed, not one by one.

A webhook's transaction is a dozen small statements. Waiting for each costs more than running it, and psycopg's own
pipeline sends every statement by itself. Here they gather until somebody reads one of their answers, until the commit,
or until they are pushed; then they leave together, prepared once per connection. What is pushed is run while the next
statements are put together.

It drives libpq through ``psycopg.pq``; values are adapted by psycopg, as everywhere else.
"""

import asyncio
import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq.abc import PGresult

Params = Sequence[Any] | Mapping[str, Any]
Row = tuple[Any, ...]

_REFUSED = {pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED}

_FORMATS = {"s": PyFormat.AUTO, "b": PyFormat.BINARY, "t": PyFormat.TEXT}
_PLACEHOLDER = re.compile(r"%(?:%|(?:\((\w+)\))?([sbt]))")


class _Statement(NamedTuple):
    """SQL as PostgreSQL takes it, and the parameters it names; in the order of their places."""

    text: bytes
    names: tuple[str, ...]
    formats: tuple[PyFormat, ...]


@cache
def _translate(sql: str, has_params: bool) -> _Statement:
    """psycopg's placeholders -> PostgreSQL's. Statements are constants, so this happens once for each."""
    names: list[str] = []
    formats: list[PyFormat] = []

    def numbered(found: re.Match[str]) -> str:
        name, kind = found.groups()
        if kind is None:
            return "%"
        if name is not None and name in names:
            return f"${names.index(name) + 1}"
        names.append(name or "")
        formats.append(_FORMATS[kind])
        return f"${len(names)}"

    text = _PLACEHOLDER.sub(numbered, sql) if has_params else sql
    return _Statement(text.encode(), tuple(names), tuple(formats))


class Answer:
    """What a statement answers, once the server has; asking for it sends what is queued."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._pipeline = pipeline
        self.result: PGresult | None = None

    async def touched(self) -> int:
        """How many rows the statement changed."""
        return (await self._settled()).command_tuples or 0

    async def rows(self) -> list[Row]:
        return self._pipeline.read(await self._settled())

    async def named(self) -> list[dict[str, Any]]:
        result = await self._settled()
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        return [dict(zip(names, row, strict=True)) for row in self._pipeline.read(result)]

    async def _settled(self) -> PGresult:
        if self.result is None:
            await self._pipeline.settle(self)
        assert self.result is not None
        return self.result


class Pipeline:
    """The statements of one transaction. ``prepared`` is what its connection knows: statement and types -> name."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], prepared: dict[object, bytes]) -> None:
        self._pg = connection.pgconn
        self._adapt = Transformer.from_context(connection)
        self._prepared = prepared
        # What the server still owes, in order. None: a statement that is only prepared, or the end.
        self._owed: deque[Answer | None] = deque()
        self._pushed = True  # nothing is queued that hasn't left
        self._pg.enter_pipeline_mode()

    def add(self, sql: str, params: Params = ()) -> Answer:
        """Queues the statement; it leaves with the next ``push``, or when an answer is wanted."""
        statement = _translate(sql, bool(params))
        values = [params[name] for name in statement.names] if isinstance(params, Mapping) else params
        dumped = self._adapt.dump_sequence(values, statement.formats)
        types = self._adapt.types or ()
        name = self._prepared.get((sql, types))
        if name is None:
            name = self._prepared[sql, types] = b"twinline_%d" % len(self._prepared)
            self._pg.send_prepare(name, statement.text, param_types=types)
            self._owed.append(None)
        self._pg.send_query_prepared(name, dumped, param_formats=self._adapt.formats)
        answer = Answer(self)
        self._owed.append(answer)
        self._pushed = False
        return answer

    def push(self) -> None:
        """Lets what is queued leave now; nobody waits for it."""
        if not self._pushed:
            # Not a sync: behind one, the server would run what follows a refused BEGIN, each statement for itself.
            self._pg.send_flush_request()
            self._pg.flush()
            self._pushed = True

    async def settle(self, wanted: Answer | None) -> None:
        """Takes answers until the wanted one, or all. Raises psycopg.Error for a statement that was refused."""
        self.push()
        while self._owed and (wanted is None or wanted.result is None):
            answer = self._owed.popleft()
            result = await self._next()
            assert result is not None
            if result.status in _REFUSED:
                raise error_from_result(result)
            if answer is not None:
                answer.result = result
            if result.status != pq.ExecStatus.PIPELINE_SYNC:
                await self._next()  # None ends the statement

    def read(self, result: PGresult) -> list[Row]:
        self._adapt.set_pgresult(result)
        return self._adapt.load_rows(0, result.ntuples, tuple)

    async def finish(self) -> None:
        self._pg.pipeline_sync()
        self._pg.flush()
        self._owed.append(None)
        self._pushed = True
        await self.settle(None)
        self._pg.exit_pipeline_mode()

    async def _next(self) -> PGresult | None:
        while self._pg.is_busy():
            unsent = self._pg.flush()
            await _ready(self._pg.socket, writing=bool(unsent))
            self._pg.consume_input()
        return self._pg.get_result()


async def _ready(socket: int, *, writing: bool) -> None:
    """Until there is something to read, or room to write."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(socket, wake)
    if writing:
        loop.add_writer(socket, wake)
    try:
        await ready
    finally:
        loop.remove_reader(socket)
        if writing:
            loop.remove_writer(socket)
