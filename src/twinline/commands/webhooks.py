"""``twinline webhook``: what an operator does with outgoing webhooks at a shell (docs/webhooks.md)."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from twinline import operate, shell
from twinline.app import App
from twinline.db import Tx
from twinline.operate import OperatorError
from twinline.rules import webhooks as rules
from twinline.settings import Settings
from twinline.shell import Data, Organisation
from twinline.webhooks_out import queries, service
from twinline.webhooks_out.models import STATES, Delivery, Endpoint, WebhookError

cli = typer.Typer()
webhook_cli = typer.Typer(no_args_is_help=True, help="Other programs that are told what happens.")
cli.add_typer(webhook_cli, name="webhook")

Id = Annotated[int, typer.Argument(help="Its id, as `twinline webhook list` shows it.")]
Doing = Callable[[App, Tx, int, datetime], Awaitable[Any]]
SHOWN: Final = 50


@webhook_cli.command("list")
def listed(organisation: Organisation = None, data: Data = None) -> None:
    """List them: id, state, what waits, address, types."""
    found: list[Endpoint] = _do(data, organisation, lambda app, tx, owner, now: queries.endpoints(tx, owner))
    for one in found:
        state = "failing" if one.state == "on" and one.failing_since else one.state
        typer.echo(f"{one.id}\t{state}\t{one.waiting} waiting\t{one.url}\t{','.join(one.types)}")


@webhook_cli.command("add")
def add(
    url: Annotated[str, typer.Argument(help="Where events go: https://…")],
    type_: Annotated[
        list[str] | None, typer.Option("--type", help=f"One of {', '.join(rules.TYPES)}; repeat it.")
    ] = None,
    number: Annotated[list[int] | None, typer.Option(help="Only of this number: its id; repeat it.")] = None,
    description: Annotated[str, typer.Option()] = "",
    order_by: Annotated[str, typer.Option(help="number: one at a time. chat: several, in order in each chat.")] = (
        "number"
    ),
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Add one, and print its id and its secret, which can't be shown again."""

    async def doing(app: App, tx: Tx, owner: int, now: datetime) -> tuple[int, str]:
        return await service.add(
            app,
            tx,
            owner,
            url,
            type_ or rules.AT_FIRST,
            None,
            numbers=number or None,
            description=description,
            order_by=order_by,
        )

    made, secret = _do(data, organisation, doing)
    typer.echo(f"{made}\t{secret}")


@webhook_cli.command("on")
def on(
    webhook: Id,
    from_now: Annotated[bool, typer.Option("--from-now", help="Don't tell what happened meanwhile.")] = False,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Turn one on, also one that has stopped by itself."""
    _do(
        data,
        organisation,
        lambda app, tx, owner, now: service.turn_on(tx, owner, webhook, None, now, catch_up=not from_now),
    )


@webhook_cli.command("off")
def off(webhook: Id, organisation: Organisation = None, data: Data = None) -> None:
    """Turn one off. What happens meanwhile can still be told later."""
    _do(data, organisation, lambda app, tx, owner, now: service.turn_off(tx, owner, webhook, None, now))


@webhook_cli.command("rotate")
def rotate(webhook: Id, organisation: Organisation = None, data: Data = None) -> None:
    """Make a new secret, and print it. For a day the one before signs as well."""
    typer.echo(_do(data, organisation, lambda app, tx, owner, now: service.rotate(app, tx, owner, webhook, None)))


@webhook_cli.command("test")
def send_test(webhook: Id, organisation: Organisation = None, data: Data = None) -> None:
    """Have an event of type webhook.test delivered, and print the delivery's id."""
    typer.echo(_do(data, organisation, lambda app, tx, owner, now: service.test(tx, owner, webhook, now)))


@webhook_cli.command("deliveries")
def deliveries(
    webhook: Id,
    state: Annotated[str, typer.Option(help="Only waiting, delivered or failed ones.")] = "",
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """List the newest: id, time, type, state, tries, last answer, what is wrong."""
    if state and state not in STATES:
        raise typer.BadParameter(f"A delivery is one of {', '.join(STATES)}.", param_hint="--state")
    found: list[Delivery] = _do(
        data,
        organisation,
        lambda app, tx, owner, now: queries.deliveries(tx, owner, webhook, before=2**63 - 1, state=state, limit=SHOWN),
    )
    for one in found:
        answer = one.code or "-"
        typer.echo(
            f"{one.id}\t{one.at:%Y-%m-%d %H:%M:%S}\t{one.type}\t{one.state}\t{one.tries}\t{answer}\t{one.problem or ''}"
        )


@webhook_cli.command("replay")
def replay(
    webhook: Id,
    delivery: Annotated[int | None, typer.Option(help="Only this one: its id.")] = None,
    hours: Annotated[float | None, typer.Option(help="All that happened in so many hours.", min=0, max=720)] = None,
    organisation: Organisation = None,
    data: Data = None,
) -> None:
    """Deliver once more, with the same ids."""
    if (delivery is None) == (hours is None):
        raise typer.BadParameter("Say which: --delivery or --hours.", param_hint="--delivery")

    async def doing(app: App, tx: Tx, owner: int, now: datetime) -> int:
        if delivery is not None:
            await service.replay(tx, owner, webhook, delivery, now)
            return 1
        return await service.replay_since(tx, owner, webhook, now - timedelta(hours=hours or 0), now)

    typer.echo(_do(data, organisation, doing))


@webhook_cli.command("delete")
def delete(webhook: Id, organisation: Organisation = None, data: Data = None) -> None:
    """Delete one, with all that is known of its deliveries."""
    _do(data, organisation, lambda app, tx, owner, now: service.remove(tx, owner, webhook, None, now))


def _do(data: Any, organisation: int | None, doing: Doing) -> Any:
    return shell.run(_done, shell.settings(data), organisation, doing)


async def _done(settings: Settings, organisation: int | None, doing: Doing) -> Any:
    async with operate.opened(settings) as app:
        owner = await shell.organisation(app, organisation)
        try:
            async with app.db.transaction() as tx:
                return await doing(app, tx, owner, app.clock.now())
        except WebhookError as error:
            raise OperatorError(str(error)) from error
