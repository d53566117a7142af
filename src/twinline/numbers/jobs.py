"""Background work about numbers: going on with a connection, asking Meta whether a number is still on the app."""

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.meta.graph import GraphError
from twinline.numbers import connect, watch

blueprint = procrastinate.Blueprint()

TRIES = 8


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


@blueprint.task(
    name="numbers.onboard",
    queue="sync",
    pass_context=True,
    retry=RetryStrategy(max_attempts=TRIES, exponential_wait=2, retry_exceptions=[GraphError, OSError]),
)
async def onboard(context: JobContext, *, organisation_id: int, onboarding_id: int) -> None:
    last_try = context.job is not None and context.job.attempts >= TRIES - 1
    await connect.advance(_app(context), organisation_id, onboarding_id, last_try=last_try)


@blueprint.task(
    name="numbers.check",
    queue="sync",
    pass_context=True,
    retry=RetryStrategy(max_attempts=5, exponential_wait=4, retry_exceptions=[GraphError]),
)
async def check(context: JobContext, *, number_id: int) -> None:
    await watch.check(_app(context), number_id)


# Meta tells of most ends by a webhook. This notices those it doesn't tell of, or told while we were away.
@blueprint.periodic(cron="*/30 * * * *")
@blueprint.task(name="numbers.watch", queue="upkeep", pass_context=True, queueing_lock="numbers.watch")
async def watch_all(context: JobContext, /, timestamp: int, **_: object) -> None:
    await watch.check_all(_app(context))
