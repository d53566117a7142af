"""What the benches share: processes to measure, a load generator, signed webhooks, and the shape of a result."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import psycopg

from twinline.db import embedded, migrate

SECRET = "bench-secret"
BIN = Path(sys.executable).parent
NOW = 1_795_350_000  # 2026-11-22; webhooks of the benches are stamped around it
WABA = "700000000000001"


@dataclass
class Figure:
    """One measured goal: the figure, its reference if it has one, and whether the goal is met."""

    goal: str
    what: str
    value: float
    unit: str
    reference: float | None = None
    reference_what: str = ""
    ratio: float | None = None
    wanted: str = ""
    met: bool | None = None
    detail: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.goal:4} {self.what}: {self.value:,.1f} {self.unit}"
        if self.ratio is not None:
            text += f"  = {self.ratio:.2f} x {self.reference_what} ({self.reference:,.1f})"
        mark = {True: "met", False: "NOT met", None: ""}[self.met]
        return f"{text}  [{self.wanted}: {mark}]" if self.wanted else text


def report(figures: Sequence[Figure], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=2))


# --- a platform to measure ----------------------------------------------------------------------------------------


@dataclass
class Platform:
    folder: Path
    url: str
    env: dict[str, str]
    numbers: list[tuple[str, str]]  # phone number id, display phone

    def sql(self, statement: str, *params: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, params)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def platform(numbers: int = 1, **env: str) -> Iterator[Platform]:
    """A fresh database with connected numbers, and the environment for processes on it."""
    folder = Path(tempfile.mkdtemp(prefix="twinline-bench-"))
    folder.chmod(0o755)
    try:
        url = embedded.start(folder)
        migrate.migrate(url)
        made = [(f"8000000000{i:05}", f"1415556{i:04}") for i in range(numbers)]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO organisations (name, created_at) VALUES ('Bench', now())")
            for phone_number_id, phone in made:
                connection.execute(
                    "INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at,"
                    " connected_at, state) VALUES (1, %s, %s, %s, now(), to_timestamp(%s), 'connected')",
                    (WABA, phone_number_id, phone, NOW - 86_400),
                )
        settings = {
            **os.environ,
            "TWINLINE_DATA": str(folder),
            "TWINLINE_APP_SECRET": SECRET,
            "TWINLINE_VERIFY_TOKEN": "bench",
            **env,
        }
        yield Platform(folder, url, settings, made)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def process(command: Sequence[str], env: dict[str, str], ready: str) -> Iterator[str]:
    """A process, from the line on which it says that it is ready to its end. Yields that line."""
    running = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        for line in running.stdout:
            if ready in line:
                yield line.strip()
                break
        else:
            raise RuntimeError(f"{command[0]} ended before it was ready")
    finally:
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(10)
        running.kill()


@contextmanager
def web(on: Platform) -> Iterator[int]:
    """``twinline web``; yields its port."""
    with process([str(BIN / "twinline"), "web", "--port=0"], on.env, "listening on") as line:
        yield int(line.rsplit(":", 1)[1])


@contextmanager
def worker(on: Platform) -> Iterator[None]:
    with process([str(BIN / "twinline"), "worker"], on.env, "ready"):
        yield


@contextmanager
def bare_asgi() -> Iterator[int]:
    """The reference of P1: uvicorn with an app that reads the body and answers."""
    with process([sys.executable, "-m", "bench.bare"], dict(os.environ), "listening on") as line:
        yield int(line.rsplit(":", 1)[1])


# --- webhooks -----------------------------------------------------------------------------------------------------

_serial = itertools.count()


def message(
    number: tuple[str, str], person: int, *, at: int = NOW, text: str | None = None, country: str = "1650"
) -> dict[str, object]:
    """A webhook value's message and contact: one live text from one of many people."""
    serial = next(_serial)
    phone = f"{country}{person:07}"
    return {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number[1], "phone_number_id": number[0]},
        "contacts": [{"profile": {"name": f"Person {person}"}, "wa_id": phone, "user_id": f"US.9{person:012}"}],
        "messages": [
            {
                "from": phone,
                "from_user_id": f"US.9{person:012}",
                "id": f"wamid.BENCH{serial:012}{os.getpid():08}",
                "timestamp": str(at),
                "type": "text",
                "text": {"body": text or f"Is order {serial} ready to be picked up today?"},
            }
        ],
    }


def envelope(*values: object, field: str = "messages") -> bytes:
    changes = [{"field": field, "value": value} for value in values]
    root = {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": changes}]}
    return json.dumps(root, separators=(",", ":")).encode()


def request(body: bytes, path: str = "/hook/meta") -> bytes:
    """A whole signed HTTP/1.1 request, ready for a socket."""
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def history(number: tuple[str, str], chunk: int, messages: int, *, chats: int = 500, last: bool = False) -> bytes:
    """A history chunk: ``messages`` texts spread over some chats, both directions."""
    threads: dict[str, list[dict[str, object]]] = {}
    for i in range(messages):
        phone = f"1651{(chunk * 131 + i) % chats:07}"
        serial = next(_serial)
        inbound = i % 2 == 0
        threads.setdefault(phone, []).append(
            {
                "from": phone if inbound else number[1],
                "id": f"wamid.HIST{serial:012}{os.getpid():08}",
                "timestamp": str(NOW - 86_400 * 2 - serial),
                "type": "text",
                "text": {"body": f"Past message {serial} about the usual things, neither short nor long"},
                "history_context": {"status": "READ"},
            }
        )
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number[1], "phone_number_id": number[0]},
        "history": [
            {
                "metadata": {"phase": 1, "chunk_order": chunk, "progress": 100 if last else min(99, chunk)},
                "threads": [{"id": phone, "messages": found} for phone, found in threads.items()],
            }
        ],
    }
    return envelope(value, field="history")


# --- load ---------------------------------------------------------------------------------------------------------


class Client:
    """One keep-alive connection that sends whole requests and reads answers; lean, so that it doesn't set the pace."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, raw: bytes) -> int:
        """The status code of the answer."""
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if length:
            await self._reader.readexactly(length)
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def clients(port: int, count: int) -> AsyncIterator[list[Client]]:
    found = [await Client.connect(port) for _ in range(count)]
    try:
        yield found
    finally:
        for client in found:
            client.close()


async def flood(port: int, raws: Sequence[bytes], connections: int = 64) -> float:
    """Sends all as fast as they are answered; requests per second."""
    left = iter(raws)

    async def one(client: Client) -> None:
        for raw in left:
            status = await client.send(raw)
            if status != 200:
                raise RuntimeError(f"answered {status}")

    async with clients(port, connections) as found:
        begun = time.perf_counter()
        await asyncio.gather(*(one(client) for client in found))
        return len(raws) / (time.perf_counter() - begun)


async def steady(port: int, raws: Sequence[bytes], rate: float, connections: int = 64) -> list[float]:
    """Sends at a fixed rate, whatever the answers do; answer times in ms, counted from when each was due."""
    free: asyncio.Queue[Client] = asyncio.Queue()
    times: list[float] = []

    async def one(raw: bytes, due: float) -> None:
        client = await free.get()
        status = await client.send(raw)
        times.append((time.perf_counter() - due) * 1000)
        free.put_nowait(client)
        if status != 200:
            raise RuntimeError(f"answered {status}")

    async with clients(port, connections) as found, asyncio.TaskGroup() as group:
        for client in found:
            free.put_nowait(client)
        begun = time.perf_counter()
        for i, raw in enumerate(raws):
            due = begun + i / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(one(raw, due))
    return times


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


median = statistics.median


async def until(look: "callable", patience: float = 60.0) -> float:  # type: ignore[valid-type]
    """Waits until ``look()`` is true; the seconds it took."""
    begun = time.perf_counter()
    while not look():
        if time.perf_counter() - begun > patience:
            raise TimeoutError("what was waited for didn't come")
        await asyncio.sleep(0.02)
    return time.perf_counter() - begun


def answers(port: int) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    return False
