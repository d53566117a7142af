"""Whether a definition makes sense as a whole, and to the organisation whose it is.

What the schema can't see since it looks at one part at a time: steps that no way leads to, circles, a schedule that
would write to everybody; and tags, fields, templates and connections that aren't there.
"""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from twinline.automations.problems import Lack, Path, Problem, a, path_of, where
from twinline.rules.automations import asking, filling
from twinline.rules.automations.program import BLOCKS, END, Program, Step, blocks, duration, one, spell

Json = Mapping[str, Any]

MOST_STEPS: Final = 300

CONTACTS_OWN: Final = frozenset({"tag", "field"})
"""Conditions by which few can be told from all."""
UNBIDDEN: Final = ("schedule", "tag_added", "opted_in", "opted_out", "api")
"""Triggers after which nobody has written just now, so that the 24-hour window may be closed."""
WAITS: Final = frozenset({"ask", "wait", "call", "bot", "agent"})


def walk(definition: Json) -> Iterator[tuple[Path, str, Any]]:
    """Every step with its path through the definition, its kind, and what is given with it."""
    return _walk(definition.get("steps", ()), ("steps",))


def _walk(steps: Sequence[Json], before: Path) -> Iterator[tuple[Path, str, Any]]:
    for number, step in enumerate(steps):
        kind, given = one(step)
        path = (*before, number, kind)
        yield path, kind, given
        for name, inside in blocks(kind, given):
            cased = (int(name.removeprefix("branch.")), "steps") if kind == "branch" else (name,)
            yield from _walk(inside, (*path, *cased))


def whole(definition: Json) -> Iterator[Problem]:
    """What every part allows and the whole doesn't."""
    steps = list(walk(definition))
    if len(steps) > MOST_STEPS:
        yield Problem(("steps",), f"There are {len(steps)} steps; an automation can have {MOST_STEPS}. Make two of it.")
    chosen = {kind for condition in definition.get("when", ()) for kind, _ in _conditions(condition)}
    for number, trigger in enumerate(definition["triggers"]):
        if "schedule" in trigger and not chosen & CONTACTS_OWN:
            path: Path = ("triggers", number, "schedule")
            yield Problem(
                path, f"{where(path)}a schedule writes to everybody unless `when` asks for a tag or a field. Add one."
            )
    total = Program.of(definition).settings.total
    for path, kind, given in steps:
        if kind == "wait" and duration(given) >= total:
            yield Problem(
                path, f"{where(path)}it waits for longer than a run lasts, {spell(total)}. Raise the limit, total."
            )


def _conditions(condition: Json) -> Iterator[tuple[str, Any]]:
    """A condition and those that are inside of it, as kind and what is given."""
    kind, given = one(condition)
    yield kind, given
    for inner in [given] if kind == "not" else given if kind in ("any", "all") else []:
        yield from _conditions(inner)


@dataclass(frozen=True, slots=True)
class Known:
    """What the organisation has. ``templates``: category by name and language; ``fields``: kind by key; ``users``:
    e-mail addresses; ``automations``: by name, those that each starts at once (`starts`); ``connections``: kind (http,
    bot or ai) by name; ``knowledge``: names; ``always_open``: names of the numbers without business hours, by id.
    """

    templates: Mapping[tuple[str, str], str] = field(default_factory=dict)
    tags: Collection[str] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    users: Collection[str] = ()
    automations: Mapping[str, Collection[str]] = field(default_factory=dict)
    connections: Mapping[str, str] = field(default_factory=dict)
    knowledge: Collection[str] = ()
    always_open: Mapping[int, str] = field(default_factory=dict)


def check(definition: Json, known: Known) -> list[Problem]:
    """What a fit definition speaks of and isn't there, and what its writer can hardly mean; in no order of weight."""
    program = Program.of(definition)
    paths = {path_of(path): path for path, _, _ in walk(definition)}
    found = [
        Problem(path, where(path) + says, level, lacks) for path, level, says, lacks in _missing(definition, known)
    ]
    for step_path, level, says in _doubts(program, known):
        path = paths[step_path]
        found.append(Problem(path, where(path) + says, level))
    return found


def starts(definition: Json) -> frozenset[str]:
    """The automations that it goes on with before it has waited for anything."""
    program = Program.of(definition)
    return frozenset(program.steps[path].given["automation"] for path in _at_once(program, {"start"}, WAITS))


def gives(definition: Json) -> frozenset[str]:
    """The tags that it gives."""
    return frozenset(tag for _, kind, given in walk(definition) if kind == "tag" for tag in given.get("add", ()))


Level = Literal["error", "warning"]
Told = tuple[Level, str, Lack | None]
Finding = tuple[Path, Level, str, Lack | None]


def _missing(definition: Json, known: Known) -> Iterator[Finding]:
    saved, kinds = set(_saved(definition)), _kinds(definition)
    tags = frozenset(known.tags) | gives(definition)

    def unknown(part: Any) -> Iterator[Told]:
        return _unknown(part, known.fields, tags, saved, kinds)

    for path, kind, given in walk(definition):
        for what, said, name, there in _named(kind, given, known):
            if name not in there:
                lacks = Lack(what, name, kinds.get(name, "text") if what == "field" else "")
                yield path, "error", f"there is no {said} “{name}”{_close(name, there)}", lacks
        if kind == "tag":
            for tag in given.get("add", ()):  # giving one makes it; only what is nearly another may be a slip
                if tag not in known.tags and (close := _close(tag, known.tags)):
                    yield path, "warning", f"there is no tag “{tag}”{close}", Lack("tag", tag)
        yield from ((path, *told) for told in unknown(_own(kind, given)))
    for number, condition in enumerate(definition.get("when", ())):
        yield from ((("when", number), *told) for told in unknown(condition))
    for number, trigger in enumerate(definition["triggers"]):
        if "tag_added" in trigger:
            yield from ((("triggers", number), *told) for told in unknown({"tag": trigger["tag_added"]["tag"]}))
    yield from _without_hours(definition, known)


def _without_hours(definition: Json, known: Known) -> Iterator[Finding]:
    """Where hours are spoken of that a number hasn't been told."""
    chosen = definition.get("settings", {}).get("numbers")
    place = next((one for one in known.always_open.items() if chosen is None or one[0] in chosen), None)
    if place is None:
        return
    says = f"{place[1]} has no business hours yet, so it counts as always open"
    lacks = Lack("hours", str(place[0]))
    for number, trigger in enumerate(definition["triggers"]):
        if "outside_hours" in trigger:
            yield ("triggers", number), "warning", f"{says}, and no message comes outside of them", lacks
    spoken: list[tuple[Path, Any]] = [
        (("when", number), [when]) for number, when in enumerate(definition.get("when", ()))
    ]
    for path, kind, given in walk(definition):
        if kind == "branch":
            spoken += [((*path, number), case.get("when", ())) for number, case in enumerate(given)]
    for path, conditions in spoken:
        if any(kind == "hours" for condition in conditions for kind, _ in _conditions(condition)):
            yield path, "warning", says, lacks


def _named(kind: str, given: Any, known: Known) -> Iterator[tuple[str, str, str, Collection[str]]]:
    """What a step names, and where it should be: what it is, that in words, its name, and all there are."""
    match kind:
        case "send" if given.get("type") == "template":
            name, language = given["template"]["name"], given["template"]["language"]
            names = {name for name, _ in known.templates}
            yield "template", "template", name, names
            if name in names:
                spoken = {spoken for of, spoken in known.templates if of == name}
                yield "template", f"template “{name}” in", language, spoken
        case "set" if "field" in given:
            yield "field", "field", given["field"], known.fields
        case "assign" if given["to"] != "nobody":
            yield "user", "user", given["to"], known.users
        case "start":
            yield "automation", "automation", given["automation"], known.automations
        case "call" | "bot" | "agent" if given.get("connection"):
            wanted = {"call": "http", "agent": "ai"}.get(kind, kind)
            fitting = [name for name, kind_of in known.connections.items() if kind_of == wanted]
            yield "connection", f"connection to {a(wanted)}", given["connection"], fitting
            for name in given.get("knowledge", ()):
                yield "knowledge", "text of knowledge", name, known.knowledge


def _own(kind: str, given: Any) -> Any:
    """What is given with a step, without the steps inside of it."""
    if kind == "branch":
        return [case.get("when", []) for case in given]
    if isinstance(given, Mapping):
        return {name: part for name, part in given.items() if name not in BLOCKS.get(kind, ())}
    return given


def _unknown(
    part: Any, fields: Collection[str], tags: Collection[str], saved: Collection[str], kinds: Mapping[str, str]
) -> Iterator[Told]:
    """Fields, tags and variables that a part speaks of and nobody has."""
    there = {"field": fields, "tag": tags, "vars": saved}
    for what, name in dict.fromkeys(_spoken_of(part)):
        if name in there[what]:
            continue
        if what == "vars":
            says = f"no step before keeps “{name}”, so it will be empty unless whoever starts it brings it"
            yield "warning", says, None
        else:
            lacks = Lack(what, name, kinds.get(name, "text") if what == "field" else "")
            level: Level = "error" if what == "field" else "warning"
            yield level, f"there is no {what} “{name}”{_close(name, there[what])}", lacks


def _spoken_of(part: Any) -> Iterator[tuple[str, str]]:
    if isinstance(part, str):
        for path in (found[1].split(".") for found in filling.PLACEHOLDER.finditer(part)):
            if path[:2] == ["contact", "fields"] and len(path) > 2:
                yield "field", path[2]
            elif path[0] == "vars" and len(path) > 1:
                yield "vars", path[1]
    elif isinstance(part, Mapping):
        for name, inner in part.items():
            if name == "tag" and isinstance(inner, str):
                yield "tag", inner
            elif name == "field" and isinstance(inner, Mapping):
                yield "field", inner["key"]
            elif name == "var" and isinstance(inner, Mapping):
                yield "vars", inner["name"].split(".")[0]
            yield from _spoken_of(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _spoken_of(inner)


def _saved(definition: Json) -> Iterator[str]:
    for _, kind, given in walk(definition):
        if kind in ("ask", "call") and given.get("save"):
            yield from (given["save"], f"{given['save']}_status")
        elif kind == "set" and "var" in given:
            yield given["var"]


def _kinds(definition: Json) -> dict[str, str]:
    """Fields by key that must be a number or a date to mean anything: by what they are compared with, and what is
    written into them.
    """
    asked = {given.get("save"): given.get("kind") for _, kind, given in walk(definition) if kind == "ask"}
    found: dict[str, str] = {}
    for _, kind, given in walk(definition):
        if kind == "set" and "field" in given:
            written = filling.PLACEHOLDER.fullmatch(given["to"].strip())
            name = written[1].removeprefix("vars.") if written else ""
            found[given["field"]] = str(asked.get(name))
    for test in _field_tests([definition.get("when", ()), *(_own(kind, given) for _, kind, given in walk(definition))]):
        if {"before", "after"} & set(test) or test.get("is") in ("{{today}}", "{{tomorrow}}"):
            found[test["key"]] = "date"
        elif {"above", "below"} & set(test):
            found[test["key"]] = "number"
    return {key: kind for key, kind in found.items() if kind in ("number", "date")}


def _field_tests(part: Any) -> Iterator[Json]:
    if isinstance(part, Mapping):
        if isinstance(part.get("field"), Mapping):
            yield part["field"]
        part = list(part.values())
    if isinstance(part, list | tuple):
        for inner in part:
            yield from _field_tests(inner)


Doubt = tuple[str, Literal["error", "warning"], str]


def _doubts(program: Program, known: Known) -> Iterator[Doubt]:
    yield from _unreached(program)
    yield from _without_a_way_out(program)
    yield from _unbidden(program)
    yield from _circles(program, known)


def _unreached(program: Program) -> Iterator[Doubt]:
    """The first of each row of steps that no way leads to; a row begins where its step is reached."""
    reached = _reached(program)
    for path in program.steps:
        row, dot, number = path.rpartition(".")
        if path not in reached and f"{row}{dot}{int(number) - 1}" in reached:
            yield path, "warning", "no way leads here: what stands before it ends the conversation or never goes on"


def _without_a_way_out(program: Program) -> Iterator[Doubt]:
    for path, step in program.steps.items():
        if step.kind == "ask" and asking.kind_of(step.given) not in ("any", "text") and "on_invalid" not in step.blocks:
            yield (
                path,
                "warning",
                ("whoever doesn't answer as wanted gets no further word. Say what is to be done then (on_invalid)"),
            )
        if step.kind in ("call", "bot", "agent") and "failed" not in step.blocks:
            yield path, "warning", "if it fails, the customer gets no answer. Say what is to be done then (failed)"


def _unbidden(program: Program) -> Iterator[Doubt]:
    """Where nobody has written just now, the first word has to be a template."""
    conditions = [*program.when, *(case for step in program.steps.values() for case in _cases(step))]
    if any(kind == "window" for condition in conditions for kind, _ in _conditions(condition)):
        return
    started = [kind for kind, _ in map(one, program.triggers) if kind in UNBIDDEN]
    for path in _at_once(program, {"send", "ask"}, {"send", "ask"}) if started else ():
        if program.steps[path].given.get("type") != "template":
            yield (
                path,
                "warning",
                (
                    "the 24-hour window may be closed when it begins so, and then only a template goes out. "
                    "Send a template first, or ask for `window: open`"
                ),
            )


def _circles(program: Program, known: Known) -> Iterator[Doubt]:
    for path in _at_once(program, {"start"}, WAITS):
        seen: set[str] = set()
        left = [program.steps[path].given["automation"]]
        while left and program.name not in seen:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += known.automations.get(name, ())
        if program.name in seen:
            yield path, "error", "it would begin itself again and again without waiting for anything"


def _cases(step: Step) -> list[Json]:
    return [condition for case in step.given for condition in case.get("when", ())] if step.kind == "branch" else []


def _after(step: Step) -> Iterator[str]:
    """Where a run can go on behind a step."""
    if step.kind in ("start", "release", "end"):
        return
    yield from step.blocks.values()
    straight = {"branch": lambda: not step.given[-1].get("otherwise"), "call": lambda: "ok" not in step.blocks}
    if straight.get(step.kind, lambda: True)():
        yield step.next


def _reached(program: Program, through: Callable[[Step], bool] = lambda step: True) -> set[str]:
    """The steps that a run can come to, going on only behind those that it may go ``through``."""
    seen: set[str] = set()
    left = [program.start]
    while left:
        path = left.pop()
        if path != END and path not in seen:
            seen.add(path)
            step = program.steps[path]
            left += _after(step) if through(step) else ()
    return seen


def _at_once(program: Program, kinds: Collection[str], halting: Collection[str]) -> list[str]:
    """The steps of these kinds that a run comes to before one at which it halts, that included."""
    reached = _reached(program, lambda step: step.kind not in halting)
    return [path for path in program.steps if path in reached and program.steps[path].kind in kinds]


def _close(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean “{close[0]}”?" if close else ""
