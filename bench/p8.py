"""P8: a campaign of 100,000 people, from a CSV file: planned (the dry run), started, and the memory that takes.

Half of them are contacts of the number with a chat, the others strangers; a thousand are on the suppression list, two
thousand have ended marketing, five hundred stand in the list twice and a hundred lines can't be read. The template has
two variables, one of them with a fallback. Bringing the file, when its numbers are read, comes before and is told as a
figure of its own.

What planning and starting take is counted in seconds of processors, the worker's and the database's together: on a
quiet machine that is what somebody waits, since the two take turns, and a crowded one can't make it look worse. The
seconds on the clock stand in the JSON. Each is done by a process of its own, whose largest size is its memory.

*Queued* means: from pressing Start until the outbox holds as much of the campaign as the number can send in the next
seconds (``campaigns.running.AHEAD``). A campaign never puts everybody there at once, so that pausing it takes back all
that hasn't left.
The reference is one ``INSERT … SELECT`` of as many rows into the same table, with the same indexes.
"""

import asyncio
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from bench import common
from bench.common import Figure, Platform
from twinline.app import App, open_app
from twinline.campaigns import lists, planning, running, service
from twinline.campaigns.models import Content, Variant
from twinline.db import as_json
from twinline.settings import Settings

PEOPLE = 100_000
TICKS = os.sysconf("SC_CLK_TCK")

BODY = [{"type": "BODY", "text": "Dear {{1}}, your shop in {{2}} has new bread. Come and try it until Sunday!",
         "example": {"body_text": [["Ann", "Porto"]]}}]  # fmt: skip

SCENE = """
INSERT INTO templates (organisation_id, waba_id, id, name, language, components, parameter_format, status, status_v,
                       quality, category, category_v, was_approved, fetched_at)
VALUES (1, %(waba)s, '1', 'bread', 'en', %(body)s, 'POSITIONAL', 'APPROVED', 0, 'GREEN', 'MARKETING', 0, true, now());

INSERT INTO contacts (number_id, id, phone, phone_v, profile_name, profile_v)
SELECT 1, n, '35191' || lpad(n::text, 7, '0'), 1, 'Person ' || n, 1 FROM generate_series(1, %(known)s) n;
INSERT INTO identities (number_id, key, contact_id)
SELECT 1, 'p:35191' || lpad(n::text, 7, '0'), n FROM generate_series(1, %(known)s) n;
INSERT INTO chats (number_id, contact_id, last_at, last_inbound_at)
SELECT 1, n, now() - n * interval '1 minute', now() - n * interval '1 minute' FROM generate_series(1, %(known)s) n;

INSERT INTO suppressions (organisation_id, key, at)
SELECT 1, 'p:35191' || lpad((n * 97)::text, 7, '0'), now() FROM generate_series(1, %(people)s / 100) n;
INSERT INTO consents (organisation_id, key, topic, at, granted, source)
SELECT 1, 'p:35191' || lpad((n * 43)::text, 7, '0'), '', now(), false, 'keyword'
FROM generate_series(1, %(people)s / 50) n;
INSERT INTO billing (number_id, set_currency, asked_at) VALUES (1, 'USD', now());
INSERT INTO portfolios (number_id, messaging_limit, said_at, asked_at) VALUES (1, 'TIER_UNLIMITED', now(), now());
"""

REFERENCE = """
INSERT INTO recipients (number_id, campaign_id, key, contact_id, phone, name, line, language, filled, draft, market,
                        cost, state)
SELECT 1, 0, 'p:' || n, CASE WHEN n %% 2 = 0 THEN n END, n::text, 'Person ' || n, n, 'en', %(filled)s::jsonb,
       %(draft)s::jsonb, 'Rest of Western Europe', 0.0592, 'planned'
FROM generate_series(1, %(people)s) n
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What some work took: seconds of processors (ours, the database's), on the clock, and the largest size in MB."""

    ours: float
    database: float
    clock: float
    megabytes: float

    @property
    def cpu(self) -> float:
        return self.ours + self.database


def run(quick: bool = False) -> list[Figure]:
    people = 5_000 if quick else PEOPLE
    with common.platform(numbers=1) as on:
        _prepare(on, people)
        bring, plan, start = (_in_a_process(on, step) for step in ("bring", "plan", "start"))
        [[sendable]] = on.sql("SELECT count(*) FROM recipients WHERE state <> 'skipped'")
        assert isinstance(sendable, int)
        assert sendable > 0.9 * people, sendable
        [[filled, draft]] = on.sql("SELECT filled, draft FROM recipients WHERE state <> 'skipped' LIMIT 1")
        reference = _reference(on, people, filled, draft)
    told = {"people": people, "sendable": sendable}
    detail = {**told, **_parts("bring", bring), **_parts("plan", plan), **_parts("start", start)}
    size = max(bring.megabytes, plan.megabytes, start.megabytes)
    figures = [
        Figure("P8", f"a campaign of {people:,} planned, worker and database", plan.cpu, "s of CPU", reference,
               "one INSERT … SELECT", plan.cpu / reference, "<= 10 s", plan.cpu <= 10, detail),
        Figure("P8", "its list brought and its numbers read, before that", bring.cpu, "s of CPU", detail=detail),
        Figure("P8", "from Start until its messages wait in the outbox", start.cpu, "s of CPU",
               wanted="<= 5 s", met=start.cpu <= 5, detail=detail),
        Figure("P8", "memory, at most", size, "MB", wanted="<= 300 MB", met=size <= 300, detail=detail),
    ]  # fmt: skip
    return [replace(figure, met=None) for figure in figures] if quick else figures


def _parts(name: str, taken: Taken) -> dict[str, object]:
    return {name: {"ours": taken.ours, "database": taken.database, "clock": taken.clock, "MB": taken.megabytes}}


# --- the scene ----------------------------------------------------------------------------------------------------


def _prepare(on: Platform, people: int) -> None:
    with psycopg.connect(on.url, autocommit=True) as connection:
        cursor = psycopg.ClientCursor(connection)
        cursor.execute(SCENE, {"waba": common.WABA, "body": json.dumps(BODY), "known": people // 2, "people": people})
        connection.execute("UPDATE numbers SET display_phone = '351210000000'")
        connection.execute("VACUUM ANALYZE")
    (on.folder / "people.csv").write_text("\n".join(["Telephone;First name;City", *_lines(people)]))


def _lines(people: int) -> list[str]:
    """Written as people write them; some twice, some not at all."""
    lines = []
    for n in range(1, people + 1):
        city = "" if n % 10 == 0 else f"City {n % 300}"
        number = f"+351 91{n:07}" if n % 2 else f"0035191{n:07}"
        if n % 200 == 0:
            number = f"91{n - 1:07}"
        elif n % 1000 == 7:
            number = "none"
        lines.append(f"{number};Person {n};{city}")
    return lines


def _reference(on: Platform, people: int, filled: object, draft: object) -> float:
    before = _server_seconds(on)
    with psycopg.connect(on.url, autocommit=True) as connection:
        named = {"people": people, "filled": as_json(filled), "draft": as_json(draft)}
        connection.execute(REFERENCE, named)
    time.sleep(0.2)
    return _server_seconds(on) - before


def _server_seconds(on: Platform) -> float:
    """Processor seconds of the whole server so far, of connections that are closed, too."""
    postmaster = int(next(on.folder.rglob("postmaster.pid")).read_text().split()[0])
    ticks = sum(_ticks(postmaster, ended=True))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
            except (OSError, IndexError):
                continue
            if int(stat[1]) == postmaster:
                ticks += sum(_ticks(int(entry.name)))
    return ticks / TICKS


def _ticks(pid: int, *, ended: bool = False) -> list[int]:
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return [int(one) for one in stat[11 : 15 if ended else 13]]


# --- the work, in a process of its own ----------------------------------------------------------------------------


def _in_a_process(on: Platform, step: str) -> Taken:
    before = _server_seconds(on)
    command = [sys.executable, "-m", "bench.p8", step, str(on.folder), on.url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=on.env)
    time.sleep(0.2)
    ours, clock, megabytes = json.loads(done.stdout.splitlines()[-1])
    return Taken(ours, _server_seconds(on) - before, clock, megabytes)


def _measured(step: str, folder: Path, url: str) -> None:
    """What it took, also of processes that it started."""
    ours, clock = asyncio.run(_work(step, folder, url))
    for child in multiprocessing.active_children():
        child.join()
    itself, others = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ours += others.ru_utime + others.ru_stime
    print(json.dumps([ours, clock, (itself.ru_maxrss + others.ru_maxrss) / 1024]))


async def _work(step: str, folder: Path, url: str) -> tuple[float, float]:
    async with open_app(Settings(data=folder), url) as app:
        begun = time.process_time(), time.perf_counter()
        await _STEPS[step](app, folder)
        return time.process_time() - begun[0], time.perf_counter() - begun[1]


async def _bring(app: App, folder: Path) -> None:
    """The file is brought, and the campaign is drafted."""
    data = (folder / "people.csv").read_bytes()
    reading = await lists.bring(app, 1, "people.csv", data, country="PT")
    values = {"body.1": {"column": "First name"}, "body.2": {"column": "City", "fallback": "Porto"}}
    content = Content([Variant("bread", ["en"], values)])
    async with app.db.transaction() as tx:
        audience = {"sources": [{"file": reading.file}]}
        await service.create(tx, 1, 1, "Bread", app.clock.now(), audience=audience, content=content)


async def _plan(app: App, folder: Path) -> None:
    async with app.db.transaction() as tx:
        await service.plan_requested(tx, 1, 1, app.clock.now())
    await planning.plan(app, 1, 1)


async def _start(app: App, folder: Path) -> None:
    async with app.db.transaction() as tx:
        await service.start(tx, 1, 1, app.clock.now())
    waits = "SELECT count(*) FROM outbox WHERE state = 'queued'"
    memory = running.Memory()
    while True:
        await running.look(app, 1, memory)
        async with app.db.transaction() as tx:
            if await tx.value(waits) >= running.AHEAD:
                return


_STEPS = {"bring": _bring, "plan": _plan, "start": _start}


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _measured(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    else:
        for figure in run():
            print(figure, figure.detail)
