"""Laws of the ledger: facts are a set, and a complete delivery has no holes in either numbering."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from twinline.rules.sync import Chunk, Request, SyncState, SyncType, ledger

T0 = datetime(2026, 11, 1, tzinfo=UTC)
minutes = st.integers(0, 2000).map(lambda n: T0 + timedelta(minutes=n))
codes = st.sampled_from([None, 2593107, 2593108, 2593109, 131000])
requests = st.builds(Request, minutes, st.booleans(), codes)
chunks = st.builds(Chunk, minutes, st.integers(0, 2), st.integers(0, 9), st.integers(0, 100), st.integers(0, 9), codes)


@given(st.lists(requests, max_size=4), st.lists(chunks, max_size=12), minutes, st.randoms(use_true_random=False))
def test_order_and_repetition_dont_matter(
    asked: list[Request], came: list[Chunk], now: datetime, random: Random
) -> None:
    again_asked, again_came = asked * 2, came * 2
    random.shuffle(again_asked)
    random.shuffle(again_came)
    for kind in SyncType:
        assert ledger(kind, now, T0, again_asked, again_came) == ledger(kind, now, T0, asked, came)


@given(st.tuples(*[st.integers(0, 6)] * 3).filter(any), st.booleans(), st.randoms(use_true_random=False))
def test_a_whole_delivery_is_complete_in_either_numbering(
    sizes: tuple[int, ...], runs_through: bool, random: Random
) -> None:
    starts = [0, *accumulate(sizes)] if runs_through else [0, 0, 0, 0]
    whole = [Chunk(T0, phase, starts[phase] + n + 1, 50) for phase, size in enumerate(sizes) for n in range(size)]
    whole[-1] = Chunk(T0, whole[-1].phase, whole[-1].order, 100)
    random.shuffle(whole)
    done = ledger(SyncType.HISTORY, T0, T0, [], whole)
    assert done.state is SyncState.COMPLETE
    assert all(phase.holes == () for phase in done.phases)


@given(st.integers(2, 9), st.data())
def test_a_missing_chunk_is_always_noticed(size: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(1, size - 1))
    came = [Chunk(T0, 0, n, 100) for n in range(1, size + 1) if n != lost]
    seen = ledger(SyncType.HISTORY, T0, T0, [], came)
    assert seen.phases[0].holes == (lost,)
    assert seen.state is SyncState.RECEIVING
