"""How deliveries go out.

**At least once.** Deliveries are written from a number's events in one transaction with the cursor that says how far
they were read. A delivery is done when the receiver has said so *and* that is committed; whoever dies in between sends
it once more, with the same id and the same bytes.

**In order.** Of a number one goes out at a time (or of a chat, where the endpoint wants several at once). What fails
waits, longer each time, and the next may pass, for one that a receiver can't take mustn't hold up all others. Where
two in a row fail, and nothing is taken meanwhile, it is the receiver that is away: then the whole endpoint rests until
the first of them is tried again, and order holds.

**Nobody waits for somebody else's receiver.** An endpoint has one job at a time, which ends after a while and queues up
again. No connection to the database is held while a receiver thinks. While very much waits, events aren't read on: they
stay where they are.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from twinline.app import App
from twinline.kit.outside import Answer, OutsideError
from twinline.kit.vault import VaultError
from twinline.rules import webhooks as rules
from twinline.webhooks_out import queries, reading, service
from twinline.webhooks_out.models import ON, Delivery, Endpoint

TIMEOUT: Final = 15.0  # seconds
SLICE: Final = 10.0  # seconds of one job
FIRST_BYTES: Final = 1000  # of an answer are kept
MOST_WAITING: Final = 2_000  # deliveries; above that events stay unread
AT_ONCE: Final = 10  # requests to one endpoint
EACH, ROUND = 20, 100  # deliveries of a number, and of all numbers, between two looks
IN_A_ROW: Final = 2  # failures after which nobody is at home
AGENT: Final = "Twinline-Webhooks/1"


async def tend(app: App, organisation_id: int, endpoint_id: int) -> None:
    """Reads what has happened and delivers what is due; sees to it that somebody comes back for the rest."""
    loop = asyncio.get_running_loop()
    end = loop.time() + SLICE
    while True:
        async with app.db.transaction() as tx:
            now = app.clock.now()
            endpoint = await queries.endpoint(tx, organisation_id, endpoint_id, lock=True)
            if endpoint is None or endpoint.state != ON:
                return
            more = endpoint.waiting < MOST_WAITING and await reading.read_on(tx, endpoint, now)
            rests = endpoint.rests_until is not None and endpoint.rests_until > now
            where = {"organisation": organisation_id, "id": endpoint_id}
            due: list[Delivery] = []
            if not rests:
                due = await tx.all(Delivery, queries.DUE, {**where, "now": now, "each": EACH, "limit": ROUND})
            if not due and not more:
                next_due = await tx.value(queries.NEXT_DUE, where)
                if next_due is not None:
                    at = max(next_due, endpoint.rests_until or next_due)
                    await service.wake(tx, organisation_id, endpoint_id, max(at - now, timedelta()))
                return
        if due:
            await _Round(app, endpoint, end).run(due)
        if loop.time() > end:
            async with app.db.transaction() as tx:
                await service.wake(tx, organisation_id, endpoint_id)
            return


@dataclass(slots=True)
class _Round:
    """Some deliveries of one endpoint."""

    app: App
    endpoint: Endpoint
    end: float
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    taken: int = 0
    again: list[datetime] = field(default_factory=list)  # when those that failed are tried again
    over: bool = False

    async def run(self, due: Sequence[Delivery]) -> None:
        lines: defaultdict[object, list[Delivery]] = defaultdict(list)
        for one in due:
            chat = (one.contact_id or one.type) if self.endpoint.order_by == "chat" else None
            lines[one.number_id, chat].append(one)
        await asyncio.gather(*(self._line(line) for line in lines.values()))
        if len(self.again) >= IN_A_ROW and not self.taken:
            where = {"organisation": self.endpoint.organisation_id, "id": self.endpoint.id}
            async with self.app.db.transaction() as tx:
                await tx.execute(queries.REST, {**where, "until": min(self.again)})

    async def _line(self, line: Sequence[Delivery]) -> None:
        failed = 0
        for one in line:
            async with self.room:
                if self.over or failed == IN_A_ROW or asyncio.get_running_loop().time() > self.end:
                    return
                failed = 0 if await self._deliver(one) else failed + 1

    async def _deliver(self, one: Delivery) -> bool:
        answer: Answer | None = None
        problem = None
        begun = asyncio.get_running_loop().time()
        try:
            answer = await self._ask(one)
        except (OutsideError, VaultError) as error:
            problem = str(error)
        took = round((asyncio.get_running_loop().time() - begun) * 1000)
        if answer is not None and not rules.delivered(answer.status):
            problem = f"The receiver answered {answer.status}."
        await self._settle(one, answer, problem, took)
        return problem is None

    async def _ask(self, one: Delivery) -> Answer:
        now, there, body = self.app.clock.now(), self.endpoint, one.body.encode()
        secrets = [self.app.vault.unseal(bytes(there.secret))]
        if there.old_secret is not None and there.old_until is not None and now < there.old_until:
            secrets.append(self.app.vault.unseal(bytes(there.old_secret)))
        headers = {
            "content-type": "application/json",
            "user-agent": AGENT,
            **rules.headers(secrets, one.key, now, body),
        }
        return await self.app.outside.fetch(
            "POST", there.url, headers=headers, content=body, timeout=TIMEOUT, most=FIRST_BYTES
        )

    async def _settle(self, one: Delivery, answer: Answer | None, problem: str | None, took: int) -> None:
        now, there = self.app.clock.now(), self.endpoint
        where = {"organisation": there.organisation_id, "id": there.id}
        due = None
        if problem is not None:
            due = now + rules.wait(one.tries + 1, _asked(answer, now))
            self.again.append(due)
        given_up = due is not None and due > (one.first_at or now) + rules.GIVE_UP
        gone = answer is not None and answer.status == rules.GONE
        async with self.app.db.transaction() as tx:
            # The endpoint first: the same order as everybody else's.
            if problem is None:
                self.taken += 1
                await tx.execute(queries.TOOK, where)
            else:
                since = await tx.value(queries.FAILED, {**where, "now": now})
                if gone:
                    self.over = True
                    says = "The receiver answered 410: it wants no more of this."
                    await service.stop(tx, there, says, now)
                elif since is not None and now - since >= rules.STOP_AFTER:
                    self.over = True
                    says = f"Nothing was taken for {rules.STOP_AFTER.days} days. The last time: {problem}"
                    await service.stop(tx, there, says, now)
            tried = {
                "delivery": one.id,
                "state": "delivered" if problem is None else "failed" if given_up else "waiting",
                "now": now,
                "due": due,
                "took": took,
                "code": answer.status if answer else None,
                "answer": answer.body.decode(errors="replace").replace("\0", "\ufffd") if answer else None,
                "problem": problem,
            }
            await tx.execute(queries.TRIED, {**where, **tried})


def _asked(answer: Answer | None, now: datetime) -> timedelta | None:
    """For how long a receiver wants to be left alone: seconds or a date, in ``Retry-After``."""
    said = answer.headers.get("retry-after", "").strip() if answer else ""
    if not said:
        return None
    if said.isascii() and said.isdigit():
        return timedelta(seconds=min(int(said[:9]), rules.LONGEST_ASKED.total_seconds()))
    try:
        return max(parsedate_to_datetime(said) - now, timedelta())
    except (TypeError, ValueError):
        return None
