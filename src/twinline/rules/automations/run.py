"""The interpreter: what an automation does next.

`advance` is handed a program, where the run stands, what happened and what is known; it answers with what is to be done
and either what the run waits for or why it is over. It is a function: it keeps nothing, reads no clock, sends nothing,
and the engine, the test panel and the rehearsal all call it.

Two tables hold what steps do. `STEPS` says what a step does when the run comes to it: the path where it goes on, what
it waits for, or that it is over. `HEARD` says what a step that waits does with what happened; None means that this
isn't what it waits for, and the run stays as it was. A program is a tree that is walked forwards only, and a run has
limits for its steps and its time, so it comes to an end whatever is said.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.automations import asking, facts, words
from twinline.rules.automations.conditions import all_hold
from twinline.rules.automations.facts import Facts, Json, Scene, Turn
from twinline.rules.automations.filling import fill, render
from twinline.rules.automations.program import END, Program, Step, duration, place, spell

GRACE: Final = timedelta(seconds=30)
"""What a call or a bot may take beyond its time-outs before it counts as lost."""

HOPS: Final = 3
"""How many automations start each other in one go."""

BUSY: Final = timedelta(minutes=1)
"""What sleeps doesn't talk into another conversation; whoever wakes it looks again then."""

NOBODY: Final = "nobody"


# --- where a run stands ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run stands. All of it is JSON.

    ``cursor``: the path of the step that it is at. ``said``: the customer's last turn. ``asked``: while it waits, for
    which kind of thing and until when, and what the step that waits remembers. ``steps`` grows with all that it does,
    and so tells one waiting from the next.
    """

    cursor: str = END
    vars: Json = field(default_factory=dict)
    said: Json = field(default_factory=dict)
    asked: Json | None = None
    steps: int = 0
    began: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "cursor": self.cursor,
            "vars": dict(self.vars),
            "said": dict(self.said),
            "asked": None if self.asked is None else dict(self.asked),
            "steps": self.steps,
            "began": self.began,
        }

    @classmethod
    def of_json(cls, kept: Json) -> "Run":
        return cls(**kept)


# --- what may happen ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Began:
    """It begins: by a turn, or by something else (None). ``vars``: what whoever started it hands over."""

    turn: Turn | None = None
    vars: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """The customer said something."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Woke:
    """The time until which it waits has come. Too early, it changes nothing."""


@dataclass(frozen=True, slots=True)
class Came:
    """What was called has answered.

    ``call``: ``{"status": 200, "body": …}``. ``bot`` and ``agent``: ``{"tags": {"add", "remove"}, "fields", "vars",
    "assign", "note", "messages", "release", "end", "held"}``. Where it failed: ``{"error": "a sentence"}``.
    """

    ok: bool
    value: Any = None


Given = Began | Answered | Woke | Came


# --- what is to be done ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """``message``: as in the definition, filled in (``automations.messages``)."""

    message: dict[str, Any]
    path: str


@dataclass(frozen=True, slots=True)
class SetField:
    """An empty value takes the field away."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Tag:
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assign:
    """``to``: a user's e-mail address; None: to nobody."""

    to: str | None


@dataclass(frozen=True, slots=True)
class Note:
    text: str


@dataclass(frozen=True, slots=True)
class Start:
    """Another automation goes on, by its name; this run is over."""

    automation: str


@dataclass(frozen=True, slots=True)
class Release:
    """People take over; this run is over."""

    note: str


Effect = Send | SetField | Tag | Assign | Note | Start | Release


@dataclass(frozen=True, slots=True)
class Wait:
    """``kind``: answer, time, call, bot or agent. ``request`` is for the last three: the step as it is declared, and
    the scope by which its placeholders are filled in (`filling.render`).
    """

    kind: str
    until: datetime
    request: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Advance:
    """What comes of it: ``effects`` in their order, and then either ``waits`` or ``ended``, a sentence.

    ``heard`` False: this isn't what the run waits for. Then it is as it was, there are no effects, and ``waits`` says
    what it still waits for, without a request: nothing is to be asked again. ``facts``: as they are when all that is
    done.
    """

    run: Run
    facts: Facts
    effects: tuple[Effect, ...]
    waits: Wait | None
    ended: str | None
    trace: tuple[str, ...]
    heard: bool = True


# --- the walk -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Over:
    why: str


_Move = str | Wait | _Over


@dataclass(slots=True)
class _Walk:
    """One call of `advance` under way. What it does holds at once for what it asks later: the facts change with it."""

    now: datetime
    facts: Facts
    vars: dict[str, Any]
    said: Json
    memory: dict[str, Any]
    end: datetime
    effects: list[Effect] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    @property
    def scene(self) -> Scene:
        return Scene(self.facts, self.vars, self.said)

    def text(self, said: str) -> str:
        return render(said, self.scene.scope()).strip()

    def until(self, length: str | None) -> datetime:
        return min(self.end, self.now + duration(length)) if length else self.end

    def note(self, step: Step, says: str) -> None:
        self.trace.append(f"{place(step.path)}: {says}")

    # What changes something; each is an effect, and is seen by the steps behind it.

    def send(self, step: Step, message: Json, *, filled: bool = False) -> None:
        made = dict(message) if filled else fill(message, self.scene.scope())
        if made.get("type") == "reaction" or made.pop("quote", False):
            made["quoted"] = self.said.get("wamid")
        self.effects.append(Send(made, step.path))
        self.note(step, f"sent {words.message(made)}.")

    def set_field(self, key: str, value: str) -> None:
        kept = {name: known for name, known in (self.facts.contact.get("fields") or {}).items() if name != key}
        self.facts = self.facts.contact_with(fields=kept | ({key: value} if value else {}))
        self.effects.append(SetField(key, value))

    def tag(self, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
        kept = [tag for tag in self.facts.contact.get("tags") or () if tag not in remove]
        self.facts = self.facts.contact_with(tags=list(dict.fromkeys([*kept, *add])))
        self.effects.append(Tag(add, remove))

    def assign(self, to: str) -> None:
        self.facts = replace(self.facts, assigned=to != NOBODY)
        self.effects.append(Assign(None if to == NOBODY else to))

    # Where it goes on.

    def into(self, step: Step, block: str, why: str) -> _Move:
        """Into the block for what went wrong; without one, that is the end."""
        if block not in step.blocks:
            return _Over(f"{place(step.path)}: {why}")
        self.note(step, why)
        return step.blocks[block]


def advance(program: Program, run: Run, given: Given, known: Facts) -> Advance:
    """What the run does, now that this happened. Never raises for a program that `automations.schema` has read."""
    now = known.now.astimezone(UTC)  # wall clocks jump twice a year
    began = datetime.fromisoformat(run.began) if run.began and not isinstance(given, Began) else now
    heard = facts.said(given.turn) if isinstance(given, Began | Answered) else run.said
    walk = _Walk(
        now=now,
        facts=known,
        vars={**run.vars, **given.vars} if isinstance(given, Began) else dict(run.vars),
        said=heard,
        memory={name: kept for name, kept in (run.asked or {}).items() if name not in ("kind", "until")},
        end=began + program.settings.total,
    )
    cursor, steps = run.cursor, run.steps + 1
    move: _Move | None
    if isinstance(given, Began):
        move = program.start
    elif run.asked is None or cursor not in program.steps:
        move = _Over("It didn't wait for anything.")
    elif now >= walk.end:
        move = _Over(f"It went on for {spell(program.settings.total)}, which is its limit.")
    else:
        move = _hear(program.steps[cursor], walk, run.asked, given)
    if move is None:
        assert run.asked is not None
        waits = Wait(run.asked["kind"], datetime.fromisoformat(run.asked["until"]))
        return Advance(run, known, (), waits, None, (), heard=False)
    while isinstance(move, str) and move != END:
        if steps > program.settings.steps:
            move = _Over(f"It took {program.settings.steps} steps, which is its limit.")
        else:
            cursor, steps = move, steps + 1
            step = program.steps[cursor]
            walk.memory = {}
            move = STEPS[step.kind](step, walk)
    if isinstance(move, Wait):
        asked = {**walk.memory, "kind": move.kind, "until": move.until.isoformat()}
        left = Run(cursor, walk.vars, walk.said, asked, steps, began.isoformat())
        return Advance(left, walk.facts, tuple(walk.effects), move, None, tuple(walk.trace))
    ended = move.why if isinstance(move, _Over) else "It came to its end."
    left = Run(END, walk.vars, walk.said, None, steps, began.isoformat())
    return Advance(left, walk.facts, tuple(walk.effects), None, ended, (*walk.trace, ended))


def _hear(step: Step, walk: _Walk, asked: Json, given: Given) -> _Move | None:
    if isinstance(given, Woke) and walk.now < datetime.fromisoformat(asked["until"]):
        return None
    return HEARD[step.kind](step, walk, asked, given)


# --- steps that go straight on --------------------------------------------------------------------------------------


def _send(step: Step, walk: _Walk) -> _Move:
    walk.send(step, step.given)
    return step.next


def _branch(step: Step, walk: _Walk) -> _Move:
    for number, case in enumerate(step.given):
        if all_hold(case.get("when", ()), walk.scene):
            walk.note(step, "otherwise." if case.get("otherwise") else f"case {number + 1} holds.")
            return step.blocks[f"branch.{number}"]
    walk.note(step, "no case holds.")
    return step.next


def _set(step: Step, walk: _Walk) -> _Move:
    value = walk.text(step.given["to"])
    if "field" in step.given:
        walk.set_field(step.given["field"], value)
    else:
        walk.vars[step.given["var"]] = value
    walk.note(step, f"{step.given.get('field') or step.given.get('var')} is now “{value}”.")
    return step.next


def _tag(step: Step, walk: _Walk) -> _Move:
    add, remove = tuple(step.given.get("add", ())), tuple(step.given.get("remove", ()))
    walk.tag(add, remove)
    walk.note(step, f"tags: {', '.join([f'+{tag}' for tag in add] + [f'−{tag}' for tag in remove])}.")
    return step.next


def _assign(step: Step, walk: _Walk) -> _Move:
    walk.assign(step.given["to"])
    walk.note(step, f"assigned to {step.given['to']}.")
    return step.next


def _note(step: Step, walk: _Walk) -> _Move:
    walk.effects.append(Note(walk.text(step.given)))
    walk.note(step, "a note for the team.")
    return step.next


# --- steps that end it ----------------------------------------------------------------------------------------------


def _start(step: Step, walk: _Walk) -> _Move:
    walk.effects.append(Start(step.given["automation"]))
    return _Over(f"It goes on with “{step.given['automation']}”.")


def _release(step: Step, walk: _Walk) -> _Move:
    return _hand_over(step, walk, walk.text(step.given.get("note") or ""))


def _hand_over(step: Step, walk: _Walk, note: str) -> _Move:
    walk.effects.append(Release(note))
    walk.note(step, "handed to a person.")
    return _Over("It handed the chat to a person.")


# --- steps that wait ------------------------------------------------------------------------------------------------


def _ask(step: Step, walk: _Walk) -> _Move:
    return _question(step, walk, step.given["text"], 1)


def _question(step: Step, walk: _Walk, text: str, time: int) -> _Move:
    walk.send(step, asking.message(step.given, text, step.get("button")))
    walk.memory = {"tries": time}
    return Wait("answer", walk.until(step.get("timeout")))


def _ask_heard(step: Step, walk: _Walk, asked: Json, given: Given) -> _Move | None:
    if isinstance(given, Woke):
        return walk.into(step, "on_timeout", "no answer in time.")
    if not isinstance(given, Answered):
        return None
    value = asking.read(step.given, walk.said, walk.facts.now.date())
    if value is not None:
        if asking.kind_of(step.given) == "choice":  # typed, it is chosen all the same
            walk.said = {**walk.said, "choice": value}
        if name := step.given.get("save"):
            walk.vars[name] = value
        walk.note(step, f"the answer is “{value}”.")
        return step.next
    if asked["tries"] < step.get("tries"):
        walk.note(step, "the answer doesn't fit; asked once more.")
        return _question(step, walk, step.given.get("again") or step.given["text"], asked["tries"] + 1)
    return walk.into(step, "on_invalid", "the answers didn't fit.")


def _wait(step: Step, walk: _Walk) -> _Move:
    return Wait("time", walk.until(step.given))


def _wait_heard(step: Step, walk: _Walk, asked: Json, given: Given) -> _Move | None:
    return step.next if isinstance(given, Woke) else None


def _request(step: Step, walk: _Walk, times: int = 1) -> Wait:
    """A question to somebody outside; what it waits is the engine's to ask, and comes back as `Came`."""
    until = walk.now + duration(step.get("timeout")) * times + GRACE
    return Wait(step.kind, min(walk.end, until), {"step": dict(step.given), "scope": walk.scene.scope()})


def _call(step: Step, walk: _Walk) -> _Move:
    return _request(step, walk, step.get("retries") + 1)


def _call_heard(step: Step, walk: _Walk, asked: Json, given: Given) -> _Move | None:
    if isinstance(given, Answered):
        return None
    value = _object(given.value if isinstance(given, Came) else None)
    if name := step.given.get("save"):
        walk.vars |= {name: value.get("body"), f"{name}_status": value.get("status")}
    if not (isinstance(given, Came) and given.ok):
        return walk.into(step, "failed", _error(value))
    walk.note(step, "the call was answered.")
    return step.blocks.get("ok", step.next)


def _converse(step: Step, walk: _Walk) -> _Move:
    """A bot or an agent has the word, for as long as ``for`` says."""
    walk.memory = {"over": walk.until(step.get("for")).isoformat()}
    return _request(step, walk)


def _converse_heard(step: Step, walk: _Walk, asked: Json, given: Given) -> _Move | None:
    awaited = asked["kind"] == step.kind
    over = datetime.fromisoformat(asked["over"])
    if isinstance(given, Answered):  # what was asked before is void: the new request has the whole of it
        return _request(step, walk)
    if not awaited:
        if not isinstance(given, Woke):
            return None
        walk.note(step, "its time is over.")
        return step.next
    value = _object(given.value if isinstance(given, Came) else None)
    if not (isinstance(given, Came) and given.ok):
        return walk.into(step, "failed", _error(value))
    _perform(step, walk, value)
    if value.get("release") is not None:
        return _hand_over(step, walk, str(value["release"]))
    if value.get("end"):
        walk.note(step, f"the {step.kind} is done.")
        return step.next
    return Wait("answer", max(over, walk.now))


def _perform(step: Step, walk: _Walk, value: Json) -> None:
    """What a bot or an agent wants done, in its order; texts of others aren't filled in."""
    tags = _object(value.get("tags"))
    if tags.get("add") or tags.get("remove"):
        walk.tag(tuple(tags.get("add") or ()), tuple(tags.get("remove") or ()))
    for key, kept in _object(value.get("fields")).items():
        walk.set_field(key, str(kept))
    walk.vars |= _object(value.get("vars"))
    if value.get("assign"):
        walk.assign(value["assign"])
    if value.get("note"):
        walk.effects.append(Note(value["note"]))
    for message in value.get("messages") or ():
        walk.send(step, message, filled=True)
    if value.get("held") is not None:
        walk.note(step, "an answer waits for approval.")


def _object(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _error(value: Json) -> str:
    return str(value.get("error") or "no answer in time.")


STEPS: Final[Mapping[str, Callable[[Step, _Walk], _Move]]] = MappingProxyType(
    {
        "send": _send,
        "ask": _ask,
        "branch": _branch,
        "wait": _wait,
        "set": _set,
        "tag": _tag,
        "assign": _assign,
        "note": _note,
        "call": _call,
        "start": _start,
        "bot": _converse,
        "agent": _converse,
        "release": _release,
        "end": lambda step, walk: END,
    }
)

HEARD: Final[Mapping[str, Callable[[Step, _Walk, Json, Given], _Move | None]]] = MappingProxyType(
    {"ask": _ask_heard, "wait": _wait_heard, "call": _call_heard, "bot": _converse_heard, "agent": _converse_heard}
)
