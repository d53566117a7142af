"""Statements that leave together, or as soon as they are pushed."""

import psycopg
import pytest

from twinline.app import App
from twinline.db.pipeline import Pipeline

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO organisations (name, created_at) VALUES (%s, now())"
NAMES = "SELECT name FROM organisations ORDER BY id"


async def names(app: App) -> list[str]:
    async with app.db.transaction() as tx:
        return [name for (name,) in await tx.rows(NAMES)]


async def test_answers_come_in_any_order_of_asking_for_them(app: App) -> None:
    async with app.db.pipelined() as tx:
        await tx.send(INSERT, ("pushed",))
        tx.push()
        first = tx.ask(NAMES)
        tx.push()
        await tx.send(INSERT, ("later",))
        second = tx.ask(NAMES)
        assert await second.rows() == [("pushed",), ("later",)]
        assert await first.rows() == [("pushed",)]
    assert await names(app) == ["pushed", "later"]


async def test_of_a_transaction_in_which_a_pushed_statement_was_refused_nothing_stays(app: App) -> None:
    """Its commit would answer without an error, for PostgreSQL then takes it for the end of what has failed."""

    async def push(*found: str | None) -> None:
        async with app.db.pipelined() as tx:
            for name in found:
                await tx.send(INSERT, (name,))
                tx.push()

    with pytest.raises(psycopg.errors.NotNullViolation):
        await push("before", None, "after")
    assert await names(app) == []
    await push("again")
    assert await names(app) == ["again"]


async def test_no_statement_is_compiled(app: App) -> None:
    """A plan by key has no true price, and a server with LLVM compiles what it holds for dear: for 100 ms and more."""
    async with app.db.pipelined() as by_key, app.db.transaction() as planned:
        for tx in (by_key, planned):
            plan = await tx.rows("EXPLAIN ANALYZE SELECT DISTINCT name FROM organisations ORDER BY name DESC")
            assert not [line for (line,) in plan if "JIT" in line], plan


async def test_without_a_transaction_nothing_that_was_pushed_runs(app: App) -> None:
    """Were each push an end to PostgreSQL, what follows a refused BEGIN would be a transaction of its own."""
    connection = await psycopg.AsyncConnection.connect(app.db.url, autocommit=True)
    pipeline = Pipeline(connection, {})
    for statement in ("BEGIN NOTHING", INSERT % "'alone'"):
        pipeline.add(statement)
        pipeline.push()
    with pytest.raises(psycopg.errors.SyntaxError):
        await pipeline.finish()
    await connection.close()
    assert await names(app) == []
