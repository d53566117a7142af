"""The popup's messages, in every shape that Meta documents and some that it doesn't."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.meta.signup import (
    CANCEL_STEPS,
    Cancelled,
    Failed,
    FellThrough,
    Finished,
    login_options,
    parse,
)


def said(event: str, **data: object) -> dict[str, object]:
    return {"type": "WA_EMBEDDED_SIGNUP", "event": event, "data": data}


def test_a_shared_number_is_finished_with_the_account_alone() -> None:
    message = {**said("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", waba_id="215"), "version": 3}
    assert parse(message) == parse(json.dumps(message)) == parse(json.dumps(message).encode()) == Finished("215")


def test_extra_ids_are_a_hint() -> None:
    message = said("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", waba_id="215", phone_number_id="418", business_id="7")
    assert parse(message) == Finished("215", "418")


def test_a_finish_without_its_account_is_a_failure() -> None:
    assert isinstance(parse(said("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING")), Failed)


@pytest.mark.parametrize("event", ["FINISH", "FINISH_ONLY_WABA", "FINISH_OBO_MIGRATION"])
def test_the_ordinary_flow_is_told_apart(event: str) -> None:
    assert parse(said(event, waba_id="215", phone_number_id="418")) == FellThrough(event, "215", "418")


@pytest.mark.parametrize("step", sorted(CANCEL_STEPS))
def test_leaving_tells_the_step(step: str) -> None:
    assert parse(said("CANCEL", current_step=step)) == Cancelled(step)


def test_an_error_reported_by_the_owner_keeps_what_metas_support_asks_for() -> None:
    message = said("CANCEL", error_message="Bad name", error_id="524126", session_id="f34", timestamp="1")
    assert parse(message) == Cancelled(None, "Bad name", "524126", "f34")


def test_an_error_and_an_event_that_is_new_are_failures() -> None:
    assert parse(said("ERROR", error_message="No", error_code=12)) == Failed("No", "12")
    new = parse(said("SHINY"))
    assert isinstance(new, Failed)
    assert "SHINY" in new.error_message
    assert isinstance(parse({"type": "WA_EMBEDDED_SIGNUP"}), Failed)


@pytest.mark.parametrize("message", ["", "cb=f1&domain=x", "[1]", "null", '{"type":"other"}', b"\xff", {}])
def test_what_other_scripts_post_isnt_ours(message: str | bytes | dict[str, object]) -> None:
    assert parse(message) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["type", "event", "data"]), json_values), json_values)
def test_no_shape_makes_it_raise(message: dict[str, object], data: object) -> None:
    parse(message)
    parse({**message, "type": "WA_EMBEDDED_SIGNUP"})
    event = "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING"
    read = parse({"type": "WA_EMBEDDED_SIGNUP", "event": event, "data": data})
    assert isinstance(read, Finished | Failed)


def test_the_popup_asks_for_a_shared_number() -> None:
    assert login_options("123") == {
        "config_id": "123",
        "response_type": "code",
        "override_default_response_type": True,
        "extras": {
            "setup": {},
            "featureType": "whatsapp_business_app_onboarding",
            "sessionInfoVersion": "3",
        },
    }


def test_extras_can_be_bare_or_have_the_last_word() -> None:
    assert login_options("123", "", "")["extras"] == {"setup": {}}
    extras = {"version": "v4-public-preview", "setup": {"a": 1}}
    asked = login_options("123", "", "", extras)["extras"]
    assert asked == {"setup": {"a": 1}, "version": "v4-public-preview"}
