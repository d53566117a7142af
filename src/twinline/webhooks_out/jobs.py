"""Background work of outgoing webhooks, and what wakes it."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

import procrastinate
import psycopg
from procrastinate import JobContext, RetryStrategy
from psycopg import Notify

from twinline.app import App
from twinline.db import listening
from twinline.mirror import events
from twinline.webhooks_out import delivering, queries, service

blueprint = procrastinate.Blueprint()

PAGE: Final = 1_000  # deliveries that are looked at in one transaction
TOGETHER: Final = 0.1  # seconds for which news are gathered before somebody is woken


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


# Tried again for ever: each try begins by asking what is left to do.
@blueprint.task(name=service.TEND, queue=service.QUEUE, pass_context=True, retry=RetryStrategy(wait=5))
async def tend(context: JobContext, *, organisation_id: int, endpoint_id: int) -> None:
    await delivering.tend(_app(context), organisation_id, endpoint_id)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(
    name="webhooks_out.look_after", queue="upkeep", pass_context=True, queueing_lock="webhooks_out.look_after"
)
async def look_after(context: JobContext, /, timestamp: int, **_: Any) -> None:
    await _catch_up(_app(context))


async def _catch_up(app: App) -> None:
    """Endpoints that have something to be told but no job get one: what nobody heard of is found here."""
    async with app.db.transaction() as tx:
        behind = await tx.rows(queries.BEHIND, {"now": app.clock.now()})
    for organisation_id, endpoint_id in behind:
        await _wake(app, organisation_id, endpoint_id)


@blueprint.periodic(cron="41 * * * *")
@blueprint.task(
    name="webhooks_out.keep_days", queue="upkeep", pass_context=True, queueing_lock="webhooks_out.keep_days"
)
async def keep_days(context: JobContext, /, timestamp: int, **_: Any) -> None:
    await forget(_app(context))


async def forget(app: App) -> None:
    """Deletes deliveries that are older than the settings say, page by page."""
    before = app.clock.now() - timedelta(days=app.settings.deliveries_days)
    async with app.db.transaction() as tx:
        endpoints = await tx.rows(queries.ENDPOINTS)
    for organisation_id, endpoint_id in endpoints:
        after: int | None = 0
        while after is not None:
            named = {"organisation": organisation_id, "id": endpoint_id, "before": before, "after": after, "page": PAGE}
            async with app.db.transaction() as tx:
                after = await tx.value(queries.FORGET, named)


async def listen(app: App) -> None:
    """Wakes endpoints as events are published; runs until cancelled. Whoever doesn't hear costs a minute, no event."""

    async def hear(notices: Sequence[Notify] | None) -> None:
        if notices is None:
            await _catch_up(app)
        else:
            await _tell(app, {int(part.partition(":")[0]) for told in notices for part in told.payload.split(",")})

    await listening.listen(app.db, [events.CHANNEL], hear, together=TOGETHER)


async def _tell(app: App, numbers: Iterable[int]) -> None:
    async with app.db.transaction() as tx:
        wanted = await tx.rows(queries.LISTENING, {"numbers": sorted(numbers)})
    for organisation_id, endpoint_id in wanted:
        await _wake(app, organisation_id, endpoint_id)


async def _wake(app: App, organisation_id: int, endpoint_id: int) -> None:
    try:
        async with app.db.transaction() as tx:
            await service.wake(tx, organisation_id, endpoint_id)
    except psycopg.errors.UniqueViolation:
        pass  # somebody else has woken it in the same moment
