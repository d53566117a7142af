"""Files that head a campaign's messages.

Each person's message is frozen with the id under which Meta had the file when the campaign was planned, and Meta keeps
a file for 30 days. So whoever is fed later, since the campaign was scheduled for then, or held, or spread out so far,
gets the id that the file has by then. Going up takes its time, so nobody does that under the number's turn: a campaign
whose file is gone at Meta is held, the file goes up again (``renew``), and it goes on.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from twinline.app import App
from twinline.campaigns.queries import Next
from twinline.db import Tx
from twinline.kit import log
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.rules.refusal import Refusal
from twinline.rules.templates import MEDIA
from twinline.sending import uploads
from twinline.sending.uploads import Known

GONE: Final = Refusal(
    "campaign.file",
    "WhatsApp keeps a file for 30 days, so that of this campaign is handed over once more.",
    "It goes on by itself. If it doesn't, cancel it, make a copy, and bring the file along again.",
)
PLAN_AGAIN: Final = Refusal(
    "campaign.file", "WhatsApp keeps a file for 30 days, and this campaign was planned before that.", "Plan it again."
)

logger = log.get("campaigns.headers")


async def known(tx: Tx, number_id: int, people: Iterable[Next], now: datetime) -> list[Known]:
    """The files of these people's messages, as Meta has them at this time."""
    ids = {str(one["id"]) for row in people for one in _media(row.draft) if "id" in one}
    return await uploads.known(tx, number_id, ids, now) if ids else []


def give(people: Iterable[Next], files: Collection[Known]) -> None:
    """Lets each message name its files by their ids of this time."""
    changed = {file.media_id: file.id_now for file in files if file.id_now != file.media_id}
    for row in people if changed else ():
        for one in _media(row.draft):
            if one.get("id") in changed:
                one["id"] = changed[one["id"]]


def _media(draft: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects of a template's message that are files: its header's, and those of its cards."""
    components = list((draft.get("content") or {}).get("components") or ())
    while components:
        component = components.pop()
        components += [one for card in component.get("cards") or () for one in card.get("components") or ()]
        for parameter in component.get("parameters") or ():
            if parameter.get("type") in MEDIA:
                yield parameter[parameter["type"]]


async def renew(app: App, number_id: int, files: Iterable[Known]) -> None:
    """Hands those to Meta that it has no more. What can't be handed over now will be tried again."""
    for file in files:
        if file.id_now is None:
            try:
                data = await asyncio.to_thread(app.files.read, file.file)
                await uploads.hand_over(app, number_id, file.about, data, file.file.rsplit("/", 1)[1])
            except (GraphError, VaultError, OSError) as error:
                logger.warning("file_not_renewed", number=number_id, error=type(error).__name__)
