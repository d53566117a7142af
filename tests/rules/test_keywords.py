"""STOP, BAJA, SAIR: which messages are keywords, and which only sound like them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import keywords
from twinline.rules.keywords import built_in, match, normalise, problem

ALL = tuple(built_in().values())


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("STOP", "en"), ("  stop!! ", "en"), ("¡Stop! 🙏", "en"), ("Unsubscribe.", "en"), ("opt-out", "en"),
        ("Baja", "es"), ("DAR DE BAJA", "es"), ("no mas publicidad", "es"), ("Sair", "pt"), ("SAÍR", "pt"),
        ("Cancelar inscricao", "pt"), ("Arrêt", "fr"), ("ＳＴＯＰ", "en"), ("Abmelden", "de"),
    ],
)  # fmt: skip
def test_a_keyword_is_known_however_it_is_written(text: str, language: str) -> None:
    found = match(text, ALL)
    assert found is not None
    assert (found.granted, found.language) == (False, language)
    assert found.reply == built_in()[language].stopped


@pytest.mark.parametrize(
    "text",
    [
        None, "", " ", "!!!", "🛑", "don't stop", "Stop by tomorrow?", "stopped", "Quiero dar de baja una cita",
        "vou sair agora", "cancel", "end", "yes", "STOP " * 20,
    ],
)  # fmt: skip
def test_what_only_has_a_keyword_in_it_or_answers_something_else_isnt_one(text: str | None) -> None:
    assert match(text, ALL) is None


def test_marketing_can_be_asked_for_again_in_every_language() -> None:
    for words in ALL:
        for word in words.start:
            found = match(word.upper(), ALL)
            assert found is not None, word
            assert found.granted


def test_every_word_of_the_table_can_be_matched_and_no_word_means_both() -> None:
    stop = [normalise(word) for words in ALL for word in words.stop]
    start = [normalise(word) for words in ALL for word in words.start]
    assert not set(stop) & set(start)
    for words in ALL:
        assert problem(words.stop) is None
        assert problem(words.start) is None
        # Who is told to write a word to come back can do so.
        assert any(normalise(word) in normalise(words.stopped) for word in words.start), words.language
        assert any(normalise(word) in normalise(words.started) for word in words.stop), words.language


def test_a_numbers_own_words_replace_those_of_the_table() -> None:
    english = built_in()["en"].changed(["cancel"], None, "Gone.", None)
    assert match("Cancel", [english]) == keywords.Match(False, "en", "Gone.")
    assert match("stop", [english]) is None
    assert match("start", [english]) is not None


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
