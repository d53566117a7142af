"""An automation on chats that have been."""

from datetime import UTC, datetime, timedelta

from twinline.automations import schema
from twinline.automations.rehearsal import By, Past, rehearse
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.program import Program

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANN = Facts(NOON + timedelta(days=9), {"name": "Ann"})
PROGRAM = Program.of(
    schema.read(
        {
            "name": "X",
            "triggers": [{"keyword": {"words": ["price"]}}, {"first_contact": {}}],
            "steps": [
                {"ask": {"text": "Which?", "choices": ["Bread", "Cake"], "timeout": "1h", "save": "a"}},
                {"send": {"text": "{{vars.a}} is 3"}},
            ],
        }
    )
)


def past(minute: float, by: By, text: str) -> Past:
    return Past(NOON + timedelta(minutes=minute), by, Turn((text,), ("text",)))


CHAT = [
    past(0, "customer", "hello"),
    past(0.03, "customer", "anybody?"),
    past(5, "phone", "Yes?"),
    past(6, "customer", "what's the price of cake"),
    past(9, "phone", "3"),
    past(600, "customer", "and the price of bread?"),
    past(601, "customer", "bread!"),
    past(1500, "inbox", "2"),
]


def test_it_is_shown_what_people_answered_and_what_it_would_have_said() -> None:
    first, second, third, fourth = rehearse(PROGRAM, CHAT, ANN)
    assert first.said.texts == ("hello", "anybody?")  # said in one go
    assert [one.turn.text for one in first.answered] == ["Yes?"]
    assert [one.says for one in first.would] == ["“Which?”"]
    assert second.would == ()
    assert second.silent == "It is silent: the phone has the floor until 14:05."
    assert [one.says for one in third.would] == ["“Which?”"]
    assert [one.says for one in fourth.would] == ["“bread is 3”"]


def test_a_keyword_on_the_phone_commands_and_answers_nothing() -> None:
    chat = [
        past(0, "customer", "hello"),
        past(1, "phone", "One moment"),
        past(2, "customer", "cake"),
        past(3, "phone", "#Bot"),
        past(10, "customer", "price"),
        past(11, "phone", "#pause 20m"),
        past(12, "customer", "bread"),
        past(40, "customer", "?"),
    ]
    first, second, third, fourth, _ = rehearse(PROGRAM, chat, ANN)
    assert [one.says for one in first.would] == ["“Which?”"]
    assert [one.says for one in second.would] == ["“cake is 3”"]
    assert [one.says for one in third.would] == ["“Which?”"]
    assert [one.says for one in fourth.would] == ["“bread is 3”"]
    assert fourth.did[0].says == "It is silent: the phone has the floor until 12:31."


def test_as_if_nobody_had_answered() -> None:
    _, second, *_ = rehearse(PROGRAM, CHAT, ANN, people=False)
    assert [one.says for one in second.would] == ["“cake is 3”"]


def test_a_chat_that_the_business_began_has_no_first_contact() -> None:
    [moment] = rehearse(PROGRAM, [past(0, "phone", "Hi Ann"), past(300, "customer", "hello")], ANN)
    assert moment.silent is not None
    assert moment.silent.startswith("It waits for a message with the word “price” or somebody's first message")


def test_nobody_outside_is_asked() -> None:
    call = {"name": "X", "triggers": [{"message": {}}], "steps": [{"call": {"url": "https://x.example/"}}]}
    [moment] = rehearse(Program.of(schema.read(call)), [past(0, "customer", "a")], ANN)
    assert moment.silent == "Waits for what the other system says until 23 Nov, 12:01."


def test_an_empty_chat_has_no_moments() -> None:
    assert rehearse(PROGRAM, [], ANN) == ()
