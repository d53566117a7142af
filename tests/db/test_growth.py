"""What is asked often reads about what it answers, not all that was ever stored; on a young database, of whose tables
PostgreSQL knows nothing yet, and on one that it knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.fixtures import plans

from twinline.app import App
from twinline.automations import queries as automations
from twinline.automations import views
from twinline.campaigns import queries as campaigns
from twinline.contacts import queries as contacts
from twinline.inbox import queries as inbox
from twinline.mirror import queries as mirror
from twinline.sending import outbox
from twinline.webhooks_out import queries as webhooks

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGO = "timestamptz '2026-11-20 12:00+00' - n * interval '1 minute'"
LONG_AGO = datetime(2026, 11, 19, tzinfo=UTC)

BAKERY = """
    INSERT INTO organisations (name, created_at) VALUES ('Bakery', now());
    INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, created_at)
    VALUES (1, '1', '1', '1', now());
    INSERT INTO automations (organisation_id, name, position, draft, draft_at, made_at)
    SELECT 1, n, n, '{}', now(), now() FROM generate_series(1, 10) n;
"""
# Thousands of each, most of them of a hundred people.
STORED = {
    "messages": f"""
        INSERT INTO messages (number_id, wamid, contact_id, outgoing, version, at, type, text)
        SELECT 1, 'wamid.' || n, mod(n, 100), false, 1, {AGO}, (ARRAY['text', 'reaction', NULL])[1 + mod(n / 100, 3)],
               'hello'
        FROM generate_series(1, 3000) n
    """,
    "outbox": f"""
        {BAKERY}
        INSERT INTO outbox (number_id, contact_id, lane, author, author_id, floor_epoch, created_at, type, state)
        SELECT 1, mod(n, 100), 0, 'automation', 1, 0, {AGO}, 'text', 'sent' FROM generate_series(1, 3000) n
    """,
    "runs": f"""
        {BAKERY}
        INSERT INTO runs (number_id, organisation_id, automation_id, version, contact_id, state, waits, run, began_at,
                          moved_at)
        SELECT 1, 1, 1 + mod(n, 9), 1, mod(n, 100), 'ended', 'time', '{{}}', {AGO}, {AGO}
        FROM generate_series(1, 3000) n
    """,
    "contacts": """
        INSERT INTO contacts (number_id, opted_out, opted_v)
        SELECT 1, true, n::bigint << 30 FROM generate_series(1, 3000) n
    """,
    "consents": f"""
        INSERT INTO consents (organisation_id, key, topic, at, granted, source, number_id)
        SELECT 1, 'p:' || n, '', {AGO}, false, 'keyword', 1 FROM generate_series(1, 24000) n;
        INSERT INTO identities SELECT 1, 'p:' || n, n FROM generate_series(1, 24000) n
    """,
    "webhook_deliveries": f"""
        INSERT INTO webhook_endpoints (organisation_id, url, types, secret, state_since, created_at)
        VALUES (1, '', '{{}}', '', now(), now());
        INSERT INTO webhook_deliveries (organisation_id, endpoint_id, key, type, at, number_id, contact_id, body, state,
                                        created_at, due_at, tried_at)
        SELECT 1, 1, n, 'message.received', {AGO}, 1, mod(n, 100), '{{}}', 'delivered', {AGO}, {AGO}, {AGO}
        FROM generate_series(1, 3000) n
    """,
}


@dataclass(frozen=True)
class Asked:
    what: str
    table: str
    statement: str
    params: Mapping[str, Any]
    reads: int  # at most
    young: bool = True  # so few also where nothing is known
    by_key: bool = False  # in a pipelined transaction


CHAT = {"number": 1, "contact": 7, "contacts": [7, 8], "organisation": 1, "id": 1, "since": LONG_AGO}
RUNS: dict[str, Any] = {
    "organisation": 1,
    "number": None,
    "automation": None,
    "contact": None,
    "before": None,
    "limit": 10,
}
JOINED = {"number": 1, "winner": 200, "loser": 7}
OFTEN = [
    *(
        Asked(f"whose messages these are, {place}", "messages", statement, JOINED, 20)
        for place, statement in enumerate(s for s in mirror.MERGE if "UPDATE messages" in s)
    ),
    Asked("to whom these were sent", "outbox", next(s for s in mirror.MERGE if "UPDATE outbox" in s), JOINED, 60),
    Asked("what chats said last", "messages", views.LAST_WORDS, {"numbers": [1, 1], "contacts": [7, 8]}, 40),
    Asked("who was known before", "messages", views.EARLIER, CHAT, 4),
    Asked(
        "what was sent to somebody",
        "outbox",
        outbox.MESSAGES,
        {**CHAT, "before": 1 << 62, "state": None, "limit": 10},
        60,
    ),
    Asked("what was said about marketing", "consents", automations.WORDS_SAID, {**CHAT, "since": NOW, "until": NOW}, 0),
    *(
        Asked(f"conversations {ids}", "runs", automations.runs_statement(RUNS | ids), RUNS | ids, 120, young=bool(ids))
        for ids in ({}, {"automation": 2}, {"automation": 10}, {"contact": 7})
    ),
    Asked(
        "what two thousand said about marketing",
        "consents",
        contacts.CONSENTS,
        {"organisation": 1, "number": 1, "topic": "news", "ids": list(range(1, 2001))},
        30_000,
    ),
    Asked("what automations wrote", "outbox", automations.WRITTEN, {"number": 1, "ids": [7, 8]}, 40, by_key=True),
    Asked("who stopped marketing", "contacts", campaigns.BLOCKED, {**CHAT, "within": timedelta(days=3)}, 0),
    Asked("a word", "messages", f"SELECT wamid {inbox.MATCHES}", {"number": 1, "query": "'cake':*"}, 0, young=False),
    Asked("an endpoint", "webhook_deliveries", webhooks.ONE, CHAT, 2),
]


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        pytest.param(asked, known, id=f"{asked.what}, {'known' if known else 'young'}")
        for asked in OFTEN
        for known in (False, True)
        if known or asked.young
    ],
)
async def test_it_reads_what_it_answers(app: App, asked: Asked, known: bool) -> None:
    async with app.db.transaction() as tx:
        for statement in STORED[asked.table].split(";"):
            await tx.execute(statement)
    async with app.db.transaction() as tx:
        if known:
            await tx.execute("ANALYZE")
        assert await plans.read(tx, asked.statement, asked.params, by_key=asked.by_key) <= asked.reads
