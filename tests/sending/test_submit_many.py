"""Many messages through the one way out: the same as one after the other, in as many statements as for one."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Shop

from twinline.db import Tx
from twinline.rules.refusal import Refused
from twinline.sending import service
from twinline.sending.models import Cause, Draft, Lane, Submission
from twinline.sending.service import NoSuchContact, OtherMessage

pytestmark = pytest.mark.anyio

OPEN, STRANGER, OPTED_OUT, ON_THE_PHONE, TALKING, NOBODY = range(6)
ROWS = """
SELECT contact_id, lane, author, author_id, floor_epoch, idempotency_key, type, text, content, topic, state
FROM outbox WHERE number_id = %s ORDER BY id
"""
FLOORS = "SELECT contact_id, floor_holder FROM chats WHERE number_id = %s ORDER BY contact_id"


class Undone(Exception):
    pass


@pytest.fixture
async def people(shop: Shop) -> list[int]:
    """Everybody that a rule may say something about, by the numbers above."""
    known = [await shop.customer(f"35191000000{n}", writes=n != STRANGER) for n in range(NOBODY)]
    await shop.hears(wire.preference(Human(f"35191000000{OPTED_OUT}"), "stop", shop.seconds))
    await shop.phone_says(f"35191000000{ON_THE_PHONE}", "I'll call you.")
    await shop.says(known[TALKING], "Hello from the inbox", idempotency_key="k1")
    shop.clock.stop()
    return [*known, 10**9]


def told(outcome: object) -> object:
    """Comparable; ids of new rows differ from one try to the next."""
    match outcome:
        case Refused():
            return outcome.refusal
        case NoSuchContact() | OtherMessage():
            return type(outcome)
        case _:
            return int


async def one_by_one(shop: Shop, tx: Tx, asked: Sequence[Submission], **by: Any) -> list[service.Became]:
    became: list[service.Became] = []
    for one in asked:
        try:
            became.append(
                await service.submit(
                    shop.app, tx, shop.number_id, one.contact_id, one.draft,
                    lane=one.lane, idempotency_key=one.key, **by,
                )
            )  # fmt: skip
        except (Refused, NoSuchContact, OtherMessage) as error:
            became.append(error)
    return became


async def at_once(shop: Shop, tx: Tx, asked: Sequence[Submission], **by: Any) -> list[service.Became]:
    return await service.submit_many(shop.app, tx, shop.number_id, asked, **by)


MESSAGE = st.tuples(
    st.integers(OPEN, NOBODY), st.sampled_from(["Hello", "Bread!", "x" * 5000]), st.sampled_from(Lane)
)  # fmt: skip
KEYS = ("k1", "k2", "k3", None, None, None)  # each of one message, which may come again


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(*[MESSAGE] * len(KEYS)),
    st.lists(st.integers(0, len(KEYS) - 1), max_size=8),
    st.sampled_from(["person", "automation", "campaign"]),
    st.booleans(),
)
@example([(OPEN, "Hello", Lane.PERSON)] * len(KEYS), [0, 1, 3, 1, 4], "person", True)
@example([(OPEN, "x" * 5000, Lane.PERSON)] * len(KEYS), [1, 1, 3], "automation", False)
async def test_many_at_once_become_what_they_would_one_after_the_other(
    shop: Shop, people: list[int], messages: Sequence[tuple[int, str, Lane]], order: list[int], author: str, api: bool
) -> None:
    by = {"author": author, "author_id": 7, "cause": Cause(1, b"request") if api else None}
    asked = []
    for place in order:
        who, text, lane = messages[place]
        asked.append(Submission(people[who], Draft("text", text), lane, KEYS[place]))
    seen = []
    for way in (one_by_one, at_once):
        with suppress(Undone):
            async with shop.app.db.transaction() as tx:
                became = [told(outcome) for outcome in await way(shop, tx, asked, **by)]
                written = await tx.dicts(ROWS, (shop.number_id,))
                for row in written:  # a person who writes twice to one chat takes the floor once here, and twice there
                    row["floor_epoch"] = min(row["floor_epoch"], 1)
                seen.append((became, written, await tx.rows(FLOORS, (shop.number_id,))))
                raise Undone
    assert seen[0] == seen[1]


async def test_ten_take_as_many_statements_as_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [await shop.customer(f"35191001{n:04}") for n in range(11)]
    ran: list[str] = []
    for name in ("execute", "send", "rows", "value", "all", "one", "dicts"):
        original = getattr(Tx, name)

        def counted(*args: Any, _name: str = name, _original: Any = original, **more: Any) -> Any:
            ran.append(_name)
            return _original(*args, **more)

        monkeypatch.setattr(Tx, name, counted)
    counts = []
    for asked in (people[:1], people[1:]):
        ran.clear()
        async with shop.app.db.transaction() as tx:
            submissions = [Submission(who, Draft("text", "Bread!"), Lane.MARKETING) for who in asked]
            became = await at_once(shop, tx, submissions, author="campaign")
        assert [told(outcome) for outcome in became] == [int] * len(asked)
        counts.append(len(ran))
    assert counts[0] == counts[1] > 5
