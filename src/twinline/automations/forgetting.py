"""What is told of the past goes when it is old enough: the why-log, and conversations that have ended.

Ids grow as time goes on, so what is oldest comes first and is found by key, a page at a time. That suits a number's
turn: nobody waits for longer than a page.
"""

from datetime import datetime, timedelta
from typing import Final

from twinline.app import App
from twinline.mirror import turn

PAGE: Final = 1_000  # rows

NUMBERS = "SELECT id FROM numbers ORDER BY id"

# Each answers where the next page begins, and nothing where no more can be old.
FORGET_LINES = """
WITH page AS MATERIALIZED (
    SELECT id, at FROM automation_log WHERE number_id = %(number)s AND id > %(after)s ORDER BY id LIMIT %(page)s
), gone AS (
    DELETE FROM automation_log l USING page
    WHERE l.number_id = %(number)s AND l.id = page.id AND page.at < %(before)s
)
SELECT max(id) FROM page HAVING count(*) = %(page)s AND min(at) < %(before)s
"""
FORGET_RUNS = """
WITH page AS MATERIALIZED (
    SELECT id, began_at FROM runs WHERE number_id = %(number)s AND id > %(after)s ORDER BY id LIMIT %(page)s
), gone AS (
    DELETE FROM runs r USING page
    WHERE r.number_id = %(number)s AND r.id = page.id AND r.state = 'ended' AND r.ended_at < %(before)s
)
SELECT max(id) FROM page HAVING count(*) = %(page)s AND min(began_at) < %(before)s
"""


async def forget(app: App) -> None:
    """Deletes what is older than the settings say."""
    now = app.clock.now()
    async with app.db.transaction() as tx:
        numbers = [row[0] for row in await tx.rows(NUMBERS)]
    for number_id in numbers:
        await _thin(app, FORGET_LINES, number_id, now - timedelta(days=app.settings.why_days))
        await _thin(app, FORGET_RUNS, number_id, now - timedelta(days=app.settings.runs_days))


async def _thin(app: App, statement: str, number_id: int, before: datetime) -> None:
    after: int | None = 0
    while after is not None:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            named = {"number": number_id, "before": before, "after": after, "page": PAGE}
            after = await tx.value(statement, named)
