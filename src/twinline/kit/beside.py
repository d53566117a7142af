"""Work that computes for seconds, in a process of its own, since a thread would let all others wait for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LARGE: Final = 1 << 18
"""Bytes from which on it is worth a process, which takes a moment to begin."""


async def run(size: int, work: Callable[[*Ts], T], *given: *Ts) -> T:
    """What ``work`` answers or raises; what is small is done by a thread. ``size``: bytes to be worked on.

    ``work`` is a function of a module, and what it is given and answers can be pickled. The process is over when it is
    done, and its memory is free.
    """
    if size < LARGE:
        return await asyncio.to_thread(work, *given)
    process = ProcessPoolExecutor(1, get_context("spawn"))
    try:
        return await asyncio.get_running_loop().run_in_executor(process, work, *given)
    finally:
        process.shutdown(wait=False, cancel_futures=True)
