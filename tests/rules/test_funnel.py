"""What becomes of an audience: reasons, pace, hours of the day, and what a campaign is warned of."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import funnel, portfolio
from twinline.rules.funnel import Hours, Pace
from twinline.rules.portfolio import Limit

HOUR = 3_600_000_000
DAY = 24 * HOUR
# From eight to eight, for a week.
WEEK = Hours([(day * DAY + 8 * HOUR, day * DAY + 20 * HOUR) for day in range(7)])


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("floor.person_speaks", "floor"),
        ("floor.phone_speaks", "floor"),
        ("recipient.impossible", "recipient"),
        ("capability.groups", "recipient"),
        ("template.needs_phone", "template"),
        ("template.missing", "missing"),
        ("number.connecting", "number"),
        ("opted_out", "opted_out"),
        ("capped", "capped"),
        ("unreachable", "unreachable"),
        ("text.too_long", "other"),
    ],
)
def test_every_refusal_belongs_to_a_reason(rule: str, reason: str) -> None:
    assert funnel.reason_of(rule).code == reason


def test_only_who_is_being_talked_with_waits() -> None:
    assert [code for code, reason in funnel.REASONS.items() if reason.waits] == ["floor"]


def test_a_campaign_gets_what_is_left_and_never_nothing() -> None:
    assert Pace(0.0, None, 0).speed == funnel.PACE
    assert Pace(1.5, None, 0).speed == funnel.PACE - 1.5
    assert Pace(1.5, 5.0, 0).speed == 5.0
    assert Pace(19.0, 5.0, 0).speed == pytest.approx(funnel.PACE - 19.0)
    assert Pace(100.0, None, 0).speed == funnel.LEAST_PACE


@given(st.integers(0, 6 * DAY), st.integers(1, 400), st.integers(1, HOUR), st.integers(1, 200).map(Limit))
def test_nobody_is_written_to_outside_of_the_hours(begin: int, wanted: int, every: int, limit: Limit) -> None:
    times = list(portfolio.forecast(limit, (), wanted, begin, every, WEEK.opens))
    assert times == sorted(times)
    for at in times:
        assert at >= 7 * DAY - 4 * HOUR or 8 * HOUR <= at % DAY < 20 * HOUR


@pytest.mark.parametrize(("hour", "quiet"), [(0, True), (7, True), (8, False), (20, False), (21, True), (23, True)])
def test_nights_are_quiet(hour: int, quiet: bool) -> None:
    assert funnel.is_quiet(datetime(2026, 11, 22, hour, 30, tzinfo=UTC)) is quiet


@pytest.mark.parametrize(
    ("quality", "following", "codes"),
    [
        ("GREEN", None, []),
        ("GREEN", "MARKETING", ["template_category"]),
        ("GREEN", "UTILITY", []),
        ("UNKNOWN", None, ["template_new"]),
        ("YELLOW", None, ["template_quality"]),
        ("RED", "MARKETING", ["template_quality", "template_category"]),
    ],
)
def test_what_is_to_be_known_of_a_template(quality: str, following: str | None, codes: list[str]) -> None:
    assert [warning.code for warning in funnel.of_template("spring", quality, "UTILITY", following)] == codes
