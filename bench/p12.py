"""P12: automations. From a customer's message to the automated answer in the lane's hands, and what waiting costs.

A hundred customers a second write, each for the first time, to ten numbers with an automation that answers anything at
once. Counted is from the moment at which a webhook was due to be sent until the answer's row in the outbox is
committed: the event that tells of it is read by a listener. Beside it stands the hook's own answer in the same run.

Then 10,000 conversations wait for customers who don't write, and the platform is left alone: what its processes and the
database use in a while, beside the same while without anybody waiting.
"""

import asyncio
import json
import sys
import time

import psycopg
from psycopg.types.json import Jsonb

from bench import common, stage
from bench.common import Figure, quantile
from twinline.automations import service
from twinline.db import Database
from twinline.kit.clock import SystemClock

RATE = 100  # messages a second
NUMBERS = 10
SECONDS = 30
WAITING = 10_000
IDLE = 30.0  # seconds
DEFINITION = {
    "name": "Greeting",
    "triggers": [{"message": {}}],
    "settings": {"quiet_for": "1s"},
    "steps": [{"send": {"text": "Hello {{contact.name|there}}, we are open until seven."}}],
}

WAIT = """
INSERT INTO contacts (number_id, id, phone)
SELECT 1 + n %% %(numbers)s, 1000000 + n, '34' || lpad(n::text, 9, '0') FROM generate_series(1, %(waiting)s) n;
INSERT INTO runs (number_id, organisation_id, automation_id, version, contact_id, state, waits, wakes_at, run, began_at,
                  moved_at)
SELECT 1 + n %% %(numbers)s, 1, 1, 1, 1000000 + n, 'waiting', 'answer', now() + interval '1 day', %(run)s, now(), now()
FROM generate_series(1, %(waiting)s) n
"""
RUN = {"cursor": "0", "vars": {}, "said": {}, "asked": {}, "steps": 1, "began": None}


def run(quick: bool = False) -> list[Figure]:
    seconds, idle = (5, 5.0) if quick else (SECONDS, IDLE)
    with stage.platform(numbers=NUMBERS) as on, common.web(on) as port, common.worker(on):
        on.sql("UPDATE numbers SET connected_at = now() - interval '1 day'")
        stage.run(_automate(on))
        figures = stage.run(_answers(on, port, seconds))
        on.sql("UPDATE automations SET enabled = false")
        on.sql("DELETE FROM outbox")
        time.sleep(15)  # lanes and engines come to rest
        nobody = _used(on, idle)
        with psycopg.connect(on.url, autocommit=True) as connection:
            named = {"numbers": NUMBERS, "waiting": WAITING, "run": Jsonb(RUN)}
            psycopg.ClientCursor(connection).execute(WAIT, named)
            connection.execute("VACUUM ANALYZE")
        waiting = _used(on, idle)
    return [
        *figures,
        Figure("P12", f"{WAITING:,} conversations that wait", waiting * 1000, "core-ms/s", nobody * 1000,
               "nobody waits", waiting / max(nobody, 1e-9), "", None, {"seconds": idle}),
    ]  # fmt: skip


def _used(on: common.Platform, seconds: float) -> float:
    """Core-seconds a second."""
    meter = stage.Meter(on.folder)
    time.sleep(seconds)
    return sum(meter.read()) / seconds


async def _automate(on: common.Platform) -> None:
    db = Database(on.url, size=1)
    await db.open()
    try:
        async with db.transaction() as tx:
            now = SystemClock().now()
            made = await service.create(tx, 1, DEFINITION, None, now)
            await service.publish(tx, 1, made, None, now)
            await service.enable(tx, 1, made, True, now)
            await tx.execute("UPDATE automations SET quiet_for = '0'")
    finally:
        await db.close()


async def _answers(on: common.Platform, port: int, seconds: int) -> list[Figure]:
    count = RATE * seconds
    now = int(time.time())
    raws = [
        common.request(common.envelope(common.message(on.numbers[n % NUMBERS], n, at=now))) for n in range(count + RATE)
    ]
    heard: dict[tuple[int, int], float] = {}  # event -> when it was committed
    listening = asyncio.create_task(_listen(on.url, heard))
    await asyncio.sleep(0.5)
    await common.steady(port, raws[:RATE], RATE)  # warms up: connections, statements, programs
    await asyncio.sleep(8)
    meter, begun = stage.Meter(on.folder), time.time()
    answered = await common.steady(port, raws[RATE:], RATE)
    await asyncio.sleep(5)
    cost = [used * 1000 / count for used in meter.read()]
    listening.cancel()
    due = {f"1650{n:07}": begun + (n - RATE) / RATE for n in range(RATE, count + RATE)}
    told = on.sql("SELECT number_id, seq, body->'outbox' FROM events WHERE body ? 'outbox' ORDER BY number_id, seq")
    phones = {row[0]: str(row[1]) for row in on.sql("SELECT id, phone FROM contacts")}
    times: dict[str, float] = {}
    for number_id, seq, rows in told:
        for contact, _, state in json.loads(json.dumps(rows)):
            phone = phones[contact]
            if state == "queued" and phone in due and phone not in times:
                times[phone] = (heard[int(str(number_id)), int(str(seq))] - due[phone]) * 1000
    assert len(times) == count, f"{count - len(times)} customers weren't answered"
    took = list(times.values())
    p95 = quantile(took, 0.95)
    detail: dict[str, object] = {"p50": quantile(took, 0.5), "p99": quantile(took, 0.99), "longest": max(took)}
    detail |= {"core_ms_python": cost[0], "core_ms_postgres": cost[1]}  # of a message, its answer, and the lane's try
    hook = quantile(answered, 0.95)
    return [
        Figure("P12", f"message until its automated answer is in the lane at {RATE}/s, p95", p95, "ms", hook,
               "the hook's answer", p95 / hook, "<= 150 ms", p95 <= 150, detail),
    ]  # fmt: skip


async def _listen(url: str, heard: dict[tuple[int, int], float]) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("LISTEN twinline")
        async for notice in connection.notifies():
            at = time.time()
            for part in notice.payload.split(","):
                number_id, seq = part.split(":")
                heard[int(number_id), int(seq)] = at


if __name__ == "__main__":
    for figure in run("--quick" in sys.argv):
        print(figure, figure.detail)
