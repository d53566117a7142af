"""Real processes, as a user starts them: the commands, `twinline up`, and the simulator alone."""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from tests.fixtures.patience import PATIENCE

BIN = Path(sys.executable).parent
APP_ID, APP_SECRET = "100000000000001", "simulator-app-secret"  # the simulator's, known to everybody

# What the shell of whoever runs the tests says must not reach the commands.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("TWINLINE_") and name not in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE", "PGCONNECT_TIMEOUT")
}


def processes(about: Path) -> list[str]:
    """Command lines of all processes that have to do with this folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(about) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


@dataclass
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass
class Operator:
    """Somebody at a shell, with a data folder."""

    data: Path
    env: dict[str, str] = field(default_factory=dict)

    def tries(self, *command: str, **env: str) -> Said:
        """The command on the folder. Whatever comes of it, nobody sees a stack trace."""
        done = subprocess.run(
            [BIN / "twinline", *command, "--data", self.data],
            env={**CLEAN, **self.env, **env}, capture_output=True, text=True, timeout=3 * PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = Said(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in said.all
        assert "TWINLINE_TRACE" not in said.all, said.all
        return said

    def does(self, *command: str, **env: str) -> str:
        """The command, which has to succeed; answers what it printed."""
        said = self.tries(*command, **env)
        assert said.code == 0, said.all
        return said.out

    def is_refused(self, *command: str, code: int = 1, **env: str) -> str:
        """The command, which has to end in a refusal; answers its words, as one line."""
        said = self.tries(*command, **env)
        assert said.code == code, said.all
        assert said.err.strip()
        return " ".join(said.err.split())

    def exports(self, number: str) -> list[str]:
        return self.does("export", "--number", number).splitlines()

    @contextmanager
    def starts(self, *command: str, ready: str = "ready", **env: str) -> Iterator["Running"]:
        """A command that stays, once it has said that it is ready."""
        running = Running([BIN / "twinline", *command, "--data", self.data], {**self.env, **env})
        try:
            running.waits_for(ready)
            yield running
        finally:
            running.forget()

    @contextmanager
    def up(self, *options: str, **env: str) -> Iterator["Up"]:
        """`twinline up --simulator` on free ports, with a small world."""
        small = "--simulator-option=--contacts=12", "--simulator-option=--messages=120"
        ports = "--port=0", "--simulator-port=0"
        with self.starts("up", "--simulator", *ports, *small, *options, **env) as running:
            found = re.search(
                r"twinline +(\S+).*log in as +(\S+) +password +(\S.*?)\n.*phone +(\S+)/phone", running.out, re.S
            )
            assert found is not None, running.out
            yield Up(running, *found.groups())


class Running:
    """A process that stays until it is told to end."""

    def __init__(self, command: list[object], env: dict[str, str]) -> None:
        self._err = tempfile.TemporaryFile("w+")  # noqa: SIM115
        # However the tests were started (nohup, in the background), it hears every signal.
        self.process = subprocess.Popen(
            ["env", "--default-signal", *map(str, command)], env={**CLEAN, **env}, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._err,
        )  # fmt: skip
        self.out = ""
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def waits_for(self, word: str) -> None:
        while word not in self.out:
            line = self._lines.get(timeout=PATIENCE)
            assert line, f"it ended: {self.out}{self.err}"
            self.out += line

    @property
    def err(self) -> str:
        self._err.seek(0)
        return self._err.read()

    def ends(self, by: int = signal.SIGTERM) -> int:
        """Tells it to end, if it hasn't; answers the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        code = self.process.wait(PATIENCE)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def forget(self) -> None:
        self.ends()
        self._err.close()


@dataclass
class Up:
    """A running `twinline up --simulator`, and what it printed."""

    running: Running
    address: str
    email: str
    password: str
    meta: str


@dataclass
class Phone:
    """A connected phone in a simulator, and its customers."""

    meta: str
    id: str  # Meta's phone number id as well
    waba_id: str
    number: str
    token: str

    @classmethod
    def connected(cls, meta: str) -> "Phone":
        made = httpx.post(f"{meta}/control/phones", json={"connected": True, "contacts": 5, "messages": 20}).json()
        return cls(meta, made["id"], made["waba_id"], made["number"], made["token"])

    @property
    def options(self) -> tuple[str, ...]:
        """How `number add` is told of it."""
        return "--waba-id", self.waba_id, "--phone-number-id", self.id, "--display-phone", f"+{self.number}"

    def customer(self, name: str, number: str) -> str:
        """A new customer's id."""
        made = httpx.post(f"{self.meta}/control/customers", json={"name": name, "number": number}).raise_for_status()
        return str(made.json()["id"])

    def receives(self, customer: str, text: str) -> None:
        said = {"phone": self.id, "text": text}
        httpx.post(f"{self.meta}/control/customers/{customer}/send", json=said).raise_for_status()

    def screen(self, customer: str) -> list[str]:
        """What came to this customer through the API: texts, and captions."""
        shown = httpx.get(f"{self.meta}/control/phones/{self.id}/chats/{customer}").raise_for_status().json()
        sent = [message["content"] for message in shown["messages"] if message["origin"] == "api"]
        return [content.get("body") or content.get("caption") for content in sent]


def login(address: str, email: str, password: str) -> httpx.Response:
    form = {"email": email, "password": password, "next": "/numbers"}
    return httpx.post(f"{address}/login", data=form, headers={"Origin": address})


@contextmanager
def browser(address: str, email: str, password: str) -> Iterator[httpx.Client]:
    """Somebody who is logged in, and whose forms carry their token."""
    answer = login(address, email, password)
    assert answer.status_code == 303, answer.text
    with httpx.Client(base_url=address, cookies=answer.cookies, headers={"Origin": address}) as client:
        found = re.search(r'name="csrf"[^>]*?(?:content|value)="([^"]+)"', client.get("/numbers").text)
        assert found is not None
        client.headers["X-CSRF-Token"] = found[1]
        yield client


@contextmanager
def data_folder() -> Iterator[Path]:
    """Outside of home folders and of pytest's, for PostgreSQL has to reach it."""
    folder = Path(tempfile.mkdtemp(prefix="twinline-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: str) -> Iterator[str]:
    """The address of a new, empty database."""
    name = f"story_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The address of a simulator that runs alone."""
    with data_folder() as folder:
        running = Running([BIN / "whatsapp-simulator", "--port=0", f"--data={folder}", "--messages=20"], {})
        try:
            running.waits_for("listening on")
            yield running.out.split()[-1]
        finally:
            running.forget()


@pytest.fixture
def operator(empty_database: str, tmp_path: Path) -> Operator:
    """Somebody with a database of their own, and nothing running."""
    return Operator(tmp_path / "data", {"DATABASE_URL": empty_database})
