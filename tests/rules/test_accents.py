"""People type what is quick on a phone, and mean who they mean."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import accents

NAMES = st.text(st.sampled_from("aeiouncszAEINO áàâãäåéèêëíîïóôõöøúüñçşšžłđİı ÁÑÇ ЙйиИ ώΩω .*+?()[]{}|^$\\-_%'🌸が한"))


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("nunez", "Martín Núñez"),
        ("Núñez", "nunez"),
        ("manana", "hasta mañana"),
        ("goncalves", "GONÇALVES"),
        ("nguyen", "Nguyễn"),
        ("soren", "Søren"),
        ("lukasz", "Łukasz"),
        ("istanbul", "İSTANBUL"),
        ("андреи", "Андрей"),
        ("γιωργος", "Γιώργος"),
        ("c++ (a|b)", "C++ (Á|B)"),
    ],
)
def test_what_is_typed_finds_what_is_meant(typed: str, stored: str) -> None:
    assert re.search(accents.pattern(typed), stored)
    assert re.search(accents.pattern(stored.upper()), unicodedata.normalize("NFD", stored))


@pytest.mark.parametrize(("typed", "stored"), [("nunez", "nunes"), ("a.c", "abc"), ("か", "が"), ("s", "ß")])
def test_another_letter_is_another_letter(typed: str, stored: str) -> None:
    assert not re.search(accents.pattern(typed), stored)


@given(NAMES, NAMES)
def test_two_texts_find_each_other_just_if_they_are_the_same_without_accents(typed: str, stored: str) -> None:
    assert bool(re.search(accents.pattern(typed), stored)) == (accents.bare(typed) in accents.bare(stored))
