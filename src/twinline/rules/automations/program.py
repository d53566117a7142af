"""A definition as a program: a tree of steps, laid out so that each knows the path of the one that follows it.

A step has the path by which the editor, the log and a waiting run name it: ``2.branch.0.1`` is the second step of the
first case of the third step. When a step is done the run goes on at ``next``, which for the last step of a block is
what follows the block; so there is no stack, and where a run stands is one string. The path "" is the end.

Definitions come here in their canonical form (``automations.schema.read``): every trigger, condition and step is an
object with one key, its kind. What isn't said is as in ``DEFAULTS``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

Json = Mapping[str, Any]

END: Final = ""

DEFAULTS: Final[Mapping[str, Json]] = MappingProxyType(
    {
        "settings": {
            "numbers": "all",
            "pause_on_phone": None,
            "quiet_for": "3s",
            "once_per": None,
            "answer_left_open": True,
            "answer_within": "12h",
        },
        "limits": {"messages_per_hour": 20, "steps": 200, "total": "24h"},
        "ask": {"tries": 2, "button": "Choose"},
        "call": {"method": "POST", "timeout": "10s", "retries": 2},
        "bot": {"timeout": "20s", "for": "30m"},
        "agent": {"timeout": "60s", "for": "30m"},
    }
)
"""What holds where a definition says nothing; the schema takes its defaults from here too."""

BLOCKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"ask": ("on_timeout", "on_invalid"), "call": ("ok", "failed"), "bot": ("failed",), "agent": ("failed",)}
)
"""Steps inside of a step, by its kind; a branch has one block for each of its cases."""

_PLACES: Final = MappingProxyType(
    {"on_timeout": "without an answer", "on_invalid": "unfit answer", "ok": "success", "failed": "failure"}
)
_UNITS: Final = MappingProxyType({"s": "seconds", "m": "minutes", "h": "hours", "d": "days"})
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,5})([smhd])")
LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Step:
    """``given``: what stands under the step's kind. ``blocks``: where each of its blocks begins, by the block's name;
    an empty block leads straight on, and one that the definition hasn't isn't there.
    """

    kind: str
    path: str
    given: Any
    next: str
    blocks: Mapping[str, str]

    def get(self, name: str) -> Any:
        """A part of what is given, or its default."""
        return self.given.get(name, DEFAULTS.get(self.kind, {}).get(name))


@dataclass(frozen=True, slots=True)
class Settings:
    """``numbers`` None: all; ``pause_on_phone`` None: as the number has it; ``once_per`` None: no limit.

    ``steps`` and ``total`` bound one run, ``messages_per_hour`` a chat.
    """

    numbers: tuple[int, ...] | None
    pause_on_phone: timedelta | None
    quiet_for: timedelta
    once_per: timedelta | None
    answer_left_open: bool
    answer_within: timedelta
    messages_per_hour: int
    steps: int
    total: timedelta

    @classmethod
    def of(cls, given: Json) -> "Settings":
        said = {**DEFAULTS["settings"], **given}
        limits = {**DEFAULTS["limits"], **given.get("limits", {})}
        return cls(
            numbers=None if said["numbers"] == "all" else tuple(said["numbers"]),
            pause_on_phone=_maybe(said["pause_on_phone"]),
            quiet_for=duration(said["quiet_for"]),
            once_per=_maybe(said["once_per"]),
            answer_left_open=said["answer_left_open"],
            answer_within=duration(said["answer_within"]),
            messages_per_hour=limits["messages_per_hour"],
            steps=limits["steps"],
            total=duration(limits["total"]),
        )


@dataclass(frozen=True, slots=True)
class Program:
    """``triggers`` and ``when`` as they were defined; ``steps`` by path, in the order of the definition."""

    name: str
    triggers: tuple[Json, ...]
    when: tuple[Json, ...]
    settings: Settings
    steps: Mapping[str, Step]
    start: str

    @classmethod
    def of(cls, definition: Json) -> "Program":
        """From the canonical form."""
        laid: dict[str, Step] = {}
        start = _lay(definition.get("steps", ()), "", END, laid)
        return cls(
            name=str(definition.get("name", "")),
            triggers=tuple(definition.get("triggers", ())),
            when=tuple(definition.get("when", ())),
            settings=Settings.of(definition.get("settings", {})),
            steps=MappingProxyType(dict(reversed(laid.items()))),
            start=start,
        )


def one(part: Json) -> tuple[str, Any]:
    """The kind of a trigger, condition or step, and what is given with it."""
    [(kind, given)] = part.items()
    return kind, given


def blocks(kind: str, given: Any) -> Iterator[tuple[str, Sequence[Json]]]:
    """The steps inside of a step, block by block, with the name that stands in their paths."""
    if kind == "branch":
        yield from ((f"branch.{place}", case.get("steps", ())) for place, case in enumerate(given))
    else:
        yield from ((name, given[name]) for name in BLOCKS.get(kind, ()) if given.get(name) is not None)


def _lay(steps: Sequence[Json], before: str, after: str, laid: dict[str, Step]) -> str:
    """Lays steps out, the last one first, since each is told what follows; answers where they begin."""
    for place in reversed(range(len(steps))):
        kind, given = one(steps[place])
        path = f"{before}{place}"
        inside = reversed(list(blocks(kind, given)))
        begin = {name: _lay(within, f"{path}.{name}.", after, laid) for name, within in inside}
        laid[path] = Step(kind, path, given, after, MappingProxyType(begin))
        after = path
    return after


def place(path: str) -> str:
    """A path as people read it: ``2.branch.0.1`` is “Step 3, case 1, step 2”."""
    said, parts = [], iter(path.split("."))
    for part in parts:
        if part == "branch":
            said.append(f"case {int(next(parts)) + 1}")
        else:
            said.append(_PLACES.get(part) or f"step {int(part) + 1}")
    return ", ".join(said).capitalize()


def duration(text: str) -> timedelta:
    """``45s``, ``10m``, ``2h``, ``1d``. Raises ValueError with a sentence for people."""
    found = _DURATION.fullmatch(text.replace(" ", "").lower())
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if length is None or length > LONGEST:
        raise ValueError("a length of time is written like 45s, 10m, 2h or 1d, and is a year at most")
    return length


def spell(length: timedelta) -> str:
    """A length of time in words, in the largest unit that it is whole in: “90 minutes”."""
    seconds = int(length.total_seconds())
    name, number = next(
        (name, seconds // size)
        for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
        if seconds % size == 0 and (seconds or size == 1)
    )
    return f"{number} {name}{'' if number == 1 else 's'}"


def _maybe(text: str | None) -> timedelta | None:
    return None if text is None else duration(text)
