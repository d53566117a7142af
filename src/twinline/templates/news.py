"""What Meta says about templates by webhook, folded into their rows in the ingest's transaction.

The notices are the facts; each speaks of one register (status, quality, category) with its time as version, so order
and repetition don't matter. An event whose meaning isn't plain from itself (FLAGGED, REINSTATED, new components …) only
lets a job look at Graph, as does one about a template that isn't known here.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.mirror.fold import register_version
from twinline.mirror.models import Folded
from twinline.rules import templates as rules
from twinline.templates import queries, service

STATUS = "message_template_status_update"
QUALITY = "message_template_quality_update"
CATEGORY = "template_category_update"
COMPONENTS = "message_template_components_update"
FIELDS = (STATUS, QUALITY, CATEGORY, COMPONENTS)

REPEATED_FOR = timedelta(days=8)  # Meta gives up after seven
SECOND = timedelta(seconds=1)  # webhooks tell no smaller time
LITTLE = timedelta(minutes=1)  # after the end of a pause, until Meta is asked

NOTHING = {
    "status": None,
    "reason": None,
    "paused_until": None,
    "gone_at": None,
    "status_v": -1,
    "quality": None,
    "quality_v": -1,
    "category": None,
    "next_category": None,
    "next_category_at": None,
    "category_v": -1,
}


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """Runs in the ingest's transaction, after a batch was folded."""
    if not folded.numbers_with_notices:
        return
    notices = await queries.notices(tx, folded.numbers_with_notices, FIELDS, now - REPEATED_FOR)
    if not notices:
        return
    changed = await tx.dicts(queries.FOLLOW, {"rows": as_json(_joined(notices))})
    for number in folded.numbers.values():
        if any(row["waba_id"] == number.waba_id for row in changed):
            folded.flag(number.id, "templates")
    for row in changed:
        if row["paused_until"] is not None and row["status"] == "PAUSED":
            await service.look_later(
                tx, row["organisation_id"], row["waba_id"], row["id"], row["paused_until"] - now + LITTLE
            )
    await _ask_meta(tx, notices)


def _joined(notices: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a template, each register as its newest notice says."""
    joined: dict[tuple[int, str, str], dict[str, Any]] = {}
    for notice in notices:
        key = _key(notice)
        row = joined.setdefault(key, {"organisation_id": key[0], "waba_id": key[1], "id": key[2], **NOTHING})
        for column, said in _registers(notice["field"], notice["at"], notice["value"]).items():
            if said["version"] > row[f"{column}_v"]:
                row[f"{column}_v"] = said.pop("version")
                row.update(said)
    return [joined[key] for key in sorted(joined)]


def _key(notice: dict[str, Any]) -> tuple[int, str, str]:
    return notice["organisation_id"], notice["waba_id"], str(notice["value"].get("message_template_id") or "")


def _registers(field: str, at: int, value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Register -> what it is set to, with its version. Empty when the notice only asks for a look."""
    when = datetime.fromtimestamp(at, UTC)
    if field == STATUS and (event := _word(value.get("event"))) in rules.rules()["status"]:
        info = value.get("other_info")
        title = _word(info.get("title")) if isinstance(info, dict) else ""
        reason = title if event == "PAUSED" else _word(value.get("reason")).replace("NONE", "")
        lasts = rules.pause_length(title) if event == "PAUSED" else None
        said: dict[str, Any] = {
            "status": event,
            "reason": reason or None,
            "paused_until": when + lasts if lasts else None,
            "gone_at": when if event == "DELETED" else None,
            "version": register_version(at, event, reason),
        }
        return {"status": said}
    if field == QUALITY and (score := _word(value.get("new_quality_score"))):
        return {"quality": {"quality": score, "version": register_version(at, score)}}
    if field == CATEGORY and (category := _word(value.get("new_category"))):
        coming = _word(value.get("correct_category"))
        moment = str(value.get("category_update_timestamp") or "")
        announced = coming not in ("", category)
        return {
            "category": {
                "category": category,
                "next_category": coming if announced else None,
                "next_category_at": datetime.fromtimestamp(int(moment), UTC)
                if announced and moment.isdecimal()
                else None,
                "version": register_version(at, category, coming),
            }
        }
    return {}


def _word(value: object) -> str:
    return value.strip().upper() if isinstance(value, str) else ""


async def _ask_meta(tx: Tx, notices: Iterable[dict[str, Any]]) -> None:
    """Lets jobs look where a notice said too little, unless somebody has looked since."""
    newest: dict[tuple[int, str, str], tuple[datetime, datetime]] = {}
    never = datetime.min.replace(tzinfo=UTC)
    for notice in notices:
        at = datetime.fromtimestamp(notice["at"], UTC) + SECOND
        unclear = at if not _registers(notice["field"], notice["at"], notice["value"]) else never
        key = _key(notice)
        latest, asking = newest.get(key, (never, never))
        newest[key] = max(latest, at), max(asking, unclear)
    named = [{"organisation_id": org, "waba_id": waba, "id": template} for org, waba, template in newest]
    for org, waba, template, fetched_at, read_at, known in await tx.rows(queries.KNOWN, {"rows": as_json(named)}):
        latest, asking = newest[org, waba, template]
        if not known and latest > (read_at or never):
            await service.want(tx, org, waba)
        elif known and asking > (fetched_at or never):
            await service.look_later(tx, org, waba, template)
