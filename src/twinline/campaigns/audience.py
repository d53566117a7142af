"""Who a campaign goes to, each with the message that they will read.

An audience is ``{"sources": […]}``. A source is a list that was brought along (``{"file": id, …}``, see
``lists.Options``), contacts who pass a filter (``{"conditions": […]}``, see ``contacts.conditions``; none means
everybody who is known to the number), or a saved filter (``{"segment": 3}``). Several sources are joined.

Nobody gets it twice: whoever comes a second time, under another spelling of their number, in another list, or once
with their number and once with their user id, comes with the reason ``duplicate``. Lines that can't be used come as
well, with the reason ``invalid``, so a dry run accounts for every line of a list.

People come in slices and are forgotten behind them; only who has come already is remembered.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

import orjson

from twinline.app import App
from twinline.campaigns import lists, writing
from twinline.campaigns.lists import Entry, Options, Reading
from twinline.campaigns.models import Campaign
from twinline.campaigns.writing import Known, Writer
from twinline.contacts import conditions
from twinline.contacts import queries as contacts
from twinline.contacts.models import ContactError
from twinline.db import Tx
from twinline.kit.dialling import region_of
from twinline.rules.identity import display_name, phone_key, user_key
from twinline.rules.refusal import Refusal, Refused
from twinline.templates.models import Template

SLICE: Final = 5_000
MOST_SOURCES: Final = 10

_COLUMNS = "k.id, k.phone, k.bsuid, k.custom_name, k.book_name, k.profile_name, k.username, k.language, k.fields"

BY_KEYS = f"""
SELECT i.key, {_COLUMNS}
FROM unnest(%(keys)s::text[]) AS r(key)
JOIN identities i ON i.number_id = %(number)s AND i.key = r.key
JOIN contacts k ON k.number_id = i.number_id AND k.id = i.contact_id
"""

FILTERED = """
FROM contacts k LEFT JOIN chats c ON c.number_id = k.number_id AND c.contact_id = k.id
WHERE k.number_id = %(number)s AND (k.phone IS NOT NULL OR k.bsuid IS NOT NULL)
"""

GOT: Final = """EXISTS (
    SELECT FROM recipients r
    WHERE r.number_id = k.number_id AND r.contact_id = k.id AND r.campaign_id = {campaign} AND r.%s)"""

# What only campaigns know of somebody, for filters everywhere.
for name, label, fact in (
    ("got", "got the campaign", "sent_at IS NOT NULL"),
    ("replied", "replied to the campaign", "replied_at IS NOT NULL"),
    ("not_replied", "got the campaign and didn't reply", "sent_at IS NOT NULL AND r.replied_at IS NULL"),
):
    conditions.add(conditions.Condition(name, label, GOT % fact, ("campaign",)))

BEGUN: Final = """
SELECT id, name FROM campaigns WHERE organisation_id = %s AND started_at IS NOT NULL ORDER BY id DESC LIMIT 500
"""


async def _begun(tx: Tx, organisation_id: int) -> dict[str, str]:
    return {str(number): name for number, name in await tx.rows(BEGUN, (organisation_id,))}


conditions.offer("campaign", _begun)

NUMBER = "SELECT display_phone FROM numbers WHERE organisation_id = %(organisation)s AND id = %(number)s"


@dataclass(frozen=True, slots=True)
class Source:
    """Where people come from: either a list and how to read it, or a filter, or the saved one of that id."""

    file: str | None = None
    options: Options = field(default_factory=Options)
    filter: Sequence[Mapping[str, str]] = ()
    segment: int | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the audience. ``reason`` (of ``rules.funnel``) and ``says``: why they don't get it; then there is no
    ``draft``. ``frozen`` is that as JSON text. ``filled`` has the values by the places of the template.
    """

    key: str
    contact_id: int | None
    phone: str | None
    bsuid: str | None
    name: str | None
    line: int | None
    language: str | None = None
    variant: int = 0
    filled: Mapping[str, str] | None = None
    frozen: str = ""
    reason: str = ""
    says: str = ""

    @property
    def draft(self) -> dict[str, Any] | None:
        return orjson.loads(self.frozen) if self.frozen else None


@dataclass(frozen=True, slots=True)
class Contact:
    """What a message may say of somebody whom the number knows."""

    id: int
    phone: str | None
    bsuid: str | None
    custom_name: str | None
    book_name: str | None
    profile_name: str | None
    username: str | None
    language: str | None
    fields: Mapping[str, str]

    @property
    def name(self) -> str | None:
        return display_name(custom=self.custom_name, book=self.book_name, profile=self.profile_name) or None

    @property
    def key(self) -> str:
        return phone_key(self.phone) if self.phone else user_key(self.bsuid or "")


def sources_of(found: Mapping[str, Any]) -> list[Source]:
    """The sources of an audience as it is kept in a campaign. Raises Refused."""
    said = found.get("sources")
    if not isinstance(said, list) or not all(isinstance(one, Mapping) for one in said) or found.keys() - {"sources"}:
        raise _refused("shape", "It isn't said who gets it.", 'Give {"sources": […]}: lists, conditions or a segment.')
    if not 0 < len(said) <= MOST_SOURCES:
        raise _refused("none", "Nobody is chosen yet.", f"Choose a list, tags or a filter; up to {MOST_SOURCES}.")
    return [_source(one) for one in said]


def _source(said: Mapping[str, Any]) -> Source:
    kinds = [kind for kind in ("file", "conditions", "segment") if kind in said]
    if len(kinds) != 1 or (kinds != ["file"] and len(said) > 1):
        raise _refused("source", "A source is either a file, conditions or a segment.", "Give one of them.")
    match said:
        case {"file": str(file), **options}:
            return Source(file=file, options=Options.of(options))
        case {"segment": int(segment)}:
            return Source(segment=segment)
        case {"conditions": list(filter_)}:
            try:
                return Source(filter=conditions.read(filter_))
            except ContactError as error:
                raise _refused("conditions", str(error), "") from error
    raise _refused("source", f"The {kinds[0]} of a source isn't as it should be.", "See the API's description.")


async def country_of(tx: Tx, organisation_id: int, number_id: int) -> str:
    """The business's country, of which numbers are that are written without one."""
    return region_of(str(await tx.value(NUMBER, {"organisation": organisation_id, "number": number_id}) or ""))


async def size(
    app: App, tx: Tx, organisation_id: int, number_id: int, audience: Mapping[str, Any], now: datetime
) -> int:
    """How many are chosen, before anybody is left out; whoever is in two lists counts twice. Raises Refused."""
    people = 0
    for source in await _opened(app, tx, organisation_id, number_id, sources_of(audience)):
        if source.reading is not None:
            people += source.reading.people - source.reading.duplicates
        else:
            also, named = _where(source.filters, organisation_id, now)
            people += int(await tx.value(f"SELECT count(*) {FILTERED} {also}", {**named, "number": number_id}))
    return people


async def people(app: App, tx: Tx, one: Campaign, now: datetime, *, rehearse: bool = False) -> "People":
    """Everybody in a campaign's audience, slice by slice, with their messages. A rehearsal hands no files to Meta.

    Raises Refused, at once or on the way.
    """
    sources = await _opened(app, tx, one.organisation_id, one.number_id, sources_of(one.audience))
    columns = [source.reading.columns if source.reading else () for source in sources]
    writer = await writing.writer(
        app, tx, one.organisation_id, one.number_id, one.what, columns, seed=str(one.id), rehearse=rehearse
    )
    return People(app, tx, one, now, sources, writer)


async def preview(
    app: App, tx: Tx, one: Campaign, now: datetime, *, line: int | None = None, skip: int = 0
) -> Person | None:
    """What somebody will read, before anything is planned: who stands in that line, or comes after so many others.

    Whom a campaign was planned for has it in their row. Raises Refused.
    """
    found = await people(app, tx, one, now, rehearse=True)
    async for slice_ in found:
        for person in slice_:
            if person.reason not in ("duplicate", "invalid") and (line is None or person.line == line):
                if not skip:
                    return person
                skip -= 1
    return None


@dataclass(frozen=True, slots=True)
class _Opened:
    """A source that is there: a list's reading, or all filters together, of which somebody passes one or several."""

    reading: Reading | None = None
    filters: Sequence[conditions.Filter] = ()


async def _opened(app: App, tx: Tx, organisation_id: int, number_id: int, sources: Sequence[Source]) -> list[_Opened]:
    country = await country_of(tx, organisation_id, number_id)
    found: list[_Opened] = []
    filters: list[conditions.Filter] = []
    for source in sources:
        if source.file is not None:
            reading = await lists.read(app, organisation_id, source.file, source.options, country=country)
            found.append(_Opened(reading))
            continue
        if not filters:  # all of them stand where the first one does
            found.append(_Opened(filters=filters))
        if source.segment is None:
            filters.append(source.filter)
        elif (segment := await contacts.segment(tx, organisation_id, source.segment)) is not None:
            filters.append(segment.conditions)
        else:
            raise _refused("segment", "The saved filter isn't there any more.", "Choose another one.")
    return found


def _where(filters: Sequence[conditions.Filter], organisation_id: int, now: datetime) -> tuple[str, dict[str, Any]]:
    """Whoever passes one of them, as ``conditions.where`` answers one."""
    asked, params = [], dict[str, Any]()
    for number, filter_ in enumerate(filters):
        also, named = conditions.where(filter_, organisation_id, now, f"{number}_")
        asked.append(f"(true {also})")
        params |= named
    return f"AND ({' OR '.join(asked)})", params


class People:
    """The audience as it is gone through, once."""

    def __init__(
        self, app: App, tx: Tx, one: Campaign, now: datetime, sources: Sequence[_Opened], writer: Writer
    ) -> None:
        self._app = app
        self._tx = tx
        self._one = one
        self._now = now
        self._sources = sources
        self._writer = writer
        self._keys: dict[str, int | None] = {}  # with the line where they came first
        self._contacts: set[int] = set()

    @property
    def templates(self) -> list[Template]:
        return self._writer.templates

    async def total(self) -> int:
        """How many will come, also those who come twice, and lines that can't be used."""
        total = 0
        for source in self._sources:
            if source.reading is not None:
                total += source.reading.people + source.reading.bad
            else:
                also, named = _where(source.filters, self._one.organisation_id, self._now)
                [(people,)] = await self._rows(f"SELECT count(*) {FILTERED} {also}", **named)
                total += people
        return total

    async def __aiter__(self) -> AsyncIterator[list[Person]]:
        for number, source in enumerate(self._sources):
            slices = self._listed(source.reading, number) if source.reading else self._filtered(source.filters, number)
            async for found in slices:
                yield found

    async def _listed(self, reading: Reading, number: int) -> AsyncIterator[list[Person]]:
        lines = lists.entries(self._app.files, self._one.organisation_id, reading)
        named = reading.index(reading.called) if reading.called else None
        spoken = reading.index(reading.language) if reading.language else None
        while entries := await asyncio.to_thread(_some, lines):
            keys = ["" if entry.problem else entry.key for entry in entries]
            known = {key: Contact(*row) for key, *row in await self._rows(BY_KEYS, keys=keys)}
            yield [
                self._person(number, key, known.get(key), entry, _cell(entry, named), _cell(entry, spoken))
                if key
                else _invalid(entry, number, _cell(entry, named))
                for key, entry in zip(keys, entries, strict=True)
            ]

    async def _filtered(self, filters: Sequence[conditions.Filter], number: int) -> AsyncIterator[list[Person]]:
        also, named = _where(filters, self._one.organisation_id, self._now)
        sql = f"SELECT {_COLUMNS} {FILTERED} {also} AND k.id > %(after)s ORDER BY k.id LIMIT {SLICE}"
        after = 0
        while rows := await self._rows(sql, **named, after=after):
            found = [Contact(*row) for row in rows]
            yield [self._person(number, contact.key, contact) for contact in found]
            after = found[-1].id

    async def _rows(self, sql: str, **named: Any) -> list[tuple[Any, ...]]:
        return await self._tx.rows(sql, {**named, "number": self._one.number_id})

    def _person(
        self,
        number: int,
        key: str,
        contact: Contact | None,
        entry: Entry | None = None,
        name: str | None = None,
        language: str | None = None,
    ) -> Person:
        """Somebody who can be written to, whom the number knows, or who stands in a list, or both."""
        if entry is not None:
            phone, bsuid = (entry.address, None) if key.startswith("p:") else (None, entry.address)
        else:
            phone, bsuid = (contact.phone, contact.bsuid) if contact else (None, None)
        line = entry.line if entry else None
        called = name or (contact.name if contact else None)
        contact_id = contact.id if contact else None
        if key in self._keys or contact_id in self._contacts:
            return Person(key, contact_id, phone, bsuid, called, line, reason="duplicate", says=self._twin(key))
        self._keys[key] = line
        if contact_id is not None:
            self._contacts.add(contact_id)
        written = self._writer.write(
            Known(
                key,
                phone,
                entry.cells if entry else (),
                number,
                contact.fields if contact else None,
                (contact.name if contact else None) or name,
                contact.username if contact else None,
                (language, contact.language if contact else None),
            )
        )
        return Person(
            key,
            contact_id,
            phone,
            bsuid,
            called,
            line,
            written.language,
            written.variant,
            written.filled,
            written.frozen,
            written.reason,
            written.says,
        )

    def _twin(self, key: str) -> str:
        line = self._keys.get(key)
        return lists.TWIN.format(line) if line else "The same person came before."


def _some(lines: Iterator[Entry]) -> list[Entry]:
    return list(islice(lines, SLICE))


def _cell(entry: Entry, index: int | None) -> str | None:
    return (entry.cells[index] or None) if index is not None and index < len(entry.cells) else None


def _invalid(entry: Entry, number: int, name: str | None) -> Person:
    shown = name or entry.address[:100] or None
    return Person(f"l:{number}:{entry.line}", None, None, None, shown, entry.line, reason="invalid", says=entry.problem)


def _refused(rule: str, says: str, do: str) -> Refused:
    return Refused(Refusal(f"audience.{rule}", says, do))
