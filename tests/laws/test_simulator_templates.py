"""Whatever JSON is handed to the simulated Meta, it is taken or refused in Meta's way; it never falls over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from whatsapp_simulator.errors import GraphError
from whatsapp_simulator.ids import Ids
from whatsapp_simulator.state import Template
from whatsapp_simulator.template_rules import CATEGORIES, checked, verdict
from whatsapp_simulator.templates import filled, furnish

SAMPLES = furnish(Ids(1), "1", "http://simulator.test", 0.0)
KEYS = (
    *("type", "format", "text", "example", "body_text", "header_text", "header_handle", "buttons", "url", "cards"),
    *("components", "parameters", "sub_type", "index", "payload", "image", "id", "link", "parameter_name"),
    *("card_index", "limited_time_offer", "expiration_time_ms", "has_expiration", "otp_type", "location", "latitude"),
)
WORDS = (
    *("HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER", "OTP", "button", "text", "image"),
    *("QUICK_REPLY", "URL", "COPY_CODE", "PHONE_NUMBER", "FLOW", "quick_reply", "url", "copy_code", "TEXT", "IMAGE"),
    *("Dear {{1}}, all of it is ready.", "{{", "{{name}}", "https://example.com/{{1}}", "location", "0", "1", ""),
)
LEAVES = st.none() | st.booleans() | st.integers(-1, 11) | st.sampled_from(WORDS) | st.text(max_size=5)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
)
PARTS = st.lists(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5), max_size=4)


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """The components of a sample, one value in them exchanged."""
    text = json.dumps(draw(st.sampled_from(SAMPLES)).components)
    places = [part for part in text.replace("{", '"').replace("[", '"').split('"') if part.isidentifier()]
    word = draw(st.sampled_from(places))
    return json.loads(text.replace(f'"{word}"', json.dumps(draw(st.sampled_from(WORDS))), 1))


def answer(work: Callable[[], Any]) -> Any:
    """What comes of it, or the code of the refusal."""
    try:
        return work()
    except GraphError as error:
        return error.body("trace")["error"]["code"]


@given(ANYTHING | PARTS | broken(), st.sampled_from(CATEGORIES), st.booleans())
def test_any_components_are_stored_or_refused(given_: Any, category: str, named: bool) -> None:
    def check(components: Any) -> Any:
        return checked(components, category, named=named, sample=lambda handle: ("image/png", handle))

    made = answer(lambda: check(given_))
    if isinstance(made, int):
        assert made in (100, 192)
        return
    verdict("any", made)
    assert category == "AUTHENTICATION" or check(made) == made


@given(st.sampled_from(SAMPLES), ANYTHING | PARTS)
def test_any_values_fill_a_template_or_are_refused(template: Template, given_: Any) -> None:
    shown = answer(lambda: filled(template, given_, lambda _, medium: medium))
    if isinstance(shown, int):
        assert shown in (131008, 131009, 132000, 132005, 132007, 132012, 132018)
    else:
        assert "{{" not in shown["body"]
