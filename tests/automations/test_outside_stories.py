"""Calls, bots and agents within real conversations: they answer, they fail, they fall silent when somebody speaks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.automations.abroad import Place, completion, place
from tests.automations.conftest import ANA, Bakery

from twinline.automations import approvals, connections, outside_jobs, service
from twinline.kit.outside import Outside

pytestmark = pytest.mark.anyio

ERRANDS = "SELECT run_id, token, tries FROM errands ORDER BY run_id"


class Reaching(Bakery):
    """A bakery whose automations may ask somebody on loopback."""

    there: Place

    async def errands(self) -> None:
        """All that waits to be fetched is fetched once; what came is heard."""
        for row in await self.dicts(ERRANDS):
            await outside_jobs.run(self.app, self.number_id, row["run_id"], row["token"])
        await self.tend()

    async def connect(self, kind: str, name: str, **more: Any) -> None:
        async with self.app.db.transaction() as tx:
            await connections.create(
                self.app,
                tx,
                self.organisation_id,
                kind,
                name,
                self.there.url,
                user_id=None,
                now=self.clock.now(),
                **more,
            )


@asynccontextmanager
async def reaching(bakery: Bakery, *answers: Any) -> AsyncIterator[Reaching]:
    async with place(*answers) as there:
        client = Outside(["127.0.0.1"])
        far = Reaching(replace(bakery.app, outside=client), bakery.clock, bakery.meta, bakery.number_id, bakery.heard)
        far.organisation_id, far.there = bakery.organisation_id, there
        yield far
        await client.aclose()


def order(there: Place, **more: Any) -> Any:
    failed = [{"send": {"text": "I can't see it ({{vars.order_status|no answer}})."}}]
    url = f"{there.url}/orders/{{{{message.text}}}}"
    return {"call": {"method": "GET", "url": url, "save": "order", "failed": failed, **more}}


async def test_a_call_brings_what_the_next_step_says(bakery: Bakery) -> None:
    async with reaching(bakery, {"status": "baked", "of": {"kind": "rye"}}) as far:
        await far.automation(
            "Orders", order(far.there), {"send": {"text": "{{vars.order.of.kind}} is {{vars.order.status}}."}}
        )
        await far.writes(ANA, "A-17")
        assert far.meta.texts == []
        await far.errands()
        assert await far.goes_out() == ["rye is baked."]
        assert [asked.path for asked in far.there.asked] == ["/orders/A-17"]
        assert await far.dicts(ERRANDS) == []


async def test_a_call_that_fails_is_repeated_and_then_goes_its_other_way(bakery: Bakery) -> None:
    async with reaching(bakery, (503, {})) as far:
        await far.automation("Orders", order(far.there, retries=1))
        contact = await far.writes(ANA, "A-17")
        await far.errands()
        [waiting] = await far.dicts(ERRANDS)
        assert (waiting["tries"], await far.goes_out()) == (1, [])
        await far.errands()
        assert await far.goes_out() == ["I can't see it (503)."]
        assert "“Orders” got no answer: the answer was 503 Service Unavailable." in await far.log(contact)
        assert len({asked.headers["idempotency-key"] for asked in far.there.asked}) == 1, "told as the same question"


async def test_an_agent_is_asked_turn_by_turn_and_ends_the_conversation(bakery: Bakery) -> None:
    script = [completion("At seven."), completion(None, ("end", {})), completion("You're welcome!")]
    async with reaching(bakery, *script) as far:
        await far.connect("ai", "Brain", model="baker-1")
        agent = {"connection": "Brain", "instructions": "Help.", "tools": ["end"]}
        await far.automation("Helper", {"agent": agent}, {"send": {"text": "Bye."}})
        contact = await far.writes(ANA, "When do you open?")
        await far.errands()
        assert await far.goes_out() == ["At seven."]
        far.clock.advance(seconds=10)
        await far.writes(ANA, "Thanks")
        await far.errands()
        assert await far.goes_out() == ["At seven.", "You're welcome!", "Bye."]
        assert [run.state for run in await far.runs(contact)] == ["ended"]
        chat = far.there.asked[1].json["messages"][1:]
        assert [said["content"] for said in chat] == ["When do you open?", "At seven.", "Thanks"]


@pytest.mark.parametrize("who", ["phone", "inbox"])
async def test_a_draft_is_dropped_when_somebody_speaks_while_it_is_written(bakery: Bakery, who: str) -> None:
    async with reaching(bakery, completion("At seven.")) as far:
        await far.connect("ai", "Brain", model="baker-1")
        await far.automation("Helper", {"agent": {"connection": "Brain", "instructions": "Help."}})
        contact = await far.writes(ANA, "When do you open?")

        async def spoken() -> None:
            if who == "phone":
                await far.hears(far.typing(ANA, "At eight today!"))
            else:
                await far.says(contact, "At eight today!")

        far.there.meanwhile = spoken
        await far.errands()
        assert "At seven." not in await far.goes_out()
        assert len(far.there.asked) == 1
        await far.errands()
        assert len(far.there.asked) == 1, "nor is it asked again"
        why = "the phone spoke meanwhile" if who == "phone" else "a person here took the chat meanwhile"
        assert f"“Helper” dropped its draft: {why}." in await far.log(contact)


async def test_what_the_customer_adds_meanwhile_is_answered_once_and_together(bakery: Bakery) -> None:
    async with reaching(bakery, completion("At seven."), completion("Sundays at nine.")) as far:
        await far.connect("ai", "Brain", model="baker-1")
        await far.automation("Helper", {"agent": {"connection": "Brain", "instructions": "Help."}})
        contact = await far.writes(ANA, "When do you open?")

        async def more() -> None:
            far.there.meanwhile = None
            await far.writes(ANA, "On Sundays I mean")

        far.there.meanwhile = more
        await far.errands()
        await far.errands()
        assert await far.goes_out() == ["Sundays at nine."]
        dropped = [line for line in await far.log(contact) if "dropped" in line]
        assert dropped == ["“Helper” dropped its draft: the customer had written more, so it is asked again."]
        assert far.there.asked[1].json["messages"][-1]["content"] == "When do you open?\nOn Sundays I mean"


async def test_what_the_customer_writes_as_one_is_started_is_asked_about_once(bakery: Bakery) -> None:
    async with reaching(bakery, completion("At seven.")) as far:
        await far.connect("ai", "Brain", model="baker-1")
        agent = {"agent": {"connection": "Brain", "instructions": "Help."}}
        made = await far.automation("Helper", agent, triggers=[{"api": {}}])
        contact = await far.writes(ANA, "Hi")
        async with far.app.db.transaction() as tx:
            await service.start(far.app, tx, far.number_id, contact, made, far.clock.now(), by="a program")
        await far.hears(far.writing(ANA, "When do you open?"))
        await far.errands()
        assert far.there.asked == [], "it would be asked once more in a moment, with the same words"
        await far.errands()
        assert await far.goes_out() == ["At seven."]
        [asked] = far.there.asked
        assert asked.json["messages"][-1]["content"] == "Hi\nWhen do you open?"


async def test_a_held_answer_goes_out_when_a_person_says_so_and_the_agent_goes_on(bakery: Bakery) -> None:
    async with reaching(bakery, completion("At seven."), completion("On Sundays at nine.")) as far:
        await far.connect("ai", "Brain", model="baker-1")
        await far.automation("Helper", {"agent": {"connection": "Brain", "instructions": "Help.", "approve": True}})
        contact = await far.writes(ANA, "When do you open?")
        await far.errands()
        assert await far.goes_out() == []
        assert "“Helper” drafted an answer and kept it for approval." in await far.log(contact)
        async with far.app.db.transaction() as tx:
            [held] = await approvals.waiting(tx, far.organisation_id)
            done = await approvals.decide(far.app, tx, far.number_id, held.id, True, None)
        assert (held.text, done.state) == ("At seven.", "sent")
        assert (await far.log(contact))[-1] == "What “Helper” had drafted was approved."
        assert await far.goes_out() == ["At seven."]
        far.clock.advance(seconds=10)
        await far.writes(ANA, "And on Sundays?")
        await far.errands()
        assert await far.goes_out() == ["At seven."]
        async with far.app.db.transaction() as tx:
            assert [one.text for one in await approvals.waiting(tx, far.organisation_id)] == ["On Sundays at nine."]


async def test_the_log_says_what_became_of_drafts_and_when_the_budget_is_used_up(bakery: Bakery) -> None:
    async with reaching(bakery, completion("At seven.")) as far:
        await far.connect("ai", "Brain", model="baker-1")
        step = {"connection": "Brain", "instructions": "Help.", "approve": True, "budget": {"replies": 2}}
        await far.automation("Helper", {"agent": step})
        contact = await far.writes(ANA, "When do you open?")
        await far.errands()
        far.clock.advance(seconds=10)
        await far.writes(ANA, "Hello?")
        await far.errands()
        await far.types(ANA, "At eight today!")
        async with far.app.db.transaction() as tx:
            [held] = await approvals.waiting(tx, far.organisation_id)
            await approvals.decide(far.app, tx, far.number_id, held.id, True, None)
        far.clock.advance(hours=3)
        await far.writes(ANA, "And tomorrow?")
        await far.errands()
        drafts = [line for line in await far.log(contact) if "draft" in line or "budget" in line]
        assert drafts == [
            "“Helper” drafted an answer and kept it for approval.",
            "“Helper” drafted an answer and kept it for approval, in place of the one before.",
            "What “Helper” had drafted was approved, but not sent: "
            "somebody has spoken in the chat since it was written.",
            "“Helper” got no answer: its budget for this chat, in 24 hours, is used up.",
            "“Helper” went on. It ended: step 1: Its budget for this chat, in 24 hours, is used up.",
        ]


async def test_a_bot_speaks_tags_and_hands_over(bakery: Bakery) -> None:
    script = [
        {"messages": [{"text": "Which cake?"}], "vars": {"asked": 1}},
        {"tags": {"add": ["cake"]}, "release": "Wants a cake"},
    ]
    async with reaching(bakery, *script) as far:
        await far.connect("bot", "Helper")
        await far.automation("Cakes", {"bot": {"connection": "Helper"}})
        contact = await far.writes(ANA, "A cake, please")
        await far.errands()
        assert await far.goes_out() == ["Which cake?"]
        far.clock.advance(seconds=10)
        await far.writes(ANA, "Chocolate")
        await far.errands()
        assert far.there.asked[1].json["vars"] == {"asked": 1}
        assert await far.value("SELECT tags FROM contacts WHERE id = %s", (contact,)) == ["cake"]
        assert any("Wants a cake" in line for line in await far.log(contact))
        [run] = await far.runs(contact)
        assert run.state == "ended"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"assign": "nobody@nowhere"}, "assign: there is no user “nobody@nowhere” here."),
        ({"fields": {"planet": "Mars"}}, "planet"),
        ({"tags": {"add": ["a,b"]}}, "“a,b” can't be a tag"),
    ],
)
async def test_of_an_answer_that_cant_be_done_as_a_whole_nothing_is_done(bakery: Bakery, more: Any, why: str) -> None:
    async with reaching(bakery, {"messages": [{"text": "Which cake?"}], **more}) as far:
        await far.connect("bot", "Helper")
        await far.automation("Cakes", {"bot": {"connection": "Helper", "failed": [{"send": {"text": "One moment."}}]}})
        contact = await far.writes(ANA, "A cake, please")
        await far.errands()
        assert await far.goes_out() == ["One moment."]
        assert any("“Cakes” got no answer: the bot's answer can't be used" in one and why in one
                   for one in await far.log(contact))  # fmt: skip


async def test_a_connection_that_is_gone_fails_plainly(bakery: Bakery) -> None:
    async with reaching(bakery, {}) as far:
        failed = [{"send": {"text": "One moment."}}]
        await far.automation("Cakes", {"bot": {"connection": "Helper", "failed": failed}})
        contact = await far.writes(ANA, "A cake, please")
        await far.errands()
        assert await far.goes_out() == ["One moment."]
        [run] = await far.runs(contact)
        assert any("no connection “Helper”" in str(said) for _, said in run.trace)
