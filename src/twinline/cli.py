"""The command ``twinline``: what an operator does.

Exit codes: 0 done · 1 it couldn't be done, the message says why · 2 the command was misused.
"""

import asyncio
import functools
import hashlib
import json
import os
import random
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn

import psycopg
import typer

from twinline import campaign_cli, operate, shell, wiring, worker
from twinline.accounts import keys
from twinline.accounts import service as accounts
from twinline.accounts.models import ApiKey
from twinline.app import App
from twinline.campaigns import service as campaigns
from twinline.contacts import exchange
from twinline.contacts import queries as contacting
from twinline.contacts import service as contacts
from twinline.contacts.models import ContactError, Imported
from twinline.costs import service as costs
from twinline.costs.models import Estimate
from twinline.db import Tx, as_json
from twinline.kit import log
from twinline.kit.files import FilesError
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import export as exporting
from twinline.mirror import hook, ingest
from twinline.mirror import service as mirror
from twinline.numbers import doctor as doctors
from twinline.numbers import queries as numbers
from twinline.numbers import service as numbering
from twinline.numbers.models import Number
from twinline.operate import OperatorError
from twinline.rules.delivery import Delivery
from twinline.rules.identity import LONGEST_PHONE, digits
from twinline.rules.pricing import Category, Reading, read_text
from twinline.rules.refusal import Refused
from twinline.rules.templates import language as rules_language
from twinline.sending import outbox
from twinline.sending import service as sending
from twinline.sending.models import SPEAKS_AS, Cause, Draft, Lane
from twinline.settings import Settings
from twinline.shell import Data, Organisation
from twinline.templates import queries as templates
from twinline.templates import service as templating
from twinline.templates.models import Template, TemplateError

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None, pretty_exceptions_enable=False
)
number_cli = typer.Typer(no_args_is_help=True, help="The WhatsApp numbers of this platform.")
template_cli = typer.Typer(no_args_is_help=True, help="The templates of a WhatsApp account.")
user_cli = typer.Typer(no_args_is_help=True, help="Who may log in.")
cli.add_typer(number_cli, name="number")
rates_cli = typer.Typer(no_args_is_help=True, help="What Meta charges for a message, for estimates.")
cli.add_typer(template_cli, name="template")
cli.add_typer(user_cli, name="user")
key_cli = typer.Typer(no_args_is_help=True, help="Keys by which programs use the API.")
cli.add_typer(key_cli, name="key")
cli.add_typer(rates_cli, name="rates")
cli.add_typer(campaign_cli.cli, name="campaign")
contact_cli = typer.Typer(no_args_is_help=True, help="Who a number knows, and who may be sent marketing.")
cli.add_typer(contact_cli, name="contact")

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")]

WAIT_FOR_WORKER = 30.0  # seconds
A_LOOK = 0.2  # seconds between two looks at what became of a message
WAITING = ("queued", "sending")
ENDS = (Delivery.READ, Delivery.PLAYED, Delivery.FAILED)
SENT_AS = ("document", "voice", "sticker")


def main() -> NoReturn:
    """Runs the command; what a person can mend is said in a sentence, not in a stack trace."""
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")  # seconds; a database that is silent would hold us for minutes
    log.configure(json=not sys.stderr.isatty())
    operate.end_like_ctrl_c()
    try:
        cli(standalone_mode=True)
    except (
        OperatorError,
        numbering.NumberError,
        accounts.AccountError,
        costs.CostError,
        FilesError,
        VaultError,
        TemplateError,
    ) as error:
        _say(str(error))
    except sending.NoSuchContact as error:
        _say(f"{error}. A phone number is written with its country code, like +351 910 000 000.")
    except campaigns.OtherCampaign as error:
        _say(f"This key was used before, for campaign {error.campaign_id}, which is another one. Make a new one.")
    except sending.OtherMessage as error:
        _say(f"This key was used before, for message {error.outbox_id}, which said something else. Make a new one.")
    except GraphError as error:
        _say(f"{error} {error.outcome.says}")
    except Refused as error:
        _say(f"{error.refusal.text} {error.refusal.what_to_do}")
    except psycopg.OperationalError as error:
        _say(f"The database has gone away: {error}. Start it again, then repeat the command.")
    except OSError as error:
        _say(f"{error.filename or 'The system'}: {error.strerror or error}. Look at that path and its owner.")
    except Exception as error:
        if os.environ.get("TWINLINE_TRACE"):
            raise
        # Not its words: nobody knows what stands in them.
        name = type(error).__name__
        _say(f"Something broke that shouldn't ({name}). TWINLINE_TRACE=1 shows where; please report that.")
    finally:
        operate.end_undisturbed()
    sys.exit(1)


def _say(problem: str) -> None:
    typer.echo(f"twinline: {problem}", err=True)


# --- running ------------------------------------------------------------------------------------------------------


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


# --- numbers and users --------------------------------------------------------------------------------------------


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
    typer.echo(json.dumps(shown, default=lambda value: value.isoformat(), indent=2))


async def _numbers(settings: Settings) -> list[Number]:
    async with operate.opened(settings) as app, app.db.transaction() as tx:
        return await numbers.every_number(tx)


@user_cli.command("add")
def user_add(
    email: str,
    name: Annotated[str, typer.Option()] = "",
    role: Annotated[str, typer.Option(help="owner, admin, agent or viewer")] = "agent",
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar="TWINLINE_PASSWORD")] = "",
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Add somebody who may log in."""
    shell.run(_user_add, shell.settings(data), email, name, role, password, organisation)
    typer.echo(f"{email} may log in.")


async def _user_add(
    settings: Settings, email: str, name: str, role: str, password: str, organisation: int | None
) -> None:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        async with app.db.transaction() as tx:
            await accounts.create_user(tx, owner, email, name, role, password, app.clock.now())


@key_cli.command("create")
def key_create(
    name: Annotated[str, typer.Argument(help="What uses it, and where.")],
    scope: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(keys.SCOPES)}; repeat it.")] = None,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Make a key, and print it: it is kept nowhere and can't be shown again."""
    typer.echo(shell.run(_key_create, shell.settings(data), name, scope or keys.AT_FIRST, organisation))


async def _key_create(settings: Settings, name: str, scopes: Sequence[str], organisation: int | None) -> str:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        async with app.db.transaction() as tx:
            _, token = await keys.create(tx, owner, name, scopes, None, app.clock.now())
    return token


@key_cli.command("list")
def key_list(organisation: Organisation = None, data: Data = None) -> None:
    """List the keys: id, name, end, what it may, when it was last used."""
    for key in shell.run(_keys, shell.settings(data), organisation):
        used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else used
        typer.echo(f"{key.id}\t{key.name}\ttwl_…{key.hint}\t{','.join(key.scopes)}\t{state}")


async def _keys(settings: Settings, organisation: int | None) -> Sequence[ApiKey]:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        async with app.db.transaction() as tx:
            return await keys.of(tx, owner)


@key_cli.command("revoke")
def key_revoke(
    key: Annotated[int, typer.Argument(help="Its id, as `twinline key list` shows it.")],
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Revoke a key: programs that use it are refused from now on."""
    typer.echo(f"{shell.run(_key_revoke, shell.settings(data), key, organisation)} is revoked.")


async def _key_revoke(settings: Settings, key_id: int, organisation: int | None) -> str:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        async with app.db.transaction() as tx:
            return (await keys.revoke(tx, owner, key_id, None, app.clock.now())).name


# --- contacts -----------------------------------------------------------------------------------------------------


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


# --- rates --------------------------------------------------------------------------------------------------------


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


# --- templates ----------------------------------------------------------------------------------------------------

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


# --- messages -----------------------------------------------------------------------------------------------------


@cli.command()
def send(
    to: Annotated[str, typer.Argument(help="Phone number with country code, or a business-scoped user id.")],
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
    for _ in range(int(wait / A_LOOK)):
        if known.state != "sent" or known.delivery in ENDS:
            break
        await asyncio.sleep(A_LOOK)
        before, known = known.delivery, await _known(app, number_id, outbox_id)
        if known.delivery != before and known.delivery > Delivery.SENT:
            typer.echo(f"{Delivery(known.delivery).name.lower()}{': ' + known.error_text if known.error_text else ''}")
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
        if unreadable:
            async with app.db.transaction() as tx:
                await mirror.retry_unreadable(tx, app.clock.now())
            await worker.run_waiting(app, "history")
        counts: dict[str, int] = {}
        for state in seen.values():
            counts[state] = counts.get(state, 0) + 1
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


if __name__ == "__main__":
    main()
