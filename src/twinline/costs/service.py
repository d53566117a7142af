"""What a message costs, what a number has sent this month, and where a chat stands.

Nothing here is counted up: a delivered message is a row derived from its statuses (``follow``), and months, free
messages and free entry points are asked of the rows. So repetition and disorder can't count anything twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.costs import queries
from twinline.costs.models import Account, Chat, Estimate, Line, Month, WindowFacts
from twinline.db import Tx, as_json
from twinline.mirror.models import Folded
from twinline.rules import lifecycle, pricing
from twinline.rules import window as windows
from twinline.rules.delivery import Delivery
from twinline.rules.identity import digits, is_address, is_user_id, phone_key, user_key
from twinline.rules.lifecycle import Connection
from twinline.rules.pricing import Category, Priced, Rate, Reading, Verdict, Whereabouts

TEMPLATES = (Category.UTILITY, Category.MARKETING, Category.AUTHENTICATION)
CHARGED = frozenset({"pricing", "conversation"})  # where Meta says how it charges
LONGEST_CARD = 1_000_000  # characters; Meta's have some thousands
LONGEST_FREE_ENTRY = 168  # hours; Meta: up to 7 days


class CostError(Exception):
    """Something about costs can't be done; the message is for the person who asked."""


# --- a chat -------------------------------------------------------------------------------------------------------


async def standing(tx: Tx, number_id: int, recipient: str | int, now: datetime) -> WindowFacts | None:
    """Where the chat of this number with somebody stands; None when there is no such number or contact.

    ``recipient`` is a contact's id, or a phone number or business-scoped user id, known here or not. Raises CostError
    for what can't be an address.
    """
    account = await account_of(tx, number_id)
    if account is None:
        return None
    address, chat = await _find(tx, account, recipient, now)
    if chat.contact_id is None and not address:
        return None
    seen = _window(chat, now)
    zone = _zone(account)
    begins, ends = pricing.month(now, zone)
    sent = await _service_sent(tx, number_id, begins, ends)
    reply, *templates = await _estimates(tx, account, chat, address, (Category.SERVICE, *TEMPLATES), now, sent)
    return WindowFacts(
        number_id=number_id,
        contact_id=chat.contact_id,
        window=seen,
        says=_says(chat, seen),
        opened_by=("call" if chat.opened_by == "call" else "message") if seen.open else None,
        seconds_left=ceil((seen.until - now).total_seconds()) if seen.open and seen.until else None,
        reply=reply,
        templates=tuple(templates),
        service_sent=sent,
        free_left=pricing.free_left(sent),
        resets_at=ends,
        resets_on=ends.astimezone(zone).date(),
        zone=account.zone,
        free_entry_until=_ahead(chat.entry_until, now),
        free_entry_by=_ahead(chat.entry_by, now),
        free_entry_hours=account.free_entry_hours,
        on_phone=phone_link(None if is_user_id(address) else address),
    )


async def estimate(tx: Tx, number_id: int, recipient: str | int, category: str, now: datetime) -> Estimate | None:
    """What a message to somebody would cost if it were delivered now; None when there is no such number.

    ``recipient`` is a phone number, a business-scoped user id, known here or not, or a contact's id. ``category`` is
    a template's, as Meta spells it, or "service" for everything that isn't a template. Raises CostError for another,
    and for what can't be an address.
    """
    wanted = pricing.category_of(category)
    if wanted is None:
        raise CostError(f'"{category}" is no category; there are {", ".join(Category)}.')
    account = await account_of(tx, number_id)
    if account is None:
        return None
    address, chat = await _find(tx, account, recipient, now)
    begins, ends = pricing.month(now, _zone(account))
    sent = await _service_sent(tx, number_id, begins, ends) if wanted is Category.SERVICE else 0
    [found] = await _estimates(tx, account, chat, address, (wanted,), now, sent)
    return found


@dataclass(slots=True)
class Tariff:
    """What messages of one category cost on one day, for very many recipients: each beginning of a number is looked up
    once. Free entry points aren't asked for, so a sum may come out a little too high.
    """

    account: Account
    category: Category
    day: date
    own: Sequence[Rate]
    _known: dict[str, Estimate] = field(default_factory=dict)

    def price(self, address: str) -> Estimate:
        """Of a message to a phone (digits) or a business-scoped user id."""
        beginning = address[:4] if address[:1].isdigit() else address[:2]
        found = self._known.get(beginning)
        if found is None:
            found = self._known[beginning] = self._price(beginning)
        return found

    def _price(self, beginning: str) -> Estimate:
        where, currency = pricing.whereabouts(beginning, self.day), self.account.currency
        told = pricing.verdict(self.category, self.day, window_open=False, free_entry=False, service_before=0)
        priced = pricing.rate(where, currency, self.category, self.day, self.own) if currency else None
        return _estimate(self.account, where, self.category, told, priced)


async def tariff(tx: Tx, number_id: int, category: str, at: datetime) -> Tariff | None:
    """The prices of templates of a category at a time; None when there is no such number. Raises CostError."""
    wanted = pricing.category_of(category)
    if wanted is None:
        raise CostError(f'"{category}" is no category; there are {", ".join(Category)}.')
    account = await account_of(tx, number_id)
    if account is None:
        return None
    own: Sequence[Rate] = ()
    if account.currency is not None:
        named = {"organisation": account.organisation_id, "currency": account.currency}
        own = await _own_rates(tx, queries.RATES_IN, named)
    return Tariff(account, wanted, at.astimezone(_zone(account)).date(), own)


async def _estimates(
    tx: Tx,
    account: Account,
    chat: Chat,
    recipient: str,
    categories: Sequence[Category],
    now: datetime,
    service_sent: int,
) -> list[Estimate]:
    """What a message of each category would cost."""
    day = now.astimezone(_zone(account)).date()
    where = pricing.whereabouts(recipient, day)
    own: Sequence[Rate] = ()
    if account.currency is not None:
        names = [name for name in (where.country, where.market) if name is not None]
        named = {"organisation": account.organisation_id, "currency": account.currency, "markets": names}
        own = await _own_rates(tx, queries.RATES_FOR, named)
    window_open = _window(chat, now).open
    free_entry = bool(_ahead(chat.entry_until, now) or _ahead(chat.entry_by, now))
    return [
        _estimate(
            account,
            where,
            category,
            pricing.verdict(category, day, window_open=window_open, free_entry=free_entry, service_before=service_sent),
            pricing.rate(where, account.currency, category, day, own) if account.currency else None,
        )
        for category in categories
    ]


def _estimate(
    account: Account, where: Whereabouts, category: Category, told: Verdict, priced: Priced | None
) -> Estimate:
    return Estimate(
        category=category,
        free=told.free,
        rule=told.why,
        why=pricing.says(told.why),
        amount=Decimal(0) if told.free else priced.rate.amount if priced else None,
        currency=account.currency,
        market=where.market,
        card_date=priced.rate.since if priced else None,
        source=priced.source if priced else None,
        lacks=None if priced else _lack(account, where.market),
    )


def _lack(account: Account, market: str) -> str:
    if account.currency is None:
        return "The account's currency isn't known yet; it can be set on the number's page of costs."
    return f"There is no rate for {market} in {account.currency}. Bring your own rate card on the page of rates."


def phone_link(phone: str | None) -> str | None:
    """Opens the chat in WhatsApp, on the device that follows the link or reads its QR code."""
    return f"https://wa.me/{digits(phone)}" if phone else None


def _address(recipient: str) -> str:
    """A phone's digits, or a user id as it is. Raises CostError."""
    if is_address(recipient):
        return recipient if is_user_id(recipient) else digits(recipient)
    raise CostError(f"{recipient} is neither a phone number with its country code nor a business-scoped user id.")


def _window(chat: Chat, now: datetime) -> windows.Window:
    """Of a number from which nothing may be sent at present no window is open, whoever wrote."""
    connected_at = chat.connected_at if lifecycle.may_send(Connection(chat.state)) else None
    return windows.window(now, connected_at, chat.last_inbound_at, chat.last_customer_at, chat.last_phone_at)


def _says(chat: Chat, seen: windows.Window) -> str:
    if seen.reason is windows.WindowReason.NOT_CONNECTED and chat.connected_at is not None:
        told = lifecycle.explain(chat.state_reason)
        return f"{told.says} {told.do}"
    return windows.text(seen.reason)


def _ahead(at: datetime | None, now: datetime) -> datetime | None:
    return at if at is not None and now < at else None


async def _find(tx: Tx, account: Account, recipient: str | int, now: datetime) -> tuple[str, Chat]:
    """The address that somebody is written to, and their chat. Raises CostError."""
    if isinstance(recipient, int):
        chat = await _chat(tx, account, recipient, now)
        return chat.phone or chat.bsuid or "", chat
    address = _address(recipient)
    chat = await _chat(tx, account, await _contact(tx, account.number_id, address), now)
    return chat.phone or chat.bsuid or address, chat


async def _chat(tx: Tx, account: Account, contact_id: int | None, now: datetime) -> Chat:
    lasts, answer = timedelta(hours=account.free_entry_hours), pricing.rules().free_entry_answer
    named = {
        "number": account.number_id,
        "contact": contact_id,
        "lasts": lasts,
        "answer": answer,
        "since": now - lasts - answer,
    }
    chat = await tx.one(Chat, queries.CHAT, named)
    assert chat is not None
    return chat


async def _contact(tx: Tx, number_id: int, address: str) -> int | None:
    key = user_key(address) if is_user_id(address) else phone_key(address)
    found: int | None = await tx.value(queries.CONTACT, {"number": number_id, "key": key})
    return found


# --- a month ------------------------------------------------------------------------------------------------------


async def free_left(tx: Tx, number_id: int, now: datetime) -> int | None:
    """How many of the month's free service messages the number has left; None while none are charged."""
    account = await account_of(tx, number_id)
    zone = _zone(account) if account else UTC
    if now.astimezone(zone).date() < pricing.rules().service_charged_from:
        return None
    return pricing.free_left(await _service_sent(tx, number_id, *pricing.month(now, zone)))


async def month(tx: Tx, number_id: int, now: datetime) -> Month | None:
    """The number's month so far, by category, as an estimate; None when there is no such number.

    Templates whose category nobody told, and messages to markets without a rate, are counted but not priced.
    """
    account = await account_of(tx, number_id)
    if account is None:
        return None
    begins, ends = pricing.month(now, _zone(account))
    allowance = pricing.rules().free_service_messages
    rows = await tx.dicts(
        queries.MONTH,
        {
            "number": number_id,
            "begins": begins,
            "ends": ends,
            "allowance": allowance,
            "zone": account.zone or "UTC",
        },
    )
    own: Sequence[Rate] = ()
    if account.currency is not None:
        named = {"organisation": account.organisation_id, "currency": account.currency}
        own = await _own_rates(tx, queries.RATES_IN, named)
    lines: dict[str, Line] = {}
    for row in rows:
        part = _line(row, account, own, allowance)
        known = lines.get(part.category)
        lines[part.category] = _joined(known, part) if known else part
    sent = sum(row["n"] for row in rows if row["category"] == Category.SERVICE and not row["entry"])
    return Month(
        begins=begins,
        ends=ends,
        next_day=ends.astimezone(_zone(account)).date(),
        service_sent=sent,
        free_left=pricing.free_left(sent),
        lines=tuple(lines[name] for name in (*Category, "unknown") if name in lines),
        currency=account.currency,
        charged=begins.astimezone(_zone(account)).date() >= pricing.rules().service_charged_from,
    )


def _line(row: dict[str, Any], account: Account, own: Sequence[Rate], allowance: int) -> Line:
    category = pricing.category_of(row["category"])
    count: int = row["n"]
    if category is None:
        free = count if row["entry"] else 0
        return Line("unknown", count, free, Decimal(0), count - free)
    told = pricing.verdict(
        category,
        row["day"],
        window_open=row["in_window"],
        free_entry=row["entry"],
        service_before=allowance if row["beyond"] else 0,
    )
    if told.free:
        return Line(category, count, count, Decimal(0), 0)
    priced = None
    if account.currency is not None and row["whose"] is not None:
        where = pricing.whereabouts(row["whose"], row["day"])
        priced = pricing.rate(where, account.currency, category, row["day"], own)
    return Line(category, count, 0, count * priced.rate.amount if priced else Decimal(0), 0 if priced else count)


def _joined(one: Line, other: Line) -> Line:
    return Line(
        one.category,
        one.delivered + other.delivered,
        one.free + other.free,
        one.amount + other.amount,
        one.unknown + other.unknown,
    )


async def _service_sent(tx: Tx, number_id: int, begins: datetime, ends: datetime) -> int:
    enough = pricing.rules().free_service_messages + 1
    named = {"number": number_id, "begins": begins, "ends": ends, "enough": enough}
    return int(await tx.value(queries.SERVICE_SENT, named))


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """In the ingest's transaction, after sending: what statuses said was delivered, or what it was charged as."""
    told = {
        (status.number_id, status.wamid)
        for status in folded.statuses
        if status.status >= Delivery.DELIVERED or (status.detail and CHARGED & status.detail.keys())
    }
    if told:
        rows = [{"number_id": number_id, "wamid": wamid} for number_id, wamid in told]
        await tx.send(queries.FOLD, (as_json(rows),))


# --- the account --------------------------------------------------------------------------------------------------


async def account_of(tx: Tx, number_id: int) -> Account | None:
    """The account that pays for the number."""
    rows = await tx.dicts(queries.ACCOUNT, {"number": number_id, "hours": pricing.rules().free_entry_hours})
    if not rows:
        return None
    zone = rows[0]["zone"] or pricing.zone_name(rows[0]["timezone_id"])
    return Account(**{**rows[0], "zone": zone})


def _zone(account: Account) -> tzinfo:
    return ZoneInfo(account.zone) if account.zone else UTC


async def ask(app: App, number_id: int) -> None:
    """Asks Graph for the account's currency and time zone and keeps the answer, also that there was none.

    Raises GraphError, VaultError.
    """
    async with app.db.transaction() as tx:
        rows = await tx.rows(queries.WABA, (number_id,))
    if not rows or rows[0][1] is None:
        return
    currency = timezone_id = None
    try:
        waba = await app.graph.waba(rows[0][0], token=app.vault.unseal(rows[0][1]))
        currency, timezone_id = waba.currency, waba.timezone_id
    finally:
        named = {"number": number_id, "currency": currency, "timezone_id": timezone_id, "now": app.clock.now()}
        async with app.db.transaction() as tx:
            await tx.execute(queries.KEEP_ANSWER, named)


async def to_ask(tx: Tx, now: datetime) -> list[int]:
    """Numbers whose account hasn't been asked for a day, or an hour if that brought no answer."""
    named = {"later": now - timedelta(days=1), "soon": now - timedelta(hours=1)}
    return [row[0] for row in await tx.rows(queries.TO_ASK, named)]


def zones() -> list[str]:
    """The time zones that may be chosen."""
    return sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))


async def set_account(
    tx: Tx, number_id: int, *, currency: str, zone: str, hours: str, user_id: int | None, now: datetime
) -> None:
    """A person's own words on the account; an empty one leaves it to Meta. Raises CostError. Needs an own number."""
    account = await account_of(tx, number_id)
    if account is None:
        raise CostError("There is no such number.")
    said = currency.strip().upper()
    if said and not (len(said) == 3 and said.isascii() and said.isalpha()):
        raise CostError("A currency is three letters, like USD.")
    if zone and zone not in available_timezones():
        raise CostError(f'"{zone}" is no time zone; they are named like America/Sao_Paulo.')
    if not (hours.isascii() and hours.isdecimal() and 1 <= int(hours) <= LONGEST_FREE_ENTRY):
        raise CostError(f"A free entry point lasts 1 to {LONGEST_FREE_ENTRY} hours.")
    named = {"number": number_id, "currency": said or None, "zone": zone or None, "hours": int(hours)}
    await tx.execute(queries.SET_ACCOUNT, named)
    detail = {"number_id": number_id, "currency": said, "zone": zone, "free_entry_hours": int(hours)}
    await accounts.record(tx, account.organisation_id, user_id, "costs.account", detail, now)


# --- rates of one's own -------------------------------------------------------------------------------------------


async def import_card(
    tx: Tx, organisation_id: int, text: str, since: date, *, user_id: int | None, now: datetime
) -> Reading:
    """Keeps what can be read of a rate card; the answer says what couldn't, by line. Raises CostError.

    A rate that was there for the same market, category and day is replaced.
    """
    if len(text) > LONGEST_CARD:
        raise CostError("That is too large for a rate card.")
    found = pricing.read_card(text, since)
    if found.rates:
        rows = [{**_as_row(rate), "since": rate.since.isoformat()} for rate in found.rates]
        await tx.execute(queries.KEEP_RATES, {"organisation": organisation_id, "rows": as_json(rows)})
        detail = {"rates": len(found.rates), "problems": len(found.problems)}
        await accounts.record(tx, organisation_id, user_id, "costs.rates", detail, now)
    return found


def _as_row(rate: Rate) -> dict[str, str]:
    return {
        "currency": rate.currency,
        "market": rate.market,
        "category": str(rate.category),
        "amount": str(rate.amount),
    }


async def forget_card(tx: Tx, organisation_id: int, *, user_id: int | None, now: datetime) -> int:
    """Takes all own rates away, so that the built-in card holds again; answers how many there were."""
    count = await tx.execute(queries.FORGET_RATES, {"organisation": organisation_id})
    if count:
        await accounts.record(tx, organisation_id, user_id, "costs.rates", {"forgotten": count}, now)
    return count


async def own_rates(tx: Tx, organisation_id: int) -> list[Rate]:
    """The organisation's own rates, by currency, market and category."""
    return await _own_rates(tx, queries.RATES, {"organisation": organisation_id})


async def _own_rates(tx: Tx, sql: str, named: dict[str, Any]) -> list[Rate]:
    rows: Iterable[dict[str, Any]] = await tx.dicts(sql, named)
    return [Rate(**{**row, "category": Category(row["category"])}) for row in rows]
