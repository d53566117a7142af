"""Background work of sending."""

from typing import Any

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.sending import lane, portfolio, receipts, stops

logger = log.get("sending")

blueprint = procrastinate.Blueprint()


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


# Tried again for ever: a lane must not be given up, and each try begins by asking what is left to do.
@blueprint.task(name="sending.drain", queue="lane", pass_context=True, retry=RetryStrategy(wait=3))
async def drain(context: JobContext, *, number_id: int) -> None:
    lanes: lane.Lanes = context.additional_context["lanes"]
    await lanes.drain(number_id)


@blueprint.task(
    name="sending.receipt",
    queue="lane",
    pass_context=True,
    retry=RetryStrategy(max_attempts=6, exponential_wait=4, retry_exceptions=[GraphError]),
)
async def receipt(context: JobContext, *, number_id: int, wamid: str, typing_until: float | None) -> None:
    await receipts.send(_app(context), number_id, wamid, typing_until)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="sending.look_after", queue="upkeep", pass_context=True, queueing_lock="sending.look_after")
async def look_after(context: JobContext, /, timestamp: int, **_: Any) -> None:
    await lane.despair(_app(context))
    await lane.rescue(_app(context))
    await stops.look_after(_app(context))
    await lane.forget_pairs(_app(context))
    await portfolio.sweep(_app(context))


@blueprint.periodic(cron="*/5 * * * *")
@blueprint.task(name="sending.portfolios", queue="upkeep", pass_context=True, queueing_lock="sending.portfolios")
async def ask_portfolios(context: JobContext, /, timestamp: int, **_: Any) -> None:
    """A number that was just connected learns its limit within minutes; one that can't be asked is tried next time."""
    app = _app(context)
    async with app.db.transaction() as tx:
        waiting = await portfolio.to_ask(tx, app.clock.now())
    for number_id in waiting:
        try:
            await portfolio.ask(app, number_id)
        except (GraphError, VaultError) as error:
            logger.warning("portfolio_not_asked", number=number_id, error=type(error).__name__)
