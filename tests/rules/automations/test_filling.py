"""What placeholders become."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from twinline.rules.automations.facts import Facts, Scene
from twinline.rules.automations.filling import fill, lookup, render

SCOPE = Scene(
    Facts(datetime(2026, 11, 22, 9, 5, tzinfo=UTC), {"name": " Ann ", "fields": {"city": "a/b?c"}}, {"name": "Shop"}),
    {"order": {"status": "sent", "items": [{"name": "bread"}], "sum": 3.0, "paid": True}, "empty": ""},
    {"text": "hi\0"},
).scope()


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hi {{contact.name|there}}!", "Hi Ann!"),
        ("Hi {{ contact.phone | there }}!", "Hi there!"),
        ("{{vars.order.status}} {{vars.order.items.0.name}} {{vars.order.sum}}", "sent bread 3"),
        ("{{vars.order.items.7.name}}{{vars.empty|-}}{{vars.order.status.x}}", "-"),
        ("{{vars.order.paid}} {{vars.order.items}}", 'true [{"name": "bread"}]'),
        ("{{now}} {{now|date}} {{now|time}}", "2026-11-22 09:05 2026-11-22 09:05"),
        ("{{yesterday}} {{today}} {{tomorrow}}", "2026-11-21 2026-11-22 2026-11-23"),
        ("{{message.text}} {{number.name}}", "hi Shop"),
        ("{{ }} {{x", "{{ }} {{x"),
    ],
)
def test_placeholders(text: str, filled: str) -> None:
    assert render(text, SCOPE) == filled


def test_what_is_put_in_is_encoded_as_its_place_wants() -> None:
    assert render("/{{contact.fields.city}}/", SCOPE, lambda text: quote(text, safe="")) == "/a%2Fb%3Fc/"


def test_every_text_of_a_message_is_filled_in_and_addresses_stay_addresses() -> None:
    message: Any = {"text": "{{contact.name}}", "url": "https://x/{{contact.fields.city}}", "rows": [{"n": 1}, None]}
    assert fill(message, SCOPE) == {"text": "Ann", "url": "https://x/a%2Fb%3Fc", "rows": [{"n": 1}, None]}


def test_nobody_brings_a_novel_into_a_greeting() -> None:
    assert len(render("{{vars.a}}", {**SCOPE, "vars": {"a": "x" * 5000}})) == 1000


def test_lookup_leads_nowhere_quietly() -> None:
    assert lookup(SCOPE, "vars.order.items.x") is None
    assert lookup(SCOPE, "nothing.at.all") is None
