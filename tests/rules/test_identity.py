"""One person keeps one key, however the number is spelled."""

import pytest

from twinline.rules import identity


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("5531987654321", "5531987654321"),
        ("553187654321", "5531987654321"),
        ("551134567890", "551134567890"),
        ("5215512345678", "525512345678"),
        ("525512345678", "525512345678"),
        ("5491123456789", "541123456789"),
        ("541123456789", "541123456789"),
        ("34600111222", "34600111222"),
        ("16505550171", "16505550171"),
        ("+55 (31) 8765-4321", "5531987654321"),
        ("", ""),
    ],
)
def test_a_phone_has_one_canonical_spelling(spelling: str, canonical: str) -> None:
    assert identity.canonical_phone(spelling) == canonical
    assert identity.canonical_phone(canonical) == canonical


def test_a_brazilian_landline_gains_no_ninth_digit() -> None:
    assert identity.canonical_phone("551134567890") == "551134567890"


def test_keys_say_what_they_are_made_of() -> None:
    assert identity.phone_key("553187654321") == identity.phone_key("5531987654321") == "p:5531987654321"
    assert identity.user_key("US.13491208655302741918") == "u:US.13491208655302741918"


def test_digits_of_another_script_are_still_digits() -> None:
    assert identity.digits("+٩٧١ ٥٠") == "97150"


def test_a_username_is_the_same_with_and_without_its_at_sign() -> None:
    assert identity.normalise_username(" @ana.lima ") == identity.normalise_username("ana.lima") == "ana.lima"


def test_the_nearest_name_wins() -> None:
    everything = {
        "custom": "Ana (vip)",
        "book": "Ana Lima",
        "profile": "aninha",
        "username": "@ana.lima",
        "phone": "+55 11 91234-5678",
        "bsuid": "BR.123",
    }
    shown = []
    for gone in everything:
        shown.append(identity.display_name(**everything))
        everything[gone] = " "
    assert shown == ["Ana (vip)", "Ana Lima", "aninha", "@ana.lima", "+55 11 91234-5678", "BR.123"]
    assert identity.display_name() == ""


@pytest.mark.parametrize(
    ("recipient", "group"),
    [
        ("120363040469423382@g.us", True),
        ("120363040469423382", True),
        ("5511912345678-1600000000", True),
        ("Y2FwaV9ncm91cDoxNzA1NTU1MDEzOTox", True),
        ("+55 11 91234-5678", False),
        ("US.13491208655302741918", False),
        ("", False),
    ],
)
def test_groups_are_told_from_people(recipient: str, group: bool) -> None:
    assert identity.is_group(recipient) is group
