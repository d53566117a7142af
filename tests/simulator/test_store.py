"""The snapshot."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from whatsapp_simulator import store

pytestmark = pytest.mark.anyio


async def test_who_stops_saving_waits_for_the_snapshot_that_is_being_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else it would stand over the one that is saved at the end."""
    begun, goes_on, written = threading.Event(), threading.Event(), threading.Event()

    def write(folder: Path, lines: list[bytes]) -> None:
        begun.set()
        goes_on.wait(10)
        written.set()

    monkeypatch.setattr(store, "_write", write)
    monkeypatch.setattr(store, "_lines", lambda state: iter([b"{}"]))
    world: Any = SimpleNamespace(
        dirty=True, state=SimpleNamespace(pending=[]), courier=SimpleNamespace(unacknowledged=list)
    )
    saving = asyncio.create_task(store.keep_saving(tmp_path, lambda: cast("store.World", world)))
    await asyncio.to_thread(begun.wait, 10)
    saving.cancel()
    await asyncio.sleep(0)
    assert not saving.done()
    goes_on.set()
    await asyncio.wait([saving])
    assert saving.cancelled()
    assert written.is_set()
