"""What stands under `send`, as the message that goes out."""

from typing import Any

import pytest

from twinline.automations import messages, schema, shapes
from twinline.rules.messages import problem
from twinline.sending.models import Draft

LINK = "https://x.example/a"


@pytest.mark.parametrize(
    ("message", "draft"),
    [
        ({"text": "Hi"}, Draft("text", "Hi")),
        ({"text": "Hi", "preview": True}, Draft("text", "Hi", {"preview_url": True})),
        ({"type": "image", "link": LINK, "caption": "c"}, Draft("image", "c", {"link": LINK})),
        (
            {"type": "document", "link": LINK, "filename": "a.pdf"},
            Draft("document", None, {"link": LINK, "filename": "a.pdf"}),
        ),
        ({"type": "audio", "link": LINK, "voice": True}, Draft("audio", None, {"link": LINK, "voice": True})),
        ({"type": "sticker", "link": LINK}, Draft("sticker", None, {"link": LINK})),
        (
            {"type": "location", "latitude": 38.7, "longitude": -9.1, "name": "Shop"},
            Draft("location", None, {"latitude": 38.7, "longitude": -9.1, "name": "Shop"}),
        ),
        (
            {"type": "contacts", "contacts": [{"name": "Ann", "phone": "+351 910", "company": "Shop"}]},
            Draft(
                "contacts",
                None,
                {
                    "contacts": [
                        {
                            "name": {"formatted_name": "Ann", "first_name": "Ann"},
                            "phones": [{"phone": "+351 910", "wa_id": "351910"}],
                            "org": {"company": "Shop"},
                        }
                    ]
                },
            ),
        ),
        (
            {"type": "buttons", "text": "?", "buttons": ["A"], "header": "H", "footer": "F"},
            Draft(
                "interactive",
                "?",
                {
                    "type": "button",
                    "body": {"text": "?"},
                    "action": {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "A"}}]},
                    "header": {"type": "text", "text": "H"},
                    "footer": {"text": "F"},
                },
            ),
        ),
        (
            {"type": "list", "text": "?", "rows": [{"title": "A", "description": "d"}]},
            Draft(
                "interactive",
                "?",
                {
                    "type": "list",
                    "body": {"text": "?"},
                    "action": {
                        "button": "Choose",
                        "sections": [{"rows": [{"id": "a", "title": "A", "description": "d"}]}],
                    },
                },
            ),
        ),
        (
            {
                "type": "cta_url",
                "text": "?",
                "button": "Go",
                "url": LINK,
                "header": {"type": "image", "link": LINK},
            },
            Draft(
                "interactive",
                "?",
                {
                    "type": "cta_url",
                    "body": {"text": "?"},
                    "action": {"name": "cta_url", "parameters": {"display_text": "Go", "url": LINK}},
                    "header": {"type": "image", "image": {"link": LINK}},
                },
            ),
        ),
        (
            {"type": "flow", "text": "?", "button": "Go", "flow": "7", "screen": "S", "data": {"a": 1}},
            Draft(
                "interactive",
                "?",
                {
                    "type": "flow",
                    "body": {"text": "?"},
                    "action": {
                        "name": "flow",
                        "parameters": {
                            "flow_message_version": "3",
                            "flow_id": "7",
                            "flow_cta": "Go",
                            "flow_action": "navigate",
                            "flow_action_payload": {"screen": "S", "data": {"a": 1}},
                        },
                    },
                },
            ),
        ),
        (
            {"type": "template", "template": {"name": "n", "language": "pt_BR", "values": {"body.1": "x"}}},
            Draft("template", None, {"name": "n", "language": {"code": "pt_BR"}, "values": {"body.1": "x"}}),
        ),
    ],
)
def test_each_type_becomes_what_the_outbox_keeps(message: Any, draft: Draft) -> None:
    made = messages.draft(schema.message(message))
    assert made == draft
    assert problem(made.type, made.text, made.content) is None


def test_a_reaction_and_a_quote_name_what_they_are_about() -> None:
    reaction = messages.draft({"type": "reaction", "emoji": "👍", "quoted": "wamid.1"})
    assert reaction == Draft("reaction", "👍", None, "wamid.1")
    assert messages.draft({"text": "x", "quoted": "wamid.1"}).quoted == "wamid.1"


def test_a_file_that_was_uploaded_is_found_by_its_handle() -> None:
    message = schema.message({"type": "image", "media": "m_1", "caption": "c"})
    assert messages.handles(message) == ("m_1",)
    assert messages.handles({"text": "x"}) == ()
    kept = {"file": "outgoing/1", "mime_type": "image/png", "size": 7}
    assert messages.draft(message, {"m_1": kept}).content == kept
    gone = messages.draft(message)
    refusal = problem(gone.type, gone.text, gone.content)
    assert refusal is not None
    assert refusal.rule == "media.missing"


def test_every_type_that_can_be_written_can_be_sent() -> None:
    assert messages.SHAPES.keys() == shapes.MESSAGES.keys()
