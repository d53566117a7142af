"""What is told of the past goes when it is old, and nothing that is still meant."""

from datetime import timedelta

import pytest
from pydantic import ValidationError
from tests.automations.conftest import Bakery

from twinline.automations import forgetting
from twinline.rules.automations.program import LONGEST
from twinline.settings import Settings

pytestmark = pytest.mark.anyio

LINES = """
INSERT INTO automation_log (number_id, contact_id, at, kind, says)
SELECT %s, 1, %s - make_interval(days => n) + interval '3 hours', 'floor', n::text FROM generate_series(300, 1, -1) n
"""
RUN = """
INSERT INTO runs (number_id, organisation_id, automation_id, version, contact_id, state, waits, run, began_at, moved_at,
                  ended_at, why)
SELECT %(number)s, %(organisation)s, 1, 1, n, CASE WHEN n %% 10 = 0 THEN 'waiting' ELSE 'ended' END, '', '{}',
       %(now)s - make_interval(days => n), %(now)s,
       CASE WHEN n %% 10 > 0 THEN %(now)s - make_interval(days => n) + interval '3 hours' END, ''
FROM generate_series(500, 301, -1) n
"""


async def test_lines_of_the_log_are_kept_for_as_long_as_the_settings_say(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "PAGE", 7)
    await bakery.execute(LINES, (bakery.number_id, bakery.clock.now()))
    await forgetting.forget(bakery.app)
    kept = [int(row["says"]) for row in await bakery.dicts("SELECT says FROM automation_log ORDER BY id")]
    assert kept == list(range(180, 0, -1))
    await forgetting.forget(bakery.app)
    assert len(await bakery.dicts("SELECT id FROM automation_log")) == 180


async def test_conversations_go_when_they_ended_long_ago_and_those_under_way_stay(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "PAGE", 7)
    named = {"number": bakery.number_id, "organisation": bakery.organisation_id, "now": bakery.clock.now()}
    await bakery.execute(RUN, named)
    await forgetting.forget(bakery.app)
    kept = {row["contact_id"]: row["state"] for row in await bakery.dicts("SELECT contact_id, state FROM runs")}
    assert {n for n, state in kept.items() if state == "ended"} == {n for n in range(301, 401) if n % 10}
    assert {n for n, state in kept.items() if state == "waiting"} == set(range(310, 501, 10))


async def test_nobody_can_choose_to_forget_what_a_limit_still_asks_for() -> None:
    """An automation may begin once in a length of time, and that is known from its conversations."""
    assert timedelta(days=Settings(runs_days=367).runs_days) > LONGEST
    with pytest.raises(ValidationError):
        Settings(runs_days=366)
