"""Every change to automations, and what pages, programs and commands may ask of their conversations.

An automation is written as a *draft*, which may be unfit; what begins is a published *version*, which is fit and never
changes. A conversation ends on the version it began with.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import available_timezones

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.automations import queries, schema, tending, timing
from twinline.automations.models import Automation, Kind, NoSuchAutomation, Overtaken, Settings, refuse
from twinline.automations.outside import Errand
from twinline.campaigns import routing
from twinline.contacts import conditions
from twinline.db import Tx, as_json
from twinline.mirror import events, turn
from twinline.rules.automations import keywords
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import Program, spell
from twinline.rules.automations.run import Began, Came
from twinline.rules.floor import Holder
from twinline.sending import speech

LONGEST_NAME: Final = 80
LONGEST_PAUSE: Final = timedelta(days=7)


# --- drafts and versions ----------------------------------------------------------------------------------------------


async def create(
    tx: Tx, organisation_id: int, definition: Mapping[str, Any], user_id: int | None, now: datetime
) -> int:
    """A new automation, off, at the end of the order; answers its id. The draft may be unfit.

    Raises Refused for a name that is missing or taken.
    """
    name = await _free_name(tx, organisation_id, definition, None)
    named = {"organisation": organisation_id, "name": name, "draft": as_json(definition), "now": now, "user": user_id}
    made = int(await tx.value(queries.CREATE, {**named, "numbers": _numbers(definition)}))
    await _record(tx, organisation_id, user_id, "created", made, now)
    return made


async def save(
    tx: Tx,
    organisation_id: int,
    automation_id: int,
    draft: Mapping[str, Any],
    now: datetime,
    *,
    seen: datetime | None = None,
) -> datetime:
    """Keeps a draft; what runs goes on as it is. Answers its ``draft_at``, which is its own among all drafts.

    ``seen``: that of the draft which this one was made of; None: it takes the place of whatever there is. Raises
    NoSuchAutomation, Overtaken, and Refused for the name.
    """
    name = await _free_name(tx, organisation_id, draft, automation_id)
    named = {"organisation": organisation_id, "id": automation_id, "name": name, "draft": as_json(draft), "now": now}
    kept: datetime | None = await tx.value(queries.SAVE, {**named, "numbers": _numbers(draft), "seen": seen})
    if kept is None:
        await _found(tx, organisation_id, automation_id)
        raise Overtaken(f"automation {automation_id} was saved meanwhile")
    return kept


async def publish(
    tx: Tx,
    organisation_id: int,
    automation_id: int,
    user_id: int | None,
    now: datetime,
    *,
    seen: datetime | None = None,
) -> int:
    """The draft becomes the version that begins from now on; answers its number.

    ``seen``: the draft that is meant, as ``save`` has it; None: the present one. Raises Unfit, NoSuchAutomation,
    Overtaken.
    """
    found = await _found(tx, organisation_id, automation_id)
    if seen is not None and found.draft_at != seen:
        raise Overtaken(f"automation {automation_id} was saved meanwhile")
    definition = schema.read(found.draft)
    named = {"organisation": organisation_id, "id": automation_id, "definition": as_json(definition)}
    quiet_for = Program.of(definition).settings.quiet_for
    version = int(await tx.value(queries.PUBLISH, {**named, "user": user_id, "now": now, "quiet_for": quiet_for}))
    await _record(tx, organisation_id, user_id, "published", automation_id, now, version=version)
    await timing.wind(tx, organisation_id, now)
    return version


async def enable(
    tx: Tx, organisation_id: int, automation_id: int, on: bool, now: datetime, *, user_id: int | None = None
) -> None:
    """Lets it begin, or not any more; conversations under way go on. Raises Refused before it was published."""
    found = await _found(tx, organisation_id, automation_id)
    if on and not found.version:
        raise refuse("unpublished", f"“{found.name}” was never published.", "Publish it first, then turn it on.")
    await tx.execute(queries.ENABLE, {"organisation": organisation_id, "id": automation_id, "on": on})
    await _record(tx, organisation_id, user_id, "enabled" if on else "disabled", automation_id, now)
    await timing.wind(tx, organisation_id, now)


async def move(tx: Tx, organisation_id: int, automation_id: int, position: int) -> None:
    """Gives it this place, from 0, among the organisation's automations."""
    await tx.execute(queries.ORGANISATIONS_TURN, {"organisation": organisation_id})
    order = [one.id for one in await queries.automations(tx, organisation_id)]
    if automation_id not in order:
        raise NoSuchAutomation(f"there is no automation {automation_id}")
    order.remove(automation_id)
    order.insert(max(0, position), automation_id)
    await tx.execute(queries.REORDER, {"organisation": organisation_id, "ids": order})


async def archive(
    tx: Tx, organisation_id: int, automation_id: int, now: datetime, *, user_id: int | None = None
) -> None:
    """Takes it away for good; what it said stays, and conversations under way go on."""
    await _found(tx, organisation_id, automation_id)
    await tx.execute(queries.ARCHIVE, {"organisation": organisation_id, "id": automation_id, "now": now})
    await _record(tx, organisation_id, user_id, "archived", automation_id, now)
    await timing.wind(tx, organisation_id, now)


async def _found(tx: Tx, organisation_id: int, automation_id: int) -> Automation:
    await tx.execute(queries.ORGANISATIONS_TURN, {"organisation": organisation_id})
    found = await queries.automation(tx, organisation_id, automation_id)
    if found is None or found.archived_at is not None:
        raise NoSuchAutomation(f"there is no automation {automation_id}")
    return found


async def _free_name(tx: Tx, organisation_id: int, definition: Mapping[str, Any], automation_id: int | None) -> str:
    await tx.execute(queries.ORGANISATIONS_TURN, {"organisation": organisation_id})
    name = " ".join(str(definition.get("name") or "").split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise refuse("name", "The automation has no name.", f"Give it one of 1 to {LONGEST_NAME} characters.")
    taken = await queries.automation_named(tx, organisation_id, name)
    if taken is not None and taken.id != automation_id:
        raise refuse("name", f"There is another automation “{taken.name}”.", "Give this one another name.")
    return name


def _numbers(definition: Mapping[str, Any]) -> list[int] | None:
    """Where it may begin, as a draft says; what can't be read yet is everywhere."""
    settings = definition.get("settings")
    chosen = settings.get("numbers") if isinstance(settings, Mapping) else None
    if not isinstance(chosen, list):
        return None
    return [number for number in chosen if isinstance(number, int)]


async def _record(
    tx: Tx, organisation_id: int, user_id: int | None, what: str, automation_id: int, now: datetime, **more: Any
) -> None:
    detail = {"automation": automation_id, **more}
    await accounts.record(tx, organisation_id, user_id, f"automation.{what}", detail, now)


# --- conversations ----------------------------------------------------------------------------------------------------


async def start(
    app: App,
    tx: Tx,
    number_id: int,
    contact_id: int,
    automation_id: int,
    now: datetime,
    vars: Mapping[str, Any] | None = None,
    *,
    by: str,
    release: bool = False,
    user_id: int | None = None,
) -> int:
    """Begins a conversation by hand or by a program, whatever its triggers say; answers the run's id.

    What an automation had begun in the chat before ends. ``by``: who wants it, in words, for the log. ``release``: a
    person who has the floor is handing it over by this.

    Raises Refused while a person has the floor, for an automation that was never published or has another number, and
    for whatever else forbids its first message; NoSuchAutomation.
    """
    await turn.take(tx, [number_id])
    organisation_id = await tx.value(queries.ORGANISATION_OF, {"number": number_id})
    found = await queries.automation(tx, organisation_id, automation_id) if organisation_id else None
    if found is None or found.archived_at is not None:
        raise NoSuchAutomation(f"there is no automation {automation_id}")
    if found.definition is None:
        raise refuse("unpublished", f"“{found.name}” was never published.", "Publish it first.")
    if found.numbers is not None and number_id not in found.numbers:
        raise refuse("number", f"“{found.name}” isn't for this number.", "Choose the number in its settings.")
    if release:
        await release_floor(app, tx, number_id, contact_id, user_id, now)
    return await tending.start(app, tx, number_id, contact_id, found, Began(vars=vars or {}), by, now)


async def end_run(
    tx: Tx, number_id: int, run_id: int, now: datetime, *, why: str = "A person ended it.", user_id: int | None = None
) -> bool:
    """Ends a conversation; what it had queued is dropped. Answers whether it was under way."""
    await turn.take(tx, [number_id])
    found = await queries.run(tx, number_id, run_id)
    if found is None or found.ended_at is not None:
        return False
    await tending.end(tx, found, why, now)
    await speech.release(tx, number_id, found.contact_id, Holder.AUTOMATION, now)
    await _record(tx, found.organisation_id, user_id, "ended", found.automation_id, now, run=run_id)
    return True


async def came(app: App, one: Errand, ok: bool, value: Any) -> bool:
    """What was asked outside has answered. Answers False where nobody waits for it any more: it is dropped."""
    async with app.db.transaction() as tx:
        await turn.take(tx, [one.number_id])
        return await tending.came(app, tx, one, Came(ok, value), app.clock.now())


# --- the floor --------------------------------------------------------------------------------------------------------


async def take_floor(
    app: App,
    tx: Tx,
    number_id: int,
    contact_id: int,
    user_id: int | None,
    now: datetime,
    for_: timedelta | None = None,
) -> None:
    """A person speaks here for so long (None: as long as after any reply): automations and campaigns are silent."""
    await turn.take(tx, [number_id])
    await speech.hold(tx, number_id, contact_id, now, for_)
    await tending.heard(tx, number_id, [contact_id], now)
    says = "A person took the chat" + (f" for {spell(for_)}." if for_ else ".")
    await tending.note(tx, number_id, contact_id, Kind.FLOOR, says, now)
    await events.publish(tx, {number_id: {"chats": [contact_id]}}, now)


async def release_floor(app: App, tx: Tx, number_id: int, contact_id: int, user_id: int | None, now: datetime) -> bool:
    """A person hands the chat back, which somebody held or an automation had handed to people; what the customer asked
    meanwhile may be answered. Answers whether it was so.
    """
    await turn.take(tx, [number_id])
    here = (await speech.floors(tx, number_id, [contact_id]))[contact_id]
    if here.holder is Holder.NOBODY and await queries.handed(tx, number_id, contact_id, now) is None:
        return False
    await speech.release(tx, number_id, contact_id, Holder.PERSON, now)
    await tending.released(tx, number_id, [contact_id], now)
    await tending.note(tx, number_id, contact_id, Kind.FLOOR, "A person handed the chat back.", now)
    await events.publish(tx, {number_id: {"chats": [contact_id]}}, now)
    return True


# --- a number's settings ----------------------------------------------------------------------------------------------


async def settings_of(tx: Tx, number_id: int) -> Settings:
    """Raises NoSuchAutomation without the number."""
    found = await queries.settings(tx, number_id)
    if found is None:
        raise NoSuchAutomation(f"there is no number {number_id}")
    return found


async def set_settings(
    tx: Tx, organisation_id: int, number_id: int, chosen: Settings, *, user_id: int | None, now: datetime
) -> None:
    """Raises Refused for what can't be, NoSuchAutomation without the number."""
    await turn.take(tx, [number_id])
    if await tx.value(queries.ORGANISATION_OF, {"number": number_id}) != organisation_id:
        raise NoSuchAutomation(f"there is no number {number_id}")
    try:
        Hours.of(chosen.hours)
    except ValueError as error:
        raise refuse("hours", str(error), "Correct the business hours.") from error
    if chosen.zone and chosen.zone not in available_timezones():
        raise refuse("zone", f"There is no time zone “{chosen.zone}”.", "Choose one like Europe/Lisbon.")
    if problem := keywords.problem(chosen.phone_keywords) or await _missing(tx, number_id, chosen):
        raise refuse("keyword", problem, "Correct the words that are typed on the phone.")
    try:
        spoken = conditions.language(chosen.language) if chosen.language.strip() else ""
    except ValueError as error:
        says = f"“{chosen.language[:20]}” can't be the language."
        raise refuse("language", says, "Give one like es or pt_BR, or leave it empty.") from error
    if not timedelta() <= chosen.pause <= LONGEST_PAUSE:
        raise refuse("pause", "The pause after a reply is between nothing and seven days.", "Choose another length.")
    await queries.keep_settings(tx, number_id, replace(chosen, language=spoken))
    detail = {"number": number_id, "pause": chosen.pause.total_seconds(), "zone": chosen.zone}
    await accounts.record(tx, organisation_id, user_id, "number.automations", detail, now)
    await timing.wind(tx, organisation_id, now)
    await events.publish(tx, {number_id: {"number": True}}, now)


async def _missing(tx: Tx, number_id: int, chosen: Settings) -> str | None:
    """That a new keyword starts what there isn't. One that stands already may outlive its automation."""
    before = (await settings_of(tx, number_id)).phone_keywords
    for one in chosen.phone_keywords:
        if one["does"] == "start" and one not in before:
            found = await tending.named(tx, number_id, one["automation"])
            if found is None or found.archived_at is not None:
                return f"The keyword “{one['word']}” starts an automation “{one['automation']}”, and there is none."
    return None


# --- what others choose from ------------------------------------------------------------------------------------------


async def _names(tx: Tx, organisation_id: int) -> dict[int, str]:
    return {one.id: one.name for one in await queries.automations(tx, organisation_id)}


routing.offer(_names)  # one of them may talk with whoever answers a campaign
