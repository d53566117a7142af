"""A rehearsal on an organisation's own chats: reads them, plays the automation on each, and tallies what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

from anyio import to_thread

from twinline.app import App
from twinline.automations import queries, schema, views, words
from twinline.automations.models import Automation
from twinline.automations.problems import Unfit
from twinline.automations.rehearsal import By, Moment, Past, rehearse
from twinline.automations.tending import turn_of
from twinline.automations.views import PastChat
from twinline.campaigns.zones import zone_of
from twinline.db import Tx
from twinline.numbers import queries as numbers
from twinline.numbers.models import Number
from twinline.rules.automations.facts import Facts
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import Program

PERIODS: Final = {"1": "the last day", "7": "the last week", "30": "the last month", "180": "half a year"}
CHATS: Final = 25
MESSAGES: Final = 5000
MOMENTS: Final = 40
"""Of one chat that are shown, the newest."""

BY: Final[Mapping[str, By]] = {"phone": "phone", "person": "inbox"}


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat, and what would have been in it."""

    person: PastChat
    moments: tuple[Moment, ...]

    @property
    def would(self) -> int:
        return sum(len(moment.would) for moment in self.moments)


class Rehearsal:
    def __init__(self, app: App, tx: Tx, organisation_id: int) -> None:
        self._app = app
        self._tx = tx
        self._organisation_id = organisation_id

    async def of(self, one: Automation, asked: Mapping[str, str]) -> dict[str, Any]:
        """What the page shows. ``asked``: number, days, contact, people (no: as if nobody had answered), only."""
        known = await numbers.numbers(self._tx, self._organisation_id)
        number = next((each for each in known if str(each.id) == asked.get("number")), known[0] if known else None)
        days = asked.get("days", "7")
        days = days if days in PERIODS else "7"
        people = asked.get("people") != "no"
        shown: dict[str, Any] = {
            "numbers": known, "number": number, "days": days, "periods": PERIODS, "people": people,
            "chats": (), "problem": "", "words": words, "contact": asked.get("contact", ""),
        }  # fmt: skip
        try:
            program = Program.of(schema.read(one.draft))
        except Unfit as error:
            return {**shown, "problem": error.problems[0].says}
        if number is not None:
            contact = asked.get("contact", "")
            shown["chats"] = await self._played(
                program, number, int(days), people, int(contact) if contact.isdecimal() else None
            )
        return shown

    async def _played(
        self, program: Program, number: Number, days: int, people: bool, contact_id: int | None
    ) -> list[Chat]:
        now = self._app.clock.now()
        since = now - timedelta(days=days)
        found = await views.chats(self._tx, number.id, since, CHATS, contact_id)
        ids = [one.contact_id for one in found]
        rows = await views.messages(self._tx, number.id, ids, since, MESSAGES)
        before = await views.known_before(self._tx, number.id, ids, since)
        settings = await queries.settings(self._tx, number.id)
        assert settings is not None
        zone = ZoneInfo(settings.zone or zone_of(number.display_phone, "UTC"))
        pasts = {contact: [_past(row) for row in said] for contact, said in groupby(rows, key=lambda row: row[0])}

        def play() -> list[Chat]:
            return [
                Chat(one, rehearse(
                    program, pasts[one.contact_id], _facts(one, number, now.astimezone(zone)),
                    hours=Hours.of(settings.hours), pause=settings.pause, people=people,
                    first=one.contact_id not in before, words=settings.phone_keywords,
                )[-MOMENTS:])
                for one in found if one.contact_id in pasts
            ]  # fmt: skip

        return await to_thread.run_sync(play)


def _past(row: tuple[Any, ...]) -> Past:
    _, at, outgoing, author, wamid, kind, text, content, extra = row
    by: By = BY.get(author, "machine") if outgoing else "customer"
    return Past(at, by, turn_of([(wamid, kind, text, content, extra)]))


def _facts(one: PastChat, number: Number, now: datetime) -> Facts:
    contact = {
        "name": one.name, "phone": one.phone, "language": one.language, "fields": one.fields or {},
        "tags": one.tags or [],
    }  # fmt: skip
    return Facts(now, contact, {"name": number.name})
