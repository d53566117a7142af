"""Every error of Meta's has a class, a scope and two sentences; every other answer has one too."""

import pytest

from twinline.rules.outcomes import Class, Scope, known_codes, outcome

REFERENCE = """
0 190 3 10 200 250 299 131005 4 80007 130429 131056 131048 131064 133016 1 2 131000 131016 133004 131057
2494100 134101 33 131045 133010 131031 368 130497 131037 131042 100 131008 131009 135000 131051 131021
131026 131030 131047 131049 131050 130472 131052 131053 131062 137000 131063 132000 132001 132005 132007
132008 132012 132018 132015 132016 132068 132069 134011 134100 134102 131055 133000 133005 133006 133008
133009 133015 2593107 2593108 2593109 131060 2388019 2388039 2388040 2388047 2388072 2388073 2388293
2388299 147001 147005
"""


@pytest.mark.parametrize("code", [int(code) for code in REFERENCE.split()])
def test_every_code_of_the_reference_is_explained(code: int) -> None:
    told = outcome(code)
    assert code in known_codes()
    assert told.code == code
    assert told.says.endswith(".")
    assert told.do.endswith(".")


@pytest.mark.parametrize(
    ("code", "klass", "scope"),
    [
        (130429, Class.THROTTLE, Scope.NUMBER),
        (131056, Class.THROTTLE_PAIR, Scope.PAIR),
        (131049, Class.PERMANENT, Scope.PAIR),
        (131050, Class.OPT_OUT, Scope.PAIR),
        (131048, Class.STOP_CAMPAIGN, Scope.NUMBER),
        (132001, Class.STOP_TEMPLATE, Scope.TEMPLATE),
        (190, Class.STOP_NUMBER, Scope.NUMBER),
        (131047, Class.PERMANENT, Scope.MESSAGE),
        (2593107, Class.INFO, Scope.NUMBER),
        (2593109, Class.INFO, Scope.NUMBER),
        (4, Class.THROTTLE, Scope.APP),
    ],
)
def test_a_code_stops_what_it_concerns_and_nothing_more(code: int, klass: Class, scope: Scope) -> None:
    assert (outcome(code).klass, outcome(code).scope) == (klass, scope)


def test_a_code_that_nobody_knows_is_never_repeated_by_a_machine() -> None:
    told = outcome(987654)
    assert (told.code, told.klass, told.ambiguous) == (987654, Class.PERMANENT, False)
    assert told.wait_before(1) is None


@pytest.mark.parametrize("http_status", [None, 500, 502, 504])
def test_no_answer_may_have_been_carried_out(http_status: int | None) -> None:
    told = outcome(None, http_status)
    assert (told.klass, told.ambiguous) == (Class.RETRY, True)


def test_the_code_counts_and_not_the_http_status() -> None:
    assert outcome(130429, 400) == outcome(130429, 429)
    assert outcome(131047, 500).klass is Class.PERMANENT


@pytest.mark.parametrize(
    ("http_status", "klass"),
    [(401, Class.STOP_NUMBER), (403, Class.STOP_NUMBER), (429, Class.THROTTLE), (404, Class.PERMANENT)],
)
def test_a_refusal_without_a_code_goes_by_its_status(http_status: int, klass: Class) -> None:
    assert outcome(None, http_status).klass is klass
    assert not outcome(None, http_status).ambiguous


def test_retries_double_and_end() -> None:
    waits = [outcome(131016).wait_before(attempt) for attempt in range(1, 7)]
    assert waits == [1, 2, 4, 8, 16, None]


def test_a_pair_waits_in_powers_of_four_and_is_never_given_up() -> None:
    waits = [outcome(131056).wait_before(attempt) for attempt in range(1, 8)]
    assert waits == [1, 4, 16, 64, 256, 256, 256]


def test_a_person_who_had_enough_marketing_is_left_alone_for_a_day() -> None:
    capped = outcome(131049)
    assert capped.wait == (86_400,)
    assert capped.wait_before(1) is None


def test_a_throttle_always_has_a_schedule() -> None:
    for code in known_codes():
        told = outcome(code)
        assert not (told.is_throttle or told.klass is Class.RETRY) or told.wait
