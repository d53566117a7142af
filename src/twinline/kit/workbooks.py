"""Worksheets, read and written with openpyxl, which takes a while to load: import this where one is at hand."""

import io
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import orjson
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE


def opened(data: bytes) -> Any:
    """A workbook to read row by row, formulas as their values. Raises whatever openpyxl does for what is none."""
    # Features that are of no interest here would be warned of.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)


def packed(rows: Sequence[Sequence[Any]]) -> bytes:
    """A line for a file of rows that ``write`` takes: texts, numbers, moments and None."""
    return orjson.dumps(rows, default=_plain, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_APPEND_NEWLINE)


def _plain(value: Any) -> Any:
    """Moments as an object, for lack of anything of their own."""
    return {"at": value.timestamp()} if isinstance(value, datetime) else float(value)


def write(rows: Path, book: Path, title: str, columns: Sequence[str]) -> None:
    """A workbook of one sheet, from a file of ``packed`` rows."""
    made = openpyxl.Workbook(write_only=True)
    sheet = made.create_sheet(title)
    sheet.append(columns)
    with rows.open("rb") as file:
        for line in file:
            for row in orjson.loads(line):
                sheet.append([_cell(sheet, value) for value in row])
    made.save(book)


def _cell(sheet: Any, value: Any) -> Any:
    """Worksheets have neither zones nor control characters."""
    if isinstance(value, dict):
        return WriteOnlyCell(sheet, value=datetime.fromtimestamp(value["at"], UTC).replace(tzinfo=None))
    if not isinstance(value, str):
        return WriteOnlyCell(sheet, value=value)
    cell = WriteOnlyCell(sheet, value=ILLEGAL_CHARACTERS_RE.sub("", value))
    cell.data_type = "s"  # else a text that begins with an equals sign is a formula
    return cell
