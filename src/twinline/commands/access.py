"""``twinline user`` and ``twinline key``: who and what may come in."""

from collections.abc import Sequence
from typing import Annotated

import typer

from twinline import operate, shell
from twinline.accounts import keys
from twinline.accounts import service as accounts
from twinline.accounts.models import ApiKey
from twinline.settings import Settings
from twinline.shell import Data, Organisation

cli = typer.Typer()
user_cli = typer.Typer(no_args_is_help=True, help="Who may log in.")
cli.add_typer(user_cli, name="user")
key_cli = typer.Typer(no_args_is_help=True, help="Keys by which programs use the API.")
cli.add_typer(key_cli, name="key")


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
