"""Laws of the floor, whatever happens in a chat."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from twinline.rules.floor import EMPTY, PEOPLE, Floor, Holder, holder_now, may_speak, take

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
moments = st.integers(-3600, 3600).map(lambda seconds: NOW + timedelta(seconds=seconds))
maybe = st.one_of(st.none(), moments)
floors = st.builds(Floor, st.sampled_from(list(Holder)), st.integers(0, 99), maybe, maybe)
holders = st.sampled_from([holder for holder in Holder if holder is not Holder.NOBODY])


@given(floors, holders, moments, maybe, maybe)
def test_the_epoch_grows_exactly_when_the_floor_is_taken(
    floor: Floor, holder: Holder, now: datetime, until: datetime | None, said_at: datetime | None
) -> None:
    turn = take(floor, holder, now, until, said_at)
    assert turn.floor.epoch == floor.epoch + turn.taken
    assert turn.taken or turn.floor == floor


@given(floors, st.sampled_from([Holder.AUTOMATION, Holder.CAMPAIGN]), moments, st.integers(0, 99))
def test_no_machine_takes_or_speaks_while_a_person_has_the_floor(
    floor: Floor, machine: Holder, now: datetime, epoch: int
) -> None:
    if holder_now(floor, now) in PEOPLE:
        assert not take(floor, machine, now).taken
        assert not may_speak(floor, machine, epoch, now).allowed
        assert not may_speak(floor, machine, None, now).allowed


@given(st.lists(st.tuples(holders, moments), min_size=1), moments)
def test_only_the_last_to_take_it_may_speak_under_its_epoch(
    turns: list[tuple[Holder, datetime]], now: datetime
) -> None:
    floor = EMPTY
    promises = list[tuple[Holder, int]]()
    for holder, at in turns:
        turn = take(floor, holder, at)
        floor = turn.floor
        if turn.taken:
            promises.append((holder, floor.epoch))
    for holder, epoch in promises[:-1]:
        if holder not in PEOPLE:
            assert not may_speak(floor, holder, epoch, now).allowed
