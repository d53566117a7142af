"""Templates for many people: filled in once with marks, then cast for each person.

`rules.templates.fill` is the one place that knows what a filled template looks like. A hundred thousand times it would
take half a minute, so it is asked once per *shape*, that is which places have a value and which don't, with marks in
the places of words; a cast puts the words there. A law under test says that both ways come to the same.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted
from typing import Any, Final

from twinline.rules import templates
from twinline.rules.templates import Filled, Slot

# A private character that nobody types; it is taken out of people's words, as is what no database can keep.
_MARK: Final = "\ue010"
_MARKED: Final = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}")

_NOTHING: Final = str.maketrans("", "", f"{_MARK}\0")
_MEMBERS: Final = {"flow": "flow_token"}

Part = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Cast:
    """One person's message. ``content`` is the JSON text of `sendable`'s answer; ``too_long`` names what is longer
    than WhatsApp takes, with its length and what would be allowed.
    """

    text: str
    content: str
    missing: tuple[Slot, ...] = ()
    too_long: tuple[str, int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    text: tuple[Part, ...]
    header: tuple[Part, ...]
    content: tuple[Part, ...]
    missing: tuple[Slot, ...]


class Mould:
    """A template, what stands in its places for everybody (``fixed``: objects, such as a picture), and how the outbox
    wants it (``sendable``).
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        fallbacks: Mapping[str, str],
        fixed: Mapping[str, Any],
        sendable: Callable[[Filled], Mapping[str, Any]],
    ) -> None:
        self._spec = spec
        self._fallbacks = fallbacks
        self._fixed = fixed
        self._sendable = sendable
        self._kinds = {slot.key: slot.kind for slot in templates.slots(spec)}
        self._longest = (templates.limit("body"), templates.limit("header"))
        self._shapes: dict[frozenset[str], _Shape] = {}

    def cast(self, values: Mapping[str, str]) -> Cast:
        """``values``: words by the places' keys, as `one_line` leaves them. Empty ones give way to the template's
        fallbacks.
        """
        given = {key: value for key, value in values.items() if value}
        there = frozenset(given)
        shape = self._shapes.get(there)
        if shape is None:
            shape = self._shapes[there] = self._shape(there)
        text = _join(shape.text, given)
        lengths = zip(("text", "header"), (text, _join(shape.header, given)), self._longest, strict=True)
        too_long = next(((what, len(said), most) for what, said, most in lengths if len(said) > most), None)
        content = _join(shape.content, {key: quoted(value)[1:-1] for key, value in given.items()})
        return Cast(text, content, shape.missing, too_long)

    def _shape(self, there: frozenset[str]) -> _Shape:
        marks = {key: _as_value(self._kinds.get(key, "text"), f"{_MARK}{key}{_MARK}") for key in there}
        filled = templates.fill(self._spec, {**self._fixed, **marks}, self._fallbacks)
        content = json.dumps(self._sendable(filled), ensure_ascii=False, separators=(",", ":"))
        header = str((filled.header or {}).get("text") or "")
        return _Shape(_parts(filled.text), _parts(header), _parts(content), filled.missing)


def one_line(text: str) -> str:
    """A value as Meta takes it: no line breaks, no tabs, no runs of spaces (132018)."""
    return " ".join(text.translate(_NOTHING).split())


def _as_value(kind: str, word: str) -> Any:
    """What a word stands for in a place of that kind: a picture is meant by its link, a form's run by its token."""
    member = "link" if kind in templates.MEDIA else _MEMBERS.get(kind)
    return {member: word} if member else word


def _parts(text: str) -> tuple[Part, ...]:
    """The text between the marks, each with the key of the mark behind it."""
    pieces = _MARKED.split(text)
    return tuple((text, key) for text, key in zip(pieces[::2], [*pieces[1::2], None], strict=True))


def _join(parts: Sequence[Part], values: Mapping[str, str]) -> str:
    return "".join([text if key is None else text + values[key] for text, key in parts])
