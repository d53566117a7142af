"""The command ``twinline``: what an operator does.

Exit codes: 0 done · 1 it couldn't be done, the message says why · 2 the command was misused.
"""

import importlib
import os
import sys
from typing import Any, NoReturn

import psycopg
import typer
from typer.core import TyperGroup

from twinline import operate
from twinline.kit import log

COMMANDS = {
    "running": ("up", "web", "worker", "migrate", "doctor", "demo"),
    "messages": ("send",),
    "records": ("replay", "export"),
    "numbers": ("number",),
    "templates": ("template",),
    "access": ("user", "key"),
    "rates": ("rates",),
    "campaigns": ("campaign",),
    "contacts": ("contact",),
    "webhooks": ("webhook",),
    "automations": ("automation", "floor"),
}
"""Module of ``twinline.commands`` -> what it brings."""


class Commands(TyperGroup):
    """Loads the module of the command that was asked for: all of them together take most of a second."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in COMMANDS.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        for module, names in COMMANDS.items():
            if cmd_name in names:
                brought = importlib.import_module(f"twinline.commands.{module}").cli
                return typer.main.get_group(brought).commands[cmd_name]
        return None


cli = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@cli.callback(help=__doc__)
def twinline() -> None:
    pass


def main() -> NoReturn:
    """Runs the command; what a person can mend is said in a sentence, not in a stack trace."""
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")  # seconds; a database that is silent would hold us for minutes
    log.configure(json=not sys.stderr.isatty())
    operate.end_like_ctrl_c()
    try:
        cli(standalone_mode=True)
    except Exception as error:
        problem = _mendable(error)
        if problem is None and os.environ.get("TWINLINE_TRACE"):
            raise
        # Not its own words: nobody knows what stands in them.
        name = type(error).__name__
        broke = f"Something broke that shouldn't ({name}). TWINLINE_TRACE=1 shows where; please report that."
        typer.echo(f"twinline: {problem or broke}", err=True)
    finally:
        operate.end_undisturbed()
    sys.exit(1)


def _mendable(error: Exception) -> str | None:
    """What went wrong and what to do; None if nobody expected it."""
    # Only now: commands that succeed need few of these.
    from twinline.accounts.service import AccountError
    from twinline.campaigns.service import OtherCampaign
    from twinline.costs.service import CostError
    from twinline.kit.files import FilesError
    from twinline.kit.vault import VaultError
    from twinline.meta.graph import GraphError
    from twinline.numbers.service import NumberError
    from twinline.rules.refusal import Refused
    from twinline.sending.service import NoSuchContact, OtherMessage
    from twinline.templates.models import TemplateError

    match error:
        case (
            operate.OperatorError()
            | NumberError()
            | AccountError()
            | CostError()
            | FilesError()
            | VaultError()
            | TemplateError()
        ):
            return str(error)
        case NoSuchContact():
            return f"{error}. A phone number is written with its country code, like +351 910 000 000."
        case OtherCampaign():
            was = f"campaign {error.campaign_id}, which is another one"
            return f"This key was used before, for {was}. Make a new one."
        case OtherMessage():
            return (
                f"This key was used before, for message {error.outbox_id}, which said something else. Make a new one."
            )
        case GraphError():
            return f"{error} {error.outcome.says}"
        case Refused():
            return error.refusal.says
        case psycopg.errors.NumericValueOutOfRange():
            return "One of the ids given is larger than any that there is."
        case psycopg.OperationalError():
            return f"The database has gone away: {error}. Start it again, then repeat the command."
        case OSError():
            path = error.filename or "The system"
            return f"{path}: {error.strerror or error}. Look at that path and its owner."
    return None


if __name__ == "__main__":
    main()
