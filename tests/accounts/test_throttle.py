from datetime import timedelta

from twinline.accounts.throttle import FORGOTTEN_AFTER, FREE_TRIES, LONGEST_WAIT, Throttle
from twinline.kit.clock import ManualClock


def test_five_wrong_passwords_are_free_and_then_each_costs_twice_the_wait(clock: ManualClock) -> None:
    throttle = Throttle()
    for _ in range(FREE_TRIES):
        assert throttle.wait("ada", clock.now()) == timedelta()
        throttle.failed("ada", clock.now())
    first = throttle.wait("ada", clock.now())
    throttle.failed("ada", clock.now())
    assert throttle.wait("ada", clock.now()) == 2 * first
    assert throttle.wait("bob", clock.now()) == timedelta()


def test_the_wait_has_an_end_and_a_right_password_clears_it(clock: ManualClock) -> None:
    throttle = Throttle()
    for _ in range(50):
        throttle.failed("ada", clock.now())
    assert throttle.wait("ada", clock.now()) == LONGEST_WAIT
    clock.advance(seconds=LONGEST_WAIT.total_seconds())
    assert throttle.wait("ada", clock.now()) == timedelta()
    throttle.succeeded("ada")
    throttle.failed("ada", clock.now())
    assert throttle.wait("ada", clock.now()) == timedelta()


def test_old_failures_are_forgotten(clock: ManualClock) -> None:
    throttle = Throttle()
    for _ in range(FREE_TRIES):
        throttle.failed("ada", clock.now())
    clock.advance(seconds=FORGOTTEN_AFTER.total_seconds() + 1)
    throttle.failed("ada", clock.now())
    assert throttle.wait("ada", clock.now()) == timedelta()
