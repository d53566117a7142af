"""What campaigns were made of is kept as long as one of them needs it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta

from twinline.campaigns import erasing, lists, service, writing
from twinline.campaigns.models import Campaign, Content, Variant

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

PEOPLE = b"name,phone\nAna,+351910000001\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
WEEK = erasing.UNUSED_FOR + timedelta(days=1)


async def brought(bakery: Bakery) -> dict[str, Any]:
    reading = await lists.bring(bakery.app, bakery.organisation_id, "people.csv", PEOPLE, country="PT")
    return {"sources": [{"file": reading.file, **reading.options}]}


async def headed(bakery: Bakery) -> Content:
    kept = await writing.keep_media(bakery.app, bakery.organisation_id, "image", PNG, "cake.png")
    return Content([Variant("spring", ["en"], {"header.image": kept})])


async def draft(bakery: Bakery, **more: Any) -> Campaign:
    async with bakery.app.db.transaction() as tx:
        where = bakery.organisation_id, bakery.shop.number_id
        return await service.create(tx, *where, "Spring", bakery.clock.now(), **more)


def there(bakery: Bakery) -> set[str]:
    """Which of the campaigns' files are there."""
    names = [name for folder in erasing.FOLDERS for name, _ in bakery.app.files.under(folder)]
    return {"/".join(name.split("/")[:3]) for name in names}


def written(bakery: Bakery) -> datetime:
    return max(at for folder in erasing.FOLDERS for _, at in bakery.app.files.under(folder))


async def test_a_discarded_drafts_files_go_unless_another_campaign_names_them(bakery: Bakery) -> None:
    audience, content = await brought(bakery), await headed(bakery)
    one, other = await draft(bakery, audience=audience, content=content), await draft(bakery, audience=audience)
    assert there(bakery) == one.files
    assert len(one.files) == 2
    await bakery.does(service.cancel, one)
    [args] = await bakery.shop.dicts("SELECT args FROM procrastinate_jobs WHERE task_name = %s", (service.ERASE,))
    await erasing.erase(bakery.app, **args["args"], now=bakery.clock.now())
    assert there(bakery) == other.files
    await bakery.does(service.cancel, other)
    await erasing.erase(bakery.app, bakery.organisation_id, other.files, bakery.clock.now())
    assert there(bakery) == set()


async def test_what_a_campaign_needs_is_kept_until_long_after_it_was_over(bakery: Bakery) -> None:
    one = await draft(bakery, audience=await brought(bakery))
    long_after = written(bakery) + erasing.KEPT_FOR + WEEK
    assert await erasing.sweep(bakery.app, long_after) == []
    states = "UPDATE campaigns SET state = 'finished', planned_at = state_since, state_since = %s WHERE id = %s"
    await bakery.shop.execute(states, (long_after, one.id))
    assert await erasing.sweep(bakery.app, long_after + timedelta(days=89)) == []
    assert await erasing.sweep(bakery.app, long_after + timedelta(days=91)) == sorted(one.files)
    assert there(bakery) == set()


async def test_what_was_brought_and_never_used_goes_after_a_week(bakery: Bakery) -> None:
    await brought(bakery)
    await headed(bakery)
    assert await erasing.sweep(bakery.app, written(bakery) + timedelta(days=6)) == []
    assert len(await erasing.sweep(bakery.app, written(bakery) + WEEK)) == 2
    assert there(bakery) == set()
