"""Media are fetched at once and kept: Meta's ids live seven days, its URLs five minutes (Meta: media).

Each try asks for a fresh URL. A refusal that will stay one, since Meta doesn't have the file or won't hand it out, is
believed the second time it is heard; everything else is tried again while the id may live.
"""

import asyncio
import base64
import hashlib

from twinline.app import App
from twinline.db import Tx
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.mirror import events, turn

WANTED = """
SELECT n.token, m.mime_type, m.sha256
FROM media m JOIN numbers n ON n.id = m.number_id
WHERE m.number_id = %(number)s AND m.media_id = %(media)s AND m.state = 'wanted'
"""

KEEP = """
UPDATE media SET state = 'kept', file = %(file)s, size = %(size)s, mime_type = coalesce(%(mime)s, mime_type),
    sha256 = %(sha256)s
WHERE number_id = %(number)s AND media_id = %(media)s
"""

LOSE = "UPDATE media SET state = 'lost', reason = %(reason)s WHERE number_id = %(number)s AND media_id = %(media)s"

SHOWN_BY = """
SELECT contact_id, wamid FROM messages
WHERE number_id = %(number)s AND media_id = %(media)s AND contact_id IS NOT NULL ORDER BY wamid
"""


TOKENLESS = "This number has no token to fetch files with. It can be seen on the phone."
GONE = "WhatsApp doesn't have it any more: it keeps files for seven days. It may still be on the phone."
TOO_LARGE = "WhatsApp doesn't hand it out; files above 100 MB it never does. It can be seen on the phone."
GIVEN_UP = "WhatsApp couldn't be asked for it in time. It can be seen on the phone."
NOT_KEPT = "It couldn't be kept here: the place for files doesn't answer. It can be seen on the phone."
MANGLED = "It arrived damaged, each time. It can be seen on the phone."

NOT_THERE = frozenset({33, 100})
WITHHELD = 131052


class Mangled(OSError):
    """What was downloaded isn't what Meta announced."""


async def download(app: App, number_id: int, media_id: str, *, tries: int = 0, last_try: bool = False) -> None:
    """Fetches and keeps one file; ``tries`` were made before. Raises GraphError or Mangled while there is hope.

    Then it is marked lost, with a reason for whoever looks at its message.
    """
    named = {"number": number_id, "media": media_id}
    async with app.db.transaction() as tx:
        rows = await tx.rows(WANTED, named)
    if not rows:
        return
    token, mime_type, _ = rows[0]
    if token is None:
        await _settle(app, number_id, LOSE, {**named, "reason": TOKENLESS})
        return
    try:
        secret = app.vault.unseal(token)
        info = await app.graph.media(media_id, token=secret)
        data = b"".join([part async for part in app.graph.download(info.url, token=secret)])
        digest = hashlib.sha256(data).hexdigest()
        # Meta's webhooks write a checksum in base64; what Graph writes isn't shown anywhere, so both are taken.
        if info.sha256 and info.sha256 not in (digest, base64.b64encode(bytes.fromhex(digest)).decode()):
            raise Mangled(f"media {media_id}: the checksum differs from the announced one")
        file = f"{number_id}/{digest[:2]}/{digest}"
        await asyncio.to_thread(app.files.write, file, data)
    except (GraphError, VaultError, OSError) as error:
        for_good = isinstance(error, GraphError) and error.code in (*NOT_THERE, WITHHELD)
        if not last_try and not (for_good and tries):
            raise
        await _settle(app, number_id, LOSE, {**named, "reason": _why(error)})
        return
    kept = {**named, "file": file, "size": len(data), "mime": info.mime_type or mime_type, "sha256": digest}
    await _settle(app, number_id, KEEP, kept)


def _why(error: Exception) -> str:
    if isinstance(error, VaultError):
        return TOKENLESS
    if isinstance(error, Mangled):
        return MANGLED
    if isinstance(error, OSError):
        return NOT_KEPT
    code = error.code if isinstance(error, GraphError) else None
    return GONE if code in NOT_THERE else TOO_LARGE if code == WITHHELD else GIVEN_UP


async def _settle(app: App, number_id: int, statement: str, params: dict[str, object]) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await tx.execute(statement, params)
        await _tell(tx, app, number_id, params)


async def _tell(tx: Tx, app: App, number_id: int, params: dict[str, object]) -> None:
    shown = await tx.rows(SHOWN_BY, params)
    if shown:
        await events.publish(tx, {number_id: {"media": [list(row) for row in shown]}}, app.clock.now())
