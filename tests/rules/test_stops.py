"""What stands still is worked out from what is known, whatever came first."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import outcomes
from twinline.rules.outcomes import Binds, Class, Scope, Way
from twinline.rules.stops import Relief, Stop, button, standing, stop_of, template_key

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SALE = template_key("spring_sale", "pt_BR")


def stop(code: int, since: datetime = NOW - HOUR, key: str = "") -> Stop:
    found = stop_of(1, code, key, since)
    assert found is not None
    return found


def test_a_stop_ends_by_what_ends_its_kind_and_by_nothing_else() -> None:
    token = stop(190)
    assert standing([token], [], NOW) == [token]
    assert standing([token], [Relief(Way.CONNECTED, "", NOW)], NOW) == [token]
    assert standing([token], [Relief(Way.TOKEN, "", NOW)], NOW) == []


def test_what_happened_before_a_stop_doesnt_end_it() -> None:
    token = stop(190)
    assert standing([token], [Relief(Way.TOKEN, "", token.since - HOUR)], NOW) == [token]


def test_a_template_is_freed_by_its_own_approval() -> None:
    paused = stop(132015, key=SALE)
    other = Relief(Way.TEMPLATE, template_key("spring_sale", "es"), NOW)
    assert standing([paused], [other], NOW) == [paused]
    assert standing([paused], [Relief(Way.TEMPLATE, template_key("spring_sale", "pt-BR"), NOW)], NOW) == []


def test_a_button_ends_one_stop() -> None:
    locked, unpaid = stop(131031), stop(131042)
    pressed = [Relief(Way.PERSON, button(locked), NOW)]
    assert standing([locked, unpaid], pressed, NOW) == [unpaid]


def test_time_ends_what_ends_by_itself() -> None:
    blocked = stop(131048)
    assert blocked.until == blocked.since + timedelta(days=1)
    assert standing([blocked], [], blocked.since + timedelta(days=1)) == []


def test_what_meta_says_of_a_pause_counts_more_than_the_table() -> None:
    paused = stop_of(1, 132015, SALE, NOW, lasts=3 * 3600)
    assert paused is not None
    assert paused.until == NOW + 3 * HOUR
    assert stop(132015).until is None


def test_an_apps_pauses_grow_while_they_follow_each_other_and_begin_anew_after_a_while() -> None:
    waits, last = [], None
    at = NOW
    for _ in range(7):
        last = stop_of(1, 4, "", at, before=last)
        assert last is not None
        assert last.until is not None
        waits.append((last.until - at).total_seconds())
        at = last.until + timedelta(seconds=1)
    assert waits == [60, 120, 240, 480, 900, 900, 900]
    later = stop_of(1, 4, "", at + HOUR, before=last)
    assert later is not None
    assert later.until == at + HOUR + timedelta(seconds=60)


@pytest.mark.parametrize("code", [131026, 131047, 131049, 131050, 130429, 131056, 131000, 987654])
def test_what_concerns_one_message_or_one_person_stops_nothing(code: int) -> None:
    assert stop_of(1, code, "", NOW) is None


def test_the_widest_stop_comes_first() -> None:
    stops = [stop(132015, key=SALE), stop(190), stop(131042)]
    assert [one.code for one in standing(stops, [], NOW)] == [131042, 132015, 190]


def test_every_stop_can_end_and_names_what_it_binds() -> None:
    for code in outcomes.known_codes():
        meaning = outcomes.outcome(code)
        if meaning.is_stop:
            assert meaning.resumes or meaning.wait, code
            assert (meaning.binds is Binds.CAMPAIGNS) == (meaning.klass is Class.STOP_CAMPAIGN), code
            assert (meaning.scope is Scope.TEMPLATE) == (meaning.klass is Class.STOP_TEMPLATE), code
        else:
            assert not meaning.resumes, code
    for way in Way:
        assert outcomes.ending(way).startswith("when ")
    for event in outcomes.events():
        assert (event.stops is None) != (event.resumes is None)


# --- the law ------------------------------------------------------------------------------------------------------

moments = st.integers(-48, 48).map(lambda hours: NOW + hours * HOUR)
facts = st.one_of(
    st.builds(stop, st.sampled_from([190, 131031, 131042, 131048, 133010]), moments),
    st.builds(stop, st.sampled_from([132000, 132015, 132016]), moments, st.sampled_from([SALE, "other/en"])),
    st.builds(Relief, st.sampled_from(list(Way)), st.sampled_from(["", SALE, "other/en", "number:190:"]), moments),
)


def registers(told: list[Stop | Relief]) -> tuple[list[Stop], list[Relief]]:
    """As the tables keep them: of each thing the newest word."""
    stops: dict[tuple[str, int], Stop] = {}
    reliefs: dict[tuple[Way, str], Relief] = {}
    for one in told:
        if isinstance(one, Stop):
            before = stops.get((one.key, one.code), one)
            stops[one.key, one.code] = max(before, one, key=lambda stop: stop.since)
        else:
            known = reliefs.get((one.way, one.key), one)
            reliefs[one.way, one.key] = max(known, one, key=lambda relief: relief.at)
    return list(stops.values()), list(reliefs.values())


@given(st.lists(facts, max_size=12), st.randoms(use_true_random=False), moments)
def test_any_order_and_any_repetition_end_in_the_same_stops(
    told: list[Stop | Relief], chance: Random, now: datetime
) -> None:
    again = told + chance.choices(told, k=4) if told else told
    chance.shuffle(again)
    assert standing(*registers(told), now) == standing(*registers(again), now)


@given(st.lists(facts, max_size=12), moments)
def test_the_newest_word_of_each_says_all(told: list[Stop | Relief], now: datetime) -> None:
    """What was kept of many words stands as if all of them were known."""
    stops = [one for one in told if isinstance(one, Stop)]
    reliefs = [one for one in told if isinstance(one, Relief)]
    kept = {(one.key, one.code) for one in standing(*registers(told), now)}
    newest = [
        max((r for r in reliefs if (r.way, r.key) == k), key=lambda r: r.at) for k in {(r.way, r.key) for r in reliefs}
    ]
    assert kept == {(one.key, one.code) for one in standing(stops, newest, now)}
