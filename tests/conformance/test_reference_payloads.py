"""The mirror against a folder of reference payloads: one webhook body a file, in folders named after the field.

The folder isn't part of this repository. It is looked for where ``TWINLINE_REFERENCE`` says, else where the
maintainers keep it, in ``shared`` beside the repository.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.fixtures.mirror import add_number, became, exported, tell
from tests.fixtures.wire import Business

from twinline.app import App
from twinline.meta import signature
from twinline.meta.webhooks import Message, Notice, parse
from twinline.mirror import export, ingest

HERE = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TWINLINE_REFERENCE") or HERE.parent / "shared" / "reference" / "payloads")

# What passes between a platform and Graph, or a page and the popup: no webhooks.
OTHERS = {"api", "embedded_signup"}
FILES = sorted(path for path in FOLDER.glob("*/*.json") if path.parent.name not in OTHERS) if FOLDER.is_dir() else []

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not FILES, reason="no reference payloads: set TWINLINE_REFERENCE to their folder"),
]

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def addresses() -> list[Business]:
    """Every number that the payloads speak of, and for accounts without one a number of our own."""
    found: dict[str, Business] = {}
    accounts: set[str] = set()
    for path in FILES:
        for event in parse(path.read_bytes()).events:
            address = event.address
            if address.waba_id:
                accounts.add(address.waba_id)
            if address.phone_number_id and address.phone and address.waba_id:
                found[address.phone_number_id] = Business(address.waba_id, address.phone_number_id, address.phone)
    homeless = sorted(accounts - {business.waba_id for business in found.values()})
    spare = [Business(waba, f"99{n}", f"99900000{n:03d}") for n, waba in enumerate(homeless)]
    return [*found.values(), *spare]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_reference_payload_is_understood(path: Path) -> None:
    parsed = parse(path.read_bytes())
    assert parsed.problems == []
    assert parsed.events
    assert not [event for event in parsed.events if isinstance(event, Notice) and event.field == "unknown"]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_spaces_order_of_keys_and_numbers_as_strings_say_the_same(path: Path) -> None:
    found = json.loads(path.read_bytes())
    expected = parse(path.read_bytes()).events
    turned = json.dumps(found, sort_keys=True, indent=3, ensure_ascii=False).encode()
    assert parse(turned).events == expected


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_signature_over_a_reference_payload_is_proof_of_it_and_nothing_else(path: Path) -> None:
    body = path.read_bytes()
    header = signature.sign("app secret", body)
    assert signature.verify("app secret", body, header)
    assert signature.verify("app secret", body, header.encode())
    assert not signature.verify("app secret", body + b" ", header)
    assert not signature.verify("another secret", body, header)


async def everything(app: App, numbers: list[int], batches: list[list[bytes]]) -> list[str]:
    """The export of all numbers after these batches; the database is left as it was."""
    lines: list[str] = []

    class TakeBack(Exception):
        pass

    try:
        async with app.db.transaction() as tx:
            for batch in batches:
                await ingest.ingest(app, tx, [ingest.read(body, 1 << 30) for body in batch], (), NOW)
            for number in numbers:
                lines += [line.decode() async for line in export.lines(tx, number)]
            raise TakeBack
    except TakeBack:
        return lines


async def test_all_of_them_in_any_order_and_batching_end_in_the_same_rows(app: App) -> None:
    numbers = [await add_number(app, business) for business in addresses()]
    bodies = [path.read_bytes() for path in FILES]
    expected = await everything(app, numbers, [bodies])
    assert len(expected) > len(FILES)
    random = Random(7)
    for _ in range(12):
        order = random.sample(bodies, len(bodies)) + random.choices(bodies, k=20)
        size = random.choice((1, 3, 20, len(order)))
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        assert await everything(app, numbers, batches) == expected


async def test_every_message_in_them_is_in_the_export(app: App) -> None:
    numbers = [await add_number(app, business) for business in addresses()]
    bodies = [path.read_bytes() for path in FILES]
    await tell(app, *bodies)
    lines: list[Any] = [json.loads(line) for number in numbers for line in await exported(app, number)]
    kept = {line["wamid"] for line in lines if line["kind"] == "message" and line["type"] is not None}
    said = {event.wamid for body in bodies for event in parse(body).events if isinstance(event, Message)}
    assert said == kept
    assert {(await became(app, body)) for body in bodies} == {("folded", None)}
