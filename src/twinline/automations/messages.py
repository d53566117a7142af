"""What stands under ``send`` as the message that goes out.

People write messages in a shape of their own (docs/automations.md), which has no more levels than it needs; here each
type is turned into what the outbox keeps. Whether WhatsApp takes it, ``rules.messages`` says.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from twinline.rules import messages as shapes
from twinline.rules.automations.program import DEFAULTS
from twinline.rules.refusal import Refusal
from twinline.sending.models import Draft

Json = Mapping[str, Any]
Said = tuple[str, str | None, dict[str, Any] | None]
"""The draft's type, text and content."""

MEDIA: Final = ("image", "video", "audio", "document", "sticker")

_NONE: Final[Json] = MappingProxyType({})


def draft(message: Json, files: Mapping[str, Json] = _NONE) -> Draft:
    """A filled-in message (``rules.automations.run.Send``) for ``sending.service.submit``.

    ``files``: what is known of uploaded files by their handles, as ``sending.handles.kept`` answers it; a message whose
    file isn't there is refused when it is submitted.
    """
    kind, text, content = SHAPES[kind_of(message)](message, files)
    return Draft(kind, text, content, message.get("quoted"))


def problem(message: Json) -> Refusal | None:
    """What WhatsApp would have against it, or None. An uploaded file was looked at when it came."""
    made = draft(message)
    content = {**(made.content or {}), "id": "?"} if handles(message) else made.content
    return shapes.problem(made.type, made.text, content, made.quoted or "?")


def handles(message: Json) -> tuple[str, ...]:
    """Uploaded files that the message names."""
    return (str(message["media"]),) if kind_of(message) in MEDIA and message.get("media") else ()


def kind_of(message: Json) -> str:
    return str(message.get("type") or "text")


def _text(message: Json, files: Mapping[str, Json]) -> Said:
    return "text", message["text"], {"preview_url": True} if message.get("preview") else None


def _media(message: Json, files: Mapping[str, Json]) -> Said:
    content = files.get(message["media"]) or {} if message.get("media") else {"link": message.get("link")}
    own = {name: message[name] for name in ("filename", "voice") if message.get(name)}
    return kind_of(message), message.get("caption"), {**content, **own}


def _location(message: Json, files: Mapping[str, Json]) -> Said:
    named = {name: message[name] for name in ("name", "address") if message.get(name)}
    return "location", None, {"latitude": message["latitude"], "longitude": message["longitude"], **named}


def _contacts(message: Json, files: Mapping[str, Json]) -> Said:
    return "contacts", None, {"contacts": [_card(one) for one in message["contacts"]]}


def _card(one: Json) -> dict[str, Any]:
    """The address by which WhatsApp offers to write to them is their phone without its plus."""
    digits = "".join(char for char in one["phone"] if char.isascii() and char.isdigit())
    card: dict[str, Any] = {"name": {"formatted_name": one["name"], "first_name": one["name"]}}
    card["phones"] = [{"phone": one["phone"], "wa_id": digits}]
    if one.get("email"):
        card["emails"] = [{"email": one["email"]}]
    if one.get("company"):
        card["org"] = {"company": one["company"]}
    return card


def _reaction(message: Json, files: Mapping[str, Json]) -> Said:
    return "reaction", message["emoji"], None


def _template(message: Json, files: Mapping[str, Json]) -> Said:
    named = message["template"]
    content = {"name": named["name"], "language": {"code": named["language"]}, "values": dict(named.get("values", {}))}
    return "template", None, content


def _interactive(kind: str, action: Callable[[Json], Json]) -> Callable[[Json, Mapping[str, Json]], Said]:
    def shape(message: Json, files: Mapping[str, Json]) -> Said:
        content: dict[str, Any] = {"type": kind, "body": {"text": message["text"]}, "action": action(message)}
        if header := message.get("header"):
            content["header"] = _header(header)
        if message.get("footer"):
            content["footer"] = {"text": message["footer"]}
        return "interactive", message["text"], content

    return shape


def _header(header: Any) -> dict[str, Any]:
    if isinstance(header, str):
        return {"type": "text", "text": header}
    return {"type": header["type"], header["type"]: {"link": header["link"]}}


def _buttons(message: Json) -> Json:
    replies = [{"id": one["id"], "title": one["title"]} for one in message["buttons"]]
    return {"buttons": [{"type": "reply", "reply": reply} for reply in replies]}


def _list(message: Json) -> Json:
    return {
        "button": message.get("button") or DEFAULTS["ask"]["button"],
        "sections": [dict(section) for section in message["sections"]],
    }


def _link(message: Json) -> Json:
    return {"name": "cta_url", "parameters": {"display_text": message["button"], "url": message["url"]}}


def _flow(message: Json) -> Json:
    parameters = {"flow_message_version": "3", "flow_id": message["flow"], "flow_cta": message["button"]}
    if message.get("screen"):
        payload = {"screen": message["screen"], **({"data": message["data"]} if message.get("data") else {})}
        parameters |= {"flow_action": "navigate", "flow_action_payload": payload}
    return {"name": "flow", "parameters": parameters}


SHAPES: Final[Mapping[str, Callable[[Json, Mapping[str, Json]], Said]]] = MappingProxyType(
    {
        "text": _text,
        **dict.fromkeys(MEDIA, _media),
        "location": _location,
        "contacts": _contacts,
        "reaction": _reaction,
        "template": _template,
        "buttons": _interactive("button", _buttons),
        "list": _interactive("list", _list),
        "cta_url": _interactive("cta_url", _link),
        "flow": _interactive("flow", _flow),
    }
)
