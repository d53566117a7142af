"""Background work of the mirror."""

from collections.abc import Sequence
from typing import Any

import procrastinate
from procrastinate import JobContext, RetryStrategy

from twinline.app import App
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import archive, media, queries, service
from twinline.mirror.models import Follower

blueprint = procrastinate.Blueprint()


def _app(context: JobContext) -> App:
    app: App = context.additional_context["app"]
    return app


def _followers(context: JobContext) -> Sequence[Follower]:
    followers: Sequence[Follower] = context.additional_context["followers"]
    return followers


@blueprint.task(
    name="mirror.fold_behind",
    queue="history",
    pass_context=True,
    retry=RetryStrategy(max_attempts=10, exponential_wait=2),
)
async def fold_behind(context: JobContext, *, day: str, digest: str) -> None:
    await service.fold_archived(_app(context), day, bytes.fromhex(digest), _followers(context))


# A media id lives seven days (Meta: media), so trying goes on for most of that.
@blueprint.task(
    name="mirror.download",
    queue="media",
    pass_context=True,
    retry=RetryStrategy(max_attempts=8, exponential_wait=6, retry_exceptions=[GraphError, VaultError, OSError]),
)
async def download(context: JobContext, *, number_id: int, media_id: str) -> None:
    tries = context.job.attempts if context.job is not None else 0
    await media.download(_app(context), number_id, media_id, tries=tries, last_try=tries >= 7)


@blueprint.periodic(cron="17 * * * *")
@blueprint.task(name="mirror.keep_days", queue="upkeep", pass_context=True, queueing_lock="mirror.keep_days")
async def keep_days(context: JobContext, /, timestamp: int, **_: Any) -> None:
    app = _app(context)
    async with app.db.transaction() as tx:
        await archive.keep_days(tx, app.clock.now().date(), app.settings.archive_days)


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="mirror.sort_words", queue="upkeep", pass_context=True, queueing_lock="mirror.sort_words")
async def sort_words(context: JobContext, /, timestamp: int, **_: Any) -> None:
    """Moves the words of new messages into the search index, so that no message has to wait for that."""
    async with _app(context).db.transaction() as tx:
        await tx.execute(queries.SORT_WORDS)
