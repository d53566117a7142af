"""How a rule says no, and how a service passes it on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message doesn't go out. `rule` is stable and meant for programs, the rest for people."""

    rule: str
    text: str
    what_to_do: str

    @property
    def says(self) -> str:
        """All that people are told of it."""
        return f"{self.text} {self.what_to_do}".strip()


class Refused(Exception):
    """The message may not go out; ``refusal`` says why and what to do."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal

    def __reduce__(self) -> tuple[type["Refused"], tuple[Refusal]]:
        """Work that another process does may be refused, too."""
        return type(self), (self.refusal,)
