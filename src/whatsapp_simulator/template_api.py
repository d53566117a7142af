"""Graph's calls for templates: list, create, edit, delete, unpause (Meta: template management)."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from . import template_life, template_rules, templates, upload_api
from .errors import GraphError
from .state import Json, Template, Waba
from .template_life import DAY, HOUR
from .template_rules import invalid, refusal, spoken
from .world import World

if TYPE_CHECKING:
    from .graph import Call

CREATIONS = 100  # Meta: an hour and WABA
ROOM = {True: 6000, False: 250}  # Meta: templates of a WABA whose portfolio is verified, and of another
EDITABLE = ("APPROVED", "REJECTED", "PAUSED")
EDITS = ((DAY, 1), (30 * DAY, 10))
"""How often an approved template may be edited: seconds, times."""
DEFAULT = ("name", "parameter_format", "components", "language", "status", "category")
FILTERS = ("category", "language", "status", "quality_score")
TTL = {"AUTHENTICATION": (30, 900), "UTILITY": (30, 12 * 3600), "MARKETING": (12 * 3600, 30 * 86400)}
"""Seconds that Meta may try to deliver a message of each category (Meta: time-to-live)."""
AT_ONCE = 100
"""Greatest number of ``hsm_ids``, and of templates on a page (GUESS)."""


# -- what a template shows -----------------------------------------------------------------------------------------


def fields(one: Template) -> Json:
    return {
        "id": one.id,
        "name": one.name,
        "language": one.language,
        "status": one.status,
        "category": one.category,
        "components": one.components,
        "parameter_format": one.parameter_format,
        "rejected_reason": one.rejected_reason,
        "quality_score": {"score": one.quality, "date": int(one.quality_at)},
        "previous_category": one.previous_category,
        "correct_category": one.correct_category,
        "message_send_ttl_seconds": one.ttl,
        "last_updated_time": int(one.updated_at),
    }


def of(world: World, waba_id: str) -> list[Template]:
    """The templates of a WABA, newest first."""
    return [one for one in reversed(world.state.templates.values()) if one.waba_id == waba_id]


async def get(call: Call) -> Json:
    return call.select(fields(call.world.state.templates[call.node]), DEFAULT, "MessageTemplate")


async def get_all(call: Call) -> Json:
    """A page of templates: ``limit``, ``after`` or ``before``, and filters."""
    found = [one for one in of(call.world, call.node) if _wanted(one, call.args)]
    limit = _number(call.args, "limit", 1, AT_ONCE) or 25
    ids = [one.id for one in found]
    start = _position(ids, call.args.get("after")) + 1
    if call.args.get("before"):
        start = max(0, _position(ids, call.args["before"]) - limit)
    page = found[start : start + limit]
    if not page:
        return {"data": []}
    cursors = {"before": _cursor(page[0]), "after": _cursor(page[-1])}
    paging: Json = {"cursors": cursors}
    if start + limit < len(found):
        paging["next"] = str(
            call.request.url.include_query_params(after=cursors["after"]).remove_query_params("before")
        )
    if start:
        paging["previous"] = str(
            call.request.url.include_query_params(before=cursors["before"]).remove_query_params("after")
        )
    return {"data": [call.select(fields(one), DEFAULT, "MessageTemplate") for one in page], "paging": paging}


def _wanted(one: Template, args: Json) -> bool:
    shown: Json = {**fields(one), "quality_score": one.quality}
    content = str(args.get("content") or "").lower()
    named = str(args.get("name_or_content") or "").lower()
    words = template_rules.texts(one.components).lower()
    return (
        all(_among(shown[key], args[key]) for key in FILTERS if args.get(key))
        and str(args.get("name") or "").lower() in one.name
        and content in words
        and (named in words or named in one.name)
    )


def _among(value: str, wanted: Any) -> bool:
    """Filters take one word or a list, in any case."""
    try:
        given = json.loads(wanted) if isinstance(wanted, str) else wanted
    except ValueError:
        given = wanted
    return value.lower() in [str(one).lower() for one in (given if isinstance(given, list) else [given])]


def _cursor(one: Template) -> str:
    return base64.urlsafe_b64encode(one.id.encode()).decode()


def _position(ids: list[str], cursor: Any) -> int:
    """Where in the list a cursor stands, -1 for none."""
    if not cursor:
        return -1
    try:
        return ids.index(base64.urlsafe_b64decode(str(cursor)).decode())
    except (ValueError, binascii.Error):
        raise invalid("Invalid cursors values") from None


# -- create and edit -----------------------------------------------------------------------------------------------


async def create(call: Call) -> Json:
    world, waba = call.world, call.waba
    one = made(world, waba, call.args)
    waba.template_creations = [then for then in waba.template_creations if call.at - HOUR < then <= call.at]
    if len(waba.template_creations) >= CREATIONS:
        raise GraphError(80007, f"More than {CREATIONS} templates were created within an hour.")  # GUESS: the code
    waba.template_creations.append(call.at)
    world.state.templates[one.id] = one
    template_life.submit(world, one)
    return {"id": one.id, "status": one.status, "category": one.category}


def made(world: World, waba: Waba, args: Json) -> Template:
    """A checked template that isn't handed in yet. Raises ``GraphError``."""
    wanted = template_rules.wanted(args, templates.KNOWN["languages"])
    components = _components(world, args, wanted.category, named=wanted.parameter_format == "NAMED")
    here = of(world, waba.id)
    if len(here) >= ROOM[waba.business_verification_status == "verified"]:
        raise refusal(2388019)
    if waba.blocked_names.get(wanted.name, 0.0) > world.now():
        raise refusal(2388023, wanted.language)
    for one in here:
        if one.name == wanted.name and one.status == "PENDING_DELETION":
            raise refusal(2388023, wanted.language)
        if one.name == wanted.name and one.language == wanted.language:
            raise refusal(2388024, wanted.language)
        if one.name == wanted.name and one.category != wanted.category:
            raise spoken(
                "Template Category Doesn't Match",
                f"The category {wanted.category} doesn't match the one that's already associated with this template,"
                f" {one.category}.",
            )
    return Template(
        world.ids.number(16),
        waba.id,
        wanted.name,
        wanted.language,
        wanted.category,
        components,
        world.now(),
        parameter_format="NAMED" if wanted.parameter_format == "NAMED" else "POSITIONAL",
        updated_at=world.now(),
        ttl=_number(args, "message_send_ttl_seconds", *TTL[wanted.category]),
    )


def _number(args: Json, key: str, least: int, most: int) -> int | None:
    text = str(args.get(key) or "")
    if not text:
        return None
    if not text.isdigit() or not least <= int(text) <= most:
        raise invalid(f"Param {key} must be a number from {least} to {most}.")
    return int(text)


def _components(world: World, args: Json, category: str, *, named: bool) -> list[Json]:
    """Components of a call, which come as JSON text in forms."""
    given = args.get("components")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise invalid("Param components must be an array.") from None
    return template_rules.checked(given, category, named=named, sample=lambda handle: upload_api.sample(world, handle))


async def edit(call: Call) -> Json:
    """Components, category or time to live; new components replace all there were. Then it is reviewed again."""
    world, args = call.world, call.args
    one = world.state.templates[call.node]
    category = str(args.get("category") or one.category).upper()
    if one.status not in EDITABLE:
        raise refusal(2388003)
    if one.status == "APPROVED":
        _may_be_edited(one, call.at)
        if category != one.category:
            raise spoken("Template category can't be changed", "You can't edit the category of an approved template.")
    if category not in template_rules.CATEGORIES:
        raise invalid(f"Param category must be one of {{{', '.join(template_rules.CATEGORIES)}}}")
    components = one.components
    if "components" in args:
        components = _components(world, args, category, named=one.parameter_format == "NAMED")
    if one.status == "APPROVED":
        one.edits.append(call.at)
    ttl = _number(args, "message_send_ttl_seconds", *TTL[category])
    one.ttl = one.ttl if ttl is None else ttl
    one.category, one.components, one.updated_at = category, components, world.now()
    one.paused_for, one.paused_until = None, None
    template_life.submit(world, one)
    template_life.edited(world, one)
    return {"success": True}


def _may_be_edited(one: Template, at: float) -> None:
    """GUESS: Meta's words and subcode for an approved template that was edited too often."""
    one.edits = [then for then in one.edits if at - EDITS[-1][0] < then <= at]
    for span, times in EDITS:
        if sum(at - span < then for then in one.edits) >= times:
            text = f"An approved template can be edited {times} time(s) in {int(span // HOUR)} hours. Try again later."
            raise spoken("Message template was edited too often", text)


# -- delete and unpause --------------------------------------------------------------------------------------------


async def delete(call: Call) -> Json:
    """By ``name`` (all languages), ``hsm_id`` and name (one), or ``hsm_ids``."""
    here, args = of(call.world, call.node), call.args
    name, ids = args.get("name"), _ids(args)
    if not name and not ids:
        raise invalid("The parameter name is required.")
    if len(ids) > AT_ONCE:
        raise invalid(f"At most {AT_ONCE} templates can be deleted at once.")
    found = [one for one in here if (not ids or one.id in ids) and (not name or one.name == name)]
    found = [one for one in found if one.status != "PENDING_DELETION"]
    if not found or (ids and len(found) != len(set(ids))):
        raise refusal(2593002)
    if any(one.status == "DISABLED" for one in found):
        raise refusal(2388039)
    for one in found:
        template_life.delete(call.world, one)
    return {"success": True}


def _ids(args: Json) -> list[str]:
    """``hsm_ids`` come as a list or as its JSON text."""
    given = args.get("hsm_ids") or ([args["hsm_id"]] if args.get("hsm_id") else [])
    if isinstance(given, str):
        given = given.strip("[] ").replace('"', "").split(",")
    return [str(one).strip() for one in given]


async def unpause(call: Call) -> Json:
    """Only what pacing paused; a pause for quality ends by itself."""
    one = call.world.state.templates[call.node]
    if one.status != "PAUSED" or one.paused_for != "pacing":
        raise refusal(2388039)
    template_life.unpause(call.world, one)
    return {"success": True}


TABLE = {
    ("GET", "waba", "message_templates"): get_all,
    ("POST", "waba", "message_templates"): create,
    ("DELETE", "waba", "message_templates"): delete,
    ("GET", "template", ""): get,
    ("POST", "template", ""): edit,
    ("POST", "template", "unpause"): unpause,
}
