"""When a business is open."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from twinline.rules.automations.hours import Hours

LISBON = ZoneInfo("Europe/Lisbon")
SHOP = Hours.of(
    {
        "week": {
            "mon": [["14:00", "18:00"], ["09:00", "13:00"]],
            "fri": [["22:00", "02:00"]],
            "sun": [["20:00", "24:00"]],
        },
        "holidays": {"2026-11-30": [["10:00", "12:00"]], "12-25": []},
    }
)


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=LISBON)


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        (at(23, 9), True), (at(23, 12, 59), True), (at(23, 13), False), (at(23, 14), True), (at(23, 18), False),
        (at(24, 10), False),
        (at(27, 23), True), (at(28, 1, 59), True), (at(28, 2), False), (at(27, 1), False),
        (at(29, 23, 59), True), (at(30, 0), False),
        (at(30, 11), True), (at(30, 15), False),  # a holiday with hours of its own
        (at(25, 23, month=12), False),  # a Friday, and Christmas
    ],
)  # fmt: skip
def test_open_and_closed(now: datetime, is_open: bool) -> None:
    assert SHOP.open_at(now) is is_open


def test_who_has_said_nothing_is_always_open_but_on_holidays() -> None:
    assert Hours.of(None).open_at(at(22, 3))
    closed = Hours.of({"holidays": {"2026-12-25": []}})
    assert closed.open_at(at(24, 23, month=12))
    assert not closed.open_at(at(25, 12, month=12))


def test_where_clocks_are_put_back_it_opens_by_the_clock_on_the_wall() -> None:
    sunday = Hours.of({"week": {"sun": [["09:00", "10:00"]]}})
    assert not sunday.open_at(datetime(2026, 10, 25, 8, 59, tzinfo=LISBON))
    assert sunday.open_at(datetime(2026, 10, 25, 9, 0, tzinfo=LISBON))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"week": {"xyz": []}}, "no day “xyz”"),
        ({"week": {"mon": "9-18"}}, "hours of mon are a list"),
        ({"week": {"mon": ["09:00"]}}, "spans with a beginning and an end"),
        ({"week": {"mon": [["9 am", "18:00"]]}}, "“9 am” isn't"),
        ({"week": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}}, "overlap"),
        ({"holidays": {"2026-02-30": []}}, "2026-02-30"),
        ({"holidays": [1]}, "a week and holidays"),
    ],
)
def test_what_isnt_hours_is_told(given: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Hours.of(given)
