"""The ladder of delivery reads both of Meta's vocabularies."""

import pytest

from twinline.rules.delivery import Delivery, join, parse


@pytest.mark.parametrize("word", ["DELIVERED", "ERROR", "PENDING", "PLAYED", "READ", "SENT"])
def test_every_status_of_a_history_message_is_understood(word: str) -> None:
    assert parse(word) is not Delivery.NONE
    assert parse(word) is parse(word.lower())


def test_an_error_in_the_history_is_a_failure() -> None:
    assert parse("ERROR") is parse("failed") is Delivery.FAILED


@pytest.mark.parametrize("word", [None, "", "warped"])
def test_an_unknown_status_says_nothing(word: str | None) -> None:
    assert parse(word) is Delivery.NONE


def test_a_held_template_is_not_a_failed_one() -> None:
    assert parse("held_for_quality_assessment") is Delivery.ACCEPTED


def test_a_message_that_was_read_never_goes_back_to_sent_or_failed() -> None:
    assert join(Delivery.READ, Delivery.SENT) is Delivery.READ
    assert join(Delivery.FAILED, Delivery.DELIVERED) is Delivery.DELIVERED
    assert join(Delivery.SENT, Delivery.FAILED) is Delivery.FAILED
