"""A cast of a mould is what filling the template in would have been."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import templates
from twinline.rules.moulds import Mould, one_line
from twinline.rules.templates import Filled


def header(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "HEADER", "format": kind, **more}


BODY = {"type": "BODY", "text": 'Hi {{1}}, {{2}} is yours, {{1}}: “{{2}}” \\ "{{3}}".'}
URL = {"type": "URL", "text": "Track", "url": "https://a.example/{{1}}"}
BUTTONS = {
    "type": "BUTTONS",
    "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}, URL, {"type": "COPY_CODE"}, {"type": "FLOW", "text": "Book"}],
}
CARD = {"components": [header("IMAGE"), {"type": "BODY", "text": "For {{1}}"}, {"type": "BUTTONS", "buttons": [URL]}]}
TEMPLATES = [
    {"components": [BODY]},
    {"components": [header("TEXT", text="Dear {{1}}"), BODY, {"type": "FOOTER", "text": "Bye"}, BUTTONS]},
    {"components": [header("IMAGE"), BODY]},
    {"components": [header("DOCUMENT"), BODY, BUTTONS]},
    {"components": [BODY, {"type": "CAROUSEL", "cards": [CARD, CARD]}]},
    {"parameter_format": "NAMED", "components": [
        header("TEXT", text="{{shop}}"), {"type": "BODY", "text": "{{a}} {{b}} {{a}}"}]},
    {"category": "AUTHENTICATION", "components": [{"type": "BODY"}, {"type": "BUTTONS", "buttons": [
        {"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy"}]}]},
]  # fmt: skip
WORDS = ("text", "url", "payload", "coupon")


def sendable(filled: Filled) -> dict[str, Any]:
    return {"name": "t", "language": {"code": "en"}, "components": list(filled.components), "shown": filled.shown}


@st.composite
def orders(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str], dict[str, str], dict[str, Any]]:
    """A template, somebody's words, its fallbacks, and what is the same for everybody."""
    template = draw(st.sampled_from(TEMPLATES))
    values, fallbacks, fixed = {}, {}, {}
    for slot in templates.slots(template):
        if slot.kind in templates.MEDIA and draw(st.booleans()):
            fixed[slot.key] = {"id": draw(st.text(max_size=3))}
        elif draw(st.booleans()):
            values[slot.key] = one_line(draw(st.text(max_size=8)))
        if slot.kind in WORDS and draw(st.booleans()):
            fallbacks[slot.key] = draw(st.text(min_size=1, max_size=5))
    return template, values, fallbacks, fixed


@given(orders(), st.data())
def test_many_are_written_as_one_would_be(order: Any, data: st.DataObject) -> None:
    template, values, fallbacks, fixed = order
    mould = Mould(template, fallbacks, fixed, sendable)
    others = {key: one_line(data.draw(st.text(max_size=4))) for key in values}
    kinds = {slot.key: slot.kind for slot in templates.slots(template)}
    for said in (values, others, values):
        given_ = {key: value for key, value in said.items() if value}
        meant = {
            key: {"link": value}
            if kinds[key] in templates.MEDIA
            else {"flow_token": value}
            if kinds[key] == "flow"
            else value
            for key, value in given_.items()
        }
        filled = templates.fill(template, {**fixed, **meant}, fallbacks)
        cast = mould.cast(said)
        assert cast.text == filled.text
        assert json.loads(cast.content) == json.loads(json.dumps(sendable(filled)))
        assert cast.missing == filled.missing


@given(st.text())
def test_a_value_is_one_line_and_stays_so(text: str) -> None:
    line = one_line(text)
    assert one_line(line) == line
    assert "\n" not in line
    assert "  " not in line
    assert "\0" not in line


def test_what_becomes_too_long_is_told_with_its_length() -> None:
    mould = Mould({"components": [header("TEXT", text="{{1}}"), BODY]}, {}, {}, sendable)
    fine = {"header.1": "x" * 60, "body.1": "a", "body.2": "b", "body.3": "c"}
    assert mould.cast(fine).too_long is None
    assert mould.cast({**fine, "header.1": "x" * 61}).too_long == ("header", 61, 60)
    assert mould.cast({**fine, "body.3": "x" * 1024}).too_long == (
        "text",
        1024 + len('Hi a, b is yours, a: “b” \\ "".'),
        1024,
    )
