"""Worksheets, read and written with openpyxl, which takes a while to load: import this where one is at hand."""

import io
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE


def opened(data: bytes) -> Any:
    """A workbook to read row by row, formulas as their values. Raises whatever openpyxl does for what is none."""
    # Features that are of no interest here would be warned of.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)


def begun(title: str, columns: Sequence[str]) -> tuple[Any, Any]:
    """A workbook to be saved, and its one sheet, which is written row by row."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.append(columns)
    return book, sheet


def append(sheet: Any, rows: Iterable[Iterable[Any]]) -> None:
    for row in rows:
        cells = []
        for value in map(_for_sheet, row):
            cell = WriteOnlyCell(sheet, value=value)
            if isinstance(value, str):
                cell.data_type = "s"  # else a text that begins with an equals sign is a formula
            cells.append(cell)
        sheet.append(cells)


def _for_sheet(value: Any) -> Any:
    """Worksheets have neither zones nor control characters."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value
