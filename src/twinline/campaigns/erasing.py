"""Files that no campaign needs any more: lists of people, and what heads a message.

They lie by their content, so several campaigns may name the same. One is needed by every campaign that isn't a
discarded draft and wasn't over ``KEPT_FOR`` ago. A discarded draft's go at once; once a day all are looked at, also
those that were brought along and never used.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from twinline.app import App
from twinline.campaigns import queries
from twinline.campaigns.models import files_of

KEPT_FOR: Final = timedelta(days=90)  # after the campaign was over
UNUSED_FOR: Final = timedelta(days=7)  # somebody may be about to make a campaign with it
FOLDERS: Final = ("audiences", "campaigns")  # in each, by organisation: a list's folder, or a header's file


async def erase(app: App, organisation_id: int, files: Iterable[str], now: datetime) -> list[str]:
    """Those of them that no campaign needs; answers which."""
    unneeded = sorted(set(files) - await _needed(app, organisation_id, now))
    for file in unneeded:
        await asyncio.to_thread(app.files.erase, file)
    return unneeded


async def sweep(app: App, now: datetime) -> list[str]:
    """All that nobody needs, and nobody has just brought; answers which."""
    old: dict[int, set[str]] = {}
    for folder in FOLDERS:
        written: dict[str, datetime] = {}
        for name, at in await asyncio.to_thread(app.files.under, folder):
            one = "/".join(name.split("/")[:3])
            written[one] = max(at, written.get(one, at))
        for one, at in written.items():
            if at < now - UNUSED_FOR:
                old.setdefault(int(one.split("/")[1]), set()).add(one)
    return [
        one for organisation_id, files in sorted(old.items()) for one in await erase(app, organisation_id, files, now)
    ]


async def _needed(app: App, organisation_id: int, now: datetime) -> set[str]:
    async with app.db.transaction() as tx:
        rows = await tx.rows(queries.NAMING_FILES, {"organisation": organisation_id, "since": now - KEPT_FOR})
    return set().union(*(files_of(organisation_id, audience, content) for audience, content in rows))
