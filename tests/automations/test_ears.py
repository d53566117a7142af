"""What the engine hears while it tends to a number."""

import asyncio
from contextlib import suppress

import pytest
from tests.fixtures.patience import comes

from twinline.app import App
from twinline.automations import ears

pytestmark = pytest.mark.anyio

CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE query LIKE 'LISTEN%%' AND datname = current_database()
"""


async def test_it_hears_of_its_own_number_and_looks_again_when_nobody_knows_what_was_missed(app: App) -> None:
    hearing = ears.Ears(app.db)
    with hearing.hearing(7) as ours, hearing.hearing(8) as theirs:
        listening = asyncio.create_task(hearing.listen())
        await comes(lambda: ours.is_set() and theirs.is_set())  # at the beginning: something may have been said before
        ours.clear(), theirs.clear()
        await app.db.value("SELECT pg_notify(%s, '7')", (ears.CHANNEL,))
        await comes(ours.is_set)
        assert not theirs.is_set()
        ours.clear()
        assert await app.db.value(CUT) == 1
        await comes(lambda: ours.is_set() and theirs.is_set())
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
