"""The editor's side of the server: what a draft comes to while it is written, as YAML, on the test panel, published.

The page holds the definition as JSON and sends all of it each time; what is wrong with it, how it reads and how its
messages look is said here, in one place, and answered by the paths of its parts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import yaml
from starlette.exceptions import HTTPException
from starlette.requests import Request

from twinline.automations import forms, known, notation, schema, simulate, words
from twinline.automations import queries as automations
from twinline.automations.models import Automation
from twinline.automations.problems import Lack, Path, Problem, Unfit, path_of, where
from twinline.automations.sense import Known, check
from twinline.automations.simulate import Did
from twinline.campaigns.zones import zone_of
from twinline.contacts import queries as contacts
from twinline.contacts import service as making
from twinline.db import Tx
from twinline.kit.html import environment
from twinline.numbers import queries as numbers
from twinline.rules import templates as template_rules
from twinline.rules.automations import triggers
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import Program, duration, one
from twinline.rules.automations.run import Came
from twinline.rules.automations.triggers import Happening
from twinline.templates import words as template_words

Json = dict[str, Any]

MOST_BYTES: Final = 600_000
CUSTOMER: Final = {"name": "Ana Prado", "phone": "351910000000", "language": "en", "fields": {}, "tags": []}
"""Who writes on the test panel."""

TEMPLATES: Final = """
SELECT DISTINCT ON (name, language) name, language, category, components, parameter_format FROM templates
WHERE organisation_id = %(organisation)s AND status = 'APPROVED' AND gone_at IS NULL ORDER BY name, language, waba_id
"""
CAMPAIGNS: Final = """
SELECT id, name FROM campaigns WHERE organisation_id = %(organisation)s ORDER BY id DESC LIMIT 50
"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the organisation has that a definition may speak of. ``offered``: the same for the editor's menus."""

    known: Known
    templates: Mapping[tuple[str, str], Json]
    offered: Json


async def surroundings(tx: Tx, organisation_id: int, own: str) -> Surroundings:
    """``own``: the automation's name, which it needn't start itself by."""
    here = await known.known(tx, organisation_id)
    rows = await tx.rows(TEMPLATES, {"organisation": organisation_id})
    templates = {
        (name, language): {"name": name, "language": language, "category": category, "components": components,
                           "parameter_format": parameters}
        for name, language, category, components, parameters in rows
    }  # fmt: skip
    campaigns = await tx.rows(CAMPAIGNS, {"organisation": organisation_id})
    fields = await contacts.fields(tx, organisation_id)
    all_numbers = await numbers.numbers(tx, organisation_id)
    calls = [name for name, kind in here.connections.items() if kind == "http"]
    tools = [
        ("tag", "give tags"), ("set", "write fields"), ("assign", "assign the chat"), ("note", "leave notes"),
        ("release", "hand to a person"), ("end", "end"),
    ]  # fmt: skip
    offered = {
        "tags": [[tag, tag] for tag in here.tags],
        "fields": [[field.key, field.label] for field in fields],
        "users": [["nobody", "nobody"], *([user, user] for user in here.users)],
        "automations": [[name, name] for name in here.automations],
        "connections": [[name, f"{name} ({kind})"] for name, kind in here.connections.items()],
        "knowledge": [[name, name] for name in here.knowledge],
        "tools": [*map(list, tools), *([f"call:{name}", f"ask {name}"] for name in calls)],
        "campaigns": [[campaign, name or "Untitled"] for campaign, name in campaigns],
        "numbers": [[one.id, one.name] for one in all_numbers],
        "templates": [
            {"name": name, "language": language, "slots": _slots(spec)} for (name, language), spec in templates.items()
        ],
    }
    return Surroundings(here, templates, offered)


def _slots(spec: Json) -> list[dict[str, str]]:
    return [
        {"key": slot.key, "label": slot.label[:1].upper() + slot.label[1:]}
        for slot in template_rules.slots(spec)
        if slot.kind in ("text", "url")
    ]


# --- reading --------------------------------------------------------------------------------------------------------


async def body(request: Request) -> Json:
    """What the editor sent. Raises HTTPException."""
    if int(request.headers.get("content-length") or 0) > MOST_BYTES:
        raise HTTPException(413, "This automation is larger than one can be. Make two of it.")
    try:
        given = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise HTTPException(400, "The page sent something that can't be read. Reload it and try once more.")
    return given


def drawable(definition: Any) -> bool:
    """Whether the editor can draw it: as deep as it goes, every part has its kind."""
    return (
        isinstance(definition, dict)
        and _parts(definition.get("triggers", []))
        and _conditions(definition.get("when", []))
        and isinstance(definition.get("settings", {}), dict)
        and _parts(definition.get("steps", []))
        and all(_drawable(said) for _, said in words.walk(definition.get("steps", [])))
    )


def _parts(said: Any) -> bool:
    return isinstance(said, list) and all(isinstance(one, dict) and len(one) == 1 for one in said)


def _conditions(said: Any) -> bool:
    if not _parts(said):
        return False
    inner = [(kind, given) for one in said for kind, given in one.items() if kind in ("not", "any", "all")]
    return all(_conditions([given] if kind == "not" else given) for kind, given in inner)


def _drawable(said: Mapping[str, Any]) -> bool:
    [(kind, given)] = said.items()
    if kind == "branch":
        cases = isinstance(given, list) and all(isinstance(case, dict) for case in given)
        return cases and all(_conditions(case.get("when", [])) and _parts(case.get("steps", [])) for case in given)
    if kind not in forms.STEPS or not isinstance(given, dict):
        return kind in ("wait", "note") and isinstance(given, str)
    lists = [given.get(name, []) for name in ("choices", "buttons", "sections", "contacts")]
    rows = [row for section in lists[2] if isinstance(section, dict) for row in section.get("rows", [])]
    lanes = [given[name] for name, _ in forms.STEPS[kind].get("lanes", ()) if given.get(name) is not None]
    return (
        all(isinstance(one, list) and all(isinstance(row, dict) for row in one) for one in [*lists, rows])
        and all(map(_parts, lanes))
    )  # fmt: skip


async def definition_of(given: Json) -> Json:
    definition = given.get("definition")
    if not drawable(definition):
        raise HTTPException(400, "The page sent a definition that can't be read. Reload it and try once more.")
    assert isinstance(definition, dict)
    return definition


# --- what a draft comes to ------------------------------------------------------------------------------------------


def problems(definition: Any, here: Known) -> list[Problem]:
    """What keeps it from being published, then what should be looked at."""
    try:
        return list(check(schema.read(definition), here))
    except Unfit as error:
        return list(error.problems)


EMPTY: Final = "This is still empty."


def as_json(found: Problem, definition: Any = None) -> Json:
    """The place is seen in the flow, so that the sentence needn't say it; nor what an empty field can't be."""
    empty = definition is not None and _at(definition, found.path) in ("", None)
    says = EMPTY if empty else found.says.removeprefix(where(found.path))
    return {
        "path": list(found.path),
        "says": says[:1].upper() + says[1:] + ("" if says[-1:] in ".?!" else "."),
        "warning": found.level == "warning",
        "lacks": {"what": found.lacks.what, "name": found.lacks.name} if found.lacks else None,
    }


MADE_HERE: Final = ("field", "tag")
MADE_AT: Final = {
    "template": ["/templates", "Go to the templates"],
    "connection": ["/automations/connections", "Go to the connections"],
    "knowledge": ["/automations/knowledge", "Go to what agents may read"],
    "hours": ["/numbers/{name}/automations", "Set its business hours"],
}
"""Where what a definition lacks is made; ``{name}`` is its name."""


def lacking(definition: Json, here: Known, what: str) -> list[Lack]:
    """The fields or tags that it speaks of and that aren't there, each once."""
    found = [one.lacks for one in problems(definition, here) if one.lacks and one.lacks.what == what]
    return list(dict.fromkeys(found))


async def make(tx: Tx, organisation_id: int, wanted: Sequence[Lack], now: datetime) -> None:
    """Makes these fields and tags. Raises ContactError."""
    await making.note_tags(tx, organisation_id, [one.name for one in wanted if one.what == "tag"], now)
    for lack in wanted:
        if lack.what == "field":
            label = lack.name.replace("_", " ").capitalize()
            await making.add_field(tx, organisation_id, label, lack.kind, now, key=lack.name)


def _at(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def previews(definition: Json, keys: list[Any], here: Surroundings) -> dict[str, str]:
    """The bubbles of these steps, as HTML, by path."""
    wanted, drawn = set(map(str, keys)), {}
    for path, said in words.walk(definition.get("steps", [])):
        key = "/" + "/".join(map(str, path))
        [(kind, given)] = said.items()
        if key in wanted and kind in ("send", "ask"):
            try:
                message = given if kind == "send" else words.question(given)
                drawn[key] = draw(message, here)
            except words.UNREADABLE:
                drawn[key] = ""
    return drawn


def draw(message: Json, here: Surroundings, *, at: datetime | None = None) -> str:
    """``at``: when it comes on the test panel, where its buttons can be pressed."""
    template = message.get("template") or {}
    spec = here.templates.get((str(template.get("name")), str(template.get("language"))))
    if message.get("type") == "template" and spec is not None:
        values = {key: value for key, value in (template.get("values") or {}).items() if isinstance(value, str)}
        bubble = template_words.bubble(spec, values)
        choices: list[Any] = []
    else:
        bubble = words.bubble(message)
        choices = [{**row, "title": str(row.get("title") or "…")} for row in words.rows(message)]
        if message.get("type") == "template":
            bubble = words.bubble({"text": f"The template “{template.get('name') or '…'}”"})
    return environment.get_template("automations/bubble.html").render(
        bubble=bubble, choices=choices, listed=message.get("type") == "list", at=at
    )


# --- YAML -----------------------------------------------------------------------------------------------------------


def to_yaml(definition: Json) -> str:
    """As people write it; a draft that isn't fit as it stands."""
    try:
        return schema.to_yaml(schema.read(definition))
    except Unfit:
        return notation.write(_ordered(definition) if drawable(definition) else definition)


def _ordered(definition: Json) -> Json:
    """A draft as its parts follow each other in the editor: the database keeps no order of keys."""
    first = ("name", "description", "triggers", "when", "settings", "steps")
    said = {name: definition[name] for name in (*first, *definition) if definition.get(name) not in (None, {}, "")}
    if isinstance(said.get("settings"), dict):
        kept = {name: part for name, part in said["settings"].items() if part != {}}
        said = {name: kept if name == "settings" else part for name, part in said.items() if name != "settings" or kept}
    return {**said, "steps": [_step(one) for one in definition.get("steps", [])]}


def _step(said: Json) -> Json:
    [(kind, given)] = said.items()
    if kind == "branch":
        ways = [{**way, "steps": [_step(one) for one in way.get("steps", [])]} for way in given]
        return {kind: [{name: way[name] for name in ("when", "otherwise", "steps") if name in way} for way in ways]}
    if not isinstance(given, dict) or kind not in forms.STEPS:
        return said
    offer = forms.STEPS[kind]
    lanes = [name for name, _ in offer.get("lanes", ())]
    names = [field["name"] for field in offer["fields"]]
    ordered = {name: given[name] for name in (*names, *given) if name in given and name not in lanes}
    return {
        kind: ordered | {name: [_step(one) for one in given[name]] for name in lanes if given.get(name) is not None}
    }


def of_yaml(text: str, here: Known) -> tuple[Json | None, list[Json]]:
    """The definition, if it can be drawn, and what is wrong by line."""
    try:
        data = schema.parsed(text)
    except Unfit as error:
        found = error.problems
        return None, [{**as_json(one), **_line_said(one.says), "where": ""} for one in found]
    try:
        definition = schema.read(data)
        found = tuple(check(definition, here))
    except Unfit as error:
        definition, found = data, error.problems
    lines = Lines(text)
    told = [{**as_json(one), "line": lines.of(one.path), "where": words.place(one.path)} for one in found]
    return (definition if drawable(definition) else None), told


def _line_said(says: str) -> Json:
    """The line that a sentence begins with, apart from what it says."""
    told = re.fullmatch(r"Line (\d+): (.+)", says, re.DOTALL)
    return {"line": int(told[1]), "says": told[2][:1].upper() + told[2][1:]} if told else {"line": None, "says": says}


class Lines:
    """Where the parts of a YAML text stand."""

    def __init__(self, text: str) -> None:
        try:
            self._root = yaml.compose(text, Loader=notation.Loader)
        except (yaml.YAMLError, RecursionError):
            self._root = None

    def of(self, path: Path) -> int | None:
        """The line, from 1, of what a path leads to, or of what is nearest around it."""
        node, line = self._root, None
        for part in path:
            found: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        found, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = node.value[part]
                line = found.start_mark.line + 1
            if found is None:
                break
            node = found
        return line


# --- the test panel -------------------------------------------------------------------------------------------------


FURTHEST: Final = timedelta(days=731)
"""How far from now a simulated conversation may begin."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a simulated conversation takes place: the first number that the automation is for, and what its clock says
    when it begins. ``number_id`` None: there is no number yet.
    """

    facts: Facts
    hours: Hours
    pause: timedelta
    number_id: int | None

    def at(self, said: Any) -> datetime:
        """A moment as the page sends it, on the number's clock: ``2026-11-23T21:00``. Raises ValueError."""
        try:
            moment = datetime.fromisoformat(str(said)).replace(tzinfo=self.facts.now.tzinfo)
        except ValueError:
            raise ValueError("Choose a day and a time.") from None
        if abs(moment - self.facts.now) > FURTHEST:
            raise ValueError("Choose a day that is at most two years away.")
        return moment

    def beginning(self, said: Any) -> "Scene":
        """The same at another moment, if one is said. Raises ValueError."""
        return replace(self, facts=replace(self.facts, now=self.at(said))) if said else self

    def now(self, state: Json | None) -> datetime:
        """What the clock says where a conversation stands."""
        return datetime.fromisoformat(state["now"]).astimezone(self.facts.now.tzinfo) if state else self.facts.now

    def clock(self, state: Json | None) -> Json:
        """The same for the page; ``open``: None where the number has no business hours."""
        now = self.now(state)
        return {
            "at": now.strftime("%Y-%m-%dT%H:%M"),
            "zone": str(now.tzinfo),
            "open": self.hours.open_at(now) if self.hours.week else None,
            "number": self.number_id,
        }


async def scene(tx: Tx, organisation_id: int, definition: Json, now: datetime) -> Scene:
    chosen = (definition.get("settings") or {}).get("numbers")
    everywhere = await numbers.numbers(tx, organisation_id)
    mine = [one for one in everywhere if not isinstance(chosen, list) or one.id in chosen] or everywhere
    contact, nothing = dict(CUSTOMER), Hours.of(None)
    if not mine:
        facts = Facts(now.astimezone(ZoneInfo("UTC")), contact, {"name": "Your number"}, window_open=False)
        return Scene(facts, nothing, simulate.PAUSE, None)
    place = mine[0]
    settings = await automations.settings(tx, place.id)
    assert settings is not None
    zone = ZoneInfo(settings.zone or zone_of(place.display_phone, "UTC"))
    facts = Facts(now.astimezone(zone), contact, {"name": place.name}, window_open=False)
    return Scene(facts, Hours.of(settings.hours), settings.pause, place.id)


def event(given: Json, program: Program, now: datetime) -> simulate.Event | None:
    """What whoever plays let happen, at a moment of the play. Raises ValueError."""
    if given.get("said"):
        referral = {"source_id": str(given["referral"])} if given.get("referral") else None
        campaign = int(given["campaign"]) if given.get("campaign") else None
        return simulate.Said(Turn((str(given["said"])[:4096],), ("text",), referral=referral, campaign=campaign))
    if given.get("choice"):
        title = str(given.get("title") or "")
        return simulate.Said(Turn((title,), ("interactive",), choice=str(given["choice"]), title=title))
    if given.get("passed"):
        return simulate.Passed(duration(str(given["passed"])))
    if given.get("due"):
        schedules = [said for kind, said in map(one, program.triggers) if kind == "schedule"]
        moments = [at for at in (triggers.next_time(said, now) for said in schedules) if at is not None]
        if not moments:
            raise ValueError("Its day is over. Choose an earlier one.")
        return simulate.Passed(min(moments) - now)
    if given.get("replied") in ("phone", "inbox"):
        return simulate.Replied(given["replied"])
    if given.get("handed"):
        return simulate.HandedBack()
    if given.get("started"):
        return simulate.Started()
    if given.get("tagged"):
        return simulate.Happened(Happening("tag_added", tag=str(given["tagged"])))
    if given.get("opted") in ("opted_in", "opted_out"):
        return simulate.Happened(Happening(given["opted"], topic=str(given.get("topic") or "")))
    if given.get("came"):
        ok = given["came"] == "ok"
        return Came(ok, _came(given.get("value")) if ok else {"error": "It didn't answer.", "status": None})
    return None


BEGINNINGS: Final[Mapping[str, Callable[[Any], tuple[str, Json]]]] = {
    "referral": lambda given: (
        "They come by the ad",
        {"said": "Hello!", "referral": next(iter(given.get("ad_ids") or ()), "1")},
    ),
    "campaign_reply": lambda given: (
        "They answer the campaign",
        {
            "said": next(iter(given.get("buttons") or ()), "Yes!"),
            "campaign": next(iter(given.get("campaigns") or ()), 1),
        },
    ),
    "button": lambda given: (
        "They press the button",
        {"choice": next(iter(given.get("ids") or ()), "1"), "title": next(iter(given.get("titles") or ()), "A button")},
    ),
    "no_answer": lambda given: (f"Nobody answers for {words.length(given['after'])}", {"passed": given["after"]}),
    "schedule": lambda given: ("Its time comes", {"due": True}),
    "tag_added": lambda given: (f"The tag “{given['tag']}” is given", {"tagged": given["tag"]}),
    "opted_in": lambda given: ("They opt in", {"opted": "opted_in", "topic": given.get("topic", "")}),
    "opted_out": lambda given: ("They opt out", {"opted": "opted_out"}),
}
"""What whoever plays can let happen beside writing, so that a trigger fits: in words, and as ``event`` reads it."""


def beginnings(definition: Json) -> list[Json]:
    """Those of its own triggers."""
    found = []
    for kind, given in (one(said) for said in definition.get("triggers") or ()):
        try:
            says, play = BEGINNINGS[kind](given)
        except words.UNREADABLE:
            continue
        found.append({"icon": forms.TRIGGERS[kind]["icon"], "says": says, "play": play})
    return found


def _came(value: Any) -> Json:
    """What a call, a bot or an agent answers, each reading its own part."""
    text = str(value or "").strip()
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        body = text
    said = [{"type": "text", "text": text}] if text and isinstance(body, str) else []
    return {
        "status": 200, "body": body, "messages": said, "tags": {"add": [], "remove": []}, "fields": {}, "vars": {},
        "assign": None, "note": None, "release": None, "end": False, "held": None,
    }  # fmt: skip


def play(definition: Json, given: Json, where: Scene) -> tuple[Json, tuple[Did, ...]]:
    """``until``: a moment that time passes to. Raises Unfit, ValueError for what can't be played."""
    program = Program.of(schema.read(definition))
    state = given.get("state") if isinstance(given.get("state"), dict) else None
    try:
        now = where.now(state)
        if given.get("until"):
            what: simulate.Event | None = simulate.Passed(where.at(given["until"]) - now)
        else:
            what = event(given, program, now)
        if what is None:
            raise ValueError("Nothing happened. Write something as the customer would.")
        if isinstance(what, simulate.Passed) and what.length < timedelta():
            raise ValueError("Time only goes on here. Begin anew to choose an earlier moment.")
        return simulate.talk(program, state, what, where.facts, hours=where.hours, pause=where.pause)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("The steps have changed under this conversation. Begin it anew.") from error
    except OverflowError as error:
        raise ValueError("Nobody lives that long. Begin anew, and nearer to today.") from error


def cursor(definition: Json, state: Json) -> list[Any] | None:
    """The path, through the definition, of the step where the conversation waits."""
    run = state.get("run") or next(iter(state.get("asleep") or ()), None)
    at = run.get("cursor") if run else None
    return next((list(path) for path, _ in words.walk(definition["steps"]) if path_of(path) == at), None)


# --- publishing -----------------------------------------------------------------------------------------------------


def publishing(found: Automation, here: Known, *, makes_fields: bool) -> Json:
    """What would be published, in words."""
    told = problems(found.draft, here)
    bad = [one for one in told if one.level == "error"]
    lacks = lacking(found.draft, here, "field") if makes_fields else []
    return {
        "fields": words.listed([words.quoted(one.name) for one in lacks]),
        "bad": bad,
        "doubtful": [one for one in told if one.level != "error"],
        "changes": [] if bad else words.changes(found.definition, schema.read(found.draft)),
    }
