"""The messaging limit of the business portfolio that a number belongs to, and how much of it is used up.

**The limit** is what Meta said last, by Graph's field (asked daily) or by the webhook ``business_capability_update``,
to any number of the portfolio. While nobody has said anything it is the lowest there is.

**The ledger** (``reached``) is exact, since there is one door out: the lane writes down each template that leaves
outside of a window, in the transaction that gives it its instant, whoever wrote it. What Meta then refuses, or reports
as failed, is taken out again. In doubt means counted.

**The numbers of a portfolio** are those of its WABAs, by the business that Graph names as their owner; until that is
known, those of the same WABA. People are told apart by what the portfolio knows them as: their business-scoped user
id, else their phone. Somebody known to one number by the one, and to another by the other, counts twice, which errs on
the side of silence.

Only campaigns are kept below the limit (``room``); what a person writes isn't stopped by an estimate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from twinline.app import App
from twinline.db import Tx
from twinline.kit.clock import at_microseconds
from twinline.meta.graph import PORTFOLIO_FIELDS
from twinline.rules import portfolio as rules
from twinline.rules.portfolio import Limit
from twinline.rules.refusal import Refusal

DAY = timedelta(microseconds=rules.DAY)
FULL = "portfolio.full"
UNLIMITED = 1 << 31
"""What ``room`` answers where there is no limit."""

# Numbers of other organisations too, should a business have divided its own: Meta counts them together.
MEMBERS = """
SELECT n.id FROM numbers n WHERE n.waba_id = (SELECT waba_id FROM numbers WHERE id = %(number)s)
UNION
SELECT q.number_id FROM portfolios p JOIN portfolios q ON q.business_id = p.business_id WHERE p.number_id = %(number)s
ORDER BY 1
"""

SAID = """
SELECT said FROM (
    SELECT messaging_limit AS said, said_at AS at FROM portfolios
    WHERE number_id = ANY(%(members)s) AND messaging_limit IS NOT NULL
    UNION ALL
    SELECT w.said, w.at FROM unnest(%(members)s::bigint[]) AS m(id) CROSS JOIN LATERAL (
        SELECT value->>'max_daily_conversations_per_business' AS said, at FROM notices
        WHERE number_id = m.id AND field = 'business_capability_update'
          AND value ? 'max_daily_conversations_per_business'
        ORDER BY at DESC, tie DESC LIMIT 1
    ) w
) s ORDER BY at DESC LIMIT 1
"""

# Of one number contacts are people; of several the same person may be a contact of each.
REACHED = """
SELECT count(*) FROM (
    SELECT contact_id FROM reached WHERE number_id = %(number)s AND at > %(since)s GROUP BY 1
) people
"""
REACHED_BY_SEVERAL = """
SELECT count(*) FROM (
    SELECT coalesce(c.bsuid, c.phone, c.number_id || ':' || c.id)
    FROM (SELECT DISTINCT number_id, contact_id FROM reached WHERE number_id = ANY(%(members)s) AND at > %(since)s) r
    JOIN contacts c ON c.number_id = r.number_id AND c.id = r.contact_id
    GROUP BY 1
) people
"""

# What campaigns have handed to the outbox and hasn't left: whoever isn't in the ledger, nor has an open window.
WAITING = """
SELECT count(DISTINCT (o.number_id, o.contact_id))
FROM outbox o
JOIN numbers n ON n.id = o.number_id
LEFT JOIN chats c ON c.number_id = o.number_id AND c.contact_id = o.contact_id
WHERE o.number_id = ANY(%(members)s) AND o.state IN ('queued', 'held') AND o.author = 'campaign' AND o.type = 'template'
  AND NOT coalesce(c.last_inbound_at > %(since)s AND c.last_inbound_at >= n.connected_at, false)
  AND NOT EXISTS (
    SELECT FROM reached r WHERE r.number_id = o.number_id AND r.contact_id = o.contact_id AND r.at > %(since)s)
"""

TIMES = """
SELECT (extract(epoch FROM max(r.at)) * 1000000)::bigint
FROM reached r JOIN contacts c ON c.number_id = r.number_id AND c.id = r.contact_id
WHERE r.number_id = ANY(%(members)s) AND r.at > %(since)s
GROUP BY coalesce(c.bsuid, c.phone, c.number_id || ':' || c.id)
"""

REACH = """
INSERT INTO reached (number_id, contact_id, outbox_id, at)
SELECT %(number)s, r.contact_id, r.id, %(now)s
FROM unnest(%(contacts)s::bigint[], %(ids)s::bigint[]) AS r(contact_id, id)
ON CONFLICT (number_id, contact_id, outbox_id) DO UPDATE SET at = excluded.at
"""

UNREACH = """
DELETE FROM reached d
USING unnest(%(numbers)s::bigint[], %(contacts)s::bigint[], %(ids)s::bigint[]) AS r(number_id, contact_id, id)
WHERE d.number_id = r.number_id AND d.contact_id = r.contact_id AND d.outbox_id = r.id
"""

SWEEP = "DELETE FROM reached WHERE at <= %s"

KEEP = """
INSERT INTO portfolios (number_id, business_id, messaging_limit, said_at, asked_at)
VALUES (%(number)s, %(business)s, %(limit)s, CASE WHEN %(limit)s::text IS NOT NULL THEN %(now)s::timestamptz END,
        %(now)s)
ON CONFLICT (number_id) DO UPDATE SET
    business_id = coalesce(excluded.business_id, portfolios.business_id),
    messaging_limit = coalesce(excluded.messaging_limit, portfolios.messaging_limit),
    said_at = coalesce(excluded.said_at, portfolios.said_at), asked_at = excluded.asked_at
"""

NUMBER = "SELECT waba_id, phone_number_id, token FROM numbers WHERE id = %s"

TO_ASK = """
SELECT n.id FROM numbers n LEFT JOIN portfolios p ON p.number_id = n.id
WHERE n.token IS NOT NULL AND n.state = 'connected'
  AND (p.asked_at IS NULL OR p.asked_at < CASE WHEN p.said_at IS NULL THEN %(soon)s ELSE %(later)s END)
ORDER BY p.asked_at NULLS FIRST, n.id LIMIT 50
"""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Where a portfolio stands: its limit, how many it has reached in the last 24 hours, how many wait to be."""

    members: Sequence[int]
    limit: Limit
    reached: int
    waiting: int

    @property
    def room(self) -> int:
        """How many new people campaigns may still be given now."""
        left = rules.room(self.limit, self.reached, self.waiting)
        return UNLIMITED if left is None else left


async def standing(tx: Tx, number_id: int, now: datetime) -> Portfolio:
    """The portfolio of a number as it stands. Without a limit nothing is counted."""
    members = await members_of(tx, number_id)
    named = {"number": number_id, "members": members, "since": now - DAY}
    limit = rules.limit_of(await tx.value(SAID, named))
    if limit.most is None:
        return Portfolio(members, limit, 0, 0)
    count = REACHED if len(members) == 1 else REACHED_BY_SEVERAL
    return Portfolio(members, limit, int(await tx.value(count, named)), int(await tx.value(WAITING, named)))


async def members_of(tx: Tx, number_id: int) -> list[int]:
    """The numbers that share the limit, this one among them."""
    return [row[0] for row in await tx.rows(MEMBERS, {"number": number_id})]


async def room(tx: Tx, number_id: int, now: datetime) -> int:
    """How many people whom nobody has written to in the last 24 hours a campaign may put into the outbox now.

    What it puts there counts from then on, before it has left. Whoever wrote lately, or was reached in the last day,
    needs no room.
    """
    return (await standing(tx, number_id, now)).room


async def full(tx: Tx, number_id: int, now: datetime) -> Refusal:
    """What is said where there is no room: how far the limit is used up, and when places come free."""
    stands = await standing(tx, number_id, now)
    text = f"This business reaches at most {stands.limit.text} outside of open chats; {stands.reached:,} have been"
    margin = f", and {(stands.limit.most or 0) - (stands.limit.usable or 0)} places are kept free."
    first = next(iter(await times(tx, number_id, now)), None)
    if first is None:
        return Refusal(FULL, text + margin, "It goes on by itself.")
    free = at_microseconds(first) + DAY
    return Refusal(FULL, text + margin, f"It goes on by itself from {free:%H:%M} UTC on, as they stop counting.")


async def times(tx: Tx, number_id: int, now: datetime) -> list[int]:
    """When each person of the last 24 hours was last reached, in microseconds: when their places come free."""
    named = {"members": await members_of(tx, number_id), "since": now - DAY}
    return sorted(row[0] for row in await tx.rows(TIMES, named))


# --- the ledger ---------------------------------------------------------------------------------------------------


async def reach(tx: Tx, number_id: int, rows: Iterable[tuple[int, int]], now: datetime) -> None:
    """These messages (contact, outbox row) leave now, outside of a window. The caller holds the number's turn."""
    if pairs := list(rows):
        contacts, ids = zip(*pairs, strict=True)
        await tx.send(REACH, {"number": number_id, "contacts": list(contacts), "ids": list(ids), "now": now})


async def unreach(tx: Tx, rows: Iterable[Mapping[str, Any]]) -> None:
    """These rows of the outbox reached nobody. The caller holds their numbers' turns."""
    if failed := list(rows):
        columns = {"numbers": "number_id", "contacts": "contact_id", "ids": "id"}
        await tx.execute(UNREACH, {name: [row[column] for row in failed] for name, column in columns.items()})


async def sweep(app: App) -> None:
    """What is older than a day counts no more."""
    async with app.db.transaction() as tx:
        await tx.execute(SWEEP, (app.clock.now() - DAY,))


# --- what Graph says ----------------------------------------------------------------------------------------------


async def ask(app: App, number_id: int) -> None:
    """Asks Graph for the portfolio and its limit, and keeps the answer, also that there was none.

    Raises GraphError, VaultError.
    """
    async with app.db.transaction() as tx:
        rows = await tx.rows(NUMBER, (number_id,))
    if not rows or rows[0][2] is None:
        return
    waba_id, phone_number_id, sealed = rows[0]
    business = limit = None
    try:
        token = app.vault.unseal(sealed)
        seen = await app.graph.phone_number(phone_number_id, PORTFOLIO_FIELDS, token=token)
        limit = seen.whatsapp_business_manager_messaging_limit
        business = await app.graph.owner(waba_id, token=token)
    finally:
        named = {"number": number_id, "business": business, "limit": limit, "now": app.clock.now()}
        async with app.db.transaction() as tx:
            await tx.execute(KEEP, named)


async def to_ask(tx: Tx, now: datetime) -> list[int]:
    """Numbers whose portfolio hasn't been asked for a day, or an hour if that brought no limit."""
    return [row[0] for row in await tx.rows(TO_ASK, {"later": now - DAY, "soon": now - timedelta(hours=1)})]
