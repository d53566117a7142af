"""``twinline up`` and its parts; ``migrate``, ``doctor``, ``demo``."""

import functools
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from twinline import operate, shell
from twinline.numbers import doctor as doctors
from twinline.settings import Settings
from twinline.shell import Data

cli = typer.Typer()

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")]


@cli.command()
def up(
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = 8420,
    simulator: Annotated[bool, typer.Option(help="Also start the simulator of Meta and of the phone.")] = False,
    simulator_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the simulator; 0 picks a free one.")
    ] = 4010,
    simulator_option: Annotated[list[str] | None, typer.Option(help="Handed to the simulator as it is.")] = None,
) -> None:
    """Start everything in one process: database, web and worker."""
    settings = shell.plain_settings(data)
    operate.folder(settings)
    with operate.only_one(settings.data) as lock:
        listener = operate.listen(host, port)
        settings = shell.plain_settings(data, host=host, port=listener.getsockname()[1])
        shell.run(_up, settings, listener, lock, simulator_port if simulator else None, simulator_option or [])


async def _up(
    settings: Settings, listener: socket.socket, lock: IO[str], simulator_port: int | None, options: Sequence[str]
) -> None:
    async with AsyncExitStack() as stack:
        own: dict[str, Any] = {"host": settings.host, "port": settings.port}
        parts = []
        if simulator_port is not None:
            hook = f"http://{operate.nearby(settings)}/hook/meta"
            simulated = await stack.enter_async_context(operate.simulator(settings.data, hook, simulator_port, options))
            own |= simulated.settings
            settings = shell.plain_settings(settings.data, **own)
            parts.append(simulated.watch)
        operate.announce(lock, own)
        app = await stack.enter_async_context(operate.opened(settings))
        login = await operate.first_login(app)
        typer.echo(f"twinline   {settings.address}")
        password = login.password or "as you set it"
        typer.echo(f"log in as  {login.email}   password  {password}")
        if settings.graph_url.startswith("http://"):
            typer.echo(f"phone      {settings.graph_url}/phone      customers  {settings.graph_url}/customers")
        typer.echo("ready; stop with Ctrl-C", nl=True)
        sys.stdout.flush()
        parts += [functools.partial(operate.web, app, listener), functools.partial(operate.work, app)]
        await operate.until_stopped(*parts)


@cli.command()
def web(data: Data = None, host: Host = "127.0.0.1", port: Port = 8420) -> None:
    """Serve hook and pages only; start workers beside it."""
    listener = operate.listen(host, port)
    settings = shell.settings(data, host=host, port=listener.getsockname()[1])
    shell.run(_web, settings, listener)


async def _web(settings: Settings, listener: socket.socket) -> None:
    async with operate.opened(settings) as app:
        typer.echo(f"twinline web listening on http://{operate.nearby(settings)}")
        sys.stdout.flush()
        await operate.until_stopped(functools.partial(operate.web, app, listener))


@cli.command("worker")
def worker_(data: Data = None) -> None:
    """Run background jobs only: history, media, sending, upkeep."""
    shell.run(_worker, shell.settings(data))


async def _worker(settings: Settings) -> None:
    async with operate.opened(settings) as app:
        typer.echo("twinline worker ready")
        sys.stdout.flush()
        await operate.until_stopped(functools.partial(operate.work, app))


@cli.command()
def migrate(data: Data = None) -> None:
    """Bring the database to this release's schema."""
    settings = shell.settings(data)
    operate.folder(settings)
    operate.schema(operate.database(settings))
    typer.echo("The database is up to date.")


@cli.command()
def doctor(data: Data = None) -> None:
    """Check the configuration; each line says what is wrong and how to mend it."""
    findings = shell.run(_doctor, shell.settings(data))
    for finding in findings:
        typer.echo(f"{finding.level.upper():5} {finding.title}: {finding.text}")
        if finding.mend:
            typer.echo(f"      {finding.mend}")
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(1)


async def _doctor(settings: Settings) -> Any:
    async with operate.opened(settings) as app:
        return await doctors.run(app)


@cli.command()
def demo(
    json_: Annotated[bool, typer.Option("--json", help="Print the steps as one JSON document.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep the data in this folder.")] = None,
) -> None:
    """Tell the whole story without hands, and check every step of it."""
    from twinline.demo import run

    raise typer.Exit(run(as_json=json_, keep=keep))
