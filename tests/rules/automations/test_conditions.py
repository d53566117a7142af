"""When a condition holds."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from twinline.rules.automations.conditions import CONDITIONS, holds
from twinline.rules.automations.facts import Facts, Scene
from twinline.rules.automations.words import CONDITIONS as TOLD
from twinline.rules.automations.words import condition

SUNDAY = datetime(2026, 11, 22, 10, 30, tzinfo=ZoneInfo("Europe/Lisbon"))
FACTS = Facts(
    SUNDAY,
    {"language": "pt_BR", "fields": {"city": "São Paulo", "age": "41", "visit": "2026-11-23"}, "tags": ["vip"]},
    window_open=False,
)
SCENE = Scene(
    FACTS,
    {"topic": "sales", "order": {"status": "Sent", "paid": True, "sum": 12.5}},
    {"text": "Quanto custa a ENTREGA, por favor?", "choice": "more"},
)


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ({"hours": "open"}, {"hours": "closed"}),
        ({"window": "closed"}, {"window": "open"}),
        ({"text": {"word": "entrega"}}, {"text": {"word": "entreg"}}),
        ({"text": {"contains": ["nope", "entreg"]}}, {"text": {"contains": "nope"}}),
        ({"text": {"starts": "quanto custa"}}, {"text": {"starts": "quant"}}),
        ({"text": {"pattern": "quanto * por favor"}}, {"text": {"pattern": "quanto #"}}),
        ({"text": {"exact": "quanto custa a entrega por favor"}}, {"text": {"exact": "entrega"}}),
        ({"choice": "more"}, {"choice": "less"}),
        ({"var": {"name": "topic", "is": "SALES"}}, {"var": {"name": "topic", "is_not": "sales"}}),
        ({"var": {"name": "order.status", "is": "sent"}}, {"var": {"name": "order.nope", "is": "sent"}}),
        ({"var": {"name": "order.paid", "is": "true"}}, {"var": {"name": "order.paid", "empty": True}}),
        ({"var": {"name": "order.sum", "above": "12,4"}}, {"var": {"name": "order.sum", "above": "12.5"}}),
        ({"var": {"name": "nothing", "empty": True}}, {"var": {"name": "nothing", "below": "5"}}),
        ({"field": {"key": "city", "is": "são paulo"}}, {"field": {"key": "city", "is": "Rio"}}),
        ({"field": {"key": "city", "contains": "paulo"}}, {"field": {"key": "city", "empty": True}}),
        ({"field": {"key": "age", "above": "40", "below": "42"}}, {"field": {"key": "age", "above": "41"}}),
        ({"field": {"key": "visit", "is": "{{tomorrow}}"}}, {"field": {"key": "visit", "is": "{{today}}"}}),
        ({"field": {"key": "visit", "after": "{{today}}"}}, {"field": {"key": "visit", "before": "2026-11-23"}}),
        ({"field": {"key": "visit", "before": "2026-12-01"}}, {"field": {"key": "city", "before": "2026-12-01"}}),
        ({"tag": "vip"}, {"tag": "lead"}),
        ({"language": "pt"}, {"language": "pt_PT"}),
        ({"language": "pt_br"}, {"language": "p"}),
        ({"time": {"from": "10:30", "to": "11:00"}}, {"time": {"from": "09:00", "to": "10:30"}}),
        ({"time": {"days": ["sun"]}}, {"time": {"days": ["mon", "sat"]}}),
        ({"time": {"from": "22:00", "to": "11:00", "days": ["sat"]}}, {"time": {"from": "22:00", "to": "06:00"}}),
        ({"assigned": False}, {"assigned": True}),
        ({"not": {"tag": "lead"}}, {"not": {"tag": "vip"}}),
        ({"any": [{"tag": "lead"}, {"tag": "vip"}]}, {"any": [{"tag": "lead"}]}),
        ({"all": [{"tag": "vip"}, {"hours": "open"}]}, {"all": [{"tag": "vip"}, {"hours": "closed"}]}),
    ],
)
def test_conditions(true: dict[str, Any], false: dict[str, Any]) -> None:
    assert holds(true, SCENE)
    assert not holds(false, SCENE)
    assert condition(true)
    assert condition(false)


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    night = {"time": {"from": "22:00", "to": "02:00", "days": ["sat"]}}
    at = [SUNDAY.replace(day=day, hour=hour) for day, hour in ((21, 23), (22, 1), (22, 23))]
    assert [holds(night, replace(SCENE, facts=replace(FACTS, now=one))) for one in at] == [True, True, False]


def test_an_empty_placeholder_is_found_in_nothing() -> None:
    assert not holds({"text": {"contains": "{{vars.nothing}}"}}, SCENE)


def test_each_condition_can_be_told() -> None:
    assert CONDITIONS.keys() == TOLD.keys()
    assert condition({"not": {"any": [{"tag": "vip"}, {"hours": "open"}]}}) == (
        "it isn't so that the contact has the tag “vip” or the business is open"
    )
