"""A transaction that travels in few trips: statements are sent when an answer is needed, not one by one.

A webhook's transaction is a dozen small statements. Waiting for each costs more than running it, and psycopg's own
pipeline sends every statement by itself. Here they gather until somebody reads one of their answers, or until the
commit; then they leave together, prepared once per connection, and all their answers come back together.

It drives libpq through ``psycopg.pq``; values are adapted by psycopg, as everywhere else.
"""

import asyncio
import re
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
    """What a statement answers, once its pipeline was flushed; asking for it flushes."""

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
            await self._pipeline.flush()
        assert self.result is not None
        return self.result


class Pipeline:
    """The statements of one transaction. ``prepared`` is what its connection knows: statement and types -> name."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], prepared: dict[object, bytes]) -> None:
        self._pg = connection.pgconn
        self._adapt = Transformer.from_context(connection)
        self._prepared = prepared
        self._queued: list[Answer | None] = []  # None: a statement that is only prepared
        self._pg.enter_pipeline_mode()

    def add(self, sql: str, params: Params = ()) -> Answer:
        """Queues the statement; it leaves with the next ``flush``."""
        statement = _translate(sql, bool(params))
        values = [params[name] for name in statement.names] if isinstance(params, Mapping) else params
        dumped = self._adapt.dump_sequence(values, statement.formats)
        types = self._adapt.types or ()
        name = self._prepared.get((sql, types))
        if name is None:
            name = self._prepared[sql, types] = b"twinline_%d" % len(self._prepared)
            self._pg.send_prepare(name, statement.text, param_types=types)
            self._queued.append(None)
        self._pg.send_query_prepared(name, dumped, param_formats=self._adapt.formats)
        answer = Answer(self)
        self._queued.append(answer)
        return answer

    async def flush(self) -> None:
        """Sends what is queued and takes all answers. Raises the first psycopg.Error among them."""
        queued, self._queued = self._queued, []
        self._pg.pipeline_sync()
        refused: PGresult | None = None
        for answer in queued:
            result = await self._next()
            assert result is not None
            if result.status in _REFUSED:
                refused = refused or result
            elif answer is not None:
                answer.result = result
            await self._next()  # None ends the statement
        await self._next()  # the sync itself
        if refused is not None:
            raise error_from_result(refused)

    def read(self, result: PGresult) -> list[Row]:
        self._adapt.set_pgresult(result)
        return self._adapt.load_rows(0, result.ntuples, tuple)

    async def finish(self) -> None:
        await self.flush()
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
