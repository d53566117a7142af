"""A definition in words: each part as the sentence that its card reads, and what changed between two of them.

Drafts come here as they are being written, so nothing is taken for granted: what can't be read yet is called by its
kind's name.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

from twinline.automations import forms
from twinline.automations.problems import Path, path_of
from twinline.kit.markup import rich
from twinline.rules.automations import asking, words
from twinline.rules.automations.program import BLOCKS, DEFAULTS, duration, one, spell
from twinline.templates.words import Bubble

Json = Mapping[str, Any]

LONG: Final = 90
PLACEHOLDER: Final = re.compile(r"\{\{([^{}]*)\}\}")
NAMED: Final = MappingProxyType(
    {
        "contact.name": "their name", "contact.phone": "their phone number", "contact.language": "their language",
        "message.text": "what they wrote", "message.choice": "what they chose", "message.title": "what they chose",
        "number.name": "your number's name",
    }
)  # fmt: skip
KINDS: Final = MappingProxyType(
    {
        "number": "a number", "email": "an e-mail address", "phone": "a phone number", "date": "a date",
    }
)  # fmt: skip
UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What a draft that isn't fit yet may come to."""


# --- steps ----------------------------------------------------------------------------------------------------------


def named(placeholder: str) -> str:
    """What stands between the braces, as people call it."""
    path, _, behind = (part.strip() for part in placeholder.partition("|"))
    if path == "now":
        return {"date": "today's date", "weekday": "the day of the week"}.get(behind, "the time")
    if path in NAMED:
        return NAMED[path]
    rest = path.removeprefix("contact.fields.").removeprefix("vars.")
    return rest.replace("_", " ").replace(".", " ") or "…"


def plain(text: str) -> str:
    """“Hello [their name]!”: without the braces."""
    return PLACEHOLDER.sub(lambda found: f"[{named(found[1])}]", text)


def quoted(text: Any) -> str:
    line = " ".join(plain(str(text or "")).split())
    return f"“{line if len(line) <= LONG else f'{line[: LONG - 1]}…'}”" if line else "…"


def length(text: Any) -> str:
    return spell(duration(text))


def listed(values: Sequence[Any], joined: str = "and") -> str:
    named = [str(value) for value in values]
    return f" {joined} ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else "".join(named)


def _send(given: Json) -> str:
    kind = given.get("type") or "text"
    text = quoted(given.get("text") or given.get("caption"))
    choices = [row.get("title") for row in rows(given)]
    match kind:
        case "text":
            return f"Say {text}"
        case "buttons":
            return f"Say {text} with the buttons {listed(choices) or '…'}"
        case "list":
            return f"Say {text} with a list: {listed(choices) or '…'}"
        case "cta_url":
            return f"Say {text} with a link to {given.get('url') or '…'}"
        case "template":
            return f"Send the template “{(given.get('template') or {}).get('name') or '…'}”"
        case "location":
            return f"Send a place{': ' + str(given['name']) if given.get('name') else ''}"
        case "contacts":
            return (
                f"Send the contact {listed([card.get('name') or '…' for card in given.get('contacts') or ()]) or '…'}"
            )
        case "reaction":
            return f"React with {given.get('emoji') or '…'}"
        case "flow":
            return f"Say {text} with a form"
    what = {
        "image": "a picture",
        "video": "a video",
        "audio": "a recording",
        "document": "a document",
        "sticker": "a sticker",
    }
    named = what.get(str(kind), f"a message ({kind})")
    return f"Send {named}" + (f": {text}" if given.get("caption") else "")


def _ask(given: Json) -> str:
    choices = [row.get("title") for row in rows(given)]
    said = f"Ask {quoted(given.get('text'))}"
    if choices:
        said += f" ({listed(choices, 'or')})"
    kind = KINDS.get(str(given.get("kind")))
    if given.get("save"):
        said += f" and keep {kind or 'it'} as {given['save']}"
    elif kind:
        said += f" and wait for {kind}"
    if given.get("timeout"):
        said += f"; after {length(given['timeout'])} {_without(given.get('on_timeout'))}"
    return said


def _without(steps: Sequence[Json] | None) -> str:
    """What happens where nobody answers."""
    if not steps:
        return "end" if steps is None else "go on"
    return {"end": "end", "release": "hand to a person"}.get(next(iter(steps[0])), "go another way")


def _branch(given: Sequence[Json]) -> str:
    ways = sum(1 for case in given if not case.get("otherwise"))
    return f"Then it depends: {ways} way{'' if ways == 1 else 's'}" + (
        ", or otherwise" if given and given[-1].get("otherwise") else ""
    )


def _set(given: Json) -> str:
    if given.get("var"):
        return f"Remember {quoted(given.get('to'))} as {given['var']}"
    return f"Write {quoted(given.get('to'))} into the field {given.get('field') or '…'}"


def _tag(given: Json) -> str:
    parts = []
    if given.get("add"):
        parts.append(f"give the tag {listed([quoted(tag) for tag in given['add']])}")
    if given.get("remove"):
        parts.append(f"take away the tag {listed([quoted(tag) for tag in given['remove']])}")
    said = " and ".join(parts) or "give a tag …"
    return said[0].upper() + said[1:]


def _assign(given: Json) -> str:
    to = given.get("to") or "…"
    return "Assign the chat to nobody" if to == "nobody" else f"Assign the chat to {to}"


def _call(given: Json) -> str:
    said = f"Ask {given.get('url') or '…'}"
    if given.get("connection"):
        said += f" through “{given['connection']}”"
    return said + (f" and keep the answer as {given['save']}" if given.get("save") else "")


def _agent(given: Json) -> str:
    said = f"Let the AI “{given.get('connection') or '…'}” answer"
    if given.get("knowledge"):
        said += f" from {listed(given['knowledge'])}"
    return said + (", each answer approved by a person" if given.get("approve") else "")


STEPS: Final[Mapping[str, Callable[[Any], str]]] = MappingProxyType(
    {
        "send": _send,
        "ask": _ask,
        "branch": _branch,
        "wait": lambda given: f"Wait {length(given)}",
        "set": _set,
        "tag": _tag,
        "assign": _assign,
        "note": lambda given: f"Note for the team: {quoted(given)}",
        "call": _call,
        "start": lambda given: f"Go on with the automation {quoted(given.get('automation'))}",
        "bot": lambda given: f"Hand to the bot {quoted(given.get('connection'))}",
        "agent": _agent,
        "release": lambda given: (
            "Hand the chat to a person and fall silent" + (f": {quoted(given['note'])}" if given.get("note") else "")
        ),
        "end": lambda given: "End",
    }
)


def rows(given: Json) -> list[Json]:
    """What can be chosen in a message or a question."""
    said = [*(given.get("choices") or ()), *(given.get("buttons") or ())]
    for section in given.get("sections") or ():
        said += section.get("rows") or ()
    return [row if isinstance(row, Mapping) else {"title": row} for row in said]


def step(said: Json) -> str:
    """“Ask “What's your e-mail?” and keep it as email; after 30 minutes go on”."""
    return _told(said, STEPS, forms.STEPS)


def trigger(said: Json) -> str:
    """“A message with the word “price””."""
    told = _told(said, words.TRIGGERS, forms.TRIGGERS)
    return told[:1].upper() + told[1:]


def _told(said: Json, table: Mapping[str, Callable[[Any], str]], offers: Mapping[str, Json]) -> str:
    try:
        kind, given = one(said)
        return plain(table[kind](given))
    except UNREADABLE:
        kind = next(iter(said), "") if isinstance(said, Mapping) else ""
        return str(offers[kind]["label"]) if kind in offers else f"{kind or 'Nothing'}: not known here"


# --- conditions -----------------------------------------------------------------------------------------------------


def condition(said: Json, titles: Mapping[str, str]) -> str:
    try:
        kind, given = one(said)
        if kind == "choice":
            return f"they chose {quoted(titles.get(given, given))}"
        if kind == "not":
            return f"not: {condition(given, titles)}"
        if kind in ("any", "all"):
            return listed([condition(each, titles) for each in given], "or" if kind == "any" else "and") or "…"
        return plain(words.CONDITIONS[kind](given))
    except UNREADABLE:
        return "…"


def conditions(said: Sequence[Json], titles: Mapping[str, str]) -> str:
    return " and ".join(condition(each, titles) for each in said)


def case(said: Json, titles: Mapping[str, str]) -> str:
    """What stands above a way of a branch."""
    when = said.get("when")
    told = conditions(when, titles) if isinstance(when, list) else ""
    return "Otherwise" if said.get("otherwise") else f"If {told or '…'}"


def settings(said: Json) -> str:
    """How often, and how long it is silent after a person."""
    told = []
    try:
        if said.get("once_per"):
            told.append(f"at most once every {length(said['once_per'])} in one chat")
        pause = said.get("pause_on_phone")
        told.append(f"silent {f'for {length(pause)} ' if pause else ''}after a reply from the phone")
        if isinstance(said.get("numbers"), list):
            count = len(said["numbers"])
            told.append(f"on {count} number{'' if count == 1 else 's'}")
    except UNREADABLE:
        return "How often, and when it falls silent"
    text = "; ".join(told)
    return text[:1].upper() + text[1:]


# --- the end --------------------------------------------------------------------------------------------------------

GOES_ON: Final = MappingProxyType(
    {
        "release": "A person goes on from here, and it is silent until they hand the chat back.",
        "start": "The other automation goes on from here.",
    }
)
ONCE: Final = MappingProxyType(
    {
        "first_contact": "a chat has only one first message",
        "schedule": "that day comes only once",
    }
)
"""Why a trigger doesn't come a second time; a schedule's, if it has a date."""
AGAIN: Final[Mapping[str, Callable[[Any], str]]] = MappingProxyType(
    {
        "referral": lambda given: "when they come by an ad once more",
        "tag_added": lambda given: f"when the tag “{given['tag']}” is given once more",
        "api": lambda given: "when it is started by hand or by a program",
        "schedule": lambda given: f"at {words.TRIGGERS['schedule'](given)}",
    }
)


def ending(definition: Json) -> str:
    """What comes behind the last step: who goes on, and what begins it anew in the same chat."""
    try:
        last = next(iter(definition["steps"][-1]), "") if definition.get("steps") else ""
        return " ".join(filter(None, (GOES_ON.get(last, "The end."), _again(definition))))
    except UNREADABLE:
        return "The end."


def _again(definition: Json) -> str:
    triggers = [one(said) for said in definition.get("triggers") or ()]
    once = [kind for kind, given in triggers if kind == "first_contact" or (kind == "schedule" and given.get("date"))]
    again = [(kind, given) for kind, given in triggers if kind not in once]
    if not again:
        return f"It doesn't begin again here: {listed([ONCE[kind] for kind in dict.fromkeys(once)])}." if once else ""
    if any(kind == "message" for kind, _ in again):
        said = "The next message begins it anew"
    else:
        with_ = [
            AGAIN[kind](given) if kind in AGAIN else f"with {words.TRIGGERS[kind](given)}" for kind, given in again
        ]
        said = f"It begins anew {listed(with_, 'or')}"
    if definition.get("when"):
        said += f", if {conditions(definition['when'], titles(definition))}"
    once_per = (definition.get("settings") or {}).get("once_per")
    return f"{said}, at the earliest {length(once_per)} after it last began." if once_per else f"{said}."


# --- a whole definition -----------------------------------------------------------------------------------------------


def walk(steps: Any, before: Path = ("steps",)) -> Iterator[tuple[Path, Json]]:
    """Every step of a draft with its path, as far as it can be read."""
    for index, said in enumerate(steps if isinstance(steps, list) else ()):
        if not isinstance(said, Mapping) or not said:
            continue
        here = (*before, index)
        yield here, said
        kind, given = next(iter(said.items()))
        if kind == "branch":
            for place, way in enumerate(given if isinstance(given, list) else ()):
                if isinstance(way, Mapping):
                    yield from walk(way.get("steps"), (*here, "branch", place, "steps"))
        elif isinstance(given, Mapping):
            for name in BLOCKS.get(kind, ()):
                yield from walk(given.get(name), (*here, kind, name))


def titles(definition: Json) -> dict[str, str]:
    """What stands on each choice, by its id."""
    found: dict[str, str] = {}
    for _, said in walk(definition.get("steps")):
        given = next(iter(said.values()))
        if isinstance(given, Mapping):
            for row in _rows(given):
                found[str(row.get("id"))] = str(row.get("title") or row.get("id"))
    return found


def _rows(given: Json) -> list[Json]:
    try:
        return [row for row in rows(given) if isinstance(row, Mapping) and row.get("id")]
    except UNREADABLE:
        return []


def sentences(definition: Json) -> dict[str, str]:
    """Of triggers, steps, ways of branches, settings and the end, by their path: ``/steps/0``."""
    said: dict[str, str] = {}
    named = titles(definition)
    for index, each in enumerate(definition.get("triggers") or ()):
        said[f"/triggers/{index}"] = trigger(each)
    for path, each in walk(definition.get("steps")):
        key = "/" + "/".join(map(str, path))
        said[key] = step(each)
        if isinstance(each.get("branch"), list):
            for index, way in enumerate(each["branch"]):
                if isinstance(way, Mapping):
                    said[f"{key}/branch/{index}"] = case(way, named)
    if isinstance(definition.get("settings"), Mapping):
        said["/settings"] = settings(definition["settings"])
    said["/end"] = ending(definition)
    return said


def by_path(definition: Json) -> dict[str, str]:
    """The sentence of each step, by its path as runs have it: ``2.branch.0.1``."""
    return {path_of(path): step(said) for path, said in walk(definition.get("steps"))}


def _begins(definition: Json) -> list[Json]:
    """Its triggers, whatever stands in their place in an unfinished draft."""
    said = definition.get("triggers")
    return [each for each in said if isinstance(each, Mapping)] if isinstance(said, list) else []


def symbol(definition: Json) -> str:
    """The icon of what begins it."""
    kind = next((kind for each in _begins(definition) for kind in each), "")
    return str(forms.TRIGGERS[kind]["icon"]) if kind in forms.TRIGGERS else "bolt"


def summary(definition: Json) -> str:
    """What begins it, in a line."""
    told = [trigger(each) for each in _begins(definition)]
    return listed([told[0], *(each[:1].lower() + each[1:] for each in told[1:])], "or") if told else "Nothing begins it"


def place(path: Path) -> str:
    """A path as it is written in YAML: ``steps[2].ask.text``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


# --- what changed -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """``kind``: added, removed or changed. ``before`` is what stood there; ``where``: inside of what."""

    kind: str
    says: str
    before: str = ""
    where: str = ""


def changes(before: Json | None, after: Json) -> list[Change]:
    """In the order of reading."""
    if before is None:
        return [Change("added", says, where=where) for where, says, _ in _lines(after)]
    old, new = list(_lines(before)), list(_lines(after))
    found: list[Change] = []
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    for kind, first, last, begin, end in blocks:
        if kind == "equal":
            continue
        gone, come = old[first:last], new[begin:end]
        for place in range(max(len(gone), len(come))):
            was, now = (each[place] if place < len(each) else None for each in (gone, come))
            if was and now:
                same = was[:2] == now[:2]
                found.append(Change("changed", now[1], was[1] if not same else "Details of it", now[0]))
            elif now:
                found.append(Change("added", now[1], where=now[0]))
            elif was:
                found.append(Change("removed", was[1], where=was[0]))
    return found


def _lines(definition: Json) -> Iterator[tuple[str, str, str]]:
    """Each part: inside of what, its sentence, and itself without what is inside of it."""
    named = titles(definition)
    yield "", f"Name: {definition.get('name', '')}", ""
    for each in definition.get("triggers") or ():
        yield "When", trigger(each), repr(each)
    for each in definition.get("when") or ():
        yield "Only if", condition(each, named), repr(each)
    yield "", settings(definition.get("settings") or {}), repr(definition.get("settings") or {})
    for path, each in walk(definition.get("steps")):
        yield _inside(definition, path, named), step(each), repr(_alone(each))


def _alone(said: Json) -> Any:
    kind, given = next(iter(said.items()))
    if kind == "branch":
        return [{name: part for name, part in way.items() if name != "steps"} for way in given]
    if not isinstance(given, Mapping):
        return given
    return {name: part for name, part in given.items() if name not in BLOCKS.get(kind, ())}


def _inside(definition: Json, path: Path, named: Mapping[str, str]) -> str:
    """“If they chose “Menu””: the way or the block that a step stands in."""
    for place in range(len(path) - 1, 0, -1):
        if path[place] == "steps" and path[place - 2] == "branch":
            way: Any = definition
            for part in path[:place]:
                way = way[part]
            return case(way, named)
        for lanes in (offer.get("lanes", ()) for offer in forms.STEPS.values()):
            for name, title in lanes:
                if path[place] == name:
                    return str(title)
    return ""


# --- bubbles ----------------------------------------------------------------------------------------------------------


def filled(text: Any) -> Markup:
    """WhatsApp's markup, and what isn't filled in yet to be seen."""
    marked = PLACEHOLDER.sub(lambda found: f"\x02{named(found[1])}\x03", str(text or ""))
    return Markup(str(rich(marked)).replace("\x02", '<mark class="variable">').replace("\x03", "</mark>"))  # noqa: S704


SHOWN: Final = frozenset({"image", "video", "document", "audio", "sticker", "location", "contacts"})
"""Messages that are more than their words."""


def bubble(message: Json) -> Bubble:
    """A message as the customer's phone shows it. A template is drawn by ``templates.words``."""
    kind = str(message.get("type") or "text")
    header = message.get("header")
    above = header.get("type", "") if isinstance(header, Mapping) else ""
    buttons: tuple[tuple[str, str], ...] = ()
    if kind == "list":
        buttons = (("list", str(message.get("button") or DEFAULTS["ask"]["button"])),)
    elif kind in ("cta_url", "flow"):
        buttons = (("open", str(message.get("button") or "…")),)
    text = message.get("text") or message.get("caption")
    if kind == "location":
        text = "\n".join(str(message[name]) for name in ("name", "address") if message.get(name)) or "A place"
    elif kind == "contacts":
        cards = message.get("contacts") or ()
        text = "\n".join(" ".join(str(card.get(name) or "") for name in ("name", "phone")) for card in cards)
    elif kind == "reaction":
        text = message.get("emoji")
    return Bubble(
        media=kind if kind in SHOWN else above,
        header=filled(header) if isinstance(header, str) else Markup(""),
        offer="",
        text=filled(text),
        footer=str(message.get("footer") or ""),
        buttons=buttons,
        cards=(),
    )


def question(given: Json) -> dict[str, Any]:
    """An ask as the message that it sends."""
    ask = {**given, "choices": rows({"choices": given.get("choices")})}
    return asking.message(ask, str(given.get("text") or ""), str(given.get("button") or DEFAULTS["ask"]["button"]))
