"""P1: live webhooks, verified, normalised and durable, answered after the commit; against a bare ASGI app."""

import asyncio
import random

from bench import common
from bench.common import Figure

ROUNDS = 5
COUNT = 12_000


def run() -> list[Figure]:
    ours: list[float] = []
    bare: list[float] = []
    draw = random.Random(1)
    with common.platform(numbers=10) as on, common.web(on) as port, common.bare_asgi() as bare_port:
        for _ in range(ROUNDS + 1):
            bodies = [
                common.envelope(common.message(draw.choice(on.numbers), draw.randrange(2_000))) for _ in range(COUNT)
            ]
            raws = [common.request(body) for body in bodies]
            bare.append(asyncio.run(common.flood(bare_port, raws)))
            ours.append(asyncio.run(common.flood(port, raws)))
        stored = on.sql("SELECT count(*) FROM messages")[0][0]
        assert stored == COUNT * (ROUNDS + 1), stored
        size = len(bodies[0])
    # The first round warms up: prepared statements, people that are new.
    value, reference = common.median(ours[1:]), common.median(bare[1:])
    ratio = common.median([a / b for a, b in zip(ours[1:], bare[1:], strict=True)])
    return [
        Figure("P1", f"live webhooks of {size} bytes, answered after commit", value, "/s", reference, "bare ASGI app",
               ratio, ">= 0.35 x", ratio >= 0.35, {"ours": ours, "bare": bare}),
    ]  # fmt: skip


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
