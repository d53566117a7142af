"""``twinline send``."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from twinline import operate, shell, worker
from twinline.app import App
from twinline.db import as_json
from twinline.numbers import queries as numbers
from twinline.operate import OperatorError
from twinline.rules.delivery import Delivery
from twinline.sending import outbox
from twinline.sending import service as sending
from twinline.sending.models import SPEAKS_AS, Cause, Draft, Lane
from twinline.settings import Settings
from twinline.shell import Data
from twinline.templates import service as templating

cli = typer.Typer()

WAIT_FOR_WORKER = 30.0  # seconds
A_LOOK = 0.2  # seconds between two looks at what became of a message
WAITING = ("queued", "sending")
ENDS = (Delivery.READ, Delivery.PLAYED, Delivery.FAILED)
SENT_AS = ("document", "voice", "sticker")


@cli.command()
def send(
    to: Annotated[
        str, typer.Argument(help="The customer: a phone number with country code, a user id, or contact:12.")
    ],
    text: Annotated[str, typer.Argument(help="What to say; with --media the caption.")] = "",
    number: Annotated[str, typer.Option(help="The number that speaks: its id here, or Meta's.")] = "",
    media: Annotated[Path | None, typer.Option(help="A file to send.", exists=True, dir_okay=False)] = None,
    as_: Annotated[str | None, typer.Option("--as", help="Send the file as document, voice or sticker.")] = None,
    template: Annotated[str, typer.Option(help="The name of a template to send instead.")] = "",
    language: Annotated[str, typer.Option(help="The template's language.")] = "en_US",
    var: Annotated[
        list[str] | None,
        typer.Option(help="A value for the template, like 1=Ana or header.image=https://…; repeat it."),
    ] = None,
    quote: Annotated[str | None, typer.Option(help="The wamid of the message that this one quotes.")] = None,
    purpose: Annotated[str, typer.Option(help="person, automation, utility or marketing")] = "person",
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key never sends twice.")] = None,
    wait: Annotated[int, typer.Option(min=0, help="So many seconds more, to see it delivered and read.")] = 0,
    data: Data = None,
) -> None:
    """Send a message, inside all rules, and wait for Meta's answer."""
    if purpose.upper() not in Lane.__members__:
        raise typer.BadParameter(f"One of: {', '.join(lane.name.lower() for lane in Lane)}.", param_hint="--purpose")
    if template and (text or media):
        raise typer.BadParameter("A template brings its own text. Give its values with --var.", param_hint="--template")
    values = _values(var or [])
    if values and not template:
        raise typer.BadParameter("Values belong to a template. Name it with --template.", param_hint="--var")
    if as_ is not None and (media is None or as_ not in SENT_AS):
        raise typer.BadParameter(f"With --media, one of: {', '.join(SENT_AS)}.", param_hint="--as")
    settings = shell.settings(data)
    if operate.misses_simulator(settings):
        raise OperatorError(
            f"The numbers in {settings.data} live in its simulator, and that isn't running. Start it: twinline up "
            "--simulator. If they have moved to Meta since, set TWINLINE_APP_ID."
        )
    content = {"name": template, "language": {"code": language}, "values": values} if template else None
    said = Draft("template" if template else "text", None if template else text, content, quote)
    if not shell.run(_send, settings, number, to, said, media, as_, Lane[purpose.upper()], key, wait):
        raise typer.Exit(1)


def _values(given: Sequence[str]) -> dict[str, Any]:
    """A template's values by slot key: ``1=Ana`` is the body's, and a header's file is given by its address."""
    values: dict[str, Any] = {}
    for one in given:
        name, there, value = one.partition("=")
        if not there or not name:
            raise typer.BadParameter(f"{one!r} isn't of the form name=value.", param_hint="--var")
        slot = name if "." in name else f"body.{name}"
        values[slot] = {"link": value} if slot.endswith((".image", ".video", ".document")) else value
    return values


async def _send(
    settings: Settings,
    number: str,
    to: str,
    said: Draft,
    media: Path | None,
    as_: str | None,
    lane: Lane,
    key: str | None,
    wait: int,
) -> bool:
    """Whether Meta took it and, as far as was waited for, delivered it. Prints what becomes of it, a line each."""
    async with operate.opened(settings) as app:
        async with app.db.transaction() as tx:
            all_numbers = await numbers.every_number(tx)
        sender = shell.find(all_numbers, number) if number else shell.only(all_numbers)
        if sender.token is None:
            raise OperatorError(
                f"+{sender.display_phone} has no token, so nothing can be sent. Connect it on its page."
            )
        # Said here, a wrong key is a sentence; in the worker it would be a line in a log.
        app.vault.unseal(sender.token)
        if media is not None:
            file = await asyncio.to_thread(media.read_bytes)
            said = await sending.attach(app, file, media.name, said.text, said.quoted, kind=as_)
        elif said.type == "template":
            await templating.acquaint(app, sender.id, (said.content or {})["name"])
        cause = Cause(None, hashlib.sha256(as_json([to, lane, asdict(said)]).encode()).digest())
        async with app.db.transaction() as tx:
            outbox_id = await sending.submit_to(
                app, tx, sender.id, to, said, lane=lane, author=SPEAKS_AS[lane], idempotency_key=key, cause=cause
            )
        return await _follow(app, sender.id, outbox_id, wait)


async def _follow(app: App, number_id: int, outbox_id: int, wait: int) -> bool:
    known = await _settled(app, number_id, outbox_id)
    if known.state in WAITING:
        unsent = f"not sent within {WAIT_FOR_WORKER:.0f} seconds; it waits for its turn, so don't send it again"
        typer.echo(f"{known.state}: {unsent}")
        return False
    typer.echo(f"{known.state}{': ' + known.error_text if known.error_text else ''}")
    told = Delivery.SENT
    for look in range(int(wait / A_LOOK)):
        if look:
            await asyncio.sleep(A_LOOK)
            known = await _known(app, number_id, outbox_id)
        if known.delivery > told:
            told = Delivery(known.delivery)
            typer.echo(f"{told.name.lower()}{': ' + known.error_text if known.error_text else ''}")
        if known.state != "sent" or told in ENDS:
            break
    return known.state == "sent" and known.delivery != Delivery.FAILED


async def _settled(app: App, number_id: int, outbox_id: int) -> outbox.Known:
    """The message once its way has ended, or as it still is when that takes too long."""
    for _ in range(int(WAIT_FOR_WORKER / A_LOOK)):
        # A running worker takes it. Where none runs, this process drains the lane, under the same lock.
        if not await worker.is_running(app):
            await worker.run_waiting(app, "lane")
        known = await _known(app, number_id, outbox_id)
        if known.state not in WAITING:
            break
        await asyncio.sleep(A_LOOK)
    return known


async def _known(app: App, number_id: int, outbox_id: int) -> outbox.Known:
    async with app.db.transaction() as tx:
        known = await outbox.message(tx, number_id, outbox_id)
    assert known is not None
    return known
