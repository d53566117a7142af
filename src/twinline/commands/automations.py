"""``twinline automation`` and ``twinline floor``: what an operator does with automations at a shell
(docs/automations.md).
"""

import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from twinline import operate, shell, worker
from twinline.app import App
from twinline.automations import approvals, builder, connections, knowledge, queries, schema, sense, service, starting
from twinline.automations.connections import Unusable
from twinline.automations.known import known
from twinline.automations.models import Automation, NoSuchAutomation
from twinline.automations.problems import Problem, Unfit
from twinline.automations.starting import OtherStart
from twinline.db import Tx, as_json
from twinline.numbers import queries as numbers
from twinline.operate import OperatorError
from twinline.rules import floor as floors
from twinline.rules.automations.program import duration
from twinline.rules.floor import Holder
from twinline.rules.refusal import Refused
from twinline.sending import service as sending
from twinline.sending import speech
from twinline.settings import Settings
from twinline.shell import Data, Organisation

cli = typer.Typer()
automation_cli = typer.Typer(no_args_is_help=True, help="Automations: written, checked, turned on, started, told of.")
floor_cli = typer.Typer(no_args_is_help=True, help="Who may speak in a chat: people, or automations.")
cli.add_typer(automation_cli, name="automation")
cli.add_typer(floor_cli, name="floor")

SECRET: Final = "TWINLINE_SECRET"  # noqa: S105 — the variable's name
Which = Annotated[str, typer.Argument(help="Its name or id, as `twinline automation list` shows it.")]
To = Annotated[str, typer.Argument(help="The customer: a phone number, a user id, or contact:12.")]
OfNumber = Annotated[str, typer.Option("--number", help="The number that speaks: its id here, or Meta's.")]
File = Annotated[Path, typer.Argument(help="YAML or JSON.", exists=True, dir_okay=False)]


# --- definitions ------------------------------------------------------------------------------------------------------


@automation_cli.command("list")
def list_(organisation: Organisation = None, data: Data = None) -> None:
    """List automations in the order in which they are asked: id, name, on or off, version."""
    for one in shell.run(_list, shell.settings(data), organisation):
        state = "on" if one.enabled else "off"
        changed = "\tdraft changed" if one.changed and one.version else ""
        typer.echo(f"{one.id}\t{one.name}\t{state}\tversion {one.version}{changed}")


async def _list(settings: Settings, organisation: int | None) -> list[Automation]:
    async with _of(settings, organisation) as (_, tx, owner):
        return await queries.automations(tx, owner)


@automation_cli.command("check")
def check(file: File, organisation: Organisation = None, data: Data = None) -> None:
    """Say what is wrong with a definition, also what it names that isn't there."""
    problems = shell.run(_check, shell.settings(data), organisation, _text(file))
    for one in problems:
        typer.echo(f"{one.level}: {one.says}")
    if any(one.level == "error" for one in problems):
        raise typer.Exit(1)
    typer.echo("It is fit.")


async def _check(settings: Settings, organisation: int | None, text: str) -> Sequence[Problem]:
    async with _of(settings, organisation) as (_, tx, owner):
        try:
            return sense.check(schema.read(_draft(text)), await known(tx, owner))
        except Unfit as error:
            return error.problems


@automation_cli.command("save")
def save(
    file: File,
    publish: Annotated[bool, typer.Option("--publish", help="Let it begin so from now on.")] = False,
    enable: Annotated[bool, typer.Option("--enable", help="Publish it and turn it on.")] = False,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Keep a definition under its name: a new automation, or another draft of the one that there is."""
    one = shell.run(_save, shell.settings(data), organisation, _text(file), publish or enable, enable)
    typer.echo(f"{one.name} ({one.id}) is kept: {_state(one)}.")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OperatorError(f"{file.name} isn't text in UTF-8. Save it as that, and try again.") from error


def _draft(text: str) -> dict[str, Any]:
    draft = schema.parsed(text)
    if not isinstance(draft, dict):
        raise OperatorError("An automation is an object with a name, triggers and steps.")
    return draft


def _state(one: Automation) -> str:
    draft = ", with a draft that isn't published" if one.changed else ""
    return f"version {one.version}, {'on' if one.enabled else 'off'}{draft}" if one.version else "a draft"


async def _save(settings: Settings, organisation: int | None, text: str, publish: bool, enable: bool) -> Automation:
    async with _of(settings, organisation) as (app, tx, owner):
        draft = _draft(text)
        there = await queries.automation_named(tx, owner, " ".join(str(draft.get("name") or "").split()))
        now = app.clock.now()
        if there is None:
            automation_id = await service.create(tx, owner, draft, None, now)
        else:
            automation_id = there.id
            await service.save(tx, owner, automation_id, draft, now)
        if publish:
            await service.publish(tx, owner, automation_id, None, now)
        if enable:
            await service.enable(tx, owner, automation_id, True, now)
        return await _automation(tx, owner, str(automation_id))


@automation_cli.command("show")
def show(
    automation: Which,
    draft: Annotated[bool, typer.Option("--draft", help="The draft, not what runs.")] = False,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Print an automation as YAML."""
    typer.echo(shell.run(_show, shell.settings(data), organisation, automation, draft), nl=False)


async def _show(settings: Settings, organisation: int | None, which: str, draft: bool) -> str:
    async with _of(settings, organisation) as (_, tx, owner):
        one = await _automation(tx, owner, which)
        if one.definition is None or draft:
            return builder.to_yaml(one.draft)
        return schema.to_yaml(one.definition)


@automation_cli.command("publish")
def publish_(automation: Which, organisation: Organisation = None, data: Data = None) -> None:
    """Let an automation begin as its draft says, from now on."""
    _change(automation, organisation, data, publish=True)


@automation_cli.command("enable")
def enable_(automation: Which, organisation: Organisation = None, data: Data = None) -> None:
    """Turn an automation on."""
    _change(automation, organisation, data, on=True)


@automation_cli.command("disable")
def disable(automation: Which, organisation: Organisation = None, data: Data = None) -> None:
    """Turn an automation off; conversations under way go on."""
    _change(automation, organisation, data, on=False)


@automation_cli.command("archive")
def archive(automation: Which, organisation: Organisation = None, data: Data = None) -> None:
    """Take an automation away for good."""
    _change(automation, organisation, data, archive=True)


def _change(which: str, organisation: int | None, data: Path | None, **how: bool) -> None:
    typer.echo(shell.run(_changed, shell.settings(data), organisation, which, **how))


async def _changed(
    settings: Settings,
    organisation: int | None,
    which: str,
    *,
    publish: bool = False,
    on: bool | None = None,
    archive: bool = False,
) -> str:
    async with _of(settings, organisation) as (app, tx, owner):
        one, now = await _automation(tx, owner, which), app.clock.now()
        if publish:
            await service.publish(tx, owner, one.id, None, now)
        if on is not None:
            await service.enable(tx, owner, one.id, on, now)
        if archive:
            await service.archive(tx, owner, one.id, now)
            return f"{one.name} is archived."
        one = await _automation(tx, owner, str(one.id))
        return f"{one.name}: {_state(one)}."


@automation_cli.command("schema")
def schema_() -> None:
    """Print the JSON Schema of definitions, for editors that complete and check YAML."""
    typer.echo(shell.as_json(schema.json_schema()))


# --- conversations ----------------------------------------------------------------------------------------------------


@automation_cli.command("start")
def start(
    automation: Which,
    to: To,
    var: Annotated[list[str] | None, typer.Option(help="What a placeholder reads, like order=A-17; repeat it.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key begins nothing twice.")] = None,
    number: OfNumber = "",
    data: Data = None,
) -> None:
    """Start an automation in a chat, whatever its triggers say, and print the conversation's id."""
    run_id, working = shell.run(_start, shell.settings(data), automation, to, _vars(var or []), key, number)
    typer.echo(run_id)
    if not working:
        typer.echo("No worker runs, so nothing leaves until one does: twinline up, or twinline worker.", err=True)


def _vars(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, there, value = one.partition("=")
        if not there or not name:
            raise typer.BadParameter(f"{one!r} isn't of the form name=value.", param_hint="--var")
        found[name] = value
    return found


async def _start(
    settings: Settings, which: str, to: str, vars: dict[str, str], key: str | None, number: str
) -> tuple[int, bool]:
    async with _chat(settings, number, to) as (app, tx, owner, number_id, contact_id):
        one = await _automation(tx, owner, which)
        digest = hashlib.sha256(as_json([to, one.id, vars]).encode()).digest()
        run_id = await starting.once(
            app, tx, number_id, contact_id, one.id, app.clock.now(), vars, by="an operator",
            key=f"cli:{key}" if key else None, digest=digest,
        )  # fmt: skip
        return run_id, await worker.is_running(app)


@automation_cli.command("runs")
def runs(
    automation: Annotated[str, typer.Argument(help="Only this one's: name or id.")] = "",
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """List the newest conversations: id, automation, customer, state, messages sent, why."""
    for line in shell.run(_runs, shell.settings(data), organisation, automation):
        typer.echo(line)


async def _runs(settings: Settings, organisation: int | None, which: str) -> list[str]:
    async with _of(settings, organisation) as (_, tx, owner):
        automation_id = (await _automation(tx, owner, which)).id if which else None
        found = await queries.runs(tx, owner, automation_id, limit=100)
        return [
            "\t".join((str(one.id), one.automation, one.name, one.state, str(one.sent), one.why or one.waits or ""))
            for one in found
        ]


@automation_cli.command("log")
def log(to: To, number: OfNumber = "", data: Data = None) -> None:
    """Tell why something was said in a chat or wasn't, newest first."""
    for line in shell.run(_log, shell.settings(data), number, to):
        typer.echo(line)


async def _log(settings: Settings, number: str, to: str) -> list[str]:
    async with _chat(settings, number, to) as (_, tx, _, number_id, contact_id):
        lines = await queries.log(tx, number_id, contact_id, 100)
        return [f"{line.at.isoformat(timespec='seconds')}\t{line.automation or ''}\t{line.says}" for line in lines]


# --- the floor --------------------------------------------------------------------------------------------------------


@floor_cli.command("show")
def floor_show(to: To, number: OfNumber = "", data: Data = None) -> None:
    """Tell who may speak in a chat."""
    typer.echo(shell.run(_floor, shell.settings(data), number, to))


@floor_cli.command("take")
def floor_take(
    to: To,
    for_: Annotated[str, typer.Option("--for", help="For so long, like 2h. Default: as after any reply.")] = "",
    number: OfNumber = "",
    data: Data = None,
) -> None:
    """Speak as a person: automations and campaigns are silent in the chat."""
    try:
        length = duration(for_) if for_ else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error
    typer.echo(shell.run(_floor, shell.settings(data), number, to, take=True, length=length))


@floor_cli.command("release")
def floor_release(to: To, number: OfNumber = "", data: Data = None) -> None:
    """Hand the chat back: automations may speak, and answer what was left open."""
    typer.echo(shell.run(_floor, shell.settings(data), number, to, release=True))


async def _floor(
    settings: Settings, number: str, to: str, *, take: bool = False, length: Any = None, release: bool = False
) -> str:
    async with _chat(settings, number, to) as (app, tx, _, number_id, contact_id):
        now = app.clock.now()
        if take:
            await service.take_floor(app, tx, number_id, contact_id, None, now, length)
        if release:
            await service.release_floor(app, tx, number_id, contact_id, None, now)
        here = (await speech.floors(tx, number_id, [contact_id])).get(contact_id, floors.EMPTY)
        holder = floors.holder_now(here, now)
        handed = await queries.handed(tx, number_id, contact_id, now)
    waits = ""
    if handed is not None and handed.ended_at is not None:
        at = handed.ended_at.isoformat(timespec="minutes")
        waits = f"; “{handed.automation}” handed the chat to people at {at}, and nobody has answered yet"
    until = f" until {here.until.isoformat(timespec='minutes')}" if here.until and holder is not Holder.NOBODY else ""
    return f"{holder}{until}{waits}"


# --- places, texts, approvals -----------------------------------------------------------------------------------------


@automation_cli.command("connect")
def connect(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(connections.KINDS)}.")],
    name: Annotated[str, typer.Argument(help="By which definitions speak of it.")],
    url: Annotated[str, typer.Argument(help="Its address.")],
    model: Annotated[str, typer.Option(help="Of a language model.")] = "",
    tool: Annotated[
        str, typer.Option(help="How an agent may use it, as JSON: description, method, path, parameters, body.")
    ] = "",
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Make a connection. Its secret is taken from TWINLINE_SECRET; a bot without one gets one, printed this once."""
    try:
        use = json.loads(tool) if tool else None
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"This isn't JSON: {error}.", param_hint="--tool") from error
    given = {"kind": kind, "name": name, "url": url, "model": model, "tool": use, "secret": os.environ.get(SECRET)}
    secret = shell.run(_connect, shell.settings(data), organisation, given)
    typer.echo(f"{name} is connected.", err=True)
    if secret and not given["secret"]:
        typer.echo(secret)


async def _connect(settings: Settings, organisation: int | None, given: dict[str, Any]) -> str | None:
    async with _of(settings, organisation) as (app, tx, owner):
        _, secret = await connections.create(app, tx, owner, **given, user_id=None, now=app.clock.now())
        return secret


@automation_cli.command("connections")
def connections_(organisation: Organisation = None, data: Data = None) -> None:
    """List the places that automations ask: id, kind, name, address."""
    for line in shell.run(_connections, shell.settings(data), organisation):
        typer.echo(line)


async def _connections(settings: Settings, organisation: int | None) -> list[str]:
    async with _of(settings, organisation) as (app, tx, owner):
        found = await connections.connections(app, tx, owner)
        return [f"{one.id}\t{one.kind}\t{one.name}\t{one.url}" for one in found]


@automation_cli.command("disconnect")
def disconnect(
    connection: Annotated[int, typer.Argument(help="Its id, as `twinline automation connections` shows it.")],
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Remove a connection; steps that name it fail from now on."""
    shell.run(_disconnect, shell.settings(data), organisation, connection)


async def _disconnect(settings: Settings, organisation: int | None, connection: int) -> None:
    async with _of(settings, organisation) as (app, tx, owner):
        await connections.remove(tx, owner, connection, None, app.clock.now())


@automation_cli.command("read")
def read(
    file: Annotated[Path, typer.Argument(help="Text or Markdown.", exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option(help="By which steps name it. Default: the file's.")] = "",
    language: Annotated[str, typer.Option(help="A code like pt, by which words are found in all their forms.")] = "",
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Give agents a text to read, in place of what was there under its name."""
    with _mendable():
        text = knowledge.read(file.name, file.read_bytes())
    one = shell.run(_read, shell.settings(data), organisation, text, name or file.stem, language)
    typer.echo(f"{one.name}: {one.passages} passage{'' if one.passages == 1 else 's'}.")


async def _read(settings: Settings, organisation: int | None, text: str, name: str, language: str) -> knowledge.Source:
    async with _of(settings, organisation) as (app, tx, owner):
        return await knowledge.put(tx, owner, name, text, language, None, app.clock.now())


@automation_cli.command("approvals")
def approvals_(organisation: Organisation = None, data: Data = None) -> None:
    """List answers that wait for a person: id, customer, text."""
    for line in shell.run(_approvals, shell.settings(data), organisation):
        typer.echo(line)


async def _approvals(settings: Settings, organisation: int | None) -> list[str]:
    async with _of(settings, organisation) as (_, tx, owner):
        return [f"{one.id}\t{one.name}\t{one.text}" for one in await approvals.waiting(tx, owner)]


@automation_cli.command("approve")
def approve(
    approval: Annotated[int, typer.Argument(help="Its id, as `twinline automation approvals` shows it.")],
    text: Annotated[str | None, typer.Option(help="What goes out instead.")] = None,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Let an answer go out."""
    _decide(approval, True, text, organisation, data)


@automation_cli.command("decline")
def decline(
    approval: Annotated[int, typer.Argument(help="Its id, as `twinline automation approvals` shows it.")],
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Let an answer not go out."""
    _decide(approval, False, None, organisation, data)


def _decide(approval: int, approve: bool, text: str | None, organisation: int | None, data: Path | None) -> None:
    one = shell.run(_decided, shell.settings(data), organisation, approval, approve, text)
    typer.echo(f"{one.state}{': ' + one.why if one.why else ''}")
    if approve and one.state != "sent":
        raise typer.Exit(1)


async def _decided(
    settings: Settings, organisation: int | None, approval: int, approve: bool, text: str | None
) -> approvals.Approval:
    async with _of(settings, organisation) as (app, tx, owner):
        found = [one for one in await approvals.waiting(tx, owner, limit=1000) if one.id == approval]
        if not found:
            raise OperatorError(f"No answer {approval} waits. `twinline automation approvals` shows those that do.")
        try:
            return await approvals.decide(app, tx, found[0].number_id, approval, approve, None, text)
        except Refused as refused:
            raise OperatorError(refused.refusal.says) from refused


# --- what they share --------------------------------------------------------------------------------------------------


@contextmanager
def _mendable() -> Iterator[None]:
    """What a person can mend as an OperatorError."""
    try:
        yield
    except Unfit as error:
        raise OperatorError("\n  ".join(("It isn't fit yet:", *(one.says for one in error.problems)))) from error
    except Unusable as error:
        raise OperatorError(str(error)) from error
    except OtherStart as error:
        raise OperatorError(f"This key was used before, for run {error.run_id}. Make a new one.") from error
    except NoSuchAutomation as error:
        raise OperatorError(f"{error}. `twinline automation list` shows those there are.".capitalize()) from error


@asynccontextmanager
async def _of(settings: Settings, organisation: int | None) -> AsyncIterator[tuple[App, Tx, int]]:
    """A transaction for what is the organisation's."""
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        with _mendable():
            async with app.db.transaction() as tx:
                yield app, tx, owner


@asynccontextmanager
async def _chat(settings: Settings, number: str, to: str) -> AsyncIterator[tuple[App, Tx, int, int, int]]:
    """A transaction about a chat: app, transaction, organisation, number, contact."""
    async with operate.opened(settings) as app:
        async with app.db.transaction() as tx:
            all_numbers = await numbers.every_number(tx)
        speaker = shell.find(all_numbers, number) if number else shell.only(all_numbers)
        with _mendable():
            async with app.db.transaction() as tx:
                _, person = await sending.standing(tx, speaker.id, to, app.clock.now())
                if not person.contact_id:
                    raise OperatorError(f"{to} isn't known here: there is no chat yet.")
                yield app, tx, speaker.organisation_id, speaker.id, person.contact_id


async def _automation(tx: Tx, organisation_id: int, which: str) -> Automation:
    """By its id or its name. Raises OperatorError."""
    one = await queries.automation(tx, organisation_id, int(which)) if which.isdecimal() else None
    one = one or await queries.automation_named(tx, organisation_id, which)
    if one is None or one.archived_at is not None:
        raise OperatorError(f"There is no automation {which}. `twinline automation list` shows those there are.")
    return one
