"""The law of the floor, on a real database: whatever happens in whatever order, no automation talks over a person.

Customers write, the owner types on the phone (heard late, in one batch with a customer's message, or as a keyword), the
team answers in the inbox, takes chats and hands them back, time passes, the engine looks, or dies while it does, and
the lane marks what is to leave. The machine below keeps its own account of who has spoken, in a few lines, and holds it
against every automated message that the lane marks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.automations.conftest import Bakery
from tests.fixtures import wire
from tests.fixtures.wire import Human
from tests.sending.conftest import Meta, open_shop

from twinline.app import App
from twinline.automations import service, tending
from twinline.db import Database
from twinline.kit.clock import ManualClock
from twinline.kit.files import Files
from twinline.kit.vault import Vault
from twinline.sending import lane
from twinline.sending import service as sending
from twinline.sending.models import Result
from twinline.settings import Settings

EXAMPLES = 12  # hundreds were tried when it was written; these are quick
PAUSE = timedelta(minutes=10)
PROMPT = timedelta(minutes=2)
STEPS: list[dict[str, Any]] = [
    {"send": {"text": "You said {{message.text}}"}},
    {"ask": {"text": "More?", "save": "more", "timeout": "5m", "on_timeout": [{"send": {"text": "Bye"}}]}},
    {"send": {"text": "And {{vars.more}}"}},
]
chats = st.integers(0, 1)
delays = st.sampled_from([0, 0, 1, 5, 30, 150, 900])


@dataclass
class Chat:
    """What this test believes of a chat: when a person last decided, until when they speak, and when that was heard."""

    phone: str
    contact: int = 0
    decided: datetime | None = None
    until: datetime | None = None
    spoke: int = -1

    def hears(self, said_at: datetime) -> bool:
        return self.decided is None or said_at >= self.decided.replace(microsecond=0)

    def theirs(self, now: datetime) -> bool:
        return self.until is not None and now < self.until


class Floor(RuleBasedStateMachine):
    run: Callable[[Any], Any]
    bakery: Bakery
    examples = 0

    @initialize()
    def two_customers(self) -> None:
        type(self).examples += 1
        self.chats = [Chat(f"3519{self.examples:06}{n}0") for n in range(2)]
        self.moment = 0
        self.texts: list[str] = []
        self.written: dict[int, int] = {}  # automated message -> the moment at which it was written
        self.marked: set[int] = set()
        for chat in self.chats:
            self._hears(wire.state_sync(wire.contact(Human(chat.phone), "add", self.bakery.seconds, "Somebody")))
            [row] = self._rows("SELECT contact_id FROM identities WHERE key = %s", f"p:{chat.phone}")
            chat.contact = row["contact_id"]

    # --- what people do -----------------------------------------------------------------------------------------------

    @rule(which=chats)
    def customer_writes(self, which: int) -> None:
        self._hears(self._writing(which))

    @rule(which=chats, delay=delays)
    def phone_writes(self, which: int, delay: int) -> None:
        self._hears(self._typing(which, "I'm here", delay))
        self._phone_spoke(which, delay)

    @rule(which=chats, delay=delays, phone_first=st.booleans())
    def both_write_and_are_heard_at_once(self, which: int, delay: int, phone_first: bool) -> None:
        customer, phone = self._writing(which), self._typing(which, "I'm here", delay)
        self._hears(*((phone, customer) if phone_first else (customer, phone)))
        self._phone_spoke(which, delay)

    @rule(which=chats, delay=delays)
    def phone_types_the_keyword(self, which: int, delay: int) -> None:
        said_at = self._ago(delay)
        self._hears(self._typing(which, "#bot", delay))
        chat = self.chats[which]
        if chat.hears(said_at):
            chat.decided, chat.until = max(said_at, chat.decided or said_at), None

    @rule(which=chats)
    def team_answers(self, which: int) -> None:
        chat = self.chats[which]
        try:
            self.run(self.bakery.says(chat.contact, "From the team"))
        except sending.Refused:
            return  # the window is closed
        chat.decided, chat.until, chat.spoke = self.now, self.now + PAUSE, self._next()

    @rule(which=chats)
    def team_hands_back(self, which: int) -> None:
        chat = self.chats[which]

        async def hand_back() -> bool:
            async with self.bakery.app.db.transaction() as tx:
                number, now = self.bakery.number_id, self.now
                return await service.release_floor(self.bakery.app, tx, number, chat.contact, None, now)

        if self.run(hand_back()):
            chat.decided, chat.until = self.now, None

    @rule(seconds=st.sampled_from([1, 1, 5, 60, 310, 700]))
    def time_passes(self, seconds: int) -> None:
        self.bakery.clock.advance(seconds=seconds)

    # --- what machines do ---------------------------------------------------------------------------------------------

    @rule()
    def engine_looks(self) -> None:
        self.run(self.bakery.tend())
        moment = self._next()
        for row in self._automated():
            if row["id"] not in self.written:
                self.written[row["id"]] = moment
                assert not self._chat(row).theirs(self.now)

    @rule()
    def engine_dies(self) -> None:
        async def dies(*_: object) -> None:
            raise RuntimeError("the process dies")

        log, tending.log = tending.log, dies
        try:
            self.run(self.bakery.tend())
        except RuntimeError:
            pass
        finally:
            tending.log = log

    @rule()
    def lane_marks(self) -> None:
        """The law: what is marked was written after everything that people had said, and nobody is speaking."""
        self.run(lane.plan(self.bakery.app, self.bakery.number_id))
        for row in self._automated():
            if row["state"] == "sending" and row["id"] not in self.marked:
                self.marked.add(row["id"])
                chat = self._chat(row)
                assert self.written[row["id"]] > chat.spoke
                assert not chat.theirs(self.now)

    @rule()
    def meta_takes_what_was_marked(self) -> None:
        async def settle() -> None:
            async with self.bakery.app.db.transaction() as tx:
                ids = [row[0] for row in await tx.rows("SELECT id FROM outbox WHERE state = 'sending' ORDER BY id")]
                number = self.bakery.number_id
                taken = [Result(number, one, "sent", wamid=f"wamid.OUT{one}") for one in ids]
                await sending.settle(tx, taken, self.now)

        self.run(settle())

    @invariant()
    def nothing_is_said_twice(self) -> None:
        for text in getattr(self, "texts", ()):
            said = [row for row in self._automated() if row["state"] != "cancelled" and f"{text}." in row["text"]]
            assert len(said) <= 1

    # --- how it is told -----------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.bakery.clock.now()

    def _next(self) -> int:
        self.moment += 1
        return self.moment

    def _ago(self, delay: int) -> datetime:
        return datetime.fromtimestamp(self.bakery.seconds - delay, UTC)

    def _writing(self, which: int) -> Any:
        self.texts.append(f"word{len(self.texts)}")
        return self.bakery.writing(self.chats[which].phone, f"{self.texts[-1]}.")

    def _typing(self, which: int, text: str, delay: int) -> Any:
        return self.bakery.typing(self.chats[which].phone, text, self.bakery.seconds - delay)

    def _phone_spoke(self, which: int, delay: int) -> None:
        chat, said_at = self.chats[which], self._ago(delay)
        over = said_at + PAUSE <= self.now and self.now - said_at > PROMPT
        if chat.hears(said_at) and not over:
            chat.decided, chat.until, chat.spoke = max(said_at, chat.decided or said_at), said_at + PAUSE, self._next()

    def _hears(self, *webhooks: Any) -> None:
        self.run(self.bakery.hears(*webhooks))

    def _rows(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self.run(self.bakery.dicts(sql, params)))

    def _automated(self) -> list[dict[str, Any]]:
        mine = [chat.contact for chat in self.chats]
        return self._rows(
            "SELECT id, contact_id, state, text FROM outbox WHERE author = 'automation' AND contact_id = ANY(%s)", mine
        )

    def _chat(self, row: dict[str, Any]) -> Chat:
        return next(chat for chat in self.chats if chat.contact == row["contact_id"])


def test_no_automated_message_is_marked_after_a_persons_that_was_committed(empty_database: str, tmp_path: Path) -> None:
    clock = ManualClock(datetime(2026, 11, 20, 12, 0, tzinfo=UTC))

    async def open_bakery() -> Bakery:
        db = Database(empty_database, size=2)
        await db.open()
        vault, files = Vault.open(tmp_path, None), Files(f"file://{tmp_path}/media")
        app = App(Settings(data=tmp_path), db, cast(Any, None), clock, vault, files)
        made = await open_shop(app, cast(Any, clock), Meta(clock))
        bakery = Bakery(made.app, made.clock, made.meta, made.number_id)
        bakery.organisation_id = await made.value("SELECT organisation_id FROM numbers")
        await bakery.execute("UPDATE numbers SET phone_pause = %s", (PAUSE,))
        await bakery.automation("Talk", *STEPS)
        return bakery

    with asyncio.Runner() as runner:
        bakery = runner.run(open_bakery())

        class World(Floor):
            run = staticmethod(runner.run)

        World.bakery = bakery
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                World,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(bakery.app.db.close())
