"""Any JSON from Meta -> frozen events.

Written for the protocol, not for samples: every entry, change, message and status of a body is walked; unknown
fields and types are kept; numbers may come as strings or integers; what is absent is absent. One part that can't
be understood becomes a *problem* and doesn't take its neighbours with it.

Nothing here knows a database or a clock. An event says when it happened if Meta said so, else ``at`` is None.

Sources: Meta's references of the ``messages``, ``history``, ``smb_message_echoes``, ``smb_app_state_sync``,
``user_preferences``, ``user_id_update`` and ``account_update`` webhooks; the page on business-scoped user IDs.
"""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeAlias
from zlib import crc32

import msgspec
import orjson

from twinline.rules import delivery
from twinline.rules.identity import canonical_phone, digits, same_phone

Json: TypeAlias = dict[str, Any]

# How good an account of a message is. A better one replaces a worse one, whichever came first.
STUB, PLACEHOLDER, HISTORY, CONTENT, OURS = range(5)

# Types that stand where a message should be (C3, B4): healed when the content comes.
PLACEHOLDERS = frozenset({"unsupported", "media_placeholder", "errors", "unknown"})
MEDIA = frozenset({"image", "video", "audio", "document", "sticker"})

MAX_ID = 512  # an index entry must stay far below PostgreSQL's limit
MAX_TEXT = 100_000  # longer than any client allows; the rest stays in the content
MAX_TIME = 1 << 33  # seconds; the year 2242


class Unreadable(Exception):
    """The body isn't JSON, or not an object with anything to walk. Says why."""


class Address(msgspec.Struct, frozen=True, gc=False):
    """Whom a change is about. Message-type fields name the phone number id; account-level ones only the WABA."""

    waba_id: str | None
    phone_number_id: str | None
    phone: str | None  # the business's own number, digits only


class Person(msgspec.Struct, frozen=True, gc=False):
    """Whatever a webhook said about who the other side is. Everything may be missing, not all at once."""

    phone: str | None = None
    bsuid: str | None = None
    parent_bsuid: str | None = None
    username: str | None = None
    name: str | None = None

    @property
    def known(self) -> bool:
        return self.phone is not None or self.bsuid is not None


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message in a 1:1 chat, from whichever field it came. ``rank`` says how good this account of it is."""

    address: Address
    person: Person
    wamid: str
    outgoing: bool
    live: bool
    rank: int
    at: int
    type: str
    text: str | None
    content: Json | None
    extra: Json | None
    media_id: str | None
    quoted: str | None
    delivery: int
    tie: int


class Edit(msgspec.Struct, frozen=True, gc=False):
    """A message was edited or, with ``kind`` 'revoke', deleted for everyone."""

    address: Address
    person: Person
    wamid: str
    original: str
    kind: str
    outgoing: bool
    at: int
    type: str | None
    text: str | None
    content: Json | None
    tie: int


class Status(msgspec.Struct, frozen=True, gc=False):
    """How far an outgoing message got. ``detail``: errors, pricing and the rest as Meta said it."""

    address: Address
    person: Person
    wamid: str
    status: int
    at: int
    callback_data: str | None
    detail: Json | None
    tie: int


class ContactChange(msgspec.Struct, frozen=True):
    """The phone's address book: ``full_name`` None means the entry was removed."""

    address: Address
    person: Person
    at: int
    full_name: str | None
    first_name: str | None


class PersonMoved(msgspec.Struct, frozen=True):
    """A person got a new number or a new user id; ``previous`` and ``person`` are the same human."""

    address: Address
    previous: Person
    person: Person
    at: int


class Preference(msgspec.Struct, frozen=True):
    """A person stopped or resumed marketing messages (Meta's own button)."""

    address: Address
    person: Person
    at: int
    stopped: bool


class HistoryChunk(msgspec.Struct, frozen=True):
    """One piece of the first synchronisation was delivered: the ledger's entry, not its messages."""

    address: Address
    phase: int
    chunk_order: int
    progress: int
    threads: int
    messages: int


class HistoryDeclined(msgspec.Struct, frozen=True):
    """The owner chose not to share chats: a normal outcome (2593109)."""

    address: Address
    text: str


class Notice(msgspec.Struct, frozen=True):
    """Anything else Meta says about a number or an account, kept as said."""

    address: Address
    field: str
    at: int | None
    value: Json


Event: TypeAlias = (
    Message | Edit | Status | ContactChange | PersonMoved | Preference | HistoryChunk | HistoryDeclined | Notice
)


Tell: TypeAlias = Callable[[Event], None]


class Parsed(msgspec.Struct):
    events: list[Event]
    problems: list[str]


class _Broken(Exception):
    """A part misses what it can't be understood without."""


# --- reading loosely ----------------------------------------------------------------------------------------------
# Most of what Meta may say of a message is absent, and these are called for all of it: so they look for that first.


def decode(body: bytes) -> Json:
    """The JSON object in ``body``. Raises Unreadable.

    PostgreSQL holds neither NUL nor half a surrogate pair, and Meta's escaped form can carry both, so these two
    (and only these) become U+FFFD.
    """
    try:
        found = msgspec.json.decode(body)
        # To look for one byte takes next to no time, and most bodies have none of these.
        tidy = b"\\" not in body or b"\\u0000" not in body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tidy = False
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"not JSON: {error}") from error
    if not tidy:
        try:
            found = _clean(found)
        except RecursionError as error:
            raise Unreadable("nested too deeply") from error
    if not isinstance(found, dict):
        raise Unreadable(f"a JSON {type(found).__name__} where an object was expected")
    return found


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case _:
            return value


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value or None
    if type(value) is int:
        return str(value)
    return None


def _number(value: Any) -> int | None:
    if type(value) is str:
        try:
            return int(value)
        except ValueError:
            return None
    if type(value) is int:
        return value
    return int(value) if type(value) is float and isfinite(value) else None


def _time(value: Any) -> int | None:
    """Unix seconds; milliseconds are recognised by their size."""
    seconds = _number(value)
    if seconds is None or seconds < 0:
        return None
    if seconds < MAX_TIME:
        return seconds
    return min(seconds if seconds == MAX_TIME else seconds // 1000, MAX_TIME - 1)


def _object(value: Any) -> Json:
    return value if type(value) is dict else {}


def _objects(value: Any) -> list[Json]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _phone(value: Any) -> str | None:
    if value is None:
        return None
    text = value if type(value) is str else _text(value) or ""
    found = text if text.isdigit() and text.isascii() else digits(text)
    return found if found and len(found) <= 32 else None


def _id(value: Any, what: str) -> str:
    text = value if type(value) is str else _text(value)
    if not text:
        raise _Broken(f"{what} is missing")
    if len(text) > MAX_ID:
        raise _Broken(f"{what} is longer than {MAX_ID} characters")
    return text


def _optional_id(value: Any) -> str | None:
    if value is None:
        return None
    text = value if type(value) is str else _text(value)
    return text if text and len(text) <= MAX_ID else None


def _username(value: Any) -> str | None:
    if value is None:
        return None
    text = _text(value)
    return text.lstrip("@") or None if text else None


def _tie(*parts: Any) -> int:
    """Decides between two accounts that are equally good and equally old, the same way everywhere."""
    try:
        return crc32(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))
    except TypeError:  # an integer above 64 bits, or more nesting than orjson goes down
        return crc32(msgspec.json.encode(parts, order="sorted"))


# --- people -------------------------------------------------------------------------------------------------------


def _person(source: Json, phone: str | None = None) -> Person:
    """From a member of ``contacts[]`` or a thread's ``context``, which may leave it to the thread to say the phone."""
    profile = _object(source.get("profile"))
    return Person(
        _phone(source.get("wa_id")) or phone,
        _optional_id(source.get("user_id")),
        _optional_id(source.get("parent_user_id")),
        _username(source.get("username") or profile.get("username")),
        _text(profile.get("name")),
    )


def _completed(known: Person, phone: str | None, bsuid: str | None, parent: str | None) -> Person:
    """What a message says of somebody, and for the rest what is known of them."""
    return Person(
        phone or known.phone, bsuid or known.bsuid, parent or known.parent_bsuid, known.username, known.name
    )  # fmt: skip


class _People(msgspec.Struct):
    """The ``contacts[]`` of a value, found by phone or user id."""

    by_id: dict[str, Person]

    def find(self, phone: str | None, bsuid: str | None, parent: str | None = None) -> Person:
        known = self.by_id.get(bsuid or "") or self.by_id.get(canonical_phone(phone) if phone else "")
        if known is None:
            return Person(phone, bsuid, parent)
        if phone in (None, known.phone) and bsuid in (None, known.bsuid) and parent in (None, known.parent_bsuid):
            return known
        return _completed(known, phone, bsuid, parent)


def _people(value: Json) -> _People:
    by_id: dict[str, Person] = {}
    for source in _objects(value.get("contacts")):
        person = _person(source)
        if person.bsuid is not None:
            by_id[person.bsuid] = person
        if person.phone is not None:
            by_id[canonical_phone(person.phone)] = person
    return _People(by_id)


class _Thread(msgspec.Struct):
    """Who is spoken with in a thread of the history: what its messages leave out of them, the thread says."""

    other: Person

    def find(self, phone: str | None, bsuid: str | None, parent: str | None = None) -> Person:
        other = self.other
        if (phone is None or phone == other.phone) and bsuid is None and parent is None:
            return other
        return _completed(other, phone, bsuid, parent)


# --- what a message says ------------------------------------------------------------------------------------------


def _reply_title(interactive: Json) -> str | None:
    kind = _text(interactive.get("type")) or ""
    reply = _object(interactive.get(kind))
    return _text(reply.get("title")) or _text(reply.get("body")) or _text(reply.get("response"))


def _card_names(cards: Any) -> str | None:
    names = [
        _text(_object(card.get("name")).get("formatted_name"))
        or _text((_objects(card.get("phones")) or [{}])[0].get("phone"))
        for card in _objects(cards)
    ]
    return ", ".join(name for name in names if name) or None


def _member(key: str) -> Callable[[Any], str | None]:
    return lambda body: _text(body.get(key)) if type(body) is dict else None


# What of each type is text to read and to search. Types that aren't listed have none.
TEXT_OF: dict[str, Callable[[Any], str | None]] = {
    "text": _member("body"),
    "image": _member("caption"),
    "video": _member("caption"),
    "document": _member("caption"),
    "button": _member("text"),
    "interactive": lambda body: _reply_title(_object(body)),
    "location": lambda body: _text(_object(body).get("name")) or _text(_object(body).get("address")),
    "contacts": _card_names,
    "reaction": _member("emoji"),
    "system": _member("body"),
    "order": _member("text"),
}

# What the content leaves out. The text is kept beside it; and a media object's ``url`` is signed anew for every
# delivery, so it isn't part of what the message says. The one of a location is.
VOLATILE = frozenset({"url"})
LEFT_OUT: dict[str, frozenset[str]] = {
    "text": VOLATILE | {"body"},
    "image": VOLATILE | {"caption"},
    "video": VOLATILE | {"caption"},
    "document": VOLATILE | {"caption"},
    "location": frozenset(),
}
CONTEXT_MARKS = ("forwarded", "frequently_forwarded", "referred_product")


def _body(source: Json) -> tuple[str, str | None, Json | None, str | None]:
    """Type, text, content and media id of a message or of the new message inside an edit."""
    kind = (_text(source.get("type")) or "unknown")[:64]
    said = source.get(kind)
    if said is None:
        return kind, None, None, None
    media_id = None
    content: Json | None = None
    if type(said) is dict:
        left_out = LEFT_OUT.get(kind, VOLATILE)
        if not said.keys() <= left_out:
            content = {key: item for key, item in said.items() if key not in left_out}
        if kind in MEDIA:
            media_id = _optional_id(said.get("id"))
    else:
        content = {"items": said}
    read = TEXT_OF.get(kind)
    text = read(said) if read else None
    if text is not None and len(text) > MAX_TEXT:
        content, text = {**(content or {}), "body": text}, text[:MAX_TEXT]
    return kind, text, content, media_id


def _around(message: Json) -> tuple[str | None, Json | None]:
    """The id of the message that this one answers, and what else stands beside its body, as said."""
    quoted, extra = None, {}
    context = message.get("context")
    if type(context) is dict:
        quoted = _optional_id(context.get("id"))
        extra = {mark: context[mark] for mark in CONTEXT_MARKS if mark in context}
    for key in ("referral", "errors"):
        if key in message:
            extra[key] = message[key]
    return quoted, extra or None


class _Source(msgspec.Struct):
    """What all parts of one array have in common."""

    address: Address
    people: _People | _Thread
    live: bool = True
    rank: int = CONTENT


def _is_outgoing(message: Json, sender: str | None, source: _Source) -> bool:
    if sender is None:
        # In a thread both sides speak, and only customers go without a phone.
        return source.rank == HISTORY and not _text(message.get("from_user_id"))
    business = source.address.phone
    return business is not None and same_phone(sender, business)


def _message(message: Json, source: _Source, tell: Tell, echo: bool = False) -> None:
    """``echo``: the business wrote it, whoever it says it is from."""
    wamid = _id(message.get("id"), "a message's id")
    at = _time(message.get("timestamp")) or 0
    kind = message.get("type")
    if message.get("group_id") is not None:
        # Groups are not part of coexistence (Meta: Groups API); should one come, it is kept and shown, not mixed in.
        tell(Notice(source.address, "group_message", at, message))
        return
    sender = _phone(message.get("from"))
    outgoing = echo or _is_outgoing(message, sender, source)
    if outgoing:
        phone, bsuid, parent = _phone(message.get("to")), message.get("to_user_id"), message.get("to_parent_user_id")
    else:
        phone, bsuid, parent = sender, message.get("from_user_id"), message.get("from_parent_user_id")
    person = source.people.find(phone, _optional_id(bsuid), _optional_id(parent))
    if kind in ("edit", "revoke"):
        tell(_edit(message, kind, wamid, at, outgoing, person, source.address))
        return
    # Only a media follow-up may leave that out: its placeholder says it (Meta: history webhook, ``to``).
    if not person.known and (source.live or source.rank != CONTENT):
        raise _Broken(f"message {wamid} doesn't say who the other side is")
    kind, text, content, media_id = _body(message)
    quoted, extra = _around(message)
    if kind == "reaction":
        quoted = _optional_id((content or {}).get("message_id"))
    status = _object(message.get("history_context")).get("status") if outgoing else None
    tell(
        Message(
            source.address, person, wamid, outgoing, source.live,
            PLACEHOLDER if kind in PLACEHOLDERS else source.rank, at, kind, text, content, extra, media_id, quoted,
            delivery.parse(status) if status else 0, _tie(kind, text, content, extra, quoted),
        )
    )  # fmt: skip
    if kind == "system" and content:
        moved = Person(
            _phone(content.get("wa_id") or content.get("new_wa_id")),
            _optional_id(content.get("user_id")),
            _optional_id(content.get("parent_user_id")),
        )
        if moved.known and person.known:
            tell(PersonMoved(source.address, person, moved, at))


def _echo(message: Json, source: _Source, tell: Tell) -> None:
    _message(message, source, tell, echo=True)


def _edit(message: Json, kind: str, wamid: str, at: int, outgoing: bool, person: Person, address: Address) -> Edit:
    said = _object(message.get(kind))
    original = _id(said.get("original_message_id"), f"the original of {kind} {wamid}")
    if kind == "revoke":
        return Edit(address, person, wamid, original, kind, outgoing, at, None, None, None, _tie(wamid, original))
    new, text, content, _ = _body(_object(said.get("message")))
    tie = _tie(wamid, original, new, text, content)
    return Edit(address, person, wamid, original, kind, outgoing, at, new, text, content, tie)


# --- fields -------------------------------------------------------------------------------------------------------


class _Walk(msgspec.Struct):
    """Collects the events of one body and the problems met on the way."""

    events: list[Event]
    problems: list[str]

    def each(self, parts: Any, read: Callable[[Json, _Source, Tell], None], source: _Source) -> None:
        """Reads the members of an array. What ``read`` tells before a part turns out to be broken stays told."""
        if parts is None:
            return
        if type(parts) is not list:
            self.problems.append(f"a list was expected, not {type(parts).__name__}")
            return
        tell = self.events.append
        for part in parts:
            try:
                if type(part) is not dict:
                    raise _Broken(f"an object was expected, not {type(part).__name__}")
                read(part, source, tell)
            # Values of a shape nobody foresaw must not take their neighbours along.
            except (
                _Broken,
                TypeError,
                ArithmeticError,
                ValueError,
                AttributeError,
                LookupError,
                RecursionError,
            ) as error:
                self.problems.append(str(error) or type(error).__name__)

    # Each reader of a field takes (source, value).

    def messages(self, source: _Source, value: Json) -> None:
        self.each(value.get("messages"), _message, source)
        self.each(value.get("message_echoes"), _echo, source)
        self.each(value.get("statuses"), _status, source)
        if value.get("errors"):
            self.events.append(Notice(source.address, "errors", None, {"errors": value["errors"]}))

    def history(self, source: _Source, value: Json) -> None:
        past = _Source(source.address, source.people, live=False)
        self.each(value.get("messages"), _message, past)
        self.each(value.get("message_echoes"), _echo, past)
        self.each(value.get("history"), self._chunk, past)
        self.each(value.get("errors"), _declined, past)

    def _chunk(self, part: Json, source: _Source, tell: Tell) -> None:
        self.each(part.get("errors"), _declined, source)
        if "metadata" not in part and "threads" not in part:
            return
        threads = _objects(part.get("threads"))
        total = 0
        for thread in threads:
            other = _person(_object(thread.get("context")), _phone(thread.get("id")))
            messages = thread.get("messages")
            self.each(messages, _message, _Source(source.address, _Thread(other), live=False, rank=HISTORY))
            total += len(_objects(messages))
        meta = _object(part.get("metadata"))
        tell(
            HistoryChunk(
                source.address,
                phase=max(-1, min(_number(meta.get("phase")) or 0, 1000)),
                chunk_order=max(0, min(_number(meta.get("chunk_order")) or 0, 1 << 30)),
                progress=max(0, min(_number(meta.get("progress")) or 0, 100)),
                threads=len(threads),
                messages=total,
            )
        )

    def contacts(self, source: _Source, value: Json) -> None:
        self.each(value.get("state_sync"), _contact, source)

    def preferences(self, source: _Source, value: Json) -> None:
        self.each(value.get("user_preferences"), _preference, source)

    def calls(self, source: _Source, value: Json) -> None:
        self.each(value.get("calls"), _call, source)
        if value.get("statuses"):
            self.events.append(Notice(source.address, "calls", None, {"statuses": value["statuses"]}))

    def user_ids(self, source: _Source, value: Json) -> None:
        self.each(value.get("user_id_update"), _moved, source)


def _declined(error: Json, source: _Source, tell: Tell) -> None:
    text = _text(_object(error.get("error_data")).get("details")) or _text(error.get("message")) or ""
    if _number(error.get("code")) == 2593109:
        tell(HistoryDeclined(source.address, text))
    else:
        tell(Notice(source.address, "errors", None, {"errors": [error]}))


def _status(status: Json, source: _Source, tell: Tell) -> None:
    address = source.address
    wamid = _id(status.get("id"), "a status's message id")
    at = _time(status.get("timestamp")) or 0
    if status.get("recipient_type") == "group":
        tell(Notice(address, "group_status", at, status))
        return
    person = source.people.find(
        _phone(status.get("recipient_id")),
        _optional_id(status.get("recipient_user_id")),
        _optional_id(status.get("recipient_parent_user_id") or status.get("parent_recipient_user_id")),
    )
    step = delivery.parse(_text(status.get("status")) or "")
    if not step:
        tell(Notice(address, "status", at, status))
        return
    detail: Json | None = {key: status[key] for key in ("errors", "pricing", "conversation") if key in status} or None
    callback = _optional_id(status.get("biz_opaque_callback_data"))
    tell(Status(address, person, wamid, int(step), at, callback, detail, _tie(detail)))


def error_code(detail: Json | None) -> int | None:
    """The code of a failed status, from its ``detail``; None where Meta gave none that is one."""
    code = _number((_objects((detail or {}).get("errors")) or [{}])[0].get("code"))
    return code if code is not None and 0 <= code < 1 << 31 else None


def _call(call: Json, source: _Source, tell: Tell) -> None:
    """A call is kept as said; one that a customer made is also a message of its chat, since it opens the window.

    Meta tells of its beginning (``connect``) and its end under one id. It counts from the beginning, so the end only
    stands in where that doesn't come; who calls is said by ``direction``, or follows from ``from``.
    """
    address = source.address
    at = _time(call.get("timestamp")) or 0
    tell(Notice(address, "calls", at, call))
    caller, wacid = _phone(call.get("from")), _optional_id(call.get("id"))
    ours = caller is not None and address.phone is not None and same_phone(caller, address.phone)
    direction = (_text(call.get("direction")) or "").upper()
    person = source.people.find(
        caller, _optional_id(call.get("from_user_id")), _optional_id(call.get("from_parent_user_id"))
    )
    if wacid is None or ours or not person.known or direction not in ("USER_INITIATED", ""):
        return
    begins = call.get("event") == "connect"
    began = at if begins else _time(call.get("start_time")) or at
    rank = CONTENT if begins else PLACEHOLDER
    tell(
        Message(address, person, wacid, False, True, rank, began, "call", None, None, None, None, None, 0, _tie(wacid))
    )


def _contact(entry: Json, source: _Source, tell: Tell) -> None:
    contact = _object(entry.get("contact"))
    at = _time(_object(entry.get("metadata")).get("timestamp")) or 0
    person = Person(
        phone=_phone(contact.get("phone_number")),
        bsuid=_optional_id(contact.get("user_id")),
        parent_bsuid=_optional_id(contact.get("parent_user_id")),
        username=_username(contact.get("username")),
    )
    action = (_text(entry.get("action")) or "").lower()
    if entry.get("type") not in (None, "contact") or action not in ("add", "edit", "remove"):
        tell(Notice(source.address, "smb_app_state_sync", at, entry))
        return
    if not person.known:
        raise _Broken("an address-book entry has neither phone number nor user id")
    name = _text(contact.get("full_name")) or _text(contact.get("first_name"))
    if action == "remove":
        tell(ContactChange(source.address, person, at, None, None))
    else:
        tell(ContactChange(source.address, person, at, name or "", _text(contact.get("first_name"))))


def _preference(entry: Json, source: _Source, tell: Tell) -> None:
    person = source.people.find(_phone(entry.get("wa_id")), _optional_id(entry.get("user_id")))
    value = (_text(entry.get("value")) or "").lower()
    at = _time(entry.get("timestamp")) or 0
    if value not in ("stop", "resume") or not person.known:
        tell(Notice(source.address, "user_preferences", at, entry))
        return
    tell(Preference(source.address, person, at, stopped=value == "stop"))


def _moved(entry: Json, source: _Source, tell: Tell) -> None:
    ids, parents = _object(entry.get("user_id")), _object(entry.get("parent_user_id"))
    phone = _phone(entry.get("wa_id"))
    previous = Person(bsuid=_id(ids.get("previous"), "the previous user id"))
    current = source.people.find(
        phone, _id(ids.get("current"), "the current user id"), _optional_id(parents.get("current"))
    )
    tell(PersonMoved(source.address, previous, current, _time(entry.get("timestamp")) or 0))


Reader: TypeAlias = Callable[[_Walk, _Source, Json], None]

READERS: dict[str, Reader] = {
    "messages": _Walk.messages,
    "smb_message_echoes": _Walk.messages,
    "message_echoes": _Walk.messages,
    "history": _Walk.history,
    "smb_app_state_sync": _Walk.contacts,
    "user_preferences": _Walk.preferences,
    "user_id_update": _Walk.user_ids,
    "calls": _Walk.calls,
}

# What every value of a message-type field has; the rest is what it says.
ENVELOPE = frozenset({"messaging_product", "metadata", "contacts"})

# Meta's own samples put ``field`` at the wrong level, or nowhere: then the value itself tells.
TELLTALES = (
    ("history", "history"),
    ("state_sync", "smb_app_state_sync"),
    ("message_echoes", "smb_message_echoes"),
    ("messages", "messages"),
    ("statuses", "messages"),
    ("user_preferences", "user_preferences"),
    ("user_id_update", "user_id_update"),
    ("calls", "calls"),
    ("event", "account_update"),
)


def _field(value: Json, *candidates: Any) -> str:
    for candidate in candidates:
        if type(candidate) is str and candidate:
            return candidate[:64]
    return next((field for mark, field in TELLTALES if mark in value), "unknown")


def _address(value: Json, entry_id: Any) -> Address:
    meta = _object(value.get("metadata"))
    waba = _object(value.get("waba_info"))
    phone_number_id = _optional_id(meta.get("phone_number_id"))
    if value.get("entity_type") == "PHONE_NUMBER":
        phone_number_id = _optional_id(value.get("entity_id"))
    return Address(
        # In PARTNER_… events entry.id is the partner's portfolio; the customer's WABA stands in waba_info.
        waba_id=_optional_id(waba.get("waba_id")) or _optional_id(entry_id),
        phone_number_id=phone_number_id,
        phone=_phone(
            meta.get("display_phone_number") or value.get("display_phone_number") or value.get("phone_number")
        ),
    )


def parse(body: bytes) -> Parsed:
    """Every event in a webhook body, in the order they stand. Raises Unreadable when there is nothing to walk."""
    root = decode(body)
    walk = _Walk([], [])
    entries = root.get("entry")
    if entries is None and "messaging_product" in root:
        entries = [{"changes": [{"value": root}]}]  # the bare value, as Meta prints declined history
    if type(entries) is not list:
        raise Unreadable("no entry list: not a webhook of a WhatsApp Business account")
    for entry in entries:
        changes = entry.get("changes") if type(entry) is dict else None
        if type(changes) is not list:
            walk.problems.append("an entry without changes")
            continue
        for change in changes:
            value = change.get("value") if type(change) is dict else None
            if type(value) is not dict:
                walk.problems.append("a change without a value")
                continue
            field = _field(value, change.get("field"), entry.get("field"), root.get("field"))
            address = _address(value, entry.get("id"))
            reader = READERS.get(field)
            before = len(walk.events) + len(walk.problems)
            if reader is not None:
                reader(walk, _Source(address, _people(value)), value)
            # Also of a field we read, what holds nothing we know is kept as said.
            silent = len(walk.events) + len(walk.problems) == before
            if reader is None or (silent and any(value[part] for part in value.keys() - ENVELOPE)):
                at = _time(entry.get("time")) or _time(value.get("timestamp"))
                walk.events.append(Notice(address, field, at, value))
    return Parsed(walk.events, walk.problems)
