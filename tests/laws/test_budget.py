"""The laws of pacing, under any arrival pattern and any interleaving of processes.

Several processes are several callers of one `tat`: a row lock makes their calls a sequence, so a random
sequence of calls, each with a clock that may lag behind the others', is every interleaving there is.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from twinline.rules.budget import AT_FULL_SPEED, FULL, PAIR, SECOND, THROUGHPUT, Budget, Ramp

START = 1_800_000_000 * SECOND
LIMIT = 20


@dataclass(frozen=True)
class Ask:
    after_us: int
    lag_us: int
    wanted: int
    horizon_us: int


@dataclass(frozen=True)
class Inbound:
    after_us: int
    n: int


pauses = st.one_of(st.just(0), st.integers(0, SECOND // 10), st.integers(0, 3 * SECOND))
asks = st.builds(Ask, pauses, st.integers(0, SECOND // 20), st.integers(0, 60), st.integers(0, SECOND // 2))
inbound = st.builds(Inbound, pauses, st.integers(0, 50))


def busiest(times: list[int], length: int) -> int:
    """The most events that any half-open window of this length holds."""
    ordered = sorted(times)
    return max((bisect_left(ordered, at + length) - i for i, at in enumerate(ordered)), default=0)


@given(st.lists(asks, max_size=60))
def test_no_sliding_second_ever_holds_more_than_twenty_sends(calls: list[Ask]) -> None:
    now, tat, sent = START, 0, list[int]()
    for call in calls:
        now += call.after_us
        granted = THROUGHPUT.reserve(tat, now - call.lag_us, call.wanted, call.horizon_us)
        tat = granted.tat
        sent += granted.times
    assert busiest(sent, SECOND) <= LIMIT
    assert all(later - earlier >= SECOND // LIMIT for earlier, later in pairwise(sent))


@given(st.lists(st.one_of(asks, inbound), max_size=80))
@example([Ask(0, 0, 20, SECOND // 2), Inbound(0, 50), Ask(SECOND, 0, 20, SECOND // 2)])
def test_the_second_that_ends_with_a_send_holds_twenty_with_all_inbound_known_by_then(
    calls: list[Ask | Inbound],
) -> None:
    now, tat, known = START, 0, list[int]()
    for call in calls:
        now += call.after_us
        if isinstance(call, Inbound):
            tat = THROUGHPUT.charge(tat, now, call.n)
            known += [now] * call.n
            continue
        granted = THROUGHPUT.reserve(tat, now, call.wanted, call.horizon_us)
        tat = granted.tat
        for instant in granted.times:
            known.append(instant)
            assert sum(instant - SECOND < at <= instant for at in known) <= LIMIT


@given(st.lists(st.one_of(asks, inbound), max_size=60), st.integers(0, SECOND // 2))
def test_nobody_waits_longer_than_the_memory_of_what_came_in_and_was_promised(
    calls: list[Ask | Inbound], horizon_us: int
) -> None:
    now, tat = START, 0
    for call in calls:
        now += call.after_us
        if isinstance(call, Inbound):
            tat = THROUGHPUT.charge(tat, now, call.n)
        else:
            tat = THROUGHPUT.reserve(tat, now, call.wanted, min(call.horizon_us, horizon_us)).tat
    next_one = THROUGHPUT.reserve(tat, now, 1, 10 * SECOND).times[0]
    assert next_one - now <= max(SECOND, horizon_us + SECOND // LIMIT)


@given(st.lists(st.integers(0, SECOND // 2), min_size=1, max_size=200))
def test_all_of_it_is_used_while_work_waits(naps: list[int]) -> None:
    """Whoever asks at least once per horizon loses nothing, however unevenly it asks."""
    now, tat, sent = START, 0, list[int]()
    for nap in naps:
        granted = THROUGHPUT.reserve(tat, now, 1000, SECOND // 2)
        tat = granted.tat
        sent += granted.times
        now += nap
    possible = (sent[-1] - sent[0]) // (SECOND // LIMIT) + 1
    assert len(sent) == possible


@given(st.lists(st.tuples(st.integers(0, SECOND // 4), st.integers(0, 2)), min_size=40, max_size=120))
def test_what_inbound_leaves_is_used_while_work_waits(steps: list[tuple[int, int]]) -> None:
    """Inbound that stays below the limit takes exactly its share, and sends take all the rest."""
    now, tat, sent, came = START, 0, list[int](), 0
    for nap, n in steps:
        came += n if tat + n * THROUGHPUT.interval_us <= now + SECOND else 0
        tat = THROUGHPUT.charge(tat, now, n if tat + n * THROUGHPUT.interval_us <= now + SECOND else 0)
        granted = THROUGHPUT.reserve(tat, now, 1000, SECOND // 2)
        tat = granted.tat
        sent += granted.times
        now += nap
    assert len(sent) + came == (tat - START) // THROUGHPUT.interval_us


@given(
    st.sampled_from([PAIR, Budget(interval_us=SECOND, burst=5, memory_us=0)]),
    st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 60)), max_size=40),
)
def test_a_burst_is_borrowed_from_the_future(budget: Budget, calls: list[tuple[int, int]]) -> None:
    now, tat, sent = START, 0, list[int]()
    for pause, wanted in calls:
        now += pause
        granted = budget.reserve(tat, now, wanted, 0)
        tat = granted.tat
        sent += granted.times
    assert busiest(sent, budget.interval_us) <= budget.burst
    for length in (10 * budget.interval_us, 100 * budget.interval_us):
        assert busiest(sent, length) <= budget.burst - 1 + length // budget.interval_us


@given(st.integers(0, 5 * SECOND), st.integers(1, 60), st.floats(0, 300))
def test_a_halt_is_kept_by_every_process(already: int, wanted: int, seconds: float) -> None:
    for budget in (THROUGHPUT, PAIR):
        tat = budget.halt(START + already, START, seconds)
        granted = budget.reserve(tat, START, wanted, 600 * SECOND)
        assert all(instant >= START + round(seconds * SECOND) for instant in granted.times)
        assert busiest(list(granted.times), budget.interval_us) <= 1


@given(
    st.lists(st.one_of(asks, inbound), max_size=80),
    st.integers(0, SECOND // 2),
    st.integers(0, SECOND // 50),
)
@example([Ask(0, 0, 20, SECOND // 2), Inbound(SECOND // 100, 3), Ask(SECOND // 4, 0, 20, SECOND // 2)], SECOND // 2, 0)
def test_what_gives_way_leaves_in_seconds_of_twenty_with_all_inbound_heard_of_by_then(
    calls: list[Ask | Inbound], horizon_us: int, late_us: int
) -> None:
    """One process holds promised instants; it hears each charge as it is made, and may be woken late to send."""
    now, tat, paid_until = START, 0, 0
    promised, sent, known = deque[int](), list[int](), list[int]()

    def send_until(moment: int) -> None:
        while promised and promised[0] + late_us <= moment:
            leaves = promised.popleft() + late_us
            sent.append(leaves)
            known.append(leaves)
            assert sum(leaves - SECOND < at <= leaves for at in known) <= LIMIT

    for call in calls:
        now += call.after_us
        send_until(now)
        if isinstance(call, Inbound):
            tat = THROUGHPUT.charge(tat, now, call.n)
            back = THROUGHPUT.give_way(promised, now, call.n)
            assert back >= 0
            promised = deque(instant + back for instant in promised)
            paid_until = max(paid_until + back, tat)
            known += [now] * call.n
            continue
        granted = THROUGHPUT.reserve(max(tat, paid_until), now, call.wanted, min(call.horizon_us, horizon_us))
        promised += granted.times
        tat = paid_until = granted.tat
    send_until(now + 10 * SECOND)
    assert not promised
    assert busiest(sent, SECOND) <= LIMIT


ramps = st.builds(
    Ramp, st.integers(START - 10 * SECOND, START), st.integers(125, FULL), st.integers(5 * SECOND, 60 * SECOND)
)


@given(ramps, st.integers(0, 3600), st.integers(0, 3600))
def test_a_number_that_was_too_fast_only_ever_gets_faster_and_gets_there(ramp: Ramp, a: int, b: int) -> None:
    earlier, later = sorted((ramp.since + a * SECOND, ramp.since + b * SECOND))
    assert ramp.share <= ramp.at(earlier) <= ramp.at(later) <= FULL
    missing = FULL - ramp.share
    assert FULL - ramp.at(ramp.since + ramp.recovery_us) <= missing // 2 + 1, "half is back"
    assert ramp.at(ramp.since + 1000 * ramp.recovery_us) == FULL


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from([1.0, 2.0, 60.0])), min_size=1, max_size=12))
def test_each_refusal_halts_and_halves_and_old_news_do_neither(refusals: list[tuple[int, float]]) -> None:
    now, ramp = START, AT_FULL_SPEED
    for pause, seconds in refusals:
        spoken = now = max(now, ramp.since) + pause * SECOND
        speed = ramp.at(spoken)
        slower = ramp.slower(spoken, now, seconds)
        assert slower.since == now + seconds * SECOND
        assert slower.share == max(FULL // 8, speed // 2)
        assert slower.slower(spoken, now + SECOND, seconds) is slower, "it was sent before the halt"
        assert slower.setbacks(slower.since) >= min(3, ramp.setbacks(spoken) + 1)
        ramp = slower


@given(ramps, st.integers(0, SECOND), st.integers(1, 60))
def test_a_slow_number_is_promised_less(ramp: Ramp, already: int, wanted: int) -> None:
    slow = THROUGHPUT.reserve(START + already, START, wanted, 5 * SECOND, ramp)
    fast = THROUGHPUT.reserve(START + already, START, wanted, 5 * SECOND)
    assert len(slow.times) <= len(fast.times)
    assert all(instant >= ramp.since for instant in slow.times)
    assert slow.tat >= fast.tat or len(slow.times) < len(fast.times)
    for at, following in pairwise((*slow.times, slow.tat)):
        assert following - at >= THROUGHPUT.interval_us * FULL // ramp.at(at)


def test_after_one_refusal_the_number_is_silent_then_half_as_fast_and_soon_nearly_as_fast_as_before() -> None:
    ramp = AT_FULL_SPEED.slower(START, START, 2)
    assert not THROUGHPUT.reserve(0, START, 10, SECOND, ramp).times
    begins = START + 2 * SECOND
    assert [ramp.at(begins + seconds * SECOND) for seconds in (0, 5, 15, 45)] == [500, 750, 875, 950]
    assert len(THROUGHPUT.reserve(0, begins, 100, SECOND, ramp).times) == 11
