"""``twinline contact``."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from twinline import operate, shell
from twinline.contacts import exchange
from twinline.contacts import queries as contacting
from twinline.contacts import service as contacts
from twinline.contacts.models import ContactError, Imported
from twinline.db import Tx
from twinline.numbers import queries as numbers
from twinline.numbers.models import Number
from twinline.operate import OperatorError
from twinline.settings import Settings
from twinline.shell import Data

cli = typer.Typer()
contact_cli = typer.Typer(no_args_is_help=True, help="Who a number knows, and who may be sent marketing.")
cli.add_typer(contact_cli, name="contact")


Where = Annotated[str, typer.Option("--number", help="The number that knows them: its id here, or Meta's.")]
Whom = Annotated[str, typer.Argument(help="Phone number with country code, user id, or contact:12.")]


@contact_cli.command("import")
def contact_import(
    file: Annotated[Path, typer.Argument(help="A CSV file with a column phone; docs/contacts.md tells the others.")],
    tag: Annotated[list[str] | None, typer.Option(help="A tag for everybody in it; repeat it.")] = None,
    suppress: Annotated[bool, typer.Option("--suppress", help="Put them on the suppression list instead.")] = False,
    number: Where = "",
    data: Data = None,
) -> None:
    """Take contacts over from a file. Bad lines are named, the rest counts."""
    done = shell.run(_contact_import, shell.settings(data), file, tag or [], suppress, number)
    for line, why in done.problems:
        typer.echo(f"line {line}: {why}", err=True)
    typer.echo(f"People taken over: {done.people}, of them new: {done.new}.")
    if not done.people:
        raise typer.Exit(1)


async def _contact_import(settings: Settings, file: Path, tags: list[str], suppress: bool, number: str) -> Imported:
    content = await asyncio.to_thread(file.read_bytes)
    async with operate.opened(settings) as app:
        async with app.db.transaction() as tx:
            here = await _one_number(tx, number)
        try:
            if suppress:
                return await exchange.import_suppressions(
                    app, here.organisation_id, content, here.display_phone, user_id=None
                )
            return await exchange.import_contacts(app, here.id, content, user_id=None, tags=tags, detail=file.name)
        except ContactError as error:
            raise OperatorError(str(error)) from error


@contact_cli.command("export")
def contact_export(
    output: Annotated[Path | None, typer.Option(help="A file; default: standard output.")] = None,
    suppressed: Annotated[bool, typer.Option("--suppressed", help="The suppression list instead.")] = False,
    number: Where = "",
    data: Data = None,
) -> None:
    """Print contacts, or the suppression list, as a CSV file that can be imported again."""
    text = shell.run(_contact_export, shell.settings(data), suppressed, number)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8", newline="")


async def _contact_export(settings: Settings, suppressed: bool, number: str) -> str:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        here = await _one_number(tx, number)
        if suppressed:
            entries = await contacting.suppressed(tx, here.organisation_id, limit=None)
            return "".join(exchange.suppressions_file(entries))
        found = await contacting.everybody(tx, here.organisation_id, here.id, (), app.clock.now())
        consents = await contacts.consents(tx, here.id, [one.id for one in found])
        fields = await contacting.fields(tx, here.organisation_id)
        return "".join(exchange.contacts_file(found, fields, consents))


@contact_cli.command("tag")
def contact_tag(
    who: Whom,
    add: Annotated[list[str] | None, typer.Option(help="A tag to give; repeat it.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to take away; repeat it.")] = None,
    number: Where = "",
    data: Data = None,
) -> None:
    """Give somebody tags, or take some away; prints those that they have then."""
    typer.echo(
        ", ".join(shell.run(_contact_tag, shell.settings(data), who, add or [], remove or [], number)) or "no tags"
    )


async def _contact_tag(settings: Settings, who: str, add: list[str], remove: list[str], number: str) -> list[str]:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        here = await _one_number(tx, number)
        try:
            contact_id = await contacts.contact_for(tx, here.id, who)
            await contacts.tag(tx, here.id, [contact_id], app.clock.now(), add=add, remove=remove)
        except ContactError as error:
            raise OperatorError(str(error)) from error
        known = await contacting.one(tx, here.id, contact_id)
        assert known is not None
        return known.tags


@contact_cli.command("opt-out")
def contact_opt_out(
    who: Whom,
    proof: Annotated[str, typer.Option(help="How it can be shown later.")] = "",
    topic: Annotated[str, typer.Option(help="Only about this topic.")] = "",
    number: Where = "",
    data: Data = None,
) -> None:
    """Record that somebody wants no more marketing."""
    typer.echo(shell.run(_contact_says, shell.settings(data), who, False, proof, topic, number))


@contact_cli.command("opt-in")
def contact_opt_in(
    who: Whom,
    proof: Annotated[str, typer.Option(help="How it can be shown later: a form, a call.")],
    topic: Annotated[str, typer.Option(help="Only about this topic.")] = "",
    number: Where = "",
    data: Data = None,
) -> None:
    """Record that somebody wants marketing."""
    typer.echo(shell.run(_contact_says, shell.settings(data), who, True, proof, topic, number))


async def _contact_says(settings: Settings, who: str, granted: bool, proof: str, topic: str, number: str) -> str:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        here = await _one_number(tx, number)
        try:
            contact_id = await contacts.contact_for(tx, here.id, who)
            now = app.clock.now()
            stands = await contacts.say(
                tx, here.id, contact_id, granted, now, topic=topic, source="command", detail=proof
            )
        except ContactError as error:
            raise OperatorError(str(error)) from error
        return f"{'may' if stands.allowed else 'may not'} be sent marketing: {stands.says}"


async def _one_number(tx: Tx, number: str) -> Number:
    found = await numbers.every_number(tx)
    return shell.find(found, number) if number else shell.only(found)
