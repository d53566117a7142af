"""Background work of sending."""

from typing import Any

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.sending import lane

blueprint = procrastinate.Blueprint()


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


@blueprint.task(
    name="sending.drain", queue="lane", pass_context=True, retry=RetryStrategy(max_attempts=20, linear_wait=3)
)
async def drain(context: JobContext, *, number_id: int) -> None:
    await lane.drain(_app(context), number_id)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="sending.despair", queue="upkeep", pass_context=True, queueing_lock="sending.despair")
async def despair(context: JobContext, /, timestamp: int, **_: Any) -> None:
    await lane.despair(_app(context))
