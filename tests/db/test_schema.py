"""Habits of the schema that a reviewer would otherwise have to look for."""

import re

import pytest

from twinline.app import App
from twinline.db import Database
from twinline.db.engine import BY_KEY
from twinline.mirror import queries as mirror_queries

pytestmark = pytest.mark.anyio

# Tables that grow lead their key with the number or the organisation, so that they can be distributed by that column.
# These don't, each for a reason.
EXCEPTIONS = {
    "organisations": "small: one row a customer, and what the others are distributed by",
    "numbers": "small: one row a number, and what the others are distributed by",
    "users": "small: people who log in; found by e-mail before their organisation is known",
    "sessions": "small: found by the cookie before anybody is known, and they expire",
    "webhooks": "a body can speak of several numbers; it is partitioned by the day it came and dropped by the day",
    "webhooks_other": "a partition of webhooks",
    "unclaimed": "speaks of numbers that aren't here yet, and empties when they are added",
    "alembic_version": "one row",
}
KEYS = """
SELECT t.relname, (
    SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = t.oid AND i.indisprimary
)
FROM pg_class t WHERE t.relkind IN ('r', 'p') AND t.relnamespace = 'public'::regnamespace ORDER BY 1
"""


async def test_every_growing_table_leads_its_key_with_the_number_or_the_organisation(empty_database: str) -> None:
    database = Database(empty_database, size=1)
    await database.open()
    try:
        async with database.transaction() as tx:
            leads = dict(await tx.rows(KEYS))
    finally:
        await database.close()
    ours = {table: lead for table, lead in leads.items() if not table.startswith("procrastinate_")}
    assert set(EXCEPTIONS) <= set(ours)
    others = {table: lead for table, lead in ours.items() if table not in EXCEPTIONS}
    assert others
    assert {table: lead for table, lead in others.items() if lead not in ("number_id", "organisation_id")} == {}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (mirror_queries.REFRESH_CHATS, "using chats_pkey on chats"),
        (mirror_queries.IDENTIFY, "using identities_pkey on identities"),
        (mirror_queries.RECOGNISE, "using identities_pkey on identities"),
    ],
)
async def test_a_young_database_finds_chats_and_people_by_their_key(app: App, statement: str, found: str) -> None:
    """Else a plan made while the tables are empty, and kept, would walk over all of a number's to find one."""
    async with app.db.transaction() as tx:
        await tx.execute(BY_KEY)
        await tx.execute(f"PREPARE asked (json) AS {statement.replace('%s', '$1')}")
        plan = "\n".join(row[0] for row in await tx.rows("EXPLAIN EXECUTE asked ('[]')"))
    assert found in plan


@pytest.mark.parametrize("statement", [mirror_queries.CLAIM, mirror_queries.LOSER])
async def test_what_is_asked_under_a_turn_reads_no_more_than_it_needs(app: App, statement: str) -> None:
    """Without sorts, an order that an index has isn't worth reading all of it."""
    for place, name in enumerate(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)), start=1):
        statement = statement.replace(f"%({name})s", f"${place}")
    async with app.db.transaction() as tx:
        await tx.execute(BY_KEY)
        await tx.execute(f"PREPARE asked AS {statement}")
        plan = "\n".join(row[0] for row in await tx.rows("EXPLAIN EXECUTE asked (NULL, NULL)"))
    assert "Filter" not in plan, plan
