"""Lists of people that are brought along: kept as they came, and read once for each way of reading them.

A list lies in the organisation's folder under its checksum, so the same file twice is the same list. A *reading* of it
lies beside: what was found out about the file, its people one a line, and the lines that can't be used as a table of
their own, with the reasons. Planning goes through the people without looking at the file again.
"""

import asyncio
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any, Final

import orjson

from twinline.app import App
from twinline.kit import beside, dialling, tables
from twinline.kit.files import Files
from twinline.kit.tables import Line, TableError
from twinline.rules.audience import Layout, layout
from twinline.rules.identity import is_user_id, phone_key, user_key
from twinline.rules.refusal import Refusal, Refused

FORM: Final = 1
"""Of what is kept of a reading; when that changes, lists are read anew."""
LOOKED_AT: Final = 200
"""Lines by which the columns are judged."""
SHOWN: Final = 100
"""Bad lines and duplicates that a reading tells one by one; the download has them all."""
MOST_CELLS: Final = 2_000  # characters kept of a cell in what is told

ABOVE: Final = "It stands above the names of the columns."
TOO_MANY: Final = "It has more cells than there are columns: a separator too many, or a quotation mark is missing."
TWIN: Final = "The same person as in line {}."
_ID: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a list, where that isn't to be found out: columns by name, ``country`` (ISO, two letters) of numbers
    without a code, whether the first line holds ``header`` names, the text's encoding, the sheet of a workbook.
    """

    phone: str | None = None
    country: str | None = None
    language: str | None = None
    header: bool | None = None
    encoding: str | None = None
    sheet: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Options":
        """Raises Refused."""
        for name, value in found.items():
            if name not in cls.__slots__:
                raise _refused("option", f"A list can't be read by “{name[:40]}”.", f"Use {', '.join(cls.__slots__)}.")
            if value is not None and not isinstance(value, bool if name == "header" else str):
                raise _refused("option", f"“{name}” of a list isn't as it should be.", "See the API's description.")
        country = (found.get("country") or "").strip().upper() or None
        if country is not None and not dialling.is_region(country):
            raise _refused("country", f"“{country[:20]}” isn't a country.", "Give two letters, like PT or BR.")
        given: dict[str, Any] = {name: value if name == "header" else value or None for name, value in found.items()}
        return cls(**{**given, "country": country})


@dataclass(frozen=True, slots=True)
class Reading:
    """What a list holds. ``people`` counts the lines that can be used, ``duplicates`` those among them that name
    somebody a second time; ``bad`` those that can't be used. ``bad_lines`` and ``twins`` are (line, reason) of the
    first of them, ``sample`` the first people's cells. ``called``: the column with the people's names. ``key`` is
    where the reading lies.
    """

    file: str
    key: str
    name: str
    shape: Mapping[str, Any]
    options: Mapping[str, Any]
    columns: Sequence[str]
    header: bool
    phone: str
    language: str | None
    called: str | None
    country: str
    people: int
    duplicates: int
    bad: int
    bad_lines: Sequence[tuple[int, str]] = field(default_factory=list)
    twins: Sequence[tuple[int, str]] = field(default_factory=list)
    sample: Sequence[Sequence[str]] = field(default_factory=list)

    def index(self, column: str) -> int | None:
        return Layout(tuple(self.columns)).index(column)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a list. ``address`` is a phone's digits or a user id; with a ``problem``, what stands in its place."""

    line: int
    address: str
    cells: Sequence[str]
    problem: str = ""

    @property
    def key(self) -> str:
        return user_key(self.address) if is_user_id(self.address) else phone_key(self.address)


# --- bringing ---------------------------------------------------------------------------------------------------------


async def bring(
    app: App, organisation_id: int, name: str, data: bytes, *, country: str, options: Options | None = None
) -> Reading:
    """Keeps a file and reads it. ``country``: the business's, for numbers without a code. Raises Refused."""
    if len(data) > tables.MOST_BYTES:
        says = f"The file has {len(data) / 1_048_576:.1f} MB; up to {tables.MOST_BYTES >> 20} MB can be read."
        raise _refused("size", says, "Save only the list of people, or split it.")
    file = hashlib.sha256(data).hexdigest()[:40]
    about = {"name": _sound(" ".join(name.split()))[-200:] or "list"}
    reading = await beside.run(len(data), _read, app.files, organisation_id, file, about, data, options, country)
    await asyncio.to_thread(_keep, app.files, _place(organisation_id, file), data, about)
    return reading


async def bring_list(app: App, organisation_id: int, entries: Iterable[Mapping[str, Any]], *, country: str) -> Reading:
    """An explicit list of people, as programs bring it: ``{"to": …, "language"?: …, "values"?: {column: text}}``."""
    found = list(entries)
    names = list(dict.fromkeys(name for one in found for name in one.get("values") or {}))
    if wrong := [name for name in names if name in ("to", "language")]:
        raise _refused("values", f"A value can't be called “{wrong[0]}”.", "Choose another name for it.")
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["to", "language", *names])
    for one in found:
        values = one.get("values") or {}
        writer.writerow([one.get("to") or "", one.get("language") or "", *(values.get(name, "") for name in names)])
    options = Options(phone="to", language="language", header=True, encoding="utf-8")
    data = _sound(buffer.getvalue()).encode()
    return await bring(app, organisation_id, "list.csv", data, country=country, options=options)


def _sound(text: str) -> str:
    """Without halves of characters, which JSON can bring and no file can hold."""
    return text.encode(errors="replace").decode()


async def read(app: App, organisation_id: int, file: str, options: Options, *, country: str) -> Reading:
    """The reading of a list in this way, from the file if nobody read it so before. Raises Refused."""
    if not _ID.fullmatch(file):
        raise _unknown(file)

    place = _place(organisation_id, file)

    def kept() -> Reading | tuple[dict[str, Any], bytes]:
        reading = f"{place}/{_digest(options, country)}.json"
        if app.files.has(reading):
            return Reading(**orjson.loads(app.files.read(reading)))
        try:
            return orjson.loads(app.files.read(f"{place}/about.json")), app.files.read(f"{place}/original")
        except FileNotFoundError as error:
            raise _unknown(file) from error

    found = await asyncio.to_thread(kept)
    if isinstance(found, Reading):
        return found
    about, data = found
    return await beside.run(len(data), _read, app.files, organisation_id, file, about, data, options, country)


def entries(files: Files, organisation_id: int, reading: Reading) -> Iterator[Entry]:
    """Every line of a list: duplicates and bad ones are among them. Reads from the place for files."""
    with files.open(f"{_place(organisation_id, reading.file)}/{reading.key}.lines") as stream:
        for row in stream:
            yield Entry(*orjson.loads(row))


async def bad_lines(app: App, organisation_id: int, file: str, options: Options, *, country: str) -> bytes:
    """The lines that can't be used, as a CSV file: the list's own columns, line and reason. Raises Refused."""
    found = await read(app, organisation_id, file, options, country=country)
    return await asyncio.to_thread(app.files.read, f"{_place(organisation_id, found.file)}/{found.key}.bad.csv")


def _place(organisation_id: int, file: str) -> str:
    return f"audiences/{organisation_id}/{file}"


def _digest(options: Options, country: str) -> str:
    said = orjson.dumps([FORM, asdict(options), options.country or country], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).hexdigest()[:16]


def _keep(files: Files, place: str, data: bytes, about: Mapping[str, Any]) -> None:
    files.write(f"{place}/original", data)
    files.write(f"{place}/about.json", orjson.dumps(about))


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(
    files: Files,
    organisation_id: int,
    file: str,
    about: Mapping[str, Any],
    data: bytes,
    options: Options | None,
    country: str,
) -> Reading:
    chosen = options or Options()
    region = chosen.country or country
    try:
        shape = tables.shape(data, about["name"], encoding=chosen.encoding, sheet=chosen.sheet)
        found = tables.lines(data, shape)
        head = list(islice(found, LOOKED_AT))
        rows = [[] if line.problem else line.cells for line in head]
        columns = layout(rows, lambda cell: _dials(cell, region), header=chosen.header)
        whole = _Whole(columns, _column(columns, chosen.phone, columns.phone), region)
        for at, line in enumerate(chain(head, found)):
            whole.take(line, at)
    except TableError as error:
        raise _refused("file", str(error), "") from error
    if not whole.people:
        says = f"There is nobody in this list: none of its {whole.bad} lines can be used."
        raise _refused("empty", says, f"The first: {whole.bad_lines[0][1]}" if whole.bad_lines else "")
    language = columns.language if chosen.language is None else _column(columns, chosen.language, None)
    key = _digest(chosen, country)
    reading = Reading(
        file=file,
        key=key,
        name=about["name"],
        shape=asdict(shape),
        options={name: value for name, value in asdict(chosen).items() if value is not None},
        columns=columns.columns,
        header=columns.header is not None,
        phone=columns.columns[whole.phone],
        language=None if language is None else columns.columns[language],
        called=None if columns.name is None else columns.columns[columns.name],
        country=region,
        people=whole.people,
        duplicates=whole.duplicates,
        bad=whole.bad,
        bad_lines=whole.bad_lines,
        twins=whole.twins,
        sample=whole.sample,
    )
    place = _place(organisation_id, file)
    unused = chain([[*columns.columns, "Line", "Reason"]], map(orjson.loads, whole.unused.getvalue().splitlines()))
    files.write(f"{place}/{key}.lines", whole.rows.getvalue())
    files.write(f"{place}/{key}.bad.csv", b"".join(tables.written(unused, shape.delimiter or ",")))
    files.write(f"{place}/{key}.json", orjson.dumps(asdict(reading)))
    return reading


def _dials(text: str, region: str) -> bool:
    if not any(map(str.isdecimal, text)):
        return False
    try:
        dialling.dialled(text, region)
    except dialling.Unreadable:
        return is_user_id(text)
    return True


def _column(columns: Layout, wanted: str | None, found: int | None) -> int:
    there = ", ".join(filter(None, columns.columns[:30]))
    choose = f"Choose one of: {there}." if there else "Bring a list with a line, and a phone number, for each person."
    if wanted is not None and (index := columns.index(wanted)) is not None:
        return index
    if wanted is not None:
        raise _refused("column", f"The list has no column “{wanted[:60]}”.", choose)
    if found is None:
        raise _refused("phone", "No column of this list holds phone numbers.", choose)
    return found


class _Whole:
    """A list as it is gone through."""

    def __init__(self, columns: Layout, phone: int, region: str) -> None:
        self._columns = columns
        self._width = len(columns.columns)
        self._region = region
        self._seen: dict[str, int] = {}
        self.phone = phone
        self.people = self.duplicates = self.bad = 0
        self.rows = io.BytesIO()
        self.unused = io.BytesIO()
        self.bad_lines: list[tuple[int, str]] = []
        self.twins: list[tuple[int, str]] = []
        self.sample: list[list[str]] = []

    def take(self, line: Line, at: int) -> None:
        header = -1 if self._columns.header is None else self._columns.header
        if at == header:
            return
        address = line.cells[self.phone] if self.phone < len(line.cells) else ""
        problem = line.problem or (ABOVE if at < header else TOO_MANY if any(line.cells[self._width :]) else "")
        if not problem:
            try:
                address = self._address(address)
            except dialling.Unreadable as error:
                problem = str(error)
        cells = line.cells[: self._width]
        entry = Entry(line.number, address, cells, problem)
        self.rows.write(orjson.dumps([entry.line, entry.address, entry.cells, problem]) + b"\n")
        if problem:
            self._unused(line, problem)
            self.bad += 1
            if len(self.bad_lines) < SHOWN:
                self.bad_lines.append((line.number, problem))
            return
        self.people += 1
        if len(self.sample) < 5:
            self.sample.append([cell[:MOST_CELLS] for cell in cells])
        first = self._seen.setdefault(entry.key, line.number)
        if first != line.number:
            self.duplicates += 1
            self._unused(line, TWIN.format(first))
            if len(self.twins) < SHOWN:
                self.twins.append((line.number, TWIN.format(first)))

    def _address(self, cell: str) -> str:
        return cell if is_user_id(cell) else dialling.dialled(cell, self._region)

    def _unused(self, line: Line, why: str) -> None:
        cells = [*line.cells[: self._width], *[""] * (self._width - len(line.cells))]
        self.unused.write(orjson.dumps([*cells, str(line.number), why]) + b"\n")


def _refused(rule: str, says: str, do: str) -> Refused:
    return Refused(Refusal(f"audience.{rule}", says, do))


def _unknown(file: str) -> Refused:
    return _refused("unknown", f"There is no list “{file[:60]}” here.", "Bring it along again.")
