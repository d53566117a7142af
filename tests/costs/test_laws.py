"""The law of counting: any order, repetition and batching of the same statuses charges the same deliveries."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.costs.conftest import ANA, Bakery
from tests.fixtures import wire
from tests.fixtures.wire import Json

from twinline.costs import service
from twinline.mirror import ingest

pytestmark = pytest.mark.anyio

MESSAGES = ("wamid.out1", "wamid.out2", "wamid.out3")  # two texts and a template
MIDNIGHT = int(datetime(2026, 11, 1, 7, tzinfo=UTC).timestamp())  # of the account, in Los Angeles

PRICES = st.sampled_from(
    (
        {},
        {"pricing": {"type": "regular", "category": "marketing"}},
        {"pricing": {"type": "regular", "category": "utility"}},
        {"pricing": {"type": "free_customer_service", "category": "utility"}},
        {"pricing": {"type": "free_entry_point", "category": "referral_conversion"}},
    )
)


@st.composite
def statuses(draw: st.DrawFn) -> Json:
    word = draw(st.sampled_from(("sent", "delivered", "read", "failed")))
    at = MIDNIGHT + draw(st.integers(-2, 2))
    told = wire.status(ANA, draw(st.sampled_from(MESSAGES)), word, at, **draw(PRICES))
    return wire.statuses(told, human=ANA)


class TakeBack(Exception):
    """Ends a transaction whose work was only wanted for a look."""


async def charged(bakery: Bakery, batches: Sequence[Sequence[Json]]) -> tuple[Any, ...]:
    """The deliveries, and both months' counts, after these batches; the database is left as it was."""
    found: tuple[Any, ...] = ()
    try:
        async with bakery.app.db.transaction() as tx:
            for batch in batches:
                arrivals = [ingest.read(wire.body(webhook), 1 << 20) for webhook in batch]
                await ingest.ingest(bakery.app, tx, arrivals, [service.follow], bakery.clock.now())
            rows = await tx.rows("SELECT wamid, at, category, entry, in_window FROM deliveries ORDER BY wamid")
            months = [
                await service.month(tx, bakery.number_id, datetime(2026, *day, tzinfo=UTC))
                for day in ((10, 20), (11, 20))
            ]
            found = (rows, months)
            raise TakeBack
    except TakeBack:
        return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Json], list[list[Json]]]:
    world = draw(st.lists(statuses(), min_size=1, max_size=8))
    again = draw(st.lists(st.sampled_from(world), max_size=4))
    told = draw(st.permutations([*world, *again]))
    size = draw(st.integers(1, 5))
    return world, [told[start : start + size] for start in range(0, len(told), size)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=worlds())
async def test_any_order_repetition_and_batching_charges_the_same(
    bakery: Bakery, told: tuple[list[Json], list[list[Json]]]
) -> None:
    if not bakery.sent:
        bakery.at(2026, 10, 31, 12)
        ana = await bakery.writes()
        for kind in ("text", "image", "template"):
            await bakery.says(ana, kind)
    world, batches = told
    rows, months = await charged(bakery, [world])
    assert await charged(bakery, batches) == (rows, months)
    # What was delivered, and when, is what any of the statuses says at the earliest; each message counts in one month.
    said: dict[str, int] = {}
    for webhook in world:
        [status] = webhook["entry"][0]["changes"][0]["value"]["statuses"]
        if status["status"] in ("delivered", "read"):
            said[status["id"]] = min(int(status["timestamp"]), said.get(status["id"], MIDNIGHT * 2))
    # Of two accounts of one status the earlier is kept, so the earliest of all is known whatever came first.
    assert {row[0]: int(row[1].timestamp()) for row in rows} == said
    october, november = months
    counted = sum(line.delivered for month in (october, november) for line in month.lines)
    assert counted == len(said)
    assert sum(line.delivered for line in november.lines) == sum(at >= MIDNIGHT for at in said.values())
