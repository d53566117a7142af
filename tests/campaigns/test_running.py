"""A campaign on its way: fed, paused, held, stopped, answered; and each of its people gets it once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.campaigns.bakery import Bakery, bakery, clock, meta, phones
from tests.fixtures import wire
from tests.fixtures.wire import BAKERY, Human
from tests.sending.conftest import error

from twinline.automations import service as automations
from twinline.campaigns import running, service
from twinline.campaigns.models import Schedule
from twinline.rules.refusal import Refused
from twinline.sending import lane

__all__ = ["bakery", "clock", "meta"]

pytestmark = pytest.mark.anyio

ANA, BEA, CARL = "351910000001", "351910000002", "351910000003"


async def test_a_campaign_reaches_everybody_once_and_tells_what_became_of_each(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA, BEA, CARL])
    assert one.state == "planned"
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert sorted(bakery.reached) == [ANA, BEA, CARL]
    assert await bakery.states(one) == ["sent"] * 3
    assert await bakery.state(one) == "finished", "nothing is left to do"
    await bakery.status(ANA, "delivered")
    await bakery.status(BEA, "read")
    await bakery.look()
    assert await bakery.states(one) == ["delivered", "read", "sent"]
    await bakery.answers(CARL, "How lovely")
    await bakery.look()
    ana, bea, carl = await bakery.people(one)
    assert (carl["state"], carl["reply_wamid"]) == ("replied", "wamid.IN1")
    assert bea["delivered_at"] is not None, "what was read was delivered"
    assert ana["read_at"] is None


# --- pause, cancel ------------------------------------------------------------------------------------------------


async def test_a_pause_takes_back_what_hasnt_left_and_a_resume_sends_it_once(bakery: Bakery) -> None:
    people = phones(30)
    one = await bakery.campaign(people)
    await bakery.does(service.start, one)
    await bakery.look()
    assert set(await bakery.states(one)) == {"queued"}
    await bakery.does(service.pause, one)
    rows = await bakery.shop.dicts("SELECT state, error_text FROM outbox")
    assert {(row["state"], row["error_text"]) for row in rows} == {("cancelled", "The campaign was paused.")}
    await bakery.goes_on()
    assert bakery.reached == []
    assert set(await bakery.states(one)) == {"planned"}
    await bakery.does(service.resume, one)
    await bakery.goes_on()
    assert sorted(bakery.reached) == sorted(people)
    assert await bakery.state(one) == "finished"


async def test_whom_the_lane_has_in_hand_still_gets_it_and_nobody_else_after_a_cancellation(bakery: Bakery) -> None:
    one = await bakery.campaign(phones(50))
    await bakery.does(service.start, one)
    await bakery.look()
    planned = await lane.plan(bakery.app, bakery.shop.number_id)
    assert planned is not None
    in_hand = len(planned.rows)
    assert 0 < in_hand < 20
    await bakery.does(service.cancel, one)
    await bakery.look()
    states = Counter(await bakery.states(one))
    assert states["cancelled"] == 50 - in_hand
    await bakery.goes_on()  # the lane that had them in hand is no more: they are in doubt
    assert Counter(await bakery.states(one)) == {"cancelled": 50 - in_hand, "in_doubt": in_hand}
    assert (await bakery.found(one)).finished_at is None
    bakery.clock.advance(minutes=11)
    await lane.despair(bakery.app)
    await bakery.look()
    assert Counter(await bakery.states(one)) == {"cancelled": 50 - in_hand, "unknown": in_hand}
    assert (await bakery.found(one)).finished_at is not None
    assert bakery.reached == []


async def test_a_large_campaign_that_is_cancelled_is_marked_slice_by_slice(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SLICE", 7)
    one = await bakery.campaign(phones(30))
    await bakery.does(service.start, one)
    await bakery.does(service.cancel, one)
    await bakery.look()
    assert set(await bakery.states(one)) == {"cancelled"}


async def test_steps_that_a_state_doesnt_have_are_refused_with_the_reason(bakery: Bakery) -> None:
    draft = await bakery.draft()
    with pytest.raises(Refused) as refused:
        await bakery.does(service.start, draft)
    assert refused.value.refusal.rule == "campaign.draft"
    assert refused.value.refusal.text == "This campaign can't be started: it hasn't been planned yet."
    one = await bakery.campaign([ANA])
    await bakery.does(service.cancel, one)
    for step in (service.start, service.pause, service.resume, service.cancel, service.plan_requested):
        with pytest.raises(Refused):
            await bakery.does(step, one)


async def test_an_edit_makes_the_plan_void(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA])
    edited = await bakery.does(service.edit, one, name="Summer")
    assert (edited.state, edited.name, edited.plan, edited.revision) == ("draft", "Summer", None, one.revision + 1)
    with pytest.raises(Refused):
        await bakery.does(service.start, one)


# --- held ---------------------------------------------------------------------------------------------------------


def paused(event: str, at: int, title: str | None = None) -> dict[str, Any]:
    value = {
        "event": event,
        "message_template_id": 1,
        "message_template_name": "spring",
        "message_template_language": "en",
        "reason": None,
        "other_info": {"title": title},
    }
    change = {"field": "message_template_status_update", "value": value}
    return {"object": "whatsapp_business_account", "entry": [{"id": BAKERY.waba_id, "time": at, "changes": [change]}]}


async def test_a_paused_template_holds_its_campaign_which_goes_on_by_itself(bakery: Bakery) -> None:
    people = phones(30)
    one = await bakery.campaign(people)
    await bakery.does(service.start, one)
    await bakery.look()
    await bakery.hears(paused("PAUSED", bakery.shop.seconds, "FIRST_PAUSE"))
    await bakery.goes_on()
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("held", "stopped.template")
    assert "paused" in found.says
    assert set(await bakery.states(one)) <= {"held", "planned"}
    assert bakery.reached == []
    bakery.clock.advance(hours=1)
    await bakery.hears(paused("APPROVED", bakery.shop.seconds))
    await bakery.goes_on()
    assert sorted(bakery.reached) == sorted(people)
    assert await bakery.state(one) == "finished"


async def test_a_template_that_isnt_approved_any_more_holds_before_anything_is_written(bakery: Bakery) -> None:
    one = await bakery.campaign(phones(3))
    await bakery.shop.execute("UPDATE templates SET status = 'DISABLED'")
    await bakery.does(service.start, one)
    await bakery.goes_on()
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("held", "template.disabled")
    assert await bakery.states(one) == ["planned"] * 3
    await bakery.shop.execute("UPDATE templates SET status = 'APPROVED'")
    await bakery.goes_on()
    assert len(bakery.reached) == 3


async def test_a_phone_that_is_away_holds_campaigns_until_it_is_back(bakery: Bakery) -> None:
    people = phones(20)
    one = await bakery.campaign(people)
    await bakery.does(service.start, one)
    await bakery.look()
    away = "UPDATE numbers SET state = 'offboarded', state_since = %s"
    await bakery.shop.execute(away, (bakery.clock.now(),))
    await bakery.goes_on()
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("held", "number.away")
    bakery.clock.advance(days=2)
    await bakery.shop.execute("UPDATE numbers SET state = 'connected'")
    await bakery.goes_on()
    assert sorted(bakery.reached) == sorted(people)


async def test_what_is_held_can_be_paused_and_waits_for_a_person_then(bakery: Bakery) -> None:
    one = await bakery.campaign(phones(5))
    await bakery.does(service.start, one)
    await bakery.look()
    await bakery.hears(paused("PAUSED", bakery.shop.seconds, "FIRST_PAUSE"))
    await bakery.goes_on()
    await bakery.does(service.pause, one)
    bakery.clock.advance(hours=4)
    await bakery.goes_on()
    assert (await bakery.state(one), bakery.reached) == ("paused", [])
    await bakery.does(service.resume, one)
    await bakery.goes_on()
    assert len(bakery.reached) == 5


async def test_somebody_whose_chat_is_taken_gets_it_when_they_are_alone_again(bakery: Bakery) -> None:
    await bakery.shop.customer(ANA)
    await bakery.shop.phone_says(ANA, "I'll look it up for you")
    one = await bakery.campaign([ANA, BEA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    ana, bea = await bakery.people(one)
    assert (ana["state"], ana["reason"], bea["state"]) == ("held", "floor", "sent")
    assert "phone" in ana["says"]
    assert await bakery.state(one) == "running", "it isn't over before Ana knows"
    bakery.clock.advance(hours=2, minutes=11)
    await bakery.goes_on()
    assert bakery.reached == [BEA, ANA]
    assert await bakery.state(one) == "finished"


async def button(bakery: Bakery, ana: int) -> None:
    async with bakery.app.db.transaction() as tx:
        await automations.release_floor(bakery.app, tx, bakery.shop.number_id, ana, None, bakery.clock.now())


async def keyword(bakery: Bakery, ana: int) -> None:
    await bakery.shop.phone_says(ANA, "#bot")


@pytest.mark.parametrize("hands_back", [button, keyword])
@pytest.mark.parametrize("overtaken", [False, True])
async def test_who_was_held_gets_it_as_soon_as_the_chat_is_handed_back(
    bakery: Bakery, hands_back: Callable[[Bakery, int], Awaitable[None]], overtaken: bool
) -> None:
    ana = await bakery.shop.customer(ANA)
    await bakery.shop.customer(BEA)
    one = await bakery.campaign([ANA, BEA])
    await bakery.does(service.start, one)
    if overtaken:
        await bakery.look()
    await bakery.shop.phone_says(ANA, "Hello Ana")
    await bakery.shop.phone_says(BEA, "Hello Bea")
    await bakery.goes_on()
    assert (await bakery.states(one), bakery.reached) == (["held", "held"], [])
    await bakery.shop.execute("DELETE FROM procrastinate_jobs")
    bakery.clock.advance(seconds=5)
    await hands_back(bakery, ana)
    jobs = "SELECT coalesce(scheduled_at <= now(), true) AS now FROM procrastinate_jobs WHERE task_name = %s"
    assert await bakery.shop.dicts(jobs, (service.TEND,)) == [{"now": True}]
    await bakery.goes_on()
    assert bakery.reached == [ANA], "and nobody else whose chat isn't free"


async def test_who_is_held_for_a_few_minutes_gets_it_when_these_are_over(bakery: Bakery) -> None:
    ana = await bakery.shop.customer(ANA)
    one = await bakery.campaign([ANA])
    async with bakery.app.db.transaction() as tx:
        number, now = bakery.shop.number_id, bakery.clock.now()
        await automations.take_floor(bakery.app, tx, number, ana, None, now, timedelta(minutes=3))
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert await bakery.states(one) == ["held"]
    bakery.clock.advance(minutes=2, seconds=50)
    await bakery.goes_on()
    assert bakery.reached == []
    bakery.clock.advance(seconds=11)
    await bakery.goes_on()
    assert bakery.reached == [ANA]


async def test_a_word_from_the_phone_overtakes_what_waited_already(bakery: Bakery) -> None:
    await bakery.shop.customer(ANA)
    one = await bakery.campaign([ANA])
    await bakery.does(service.start, one)
    await bakery.look()
    assert await bakery.states(one) == ["queued"]
    await bakery.shop.phone_says(ANA, "Hello Ana")
    await bakery.goes_on()
    assert (await bakery.states(one), bakery.reached) == (["held"], [])
    bakery.clock.advance(hours=2, minutes=11)
    await bakery.goes_on()
    assert bakery.reached == [ANA]


async def test_a_chat_that_is_never_free_is_skipped_after_a_day(bakery: Bakery) -> None:
    await bakery.shop.customer(ANA)
    one = await bakery.campaign([ANA])
    await bakery.does(service.start, one)
    for _ in range(30):
        await bakery.shop.phone_says(ANA, "…")
        await bakery.goes_on()
        bakery.clock.advance(hours=1)
    [ana] = await bakery.people(one)
    assert (ana["state"], ana["reason"]) == ("skipped", "floor")
    assert await bakery.state(one) == "finished"


# --- stopped ------------------------------------------------------------------------------------------------------


async def test_a_campaign_stops_itself_when_too_many_fail_and_a_person_may_let_it_go_on(bakery: Bakery) -> None:
    people = phones(40)
    one = await bakery.campaign(people, limits={"failed": 0.2, "after": 10}, schedule=Schedule(hours=40))
    await bakery.does(service.start, one)
    while len(bakery.reached) < 12:
        await bakery.goes_on()
        bakery.clock.advance(hours=1)
    for phone in bakery.reached[:3]:
        await bakery.status(phone, "failed", errors=[{"code": 131026, "title": "Undeliverable"}])
    bakery.clock.advance(seconds=5)
    await bakery.look()
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("stopped", "limit.failed")
    assert "this campaign stops at 20 %" in found.says
    assert not {"queued", "held"} & set(await bakery.states(one))
    so_far = len(bakery.reached)
    await bakery.goes_on()
    assert len(bakery.reached) == so_far
    resumed = await bakery.does(service.resume, one)
    assert resumed.stops_at.failed > 0.25
    while await bakery.state(one) == "running":
        await bakery.goes_on()
        bakery.clock.advance(hours=1)
    assert sorted(bakery.reached) == sorted(people)


async def test_people_who_say_stop_or_tell_whatsapp_so_are_counted_and_stop_it(bakery: Bakery) -> None:
    people = phones(6)
    limits = {"opted_out": 0.4, "blocked": 0, "after": 4}
    one = await bakery.campaign(people, limits=limits, schedule=Schedule(hours=100))
    await bakery.does(service.start, one)
    while len(bakery.reached) < 5:
        bakery.clock.advance(hours=1)
        await bakery.goes_on()
    for phone in bakery.reached[2:4]:
        await bakery.answers(phone, "STOP")
    await bakery.hears(wire.preference(Human(bakery.reached[4]), "stop", bakery.shop.seconds))
    bakery.clock.advance(seconds=5)
    await bakery.look()
    rows = {row["phone"]: row for row in await bakery.people(one)}
    assert [rows[phone]["opted_out_at"] is not None for phone in bakery.reached[:5]] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert rows[bakery.reached[4]]["blocked_at"] is not None
    assert await bakery.state(one) == "running", "two of five are 40 %"
    await bakery.answers(bakery.reached[1], "STOP")
    bakery.clock.advance(seconds=5)
    await bakery.look()
    found = await bakery.found(one)
    assert (found.state, found.reason) == ("stopped", "limit.opted_out")


# --- when ---------------------------------------------------------------------------------------------------------


async def test_a_cap_on_the_speed_is_kept_without_saving_up(bakery: Bakery) -> None:
    bakery.clock.stop()
    one = await bakery.campaign(phones(40), speed=2)
    await bakery.does(service.start, one)
    queued = []
    for _ in range(5):
        await bakery.look()
        queued.append(await bakery.shop.value("SELECT count(*) FROM outbox"))
        bakery.clock.advance(seconds=1)
        await bakery.shop.execute("UPDATE outbox SET state = 'sent'")
    assert queued[0] == 1
    assert [after - before for before, after in pairwise(queued)] == [2, 2, 2, 2]
    bakery.clock.advance(hours=1)
    await bakery.look()
    assert await bakery.shop.value("SELECT count(*) FROM outbox") - queued[-1] <= 4


async def test_a_campaign_begins_at_its_time_by_itself(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA], schedule=Schedule("2026-11-20T18:00", "Europe/Lisbon"))
    waits = await bakery.does(service.start, one)
    assert waits.state == "scheduled"
    assert waits.starts_at is not None
    assert waits.starts_at.isoformat() == "2026-11-20T18:00:00+00:00"
    await bakery.goes_on()
    assert bakery.reached == []
    bakery.clock.advance(hours=6)
    await bakery.goes_on()
    assert bakery.reached == [ANA]


async def test_everybody_gets_it_at_that_time_of_their_own_clock(bakery: Bakery) -> None:
    tokyo, lisbon, lima = "819012345678", ANA, "51987654321"
    one = await bakery.campaign([lima, lisbon, tokyo], schedule=Schedule("2026-11-21T09:00", "recipient"))
    waits = await bakery.does(service.start, one)
    assert waits.starts_at is not None
    assert waits.starts_at.isoformat() == "2026-11-21T00:00:00+00:00", "nine in Tokyo"
    for hours, reached in ((12, [tokyo]), (9, [tokyo, lisbon]), (5, [tokyo, lisbon, lima])):
        bakery.clock.advance(hours=hours, minutes=1)
        await bakery.goes_on()
        assert bakery.reached == reached
    assert await bakery.state(one) == "finished"


async def test_a_campaign_is_spread_evenly_and_nobody_is_woken(bakery: Bakery) -> None:
    """It is noon when it begins; until eight in the evening they may be written to, and then from nine on."""
    when = Schedule(zone="UTC", hours=10, between=["09:00", "20:00"])
    one = await bakery.campaign(phones(40), schedule=when)
    await bakery.does(service.start, one)
    hourly = []
    for _ in range(24):
        before = len(bakery.reached)
        bakery.clock.advance(hours=1)
        await bakery.goes_on()
        hourly.append(len(bakery.reached) - before)
    assert len(bakery.reached) == 40
    assert all(2 <= count <= 6 for count in hourly[:7])
    assert hourly[8:20] == [0] * 12
    assert sum(hourly[20:22]) > 0, "those whose time fell into the night come in the morning"


async def test_a_time_that_is_over_is_refused(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA], schedule=Schedule("2026-11-19T18:00", "UTC"))
    with pytest.raises(Refused) as refused:
        await bakery.does(service.start, one)
    assert refused.value.refusal.rule == "campaign.past"


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"name": "  "}, "campaign.name"),
        ({"speed": 0}, "campaign.speed"),
        ({"speed": 21}, "campaign.speed"),
        ({"limits": {"fails": 1}}, "campaign.limits"),
        ({"limits": {"failed": 5}}, "campaign.limits"),
        ({"schedule": Schedule("tomorrow")}, "campaign.schedule"),
        ({"schedule": Schedule(zone="Mars/Olympus")}, "campaign.schedule"),
        ({"schedule": Schedule(hours=-1)}, "campaign.schedule"),
        ({"schedule": Schedule(between=["20:00", "09:00"])}, "campaign.schedule"),
    ],
)
async def test_what_cant_be_is_refused_in_the_draft(bakery: Bakery, wrong: dict[str, Any], rule: str) -> None:
    one = await bakery.draft()
    with pytest.raises(Refused) as refused:
        await bakery.does(service.edit, one, **wrong)
    assert refused.value.refusal.rule == rule


# --- once ---------------------------------------------------------------------------------------------------------


async def test_the_same_key_makes_one_campaign(bakery: Bakery) -> None:
    first = await bakery.draft(idempotency_key="spring", digest=b"1")
    again = await bakery.draft(idempotency_key="spring", digest=b"1")
    assert first.id == again.id
    with pytest.raises(service.OtherCampaign):
        await bakery.draft(idempotency_key="spring", digest=b"2")


async def test_three_people_get_it_first_and_not_again(bakery: Bakery) -> None:
    people = phones(10)
    one = await bakery.campaign(people)
    chosen = [row["id"] for row in await bakery.people(one)][4:7]
    async with bakery.app.db.transaction() as tx:
        assert await service.try_first(bakery.app, tx, bakery.organisation_id, one.id, chosen) == 3
    await bakery.goes_on()
    assert sorted(bakery.reached) == people[4:7]
    assert await bakery.state(one) == "planned"
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert sorted(bakery.reached) == people


async def test_two_engines_at_once_feed_nobody_twice(bakery: Bakery) -> None:
    people = phones(60)
    one = await bakery.campaign(people)
    await bakery.does(service.start, one)
    number = bakery.shop.number_id
    await asyncio.gather(*(running.look(bakery.app, number, running.Memory()) for _ in range(4)))
    rows = await bakery.shop.dicts("SELECT idempotency_key FROM outbox")
    assert len(rows) == 60
    await bakery.goes_on()
    assert sorted(bakery.reached) == people


async def test_somebody_who_turns_out_to_be_another_one_gets_it_once(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA, BEA])
    contact = await bakery.shop.customer(ANA)
    await bakery.shop.execute("UPDATE recipients SET contact_id = %s", (contact,))
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert bakery.reached == [ANA]
    ana, bea = await bakery.people(one)
    assert (ana["state"], bea["state"], bea["reason"]) == ("sent", "skipped", "duplicate")


async def test_whoever_has_opted_out_since_the_planning_is_left_out(bakery: Bakery) -> None:
    await bakery.answers(ANA, "STOP")
    one = await bakery.campaign([ANA, BEA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert bakery.reached == [BEA]
    ana, _ = await bakery.people(one)
    assert (ana["state"], ana["reason"]) == ("skipped", "opted_out")


async def test_the_marketing_cap_of_somebody_is_not_tried_again(bakery: Bakery) -> None:
    bakery.meta.will("template", error(131049))
    one = await bakery.campaign([ANA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    [ana] = await bakery.people(one)
    assert (ana["state"], ana["reason"], len(bakery.reached)) == ("failed", "131049", 1)
    assert await bakery.state(one) == "finished"


# --- answers ------------------------------------------------------------------------------------------------------


async def test_answers_and_buttons_are_counted_for_the_variant_that_they_answer(bakery: Bakery) -> None:
    await bakery.template("summer")
    one = await bakery.campaign([ANA, BEA, CARL], ["spring", "summer"], routing={"tag": "answered"})
    await bakery.does(service.start, one)
    await bakery.goes_on()
    names = [message["template"]["name"] for message in bakery.meta.messages]
    assert sorted(names) == ["spring", "spring", "summer"]
    quoted = {"context": {"from": BAKERY.phone, "id": f"wamid.{bakery.reached.index(BEA) + 1}"}}
    button = {"type": "button", "button": {"text": "Yes, please", "payload": "yes"}}
    said = {"from": BEA, "id": "wamid.TAP", "timestamp": str(bakery.shop.seconds), **quoted, **button}
    await bakery.hears(wire.inbound(Human(BEA), said))
    await bakery.answers(BEA, "And a cake")
    await bakery.look()
    ana, bea, _ = await bakery.people(one)
    assert (bea["state"], bea["variant"], bea["button"], bea["reply_wamid"]) == (
        "replied",
        1,
        "Yes, please",
        "wamid.TAP",
    )
    assert ana["state"] == "sent"
    assert await bakery.shop.value("SELECT tags FROM contacts WHERE phone = %s", (BEA,)) == ["answered"]


async def test_words_of_long_after_answer_nothing(bakery: Bakery) -> None:
    one = await bakery.campaign([ANA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    bakery.clock.advance(days=4)
    await bakery.answers(ANA, "Hello?")
    await bakery.look()
    assert await bakery.states(one) == ["sent"]


async def test_a_doubt_keeps_the_campaign_open_and_a_status_settles_it(bakery: Bakery) -> None:
    bakery.meta.will("template", httpx.ReadTimeout("nothing came"))
    one = await bakery.campaign([ANA])
    await bakery.does(service.start, one)
    await bakery.goes_on()
    assert (await bakery.states(one), await bakery.state(one)) == (["in_doubt"], "running")
    await bakery.status(ANA, "delivered")
    await bakery.goes_on()
    assert (await bakery.states(one), await bakery.state(one)) == (["delivered"], "finished")
    assert len(bakery.reached) == 1
