"""What the messages endpoint accepts, as data (Meta: messages endpoint and the pages of each message type).

A rule is (path, type, required, greatest length). Text lengths are characters, list lengths elements. What is missing
is 131008, what has the wrong type 100, and a value that can't be 131009.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
    empty: bool = False
    """Whether an empty text is a value."""


_NUMBER = (int, float, str)
BSUID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
MEDIA = frozenset({"image", "video", "audio", "document", "sticker"})
ENVELOPE = (
    Rule("to", str, required=False),
    Rule("recipient", str, required=False),
    Rule("recipient_type", str, required=False),
    Rule("type", str, required=False),
    Rule("context", dict, required=False),
    Rule("context.message_id", str, required=False),
    Rule("biz_opaque_callback_data", str, required=False, most=512),
    Rule("recipient_identity_key_hash", str, required=False),
)
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
    "location": (
        Rule("location.latitude", _NUMBER),
        Rule("location.longitude", _NUMBER),
        Rule("location.name", str, required=False),
        Rule("location.address", str, required=False),
    ),
    "contacts": (Rule("contacts", list, most=257),),
    "reaction": (Rule("reaction.message_id", str), Rule("reaction.emoji", str, empty=True)),
    "template": (
        Rule("template.name", str, most=512),
        Rule("template.language.code", str),
        Rule("template.components", list, required=False),
    ),
    "interactive": (Rule("interactive.type", str), Rule("interactive.action", dict)),
}
CARD = (
    Rule("name.formatted_name", str),
    *(
        Rule(f"name.{part}", str, required=False)
        for part in ("first_name", "last_name", "middle_name", "prefix", "suffix")
    ),
    Rule("birthday", str, required=False),
    Rule("org", dict, required=False),
)
CARD_LISTS: dict[str, str | None] = {"phones": "phone", "emails": "email", "urls": "url", "addresses": None}
"""Lists of a contact card, and what each element can't do without."""
LIVE_EMOJI = re.compile(r"[^\s\w]{1,16}|[0-9#*]\ufe0f?\u20e3")
"""GUESS: what counts as one emoji; letters and spaces don't."""


def _body(most: int) -> Rule:
    return Rule("interactive.body.text", str, most=most)


INTERACTIVE: dict[str, tuple[Rule, ...]] = {
    "button": (_body(1024), Rule("interactive.action.buttons", list, most=3)),
    "list": (
        _body(4096),
        Rule("interactive.action.button", str, most=20),
        Rule("interactive.action.sections", list, most=10),
    ),
    "cta_url": (
        _body(1024),
        Rule("interactive.action.name", str),
        Rule("interactive.action.parameters.display_text", str, most=20),
        Rule("interactive.action.parameters.url", str),
    ),
    "flow": (
        _body(1024),
        Rule("interactive.action.name", str),
        Rule("interactive.action.parameters.flow_message_version", (str, int)),
        Rule("interactive.action.parameters.flow_cta", str, most=30),
        Rule("interactive.action.parameters.flow_id", (str, int), required=False),
        Rule("interactive.action.parameters.flow_name", str, required=False),
        Rule("interactive.action.parameters.flow_token", str, required=False),
        Rule("interactive.action.parameters.flow_action", str, required=False),
        Rule("interactive.action.parameters.flow_action_payload", dict, required=False),
        Rule("interactive.action.parameters.mode", str, required=False),
    ),
    "location_request_message": (_body(1024), Rule("interactive.action.name", str)),
    "request_contact_info": (_body(1024), Rule("interactive.action.name", str)),
}
NAMES = {"location_request_message": "send_location"}
"""``action.name`` where it isn't the type's own."""
HEADERS: dict[str, frozenset[str]] = {
    "button": frozenset({"text", "image", "video", "document"}),
    "list": frozenset({"text"}),
    "cta_url": frozenset({"text", "image", "video", "document"}),
    "flow": frozenset({"text", "image", "video", "document"}),
}
FRAME = (
    Rule("interactive.header", dict, required=False),
    Rule("interactive.footer", dict, required=False),
    Rule("interactive.footer.text", str, required=False, most=60),
)
ELSEWHERE = frozenset(
    {
        "product", "product_list", "catalog_message", "call_permission_request", "voice_call", "address_message",
        "carousel",
    }
)  # fmt: skip
"""Interactive messages that Meta has and this simulator doesn't."""

STILL_STICKER = 100 << 10
"""Bytes of a sticker that doesn't move."""
MIMES: dict[str, tuple[str, ...]] = {
    "image": ("image/jpeg", "image/png"),
    "video": ("video/mp4", "video/3gp", "video/3gpp"),
    "audio": ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus"),
    "document": ("text/", "application/", "image/", "audio/", "video/"),
    "sticker": ("image/webp",),
}
SIZES = {"image": 5 << 20, "video": 16 << 20, "audio": 16 << 20, "document": 100 << 20, "sticker": 500 << 10}


def fits(kind: str, mime: str, size: int, *, voice: bool = False) -> bool:
    """Whether an uploaded file can be sent as this type. A voice message has to be Ogg."""
    plain = mime.partition(";")[0].strip().lower()
    wanted = ("audio/ogg",) if voice else MIMES[kind]
    return plain.startswith(wanted) and size <= SIZES[kind]


def message(body: Json) -> str:
    """The type of a valid message body. Raises ``GraphError`` as Meta would."""
    _product(body)
    _check(body, ENVELOPE)
    if (body.get("recipient_type") or "individual") != "individual":
        raise GraphError(131055, "Group messages aren't available to this phone number.")
    if not body.get("to") and not body.get("recipient"):
        raise GraphError(131008, "The parameter to is required.")
    kind = body.get("type") or "text"
    if kind not in TYPES:
        raise GraphError(100, f"Param type must be one of {{{', '.join(sorted(t.upper() for t in TYPES))}}}")
    if not isinstance(body.get(kind), (dict, list)):
        raise GraphError(131008, f"The parameter {kind} is required.")
    _check(body, TYPES[kind])
    if kind in MEDIA:
        _file(body, kind)
    elif kind in FURTHER:
        FURTHER[kind](body)
    return str(kind)


def receipt(body: Json) -> None:
    """A read receipt, with or without a typing indicator."""
    _product(body)
    if body.get("status") != "read":
        raise GraphError(131009, "status must be read.")
    _check(body, (Rule("message_id", str), Rule("typing_indicator", dict, required=False)))
    if "typing_indicator" in body and _at(body, "typing_indicator.type") != "text":
        raise GraphError(131009, "typing_indicator.type must be text.")


def _product(body: Json) -> None:
    if body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "(#100) The parameter messaging_product is required.")


def _file(body: Json, kind: str, where: str = "") -> None:
    """Exactly one of an uploaded file's id and a link to one."""
    path = where or kind
    media_id, link = _at(body, f"{path}.id"), _at(body, f"{path}.link")
    if bool(media_id) == bool(link):
        raise GraphError(131009, f"Exactly one of {path}.id and {path}.link is needed.")
    if media_id and not isinstance(media_id, (str, int)):
        raise GraphError(100, f"The parameter {path}.id has the wrong type.")
    if link and not _is_url(link):
        raise GraphError(100, f"Param {path}['link'] is not a valid URI.")


def _is_url(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"https?://[^\s/]+\S*", text, re.IGNORECASE) is not None


def _location(body: Json) -> None:
    for name, most in (("latitude", 90), ("longitude", 180)):
        given = body["location"][name]
        try:
            right = not isinstance(given, bool) and abs(float(given)) <= most
        except (ValueError, OverflowError):
            right = False
        if not right:
            raise GraphError(131009, f"location.{name} must be a number from -{most} to {most}.")


def _contacts(body: Json) -> None:
    for card in body["contacts"]:
        if not isinstance(card, dict):
            raise GraphError(100, "The parameter contacts must be an array of objects.")
        _check(card, CARD, "contacts[].")
        birthday = card.get("birthday")
        if birthday and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", birthday):
            raise GraphError(131009, "contacts[].birthday must be YYYY-MM-DD.")
        for name, needed in CARD_LISTS.items():
            found = card.get(name) or []
            if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
                raise GraphError(100, f"The parameter contacts[].{name} must be an array of objects.")
            for one in found:
                if needed is not None:
                    _check(one, (Rule(needed, str),), f"contacts[].{name}[].")


def _reaction(body: Json) -> None:
    emoji = body["reaction"]["emoji"]
    if emoji and not LIVE_EMOJI.fullmatch(emoji):
        raise GraphError(131009, "reaction.emoji must be one emoji, or empty to take the reaction away.")
    if body.get("context"):
        raise GraphError(131009, "A reaction can't quote: context isn't valid for this type.")


def _interactive(body: Json) -> None:
    kind = body["interactive"]["type"]
    if kind in ELSEWHERE:
        raise GraphError(131051, f"Interactive type {kind} isn't supported here.")
    if kind not in INTERACTIVE:
        raise GraphError(100, f"Param interactive['type'] must be one of {{{', '.join(sorted(INTERACTIVE))}}}")
    _check(body, (*INTERACTIVE[kind], *FRAME))
    named = _at(body, "interactive.action.name")
    if "name" in {rule.path.rpartition(".")[2] for rule in INTERACTIVE[kind]} and named != NAMES.get(kind, kind):
        raise GraphError(131009, f"interactive.action.name must be {NAMES.get(kind, kind)}.")
    _header(body, kind)
    if kind in ACTIONS:
        ACTIONS[kind](body["interactive"]["action"])


def _header(body: Json, kind: str) -> None:
    header = body["interactive"].get("header")
    if not header and header != {}:
        return
    given, allowed = header.get("type"), HEADERS.get(kind, frozenset())
    if not isinstance(given, str) or given not in allowed:
        raise GraphError(
            131009, f"A header of type {given} isn't possible: {', '.join(sorted(allowed)) or 'none is'} for {kind}."
        )
    if given == "text":
        _check(body, (Rule("interactive.header.text", str, most=60),))
    else:
        _check(body, (Rule(f"interactive.header.{given}", dict),))
        _file(body, given, f"interactive.header.{given}")


def _buttons(action: Json) -> None:
    buttons = action["buttons"]
    for button in buttons:
        if not isinstance(button, dict) or button.get("type") != "reply" or not isinstance(button.get("reply"), dict):
            raise GraphError(131009, "A button is {type: reply, reply: {id, title}}.")
    _limited([button["reply"] for button in buttons], {"id": 256, "title": 20}, "button")


def _sections(action: Json) -> None:
    sections, rows = action["sections"], []
    for section in sections:
        if not isinstance(section, dict) or not isinstance(section.get("rows"), list):
            raise GraphError(131008, "The parameter interactive.action.sections[].rows is required.")
        if len(sections) > 1 or section.get("title") is not None:
            _text(section, "title", 24, "section")
        rows += section["rows"]
    if not 1 <= len(rows) <= 10:
        raise GraphError(131009, "A list has 1 to 10 rows in total.")
    _limited(rows, {"id": 200, "title": 24}, "row")
    for row in rows:
        if row.get("description") is not None:
            _text(row, "description", 72, "row")


def _url(action: Json) -> None:
    if not _is_url(action["parameters"]["url"]):
        raise GraphError(131009, "interactive.action.parameters.url isn't a URL.")


def _flow(action: Json) -> None:
    given = action["parameters"]
    if bool(given.get("flow_id")) == bool(given.get("flow_name")):
        raise GraphError(131009, "Exactly one of flow_id and flow_name is needed.")
    if str(given["flow_message_version"]) != "3":
        raise GraphError(131009, "flow_message_version must be 3.")
    for name, values in (("flow_action", ("navigate", "data_exchange")), ("mode", ("draft", "published"))):
        if given.get(name, values[0]) not in values:
            raise GraphError(131009, f"{name} must be one of {', '.join(values)}.")
    payload = given.get("flow_action_payload")
    # GUESS: the code for a payload that doesn't go with the action.
    if payload is not None and given.get("flow_action") == "data_exchange":
        raise GraphError(135000, "flow_action_payload is for flow_action navigate only.")
    if payload is not None and not isinstance(payload.get("screen"), str):
        raise GraphError(131008, "The parameter flow_action_payload.screen is required.")


FURTHER: Mapping[str, Callable[[Json], None]] = {
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "interactive": _interactive,
}
ACTIONS: Mapping[str, Callable[[Json], None]] = {"button": _buttons, "list": _sections, "cta_url": _url, "flow": _flow}


def _limited(parts: list[Any], limits: dict[str, int], what: str) -> None:
    seen: set[str] = set()
    for part in parts:
        if not isinstance(part, dict):
            raise GraphError(100, f"A {what} must be an object.")
        for key, most in limits.items():
            _text(part, key, most, what)
        if part["id"] in seen:
            raise GraphError(131009, f"Each {what} needs an id of its own.")
        seen.add(part["id"])


def _text(part: Json, key: str, most: int, what: str) -> None:
    text = part.get(key)
    if not isinstance(text, str) or not 1 <= len(text) <= most:
        raise GraphError(131009, f"A {what}'s {key} must have 1 to {most} characters.")


def _at(body: Json, path: str) -> Any:
    here: Any = body
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    return here


def _check(body: Json, rules: tuple[Rule, ...], within: str = "") -> None:
    for rule in rules:
        found, path = _at(body, rule.path), within + rule.path
        if found is None or (found == [] and rule.kind is list) or (found == "" and not rule.empty):
            if rule.required:
                raise GraphError(131008, f"The parameter {path} is required.")
            continue
        if not isinstance(found, rule.kind):
            raise GraphError(100, f"The parameter {path} has the wrong type.")
        if rule.most is not None and isinstance(found, (str, list)) and len(found) > rule.most:
            raise GraphError(131009, f"The parameter {path} is longer than {rule.most}.")
