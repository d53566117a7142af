"""What a message costs: by date, category, recipient's market and what was sent before in the month.

Meta charges a message when it is delivered, by its category and the country calling code of whom it went to,
at the rates of the account's currency (Meta: Pricing on the WhatsApp Business Platform). The rules by date,
the rates and the markets are `rates.toml`; what has no rate is unknown, never guessed. Whatever comes out
of here is an estimate: volume tiers, taxes and a partner's fees aren't known.

- Marketing and authentication are always charged.
- Utility was free inside an open customer service window until 2026-09-30.
- Service (whatever isn't a template) was free until 2026-09-30; since then a number has 1,000 free ones a
  month, the rest go at the market's utility rate.
- Inside a free entry point everything is free: a customer came by an ad or a page's button, and the business
  answered within a day.
"""

import csv
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final


class Category(StrEnum):
    """What Meta charges a message as."""

    MARKETING = "marketing"
    UTILITY = "utility"
    AUTHENTICATION = "authentication"
    AUTHENTICATION_INTERNATIONAL = "authentication_international"
    SERVICE = "service"


CARD_ORDER: Final = (
    Category.MARKETING,
    Category.UTILITY,
    Category.AUTHENTICATION,
    Category.AUTHENTICATION_INTERNATIONAL,
)
"""The columns of the rates in `rates.toml`."""

OTHER: Final = "Other"


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one delivered message. `market` is Meta's name of it, or a country's two letters."""

    market: str
    currency: str
    category: Category
    since: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Priced:
    """A rate with where it is from: a card's words, or that it is the organisation's own."""

    rate: Rate
    source: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a recipient is, as far as prices go: the market, and the country if the number tells it."""

    market: str
    country: str | None


class Why(StrEnum):
    """Why a message is free, or isn't."""

    FREE_ENTRY = "free_entry"
    BEFORE_CHARGES = "before_charges"
    ALLOWANCE = "allowance"
    BEYOND_ALLOWANCE = "beyond_allowance"
    UTILITY_IN_WINDOW = "utility_in_window"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether Meta charges for a message, and why."""

    free: bool
    why: Why


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by date; days begin at midnight in the account's time zone."""

    service_charged_from: date
    utility_in_window_charged_from: date
    free_service_messages: int
    free_entry_answer: timedelta
    free_entry_hours: int


SAYS: Final = MappingProxyType(
    {
        Why.FREE_ENTRY: "The customer came by an ad or a page's button, so everything is free for a while.",
        Why.BEFORE_CHARGES: "Until 30 September 2026 messages that aren't templates are free.",
        Why.ALLOWANCE: "Each number has {allowance:,} service messages free a month.",
        Why.BEYOND_ALLOWANCE: "This month's {allowance:,} free service messages are used up.",
        Why.UTILITY_IN_WINDOW: "Until 30 September 2026 utility templates are free in an open window.",
        Why.ALWAYS: "Templates of this category are charged when they are delivered.",
    }
)


def says(why: Why) -> str:
    """The reason as a sentence."""
    return SAYS[why].format(allowance=rules().free_service_messages)


def verdict(category: Category, day: date, *, window_open: bool, free_entry: bool, service_before: int) -> Verdict:
    """Whether a message delivered on that day is free.

    `service_before` counts the number's service messages delivered in the month so far, those inside free
    entry points left out: whether Meta counts these isn't documented, and leaving them out is our reading.
    """
    known = rules()
    if free_entry:
        return Verdict(True, Why.FREE_ENTRY)
    if category is Category.SERVICE:
        if day < known.service_charged_from:
            return Verdict(True, Why.BEFORE_CHARGES)
        left = service_before < known.free_service_messages
        return Verdict(left, Why.ALLOWANCE if left else Why.BEYOND_ALLOWANCE)
    if category is Category.UTILITY and window_open and day < known.utility_in_window_charged_from:
        return Verdict(True, Why.UTILITY_IN_WINDOW)
    return Verdict(False, Why.ALWAYS)


def free_left(service_before: int) -> int:
    """How many of the month's free service messages are left."""
    return max(0, rules().free_service_messages - service_before)


# --- months -----------------------------------------------------------------------------------------------


def month(at: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """The calendar month of `at` in that zone, as two moments in UTC: its first, and the next month's first.

    Where a zone skips midnight of the first, the month begins with the first moment there is.
    """
    local = at.astimezone(zone)
    ahead = (local.year + local.month // 12, local.month % 12 + 1)
    return _first(local.year, local.month, zone), _first(*ahead, zone)


def _first(year: int, number: int, zone: tzinfo) -> datetime:
    return datetime(year, number, 1, tzinfo=zone).astimezone(UTC)


def zone_name(timezone_id: str | None) -> str | None:
    """The zone that Meta's number of it means; None for none, and for one that isn't in the list.

    Should Meta one day say the name itself, that is understood too.
    """
    zones = _zones()
    if timezone_id in zones:
        return timezone_id
    try:
        index = int(timezone_id or 0)
    except ValueError:
        return None
    return zones[index - 1] if 1 <= index <= len(zones) else None


# --- markets and rates ------------------------------------------------------------------------------------


def whereabouts(recipient: str, day: date) -> Whereabouts:
    """The market that a recipient belongs to on that day.

    `recipient` is a phone (digits), the beginning of one (four digits are enough), or a business-scoped user
    id, of which only the country is known.
    """
    markets = _markets()
    if recipient[:1].isdigit():
        found = next(
            (markets.by_prefix[recipient[:n]] for n in (4, 3, 2, 1) if recipient[:n] in markets.by_prefix), None
        )
    else:
        found = markets.by_country.get(recipient[:2])
    if found is None:
        return Whereabouts(OTHER, None)
    country, market = found
    return Whereabouts(market.name if day >= market.own_since else market.before, country)


def rate(where: Whereabouts, currency: str, category: Category, day: date, own: Iterable[Rate] = ()) -> Priced | None:
    """The price of one message on that day; None when nobody told it.

    An organisation's `own` rates go before the built-in card: a country's before its market's, of one thing
    the newest that holds. A service message without a rate of its own goes at the utility rate.
    """
    categories = (category, Category.UTILITY) if category is Category.SERVICE else (category,)
    held = [r for r in own if r.currency == currency and r.since <= day]
    for wanted in categories:
        for name in (where.country, where.market):
            mine = [r for r in held if r.market == name and r.category is wanted]
            if mine:
                return Priced(max(mine, key=lambda r: r.since), "your own rate card", own=True)
    cards = _cards().get(currency, ())
    index = bisect_right([card.since for card in cards], day)
    if not index:
        return None
    card = cards[index - 1]
    prices = card.rates.get(where.market, {})
    amount = next((prices[wanted] for wanted in categories if wanted in prices), None)
    return None if amount is None else Priced(Rate(where.market, currency, category, card.since, amount), card.source)


def built_in() -> Mapping[str, Sequence["Card"]]:
    """The cards that come with this release, by currency, the oldest first."""
    return _cards()


def market_names() -> frozenset[str]:
    """What Meta calls its markets."""
    return frozenset(_markets().names.values())


@dataclass(frozen=True, slots=True)
class Card:
    """Meta's rates in one currency from a day on."""

    currency: str
    since: date
    source: str
    rates: Mapping[str, Mapping[Category, Decimal]]


@dataclass(frozen=True, slots=True)
class _Market:
    name: str
    own_since: date
    before: str


@dataclass(frozen=True, slots=True)
class _Markets:
    by_prefix: Mapping[str, tuple[str, _Market]]
    by_country: Mapping[str, tuple[str, _Market]]
    names: Mapping[str, str]  # folded for comparison -> as Meta writes it


@cache
def _table() -> Mapping[str, Any]:
    text = files(__package__).joinpath("rates.toml").read_text("utf-8")
    return MappingProxyType(tomllib.loads(text, parse_float=Decimal))


@cache
def _zones() -> tuple[str, ...]:
    return tuple(tomllib.loads(files(__package__).joinpath("timezones.toml").read_text("utf-8"))["zones"])


@cache
def rules() -> Rules:
    told = _table()["rules"]
    return Rules(
        told["service_charged_from"],
        told["utility_in_window_charged_from"],
        told["free_service_messages"],
        timedelta(hours=told["free_entry_answer_hours"]),
        told["free_entry_hours"],
    )


@cache
def _cards() -> Mapping[str, tuple[Card, ...]]:
    cards: dict[str, list[Card]] = {}
    for told in sorted(_table()["card"], key=lambda card: card["since"]):
        rates = {name: dict(zip(CARD_ORDER, amounts, strict=False)) for name, amounts in told["rates"].items()}
        cards.setdefault(told["currency"], []).append(Card(told["currency"], told["since"], told["source"], rates))
    return MappingProxyType({currency: tuple(found) for currency, found in cards.items()})


@cache
def _markets() -> _Markets:
    by_prefix: dict[str, tuple[str, _Market]] = {}
    by_country: dict[str, tuple[str, _Market]] = {}
    names = {_fold(OTHER): OTHER}
    for told in _table()["market"]:
        market = _Market(told["name"], told.get("own_since", date.min), told.get("before", ""))
        names[_fold(market.name)] = market.name
        for country, prefixes in told["codes"].items():
            by_country[country] = (country, market)
            for prefix in prefixes.split():
                by_prefix.setdefault(prefix, (country, market))
    return _Markets(by_prefix, by_country, names)


# --- a card that somebody brings --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rate card's file says: its rates, and what couldn't be read, by line."""

    rates: tuple[Rate, ...]
    problems: tuple[tuple[int, str], ...]


MARKET_HEADS: Final = frozenset({"market", "country", "marketcountry", "region", "countryregion"})
SINCE_HEADS: Final = frozenset({"validfrom", "since", "effectivefrom", "effectivedate", "from"})
AMOUNT_HEADS: Final = frozenset({"rate", "price", "amount"})
CURRENCIES: Final = MappingProxyType({"$US": "USD", "US$": "USD", "$": "USD", "€": "EUR", "£": "GBP", "₹": "INR"})
"""Meta's cards write some currencies so."""
NO_RATE: Final = frozenset({"", "-", "n/a", "na"})
MOST_EXPENSIVE: Final = Decimal(1_000_000)
_NOT_LETTERS: Final = re.compile(r"[^a-z]")


def read_card(text: str, since: date) -> Reading:
    """The rates in a CSV file: Meta's own (a column per category), or a simple one (a row per rate).

    Meta's: `Market, Currency, Marketing, Utility, Authentication, Authentication-International, Service`, after
    whatever lines Meta writes above; "n/a" is no rate. The simple one: market or country (Meta's name or two
    letters), currency, category, rate, and, if it likes, valid from (`2027-01-31`); `since` stands in for
    that. A row that can't be read is a problem with its line; the others count.
    """
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True), delimiter=_delimiter(text))
    heads: list[str] = []
    rates: dict[tuple[str, str, Category, date], Rate] = {}
    problems: list[tuple[int, str]] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not heads:
                folded = [_fold(cell) for cell in cells]
                if MARKET_HEADS & set(folded):
                    heads = folded
                continue
            try:
                for found in _read_row(heads, cells, since):
                    rates[found.market, found.currency, found.category, found.since] = found
            except ValueError as error:
                problems.append((reader.line_num, str(error)))
    except csv.Error as error:
        problems.append((reader.line_num, f"not CSV: {error}"))
    if not heads:
        problems.append((1, "no line of headings: one of them has to be Market or Country"))
    return Reading(tuple(rates.values()), tuple(problems))


def read_text(data: bytes) -> str:
    """A file's text: spreadsheets write UTF-8, with a mark or without, UTF-16, or what their country used before."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _read_row(heads: Sequence[str], cells: Sequence[str], since: date) -> list[Rate]:
    said = dict(zip(heads, cells, strict=False))
    market = _read_market(_of(said, MARKET_HEADS))
    currency = _read_currency(said.get("currency", ""))
    day = _read_day(_of(said, SINCE_HEADS), since)
    if "category" in heads:
        category = CATEGORIES.get(_fold(said.get("category", "")))
        if category is None:
            raise ValueError(f'"{said.get("category", "")}" is no category; there are {", ".join(Category)}')
        amount = _read_amount(_of(said, AMOUNT_HEADS))
        if amount is None:
            raise ValueError("the rate is missing")
        return [Rate(market, currency, category, day, amount)]
    columns = [(CATEGORIES[head], cell) for head, cell in said.items() if head in CATEGORIES]
    if not columns:
        raise ValueError("the headings name no category; there are " + ", ".join(Category))
    amounts = [(category, _read_amount(cell)) for category, cell in columns]
    return [Rate(market, currency, category, day, amount) for category, amount in amounts if amount is not None]


def _of(said: Mapping[str, str], heads: frozenset[str]) -> str:
    return next((cell for head, cell in said.items() if head in heads), "")


def _read_market(text: str) -> str:
    if re.fullmatch(r"[A-Za-z]{2}", text):
        if text.upper() not in _markets().by_country:
            raise ValueError(f'"{text}" is no country that Meta lists; the unlisted ones are the market "{OTHER}"')
        return text.upper()
    name = _markets().names.get(_fold(text)) or _markets().names.get(_fold(text.replace(" and ", " & ")))
    if name is None:
        raise ValueError(f"\"{text}\" is no market of Meta's and no country's two letters")
    return name


def _read_currency(text: str) -> str:
    currency = CURRENCIES.get(text.upper(), text.upper())
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ValueError(f'"{text}" is no currency; write its three letters, like USD')
    return currency


def _read_day(text: str, since: date) -> date:
    if not text:
        return since
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no date; write it like 2027-01-31') from None


def _read_amount(text: str) -> Decimal | None:
    """None where the card says that it has none. Accepts 0.0068, 8.0E-4, $0.0068 and 0,0068."""
    if text.lower() in NO_RATE:
        return None
    number = re.sub(r"[^\d.,eE+-]", "", text)
    if "." not in number:
        number = number.replace(",", ".")
    try:
        amount = Decimal(number.replace(",", ""))
    except InvalidOperation:
        raise ValueError(f'"{text}" is no rate') from None
    if not Decimal(0) <= amount < MOST_EXPENSIVE:
        raise ValueError(f'"{text}" can\'t be the rate of a message')
    return amount


def _delimiter(text: str) -> str:
    """Spreadsheets of half the world write semicolons."""
    head = next((line for line in text.splitlines() if MARKET_HEADS & {_fold(c) for c in re.split("[,;\t]", line)}), "")
    return max(",;\t", key=head.count)


def _fold(text: str) -> str:
    return _NOT_LETTERS.sub("", text.lower())


CATEGORIES: Final = MappingProxyType(
    {_fold(category): category for category in Category} | {"marketinglite": Category.MARKETING}
)
"""Meta's words for a category, folded; statuses write some with hyphens, and one that is sold as marketing."""


def category_of(word: str | None) -> Category | None:
    """The category that Meta's `pricing.category` or a template names; None for a word that is none."""
    return CATEGORIES.get(_fold(word or ""))
