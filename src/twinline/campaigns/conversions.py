"""What a campaign is for: that somebody bought, booked, came. Told by a program, or by a tag.

A conversion is one person's, to whom the campaign had gone by then. A program gives each a name of its own (``key``),
so telling the same twice counts once; somebody who buys twice has converted once and counts with both amounts. Where a
campaign names a tag (``converted_by`` in its routing), whoever is given that tag within ``WITHIN`` of the message has
converted as well. Tags from before the message don't count, so customers of long ago are no success of this campaign.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from twinline.campaigns import service
from twinline.campaigns.models import Campaign
from twinline.contacts.service import key_of
from twinline.db import Tx, as_json
from twinline.mirror import turn
from twinline.rules.refusal import Refusal, Refused

WITHIN: Final = timedelta(days=30)
MOST: Final = 100  # of one person in one campaign
BY_TAG: Final = "tag"

FIND = """
SELECT id FROM recipients r
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND state <> 'skipped'
  AND (key = %(key)s OR contact_id = coalesce(%(contact)s, (
      SELECT i.contact_id FROM identities i WHERE i.number_id = r.number_id AND i.key = %(key)s)))
ORDER BY id LIMIT 1
"""

REACHED = """
SELECT coalesce(sent_at, queued_at) AS at, state, conversion FROM recipients
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND id = %(id)s
"""

KEEP = """
UPDATE recipients SET converted_at = %(at)s, conversion = %(conversion)s::jsonb
WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND id = %(id)s
"""

TAGGED = """
UPDATE recipients r SET converted_at = f.at,
    conversion = jsonb_build_object('told', jsonb_build_array(
        jsonb_build_object('key', %(by)s::text, 'what', f.tag, 'at', f.at)))
FROM json_to_recordset(%(rows)s::json) AS f(tag text, contact_id bigint, at timestamptz), campaigns p
WHERE p.number_id = %(number)s AND p.routing->>'converted_by' = f.tag
  AND r.number_id = p.number_id AND r.campaign_id = p.id AND r.contact_id = f.contact_id
  AND r.sent_at < f.at AND r.sent_at > f.at - %(within)s::interval AND r.converted_at IS NULL
RETURNING r.campaign_id
"""

WORTH = """
SELECT r.variant, t.told->>'currency' AS currency, sum((t.told->>'value')::numeric) AS value
FROM recipients r CROSS JOIN LATERAL jsonb_array_elements(r.conversion->'told') AS t(told)
WHERE r.number_id = %s AND r.campaign_id = %s AND r.conversion IS NOT NULL AND t.told->>'value' IS NOT NULL
GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A conversion. ``key``: whoever tells it knows it by this, so that it counts once. ``currency``: of ``value``."""

    key: str
    at: datetime
    what: str = ""
    value: Decimal | None = None
    currency: str | None = None

    def as_json(self) -> dict[str, Any]:
        worth = {} if self.value is None else {"value": str(self.value), "currency": self.currency}
        return {"key": self.key, "at": self.at.isoformat(), "what": self.what, **worth}


async def find(tx: Tx, one: Campaign, whom: int | str) -> int | None:
    """One of a campaign's people: by their id there, or by phone number, user id, or ``contact:12``."""
    named = {"number": one.number_id, "campaign": one.id, "id": whom, "key": None, "contact": None}
    if isinstance(whom, int):
        return whom if await tx.rows(REACHED, named) else None
    if whom.startswith("contact:"):
        contact = whom.removeprefix("contact:")
        if not (contact.isascii() and contact.isdigit() and len(contact) < 19):
            return None
        named["contact"] = int(contact)
    elif (key := key_of(whom)) is not None:
        named["key"] = key
    else:
        return None
    found: int | None = await tx.value(FIND, named)
    return found


async def tell(tx: Tx, one: Campaign, recipient_id: int, told: Told, now: datetime) -> bool:
    """Records a conversion; answers whether it is new. The same key replaces what was told by it. Raises Refused."""
    await turn.take(tx, [one.number_id])
    named = {"number": one.number_id, "campaign": one.id, "id": recipient_id}
    [(reached_at, state, known)] = await tx.rows(REACHED, named)
    if reached_at is None or state in ("skipped", "cancelled"):
        text = f"The campaign has never gone to this person, who is {state}, so it has brought about nothing."
        raise _refused("not_sent", text, "Tell what those did who got it.")
    if told.at > now + timedelta(minutes=1):
        raise _refused("future", "That time is still to come.", "Give the moment at which it happened.")
    if told.at < reached_at - timedelta(minutes=1):
        text = f"That was before the message went out ({reached_at:%Y-%m-%d %H:%M} UTC), so it isn't its result."
        raise _refused("before", text, "Tell what happened after it.")
    before = {each["key"]: each for each in (known or {}).get("told", ())}
    all_of_them = before | {told.key: told.as_json()}
    if len(all_of_them) > MOST:
        raise _refused("too_many", f"This person has converted {MOST} times in this campaign.", "Tell no more of them.")
    first = min(datetime.fromisoformat(each["at"]) for each in all_of_them.values())
    conversion = as_json({"told": list(all_of_them.values())})
    await tx.execute(KEEP, {**named, "at": first, "conversion": conversion})
    await service.tell(tx, one, now)
    return told.key not in before


async def tagged(tx: Tx, number_id: int, given: Iterable[tuple[str, Collection[int], datetime]]) -> set[int]:
    """Tags were given to contacts: (tag, contacts, when). Answers the campaigns that it counts for."""
    rows = [{"tag": tag, "contact_id": one, "at": at} for tag, contacts, at in given for one in contacts]
    if not rows:
        return set()
    named = {"number": number_id, "rows": as_json(rows), "within": WITHIN, "by": BY_TAG}
    return {row[0] for row in await tx.rows(TAGGED, named)}


async def worth(tx: Tx, one: Campaign) -> Mapping[int, Mapping[str, Decimal]]:
    """What the conversions amount to: by variant, then by currency."""
    found: dict[int, dict[str, Decimal]] = {}
    for variant, currency, value in await tx.rows(WORTH, (one.number_id, one.id)):
        found.setdefault(variant, {})[currency] = value
    return found


def _refused(rule: str, text: str, what_to_do: str) -> Refused:
    return Refused(Refusal(f"conversion.{rule}", text, what_to_do))
