"""Templates: what may be filled in, what comes out of it, and how one stands at Meta.

A template is taken as Graph tells it: `{"name", "language", "category", "parameter_format", "components"}`. Its places
for values are its `slots`; each has a key that people and programs use alike: `body.1`, `body.first_name`,
`header.1`, `header.image`, `buttons.0`, `offer.expires`, `cards.2.body.1`. `fill` makes the components that the
messages endpoint takes and the text that the customer will read; `read` is its inverse, for whoever comes with
components of their own.

Whether variables are numbered or named is a property of the template (`parameter_format`), never guessed from its
text (Meta: templates, parameter formats). What Meta allows is data in `templates.toml`, with source and date; whether
a template that somebody writes keeps to it says `rules.template_checks`.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]
Values: TypeAlias = Mapping[str, Any]

VARIABLE: Final = re.compile(r"\{\{([^{}]*)\}\}")

# What a kind of value is called in a parameter: its type, and the member that holds it (Meta: template messages).
_PARAMETERS: Final = MappingProxyType(
    {
        "text": ("text", "text"),
        "url": ("text", "text"),
        "payload": ("payload", "payload"),
        "coupon": ("coupon_code", "coupon_code"),
        "flow": ("action", "action"),
        "image": ("image", "image"),
        "video": ("video", "video"),
        "document": ("document", "document"),
        "location": ("location", "location"),
        "expiry": ("limited_time_offer", "limited_time_offer"),
    }
)
MEDIA: Final = frozenset({"image", "video", "document"})
OPTIONAL: Final = frozenset({"payload", "flow"})
"""Meta fills these in itself: the label as payload, an empty token."""
LEGACY: Final = frozenset({"currency", "date_time"})
"""Parameter types that stand for a text; still accepted (Meta: template messages)."""

# Meta writes the body of an authentication template itself, in each language; this is the English one.
AUTHENTICATION_BODY: Final = "*{{1}}* is your verification code."
AUTHENTICATION_ADVICE: Final = " For your security, do not share this code."


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value. `card` is its carousel card, `place` where it stands: header, body, offer or a button's
    index; `like` is the key of the slot whose value it takes if it has none of its own.
    """

    key: str
    kind: str
    name: str
    label: str
    place: str | int
    card: int | None = None
    sub_type: str = ""
    example: str = ""
    like: str = ""

    @property
    def required(self) -> bool:
        return self.kind not in OPTIONAL


@dataclass(frozen=True, slots=True)
class Filled:
    """A template with its values. `text` is the body as it will be read, `header`, `footer` and `buttons` what
    surrounds it on the phone; `missing` are the slots that got nothing, `surplus` the keys that fit none.
    """

    components: tuple[Json, ...]
    text: str
    header: Json | None
    footer: str
    buttons: tuple[Json, ...]
    missing: tuple[Slot, ...]
    surplus: tuple[str, ...]

    @property
    def shown(self) -> Json:
        return {"header": self.header, "footer": self.footer, "buttons": list(self.buttons)}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: `where` is the field, `rule` is meant for programs, `says` and `do` for people. A problem that
    isn't `sure` is told, but doesn't stand in the way.
    """

    where: str
    rule: str
    says: str
    do: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """A state in words: `tone` as the pages have it, `sends` whether it may go out, `edits` whether Meta takes a new
    version.
    """

    word: str
    tone: str
    says: str
    do: str
    sends: bool = False
    edits: bool = False


@cache
def rules() -> MappingProxyType[str, Any]:
    """Everything in templates.toml."""
    return MappingProxyType(tomllib.loads(files(__package__).joinpath("templates.toml").read_text("utf-8")))


def limit(name: str) -> int:
    return int(rules()["limits"][name])


# Reading a template ---------------------------------------------------------------------------------------------------


def is_named(template: Mapping[str, Any]) -> bool:
    """Whether its variables have names. Without a word about it they are numbered, which is Meta's default."""
    return str(template.get("parameter_format") or "POSITIONAL").upper() == "NAMED"


def language(code: str) -> str:
    """Meta writes languages with `_`, people also with `-`."""
    return code.replace("-", "_")


def components(template: Mapping[str, Any]) -> list[Json]:
    return _objects(template.get("components"))


def kind_of(component: Mapping[str, Any], name: str = "type") -> str:
    return str(component.get(name) or "").upper()


def part(parts: Iterable[Json], kind: str) -> Json:
    """The component of that type, or an empty one."""
    return next((one for one in parts if kind_of(one) == kind), {})


def variables(text: str) -> list[str]:
    """The names in `{{…}}`, each once, in the order in which values are given: by number, else as they stand."""
    found = list(dict.fromkeys(VARIABLE.findall(text)))
    return sorted(found, key=int) if all(name.isascii() and name.isdigit() for name in found) else found


def body_text(template: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    if kind_of(template, "category") != "AUTHENTICATION" or body.get("text"):
        return str(body.get("text") or "")
    return AUTHENTICATION_BODY + (AUTHENTICATION_ADVICE if body.get("add_security_recommendation") else "")


def footer_text(footer: Mapping[str, Any]) -> str:
    minutes = footer.get("code_expiration_minutes")
    return f"This code expires in {minutes} minutes." if minutes else str(footer.get("text") or "")


def buttons(parts: Iterable[Json]) -> list[Json]:
    return _objects(part(parts, "BUTTONS").get("buttons"))


def cards(parts: Iterable[Json]) -> list[list[Json]]:
    return [components(card) for card in _objects(part(parts, "CAROUSEL").get("cards"))]


def _objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def slots(template: Mapping[str, Any]) -> tuple[Slot, ...]:
    """Every place for a value, in the order in which they stand on the phone."""
    parts = components(template)
    found = [*_slots(template, parts, None)]
    for index, card in enumerate(cards(parts)):
        found += _slots(template, card, index)
    return tuple(found)


def _slots(template: Mapping[str, Any], parts: Sequence[Json], card: int | None) -> Iterator[Slot]:
    before, of = ("", "") if card is None else (f"cards.{card}.", f" of card {card + 1}")
    header, body = part(parts, "HEADER"), part(parts, "BODY")
    kind = kind_of(header, "format")
    if kind == "TEXT":
        examples = _examples(header, "header_text")
        for name in variables(str(header.get("text") or "")):
            yield Slot(
                f"{before}header.{name}",
                "text",
                name,
                f"{{{{{name}}}}} in the header{of}",
                "header",
                card,
                example=examples.get(name, ""),
            )
    elif kind in rules()["headers"]:
        media = rules()["headers"][kind]["kind"]
        yield Slot(
            f"{before}header.{media}",
            media,
            media,
            f"the header's {media}{of}",
            "header",
            card,
            example=_first(header, "header_handle"),
        )
    offer = part(parts, "LIMITED_TIME_OFFER").get("limited_time_offer")
    if isinstance(offer, dict) and offer.get("has_expiration"):
        yield Slot(f"{before}offer.expires", "expiry", "expires", "the end of the offer", "offer", card)
    examples = _examples(body, "body_text")
    for name in variables(body_text(template, body)):
        yield Slot(
            f"{before}body.{name}",
            "text",
            name,
            f"{{{{{name}}}}} in the text{of}",
            "body",
            card,
            example=examples.get(name, ""),
        )
    for index, button in enumerate(buttons(parts)):
        yield from _button_slot(template, button, index, before, of, card)


def _button_slot(
    template: Mapping[str, Any], button: Json, index: int, before: str, of: str, card: int | None
) -> Iterator[Slot]:
    known = rules()["buttons"].get(kind_of(button)) or {}
    kind = known.get("slot")
    if kind is None or (kind_of(button) == "URL" and not variables(str(button.get("url") or ""))):
        return
    said = {
        "url": "the end of the link of",
        "coupon": "the code of",
        "payload": "the payload of",
        "flow": "the data of",
    }[kind]
    label = str(button.get("text") or known["name"])
    examples = button.get("example")
    example = str(examples[0] if isinstance(examples, list) and examples else examples or "")
    if kind == "url":
        example = example.removeprefix(str(button.get("url") or "").split("{{")[0])
    # Meta wants the code of an authentication template twice: in the text and in its button.
    like = "body.1" if kind_of(template, "category") == "AUTHENTICATION" else ""
    yield Slot(
        f"{before}buttons.{index}", kind, label, f"{said} “{label}”{of}", index, card, known["sub_type"], example, like
    )


def _examples(component: Mapping[str, Any], member: str) -> dict[str, str]:
    """Variable -> example, in either of Meta's two shapes."""
    example = component.get("example")
    if not isinstance(example, dict):
        return {}
    named = example.get(f"{member}_named_params")
    if isinstance(named, list):
        return {str(one.get("param_name")): str(one.get("example", "")) for one in named if isinstance(one, dict)}
    numbered = example.get(member)
    if isinstance(numbered, list) and numbered and isinstance(numbered[0], list):
        numbered = numbered[0]
    return {str(n): str(value) for n, value in enumerate(numbered, 1)} if isinstance(numbered, list) else {}


def _first(component: Mapping[str, Any], member: str) -> str:
    example = component.get("example")
    found = example.get(member) if isinstance(example, dict) else None
    return str(found[0]) if isinstance(found, list) and found else ""


# Filling --------------------------------------------------------------------------------------------------------------


def fill(template: Mapping[str, Any], values: Values, fallbacks: Values = MappingProxyType({})) -> Filled:
    """The template with these values, by slot key; a value that is empty gives way to its fallback."""
    places = slots(template)
    given: dict[str, Any] = {}
    for slot in places:
        found = next(
            (of[key] for key in (slot.key, slot.like) for of in (values, fallbacks) if not _empty(of, key)), None
        )
        if found is not None:
            given[slot.key] = found
    parts = components(template)
    sent = _components(template, [slot for slot in places if slot.card is None], given)
    deck = [
        {"card_index": index, "components": _components(template, [s for s in places if s.card == index], given)}
        for index in range(len(cards(parts)))
    ]
    if deck:
        sent.append({"type": "carousel", "cards": deck})
    text = _shown(body_text(template, part(parts, "BODY")), "body", given)
    return Filled(
        components=tuple(sent),
        text=text,
        header=_header(part(parts, "HEADER"), given),
        footer=footer_text(part(parts, "FOOTER")),
        buttons=tuple({"type": kind_of(one), "text": str(one.get("text") or "")} for one in buttons(parts)),
        missing=tuple(slot for slot in places if slot.required and slot.key not in given),
        surplus=tuple(key for key in values if key not in {slot.key for slot in places}),
    )


def _empty(values: Values, key: str) -> bool:
    value = values.get(key)
    return not value.strip() if isinstance(value, str) else not value


def _components(template: Mapping[str, Any], places: Sequence[Slot], given: Values) -> list[Json]:
    made: dict[str | int, Json] = {}
    for slot in places:
        if slot.key not in given:
            continue
        if slot.place not in made:
            made[slot.place] = _component(slot)
        named = is_named(template) and slot.kind == "text"
        made[slot.place]["parameters"].append(_parameter(slot, given[slot.key], named))
    return list(made.values())


def _component(slot: Slot) -> Json:
    if isinstance(slot.place, int):
        return {"type": "button", "sub_type": slot.sub_type, "index": str(slot.place), "parameters": []}
    return {"type": "limited_time_offer" if slot.place == "offer" else slot.place, "parameters": []}


def _parameter(slot: Slot, value: Any, named: bool) -> Json:
    name = {"parameter_name": slot.name} if named else {}
    if isinstance(value, dict) and value.get("type") in LEGACY:
        return {**value, **name}
    kind, member = _PARAMETERS[slot.kind]
    return {"type": kind, **name, member: value}


def words(value: Any) -> str:
    """A text's value as it is read."""
    if isinstance(value, dict) and value.get("type") in LEGACY:
        return str((value.get(value["type"]) or {}).get("fallback_value", ""))
    return str(value)


def _shown(text: str, place: str, given: Values) -> str:
    def value(found: re.Match[str]) -> str:
        key = f"{place}.{found[1]}"
        return words(given[key]) if key in given else found[0]

    return VARIABLE.sub(value, text)


def _header(header: Json, given: Values) -> Json | None:
    kind = kind_of(header, "format")
    if kind == "TEXT":
        return {"type": "text", "text": _shown(str(header.get("text") or ""), "header", given)}
    if kind not in rules()["headers"]:
        return None
    media = rules()["headers"][kind]["kind"]
    value = given.get(f"header.{media}")
    return {"type": media, media: value if isinstance(value, dict) else {}}


# Reading back ---------------------------------------------------------------------------------------------------------


def read(template: Mapping[str, Any], sent: Any) -> tuple[dict[str, Any], list[Problem]]:
    """The values in components as the messages endpoint takes them, and what in them fits nowhere, one by one."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    places = slots(template)
    for card, component in _each(sent, problems):
        _read_component(template, [slot for slot in places if slot.card == card], component, values, problems)
    return values, problems


def _each(sent: Any, problems: list[Problem]) -> Iterator[tuple[int | None, Json]]:
    """The components with the index of their card."""
    if sent is not None and not isinstance(sent, list):
        problems.append(_misfit("components", "The components aren't a list."))
    for component in sent if isinstance(sent, list) else ():
        if not isinstance(component, dict):
            problems.append(_misfit("components", "A component isn't an object."))
        elif str(component.get("type")).lower() == "carousel":
            for card in _objects(component.get("cards")):
                index = card.get("card_index")
                if isinstance(index, int):
                    yield from ((index, one) for one in _objects(card.get("components")))
                else:
                    problems.append(_misfit("cards", "A card has no card_index."))
        else:
            yield None, component


def _read_component(
    template: Mapping[str, Any],
    places: Sequence[Slot],
    component: Json,
    values: dict[str, Any],
    problems: list[Problem],
) -> None:
    kind = str(component.get("type") or "").lower()
    place: str | int = {"limited_time_offer": "offer"}.get(kind, kind)
    if kind == "button":
        index = str(component.get("index", ""))
        place = int(index) if index.isascii() and index.isdigit() else -1
    here = [slot for slot in places if slot.place == place]
    where = f"button {place + 1}" if isinstance(place, int) else place
    named = is_named(template) and any(slot.kind == "text" for slot in here)
    parameters = component.get("parameters")
    for at, parameter in enumerate(parameters if isinstance(parameters, list) else ()):
        if not isinstance(parameter, dict):
            problems.append(_misfit(where, f"A value of the {where} isn't an object."))
            continue
        name = parameter.get("parameter_name")
        if named and not isinstance(name, str):
            problems.append(
                _misfit(
                    where,
                    f"Value {at + 1} of the {where} has no parameter_name, but this template's variables have names.",
                )
            )
            continue
        if not named and name is not None:
            says = f"Value {at + 1} of the {where} has a parameter_name, but this template's variables have numbers."
            problems.append(_misfit(where, says))
            continue
        slot = next((s for s in here if s.name == name), None) if named else next(iter(here[at : at + 1]), None)
        if slot is None:
            what = f"{{{{{name}}}}}" if named else f"value {at + 1}"
            problems.append(
                Problem(where, "template.surplus", f"The {where} has no place for {what}.", "Leave it out.")
            )
            continue
        kind, member = _PARAMETERS[slot.kind]
        if parameter.get("type") == kind:
            values[slot.key] = parameter.get(member)
        elif slot.kind == "text" and parameter.get("type") in LEGACY:
            values[slot.key] = {key: value for key, value in parameter.items() if key != "parameter_name"}
        else:
            problems.append(
                _misfit(slot.key, f"{_upper(slot.label)} has to be of type {kind}, not {parameter.get('type')}.")
            )


def _misfit(where: str, says: str) -> Problem:
    return Problem(where, "template.shape", says, "Send components as Meta's page on template messages shows them.")


def value_problems(template: Mapping[str, Any], values: Values) -> Iterator[Problem]:
    """What Meta would refuse in these values, one by one (132005, 132018)."""
    for slot in slots(template):
        value = values.get(slot.key)
        if value is None:
            continue
        if slot.kind == "text":
            if re.search(rf"[\n\r\t]| {{{limit('spaces') + 1},}}", words(value)):
                yield Problem(
                    slot.key,
                    "template.value",
                    f"{_upper(slot.label)} has a line break, a tab or {limit('spaces')} spaces in a row.",
                    "Write it on one line.",
                )
        elif slot.kind in MEDIA and not (isinstance(value, dict) and (value.get("id") or value.get("link"))):
            yield Problem(
                slot.key,
                "template.media",
                f"{_upper(slot.label)} is missing.",
                "Give an uploaded file's id, or a link that Meta can fetch.",
            )
    filled = fill(template, values)
    longest = (("text", filled.text, limit("body")), ("header", (filled.header or {}).get("text", ""), limit("header")))
    for what, text, most in longest:
        if len(text) > most:
            yield Problem(
                what,
                "template.too_long",
                f"Filled in, the {what} has {len(text)} characters; WhatsApp allows {most}.",
                "Shorten the values.",
            )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


# How a template stands ------------------------------------------------------------------------------------------------


def status(name: str) -> Told:
    """Total: a state that is new to us doesn't send."""
    line = rules()["status"].get(name.upper())
    if line is None:
        says = f"Meta calls its state {name}, which isn't known here."
        return Told(name.replace("_", " ").capitalize() or "Unknown", "warn", says, "Look at it in WhatsApp Manager.")
    return Told(
        line["word"], line["tone"], line["says"], line["do"], line.get("sends", False), line.get("edits", False)
    )


def explain(name: str, reason: str | None) -> Told:
    """The state with its reason: why it was rejected, or which of Meta's pauses it is."""
    told = status(name)
    line: Mapping[str, str] = {}
    if name.upper() == "PAUSED":
        line = rules()["pause"].get(reason or "", rules()["pause"]["UNKNOWN"])
    elif name.upper() == "REJECTED" and reason:
        line = {"says": f"{told.says} {rules()['rejected'].get(reason, f'Its reason: {reason}.')}"}
    return Told(told.word, told.tone, line.get("says", told.says), line.get("do", told.do), told.sends, told.edits)


def pause_length(reason: str | None) -> timedelta | None:
    """How long a pause lasts that lifts itself; None for one that waits for somebody."""
    hours = rules()["pause"].get(reason or "", {}).get("hours")
    return timedelta(hours=hours) if hours else None


def quality(score: str) -> tuple[str, str]:
    """A badge: tone and word."""
    line = rules()["quality"].get(score.upper(), rules()["quality"]["UNKNOWN"])
    return line["tone"], line["word"]


def may_edit(name: str, edited: Sequence[datetime], now: datetime) -> Problem | None:
    """Whether Meta takes a new version now (4.1). `edited`: when an approved version was replaced before."""
    told = status(name)
    if not told.edits:
        return Problem("", "template.uneditable", f"{told.says} Meta takes no new version of it now.", told.do)
    if name.upper() != "APPROVED":
        return None
    management = rules()["management"]
    for most, span, said in (
        (management["edits_a_day"], timedelta(days=1), "24 hours"),
        (management["edits_a_month"], timedelta(days=30), "30 days"),
    ):
        recent = sorted(at for at in edited if now - at < span)
        if len(recent) >= most:
            free = recent[-most] + span
            times = "once" if most == 1 else f"{most} times"
            return Problem(
                "",
                "template.edited",
                f"An approved template can be changed {times} in {said}.",
                f"It can be changed again from {free:%d %B %Y, %H:%M} UTC on.",
            )
    return None


def may_reuse(name: str, deleted: Mapping[str, datetime], now: datetime) -> Problem | None:
    """Whether a name may be given again. `deleted`: names of approved templates with when they were deleted."""
    at = deleted.get(name)
    span = timedelta(days=rules()["management"]["name_blocked_days"])
    if at is None or now - at >= span:
        return None
    return Problem(
        "name",
        "name.blocked",
        f"A template of this name was deleted on {at:%d %B}. Meta keeps the name of an "
        f"approved template blocked for {span.days} days.",
        f"Choose another name, or wait until {at + span:%d %B %Y}.",
    )
