"""The archive keeps days, and lets them go in one stroke."""

import hashlib
from datetime import date, timedelta

import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import add_number, ask, became, change, fold_behind, tell, value
from tests.fixtures.wire import RUA, T0

from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.mirror import archive

pytestmark = pytest.mark.anyio


async def keep(app: App, days: int = 30) -> None:
    async with app.db.transaction() as tx:
        await archive.keep_days(tx, app.clock.now().date(), days)


async def partitions(app: App) -> list[str]:
    return sorted(name for (name,) in await ask(app, archive.PARTITIONS) if name != "webhooks_other")


async def where(app: App) -> list[tuple[str, date]]:
    return await ask(app, "SELECT tableoid::regclass::text, received_on FROM webhooks ORDER BY received_on")


async def test_the_coming_week_has_its_days(app: App, clock: ManualClock) -> None:
    await keep(app)
    await keep(app)
    assert await partitions(app) == [f"webhooks_{clock.now().date() + timedelta(days=n):%Y%m%d}" for n in range(8)]


async def test_a_body_lands_in_its_day_and_a_day_without_a_table_in_the_one_for_the_rest(
    app: App, clock: ManualClock
) -> None:
    await keep(app)
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.text("wamid.1", T0, "x")))
    clock.advance(days=9)
    await tell(app, wire.inbound(RUA, wire.text("wamid.2", T0, "x")))
    assert [table for table, _ in await where(app)] == ["webhooks_20261120", "webhooks_other"]
    # The stray's day can have no table of its own any more; the days around it can.
    await keep(app)
    names = await partitions(app)
    assert "webhooks_20261129" not in names
    assert "webhooks_20261130" in names


async def test_old_days_go_with_all_they_held_and_what_was_folded_stays(app: App, clock: ManualClock) -> None:
    await keep(app)
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.text("wamid.1", T0, "x")))
    await tell(app, wire.inbound(RUA, wire.text("wamid.2", T0, "x"), business=wire.FLORIST))
    assert await value(app, "SELECT count(*) FROM unclaimed") == 1
    clock.advance(days=30)
    await keep(app)
    assert len(await where(app)) == 2
    clock.advance(days=1)
    await keep(app)
    assert await where(app) == []
    assert await value(app, "SELECT count(*) FROM unclaimed") == 0
    assert "webhooks_20261120" not in await partitions(app)
    assert await value(app, "SELECT count(*) FROM messages") == 1


async def test_a_heavy_body_is_kept_packed_and_one_of_an_older_release_as_it_came(app: App) -> None:
    await add_number(app)
    webhook = wire.inbound(RUA, wire.text("wamid.1", T0, "x" * 10_000))
    body = wire.body(webhook)
    await tell(app, webhook, heavy_from=0)
    kept = await value(app, "SELECT body FROM webhooks")
    assert len(kept) < len(body) / 10
    assert archive.unpack(kept, hashlib.sha256(body).digest()) == body
    await change(app, "UPDATE webhooks SET body = %s", body)
    await fold_behind(app)
    assert await became(app, webhook) == ("folded", None)
    assert await value(app, "SELECT count(*) FROM messages") == 1


async def test_strays_go_when_their_time_has_come(app: App, clock: ManualClock) -> None:
    await add_number(app)
    await tell(app, wire.inbound(RUA, wire.text("wamid.1", T0, "x")))
    assert [table for table, _ in await where(app)] == ["webhooks_other"]
    clock.advance(days=31)
    await keep(app)
    assert await where(app) == []
