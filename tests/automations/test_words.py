"""A definition in words, as its owner reads it."""

from typing import Any

import pytest

from twinline.automations import words

SAY = {"send": {"text": "Hello {{contact.name|there}}"}}


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ({"triggers": [{"message": {}}]}, "The end. The next message begins it anew."),
        (
            {"triggers": [{"first_contact": {}}]},
            "The end. It doesn't begin again here: a chat has only one first message.",
        ),
        (
            {"triggers": [{"first_contact": {}}, {"keyword": {"words": ["price"]}}]},
            "The end. It begins anew with a message with the word “price”.",
        ),
        (
            {"triggers": [{"schedule": {"at": "09:00", "date": "2026-12-24"}}], "when": [{"tag": "vip"}]},
            "The end. It doesn't begin again here: that day comes only once.",
        ),
        (
            {"triggers": [{"schedule": {"at": "09:00"}}], "when": [{"field": {"key": "visit", "is": "{{tomorrow}}"}}]},
            "The end. It begins anew at 09:00 every day, if the field visit is “[tomorrow]”.",
        ),
        (
            {"triggers": [{"outside_hours": {}}], "settings": {"once_per": "12h"}},
            "The end. It begins anew with a message outside of the business hours, at the earliest 12 hours after it "
            "last began.",
        ),
        (
            {"triggers": [{"tag_added": {"tag": "done"}}, {"api": {}}]},
            "The end. It begins anew when the tag “done” is given once more or when it is started by hand or by a "
            "program.",
        ),
        (
            {"triggers": [{"message": {}}], "steps": [SAY, {"release": {}}]},
            "A person goes on from here, and it is silent until they hand the chat back. The next message begins it "
            "anew.",
        ),
        ({"triggers": [{"keyword": {"words": 3}}]}, "The end."),
        ({"triggers": []}, "The end."),
    ],
)
def test_what_comes_behind_the_end_is_what_its_triggers_let_come(definition: dict[str, Any], says: str) -> None:
    assert words.ending({"steps": [SAY], **definition}) == says
    assert words.sentences({"steps": [SAY], **definition})["/end"] == says


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ({"tag_added": {"tag": "done"}}, "Somebody who is given the tag “done”"),
        ({"schedule": {"at": "09:00"}}, "09:00 every day"),
        ({"schedule": {"at": "09:00", "date": "2026-12-24"}}, "09:00 on 2026-12-24"),
        ({"schedule": {"at": "09:00", "days": ["mon", "wed", "fri"]}}, "09:00 on Mondays, Wednesdays and Fridays"),
        ({"schedule": {"at": "09:00", "days": ["sun"]}}, "09:00 on Sundays"),
        ({"schedule": {"at": "09:00", "days": ["someday"]}}, "A day and time"),
        ({"api": {}}, "A start by hand or by a program"),
    ],
)
def test_what_begins_it_reads_as_what_it_waits_for(trigger: dict[str, Any], says: str) -> None:
    assert words.trigger(trigger) == says


def test_placeholders_are_read_without_braces() -> None:
    assert words.step(SAY) == "Say “Hello [their name]”"
    assert (
        words.step({"set": {"field": "city", "to": "{{vars.home_town}}"}}) == "Write “[home town]” into the field city"
    )
    assert words.step({"note": "{{contact.fields.city}}, {{now|date}}, {{now|time}}"}) == (
        "Note for the team: “[city], [today's date], [the time]”"
    )
    assert words.filled("Hi {{contact.name|you}}") == 'Hi <mark class="variable">their name</mark>'
