"""What begins an automation, and what is said where it doesn't."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.program import Program
from twinline.rules.automations.triggers import TRIGGERS, Happening, next_time, why_not
from twinline.rules.automations.words import TRIGGERS as TOLD

LISBON = ZoneInfo("Europe/Lisbon")
NOW = datetime(2026, 11, 22, 12, tzinfo=LISBON)  # a Sunday
FACTS = Facts(NOW, hours_open=False)


def listening(trigger: dict[str, Any], **more: Any) -> Program:
    return Program.of({"name": "P", "triggers": [trigger], "steps": [], **more})


def said(text: str = "", **more: Any) -> Happening:
    return Happening("turn", Turn((text,), ("text",), **more))


PRICE = {"words": ["price", "preço"]}


@pytest.mark.parametrize(
    ("trigger", "yes", "no"),
    [
        ({"message": {}}, said("x"), Happening("api")),
        ({"keyword": PRICE}, said("The PREÇO, please!"), said("prices")),
        ({"keyword": {**PRICE, "match": "contains"}}, said("prices"), said("cost")),
        ({"keyword": {**PRICE, "match": "exact"}}, said(" Price? "), said("the price")),
        ({"keyword": {"words": ["order #"], "match": "pattern"}}, said("Order 1234"), said("order of 12")),
        ({"keyword": {"words": ["👍"]}}, said("👍"), said("👎")),
        ({"first_contact": {}}, replace(said("x"), first=True), said("x")),
        ({"button": {}}, said("x", choice="a"), said("a")),
        ({"button": {"ids": ["a"]}}, said("x", choice="a"), said("x", choice="b")),
        ({"button": {"titles": ["Sim!"]}}, said("x", choice="1", title="sim"), said("x", title="não")),
        ({"referral": {}}, said("x", referral={"source_id": "7"}), said("x")),
        ({"referral": {"ad_ids": ["7"]}}, said("x", referral={"source_id": 7}), said("x", referral={"source_id": "8"})),
        ({"campaign_reply": {"campaigns": [3]}}, said("x", campaign=3), said("x", campaign=4)),
        (
            {"campaign_reply": {"buttons": ["Yes"]}},
            said("x", campaign=3, title="Yes"),
            said("x", campaign=3, title="No"),
        ),
        ({"outside_hours": {}}, said("x"), Happening("api")),
        ({"opted_in": {}}, Happening("opted_in", topic="news"), Happening("opted_out")),
        ({"opted_in": {"topic": "news"}}, Happening("opted_in", topic="news"), Happening("opted_in", topic="other")),
        ({"opted_out": {}}, Happening("opted_out"), Happening("opted_in")),
        (
            {"no_answer": {"after": "15m"}},
            Happening("no_answer", waited=timedelta(minutes=15)),
            Happening("no_answer", waited=timedelta(minutes=14)),
        ),
        ({"tag_added": {"tag": "vip"}}, Happening("tag_added", tag="vip"), Happening("tag_added", tag="lead")),
        (
            {"schedule": {"at": "09:00", "days": ["mon"]}},
            Happening("schedule", at=datetime(2026, 11, 23, 9, tzinfo=LISBON)),
            Happening("schedule", at=datetime(2026, 11, 24, 9, tzinfo=LISBON)),
        ),
        ({"api": {}}, Happening("api"), said("x")),
    ],
)
def test_triggers(trigger: dict[str, Any], yes: Happening, no: Happening) -> None:
    program = listening(trigger)
    assert why_not(program, yes, FACTS) is None
    assert (why_not(program, no, FACTS) or "").endswith(".")


def test_it_says_what_it_waits_for_and_what_is_missing() -> None:
    assert why_not(listening({"keyword": PRICE}), said("x"), FACTS) == (
        "It waits for a message with the word “price” or “preço”."
    )
    wanting = listening({"message": {}}, when=[{"tag": "vip"}, {"hours": "open"}])
    assert why_not(wanting, said("x"), FACTS) == "It wants that the contact has the tag “vip”."
    assert why_not(listening({"api": {}}), said("x"), FACTS) == "It isn't started by a message."


def test_a_thumb_up_isnt_a_question() -> None:
    only_reaction = Happening("turn", Turn(("👍",), ("reaction",)))
    assert why_not(listening({"message": {}}), only_reaction, FACTS) == "A reaction alone isn't a question."


def test_a_schedule_is_due_on_its_days_on_the_clock_of_the_wall() -> None:
    workdays = {"at": "09:00", "days": ["mon", "fri"]}
    monday = next_time(workdays, NOW)
    assert monday == datetime(2026, 11, 23, 9, tzinfo=LISBON)
    assert next_time(workdays, monday) == datetime(2026, 11, 27, 9, tzinfo=LISBON)
    assert next_time({"at": "13:00"}, NOW) == NOW.replace(hour=13)
    once = {"at": "09:00", "date": "2026-12-24"}
    assert next_time(once, NOW) == datetime(2026, 12, 24, 9, tzinfo=LISBON)
    assert next_time(once, datetime(2026, 12, 24, 9, tzinfo=LISBON)) is None


def test_each_trigger_can_be_told() -> None:
    assert TRIGGERS.keys() == TOLD.keys()
