"""Numbers as people, spreadsheets and other programs write them."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.kit import dialling
from twinline.kit.dialling import Unreadable, dialled, region_of
from twinline.rules.identity import phone_key

PORTO = "351910000001"


@pytest.mark.parametrize(
    "text",
    [
        "+351 910 000 001", "+351910000001", "00351910000001", "00 351 910-000-001", "351910000001", "910000001",
        "910 000 001", "(910) 000.001", "'910000001", '="910000001"', "tel:910000001", "whatsapp:+351910000001",
        "https://wa.me/351910000001", "3.51910000001E+11", "3,51910000001e11", "351910000001.0", "910000001,00",
        "\u202a+351 910 000 001\u202c", "٩١٠٠٠٠٠٠١", " 910\u00a0000\u00a0001 ",
    ],
)  # fmt: skip
def test_one_telephone_in_many_spellings(text: str) -> None:
    assert dialled(text, "PT") == PORTO


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("(11) 91234-5678", "BR", "5511912345678"),
        ("011 91234-5678", "BR", "5511912345678"),
        ("5511912345678", "PT", "5511912345678"),
        ("00351910000001", "BR", PORTO),
        ("011 15-2345-6789", "AR", "5491123456789"),
        ("(206) 555-0100", "US", "12065550100"),
        ("1-206-555-0100", "US", "12065550100"),
        ("011 351 910 000 001", "US", PORTO),
        ("06 12345678", "IT", "390612345678"),
        ("0151 12345678", "DE", "4915112345678"),
    ],
)
def test_a_number_without_a_code_is_one_of_the_business_country(text: str, region: str, number: str) -> None:
    assert dialled(text, region) == number


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1187654321", "11987654321"),
        ("+55 11 8765-4321", "+55 11 98765-4321"),
        ("+521 55 1234 5678", "+52 55 1234 5678"),
        ("+54 9 11 2345-6789", "+54 11 2345-6789"),
    ],
)
def test_old_and_new_spellings_are_one_person(old: str, new: str) -> None:
    assert phone_key(dialled(old, "BR")) == phone_key(dialled(new, "BR"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There is no phone number"),
        ("  ", "There is no phone number"),
        ("1.5512E+12", "rounded"),
        ("1,5512E+12", "rounded"),
        ("Ana", "“Ana” isn't a phone number"),
        ("+", "isn't a phone number"),
        ("123", "too short"),
        ("9100000011234", "too long"),
        ("910000001 / 910000002", "more than one"),
        ("910000001 ou 910000002", "more than one"),
        ("+999123456789", "isn't a phone number"),
        ("ana@example.com", "isn't a phone number"),
        ("510000001", "isn't given to anybody"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        dialled(text, "PT")


def test_without_a_country_a_number_needs_its_code() -> None:
    with pytest.raises(Unreadable, match="no country code"):
        dialled("910000001")
    assert dialled("+351910000001") == PORTO


def test_a_range_younger_than_our_tables_is_taken_when_it_is_written_in_full() -> None:
    young = phonenumbers.parse("+351 980 000 001")
    assert not phonenumbers.is_valid_number(young)
    assert dialled("+351980000001") == "351980000001"


def test_a_number_tells_its_country() -> None:
    assert [region_of(number) for number in (PORTO, "15550001111", "5511912345678", "999", "")] == [
        "PT",
        "US",
        "BR",
        "",
        "",
    ]


EXAMPLES = [
    (region, str(example.national_number), example.country_code)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    if (example := phonenumbers.example_number_for_type(region, kind)) is not None
]


@given(st.sampled_from(EXAMPLES), st.integers(0, 14), st.sampled_from("0123456789"), st.booleans(), st.booleans())
def test_the_short_way_comes_to_what_the_long_one_does(
    example: tuple[str, str, int], at: int, digit: str, coded: bool, plus: bool
) -> None:
    region, national, code = example
    national = national[:at] + digit + national[at + 1 :] if at < len(national) else national
    text = f"{'+' if plus else ''}{code}{national}" if coded or plus else national
    short = dialling._at_once(text, region)
    if short is None:
        return
    long = phonenumbers.parse(text, region)
    assert phonenumbers.is_valid_number(long)
    assert short == phonenumbers.format_number(long, phonenumbers.PhoneNumberFormat.E164)[1:]


@given(
    st.text(max_size=30) | st.from_regex(r"[+0-9(). eE/x-]{0,25}", fullmatch=True),
    st.sampled_from(["", "PT", "BR", "US", "AR"]),
)
def test_any_text_is_a_number_or_has_a_reason(text: str, region: str) -> None:
    try:
        number = dialled(text, region)
    except Unreadable as error:
        assert str(error)  # noqa: PT017
    else:
        assert number.isascii()
        assert number.isdigit()
        assert dialled(f"+{number}") == number
