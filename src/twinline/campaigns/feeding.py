"""Puts people of a campaign into the outbox, as many as there is room for, and says why others don't go there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from twinline.app import App
from twinline.campaigns import headers, queries
from twinline.campaigns.models import RECIPIENTS_ZONE, Campaign
from twinline.campaigns.queries import Next
from twinline.campaigns.zones import zone_of
from twinline.db import Tx
from twinline.mirror import service as mirror
from twinline.rules import schedule as clocks
from twinline.rules.campaigns import FLOOR, look_again_at
from twinline.rules.campaigns import Recipient as Became
from twinline.rules.floor import Floor
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import service as sending
from twinline.sending import speech
from twinline.sending.models import Draft, Lane, Submission

LOOKED_AT: Final = 100  # people of whom it is found out in one transaction that they aren't due
LANES: Final = {"MARKETING": Lane.MARKETING}  # by the category of the template
# What is no matter of one person: nobody else's message would go out either.
EVERYBODYS: Final = ("template.", "number.", "stopped.")
ONE_PERSONS: Final = frozenset({"template.needs_phone"})
NOBODY: Final = Refusal("recipient.impossible", "Nobody can be reached under this.", "")
DUPLICATE: Final = Refusal(
    "duplicate", "This is somebody to whom this campaign goes already, under another address.", ""
)


@dataclass(frozen=True, slots=True)
class Portion:
    """What one transaction has fed.

    ``obstacle``: why nothing more of this campaign can go out.
    """

    queued: int
    obstacle: Refusal | None


async def feed(
    app: App, tx: Tx, one: Campaign, now: datetime, *, limit: int, only: Sequence[int] | None = None
) -> Portion:
    """Puts the next people of a campaign into the outbox; ``only`` these, and then at any time of day.

    The caller holds the number's turn.
    """
    named = {"number": one.number_id, "campaign": one.id, "now": now, "ids": only and list(only)}
    waits = one.when.between is not None or one.when.hours is not None or one.when.zone == RECIPIENTS_ZONE
    found = await tx.all(Next, queries.NEXT, {**named, "limit": LOOKED_AT if waits and only is None else limit})
    became: list[dict[str, Any]] = []
    due: list[Next] = []
    home = await home_zone(tx, one.number_id) if waits else ""
    for row in found:
        at = _due(one, row, home, now) if waits and only is None else now
        if at > now:
            became.append(_row(row, row.state, not_before=at))
        elif len(due) < limit:
            due.append(row)
    feeding = _Feeding(app, tx, one, now, became)
    files = await headers.known(tx, one.number_id, due, now)
    if all(file.id_now for file in files):
        headers.give(due, files)
        await feeding.put(due)
    else:
        feeding.obstacle = headers.GONE
    await queries.fed(tx, one, became, now)
    return Portion(feeding.queued, feeding.obstacle)


def _due(one: Campaign, row: Next, home: str, now: datetime) -> datetime:
    """When this person may be written to: not before ``now``."""
    when = one.when
    zone = zone_of(row.phone, home) if when.zone == RECIPIENTS_ZONE else when.zone
    at = now
    if when.at is not None:
        at = max(at, clocks.moment(when.at, zone))
    if when.hours is not None:
        begins = clocks.moment(when.at, zone) if when.at is not None else one.started_at or now
        at = max(at, begins + timedelta(hours=when.hours) * clocks.share(row.id))
    return at if when.between is None else clocks.opens(when.between, zone, at)


def _row(row: Next, state: str, **more: Any) -> dict[str, Any]:
    known = {"contact_id": row.contact_id, "outbox_id": None, "not_before": None, "reason": "", "says": ""}
    return {"id": row.id, "state": state, **known, **more}


@dataclass(slots=True)
class _Feeding:
    """People who are due, all at once."""

    app: App
    tx: Tx
    one: Campaign
    now: datetime
    became: list[dict[str, Any]]
    queued: int = 0
    obstacle: Refusal | None = None
    floors: Mapping[int, Floor] = field(default_factory=dict)  # of chats that somebody has the floor of

    async def put(self, due: Sequence[Next]) -> None:
        asked: dict[int, tuple[Next, Submission]] = {}
        reached = await self._contacts(due)
        named = {"number": self.one.number_id, "campaign": self.one.id}
        have_it = {row[0] for row in await self.tx.rows(queries.ALREADY, {**named, "contacts": list(reached.values())})}
        for row in due:
            contact = reached.get(row.id)
            if contact is None:
                self._skip(row, contact, NOBODY)
            elif contact in have_it:
                self._skip(row, contact, DUPLICATE)
            else:  # of two who turned out to be one the second is due again when it is known what became of the first
                asked.setdefault(contact, (row, self._submission(row, contact)))
        submissions = [submission for _, submission in asked.values()]
        became = await sending.submit_many(
            self.app, self.tx, self.one.number_id, submissions, author="campaign", author_id=self.one.id
        )
        occupied = [
            submission.contact_id
            for submission, outcome in zip(submissions, became, strict=True)
            if isinstance(outcome, Refused) and outcome.refusal.rule.startswith("floor.")
        ]
        self.floors = await speech.floors(self.tx, self.one.number_id, occupied) if occupied else {}
        for (row, submission), outcome in zip(asked.values(), became, strict=True):
            self._note(row, submission.contact_id, outcome)

    async def _contacts(self, due: Sequence[Next]) -> dict[int, int]:
        """By recipient; those whom the number didn't know are made."""
        strangers = {row.id: row.phone or row.bsuid or "" for row in due if row.contact_id is None}
        made = await mirror.contacts_for(self.tx, self.one.number_id, strangers.values()) if strangers else {}
        known = {row.id: row.contact_id for row in due if row.contact_id is not None}
        return known | {row_id: made[address] for row_id, address in strangers.items() if address in made}

    def _submission(self, row: Next, contact: int) -> Submission:
        content = row.draft.get("content") or {}
        category = str((content.get("shown") or {}).get("category"))
        draft = Draft(row.draft["type"], row.draft.get("text"), content, topic=self.one.topic)
        key = f"campaign:{self.one.id}:{row.id}:{row.tries}"
        return Submission(contact, draft, LANES.get(category, Lane.UTILITY), key)

    def _note(self, row: Next, contact: int, outcome: sending.Became) -> None:
        if isinstance(outcome, int):
            self.became.append(_row(row, Became.QUEUED, contact_id=contact, outbox_id=outcome))
            self.queued += 1
        elif isinstance(outcome, Refused):
            self._refused(row, contact, outcome.refusal)
        else:
            self._skip(row, contact, NOBODY)

    def _refused(self, row: Next, contact: int, why: Refusal) -> None:
        if why.rule.startswith(EVERYBODYS) and why.rule not in ONE_PERSONS:
            self.obstacle = self.obstacle or why
        elif contact in self.floors:
            again = look_again_at(self.floors[contact], self.now)
            held = _row(row, Became.HELD, contact_id=contact, reason=FLOOR, says=why.text, not_before=again)
            self.became.append(held)
        else:
            self._skip(row, contact, why)

    def _skip(self, row: Next, contact: int | None, why: Refusal) -> None:
        self.became.append(_row(row, Became.SKIPPED, contact_id=contact, reason=why.rule, says=why.text))


async def home_zone(tx: Tx, number_id: int) -> str:
    """Where the business is: for people of whom no zone is known."""
    return zone_of(await tx.value(queries.DISPLAY_PHONE, {"number": number_id}), "UTC")
