"""A bakery with an approved template, and campaigns that are planned without anybody planning them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, Human
from tests.sending.conftest import Meta, RunningClock, Shop, clock, meta, open_shop

from twinline.app import App
from twinline.campaigns import following, running, service
from twinline.campaigns.models import Campaign, Content, Variant
from twinline.db import as_json
from twinline.mirror import ingest
from twinline.rules.identity import phone_key
from twinline.sending import confirm, lane
from twinline.sending import service as sending

__all__ = ["bakery", "clock", "meta"]

TEMPLATE = """
INSERT INTO templates (organisation_id, waba_id, id, name, language, components, parameter_format, status, status_v,
                       category, category_v, was_approved, fetched_at)
VALUES (%(organisation)s, %(waba)s, %(name)s, %(name)s, 'en', %(components)s, 'POSITIONAL', 'APPROVED', 0,
        %(category)s, 0, true, %(now)s)
"""

# As a planning leaves it behind.
PLANNED = """
INSERT INTO recipients (number_id, campaign_id, key, contact_id, phone, variant, state, draft)
VALUES (%(number)s, %(campaign)s, %(key)s, %(contact)s, %(phone)s, %(variant)s, 'planned', %(draft)s::jsonb)
RETURNING id
"""

PEOPLE = "SELECT * FROM recipients WHERE campaign_id = %s ORDER BY id"


def frozen(template: str = "spring", category: str = "MARKETING", says: str = "Spring is here.") -> dict[str, Any]:
    content = {"name": template, "language": {"code": "en"}, "components": [], "shown": {"category": category}}
    return {"type": "template", "text": says, "content": content}


def phones(count: int) -> list[str]:
    return [f"35191{n:07}" for n in range(count)]


@dataclass
class Bakery:
    shop: Shop
    organisation_id: int
    memory: running.Memory = field(default_factory=running.Memory)

    @property
    def clock(self) -> RunningClock:
        return self.shop.clock

    @property
    def meta(self) -> Meta:
        return self.shop.meta

    @property
    def app(self) -> App:
        return self.shop.app

    async def template(self, name: str = "spring", category: str = "MARKETING") -> None:
        body = [{"type": "BODY", "text": "Spring is here."}]
        named = {"organisation": self.organisation_id, "waba": BAKERY.waba_id, "name": name, "now": self.clock.now()}
        await self.shop.execute(TEMPLATE, {**named, "components": as_json(body), "category": category})

    async def draft(self, template: str | Sequence[str] = "spring", **more: Any) -> Campaign:
        names = [template] if isinstance(template, str) else template
        content = Content([Variant(name, ["en"]) for name in names])
        async with self.app.db.transaction() as tx:
            return await service.create(
                tx, self.organisation_id, self.shop.number_id, "Spring", self.clock.now(), content=content, **more
            )

    async def campaign(self, people: Sequence[str], template: str | Sequence[str] = "spring", **more: Any) -> Campaign:
        """One that is planned for these telephone numbers; variants take turns."""
        one = await self.draft(template, **more)
        names = [template] if isinstance(template, str) else template
        async with self.app.db.transaction() as tx:
            now = self.clock.now()
            await service.plan_requested(tx, self.organisation_id, one.id, now)
            await tx.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'campaigns.plan'")
            for place, phone in enumerate(people):
                variant = place % len(names)
                named = {"number": self.shop.number_id, "campaign": one.id, "phone": phone, "contact": None}
                draft = as_json(frozen(names[variant]))
                await tx.execute(PLANNED, {**named, "key": phone_key(phone), "variant": variant, "draft": draft})
            planned = await service.planned(tx, self.organisation_id, one.id, one.revision, {}, now)
        assert planned is not None
        return planned

    async def does(self, step: Any, one: Campaign, **more: Any) -> Campaign:
        """A person's step: ``service.start`` and the like."""
        async with self.app.db.transaction() as tx:
            done: Campaign = await step(tx, self.organisation_id, one.id, self.clock.now(), **more)
            return done

    async def look(self) -> timedelta | None:
        return await running.look(self.app, self.shop.number_id, self.memory)

    async def goes_on(self) -> None:
        """Campaign and lane work in turns, until neither has anything left to do at this time."""
        async with asyncio.timeout(60):
            for _ in range(50):
                before = len(self.meta.messages)
                wait = await self.look()
                await lane.drain(self.app, self.shop.number_id)
                await following.follow(self.app, self.shop.number_id)
                if len(self.meta.messages) == before and (wait is None or wait >= running.AGAIN):
                    break
        await self.look()

    async def hears(self, *webhooks: Any) -> None:
        """As ``Shop.hears``, with all who follow the ingest."""
        arrivals = [ingest.read(wire.body(webhook), 1 << 30) for webhook in webhooks]
        assert not [arrival.problem for arrival in arrivals if arrival.problem]
        async with self.app.db.transaction() as tx:
            followers = [sending.follow, confirm.follow, following.heard]
            await ingest.ingest(self.app, tx, arrivals, followers, self.clock.now())

    async def answers(self, phone: str, text: str, **more: Any) -> None:
        self.shop.heard += 1
        said = wire.text(f"wamid.IN{self.shop.heard}", self.shop.seconds, text)
        await self.hears(wire.inbound(Human(phone), said | more))

    async def status(self, phone: str, word: str, **more: Any) -> None:
        """What Meta tells later of the last message that this person was sent."""
        place, message = next(
            (place, message)
            for place, message in reversed(list(enumerate(self.meta.messages, 1)))
            if message["to"] == phone
        )
        callback = message["biz_opaque_callback_data"]
        seconds = self.shop.seconds
        told = wire.status(Human(phone), f"wamid.{place}", word, seconds, biz_opaque_callback_data=callback, **more)
        await self.hears(wire.statuses(told))

    async def found(self, one: Campaign) -> Campaign:
        async with self.app.db.transaction() as tx:
            return await service.found(tx, self.organisation_id, one.id)

    async def state(self, one: Campaign) -> str:
        return str((await self.found(one)).state)

    async def people(self, one: Campaign) -> list[dict[str, Any]]:
        return await self.shop.dicts(PEOPLE, (one.id,))

    async def states(self, one: Campaign) -> list[str]:
        return [row["state"] for row in await self.people(one)]

    @property
    def reached(self) -> list[str]:
        """To whom Meta was told to send, in this order."""
        return [message["to"] for message in self.meta.messages if message.get("type") == "template"]


@pytest.fixture
async def bakery(app: App, clock: RunningClock, meta: Meta) -> Bakery:
    shop = await open_shop(app, clock, meta)
    opened = Bakery(shop, await shop.value("SELECT organisation_id FROM numbers"))
    await opened.template()
    return opened
