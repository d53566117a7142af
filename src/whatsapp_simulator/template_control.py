"""The control API's part for templates and portfolios: everything that people and machines at Meta decide.

``control`` takes its actions and views in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import marketing, template_api, template_life, template_rules
from .errors import GraphError
from .state import Json, Template, Waba
from .views import View
from .world import Refused, World


def show(world: World, one: Template) -> Json:
    """All that Graph shows of it, and what only Meta knows."""
    return {
        **template_api.fields(one),
        "waba_id": one.waba_id,
        "review_at": one.review_at,
        "pauses": one.pauses,
        "paused_for": one.paused_for,
        "paused_until": one.paused_until,
        "category_at": one.category_at,
        "held": len(one.held),
        "verdict_at": one.verdict_at,
        "gone_at": one.gone_at,
    }


def _waba(world: World, body: Json) -> Waba:
    """The WABA meant by ``waba``; with one only, that one."""
    wabas = world.state.wabas
    if "waba" in body:
        found = wabas.get(str(body.pop("waba")))
        if found is None:
            raise Refused("No such WABA.", 404)
        return found
    if len(wabas) == 1:
        return next(iter(wabas.values()))
    raise Refused("Say which WABA: waba (an id).", 400)


def create(world: World, body: Json, _: dict[str, str]) -> Json:
    """As by Graph, without its limit an hour. ``approved``: at once, without a review."""
    waba, at_once = _waba(world, body), bool(body.pop("approved", False))
    try:
        one = template_api.made(world, waba, body)
    except GraphError as error:
        raise Refused(str(error.extra.get("error_user_msg") or error.details or error.message), 400) from error
    world.state.templates[one.id] = one
    template_life.submit(world, one)
    if at_once:
        template_life.approve(world, one)
    return show(world, one)


def _reject(world: World, one: Template, body: Json) -> None:
    template_life.reject(world, one, str(body.get("reason", "INVALID_FORMAT")), str(body.get("recommendation", "")))


def _recategorise(world: World, one: Template, body: Json) -> None:
    template_life.recategorise(world, one, str(body["category"]), float(body.get("notice", template_life.NOTICE)))


Step = Callable[[World, Template, Json], None]
STEPS: dict[str, Step] = {
    "approve": lambda world, one, _: template_life.approve(world, one),
    "reject": _reject,
    "quality": lambda world, one, body: template_life.rate(world, one, str(body["score"])),
    "pause": lambda world, one, _: template_life.pause(world, one),
    "unpause": lambda world, one, _: template_life.unpause(world, one),
    "disable": lambda world, one, _: template_life.disable(world, one),
    "reinstate": lambda world, one, _: template_life.reinstate(world, one),
    "recategorise": _recategorise,
    "release": lambda world, one, _: template_life.release(world, one),
    "drop": lambda world, one, _: template_life.drop(world, one),
    "delete": lambda world, one, _: template_life.delete(world, one),
}


def step(world: World, body: Json, at: dict[str, str]) -> Json:
    """One step of a template's life."""
    one, act = template_life.find(world, at["template"]), STEPS.get(at["step"])
    if act is None:
        raise Refused(f"There is no step {at['step']!r}; there are {', '.join(STEPS)}.", 404)
    act(world, one, body)
    return show(world, one)


def set_portfolio(world: World, body: Json, at: dict[str, str]) -> Json:
    marketing.set_tier(world, at["portfolio"], str(body["tier"]))
    return marketing.show(world, at["portfolio"])


ACTIONS: dict[tuple[str, str], Callable[[World, Json, dict[str, str]], Any]] = {
    ("POST", "/control/templates"): create,
    ("POST", "/control/templates/{template}/{step}"): step,
    ("POST", "/control/portfolios/{portfolio}"): set_portfolio,
}


def _all(world: World, query: dict[str, str], _: dict[str, str]) -> Json:
    """Newest first, of one WABA or of all; with the words that the steps know."""
    found = [one for one in reversed(world.state.templates.values()) if query.get("waba", one.waba_id) == one.waba_id]
    return {
        "templates": [show(world, one) for one in found],
        "wabas": [{"id": one.id, "name": one.name} for one in world.state.wabas.values()],
        "reasons": template_rules.REASONS,
        "categories": template_rules.CATEGORIES,
        "qualities": template_life.QUALITIES,
    }


def _portfolios(world: World, _: dict[str, str], __: dict[str, str]) -> Json:
    owners = dict.fromkeys(waba.owner_business_id for waba in world.state.wabas.values())
    return {"portfolios": [marketing.show(world, one) for one in owners], "tiers": list(marketing.TIERS)}


VIEWS: dict[str, View] = {
    "/control/templates": _all,
    "/control/templates/{template}": lambda world, _, at: show(world, template_life.find(world, at["template"])),
    "/control/portfolios": _portfolios,
}
