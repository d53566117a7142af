"""Faults: which of them strikes a call, and what then becomes of its answer.

Chance is drawn by lot, not from a stream: the n-th call to a recipient has the same lot for a fault in every run, in
whatever order calls to different recipients arrive. So a run with a seed can be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .state import Fault, State

BEFORE = frozenset({"error", "http", "lost", "late", "slow", "no_answer", "half_answer"})
"""Effects on a call; ``fail`` is one on the message."""
WIRE = "whatsapp_simulator.wire"
"""The ASGI extension of the simulator's own server."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """A call, as far as faults are concerned. ``to``: every address its recipient is known by."""

    at: float
    edge: str
    path: str = ""
    phone: str | None = None
    to: tuple[str, ...] = ()
    template: str | None = None


class Faults:
    """The faults of a world."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._calls: Counter[tuple[str, str]] = Counter()
        """Lots drawn so far, by fault and recipient."""

    def strike(self, effects: Container[str], occasion: Occasion) -> Fault | None:
        """The first fault that applies, with one of its times used up."""
        for fault in self._state.faults:
            if fault.effect not in effects or not _meant(fault, occasion):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.probability < 1 and self._lot(fault, occasion) >= fault.probability:
                continue
            fault.struck += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._state.faults.remove(fault)
            return fault
        return None

    def _lot(self, fault: Fault, occasion: Occasion) -> float:
        """From 0 to 1."""
        who = occasion.to[0] if occasion.to else occasion.path
        self._calls[fault.id, who] += 1
        text = f"{self._state.seed}:{fault.seed}:{who}:{self._calls[fault.id, who]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) / 256**7


def _meant(fault: Fault, occasion: Occasion) -> bool:
    return (
        fault.edge in (occasion.edge, "any")
        and (fault.path is None or fault.path in occasion.path)
        and (fault.to is None or fault.to in occasion.to)
        and fault.phone in (None, occasion.phone)
        and fault.template in (None, occasion.template)
        and (fault.since is None or occasion.at >= fault.since)
        and (fault.until is None or occasion.at < fault.until)
    )


class Cut(Response):
    """Nothing more is heard after ``seconds``: half of the answer first if ``half``, else not a byte."""

    def __init__(self, content: bytes, seconds: float, *, half: bool) -> None:
        super().__init__(content, media_type="application/json")
        self._seconds = seconds
        self._half = half

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self._seconds)
        if self._half:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            part = bytes(self.body)[: len(self.body) // 2]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        cut: Callable[[], None] | None = scope.get("extensions", {}).get(WIRE, {}).get("cut")
        if cut is None:
            raise ConnectionResetError("cut on purpose")
        cut()
        while (await receive())["type"] != "http.disconnect":
            pass
