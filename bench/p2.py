"""P2: how soon a webhook is answered at 1,000 a second, alone and while a history of 100,000 messages is folded.

An open loop: each webhook has an instant at which it is due, and its time counts from there, so a stall is paid for by
all who come during it. The 1,000 are spread over 50 numbers, 20 a second each, which is what Meta allows a shared
number; one of the 50, from the middle, is also the number whose history comes in. References: a bare ASGI app under the
same load, in turns with ours; and, beside ours, one row that a plain connection inserts and commits 50 times a second,
which says what a wake-up, a commit and the disk cost on this machine at this moment.
"""

import asyncio
import threading
import time

import psycopg

from bench import common, stage
from bench.common import Figure, median, quantile

ROUNDS = 5
SECONDS = 2
CHUNK = 1_000
PATIENCE = 120  # seconds


def run(quick: bool = False) -> list[Figure]:
    rounds, chunks = (2, 20) if quick else (ROUNDS, 100)
    with stage.platform() as on, common.web(on) as port, common.worker(on), common.bare_asgi() as bare_port:
        return stage.run(_measure(on, port, bare_port, rounds, chunks))


class Rows:
    """One row after the other, each committed, in a thread; the ms that each took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.times: list[float] = []

    def __enter__(self) -> list[float]:
        self._thread.start()
        return self.times

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS bench_rows (at timestamptz DEFAULT now())")
            while not self._end.wait(0.02):
                begun = time.perf_counter()
                connection.execute("INSERT INTO bench_rows DEFAULT VALUES", prepare=True)
                self.times.append((time.perf_counter() - begun) * 1000)


async def _measure(on: common.Platform, port: int, bare_port: int, rounds: int, chunks: int) -> list[Figure]:
    traffic = stage.Traffic(on.numbers)
    await common.flood(port, traffic.everybody())
    await common.steady(port, traffic.many(stage.RATE), stage.RATE)
    alone: list[list[float]] = []
    bare: list[list[float]] = []
    rows: list[list[float]] = []
    cost: list[tuple[float, float]] = []
    for _ in range(rounds):
        meter = stage.Meter(on.folder)
        with Rows(on.url) as committed:
            alone.append(await common.steady(port, traffic.many(stage.RATE * SECONDS), stage.RATE))
        rows.append(committed)
        cost.append(meter.read())
        bare.append(await common.steady(bare_port, traffic.many(stage.RATE * SECONDS), stage.RATE))
    beside, committed, took = await _beside(on, port, traffic, chunks)
    bare_told = {
        "bare_p50": median([quantile(times, 0.5) for times in bare]),
        "bare_p99": median([quantile(times, 0.99) for times in bare]),
        "cores_python": median([python for python, _ in cost]) / SECONDS,
        "cores_postgres": median([postgres for _, postgres in cost]) / SECONDS,
    }
    figures = []
    for what, wanted, q in (("p50", 5, 0.5), ("p99", 50, 0.99)):
        value = median([quantile(times, q) for times in alone])
        reference = median([quantile(times, q) for times in rows])
        figures.append(
            Figure("P2", f"answer at 1,000/s, alone, {what}", value, "ms", reference, "one row committed",
                   value / reference, f"<= {wanted} ms", value <= wanted,
                   {"rounds": [quantile(times, q) for times in alone], **bare_told})
        )  # fmt: skip
    for what, wanted, q in (("p50", 5, 0.5), ("p99", 50, 0.99)):
        value, reference = quantile(beside, q), quantile(committed, q)
        figures.append(
            Figure("P2", f"answer at 1,000/s while {chunks * CHUNK:,} of history are folded, {what}", value, "ms",
                   reference, "one row committed", value / reference, f"<= {wanted} ms", value <= wanted,
                   {"answers": len(beside), "seconds": took, "longest": max(beside),
                    "history_per_second": chunks * CHUNK / took})
        )  # fmt: skip
    return figures


async def _beside(
    on: common.Platform, port: int, traffic: stage.Traffic, chunks: int
) -> tuple[list[float], list[float], float]:
    """Posts a history while the load goes on until it is folded: (answer times, ms of committed rows, seconds)."""
    number = on.numbers[len(on.numbers) // 2]
    bodies = iter([common.request(common.history(number, i, CHUNK, last=i == chunks - 1)) for i in range(chunks)])

    async def one(client: common.Client) -> None:
        for body in bodies:
            assert await client.send(body) == 200

    async def post() -> None:
        async with common.clients(port, 2) as found:
            await asyncio.gather(*(one(client) for client in found))
        folded.arm()

    begun = time.perf_counter()
    with stage.Watch(on.url, stage.ALL_FOLDED) as folded, Rows(on.url) as committed:
        posting = asyncio.create_task(post())

        def done() -> bool:
            failed = posting.done() and posting.exception() is not None
            return failed or folded.at is not None or time.perf_counter() - begun > PATIENCE

        beside = await common.steady(port, traffic.until(done), stage.RATE, connections=256)
        took = time.perf_counter() - begun
        await posting
    stored = on.sql("SELECT count(*) FROM messages WHERE NOT live")[0][0]
    assert stored == chunks * CHUNK, f"{stored} of {chunks * CHUNK} were folded within {took:.0f} s"
    return beside, committed, took


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
