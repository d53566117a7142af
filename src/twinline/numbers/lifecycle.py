"""What Meta and our own polling say about a connection, folded into the state that the pages and guards read.

The notices of a number are the facts; ``rules.lifecycle`` adds them up. Nothing steps the state along, so a notice
that comes late or twice ends in the same row.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from twinline.app import App
from twinline.db import Tx, jobs
from twinline.mirror import events, turn
from twinline.mirror.models import Folded
from twinline.numbers import queries
from twinline.numbers.models import Notice
from twinline.rules import lifecycle
from twinline.rules.lifecycle import Fact, FactKind
from twinline.sending import stops
from twinline.sending.waking import wake

OURS = "twinline"
FIELDS = ("account_update", OURS)

_KINDS = {kind.value: kind for kind in FactKind}


def facts(notices: Iterable[Notice]) -> Iterator[Fact]:
    """The notices that bear on the connection. Events that don't (pricing, restrictions) are passed over."""
    for notice in notices:
        kind = _KINDS.get(str(notice.value.get("event")))
        if kind is not None:
            info: dict[str, Any] = notice.value.get("disconnection_info") or {}
            ban: dict[str, Any] = notice.value.get("ban_info") or {}
            yield Fact(notice.at, kind, info.get("reason") or ban.get("waba_ban_state"), info.get("initiated_by"))


async def observe(tx: Tx, number_id: int, now: datetime) -> None:
    """Folds all notices of the number into its row; tells the browsers if that changed it."""
    await turn.take(tx, [number_id])
    news = await stops.read_notices(tx, [number_id])
    if await _refold(tx, number_id) or news:
        await wake(tx, number_id)
        await events.publish(tx, {number_id: {"number": True}}, now)


async def follow(app: App, tx: Tx, folded: Folded, now: datetime) -> None:
    """Runs in the ingest's transaction, after a batch was folded."""
    for number_id in sorted(folded.numbers_with_notices):
        if await _refold(tx, number_id):
            folded.flag(number_id, "number")
            await wake(tx, number_id)
            # Meta names only the WABA when a phone is changed. Where it has several numbers, only Graph knows which
            # of them was meant.
            siblings = await queries.siblings(tx, number_id)
            for sibling in siblings if len(siblings) > 1 else ():
                await ask_meta(tx, sibling)


async def _refold(tx: Tx, number_id: int) -> bool:
    state = lifecycle.fold(facts(await queries.notices(tx, number_id, FIELDS)))
    return await queries.set_state(tx, number_id, state.state, state.since, state.reason)


async def ask_meta(tx: Tx, number_id: int) -> None:
    """Lets a job ask Graph whether the number is on the app."""
    await jobs.defer(
        tx,
        "numbers.check",
        queue="sync",
        queueing_lock=f"numbers.check:{number_id}",
        number_id=number_id,
    )


async def note(tx: Tx, number_id: int, event: FactKind, now: datetime) -> None:
    """Adds a fact of our own and folds it in."""
    await queries.insert_notice(tx, number_id, OURS, now, {"event": event.value})
    await observe(tx, number_id, now)
