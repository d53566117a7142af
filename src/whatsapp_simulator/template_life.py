"""The life of a template after it was handed in: review, quality, pauses, pacing, another category, deletion.

Everything here happens at a time of the simulator's clock, or when the control API says so. What is due is read from
the templates themselves (``due``), so that a moved clock and a restart are nothing special.
"""

from __future__ import annotations

import asyncio

from . import sending, template_rules, wire
from .state import Json, Message, Template
from .world import Refused, World

HOUR, DAY = 3600.0, 86400.0
PAUSES = (("FIRST_PAUSE", 3), ("SECOND_PAUSE", 6))
"""What a red quality costs the first and the second time, in hours; the third time it is over (Meta: template
pausing)."""
UNPAUSED = {"title": "UNPAUSE", "description": "Your WhatsApp message template has been unpaused."}
NOTICE = DAY
"""How long before another category comes it is announced."""
BLOCKED = 30 * DAY
"""How long the name of a deleted approved template stays taken, and waiting messages are still delivered."""
QUALITIES = ("GREEN", "YELLOW", "RED", "UNKNOWN")
LOOK = 0.2
"""Real seconds between two looks for what is due."""


def find(world: World, template_id: str) -> Template:
    found = world.state.templates.get(template_id)
    if found is None:
        raise Refused(f"No template {template_id!r}.", 404)
    return found


def _tell(world: World, template: Template, field: str, value: Json) -> None:
    world.emit_waba(world.state.wabas[template.waba_id], field, value)
    template.updated_at = world.now()
    world.changed("template", template=template.id)


def _status(world: World, template: Template, event: str, reason: str | None = "NONE", **parts: Json) -> None:
    _tell(world, template, "message_template_status_update", wire.template_status(template, event, reason, **parts))


def _only(template: Template, what: str, *statuses: str) -> None:
    if template.status not in statuses:
        raise Refused(f"Only a template that is {' or '.join(statuses)} can be {what}; this one is {template.status}.")


# -- review --------------------------------------------------------------------------------------------------------


def submit(world: World, template: Template) -> None:
    """Into review: by itself after a while, or until the operator decides."""
    options = world.state.options
    template.status, template.rejected_reason = "PENDING", "NONE"
    manual = options.template_review == "manual"
    template.review_at = None if manual else world.now() + options.template_review_seconds
    world.changed("template", template=template.id)


def edited(world: World, template: Template) -> None:
    _tell(world, template, "message_template_components_update", wire.template_components(template))


def review(world: World, template: Template) -> None:
    """The verdict of the rules."""
    if world.state.options.template_review == "rules":
        found = template_rules.verdict(template.name, template.components)
        if found is not None:
            reject(world, template, *found)
            return
        given = template_rules.category(template.category, template.components)
        if given != template.category:
            recategorise(world, template, given, notice=0.0)
    approve(world, template)


def approve(world: World, template: Template) -> None:
    _only(template, "approved", "PENDING", "REJECTED")
    template.status, template.rejected_reason, template.review_at = "APPROVED", "NONE", None
    _status(world, template, "APPROVED")


def reject(world: World, template: Template, reason: str, recommendation: str = "") -> None:
    """``recommendation`` travels only with INVALID_FORMAT (Meta: message_template_status_update reference)."""
    _only(template, "rejected", "PENDING", "APPROVED")
    if reason not in template_rules.REASONS:
        raise Refused(f"There is no reason {reason!r}; there are {', '.join(template_rules.REASONS)}.", 400)
    template.status, template.rejected_reason, template.review_at = "REJECTED", reason, None
    info: dict[str, Json] = {}
    if reason == "INVALID_FORMAT":
        advice = recommendation or "Mend the template and hand it in again."
        info["rejection_info"] = {"reason": "The template isn't formatted as it should be.", "recommendation": advice}
    _status(world, template, "REJECTED", reason, **info)


# -- quality and pauses --------------------------------------------------------------------------------------------


def rate(world: World, template: Template, score: str) -> None:
    """A new quality; RED pauses an approved template."""
    if score not in QUALITIES:
        raise Refused(f"Quality is one of {', '.join(QUALITIES)}.", 400)
    before = template.quality
    if score == before:
        return
    template.quality, template.quality_at = score, world.now()
    change = wire.template(template, previous_quality_score=before, new_quality_score=score)
    _tell(world, template, "message_template_quality_update", change)
    if score == "RED" and template.status == "APPROVED":
        pause(world, template)


def pause(world: World, template: Template) -> None:
    """A pause for low quality: three hours, then six, then it is disabled."""
    _only(template, "paused", "APPROVED")
    if template.pauses >= len(PAUSES):
        disable(world, template)
        return
    title, hours = PAUSES[template.pauses]
    template.pauses += 1
    template.status, template.paused_for = "PAUSED", "quality"
    template.paused_until = template.last_pause = world.now() + hours * HOUR
    words = {"title": title, "description": f"Your template has been paused for {hours} hours."}
    _status(world, template, "PAUSED", other_info=words)


def unpause(world: World, template: Template) -> None:
    """The end of a pause. GUESS: quality begins anew as UNKNOWN, without a webhook."""
    _only(template, "unpaused", "PAUSED")
    template.status, template.paused_for, template.paused_until = "APPROVED", None, None
    template.quality, template.last_pause = "UNKNOWN", world.now()
    template.paced, template.sent = True, 0
    _status(world, template, "APPROVED", other_info=UNPAUSED)


def disable(world: World, template: Template) -> None:
    _only(template, "disabled", "APPROVED", "PAUSED")
    template.status, template.paused_for, template.paused_until = "DISABLED", None, None
    _status(world, template, "DISABLED", disable_info={"disable_date": wire.stamp(world.now())})


def reinstate(world: World, template: Template) -> None:
    _only(template, "reinstated", "DISABLED")
    template.status, template.pauses, template.quality = "APPROVED", 0, "UNKNOWN"
    _status(world, template, "REINSTATED")


# -- pacing --------------------------------------------------------------------------------------------------------


def _held(world: World, template: Template) -> list[Message]:
    """Messages that waited for the verdict, which don't wait any more."""
    found = [world.state.messages[one] for one in template.held if one in world.state.messages]
    template.held, template.verdict_at = [], None
    for message in found:
        message.held = False
    return found


def release(world: World, template: Template) -> None:
    """Good feedback: what was held goes out, and nothing more is held."""
    template.paced, template.sent = False, 0
    waiting = _held(world, template)
    rate(world, template, "GREEN")
    for message in waiting:
        sending.progress(world, message, "sent")
    world.changed("template", template=template.id)


def drop(world: World, template: Template) -> None:
    """Bad feedback: what was held fails, and the template is paused until somebody unpauses it."""
    waiting = _held(world, template)
    if template.status == "APPROVED":
        template.status, template.paused_for, template.paused_until = "PAUSED", "pacing", None
        words = {"title": "RATE_LIMITING_PAUSE", "description": "Your template has been paused during pacing."}
        _status(world, template, "PAUSED", other_info=words)
    for message in waiting:
        sending.fail(world, message, 132015)


# -- another category ----------------------------------------------------------------------------------------------


def recategorise(world: World, template: Template, category: str, notice: float = NOTICE) -> None:
    """Announce what Meta takes for the right category; without notice it comes at once, as for repeat offenders."""
    if category not in template_rules.CATEGORIES or category == template.category:
        raise Refused(
            f"Another category than {template.category} is needed: {', '.join(template_rules.CATEGORIES)}.", 400
        )
    if notice <= 0:
        _recategorised(world, template, category)
        return
    template.correct_category, template.category_at = category, world.now() + notice
    announced = wire.template(
        template,
        new_category=template.category,
        correct_category=category,
        category_update_timestamp=int(template.category_at),
    )
    _tell(world, template, "template_category_update", announced)


def _recategorised(world: World, template: Template, category: str) -> None:
    before = template.previous_category = template.category
    template.category, template.correct_category, template.category_at = category, None, None
    change = wire.template(template, previous_category=before, new_category=category)
    _tell(world, template, "template_category_update", change)


# -- the end -------------------------------------------------------------------------------------------------------


def delete(world: World, template: Template) -> None:
    """Gone at once, or when its last message was delivered. The name of an approved one stays taken for a while."""
    if template.status == "APPROVED":
        world.state.wabas[template.waba_id].blocked_names[template.name] = world.now() + BLOCKED
    if _on_their_way(world, template):
        template.status, template.gone_at = "PENDING_DELETION", world.now() + BLOCKED
        _status(world, template, "PENDING_DELETION", None)
    else:
        _gone(world, template)


def _on_their_way(world: World, template: Template) -> bool:
    return any(
        message.template == template.id and message.status in ("accepted", "sent")
        for message in reversed(world.state.messages.values())
    )


def _gone(world: World, template: Template) -> None:
    template.status = "DELETED"
    del world.state.templates[template.id]
    _status(world, template, "DELETED", None)


# -- time ----------------------------------------------------------------------------------------------------------


def due(world: World) -> None:
    """Let happen what is due by now."""
    now, drops = world.now(), world.state.options.pacing_verdict == "drop"
    for template in list(world.state.templates.values()):
        if _past(template.review_at, now) and template.status == "PENDING":
            review(world, template)
        if _past(template.paused_until, now):
            unpause(world, template)
        if _past(template.category_at, now) and template.correct_category:
            _recategorised(world, template, template.correct_category)
        if _past(template.verdict_at, now):
            (drop if drops else release)(world, template)
        if template.gone_at is not None and (now >= template.gone_at or not _on_their_way(world, template)):
            _gone(world, template)


def _past(at: float | None, now: float) -> bool:
    return at is not None and now >= at


def resume(world: World) -> None:
    """What became due while the simulator was off, and from now on whatever the clock brings."""
    due(world)
    world.run(_watch(world))


async def _watch(world: World) -> None:
    """Follow the clock, whoever moves it."""
    while True:
        await asyncio.sleep(LOOK)
        due(world)
