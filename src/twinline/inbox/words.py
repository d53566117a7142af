"""Messages in words: previews, and what to say of that which can't be shown."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup, escape

from twinline.kit.markup import alternate
from twinline.kit.phones import shown_phone
from twinline.rules import identity, messages

MANY: Final = 10_000
"""Where the panel stops counting."""


LIMITS: Final = {
    "edge": messages.EDGE,
    "rows": messages.ROWS,
    "media": {kind: {"size": size, "formats": formats} for kind, (size, formats) in messages.MEDIA.items()},
    **{
        kind: {part.id: part.most for part in parts if part.most is not None}
        for kind, parts in {**messages.SHAPES, **messages.INTERACTIVE}.items()
    },
}
"""How much WhatsApp takes, as the composer tells it while somebody writes."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A message in one line: an icon's name, and text without line breaks."""

    icon: str | None
    text: str


# Icon, and what to call it when it comes without words of its own.
_KINDS: Final[dict[str, tuple[str, str]]] = {
    "image": ("photo", "Photo"),
    "video": ("video", "Video"),
    "audio": ("music", "Audio"),
    "document": ("document", "Document"),
    "sticker": ("sticker", "Sticker"),
    "location": ("pin", "Location"),
    "contacts": ("person", "Contact"),
    "interactive": ("list", "Buttons"),
    "button": ("button", "Button"),
    "template": ("template", "Template"),
    "order": ("cart", "Order"),
    "call": ("phone", "Call"),
    "system": ("info", "Notice from WhatsApp"),
    "request_welcome": ("info", "Opened the chat"),
    "media_placeholder": ("phone", "Older media, on the phone"),
}


def preview(kind: str, text: str | None, content: Mapping[str, Any] | None, *, revoked: bool = False) -> Preview:
    if revoked:
        return Preview("ban", "Deleted message")
    content = content or {}
    line = " ".join(text.split())[:160] if text else ""
    if kind == "text":
        return Preview(None, line)
    if kind == "audio" and content.get("voice"):
        return Preview("mic", "Voice message")
    if kind == "document":
        return Preview("document", line or _string(content.get("filename")) or "Document")
    if kind == "template":
        return Preview("template", line or f"Template {_string(content.get('name')) or ''}".strip())
    icon, name = _KINDS.get(kind, ("info", "Message that can't be shown here"))
    return Preview(icon, line or name)


# --- text ---------------------------------------------------------------------------------------------------------

_EMOJI = re.compile(
    "[\U0001f1e6-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2190-\u21ff\u2300-\u23ff\u3030\u303d\u3297\u3299"
    "\u200d\ufe0f\u20e3\U000e0020-\U000e007f\\s]+"
)


def only_emoji(text: str) -> bool:
    """Up to three emoji and nothing else: shown large, as WhatsApp does."""
    return (
        0 < len(text.strip()) <= 24
        and len(re.sub(r"[\s\ufe0f]|\u200d.", "", text)) <= 3
        and bool(_EMOJI.fullmatch(text))
    )


def excerpt(text: str, q: str) -> Markup:
    """The part of a found text where the first of the words stands, with all of them marked."""
    line = " ".join(text.split())
    wanted = [re.escape(word) for word in re.findall(r"\w+", q)]
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(wanted)})\w*", re.IGNORECASE) if wanted else None
    found = pattern.search(line) if pattern else None
    if pattern is None or found is None:
        return escape(line[:160])
    start = line.find(" ", found.start() - 30, found.start()) + 1 if found.start() > 30 else 0
    line = ("…" if start else "") + line[start : start + 160]
    return Markup("").join(
        Markup("<mark>{}</mark>").format(part) if inside else escape(part) for part, inside in alternate(pattern, line)
    )


# --- what isn't text ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``phone``: it can be seen there."""

    title: str
    text: str
    phone: bool


_UNSUPPORTED: Final = {
    "poll_creation": "A poll",
    "poll_update": "A vote in a poll",
    "group_invite": "An invitation to a group",
    "gif": "A GIF",
    "product": "A product",
    "pin": "A pinned message",
    "keep_in_chat": "A kept message",
    "link_preview": "A link",
    "edit": "An edit",
}


def placeholder(kind: str, content: Mapping[str, Any]) -> Placeholder | None:
    """None when a message of this type has a form of its own."""
    if kind == "call":
        return Placeholder("A call", "The customer called. Calls are taken on the phone; they open the window.", True)
    if kind == "media_placeholder":
        return Placeholder("Older media", "It stays on the phone: open the chat there to see it.", True)
    errors = content.get("errors")
    codes = {str(error.get("code")) for error in _dicts(errors)}
    if "131052" in codes:
        return Placeholder(
            "A file that WhatsApp couldn't pass on",
            "Files above 100 MB never come through. See it on the phone, or ask for it again, smaller.",
            True,
        )
    if kind not in ("unsupported", "errors", "unknown"):
        return None
    if "131060" in codes:
        return Placeholder(
            "Only on the phone for now",
            "WhatsApp hasn't handed this message to the platform. It may still come; until then, read it on the phone.",
            True,
        )
    what = _UNSUPPORTED.get(_string(content.get("type")) or "", "A message of this kind")
    return Placeholder(what, "WhatsApp doesn't pass this type on to platforms. It can be seen on the phone.", True)


@dataclass(frozen=True, slots=True)
class Card:
    """Somebody's contact card."""

    name: str
    note: str
    phones: tuple[tuple[str, str | None], ...]  # as written, and the address that opens a chat


def cards(content: Mapping[str, Any]) -> list[Card]:
    found = []
    # As a webhook brings them, or as they are sent.
    for item in _dicts(content.get("items") or content.get("contacts")):
        phones = []
        for phone in _dicts(item.get("phones")):
            number = identity.digits(_string(phone.get("wa_id")) or "")
            shown = _string(phone.get("phone")) or shown_phone(number)
            phones.append((shown, f"https://wa.me/{number}" if number else None))
        name = item.get("name")
        org = item.get("org")
        found.append(
            Card(
                (_string(name.get("formatted_name")) if isinstance(name, dict) else None) or "Contact",
                (_string(org.get("company")) if isinstance(org, dict) else None) or "",
                tuple(phones),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """A location: what it is called, and a map of it."""

    name: str
    address: str
    map: str


def place(content: Mapping[str, Any]) -> Place | None:
    try:
        latitude, longitude = float(content["latitude"]), float(content["longitude"])
    except (KeyError, TypeError, ValueError):
        return None
    return Place(
        _string(content.get("name")) or f"{latitude:.5f}, {longitude:.5f}",
        _string(content.get("address")) or "",
        f"https://www.openstreetmap.org/?mlat={latitude:.6f}&mlon={longitude:.6f}#map=16/{latitude:.6f}/{longitude:.6f}",
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to tap: an icon's name, the words, and where it leads if that is a web address."""

    icon: str
    title: str
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a list: its title, and (title, description) of each row."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What surrounds the body of an interactive message or template of ours: header, footer, what can be tapped."""

    header: str
    footer: str
    choices: tuple[Choice, ...]
    sections: tuple[Section, ...]


_TAPPED: Final = {"URL": "open", "PHONE_NUMBER": "phone", "COPY_CODE": "copy", "OTP": "copy", "FLOW": "edit"}


def _template(shown: Mapping[str, Any]) -> Offer:
    header = _dict(shown.get("header"))
    kind = _string(header.get("type")) or ""
    return Offer(
        _string(header.get("text")) or (_KINDS[kind][1] if kind in _KINDS else ""),
        _string(shown.get("footer")) or "",
        tuple(
            Choice(_TAPPED.get(_string(button.get("type")) or "", "reply"), title)
            for button in _dicts(shown.get("buttons"))
            if (title := _string(button.get("text")))
        ),
        (),
    )


def offer(content: Mapping[str, Any]) -> Offer:
    if isinstance(shown := content.get("shown"), dict):
        return _template(shown)
    action, header, footer = (_dict(content.get(part)) for part in ("action", "header", "footer"))
    parameters = _dict(action.get("parameters"))
    found = [Choice("reply", _title(button.get("reply"))) for button in _dicts(action.get("buttons"))]
    sections = tuple(
        Section(
            _title(section),
            tuple((_title(row), _string(row.get("description")) or "") for row in _dicts(section.get("rows"))),
        )
        for section in _dicts(action.get("sections"))
    )
    if sections:
        found.append(Choice("list", _string(action.get("button")) or "Choose"))
    address = _string(parameters.get("url"))
    if shown := _string(parameters.get("display_text")):
        web = address if address and address.lower().startswith(("https://", "http://")) else None
        found.append(Choice("open", shown, web))
    if shown := _string(parameters.get("flow_cta")):
        found.append(Choice("button", shown))
    return Offer(
        _string(header.get("text")) or "",
        _string(footer.get("text")) or "",
        tuple(choice for choice in found if choice.title),
        sections,
    )


def answers(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a customer filled into a flow: (field, value) as the flow names them."""
    reply = _dict(content.get("nfm_reply"))
    try:
        said = json.loads(_string(reply.get("response_json")) or "{}")
    except ValueError:
        return []
    return [
        (key.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in _dict(said).items()
        if key != "flow_token"
    ]


def size(octets: int | None) -> str:
    """A file's size as people say it, in units of 1,024 as WhatsApp's limits are."""
    if octets is None:
        return ""
    amount = float(octets)
    for unit in ("B", "kB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


def _title(value: Any) -> str:
    return (_string(value.get("title")) or "") if isinstance(value, dict) else ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
