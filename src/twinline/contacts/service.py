"""What others may ask of contacts, and every change to what is known of them.

**Marketing.** ``consent`` is the one question that decides whether somebody may be sent marketing; ``sending`` asks it
when such a message is written and once more when it is its turn. What was said is kept under every key by which the
person is known (phone, user id), so it follows them through merges and holds at every number of the organisation.
Words are only ever added, and the newest counts (``rules.consent``): neither the order in which webhooks come nor their
repetition matters.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from zlib import crc32

from twinline.accounts import service as accounts
from twinline.contacts import conditions, queries
from twinline.contacts.models import Confirmation, Contact, ContactError, Field, Known, NotThere, Segment, Topic
from twinline.db import Tx, as_json
from twinline.mirror import events, turn
from twinline.mirror import service as mirror
from twinline.mirror.models import Folded, Said
from twinline.rules import consent as rules
from twinline.rules import keywords
from twinline.rules.consent import FREE, Consent, Word
from twinline.rules.identity import digits, is_address, is_user_id, phone_key, user_key
from twinline.rules.keywords import Match, Words

SPOKEN: Final = frozenset({"text", "button", "interactive"})  # types in which a customer can say a keyword
HUES: Final = 8
LONGEST_TAG: Final = 40
LONGEST_VALUE: Final = 500
LONGEST_NAME: Final = 200
LONGEST_DETAIL: Final = 200
MOST_TAGS: Final = 30
MOST_FIELDS: Final = 60
FIELD_KINDS: Final = ("text", "number", "date")

_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


# --- may they be sent marketing? ------------------------------------------------------------------------------------


async def consent(tx: Tx, number_id: int, contact_id: int, topic: str = "") -> Consent:
    """Whether the contact may be sent marketing about the topic; "" is marketing as a whole."""
    return (await consents(tx, number_id, [contact_id], topic)).get(contact_id, FREE)


async def consents(tx: Tx, number_id: int, contact_ids: Iterable[int], topic: str = "") -> dict[int, Consent]:
    """Of many at once, by contact."""
    said = await _said(tx, queries.CONSENTS, number_id, topic, ids=sorted(set(contact_ids)))
    return {contact_id: rules.decide(one) for contact_id, one in said.items()}


async def consents_of(tx: Tx, number_id: int, keys: Iterable[str], topic: str = "") -> dict[str, Consent]:
    """Of people named by ``rules.identity``'s keys, whether they are contacts yet or not."""
    said = await _said(tx, queries.CONSENTS_OF_KEYS, number_id, topic, keys=sorted(set(keys)))
    return {key: rules.decide(one) for key, one in said.items()}


async def _said(tx: Tx, sql: str, number_id: int, topic: str, **who: Any) -> dict[Any, rules.Said]:
    organisation = await queries.organisation_of(tx, number_id)
    named = {"organisation": organisation, "number": number_id, "topic": topic, **who}
    return {
        name: rules.Said(meta, suppressed, _word(*everything), _word(*about), needs_opt_in)
        for name, meta, suppressed, *words, needs_opt_in in await tx.rows(sql, named)
        for everything, about in [(words[:3], words[3:])]
    }


def _word(granted: bool | None, at: datetime | None, source: str | None) -> Word | None:
    return None if granted is None or at is None else Word(granted, at, source or "")


async def say(
    tx: Tx,
    number_id: int,
    contact_id: int,
    granted: bool,
    now: datetime,
    *,
    topic: str = "",
    source: str,
    detail: str = "",
    at: datetime | None = None,
    user_id: int | None = None,
) -> Consent:
    """Records that the contact wants marketing or doesn't, since ``at``; answers how things stand then.

    ``source`` says by which way (person, api, command …), ``detail`` what proves it. Raises NotThere.
    """
    organisation = await _turn(tx, number_id)
    keys = (await queries.keys_of(tx, number_id, [contact_id])).get(contact_id)
    if not keys:
        raise NotThere("There is no such contact any more.")
    if topic and topic not in {known.key for known in await queries.topics(tx, organisation)}:
        raise NotThere(f"There is no topic {topic!r}. Make it on the page Contacts → Consent.")
    if at is not None and at > now:
        raise ContactError("That time is still to come: give the moment at which they said it.")
    word = {"topic": topic, "at": at or now, "granted": granted, "source": source, "detail": detail[:LONGEST_DETAIL]}
    more = {"number_id": number_id, "user_id": user_id}
    await queries.say(tx, organisation, [{"key": key, **word, **more} for key in keys])
    await events.publish(tx, {number_id: {"chats": [contact_id]}}, now)
    return await consent(tx, number_id, contact_id, topic)


# --- keywords ---------------------------------------------------------------------------------------------------------


async def heard(tx: Tx, folded: Folded, now: datetime) -> list[Confirmation]:
    """In the ingest's transaction: customers' STOP and START are recorded; answers what is to be answered.

    Only what customers said live is looked at (``Folded.received``): no import, nothing typed on the phone. Somebody
    is answered when their word is the newest and changes something.
    """
    maybe = [said for said in folded.received if said.type in SPOKEN and keywords.may_be(said.text)]
    if not maybe:
        return []
    words = await words_of_all(tx, {said.number_id for said in maybe})
    spoken: dict[int, list[tuple[Said, Match]]] = {}
    for said in maybe:
        if found := keywords.match(said.text, words[said.number_id]):
            spoken.setdefault(said.number_id, []).append((said, found))
    return [due for number_id, found in spoken.items() for due in await _record(tx, number_id, found)]


async def _record(tx: Tx, number_id: int, spoken: Sequence[tuple[Said, Match]]) -> list[Confirmation]:
    organisation = await queries.organisation_of(tx, number_id)
    assert organisation is not None
    ids = sorted({said.contact_id for said, _ in spoken})
    before = await _said(tx, queries.CONSENTS, number_id, "", ids=ids)
    keys = await queries.keys_of(tx, number_id, ids)
    rows = [
        {
            "key": key,
            "topic": "",
            "at": _second(said.at),
            "granted": found.granted,
            "source": "keyword",
            "detail": (said.text or "").strip(),
            "number_id": number_id,
        }
        for said, found in spoken
        for key in keys.get(said.contact_id, ())
    ]
    await queries.say(tx, organisation, rows)
    after = await consents(tx, number_id, ids)
    due = []
    for contact_id in ids:
        known = before[contact_id].everything
        # Newest last; of one second the one that ends.
        said, found = max(
            ((said, found) for said, found in spoken if said.contact_id == contact_id),
            key=lambda one: (one[0].at, not one[1].granted),
        )
        word = Word(found.granted, _second(said.at), "keyword")
        changes = rules.newest(known, word) is word and (known is None or known.granted != word.granted)
        if changes and found.reply and after[contact_id].allowed == found.granted:
            due.append(Confirmation(number_id, contact_id, said.wamid, found.reply))
    return due


def _second(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


async def words_of(tx: Tx, number_id: int) -> list[Words]:
    """The keywords that a number listens to."""
    return (await words_of_all(tx, [number_id]))[number_id]


async def words_of_all(tx: Tx, number_ids: Collection[int]) -> dict[int, list[Words]]:
    """The keywords that numbers listen to, by number."""
    own: dict[int, dict[str, tuple[Any, ...]]] = {number_id: {} for number_id in number_ids}
    for number_id, language, *changes in await tx.rows(queries.KEYWORDS, (sorted(number_ids),)):
        own[number_id][language] = tuple(changes)
    return {number_id: _listening(changes) for number_id, changes in own.items()}


def _listening(own: Mapping[str, tuple[Any, ...]]) -> list[Words]:
    if not own:
        return list(keywords.built_in().values())
    found = []
    for language, words in keywords.built_in().items():
        enabled, *changes = own.get(language, (True, None, None, None, None))
        if enabled:
            found.append(words.changed(*changes))
    return found


async def set_keywords(
    tx: Tx,
    number_id: int,
    language: str,
    *,
    enabled: bool,
    stop: Sequence[str] | None = None,
    start: Sequence[str] | None = None,
    stopped: str | None = None,
    started: str | None = None,
    user_id: int | None,
    now: datetime,
) -> None:
    """What a number does with a language's keywords; what is None, or as it stands in the file, follows the file.

    Raises ContactError, NotThere.
    """
    organisation = await _turn(tx, number_id)
    usual = keywords.built_in().get(language)
    if usual is None:
        raise NotThere(f"There are no keywords for {language!r}. Languages are: {', '.join(keywords.built_in())}.")
    for words in (stop, start):
        if words is not None and (problem := keywords.problem(words)):
            raise ContactError(problem)
    if set(map(keywords.normalise, stop or ())) & set(map(keywords.normalise, start or ())):
        raise ContactError("A word can't both end marketing and begin it again. Take it out of one of the lists.")
    for reply in (stopped, started):
        if reply is not None and len(reply) > keywords.LONGEST_REPLY:
            raise ContactError(f"The confirmation is longer than {keywords.LONGEST_REPLY} characters.")
    own = {
        "stop": None if stop is None or tuple(stop) == usual.stop else list(stop),
        "start": None if start is None or tuple(start) == usual.start else list(start),
        "stopped": None if stopped == usual.stopped else stopped,
        "started": None if started == usual.started else started,
    }
    await tx.execute(queries.KEEP_KEYWORDS, {"number": number_id, "language": language, "enabled": enabled, **own})
    detail = {"number": number_id, "language": language, "enabled": enabled}
    await accounts.record(tx, organisation, user_id, "consent.keywords", detail, now)


# --- topics, and the suppression list ---------------------------------------------------------------------------------


async def keep_topic(
    tx: Tx,
    organisation_id: int,
    title: str,
    *,
    needs_opt_in: bool,
    key: str | None = None,
    user_id: int | None,
    now: datetime,
) -> Topic:
    """Makes a topic, or changes one. Raises ContactError."""
    title = " ".join(title.split())
    if not 0 < len(title) <= LONGEST_TAG:
        raise ContactError(f"Give the topic a name of 1 to {LONGEST_TAG} characters.")
    made = _key_of(title) if key is None else key
    if made and not _KEY.fullmatch(made):
        raise ContactError("The topic's name needs letters from a to z, since programs know it by them.")
    known = {topic.key for topic in await queries.topics(tx, organisation_id)}
    if made not in known and len(known) >= MOST_FIELDS:
        raise ContactError(f"There are {MOST_FIELDS} topics already. Take one away first.")
    await tx.execute(queries.KEEP_TOPIC, (organisation_id, made, title, needs_opt_in, now))
    detail = {"topic": made, "needs_opt_in": needs_opt_in}
    await accounts.record(tx, organisation_id, user_id, "consent.topic", detail, now)
    return Topic(made, title, needs_opt_in)


async def forget_topic(tx: Tx, organisation_id: int, key: str, *, user_id: int | None, now: datetime) -> None:
    """Takes a topic away; what people said about it is kept, and counts again if it comes back."""
    if await tx.execute(queries.FORGET_TOPIC, (organisation_id, key)):
        await accounts.record(tx, organisation_id, user_id, "consent.topic_gone", {"topic": key}, now)


def key_of(address: str) -> str | None:
    """The key of a phone number or user id as people write it; None when it is neither."""
    address = address.strip()
    if is_user_id(address):
        return user_key(address)
    return phone_key(digits(address)) if is_address(address) else None


async def suppress(
    tx: Tx,
    organisation_id: int,
    entries: Iterable[tuple[str, str, datetime | None]],
    user_id: int | None,
    now: datetime,
) -> int:
    """Puts people, (key, why, since when), on the suppression list; answers how many are new there."""
    rows = {key: {"key": key, "why": why[:LONGEST_DETAIL], "at": at} for key, why, at in entries}
    if not rows:
        return 0
    named = {"organisation": organisation_id, "rows": as_json(list(rows.values())), "user": user_id, "now": now}
    added = await tx.execute(queries.SUPPRESS, named)
    if added:
        await accounts.record(tx, organisation_id, user_id, "consent.suppressed", {"people": added}, now)
    return added


async def release(tx: Tx, organisation_id: int, keys: Collection[str], user_id: int | None, now: datetime) -> int:
    """Takes people off the suppression list; what they themselves said stays. Answers how many were on it."""
    gone = await tx.execute(queries.RELEASE, (organisation_id, sorted(keys)))
    if gone:
        await accounts.record(tx, organisation_id, user_id, "consent.released", {"people": gone}, now)
    return gone


# --- tags and fields --------------------------------------------------------------------------------------------------


def tag_names(names: Iterable[str]) -> list[str]:
    """Tags as they are kept, each once. Raises ContactError."""
    found = sorted({" ".join(name.split()) for name in names} - {""})
    for name in found:
        if len(name) > LONGEST_TAG or "," in name or "\0" in name:
            raise ContactError(f"“{name[:50]}” can't be a tag: at most {LONGEST_TAG} characters, and no commas.")
    if len(found) > MOST_TAGS:
        raise ContactError(f"That are more than {MOST_TAGS} tags at once.")
    return found


async def tag(
    tx: Tx,
    number_id: int,
    contact_ids: Collection[int],
    now: datetime,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> list[int]:
    """Gives tags to contacts and takes some from them; answers whose tags changed. Raises ContactError."""
    added, removed = tag_names(add), tag_names(remove)
    organisation = await _turn(tx, number_id)
    await note_tags(tx, organisation, added, now)
    named = {"number": number_id, "ids": sorted(set(contact_ids)), "add": added, "remove": removed}
    changed = await tx.rows(queries.TAG, named)
    given = {name: [one for one, had, has in changed if name in has and name not in had] for name in added}
    tagged = {name: ids for name, ids in given.items() if ids}
    await _tell(tx, number_id, [row[0] for row in changed], now, **({"tagged": tagged} if tagged else {}))
    return [row[0] for row in changed]


async def note_tags(tx: Tx, organisation_id: int, names: Iterable[str], now: datetime) -> None:
    """Puts tags on the list of tags, though nobody has them yet. Raises ContactError."""
    if found := tag_names(names):
        hues = [crc32(name.lower().encode()) % HUES for name in found]
        named = {"organisation": organisation_id, "names": found, "hues": hues, "now": now}
        await tx.execute(queries.NOTE_TAGS, named)


async def forget_tag(tx: Tx, organisation_id: int, name: str, user_id: int | None, now: datetime) -> None:
    """Takes a tag from everybody, and from the list of tags."""
    numbers = [row[0] for row in await tx.rows(queries.NUMBERS, (organisation_id,))]
    await turn.take(tx, numbers)
    if not await tx.execute(queries.FORGET_TAG, (organisation_id, name)):
        return
    changed: dict[int, list[int]] = {}
    for number_id, contact_id in await tx.rows(queries.TAKE_TAG, {"numbers": numbers, "name": name}):
        changed.setdefault(number_id, []).append(contact_id)
    for number_id, ids in sorted(changed.items()):
        await _tell(tx, number_id, ids, now)
    await accounts.record(tx, organisation_id, user_id, "tag.forgotten", {"tag": name}, now)


async def add_field(
    tx: Tx, organisation_id: int, label: str, kind: str, now: datetime, *, key: str | None = None
) -> Field:
    """Makes a field. Programs and variables know it by its key, made from its label. Raises ContactError."""
    label = " ".join(label.split())
    made = _key_of(label) if key is None else key
    if not 0 < len(label) <= LONGEST_TAG or not _KEY.fullmatch(made):
        raise ContactError(f"Give the field a name of 1 to {LONGEST_TAG} characters, with letters from a to z in it.")
    if kind not in FIELD_KINDS:
        raise ContactError(f"A field is one of: {', '.join(FIELD_KINDS)}.")
    if len(await queries.fields(tx, organisation_id)) >= MOST_FIELDS:
        raise ContactError(f"There are {MOST_FIELDS} fields already. Take one away first.")
    if not await tx.execute(queries.ADD_FIELD, (organisation_id, made, label, kind, now)):
        raise ContactError(f"There is a field {made!r} already.")
    return Field(made, label, kind)


async def forget_field(tx: Tx, organisation_id: int, key: str, user_id: int | None, now: datetime) -> None:
    """Takes a field away, with its values."""
    numbers = [row[0] for row in await tx.rows(queries.NUMBERS, (organisation_id,))]
    await turn.take(tx, numbers)
    if await tx.execute(queries.FORGET_FIELD, (organisation_id, key)):
        await tx.execute(queries.TAKE_FIELD, {"numbers": numbers, "key": key})
        await accounts.record(tx, organisation_id, user_id, "field.forgotten", {"field": key}, now)


def _key_of(label: str) -> str:
    return keywords.normalise(label).replace(" ", "_").encode("ascii", "ignore").decode().lstrip("_0123456789")[:40]


def value_of(field: Field, said: str | None) -> str | None:
    """A field's value as it is kept; None: empty. Raises ContactError."""
    value = " ".join((said or "").split())
    if not value:
        return None
    if len(value) > LONGEST_VALUE or "\0" in value:
        raise ContactError(f"“{field.label}” takes at most {LONGEST_VALUE} characters.")
    if field.kind == "number":
        value = value.replace(",", ".") if value.count(",") == 1 and "." not in value else value
        if not re.fullmatch(r"-?[0-9]{1,15}([.][0-9]{1,9})?", value, re.ASCII):
            raise ContactError(f"“{field.label}” is a number, like 12 or 9.5; “{value[:40]}” isn't.")
    if field.kind == "date":
        try:
            value = date.fromisoformat(value).isoformat()
        except ValueError as error:
            raise ContactError(f"“{field.label}” is a day like 2026-11-22; “{value[:40]}” isn't.") from error
    return value


async def know(tx: Tx, number_id: int, changes: Mapping[int, Mapping[str, Any]], now: datetime) -> list[int]:
    """Sets what people here know of contacts, by contact; answers for whom something changed.

    A change may have ``fields`` (key -> text; None or "" takes it away), ``language`` and ``name``. Raises
    ContactError.
    """
    organisation = await _turn(tx, number_id)
    fields = {field.key: field for field in await queries.fields(tx, organisation)}
    rows = [as_row(contact_id, change, fields) for contact_id, change in sorted(changes.items())]
    if not rows:
        return []
    changed = [row[0] for row in await tx.rows(queries.KNOW, {"number": number_id, "rows": as_json(rows)})]
    await _tell(tx, number_id, changed, now)
    return changed


def as_row(contact_id: int, change: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """A change as it is written. Raises ContactError for what a field or language can't be."""
    row: dict[str, Any] = {"id": contact_id, "fields": {}, "sets_language": False, "sets_name": False}
    for key, value in (change.get("fields") or {}).items():
        if key not in fields:
            raise NotThere(f"There is no field {key!r}. Fields are: {', '.join(fields) or 'none yet'}.")
        row["fields"][key] = value_of(fields[key], value)
    if "language" in change:
        try:
            said = (change["language"] or "").strip()
            row |= {"sets_language": True, "language": conditions.language(said) if said else None}
        except ValueError as error:
            raise ContactError(f"The language can't be read: {error}.") from error
    if "name" in change:
        row |= {"sets_name": True, "name": " ".join((change["name"] or "").split())[:LONGEST_NAME] or None}
    return row


# --- people and segments ----------------------------------------------------------------------------------------------


async def contact_for(tx: Tx, number_id: int, address: str) -> int:
    """The contact behind a phone number, user id or ``contact:12``, made if it is new. Raises ContactError."""
    await _turn(tx, number_id)
    if found := re.fullmatch(r"contact:([1-9][0-9]{0,17})", address):
        if await queries.one(tx, number_id, int(found[1])) is None:
            raise NotThere(f"There is no {address}.")
        return int(found[1])
    contact_id = await mirror.contact_for(tx, number_id, address)
    if contact_id is None:
        raise ContactError(f"“{address[:60]}” is neither a phone number with its country code nor a user id.")
    return contact_id


async def known(tx: Tx, number_id: int, address: str) -> Contact:
    """The contact behind an address. Raises NotThere."""
    found = re.fullmatch(r"contact:([1-9][0-9]{0,17})", address)
    contact_id: int | None = int(found[1]) if found else None
    if contact_id is None and (key := key_of(address)):
        contact_id = await tx.value(queries.CONTACT_OF, (number_id, key))
    contact = await queries.one(tx, number_id, contact_id) if contact_id is not None else None
    if contact is None:
        raise NotThere(f"This number has no contact {address[:60]}.")
    return contact


async def keep_segment(
    tx: Tx, organisation_id: int, name: str, filter_: Iterable[Any], user_id: int | None, now: datetime
) -> Segment:
    """Saves a filter under a name; the same name means the same segment. Raises ContactError."""
    name = " ".join(name.split())
    if not 0 < len(name) <= LONGEST_TAG or "\0" in name:
        raise ContactError(f"Give the segment a name of 1 to {LONGEST_TAG} characters.")
    kept = conditions.read(filter_)
    if not kept:
        raise ContactError("A segment needs a condition: choose one first.")
    named = {"organisation": organisation_id, "name": name, "conditions": as_json(kept), "user": user_id, "now": now}
    return Segment(int(await tx.value(queries.KEEP_SEGMENT, named)), name, kept)


async def forget_segment(tx: Tx, organisation_id: int, segment_id: int) -> bool:
    return bool(await tx.execute(queries.FORGET_SEGMENT, (organisation_id, segment_id)))


async def members(tx: Tx, number_id: int, segment_id: int, now: datetime) -> list[Contact]:
    """The contacts of a number who are in the segment at this moment. Raises NotThere."""
    organisation = await queries.organisation_of(tx, number_id)
    segment = await queries.segment(tx, organisation, segment_id) if organisation is not None else None
    if organisation is None or segment is None:
        raise NotThere(f"There is no segment {segment_id}.")
    return await queries.everybody(tx, organisation, number_id, segment.conditions, now)


async def of_contact(tx: Tx, number_id: int, contact_id: int) -> Known:
    """For a panel beside the contact's chat."""
    organisation = await queries.organisation_of(tx, number_id)
    contact = await queries.one(tx, number_id, contact_id)
    assert organisation is not None
    assert contact is not None
    tags = await queries.tags(tx, organisation)
    return Known(
        contact=contact,
        worn=[tag for tag in tags if tag.name in contact.tags],
        tags=tags,
        fields=[
            (field.label, contact.fields[field.key])
            for field in await queries.fields(tx, organisation)
            if field.key in contact.fields
        ],
        consent=await consent(tx, number_id, contact_id),
    )


async def _turn(tx: Tx, number_id: int) -> int:
    """Takes the number's turn; answers its organisation. Raises NotThere."""
    await turn.take(tx, [number_id])
    organisation = await queries.organisation_of(tx, number_id)
    if organisation is None:
        raise NotThere(f"There is no number {number_id}.")
    return organisation


async def _tell(tx: Tx, number_id: int, contact_ids: Sequence[int], now: datetime, **more: Any) -> None:
    """Browsers draw these chats' panels anew; of very many, only the lists of contacts."""
    if contact_ids:
        told: dict[str, Any] = {"contacts": True, "chats": sorted(contact_ids)[:1000], **more}
        await events.publish(tx, {number_id: told}, now)
