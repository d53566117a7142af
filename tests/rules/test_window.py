"""The customer service window: who opens it, who doesn't, and what a person is told."""

from datetime import UTC, datetime, timedelta

import pytest

from twinline.rules.window import NON_OPENING, WindowReason, opens, text, window

CONNECTED = datetime(2026, 11, 1, 9, 0, 0, 400_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_a_message_after_connecting_opens_it_for_24_hours() -> None:
    wrote = CONNECTED + HOUR
    seen = window(wrote + 23 * HOUR, CONNECTED, wrote, wrote, None)
    assert (seen.open, seen.reason, seen.until) == (True, WindowReason.OPEN, wrote + DAY)


def test_it_is_closed_at_exactly_24_hours() -> None:
    wrote = CONNECTED + HOUR
    assert window(wrote + DAY - timedelta(microseconds=1), CONNECTED, wrote, wrote, None).open
    closed = window(wrote + DAY, CONNECTED, wrote, wrote, None)
    assert (closed.open, closed.reason, closed.until) == (False, WindowReason.EXPIRED, wrote + DAY)


def test_a_message_from_before_connecting_opens_nothing() -> None:
    imported = CONNECTED - HOUR
    seen = window(CONNECTED + HOUR, CONNECTED, None, imported, None)
    assert (seen.open, seen.reason, seen.until) == (False, WindowReason.WROTE_BEFORE_CONNECT, None)


def test_a_connection_renewed_today_forgets_yesterdays_message() -> None:
    yesterday = CONNECTED - 2 * HOUR
    seen = window(CONNECTED + HOUR, CONNECTED, yesterday, yesterday, None)
    assert seen.reason is WindowReason.WROTE_BEFORE_CONNECT


def test_a_message_in_the_second_of_connecting_counts_because_stamps_are_whole_seconds() -> None:
    same_second = CONNECTED.replace(microsecond=0)
    assert window(CONNECTED + HOUR, CONNECTED, same_second, same_second, None).open


def test_an_answer_from_the_phone_never_opens_it() -> None:
    imported, echo = CONNECTED - HOUR, CONNECTED + HOUR
    seen = window(CONNECTED + 2 * HOUR, CONNECTED, None, imported, echo)
    assert (seen.open, seen.reason) == (False, WindowReason.ONLY_PHONE_ANSWERED)


def test_an_answer_from_the_phone_never_extends_it() -> None:
    wrote = CONNECTED + HOUR
    without = window(wrote + 2 * DAY, CONNECTED, wrote, wrote, None)
    assert window(wrote + 2 * DAY, CONNECTED, wrote, wrote, wrote + DAY) == without


def test_a_stranger_and_an_unconnected_number_are_told_apart() -> None:
    assert window(CONNECTED + HOUR, CONNECTED, None, None, None).reason is WindowReason.NEVER_WROTE
    assert window(CONNECTED + HOUR, None, CONNECTED, CONNECTED, None).reason is WindowReason.NOT_CONNECTED


def test_only_what_a_customer_says_opens_it() -> None:
    assert not any(opens(kind) for kind in ("system", "edit", "revoke", "request_welcome"))
    assert all(opens(kind) for kind in ("text", "reaction", "unsupported", "audio"))
    assert all(why.strip() for why in NON_OPENING.values())


@pytest.mark.parametrize("reason", list(WindowReason))
def test_every_reason_is_a_sentence(reason: WindowReason) -> None:
    assert text(reason).endswith(".")
