"""How outgoing webhooks are signed, and when they are tried again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import webhooks


def test_the_signature_is_that_of_the_examples_of_standard_webhooks() -> None:
    """From the specification's text and its libraries' tests (github.com/standard-webhooks/standard-webhooks)."""
    signed = webhooks.signature(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_side_by_side() -> None:
    one, other = webhooks.secret(b"a" * 32), webhooks.secret(b"b" * 32)
    alone = [webhooks.signature([secret], "msg_1", 7, b"{}") for secret in (one, other)]
    assert webhooks.signature([one, other], "msg_1", 7, b"{}") == " ".join(alone)


@given(st.integers(1, 1000), st.none() | st.timedeltas(timedelta(), timedelta(days=400)))
def test_each_wait_is_as_long_as_the_one_before_or_longer_and_no_longer_than_a_day(
    tries: int, asked: timedelta | None
) -> None:
    found = webhooks.wait(tries, asked)
    assert webhooks.WAITS[0] <= found <= timedelta(days=1)
    assert webhooks.wait(tries + 1, asked) >= found
    assert asked is None or found >= min(asked, timedelta(days=1))
