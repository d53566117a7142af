"""Background work of automations."""

from typing import Any

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.automations import tending, timing
from twinline.automations.ears import Ears

blueprint = procrastinate.Blueprint()


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


# Tried again for ever: each try begins by asking what is due.
@blueprint.task(name=tending.TEND, queue="automation", pass_context=True, retry=RetryStrategy(wait=3))
async def tend(context: JobContext, *, number_id: int) -> None:
    ears: Ears = context.additional_context["ears"]
    await tending.tend(_app(context), number_id, ears)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(
    name="automations.look_after", queue="upkeep", pass_context=True, queueing_lock="automations.look_after"
)
async def look_after(context: JobContext, /, timestamp: int, **_: Any) -> None:
    """Numbers where something is due but that have no job get one; what isn't begun by messages, begins."""
    app = _app(context)
    await tending.rescue(app)
    await timing.strike(app)
    await timing.follow(app)
