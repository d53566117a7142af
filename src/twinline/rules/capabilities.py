"""What the phone keeps and what the API can do: one matrix, read by the page, the API and the checks alike.

The matrix is `capabilities.toml`, with source and date for every line. A feature that the API can't do has
what a person is told who asks for it: that it can't be done here, and where it can.
"""

import tomllib
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType


class Phone(StrEnum):
    """What becomes of a feature on the phone."""

    KEPT = "kept"
    CHANGED = "changed"
    LOST = "lost"


class Api(StrEnum):
    """What the platform can do with a feature."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class Confidence(StrEnum):
    """How sure a line is: Meta's page says it, partners say it, sources disagree, or it is inferred."""

    SURE = "sure"
    REPORTED = "reported"
    CONFLICTING = "conflicting"
    GUESS = "guess"


@dataclass(frozen=True, slots=True)
class Feature:
    """One line of the matrix. `error` and `what_to_do` are set exactly when `api` is NO; `date` is when the
    source was written; `also` are other names of it.
    """

    id: str
    also: tuple[str, ...]
    title: str
    phone: Phone
    phone_says: str
    api: Api
    api_says: str
    error: str | None
    what_to_do: str | None
    source: str
    date: date
    confidence: Confidence


@cache
def features() -> tuple[Feature, ...]:
    """The whole matrix, in the order in which it is shown."""
    table = tomllib.loads(files(__package__).joinpath("capabilities.toml").read_text("utf-8"))
    sources = table["source"]
    return tuple(
        Feature(
            id=line["id"],
            also=tuple(line.get("also", ())),
            title=line["title"],
            phone=Phone(line["phone"]),
            phone_says=line["phone_says"],
            api=Api(line["api"]),
            api_says=line["api_says"],
            error=line.get("error"),
            what_to_do=line.get("what_to_do"),
            source=sources[line["source"]]["name"],
            date=sources[line["source"]]["date"],
            confidence=Confidence(line["confidence"]),
        )
        for line in table["feature"]
    )


def refused(name: str) -> Feature | None:
    """The feature of this id, or whatever programs call it, if it can't be had through the API: its `error` and
    `what_to_do` say so, and where it can. None if it can, or isn't in the matrix.
    """
    feature = _by_name().get(name)
    return feature if feature is not None and feature.error is not None else None


@cache
def _by_name() -> MappingProxyType[str, Feature]:
    return MappingProxyType({name: feature for feature in features() for name in (feature.id, *feature.also)})
