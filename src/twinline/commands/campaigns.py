"""``twinline campaign``: what an operator does with campaigns at a shell (docs/campaigns.md)."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from twinline import operate, shell, worker
from twinline.accounts import queries as accounts
from twinline.app import App
from twinline.campaigns import audience, lists, planning, service, sheets, views, words, writing
from twinline.campaigns.lists import Options, Reading
from twinline.campaigns.models import Campaign, Content, Schedule, Variant
from twinline.campaigns.planning import Plan
from twinline.campaigns.service import NoSuchCampaign
from twinline.campaigns.views import Person, Wanted
from twinline.db import Tx, as_json
from twinline.kit import sniff
from twinline.numbers import queries as numbers
from twinline.operate import OperatorError
from twinline.rules.campaigns import State
from twinline.settings import Settings
from twinline.shell import Data
from twinline.templates import service as templates

cli = typer.Typer()
campaign_cli = typer.Typer(no_args_is_help=True, help="Templates to many people: planned, sent, stopped, told of.")
cli.add_typer(campaign_cli, name="campaign")

A_LOOK: Final = 0.2  # seconds between two looks at a dry run that a worker makes
LONGEST_PLAN: Final = 300.0  # seconds
WAYS: Final = ("column", "field", "contact", "text")
Step = Callable[[Tx, int, int, datetime], Awaitable[Campaign]]
Id = Annotated[int, typer.Argument(help="Its id, as `twinline campaign list` shows it.")]
OfNumber = Annotated[str, typer.Option("--number", help="The number that speaks: its id here, or Meta's.")]
State_ = Annotated[str, typer.Option("--state", help=f"Only those: {', '.join(views.SHOWN)}.")]


# --- making one -------------------------------------------------------------------------------------------------------


@campaign_cli.command("create")
def create(
    name: Annotated[str, typer.Argument(help="By which it is known here.")],
    template: Annotated[
        list[str],
        typer.Option(help="What is said: a template's name. Repeat it to compare several; name=2 is a share of two."),
    ],
    language: Annotated[
        list[str],
        typer.Option(help="Of the template; repeat it, and each gets theirs. With several templates also name/pt_BR."),
    ],
    file: Annotated[Path | None, typer.Option(help="CSV or XLSX of people.", exists=True, dir_okay=False)] = None,
    phone_column: Annotated[str | None, typer.Option(help="The file's column of numbers. Default: found out.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Everybody who has this tag; repeat it for several.")] = None,
    segment: Annotated[int | None, typer.Option(help="Everybody in this saved filter: its id.")] = None,
    var: Annotated[
        list[str] | None,
        typer.Option(
            help="What stands in a variable: 1=column:City, 1=field:city, 1=contact:first_name, 1=text:Hi. "
            "With several templates also name/1=…"
        ),
    ] = None,
    fallback: Annotated[list[str] | None, typer.Option(help="For whom it is empty, like 1=you.")] = None,
    media: Annotated[
        list[str] | None, typer.Option(help="A file that heads the message, like header.image=cake.jpg.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="Begin then, like 2026-12-01T10:00. Default: when started.")] = None,
    zone: Annotated[str, typer.Option(help="Of that time: an IANA name, or recipient: each in their own.")] = "UTC",
    hours: Annotated[float | None, typer.Option(help="Spread over so many.")] = None,
    between: Annotated[str | None, typer.Option(help="Only at this time of day, like 09:00-20:00.")] = None,
    speed: Annotated[float | None, typer.Option(help="Messages a second at most.")] = None,
    topic: Annotated[str, typer.Option(help="What it is about, for consent.")] = "",
    answer_tag: Annotated[str, typer.Option(help="Whoever answers gets this tag.")] = "",
    answer_to: Annotated[str, typer.Option(help="Whoever answers is this colleague's: their e-mail.")] = "",
    answer_automation: Annotated[int | None, typer.Option(help="The automation that talks with them: its id.")] = None,
    converted_by: Annotated[str, typer.Option(help="Whoever is given this tag afterwards has converted.")] = "",
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key makes one campaign.")] = None,
    number: OfNumber = "",
    data: Data = None,
) -> None:
    """Make a draft, and print its id. Nothing is sent before `plan` and `start`."""
    if not (file or tag or segment):
        raise typer.BadParameter("Say who gets it: --file, --tag or --segment.", param_hint="--file")
    shares = dict(map(_share, template))
    values = _values(var or [], fallback or [], media or [], shares)
    variants = [Variant(name, _languages(language, name), values[name], share=share) for name, share in shares.items()]
    when = Schedule(at, zone, hours, between.split("-") if between else None)
    sources: list[dict[str, Any]] = [{"conditions": [{"is": "tag", "tag": name}]} for name in tag or ()]
    if segment is not None:
        sources.append({"segment": segment})
    routing = {"tag": answer_tag, "automation": answer_automation, "converted_by": converted_by}
    said = {
        "name": name,
        "content": Content(variants),
        "schedule": when,
        "routing": {name: value for name, value in routing.items() if value},
        "topic": topic,
        "speed": speed,
        "idempotency_key": f"cli:{key}" if key else None,
    }
    shell.run(_create, shell.settings(data), number, said, sources, file, phone_column, answer_to)


def _share(one: str) -> tuple[str, int]:
    name, _, share = one.partition("=")
    if share and not share.isdecimal():
        raise typer.BadParameter(f"{one!r}: a share is a number, like {name}=2.", param_hint="--template")
    return name, int(share or 1)


def _languages(given: Sequence[str], template: str) -> list[str]:
    """Those that are said for this template, else those that are said for all."""
    own = [language for name, there, language in (one.partition("/") for one in given) if there and name == template]
    return own or [language for language in given if "/" not in language]


Values = dict[str, dict[str, Any]]


def _values(
    given: Sequence[str], fallbacks: Sequence[str], media: Sequence[str], templates: Collection[str]
) -> dict[str, Values]:
    """What stands in the places of each template: ``1=column:City`` is what the file's column says,
    ``spring/1=text:Hi`` the same for everybody, of one of several templates. A file is still a path then.
    """
    values: dict[str, Values] = {name: {} for name in templates}
    for one in given:
        those, slot, what = _slot(one, "--var", templates)
        way, there, source = what.partition(":")
        if way not in WAYS or not there:
            ways = ", ".join(f"{way}:…" for way in WAYS)
            raise typer.BadParameter(f"{one!r}: say where it comes from, {ways}.", param_hint="--var")
        for name in those:
            values[name][slot] = {way: source}
    for one in media:
        those, slot, what = _slot(one, "--media", templates)
        for name in those:
            values[name][slot] = {"file": Path(what)}
    for one in fallbacks:
        those, slot, text = _slot(one, "--fallback", templates)
        if not any(slot in values[name] for name in those):
            raise typer.BadParameter(f"{one!r} is for a variable without --var.", param_hint="--fallback")
        for name in those:
            if slot in values[name]:
                values[name][slot]["fallback"] = text
    return values


def _slot(one: str, option: str, templates: Collection[str]) -> tuple[Collection[str], str, str]:
    """Of which templates, which place, and what."""
    name, there, what = one.partition("=")
    if not there or not name:
        raise typer.BadParameter(f"{one!r} isn't of the form name=…", param_hint=option)
    template, there, slot = name.rpartition("/")
    if there and template not in templates:
        raise typer.BadParameter(f"{one!r}: {template} isn't among the templates.", param_hint=option)
    return [template] if there else templates, slot if "." in slot else f"body.{slot}", what


async def _create(
    settings: Settings,
    number: str,
    said: dict[str, Any],
    sources: list[dict[str, Any]],
    file: Path | None,
    phone_column: str | None,
    answer_to: str,
) -> None:
    async with operate.opened(settings) as app:
        async with app.db.transaction() as tx:
            all_numbers = await numbers.every_number(tx)
        sender = shell.find(all_numbers, number) if number else shell.only(all_numbers)
        for variant in said["content"].variants:
            await templates.acquaint(app, sender.id, variant.template)
            for value in variant.values.values():
                if "file" in value:
                    value.update(await _keep(app, sender.organisation_id, value["file"]))
        if "automation" in said["routing"]:
            pass  # it knows which there are
        if answer_to:
            said["routing"]["assign_to"] = await _colleague(app, sender.organisation_id, answer_to)
        if file is not None:
            reading = await _bring(app, sender.organisation_id, sender.id, file, phone_column)
            sources = [{"file": reading.file, **reading.options}, *sources]
        made = {**said, "audience": {"sources": sources}}
        what = {"content": said["content"].as_json(), "schedule": said["schedule"].as_json()}
        asked = [sender.id, said | what, sources]
        digest = hashlib.sha256(as_json(asked).encode()).digest()
        async with app.db.transaction() as tx:
            audience.sources_of(made["audience"])
            one = await service.create(
                tx, sender.organisation_id, sender.id, now=app.clock.now(), digest=digest, **made
            )
    typer.echo(one.id)


async def _keep(app: App, organisation_id: int, file: Path) -> dict[str, str]:
    """What names a header's file in a campaign."""
    try:
        data = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise OperatorError(f"{file} can't be read: {error.strerror}.") from error
    kind = sniff.mime_type(data, file.name).partition("/")[0]
    return await writing.keep_media(
        app, organisation_id, kind if kind in ("image", "video") else "document", data, file.name
    )


async def _colleague(app: App, organisation_id: int, email: str) -> int:
    async with app.db.transaction() as tx:
        users = await accounts.users(tx, organisation_id)
    found = next((user.id for user in users if user.email == email.strip().lower()), None)
    if found is None:
        raise OperatorError(f"Nobody here has the e-mail {email}.")
    return found


async def _bring(app: App, organisation_id: int, number_id: int, file: Path, phone_column: str | None) -> Reading:
    async with app.db.transaction() as tx:
        country = await audience.country_of(tx, organisation_id, number_id)
    found = await asyncio.to_thread(file.read_bytes)
    options = Options.of({"phone": phone_column})
    reading = await lists.bring(app, organisation_id, file.name, found, country=country, options=options)
    for line, why in reading.bad_lines:
        typer.echo(f"line {line}: {why}", err=True)
    return reading


# --- steps ------------------------------------------------------------------------------------------------------------


@campaign_cli.command("plan")
def plan(campaign: Id, data: Data = None) -> None:
    """Make the dry run and print it: who gets it, who doesn't and why, how long it takes, what it costs."""
    shell.run(_plan, shell.settings(data), campaign)


async def _plan(settings: Settings, campaign_id: int) -> None:
    async with _campaign(settings, campaign_id) as (app, one):
        if one.state is not State.PLANNING:
            async with app.db.transaction() as tx:
                await service.plan_requested(tx, one.organisation_id, one.id, app.clock.now())
        planned = await _planned(app, one)
    if planned.plan is None:
        raise OperatorError(f"It couldn't be planned. {planned.says}")
    for line in _told(planned.name, Plan.of(planned.plan)):
        typer.echo(line)


async def _planned(app: App, one: Campaign) -> Campaign:
    """The campaign once its dry run is over. A running worker makes it; where none runs, this process does."""
    if not await worker.is_running(app):
        await planning.plan(app, one.organisation_id, one.id)
    for _ in range(int(LONGEST_PLAN / A_LOOK)):
        async with app.db.transaction() as tx:
            one = await service.found(tx, one.organisation_id, one.id)
        if one.state is not State.PLANNING:
            return one
        await asyncio.sleep(A_LOOK)
    raise OperatorError("It is still being planned. `twinline campaign plan` waits for it again.")


def _told(name: str, plan: Plan) -> list[str]:
    """A dry run in lines."""
    lines = [f"{name}: {plan.sendable} of {words.people(plan.people)} get it."]
    lines += [f"{group.people:7}  {group.title}. {group.do}" for group in plan.groups]
    if plan.seconds is not None:
        lines.append(f"It takes {words.lasts(plan.seconds)}, from {plan.begins} to {plan.ends}.")
    if plan.limit is not None:
        lines.append(f"WhatsApp lets this business reach {plan.limit} people in a day: {plan.today} of these today.")
    lines.append(f"It costs {words.cost(plan)}.")
    lines += [f"Note: {warning.text} {warning.do}" for warning in plan.warnings]
    return lines


@campaign_cli.command("start")
def start(
    campaign: Id,
    now: Annotated[bool, typer.Option("--now", help="Don't wait for its time.")] = False,
    data: Data = None,
) -> None:
    """Start it, or let it wait for its time if it has one."""

    async def begin(tx: Tx, organisation_id: int, campaign_id: int, at: datetime) -> Campaign:
        one = await service.found(tx, organisation_id, campaign_id)
        if one.state is State.SCHEDULED and not now:
            return one
        return await service.start(tx, organisation_id, campaign_id, at, at_once=now)

    _steps(campaign, begin, data, works=True)


@campaign_cli.command("pause")
def pause(campaign: Id, data: Data = None) -> None:
    """Take back what hasn't left; it goes out after `resume`."""
    _steps(campaign, service.pause, data)


@campaign_cli.command("resume")
def resume(campaign: Id, data: Data = None) -> None:
    """Let it go on, also after it has stopped itself."""
    _steps(campaign, service.resume, data, works=True)


@campaign_cli.command("cancel")
def cancel(campaign: Id, data: Data = None) -> None:
    """Send nothing more of it, for good."""
    _steps(campaign, service.cancel, data)


def _steps(campaign_id: int, step: Step, data: Path | None, *, works: bool = False) -> None:
    one, working = shell.run(_step, shell.settings(data), campaign_id, step)
    at = f" at {one.starts_at.isoformat(timespec='minutes')}" if one.state is State.SCHEDULED and one.starts_at else ""
    typer.echo(f"{one.name} is {one.state}{at}.")
    if works and not working:
        typer.echo("No worker runs, so nothing leaves until one does: twinline up, or twinline worker.", err=True)


async def _step(settings: Settings, campaign_id: int, step: Step) -> tuple[Campaign, bool]:
    async with _campaign(settings, campaign_id) as (app, one):
        async with app.db.transaction() as tx:
            done = await step(tx, one.organisation_id, one.id, app.clock.now())
        return done, await worker.is_running(app)


# --- looking ----------------------------------------------------------------------------------------------------------


@campaign_cli.command("list")
def list_(organisation: shell.Organisation = None, data: Data = None) -> None:
    """List the newest campaigns: id, name, state, sent of how many."""
    for one in shell.run(_list, shell.settings(data), organisation):
        typer.echo(f"{one.id}\t{one.name}\t{one.state}\t{one.tally['sent']}/{one.tally.people}")


async def _list(settings: Settings, organisation: int | None) -> list[views.Listed]:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        async with app.db.transaction() as tx:
            return await views.campaigns(tx, owner, limit=100)


@campaign_cli.command("show")
def show(campaign: Id, data: Data = None) -> None:
    """Show a campaign and its results, as JSON."""
    typer.echo(shell.as_json(shell.run(_show, shell.settings(data), campaign)))


async def _show(settings: Settings, campaign_id: int) -> dict[str, Any]:
    from twinline.campaigns import shapes  # pydantic and FastAPI would take a fifth of a second of every command

    async with _campaign(settings, campaign_id) as (app, one), app.db.transaction() as tx:
        results = await shapes.results(tx, one)
        return {**shapes.Campaign.of(one).model_dump(mode="json"), "results": results.model_dump(mode="json")}


@campaign_cli.command("recipients")
def recipients(campaign: Id, state: State_ = "", data: Data = None) -> None:
    """List a campaign's people: phone or user id, name, state, when it was sent, and why."""
    shell.run(_recipients, shell.settings(data), campaign, _shown(state))


async def _recipients(settings: Settings, campaign_id: int, wanted: Wanted) -> None:
    async with _campaign(settings, campaign_id) as (app, one):
        async for people in views.everybody(app.db, one, wanted):
            for person in people:
                typer.echo("\t".join(_line(person)))


def _line(person: Person) -> list[str]:
    who = f"+{person.phone}" if person.phone else person.bsuid or f"line {person.line}"
    sent = person.sent_at.isoformat(timespec="seconds") if person.sent_at else ""
    return [who, person.name or "", person.state, sent, words.reason(person.reason, person.says)]


@campaign_cli.command("export")
def export(
    campaign: Id,
    format_: Annotated[str, typer.Option("--format", help="csv or xlsx")] = "csv",
    output: Annotated[Path | None, typer.Option(help="A file; default: standard output.")] = None,
    state: State_ = "",
    data: Data = None,
) -> None:
    """Write a campaign's people with all that became of them."""
    if format_ not in ("csv", "xlsx"):
        raise typer.BadParameter("Either csv or xlsx.", param_hint="--format")
    shell.run(_export, shell.settings(data), campaign, format_, output, _shown(state))


async def _export(settings: Settings, campaign_id: int, format_: str, output: Path | None, wanted: Wanted) -> None:
    async with _campaign(settings, campaign_id) as (app, one):
        body, _ = sheets.written(app.db, one, wanted, format_)
        with output.open("wb") if output else os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
            async for piece in body:
                file.write(piece)


def _shown(state: str) -> Wanted:
    if state and state not in views.SHOWN:
        raise typer.BadParameter(f"One of: {', '.join(views.SHOWN)}.", param_hint="--state")
    return Wanted(state)


@asynccontextmanager
async def _campaign(settings: Settings, campaign_id: int) -> AsyncIterator[tuple[App, Campaign]]:
    """A campaign of whichever organisation: an operator has them all. Raises OperatorError."""
    async with operate.opened(settings) as app:
        async with app.db.transaction() as tx:
            try:
                one = await service.found(tx, await service.organisation_of(tx, campaign_id), campaign_id)
            except NoSuchCampaign:
                raise OperatorError(
                    f"There is no campaign {campaign_id}. `twinline campaign list` shows those there are."
                ) from None
        yield app, one
