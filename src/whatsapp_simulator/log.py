"""The log of Graph requests: bounded by lines and by bytes, cheap to write, read as pages or as one stream.

A line is kept as the bytes that came and went; JSON is made of it when somebody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from .state import Json

LINES = 200_000
BYTES = 128 << 20
OVERHEAD = 500
"""Bytes of a line besides."""
LONGEST = 16 << 10
"""Bytes of a body or an answer beyond which it isn't kept."""
SECRET = ("access_token", "client_secret", "code", "input_token")


@dataclass(slots=True)
class Seen:
    """A request. ``at``: when its first byte was read, unix seconds on the simulator's clock, exact to the
    microsecond; ``ms``: real milliseconds until the answer was made. ``to`` is set for sends. ``kept``: bytes that the
    line takes, as far as they are counted."""

    seq: int
    at: float
    method: str
    path: str
    query: Json
    body: bytes = b""
    status: int = 0
    code: int | None = None
    ms: float = 0.0
    answer: bytes = b""
    fault: str | None = None
    to: str | None = None
    kept: int = 0

    def shown(self) -> Json:
        return {
            "seq": self.seq,
            "at": round(self.at, 6),
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "body": _shown(self.body),
            "status": self.status,
            "code": self.code,
            "ms": self.ms,
            "answer": _shown(self.answer),
            "fault": self.fault,
            "to": self.to,
        }


def _shown(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode(errors="replace")
    return {key: value for key, value in found.items() if key not in SECRET} if isinstance(found, dict) else found


@dataclass(frozen=True)
class Filter:
    """What of the log is wanted. ``path`` is a part of it; times are on the simulator's clock, ``until`` excluded."""

    path: str = ""
    method: str = ""
    status: int | None = None
    code: int | None = None
    to: str = ""
    fault: str = ""
    refused: bool = False
    """Answered with an error."""
    spoiled: bool = False
    """Struck by a fault."""
    begin: float = float("-inf")
    until: float = float("inf")

    def takes(self, seen: Seen) -> bool:
        return (
            self.path in seen.path
            and self.method in ("", seen.method)
            and self.status in (None, seen.status)
            and self.code in (None, seen.code)
            and self.to in ("", seen.to)
            and self.fault in ("", seen.fault)
            and not (self.refused and seen.status < 400)
            and not (self.spoiled and seen.fault is None)
            and self.begin <= seen.at < self.until
        )


class Log:
    """The newest requests."""

    def __init__(self) -> None:
        self._lines: deque[Seen] = deque()
        self._bytes = 0
        self._seq = 0

    def open(self, at: float, method: str, path: str, query: Json) -> Seen:
        """A line for a request that has just come."""
        self._seq += 1
        seen = Seen(self._seq, at, method, path, query)
        self._lines.append(seen)
        return seen

    def close(self, seen: Seen, *, lines: int = LINES, room: int = BYTES) -> None:
        """The answer is made: what is too long isn't kept, and old lines leave."""
        if len(seen.body) > LONGEST:
            seen.body = orjson.dumps(f"{len(seen.body)} bytes, too many to keep")
        if len(seen.answer) > LONGEST:
            seen.answer = orjson.dumps(f"{len(seen.answer)} bytes, too many to keep")
        seen.kept = len(seen.body) + len(seen.answer) + OVERHEAD
        self._bytes += seen.kept
        while self._bytes > room or len(self._lines) > lines:
            self._bytes -= self._lines.popleft().kept

    def clear(self) -> None:
        self._lines.clear()
        self._bytes = 0

    def after(self, seq: int, wanted: Filter) -> Iterator[Seen]:
        """Lines younger than ``seq``, oldest first."""
        first = self._lines[0].seq if self._lines else 0
        return (seen for seen in islice(self._lines, max(0, seq + 1 - first), None) if wanted.takes(seen))

    def newest(self, seq: int, wanted: Filter, limit: int) -> list[Seen]:
        """The youngest of them, oldest first."""
        found: list[Seen] = []
        for seen in reversed(self._lines):
            if seen.seq <= seq or len(found) >= limit:
                break
            if wanted.takes(seen):
                found.append(seen)
        return found[::-1]
