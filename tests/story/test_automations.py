"""The owner's story: an automation talks while nobody is there, and the phone silences it and lets it speak again."""

from collections.abc import Iterator

import httpx
import pytest
from tests.fixtures.patience import eventually
from tests.story.conftest import Operator, Phone, data_folder

DEFINITION = """
name: Bread
triggers:
  - message: {}
settings:
  quiet_for: 1s
steps:
  - ask:
      text: Which bread?
      save: bread
  - send:
      text: One {{vars.bread}}.
"""
ANA = "351910009001"


@pytest.fixture
def operator() -> Iterator[Operator]:
    with data_folder() as folder:
        yield Operator(folder)


def test_the_owner_answers_in_mid_flow_and_hands_back_by_a_keyword_that_is_deleted_again(operator: Operator) -> None:
    with operator.up() as up:
        phone = Phone.connected(up.meta)
        ana = phone.customer("Ana", ANA)
        operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
        written = operator.data / "bread.yaml"
        written.write_text(DEFINITION)
        operator.does("automation", "save", str(written), "--enable")

        phone.receives(ana, "Good morning")
        eventually(lambda: phone.screen(ana), lambda said: said == ["Which bread?"])

        types(phone, ana, "We have rye and wheat today, Ana.")
        eventually(lambda: log(operator), lambda lines: "A person spoke" in lines)
        phone.receives(ana, "Rye, please")
        eventually(lambda: log(operator), lambda lines: "the phone has the floor" in lines)
        assert phone.screen(ana) == ["Which bread?"]

        # The keyword is deleted as soon as it was typed.
        keyword = types(phone, ana, "#bot")
        gone = {"customer": ana, "message": keyword}
        httpx.post(f"{phone.meta}/control/phones/{phone.id}/delete", json=gone).raise_for_status()
        eventually(lambda: phone.screen(ana), lambda said: said == ["Which bread?", "One Rye, please."])


def types(phone: Phone, customer: str, text: str) -> str:
    """The owner types on the phone; answers the message's id."""
    said = {"customer": customer, "text": text}
    done = httpx.post(f"{phone.meta}/control/phones/{phone.id}/send", json=said).raise_for_status()
    return str(done.json()["id"])


def log(operator: Operator) -> str:
    return operator.does("automation", "log", f"+{ANA}")
