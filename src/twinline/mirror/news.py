"""What follows from a batch that is written: chats move up, the budget is charged, files are asked for, events told."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from twinline.db import Tx, as_json
from twinline.db.jobs import defer
from twinline.kit.clock import microseconds
from twinline.mirror import pace, queries
from twinline.mirror.fold import MessageRow, Rows, as_rows
from twinline.mirror.models import Folded, Said
from twinline.rules import budget


class Line(msgspec.Struct, omit_defaults=True):
    """What a batch brings to a chat's line in the list; see ``queries.REFRESH_CHATS``. Times are unix seconds."""

    number_id: int
    contact_id: int
    plain: bool = False
    at: int | None = None
    wamid: str | None = None
    answered_at: int | None = None
    inbound: int | None = None
    waiting: int | None = None
    since: int | None = None

    def add(self, row: MessageRow) -> None:
        """A message that nobody knew yet; of the same second, those told later count as later."""
        at = row.at or 0
        if row.type != "reaction" and (self.at is None or at >= self.at):
            self.at, self.wamid = at, row.wamid
        if row.outgoing or not row.live or row.type in OPENS_NOTHING:
            return
        self.inbound = at if self.inbound is None else max(self.inbound, at)
        if row.type != "reaction":
            self.waiting = (self.waiting or 0) + 1
            self.since = at if self.since is None else min(self.since, at)


OPENS_NOTHING = frozenset({"system", "request_welcome"})  # the window, that is; so in ``queries.REFRESH_CHATS``


@dataclass(slots=True)
class _News:
    """Collected message by message."""

    chats: dict[tuple[int, int], Line] = field(default_factory=dict)  # those touched
    charged: dict[int, int] = field(default_factory=dict)  # number -> new live messages that use up its budget
    media: dict[tuple[int, str], MessageRow] = field(default_factory=dict)


async def spread(tx: Tx, rows: Rows, folded: Folded, came: dict[tuple[int, str], bool], now: datetime) -> None:
    """Refreshes, charges, asks and tells. ``came``: the messages that had come before this batch, and whether live."""
    news = _News()
    for number_id, body in folded.events.items():  # merged contacts
        for contact_id in body.get("chats", ()):
            news.chats[number_id, contact_id] = Line(number_id, contact_id)
    for key, row in rows.messages.items():
        came_live = came.get(key)
        _tell(row, folded, seen=came_live is True)
        if row.type is not None:
            _note(row, rows.answered.get(key), news, folded, came_live)
    _flag(rows, folded)
    if news.chats:
        await tx.send(queries.REFRESH_CHATS, (as_rows(news.chats.values()),))
    if news.charged or rows.phone_seen:
        await _charge(tx, rows, folded, news, now)
    await want(tx, news.media.values())


def _note(row: MessageRow, answered: int | None, news: _News, folded: Folded, came_live: bool | None) -> None:
    """What one message that has come leads to. ``came_live``: None if nobody knew it."""
    if row.live and not came_live:
        if not row.outgoing or folded.numbers[row.number_id].count_echoes:
            news.charged[row.number_id] = news.charged.get(row.number_id, 0) + 1
        if row.contact_id is not None:
            said = Said(row.number_id, row.contact_id, row.wamid, row.type or "", row.at or 0, row.text)
            (folded.echoed if row.outgoing else folded.received).append(said)
    if row.media_id is not None:
        news.media[row.number_id, row.media_id] = row
    if row.contact_id is not None:
        chat = (row.number_id, row.contact_id)
        line = news.chats.get(chat)
        if line is None:
            line = news.chats[chat] = Line(*chat, plain=True)
        if answered is not None:
            line.answered_at = answered if line.answered_at is None else max(line.answered_at, answered)
        if came_live is not None:
            line.plain = False
        else:
            line.add(row)


def _tell(row: MessageRow, folded: Folded, *, seen: bool) -> None:
    if row.contact_id is None:
        return
    what = _what(row, seen)
    if what == "imported":
        folded.tell(row.number_id, "chats", row.contact_id)
    else:
        folded.tell(row.number_id, "messages", [row.contact_id, row.wamid, what])


def _what(row: MessageRow, seen: bool) -> str:
    """What an event calls this change; see ``mirror.events``."""
    if row.type is None:
        if row.revoked_at is not None:
            return "revoked"
        return "edited" if row.edit_v >= 0 else "status"
    if not row.live:
        return "imported"
    if seen:
        return "changed"
    return "echoed" if row.outgoing else "received"


def _flag(rows: Rows, folded: Folded) -> None:
    """What the event says of the number as a whole, and what followers are told beside messages."""
    folded.statuses = list(rows.statuses.values())
    folded.numbers_with_notices = {number_id for number_id, *_ in rows.notices}
    for number_id in folded.numbers_with_notices:
        folded.flag(number_id, "number")
    for number_id in {number_id for number_id, *_ in rows.chunks} | rows.declined.keys():
        folded.flag(number_id, "sync")
    for person in rows.people.values():
        if person.book_v >= 0:
            folded.flag(person.number_id, "contacts")
        if person.book_v >= 0 or person.opted_v >= 0:
            folded.tell(person.number_id, "about", person.id)
    for body in folded.events.values():
        if "chats" in body:
            body["chats"] = sorted(set(body["chats"]))


async def _charge(tx: Tx, rows: Rows, folded: Folded, news: _News, now: datetime) -> None:
    """What customers write uses up the number's 20 a second (Meta: throughput), and what the phone writes where the
    owner wants it so; echoes also show that the phone is alive.
    """
    moment = microseconds(now)
    heard = []
    for number_id in sorted(news.charged.keys() | rows.phone_seen.keys()):
        before, n = folded.numbers[number_id].budget_tat, news.charged.get(number_id, 0)
        tat = budget.THROUGHPUT.charge(before, moment, n)
        folded.events.setdefault(number_id, {})  # marks travel with events
        folded.marks[number_id] = {"budget_tat": tat, "phone_seen_at": rows.phone_seen.get(number_id)}
        if n and before > moment:  # somebody has promised instants
            heard.append(pace.Charge(number_id, n, moment, tat))
    await pace.charged(tx, heard)


async def want(tx: Tx, messages: Collection[MessageRow]) -> None:
    """Files that aren't here yet are fetched by jobs."""
    if not messages:
        return
    wanted = [
        {
            "number_id": row.number_id,
            "media_id": row.media_id,
            "mime_type": (row.content or {}).get("mime_type"),
            "sha256": (row.content or {}).get("sha256"),
        }
        for row in messages
    ]
    for number_id, media_id in await tx.rows(queries.WANT_MEDIA, (as_json(wanted),)):
        await defer(tx, "mirror.download", queue="media", number_id=number_id, media_id=media_id)
