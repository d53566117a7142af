"""The law of the lifecycle: the same facts, in any order and number, are the same state."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from twinline.rules.lifecycle import Connection, Fact, FactKind, fold

T0 = datetime(2026, 11, 1, tzinfo=UTC)
facts = st.builds(
    Fact,
    st.integers(0, 6).map(lambda minutes: T0 + timedelta(minutes=minutes)),
    st.sampled_from(list(FactKind)),
    st.sampled_from([None, "DISABLE", "REINSTATE", "CHANGE_NUMBER", "PRIMARY_INACTIVITY"]),
    st.sampled_from([None, "USER", "SYSTEM"]),
)


@given(st.lists(facts, max_size=12), st.randoms(use_true_random=False))
def test_order_and_repetition_dont_matter(known: list[Fact], random: Random) -> None:
    again = known + (random.choices(known, k=3) if known else [])
    random.shuffle(again)
    assert fold(again) == fold(known)


@given(st.lists(facts, max_size=12))
def test_signing_up_again_always_ends_connected_unless_meta_disabled_the_account(known: list[Fact]) -> None:
    ended = fold([*known, Fact(T0 + timedelta(days=1), FactKind.CONNECTED)])
    assert ended.state is Connection.CONNECTED or ended.reason == "DISABLE"


@given(st.lists(facts, min_size=1, max_size=12))
def test_a_state_since_when_is_the_time_of_a_fact(known: list[Fact]) -> None:
    ended = fold(known)
    assert ended.since is None or ended.since in {fact.at for fact in known}
