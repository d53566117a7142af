"""docs/automations.md names every trigger, condition, step and tool that there is, and its examples are fit."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from twinline.automations import schema
from twinline.rules.automations import conditions, triggers
from twinline.rules.automations.run import STEPS

PAGE = (Path(__file__).parents[2] / "docs" / "automations.md").read_text()
HELLO: dict[str, Any] = {"name": "x", "triggers": [{"message": {}}], "steps": [{"send": {"text": "Hi"}}]}


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_an_example_is_fit(block: str) -> None:
    found = yaml.safe_load(block)
    schema.read({**HELLO, "steps": found} if isinstance(found, list) else {**HELLO, **found})


@pytest.mark.parametrize(
    ("title", "kinds"), [("Triggers", triggers.TRIGGERS), ("Conditions", conditions.CONDITIONS), ("Steps", STEPS)]
)
def test_the_page_names_all_there_are(title: str, kinds: Any) -> None:
    section = PAGE.split(f"### {title}\n")[1].split("\n#")[0]
    named = {
        word for cell in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for word in re.findall(r"`(\w+):", cell)
    }
    assert named == set(kinds)
