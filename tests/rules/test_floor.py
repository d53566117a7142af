"""Who may speak: people before machines, and no answer over somebody's head."""

from datetime import UTC, datetime, timedelta

import pytest

from twinline.rules.floor import (
    EMPTY,
    LAST_WORDS,
    Floor,
    Holder,
    Why,
    holder_now,
    may_speak,
    release,
    says,
    speak,
    take,
)

NOW = datetime(2026, 11, 22, 10, 0, 0, 500_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = NOW + 30 * MINUTE


def test_a_reply_from_the_phone_drops_the_answer_being_prepared() -> None:
    thinking = take(EMPTY, Holder.AUTOMATION, NOW).floor
    owner = take(thinking, Holder.PHONE, NOW + MINUTE, LATER, said_at=NOW + MINUTE)
    assert owner.taken
    verdict = may_speak(owner.floor, Holder.AUTOMATION, thinking.epoch, NOW + 2 * MINUTE)
    assert (verdict.allowed, verdict.why) == (False, Why.PHONE_SPEAKS)


def test_the_answer_stays_dropped_when_the_owners_turn_is_over() -> None:
    thinking = take(EMPTY, Holder.AUTOMATION, NOW).floor
    owner = take(thinking, Holder.PHONE, NOW, LATER, said_at=NOW).floor
    verdict = may_speak(owner, Holder.AUTOMATION, thinking.epoch, LATER)
    assert (verdict.allowed, verdict.why) == (False, Why.SOMEBODY_SPOKE_MEANWHILE)


def test_an_echo_typed_just_before_the_automation_began_to_think_still_stops_it() -> None:
    thinking = take(EMPTY, Holder.AUTOMATION, NOW).floor
    assert take(thinking, Holder.PHONE, NOW + MINUTE, LATER, said_at=NOW - MINUTE).taken


def test_a_late_echo_doesnt_take_the_floor_from_the_person_who_moved_on() -> None:
    answering = take(EMPTY, Holder.PERSON, NOW, LATER).floor
    late = take(answering, Holder.PHONE, NOW + MINUTE, LATER, said_at=NOW - MINUTE)
    assert (late.floor, late.taken, late.why) == (answering, False, Why.HEARD_TOO_LATE)


def test_a_late_echo_doesnt_undo_a_hand_back() -> None:
    owner = take(EMPTY, Holder.PHONE, NOW, LATER, said_at=NOW).floor
    free = release(owner, Holder.PERSON, NOW + 5 * MINUTE)
    late = take(free, Holder.PHONE, NOW + 6 * MINUTE, LATER, said_at=NOW + 2 * MINUTE)
    assert not late.taken
    assert take(free, Holder.AUTOMATION, NOW + 6 * MINUTE).taken


def test_an_echo_so_late_that_its_turn_is_over_disturbs_nobody() -> None:
    thinking = take(EMPTY, Holder.AUTOMATION, NOW).floor
    assert not take(thinking, Holder.PHONE, NOW, NOW - MINUTE, said_at=NOW - 31 * MINUTE).taken


def test_in_the_same_second_the_phone_wins() -> None:
    answering = take(EMPTY, Holder.PERSON, NOW, LATER).floor
    whole_second = NOW.replace(microsecond=0)
    assert take(answering, Holder.PHONE, NOW, LATER, said_at=whole_second).taken


@pytest.mark.parametrize("person", [Holder.PERSON, Holder.PHONE])
@pytest.mark.parametrize("machine", [Holder.AUTOMATION, Holder.CAMPAIGN])
def test_no_machine_interrupts_a_person(person: Holder, machine: Holder) -> None:
    answering = take(EMPTY, person, NOW, LATER).floor
    attempt = take(answering, machine, NOW + MINUTE)
    assert (attempt.taken, attempt.floor) == (False, answering)
    assert take(answering, machine, LATER).taken


def test_a_campaign_waits_for_an_automation_but_not_the_other_way_round() -> None:
    dialogue = take(EMPTY, Holder.AUTOMATION, NOW, LATER).floor
    assert take(dialogue, Holder.CAMPAIGN, NOW).why is Why.MACHINE_SPEAKS
    sending = take(EMPTY, Holder.CAMPAIGN, NOW, LATER).floor
    assert take(sending, Holder.AUTOMATION, NOW).taken


def test_a_second_automation_drops_the_answer_of_the_first() -> None:
    first = take(EMPTY, Holder.AUTOMATION, NOW).floor
    second = take(first, Holder.AUTOMATION, NOW).floor
    assert not may_speak(second, Holder.AUTOMATION, first.epoch, NOW).allowed
    assert may_speak(second, Holder.AUTOMATION, second.epoch, NOW).why is Why.HOLDS_IT


def test_a_person_may_always_speak() -> None:
    busy = Floor(Holder.PHONE, 7, LATER, NOW)
    assert may_speak(busy, Holder.PERSON, 1, NOW).allowed
    assert take(busy, Holder.PERSON, NOW).taken


def test_a_campaign_planned_long_ago_asks_only_who_speaks_now() -> None:
    talked = release(take(EMPTY, Holder.PERSON, NOW).floor, Holder.PERSON, NOW)
    assert may_speak(talked, Holder.CAMPAIGN, None, NOW) == may_speak(EMPTY, Holder.CAMPAIGN, 0, NOW)
    assert not may_speak(talked, Holder.CAMPAIGN, 0, NOW).allowed


def test_an_expired_turn_is_nobodys() -> None:
    floor = Floor(Holder.PERSON, 3, NOW, NOW)
    assert holder_now(floor, NOW) is Holder.NOBODY
    assert holder_now(floor, NOW - MINUTE) is Holder.PERSON


def test_a_machine_gives_back_only_its_own_turn() -> None:
    answering = take(EMPTY, Holder.PERSON, NOW).floor
    assert release(answering, Holder.AUTOMATION, NOW) == answering
    thinking = take(EMPTY, Holder.AUTOMATION, NOW).floor
    assert release(thinking, Holder.AUTOMATION, NOW).holder is Holder.NOBODY
    assert release(EMPTY, Holder.NOBODY, NOW) == EMPTY


@pytest.mark.parametrize("why", list(Why))
def test_every_reason_is_a_sentence(why: Why) -> None:
    assert says(why).endswith(".")


def test_a_machine_goes_on_under_the_epoch_of_its_turn_also_when_that_is_over() -> None:
    first = speak(EMPTY, Holder.AUTOMATION, NOW, NOW + LAST_WORDS).floor
    later = NOW + timedelta(hours=1)
    assert holder_now(first, later) is Holder.NOBODY
    assert may_speak(first, Holder.AUTOMATION, first.epoch, later).allowed
    again = speak(first, Holder.AUTOMATION, later, later + LAST_WORDS).floor
    assert (again.epoch, holder_now(again, later)) == (first.epoch, Holder.AUTOMATION)


def test_a_turn_is_never_made_shorter_by_another_sentence() -> None:
    waits = speak(EMPTY, Holder.AUTOMATION, NOW, NOW + timedelta(hours=1)).floor
    assert speak(waits, Holder.AUTOMATION, NOW, NOW + LAST_WORDS).floor.until == waits.until


def test_no_two_decisions_of_people_have_the_same_moment() -> None:
    first = take(EMPTY, Holder.PHONE, NOW, NOW + timedelta(hours=1), NOW).floor
    second = take(first, Holder.PHONE, NOW, NOW + timedelta(hours=1), NOW).floor
    freed = release(second, Holder.PHONE, NOW, NOW)
    decided = [here.since for here in (first, second, freed)]
    assert len(set(decided)) == 3
    assert decided == sorted(at for at in decided if at is not None)


def test_a_keyword_that_is_heard_late_frees_nothing() -> None:
    here = take(EMPTY, Holder.PERSON, NOW, NOW + timedelta(hours=1)).floor
    assert release(here, Holder.PHONE, NOW, NOW - timedelta(seconds=5)) == here


def test_a_prompt_echo_with_a_pause_of_nothing_still_drops_what_was_prepared() -> None:
    machine = speak(EMPTY, Holder.AUTOMATION, NOW, NOW + LAST_WORDS).floor
    said_at = NOW - timedelta(seconds=3)
    here = take(machine, Holder.PHONE, NOW, said_at, said_at).floor
    assert holder_now(here, NOW) is Holder.NOBODY
    assert not may_speak(here, Holder.AUTOMATION, machine.epoch, NOW).allowed
