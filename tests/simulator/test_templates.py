"""Templates: how they are made, what becomes of them, and what of a message must fit."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from whatsapp_simulator.clock import Clock
from whatsapp_simulator.template_rules import category, verdict

pytestmark = pytest.mark.anyio

HOUR, DAY = 3600, 86400
BODY = {
    "type": "BODY",
    "text": "Dear {{1}}, your bike is mended and waits for you until {{2}} at the shop.",
    "example": {"body_text": [["Ann", "Friday"]]},
}


def body(text: str, *examples: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text, "example": {"body_text": [list(examples)]}}


def header(**more: Any) -> dict[str, Any]:
    return {"type": "HEADER", **more}


def buttons(*given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(given)}


def reply(text: str) -> dict[str, Any]:
    return {"type": "QUICK_REPLY", "text": text}


def values(*given: str) -> dict[str, Any]:
    return {"type": "body", "parameters": [{"type": "text", "text": one} for one in given]}


class Maker:
    """A connected platform that makes templates and sends them."""

    def __init__(self, sim: Any) -> None:
        self.sim = sim
        self.waba = sim.phone.waba_id

    async def create(self, name: str = "bike_ready", *components: Any, **more: Any) -> Any:
        given = {"name": name, "language": "en_US", "category": "UTILITY", "components": list(components) or [BODY]}
        return await self.sim.graph("POST", f"{self.waba}/message_templates", **{**given, **more})

    async def refused(self, *components: Any, **more: Any) -> Any:
        given = {"name": "n", "language": "en_US", "category": "UTILITY", "components": list(components)}
        return await self.sim.error("POST", f"{self.waba}/message_templates", **{**given, **more})

    async def step(self, template: str, name: str, **more: Any) -> Any:
        return await self.sim.post(f"/control/templates/{template}/{name}", **more)

    async def approved(self, *components: Any, **more: Any) -> str:
        given = {
            "name": "bike_ready",
            "language": "en_US",
            "category": "UTILITY",
            "components": list(components) or [BODY],
        }
        made = await self.sim.post("/control/templates", approved=True, **{**given, **more})
        return str(made["id"])

    async def status(self, template: str) -> str:
        return str((await self.sim.graph("GET", f"{template}?fields=status"))["status"])

    def message(self, name: str, *components: Any, **more: Any) -> dict[str, Any]:
        template = {"name": name, "language": {"code": "en_US"}, "components": list(components)}
        return {"messaging_product": "whatsapp", "to": "14155550171", "type": "template", "template": template, **more}

    async def send(self, name: str, *components: Any, **more: Any) -> Any:
        message = self.message(name, *components, **more)
        return (await self.sim.graph("POST", f"{self.sim.phone.id}/messages", **message))["messages"][0]

    async def cannot_send(self, name: str, *components: Any, **more: Any) -> Any:
        return await self.sim.error("POST", f"{self.sim.phone.id}/messages", **self.message(name, *components, **more))

    async def told(self, field: str) -> list[Any]:
        await self.sim.flush()
        return self.sim.platform.changes(field)

    async def later(self, seconds: float) -> None:
        await self.sim.post("/control/clock", advance=seconds)


@pytest.fixture
async def maker(sim: Any) -> Maker:
    await sim.connect()
    return Maker(sim)


# -- made and reviewed ---------------------------------------------------------------------------------------------


async def test_a_template_is_reviewed_and_then_it_can_be_sent(maker):
    made = await maker.create()
    assert (made["status"], made["category"]) == ("PENDING", "UTILITY")
    assert (await maker.cannot_send("bike_ready", values("Ann", "six")))["code"] == 132001
    await maker.later(10)
    (told,) = await maker.told("message_template_status_update")
    assert told == {
        "event": "APPROVED",
        "message_template_id": int(made["id"]),
        "message_template_name": "bike_ready",
        "message_template_language": "en_US",
        "reason": "NONE",
        "message_template_category": "UTILITY",
    }
    sent = await maker.send("bike_ready", values("Ann", "six"))
    assert sent["message_status"] == "accepted"
    shown = maker.sim.world.state.messages[sent["id"]].shown
    assert shown["body"] == "Dear Ann, your bike is mended and waits for you until six at the shop."


async def test_a_review_can_wait_for_the_operator_who_says_why_not(maker):
    await maker.sim.post("/control/options", template_review="manual")
    made = await maker.create()
    await maker.later(30 * DAY)
    assert await maker.status(made["id"]) == "PENDING"
    await maker.step(made["id"], "reject", reason="INVALID_FORMAT", recommendation="Use full sentences.")
    shown = await maker.sim.graph("GET", f"{made['id']}?fields=status,rejected_reason")
    assert (shown["status"], shown["rejected_reason"]) == ("REJECTED", "INVALID_FORMAT")
    (told,) = await maker.told("message_template_status_update")
    assert told["rejection_info"]["recommendation"] == "Use full sentences."
    await maker.sim.graph("POST", made["id"], components=[BODY])
    await maker.step(made["id"], "approve")
    assert await maker.status(made["id"]) == "APPROVED"


async def test_a_utility_template_that_promotes_becomes_marketing(maker):
    made = await maker.create(
        "bike_sale", body("Dear {{1}}, here is a special offer for your next bike repair.", "Ann")
    )
    await maker.later(10)
    (change,) = await maker.told("template_category_update")
    assert (change["previous_category"], change["new_category"]) == ("UTILITY", "MARKETING")
    assert (await maker.sim.graph("GET", f"{made['id']}?fields=category"))["category"] == "MARKETING"


def test_the_review_rejects_for_what_a_name_asks_and_for_what_nobody_should_ask():
    assert verdict("reject_promotional_june", [BODY])[0] == "PROMOTIONAL"
    assert verdict("login", [{"type": "BODY", "text": "Please answer with your password."}])[0] == "SCAM"
    assert verdict("bike_ready", [BODY]) is None
    assert category("UTILITY", [BODY]) == "UTILITY"


@pytest.mark.parametrize(
    ("components", "subcode"),
    [
        ([body("{{1}} is ready for you at our shop today", "x")], 2388299),
        ([body("Your bike is ready for you, dear {{1}} ", "x")], 2388299),
        ([body("Take {{1}} {{2}} {{3}} {{4}} please now", "a", "b", "c", "d")], 2388293),
        ([body("Your bike number {{2}} is ready for you today", "x")], 2388072),
        ([body("Your bike number {{name}} is ready for you today", "x")], 2388072),
        ([body("Your bike number {{1} is ready for you today", "x")], 2388072),
        ([body("One\n\n\ntwo")], 2388072),
        ([body("x" * 1025)], 2388040),
        ([{"type": "BODY", "text": "Your bike number {{1}} is ready for you today"}], 2388043),
        ([body("Your bike number {{1}} is ready for {{2}} from today", "x")], 2388043),
        ([header(format="TEXT", text="x" * 61), BODY], 2388040),
        ([header(format="TEXT", text="*Bikes*"), BODY], 2388047),
        ([header(format="TEXT", text="{{1}} and {{2}}", example={"header_text": ["a", "b"]}), BODY], 2388047),
        ([header(format="IMAGE"), BODY], 2388043),
        ([BODY, {"type": "FOOTER", "text": "Until {{1}}"}], 2388073),
        ([BODY, {"type": "FOOTER", "text": "x" * 61}], 2388040),
        ([BODY, buttons(reply("x" * 26))], 2388040),
        ([BODY, buttons({"type": "URL", "text": "See", "url": "https://e.com/{{1}}"})], 2388043),
        (
            [
                BODY,
                buttons(reply("A"), {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "1415555"}, reply("B")),
            ],
            None,
        ),
        ([BODY, buttons(*(reply(str(n)) for n in range(11)))], None),
        ([BODY, buttons({"type": "URL", "text": "See", "url": "https://{{1}}.com"})], None),
        ([BODY, buttons(reply("Yes"), reply("Yes"))], None),
        ([BODY, BODY], None),
    ],
)
async def test_what_isnt_a_template_is_refused_with_words_for_a_person(maker, components, subcode):
    error = await maker.refused(*components)
    assert (error["code"], error.get("error_subcode")) == (100, subcode)
    if subcode is not None:
        assert error["error_user_title"]
        assert error["error_user_msg"]


async def test_name_category_and_language_must_be_ones_that_there_are(maker):
    assert (await maker.refused(BODY, name="Bike Ready"))["error_subcode"] == 2388046
    assert "category" in (await maker.refused(BODY, category="TRANSACTIONAL"))["message"]
    assert "language" in (await maker.refused(BODY, language="xx"))["message"]


async def test_each_language_of_a_name_is_there_once_and_all_share_a_category(maker):
    await maker.create()
    error = await maker.refused(BODY, name="bike_ready")
    assert (error["error_subcode"], error["error_user_title"]) == (2388024, "Content in This Language Already Exists")
    await maker.create(language="en-GB")
    error = await maker.refused(BODY, name="bike_ready", language="es", category="MARKETING")
    assert "UTILITY" in error["error_user_msg"]


async def test_a_hundred_templates_an_hour_and_as_many_as_the_account_is_trusted_with(maker):
    for n in range(100):
        await maker.create(f"bike_{n}")
    assert (await maker.refused(BODY, name="bike_100"))["code"] == 80007
    await maker.later(HOUR + 1)
    await maker.create("bike_100")
    maker.sim.world.state.wabas[maker.waba].business_verification_status = "not_verified"
    for n in range(250 - len(maker.sim.world.state.templates)):
        await maker.approved(name=f"trike_{n}")
    assert (await maker.refused(BODY, name="one_more"))["error_subcode"] == 2388019


async def test_metas_words_stand_in_an_authentication_template(maker):
    otp = buttons({"type": "OTP", "otp_type": "COPY_CODE"})
    given = [
        {"type": "BODY", "add_security_recommendation": True},
        {"type": "FOOTER", "code_expiration_minutes": 5},
        otp,
    ]
    made = await maker.create("code", *given, category="AUTHENTICATION")
    components = (await maker.sim.graph("GET", made["id"]))["components"]
    assert components[0]["text"].startswith("*{{1}}* is your verification code. For your security")
    assert components[1]["text"] == "This code expires in 5 minutes."
    assert components[2]["buttons"][0]["type"] == "URL"
    assert "fixed" in (await maker.refused(BODY, otp, category="AUTHENTICATION"))["message"]


# -- listed --------------------------------------------------------------------------------------------------------


async def test_templates_are_listed_in_pages_of_the_fields_asked_for(maker):
    path = f"{maker.waba}/message_templates?fields=name,status,quality_score&limit=4"
    seen, after = [], ""
    while True:
        page = await maker.sim.graph("GET", f"{path}{after and '&after='}{after}")
        seen += page["data"]
        if "next" not in page["paging"]:
            break
        assert "access_token" not in page["paging"]["next"]
        after = page["paging"]["cursors"]["after"]
    assert len({one["id"] for one in seen}) == len(seen) == len(maker.sim.world.state.templates)
    assert set(seen[0]) == {"id", "name", "status", "quality_score"}
    back = await maker.sim.graph("GET", f"{path}&before={page['paging']['cursors']['before']}")
    assert back["data"][-1]["id"] == seen[-len(page["data"]) - 1]["id"]
    default = (await maker.sim.graph("GET", f"{maker.waba}/message_templates"))["data"][0]
    assert "rejected_reason" not in default
    assert (await maker.sim.error("GET", f"{maker.waba}/message_templates?fields=nonsense"))["code"] == 100
    assert (await maker.sim.error("GET", f"{path}&after=nonsense"))["code"] == 100


async def test_filters_find_by_name_language_status_and_words(maker):
    async def names(query: str) -> set[str]:
        path = f"{maker.waba}/message_templates?fields=name&{query}"
        return {one["name"] for one in (await maker.sim.graph("GET", path))["data"]}

    assert await names("name=order") == {"order_ready"}
    assert await names("language=pt_BR&category=marketing") == {"spring_sale"}
    assert await names('status=["PENDING","REJECTED"]') == set()
    assert await names("content=pickup") == {"order_ready"}
    assert await names("name_or_content=verification") == {"login_code"}


async def test_the_templates_of_another_business_are_not_there(maker):
    other = await maker.sim.post("/control/phones", name="Second", connected=True)
    theirs = next(t for t in maker.sim.world.state.templates.values() if t.waba_id == other["waba_id"])
    assert (await maker.sim.error("GET", theirs.id))["error_subcode"] == 33
    assert (await maker.sim.error("POST", f"{theirs.id}/unpause"))["error_subcode"] == 33


# -- edited and deleted --------------------------------------------------------------------------------------------


async def test_an_approved_template_is_edited_once_a_day_and_ten_times_a_month(maker):
    made = await maker.approved()
    text = "Dear {{1}}, your bike waits for you at the shop, and we are open until {{2}} today."
    linked = buttons({"type": "URL", "text": "Map", "url": "https://example.com/map"}, reply("Thanks"))
    assert await maker.sim.graph("POST", made, components=[body(text, "a", "b"), linked]) == {"success": True}
    assert await maker.status(made) == "PENDING"
    assert (await maker.sim.error("POST", made, components=[BODY]))["error_subcode"] == 2388003
    (change,) = await maker.told("message_template_components_update")
    assert change["message_template_element"] == text
    assert change["message_template_buttons"] == [
        {
            "message_template_button_type": "URL",
            "message_template_button_text": "Map",
            "message_template_button_url": "https://example.com/map",
        }
    ]
    await maker.later(10)
    assert "1 time" in (await maker.sim.error("POST", made, components=[BODY]))["error_user_msg"]
    for _ in range(9):
        await maker.later(DAY + 1)
        await maker.sim.graph("POST", made, components=[BODY])
        await maker.later(10)
    await maker.later(DAY + 1)
    assert "10 time" in (await maker.sim.error("POST", made, components=[BODY]))["error_user_msg"]
    await maker.later(21 * DAY)
    await maker.sim.graph("POST", made, components=[BODY])


async def test_the_category_of_an_approved_template_stays(maker):
    made = await maker.approved()
    assert "category" in (await maker.sim.error("POST", made, category="MARKETING"))["error_user_msg"]
    await maker.step(made, "reject", reason="INCORRECT_CATEGORY")
    await maker.sim.graph("POST", made, category="MARKETING")
    assert (await maker.sim.graph("GET", made))["category"] == "MARKETING"


async def test_a_deleted_name_stays_taken_for_a_month(maker):
    await maker.approved()
    await maker.approved(language="es")
    assert await maker.sim.graph("DELETE", f"{maker.waba}/message_templates?name=bike_ready") == {"success": True}
    assert {one["event"] for one in await maker.told("message_template_status_update")} == {"APPROVED", "DELETED"}
    assert (await maker.refused(BODY, name="bike_ready"))["error_subcode"] == 2388023
    await maker.later(30 * DAY)
    await maker.create()


async def test_one_language_or_several_ids_are_deleted_and_unknown_ones_refused(maker):
    english, spanish = await maker.approved(), await maker.approved(language="es")
    other = await maker.approved(name="other")
    path = f"{maker.waba}/message_templates"
    assert (await maker.sim.error("DELETE", f"{path}?hsm_id={english}&name=other"))["error_subcode"] == 2593002
    await maker.sim.graph("DELETE", f"{path}?hsm_id={english}&name=bike_ready")
    ids = json.dumps([int(spanish), int(other)])
    await maker.sim.graph("DELETE", f"{path}?hsm_ids={ids}")
    assert (await maker.sim.error("GET", other))["error_subcode"] == 33
    assert (await maker.sim.error("DELETE", f"{path}?name=bike_ready"))["error_subcode"] == 2593002
    assert (await maker.sim.error("DELETE", path))["code"] == 100


async def test_a_template_whose_message_still_waits_is_deleted_when_it_arrived(maker):
    made = await maker.approved()
    await maker.sim.post("/control/customers/c1/present", online=False)
    await maker.send("bike_ready", values("Ann", "six"))
    await maker.sim.graph("DELETE", f"{maker.waba}/message_templates?name=bike_ready")
    assert await maker.status(made) == "PENDING_DELETION"
    assert (await maker.told("message_template_status_update"))[-1]["reason"] is None
    assert (await maker.cannot_send("bike_ready", values("Ann", "six")))["code"] == 132001
    await maker.sim.post("/control/customers/c1/present", online=True)
    await maker.later(1)
    assert (await maker.sim.error("GET", made))["error_subcode"] == 33


# -- quality, pauses, category -------------------------------------------------------------------------------------


async def test_a_red_template_pauses_for_three_hours_then_six_then_for_ever(maker):
    made = await maker.approved()
    await maker.step(made, "quality", score="GREEN")
    await maker.step(made, "quality", score="YELLOW")
    assert await maker.status(made) == "APPROVED"
    for hours, title in ((3, "FIRST_PAUSE"), (6, "SECOND_PAUSE")):
        await maker.step(made, "quality", score="RED")
        told = (await maker.told("message_template_status_update"))[-1]
        assert (told["event"], told["other_info"]["title"]) == ("PAUSED", title)
        assert str(hours) in told["other_info"]["description"]
        assert (await maker.cannot_send("bike_ready", values("Ann", "six")))["code"] == 132015
        await maker.later(hours * HOUR - 60)
        assert await maker.status(made) == "PAUSED"
        assert (await maker.sim.error("POST", f"{made}/unpause"))["error_subcode"] == 2388039
        await maker.later(61)
        assert await maker.status(made) == "APPROVED"
    await maker.step(made, "quality", score="RED")
    told = (await maker.told("message_template_status_update"))[-1]
    assert (told["event"], set(told["disable_info"])) == ("DISABLED", {"disable_date"})
    assert (await maker.cannot_send("bike_ready", values("Ann", "six")))["code"] == 132016
    path = f"{maker.waba}/message_templates?name=bike_ready"
    assert (await maker.sim.error("DELETE", path))["error_subcode"] == 2388039
    scores = [
        (c["previous_quality_score"], c["new_quality_score"])
        for c in await maker.told("message_template_quality_update")
    ]
    assert scores[:3] == [("UNKNOWN", "GREEN"), ("GREEN", "YELLOW"), ("YELLOW", "RED")]
    await maker.step(made, "reinstate")
    await maker.send("bike_ready", values("Ann", "six"))


async def test_another_category_is_announced_a_day_before_it_comes(maker):
    made = await maker.approved()
    await maker.step(made, "recategorise", category="MARKETING")
    (announced,) = await maker.told("template_category_update")
    assert (announced["new_category"], announced["correct_category"]) == ("UTILITY", "MARKETING")
    assert announced["category_update_timestamp"] == pytest.approx(maker.sim.world.now() + DAY, abs=60)
    assert (await maker.sim.graph("GET", f"{made}?fields=category,correct_category"))["correct_category"] == "MARKETING"
    await maker.later(DAY)
    done = (await maker.told("template_category_update"))[-1]
    assert (done["previous_category"], done["new_category"]) == ("UTILITY", "MARKETING")
    again = await maker.step(made, "recategorise", category="UTILITY", notice=0)
    assert (again["category"], again["previous_category"]) == ("UTILITY", "MARKETING")


async def test_a_step_that_cannot_be_is_refused_with_what_is(maker):
    made = await maker.approved()
    path = f"/control/templates/{made}"
    assert "PAUSED" in (await maker.sim.post(f"{path}/unpause", status=409))["error"]
    assert "approve" in (await maker.sim.post(f"{path}/praise", status=404))["error"]
    assert "SCAM" in (await maker.sim.post(f"{path}/reject", status=400, reason="UGLY"))["error"]
    assert "GREEN" in (await maker.sim.post(f"{path}/quality", status=400, score="BLUE"))["error"]


# -- pacing --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def paced(maker: Maker) -> str:
    """A new marketing template, of which two messages pass and the rest is held."""
    await maker.sim.post("/control/options", pacing_after=2, us_marketing=True)
    return await maker.approved(category="MARKETING")


async def _four(maker: Maker) -> list[Any]:
    return [await maker.send("bike_ready", values("Ann", "six")) for _ in range(4)]


async def test_held_messages_go_out_when_people_like_the_template(maker, paced):
    sent = await _four(maker)
    assert [one["message_status"] for one in sent] == ["accepted"] * 2 + ["held_for_quality_assessment"] * 2
    await maker.sim.flush()
    assert not maker.sim.platform.statuses(sent[3]["id"])
    assert (await maker.sim.get(f"/control/templates/{paced}"))["held"] == 2
    await maker.later(1800)
    await maker.sim.flush()
    assert {s["status"] for s in maker.sim.platform.statuses(sent[3]["id"])} == {"sent", "delivered"}
    assert (await maker.send("bike_ready", values("Ann", "six")))["message_status"] == "accepted"


async def test_held_messages_fail_when_they_dont_and_only_unpausing_helps(maker, paced):
    await maker.sim.post("/control/options", pacing_verdict="drop")
    sent = await _four(maker)
    await maker.later(1800)
    await maker.sim.flush()
    for one in sent[2:]:
        (failed,) = maker.sim.platform.statuses(one["id"])
        assert (failed["status"], failed["errors"][0]["code"]) == ("failed", 132015)
    told = (await maker.told("message_template_status_update"))[-1]
    assert (told["event"], told["other_info"]["title"]) == ("PAUSED", "RATE_LIMITING_PAUSE")
    await maker.later(30 * DAY)
    assert (await maker.cannot_send("bike_ready", values("Ann", "six")))["code"] == 132015
    assert await maker.sim.graph("POST", f"{paced}/unpause") == {"success": True}
    assert (await maker.told("message_template_status_update"))[-1]["other_info"]["title"] == "UNPAUSE"
    assert (await _four(maker))[3]["message_status"] == "held_for_quality_assessment"


async def test_utility_templates_are_paced_only_after_a_pause(maker):
    await maker.sim.post("/control/options", pacing_after=2)
    made = await maker.approved()
    assert {one["message_status"] for one in await _four(maker)} == {"accepted"}
    await maker.step(made, "pause")
    await maker.later(3 * HOUR)
    assert (await _four(maker))[3]["message_status"] == "held_for_quality_assessment"
    await maker.step(made, "release")
    await maker.later(7 * DAY)
    assert {one["message_status"] for one in await _four(maker)} == {"accepted"}


async def test_reviews_pauses_and_held_messages_outlive_a_restart(start, settings, folder, still):
    settings = type(settings)(callback=settings.callback, contacts=4, messages=0, data=folder)
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        maker = Maker(sim)
        await sim.post("/control/options", pacing_after=1, us_marketing=True)
        made = await maker.create()
        promo = await maker.approved(name="promo", category="MARKETING")
        await maker.send("promo", values("Ann", "six"))
        held = await maker.send("promo", values("Ann", "six"))
        token = sim.token
    still.time += 2 * HOUR
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        sim.token = token
        assert (await sim.graph("GET", f"{made['id']}?fields=status"))["status"] == "APPROVED"
        await sim.flush()
        assert {s["status"] for s in sim.platform.statuses(held["id"])} == {"sent", "delivered"}
        assert (await sim.get(f"/control/templates/{promo}"))["held"] == 0


async def test_a_clock_that_somebody_else_moves_is_followed(start, settings, still):
    async with AsyncExitStack() as stack:
        sim = await start(stack, settings, Clock(real=still))
        await sim.connect()
        made = await Maker(sim).create()
        heard = sim.world.hub.listen()
        waiting = asyncio.ensure_future(anext(heard))
        await asyncio.wait([waiting], timeout=0)
        still.time += HOUR
        assert await asyncio.wait_for(waiting, 60) == {"kind": "template", "template": made["id"]}
        await heard.aclose()
        assert await Maker(sim).status(made["id"]) == "APPROVED"


# -- what a message must fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("components", "code", "words"),
    [
        ([], 132000, "body: number of localizable_params (0) does not match the expected number of params (2)"),
        ([values("Ann")], 132000, "(1) does not match"),
        ([values("Ann", "six", "more")], 132000, "(3) does not match"),
        ([values("Ann", "")], 131008, "missing text value"),
        ([values("Ann", "six\nseven")], 132018, "new-line"),
        ([values("Ann", "six" + " " * 5)], 132018, "consecutive spaces"),
        ([values("Ann", "six\u202e")], 132007, "control"),
        ([values("Ann", "x" * 1000)], 132005, "1024"),
        ([{"type": "body", "parameters": [{"type": "image"}, {"type": "text", "text": "x"}]}], 132012, "expected TEXT"),
        (
            [{"type": "body", "parameters": [{"type": "text", "text": "x", "parameter_name": n} for n in "ab"]}],
            132012,
            "positional",
        ),
        ([values("Ann", "six"), {"type": "header", "parameters": [{"type": "text", "text": "x"}]}], 132000, "header"),
        ([values("Ann", "six"), values("Ann", "six")], 132018, "more than one"),
        ([values("Ann", "six"), {"type": "carousel"}], 132018, "carousel"),
        ([values("Ann", "six"), {"type": "button", "sub_type": "url", "index": "0"}], 132018, "button 0"),
        ([values("Ann", "six"), {"type": "button", "sub_type": "url"}], 131008, "index"),
    ],
)
async def test_values_that_dont_fit_the_places_are_refused(maker, components, code, words):
    await maker.approved()
    error = await maker.cannot_send("bike_ready", *components)
    assert error["code"] == code
    assert words in error["error_data"]["details"]


async def test_a_named_template_takes_values_by_name_in_any_order(maker):
    def named(**given: str) -> dict[str, Any]:
        parameters = [{"type": "text", "parameter_name": name, "text": text} for name, text in given.items()]
        return {"type": "body", "parameters": parameters}

    top = {"type": "header", "parameters": [{"type": "text", "parameter_name": "day", "text": "Monday"}]}
    link = {"type": "button", "sub_type": "url", "index": 0, "parameters": [{"type": "text", "text": "b/9"}]}
    sent = await maker.send("booking_reminder", link, named(time="20:30", first_name="Ann"), top)
    shown = maker.sim.world.state.messages[sent["id"]].shown
    assert shown["header"] == {"type": "text", "text": "See you on Monday"}
    assert shown["body"].startswith("Hi Ann, your table is booked for 20:30.")
    assert shown["buttons"][0]["url"] == "https://example.com/b/b/9"

    for components, code, words in (
        ([link, top, named(time="20:30")], 132000, "first_name"),
        ([link, top, named(time="20:30", first_name="Ann", dog="Rex")], 132000, "dog"),
        ([link, top, values("Ann", "20:30")], 132012, "name is missing"),
        ([top, named(time="20:30", first_name="Ann")], 131008, "Button at index 0 of type Url requires a parameter"),
    ):
        error = await maker.cannot_send("booking_reminder", *components)
        assert error["code"] == code
        assert words in error["error_data"]["details"]


async def test_the_wrong_language_is_a_template_that_does_not_exist(maker):
    await maker.approved()
    message = maker.message("bike_ready", values("Ann", "six"))
    message["template"]["language"]["code"] = "en_GB"
    error = await maker.sim.error("POST", f"{maker.sim.phone.id}/messages", **message)
    assert (error["code"], error["error_data"]["details"]) == (
        132001,
        "template name (bike_ready) does not exist in en_GB",
    )


async def _upload(maker: Maker, data: bytes, mime: str) -> str:
    """A file by the Resumable Upload API, in two pieces: its handle."""
    query = f"100000000000001/uploads?file_length={len(data)}&file_type={mime}&file_name=a"
    session = (await maker.sim.graph("POST", query))["id"]
    bearer = {"Authorization": f"OAuth {maker.sim.token}"}
    half = len(data) // 2
    path = f"/v26.0/{session}"
    first = await maker.sim.http.post(path, headers={**bearer, "file_offset": "0"}, content=data[:half])
    assert first.json()["file_offset"] == half
    wrong = await maker.sim.http.post(path, headers={**bearer, "file_offset": "0"}, content=data)
    assert str(half) in wrong.json()["error"]["message"]
    where = (await maker.sim.http.get(path, headers=bearer)).json()
    assert where["file_offset"] == half
    last = await maker.sim.http.post(path, headers={**bearer, "file_offset": str(half)}, content=data[half:])
    return str(last.json()["h"])


async def test_a_media_header_needs_a_sample_of_its_kind_and_then_a_file_in_every_message(maker):
    picture = (await maker.sim.http.get("/control/media/77?kind=image")).content
    handle = await _upload(maker, picture, "image/png")
    top = header(format="IMAGE", example={"header_handle": [handle]})
    wrong = header(format="VIDEO", example={"header_handle": [handle]})
    assert (await maker.refused(wrong, BODY))["error_subcode"] == 2388047
    assert (await maker.refused(header(format="IMAGE", example={"header_handle": ["4::x"]}), BODY))["code"] == 100
    made = await maker.approved(top, BODY)
    shown = (await maker.sim.graph("GET", made))["components"][0]["example"]["header_handle"][0]
    assert (await maker.sim.http.get(shown)).content == picture
    # What Meta shows can be handed in again, with an edit of the words.
    await maker.sim.graph("POST", made, components=[header(format="IMAGE", example={"header_handle": [shown]}), BODY])
    await maker.later(10)

    filled = values("Ann", "six")
    error = await maker.cannot_send("bike_ready", filled)
    assert "expected IMAGE, received UNKNOWN" in error["error_data"]["details"]
    text = {"type": "header", "parameters": [{"type": "text", "text": "x"}]}
    assert (await maker.cannot_send("bike_ready", text, filled))["code"] == 132012

    def with_image(**image: str) -> dict[str, Any]:
        return {"type": "header", "parameters": [{"type": "image", "image": image}]}

    assert (await maker.cannot_send("bike_ready", with_image(), filled))["code"] == 131009
    assert (await maker.cannot_send("bike_ready", with_image(id="404"), filled))["code"] == 100
    await maker.send("bike_ready", with_image(link="https://example.com/a.png"), filled)
    paper = await maker.sim.http.post(
        "/control/media?filename=a.pdf", content=b"%PDF", headers={"content-type": "application/pdf"}
    )
    sent = await maker.send("bike_ready", with_image(id=paper.json()["id"]), filled)
    await maker.sim.flush()
    assert maker.sim.platform.statuses(sent["id"])[0]["errors"][0]["code"] == 131053


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("file_length=10&file_type=text/plain", "file_type"),
        ("file_length=0&file_type=image/png", "file_length"),
        ("file_type=image/png", "file_length"),
    ],
)
async def test_an_upload_session_says_what_it_is_for(maker, query, words):
    assert words in (await maker.sim.error("POST", f"100000000000001/uploads?{query}"))["message"]


async def test_an_offer_runs_out_and_its_code_can_be_copied(maker):
    ends = int((maker.sim.world.now() + DAY) * 1000)
    offer = {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": ends}}
    until = {"type": "limited_time_offer", "parameters": [offer]}
    code = {"type": "button", "sub_type": "copy_code", "index": "0"}
    code["parameters"] = [{"type": "coupon_code", "coupon_code": "CAKE50"}]
    await maker.sim.post("/control/options", us_marketing=True)
    sent = await maker.send("weekend_offer", values("Ann"), until, code)
    shown = maker.sim.world.state.messages[sent["id"]].shown
    assert shown["offer"] == {"text": "Weekend cakes", "expires_at": ends / 1000}
    assert shown["buttons"][0]["value"] == "CAKE50"
    assert (await maker.cannot_send("weekend_offer", values("Ann"), code))["code"] == 131008
    assert (await maker.cannot_send("weekend_offer", values("Ann"), until))["code"] == 131008


def _card(index: int, price: str) -> dict[str, Any]:
    image = {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a.png"}}]}
    reply_to = {"type": "button", "sub_type": "quick_reply", "index": 0}
    reply_to["parameters"] = [{"type": "payload", "payload": f"CAKE{index}"}]
    return {"card_index": index, "components": [image, values(price), reply_to]}


async def test_a_carousel_takes_every_card_and_each_replies_for_itself(maker):
    await maker.sim.post("/control/options", us_marketing=True)
    cards = {"type": "carousel", "cards": [_card(1, "$5"), _card(0, "$4")]}
    sent = await maker.send("two_cakes", values("Ann"), cards)
    shown = maker.sim.world.state.messages[sent["id"]].shown
    assert [card["body"] for card in shown["cards"]] == ["Lemon cake for $4 a slice", "Almond cake for $5 a slice"]
    await maker.sim.post("/control/customers/c1/tap", message=sent["id"], choice="CAKE1")
    await maker.sim.flush()
    assert maker.sim.platform.messages()[-1]["button"] == {"payload": "CAKE1", "text": "Keep me one"}

    for wrong in ([], [_card(0, "$4")], [_card(0, "$4"), _card(2, "$5")]):
        error = await maker.cannot_send("two_cakes", values("Ann"), {"type": "carousel", "cards": wrong})
        assert error["code"] == 132018
    error = await maker.cannot_send(
        "two_cakes", values("Ann"), {"type": "carousel", "cards": [_card(0, ""), _card(1, "$5")]}
    )
    assert error["code"] == 131008


async def test_offers_and_carousels_are_marketing_and_look_as_meta_wants(maker):
    deal = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Two days", "has_expiration": True}}
    link = {"type": "URL", "text": "See", "url": "https://example.com"}
    copy = {"type": "COPY_CODE", "example": "CAKE"}

    async def wrong(*components: Any, **more: Any) -> str:
        return str((await maker.refused(*components, **{"category": "MARKETING", **more}))["message"])

    assert "marketing" in await wrong(deal, BODY, buttons(copy, link), category="UTILITY")
    assert "copies" in await wrong(deal, BODY, buttons(link))
    assert "first" in await wrong(deal, BODY, buttons(link, copy))
    assert "footer" in await wrong(deal, BODY, {"type": "FOOTER", "text": "x"}, buttons(copy, link))
    long = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "x" * 17}}
    assert (await maker.refused(long, BODY, buttons(link), category="MARKETING"))["error_subcode"] == 2388040
    await maker.approved(deal, BODY, buttons(copy, link), category="MARKETING", name="deal")

    picture = (await maker.sim.http.get("/control/media/77?kind=image")).content
    top = header(format="IMAGE", example={"header_handle": [await _upload(maker, picture, "image/png")]})
    one, other = {"components": [top, buttons(reply("Yes"))]}, {"components": [top, buttons(link)]}
    assert "2 to 10" in await wrong(BODY, {"type": "CAROUSEL", "cards": [one]})
    assert "same components" in await wrong(BODY, {"type": "CAROUSEL", "cards": [one, other]})
    assert "image" in await wrong(BODY, {"type": "CAROUSEL", "cards": [{"components": [buttons(link)]}] * 2})
    assert "body only" in await wrong(BODY, buttons(link), {"type": "CAROUSEL", "cards": [one, one]})
    await maker.approved(BODY, {"type": "CAROUSEL", "cards": [one, one]}, category="MARKETING", name="deck")


async def test_what_could_not_be_delivered_in_its_time_to_live_is_dropped(maker):
    assert "message_send_ttl" in (await maker.refused(BODY, message_send_ttl_seconds=20))["message"]
    made = await maker.approved(message_send_ttl_seconds=3600)
    assert (await maker.sim.graph("GET", f"{made}?fields=message_send_ttl_seconds"))["message_send_ttl_seconds"] == 3600
    await maker.sim.post("/control/customers/c1/present", online=False)
    late = await maker.send("bike_ready", values("Ann", "six"))
    await maker.later(3601)
    soon = await maker.send("bike_ready", values("Ann", "six"))
    await maker.sim.post("/control/customers/c1/present", online=True)
    await maker.sim.flush()
    assert {s["status"] for s in maker.sim.platform.statuses(late["id"])} == {"sent"}
    assert {s["status"] for s in maker.sim.platform.statuses(soon["id"])} == {"sent", "delivered"}


async def test_a_quick_reply_comes_back_as_a_button_with_the_payload_of_its_message(maker):
    await maker.approved(BODY, buttons(reply("Thanks"), reply("Not now")))
    given = {"type": "button", "sub_type": "quick_reply", "index": "1"}
    sent = await maker.send(
        "bike_ready", values("Ann", "six"), {**given, "parameters": [{"type": "payload", "payload": "LATER"}]}
    )
    for choice, payload in (("Not now", "LATER"), ("Thanks", "Thanks")):
        await maker.sim.post("/control/customers/c1/tap", message=sent["id"], choice=choice)
        await maker.sim.flush()
        came = maker.sim.platform.messages()[-1]
        assert came["button"] == {"payload": payload, "text": choice}
        assert came["context"]["id"] == sent["id"]
    await maker.sim.post("/control/customers/c1/tap", 404, message=sent["id"], choice="Never")


async def test_a_login_code_needs_a_phone_number(maker):
    code = {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "4711"}]}
    sent = await maker.send("login_code", values("4711"), code)
    assert maker.sim.world.state.messages[sent["id"]].category == "authentication"
    bsuid = maker.sim.world.customer("c3").bsuid
    assert (await maker.cannot_send("login_code", values("4711"), code, to=None, recipient=bsuid))["code"] == 131062
    assert (await maker.send("order_ready", values("Ann", "#1"), to=None, recipient=bsuid))[
        "message_status"
    ] == "accepted"
