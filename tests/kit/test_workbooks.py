"""Workbooks that are written, from rows in a file."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from twinline.kit import beside, workbooks

pytestmark = pytest.mark.anyio

COLUMNS = ("name", "cost", "line", "sent_at", "why")
LISBON = timezone(timedelta(hours=1))


@pytest.mark.parametrize("size", [0, beside.LARGE])
async def test_a_workbook_holds_what_was_packed_wherever_it_is_written(tmp_path: Path, size: int) -> None:
    sent_at = datetime(2026, 11, 20, 12, 0, 30, tzinfo=LISBON)
    slices = [
        [("=1+1", Decimal("0.0625"), 7, sent_at, None), ("A\x07na", None, None, None, "they said\nSTOP")],
        [("Zoë 🙏", Decimal(0), 8, sent_at.astimezone(UTC), "")],
    ]
    rows, book = tmp_path / "rows", tmp_path / "book.xlsx"
    rows.write_bytes(b"".join(map(workbooks.packed, slices)))
    await beside.run(size, workbooks.write, rows, book, "People", COLUMNS)
    sheet = openpyxl.load_workbook(book)["People"]
    told = datetime(2026, 11, 20, 11, 0, 30)
    assert list(sheet.values) == [
        COLUMNS,
        ("=1+1", 0.0625, 7, told, None),
        ("Ana", None, None, None, "they said\nSTOP"),
        ("Zoë 🙏", 0, 8, told, None),
    ]
    assert sheet["A2"].data_type == "s"  # no formula
