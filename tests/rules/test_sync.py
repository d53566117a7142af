"""The ledger of the first synchronisation, story by story."""

from datetime import UTC, datetime, timedelta

import pytest

from twinline.rules.sync import Chunk, Ledger, Request, SyncState, SyncType, ledger

T0 = datetime(2026, 11, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOON = T0 + 5 * MINUTE


def history(*facts: Request | Chunk, now: datetime = SOON) -> Ledger:
    asked = [fact for fact in facts if isinstance(fact, Request)]
    came = [fact for fact in facts if isinstance(fact, Chunk)]
    return ledger(SyncType.HISTORY, now, T0, asked, came)


def chunk(phase: int, order: int, progress: int = 10, at: datetime = SOON) -> Chunk:
    return Chunk(at, phase, order, progress, messages=100)


def test_the_clock_counts_down_from_24_hours() -> None:
    fresh = history()
    assert (fresh.state, fresh.seconds_left) == (SyncState.WAITING, 24 * 3600 - 300)
    late = history(now=T0 + timedelta(hours=24))
    assert (late.state, late.seconds_left) == (SyncState.TOO_LATE, 0)
    assert "connect the number again" in late.advice


def test_a_timeout_is_unknown_until_a_chunk_settles_it() -> None:
    timeout = Request(T0 + MINUTE)
    assert history(timeout).state is SyncState.UNKNOWN
    assert history(timeout, now=T0 + timedelta(days=2)).state is SyncState.UNKNOWN
    assert history(timeout, chunk(0, 1)).state is SyncState.RECEIVING


def test_already_requested_means_that_it_was_accepted_before() -> None:
    assert history(Request(T0), Request(SOON, code=2593107)).state is SyncState.REQUESTED


def test_too_late_is_final_and_shows_the_way_back() -> None:
    refused = history(Request(SOON, code=2593108))
    assert refused.state is SyncState.TOO_LATE
    assert "Settings > Account > Business Platform" in refused.advice


def test_an_unanswered_request_stays_unknown_although_its_repetition_came_too_late() -> None:
    assert history(Request(T0), Request(SOON, code=2593108)).state is SyncState.UNKNOWN


def test_another_refusal_can_be_tried_again_only_while_time_is_left() -> None:
    refused = Request(SOON, code=131000)
    assert history(refused).state is SyncState.FAILED
    assert history(refused, now=T0 + timedelta(days=1)).state is SyncState.TOO_LATE


def test_declining_is_a_normal_outcome() -> None:
    declined = history(Request(T0, accepted=True), Chunk(SOON, code=2593109))
    assert declined.state is SyncState.DECLINED
    assert "New messages work as usual" in declined.advice
    assert not declined.stalled


def test_chunks_of_three_phases_in_any_order_end_complete() -> None:
    done = history(Request(T0, accepted=True), chunk(2, 1, 100), chunk(0, 1), chunk(1, 2), chunk(1, 1))
    assert (done.state, done.progress, done.messages) == (SyncState.COMPLETE, 100, 400)
    assert [(phase.phase, phase.days, phase.seen, phase.holes) for phase in done.phases] == [
        (0, (0, 1), (1,), ()),
        (1, (1, 90), (1, 2), ()),
        (2, (90, 180), (1,), ()),
    ]


def test_numbers_that_run_through_all_phases_make_no_false_holes() -> None:
    done = history(chunk(0, 1), chunk(0, 2), chunk(1, 3), chunk(1, 4), chunk(2, 5, 100))
    assert done.state is SyncState.COMPLETE
    assert all(phase.holes == () for phase in done.phases)


def test_a_hole_is_found_in_either_numbering() -> None:
    running = history(chunk(0, 1), chunk(0, 2), chunk(1, 5, 100))
    assert [phase.holes for phase in running.phases] == [(), (3, 4)]
    anew = history(chunk(0, 1), chunk(0, 2), chunk(1, 2), chunk(1, 4, 100))
    assert [phase.holes for phase in anew.phases] == [(), (1, 3)]


def test_numbers_that_begin_with_zero_are_understood() -> None:
    assert [phase.holes for phase in history(chunk(0, 0), chunk(0, 2)).phases] == [(1,)]


def test_the_end_mark_may_overtake_the_last_chunks() -> None:
    ahead = history(chunk(0, 1), chunk(0, 3, 100))
    assert ahead.state is SyncState.RECEIVING
    assert "still on their way" in ahead.advice
    assert history(chunk(0, 1), chunk(0, 3, 100), chunk(0, 2)).state is SyncState.COMPLETE
    given_up = history(chunk(0, 1), chunk(0, 3, 100), now=SOON + timedelta(hours=24))
    assert given_up.state is SyncState.COMPLETE
    assert given_up.phases[0].holes == (2,)


@pytest.mark.parametrize("first", [Request(T0, accepted=True), Request(T0), chunk(0, 1, at=T0)])
def test_ten_minutes_of_silence_ask_for_the_phone(first: Request | Chunk) -> None:
    assert not history(first, now=T0 + 9 * MINUTE).stalled
    silent = history(first, now=T0 + 10 * MINUTE)
    assert silent.stalled
    assert "keep it open" in silent.advice


def test_a_history_with_nothing_in_it_is_complete() -> None:
    empty = history(Request(T0, accepted=True), Chunk(SOON, 0, 1, 100, messages=0))
    assert (empty.state, empty.messages) == (SyncState.COMPLETE, 0)


def test_contacts_are_complete_when_they_stop_coming() -> None:
    batch = Chunk(SOON)
    asked = [Request(T0, accepted=True)]
    assert ledger(SyncType.CONTACTS, SOON, T0, asked, [batch]).state is SyncState.RECEIVING
    later = ledger(SyncType.CONTACTS, SOON + 10 * MINUTE, T0, asked, [batch])
    assert (later.state, later.progress, later.stalled) == (SyncState.COMPLETE, 100, False)


def test_an_unknown_phase_is_kept_and_shown() -> None:
    assert history(chunk(7, 1)).phases[0].days is None
