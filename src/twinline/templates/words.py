"""What the pages show of a template: the bubble as the phone draws it, and states in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from twinline.kit.markup import rich
from twinline.rules import templates as rules
from twinline.rules.templates import kind_of, part
from twinline.templates.models import Template


@dataclass(frozen=True, slots=True)
class Bubble:
    """A template as the customer's phone shows it. ``media`` is the kind of the header's file, ``buttons`` are icon
    and label.
    """

    media: str
    header: Markup
    offer: str
    text: Markup
    footer: str
    buttons: tuple[tuple[str, str], ...]
    cards: tuple["Bubble", ...]


def bubble(spec: Mapping[str, Any], values: Mapping[str, Any] | None = None, *, examples: bool = True) -> Bubble:
    """With these values; where there is none, with the example, or with the variable itself."""
    shown = {slot.key: slot.example for slot in rules.slots(spec) if examples and slot.example and slot.kind == "text"}
    shown |= {key: value for key, value in (values or {}).items() if value}
    return _bubble(spec, rules.components(spec), shown, "")


def _bubble(spec: Mapping[str, Any], parts: list[rules.Json], values: dict[str, Any], before: str) -> Bubble:
    header = part(parts, "HEADER")
    known = rules.rules()["headers"].get(kind_of(header, "format"), {})
    offer = part(parts, "LIMITED_TIME_OFFER").get("limited_time_offer")
    text = rules.body_text(spec, part(parts, "BODY"))
    return Bubble(
        media=known.get("kind", ""),
        header=_filled(str(header.get("text") or "") if not known.get("kind") else "", f"{before}header", values),
        offer=str(offer.get("text") or "") if isinstance(offer, dict) else "",
        text=_filled(text, f"{before}body", values),
        footer=rules.footer_text(part(parts, "FOOTER")),
        buttons=tuple(_button(button) for button in rules.buttons(parts)),
        cards=tuple(
            _bubble(spec, card, values, f"{before}cards.{index}.") for index, card in enumerate(rules.cards(parts))
        ),
    )


def _filled(text: str, place: str, values: Mapping[str, Any]) -> Markup:
    """The text with WhatsApp's markup; a variable without a value stays to be seen."""
    pieces = []
    end = 0
    for found in rules.VARIABLE.finditer(text):
        value = values.get(f"{place}.{found[1]}")
        if value is None:
            pieces += [text[end : found.start()], f"\x02{found[1]}\x03"]
        else:
            pieces += [text[end : found.start()], rules.words(value)]
        end = found.end()
    html = str(rich("".join([*pieces, text[end:]])))
    # What was escaped stays so: only the two marks, which no text has, become an element.
    return Markup(html.replace("\x02", '<mark class="variable">').replace("\x03", "</mark>"))  # noqa: S704


def _button(button: rules.Json) -> tuple[str, str]:
    known = rules.rules()["buttons"].get(kind_of(button), {})
    return known.get("icon", "button"), str(button.get("text") or known.get("name", ""))


def language(code: str) -> str:
    return str(rules.rules()["languages"].get(code, code))


def category(code: str) -> str:
    return str(rules.rules()["categories"].get(code, {}).get("name", code.capitalize()))


def excerpt(template: Template) -> str:
    """Its text in a line."""
    return " ".join(rules.body_text(template.spec, part(template.components, "BODY")).split())[:160]


quality = rules.quality
