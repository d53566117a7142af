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


# Tried again for ever: a lane must not be given up, and each try begins by asking what is left to do.
@blueprint.task(name="sending.drain", queue="lane", pass_context=True, retry=RetryStrategy(wait=3))
async def drain(context: JobContext, *, number_id: int) -> None:
    await lane.drain(_app(context), number_id)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="sending.look_after", queue="upkeep", pass_context=True, queueing_lock="sending.look_after")
async def look_after(context: JobContext, /, timestamp: int, **_: Any) -> None:
    await lane.despair(_app(context))
    await lane.rescue(_app(context))
