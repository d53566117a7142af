"""``twinline rates``."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from twinline import operate, shell
from twinline.costs import service as costs
from twinline.costs.models import Estimate
from twinline.numbers import queries as numbers
from twinline.rules.pricing import Category, Reading, read_text
from twinline.settings import Settings
from twinline.shell import Data, Organisation

cli = typer.Typer()
rates_cli = typer.Typer(no_args_is_help=True, help="What Meta charges for a message, for estimates.")
cli.add_typer(rates_cli, name="rates")


@rates_cli.command("import")
def rates_import(
    card: Annotated[Path, typer.Argument(help="A CSV file: Meta's rate card, or market, currency, category, rate.")],
    since: Annotated[str | None, typer.Option(help="Valid from, where the file doesn't say. Default: today.")] = None,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Take over a rate card of your own; it goes before the built-in one."""
    reading = shell.run(_rates_import, shell.settings(data), card, _day(since), organisation)
    for line, why in reading.problems:
        typer.echo(f"line {line}: {why}", err=True)
    typer.echo(f"Rates taken over: {len(reading.rates)}.")
    if not reading.rates:
        raise typer.Exit(1)


async def _rates_import(settings: Settings, card: Path, since: date | None, organisation: int | None) -> Reading:
    text = read_text(await asyncio.to_thread(card.read_bytes))
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        now = app.clock.now()
        async with app.db.transaction() as tx:
            return await costs.import_card(tx, owner, text, since or now.date(), user_id=None, now=now)


@rates_cli.command("show")
def rates_show(
    to: Annotated[str, typer.Argument(help="Phone number with country code, or a business-scoped user id.")],
    number: Annotated[str, typer.Option(help="The number that would speak: its id here, or Meta's.")] = "",
    data: Data = None,
) -> None:
    """Estimate what a message to somebody would cost now, by category."""
    for price in shell.run(_rates_show, shell.settings(data), to, number):
        typer.echo(f"{price.category}\t{price.text}\t{price.why if price.free else price.lacks or price.why}")


async def _rates_show(settings: Settings, to: str, number: str) -> list[Estimate]:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        found = await numbers.every_number(tx)
        speaks = shell.find(found, number) if number else shell.only(found)
        prices = [await costs.estimate(tx, speaks.id, to, category, app.clock.now()) for category in Category]
        return [price for price in prices if price is not None]


@rates_cli.command("forget")
def rates_forget(organisation: Organisation = None, data: Data = None) -> None:
    """Take your own rate card away, so that the built-in one counts again."""
    typer.echo(f"Rates forgotten: {shell.run(_rates_forget, shell.settings(data), organisation)}.")


async def _rates_forget(settings: Settings, organisation: int | None) -> int:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        async with app.db.transaction() as tx:
            return await costs.forget_card(tx, owner, user_id=None, now=app.clock.now())


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise typer.BadParameter("Write it like 2027-01-31.", param_hint="--since") from None
