"""Tables that people bring: CSV of any make and XLSX, line by line.

Nothing about a file is believed: not its name, not the sizes that it states. What separates the cells and how the text
is encoded is found out; a line that can't be read comes with its problem, and the rest goes on. Memory stays small
however long the table is, apart from the texts that an XLSX shares between its cells.
"""

import codecs
import csv
import io
import re
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, Final, Literal

from twinline.kit import sniff

MOST_BYTES: Final = 32 << 20
MOST_LINES: Final = 500_000
MOST_COLUMNS: Final = 200
LONGEST_LINE: Final = 65_536
MOST_JOINED: Final = 50
"""Lines that one quoted cell may run over; beyond that its end was forgotten, and the next line is a new one."""

MOST_UNPACKED: Final = 400 << 20
MOST_SHARED: Final = 48 << 20
MOST_MEMBERS: Final = 2_000
LAST_ROW: Final = 1_048_576  # of a worksheet

DELIMITERS: Final = (",", ";", "\t", "|")
SAMPLE: Final = 65_536
PEEK: Final = 50

# What a spreadsheet writes where a formula failed. Nobody wants to send that to anybody.
FAILED: Final = frozenset(
    {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!", "#GETTING_DATA"}
)

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SEPARATOR: Final = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_FORMULA: Final = re.compile(r"[=@\t\r]|[+-](?![\d\s().,/-]*$)")

UNCLOSED: Final = "A quotation mark is opened here and never closed."
TOO_LONG: Final = f"The line is longer than {LONGEST_LINE:,} characters."
LONG: Final = f"The file has more than {MOST_LINES:,} lines. Split it."
UNREADABLE: Final = "Some characters can't be read: they aren't in the file's encoding."


class TableError(Exception):
    """The file as a whole can't be read; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a file is to be read. ``sheets``: those that can be seen; ``width``: columns of its first lines."""

    kind: Literal["csv", "xlsx"]
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    sheets: tuple[str, ...] = ()
    width: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line with something in it. ``number`` counts as editors and spreadsheets do; a cell that has line breaks
    bears the number of its first. With a ``problem``, the cells are what could be made of it.
    """

    number: int
    cells: list[str]
    problem: str = ""


def shape(data: bytes, name: str, *, encoding: str | None = None, sheet: str | None = None) -> Shape:
    """Finds out how a file is to be read; encoding and sheet can be told instead. Raises TableError."""
    head = data[:SAMPLE]
    if not head:
        raise TableError("The file is empty.")
    mime = sniff.mime_type(head, name)
    if head.startswith(b"PK\x03\x04"):
        return _workbook(data, sheet)
    if mime in sniff.CONTAINERS[b"\xd0\xcf\x11\xe0"][1].values() or mime == "application/x-ole-storage":
        raise TableError(
            "This is an Excel file of the old kind (XLS), or one with a password. Open it in Excel and save it as "
            "XLSX or CSV, without a password."
        )
    known = next((found for bom, found in _BOMS if head.startswith(bom)), None)
    if known is None and mime not in ("text/plain", sniff.UNKNOWN):
        raise TableError(f"This file is no table: it is {mime}. Bring a CSV or XLSX file.")
    encoding = _encoding_named(encoding) if encoding else known or _encoding(data)
    text = _text(data, encoding).read(SAMPLE)
    if len(_CONTROL.findall(text)) > len(text) / 100:
        raise TableError("This file is no table: it isn't made of text. Bring a CSV or XLSX file.")
    if re.match(r"\s*<(!doctype|html|table|\?xml)", text, re.IGNORECASE):
        raise TableError("This is a web page, whatever its name says. Open it in Excel and save it as XLSX.")
    return Shape("csv", encoding=encoding, delimiter=_delimiter(text))


def lines(data: bytes, shape: Shape) -> Iterator[Line]:
    """Every line that isn't empty. Raises TableError where the file turns out to be broken, or too long."""
    count = 0
    found = _csv_lines(data, shape) if shape.kind == "csv" else _sheet_lines(data, shape)
    for line in found:
        if line.problem or any(line.cells):
            count += 1
            if count > MOST_LINES:
                raise TableError(LONG)
            yield line


def written(rows: Iterable[Iterable[str]], delimiter: str = ",") -> Iterator[bytes]:
    """A CSV file, piece by piece, which spreadsheets open as it is meant: with a byte order mark, and without
    anything that they would take for a formula.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter)
    yield codecs.BOM_UTF8
    for row in rows:
        writer.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in row])
        if buffer.tell() > SAMPLE:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


# --- CSV --------------------------------------------------------------------------------------------------------------


def _encoding_named(name: str) -> str:
    try:
        found = codecs.lookup(name)
    except LookupError as error:
        raise TableError(f"There is no encoding {name[:40]!r}. Try utf-8, windows-1252 or utf-16.") from error
    if not found._is_text_encoding:
        raise TableError(f"{name[:40]!r} isn't an encoding of texts. Try utf-8, windows-1252 or utf-16.")
    return found.name


def _encoding(data: bytes) -> str:
    """Without a mark: UTF-8 proves itself, UTF-16 shows by its zeros, and what is neither is Windows' own."""
    head = data[:SAMPLE]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even + odd and max(even, odd) > len(head) / 8:
        return "utf-16-be" if even > odd else "utf-16-le"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), 1 << 20):
            decoder.decode(data[at : at + (1 << 20)])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _text(data: bytes, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors="replace", newline="")


def _delimiter(text: str) -> str:
    """The one that cuts the most lines into the same number of cells, and into the most of them."""
    first, *rest = text.split("\n", 1)
    if found := _SEPARATOR.fullmatch(first):
        return found[1]
    # The last line of a sample may be cut off.
    whole = text if len(text) < SAMPLE or not rest else text[: text.rindex("\n")]

    def score(delimiter: str) -> tuple[float, int]:
        records = islice(_records(io.StringIO(whole, newline=""), delimiter), PEEK)
        widths = Counter(len(_cells(record, delimiter)) for _, record, _ in records if record.strip())
        usual, times = max(((width, n) for width, n in widths.items() if width > 1), key=_times, default=(1, 0))
        return times / max(widths.total(), 1), usual

    return max(DELIMITERS, key=score)


def _times(one: tuple[int, int]) -> tuple[int, int]:
    return one[1], one[0]


def _csv_lines(data: bytes, shape: Shape) -> Iterator[Line]:
    unreadable = shape.encoding.startswith("utf")
    for number, record, problem in _records(_text(data, shape.encoding), shape.delimiter):
        if number == 1 and _SEPARATOR.fullmatch(record):
            continue
        garbled = UNREADABLE if unreadable and "\ufffd" in record else ""
        yield Line(number, _cells(record, shape.delimiter), problem or garbled)


def _records(source: Iterable[str], delimiter: str) -> Iterator[tuple[int, str, str]]:
    """(line, text, problem) of each record: a quoted cell may run over several lines."""
    coming, waiting, number = iter(source), deque[str](), 0
    while (text := waiting.popleft() if waiting else next(coming, None)) is not None:
        number += 1
        if len(text) > LONGEST_LINE:
            yield number, text[:LONGEST_LINE], TOO_LONG
            continue
        if not _inside(text, delimiter):
            yield number, text, ""
            continue
        joined, inside = [text], True
        while inside and len(joined) <= MOST_JOINED:
            more = waiting.popleft() if waiting else next(coming, None)
            if more is None:
                break
            joined.append(more)
            inside = _inside(more, delimiter, inside=True)
        record = "".join(joined)
        if not inside and len(record) <= LONGEST_LINE:
            yield number, record, ""
            number += len(joined) - 1
        else:
            waiting.extendleft(reversed(joined[1:]))
            yield number, text, UNCLOSED


def _inside(text: str, delimiter: str, inside: bool = False) -> bool:
    """Whether a quoted cell is still open at the end of this line. Only at its beginning does a mark open one."""
    if '"' not in text:
        return inside
    at = 0
    while True:
        if not inside and text.startswith('"', at):
            inside, at = True, at + 1
        while inside:
            at = text.find('"', at)
            if at < 0:
                return True
            doubled = text.startswith('""', at)
            inside, at = doubled, at + 1 + doubled
        at = text.find(delimiter, at) + 1
        if not at:
            return False


def _cells(record: str, delimiter: str) -> list[str]:
    if "\0" in record:
        record = record.replace("\0", "")
    if '"' not in record:
        return [_said(cell) for cell in record.split(delimiter)]
    row = next(csv.reader([record], delimiter=delimiter), [])
    return [_said(cell) for cell in row]


def _said(text: str) -> str:
    text = text.strip()
    return "" if text in FAILED else text


# --- XLSX -------------------------------------------------------------------------------------------------------------


def _broken(error: Exception) -> TableError:
    told = TableError("This XLSX file can't be read. Open it in a spreadsheet and save it once more, or as CSV.")
    told.__cause__ = error
    return told


def _check(data: bytes) -> None:
    """What unpacking it could cost, before anything is unpacked. Python reads no more of a member than it states."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except Exception as error:
        raise _broken(error) from error
    if not any(member.filename.lower() == "xl/workbook.xml" for member in members):
        raise TableError("This file is no table that can be read here. Save it as XLSX or CSV.")
    if any(member.flag_bits & 1 for member in members):
        raise TableError("This file has a password. Save it without one.")
    sheets = sum(member.file_size for member in members if member.filename.startswith("xl/worksheets/"))
    others = [member.file_size for member in members if not member.filename.startswith(("xl/worksheets/", "xl/media/"))]
    if len(members) > MOST_MEMBERS or sheets > MOST_UNPACKED or sum(others) > MOST_SHARED:
        raise TableError("Unpacked, this file is far larger than a list of people. Save only that list, as CSV.")


def _open(data: bytes) -> Any:
    from twinline.kit import workbooks

    try:
        return workbooks.opened(data)
    except Exception as error:
        raise _broken(error) from error


def _workbook(data: bytes, wanted: str | None) -> Shape:
    _check(data)
    book = _open(data)
    sheets = {sheet.title: sheet for sheet in book.worksheets if sheet.sheet_state == "visible"}
    if not sheets:
        raise TableError("This file has no worksheet that can be seen.")
    if wanted is not None and wanted not in sheets:
        raise TableError(f"There is no worksheet {wanted!r}. There are: {', '.join(sheets)}.")
    for title in sheets if wanted is None else [wanted]:
        found = Shape("xlsx", sheet=title, sheets=tuple(sheets), width=MOST_COLUMNS)
        peeked = list(islice((line for line in _sheet_lines(data, found, book) if any(line.cells)), PEEK))
        if peeked:
            width = max(len(line.cells) for line in peeked)
            return Shape("xlsx", sheet=title, sheets=tuple(sheets), width=width)
    raise TableError("The worksheet is empty.")


def _sheet_lines(data: bytes, shape: Shape, book: Any = None) -> Iterator[Line]:
    sheet = (book or _open(data))[shape.sheet]
    # What a file says of its own size is often wrong, and padding to it would be a bomb of another kind.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(max_col=min(shape.width + 1, MOST_COLUMNS), values_only=True)
    number = 0
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                batch = list(islice(rows, 1000))
            except Exception as error:
                raise _broken(error) from error
        if not batch:
            return
        for row in batch:
            number += 1
            if number > LAST_ROW:
                raise TableError(LONG)
            if row.count(None) == len(row):
                continue
            cells = [value if type(value) is str else _shown(value) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            yield Line(number, [_said(cell) for cell in cells])


def _shown(value: object) -> str:
    """A cell's value as a person would write it; long numbers keep all their digits."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else format(value, ".15g")
        case datetime():
            return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat("minutes")
        case timedelta():
            minutes = int(value.total_seconds()) // 60
            return f"{minutes // 60}:{minutes % 60:02}"
        case _:
            return str(value)
