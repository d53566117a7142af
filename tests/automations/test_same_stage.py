"""What the test panel shows is what the engine does: one automation, one conversation, played on both.

Placeholders that may be empty have a fallback here: a message that would be empty is refused, and tried elsewhere.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.automations import definitions
from tests.automations.conftest import Bakery
from tests.fixtures.wire import BAKERY

from twinline.automations import messages, schema, service, simulate
from twinline.automations.simulate import HandedBack, Passed, Replied, Said
from twinline.campaigns.zones import zone_of
from twinline.contacts import service as contacts
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.program import Program

pytestmark = pytest.mark.anyio

Event = str | timedelta | type[Replied] | type[HandedBack]
Sent = list[tuple[str, str | None]]

MINUTE = timedelta(minutes=1)
events: st.SearchStrategy[list[Event]] = st.lists(
    st.one_of(
        definitions.words,
        definitions.words,
        st.sampled_from([MINUTE, 11 * MINUTE, 130 * MINUTE]),
        st.sampled_from([Replied, HandedBack]),
    ),
    min_size=1,
    max_size=7,
)


@dataclass(frozen=True)
class Stage:
    """So that a failing example isn't told with all that was ever sent."""

    bakery: Bakery = field(repr=False)


async def engine_sends(bakery: Bakery, definition: dict[str, Any], phone: str, happened: list[Event]) -> Sent:
    await bakery.execute("UPDATE automations SET enabled = false")
    parts = {name: part for name, part in definition.items() if name not in ("name", "steps")}
    await bakery.automation(phone, *definition["steps"], **parts)
    contact = 0
    for event in happened:
        bakery.clock.advance(seconds=5)
        if isinstance(event, str):
            contact = await bakery.writes(phone, event)
        elif isinstance(event, timedelta):
            await _passes(bakery, event)
        elif event is Replied:
            await bakery.types(phone, "I'm here")
        elif contact:
            async with bakery.app.db.transaction() as tx:
                await service.release_floor(bakery.app, tx, bakery.number_id, contact, None, bakery.clock.now())
            await bakery.tend()
        await bakery.drain()
    rows = await bakery.dicts(
        "SELECT type, text FROM outbox WHERE contact_id = %s AND author = 'automation' AND state = 'sent' ORDER BY id",
        (contact,),
    )
    return [(row["type"], row["text"]) for row in rows]


async def _passes(bakery: Bakery, length: timedelta) -> None:
    """With a look at each moment at which something is due."""
    target = bakery.clock.now() + length
    while True:
        next_at = await bakery.tend()
        await bakery.drain()
        now = bakery.clock.now()
        if now >= target:
            return
        until = min(target, max(next_at, now)) if next_at else target
        bakery.clock.advance(seconds=(until - now).total_seconds() + 0.001)


def panel_sends(definition: dict[str, Any], facts: Facts, happened: list[Event], pause: timedelta) -> Sent:
    program, state = Program.of(definition), None
    sent: Sent = []
    for event in happened:
        one = (
            Said(Turn((event,), ("text",), wamids=("wamid.1",)))
            if isinstance(event, str)
            else Passed(event)
            if isinstance(event, timedelta)
            else event()
        )
        for what in (Passed(timedelta(seconds=5)), one):
            state, did = simulate.talk(program, state, what, facts, pause=pause)
            drafts = [messages.draft(step.message) for step in did if step.message is not None]
            sent += [(draft.type, draft.text) for draft in drafts]
    return sent


def _played(written: definitions.Json, name: str) -> dict[str, Any]:
    """Under its own name, so that it may begin itself; without the time, which goes on while the engine works."""
    text = json.dumps(written, ensure_ascii=False).replace("{{now|time}}", "now").replace('"Any"', f'"{name}"')
    text = re.sub(r"\{\{(number.name|vars.a|contact.fields.city)\}\}", r"{{\1|-}}", text)
    return schema.read(json.loads(text))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(definitions.conversations, events)
async def test_what_the_panel_shows_is_what_the_engine_does(
    stage: Stage, written: definitions.Json, happened: list[Event]
) -> None:
    bakery = stage.bakery
    bakery.heard += 1
    phone = f"3519100{bakery.heard:05}"
    definition, begun = _played(written, phone), bakery.clock.now()
    on_the_engine = await engine_sends(bakery, definition, phone, happened)
    [number] = await bakery.dicts("SELECT coalesce(verified_name, '') AS name FROM numbers")
    facts = Facts(begun.astimezone(ZoneInfo(zone_of(BAKERY.phone, "UTC"))), {"name": "Ana"}, number)
    for row in await bakery.dicts("SELECT profile_name AS name FROM contacts WHERE phone = %s", (phone,)):
        facts = facts.contact_with(**row)
    assert panel_sends(definition, facts, happened, timedelta(hours=2)) == on_the_engine


@pytest.fixture
async def stage(bakery: Bakery) -> Stage:
    async with bakery.app.db.transaction() as tx:
        for key in ("a", "b", "city"):
            await contacts.add_field(tx, bakery.organisation_id, key, "text", bakery.clock.now())
    return Stage(bakery)
