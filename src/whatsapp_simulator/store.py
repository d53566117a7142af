"""The snapshot: the whole state in one file, replaced as a whole, at most every second and at exit.

The first line is the state without its messages, the others hold messages, some thousand each. While the simulator
runs the lines are made one by one, so that nobody waits for more than one: a message may then be younger than the rest
(after a restart a status may come twice, as it may anyway).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from .state import Message, State
from .world import World

NAME = "simulator.json"
SLICE = 1000  # messages a line: some milliseconds


def load(folder: Path) -> State | None:
    """The state of the last run, one generation on; None when there is none. Raises ``ValueError`` when it can't be
    read."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    try:
        state = msgspec.json.decode(lines[0], type=State)
        for line in filter(None, lines[1:]):
            state.messages |= {message.id: message for message in msgspec.json.decode(line, type=list[Message])}
    except msgspec.MsgspecError as error:
        raise ValueError(f"{folder / NAME} isn't a snapshot of this version: {error}") from error
    state.generation += 1
    return state


def save(folder: Path, state: State) -> None:
    _write(folder, list(_lines(state)))


def _lines(state: State) -> Iterator[bytes]:
    messages = list(state.messages.values())
    yield msgspec.json.encode(replace(state, messages={}))
    for start in range(0, len(messages), SLICE):
        yield msgspec.json.encode(messages[start : start + SLICE])


def _write(folder: Path, lines: list[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{NAME}.{os.getpid()}"
    draft.write_bytes(b"\n".join(lines))
    draft.replace(folder / NAME)


async def keep_saving(folder: Path, current: Callable[[], World]) -> None:
    """Save whenever something changed. A big state is saved less often: encoding takes at most a twentieth of the
    time."""
    while True:
        pause, world = 1.0, current()
        if world.dirty:
            world.dirty = False
            cost, lines = 0.0, []
            world.state.pending = world.courier.unacknowledged()
            making, began = _lines(world.state), time.perf_counter()
            while (line := next(making, None)) is not None:
                lines.append(line)
                world.state.pending = []
                cost += time.perf_counter() - began
                await asyncio.sleep(0)
                began = time.perf_counter()
            pause = max(1.0, 20 * cost)
            await _to_the_end(asyncio.to_thread(_write, folder, lines))
        await asyncio.sleep(pause)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Waits for the work even when cancelled: a thread goes on whatever becomes of its task, and would write over what
    is saved after it."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])
