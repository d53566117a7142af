"""Background work of campaigns."""

from typing import Any

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.campaigns import erasing, planning, queries, running, service
from twinline.mirror import turn

blueprint = procrastinate.Blueprint()

PLAN_TRIES = 4


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


# Tried again for ever: each try begins by asking what is left to do.
@blueprint.task(name=service.TEND, queue="campaign", pass_context=True, retry=RetryStrategy(wait=3))
async def tend(context: JobContext, *, number_id: int) -> None:
    await running.tend(_app(context), number_id)


@blueprint.task(
    name=service.PLAN, queue="campaign", pass_context=True, retry=RetryStrategy(max_attempts=PLAN_TRIES, wait=2)
)
async def plan(context: JobContext, *, organisation_id: int, campaign_id: int) -> None:
    last_try = context.job is not None and context.job.attempts >= PLAN_TRIES - 1
    await planning.plan(_app(context), organisation_id, campaign_id, last_try=last_try)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="campaigns.look_after", queue="upkeep", pass_context=True, queueing_lock="campaigns.look_after")
async def look_after(context: JobContext, /, timestamp: int, **_: Any) -> None:
    """Numbers whose campaigns have something to do but no job get one."""
    app = _app(context)
    async with app.db.transaction() as tx:
        numbers = [row[0] for row in await tx.rows(queries.NUMBERS_AT_WORK)]
    for number_id in numbers:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            await service.wake(tx, number_id)


@blueprint.task(name=service.ERASE, queue="upkeep", pass_context=True, retry=RetryStrategy(max_attempts=5, wait=60))
async def erase(context: JobContext, *, organisation_id: int, files: list[str]) -> None:
    app = _app(context)
    await erasing.erase(app, organisation_id, files, app.clock.now())


@blueprint.periodic(cron="20 3 * * *")
@blueprint.task(name="campaigns.sweep", queue="upkeep", pass_context=True, queueing_lock="campaigns.sweep")
async def sweep(context: JobContext, /, timestamp: int, **_: Any) -> None:
    """Lists and files that no campaign needs any more."""
    app = _app(context)
    await erasing.sweep(app, app.clock.now())
