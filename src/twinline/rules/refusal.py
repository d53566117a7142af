"""How a rule says no."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message doesn't go out. `rule` is stable and meant for programs, the rest for people."""

    rule: str
    text: str
    what_to_do: str
