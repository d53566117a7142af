"""The one module that knows every feature: who follows the ingest, and which tasks the queue runs."""

from collections.abc import Sequence
from typing import Any

import procrastinate

from twinline.app import App
from twinline.automations import following as automations
from twinline.automations import jobs as automations_jobs
from twinline.automations import outside_jobs
from twinline.automations import queries as automations_queries
from twinline.automations.ears import Ears
from twinline.campaigns import following as campaigns
from twinline.campaigns import jobs as campaigns_jobs
from twinline.campaigns import queries as campaigns_queries
from twinline.costs import jobs as costs_jobs
from twinline.costs import service as costs
from twinline.db import jobs
from twinline.mirror import jobs as mirror_jobs
from twinline.mirror.models import Follower, OnlyWhere
from twinline.numbers import jobs as numbers_jobs
from twinline.numbers import lifecycle
from twinline.sending import confirm
from twinline.sending import jobs as sending_jobs
from twinline.sending import service as sending
from twinline.sending.lane import Lanes
from twinline.templates import jobs as templates_jobs
from twinline.templates import news as templates
from twinline.webhooks_out import jobs as webhooks_out_jobs

BLUEPRINTS = (
    mirror_jobs.blueprint,
    sending_jobs.blueprint,
    numbers_jobs.blueprint,
    costs_jobs.blueprint,
    templates_jobs.blueprint,
    campaigns_jobs.blueprint,
    automations_jobs.blueprint,
    outside_jobs.blueprint,
    webhooks_out_jobs.blueprint,
)


def followers(app: App) -> Sequence[Follower]:
    """Whom the ingest calls inside its transaction after each batch, in this order."""
    return [
        sending.follow,
        costs.follow,
        lifecycle.follow,
        templates.follow,
        confirm.follow,
        OnlyWhere(campaigns_queries.FOLLOWED_AT, campaigns.heard),
        automations.joined,
        OnlyWhere(automations_queries.LISTENS, automations.said),
        automations.echoed,
    ]


def engine(app: App, heartbeat: float = 0.0) -> procrastinate.App:
    """The queue with the tasks of every feature (``db.jobs.engine``); open it with ``open_async`` before use.

    Run its worker with ``additional_context=context(app)``: that is where tasks find the App.
    """
    queue = jobs.engine(app.db.url, heartbeat)
    for blueprint in BLUEPRINTS:
        # Not add_tasks_from: it renames the tasks of the blueprint it is given, so it works only once a process.
        for task in blueprint.tasks.values():
            task.blueprint = queue
        queue.tasks.update(blueprint.tasks)
        queue.periodic_registry.periodic_tasks.update(blueprint.periodic_registry.periodic_tasks)
    return queue


def context(app: App) -> dict[str, Any]:
    """What tasks that ask for their context find in ``additional_context``."""
    return {"app": app, "followers": followers(app), "lanes": Lanes(app), "ears": Ears(app.db)}
