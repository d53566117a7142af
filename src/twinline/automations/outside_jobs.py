"""The job behind each errand: ask outside, hand back what came (``outside``)."""

from types import MappingProxyType
from typing import Any, Final

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.automations import agent, bots, forgetting, outside, service
from twinline.automations.outside import Again, Failed, Perform
from twinline.kit import log
from twinline.kit.vault import VaultError

logger = log.get("automations")

blueprint = procrastinate.Blueprint()

WAYS: Final = MappingProxyType[str, Perform]({"call": outside.call, "bot": bots.ask, "agent": agent.answer})
"""How each kind of errand is run."""


@blueprint.task(name=outside.TASK, queue=outside.QUEUE, pass_context=True, retry=RetryStrategy(max_attempts=5, wait=3))
async def fetch(context: JobContext, *, number_id: int, run_id: int, token: int) -> None:
    app: App = context.additional_context["app"]
    await run(app, number_id, run_id, token)


@blueprint.periodic(cron="23 3 * * *")
@blueprint.task(name="automations.sweep", queue="upkeep", pass_context=True, queueing_lock="automations.sweep")
async def sweep(context: JobContext, /, timestamp: int, **_: Any) -> None:
    app: App = context.additional_context["app"]
    await outside.sweep(app)
    await forgetting.forget(app)


async def run(app: App, number_id: int, run_id: int, token: int) -> None:
    """Runs an errand, unless nobody waits for it or a person has spoken since."""
    async with app.db.transaction() as tx:
        one = await outside.errand(tx, number_id, run_id, token)
        if one is None or one.spoken:
            await outside.done(tx, number_id, run_id, token)
            return
        if await outside.hear_out(tx, one, app.clock.now()):
            return
    ok, value = True, dict[str, Any]()
    try:
        value = await WAYS[one.kind](app, one)
    except Failed as error:
        if isinstance(error, Again):
            async with app.db.transaction() as tx:
                if await outside.repeat(tx, one, app.clock.now()):
                    return
        ok, value = False, error.value
        logger.info("errand_failed", kind=one.kind, number=number_id, run=run_id, status=error.value.get("status"))
    except VaultError as error:
        ok, value = False, {"error": str(error)}
    await service.came(app, one, ok, value)
    async with app.db.transaction() as tx:
        await outside.done(tx, number_id, run_id, token)
