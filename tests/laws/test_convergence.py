"""The law of the ingest: any order, any repetition, any batching of the same webhooks ends in the same rows.

Each delivery runs inside a transaction of its own that is taken back, so hundreds of them share one database.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, RUA, T0, Human, Json
from tests.laws import worlds
from tests.laws.worlds import Delivery

from twinline.app import App
from twinline.db import Tx, as_json
from twinline.mirror import export, ingest, queries, service
from twinline.mirror.fold import CONTACT_REGISTERS, ContactRow, MessageRow
from twinline.numbers import lifecycle

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FOLLOWERS = (lifecycle.follow,)

law = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

ADD_NUMBER = """
WITH o AS (INSERT INTO organisations (name, created_at) VALUES ('o', %(now)s) RETURNING id)
INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at, connected_at, keep_edited)
SELECT id, %(waba)s, %(pnid)s, %(phone)s, %(now)s, %(now)s, %(keep)s FROM o RETURNING id
"""

# What the export leaves out but the law holds for as well: the team's unread counts, and every register's version.
BESIDE = (
    """
SELECT w.name, c.last_at, c.last_inbound_at, c.answered_at, c.unread
FROM chats c JOIN (SELECT contact_id, min(key) AS name FROM identities WHERE number_id = %(number)s GROUP BY 1) w
    USING (contact_id)
WHERE c.number_id = %(number)s AND coalesce(c.last_at, c.last_inbound_at) IS NOT NULL ORDER BY 1
""",
    """
SELECT w.name, phone_v, bsuid_v, parent_v, username_v, profile_v, book_v, opted_v
FROM contacts c JOIN (SELECT contact_id, min(key) AS name FROM identities WHERE number_id = %(number)s GROUP BY 1) w
    ON w.contact_id = c.id
WHERE c.number_id = %(number)s ORDER BY 1
""",
    "SELECT wamid, version, edit_v, delivery FROM messages WHERE number_id = %(number)s ORDER BY 1",
    "SELECT count(*) FROM contacts c WHERE number_id = %(number)s"
    " AND NOT EXISTS (SELECT FROM identities i WHERE i.number_id = c.number_id AND i.contact_id = c.id)",
)


LINES = "SELECT contact_id, last_at, last_wamid, last_inbound_at, answered_at, unread FROM chats ORDER BY contact_id"


class TakeBack(Exception):
    """Ends a transaction whose work was only wanted for a look."""


@pytest.fixture
async def number_id(app: App) -> int:
    async with app.db.transaction() as tx:
        added: int = await tx.value(
            ADD_NUMBER,
            {"now": NOW, "waba": BAKERY.waba_id, "pnid": BAKERY.phone_number_id, "phone": BAKERY.phone, "keep": True},
        )
    return added


async def state(tx: Tx, number_id: int) -> list[Any]:
    """Everything about the number that must not depend on how it was told."""
    lines = [line.decode() async for line in export.lines(tx, number_id)]
    return lines + [row for query in BESIDE for row in await tx.rows(query, {"number": number_id})]


async def delivered(app: App, number_id: int, delivery: Delivery, *, keep: bool = True) -> list[Any]:
    """The state after this delivery; the database is left as it was."""
    async with after(app, number_id, delivery, keep=keep) as tx:
        return await state(tx, number_id)


@asynccontextmanager
async def after(app: App, number_id: int, delivery: Delivery, *, keep: bool = True) -> AsyncIterator[Tx]:
    """A transaction in which the delivery has come; what happened in it is taken back."""
    with contextlib.suppress(TakeBack):
        async with app.db.transaction() as tx:
            await tx.execute("UPDATE numbers SET keep_edited = %s", (keep,))
            for batch, day in zip(delivery.batches, delivery.days, strict=True):
                arrivals = [ingest.read(body, 1 << 20) for body in batch]
                assert [arrival.problem for arrival in arrivals] == [None] * len(arrivals)
                await ingest.ingest(app, tx, arrivals, FOLLOWERS, NOW + timedelta(days=day))
            yield tx
            raise TakeBack


def bodies(entries: Sequence[Json]) -> list[bytes]:
    return [wire.body(wire.envelope(entry)) for entry in entries]


def in_one_batch(entries: Sequence[Json]) -> Delivery:
    return Delivery((tuple(bodies(entries)),), (0,))


def one_by_one(entries: Sequence[Json]) -> Delivery:
    return Delivery(tuple((body,) for body in bodies(entries)), (0,) * len(entries))


def retold(*webhooks: Json) -> tuple[list[Json], Delivery]:
    """The webhooks as a world, and their delivery one by one, the last first."""
    entries = [entry for webhook in webhooks for entry in webhook["entry"]]
    return entries, one_by_one(entries[::-1])


PICTURE = wire.said("wamid.1", T0, "image", wire.TYPES["image"])
LATER_PICTURE = wire.said("wamid.1", T0 + 7, "image", wire.TYPES["image"])
PLACEHOLDER = wire.chunk(0, 1, 5, wire.thread(RUA, wire.ours(wire.placeholder("wamid.1", T0))))


@law
@given(told=worlds.worlds_and_deliveries(), keep=st.booleans())
@example(told=retold(wire.follow_up_out(None, PICTURE), PLACEHOLDER), keep=True)
@example(
    told=retold(wire.follow_up_out(None, PICTURE), wire.statuses(wire.status(RUA, "wamid.1", "read", T0))), keep=True
)
@example(told=retold(wire.follow_up_out(None, LATER_PICTURE), wire.echoes(RUA, PICTURE)), keep=True)
@example(
    told=retold(wire.echoes(RUA, wire.said("wamid.1", T0, "unsupported")), wire.echoes(RUA, LATER_PICTURE)), keep=True
)
@example(told=retold(
        wire.inbound(RUA, wire.edit_of("wamid.e", T0 + 1, "wamid.0", "text", {"body": "rye"})),
        wire.chunk(
            0, 1, 5,
            wire.thread(RUA, wire.theirs(RUA, wire.edit_of("wamid.e", T0 + 3, "wamid.0", "text", {"body": "rye"}))),
        ),
    ),
    keep=True,
)  # fmt: skip
@example(
    told=retold(
        wire.state_sync(wire.contact(RUA, "add", T0, "Rua", "R")), wire.state_sync(wire.contact(RUA, "add", T0, "Rua"))
    ),
    keep=True,
)
@example(
    told=retold(wire.state_sync(wire.contact(RUA, "add", None)), wire.state_sync(wire.contact(RUA, "remove", None))),
    keep=True,
)
@example(
    told=retold(
        wire.inbound(RUA, wire.revoke_of("wamid.r", T0 + 2, "wamid.0")),
        wire.inbound(RUA, wire.edit_of("wamid.e", T0 + 1, "wamid.0", "text", {"body": "rye"})),
    ),
    keep=False,
)
async def test_any_order_repetition_and_batching_end_in_the_same_rows(
    app: App, number_id: int, told: tuple[list[Json], Delivery], keep: bool
) -> None:
    world, delivery = told
    expected = await delivered(app, number_id, in_one_batch(world), keep=keep)
    assert await delivered(app, number_id, delivery, keep=keep) == expected


@settings(law, max_examples=40)
@given(told=worlds.worlds.flatmap(lambda world: st.tuples(st.just(world), st.permutations(world))), keep=st.booleans())
async def test_one_batch_folds_in_memory_as_the_database_folds_one_by_one(
    app: App, number_id: int, told: tuple[list[Json], list[Json]], keep: bool
) -> None:
    world, shuffled = told
    together = await delivered(app, number_id, in_one_batch(shuffled), keep=keep)
    assert await delivered(app, number_id, one_by_one(world), keep=keep) == together
    assert await delivered(app, number_id, one_by_one(world + world[::-1]), keep=keep) == together


@settings(law, max_examples=60)
@given(told=worlds.worlds_and_deliveries())
async def test_a_chats_line_that_only_grew_is_the_one_that_counting_anew_makes(
    app: App, number_id: int, told: tuple[list[Json], Delivery]
) -> None:
    async with after(app, number_id, told[1]) as tx:
        grown = await tx.rows(LINES)
        chats = [{"number_id": number_id, "contact_id": contact_id} for contact_id, *_ in grown]
        await tx.execute(queries.REFRESH_CHATS, (as_json(chats),))
        assert await tx.rows(LINES) == grown


# --- the registers themselves -------------------------------------------------------------------------------------

low = st.integers(-1, 2)
words = st.none() | st.sampled_from(["a", "b"])
contents = st.none() | st.sampled_from([{"k": 1}, {"k": [None, "x"]}])
seconds = st.none() | st.integers(T0, T0 + 2)

message_rows = st.builds(
    MessageRow,
    number_id=st.just(1), wamid=st.just("w"), outgoing=st.just(False), contact_id=st.just(5), live=st.booleans(),
    version=low, at=seconds, type=words, text=words, content=contents, extra=contents, media_id=words, quoted=words,
    author=words, author_id=st.none() | st.integers(1, 2), delivery=st.integers(0, 7), edit_v=low, edit_text=words,
    edit_content=contents, revoked_at=seconds,
)  # fmt: skip
contact_rows = st.builds(
    ContactRow,
    number_id=st.just(1), id=st.just(1), phone=words, phone_v=low, bsuid=words, bsuid_v=low, parent_bsuid=words,
    parent_v=low, username=words, username_v=low, profile_name=words, profile_v=low, book_name=words, book_first=words,
    book_v=low, opted_out=st.booleans(), opted_v=low,
)  # fmt: skip
REGISTERS_OF_MESSAGES = (("version", ("type", "text", "content")), ("edit_v", ("edit_text", "edit_content")))


def _one_value_per_version(rows: Sequence[Any], registers: Any) -> None:
    """A version holds a digest of what it governs, so equal versions mean equal values; -1 means nothing was said."""
    for governor, fields in registers:
        first: dict[int, Any] = {-1: type(rows[0])(**_key_of(rows[0]))}
        for row in rows:
            source = first.setdefault(getattr(row, governor), row)
            for field in fields:
                setattr(row, field, getattr(source, field))


def _key_of(row: Any) -> dict[str, Any]:
    required = len(row.__struct_fields__) - len(row.__struct_defaults__)
    return {field: getattr(row, field) for field in row.__struct_fields__[:required]}


async def _written(app: App, statement: str, table: str, batches: Sequence[Sequence[Any]]) -> list[Any]:
    found: list[Any] = []
    try:
        async with app.db.transaction() as tx:
            for batch in batches:
                await tx.execute(statement, (msgspec.json.encode(list(batch)).decode(),))
            found = await tx.rows(f"SELECT to_jsonb(t) FROM {table} t")
            raise TakeBack
    except TakeBack:
        return found


@settings(law, max_examples=60)
@given(st.lists(message_rows, min_size=2, max_size=4))
async def test_absorbing_a_message_in_memory_is_what_the_upsert_does(app: App, rows: list[MessageRow]) -> None:
    _one_value_per_version(rows, (("version", queries.SAID), REGISTERS_OF_MESSAGES[1]))
    one_by_one_ = await _written(app, queries.WRITE_MESSAGES, "messages", [[row] for row in rows])
    backwards = await _written(app, queries.WRITE_MESSAGES, "messages", [[row] for row in rows[::-1]])
    first, *others = rows
    for other in others:
        first.absorb(other)
    together = await _written(app, queries.WRITE_MESSAGES, "messages", [[first]])
    assert one_by_one_ == backwards == together


@settings(law, max_examples=60)
@given(st.lists(contact_rows, min_size=2, max_size=4))
async def test_absorbing_a_contact_in_memory_is_what_the_upsert_does(app: App, rows: list[ContactRow]) -> None:
    _one_value_per_version(rows, CONTACT_REGISTERS)
    one_by_one_ = await _written(app, queries.WRITE_CONTACTS, "contacts", [[row] for row in rows])
    backwards = await _written(app, queries.WRITE_CONTACTS, "contacts", [[row] for row in rows[::-1]])
    first, *others = rows
    for other in others:
        first.absorb(other)
    together = await _written(app, queries.WRITE_CONTACTS, "contacts", [[first]])
    assert one_by_one_ == backwards == together


# --- before the answer, or right behind it ------------------------------------------------------------------------

TABLES = "webhooks, unclaimed, contacts, identities, merges, messages, statuses, edits, media, chats, events, notices"


@settings(law, max_examples=20)
@given(worlds.worlds_and_deliveries())
async def test_a_heavy_body_folded_behind_in_slices_ends_as_a_light_one(
    app: App, number_id: int, monkeypatch: pytest.MonkeyPatch, told: tuple[list[Json], Delivery]
) -> None:
    world, delivery = told
    expected = await delivered(app, number_id, in_one_batch(world))
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "SLICE", 2)
        arrivals = [ingest.read(body, 0) for batch in delivery.batches for body in batch]
        async with app.db.transaction() as tx:
            await ingest.ingest(app, tx, arrivals, FOLLOWERS, NOW)
        for arrival in arrivals:
            await service.fold_archived(app, NOW.date().isoformat(), arrival.digest, FOLLOWERS)
    async with app.db.transaction() as tx:
        found = await state(tx, number_id)
        states = await tx.rows("SELECT DISTINCT state FROM webhooks")
        await tx.execute(f"TRUNCATE {TABLES}, sync_chunks, sync_requests, procrastinate_jobs CASCADE")
        await tx.execute("UPDATE numbers SET phone_seen_at = NULL, state = 'connecting', state_reason = NULL")
    assert states == [("folded",)]
    assert found == expected


async def test_a_person_seen_first_by_phone_then_by_user_id_then_by_both_is_one_contact(
    app: App, number_id: int
) -> None:
    phone, user = Human("5531988887777"), Human(None, "BR.50")
    both = Human("553188887777", "BR.50", "Ada")
    world = [
        wire.inbound(phone, wire.text("wamid.a", T0, "hi"))["entry"][0],
        wire.inbound(user, wire.text("wamid.b", T0 + 1, "there"))["entry"][0],
        wire.inbound(both, wire.text("wamid.c", T0 + 2, "again"))["entry"][0],
    ]
    found = await delivered(app, number_id, one_by_one(world))
    [contact] = [line for line in found if isinstance(line, str) and '"kind":"contact"' in line]
    assert '"keys":["p:5531988887777","u:BR.50"]' in contact
    assert '"phone":"553188887777"' in contact
    assert found == await delivered(app, number_id, one_by_one(world[::-1]))
