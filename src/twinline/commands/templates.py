"""``twinline template``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from twinline import operate, shell
from twinline.app import App
from twinline.numbers import queries as numbers
from twinline.operate import OperatorError
from twinline.rules.templates import language as rules_language
from twinline.settings import Settings
from twinline.shell import Data
from twinline.templates import queries as templates
from twinline.templates import service as templating
from twinline.templates.models import Template

cli = typer.Typer()
template_cli = typer.Typer(no_args_is_help=True, help="The templates of a WhatsApp account.")
cli.add_typer(template_cli, name="template")


OfNumber = Annotated[str, typer.Option("--number", help="A number of the account, if there are several.")]


@template_cli.command("list")
def template_list(number: OfNumber = "", data: Data = None) -> None:
    """List the templates as far as they were read from Meta."""
    for one in shell.run(_templates, shell.settings(data), number):
        typer.echo(f"{one.id}\t{one.name}\t{one.language}\t{one.category}\t{one.status}\t{one.quality}")


async def _templates(settings: Settings, number: str) -> list[Template]:
    async with operate.opened(settings) as app:
        place = await _account(app, number)
        async with app.db.transaction() as tx:
            return await templates.templates(tx, *place)


@template_cli.command("sync")
def template_sync(number: OfNumber = "", data: Data = None) -> None:
    """Read all templates from Meta."""
    typer.echo(f"{shell.run(_template_sync, shell.settings(data), number)} templates.")


async def _template_sync(settings: Settings, number: str) -> int:
    async with operate.opened(settings) as app:
        return await templating.sync(app, *await _account(app, number))


@template_cli.command("create")
def template_create(
    file: Annotated[
        Path, typer.Option(help="JSON as Meta takes it: name, language, category, components.", exists=True)
    ],
    number: OfNumber = "",
    data: Data = None,
) -> None:
    """Hand a template in for review; of a name and language that exist already, a new version."""
    try:
        spec = json.loads(file.read_bytes())
    except ValueError as error:
        raise OperatorError(f"{file} isn't JSON: {error}. Correct it and try again.") from None
    if not isinstance(spec, dict):
        raise OperatorError(f"{file} holds no object. It has to be one template: name, language, category, components.")
    typer.echo(shell.run(_template_create, shell.settings(data), number, spec))


async def _template_create(settings: Settings, number: str, spec: dict[str, Any]) -> str:
    async with operate.opened(settings) as app:
        place = await _account(app, number)
        language = rules_language(str(spec.get("language") or ""))
        async with app.db.transaction() as tx:
            known = await templates.by_name(tx, *place, str(spec.get("name") or ""))
        same = next((one for one in known if one.language == language), None)
        if same is None:
            return f"Template {await templating.create(app, *place, spec)} was handed in."
        await templating.edit(app, *place, same.id, spec)
        return f"A new version of template {same.id} was handed in."


@template_cli.command("delete")
def template_delete(
    name: str,
    language: Annotated[str, typer.Option(help="Only this language; default: all of them.")] = "",
    number: OfNumber = "",
    data: Data = None,
) -> None:
    """Delete a template. Meta blocks the name of an approved one for 30 days."""
    typer.echo(f"{shell.run(_template_delete, shell.settings(data), number, name, language)} deleted.")


async def _template_delete(settings: Settings, number: str, name: str, language: str) -> int:
    async with operate.opened(settings) as app:
        place = await _account(app, number)
        only = (await _template(app, place, name, language)).id if language else None
        return await templating.delete(app, *place, name, only)


@template_cli.command("unpause")
def template_unpause(name: str, language: str, number: OfNumber = "", data: Data = None) -> None:
    """End a pause, which one that comes from pacing needs."""
    typer.echo(f"{name} is now {shell.run(_template_unpause, shell.settings(data), number, name, language).lower()}.")


async def _template_unpause(settings: Settings, number: str, name: str, language: str) -> str:
    async with operate.opened(settings) as app:
        place = await _account(app, number)
        await templating.unpause(app, *place, (await _template(app, place, name, language)).id)
        return (await _template(app, place, name, language)).status


async def _account(app: App, number: str) -> tuple[int, str]:
    """Organisation and WABA of the number that was named, or of the only account there is."""
    async with app.db.transaction() as tx:
        found = await numbers.every_number(tx)
    if not number and len({(one.organisation_id, one.waba_id) for one in found}) == 1:
        return found[0].organisation_id, found[0].waba_id
    chosen = shell.find(found, number) if number else shell.only(found)
    return chosen.organisation_id, chosen.waba_id


async def _template(app: App, place: tuple[int, str], name: str, language: str) -> Template:
    async with app.db.transaction() as tx:
        found = await templates.by_name(tx, *place, name)
    for one in found:
        if one.language == rules_language(language):
            return one
    raise OperatorError(f"There is no template {name} in {language}. `twinline template list` shows those there are.")
