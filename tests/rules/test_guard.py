"""What may go out and what may not, and what the person is told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from twinline.rules.consent import Consent
from twinline.rules.consent import Why as Said
from twinline.rules.floor import Verdict, Why
from twinline.rules.guard import Attempt, Purpose, Standing, guard
from twinline.rules.lifecycle import Connection
from twinline.rules.window import Window, WindowReason

OPEN = Window(True, WindowReason.OPEN, datetime(2026, 11, 23, tzinfo=UTC))
CLOSED = Window(False, WindowReason.EXPIRED, datetime(2026, 11, 20, tzinfo=UTC))
FINE = Standing(Connection.CONNECTED, OPEN)
ANA = "34600111222"
HELLO = Attempt("text", ANA, text="Hello")
THANKS = Attempt("reaction", ANA, text="🙏", quoted="wamid.1")
OFFER = Attempt("template", ANA, content={"name": "offer", "language": {"code": "es"}})


def rule(attempt: Attempt, standing: Standing = FINE) -> str | None:
    refusal = guard(attempt, standing)
    if refusal is None:
        return None
    assert refusal.text.endswith(".")
    assert refusal.what_to_do.endswith(".")
    return refusal.rule


def test_a_number_does_not_write_to_itself_however_it_is_spelt() -> None:
    brazilian = replace(FINE, phone="5511987654321")
    assert rule(replace(HELLO, recipient="551187654321"), brazilian) == "recipient.itself"
    assert rule(HELLO, brazilian) is None


def test_an_answer_in_an_open_chat_goes_out() -> None:
    assert guard(HELLO, FINE) is None


@pytest.mark.parametrize(
    ("attempt", "refused_by"),
    [
        (replace(HELLO, recipient="120363040469423382@g.us"), "capability.groups"),
        (replace(HELLO, recipient="status@broadcast"), "capability.status"),
        (replace(HELLO, recipient="1600000000@broadcast"), "capability.broadcast_lists"),
        (Attempt("status", "34600111222"), "capability.status"),
        (Attempt("calls", "34600111222"), "capability.calls"),
        (Attempt("call", "34600111222"), "capability.calls"),
        (Attempt("group", "34600111222"), "capability.groups"),
        (Attempt("live_location", "34600111222"), "capability.live_location"),
        (Attempt("image", "34600111222", view_once=True), "capability.view_once"),
        (replace(HELLO, disappearing=True), "capability.disappearing_messages"),
    ],
)
def test_what_only_the_phone_can_do_is_refused_and_names_the_phone(attempt: Attempt, refused_by: str) -> None:
    assert rule(attempt) == refused_by
    refusal = guard(attempt, FINE)
    assert refusal is not None
    assert refusal.says.count("phone") == 1, "the phone is named once"


@pytest.mark.parametrize(
    ("recipient", "refused_by"),
    [
        (" ", "recipient.missing"),
        ("ana@example.com", "recipient.impossible"),
        ("1234", "recipient.impossible"),
        ("+34 600 111-222", None),
        ("ES.13491208655302741918", None),
        ("US.ENT.13491208655302741918", None),
    ],
)
def test_a_recipient_is_a_telephone_number_or_a_user_id(recipient: str, refused_by: str | None) -> None:
    assert rule(replace(HELLO, recipient=recipient)) == refused_by


def test_what_is_wrong_with_the_message_itself_is_said_before_what_doesnt_fit_the_moment() -> None:
    assert rule(replace(HELLO, text=" "), replace(FINE, window=CLOSED)) == "text.empty"
    assert rule(replace(HELLO, kind="poll")) == "type.unknown"


def test_outside_the_window_only_templates_go_out() -> None:
    outside = replace(FINE, window=CLOSED)
    assert rule(HELLO, outside) == "window.expired"
    assert rule(THANKS, outside) == "window.expired"
    assert rule(OFFER, outside) is None


@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_opt_out_binds_marketing_and_nothing_else(purpose: Purpose) -> None:
    refused_by = rule(replace(OFFER, purpose=purpose), replace(FINE, consent=Consent(False, Said.META)))
    assert refused_by == ("opted_out" if purpose is Purpose.MARKETING else None)


@pytest.mark.parametrize("state", [state for state in Connection if state is not Connection.CONNECTED])
def test_a_number_that_isnt_connected_sends_nothing_and_says_why(state: Connection) -> None:
    standing = replace(FINE, connection=state, disconnect_reason="CHANGE_NUMBER")
    assert rule(OFFER, standing) == f"number.{state}"


def test_a_disconnected_number_tells_its_own_reason() -> None:
    standing = replace(FINE, connection=Connection.DISCONNECTED, disconnect_reason="CHANGE_NUMBER")
    refusal = guard(HELLO, standing)
    assert refusal is not None
    assert "another number" in refusal.text


def test_a_machine_without_the_floor_is_silent() -> None:
    taken = replace(FINE, speech=Verdict(False, Why.PHONE_SPEAKS))
    assert rule(HELLO, taken) == "floor.phone_speaks"
    assert rule(HELLO, replace(FINE, speech=Verdict(True, Why.HOLDS_IT))) is None
