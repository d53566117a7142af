"""P11: from the command to the first answer.

``twinline up`` in a new folder (a database is made and brought to its schema, an owner and keys are made) and again in
the same folder: until the line "ready" is printed, and until ``/health`` answers. References in the same round: what
the embedded PostgreSQL needs by itself, in a new folder and in one that it has been in.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import common
from bench.common import BIN, Figure, median
from twinline.db import embedded

ROUNDS = 5


def run(quick: bool = False) -> list[Figure]:
    first, again, first_alone, again_alone = [], [], [], []
    readies: list[tuple[float, float]] = []
    for _ in range(2 if quick else ROUNDS):
        with _folder() as folder:
            made_ready, made = _up(folder)
            ready, answered = _up(folder)
            first.append(made)
            again.append(answered)
            readies.append((made_ready, ready))
        with _folder() as folder:
            first_alone.append(_postgres(folder))
            again_alone.append(_postgres(folder))
    [imports] = [median([_imports() for _ in range(3)])]
    value, reference = median(again), median(again_alone)
    existing = Figure(
        "P11", "`twinline up` on an existing folder", value, "s", reference, "its PostgreSQL alone", value / reference,
        "<= 3 s", value <= 3, {"rounds": again, "ready_line": [ready for _, ready in readies], "imports": imports},
    )  # fmt: skip
    value, reference = median(first), median(first_alone)
    new = Figure(
        "P11", "first `twinline up` in a new folder", value, "s", reference, "its PostgreSQL alone", value / reference,
        "<= 10 s", value <= 10, {"rounds": first, "ready_line": [ready for ready, _ in readies]},
    )  # fmt: skip
    return [existing, new]


@contextlib.contextmanager
def _folder():  # type: ignore[no-untyped-def]
    folder = Path(tempfile.mkdtemp(prefix="twinline-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _up(folder: Path) -> tuple[float, float]:
    """(seconds until it says that it is ready, seconds until it answers)"""
    env = {**os.environ, "TWINLINE_APP_SECRET": common.SECRET, "TWINLINE_VERIFY_TOKEN": "bench"}
    env.pop("DATABASE_URL", None)
    begun = time.perf_counter()
    running = subprocess.Popen(
        [str(BIN / "twinline"), "up", f"--data={folder}", "--port=0"], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        port = None
        for line in running.stdout:
            if line.startswith("twinline "):
                port = int(line.strip().rsplit(":", 1)[1])
            if line.startswith("ready"):
                break
        ready = time.perf_counter() - begun
        assert port is not None, "it ended before it was ready"
        while not _answers(port):
            if time.perf_counter() - begun > 60:
                raise TimeoutError("it didn't answer within a minute")
            time.sleep(0.005)
        return ready, time.perf_counter() - begun
    finally:
        time.sleep(0.5)  # it isn't part of the figure, and a process that is still starting stops less willingly
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(10)
        running.kill()
        running.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return answer.status == 200
    return False


def _postgres(folder: Path) -> float:
    begun = time.perf_counter()
    embedded.start(folder)
    took = time.perf_counter() - begun
    embedded.stop(folder)
    return took


def _imports() -> float:
    """Seconds for Python to start and load every module of the platform."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import twinline.cli"], check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    for figure in run():
        print(figure, figure.detail)
