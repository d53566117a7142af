"""Files at Meta: each goes up once, and its id serves every message with it for as long as it lives.

A file is known by its content and by the type that it was uploaded as. When it goes up, all messages that wait for it
get its id. Meta may have forgotten it sooner than it says: then it goes up once more, and no more than that.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from twinline.app import App
from twinline.db import Tx
from twinline.kit import opus, pictures, sniff
from twinline.kit.vault import VaultError
from twinline.mirror import turn
from twinline.rules import messages
from twinline.sending import queries
from twinline.sending.models import Draft, Outgoing, Sender

LIVES = timedelta(days=30)  # Meta: media reference, ids of uploaded files
SPARE = timedelta(days=1)  # a message may wait before it leaves
GONE = frozenset({100, 131053})  # what Meta says of a media id that it doesn't have (any more)

SENT_AS = {"image": "image", "video": "video", "audio": "audio"}
"""By what a file is; everything else goes as a document."""
OURS = frozenset({"file", "uploaded_again"})
"""What of a file's facts is nobody else's business once it was sent."""
STICKER_FROM = ("image/webp", "image/png", "image/jpeg")

KNOWN = """
SELECT f.sha256, f.mime_type, f.media_id
FROM unnest(%(checksums)s::text[], %(types)s::text[]) AS r(sha256, mime_type)
JOIN files_at_meta f ON f.number_id = %(number)s AND f.sha256 = r.sha256 AND f.mime_type = r.mime_type
WHERE f.uploaded_at > %(since)s
"""

# Files of ours by an id that they had, and the one that they have now.
OF_IDS = """
SELECT m.media_id, m.file, m.mime_type, m.sha256, m.size, f.media_id AS id_now
FROM media m
LEFT JOIN files_at_meta f ON f.number_id = m.number_id AND f.sha256 = m.sha256 AND f.mime_type = m.mime_type
    AND f.uploaded_at > %(since)s
WHERE m.number_id = %(number)s AND m.media_id = ANY(%(ids)s) AND m.file IS NOT NULL AND m.sha256 IS NOT NULL
"""

REMEMBER = """
INSERT INTO files_at_meta (number_id, sha256, mime_type, media_id, uploaded_at)
VALUES (%(number)s, %(sha256)s, %(mime_type)s, %(media)s, %(now)s)
ON CONFLICT (number_id, sha256) DO UPDATE SET
    mime_type = excluded.mime_type, media_id = excluded.media_id, uploaded_at = excluded.uploaded_at
"""

FORGET = "DELETE FROM files_at_meta WHERE number_id = %(number)s AND media_id = %(media)s"

KEEP = """
INSERT INTO media (number_id, media_id, state, mime_type, sha256, size, file)
VALUES (%(number)s, %(media)s, 'kept', %(mime_type)s, %(sha256)s, %(size)s, %(file)s)
ON CONFLICT (number_id, media_id) DO NOTHING
"""

GIVE = """
UPDATE outbox SET content = content || jsonb_build_object('id', %(media)s::text)
WHERE number_id = %(number)s AND state IN ('queued', 'held') AND content->>'file' = %(file)s AND NOT content ? 'id'
  AND content->>'mime_type' = %(mime_type)s
"""

AGAIN = """
UPDATE outbox SET state = 'queued', content = content - 'id' || '{"uploaded_again": true}'
WHERE number_id = %(number)s AND id = %(id)s AND state IN ('queued', 'sending', 'in_doubt')
RETURNING contact_id, id, state
"""


async def given(tx: Tx, number_id: int, drafts: Sequence[Draft], now: datetime) -> list[Draft]:
    """The same messages, with their files' ids where Meta has the files already."""
    asked = dict.fromkeys(_file(draft) for draft in drafts if _lacks_id(draft))
    if not asked:
        return list(drafts)
    checksums, types = zip(*asked, strict=True)
    named = {"number": number_id, "checksums": list(checksums), "types": list(types), "since": now - LIVES + SPARE}
    known = {(checksum, mime): media for checksum, mime, media in await tx.rows(KNOWN, named)}
    return [
        replace(draft, content={**(draft.content or {}), "id": known[_file(draft)]})
        if _lacks_id(draft) and _file(draft) in known
        else draft
        for draft in drafts
    ]


def _lacks_id(draft: Draft) -> bool:
    return draft.content is not None and "file" in draft.content and "id" not in draft.content


def _file(draft: Draft) -> tuple[str | None, str | None]:
    content = draft.content or {}
    return content.get("sha256"), content.get("mime_type")


@dataclass(frozen=True, slots=True)
class Known:
    """A file that Meta had under an id, and ``id_now``: None where it has to go up again."""

    media_id: str
    file: str
    mime_type: str
    sha256: str
    size: int
    id_now: str | None

    @property
    def about(self) -> dict[str, Any]:
        return {"file": self.file, "mime_type": self.mime_type, "sha256": self.sha256, "size": self.size}


async def known(tx: Tx, number_id: int, media_ids: Iterable[str], now: datetime) -> list[Known]:
    """Which of these ids were given to files from here."""
    named = {"number": number_id, "ids": sorted(set(media_ids)), "since": now - LIVES + SPARE}
    return await tx.all(Known, OF_IDS, named)


async def hand_over(app: App, number_id: int, about: Mapping[str, Any], data: bytes, name: str) -> str:
    """The id of a file at Meta; it goes up if it isn't there. ``about`` as the content of a media message.

    Raises GraphError, VaultError.
    """
    async with app.db.transaction() as tx:
        [draft] = await given(tx, number_id, [Draft("document", content=dict(about))], app.clock.now())
        sender = await tx.one(Sender, queries.SENDER, {"number": number_id})
    if (there := (draft.content or {}).get("id")) is not None:
        return str(there)
    if sender is None or sender.token is None:
        raise VaultError("This number has no token: paste one on its page, or connect it again.")
    token = app.vault.unseal(sender.token)
    media_id = await app.graph.upload_media(sender.phone_number_id, data, about["mime_type"], name, token=token)
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        await remember(tx, number_id, about, media_id, app.clock.now())
    return media_id


async def remember(tx: Tx, number_id: int, content: Mapping[str, Any], media_id: str, now: datetime) -> None:
    """Meta has the file under this id: for all that wait with it, and for those to come."""
    about = {name: content.get(name) for name in ("file", "mime_type", "sha256", "size")}
    named = {**about, "number": number_id, "media": media_id, "now": now}
    await tx.execute(KEEP, named)
    await tx.execute(GIVE, named)
    if about["sha256"] is not None:
        await tx.execute(REMEMBER, named)


def may_be_gone(row: Outgoing, code: int | None) -> bool:
    """Whether this refusal may mean that Meta doesn't have the file any more, and it hasn't gone up a second time."""
    content = row.content or {}
    return code in GONE and "file" in content and "id" in content and "uploaded_again" not in content


async def heard(tx: Tx, failed: Sequence[Mapping[str, Any]]) -> None:
    """Messages failed after Meta had taken them: a file that it couldn't use then goes up anew with the next one."""
    for row in failed:
        media_id = (row["content"] or {}).get("id")
        if row["error_code"] in GONE and media_id is not None:
            await tx.execute(FORGET, {"number": row["number_id"], "media": media_id})


async def upload_again(tx: Tx, number_id: int, row: Outgoing) -> list[tuple[Any, ...]]:
    """The message waits for its file to go up once more. Answers the row's contact, id and state, to be told."""
    await tx.execute(FORGET, {"number": number_id, "media": (row.content or {})["id"]})
    return await tx.rows(AGAIN, {"number": number_id, "id": row.id})


# --- before they are kept -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file as it will be sent, and what a rule may want to know of it."""

    data: bytes
    name: str
    mime_type: str
    type: str
    facts: dict[str, Any]


def prepare(data: bytes, name: str, kind: str | None = None) -> Prepared:
    """What this file is, and what becomes of it where WhatsApp wants another form.

    A picture that is to be a sticker is fitted into its square, and a browser's recording that is to be a voice
    message is put into Ogg. What stays as WhatsApp won't have it, the rules refuse.
    """
    mime = sniff.mime_type(data, name)
    facts: dict[str, Any] = {}
    if kind == "voice":
        if mime == "video/webm":
            with contextlib.suppress(opus.NotOpus):
                data, name, mime = opus.ogg(data), "voice.ogg", "audio/ogg"
        kind, facts = "audio", {"voice": True} if mime == messages.VOICE else {}
    elif kind == "sticker" and mime in STICKER_FROM:
        with contextlib.suppress(pictures.NotAPicture):
            data, mime = _square(data), "image/webp"
            facts = asdict(pictures.facts(data))
    return Prepared(data, name, mime, kind or SENT_AS.get(mime.split("/")[0], "document"), facts)


def _square(data: bytes) -> bytes:
    """One that is a sticker already, or moves, stays as it is."""
    about = pictures.facts(data)
    fits = about.width == about.height == messages.STICKER_SIDE and sniff.mime_type(data, "") == "image/webp"
    return data if fits or about.animated else pictures.sticker(data)
