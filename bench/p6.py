"""P6: how many numbers one worker and one web process keep at 20 messages a second each, three statuses per message.

Each number has a campaign that waits. A sink that plays Graph notes when each request arrives, and tells the hook of
every message that it was sent, delivered and read; what is due for a number in a tenth of a second is one webhook. So
with 40 numbers the platform makes 800 calls a second, and takes 2,400 statuses in 400 webhooks. A number is *kept* when
it sent at least 19 a second in the seconds that count; more and more numbers are tried until one is left behind.
The same is measured against the simulator, which judges each message by Meta's rules and shares the two cores.

Also what it costs: core-milliseconds per message, of worker, web and PostgreSQL, which say more than the rest on a
machine that others use. And P2 under this load: while ten numbers send, the hook gets their statuses and 800 more
messages a second for other numbers, an open loop as in ``p2``.
"""

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

import httpx

from bench import common, simulator, stage
from bench.common import Figure, quantile
from twinline.app import open_app
from twinline.kit.vault import Vault
from twinline.mirror import turn
from twinline.sending.waking import wake
from twinline.settings import Settings

LADDER = (20, 40, 50, 60)
BEFORE, SECONDS = 3, 8  # until all are at full speed, and those that count
KEPT = 19  # messages a second
MESSAGES = (BEFORE + SECONDS + 4) * 20  # that wait for each number
BESIDE = 10  # numbers that send while P2 is measured
RATE = 800  # webhooks a second for others, then

# So many people have just written to each number, so that their windows are open.
PEOPLE = """
WITH people AS (
    INSERT INTO contacts (number_id, phone)
    SELECT n.id, (1660 * 10000000::bigint + n.id * 10000 + k)::text FROM numbers n, generate_series(1, %s) k
    RETURNING number_id, id, phone
), named AS (
    INSERT INTO identities (number_id, key, contact_id) SELECT number_id, 'p:' || phone, id FROM people
)
INSERT INTO chats (number_id, contact_id, last_inbound_at) SELECT number_id, id, now() FROM people
"""

# All of them wait for a message, again and again.
QUEUE = """
INSERT INTO outbox (number_id, contact_id, lane, author, floor_epoch, created_at, type, text)
SELECT number_id, id, 3, 'campaign', 0, now(), 'text', 'p6-' || number_id
FROM generate_series(1, %s) k, contacts WHERE number_id <= %s ORDER BY k, number_id, id
"""


def run(quick: bool = False) -> list[Figure]:
    ladder, seconds = ((3, 6), 4) if quick else (LADDER, SECONDS)
    figures = []
    for graph in (Sink, Simulated):
        rungs: list[Rung] = []
        for numbers in ladder:
            rungs.append(_climb(graph, numbers, seconds))
            if rungs[-1].kept < numbers:
                break
        best = max(rung.kept for rung in rungs)
        figures.append(
            Figure("P6", f"numbers kept at 20/s, {graph.name}", best, "numbers", wanted=">= 40", met=best >= 40,
                   detail={"rungs": [vars(rung) for rung in rungs]})
        )  # fmt: skip
        cost = min(sum(rung.cost.values()) for rung in rungs)
        figures.append(
            Figure("P6", f"cost of a message and its statuses, {graph.name}", cost, "core-ms",
                   detail={"rungs": [rung.cost for rung in rungs]})
        )  # fmt: skip
    return [*figures, *_answers(3 if quick else BESIDE, 100 if quick else RATE, seconds)]


@dataclass
class Rung:
    numbers: int
    kept: int
    slowest: float  # messages a second
    total: float  # messages a second
    unposted: int  # statuses that waited at the end
    cost: dict[str, float]  # core-ms per message
    answers_p99: float


class Sink:
    """A Graph that only says yes."""

    name = "bare sink"

    def __init__(self, stack: ExitStack) -> None:
        line = stack.enter_context(common.process([sys.executable, "-m", "bench.sink"], dict(os.environ), "listening"))
        self.address = line.rsplit(" ", 1)[1]

    def connect(self, on: common.Platform, port: int) -> None:
        token = Vault.open(on.folder, None).seal("bench-token")
        on.sql("UPDATE numbers SET token = %s, connected_at = now() - interval '1 day'", token)
        on.sql(PEOPLE, MESSAGES)
        httpx.post(f"{self.address}/report?port={port}").raise_for_status()

    def seen(self) -> list[tuple[float, int]]:
        """When each message arrived, and of which number."""
        found = httpx.get(f"{self.address}/seen", timeout=30).json()
        return [(at, int(text.rsplit("-", 1)[1])) for at, text in found if text.startswith("p6-")]

    def reported(self) -> tuple[list[float], int]:
        told = httpx.get(f"{self.address}/reported", timeout=30).json()
        return told["ms"], told["unposted"]


class Simulated(Sink):
    """The simulator."""

    name = "simulator"

    def __init__(self, stack: ExitStack) -> None:
        self._meta = stack.enter_context(simulator.running())
        self.address = self._meta.address

    def connect(self, on: common.Platform, port: int) -> None:
        self._meta.connect(on, port)

    def seen(self) -> list[tuple[float, int]]:
        return self._meta.seen()

    def reported(self) -> tuple[list[float], int]:
        return [0.0], 0


def _climb(graph: type[Sink], numbers: int, seconds: int) -> Rung:
    with ExitStack() as stack:
        meta = graph(stack)
        on = stack.enter_context(stage.platform(numbers=numbers, TWINLINE_GRAPH_URL=meta.address))
        port = stack.enter_context(common.web(on))
        meta.connect(on, port)
        stack.enter_context(common.worker(on))
        _begin(on, numbers)
        time.sleep(BEFORE)
        meter, from_ = stage.Shares(on.folder), time.time()
        time.sleep(seconds)
        used, to = meter.read(), time.time()
        answers, unposted = meta.reported()
        sent = [0] * (numbers + 1)
        for at, number in meta.seen():
            sent[number] += from_ <= at < to
        rates = [count / (to - from_) for count in sent[1:]]
        return Rung(
            numbers,
            sum(rate >= KEPT for rate in rates),
            min(rates),
            sum(rates),
            unposted,
            {who: 1000 * spent / max(1, sum(sent)) for who, spent in used.items()},
            quantile(answers or [0.0], 0.99),
        )


def _begin(on: common.Platform, numbers: int) -> None:
    people = on.sql("SELECT count(*) FROM contacts WHERE number_id = 1")[0][0]
    assert isinstance(people, int)
    on.sql(QUEUE, -(-MESSAGES // people), numbers)
    on.sql("ANALYZE")

    async def wake_all() -> None:
        async with open_app(Settings(data=on.folder), on.url) as app, app.db.transaction() as tx:
            for number_id in sorted(await turn.take(tx, range(1, numbers + 1))):
                await wake(tx, number_id)

    asyncio.run(wake_all())


def _answers(sending: int, rate: int, seconds: int) -> list[Figure]:
    """The hook's answer times while lanes send."""
    with ExitStack() as stack:
        meta = Sink(stack)
        on = stack.enter_context(stage.platform(TWINLINE_GRAPH_URL=meta.address))
        port = stack.enter_context(common.web(on))
        meta.connect(on, port)
        stack.enter_context(common.worker(on))
        traffic = stage.Traffic(on.numbers[sending:])
        stage.run(common.flood(port, traffic.everybody()))
        _begin(on, sending)
        time.sleep(BEFORE)
        times = stage.run(common.steady(port, traffic.many(rate * seconds), rate))
        statuses, _ = meta.reported()
        told: dict[str, object] = {
            "numbers_sending": sending, "webhooks_per_second": rate, "messages_sent": len(meta.seen()),
            "statuses_p50": quantile(statuses or [0.0], 0.5), "statuses_p99": quantile(statuses or [0.0], 0.99),
        }  # fmt: skip
    return [
        Figure("P2", f"answer at {rate}/s while {sending} numbers send, {what}", quantile(times, q), "ms",
               wanted=f"<= {wanted} ms", met=quantile(times, q) <= wanted, detail=told)
        for what, wanted, q in (("p50", 5, 0.5), ("p99", 50, 0.99))
    ]  # fmt: skip


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
