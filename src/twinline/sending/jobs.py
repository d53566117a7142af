"""Background work of sending."""

from typing import Any

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.meta.graph import GraphError
from twinline.sending import lane, receipts, stops

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
