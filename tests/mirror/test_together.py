"""Many processes at once: everybody gets through, and the rows are as if they had come one by one."""

import asyncio
from random import Random

import pytest
from tests.fixtures import wire
from tests.fixtures.mirror import add_number, ask, exported, value
from tests.fixtures.wire import T0, Business, Human, Json

from twinline.app import App
from twinline.db import Database
from twinline.mirror import ingest, service
from twinline.mirror.events import publish
from twinline.mirror.turn import take

pytestmark = pytest.mark.anyio

SHOPS = [Business(f"7001{n}", f"8001{n}", f"35121000{n:04d}") for n in range(4)]
PEOPLE = [(Human(f"35191000{n:04d}"), Human(None, f"PT.{n}"), Human(f"35191000{n:04d}", f"PT.{n}")) for n in range(5)]
CONNECTIONS = 6


def bodies(random: Random) -> list[bytes]:
    """Messages, statuses and address books of the same few people at the same few shops, some for two shops at once."""
    found: list[Json] = []
    for n in range(60):
        shop, person = random.choice(SHOPS), random.choice(random.choice(PEOPLE))
        webhook = random.choice(
            (
                wire.inbound(person, wire.text(f"wamid.{n % 25}", T0 + n, "x"), business=shop),
                wire.echoes(person, wire.text(f"wamid.e{n % 25}", T0 + n, "y"), business=shop),
                wire.statuses(wire.status(person, f"wamid.e{n % 25}", "read", T0 + n), business=shop),
                wire.state_sync(wire.contact(person, "add", T0 + n, f"Name {n % 3}"), business=shop),
            )
        )
        found.append(webhook)
    found += [wire.envelope(*random.choice(found)["entry"], *random.choice(found)["entry"]) for _ in range(20)]
    unknown = Business("1", "2", "3")
    found += [wire.inbound(PEOPLE[0][0], wire.text(f"u{n}", T0, "?"), business=unknown) for n in range(6)]
    return [wire.body(webhook) for webhook in found for _ in range(2)]


async def state(app: App) -> list[str]:
    return [
        line
        for (number,) in await ask(app, "SELECT id FROM numbers ORDER BY id")
        for line in await exported(app, number)
    ]


@pytest.mark.parametrize("seed", [1, 2])
async def test_overlapping_batches_in_many_connections_all_finish(app: App, seed: int) -> None:
    random = Random(seed)
    for shop in SHOPS:
        await add_number(app, shop)
    told = bodies(random)
    # Spaces behind the JSON make another body of the same webhook, so that the archive doesn't stop it.
    batches = [[body + b" " * random.randrange(9) for body in random.sample(told, 12)] for _ in range(60)]
    batches += [[body] for body in told]
    random.shuffle(batches)
    pools = [Database(app.db.url, size=1) for _ in range(CONNECTIONS)]
    for pool in pools:
        await pool.open()
    try:

        async def process(pool: Database) -> None:
            while batches:
                batch = batches.pop()
                async with pool.transaction() as tx:
                    arrivals = [ingest.read(body, 1200) for body in batch]
                    await ingest.ingest(app, tx, arrivals, (), app.clock.now())

        async def others(pool: Database) -> None:
            while batches:
                async with pool.transaction() as tx:
                    shop = random.choice(SHOPS)
                    [(number,)] = await tx.rows("SELECT id FROM numbers WHERE waba_id = %s", (shop.waba_id,))
                    await take(tx, [number])
                    await publish(tx, {number: {"outbox": []}}, app.clock.now())
                    await service.claim(tx, shop.phone_number_id, shop.waba_id, app.clock.now())

        async with asyncio.timeout(60):
            await asyncio.gather(*(process(pool) for pool in pools[:-1]), others(pools[-1]))
    finally:
        for pool in pools:
            await pool.close()
    assert await value(app, "SELECT count(*) FROM identities i LEFT JOIN contacts c ON (c.number_id, c.id) = "
                            "(i.number_id, i.contact_id) WHERE c.id IS NULL") == 0  # fmt: skip
    gaps = await ask(app, "SELECT number_id FROM events GROUP BY 1 HAVING max(seq) <> count(*)")
    assert gaps == []
    together = await state(app)
    async with app.db.transaction() as tx:
        await tx.execute(
            "TRUNCATE webhooks, unclaimed, contacts, identities, merges, messages, statuses, chats, events CASCADE"
        )
        await tx.execute("UPDATE numbers SET phone_seen_at = NULL")
        await ingest.ingest(app, tx, [ingest.read(body, 1200) for body in told], (), app.clock.now())
    assert await state(app) == together
