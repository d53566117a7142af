"""What may go out and what may not, and what the person is told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from twinline.rules.floor import Verdict, Why
from twinline.rules.guard import MB, Attempt, Purpose, Standing, guard
from twinline.rules.lifecycle import Connection
from twinline.rules.window import Window, WindowReason

OPEN = Window(True, WindowReason.OPEN, datetime(2026, 11, 23, tzinfo=UTC))
CLOSED = Window(False, WindowReason.EXPIRED, datetime(2026, 11, 20, tzinfo=UTC))
FINE = Standing(Connection.CONNECTED, OPEN)
HELLO = Attempt("text", "34600111222", text="Hello")


def rule(attempt: Attempt, standing: Standing = FINE) -> str | None:
    refusal = guard(attempt, standing)
    if refusal is None:
        return None
    assert refusal.text.endswith(".")
    assert refusal.what_to_do.endswith(".")
    return refusal.rule


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
        (Attempt("live_location", "34600111222"), "capability.live_location"),
        (Attempt("image", "34600111222", view_once=True), "capability.view_once"),
        (replace(HELLO, disappearing=True), "capability.disappearing_messages"),
    ],
)
def test_what_only_the_phone_can_do_is_refused_and_names_the_phone(attempt: Attempt, refused_by: str) -> None:
    assert rule(attempt) == refused_by
    refusal = guard(attempt, FINE)
    assert refusal is not None
    assert "use the phone" in refusal.text


@pytest.mark.parametrize(
    ("attempt", "refused_by"),
    [
        (replace(HELLO, text="x" * 4096), None),
        (replace(HELLO, text="x" * 4097), "text.too_long"),
        (replace(HELLO, text=" \n"), "text.empty"),
        (replace(HELLO, text=None), "text.empty"),
        (replace(HELLO, recipient=" "), "recipient.missing"),
        (Attempt("interactive", "1", text="x" * 1025), "text.too_long"),
        (Attempt("image", "1", caption="x" * 1025), "caption.too_long"),
        (Attempt("image", "1", caption="x" * 1024), None),
        (Attempt("audio", "1", caption="x"), "caption.impossible"),
        (Attempt("reaction", "1"), None),
    ],
)
def test_texts_have_their_lengths(attempt: Attempt, refused_by: str | None) -> None:
    assert rule(attempt) == refused_by


@pytest.mark.parametrize(
    ("kind", "mime", "largest"),
    [
        ("image", "image/jpeg", 5 * MB),
        ("image", "image/png", 5 * MB),
        ("video", "video/mp4", 16 * MB),
        ("audio", "audio/ogg", 16 * MB),
        ("document", "application/pdf", 100 * MB),
        ("sticker", "image/webp", 100 * 1024),
    ],
)
def test_media_have_their_sizes(kind: str, mime: str, largest: int) -> None:
    fitting = Attempt(kind, "1", size=largest, mime=mime)
    assert rule(fitting) is None
    assert rule(replace(fitting, size=largest + 1)) == "media.size"
    assert rule(replace(fitting, size=0)) == "media.empty"
    assert rule(replace(fitting, mime="application/x-unheard-of")) == "media.format"


def test_an_animated_sticker_may_be_bigger_than_a_still_one() -> None:
    sticker = Attempt("sticker", "1", size=300 * 1024, mime="image/webp")
    assert rule(sticker) == "media.size"
    assert rule(replace(sticker, animated=True)) is None


def test_outside_the_window_only_templates_go_out() -> None:
    outside = replace(FINE, window=CLOSED)
    assert rule(HELLO, outside) == "window.expired"
    assert rule(Attempt("reaction", "1"), outside) == "window.expired"
    assert rule(Attempt("template", "1"), outside) is None


@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_opt_out_binds_marketing_and_nothing_else(purpose: Purpose) -> None:
    refused_by = rule(Attempt("template", "1", purpose), replace(FINE, opted_out=True))
    assert refused_by == ("opted_out" if purpose is Purpose.MARKETING else None)


@pytest.mark.parametrize("state", [state for state in Connection if state is not Connection.CONNECTED])
def test_a_number_that_isnt_connected_sends_nothing_and_says_why(state: Connection) -> None:
    standing = replace(FINE, connection=state, disconnect_reason="CHANGE_NUMBER")
    assert rule(Attempt("template", "1"), standing) == f"number.{state}"


def test_a_disconnected_number_tells_its_own_reason() -> None:
    standing = replace(FINE, connection=Connection.DISCONNECTED, disconnect_reason="CHANGE_NUMBER")
    refusal = guard(HELLO, standing)
    assert refusal is not None
    assert "another number" in refusal.text


def test_a_machine_without_the_floor_is_silent() -> None:
    taken = replace(FINE, speech=Verdict(False, Why.PHONE_SPEAKS))
    assert rule(HELLO, taken) == "floor.phone_speaks"
    assert rule(HELLO, replace(FINE, speech=Verdict(True, Why.HOLDS_IT))) is None
