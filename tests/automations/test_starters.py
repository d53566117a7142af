"""The automations to begin with."""

import pytest
from tests.automations.test_simulate import ANN

from twinline.automations import schema, simulate, starters
from twinline.automations.schema import Known
from twinline.automations.simulate import Did, Said
from twinline.automations.starters import Starter
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.program import Program
from twinline.rules.automations.run import Came

NEEDED = Known(
    templates={("appointment_reminder", code): "UTILITY" for code in ("en", "pt_BR", "es")},
    tags={"done", "feito", "hecho"},
    fields={"interest": "text", "email": "text", "appointment": "date", "satisfaction": "text"},
    automations={one.title: schema.starts(one.definition) for one in starters.all_()},
)


@pytest.mark.parametrize("starter", starters.all_(), ids=lambda one: f"{one.key}.{one.language}")
def test_each_is_fit_and_nothing_speaks_against_it(starter: Starter) -> None:
    assert schema.check(starter.definition, NEEDED) == []
    assert starter.description
    assert len(starter.title) <= schema.LONGEST_NAME


def test_there_are_seven_in_each_language_of_the_pages() -> None:
    for language in ("en", "pt_BR", "es"):
        found = starters.in_language(language)
        assert [one.key for one in found] == list(starters.ORDER)
        assert {one.language for one in found} == {language[:2]}
    assert {one.language for one in starters.in_language("de")} == {"en"}
    assert starters.starter("faq", "es") in starters.all_()


def played(key: str, *events: simulate.Event | str, facts: Facts = ANN) -> list[Did]:
    starter = starters.starter(key, "en")
    assert starter is not None
    program, state, did = Program.of(starter.definition), None, []
    for event in events:
        happened = Said(Turn((event,), ("text",))) if isinstance(event, str) else event
        state, done = simulate.talk(program, state, happened, facts)
        did += done
    return did


def test_the_order_is_looked_up() -> None:
    answer = Came(True, {"status": 200, "body": {"status": "on its way"}})
    did = played("order", "where is my order?", "it's 10234", answer)
    assert did[-2].message == {"text": "Your order 10234: on its way."}


def test_the_menu_comes_back() -> None:
    said = [one.message["text"] for one in played("faq", "help", "1", "something else", "prices") if one.message]
    assert said[0] == said[3] == "What would you like to know?"
    assert said[4].startswith("Our prices")


def test_a_new_customer_is_kept_and_brought_to_a_person() -> None:
    did = played("lead", "a quote please", "ovens", "ann@example", "ann@example.com")
    assert did[-2].says == "Handed to a person: New customer, interested in: ovens (ann@example.com)"
