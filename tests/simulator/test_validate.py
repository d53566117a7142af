"""What the messages endpoint takes and what it refuses, type by type, with Meta's codes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from whatsapp_simulator import validate
from whatsapp_simulator.errors import GraphError

TO = {"messaging_product": "whatsapp", "to": "14155550171"}
BODY = {"text": "Well?"}


def text(**more: Any) -> dict[str, Any]:
    return {**TO, "type": "text", "text": {"body": "hi"}, **more}


def buttons(*titles: str, **more: Any) -> dict[str, Any]:
    made = [{"type": "reply", "reply": {"id": title, "title": title}} for title in titles]
    return interactive(type="button", action={"buttons": made}, **more)


def interactive(**more: Any) -> dict[str, Any]:
    return {**TO, "type": "interactive", "interactive": {"body": BODY, **more}}


def rows(*sections: dict[str, Any], **more: Any) -> dict[str, Any]:
    return interactive(type="list", action={"button": "Pick", "sections": list(sections)}, **more)


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "title": name, **more}


def flow(**parameters: Any) -> dict[str, Any]:
    given = {"flow_message_version": "3", "flow_id": "1", "flow_cta": "Book", **parameters}
    return interactive(type="flow", action={"name": "flow", "parameters": given})


def link(url: str = "https://example.org", display_text: str = "Open") -> dict[str, Any]:
    parameters = {"display_text": display_text, "url": url}
    return interactive(type="cta_url", action={"name": "cta_url", "parameters": parameters})


def card(**more: Any) -> dict[str, Any]:
    return {**TO, "type": "contacts", "contacts": [{"name": {"formatted_name": "Ann"}, **more}]}


def place(**more: Any) -> dict[str, Any]:
    return {**TO, "type": "location", "location": {"latitude": 41.4, "longitude": "2.2", **more}}


def react(emoji: object, **more: Any) -> dict[str, Any]:
    return {**TO, "type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": emoji}, **more}


def file(kind: str, **given: Any) -> dict[str, Any]:
    return {**TO, "type": kind, kind: given}


TAKEN = {
    "a text without a type": {**TO, "text": {"body": "x" * 4096, "preview_url": True}},
    "both addresses": text(recipient="US.1349"),
    "a parent's user id": {**text(), "to": "", "recipient": "US.ENT.118157"},
    "a picture by link": file("image", link="https://example.org/a.png", caption="x" * 1024),
    "a voice message": file("audio", id="1", voice=True),
    "a document": file("document", id="1", filename="a.pdf"),
    "a place in words": place(name="Here", address="There"),
    "a card with everything": card(
        phones=[{"phone": "+1 415", "type": "CELL", "wa_id": "1415"}], emails=[{"email": "a@b.c"}],
        urls=[{"url": "https://b.c"}], addresses=[{"city": "Lima"}], org={"company": "B"}, birthday="1999-12-31",
    ),
    "a reaction": react("❤️"),
    "a family as a reaction": react("👨‍👩‍👧‍👦"),
    "a keycap as a reaction": react("1️⃣"),
    "a flag as a reaction": react("🇧🇷"),
    "a reaction taken away": react(""),
    "three buttons under a picture": buttons(
        "Yes", "No", "Later", header={"type": "image", "image": {"id": "1"}}, footer={"text": "x" * 60}
    ),
    "ten rows in two sections": rows(
        {"title": "A", "rows": [row(str(i), description="x" * 72) for i in range(6)]},
        {"title": "B", "rows": [row(str(i)) for i in range(6, 10)]},
        header={"type": "text", "text": "Menu"},
    ),
    "a link": link(),
    "a flow": flow(flow_action="navigate", flow_action_payload={"screen": "S", "data": {}}, mode="draft"),
    "a request for the place": interactive(type="location_request_message", action={"name": "send_location"}),
}  # fmt: skip

REFUSED = {
    "no product": ({"to": "1", "text": {"body": "hi"}}, 100),
    "nobody": ({"messaging_product": "whatsapp", "text": {"body": "hi"}}, 131008),
    "a group": (text(recipient_type="group"), 131055),
    "an address that is a list": (text(to=["1"]), 100),
    "a type that isn't": ({**TO, "type": "poll", "poll": {}}, 100),
    "a type without its object": ({**TO, "type": "image"}, 131008),
    "an object that is a text": ({**TO, "type": "text", "text": "hi"}, 131008),
    "an empty text": (text(text={"body": ""}), 131008),
    "a text too long": (text(text={"body": "x" * 4097}), 131009),
    "a text that is a number": (text(text={"body": 5}), 100),
    "a preview that is a word": (text(text={"body": "a", "preview_url": "yes"}), 100),
    "callback data too long": (text(biz_opaque_callback_data="x" * 513), 131009),
    "a quote that is a word": (text(context="wamid.1"), 100),
    "a file of nothing": (file("image"), 131009),
    "a file by id and by link": (file("image", id="1", link="https://b.c/d"), 131009),
    "a link that is none": (file("video", link="file:///etc/passwd"), 100),
    "a caption too long": (file("document", id="1", caption="x" * 1025), 131009),
    "a place beyond the pole": (place(latitude=91), 131009),
    "a place in words only": (place(longitude="east"), 131009),
    "a place that is true": (place(latitude=True), 131009),
    "no card": ({**TO, "type": "contacts", "contacts": []}, 131008),
    "too many cards": ({**TO, "type": "contacts", "contacts": [{"name": {"formatted_name": "A"}}] * 258}, 131009),
    "a card without a name": ({**TO, "type": "contacts", "contacts": [{"name": {"first_name": "A"}}]}, 131008),
    "a card that is a word": ({**TO, "type": "contacts", "contacts": ["Ann"]}, 100),
    "a birthday in words": (card(birthday="May 3"), 131009),
    "a phone without its number": (card(phones=[{"type": "CELL"}]), 131008),
    "phones that aren't a list": (card(phones={"phone": "1"}), 100),
    "a reaction with words": (react("good"), 131009),
    "a reaction without an emoji": ({**TO, "type": "reaction", "reaction": {"message_id": "wamid.1"}}, 131008),
    "a reaction that quotes": (react("👍", context={"message_id": "wamid.1"}), 131009),
    "no button": (buttons(), 131008),
    "four buttons": (buttons("a", "b", "c", "d"), 131009),
    "a title too long": (buttons("x" * 21), 131009),
    "two buttons with one id": (buttons("a", "a"), 131009),
    "a button of another kind": (interactive(type="button", action={"buttons": [{"type": "url"}]}), 131009),
    "a list under a picture": (
        rows({"rows": [row("a")]}, header={"type": "image", "image": {"id": "1"}}), 131009,
    ),
    "a header too long": (buttons("a", header={"type": "text", "text": "x" * 61}), 131009),
    "a header without its file": (buttons("a", header={"type": "video"}), 131008),
    "a footer too long": (buttons("a", footer={"text": "x" * 61}), 131009),
    "a body too long": ({**TO, "type": "interactive", "interactive": {
        "type": "button", "body": {"text": "x" * 1025}, "action": {"buttons": [{"type": "reply", "reply": row("a")}]},
    }}, 131009),
    "eleven rows": (rows({"rows": [row(str(i)) for i in range(11)]}), 131009),
    "eleven sections": (rows(*({"title": str(i), "rows": [row(str(i))]} for i in range(11))), 131009),
    "sections without titles": (rows({"rows": [row("a")]}, {"rows": [row("b")]}), 131009),
    "a section without rows": (rows({"title": "A"}), 131008),
    "a description too long": (rows({"rows": [row("a", description="x" * 73)]}), 131009),
    "a row's id too long": (rows({"rows": [{"id": "x" * 201, "title": "a"}]}), 131009),
    "a link that leads nowhere": (link(url="example"), 131009),
    "a link with a long label": (link(display_text="x" * 21), 131009),
    "a link under another name": (
        interactive(type="cta_url", action={"name": "url", "parameters": {"display_text": "a", "url": "https://b.c"}}),
        131009,
    ),
    "a flow by id and by name": (flow(flow_name="book"), 131009),
    "a flow of an old version": (flow(flow_message_version="2"), 131009),
    "a flow's label too long": (flow(flow_cta="x" * 31), 131009),
    "a flow's payload for the server": (
        flow(flow_action="data_exchange", flow_action_payload={"screen": "S"}), 135000,
    ),
    "a flow to no screen": (flow(flow_action_payload={"data": {}}), 131008),
    "a product": (interactive(type="product", action={"catalog_id": "1"}), 131051),
    "an interactive that isn't": (interactive(type="wizard", action={"name": "a"}), 100),
    "a template without a language": ({**TO, "type": "template", "template": {"name": "hello_world"}}, 131008),
}  # fmt: skip


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN.keys())
def test_it_takes(body):
    assert validate.message(body) == body.get("type", "text")


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_it_refuses(body, code):
    with pytest.raises(GraphError) as refused:
        validate.message(body)
    assert refused.value.code == code
    error = refused.value.body("A1")["error"]
    assert error["message"].startswith(f"(#{code}) ") or code == 100
    assert error["error_data"]["messaging_product"] == "whatsapp"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _spoiled(body: Any, path: list[int], junk: Any) -> Any:
    """The body with one of its values, somewhere inside, replaced."""
    if isinstance(body, dict) and body and path:
        name = sorted(body)[path[0] % len(body)]
        return {**body, name: _spoiled(body[name], path[1:], junk)}
    if isinstance(body, list) and body and path:
        place = path[0] % len(body)
        return [*body[:place], _spoiled(body[place], path[1:], junk), *body[place + 1 :]]
    return junk


@given(
    body=st.sampled_from(list(TAKEN.values())),
    path=st.lists(st.integers(0, 20), min_size=1, max_size=7),
    junk=ANYTHING,
)
@settings(max_examples=600)
@example(body=TAKEN["three buttons under a picture"], path=[0, 3], junk="")
@example(body=TAKEN["three buttons under a picture"], path=[0, 3, 1], junk={})
def test_whatever_stands_somewhere_in_a_body_it_is_taken_or_refused_with_a_code(body, path, junk):
    assert _judged(_spoiled(body, path, junk)) in {*validate.TYPES, 100, 131008, 131009, 131051, 131055, 135000}


def _judged(body: dict[str, Any]) -> str | int:
    try:
        return validate.message(body)
    except GraphError as refused:
        return refused.code


@pytest.mark.parametrize(
    ("kind", "mime", "size", "voice", "right"),
    [
        ("image", "image/jpeg", 5 << 20, False, True),
        ("image", "image/jpeg", (5 << 20) + 1, False, False),
        ("image", "image/webp", 10, False, False),
        ("video", "audio/mpeg", 10, False, False),
        ("audio", "audio/mpeg", 10, False, True),
        ("audio", "audio/mpeg", 10, True, False),
        ("audio", "audio/ogg; codecs=opus", 10, True, True),
        ("document", "application/x-anything", 100 << 20, False, True),
        ("sticker", "image/webp", 500 << 10, False, True),
        ("sticker", "image/png", 10, False, False),
    ],
)
def test_a_file_goes_as_what_it_is(kind, mime, size, voice, right):
    assert validate.fits(kind, mime, size, voice=voice) is right
