"""The people of a campaign as a file: CSV or XLSX, made slice by slice."""

import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from twinline.campaigns import views, words
from twinline.campaigns.models import Campaign
from twinline.campaigns.views import Person, Wanted
from twinline.db import Database
from twinline.kit import beside, tables

COLUMNS: Final = (
    "name", "phone", "user_id", "line", "state", "reason", "why", "template", "language", "market", "cost", "sent_at",
    "delivered_at", "read_at", "replied_at", "failed_at", "button", "opted_out_at", "converted_at",
)  # fmt: skip
CSV: Final = "text/csv; charset=utf-8"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

Slices = AsyncIterator[list[Person]]


def written(db: Database, one: Campaign, wanted: Wanted, kind: str) -> tuple[AsyncIterator[bytes], str]:
    """The people of a campaign as "csv" or "xlsx", piece by piece, and its MIME type."""
    templates = [variant.template for variant in one.what.variants]
    slices = views.everybody(db, one, wanted)
    return (as_xlsx(slices, templates), XLSX) if kind == "xlsx" else (as_csv(slices, templates), CSV)


async def as_csv(slices: Slices, templates: list[str]) -> AsyncIterator[bytes]:
    for piece in tables.written([COLUMNS]):
        yield piece
    async for people in slices:
        for number, piece in enumerate(tables.written(_texts(one, templates) for one in people)):
            if number:  # the first is the byte order mark, which stands at the beginning already
                yield piece


async def as_xlsx(slices: Slices, templates: list[str]) -> AsyncIterator[bytes]:
    """A worksheet is written to a file first: its end comes before its beginning."""
    from twinline.kit import workbooks

    with tempfile.NamedTemporaryFile() as rows, tempfile.NamedTemporaryFile() as book:
        async for people in slices:
            rows.write(workbooks.packed([_values(one, templates) for one in people]))
        rows.flush()
        await beside.run(rows.tell(), workbooks.write, Path(rows.name), Path(book.name), "People", COLUMNS)
        while piece := book.read(1 << 16):
            yield piece


def _texts(one: Person, templates: list[str]) -> list[str]:
    found = _values(one, templates)
    shown = (value.isoformat() if isinstance(value, datetime) else value for value in found)
    return ["" if value is None else str(value) for value in shown]


def _values(one: Person, templates: list[str]) -> list[Any]:
    return [
        one.name,
        f"+{one.phone}" if one.phone else None,
        one.bsuid,
        one.line,
        one.state,
        one.reason or None,
        words.reason(one.reason, one.says) or None,
        templates[one.variant] if one.variant < len(templates) else None,
        one.language,
        one.market,
        one.cost,
        one.sent_at,
        one.delivered_at,
        one.read_at,
        one.replied_at,
        one.failed_at,
        one.button,
        one.opted_out_at,
        one.converted_at,
    ]
