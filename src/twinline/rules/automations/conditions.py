"""Conditions: of ``when`` and of branches. A table of kinds, each a small question to the scene."""

from collections.abc import Callable, Iterable, Mapping
from datetime import time
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.automations import matching
from twinline.rules.automations.facts import Scene
from twinline.rules.automations.filling import render, words
from twinline.rules.automations.program import Json, one

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def holds(condition: Json, scene: Scene) -> bool:
    """Whether one condition, an object with its kind as its one key, holds."""
    kind, given = one(condition)
    return CONDITIONS[kind](given, scene)


def all_hold(conditions: Iterable[Json], scene: Scene) -> bool:
    return all(holds(condition, scene) for condition in conditions)


def _text(given: Json, scene: Scene) -> bool:
    text = scene.said.get("text")
    return all(matching.matches(way, text, _filled(wanted, scene)) for way, wanted in given.items())


def _compared(value: Any, given: Json, scene: Scene) -> bool:
    said, scope = words(value), scene.scope()
    return all(
        compare(said, render(given[name], scope) if isinstance(given[name], str) else given[name])
        for name, compare in matching.COMPARED.items()
        if name in given
    )


def _var(given: Json, scene: Scene) -> bool:
    found: Any = scene.vars
    for name in given["name"].split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return _compared(found, given, scene)


def _field(given: Json, scene: Scene) -> bool:
    return _compared((scene.facts.contact.get("fields") or {}).get(given["key"]), given, scene)


def _language(given: str, scene: Scene) -> bool:
    """``pt`` is every Portuguese, ``pt_BR`` only that of Brazil."""
    known = str(scene.facts.contact.get("language") or "").replace("-", "_").casefold()
    wanted = given.replace("-", "_").casefold()
    return known == wanted or known.startswith(f"{wanted}_")


def _time(given: Json, scene: Scene) -> bool:
    """From before midnight to after it counts as the hours of the day on which they begin."""
    now = scene.facts.now
    clock, today = now.time().replace(tzinfo=None), now.weekday()
    first, last = (time.fromisoformat(given[name]) if name in given else time() for name in ("from", "to"))
    if first < last:
        inside = first <= clock < last
    else:  # over midnight, or the whole day
        inside = clock >= first or clock < last
        today = (today - (clock < first)) % 7
    return inside and DAYS[today] in given.get("days", DAYS)


def _filled(wanted: Any, scene: Scene) -> list[str]:
    scope = scene.scope()
    return [render(one, scope) for one in ([wanted] if isinstance(wanted, str) else wanted)]


CONDITIONS: Final[Mapping[str, Callable[[Any, Scene], bool]]] = MappingProxyType(
    {
        "hours": lambda given, scene: scene.facts.hours_open is (given == "open"),
        "window": lambda given, scene: scene.facts.window_open is (given == "open"),
        "text": _text,
        "choice": lambda given, scene: scene.said.get("choice") == given,
        "var": _var,
        "field": _field,
        "tag": lambda given, scene: given in (scene.facts.contact.get("tags") or ()),
        "language": _language,
        "time": _time,
        "assigned": lambda given, scene: scene.facts.assigned is given,
        "not": lambda given, scene: not holds(given, scene),
        "any": lambda given, scene: any(holds(each, scene) for each in given),
        "all": all_hold,
    }
)
