"""Media are fetched at once and kept: Meta's ids live seven days, its URLs five minutes (Meta: media)."""

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


class Mangled(OSError):
    """What was downloaded isn't what Meta announced."""


async def download(app: App, number_id: int, media_id: str, *, last_try: bool) -> None:
    """Fetches and keeps one file. Raises GraphError or Mangled until the last try, which marks it lost instead."""
    named = {"number": number_id, "media": media_id}
    async with app.db.transaction() as tx:
        rows = await tx.rows(WANTED, named)
    if not rows:
        return
    token, mime_type, _ = rows[0]
    if token is None:
        await _settle(app, number_id, LOSE, {**named, "reason": "This number has no token to fetch files with."})
        return
    try:
        secret = app.vault.unseal(token)
        info = await app.graph.media(media_id, token=secret)
        data = b"".join([part async for part in app.graph.download(info.url, token=secret)])
        digest = hashlib.sha256(data).hexdigest()
        # Meta's webhooks write a checksum in base64; what Graph writes isn't shown anywhere, so both are taken.
        if info.sha256 and info.sha256 not in (digest, base64.b64encode(bytes.fromhex(digest)).decode()):
            raise Mangled(f"media {media_id}: the checksum differs from the announced one")
    except (GraphError, VaultError, OSError) as error:
        if not last_try:
            raise
        await _settle(app, number_id, LOSE, {**named, "reason": str(error)})
        return
    file = f"{number_id}/{digest[:2]}/{digest}"
    await asyncio.to_thread(app.files.write, file, data)
    kept = {**named, "file": file, "size": len(data), "mime": info.mime_type or mime_type, "sha256": digest}
    await _settle(app, number_id, KEEP, kept)


async def _settle(app: App, number_id: int, statement: str, params: dict[str, object]) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await tx.execute(statement, params)
        await _tell(tx, app, number_id, params)


async def _tell(tx: Tx, app: App, number_id: int, params: dict[str, object]) -> None:
    shown = await tx.rows(SHOWN_BY, params)
    if shown:
        await events.publish(tx, {number_id: {"media": [list(row) for row in shown]}}, app.clock.now())
