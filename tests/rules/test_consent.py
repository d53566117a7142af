"""What comes of everything that was said about marketing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules.consent import FREE, Said, Why, Word, decide, newest

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)

words = st.builds(Word, st.booleans(), st.integers(0, 3).map(lambda n: NOON + timedelta(seconds=n)), st.just("keyword"))
known = st.builds(Said, st.booleans(), st.booleans(), st.none() | words, st.none() | words, st.booleans())


def yes(at: datetime = NOON) -> Word:
    return Word(True, at, "import")


def no(at: datetime = NOON) -> Word:
    return Word(False, at, "keyword")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Said(), Why.NOTHING_SAID),
        (Said(everything=yes()), Why.OPTED_IN),
        (Said(everything=no()), Why.OPTED_OUT),
        (Said(everything=no(), topic=yes(LATER)), Why.OPTED_IN),
        (Said(everything=no(LATER), topic=yes()), Why.OPTED_OUT),
        (Said(everything=no(), topic=yes()), Why.OPTED_OUT),
        (Said(everything=yes(LATER), topic=no()), Why.OPTED_OUT_OF_TOPIC),
        (Said(needs_opt_in=True), Why.NO_OPT_IN),
        (Said(topic=yes(), needs_opt_in=True), Why.OPTED_IN),
        (Said(stopped_at_meta=True, everything=yes(LATER)), Why.META),
        (Said(suppressed=True, everything=yes(LATER), topic=yes(LATER)), Why.SUPPRESSED),
    ],
)
def test_the_newest_word_counts_but_for_those_that_bind_whatever_is_said(said: Said, why: Why) -> None:
    told = decide(said)
    assert told.why is why
    assert told.says.endswith(".")
    assert (told.refusal is None) is told.allowed
    if told.refusal is not None:
        assert told.refusal.rule == ("no_opt_in" if why is Why.NO_OPT_IN else "opted_out")
        assert told.refusal.what_to_do.endswith(".")


def test_nothing_stands_in_the_way_of_what_isnt_marketing() -> None:
    assert FREE.refusal is None


@given(known)
def test_a_no_is_never_turned_into_a_yes_by_another_no(said: Said) -> None:
    """Whoever adds Meta's switch, the list, or a newer no to what is known, lets nothing through that wasn't."""
    after = max([word.at for word in (said.everything, said.topic) if word] or [NOON]) + timedelta(seconds=1)
    for worse in (
        Said(True, said.suppressed, said.everything, said.topic, said.needs_opt_in),
        Said(said.stopped_at_meta, True, said.everything, said.topic, said.needs_opt_in),
        Said(said.stopped_at_meta, said.suppressed, no(after), said.topic, said.needs_opt_in),
        Said(said.stopped_at_meta, said.suppressed, said.everything, no(after), said.needs_opt_in),
    ):
        assert not decide(worse).allowed


@given(words, words, words)
def test_which_word_is_newest_depends_on_no_order(one: Word, two: Word, three: Word) -> None:
    assert newest(newest(one, two), three) == newest(one, newest(three, two))
    assert newest(one, one) == one == newest(one, None) == newest(None, one)
