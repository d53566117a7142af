"""What a message of each type consists of, and how much of it WhatsApp takes.

Shapes are data: a `Part` is one place in Meta's object for a type, with what it is called, what it must be and how
long it may get. `problem` walks the parts and names the first that is wrong: which button, by how much, what would be
accepted instead. What no single place shows (two buttons with one id, rows counted over all sections) stands in small
functions beside the table.

The object is what would stand in the body of a send under the type's name (Meta: messages endpoint, interactive
messages, media reference; read 2026-11-22). Two exceptions: the text of a text or reaction and the caption of media
are `text`, and a file that was added here is described by `file`, `mime_type`, `size` and, for stickers, `width`,
`height` and `animated`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from twinline.rules.refusal import Refusal

KB: Final = 1024
MB: Final = 1024 * KB

TEXT: Final = 4096
CAPTION: Final = 1024
BODY: Final = 1024
LIST_BODY: Final = 4096
EDGE: Final = 60
"""Header and footer of an interactive message."""
ADDRESS: Final = 2000
ROWS: Final = 10
"""Rows of a list, over all of its sections."""
EMOJI: Final = 32
"""Characters of one emoji at most: families and flags are made of many."""
COLOURED: Final = "\ufe0f"

WORDLESS: Final = frozenset({"reaction", "system", "request_welcome"})
"""Types of a customer's messages by which they say nothing that is to be answered."""
UNANSWERED: Final = WORDLESS | {"unsupported"}
"""Those that no machine answers: what can't be read is left to people."""

CAPTIONED: Final = frozenset({"image", "video", "document"})
"""Media that can carry a caption; audio and stickers can't."""

DOCUMENTS: Final = (
    "text/plain",
    "application/pdf",
    "application/msword",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.ms-excel",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
)
VOICE: Final = "audio/ogg"
"""Of Ogg only Opus; `kit.sniff` calls nothing else by this name."""
MEDIA: Final = MappingProxyType(
    {
        "image": (5 * MB, ("image/jpeg", "image/png")),
        "video": (16 * MB, ("video/mp4", "video/3gpp")),
        "audio": (16 * MB, ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", VOICE)),
        "document": (100 * MB, DOCUMENTS),
        "sticker": (100 * KB, ("image/webp",)),
        "animated sticker": (500 * KB, ("image/webp",)),
    }
)
"""Kind → largest size in bytes and accepted formats (Meta: media reference, supported media types)."""
_FORMATS: Final = MappingProxyType(
    {
        "image/jpeg": "JPEG",
        "image/png": "PNG",
        "image/webp": "WebP",
        "video/mp4": "MP4",
        "video/3gpp": "3GP",
        "audio/aac": "AAC",
        "audio/amr": "AMR",
        "audio/mpeg": "MP3",
        "audio/mp4": "M4A",
        VOICE: "Ogg with Opus",
        **dict(zip(DOCUMENTS, ("plain text", "PDF", "DOC", "DOCX", "XLS", "XLSX", "PPT", "PPTX"), strict=True)),
    }
)
"""As people call them."""
STICKER_SIDE: Final = 512
"""Pixels, both ways."""


@dataclass(frozen=True, slots=True)
class Part:
    """One place in an object. `path` goes by dots, and `[]` stands for each element of a list.

    `name` is what people call it, with the elements' places, counted from one, at `{0}` and `{1}`. `most` are
    characters or elements; `among` are the only values it may have; `label` leads from an element that is too many
    to what it is known by.
    """

    path: str
    name: str
    kind: type | tuple[type, ...] = str
    most: int | None = None
    required: bool = True
    among: tuple[str, ...] = ()
    label: str = ""

    @property
    def id(self) -> str:
        return self.path.replace("[]", "")


_NUMBER: Final = (int, float)

_BODY: Final = Part("body.text", "body", most=BODY)
_FOOTER: Final = Part("footer.text", "footer", most=EDGE, required=False)

SHAPES: Final[Mapping[str, tuple[Part, ...]]] = MappingProxyType(
    {
        "text": (Part("preview_url", "link preview", bool, required=False),),
        "image": (),
        "video": (),
        "audio": (Part("voice", "mark of a voice message", bool, required=False),),
        "document": (Part("filename", "file name", most=240, required=False),),
        "sticker": (),
        "location": (
            Part("latitude", "latitude", _NUMBER),
            Part("longitude", "longitude", _NUMBER),
            Part("name", "place's name", most=1000, required=False),
            Part("address", "place's address", most=1000, required=False),
        ),
        "contacts": (
            Part("contacts", "contacts", list, most=257, label="name.formatted_name"),
            Part("contacts[].name.formatted_name", "name of contact {0}", most=1000),
            Part("contacts[].phones", "phones of contact {0}", list, required=False),
            Part("contacts[].phones[].phone", "phone {1} of contact {0}", most=64),
        ),
        "reaction": (),
        "template": (
            Part("name", "template's name", most=512),
            Part("language.code", "template's language"),
            Part("components", "template's components", list, required=False),
        ),
        "interactive": (Part("type", "kind of interactive message"), Part("action", "action", dict)),
    }
)

INTERACTIVE: Final[Mapping[str, tuple[Part, ...]]] = MappingProxyType(
    {
        "button": (
            _BODY,
            _FOOTER,
            Part("action.buttons", "buttons", list, most=3, label="reply.title"),
            Part("action.buttons[].type", "type of button {0}", among=("reply",)),
            Part("action.buttons[].reply.id", "id of button {0}", most=256),
            Part("action.buttons[].reply.title", "title of button {0}", most=20),
        ),
        "list": (
            Part("body.text", "body", most=LIST_BODY),
            _FOOTER,
            Part("action.button", "text of the list's button", most=20),
            Part("action.sections", "sections", list, most=10, label="title"),
            Part("action.sections[].title", "title of section {0}", most=24, required=False),
            Part("action.sections[].rows", "rows of section {0}", list),
            Part("action.sections[].rows[].id", "id of row {1} in section {0}", most=200),
            Part("action.sections[].rows[].title", "title of row {1} in section {0}", most=24),
            Part("action.sections[].rows[].description", "text of row {1} in section {0}", most=72, required=False),
        ),
        "cta_url": (
            _BODY,
            _FOOTER,
            Part("action.name", "action's name", among=("cta_url",)),
            Part("action.parameters.display_text", "text of the link's button", most=20),
            Part("action.parameters.url", "link", most=ADDRESS),
        ),
        "flow": (
            _BODY,
            _FOOTER,
            Part("action.name", "action's name", among=("flow",)),
            Part("action.parameters.flow_message_version", "version of the flow message"),
            Part("action.parameters.flow_cta", "text of the flow's button", most=30),
            Part("action.parameters.flow_token", "flow token", required=False),
            Part("action.parameters.mode", "flow's mode", required=False, among=("draft", "published")),
            Part("action.parameters.flow_action", "flow's action", required=False, among=("navigate", "data_exchange")),
            Part("action.parameters.flow_action_payload.screen", "flow's first screen", required=False),
        ),
    }
)

HEADERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "button": ("text", "image", "video", "document"),
        "list": ("text",),
        "cta_url": ("text", "image", "video", "document"),
        "flow": ("text", "image", "video", "document"),
    }
)
"""What may stand above the body, by kind of interactive message."""

_KINDS: Final[Mapping[Any, str]] = MappingProxyType(
    {str: "text", bool: "true or false", list: "a list", dict: "an object", _NUMBER: "a number"}
)


def problem(
    kind: str, text: str | None, content: Mapping[str, Any] | None = None, quoted: str | None = None
) -> Refusal | None:
    """What is wrong with a message of this type, or None. `quoted` is the message that a reaction is about."""
    said = content or {}
    if kind not in SHAPES:
        return Refusal(
            "type.unknown", f"“{kind}” isn't a type of message.", f"Use one of: {', '.join(sorted(SHAPES))}."
        )
    return (
        _texts(kind, text, quoted)
        or _shape(SHAPES[kind], said)
        or (media(kind, said) if kind in MEDIA else None)
        or (_RULES[kind](said) if kind in _RULES else None)
    )


def media(kind: str, content: Mapping[str, Any]) -> Refusal | None:
    """What is wrong with a file, or None. One that Meta fetches by link or has already isn't known any closer."""
    if "file" not in content and "mime_type" not in content:
        if _address_problem(content.get("link")) is None or content.get("id"):
            return None
        return Refusal(
            "media.missing",
            f"{_a(kind).capitalize()} needs a file.",
            "Attach one, or give a link that begins with https.",
        )
    size, mime = content.get("size"), str(content.get("mime_type") or "")
    kind = "animated sticker" if kind == "sticker" and content.get("animated") else kind
    largest, formats = MEDIA[kind]
    if mime.lower() not in formats:
        known = mime if mime != "application/octet-stream" else ""
        return Refusal(
            "media.format",
            f"WhatsApp doesn't accept {_FORMATS.get(mime.lower()) or known or 'this format'} as {_a(kind)}.",
            f"Use one of: {', '.join(_FORMATS[one] for one in formats)}.",
        )
    if size == 0:
        return Refusal("media.empty", "The file is empty.", "Choose another file.")
    if isinstance(size, int) and size > largest:
        return Refusal(
            "media.size",
            f"The file has {_bytes(size)}; WhatsApp allows {_bytes(largest)} for {_a(kind)}.",
            "Make it smaller." if kind in ("document", "animated sticker") else "Make it smaller, or choose another.",
        )
    if content.get("voice") and mime.lower() != VOICE:
        return Refusal(
            "voice.format",
            f"A voice message is Ogg with Opus; this is {mime}.",
            "Record it as Ogg Opus, or send it as an ordinary audio file.",
        )
    sides = content.get("width"), content.get("height")
    if kind.endswith("sticker") and None not in sides and sides != (STICKER_SIDE, STICKER_SIDE):
        return Refusal(
            "sticker.side",
            f"The sticker has {sides[0]} × {sides[1]} pixels; WhatsApp wants {STICKER_SIDE} × {STICKER_SIDE}.",
            "Make it square and of that size.",
        )
    return None


# --- texts --------------------------------------------------------------------------------------------------------


def _texts(kind: str, text: str | None, quoted: str | None) -> Refusal | None:
    said = text or ""
    if kind == "text":
        if not said.strip():
            return Refusal("text.empty", "The message is empty.", "Write something first.")
        return _too_long("text", "message", said, TEXT)
    if kind in CAPTIONED:
        return _too_long("caption", "caption", said, CAPTION)
    if kind in MEDIA and said:
        return Refusal(
            "caption.impossible",
            f"WhatsApp shows no caption with {_a(kind)}.",
            "Send the text as a message of its own.",
        )
    if kind == "reaction":
        if not quoted:
            return Refusal(
                "reaction.target", "A reaction belongs to a message.", "Say which message it is about (its wamid)."
            )
        # Some letters are emoji too, with the mark that asks for the coloured form.
        if len(said) > EMOJI or any(char.isspace() or (char.isalpha() and COLOURED not in said) for char in said):
            return Refusal("reaction.emoji", "A reaction is one emoji.", "Choose one; an empty one takes it away.")
    return None


def _too_long(rule: str, name: str, text: str, most: int) -> Refusal | None:
    over = len(text) - most
    if over <= 0:
        return None
    return Refusal(
        f"{rule}.too_long",
        f"The {name} has {len(text)} characters; WhatsApp allows {most}.",
        f"Take away {_count(over, 'character')}.",
    )


# --- shapes -------------------------------------------------------------------------------------------------------


def _shape(parts: Sequence[Part], content: Mapping[str, Any]) -> Refusal | None:
    for part in parts:
        for places, value in _at(content, part.path.split(".")):
            if refusal := _part(part, part.name.format(*places), value):
                return refusal
    return None


def _at(value: Any, path: Sequence[str], places: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Every value that a path leads to, None where it leads nowhere, with the places of the elements passed."""
    if not path:
        yield places, value
        return
    step, each = path[0].removesuffix("[]"), path[0].endswith("[]")
    below = value.get(step) if isinstance(value, Mapping) else None
    if not each:
        yield from _at(below, path[1:], places)
    elif isinstance(below, list):
        for place, element in enumerate(below, 1):
            yield from _at(element, path[1:], (*places, place))


def _part(part: Part, name: str, value: Any) -> Refusal | None:
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        if not part.required:
            return None
        if part.kind is list:
            return Refusal(f"{part.id}.missing", f"There are no {name}.", "Add at least one.")
        return Refusal(f"{part.id}.missing", f"The {name} is missing.", "Fill it in.")
    if not isinstance(value, part.kind) or (part.kind is _NUMBER and isinstance(value, bool)):
        return Refusal(f"{part.id}.kind", f"The {name} has to be {_KINDS[part.kind]}.", "Correct it.")
    if part.among and value not in part.among:
        return Refusal(f"{part.id}.among", f"The {name} is “{value}”.", f"It can be {' or '.join(part.among)}.")
    if part.most is None:
        return None
    if isinstance(value, list):
        return _too_many(part.id, name, [_label(item, part.label) for item in value], part.most)
    return _too_long(part.id, name, str(value), part.most)


def _too_many(rule: str, name: str, labels: Sequence[str], most: int) -> Refusal | None:
    if len(labels) <= most:
        return None
    surplus = ", ".join(f"“{label}”" for label in labels[most:][:5] if label)
    return Refusal(
        f"{rule}.too_many",
        f"This message has {len(labels)} {name}; WhatsApp allows {most}."
        + (f" Too many: {surplus}." if surplus else ""),
        f"Take away {len(labels) - most}.",
    )


def _label(element: Any, path: str) -> str:
    return next((str(value) for _, value in _at(element, path.split(".")) if value is not None), "") if path else ""


# --- what no single place shows -----------------------------------------------------------------------------------


def _coordinates(content: Mapping[str, Any]) -> Refusal | None:
    for name, most in (("latitude", 90), ("longitude", 180)):
        if not (math.isfinite(content[name]) and abs(content[name]) <= most):
            return Refusal(f"{name}.range", f"The {name} is between -{most} and {most}.", "Correct it.")
    return None


def _interactive(content: Mapping[str, Any]) -> Refusal | None:
    kind = content["type"]
    if kind not in INTERACTIVE:
        return Refusal(
            "interactive.unknown",
            f"“{kind}” isn't a kind of interactive message that can be sent here.",
            f"Use one of: {', '.join(INTERACTIVE)}.",
        )
    action = content["action"]
    return _shape(INTERACTIVE[kind], content) or _header(kind, content.get("header")) or _ACTIONS[kind](action)


def _header(kind: str, header: Any) -> Refusal | None:
    if header is None:
        return None
    above = header.get("type") if isinstance(header, Mapping) else None
    if above not in HEADERS[kind]:
        return Refusal(
            "header.type",
            f"Above this kind of message WhatsApp doesn't show {_a(str(above or 'unknown'))} header.",
            f"Use one of: {', '.join(HEADERS[kind])}.",
        )
    if above == "text":
        return _part(Part("header.text", "header", most=EDGE), "header", header.get("text"))
    shown = header.get(above)
    return media(str(above), shown if isinstance(shown, Mapping) else {})


def _buttons_differ(action: Mapping[str, Any]) -> Refusal | None:
    replies = [button["reply"] for button in action["buttons"]]
    return _twice("button", "id", replies) or _twice("button", "title", replies)


def _rows(action: Mapping[str, Any]) -> Refusal | None:
    sections = action["sections"]
    rows = [row for section in sections for row in section["rows"]]
    titled = [section.get("title") for section in sections]
    if len(sections) > 1 and not all(titled):
        place = titled.index(next(title for title in titled if not title)) + 1
        return Refusal(
            "action.sections.title.missing",
            f"Section {place} has no title; where there are several, each needs one.",
            "Give it one, or make one section of all.",
        )
    titles = [row["title"] for row in rows]
    return _too_many("action.sections.rows", "rows in all", titles, ROWS) or _twice("row", "id", rows)


def _link(action: Mapping[str, Any]) -> Refusal | None:
    return _address_problem(action["parameters"]["url"])


def _flow(action: Mapping[str, Any]) -> Refusal | None:
    parameters = action["parameters"]
    if bool(parameters.get("flow_id")) == bool(parameters.get("flow_name")):
        return Refusal("flow.which", "A flow is named by its id or by its name.", "Give exactly one of the two.")
    return None


def _address_problem(address: Any) -> Refusal | None:
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
        fine = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and not any(char.isspace() for char in address)
        )
    except ValueError:
        fine = False
    if fine:
        return None
    return Refusal("link.address", "The link isn't a web address.", "Begin it with https:// and leave out spaces.")


def _twice(what: str, key: str, elements: Sequence[Mapping[str, Any]]) -> Refusal | None:
    seen: dict[str, int] = {}
    for place, element in enumerate(elements, 1):
        first = seen.setdefault(element[key], place)
        if first != place:
            return Refusal(
                f"{what}.{key}.twice",
                f"{what.capitalize()}s {first} and {place} have the same {key}: “{element[key]}”.",
                f"Give each {what} {_a(key)} of its own.",
            )
    return None


Rule = Callable[[Mapping[str, Any]], Refusal | None]

_RULES: Final[Mapping[str, Rule]] = MappingProxyType({"location": _coordinates, "interactive": _interactive})
_ACTIONS: Final[Mapping[str, Rule]] = MappingProxyType(
    {"button": _buttons_differ, "list": _rows, "cta_url": _link, "flow": _flow}
)


def _a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bytes(size: int) -> str:
    return f"{size / MB:.1f} MB" if size >= MB else f"{size / KB:.0f} KB"
