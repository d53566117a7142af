"""Contacts and the suppression list as CSV, in and out. What can't be read is named by its line, and the rest counts.

A file may use commas, semicolons or tabs, be UTF-8, UTF-16 or of old Windows, and have its columns in any order.
Columns are known by their names: ``phone`` or ``user_id``, ``name``, ``language``, ``tags``, ``marketing`` (yes or no)
with ``topic``, ``since`` and ``source``, and every field of the organisation by its key or label.
"""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from twinline.app import App
from twinline.contacts import queries, service
from twinline.contacts.models import Contact, ContactError, Field, Imported, Suppressed
from twinline.db import Tx
from twinline.kit.phones import read_phone
from twinline.mirror import service as mirror
from twinline.mirror import turn
from twinline.rules.consent import Consent
from twinline.rules.identity import is_user_id, phone_key, user_key
from twinline.rules.keywords import normalise
from twinline.rules.pricing import read_text

BIGGEST: Final = 20 * 1024 * 1024
OLDEST: Final = 2009  # the year of the first WhatsApp
SLICE: Final = 500  # rows of a transaction: a number's turn is never held for a whole file
ANSWERS: Final = {
    **dict.fromkeys(("yes", "y", "true", "1", "si", "sim", "s", "oui", "ja", "in"), True),
    **dict.fromkeys(("no", "n", "false", "0", "nao", "non", "nein", "out"), False),
}

# What columns may be called, in any case and with or without accents.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "phone": ("phone", "phone number", "number", "mobile", "whatsapp", "telefono", "telefone", "celular", "movil",
              "tel", "telephone", "wa id", "msisdn", "telefon"),
    "user_id": ("user id", "bsuid"),
    "name": ("name", "full name", "nombre", "nome", "nom"),
    "language": ("language", "idioma", "lang", "lingua", "sprache"),
    "tags": ("tags", "tag", "labels", "etiquetas"),
    "marketing": ("marketing", "opt in", "optin", "consent"),
    "topic": ("topic",),
    "since": ("since", "date", "at", "consent date", "fecha", "data"),
    "source": ("source", "why", "reason", "motivo", "origen"),
}  # fmt: skip

BARE: Final = ("phone", "source")
DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns, and its rows by line."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, dict[str, str]]]


def read(data: bytes) -> Table:
    """Raises ContactError for what is no table."""
    if len(data) > BIGGEST:
        raise ContactError(f"The file is larger than {BIGGEST // 2**20} MB. Split it.")
    text = read_text(data)
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t|", key=head.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        # A record's line is the one that it ends in: a quoted cell may go over several.
        found = [(lines.line_num, [cell.strip() for cell in row]) for row in lines if any(map(str.strip, row))]
    except csv.Error as error:
        raise ContactError(f"The file can't be read as CSV: line {lines.line_num}: {error}.") from error
    if not found:
        raise ContactError("There is nothing in the file.")
    columns = [_column(cell) for cell in found[0][1]]
    if not {"phone", "user_id"} & set(columns):
        if service.key_of(found[0][1][0]):  # a bare list of numbers
            return Table(BARE, [(line, _row(BARE, cells)) for line, cells in found])
        raise ContactError(
            f"The file has no column of phone numbers. Its first line says: {', '.join(found[0][1])[:200]}. "
            "Call one of them phone."
        )
    return Table(columns, [(line, _row(columns, cells)) for line, cells in found[1:]])


def _column(cell: str) -> str:
    plain = normalise(cell)
    return next((name for name, called in COLUMNS.items() if plain in called), cell)


def _row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    row: dict[str, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column and cell:
            # What was written with a quote, lest a spreadsheet should run it, comes back without.
            row.setdefault(column, cell[1:] if cell.startswith("'") and cell[1:].startswith(DANGEROUS) else cell)
    return row


def written(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A file piece by piece. A cell that a spreadsheet would run as a formula gets a quote before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for row in (columns, *rows):
        writer.writerow([_harmless(cell) for cell in row])
        if buffer.tell() > 64 * 1024:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _harmless(cell: str) -> str:
    plain_number = cell[:1] in "+-" and cell[1:].replace(".", "", 1).isdigit()
    return f"'{cell}" if cell.startswith(DANGEROUS) and not plain_number else cell


# --- contacts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Person:
    """A line of the file, read: who, what is to be known of them, and what they said about marketing."""

    address: str
    change: dict[str, Any]
    tags: list[str]
    word: dict[str, Any] | None


async def import_contacts(
    app: App, number_id: int, data: bytes, *, user_id: int | None, tags: Sequence[str] = (), detail: str = ""
) -> Imported:
    """Takes contacts over from a file, slice by slice; repeating it changes nothing. ``tags``: for everybody in it.

    ``detail`` proves what people said where the file doesn't: its name, for instance. Raises ContactError.
    """
    table, now = read(data), app.clock.now()
    reader = await _Reader.of(app, number_id, service.tag_names(tags), detail)
    problems = reader.unknown(table.columns)
    people: list[_Person] = []
    for line, row in table.rows:
        try:
            people.append(reader.person(row, now))
        except ContactError as error:
            problems.append((line, str(error)))
    taken: set[int] = set()
    new = 0
    for start in range(0, len(people), SLICE):
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            newest = int(await tx.value(queries.NEWEST, (number_id,)))
            ids = await _take_over(tx, number_id, reader.organisation_id, people[start : start + SLICE], user_id, now)
        new += sum(contact_id > newest for contact_id in ids)
        taken |= ids
    return Imported(len(taken), new, problems)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads lines as a number's organisation means them."""

    organisation_id: int
    home: str
    fields: Mapping[str, Field]
    by_column: Mapping[str, Field]
    topics: Collection[str]
    tags: Sequence[str]
    detail: str

    @classmethod
    async def of(cls, app: App, number_id: int, tags: Sequence[str], detail: str) -> "_Reader":
        async with app.db.transaction() as tx:
            rows = await tx.rows(queries.HOME, (number_id,))
            if not rows:
                raise ContactError(f"There is no number {number_id}.")
            [(home, organisation)] = rows
            fields = await queries.fields(tx, organisation)
            topics = {topic.key for topic in await queries.topics(tx, organisation)} | {""}
        by_column = {normalise(name): field for field in fields for name in (field.label, field.key)}
        return cls(organisation, home, {field.key: field for field in fields}, by_column, topics, tags, detail)

    def unknown(self, columns: Iterable[str]) -> list[tuple[int, str]]:
        """Columns that mean nothing here, as problems of the first line."""
        return [
            (1, f"There is no field “{column[:60]}”, so that column was passed over. Make the field first.")
            for column in columns
            if column and column not in COLUMNS and normalise(column) not in self.by_column
        ]

    def person(self, row: Mapping[str, str], now: datetime) -> _Person:
        """Raises ContactError with what is wrong in this line."""
        change: dict[str, Any] = {column: row[column] for column in ("name", "language") if column in row}
        change["fields"] = {
            self.by_column[normalise(column)].key: value
            for column, value in row.items()
            if column not in COLUMNS and normalise(column) in self.by_column
        }
        service.as_row(0, change, self.fields)
        tags = service.tag_names([*self.tags, *row.get("tags", "").replace(";", ",").split(",")])
        return _Person(address(row, self.home), change, tags, self._word(row, now))

    def _word(self, row: Mapping[str, str], now: datetime) -> dict[str, Any] | None:
        """A yes says since when: else a file from yesterday would undo the STOP of this morning."""
        if "marketing" not in row:
            return None
        granted, topic = ANSWERS.get(normalise(row["marketing"])), row.get("topic", "")
        since = _moment(row.get("since"), now)
        if granted is None:
            raise ContactError(f"“{row['marketing'][:40]}” is neither yes nor no.")
        if granted and since is None:
            raise ContactError("Whoever wants marketing said so at some time: give the day in a column “since”.")
        if topic not in self.topics:
            raise ContactError(f"There is no topic “{topic[:40]}”.")
        return {"topic": topic, "at": since, "granted": granted, "detail": row.get("source", self.detail)}


def address(row: Mapping[str, str], home: str) -> str:
    """Whom a line is about: the digits of a phone, or a user id. Raises ContactError."""
    said = row.get("phone") or row.get("user_id")
    if said is None:
        raise ContactError("There is no phone number in this line.")
    if is_user_id(said):
        return said
    try:
        return read_phone(said, home)
    except ValueError as error:
        raise ContactError(f"“{said[:40]}” {error}.") from error


def _moment(said: str | None, now: datetime) -> datetime | None:
    if not said:
        return None
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise ContactError(f"“{said[:40]}” is no day: write it like 2026-11-22.") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > now or at.year < OLDEST:
        raise ContactError(f"“{said[:40]}” is no time at which somebody can have said it.")
    return at


async def _take_over(
    tx: Tx, number_id: int, organisation_id: int, people: Sequence[_Person], user_id: int | None, now: datetime
) -> set[int]:
    """Writes a slice under the number's turn; of somebody who comes twice the later line counts."""
    contacts = await mirror.contacts_for(tx, number_id, [person.address for person in people])
    changes: dict[int, dict[str, Any]] = {}
    tagged: dict[tuple[str, ...], list[int]] = {}
    for person in people:
        known = changes.setdefault(contacts[person.address], {"fields": {}})
        known |= {**person.change, "fields": {**known["fields"], **person.change["fields"]}}
        if person.tags:
            tagged.setdefault(tuple(person.tags), []).append(contacts[person.address])
    await service.know(tx, number_id, changes, now)
    for tags, ids in tagged.items():
        await service.tag(tx, number_id, ids, now, add=tags)
    keys = await queries.keys_of(tx, number_id, contacts.values())
    common = {"source": "import", "number_id": number_id, "user_id": user_id}
    words = []
    for person in people:
        if person.word is None:
            continue
        contact_id = contacts[person.address]
        said = {**person.word, **common, "at": person.word["at"] or now}
        stands = await service.consent(tx, number_id, contact_id, said["topic"])
        if person.word["at"] is not None or stands.allowed:  # a no without a day needn't be said twice
            words += [{"key": key, **said} for key in keys[contact_id]]
    await queries.say(tx, organisation_id, words)
    return set(contacts.values())


EXPORTED: Final = ("phone", "user_id", "name", "language", "tags")


def contacts_file(
    contacts: Sequence[Contact], fields: Sequence[Field], consents: Mapping[int, Consent]
) -> Iterator[str]:
    """Contacts as a file that can be imported again. ``may_get_marketing`` is for reading only."""
    columns = [*EXPORTED, *(field.key for field in fields), "may_get_marketing", "why", "last_wrote"]
    return written(columns, (_exported(one, fields, consents.get(one.id)) for one in contacts))


def _exported(one: Contact, fields: Sequence[Field], consent: Consent | None) -> list[str]:
    return [
        f"+{one.phone}" if one.phone else "",
        one.bsuid or "",
        one.custom_name or one.book_name or one.profile_name or "",
        one.language or "",
        ", ".join(one.tags),
        *(one.fields.get(field.key, "") for field in fields),
        "" if consent is None else "yes" if consent.allowed else "no",
        "" if consent is None else consent.why,
        one.last_inbound_at.isoformat(timespec="seconds") if one.last_inbound_at else "",
    ]


# --- the suppression list ---------------------------------------------------------------------------------------------


async def import_suppressions(app: App, organisation_id: int, data: bytes, home: str, user_id: int | None) -> Imported:
    """Puts everybody in the file on the list. ``home``: a number of the business, for phones without country code."""
    table, now = read(data), app.clock.now()
    entries: dict[str, tuple[str, str, datetime | None]] = {}
    problems = []
    for line, row in table.rows:
        try:
            who = address(row, home)
            key = user_key(who) if is_user_id(who) else phone_key(who)
            entries[key] = (key, row.get("source", ""), _moment(row.get("since"), now))
        except ContactError as error:
            problems.append((line, str(error)))
    async with app.db.transaction() as tx:
        added = await service.suppress(tx, organisation_id, entries.values(), user_id, now)
    return Imported(len(entries), added, problems)


def suppressions_file(entries: Sequence[Suppressed]) -> Iterator[str]:
    return written(("phone", "user_id", "why", "since"), map(_entry, entries))


def _entry(entry: Suppressed) -> Sequence[str]:
    by_phone = entry.key.startswith("p:")
    who = (entry.address, "") if by_phone else ("", entry.address)
    return (*who, entry.why, entry.at.isoformat(timespec="seconds"))
