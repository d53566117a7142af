"""P10: what a webhook costs as the messages of a number grow from 10,000 to 10,000,000.

The same flood of single texts by people with chats, on a number that holds so many messages already (made as for P7;
with ten million they are of 100,000 chats). Counted are the seconds of processors that web and database use for each
webhook, which a crowded machine changes less than a rate. Each place is measured on a platform of its own.
"""

import random
from dataclasses import replace

from bench import common, p7, stage
from bench.common import Figure, median

PLACES = (10_000, 10_000_000)
WEBHOOKS = 6_000
ROUNDS = 5


def run(quick: bool = False) -> list[Figure]:
    few, many = (_cost(messages // 100 if quick else messages) for messages in PLACES)
    value, reference = median(many), median(few)
    detail: dict[str, object] = {"few": few, "many": many, "webhooks": WEBHOOKS}
    figure = Figure(
        "P10", "cost of a webhook with 10,000,000 messages", value, "core-µs", reference, "with 10,000",
        value / reference, "<= 1.3 ×", value <= 1.3 * reference, detail,
    )  # fmt: skip
    return [replace(figure, met=None) if quick else figure]


def _cost(messages: int) -> list[float]:
    """Core-microseconds a webhook, by round; the first round warms plans and isn't among them."""
    chats = min(max(messages // 100, 100), p7.CHATS)
    draw = random.Random(10)
    costs = []
    with common.platform(numbers=1) as on:
        p7.fill(on, chats, messages)
        with common.web(on) as port:
            for _ in range(ROUNDS + 1):
                people = [draw.randrange(chats) + 1 for _ in range(WEBHOOKS)]
                said = [common.message(on.numbers[0], person, country=p7.COUNTRY) for person in people]
                raws = [common.request(common.envelope(value)) for value in said]
                meter = stage.Meter(on.folder)
                stage.run(common.flood(port, raws))
                costs.append(sum(meter.read()) / WEBHOOKS * 1e6)
    return costs[1:]


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
