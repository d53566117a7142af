"""When a campaign may speak to somebody."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.campaigns.zones import zone_of
from twinline.rules import schedule


def test_a_wall_clocks_time_is_another_moment_in_each_zone() -> None:
    assert schedule.moment("2026-12-01T10:00", "Asia/Tokyo") == datetime(2026, 12, 1, 1, tzinfo=UTC)
    assert schedule.moment("2026-12-01T10:00", "America/Sao_Paulo") == datetime(2026, 12, 1, 13, tzinfo=UTC)


def test_an_hour_that_is_left_out_in_spring_is_the_one_after_it() -> None:
    assert schedule.moment("2027-03-28T01:30", "Europe/Lisbon") == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("wrong", ["tomorrow", "2026-13-01T10:00", "2026-12-01T10:00+01:00"])
def test_what_is_no_time_is_told_in_words(wrong: str) -> None:
    with pytest.raises(ValueError, match="time"):
        schedule.wall(wrong)


@pytest.mark.parametrize(
    ("hour", "opens"), [(8, (1, 9)), (9, (1, 9)), (12, (1, 12)), (19, (1, 19)), (20, (2, 9)), (23, (2, 9))]
)
def test_nobody_is_woken(hour: int, opens: tuple[int, int]) -> None:
    at = datetime(2026, 12, 1, hour, tzinfo=UTC)
    day, hour_then = opens
    assert schedule.opens(["09:00", "20:00"], "Europe/Lisbon", at) == datetime(2026, 12, day, hour_then, tzinfo=UTC)


@given(st.integers(0, 10**9), st.integers(20, 400))
def test_a_spread_is_even_whichever_numbers_people_have(first: int, count: int) -> None:
    """Each quarter of the time gets a quarter of them, give or take three."""
    quarters = [int(schedule.share(number) * 4) for number in range(first, first + count)]
    for quarter in range(4):
        assert abs(quarters.count(quarter) - count / 4) <= 3


@pytest.mark.parametrize(
    ("phone", "zone"),
    [
        ("351910000001", "Europe/Lisbon"),
        ("5511912345678", "America/Sao_Paulo"),
        ("551187654321", "America/Sao_Paulo"),
        ("14155550171", "America/Los_Angeles"),
        ("819012345678", "Asia/Tokyo"),
        ("999", "Europe/Rome"),
        (None, "Europe/Rome"),
    ],
)
def test_a_telephone_number_tells_the_clock_on_its_owners_wall(phone: str | None, zone: str) -> None:
    assert zone_of(phone, "Europe/Rome") == zone
