"""What the messages endpoint accepts, as data (Meta: messages endpoint and interactive message pages).

A rule is (path, type, required, greatest length). Text lengths are characters, list lengths elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import GraphError
from .state import Json


@dataclass(frozen=True)
class Rule:
    path: str
    kind: type | tuple[type, ...]
    required: bool = True
    most: int | None = None


_NUMBER = (int, float, str)
TYPES: dict[str, tuple[Rule, ...]] = {
    "text": (Rule("text.body", str, most=4096), Rule("text.preview_url", bool, required=False)),
    "image": (Rule("image.caption", str, required=False, most=1024),),
    "video": (Rule("video.caption", str, required=False, most=1024),),
    "audio": (Rule("audio.voice", bool, required=False),),
    "document": (
        Rule("document.caption", str, required=False, most=1024),
        Rule("document.filename", str, required=False),
    ),
    "sticker": (),
    "location": (Rule("location.latitude", _NUMBER), Rule("location.longitude", _NUMBER)),
    "contacts": (Rule("contacts", list, most=257),),
    "reaction": (Rule("reaction.message_id", str), Rule("reaction.emoji", str, required=False)),
    "template": (Rule("template.name", str, most=512), Rule("template.language.code", str)),
    "interactive": (Rule("interactive.type", str), Rule("interactive.action", dict)),
}
INTERACTIVE: dict[str, tuple[Rule, ...]] = {
    "button": (
        Rule("interactive.body.text", str, most=1024),
        Rule("interactive.footer.text", str, required=False, most=60),
        Rule("interactive.action.buttons", list, most=3),
    ),
    "list": (
        Rule("interactive.body.text", str, most=4096),
        Rule("interactive.footer.text", str, required=False, most=60),
        Rule("interactive.action.button", str, most=20),
        Rule("interactive.action.sections", list, most=10),
    ),
    "cta_url": (
        Rule("interactive.body.text", str, most=1024),
        Rule("interactive.action.parameters.display_text", str, most=20),
        Rule("interactive.action.parameters.url", str),
    ),
    "flow": (
        Rule("interactive.body.text", str, most=1024),
        Rule("interactive.action.parameters.flow_cta", str, most=30),
    ),
    "location_request_message": (Rule("interactive.body.text", str, most=1024),),
    "request_contact_info": (Rule("interactive.body.text", str, most=1024),),
}
MEDIA = frozenset({"image", "video", "audio", "document", "sticker"})


def message(body: Json) -> str:
    """The type of a valid message body. Raises ``GraphError`` as Meta would."""
    if body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "(#100) The parameter messaging_product is required.")
    if body.get("recipient_type", "individual") != "individual":
        raise GraphError(131055, "Group messages aren't available to this phone number.")
    if not body.get("to") and not body.get("recipient"):
        raise GraphError(131008, "The parameter to is required.")
    kind = body.get("type", "text")
    if kind not in TYPES:
        raise GraphError(100, f"Param type must be one of {{{', '.join(sorted(t.upper() for t in TYPES))}}}")
    _check(body, TYPES[kind])
    if kind in MEDIA and bool(_at(body, f"{kind}.id")) == bool(_at(body, f"{kind}.link")):
        raise GraphError(131009, f"Exactly one of {kind}.id and {kind}.link is needed.")
    if kind == "interactive":
        _interactive(body)
    if kind == "contacts":
        for card in body["contacts"]:
            if not isinstance(card, dict) or not _at(card, "name.formatted_name"):
                raise GraphError(131008, "contacts[].name.formatted_name is required.")
    opaque = body.get("biz_opaque_callback_data")
    if opaque is not None and (not isinstance(opaque, str) or len(opaque) > 512):
        raise GraphError(131009, "biz_opaque_callback_data must be a string of at most 512 characters.")
    return str(kind)


def _interactive(body: Json) -> None:
    kind = body["interactive"]["type"]
    if kind not in INTERACTIVE:
        raise GraphError(131051, f"Interactive type {kind} isn't supported here.")
    _check(body, INTERACTIVE[kind])
    action = body["interactive"]["action"]
    if kind == "button":
        _limited([b.get("reply", {}) for b in action["buttons"]], {"id": 256, "title": 20}, "button")
    if kind == "list":
        rows = [row for section in action["sections"] for row in section.get("rows", [])]
        if not 1 <= len(rows) <= 10:
            raise GraphError(131009, "A list has 1 to 10 rows in total.")
        _limited(rows, {"id": 200, "title": 24}, "row")


def _limited(parts: list[Json], limits: dict[str, int], what: str) -> None:
    seen: set[str] = set()
    for part in parts:
        for key, most in limits.items():
            text = part.get(key)
            if not isinstance(text, str) or not 1 <= len(text) <= most:
                raise GraphError(131009, f"A {what}'s {key} must have 1 to {most} characters.")
        if part["id"] in seen:
            raise GraphError(131009, f"Each {what} needs an id of its own.")
        seen.add(part["id"])


def _at(body: Json, path: str) -> Any:
    here: Any = body
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    return here


def _check(body: Json, rules: tuple[Rule, ...]) -> None:
    for rule in rules:
        found = _at(body, rule.path)
        if found is None or found in ("", []):
            if rule.required:
                raise GraphError(131008, f"The parameter {rule.path} is required.")
            continue
        if not isinstance(found, rule.kind):
            raise GraphError(100, f"The parameter {rule.path} has the wrong type.")
        if rule.most is not None and isinstance(found, (str, list)) and len(found) > rule.most:
            raise GraphError(131009, f"The parameter {rule.path} is longer than {rule.most}.")
