import pytest

from twinline.kit.phones import shown_phone


@pytest.mark.parametrize(
    ("wa_id", "shown"),
    [
        ("16505550171", "+1 650-555-0171"),
        ("5511912345678", "+55 11 91234-5678"),
        ("5215512345678", "+52 55 1234 5678"),
        ("34600111222", "+34 600 11 12 22"),
        ("99", "+99"),
        ("", ""),
    ],
)
def test_a_phone_is_written_as_its_country_writes_it(wa_id: str, shown: str) -> None:
    assert shown_phone(wa_id) == shown


def test_a_digit_that_no_country_would_write_stays() -> None:
    assert shown_phone("4404930123456") == "+4404930123456"
