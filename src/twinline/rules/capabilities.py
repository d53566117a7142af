"""What the phone keeps and what the API can do: one matrix, read by the page, the API and the checks alike.

The matrix is `capabilities.toml`, with source and date for every line. A feature that the API can't do has
the sentence that a person gets who asks for it, and that sentence names the place where it can be done.
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
    """One line of the matrix. `error` is set exactly when `api` is NO; `date` is when the source was
    written.
    """

    id: str
    title: str
    phone: Phone
    phone_says: str
    api: Api
    api_says: str
    error: str | None
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
            title=line["title"],
            phone=Phone(line["phone"]),
            phone_says=line["phone_says"],
            api=Api(line["api"]),
            api_says=line["api_says"],
            error=line.get("error"),
            source=sources[line["source"]]["name"],
            date=sources[line["source"]]["date"],
            confidence=Confidence(line["confidence"]),
        )
        for line in table["feature"]
    )


def refusal(feature: str) -> str | None:
    """Why this feature can't be had through the API and where it can; None if it can, or isn't in the
    matrix.
    """
    line = _by_id().get(feature)
    return line.error if line else None


@cache
def _by_id() -> MappingProxyType[str, Feature]:
    return MappingProxyType({feature.id: feature for feature in features()})
