"""Automations to begin with: files that anybody could have written, in the languages of our pages.

``greeting.pt.yaml`` is the greeting in Portuguese. Each is a definition as people export theirs; its name and its
description are what the library shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from twinline.automations import schema

ORDER: Final = ("greeting", "away", "faq", "lead", "order", "reminder", "survey")


@dataclass(frozen=True, slots=True)
class Starter:
    key: str
    language: str
    definition: Mapping[str, Any]

    @property
    def title(self) -> str:
        return str(self.definition["name"])

    @property
    def description(self) -> str:
        return str(self.definition["description"]).strip()


@cache
def all_() -> tuple[Starter, ...]:
    """In the order of the library, and of their languages' codes."""
    found = []
    for file in resources.files(__package__).iterdir():
        if file.name.endswith(".yaml"):
            key, language, _ = file.name.split(".")
            found.append(Starter(key, language, schema.from_yaml(file.read_text(encoding="utf-8"))))
    return tuple(sorted(found, key=lambda one: (ORDER.index(one.key), one.language)))


def in_language(language: str) -> tuple[Starter, ...]:
    """Each starter once: in this language (``pt_BR`` is Portuguese), else in English."""
    wanted = language[:2].lower()
    best: dict[str, Starter] = {}
    for one in all_():
        if one.language == wanted or (one.language == "en" and one.key not in best):
            best[one.key] = one
    return tuple(best[key] for key in ORDER)


def starter(key: str, language: str) -> Starter | None:
    return next((one for one in all_() if (one.key, one.language) == (key, language)), None)
