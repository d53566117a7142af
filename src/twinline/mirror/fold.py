"""Events -> rows. The arithmetic of the mirror, without a database.

Everything the mirror keeps is built from *registers* that can be joined in any order and any number of times:

* a **versioned** register keeps the account with the higher version. A version packs, from the left, how good the
  account is, when it was made, and a tie-break made from the content itself, so two platforms that heard the same
  things in a different order agree to the byte;
* a **lattice** register keeps the greater value (delivery, live) or the lesser (revoked_at).

A row here holds what one batch knows. ``absorb`` joins two rows of one key; the upserts in ``mirror.queries`` do the
same join against what the database knew. That both do the same is a law under test (``tests/laws``): if they
differed, batching would matter.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from zlib import crc32

import msgspec

from twinline.kit.clock import microseconds
from twinline.meta import webhooks as wire
from twinline.rules.identity import phone_key, user_key

Keys: TypeAlias = tuple[str, ...]
T = TypeVar("T")

_TIE = (1 << 27) - 1
_TIE30 = (1 << 30) - 1


def version(rank: int, at: int, tie: int) -> int:
    """63 bits: rank (3), unix seconds (33), tie-break (27)."""
    return rank << 60 | at << 27 | tie & _TIE


def register_version(at: int, *values: str | None) -> int:
    """63 bits: unix seconds (33), tie-break (30) made from all values that the version governs."""
    if len(values) == 1 and values[0] is not None:
        return at << 30 | crc32(values[0].encode()) & _TIE30
    return at << 30 | crc32(msgspec.json.encode(values)) & _TIE30


# Rows hold nothing that could hold them, so the collector of cycles needn't look at them (``gc=False``).


class MessageRow(msgspec.Struct, omit_defaults=True, gc=False):
    """What a batch knows of one message. The columns are those of the table ``messages``; times are unix seconds."""

    number_id: int
    wamid: str
    outgoing: bool
    contact_id: int | None = None
    heard: int = 0
    live: bool = False
    version: int = -1
    at: int | None = None
    type: str | None = None
    text: str | None = None
    content: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    media_id: str | None = None
    quoted: str | None = None
    author: str | None = None
    author_id: int | None = None
    delivery: int = 0
    edit_v: int = -1
    edit_text: str | None = None
    edit_content: dict[str, Any] | None = None
    revoked_at: int | None = None

    def absorb(self, other: "MessageRow") -> None:
        if other.version > self.version:
            self.version = other.version
            for field in SAID:
                setattr(self, field, getattr(other, field))
        if other.edit_v > self.edit_v:
            self.edit_v, self.edit_text, self.edit_content = other.edit_v, other.edit_text, other.edit_content
        self.live |= other.live
        self.delivery = max(self.delivery, other.delivery)
        if other.revoked_at is not None:
            mine = self.revoked_at
            self.revoked_at = other.revoked_at if mine is None else min(mine, other.revoked_at)


# What the version of a message governs.
SAID = ("at", "type", "text", "content", "extra", "media_id", "quoted", "author", "author_id")


class ContactRow(msgspec.Struct, omit_defaults=True, gc=False):
    """What a batch knows of one person. The columns are those of the table ``contacts``."""

    number_id: int
    id: int = 0
    phone: str | None = None
    phone_v: int = -1
    bsuid: str | None = None
    bsuid_v: int = -1
    parent_bsuid: str | None = None
    parent_v: int = -1
    username: str | None = None
    username_v: int = -1
    profile_name: str | None = None
    profile_v: int = -1
    book_name: str | None = None
    book_first: str | None = None
    book_v: int = -1
    opted_out: bool = False
    opted_v: int = -1

    def absorb(self, other: "ContactRow") -> None:
        for governor, fields in CONTACT_REGISTERS:
            if getattr(other, governor) > getattr(self, governor):
                setattr(self, governor, getattr(other, governor))
                for field in fields:
                    setattr(self, field, getattr(other, field))

    def saw(self, person: wire.Person, at: int) -> None:
        """A webhook named the person so at that time. What it left out says nothing."""
        # No tie-break lifts an older account above what is known, so most needn't have theirs made. The others are
        # ``register_version`` of one value, written out: this is done for everybody in every message.
        latest = at << 30 | _TIE30
        for value, field, governor in (
            (person.phone, "phone", "phone_v"),
            (person.bsuid, "bsuid", "bsuid_v"),
            (person.parent_bsuid, "parent_bsuid", "parent_v"),
            (person.username, "username", "username_v"),
            (person.name, "profile_name", "profile_v"),
        ):
            if value is not None and latest > (known := getattr(self, governor)):
                seen = at << 30 | crc32(value.encode()) & _TIE30
                if seen > known:
                    setattr(self, field, value)
                    setattr(self, governor, seen)


CONTACT_REGISTERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("phone_v", ("phone",)),
    ("bsuid_v", ("bsuid",)),
    ("parent_v", ("parent_bsuid",)),
    ("username_v", ("username",)),
    ("profile_v", ("profile_name",)),
    ("book_v", ("book_name", "book_first")),
    ("opted_v", ("opted_out",)),
)


class StatusRow(msgspec.Struct, omit_defaults=True, gc=False):
    number_id: int
    wamid: str
    status: int
    version: int
    at: int
    detail: dict[str, Any] | None = None
    callback_data: str | None = None


class EditRow(msgspec.Struct, omit_defaults=True, gc=False):
    number_id: int
    wamid: str
    original: str
    kind: str
    outgoing: bool
    version: int
    at: int
    type: str | None = None
    text: str | None = None
    content: dict[str, Any] | None = None


class NoticeRow(msgspec.Struct, omit_defaults=True, gc=False):
    number_id: int
    field: str
    at: int
    tie: int
    value: dict[str, Any]


class ChunkRow(msgspec.Struct, gc=False):
    number_id: int
    phase: int
    chunk_order: int
    progress: int
    threads: int
    messages: int


def keys_of(person: wire.Person) -> Keys:
    """The keys under which a person is known: phone, user id, or both."""
    if person.bsuid is None:
        return (phone_key(person.phone),) if person.phone is not None else ()
    if person.phone is None:
        return (user_key(person.bsuid),)
    return (phone_key(person.phone), user_key(person.bsuid))


class Rows:
    """What a batch of events comes to, per table, each key once."""

    def __init__(self) -> None:
        self.people: dict[tuple[int, Keys], ContactRow] = {}
        self.messages: dict[tuple[int, str], MessageRow] = {}
        self.of: dict[tuple[int, str], list[Keys]] = {}  # whose chat a message is in, as the events said
        self.phone_seen: dict[int, int] = {}  # the phone's newest sign of life
        self.answered: dict[tuple[int, str], int] = {}  # when a message from the phone was, as its live accounts said
        self.statuses: dict[tuple[int, str, int], StatusRow] = {}
        self.edits: dict[tuple[int, str], EditRow] = {}
        self.notices: dict[tuple[int, str, int, int], NoticeRow] = {}
        self.chunks: dict[tuple[int, int, int], ChunkRow] = {}
        self.declined: dict[int, str] = {}

    def number(self, now: datetime) -> None:
        """Meta stamps whole seconds; within one, the order in which we heard is the best there is."""
        for position, row in enumerate(self.messages.values(), start=microseconds(now)):
            row.heard = position

    def add(self, number_id: int, event: wire.Event, received: int) -> None:
        """``received`` (unix seconds) stands in where Meta gave no time."""
        _ADD[type(event)](self, number_id, event, received)

    def _person(self, number_id: int, person: wire.Person, at: int | None) -> Keys:
        """Notes that the person was seen; ``at`` None: only that they exist."""
        keys = keys_of(person)
        if keys:
            key = (number_id, keys)
            row = self.people.get(key)
            if row is None:
                row = self.people[key] = ContactRow(number_id)
            if at is not None:
                row.saw(person, at)
        return keys

    def _message(self, row: MessageRow, keys: Keys) -> None:
        key = (row.number_id, row.wamid)
        known = self.messages.get(key)
        if known is None:
            self.messages[key] = row
        else:
            known.absorb(row)
        if keys:
            self.of.setdefault(key, []).append(keys)

    def _saw_message(self, number_id: int, event: wire.Message, received: int) -> None:
        # A system message tells of a move: what it calls the sender is already past.
        keys = self._person(number_id, event.person, None if event.type == "system" else event.at)
        row = MessageRow(
            number_id, event.wamid, event.outgoing, None, 0, event.live, version(event.rank, event.at, event.tie),
            event.at, event.type, event.text, event.content, event.extra, event.media_id, event.quoted,
            "phone" if event.outgoing else "customer", None, event.delivery,
        )  # fmt: skip
        self._message(row, keys)
        if event.live and event.outgoing:
            self.phone_seen[number_id] = max(self.phone_seen.get(number_id, 0), event.at)
            if event.type != "reaction":
                key = (number_id, event.wamid)
                self.answered[key] = max(self.answered.get(key, 0), event.at)

    def _saw_edit(self, number_id: int, event: wire.Edit, received: int) -> None:
        keys = self._person(number_id, event.person, event.at)
        told = event.at << 30 | event.tie & _TIE30
        edit = EditRow(
            number_id, event.wamid, event.original, event.kind, event.outgoing, told, event.at,
            event.type, event.text, event.content,
        )  # fmt: skip
        # History may tell of the same event with a later time (when a device got it); the first telling stays.
        known = self.edits.get((number_id, event.wamid))
        if known is None or edit.version < known.version:
            self.edits[number_id, event.wamid] = edit
        row = MessageRow(number_id, event.original, event.outgoing)
        if event.kind == "revoke":
            row.revoked_at = event.at
        else:
            row.edit_v = told
            row.edit_text, row.edit_content = event.text, event.content
        self._message(row, keys)

    def _saw_status(self, number_id: int, event: wire.Status, received: int) -> None:
        keys = self._person(number_id, event.person, event.at)
        key = (number_id, event.wamid, event.status)
        row = StatusRow(
            number_id, event.wamid, event.status, event.at << 30 | event.tie & _TIE30, event.at,
            event.detail, event.callback_data,
        )  # fmt: skip
        known = self.statuses.get(key)
        if known is None or row.version < known.version:
            self.statuses[key] = row
        self._message(MessageRow(number_id, event.wamid, True, delivery=event.status), keys)

    def _saw_contact(self, number_id: int, event: wire.ContactChange, received: int) -> None:
        # An address book may still hold a number its owner gave up: it names, but doesn't outrank a message.
        keys = self._person(number_id, event.person, 0)
        change = ContactRow(number_id)
        change.book_name, change.book_first = event.full_name, event.first_name
        change.book_v = register_version(event.at, event.full_name, event.first_name)
        self.people[number_id, keys].absorb(change)

    def _saw_move(self, number_id: int, event: wire.PersonMoved, received: int) -> None:
        keys = tuple(dict.fromkeys(keys_of(event.previous) + keys_of(event.person)))
        row = self.people.setdefault((number_id, keys), ContactRow(number_id))
        row.saw(event.person, event.at)

    def _saw_preference(self, number_id: int, event: wire.Preference, received: int) -> None:
        keys = self._person(number_id, event.person, event.at)
        change = ContactRow(number_id, opted_out=event.stopped, opted_v=event.at << 30 | event.stopped)
        self.people[number_id, keys].absorb(change)

    def _saw_chunk(self, number_id: int, event: wire.HistoryChunk, received: int) -> None:
        key = (number_id, event.phase, event.chunk_order)
        known = self.chunks.get(key)
        if known is None:
            known = self.chunks[key] = ChunkRow(number_id, event.phase, event.chunk_order, 0, 0, 0)
        known.progress = max(known.progress, event.progress)
        known.threads = max(known.threads, event.threads)
        known.messages = max(known.messages, event.messages)

    def _saw_declined(self, number_id: int, event: wire.HistoryDeclined, received: int) -> None:
        self.declined[number_id] = event.text

    def _saw_notice(self, number_id: int, event: wire.Notice, received: int) -> None:
        at = received if event.at is None else event.at
        tie = crc32(msgspec.json.encode(event.value, order="sorted"))
        self.notices[number_id, event.field, at, tie] = NoticeRow(number_id, event.field, at, tie, event.value)


_ADD: dict[type, Any] = {
    wire.Message: Rows._saw_message,
    wire.Edit: Rows._saw_edit,
    wire.Status: Rows._saw_status,
    wire.ContactChange: Rows._saw_contact,
    wire.PersonMoved: Rows._saw_move,
    wire.Preference: Rows._saw_preference,
    wire.HistoryChunk: Rows._saw_chunk,
    wire.HistoryDeclined: Rows._saw_declined,
    wire.Notice: Rows._saw_notice,
}


def contacts_of(rows: Rows) -> dict[tuple[int, int], ContactRow]:
    """The people of a batch by contact, each once, in the order of keys; everybody has got an id by then."""
    contacts: dict[tuple[int, int], ContactRow] = {}
    for person in sorted(rows.people.values(), key=lambda row: (row.number_id, row.id)):
        known = contacts.setdefault((person.number_id, person.id), person)
        if known is not person:
            known.absorb(person)
    return contacts


def as_rows(rows: Iterable[msgspec.Struct]) -> str:
    """Rows as the JSON that the upserts take."""
    return msgspec.json.encode(list(rows)).decode()


class People:
    """Who is who in a batch: groups of keys that belong to one person, and the contacts they already are.

    A union-find over keys. A webhook that names both phone and user id joins the two; so does a message that was
    said to be in the chats of both, for a message has one chat.
    """

    def __init__(self) -> None:
        self._parent: dict[tuple[int, str], tuple[int, str]] = {}

    def _root(self, key: tuple[int, str]) -> tuple[int, str]:
        parent = self._parent.setdefault(key, key)
        while parent != key:
            grand = self._parent[parent]
            self._parent[key] = grand
            key, parent = parent, grand
        return key

    def join(self, number_id: int, keys: Keys) -> None:
        first = self._root((number_id, keys[0]))
        for key in keys[1:]:
            other = self._root((number_id, key))
            if other != first:
                first, other = sorted((first, other))
                self._parent[other] = first

    def groups(self) -> dict[tuple[int, str], list[str]]:
        """The keys of each person, by the person's root."""
        found: dict[tuple[int, str], list[str]] = {}
        for key in self._parent:
            found.setdefault(self._root(key), []).append(key[1])
        return found

    def root(self, number_id: int, key: str) -> tuple[int, str]:
        return self._root((number_id, key))
