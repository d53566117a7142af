"""Background work about templates: reading them when a number is connected and once a day, looking at one again."""

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import turn
from twinline.templates import queries, service
from twinline.templates.models import TemplateError

blueprint = procrastinate.Blueprint()

AGAIN = RetryStrategy(max_attempts=5, exponential_wait=4, retry_exceptions=[GraphError])


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


@blueprint.task(name=service.SYNC, queue="sync", pass_context=True, retry=AGAIN)
async def sync(context: JobContext, *, organisation_id: int, waba_id: str) -> None:
    try:
        await service.sync(_app(context), organisation_id, waba_id)
    except (TemplateError, VaultError):
        return  # no number, no token: said on the page, and nothing to try again


@blueprint.task(name=service.LOOK, queue="sync", pass_context=True, retry=AGAIN)
async def look(context: JobContext, *, organisation_id: int, waba_id: str, template_id: str) -> None:
    try:
        await service.look(_app(context), organisation_id, waba_id, template_id)
    except (TemplateError, VaultError):
        return


# Meta tells of most changes. This finds what it told while nobody listened.
@blueprint.periodic(cron="17 4 * * *")
@blueprint.task(name="templates.daily", queue="upkeep", pass_context=True, queueing_lock="templates.daily")
async def daily(context: JobContext, /, timestamp: int, **_: object) -> None:
    app = _app(context)
    async with app.db.transaction() as tx:
        accounts = [account for account in await queries.accounts(tx, None) if account.token is not None]
        await turn.take(tx, [number for account in accounts for number in account.numbers])
        for account in accounts:
            await service.want(tx, account.organisation_id, account.waba_id)
