"""Background work of costs: asking Meta what the accounts are charged in."""

import procrastinate
from procrastinate import JobContext

from twinline.app import App
from twinline.costs import service
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError

logger = log.get("costs")

blueprint = procrastinate.Blueprint()


@blueprint.periodic(cron="*/5 * * * *")
@blueprint.task(name="costs.ask", queue="upkeep", pass_context=True, queueing_lock="costs.ask")
async def ask(context: JobContext, /, timestamp: int, **_: object) -> None:
    """A number that was just added gets its currency within minutes; one that can't be asked is tried next time."""
    app: App = context.additional_context["app"]
    async with app.db.transaction() as tx:
        waiting = await service.to_ask(tx, app.clock.now())
    for number_id in waiting:
        try:
            await service.ask(app, number_id)
        except (GraphError, VaultError) as error:
            logger.warning("account_not_asked", number=number_id, error=type(error).__name__)
