"""In the ingest's transaction: what customers said is noted, and what the owner typed silences or commands.

It notes and wakes, and says nothing itself, so that it is never in a webhook's way: for customers' messages that is two
statements, whose answers nobody waits for.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from twinline.app import App
from twinline.automations import ears, queries, tending
from twinline.automations.models import Kind
from twinline.db import Tx
from twinline.mirror.models import Folded, Said
from twinline.rules import floor
from twinline.rules.automations.program import duration, spell
from twinline.rules.automations.run import Began
from twinline.rules.floor import Holder
from twinline.rules.messages import WORDLESS
from twinline.rules.refusal import Refused
from twinline.sending import speech
from twinline.sending.speech import Commanded

PATIENCE: Final = timedelta(seconds=20)
"""However much a customer writes, their turn is looked at so long after its beginning."""


async def joined(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """Two contacts turned out to be one person: their turns and conversations become one's."""
    for number_id, body in folded.events.items():
        for winner, loser in body.get("merged", ()):
            named = {"number": number_id, "winner": winner, "loser": loser, "now": now}
            await tx.send(queries.JOIN_TURNS, named)
            for statement in queries.JOIN_RUNS:
                await tx.send(statement, named)


async def said(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """What customers said opens turns, where somebody listens (``queries.LISTENS``)."""
    words = [one for one in folded.received if one.type not in WORDLESS]
    if not words:
        return
    await tx.send(
        queries.NOTE_TURNS,
        {
            "numbers": [one.number_id for one in words],
            "contacts": [one.contact_id for one in words],
            "wamids": [one.wamid for one in words],
            "ats": [one.at for one in words],
            "now": now,
            "patience": PATIENCE,
        },
    )
    numbers = sorted({one.number_id for one in words})
    await tx.send(
        queries.WAKE_DUE,
        {"numbers": numbers, "task": tending.TEND, "channel": ears.CHANNEL, "soon": now + tending.LINGER},
    )


async def echoed(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """What the owner typed; ``sending`` has decided before who has the floor."""
    commands = [one for one in folded.asides if isinstance(one, Commanded)]
    typed = {one.said.wamid for one in commands}
    spoken: dict[int, list[Said]] = defaultdict(list)
    for one in folded.echoed:
        if one.wamid not in typed:
            spoken[one.number_id].append(one)
    for number_id, echoes in spoken.items():
        await _silenced(tx, number_id, echoes, now)
    for command in commands:
        await _commanded(app, tx, command, now)


async def _silenced(tx: Tx, number_id: int, echoes: Sequence[Said], now: datetime) -> None:
    """What talks in these chats yields. An automation's own pause stands for the number's while it is under way."""
    newest = {said.contact_id: said.at for said in sorted(echoes, key=lambda one: one.at)}
    pauses = await tending.heard(tx, number_id, list(newest), now)
    if not pauses:
        return
    floors = await speech.floors(tx, number_id, pauses)
    longer = {
        contact: replace(floors[contact], until=datetime.fromtimestamp(newest[contact], UTC) + duration(pause))
        for contact, pause in pauses.items()
        if floors[contact].holder is Holder.PHONE
    }
    await speech.keep(tx, number_id, longer, now)


async def _commanded(app: App, tx: Tx, one: Commanded, now: datetime) -> None:
    """A keyword typed on the phone. That it was one is in the log, so that it isn't taken for an answer later."""
    number_id, contact = one.said.number_id, one.said.contact_id

    async def tell(says: str) -> None:
        line = {"contact_id": contact, "kind": Kind.FLOOR, "says": says, "automation_id": None, "run_id": None}
        await tending.log(tx, number_id, [{**line, "wamid": one.said.wamid}], now)

    if not one.heard:
        return await tell("A keyword from the phone came too late: somebody has decided something since it was typed.")
    if one.command.kind == "pause":
        await tell("The phone took the chat" + (f" for {spell(one.command.for_)}." if one.command.for_ else "."))
        await tending.heard(tx, number_id, [contact], now)
        return None
    await tell("The phone handed the chat back.")
    if floor.holder_now(one.before, now) not in floor.PEOPLE:
        after = (await speech.floors(tx, number_id, [contact]))[contact].since
        named = {"number": number_id, "contact": contact, "before": one.before.since, "after": after}
        await tx.execute(queries.GO_ON, named)
    if one.command.kind == "start":
        found = await tending.named(tx, number_id, one.command.automation)
        if found is None or found.definition is None:
            await tell(f"There is no automation “{one.command.automation}” to start.")
        else:
            try:
                await tending.start(app, tx, number_id, contact, found, Began(), "a keyword from the phone", now)
            except Refused as refused:
                await tell(f"“{found.name}” didn't start. {refused.refusal.text}")
    await tending.released(tx, number_id, [contact], now)
    return None
