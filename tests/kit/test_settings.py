"""What the environment says."""

import pytest

from twinline.settings import Settings


def test_a_list_stands_in_the_environment_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLINE_SIGNUP_ORIGINS", "https://one.example, https://two.example")
    assert Settings().signup_origins == ("https://one.example", "https://two.example")
