"""The snapshot: the whole state in one file, replaced as a whole, at most every second and at exit."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from .state import State
from .world import World

NAME = "simulator.json"


def load(folder: Path) -> State | None:
    """The state of the last run, one generation on; None when there is none. Raises ``ValueError`` when it can't be
    read."""
    try:
        raw = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return None
    try:
        state = msgspec.json.decode(raw, type=State)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{folder / NAME} isn't a snapshot of this version: {error}") from error
    state.generation += 1
    return state


def save(folder: Path, state: State) -> None:
    _write(folder, msgspec.json.encode(state))


def _write(folder: Path, raw: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{NAME}.{os.getpid()}"
    draft.write_bytes(raw)
    draft.replace(folder / NAME)


async def keep_saving(folder: Path, current: Callable[[], World]) -> None:
    """Save whenever something changed. A big state is saved less often: encoding takes at most a twentieth of the
    time."""
    while True:
        pause, world = 1.0, current()
        if world.dirty:
            world.dirty = False
            began = time.perf_counter()
            world.state.pending = world.courier.unacknowledged()
            raw = msgspec.json.encode(world.state)
            world.state.pending = []
            pause = max(1.0, 20 * (time.perf_counter() - began))
            await asyncio.to_thread(_write, folder, raw)
        await asyncio.sleep(pause)
