"""The dry run: who gets a campaign and who doesn't and why, how long it takes, what it costs, and what to look out for.

A plan goes through the audience slice by slice, and asks for each person the rules that will be asked again when their
message leaves (``sending.service.refusal``), so a dry run can't promise what the lane would refuse. Everything about a
slice is looked up in a handful of statements; each person becomes a row of ``recipients``, with their message frozen,
or with the reason why there is none. The figures stand in ``campaigns.plan``, in the shape of ``Plan``.

It is one transaction that holds nobody's turn before its last moment. Whatever happens to the worker in the middle
leaves nothing behind, and the job begins anew; a campaign that was cancelled meanwhile stays as it is. How far it is
stands in the campaign's row after each slice, written beside that transaction.

What is only so at this moment (somebody speaks in the chat) is told but leaves nobody out: those people wait, and the
engine looks again.
"""

import re
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from twinline.app import App
from twinline.campaigns import audience, feeding, service
from twinline.campaigns.audience import Person
from twinline.campaigns.models import RECIPIENTS_ZONE, Campaign
from twinline.campaigns.zones import zone_of
from twinline.contacts import service as contacts
from twinline.costs import service as costs
from twinline.costs.models import Estimate, plain
from twinline.costs.service import Tariff
from twinline.db import Tx, as_json
from twinline.kit.clock import at_microseconds, microseconds
from twinline.kit.phones import of_country
from twinline.meta.graph import GraphError
from twinline.rules import funnel, portfolio
from twinline.rules import schedule as clocks
from twinline.rules.campaigns import Recipient as Became
from twinline.rules.campaigns import State
from twinline.rules.consent import FREE, Consent, Why
from twinline.rules.floor import Holder
from twinline.rules.funnel import Hours, Pace, Warning
from twinline.rules.portfolio import Limit
from twinline.rules.refusal import Refusal, Refused
from twinline.sending import portfolio as ledger
from twinline.sending import queries as sending_queries
from twinline.sending import service as sending
from twinline.sending import stops
from twinline.sending.models import Draft, Lane, Recipient, Sender
from twinline.templates.models import Template
from twinline.templates.service import meta_said

MARKETING: Final = "MARKETING"
WEEK: Final = timedelta(days=7)
TALK: Final = timedelta(hours=1)
DAYS_AHEAD: Final = 120
QUARTER: Final = 900_000_000  # microseconds: zones differ by no less

_US: Final = re.compile(of_country("US"))
"""Meta delivers no marketing templates to numbers of the United States since April 2025 (cloud-api, section 5)."""


# --- what is known of a slice -------------------------------------------------------------------------------------

# Beside what the guard asks: whether the chat's window is open, and whether they were reached in the last day.
FACTS = """
SELECT r.id, k.last_inbound_at, coalesce(k.floor_holder, 'nobody') AS floor_holder,
       coalesce(k.floor_epoch, 0) AS floor_epoch, k.floor_since, k.floor_until,
       EXISTS (SELECT FROM reached d WHERE d.number_id = %(number)s AND d.contact_id = r.id AND d.at > %(since)s)
       AS reached
FROM unnest(%(contacts)s::bigint[]) AS r(id)
LEFT JOIN chats k ON k.number_id = %(number)s AND k.contact_id = r.id
"""

# Both are few, and looked up once.
CAPPED = """
SELECT contact_id, max(failed_at) FROM outbox
WHERE number_id = %(number)s AND error_code = 131049 AND failed_at > %(since)s GROUP BY contact_id
"""
MISSED = f"""
SELECT contact_id, missed FROM (
    SELECT {sending_queries.STANDING}
    FROM (SELECT contact_id FROM outbox WHERE number_id = %(number)s AND error_code = 131026
          GROUP BY 1 HAVING count(*) >= %(enough)s) f
    JOIN contacts c ON c.number_id = %(number)s AND c.id = f.contact_id
    LEFT JOIN chats k ON k.number_id = c.number_id AND k.contact_id = c.id
) s
"""

LATELY = """
SELECT contact_id FROM recipients
WHERE number_id = %(number)s AND contact_id = ANY(%(contacts)s) AND sent_at > %(since)s AND state <> 'failed'
  AND campaign_id <> %(campaign)s
GROUP BY contact_id HAVING count(*) >= %(most)s
"""

# --- what is known of the number ----------------------------------------------------------------------------------

# What uses up the budget beside campaigns; chats without a word since are left out by their index.
TALKED = """
SELECT count(*)
FROM numbers n
JOIN chats c ON c.number_id = n.id AND c.last_at > %(since)s
JOIN messages m ON m.number_id = c.number_id AND m.contact_id = c.contact_id AND m.at > %(since)s
WHERE n.id = %(number)s AND m.live AND m.type <> 'reaction' AND m.author IS DISTINCT FROM 'campaign'
  AND (n.count_echoes OR m.author IS DISTINCT FROM 'phone')
"""

AHEAD = """
SELECT (SELECT count(*) FROM outbox WHERE number_id = %(number)s AND state = 'queued')
     + (SELECT count(*) FROM campaigns c JOIN recipients r ON r.number_id = c.number_id AND r.campaign_id = c.id
        WHERE c.number_id = %(number)s AND c.id <> %(campaign)s AND c.state = 'running' AND r.state = 'planned')
"""

CAME_BEFORE = """
SELECT EXISTS (SELECT FROM campaigns WHERE number_id = %(number)s AND id <> %(campaign)s AND started_at IS NOT NULL)
"""

# --- what is written ----------------------------------------------------------------------------------------------

# Whoever got it when it was tried on a few keeps their row, and gets it no second time.
FORGET = "DELETE FROM recipients WHERE number_id = %(number)s AND campaign_id = %(campaign)s AND outbox_id IS NULL"
HAVE_IT = "SELECT key, contact_id FROM recipients WHERE number_id = %(number)s AND campaign_id = %(campaign)s"

WRITE = """
INSERT INTO recipients (number_id, campaign_id, key, contact_id, phone, bsuid, name, line, language, variant, filled,
                        draft, market, cost, state, reason, says)
SELECT %(number)s, %(campaign)s, r.key, r.contact_id, r.phone, r.bsuid, r.name, r.line, r.language, r.variant,
       coalesce(r.filled, '{}'), r.draft, r.market, r.cost, r.state, r.reason, r.says
FROM ROWS FROM (json_to_recordset(%(rows)s::json) AS (key text, contact_id bigint, phone text, bsuid text, name text,
    line integer, language text, variant smallint, filled jsonb, draft jsonb, market text, cost numeric, state text,
    reason text, says text)) WITH ORDINALITY AS r
ORDER BY r.ordinality
"""


# --- the shape of a dry run ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """People who are left out, or wait, for one reason (``rules.funnel``; the same stands in their rows)."""

    reason: str
    title: str
    do: str
    people: int
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Market:
    """What the people of a market cost, by their template's category; ``each`` and ``amount`` None: nobody told the
    rate.
    """

    market: str
    people: int
    each: str | None
    amount: str | None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A dry run, as it is kept. Times are ISO 8601, amounts decimal text, ``by_day`` people in each 24 hours.

    ``people`` are all in the audience: ``sendable`` of them get it, ``waiting`` among these only when their chat is
    free. ``speed`` is messages a second, ``left`` what the number has left, ``talk`` what goes first, ``ahead`` what
    waits before. ``limit`` None: as many people as one likes; ``reached`` of them are used up, ``new`` are needed.
    """

    at: str
    begins: str
    ends: str | None
    people: int
    sendable: int
    waiting: int
    groups: Sequence[Group]
    variants: Sequence[int]
    languages: Mapping[str, int]
    speed: float
    left: float
    talk: float
    ahead: int
    seconds: float | None
    limit: int | None
    limit_known: bool
    usable: int | None
    reached: int
    new: int
    today: int
    by_day: Sequence[int]
    currency: str | None
    total: str
    unknown: int
    markets: Sequence[Market]
    card_date: str | None
    source: str | None
    warnings: Sequence[Warning] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        return self.people - self.sendable

    @property
    def days(self) -> int:
        """In how many moving days; 0: never, for nobody may be reached."""
        return len(self.by_day)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Plan":
        return cls(
            **{
                **found,
                "groups": [Group(**one) for one in found["groups"]],
                "markets": [Market(**one) for one in found["markets"]],
                "warnings": [Warning(**one) for one in found["warnings"]],
            }
        )


# --- planning -----------------------------------------------------------------------------------------------------


async def plan(app: App, organisation_id: int, campaign_id: int, *, last_try: bool = True) -> None:
    """Makes the dry run of a campaign that waits for one. Repeating it does no harm; when the last try fails, too, the
    campaign is a draft again, and says so.
    """
    try:
        async with app.db.transaction() as tx:
            one = await service.found(tx, organisation_id, campaign_id)
            if one.state is not State.PLANNING:
                return
            await _plan(app, tx, one)
    except Refused as refused:
        await _give_up(app, organisation_id, campaign_id, refused.refusal)
    except Exception as error:
        if last_try:
            says = meta_said(error) if isinstance(error, GraphError) else "Something went wrong on our side."
            why = Refusal("campaign.unplanned", says, "Try it again in a while.")
            await _give_up(app, organisation_id, campaign_id, why)
        raise


async def _give_up(app: App, organisation_id: int, campaign_id: int, why: Refusal) -> None:
    async with app.db.transaction() as tx:
        await service.unplannable(tx, organisation_id, campaign_id, why, app.clock.now())


async def _plan(app: App, tx: Tx, one: Campaign) -> None:
    now = app.clock.now()
    people = await audience.people(app, tx, one, now)
    await tx.execute(FORGET, {"number": one.number_id, "campaign": one.id})
    planner = await _Planner.of(tx, one, people.templates, now)
    total = await people.total()
    await _tell(app, one, 0, total)
    async for found in people:
        await tx.execute(WRITE, {**planner.named, "rows": as_json(await planner.judge(tx, found))})
        await _tell(app, one, planner.people, total)
    made = await planner.finish(tx)
    await service.planned(tx, one.organisation_id, one.id, one.revision, made.as_json(), now)


async def _tell(app: App, one: Campaign, so_far: int, total: int) -> None:
    """Others see how far it is, although they don't see what it writes before it is done."""
    async with app.db.transaction() as tx:
        await service.planned_so_far(tx, one, so_far, total, app.clock.now())


@dataclass(slots=True)
class _Planner:
    """A campaign while it is planned: what is known of its number, and what has been counted so far."""

    one: Campaign
    now: datetime
    begins: datetime
    sender: Sender
    home: str
    marketing: bool
    tariffs: Mapping[str, Tariff]
    capped: Mapping[int, datetime]
    missed: Mapping[int, int]
    have_it: Collection[str | int]
    templates: Sequence[Template]
    categories: Mapping[tuple[int, str], str]
    people: int = 0
    asked: dict[tuple[int, str | None, int], Refusal | None] = field(default_factory=dict)
    groups: Counter[str] = field(default_factory=Counter)
    variants: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    prices: dict[str, Estimate] = field(default_factory=dict)
    markets: Counter[str] = field(default_factory=Counter)
    # Of each who gets it, in order: whether the portfolio's limit counts them, and which clock is on their wall.
    new: bytearray = field(default_factory=bytearray)
    walls: "array[int]" = field(default_factory=lambda: array("H"))
    zones: dict[str, int] = field(default_factory=dict)

    @classmethod
    async def of(cls, tx: Tx, one: Campaign, templates: Sequence[Template], now: datetime) -> "_Planner":
        named = {"number": one.number_id, "enough": sending.UNREACHABLE_AFTER, "since": now - sending.CAPPED_FOR}
        sender = await tx.one(Sender, sending_queries.SENDER, named)
        assert sender is not None
        home = await feeding.home_zone(tx, one.number_id)
        begins = max(now, _beginning(one, home) or now)
        tariffs = {}
        for category in {template.category for template in templates}:
            if (tariff := await costs.tariff(tx, one.number_id, category, begins)) is not None:
                tariffs[category] = tariff
        return cls(
            one,
            now,
            begins,
            sender,
            home,
            MARKETING in tariffs,
            tariffs,
            dict(await tx.rows(CAPPED, named)),
            dict(await tx.rows(MISSED, named)),
            {name for row in await tx.rows(HAVE_IT, {**named, "campaign": one.id}) for name in row if name is not None},
            templates,
            {
                (index, template.language): template.category
                for index, variant in enumerate(one.what.variants)
                for template in templates
                if template.name == variant.template
            },
        )

    @property
    def named(self) -> dict[str, Any]:
        return {"number": self.one.number_id, "campaign": self.one.id}

    # --- person by person -----------------------------------------------------------------------------------------

    async def judge(self, tx: Tx, people: Sequence[Person]) -> list[dict[str, Any]]:
        """What becomes of each of these, as rows."""
        asked = [one for one in people if not one.reason]
        ids = [one.contact_id for one in asked if one.contact_id is not None]
        named = {**self.named, "contacts": ids, "since": self.now - ledger.DAY}
        known = {row["id"]: row for row in await tx.dicts(FACTS, named)}
        consents: Mapping[str, Consent] = {}
        often: set[int] = set()
        if self.marketing:
            consents = await contacts.consents_of(tx, self.one.number_id, [one.key for one in asked], self.one.topic)
            if most := self.one.stops_at.weekly:
                lately = {**self.named, "contacts": ids, "since": self.begins - WEEK, "most": most}
                often = {row[0] for row in await tx.rows(LATELY, lately)}
        return [self._row(one, known.get(one.contact_id or 0), consents.get(one.key, FREE), often) for one in people]

    def _row(
        self, person: Person, known: Mapping[str, Any] | None, consent: Consent, often: Collection[int]
    ) -> dict[str, Any]:
        reason, says = person.reason, person.says
        if not reason:
            reason, says = self._why_not(person, known, consent, often)
        self.people += 1
        waits = bool(reason) and funnel.REASONS[reason].waits
        row = {
            "key": person.key,
            "contact_id": person.contact_id,
            "phone": person.phone,
            "bsuid": person.bsuid,
            "name": person.name,
            "line": person.line,
            "language": person.language,
            "variant": person.variant,
            "filled": person.filled,
            "reason": reason,
            "says": says,
            "state": Became.HELD if waits else Became.SKIPPED if reason else Became.PLANNED,
        }
        if reason:
            self.groups[reason] += 1
        if not reason or waits:
            row |= self._gets_it(person, known)
        return row

    def _gets_it(self, person: Person, known: Mapping[str, Any] | None) -> dict[str, Any]:
        """Counts somebody who gets it; answers the rest of their row."""
        address = person.phone or person.bsuid or ""
        self.variants[person.variant] += 1
        self.languages[person.language or ""] += 1
        price = self.tariffs[self._category(person)].price(address)
        market = f"{price.category}:{price.market}"
        self.markets[market] += 1
        self.prices[market] = price
        self.new.append(known is None or not (known["reached"] or self._in_window(known)))
        zone = zone_of(person.phone, self.home)
        self.walls.append(self.zones.setdefault(zone, len(self.zones)))
        amount = None if price.amount is None else plain(price.amount)
        return {"draft": orjson.Fragment(person.frozen), "market": price.market, "cost": amount}

    def _in_window(self, known: Mapping[str, Any]) -> bool:
        wrote, connected = known["last_inbound_at"], self.sender.connected_at
        return bool(wrote and connected and wrote >= connected and wrote > self.begins - ledger.DAY)

    def _why_not(
        self, person: Person, known: Mapping[str, Any] | None, consent: Consent, often: Collection[int]
    ) -> tuple[str, str]:
        """The reason why somebody doesn't get it, and the sentence for people; both empty if they do."""
        contact_id = person.contact_id or 0
        if person.key in self.have_it or contact_id in self.have_it:
            return "tried", "They got it when this campaign was sent to a few people first."
        marketing = self._category(person) == MARKETING
        refused = self._refusal(person, contact_id, known, consent)
        if refused is not None and not refused.rule.startswith("floor."):
            if marketing and consent.why is Why.SUPPRESSED:
                return "suppressed", refused.text
            return funnel.reason_of(refused.rule).code, refused.text
        if marketing and person.phone is not None and _US.match(person.phone):
            return "us_marketing", "WhatsApp delivers no marketing to numbers of the United States."
        if marketing and contact_id in often:
            most = self.one.stops_at.weekly
            return "frequency", f"They got {most} campaigns or more in the last seven days."
        return ("", "") if refused is None else ("floor", refused.text)

    def _refusal(
        self, person: Person, contact_id: int, known: Mapping[str, Any] | None, consent: Consent
    ) -> Refusal | None:
        """What the rules say. Of people of whom nothing is known that a rule asks for, all with one template and the
        same kind of address are alike, so they are asked about once.
        """
        floor = known["floor_holder"] if known else "nobody"
        missed = self.missed.get(contact_id, 0)
        capped = self.capped.get(contact_id)
        alike = (person.variant, person.language, len(person.phone or ""))
        ordinary = floor == "nobody" and not missed and not capped and consent.allowed
        if ordinary and alike in self.asked:
            return self.asked[alike]
        draft = Draft(**(person.draft or {}))
        asked = Recipient(
            contact_id,
            person.phone,
            person.bsuid,
            None,
            None,
            None,
            floor,
            known["floor_epoch"] if known else 0,
            known["floor_since"] if known else None,
            known["floor_until"] if known else None,
            capped,
            missed,
        )
        lane = Lane.MARKETING if self._category(person) == MARKETING else Lane.UTILITY
        refused = sending.refusal(self.sender, asked, draft, lane, Holder.CAMPAIGN, self.begins, consent)
        if ordinary:
            self.asked[alike] = refused
        return refused

    def _category(self, person: Person) -> str:
        return self.categories[person.variant, person.language or ""]

    # --- all together ---------------------------------------------------------------------------------------------

    async def finish(self, tx: Tx) -> Plan:
        """The figures, when everybody has been judged."""
        one, sendable = self.one, len(self.new)
        stands = await ledger.standing(tx, one.number_id, self.now)
        reached = await ledger.times(tx, one.number_id, self.now) if stands.limit.most is not None else []
        talked = int(await tx.value(TALKED, {**self.named, "since": self.now - TALK}))
        ahead = int(await tx.value(AHEAD, self.named))
        pace = Pace(talked / TALK.total_seconds(), one.speed, ahead)
        times = self._times(stands.limit, reached, pace)
        begin = microseconds(self.begins)
        days = portfolio.by_day(times, begin)
        ends = at_microseconds(times[-1]) if times else None
        priced = [(self.prices[key], count) for key, count in self.markets.most_common()]
        amounts = [price.amount * count for price, count in priced if price.amount is not None]
        basis = next((price for price, _ in priced if price.card_date is not None), None)
        return Plan(
            at=self.now.isoformat(),
            begins=self.begins.isoformat(),
            ends=ends.isoformat() if ends else None,
            people=self.people,
            sendable=sendable,
            waiting=sum(self.groups[code] for code in funnel.ORDER if funnel.REASONS[code].waits),
            groups=[
                Group(code, reason.title, reason.do, self.groups[code], reason.waits)
                for code, reason in funnel.REASONS.items()
                if self.groups[code]
            ],
            variants=[self.variants[index] for index in range(len(one.what.variants))],
            languages=dict(self.languages.most_common()),
            speed=round(pace.speed, 2),
            left=round(pace.left, 2),
            talk=round(pace.talk, 2),
            ahead=ahead,
            seconds=(ends - self.begins).total_seconds() if ends else None,
            limit=stands.limit.most,
            limit_known=stands.limit.known,
            usable=stands.limit.usable,
            reached=stands.reached + stands.waiting,
            new=sum(self.new),
            today=days[0] if days else 0,
            by_day=days,
            currency=next((tariff.account.currency for tariff in self.tariffs.values()), None),
            total=plain(sum(amounts, Decimal(0))),
            unknown=sum(count for price, count in priced if price.amount is None),
            markets=[_market(price, count) for price, count in priced],
            card_date=basis.card_date.isoformat() if basis and basis.card_date else None,
            source=basis.source if basis else None,
            warnings=[warning async for warning in self._warnings(tx, stands.limit, times, days)],
        )

    def _times(self, limit: Limit, reached: Sequence[int], pace: Pace) -> "array[int]":
        """When each of those who get it gets it, in microseconds, in order."""
        sendable, new = len(self.new), sum(self.new)
        if not sendable:
            return array("q")
        interval = round(1_000_000 / pace.speed)
        begin = microseconds(self.begins) + round(pace.ahead * 1_000_000 / pace.left)
        if self.one.when.hours is not None:
            interval = max(interval, round(self.one.when.hours * 3_600_000_000 / sendable))
        hours = self._hours()
        # Whom the limit doesn't count takes his place among the others.
        counted = portfolio.forecast(limit, reached, new, begin, interval * sendable // max(new, 1), hours.opens)
        others = portfolio.forecast(Limit(None), (), sendable - new, begin, interval, hours.opens)
        return array("q", sorted([*counted, *others]))

    def _hours(self) -> Hours:
        """When people may be written to, by the campaign's hours of the day; in their own zones by the business's."""
        between = self.one.when.between
        if between is None:
            return Hours(())
        first, last = clocks.hours_of_day(between)
        zone = clocks.zone(self.home if self.one.when.zone == RECIPIENTS_ZONE else self.one.when.zone)
        today = self.begins.astimezone(zone).date()
        days = (today + timedelta(days=number) for number in range(DAYS_AHEAD))
        return Hours(
            [
                (
                    microseconds(datetime.combine(day, first, zone)),
                    microseconds(datetime.combine(day, last, zone)),
                )
                for day in days
            ]
        )

    def _quiet(self, times: Sequence[int]) -> int:
        """How many would get it at an hour when they would rather not."""
        if self.one.when.zone == RECIPIENTS_ZONE and self.one.when.at is not None:
            local = clocks.wall(self.one.when.at)
            shift = microseconds(self.begins)
            return sum(funnel.is_quiet(local + timedelta(microseconds=at - shift)) for at in times)
        names = list(self.zones)
        quarters = Counter(zip(self.walls, (at // QUARTER for at in times), strict=False))
        return sum(
            count
            for (clock, quarter), count in quarters.items()
            if funnel.is_quiet(at_microseconds(quarter * QUARTER).astimezone(clocks.zone(names[clock])))
        )

    async def _warnings(
        self, tx: Tx, limit: Limit, times: Sequence[int], days: Sequence[int]
    ) -> AsyncIterator[Warning]:
        one, sendable = self.one, len(self.new)
        for still in await stops.standing(tx, one.number_id, self.now):
            if any(still.concerns("campaign", _lane(each), "template", _content(each)) for each in self.templates):
                yield Warning("stopped", still.says, still.do)
        for template in self.templates:
            named = f"{template.name} ({template.language})"
            for warning in funnel.of_template(named, template.quality, template.category, template.next_category):
                yield warning
        if not limit.known and limit.most is not None and sum(self.new) > limit.most // 2:
            yield funnel.UNKNOWN_LIMIT
        if len(days) > 1:
            yield funnel.many_days(len(days), days[0], sendable, limit.most)
        if quiet := self._quiet(times):
            yield funnel.quiet(quiet)
        if us := self.groups["us_marketing"]:
            yield funnel.us_marketing(us)
        if capped := self.groups["capped"]:
            yield funnel.capped(capped)
        if (unknown := sum(n for key, n in self.markets.items() if self.prices[key].amount is None)) > 0:
            yield Warning("cost", "For some of these people no rate is known.", self._lacks(), unknown)
        connected = self.sender.connected_at
        young = connected is not None and self.now - connected < funnel.YOUNG_NUMBER
        if young and sendable > funnel.MANY_FOR_YOUNG and not await tx.value(CAME_BEFORE, self.named):
            yield funnel.FIRST_OF_A_YOUNG_NUMBER

    def _lacks(self) -> str:
        return next((price.lacks for price in self.prices.values() if price.lacks), "")


def _beginning(one: Campaign, home: str) -> datetime | None:
    """When it begins by its schedule; in the recipients' zones by the business's clock."""
    when = one.when
    if when.at is None:
        return None
    return clocks.moment(when.at, home if when.zone == RECIPIENTS_ZONE else when.zone)


def _lane(template: Template) -> Lane:
    return Lane.MARKETING if template.category == MARKETING else Lane.UTILITY


def _content(template: Template) -> dict[str, Any]:
    return {"name": template.name, "language": {"code": template.language}}


def _market(price: Estimate, count: int) -> Market:
    if price.amount is None:
        return Market(price.market, count, None, None, price.category)
    return Market(price.market, count, plain(price.amount), plain(price.amount * count), price.category)
