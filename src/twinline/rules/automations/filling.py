"""Placeholders: ``{{contact.name|there}}`` becomes what is known, or what stands behind the bar.

What is put in isn't looked at again, so nobody can write a placeholder into somebody else's message.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

PLACEHOLDER: Final = re.compile(r"\{\{\s*([^\W\d][\w.-]*)\s*(?:\|([^{}]*))?\}\}")
ROOTS: Final = ("contact", "vars", "message", "number", "now", "today", "tomorrow", "yesterday")
"""With what the name of a placeholder may begin."""
FORMATS: Final = MappingProxyType({"date": "%Y-%m-%d", "time": "%H:%M", "weekday": "%A"})
"""What may stand behind the bar of ``now``."""
MOST: Final = 1000
"""Characters that one placeholder can bring into a message."""

_DAYS: Final = MappingProxyType({"yesterday": -1, "today": 0, "tomorrow": 1})
_ADDRESSES: Final = frozenset({"url", "link"})


def lookup(scope: Mapping[str, Any], path: str) -> Any:
    """What is at a dotted path such as ``vars.order.items.0``, or None."""
    if path in _DAYS:
        return (_now(scope) + timedelta(days=_DAYS[path])).strftime(FORMATS["date"])
    found: Any = scope
    for name in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, Sequence) and not isinstance(found, str) and name.isascii() and name.isdigit():
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    return found


def render(text: str, scope: Mapping[str, Any], encode: Callable[[str], str] = str) -> str:
    """The text with its placeholders filled in; each value passes through ``encode``."""

    def put(found: re.Match[str]) -> str:
        path, behind = found[1], (found[2] or "").strip()
        if path == "now":
            return encode(_now(scope).strftime(FORMATS.get(behind, "%Y-%m-%d %H:%M")))
        return encode(words(lookup(scope, path))[:MOST] or behind)

    return PLACEHOLDER.sub(put, text)


def fill(value: Any, scope: Mapping[str, Any], encode: Callable[[str], str] = str) -> Any:
    """Every text in a JSON value, filled in; in addresses what is put in is percent-encoded."""
    if isinstance(value, str):
        return render(value, scope, encode)
    if isinstance(value, Mapping):
        return {name: fill(part, scope, _quoted if name in _ADDRESSES else encode) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [fill(part, scope, encode) for part in value]
    return value


def words(value: Any) -> str:
    """A JSON value as text, as PostgreSQL can keep it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\0", "").strip()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _now(scope: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(scope["now"])
