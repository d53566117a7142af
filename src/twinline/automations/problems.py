"""What is wrong with a definition, in sentences for whoever wrote it, and where in it that is."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from twinline.rules.automations.program import BLOCKS

Path = tuple[str | int, ...]
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that a definition speaks of and the organisation hasn't. ``what``: field, tag, template, user,
    automation, connection or knowledge; ``kind``: a field's, as far as can be told from how it is used.
    """

    what: str
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """``path`` leads through the definition; ``level`` is error or warning; ``lacks``: what would mend it."""

    path: Path
    says: str
    level: Literal["error", "warning"] = "error"
    lacks: Lack | None = None


class Unfit(ValueError):
    """This can't be an automation; ``problems`` say why, in the order of the definition."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(problem.says for problem in problems))
        self.problems = tuple(problems)


def path_of(path: Path) -> str:
    """The path of the step that this leads to or into, as runs and logs have it: ``2.branch.0.1``; else ""."""
    kept: list[str | int] = []
    left = list(path) if path[:1] == ("steps",) else []
    while len(left) > 1 and isinstance(left[1], int):
        kept.append(left[1])
        if left[2:3] == ["branch"] and left[4:5] == ["steps"] and len(left) > 5:
            kept += ["branch", left[3]]
            left = left[4:]
        elif len(left) > 4 and left[3] in BLOCKS.get(str(left[2]), ()):
            kept.append(left[3])
            left = left[3:]
        else:
            break
    return ".".join(map(str, kept))


_KINDS: Final = {
    "string_type": "has to be a text",
    "int_type": "has to be a whole number",
    "int_parsing": "has to be a whole number",
    "int_from_float": "has to be a whole number",
    "float_type": "has to be a number",
    "float_parsing": "has to be a number",
    "bool_type": "has to be true or false",
    "bool_parsing": "has to be true or false",
    "list_type": "has to be a list",
    "dict_type": "has to be an object",
    "model_type": "has to be an object",
    "model_attributes_type": "has to be an object",
    "finite_number": "has to be a number",
}
_PATTERNS: Final = {
    "at": "is a time like 09:00",
    "from": "is a time like 09:00",
    "to": "is a time like 09:00",
    "name": "is a name like order or order.status",
    "tools": "can be tag, assign, set, note, release, end, or call: with a connection's name",
}


def problem(error: Any) -> Problem:
    path = _path(error["loc"])
    says = where(path) + _says(error["type"], error.get("ctx") or {}, path)
    return Problem(path, says[0].upper() + says[1:] + ("" if says[-1] in ".?!" else "."))


def _path(loc: Sequence[str | int]) -> Path:
    """Without what pydantic calls the members of unions."""
    return tuple(part for part in loc if isinstance(part, int) or not (part.startswith("<") or _is_type(part)))


def _is_type(part: str) -> bool:
    return "[" in part or part in ("str", "Header")


def _says(kind: str, ctx: Json, path: Path) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    quoted = f"“{name.replace('_', ' ')}”"
    match kind:
        case "says":
            return str(ctx["says"])
        case "missing":
            return f"{_whole(path[:-1])} needs {_some(name)}"
        case "extra_forbidden":
            return f"{_whole(path[:-1])} has no {quoted}"
        case "literal_error":
            return f"{quoted} can be {str(ctx['expected']).replace(chr(39), '')}"
        case "too_short":
            return f"{_whole(path[:-1])} needs at least one {_SINGULAR.get(name, name)}"
        case "too_long":
            return f"{quoted} can be {ctx['max_length']} at most"
        case "string_too_long":
            return f"{quoted} can have {ctx['max_length']} characters at most"
        case "greater_than_equal" | "less_than_equal":
            least = kind == "greater_than_equal"
            return f"{quoted} has to be {ctx['ge' if least else 'le']} or {'more' if least else 'less'}"
        case "string_pattern_mismatch":
            return f"{quoted} {_PATTERNS.get(name, 'is made of small letters, digits and _, and begins with a letter')}"
    return f"{quoted} {_KINDS.get(kind, 'can’t be read')}"


def _some(name: str) -> str:
    said = name.replace("_", " ")
    return said if name in _SINGULAR else a(said)


def _whole(path: Path) -> str:
    """What a path leads to, as people call it: “an ask”, “a choice”."""
    names = [part for part in path if isinstance(part, str)]
    if not names:
        return "an automation"
    return a(_SINGULAR.get(names[-1], names[-1].replace("_", " ")))


_SINGULAR: Final = {
    "choices": "choice", "buttons": "button", "sections": "section", "rows": "row", "contacts": "contact",
    "words": "word", "steps": "step", "triggers": "trigger", "when": "condition", "branch": "case",
}  # fmt: skip


def where(path: Path) -> str:
    """“Step 3, case 1, step 2: ”; nothing for the definition itself."""
    said: list[str] = []
    last: str | int = ""
    for part in path:
        if isinstance(part, int) and last in _COUNTED:
            said.append(f"{_COUNTED[str(last)]} {part + 1}")
        elif part in _WITHIN:
            said.append(_WITHIN[str(part)])
        last = part
    told = ", ".join(said)
    return f"{told[:1].upper()}{told[1:]}: " if told else ""


_COUNTED: Final = {
    "steps": "step", "on_timeout": "step", "on_invalid": "step", "ok": "step", "failed": "step",
    "triggers": "trigger", "when": "condition", "branch": "case",
}  # fmt: skip
_WITHIN: Final = {
    "settings": "settings", "on_timeout": "without an answer", "on_invalid": "unfit answer", "ok": "success",
    "failed": "failure",
}  # fmt: skip


def meant(said: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(said, list(known), n=1, cutoff=0.7)
    return f"; did you mean “{close[0]}”?" if close else f"; there are {', '.join(known)}"


def a(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
