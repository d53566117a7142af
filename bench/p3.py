"""P3: a history of 100,000 messages from its first chunk to the inbox.

Chunks of 1,000 messages (267 KB) are posted to the hook over four connections and folded by a worker of its own. The
rate counts from the first POST until nothing waits any more. Reference, in turns with it: the rows that came out of
that import (messages, contacts, chats, identities), put from staging tables into the same tables, emptied, with all
their indexes, by ``INSERT … SELECT … ON CONFLICT`` in one transaction. That is the work that no importer can avoid.
"""

import time

import httpx
import psycopg

from bench import common, stage
from bench.common import Figure, median

ROUNDS = 5
CHUNK = 1_000
CHATS = 500
TABLES = {
    "contacts": "(number_id, id) DO UPDATE SET phone = excluded.phone WHERE excluded.phone_v > o.phone_v",
    "identities": "(number_id, key) DO NOTHING",
    "messages": "(number_id, wamid) DO UPDATE SET text = excluded.text WHERE excluded.version > o.version",
    "chats": "(number_id, contact_id) DO UPDATE SET last_at = excluded.last_at",
}


def run(quick: bool = False) -> list[Figure]:
    rounds, chunks = (2, 20) if quick else (ROUNDS, 100)
    rates: list[float] = []
    reference: list[float] = []
    visible: list[float] = []
    answered: list[float] = []
    cost: list[tuple[float, float]] = []
    reference_cost: list[float] = []
    with stage.platform(numbers=rounds + 1) as on, common.web(on) as port, common.worker(on):
        cookie = stage.login(on)
        _import(on, port, cookie, 0, 10)  # warms up: connections, prepared statements, the worker's imports
        _empty(on)
        for number in range(1, rounds + 1):
            meter = stage.Meter(on.folder)
            rate, until_visible, posting = _import(on, port, cookie, number, chunks)
            cost.append(meter.read())
            meter = stage.Meter(on.folder)
            rates.append(rate)
            visible.append(until_visible)
            answered.append(posting)
            reference.append(_reinsert(on, chunks * CHUNK))
            reference_cost.append(meter.read()[1])
            _empty(on)
    ratio = median([a / b for a, b in zip(rates, reference, strict=True)])
    return [
        Figure("P3", f"history of {chunks * CHUNK:,} messages, posted and folded", median(rates), "messages/s",
               median(reference), "INSERT … SELECT … ON CONFLICT", ratio, ">= 0.40 x", ratio >= 0.40,
               {"rates": rates, "references": reference, "seconds_posting": answered,
                "core_seconds_python": median([python for python, _ in cost]),
                "core_seconds_postgres": median([postgres for _, postgres in cost]),
                "core_seconds_reference": median(reference_cost)}),
        Figure("P3", "last chunk's answer until all is in the inbox", median(visible), "s",
               wanted="<= 5 s", met=median(visible) <= 5, detail={"rounds": visible}),
    ]  # fmt: skip


def _import(on: common.Platform, port: int, cookie: str, number: int, chunks: int) -> tuple[float, float, float]:
    """(messages a second, seconds from the last answer until all is shown, seconds of posting)"""
    bodies = [common.history(on.numbers[number], i, CHUNK, chats=CHATS, last=i == chunks - 1) for i in range(chunks)]
    raws = [common.request(body) for body in bodies]
    # The inbox's own view of it: a chat's newest message is shown in its thread, its line in the list.
    with stage.Watch(on.url, stage.ALL_FOLDED, every=0.02) as folded:
        begun = time.perf_counter()
        stage.run(common.flood(port, raws, connections=4))
        last = time.perf_counter()
        folded.arm()
        while folded.at is None:
            if time.perf_counter() - last > 120:
                raise TimeoutError("the history wasn't folded within two minutes")
            time.sleep(0.02)
    _look(on, port, cookie, number + 1, chunks * CHUNK)
    shown = time.perf_counter()
    return chunks * CHUNK / (folded.at - begun), shown - last, last - begun


def _look(on: common.Platform, port: int, cookie: str, number_id: int, count: int) -> None:
    """Every message and line is there, and the pages show them."""
    stored, chats = on.sql(
        "SELECT (SELECT count(*) FROM messages WHERE number_id = %s),"
        " (SELECT count(*) FROM chats WHERE number_id = %s AND last_at IS NOT NULL)",
        number_id,
        number_id,
    )[0]
    assert (stored, chats) == (count, min(CHATS, count)), (stored, chats)
    [(contact_id, text)] = on.sql(
        "SELECT c.contact_id, m.text FROM chats c JOIN messages m ON m.number_id = c.number_id"
        " AND m.wamid = c.last_wamid WHERE c.number_id = %s ORDER BY c.last_at DESC LIMIT 1",
        number_id,
    )
    page = httpx.get(f"http://127.0.0.1:{port}/inbox/{number_id}/{contact_id}", headers={"cookie": cookie})
    assert page.status_code == 200, page.status_code
    assert page.text.count(str(text)) >= 2, "the chat's line and its newest bubble"


def _reinsert(on: common.Platform, count: int) -> float:
    """Messages a second, of the same rows into the same tables."""
    with psycopg.connect(on.url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"CREATE UNLOGGED TABLE staged_{table} AS TABLE {table}")
        connection.execute(f"TRUNCATE {', '.join(TABLES)}")
        connection.execute("CHECKPOINT")
        begun = time.perf_counter()
        with connection.transaction():
            for table, conflict in TABLES.items():
                connection.execute(f"INSERT INTO {table} AS o SELECT * FROM staged_{table} ON CONFLICT {conflict}")
        took = time.perf_counter() - begun
        [stored] = connection.execute("SELECT count(*) FROM messages").fetchone() or (0,)
        assert stored == count, stored
        for table in TABLES:
            connection.execute(f"DROP TABLE staged_{table}")
    return count / took


def _empty(on: common.Platform) -> None:
    on.sql(f"TRUNCATE {', '.join(TABLES)}, webhooks, events, sync_chunks")
    on.sql("CHECKPOINT")


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
