"""P2: how soon a webhook is answered at 1,000 a second, alone and while a history of 100,000 messages is folded.

An open loop: each webhook has an instant at which it is due, and its time counts from there, so a stall is paid for by
all who come during it. The 1,000 are spread over 50 numbers, 20 a second each, which is what Meta allows a shared
number; one of the 50 is also the number whose history comes in. Reference: a bare ASGI app under the same load, in
turns with ours.
"""

import asyncio

from bench import common, stage
from bench.common import Figure, median, quantile

ROUNDS = 5
SECONDS = 2
CHUNK = 1_000


def run(quick: bool = False) -> list[Figure]:
    rounds, chunks = (2, 20) if quick else (ROUNDS, 100)
    with stage.platform() as on, common.web(on) as port, common.worker(on), common.bare_asgi() as bare_port:
        return stage.run(_measure(on, port, bare_port, rounds, chunks))


async def _measure(on: common.Platform, port: int, bare_port: int, rounds: int, chunks: int) -> list[Figure]:
    traffic = stage.Traffic(on.numbers)
    await common.flood(port, traffic.everybody())
    await common.steady(port, traffic.many(stage.RATE), stage.RATE)
    alone: list[list[float]] = []
    bare: list[list[float]] = []
    for _ in range(rounds):
        alone.append(await common.steady(port, traffic.many(stage.RATE * SECONDS), stage.RATE))
        bare.append(await common.steady(bare_port, traffic.many(stage.RATE * SECONDS), stage.RATE))
    bodies = [common.request(common.history(on.numbers[0], i, CHUNK, last=i == chunks - 1)) for i in range(chunks)]
    with stage.Watch(on.url, stage.ALL_FOLDED) as folded:

        async def post() -> None:
            left = iter(bodies)

            async def one(client: common.Client) -> None:
                for body in left:
                    assert await client.send(body) == 200

            async with common.clients(port, 2) as found:
                await asyncio.gather(*(one(client) for client in found))
            folded.arm()

        posting = asyncio.create_task(post())
        begun = asyncio.get_running_loop().time()
        beside = await common.steady(port, traffic.until(lambda: folded.at is not None), stage.RATE, connections=256)
        took = asyncio.get_running_loop().time() - begun
        await posting
    stored = on.sql("SELECT count(*) FROM messages WHERE NOT live")[0][0]
    assert stored == chunks * CHUNK, stored
    figures = []
    for what, wanted, q in (("p50", 5, 0.5), ("p99", 50, 0.99)):
        value = median([quantile(times, q) for times in alone])
        reference = median([quantile(times, q) for times in bare])
        figures.append(
            Figure("P2", f"answer at 1,000/s, alone, {what}", value, "ms", reference, "bare ASGI app, same load",
                   value / reference, f"<= {wanted} ms", value <= wanted,
                   {"rounds": [quantile(times, q) for times in alone]})
        )  # fmt: skip
    for what, wanted, q in (("p50", 5, 0.5), ("p99", 50, 0.99)):
        value = quantile(beside, q)
        reference = median([quantile(times, q) for times in alone])
        figures.append(
            Figure("P2", f"answer at 1,000/s while {chunks * CHUNK:,} of history are folded, {what}", value, "ms",
                   reference, "alone", value / reference, f"<= {wanted} ms", value <= wanted,
                   {"answers": len(beside), "seconds": took, "longest": max(beside),
                    "history_per_second": chunks * CHUNK / took})
        )  # fmt: skip
    return figures


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
