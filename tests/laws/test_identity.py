"""Laws of identity: canonical spelling is a projection, and variants are its fibre."""

from hypothesis import example, given
from hypothesis import strategies as st

from twinline.kit.phones import shown_phone
from twinline.rules import identity

phones = st.one_of(
    st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True),
    st.from_regex(r"55[1-9][1-9]9?[2-9][0-9]{7}", fullmatch=True),
    st.from_regex(r"521?[0-9]{10}", fullmatch=True),
    st.from_regex(r"549?[0-9]{10}", fullmatch=True),
)


@given(st.text())
@example("+52 1 55")
def test_spelling_a_canonical_phone_again_changes_nothing(text: str) -> None:
    once = identity.canonical_phone(text)
    assert identity.canonical_phone(once) == once


@given(phones, phones)
def test_two_spellings_are_of_one_telephone_where_their_keys_agree(wa_id: str, stranger: str) -> None:
    without_a_digit = (wa_id[:2] + wa_id[3:], wa_id[:4] + wa_id[5:])
    for other in (wa_id, identity.canonical_phone(wa_id), *without_a_digit, wa_id[::-1], stranger):
        assert identity.same_phone(wa_id, other) == (identity.phone_key(wa_id) == identity.phone_key(other))


@given(phones)
def test_what_is_shown_is_the_same_telephone(wa_id: str) -> None:
    assert identity.phone_key(identity.digits(shown_phone(wa_id))) == identity.phone_key(wa_id)
