"""Only what Meta signed is believed."""

from hypothesis import given
from hypothesis import strategies as st

from twinline.meta.signature import sign, verify

SECRET, BODY = "app-secret", b'{"object":"whatsapp_business_account","text":"\\u00e1"}'


def test_a_known_signature() -> None:
    # RFC 4231, test case 2.
    expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign("Jefe", b"what do ya want for nothing?") == expected


def test_what_was_signed_is_verified_as_text_and_as_bytes() -> None:
    header = sign(SECRET, BODY)
    assert verify(SECRET, BODY, header)
    assert verify(SECRET, BODY, header.encode())


def test_another_body_secret_or_algorithm_isnt() -> None:
    header = sign(SECRET, BODY)
    assert not verify(SECRET, BODY + b" ", header)
    assert not verify("other", BODY, header)
    assert not verify(SECRET, BODY, header.removeprefix("sha256="))
    assert not verify(SECRET, BODY, header.replace("sha256", "sha1"))


def test_a_platform_without_a_secret_believes_nobody() -> None:
    assert not verify("", BODY, sign("", BODY))
    assert not verify(SECRET, BODY, None)


@given(st.text(), st.binary(), st.one_of(st.none(), st.text(), st.binary()))
def test_nothing_that_comes_makes_it_raise(secret: str, body: bytes, header: str | bytes | None) -> None:
    assert verify(secret, body, header) in {True, False}
