"""What begins automations that isn't a message: the clock, a tag, a word about marketing."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from twinline.app import App
from twinline.automations import queries, tending
from twinline.automations.models import Automation
from twinline.campaigns.zones import zone_of
from twinline.db import Tx, as_json
from twinline.mirror import turn
from twinline.rules.automations.program import one
from twinline.rules.automations.triggers import Happening, next_time

REACHED_AT_ONCE: Final = 100  # chats in one transaction
LATE: Final = timedelta(hours=1)  # a time that was missed for longer is left out
KNOWN_FOR: Final = timedelta(days=90)  # the clock begins nothing in chats that were quiet for longer
HEARSAY: Final = timedelta(seconds=30)  # how late a word about marketing is commonly heard of

_BY: Final = {"tag_added": "a tag", "opted_in": "an opt-in", "opted_out": "an opt-out"}


async def wind(tx: Tx, organisation_id: int, now: datetime) -> None:
    """Notes when each automation next begins by the clock, at each of its numbers."""
    rows = []
    for number_id, display_phone, zone in await tx.rows(queries.CLOCKED_NUMBERS, {"organisation": organisation_id}):
        here = now.astimezone(ZoneInfo(zone or zone_of(display_phone, "UTC")))
        for found in await queries.enabled(tx, organisation_id, number_id):
            if at := next_of(found, here):
                rows.append({"number_id": number_id, "automation_id": found.id, "at": at})
    named = {"organisation": organisation_id, "rows": as_json(rows)}
    await tx.execute(queries.UNWIND, named)
    await tx.execute(queries.WIND, named)


def next_of(automation: Automation, after: datetime) -> datetime | None:
    """When the clock begins this automation next, behind this moment in the number's zone."""
    given = [one(trigger) for trigger in (automation.definition or {}).get("triggers", ())]
    times = [next_time(what, after) for kind, what in given if kind == "schedule"]
    return min((at for at in times if at is not None), default=None)


async def strike(app: App) -> None:
    """Begins what the clock begins now; each chat in a transaction with a few others, none twice."""
    async with app.db.transaction() as tx:
        due = await tx.rows(queries.STRUCK, {"now": app.clock.now()})
    for number_id, organisation_id, automation_id in due:
        while await _strike(app, number_id, organisation_id, automation_id):
            pass


async def _strike(app: App, number_id: int, organisation_id: int, automation_id: int) -> bool:
    """One slice of the chats; False when none is left."""
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        now = app.clock.now()
        named = {"number": number_id, "automation": automation_id, "now": now}
        rows = await tx.rows(queries.CLOCK, named)
        found = await queries.automation(tx, organisation_id, automation_id)
        if not rows or found is None:
            return False
        [(at, reached, display_phone, zone)] = rows
        there = at.astimezone(ZoneInfo(zone or zone_of(display_phone, "UTC")))
        chats: list[int] = []
        if now - at < LATE and found.enabled:
            asked = {**named, "reached": reached, "since": now - KNOWN_FOR, "limit": REACHED_AT_ONCE}
            chats = [row[0] for row in await tx.rows(queries.QUIET_CHATS, asked)]
        if chats:
            happening = Happening("schedule", at=there)
            await tending.begin_many(app, tx, number_id, chats, found, happening, "the clock", now)
            await tx.execute(queries.REACHED, {**named, "reached": chats[-1]})
            return True
        following = next_of(found, max(there, now.astimezone(there.tzinfo))) if found.enabled else None
        await tx.execute(queries.NEXT_STRIKE, {**named, "at": following})
        return False


# --- tags, and words about marketing ----------------------------------------------------------------------------------


async def follow(app: App) -> None:
    """Begins what a tag or a word about marketing begins that was given since the last look, a minute ago."""
    async with app.db.transaction() as tx:
        listening = await tx.rows(queries.LISTENING)
    for number_id, organisation_id, ids in listening:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            now = app.clock.now()
            named = {"number": number_id, "organisation": organisation_id, "now": now}
            [(seq, since, last)] = await tx.rows(queries.FOLLOW_ON, named)
            if seq is None:
                continue
            # Webhooks tell of a word some time after it was said; its own second is left to the next look.
            until = now - HEARSAY
            happened = await _happened(
                tx, {**named, "seq": seq, "last": last, "since": since - HEARSAY, "until": until}
            )
            for automation_id in ids:
                found = await queries.automation(tx, organisation_id, automation_id)
                if found is None:
                    continue
                for happening, people in happened:
                    by = _BY[happening.kind]
                    await tending.begin_many(app, tx, number_id, people, found, happening, by, now)


async def _happened(tx: Tx, named: Mapping[str, Any]) -> list[tuple[Happening, list[int]]]:
    found: list[tuple[Happening, list[int]]] = []
    for (tagged,) in await tx.rows(queries.TAGGED, named):
        found += [(Happening("tag_added", tag=tag), people) for tag, people in tagged.items()]
    said: dict[tuple[bool, str], list[int]] = defaultdict(list)
    for contact, granted, topic in await tx.rows(queries.WORDS_SAID, named):
        said[granted, topic].append(contact)
    return found + [
        (Happening("opted_in" if granted else "opted_out", topic=topic), people)
        for (granted, topic), people in said.items()
    ]
