"""The portfolio limit: no moving day holds too many people, and nobody waits longer than that takes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import portfolio
from twinline.rules.portfolio import DAY, Limit

NOW = 1_795_000_000_000_000
limits = st.integers(1, 30).map(Limit)
# Within the limit, as it was kept before; some of it long ago, some at the same moment.
before = st.lists(st.integers(NOW - DAY + 1, NOW), max_size=40)
intervals = st.one_of(st.integers(1, 1000), st.integers(DAY // 50, DAY // 2))


def heaviest(instants: list[int]) -> int:
    """The most that any (t - 24 h, t] holds."""
    return max((sum(t - DAY < other <= t for other in instants) for t in instants), default=0)


@given(limits, before, st.integers(0, 60), intervals)
def test_no_moving_day_holds_more_people_than_allowed(limit: Limit, then: list[int], wanted: int, every: int) -> None:
    assert limit.usable is not None
    then = then[: limit.usable]
    times = list(portfolio.forecast(limit, then, wanted, NOW, every))
    assert len(times) == (wanted if limit.usable else 0)
    assert heaviest([*then, *times]) <= max(limit.usable, len(then))


@given(limits.filter(lambda limit: bool(limit.usable)), before, st.integers(1, 60), intervals)
def test_each_is_reached_as_early_as_that_allows(limit: Limit, then: list[int], wanted: int, every: int) -> None:
    assert limit.usable is not None
    times = list(portfolio.forecast(limit, then, wanted, NOW, every))
    for n, at in enumerate(times):
        due = NOW if n == 0 else times[n - 1] + every
        assert at >= due
        # A microsecond sooner it would have come before its turn, or the day would have been full.
        full = sum(at - 1 - DAY < other <= at - 1 for other in [*then, *times[:n]]) >= limit.usable
        assert at == due or full


@given(st.integers(0, 200), intervals)
def test_without_a_limit_only_the_pace_counts(wanted: int, every: int) -> None:
    times = list(portfolio.forecast(Limit(None), [], wanted, NOW, every))
    assert len(times) == wanted
    assert all(b - a == every for a, b in pairwise(times))
    assert sum(portfolio.by_day(times, NOW)) == wanted


@given(st.integers(1, 2_000_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_room_is_never_more_than_meta_would_leave(most: int, reached: int, waiting: int) -> None:
    limit = Limit(most)
    room = portfolio.room(limit, reached, waiting)
    assert room is not None
    assert 0 <= room < most
    assert room == 0 or room + reached + waiting < most


def test_a_campaign_of_six_hundred_takes_three_days_on_the_lowest_tier() -> None:
    times = list(portfolio.forecast(Limit(250), [], 600, NOW, 50_000))
    assert portfolio.by_day(times, NOW) == [237, 237, 126]


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ("TIER_250", 250),
        ("TIER_2K", 2_000),
        ("tier_10k", 10_000),
        ("TIER_100K", 100_000),
        (2000, 2_000),
        ("2000", 2_000),
        ("TIER_UNLIMITED", None),
        (-1, None),
    ],
)
def test_the_limit_is_read_in_all_of_metas_words(said: str | int, most: int | None) -> None:
    assert portfolio.limit_of(said) == Limit(most)


@pytest.mark.parametrize("said", [None, "", "TIER_NOT_SET", "0", "TIER_", "many"])
def test_what_meta_did_not_say_is_the_lowest(said: str | None) -> None:
    assert portfolio.limit_of(said) == portfolio.LOWEST
    assert not portfolio.limit_of(said).known
