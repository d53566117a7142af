"""``twinline number``."""

from typing import Annotated

import typer

from twinline import operate, shell, worker
from twinline.numbers import queries as numbers
from twinline.numbers import service as numbering
from twinline.numbers.models import Number
from twinline.rules.identity import LONGEST_PHONE, digits
from twinline.settings import Settings
from twinline.shell import Data, Organisation

cli = typer.Typer()
number_cli = typer.Typer(no_args_is_help=True, help="The WhatsApp numbers of this platform.")
cli.add_typer(number_cli, name="number")


@number_cli.command("add")
def number_add(
    waba_id: Annotated[str, typer.Option(help="WhatsApp Business Account id.")],
    phone_number_id: Annotated[str, typer.Option(help="Phone number id.")],
    display_phone: Annotated[str, typer.Option(help="The number itself, with country code.")],
    token: Annotated[str | None, typer.Option(help="Token; better: TWINLINE_TOKEN.", envvar="TWINLINE_TOKEN")] = None,
    offline: Annotated[bool, typer.Option(help="Don't ask Graph; take what was given.")] = False,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Add a number that is onboarded already."""
    for option, given in (("--waba-id", waba_id), ("--phone-number-id", phone_number_id)):
        if not (given.isascii() and given.isdigit()):
            raise typer.BadParameter("Meta's ids are digits only.", param_hint=option)
    if not 5 <= len(digits(display_phone)) <= LONGEST_PHONE:
        raise typer.BadParameter("That isn't a phone number with its country code.", param_hint="--display-phone")
    if not token and not offline:
        raise typer.BadParameter(
            "Graph can't be asked without one. Give it, or take the number unverified: --offline.", param_hint="--token"
        )
    number_id = shell.run(
        _number_add, shell.settings(data), waba_id, phone_number_id, display_phone, token, offline, organisation
    )
    typer.echo(f"Number {number_id} added.")


async def _number_add(
    settings: Settings,
    waba_id: str,
    phone_number_id: str,
    display_phone: str,
    token: str | None,
    offline: bool,
    organisation: int | None,
) -> int:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        if not offline and token:
            number_id = await numbering.add_with_token(app, owner, waba_id, token, phone_number_id=phone_number_id)
        else:
            async with app.db.transaction() as tx:
                number_id = await numbering.add_number(
                    app, tx, owner, waba_id, phone_number_id, display_phone, token or None, verified=False
                )
        await worker.run_waiting(app, "history")
        return number_id


@number_cli.command("list")
def number_list(data: Data = None) -> None:
    """List the numbers with their state."""
    for number in shell.run(_numbers, shell.settings(data)):
        typer.echo(f"{number.id}\t+{number.display_phone}\t{number.state}\t{number.verified_name or ''}")


@number_cli.command("show")
def number_show(number: Annotated[str, typer.Argument(help="Its id here, or Meta's.")], data: Data = None) -> None:
    """Show what is known of a number, as JSON."""
    found = shell.find(shell.run(_numbers, shell.settings(data)), number)
    shown = {
        name: getattr(found, name)
        for name in found.__dataclass_fields__
        if name not in ("token", "phone_pause", "organisation_id")
    }
    shown["has_token"] = found.token is not None
    shown["phone_pause_seconds"] = found.phone_pause.total_seconds()
    typer.echo(shell.as_json(shown))


async def _numbers(settings: Settings) -> list[Number]:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        return await numbers.every_number(tx)
