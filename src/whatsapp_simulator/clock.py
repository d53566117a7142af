"""Time as an argument: real time plus an offset that anybody may move.

The offset lives in a file of one number (seconds), so that the simulator and the program under test can share it:
whoever writes the file moves both. Without a file the offset lives in memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


class Clock:
    """``now()`` in unix seconds. The file is looked at on every call and read again only when it changed."""

    def __init__(self, path: Path | None = None, real: Callable[[], float] = time.time) -> None:
        self._path = path
        self._real = real
        self._offset = 0.0
        self._seen: tuple[int, int, int] | None = None

    @property
    def offset(self) -> float:
        """Seconds added to real time."""
        if self._path is None:
            return self._offset
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._offset = None, 0.0
            return 0.0
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen != self._seen:
            try:
                self._offset = float(self._path.read_text().strip() or 0)
            except (OSError, ValueError):
                return self._offset  # half-written by a program that isn't atomic: the next look reads it
            self._seen = seen
        return self._offset

    def now(self) -> float:
        return self._real() + self.offset

    def advance(self, seconds: float) -> float:
        """Move the clock and answer the new time."""
        offset = self.offset + seconds
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            draft.write_text(f"{offset!r}\n")
            draft.replace(self._path)
        self._offset = offset
        self._seen = None
        return self.now()
