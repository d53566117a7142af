"""The dry run: everybody is accounted for, with the reason, and nothing is promised that the lane would refuse."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta
from tests.fixtures import wire
from tests.fixtures.wire import Human

from twinline.campaigns import audience, lists, planning, service
from twinline.campaigns.models import Campaign, Content, Schedule, Variant
from twinline.campaigns.planning import Plan
from twinline.contacts import service as contacts
from twinline.db import as_json
from twinline.rules import funnel
from twinline.rules.refusal import Refused
from twinline.sending import portfolio

pytestmark = pytest.mark.anyio

__all__ = ["bakery", "clock", "meta"]

NAMED = """
UPDATE templates SET components = %(components)s::jsonb, quality = %(quality)s WHERE name = 'spring'
"""
CURRENCY = "INSERT INTO billing (number_id, set_currency, asked_at) SELECT id, 'USD', now() FROM numbers"
CONTENT = Content([Variant("spring", ["en"], {"body.1": {"column": "Name"}})])


async def says_a_name(bakery: Bakery, quality: str = "GREEN") -> None:
    body = [{"type": "BODY", "text": "Dear {{1}}, spring is here.", "example": {"body_text": [["Ann"]]}}]
    await bakery.shop.execute(NAMED, {"components": as_json(body), "quality": quality})


async def listed(bakery: Bakery, *rows: str) -> dict[str, Any]:
    """An audience of these lines: number and name."""
    data = "\n".join(["Phone,Name", *rows]).encode()
    reading = await lists.bring(bakery.app, bakery.organisation_id, "people.csv", data, country="PT")
    return {"sources": [{"file": reading.file}]}


async def planned(bakery: Bakery, audience: dict[str, Any], **more: Any) -> tuple[Campaign, Plan]:
    one = await drafted(bakery, audience, **more)
    return one, await replanned(bakery, one)


async def drafted(bakery: Bakery, audience: dict[str, Any], content: Content = CONTENT, **more: Any) -> Campaign:
    async with bakery.app.db.transaction() as tx:
        place = bakery.organisation_id, bakery.shop.number_id
        now = bakery.clock.now()
        return await service.create(tx, *place, "Spring", now, audience=audience, content=content, **more)


async def replanned(bakery: Bakery, one: Campaign) -> Plan:
    await bakery.does(service.plan_requested, one)
    await planning.plan(bakery.app, bakery.organisation_id, one.id)
    found = await bakery.found(one)
    assert found.plan is not None, found.says
    return Plan.of(found.plan)


def counted(plan: Plan) -> dict[str, int]:
    return {group.reason: group.people for group in plan.groups}


def warned(plan: Plan) -> dict[str, int | None]:
    return {warning.code: warning.people for warning in plan.warnings}


async def reasons(bakery: Bakery, one: Campaign) -> dict[str | None, tuple[str, str]]:
    return {row["name"]: (row["state"], row["reason"]) for row in await bakery.people(one)}


async def test_everybody_in_the_list_is_accounted_for_with_the_reason(bakery: Bakery) -> None:
    await says_a_name(bakery)
    shop = bakery.shop
    people = {name: await shop.customer(f"35191000000{n}", writes=False) for n, name in enumerate(("Ana", "Bea", "Cy"))}
    async with shop.app.db.transaction() as tx:
        now = shop.clock.now()
        await contacts.say(tx, shop.number_id, people["Ana"], False, now, source="person")
        await contacts.suppress(tx, bakery.organisation_id, [("p:351910000001", "by letter", None)], None, now)
    await shop.phone_says("351910000002", "See you at five.")
    one, plan = await planned(
        bakery,
        await listed(
            bakery,
            "+351910000000,Ana",
            "+351910000001,Bea",
            "+351910000002,Cy",
            "+55 11 91234-5678,Duda",
            "551131234567,Landline",
            "+55 11 1234 5678 99,Rounded",
            "+5511912345678,Duda again",
            "+1 415 555 2671,Sam",
            "+351910000009,",
            "+351910000008,Eva",
        ),
    )
    assert counted(plan) == {
        "invalid": 1, "duplicate": 1, "missing": 1, "opted_out": 1, "suppressed": 1, "us_marketing": 1, "floor": 1,
    }  # fmt: skip
    assert plan.people == 10
    assert plan.sendable == 4
    assert plan.waiting == 1
    assert plan.left_out == 6
    found = await reasons(bakery, one)
    assert found["Ana"] == ("skipped", "opted_out")
    assert found["Bea"] == ("skipped", "suppressed")
    assert found["Cy"] == ("held", "floor")
    assert found["Duda"] == ("planned", "")
    assert found["Duda again"] == ("skipped", "duplicate")
    assert found["Sam"] == ("skipped", "us_marketing")
    assert found["Eva"] == ("planned", "")
    assert warned(plan)["us_marketing"] == 1
    eva = next(row for row in await bakery.people(one) if row["name"] == "Eva")
    assert eva["draft"]["text"] == "Dear Eva, spring is here."


async def test_what_was_planned_is_what_is_sent(bakery: Bakery) -> None:
    await says_a_name(bakery)
    one, plan = await planned(bakery, await listed(bakery, "+351910000001,Ana", "+351910000002,Bea"))
    assert plan.sendable == 2
    await bakery.does(service.start, one)
    await bakery.goes_on()
    said = [message["template"]["components"][0]["parameters"][0]["text"] for message in bakery.meta.messages]
    assert said == ["Ana", "Bea"]
    assert await bakery.state(one) == "finished" or set(await bakery.states(one)) == {"sent"}


async def test_nothing_is_sent_without_a_finished_dry_run(bakery: Bakery) -> None:
    await says_a_name(bakery)
    one = await drafted(bakery, await listed(bakery, "+351910000001,Ana"))
    for _ in range(2):
        with pytest.raises(Refused, match="planned"):
            await bakery.does(service.start, one)
        if await bakery.state(one) == "draft":
            await bakery.does(service.plan_requested, one)
    await planning.plan(bakery.app, bakery.organisation_id, one.id)
    assert await bakery.state(one) == "planned"


async def test_planning_again_and_a_job_that_runs_twice_change_nothing(bakery: Bakery) -> None:
    await says_a_name(bakery)
    one, plan = await planned(bakery, await listed(bakery, "+351910000001,Ana", "+351910000002,Bea"))
    await planning.plan(bakery.app, bakery.organisation_id, one.id)  # somebody ran the job once more
    again = await replanned(bakery, one)
    assert (again.people, again.sendable) == (plan.people, plan.sendable) == (2, 2)
    assert len(await bakery.people(one)) == 2


async def test_whoever_got_it_first_keeps_it_and_gets_it_no_second_time(bakery: Bakery) -> None:
    await says_a_name(bakery)
    one, _ = await planned(bakery, await listed(bakery, "+351910000001,Ana", "+351910000002,Bea"))
    ana = next(row["id"] for row in await bakery.people(one) if row["name"] == "Ana")
    async with bakery.app.db.transaction() as tx:
        assert await service.try_first(bakery.app, tx, bakery.organisation_id, one.id, [ana]) == 1
    await bakery.goes_on()
    plan = await replanned(bakery, one)
    assert (plan.sendable, counted(plan)) == (1, {"tried": 1})
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert bakery.reached == ["351910000001", "351910000002"]


async def test_nobody_is_left_and_the_dry_run_says_why(bakery: Bakery) -> None:
    await says_a_name(bakery)
    _, plan = await planned(bakery, await listed(bakery, "+14155552671,Sam"))
    assert (plan.people, plan.sendable, plan.ends, plan.days) == (1, 0, None, 0)
    assert counted(plan) == {"us_marketing": 1}


async def test_two_templates_are_compared_on_like_numbers_of_people(bakery: Bakery) -> None:
    await bakery.template("summer")
    content = Content([Variant("spring", ["en"], share=3), Variant("summer", ["en"])])
    _, plan = await planned(bakery, await listed(bakery, *many(200)), content=content)
    assert sum(plan.variants) == plan.sendable == 200
    assert plan.variants[0] > 2 * plan.variants[1] > 0


async def test_a_full_portfolio_holds_a_campaign_until_places_come_free(bakery: Bakery) -> None:
    await says_a_name(bakery)
    one, plan = await planned(bakery, await listed(bakery, *many(20)))
    assert plan.days == 1
    shop, now = bakery.shop, bakery.clock.now()
    async with shop.app.db.transaction() as tx:  # meanwhile other numbers of the business were busy
        await portfolio.reach(tx, shop.number_id, [(10_000 + n, n) for n in range(232)], now)
    await bakery.does(service.start, one)
    await bakery.goes_on()
    held = await bakery.found(one)
    assert (held.state, held.reason) == ("held", "portfolio.full")
    assert "250 people in 24 hours" in held.says
    assert len(bakery.reached) == 5
    bakery.clock.advance(hours=25)
    await bakery.goes_on()
    assert len(bakery.reached) == len(set(bakery.reached)) == 20


async def test_a_plan_that_breaks_in_the_middle_leaves_nothing_behind_and_begins_anew(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    await says_a_name(bakery)
    one = await drafted(bakery, await listed(bakery, "+351910000001,Ana"))
    await bakery.does(service.plan_requested, one)

    async def breaks(*_: object) -> Plan:
        raise ConnectionError("the database went away")

    with monkeypatch.context() as patched:
        patched.setattr(planning._Planner, "finish", breaks)
        with pytest.raises(ConnectionError):
            await planning.plan(bakery.app, bakery.organisation_id, one.id, last_try=False)
        assert await bakery.people(one) == []
        assert await bakery.state(one) == "planning"
        with pytest.raises(ConnectionError):
            await planning.plan(bakery.app, bakery.organisation_id, one.id, last_try=True)
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("draft", "campaign.unplanned")
    assert (await replanned(bakery, one)).sendable == 1


async def test_a_draft_that_cant_be_planned_says_why(bakery: Bakery) -> None:
    await says_a_name(bakery)
    await bakery.shop.execute("UPDATE templates SET status = 'PAUSED'")
    one = await drafted(bakery, await listed(bakery, "+351910000001,Ana"))
    await bakery.does(service.plan_requested, one)
    await planning.plan(bakery.app, bakery.organisation_id, one.id)
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("draft", "template.paused")
    assert "can't be sent now" in found.says


async def test_a_campaign_that_was_cancelled_meanwhile_stays_cancelled(bakery: Bakery) -> None:
    await says_a_name(bakery)
    one = await drafted(bakery, await listed(bakery, "+351910000001,Ana"))
    await bakery.does(service.plan_requested, one)
    await bakery.does(service.cancel, one)
    await planning.plan(bakery.app, bakery.organisation_id, one.id)
    assert await bakery.state(one) == "cancelled"
    assert await bakery.people(one) == []


# --- memory -------------------------------------------------------------------------------------------------------


async def test_whoever_meta_held_marketing_back_from_is_left_out_for_a_day(bakery: Bakery) -> None:
    await says_a_name(bakery)
    audience = await listed(bakery, "+351910000001,Ana", "+351910000002,Bea")
    first, _ = await planned(bakery, audience)
    await bakery.does(service.start, first)
    await bakery.goes_on()
    capped = {"errors": [{"code": 131049, "title": "Not delivered to keep the ecosystem healthy"}]}
    await bakery.status("351910000001", "failed", **capped)
    second, plan = await planned(bakery, audience)
    assert counted(plan) == {"capped": 1}
    assert warned(plan)["capped"] == 1
    assert (await reasons(bakery, second))["Ana"] == ("skipped", "capped")
    bakery.clock.advance(hours=25)
    assert counted(await replanned(bakery, second)) == {}


async def test_whoever_got_enough_campaigns_in_a_week_is_left_out(bakery: Bakery) -> None:
    await says_a_name(bakery)
    audience = await listed(bakery, "+351910000001,Ana", "+351910000002,Bea")
    first, _ = await planned(bakery, await listed(bakery, "+351910000001,Ana"))
    await bakery.does(service.start, first)
    await bakery.goes_on()
    await bakery.status("351910000001", "delivered")
    await bakery.look()
    _, plan = await planned(bakery, audience, limits={"weekly": 1})
    assert counted(plan) == {"frequency": 1}
    _, plan = await planned(bakery, audience, limits={"weekly": 2})
    assert counted(plan) == {}
    _, plan = await planned(bakery, audience, limits={"weekly": 0})
    assert counted(plan) == {}


async def test_utility_is_bound_by_no_opt_out(bakery: Bakery) -> None:
    await bakery.template("ready", "UTILITY")
    ana = await bakery.shop.customer("351910000001", writes=False)
    async with bakery.app.db.transaction() as tx:
        await contacts.say(tx, bakery.shop.number_id, ana, False, bakery.clock.now(), source="person")
    content = Content([Variant("ready", ["en"])])
    _, plan = await planned(bakery, await listed(bakery, "+351910000001,Ana", "+14155552671,Sam"), content=content)
    assert plan.sendable == 2
    assert plan.groups == []


# --- how long, how many, how much ---------------------------------------------------------------------------------


def many(count: int, country: str = "35191") -> Sequence[str]:
    return [f"+{country}{n:07},P{n}" for n in range(count)]


async def test_the_portfolio_limit_tells_how_many_days_it_takes(bakery: Bakery) -> None:
    await says_a_name(bakery)
    shop = bakery.shop
    ana, bea = await shop.customer("351910000000", writes=False), await shop.customer("351910000001")
    async with shop.app.db.transaction() as tx:
        # Twelve hours ago she was written to: she takes no further place, and hers comes free in twelve hours.
        await portfolio.reach(tx, shop.number_id, [(ana, 900)], shop.clock.now() - timedelta(hours=12))
    _, plan = await planned(bakery, await listed(bakery, *many(500)))
    assert (plan.limit, plan.usable, plan.limit_known) == (250, 237, False)
    assert (plan.sendable, plan.new, plan.reached) == (500, 498, 1)
    # 236 new people and two who need no place at once, one when hers comes free; 237 the next day, then the rest.
    assert list(plan.by_day) == [239, 237, 24]
    assert plan.today == 239
    assert plan.days == 3
    assert plan.ends is not None
    assert {"days", "limit_unknown"} <= warned(plan).keys()
    assert bea
    value = {"max_daily_conversations_per_business": 2000, "max_phone_numbers_per_waba": 25}
    await shop.hears(wire.hook("business_capability_update", value, time=shop.seconds))
    _, plan = await planned(bakery, await listed(bakery, *many(500)))
    assert (plan.limit, plan.days, plan.limit_known) == (2000, 1, True)
    assert "days" not in warned(plan)


async def test_the_pace_is_what_customers_leave_and_the_campaign_allows(bakery: Bakery) -> None:
    await says_a_name(bakery)
    _, quiet = await planned(bakery, await listed(bakery, *many(100)))
    assert (quiet.talk, quiet.speed) == (0.0, round(funnel.PACE, 2))
    shop = bakery.shop
    said = [wire.text(f"wamid.M{n}", shop.seconds - n % 600, "Hello") for n in range(1800)]
    await shop.hears(wire.inbound(Human("351930000001"), *said))
    _, busy = await planned(bakery, await listed(bakery, *many(100)))
    assert (busy.talk, busy.speed) == (0.5, round(funnel.PACE - 0.5, 2))
    _, slow = await planned(bakery, await listed(bakery, *many(100)), speed=2)
    assert slow.speed == 2.0
    assert slow.seconds == pytest.approx(99 / 2, abs=0.01)
    _, spread = await planned(bakery, await listed(bakery, *many(100)), schedule=Schedule(hours=10))
    assert spread.seconds == pytest.approx(36_000 * 0.99, abs=1)


async def test_nobody_is_written_to_outside_of_the_hours_of_the_day(bakery: Bakery) -> None:
    await says_a_name(bakery)
    when = Schedule(zone="Europe/Lisbon", between=("12:00", "12:01"))  # it is noon; 60 s are some 1,180 people
    await bakery.shop.execute("UPDATE numbers SET connected_at = connected_at - interval '1 year'")
    value = {"max_daily_conversations_per_business": -1, "max_phone_numbers_per_waba": 25}
    await bakery.shop.hears(wire.hook("business_capability_update", value, time=bakery.shop.seconds))
    _, plan = await planned(bakery, await listed(bakery, *many(1500)), schedule=when)
    assert plan.limit is None
    assert plan.days == 2
    assert 1000 < plan.today < 1200
    assert sum(plan.by_day) == 1500


async def test_it_costs_by_market_and_what_has_no_rate_is_unknown(bakery: Bakery) -> None:
    await says_a_name(bakery)
    audience = await listed(bakery, *many(3), *many(2, "55119"), "+34600111222,Eva")
    _, plan = await planned(bakery, audience)
    assert (plan.currency, plan.total, plan.unknown) == (None, "0.00", 6)
    assert warned(plan)["cost"] == 6
    await bakery.shop.execute(CURRENCY)
    one, plan = await planned(bakery, audience)
    assert plan.currency == "USD"
    assert plan.unknown == 0
    assert {market.market: market.people for market in plan.markets} == {
        "Rest of Western Europe": 3, "Brazil": 2, "Spain": 1,
    }  # fmt: skip
    rows = [row for row in await bakery.people(one) if row["state"] == "planned"]
    assert Decimal(plan.total) == sum(row["cost"] for row in rows)
    assert Decimal(plan.total) == sum(Decimal(market.amount or 0) for market in plan.markets)
    assert plan.card_date


# --- warnings -----------------------------------------------------------------------------------------------------


async def test_a_new_or_disliked_template_is_told(bakery: Bakery) -> None:
    for quality, code in (("UNKNOWN", "template_new"), ("YELLOW", "template_quality"), ("RED", "template_quality")):
        await says_a_name(bakery, quality)
        _, plan = await planned(bakery, await listed(bakery, "+351910000001,Ana"))
        assert code in warned(plan)
    await says_a_name(bakery, "GREEN")
    _, plan = await planned(bakery, await listed(bakery, "+351910000001,Ana"))
    assert not {"template_new", "template_quality"} & warned(plan).keys()


async def test_who_would_be_woken_is_counted_by_their_own_clocks(bakery: Bakery) -> None:
    await says_a_name(bakery)
    audience = await listed(bakery, "+351910000001,Lisbon", "+5511912345678,Rio", "+61412345678,Sydney")
    _, plan = await planned(bakery, audience)  # at noon in Lisbon it is nine in São Paulo, and night in Australia
    assert warned(plan)["quiet_hours"] == 1
    when = Schedule(at="2026-11-21T05:00", zone="Europe/Lisbon")
    _, plan = await planned(bakery, audience, schedule=when)
    assert warned(plan)["quiet_hours"] == 2
    theirs = Schedule(at="2026-11-21T10:00", zone="recipient")
    _, plan = await planned(bakery, audience, schedule=theirs)
    assert "quiet_hours" not in warned(plan)


async def test_the_first_campaign_of_a_young_number_is_told(bakery: Bakery) -> None:
    await says_a_name(bakery)
    audience = await listed(bakery, *many(101))
    first, plan = await planned(bakery, audience)
    assert "young_number" in warned(plan)
    await bakery.does(service.start, first)
    _, plan = await planned(bakery, audience)
    assert "young_number" not in warned(plan)


async def test_what_stands_still_is_told_before_anybody_presses_start(bakery: Bakery) -> None:
    await says_a_name(bakery)
    await bakery.shop.execute("UPDATE numbers SET state = 'offboarded', state_since = now()")
    _, plan = await planned(bakery, await listed(bakery, "+351910000001,Ana"))
    assert plan.sendable == 1
    assert "stopped" in warned(plan)


async def test_how_far_it_is_can_be_seen_while_it_is_planned(bakery: Bakery, monkeypatch: pytest.MonkeyPatch) -> None:
    await says_a_name(bakery)
    monkeypatch.setattr(audience, "SLICE", 2)
    people = [f"+3519100000{n:02},Person {n}" for n in range(4)]
    one = await drafted(bakery, await listed(bakery, *people, "12,Nobody", people[0]))
    seen: list[tuple[int | None, int | None]] = []
    tell = service.planned_so_far

    async def looked(*args: Any) -> None:
        found = await bakery.found(one)
        seen.append((found.planned_so_far, found.planned_total))
        assert not await bakery.people(one), "what it writes is seen when it is done"
        await tell(*args)

    monkeypatch.setattr(service, "planned_so_far", looked)
    before = len(await bakery.shop.told("campaigns"))
    await replanned(bakery, one)
    found = await bakery.found(one)
    assert seen == [(None, None), (0, 6), (2, 6), (4, 6)]
    assert (found.state, found.planned_so_far) == ("planned", None)
    assert (await bakery.shop.told("campaigns"))[before:] == [one.id] * 6  # asked for, four times told, done
