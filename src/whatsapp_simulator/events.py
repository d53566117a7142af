"""What changed, for live pages: a small fan-out to any number of listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class Hub:
    """``tell`` never waits: a listener too slow to keep up loses its oldest events and is told so."""

    def __init__(self, room: int = 1000) -> None:
        self._room = room
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()

    def tell(self, kind: str, **about: Any) -> None:
        for queue in self._listeners:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait({"kind": "reload"})
            queue.put_nowait({"kind": kind, **about})

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(self._room)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
