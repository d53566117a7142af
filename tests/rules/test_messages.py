"""Every type of message: what it must consist of, and how a wrong one is told apart, part by part."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import messages
from twinline.rules.messages import MB, problem

BUTTONS: dict[str, Any] = {
    "type": "button",
    "body": {"text": "Shall we?"},
    "action": {"buttons": [{"type": "reply", "reply": {"id": f"b{n}", "title": f"Choice {n}"}} for n in range(3)]},
}
LIST: dict[str, Any] = {
    "type": "list",
    "header": {"type": "text", "text": "Today"},
    "body": {"text": "What would you like?"},
    "footer": {"text": "Until it's gone"},
    "action": {
        "button": "See all",
        "sections": [
            {"title": "Bread", "rows": [{"id": "rye", "title": "Rye", "description": "Dark"}]},
            {"title": "Cake", "rows": [{"id": "lemon", "title": "Lemon"}, {"id": "plum", "title": "Plum"}]},
        ],
    },
}
LINK: dict[str, Any] = {
    "type": "cta_url",
    "body": {"text": "Our shop"},
    "action": {"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://example.com/shop"}},
}
FLOW: dict[str, Any] = {
    "type": "flow",
    "body": {"text": "Book a table"},
    "action": {
        "name": "flow",
        "parameters": {"flow_message_version": "3", "flow_id": "77", "flow_cta": "Book", "mode": "published"},
    },
}
PLACE: dict[str, Any] = {"latitude": 41.38, "longitude": 2.17, "name": "The bakery"}
CARDS: dict[str, Any] = {
    "contacts": [{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "phones": [{"phone": "+34 600"}]}]
}
PHOTO: dict[str, Any] = {"file": "f", "mime_type": "image/jpeg", "size": 9}
TEMPLATE: dict[str, Any] = {"name": "offer", "language": {"code": "es"}, "components": []}

GOOD: list[tuple[str, str | None, dict[str, Any] | None]] = [
    ("text", "Hello", None),
    ("text", "See https://example.com", {"preview_url": True}),
    ("image", "Still warm", PHOTO),
    ("image", None, {"link": "https://example.com/tart.png"}),
    ("video", None, {"id": "123"}),
    ("audio", None, {"file": "f", "mime_type": "audio/ogg", "size": 9, "voice": True}),
    ("document", "The bill", {"file": "f", "mime_type": "application/pdf", "size": 9, "filename": "bill.pdf"}),
    ("sticker", None, {"file": "f", "mime_type": "image/webp", "size": 9, "width": 512, "height": 512}),
    ("location", None, PLACE),
    ("contacts", None, CARDS),
    ("reaction", "👍", None),
    ("reaction", "👩‍👩‍👧‍👦", None),
    ("reaction", "\u2139\ufe0f", None),
    ("reaction", "", None),
    ("interactive", "Shall we?", BUTTONS),
    ("interactive", "What would you like?", LIST),
    ("interactive", "Our shop", LINK),
    ("interactive", "Book a table", FLOW),
    ("template", "Our offer", TEMPLATE),
]


def refused(kind: str, text: str | None = None, content: Any = None, quoted: str | None = "wamid.1") -> str | None:
    """The rule that speaks against it; what people are told is looked at on the way."""
    told = problem(kind, text, content, quoted)
    if told is None:
        return None
    assert told.text.endswith((".", "”"))
    assert told.what_to_do.endswith(".")
    return told.rule


def changed(content: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    copy = deepcopy(content)
    change(copy)
    return copy


@pytest.mark.parametrize(("kind", "text", "content"), GOOD)
def test_every_type_has_a_form_that_goes_out(kind: str, text: str | None, content: dict[str, Any] | None) -> None:
    assert refused(kind, text, content) is None


def test_the_table_knows_every_type_and_no_other() -> None:
    assert {kind for kind, _, _ in GOOD} == set(messages.SHAPES)
    assert {content["type"] for kind, _, content in GOOD if kind == "interactive" and content} == set(
        messages.INTERACTIVE
    )
    assert refused("poll") == "type.unknown"


@pytest.mark.parametrize(
    ("kind", "text", "refused_by"),
    [
        ("text", "x" * 4096, None),
        ("text", "x" * 4097, "text.too_long"),
        ("text", " \n", "text.empty"),
        ("text", None, "text.empty"),
        ("image", "x" * 1025, "caption.too_long"),
        ("image", "x" * 1024, None),
        ("audio", "x", "caption.impossible"),
        ("sticker", "x", "caption.impossible"),
        ("reaction", "ok", "reaction.emoji"),
        ("reaction", "👍" * 33, "reaction.emoji"),
    ],
)
def test_texts_have_their_lengths(kind: str, text: str | None, refused_by: str | None) -> None:
    assert refused(kind, text, {"id": "1"} if kind in messages.MEDIA else None) == refused_by


def test_a_text_that_is_too_long_is_told_by_how_much() -> None:
    told = problem("text", "x" * 4103)
    assert told is not None
    assert (told.text, told.what_to_do) == (
        "The message has 4103 characters; WhatsApp allows 4096.",
        "Take away 7 characters.",
    )


def test_a_reaction_belongs_to_a_message() -> None:
    assert refused("reaction", "👍", quoted=None) == "reaction.target"


@pytest.mark.parametrize(
    ("kind", "mime", "largest", "accepted"),
    [
        ("image", "image/jpeg", 5 * MB, "JPEG, PNG"),
        ("image", "image/png", 5 * MB, "JPEG, PNG"),
        ("video", "video/mp4", 16 * MB, "MP4, 3GP"),
        ("audio", "audio/ogg", 16 * MB, "MP3, M4A, Ogg with Opus"),
        ("document", "application/pdf", 100 * MB, "PDF, DOC, DOCX"),
        ("sticker", "image/webp", 100 * 1024, "WebP"),
    ],
)
def test_media_have_their_sizes_and_formats(kind: str, mime: str, largest: int, accepted: str) -> None:
    fitting = {"file": "f", "size": largest, "mime_type": mime}
    assert refused(kind, None, fitting) is None
    assert refused(kind, None, {**fitting, "size": largest + 1}) == "media.size"
    assert refused(kind, None, {**fitting, "size": 0}) == "media.empty"
    told = problem(kind, None, {**fitting, "mime_type": "application/x-unheard-of"})
    assert told is not None
    assert told.rule == "media.format"
    assert accepted in told.what_to_do


def test_a_sticker_is_square_and_an_animated_one_may_be_bigger() -> None:
    sticker = {"file": "f", "mime_type": "image/webp", "size": 300 * 1024}
    assert refused("sticker", None, sticker) == "media.size"
    assert refused("sticker", None, {**sticker, "animated": True}) is None
    assert refused("sticker", None, {**sticker, "size": 9, "width": 512, "height": 300}) == "sticker.side"


def test_a_voice_message_is_ogg_opus() -> None:
    assert refused("audio", None, {"file": "f", "mime_type": "audio/mp4", "size": 9, "voice": True}) == "voice.format"


@pytest.mark.parametrize("link", [None, "", "ftp://example.com/x", "https://", "javascript:alert(1)", "https://a b", 7])
def test_media_need_a_file_an_id_or_a_web_address(link: Any) -> None:
    assert refused("image", None, {"link": link}) == "media.missing"


WRONG: list[tuple[dict[str, Any], Callable[[Any], Any], str, str]] = [
    (
        BUTTONS,
        lambda m: m["action"]["buttons"].extend(
            {"type": "reply", "reply": {"id": f"x{n}", "title": f"More {n}"}} for n in range(2)
        ),
        "action.buttons.too_many",
        "This message has 5 buttons; WhatsApp allows 3. Too many: “More 0”, “More 1”.",
    ),
    (
        BUTTONS,
        lambda m: m["action"]["buttons"][1]["reply"].update(title="Something else entirely"),
        "action.buttons.reply.title.too_long",
        "The title of button 2 has 23 characters; WhatsApp allows 20.",
    ),
    (
        BUTTONS,
        lambda m: m["action"]["buttons"][2]["reply"].update(id="b0"),
        "button.id.twice",
        "Buttons 1 and 3 have the same id: “b0”.",
    ),
    (
        BUTTONS,
        lambda m: m["action"]["buttons"][2]["reply"].update(title=" "),
        "action.buttons.reply.title.missing",
        "The title of button 3 is missing.",
    ),
    (BUTTONS, lambda m: m["action"].update(buttons=[]), "action.buttons.missing", "There are no buttons."),
    (
        BUTTONS,
        lambda m: m.update(header={"type": "sticker"}),
        "header.type",
        "Above this kind of message WhatsApp doesn't show a sticker header.",
    ),
    (
        BUTTONS,
        lambda m: m.update(header={"type": "image", "image": {}}),
        "media.missing",
        "An image needs a file.",
    ),
    (
        LIST,
        lambda m: m["action"]["sections"][1]["rows"].extend({"id": f"r{n}", "title": f"Row {n}"} for n in range(8)),
        "action.sections.rows.too_many",
        "This message has 11 rows in all; WhatsApp allows 10. Too many: “Row 7”.",
    ),
    (
        LIST,
        lambda m: m["action"]["sections"][1].pop("title"),
        "action.sections.title.missing",
        "Section 2 has no title; where there are several, each needs one.",
    ),
    (
        LIST,
        lambda m: m["action"]["sections"][1]["rows"][1].update(description="x" * 73),
        "action.sections.rows.description.too_long",
        "The text of row 2 in section 2 has 73 characters; WhatsApp allows 72.",
    ),
    (
        LIST,
        lambda m: m["action"]["sections"][1]["rows"][0].update(id="rye"),
        "row.id.twice",
        "Rows 1 and 2 have the same id: “rye”.",
    ),
    (
        LIST,
        lambda m: m["footer"].update(text="x" * 61),
        "footer.text.too_long",
        "The footer has 61 characters; WhatsApp allows 60.",
    ),
    (
        LINK,
        lambda m: m["action"]["parameters"].update(url="example.com"),
        "link.address",
        "The link isn't a web address.",
    ),
    (
        FLOW,
        lambda m: m["action"]["parameters"].update(flow_name="booking"),
        "flow.which",
        "A flow is named by its id or by its name.",
    ),
    (
        FLOW,
        lambda m: m["action"]["parameters"].update(mode="live"),
        "action.parameters.mode.among",
        "The flow's mode is “live”.",
    ),
    (LINK, lambda m: m.update(type="carousel"), "interactive.unknown", "“carousel” isn't a kind"),
]


@pytest.mark.parametrize(("good", "change", "rule", "text"), WRONG)
def test_what_is_wrong_with_an_interactive_message_is_named(
    good: dict[str, Any], change: Callable[[Any], Any], rule: str, text: str
) -> None:
    told = problem("interactive", "…", changed(good, change))
    assert told is not None
    assert told.rule == rule
    assert told.text.startswith(text)


@pytest.mark.parametrize(
    ("kind", "content", "rule"),
    [
        ("location", {"latitude": 91, "longitude": 0}, "latitude.range"),
        ("location", {"latitude": float("nan"), "longitude": 0}, "latitude.range"),
        ("location", {"latitude": 0, "longitude": 0}, None),
        ("location", {"latitude": "41.4", "longitude": 0}, "latitude.kind"),
        ("location", {"latitude": True, "longitude": 0}, "latitude.kind"),
        ("location", {"longitude": 0}, "latitude.missing"),
        ("contacts", {"contacts": CARDS["contacts"] * 258}, "contacts.too_many"),
        ("contacts", {"contacts": CARDS["contacts"] * 257}, None),
        ("contacts", {"contacts": [{"phones": []}]}, "contacts.name.formatted_name.missing"),
        ("contacts", {"contacts": ["Ana"]}, "contacts.name.formatted_name.missing"),
        ("template", {"name": "offer"}, "language.code.missing"),
    ],
)
def test_the_other_types_have_their_shapes(kind: str, content: dict[str, Any], rule: str | None) -> None:
    assert refused(kind, None, content) == rule


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(GOOD), st.data())
def test_nothing_that_a_program_can_say_breaks_the_rules(good: Any, data: st.DataObject) -> None:
    """Whatever stands in any one place of a good message, it is accepted or refused with a sentence."""
    kind, text, content = good
    broken = deepcopy(content) if content else {}
    here: Any = broken
    while isinstance(here, dict | list) and here:
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        if data.draw(st.booleans()):
            here[key] = data.draw(ANYTHING)
            break
        here = here[key]
    refused(kind, text, broken)


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_list_is_counted_over_all_sections_however_it_is_cut(rows: int, sections: int) -> None:
    titles = [{"id": str(n), "title": str(n)} for n in range(rows)]
    cut = [{"title": f"s{n}", "rows": titles[n::sections]} for n in range(min(rows, sections))]
    content = changed(LIST, lambda m: m["action"].update(sections=cut))
    told = refused("interactive", "…", content)
    assert (told is None) == (rows <= messages.ROWS and len(cut) <= 10)
