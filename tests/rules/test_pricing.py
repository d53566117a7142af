"""What Meta charges: by date, market and card; and the cards that people bring."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from twinline.rules import pricing
from twinline.rules.pricing import Category, Rate, Why, month, rate, read_card, verdict, whereabouts, zone_name

SEPTEMBER, OCTOBER, TODAY = date(2026, 9, 30), date(2026, 10, 1), date(2026, 11, 22)


def price(recipient: str, currency: str, category: Category, day: date = TODAY) -> Decimal | None:
    found = rate(whereabouts(recipient, day), currency, category, day)
    return found and found.rate.amount


@pytest.mark.parametrize(
    ("category", "day", "window_open", "sent", "expected"),
    [
        (Category.SERVICE, SEPTEMBER, True, 99_999, (True, Why.BEFORE_CHARGES)),
        (Category.SERVICE, OCTOBER, True, 999, (True, Why.ALLOWANCE)),
        (Category.SERVICE, OCTOBER, True, 1000, (False, Why.BEYOND_ALLOWANCE)),
        (Category.UTILITY, SEPTEMBER, True, 0, (True, Why.UTILITY_IN_WINDOW)),
        (Category.UTILITY, SEPTEMBER, False, 0, (False, Why.ALWAYS)),
        (Category.UTILITY, OCTOBER, True, 0, (False, Why.ALWAYS)),
        (Category.MARKETING, SEPTEMBER, True, 0, (False, Why.ALWAYS)),
        (Category.AUTHENTICATION, SEPTEMBER, True, 0, (False, Why.ALWAYS)),
    ],
)
def test_the_rules_by_date(
    category: Category, day: date, window_open: bool, sent: int, expected: tuple[bool, Why]
) -> None:
    told = verdict(category, day, window_open=window_open, free_entry=False, service_before=sent)
    assert (told.free, told.why) == expected


@pytest.mark.parametrize("category", Category)
def test_inside_a_free_entry_point_everything_is_free(category: Category) -> None:
    assert verdict(category, TODAY, window_open=False, free_entry=True, service_before=10**6).free


def test_every_reason_has_a_sentence() -> None:
    assert all(pricing.says(why).endswith(".") for why in Why)
    assert "1,000" in pricing.says(Why.ALLOWANCE)


@pytest.mark.parametrize(
    ("recipient", "market", "country"),
    [
        ("351912345678", "Rest of Western Europe", "PT"),
        ("14155550171", "North America", "US"),
        ("18095550171", "Rest of Latin America", "DO"),
        ("12425550171", "Other", "BS"),
        ("5215550104477", "Mexico", "MX"),
        ("79161234567", "Russia", "RU"),
        ("77011234567", "Kazakhstan", "KZ"),
        ("3519", "Rest of Western Europe", "PT"),
        ("821012345678", "Other", None),
        ("BR.13491208655302741918", "Brazil", "BR"),
        ("KR.1", "Other", None),
        ("", "Other", None),
    ],
)
def test_a_recipient_belongs_to_a_market_by_calling_code(recipient: str, market: str, country: str | None) -> None:
    where = whereabouts(recipient, TODAY)
    assert (where.market, where.country) == (market, country)


def test_nine_countries_got_a_market_of_their_own_in_october() -> None:
    assert whereabouts("380501234567", SEPTEMBER).market == "Rest of Central & Eastern Europe"
    assert whereabouts("380501234567", OCTOBER).market == "Ukraine"
    assert price("380501234567", "USD", Category.UTILITY, SEPTEMBER) == Decimal("0.0212")
    assert price("380501234567", "USD", Category.UTILITY, OCTOBER) == Decimal("0.0298")


def test_a_service_message_goes_at_the_utility_rate_of_the_card_of_its_day() -> None:
    assert price("5511912345678", "USD", Category.SERVICE) == Decimal("0.0068")
    assert price("51912345678", "USD", Category.SERVICE, SEPTEMBER) == Decimal("0.0200")
    assert price("51912345678", "USD", Category.SERVICE, OCTOBER) == Decimal("0.0300")


def test_where_nobody_told_a_rate_there_is_none() -> None:
    assert price("5511912345678", "JPY", Category.UTILITY) is None
    assert price("919812345678", "EUR", Category.UTILITY) is None
    assert price("380501234567", "EUR", Category.UTILITY) is None  # left the region that the card knows
    assert price("4915123456789", "USD", Category.AUTHENTICATION_INTERNATIONAL) is None
    assert price("4915123456789", "USD", Category.UTILITY, date(2026, 6, 30)) is None


def test_every_card_and_market_of_the_table_is_whole() -> None:
    names = pricing.market_names()
    for cards in pricing.built_in().values():
        assert [card.since for card in cards] == sorted({card.since for card in cards})
        for card in cards:
            assert set(card.rates) <= names
            assert card.source
            for prices in card.rates.values():
                assert len(prices) >= 3
                assert all(0 < amount < 1000 for amount in prices.values())
    [*_, newest] = pricing.built_in()["USD"]
    assert set(newest.rates) == names


def test_the_months_of_an_account_begin_at_its_own_midnight() -> None:
    los_angeles = ZoneInfo("America/Los_Angeles")
    first, after = datetime(2026, 11, 1, 7, tzinfo=UTC), datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert month(datetime(2026, 11, 20, tzinfo=UTC), los_angeles) == (first, after)
    assert month(datetime(2026, 11, 1, 6, 59, 59, tzinfo=UTC), los_angeles)[1] == first


def test_metas_numbers_of_time_zones() -> None:
    assert zone_name("Europe/Lisbon") == "Europe/Lisbon"
    told = {number: zone_name(number) for number in ("1", "25", "58", "71", "94", "142", "0", "143", None, "x")}
    assert told == {
        "1": "America/Los_Angeles",
        "25": "America/Sao_Paulo",
        "58": "Europe/London",
        "71": "Asia/Kolkata",
        "94": "America/Mexico_City",
        "142": "Africa/Lusaka",
        "0": None,
        "143": None,
        None: None,
        "x": None,
    }


# --- cards that people bring --------------------------------------------------------------------------------------

METAS = """WhatsApp Business Platform rates
"Rates in USD, per delivered message"

Market,Currency,Marketing,Utility,"Authentication-
International",Authentication,Service
Germany,$US,0.1365,0.0550,n/a,0.0550,0.0550
Rest of Central and Eastern Europe,USD,0.0860,8.0E-4,n/a,0.0212,
Atlantis,USD,1,1,1,1,1
France,USD,0.0859,cheap,n/a,0.03,0.03
"""


def test_metas_own_card_is_read_and_its_bad_rows_are_named_by_line() -> None:
    read = read_card(METAS, OCTOBER)
    told = {(r.market, r.category): r.amount for r in read.rates}
    assert told == {
        ("Germany", Category.MARKETING): Decimal("0.1365"),
        ("Germany", Category.UTILITY): Decimal("0.0550"),
        ("Germany", Category.AUTHENTICATION): Decimal("0.0550"),
        ("Germany", Category.SERVICE): Decimal("0.0550"),
        ("Rest of Central & Eastern Europe", Category.MARKETING): Decimal("0.0860"),
        ("Rest of Central & Eastern Europe", Category.UTILITY): Decimal("0.0008"),
        ("Rest of Central & Eastern Europe", Category.AUTHENTICATION): Decimal("0.0212"),
    }
    assert {r.currency for r in read.rates} == {"USD"}
    assert {r.since for r in read.rates} == {OCTOBER}
    assert [line for line, _ in read.problems] == [8, 9]
    assert "Atlantis" in read.problems[0][1]


def test_a_simple_card_may_have_semicolons_commas_for_points_and_days_of_its_own() -> None:
    read = read_card("\ufeffCountry;Currency;Category;Rate;Valid from\npt;eur;Utility;0,0142;2027-01-01\n", OCTOBER)
    assert read.rates == (Rate("PT", "EUR", Category.UTILITY, date(2027, 1, 1), Decimal("0.0142")),)
    assert read.problems == ()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("Narnia,USD,utility,1,", "no market"),
        ("KR,USD,utility,1,", "no country that Meta lists"),
        ("PT,dollars,utility,1,", "no currency"),
        ("PT,USD,gossip,1,", "no category"),
        ("PT,USD,utility,free,", "no rate"),
        ("PT,USD,utility,,", "missing"),
        ("PT,USD,utility,-1,", "can't be"),
        ("PT,USD,utility,NaN,", "no rate"),
        ("PT,USD,utility,1e9,", "can't be"),
        ("PT,USD,utility,1,tomorrow", "no date"),
        ("PT", "no currency"),
    ],
)
def test_a_row_that_cant_be_read_says_why(row: str, complaint: str) -> None:
    read = read_card(f"market,currency,category,rate,valid from\n{row}\nPT,USD,utility,0.01,\n", OCTOBER)
    [(line, why)] = read.problems
    assert line == 2
    assert complaint in why
    assert len(read.rates) == 1


def test_a_file_without_headings_is_no_card() -> None:
    assert read_card("hello\nworld\n", OCTOBER).problems == (
        (1, "no line of headings: one of them has to be Market or Country"),
    )
    assert read_card("", OCTOBER).rates == ()


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_spreadsheets_codings_are_understood(coding: str) -> None:
    assert "Türkiye €" in pricing.read_text("Türkiye €".encode(coding))


def test_ones_own_rate_for_a_country_goes_before_that_for_its_market_and_the_newest_counts() -> None:
    own = [
        Rate("Rest of Western Europe", "USD", Category.UTILITY, date(2026, 1, 1), Decimal("0.5")),
        Rate("PT", "USD", Category.UTILITY, date(2026, 2, 1), Decimal("0.3")),
        Rate("PT", "USD", Category.UTILITY, date(2026, 3, 1), Decimal("0.4")),
        Rate("PT", "USD", Category.UTILITY, date(2027, 1, 1), Decimal("0.9")),
    ]
    portugal, austria = whereabouts("351912345678", TODAY), whereabouts("436641234567", TODAY)
    found = rate(portugal, "USD", Category.SERVICE, TODAY, own)
    assert found is not None
    assert (found.rate.amount, found.own) == (Decimal("0.4"), True)
    austrian = rate(austria, "USD", Category.UTILITY, TODAY, own)
    assert austrian is not None
    assert austrian.rate.amount == Decimal("0.5")
    marketing = rate(portugal, "USD", Category.MARKETING, TODAY, own)
    assert marketing is not None
    assert not marketing.own
