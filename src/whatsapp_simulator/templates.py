"""Templates in use: the samples a WABA begins with, which one a message means, and its places filled in.

A message is checked against the definition as Meta checks it, and comes out as the customer reads it. Creating and
judging templates stand in ``template_api`` and ``template_life``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .errors import GraphError
from .ids import Ids
from .state import Json, Message, Options, Template
from .template_rules import FORMATS, SHORT, VARIABLE, language, variables

BROKEN_TEXT = re.compile(r"[\n\t]| {5}")
"""What Meta refuses in a value: new lines, tabs, more than four blanks in a row."""
HIDDEN = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
MODES = {"QUICK_REPLY": "quick_reply", "URL": "url", "COPY_CODE": "copy_code", "FLOW": "flow"}
"""Button type -> ``sub_type`` of its component in a message."""
UNSENDABLE = {"PAUSED": 132015, "DISABLED": 132016}
"""Any other status but APPROVED looks as if there were no such template."""
LOCATION = ("latitude", "longitude")


KNOWN: Json = tomllib.loads((Path(__file__).parent / "templates.toml").read_text())


def furnish(ids: Ids, waba_id: str, base_url: str, now: float) -> list[Template]:
    """The samples of ``templates.toml``, approved and old enough that nothing of them is held."""
    return [
        Template(
            ids.number(16),
            waba_id,
            sample["name"],
            sample["language"],
            sample["category"],
            [_here(one, base_url) for one in sample["components"]],
            now,
            parameter_format=sample.get("parameter_format", "POSITIONAL"),
            status="APPROVED",
            quality="GREEN",
            quality_at=now,
            updated_at=now,
            paced=False,
        )
        for sample in KNOWN["sample"]
    ]


def _here(component: Json, base_url: str) -> Json:
    """A component whose sample files are found at this simulator."""
    if "cards" in component:
        cards = [{"components": [_here(one, base_url) for one in card["components"]]} for card in component["cards"]]
        return {**component, "cards": cards}
    handles = component.get("example", {}).get("header_handle")
    return {**component, "example": {"header_handle": [base_url + one for one in handles]}} if handles else component


# -- which one is meant --------------------------------------------------------------------------------------------


def chosen(templates: Iterable[Template], waba_id: str, given: Json) -> Template:
    """The template that a message names, if it may be sent. Raises ``GraphError``."""
    name, tongue = str(given["name"]), str(given["language"]["code"])
    for one in templates:
        if one.waba_id == waba_id and one.name == name and one.language == language(tongue):
            if one.status in UNSENDABLE:
                raise GraphError(UNSENDABLE[one.status])
            if one.status == "APPROVED":
                return one
    raise GraphError(132001, f"template name ({name}) does not exist in {tongue}")


WEEK = 7 * 86400.0


def held(template: Template, message: Message, options: Options, now: float) -> bool:
    """Whether a message waits until Meta has heard what people think of its template (pacing)."""
    if not options.pacing_after or not _paced(template, now):
        return False
    template.sent += 1
    if template.sent <= options.pacing_after:
        return False
    template.held.append(message.id)
    if template.verdict_at is None and options.pacing_verdict != "manual":
        template.verdict_at = now + options.pacing_seconds
    return True


def _paced(template: Template, now: float) -> bool:
    """Meta: marketing that is new, was paused or isn't rated green; utility for a week after a pause."""
    if template.category == "MARKETING":
        return template.paced or template.quality in ("YELLOW", "RED")
    after_a_pause = template.last_pause is not None and now < template.last_pause + WEEK
    return template.category == "UTILITY" and template.paced and after_a_pause


# -- filling it ----------------------------------------------------------------------------------------------------

Medium = Callable[[str, Json], Json]
"""Type of a medium and its object -> the object as it is kept. Raises ``GraphError`` when there is no such medium."""


def filled(template: Template, given: Any, medium: Medium) -> Json:
    """What the customer reads: ``{header?, offer?, body?, footer?, buttons, cards?}``. Raises ``GraphError`` as Meta
    would when the message's components don't fit the template."""
    return _assembled(template.components, given, medium, named=template.parameter_format == "NAMED")


def buttons(shown: Json) -> list[Json]:
    """All buttons of a filled template, those of its cards too."""
    return [*shown["buttons"], *(button for card in shown.get("cards", ()) for button in card["buttons"])]


def _assembled(components: Sequence[Json], given: Any, medium: Medium, *, named: bool) -> Json:
    """A template, or a card of its carousel, with its places filled."""
    sent = _by_place(_objects(given, "components"))
    parts = {one["type"]: one for one in components}
    shown: Json = {"buttons": []}
    header, values = parts.get("HEADER"), _parameters(sent.pop("header", {}))
    if header is not None and header["format"] != "TEXT":
        shown["header"] = _medium(header["format"], values, medium)
    else:
        text = _placed(str(header["text"]) if header else "", values, "header", named=named)
        if header is not None:
            shown["header"] = {"type": "text", "text": text}
    if "LIMITED_TIME_OFFER" in parts:
        shown["offer"] = _offer(parts["LIMITED_TIME_OFFER"]["limited_time_offer"], sent.pop("limited_time_offer", {}))
    body, values = parts.get("BODY"), _parameters(sent.pop("body", {}))
    if body is not None or values:
        shown["body"] = _placed(str(body["text"]) if body else "", values, "body", named=named)
    if "FOOTER" in parts:
        shown["footer"] = parts["FOOTER"]["text"]
    if sent.pop("footer", {}).get("parameters"):
        raise GraphError(132018, "A footer takes no parameters.")
    for index, button in enumerate(parts.get("BUTTONS", {}).get("buttons", ())):
        shown["buttons"].append(_button(button, index, sent.pop(f"button {index}", None)))
    if "CAROUSEL" in parts:
        shown["cards"] = _cards(parts["CAROUSEL"]["cards"], sent.pop("carousel", {}), medium, named=named)
    if sent:
        raise GraphError(132018, f"The template has no {', '.join(sorted(sent))}.")
    return shown


def _objects(given: Any, what: str) -> list[Json]:
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise GraphError(132018, f"{what} must be an array of objects.")
    return given


def _cards(cards: Sequence[Json], given: Json, medium: Medium, *, named: bool) -> list[Json]:
    """Every card of the template, and no other."""
    sent = {str(card.get("card_index")): card for card in _objects(given.get("cards"), "cards")}
    if {*sent} != {str(index) for index in range(len(cards))}:
        raise GraphError(132018, f"carousel: cards 0 to {len(cards) - 1} are needed, each once")
    return [
        _assembled(card["components"], sent[str(index)].get("components"), medium, named=named)
        for index, card in enumerate(cards)
    ]


def _offer(offer: Json, given: Json) -> Json:
    """``expires_at``: unix seconds."""
    shown: Json = {"text": offer["text"]}
    if offer.get("has_expiration"):
        values = _parameters(given)
        value = values[0].get("limited_time_offer") if values else None
        at = value.get("expiration_time_ms") if isinstance(value, dict) else None
        if not isinstance(at, int):
            raise GraphError(131008, "limited_time_offer: expiration_time_ms is required")
        shown["expires_at"] = at / 1000
    return shown


def _by_place(given: Sequence[Json]) -> dict[str, Json]:
    """Components of a message by where they belong: header, body, ``button 0``."""
    found: dict[str, Json] = {}
    for one in given:
        place = str(one.get("type") or "").lower()
        if place == "button":
            index = str(one.get("index", ""))
            if not index.isdigit():
                raise GraphError(131008, "buttons: The parameter index is required.")
            place = f"button {int(index)}"
        elif place not in ("header", "body", "footer", "limited_time_offer", "carousel"):
            raise GraphError(132018, f"Components of type {place or 'none'} aren't supported here.")
        if place in found:
            raise GraphError(132018, f"There is more than one component for {place}.")
        found[place] = one
    return found


def _parameters(component: Json) -> list[Json]:
    return _objects(component.get("parameters"), "parameters")


def _placed(text: str, values: list[Json], where: str, *, named: bool) -> str:
    """The text with its places filled. Positional values stand in order, named ones say which place is theirs."""
    names = variables(text)
    if named:
        given = {str(one.get("parameter_name") or ""): one for one in values}
        if "" in given:
            raise GraphError(132012, f"{where}: Parameter name is missing or empty")
        if missing := [name for name in names if name not in given]:
            raise GraphError(132000, f"{where}: no value for {', '.join(missing)}")
        if surplus := [name for name in given if name not in names]:
            raise GraphError(132000, f"{where}: the template has no parameter {', '.join(surplus)}")
    else:
        if any("parameter_name" in one for one in values):
            raise GraphError(132012, f"{where}: the template has positional parameters, not named ones")
        if len(values) != len(names):
            raise GraphError(
                132000,
                f"{where}: number of localizable_params ({len(values)}) does not match the expected number of params"
                f" ({len(names)})",
            )
        given = dict(zip(sorted(names, key=int), values, strict=True))
    said = {name: _value(given[name], where) for name in names}
    done = VARIABLE.sub(lambda found: said[found[1]], text)
    most = SHORT.get(where)
    if most is not None and len(done) > most:
        raise GraphError(132005, f"{where}: text is {len(done)} characters long with its values, {most} are allowed")
    return done


def _value(given: Json, where: str) -> str:
    kind = given.get("type")
    if kind in ("currency", "date_time"):  # legacy: the fallback is what is shown
        content = given.get(kind)
        text = content.get("fallback_value") if isinstance(content, dict) else None
    elif kind == "text":
        text = given.get("text")
    else:
        received = str(kind or "unknown").upper()
        raise GraphError(132012, f"{where}: Format mismatch, expected TEXT, received {received}")
    if not isinstance(text, str) or not text:
        raise GraphError(131008, f"{where}: Parameter of type {kind} is missing text value")
    if BROKEN_TEXT.search(text):
        raise GraphError(132018, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    # GUESS: which characters break Meta's policy isn't documented; here those that are invisible or turn the text.
    if HIDDEN.search(text):
        raise GraphError(132007, f"{where}: the value has control characters")
    return text


def _medium(form: str, values: list[Json], medium: Medium) -> Json:
    kind = form.lower()
    received = str(values[0].get("type") or "unknown").lower() if values else "unknown"
    if len(values) != 1 or received != kind:
        raise GraphError(132012, f"header: Format mismatch, expected {form}, received {received.upper()}")
    content = values[0].get(kind)
    if not isinstance(content, dict):
        raise GraphError(131008, f"header: Parameter of type {kind} is missing its {kind}")
    if form in FORMATS:
        if bool(content.get("id")) == bool(content.get("link")):
            raise GraphError(131009, f"header: exactly one of {kind}.id and {kind}.link is needed")
        return {"type": kind, kind: medium(kind, content)}
    if any(content.get(key) in (None, "") for key in LOCATION):
        raise GraphError(131008, "header: latitude and longitude are required")
    return {"type": kind, kind: content}


def _button(button: Json, index: int, given: Json | None) -> Json:
    """A button as the customer sees it. ``given``: the message's component for it."""
    kind, mode = button["type"], MODES.get(button["type"])
    value = next(iter(_parameters(given or {})), {})
    if given is not None and str(given.get("sub_type") or "").lower() != mode:
        raise GraphError(132018, f"buttons: Button at index {index} is of type {kind}")
    shown: Json = {key: button[key] for key in ("type", "text", "url", "phone_number") if key in button}
    if kind == "QUICK_REPLY":
        return shown | {"payload": str(value.get("payload") or button["text"])}
    if kind == "URL" and variables(button["url"]):
        if not value.get("text"):
            raise GraphError(131008, f"buttons: Button at index {index} of type Url requires a parameter")
        suffix = str(value["text"])
        return shown | {"url": VARIABLE.sub(lambda _: suffix, button["url"]), "value": suffix}
    if kind == "URL" and value:
        raise GraphError(132018, f"buttons: Button at index {index} of type Url takes no parameter")
    if kind == "COPY_CODE":
        code = str(value.get("coupon_code") or "")
        if not code:
            raise GraphError(131008, f"buttons: Button at index {index} of type CopyCode requires a parameter")
        if len(code) > 20:
            raise GraphError(132018, "A coupon code has at most 20 characters.")
        return shown | {"text": button.get("text") or "Copy code", "value": code}
    if kind == "FLOW":
        action = value.get("action")
        return shown | {"flow_token": (action if isinstance(action, dict) else {}).get("flow_token", "unused")}
    return shown
