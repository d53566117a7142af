"""A campaign runs while everything around it is killed, restarted, taken away and brought back.

Real processes: the simulator as Meta, a web process, two workers, a database of their own. At the end Meta's log holds
each recipient at most once, and each of them has a final state, which is the true one.
"""

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from tests.campaigns.bakery import PLANNED, frozen
from tests.story.conftest import APP_ID, APP_SECRET, BIN, Operator, Phone, Running, data_folder

from twinline.app import App, open_app
from twinline.campaigns import following, service
from twinline.campaigns.models import Campaign, Content, Variant
from twinline.db import as_json, embedded
from twinline.rules.identity import phone_key
from twinline.sending import lane
from twinline.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

PEOPLE = [f"35191{n:07}" for n in range(140)]
SPEED = 7  # messages a second, so that there is something in the middle of which things can happen
PATIENCE = 240.0  # seconds; a machine that others use takes its time

STANDS = """
SELECT c.state, c.reason, r.state AS became, count(*), min(r.phone) AS one_of_them
FROM campaigns c JOIN recipients r ON r.campaign_id = c.id GROUP BY 1, 2, 3
"""


@dataclass
class Stage:
    """Meta, the database, and the processes that come and go."""

    operator: Operator
    phone: Phone
    app: App
    port: int
    database: str
    web: Running
    workers: list[Running] = field(default_factory=list)

    def starts_web(self) -> None:
        self.web = self._process("web", f"--port={self.port}", ready="listening on")

    def starts_worker(self) -> None:
        self.workers.append(self._process("worker", ready="ready"))

    def kills(self, running: Running) -> None:
        assert running.ends(signal.SIGKILL) == -signal.SIGKILL
        running.forget()

    def _process(self, *command: str, ready: str) -> Running:
        running = Running([BIN / "twinline", *command, "--data", self.operator.data], self.operator.env)
        running.waits_for(ready)
        return running

    def controls(self, path: str, **body: Any) -> Any:
        return httpx.post(f"{self.phone.meta}/control/{path}", json=body, timeout=30).raise_for_status().json()

    def rows(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            return connection.execute(sql, params).fetchall()

    @property
    def taken(self) -> Counter[str]:
        """To whom Meta has taken a message, and how often."""
        asked = {"path": "/messages", "method": "POST", "status": "200", "limit": "5000"}
        log = httpx.get(f"{self.phone.meta}/control/log", params=asked, timeout=30).raise_for_status().json()
        return Counter(row["to"] for row in log["requests"])

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Looks until it is so, also while the database is away."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                if true():
                    return
            except psycopg.OperationalError:
                pass
            assert time.monotonic() < ends, f"{what}: {self.rows(STANDS)}"
            await asyncio.sleep(0.1)

    async def taken_by(self, count: int) -> None:
        await self.until(lambda: self.taken.total() >= count, f"{count} messages")

    async def state(self, *states: str) -> None:
        await self.until(lambda: self.rows("SELECT state FROM campaigns")[0]["state"] in states, " or ".join(states))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def restart_database(folder: Path) -> None:
    """As after a power cut: nobody is asked, and nothing is written down."""
    pgdata = folder.resolve() / "postgres"
    postmaster = int((pgdata / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGQUIT)
    while Path(f"/proc/{postmaster}/stat").exists() and " Z " not in Path(f"/proc/{postmaster}/stat").read_text():
        time.sleep(0.05)
    embedded._start(pgdata)


@contextmanager
def meta(folder: Path, port: int) -> Iterator[str]:
    command = [BIN / "whatsapp-simulator", "--port=0", "--messages=20", f"--clock-file={folder / 'clock'}"]
    running = Running([*command, f"--callback=http://127.0.0.1:{port}/hook/meta"], {})
    try:
        running.waits_for("listening on")
        yield running.out.split()[-1]
    finally:
        running.forget()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    with ExitStack() as over:
        folder = over.enter_context(data_folder())
        port = free_port()
        database = embedded.start(folder)
        over.callback(embedded.stop, folder)
        address = over.enter_context(meta(folder, port))
        environment = {
            "DATABASE_URL": database,
            "TWINLINE_GRAPH_URL": address,
            "TWINLINE_APP_ID": APP_ID,
            "TWINLINE_APP_SECRET": APP_SECRET,
            "TWINLINE_VERIFY_TOKEN": "simulator-verify-token",
            "TWINLINE_CLOCK_FILE": str(folder / "clock"),
        }
        operator = Operator(folder, environment)
        operator.does("migrate")
        phone = Phone.connected(address)
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        settings = Settings(data=folder, clock_file=folder / "clock")
        async with open_app(settings, database) as app:
            here = Stage(operator, phone, app, port, database, web=None)  # type: ignore[arg-type]
            here.starts_web()
            here.starts_worker()
            here.starts_worker()
            try:
                yield here
            finally:
                for running in (here.web, *here.workers):
                    running.forget()


async def planned(here: Stage) -> Campaign:
    """A campaign to all these people, as the planning leaves it behind."""
    for number in PEOPLE:
        here.phone.customer(f"Customer {number[-3:]}", number)
    body = [{"type": "BODY", "text": "Spring is here."}]
    about = {"name": "spring", "language": "en", "category": "MARKETING", "components": body}
    here.controls("templates", waba=here.phone.waba_id, approved=True, **about)
    here.operator.does("template", "sync")
    async with here.app.db.transaction() as tx:
        [(number, organisation)] = await tx.rows("SELECT id, organisation_id FROM numbers")
        now = here.app.clock.now()
        content = Content([Variant("spring", ["en"])])
        one = await service.create(tx, organisation, number, "Spring", now, content=content, speed=SPEED)
        await service.plan_requested(tx, organisation, one.id, now)
        await tx.execute("DELETE FROM procrastinate_jobs WHERE task_name = %s", (service.PLAN,))
        for phone in PEOPLE:
            named = {"number": number, "campaign": one.id, "phone": phone, "contact": None, "variant": 0}
            await tx.execute(PLANNED, {**named, "key": phone_key(phone), "draft": as_json(frozen())})
        made = await service.planned(tx, organisation, one.id, one.revision, {}, now)
    assert made is not None
    return made


async def test_whatever_happens_in_the_middle_of_a_campaign_nobody_gets_it_twice(anyio_backend: str) -> None:
    async with stage() as here:
        here.controls("delivery", retry=[0.5], attempts=1000)  # Meta has more patience than a test
        one = await planned(here)
        async with here.app.db.transaction() as tx:
            await service.start(tx, one.organisation_id, one.id, here.app.clock.now())

        await here.taken_by(15)
        here.kills(here.workers.pop(0))
        await here.taken_by(30)
        here.kills(here.workers.pop(0))  # now there is none
        here.starts_worker()
        here.starts_worker()

        await here.taken_by(45)
        here.kills(here.web)
        await asyncio.sleep(1)  # statuses come to a closed door
        here.starts_web()

        await here.taken_by(60)
        restart_database(here.operator.data)

        await here.taken_by(75)
        here.controls(f"phones/{here.phone.id}/offboard")
        await here.state("held")
        # Meta may refuse a message before it tells that the number is away.
        away = [{"reason": "number.away"}]
        await here.until(lambda: here.rows("SELECT reason FROM campaigns") == away, "the campaign says that it is away")
        here.kills(here.workers.pop(0))
        here.controls(f"phones/{here.phone.id}/reconnect")
        await here.state("running", "finished")

        await here.taken_by(95)
        template = httpx.get(f"{here.phone.meta}/control/templates").json()["templates"][0]["id"]
        here.controls(f"templates/{template}/pause")
        await here.state("held")
        [held] = here.rows("SELECT reason FROM campaigns")
        assert held["reason"] in {"template.paused", "stopped.template"}
        here.kills(here.web)
        here.starts_web()
        here.controls(f"templates/{template}/unpause")

        # What was in hand of a worker that was killed is in doubt, unless Meta tells that it has it.
        await here.until(lambda: not states(here) & {"planned", "queued", "sending", "held"}, "everybody is written to")
        (here.operator.data / "clock").write_text("700")
        async with open_app(here.app.settings, here.database) as app:  # the other one's connections are dead
            await lane.despair(app)
            await here.state("finished")
            httpx.post(f"{here.phone.meta}/control/delivery/flush", timeout=60).raise_for_status()
            await following.follow(app, one.number_id)

        taken = here.taken
        assert set(taken.values()) == {1}, "Meta took somebody's message twice"
        became = {row["phone"]: row["state"] for row in here.rows("SELECT phone, state FROM recipients")}
        assert len(became) == len(PEOPLE)
        # While the phone is away Meta tells nobody what becomes of what it has: that stays "sent", which is true.
        assert {phone for phone, state in became.items() if state in {"sent", "delivered"}} == set(taken)
        assert {state for phone, state in became.items() if phone not in taken} <= {"unknown"}
        counted = Counter(became.values())
        assert counted["sent"] <= 20
        assert counted["unknown"] <= 40, "no more than what four killed workers had in hand"


def states(here: Stage) -> set[str]:
    return {row["state"] for row in here.rows("SELECT DISTINCT state FROM recipients")}
