"""How texts are compared."""

import pytest

from twinline.rules.automations.matching import matches


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("order #", "Order: 12!", "order"),
        ("* refund *", "I want a refund now", "refunds"),
        ("*", "anything at all", ""),
        ("pric*", "Prices", "the prices"),
        ("# * #", "12 and 13", "12"),
        ("where * order *", "Where is my order, please", "where"),
    ],
)
def test_patterns(pattern: str, fitting: str, other: str) -> None:
    assert matches("pattern", fitting, [pattern])
    assert not matches("pattern", other, [pattern])


def test_a_hostile_pattern_on_a_long_message_is_matched_all_the_same() -> None:
    """As a regular expression this would take longer than the sun will shine."""
    assert not matches("pattern", "a " * 2000, ["* a " * 40 + "b"])
    assert matches("pattern", "a " * 2000, ["* a " * 40])
