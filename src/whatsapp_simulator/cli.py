"""The command ``whatsapp-simulator``."""

from __future__ import annotations

import gc
import os
import socket
import threading
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from .app import APP_ID, APP_SECRET, CONFIG_ID, VERIFY_TOKEN, Settings, create
from .server import Protocol

cli = typer.Typer(add_completion=False, help="A WhatsApp Cloud API with phones and customers, on loopback.")


class _Server(uvicorn.Server):
    """Says on one line that it is ready, with the port it got."""

    address = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            typer.echo(f"whatsapp-simulator listening on {self.address}")


@cli.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; there is no password, keep it on loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 picks a free one.")] = 4010,
    data: Annotated[Path | None, typer.Option(help="Folder that keeps the state; without it, memory only.")] = None,
    callback: Annotated[str | None, typer.Option(help="The app's webhook URL.")] = None,
    app_id: Annotated[str, typer.Option()] = APP_ID,
    app_secret: Annotated[str, typer.Option()] = APP_SECRET,
    verify_token: Annotated[str, typer.Option()] = VERIFY_TOKEN,
    config_id: Annotated[str, typer.Option(help="Embedded Signup configuration id.")] = CONFIG_ID,
    clock_file: Annotated[Path | None, typer.Option(help="File of one number: seconds added to real time.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world.")] = 1,
    contacts: Annotated[int, typer.Option(help="People in the first phone's past.")] = 40,
    messages: Annotated[int, typer.Option(help="Messages in the first phone's past.")] = 2000,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End with the program that started this one, however it ends.")
    ] = False,
) -> None:
    """Serve a simulated Meta until stopped."""
    settings = Settings(
        data, callback, app_id, app_secret, verify_token, config_id, clock_file, seed, contacts, messages
    )
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        typer.echo(f"Can't listen on {host}:{port}: {error.strerror}. Choose another with --port.", err=True)
        raise typer.Exit(2) from error
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    try:
        app = create(settings, base_url=address)
    except ValueError as error:
        typer.echo(f"{error}. Choose another folder with --data, or empty it.", err=True)
        raise typer.Exit(2) from error
    config = uvicorn.Config(
        app, http=Protocol, log_level="warning", access_log=False, timeout_graceful_shutdown=1, timeout_keep_alive=75
    )
    server = _Server(config)
    server.address = address
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, args=[server], daemon=True).start()
    # A world holds many small things that stay. Python's collector would walk over all of them again and again.
    gc.freeze()
    server.run(sockets=[listener])


def _end_with_stdin(server: uvicorn.Server) -> None:
    while os.read(0, 1024):
        pass
    server.should_exit = True


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
