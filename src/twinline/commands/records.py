"""``twinline replay`` and ``twinline export``: what came in, and what is known."""

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from twinline import operate, shell, wiring, worker
from twinline.mirror import export as exporting
from twinline.mirror import hook, ingest
from twinline.mirror import service as mirror
from twinline.numbers import queries as numbers
from twinline.operate import OperatorError
from twinline.settings import Settings
from twinline.shell import Data

cli = typer.Typer()


@cli.command()
def replay(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files of one body each, .jsonl files, or folders of them.")
    ] = None,
    shuffle: Annotated[int | None, typer.Option(help="Seed: feed the bodies in a random order.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Feed every body so many times.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Bodies in one transaction.")] = 50,
    unreadable: Annotated[
        bool, typer.Option(help="Afterwards read again what could not be understood before.")
    ] = False,
    data: Data = None,
) -> None:
    """Feed recorded webhook bodies through the same ingest; no server needs to run."""
    if not paths and not unreadable:
        raise typer.BadParameter("Name files or folders with webhook bodies, or give --unreadable.")
    bodies = [body for path in paths or () for body in _bodies(path)] * repeat
    if shuffle is not None:
        random.Random(shuffle).shuffle(bodies)
    for state, count in shell.run(_replay, shell.settings(data), bodies, batch, unreadable):
        typer.echo(f"{state}\t{count}")


def _bodies(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        for below in sorted(path.rglob("*.json*")):
            yield from _bodies(below)
    elif not path.exists():
        raise OperatorError(f"There is no file or folder {path}. Nothing was replayed; check the path.")
    elif path.suffix == ".jsonl":
        yield from (line for line in path.read_bytes().splitlines() if line.strip())
    else:
        yield path.read_bytes()


async def _replay(settings: Settings, bodies: list[bytes], size: int, unreadable: bool) -> list[tuple[str, int]]:
    async with operate.opened(settings) as app:
        followers = wiring.followers(app)
        seen: dict[bytes, str] = {}
        for start in range(0, len(bodies), size):
            # Nobody waits for an answer here, so heavy bodies are folded at once too.
            arrivals = [ingest.read(body, heavy_from=sys.maxsize) for body in bodies[start : start + size]]
            await hook.commit(app, arrivals, followers)
            for arrival in arrivals:
                seen.setdefault(arrival.digest, arrival.state)
        counts = Counter(seen.values())
        if unreadable:
            async with app.db.transaction() as tx:
                counts["read again"] = await mirror.retry_unreadable(tx, app.clock.now())
            await worker.run_waiting(app, "history")
        return [("bodies", len(bodies)), *sorted(counts.items())]


@cli.command("export")
def export_(
    number: Annotated[str, typer.Option(help="Its id here, or Meta's.")],
    format_: Annotated[str, typer.Option("--format", help="jsonl")] = "jsonl",
    output: Annotated[Path | None, typer.Option(help="A file; default: standard output.")] = None,
    data: Data = None,
) -> None:
    """Print everything known of a number, in a canonical order."""
    if format_ != "jsonl":
        raise typer.BadParameter("The only format is jsonl.", param_hint="--format")
    shell.run(_export, shell.settings(data), number, output)


async def _export(settings: Settings, number: str, output: Path | None) -> None:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        # One moment of the database for all lines, and as long as the reader takes.
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await tx.execute("SET LOCAL statement_timeout = 0")
        await tx.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        found = shell.find(await numbers.every_number(tx), number)
        with output.open("wb") if output else os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
            async for line in exporting.lines(tx, found.id):
                file.write(line)
