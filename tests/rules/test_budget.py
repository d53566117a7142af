"""The budget in single steps; its laws are in tests/laws."""

from twinline.rules.budget import PAIR, SECOND, THROUGHPUT

NOW = 1_800_000_000 * SECOND
STEP = SECOND // 20


def test_a_rested_budget_gives_one_instant_now_and_the_rest_a_twentieth_of_a_second_apart() -> None:
    granted = THROUGHPUT.reserve(0, NOW, 4, SECOND // 2)
    assert granted.times == (NOW, NOW + STEP, NOW + 2 * STEP, NOW + 3 * STEP)
    assert granted.tat == NOW + 4 * STEP


def test_nothing_is_promised_beyond_the_horizon() -> None:
    granted = THROUGHPUT.reserve(0, NOW, 1000, SECOND // 2)
    assert len(granted.times) == 11
    assert THROUGHPUT.reserve(granted.tat, NOW, 1000, SECOND // 2).times == ()


def test_an_inbound_message_takes_the_place_of_one_outbound() -> None:
    charged = THROUGHPUT.charge(0, NOW, 3)
    assert THROUGHPUT.reserve(charged, NOW, 1, SECOND).times == (NOW + 3 * STEP,)


def test_no_inbound_messages_cost_nothing() -> None:
    assert THROUGHPUT.charge(NOW, NOW, 0) == NOW


def test_a_flood_of_customers_silences_the_number_for_a_second_and_not_for_a_minute() -> None:
    flooded = THROUGHPUT.charge(0, NOW, 1000)
    assert THROUGHPUT.reserve(flooded, NOW, 1, 2 * SECOND).times == (NOW + SECOND,)


def test_a_flood_never_forgives_what_was_already_promised() -> None:
    halted = THROUGHPUT.halt(0, NOW, 30)
    assert THROUGHPUT.charge(halted, NOW, 1000) == halted


def test_after_too_fast_there_is_silence() -> None:
    halted = THROUGHPUT.halt(NOW + STEP, NOW, 2)
    assert THROUGHPUT.reserve(halted, NOW, 5, SECOND).times == ()
    assert THROUGHPUT.reserve(halted, NOW + 2 * SECOND, 1, 0).times == (NOW + 2 * SECOND,)
    assert THROUGHPUT.halt(NOW + 60 * SECOND, NOW, 2) == NOW + 60 * SECOND


def test_one_person_can_get_forty_five_at_once_and_then_one_every_six_seconds() -> None:
    burst = PAIR.reserve(0, NOW, 100, 0)
    assert burst.times == (NOW,) * 45
    after = PAIR.reserve(burst.tat, NOW, 2, 60 * SECOND)
    assert after.times == (NOW + 6 * SECOND, NOW + 12 * SECOND)


def test_a_burst_of_twenty_is_paid_back_in_two_minutes() -> None:
    burst = PAIR.reserve(0, NOW, 20, 0)
    assert burst.tat - NOW == 120 * SECOND


def test_a_pair_that_was_too_fast_waits_and_then_goes_one_by_one() -> None:
    halted = PAIR.halt(0, NOW, 16)
    assert PAIR.reserve(halted, NOW, 9, 22 * SECOND).times == (NOW + 16 * SECOND, NOW + 22 * SECOND)
