"""What the pages read of campaigns. Counts are kept by the database whenever rows change, so they can't disagree."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from twinline.campaigns.models import Campaign
from twinline.db import Database, Tx
from twinline.rules.campaigns import Recipient, State

PAGE: Final = 50
SLICE: Final = 5_000
BARS: Final = 60

GROUPS: Final[Mapping[str, Sequence[State]]] = {
    "draft": (State.DRAFT, State.PLANNING, State.PLANNED),
    "scheduled": (State.SCHEDULED,),
    "running": (State.RUNNING, State.PAUSED, State.HELD, State.STOPPED),
    "over": (State.FINISHED, State.CANCELLED),
}
"""By what the list of campaigns is filtered."""

_R = Recipient
SHOWN: Final[Mapping[str, Sequence[Recipient]]] = {
    "waiting": (_R.PLANNED, _R.QUEUED, _R.SENDING, _R.HELD),
    "sent": (_R.SENT, _R.DELIVERED, _R.READ, _R.REPLIED),
    "delivered": (_R.DELIVERED, _R.READ, _R.REPLIED),
    "read": (_R.READ, _R.REPLIED),
    "replied": (_R.REPLIED,),
    "failed": (_R.FAILED,),
    "doubtful": (_R.IN_DOUBT, _R.UNKNOWN),
    "cancelled": (_R.CANCELLED,),
    "skipped": (_R.SKIPPED,),
}
"""By what the people of a campaign are filtered: who was read to was also delivered to."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many people are in which state."""

    by: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, shown: str) -> int:
        return sum(self.by.get(state, 0) for state in SHOWN[shown])

    @property
    def people(self) -> int:
        """All who weren't left out."""
        return sum(self.by.values()) - self["skipped"]

    @property
    def settled(self) -> int:
        """Of whom it is known whether WhatsApp took it, or that nothing more happens."""
        return self.people - self["waiting"]

    def share(self, shown: str, of: str = "sent") -> float | None:
        """None: of nobody."""
        return self[shown] / self[of] if self[of] else None


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list of campaigns."""

    id: int
    number_id: int
    name: str
    state: State
    says: str
    content: dict[str, Any]
    created_at: datetime
    starts_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    number_name: str
    counts: dict[str, int]

    @property
    def tally(self) -> Tally:
        return Tally(self.counts)

    @property
    def templates(self) -> list[str]:
        return [one["template"] for one in self.content.get("variants", ())]


@dataclass(frozen=True, slots=True)
class Person:
    """A line of the table of people. ``contact_id`` leads to their chat."""

    id: int
    contact_id: int | None
    name: str | None
    phone: str | None
    bsuid: str | None
    line: int | None
    language: str | None
    variant: int
    market: str | None
    cost: Decimal | None
    state: str
    reason: str
    says: str
    queued_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None
    replied_at: datetime | None
    button: str | None
    opted_out_at: datetime | None
    converted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why people are in a state, and how many."""

    reason: str
    says: str
    people: int


@dataclass(frozen=True, slots=True)
class Variant:
    """What became of one of the templates that are compared.

    ``spent``: what those cost who got it, by the estimates; of ``unpriced`` of them that isn't known.
    """

    index: int
    template: str
    counts: Mapping[str, int]
    opted_out: int
    blocked: int
    converted: int
    spent: Decimal
    unpriced: int
    buttons: Mapping[str, int]

    @property
    def tally(self) -> Tally:
        return Tally(self.counts)


@dataclass(frozen=True, slots=True)
class Message:
    """Of one recipient, what they will read."""

    id: int
    name: str | None
    phone: str | None
    bsuid: str | None
    contact_id: int | None
    language: str | None
    variant: int
    filled: dict[str, Any]
    state: str
    reason: str
    says: str
    market: str | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages sent in each of some spans of ``seconds``, from ``since`` on."""

    since: datetime
    seconds: int
    bars: Sequence[int]

    @property
    def most(self) -> int:
        return max(self.bars, default=0)

    @property
    def pace(self) -> float:
        """Messages a second in the last half minute or bar, without the one that isn't over yet."""
        over = self.bars[:-1] or self.bars
        last = over[-max(1, 30 // self.seconds) :]
        return sum(last) / (len(last) * self.seconds)

    @property
    def until(self) -> datetime:
        return self.since + timedelta(seconds=self.seconds * len(self.bars))


CAMPAIGNS = """
SELECT c.id, c.number_id, c.name, c.state, c.says, c.content, c.created_at, c.starts_at, c.started_at, c.finished_at,
    coalesce(n.verified_name, '+' || n.display_phone) AS number_name, coalesce(t.counts, '{}') AS counts
FROM campaigns c
JOIN numbers n ON n.id = c.number_id
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(s.state, s.people) AS counts
    FROM (SELECT r.state, sum(r.people) AS people FROM recipient_counts r
          WHERE r.number_id = c.number_id AND r.campaign_id = c.id AND r.people > 0 GROUP BY r.state) s
) t ON true
WHERE c.organisation_id = %(organisation)s
  AND NOT (c.state = 'cancelled' AND c.planned_at IS NULL)  -- a draft that was thrown away
  AND (%(number)s::bigint IS NULL OR c.number_id = %(number)s)
  AND (%(states)s::text[] IS NULL OR c.state = ANY(%(states)s))
  AND (%(before)s::bigint IS NULL OR c.id < %(before)s)
  AND c.name ILIKE %(like)s
ORDER BY c.id DESC
LIMIT %(limit)s
"""

STATES = """
SELECT state, count(*) FROM campaigns
WHERE organisation_id = %s AND NOT (state = 'cancelled' AND planned_at IS NULL) GROUP BY state
"""

COUNTS = """
SELECT state, sum(people)::bigint FROM recipient_counts
WHERE number_id = %s AND campaign_id = %s AND people > 0 GROUP BY state
"""

REASONS = """
SELECT reason, min(says) AS says, count(*) AS people
FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state = ANY(%(states)s)
GROUP BY reason
ORDER BY people DESC, reason
"""

_PERSON = """
    r.id, r.contact_id, r.name, r.phone, r.bsuid, r.line, r.language, r.variant, r.market, r.cost, r.state, r.reason,
    r.says, r.queued_at, r.sent_at, r.delivered_at, r.read_at, r.failed_at, r.replied_at, r.button, r.opted_out_at,
    r.converted_at
"""

_FILTERED = """
WHERE r.number_id = %(number)s AND r.campaign_id = %(campaign)s
  AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s))
  AND (%(reason)s = '' OR r.reason = %(reason)s)
  AND (%(variant)s::smallint IS NULL OR r.variant = %(variant)s)
  AND (%(button)s = '' OR r.button = %(button)s)
  AND (%(like)s = '%%' OR r.name ILIKE %(like)s OR (%(digits)s <> '' AND r.phone LIKE '%%' || %(digits)s || '%%'))
"""

PEOPLE = f"""
SELECT {_PERSON} FROM recipients r {_FILTERED} AND r.id > %(after)s ORDER BY r.id LIMIT %(limit)s
"""

PERSON = f"""
SELECT {_PERSON} FROM recipients r
WHERE r.number_id = %(number)s AND r.campaign_id = %(campaign)s AND r.id = %(id)s
"""

WRITTEN = """
SELECT draft->>'text' AS text, filled, wamid, reply_wamid, conversion->'told' AS conversions FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND id = %(id)s
"""

COUNT_PEOPLE = f"SELECT count(*) FROM recipients r {_FILTERED}"

VARIANTS = """
SELECT variant, state, people, opted_out, blocked, converted, cost, unpriced
FROM recipient_counts
WHERE number_id = %s AND campaign_id = %s AND state <> 'skipped' AND people > 0
"""

BUTTONS = """
SELECT variant, button, count(*) FROM recipients
WHERE number_id = %s AND campaign_id = %s AND button IS NOT NULL
GROUP BY variant, button ORDER BY 3 DESC, 2
"""

SPENT = """
SELECT coalesce(sum(cost) FILTER (WHERE state IN ('delivered', 'read', 'replied')), 0), coalesce(sum(cost), 0),
    coalesce(sum(unpriced), 0)::bigint
FROM recipient_counts WHERE number_id = %s AND campaign_id = %s AND state <> 'skipped'
"""

SENT_BETWEEN = """
SELECT min(sent_at) AS first, max(sent_at) AS last FROM recipients
WHERE number_id = %s AND campaign_id = %s AND sent_at IS NOT NULL
"""

RATE = """
SELECT date_bin(make_interval(secs => %(seconds)s), sent_at, %(since)s) AS bar, count(*)
FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND sent_at >= %(since)s
GROUP BY bar
"""

MESSAGE = """
SELECT id, name, phone, bsuid, contact_id, language, variant, filled, state, reason, says, market, cost FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state <> 'skipped' AND id {} %(id)s
ORDER BY id {} LIMIT 1
"""

FIRST = """
SELECT id, name, phone, bsuid, contact_id, language, variant, filled, state, reason, says, market, cost FROM recipients
WHERE number_id = %s AND campaign_id = %s AND state <> 'skipped' ORDER BY id LIMIT %s
"""


TRIED = """
SELECT id, name, phone, bsuid, contact_id, language, variant, filled, state, reason, says, market, cost FROM recipients
WHERE number_id = %s AND campaign_id = %s AND first ORDER BY id LIMIT 20
"""


async def campaigns(
    tx: Tx,
    organisation_id: int,
    *,
    number_id: int | None = None,
    group: str = "",
    q: str = "",
    before: int | None = None,
    limit: int = 20,
) -> list[Listed]:
    """The newest first. ``before``: the id at which the last page ended."""
    states = GROUPS.get(group)
    return await tx.all(
        Listed,
        CAMPAIGNS,
        {
            "organisation": organisation_id,
            "number": number_id,
            "states": None if states is None else list(states),
            "before": before,
            "like": _like(q),
            "limit": limit,
        },
    )


async def groups(tx: Tx, organisation_id: int) -> dict[str, int]:
    """How many campaigns the organisation has in each group, and in all ("")."""
    by = dict(await tx.rows(STATES, (organisation_id,)))
    return {"": sum(by.values())} | {name: sum(by.get(state, 0) for state in states) for name, states in GROUPS.items()}


async def tally(tx: Tx, number_id: int, campaign_id: int) -> Tally:
    return Tally(dict(await tx.rows(COUNTS, (number_id, campaign_id))))


async def reasons(tx: Tx, number_id: int, campaign_id: int, shown: str) -> list[Reason]:
    named = {"number": number_id, "campaign": campaign_id, "states": list(SHOWN[shown])}
    return await tx.all(Reason, REASONS, named)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which people of a campaign somebody wants to see."""

    shown: str = ""
    reason: str = ""
    q: str = ""
    variant: int | None = None
    button: str = ""

    def named(self, number_id: int, campaign_id: int) -> dict[str, Any]:
        states = SHOWN.get(self.shown)
        digits = "".join(letter for letter in self.q if letter.isdigit())
        return {
            "number": number_id,
            "campaign": campaign_id,
            "states": None if states is None else list(states),
            "reason": self.reason,
            "variant": self.variant,
            "button": self.button,
            "like": _like(self.q),
            "digits": digits if len(digits) > 2 else "",
        }


async def people(
    tx: Tx, number_id: int, campaign_id: int, wanted: Wanted, *, after: int = 0, limit: int = PAGE
) -> list[Person]:
    named = wanted.named(number_id, campaign_id) | {"after": after, "limit": limit}
    return await tx.all(Person, PEOPLE, named)


async def person(tx: Tx, number_id: int, campaign_id: int, recipient_id: int) -> tuple[Person, dict[str, Any]] | None:
    """One of them; and what they read (``text``, ``filled``), as which message, their reply, and their conversions."""
    named = {"number": number_id, "campaign": campaign_id, "id": recipient_id}
    found = await tx.one(Person, PERSON, named)
    return None if found is None else (found, (await tx.dicts(WRITTEN, named))[0])


async def count_people(tx: Tx, number_id: int, campaign_id: int, wanted: Wanted) -> int:
    return int(await tx.value(COUNT_PEOPLE, wanted.named(number_id, campaign_id)))


async def everybody(db: Database, one: Campaign, wanted: Wanted) -> AsyncIterator[list[Person]]:
    """All of them, slice by slice, each in a transaction of its own: whoever downloads slowly keeps none open."""
    after = 0
    while True:
        async with db.transaction() as tx:
            found = await people(tx, one.number_id, one.id, wanted, after=after, limit=SLICE)
        if not found:
            return
        yield found
        after = found[-1].id


async def variants(tx: Tx, number_id: int, campaign_id: int, templates: Sequence[str]) -> list[Variant]:
    """What became of each template; the names are the campaign's, in its order."""
    rows = await tx.dicts(VARIANTS, (number_id, campaign_id))
    taps = await tx.rows(BUTTONS, (number_id, campaign_id))
    by_variant = [(template, [row for row in rows if row["variant"] == n]) for n, template in enumerate(templates)]
    return [
        Variant(
            index,
            template,
            {row["state"]: row["people"] for row in own},
            sum(row["opted_out"] for row in own),
            sum(row["blocked"] for row in own),
            sum(row["converted"] for row in own),
            sum((row["cost"] for row in own if row["state"] in SHOWN["delivered"]), Decimal(0)),
            sum(row["unpriced"] for row in own if row["state"] in SHOWN["delivered"]),
            {button: people for variant, button, people in taps if variant == index},
        )
        for index, (template, own) in enumerate(by_variant)
    ]


async def spent(tx: Tx, number_id: int, campaign_id: int) -> tuple[Decimal, Decimal, int]:
    """By the estimates: what was delivered, what all would cost, and of how many people that isn't known."""
    [(delivered, planned, unknown)] = await tx.rows(SPENT, (number_id, campaign_id))
    return delivered, planned, unknown


async def rate(tx: Tx, number_id: int, campaign_id: int, now: datetime, *, running: bool) -> Rate | None:
    """How fast it went from the first message to the last (or to now); None while nothing was sent."""
    [(first, last)] = await tx.rows(SENT_BETWEEN, (number_id, campaign_id))
    if first is None:
        return None
    until = max(now, last) if running else last
    seconds = next((span for span in _SPANS if span * BARS > (until - first).total_seconds()), _SPANS[-1])
    named = {"number": number_id, "campaign": campaign_id, "since": first, "seconds": seconds}
    by = {(at - first) // timedelta(seconds=seconds): count for at, count in await tx.rows(RATE, named)}
    bars = [by.get(bar, 0) for bar in range(int((until - first).total_seconds() // seconds) + 1)]
    # A run of weeks is shown by its last days.
    return Rate(first + timedelta(seconds=seconds * max(len(bars) - BARS, 0)), seconds, bars[-BARS:])


_SPANS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


async def tried(tx: Tx, number_id: int, campaign_id: int) -> list[Message]:
    """To whom it was sent before all others."""
    return await tx.all(Message, TRIED, (number_id, campaign_id))


async def messages(tx: Tx, number_id: int, campaign_id: int, limit: int) -> list[Message]:
    """The first of those whom it goes to."""
    return await tx.all(Message, FIRST, (number_id, campaign_id, limit))


async def message(tx: Tx, number_id: int, campaign_id: int, recipient_id: int, step: str = "") -> Message | None:
    """One recipient, or with ``step`` "next" or "back" the one beside them."""
    compare, order = {"next": (">", "ASC"), "back": ("<", "DESC")}.get(step, ("=", "ASC"))
    named = {"number": number_id, "campaign": campaign_id, "id": recipient_id}
    return await tx.one(Message, MESSAGE.format(compare, order), named)


def _like(q: str) -> str:
    escaped = q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if escaped else "%"
