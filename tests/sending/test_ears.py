"""What a drain hears while it works."""

import asyncio
from contextlib import suppress

import pytest
from tests.fixtures.patience import comes

from twinline.app import App
from twinline.mirror import pace
from twinline.sending.ears import Ears

pytestmark = pytest.mark.anyio

CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE query LIKE 'LISTEN%%' AND datname = current_database()
"""


async def test_a_drain_hears_of_its_own_number_and_looks_again_when_nobody_knows_what_was_missed(app: App) -> None:
    ears, heard = Ears(app.db), list[pace.Charge | None]()
    charge = pace.Charge(7, 2, 1_000_000, 1_100_000)
    with ears.hearing(7, heard.append):
        listening = asyncio.create_task(ears.listen())
        await comes(lambda: heard == [None])  # at the beginning: something may have been said before
        async with app.db.transaction() as tx:
            await pace.charged(tx, [pace.Charge(8, 1, 1, 1), charge])
        await comes(lambda: heard == [None, charge])
        assert await app.db.value(CUT) == 1
        await comes(lambda: heard == [None, charge, None])
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
