"""Laws of costs: counting more never makes anything cheaper, months tile the time, cards are read or named."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from twinline.rules import pricing
from twinline.rules.pricing import Category, Rate, month, rate, read_card, verdict, whereabouts

MICRO = timedelta(microseconds=1)

zones = st.sampled_from([zone for n in range(1, 143) if (zone := pricing.zone_name(str(n)))]).map(ZoneInfo)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))
days = st.dates(date(2026, 1, 1), date(2028, 1, 1))
counts = st.integers(0, 3000)


@given(st.sampled_from(Category), days, st.booleans(), st.booleans(), counts, counts)
def test_what_was_sent_before_never_makes_a_message_free_again(
    category: Category, day: date, window_open: bool, free_entry: bool, one: int, other: int
) -> None:
    fewer, more = sorted((one, other))
    known = {"window_open": window_open, "free_entry": free_entry}
    after_more = verdict(category, day, service_before=more, **known)
    assert not after_more.free or verdict(category, day, service_before=fewer, **known).free
    assert pricing.free_left(more) <= pricing.free_left(fewer)


@given(days, counts)
def test_a_month_of_service_messages_charges_exactly_those_beyond_the_free_ones(day: date, sent: int) -> None:
    charged = sum(
        not verdict(Category.SERVICE, day, window_open=True, free_entry=False, service_before=before).free
        for before in range(sent)
    )
    assert charged == (max(0, sent - 1000) if day >= date(2026, 10, 1) else 0)


@given(moments, zones)
@example(datetime(2026, 11, 1, 6, 59, 59, 999_999, tzinfo=UTC), ZoneInfo("America/Los_Angeles"))
@example(datetime(2023, 10, 1, 4, tzinfo=UTC), ZoneInfo("America/Asuncion"))  # its first of October had no midnight
@example(datetime(1994, 12, 31, 12, tzinfo=UTC), ZoneInfo("Pacific/Kiritimati"))
def test_months_tile_the_time_in_every_zone_and_begin_where_the_local_first_does(at: datetime, zone: ZoneInfo) -> None:
    begins, ends = month(at, zone)
    assert begins <= at < ends
    assert month(begins, zone) == month(ends - MICRO, zone) == (begins, ends)
    assert month(ends, zone)[0] == ends
    assert begins.astimezone(zone).day == 1
    local, before = begins.astimezone(zone), (begins - MICRO).astimezone(zone)
    assert (before.year, before.month) != (local.year, local.month)


@given(st.text("0123456789", max_size=15) | st.from_regex(r"[A-Z]{2}\.[A-Za-z0-9]{1,20}", fullmatch=True), days)
def test_everybody_is_somewhere_and_four_digits_tell_where(recipient: str, day: date) -> None:
    where = whereabouts(recipient, day)
    assert where.market in pricing.market_names()
    assert where == whereabouts(recipient[:4] if recipient[:1].isdigit() else recipient[:2], day)


rates = st.builds(
    Rate,
    market=st.sampled_from(sorted(pricing.market_names())) | st.sampled_from(("PT", "BR", "US", "DE")),
    currency=st.sampled_from(("USD", "EUR", "BRL")),
    category=st.sampled_from(Category),
    since=days,
    amount=st.decimals(0, 999, places=6, allow_nan=False),
)


@given(st.lists(rates, max_size=8), st.sampled_from(("351912345678", "5511912345678")), st.sampled_from(Category), days)
def test_a_rate_never_holds_before_its_day_and_ones_own_goes_first(
    own: list[Rate], recipient: str, category: Category, day: date
) -> None:
    where = whereabouts(recipient, day)
    found = rate(where, "USD", category, day, own)
    mine = [r for r in own if r.currency == "USD" and r.since <= day and r.market in (where.market, where.country)]
    if found is not None:
        assert found.rate.since <= day
    if any(r.category is category for r in mine):
        assert found is not None
        assert found.own


@given(st.lists(rates, max_size=12), st.sampled_from(",;\t"))
def test_a_card_that_was_written_is_read_back(written: list[Rate], comma: str) -> None:
    lines = [comma.join(("market", "currency", "category", "rate", "valid from"))]
    lines += [comma.join((r.market, r.currency, r.category, str(r.amount), r.since.isoformat())) for r in written]
    read = read_card("\n".join(lines), date(2026, 1, 1))
    assert read.problems == ()
    last = {(r.market, r.currency, r.category, r.since): r.amount for r in written}
    assert {(r.market, r.currency, r.category, r.since): r.amount for r in read.rates} == last


@given(st.text(max_size=200) | st.text('market,currency;category\t\n"PTUSD0.1eE-\x00', max_size=200))
def test_no_text_breaks_the_reading_of_a_card(text: str) -> None:
    read = read_card("market,currency,category,rate\n" + text, date(2026, 1, 1))
    assert all(Decimal(0) <= found.amount for found in read.rates)
    assert all(line >= 1 and why for line, why in read.problems)
