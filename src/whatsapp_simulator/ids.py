"""Identifiers that look like Meta's, drawn from one seeded source."""

from __future__ import annotations

import base64
from random import Random

_ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def wamid(rng: Random, customer_number: str, *, outgoing: bool) -> str:
    """A message id in the shape seen in Meta's samples (observed, not documented): base64 of a little
    structure holding the customer's number, the direction and 18 or 20 hex digits."""
    number = customer_number.encode()
    unique = (rng.randbytes(9).hex().upper() if outgoing else "3A" + rng.randbytes(9).hex().upper()).encode()
    raw = b"".join(
        (
            b"\x1c\x18",
            bytes([len(number)]),
            number,
            b"\x15\x02\x00",
            b"\x11" if outgoing else b"\x12",
            b"\x18",
            bytes([len(unique)]),
            unique,
            b"\x00",
        )
    )
    return "wamid." + base64.b64encode(raw).decode()


class Ids:
    """Every identifier the simulator invents. ``generation`` counts restarts, so that a restored
    simulator doesn't hand out the same ids again."""

    def __init__(self, seed: int, generation: int = 0) -> None:
        self.random = Random(f"{seed}:ids:{generation}")

    def number(self, digits: int = 15) -> str:
        """A decimal object id (WABA, phone number id, media)."""
        return str(self.random.randint(10 ** (digits - 1), 10**digits - 1))

    def text(self, length: int) -> str:
        return "".join(self.random.choices(_ALNUM, k=length))

    def wamid(self, customer_number: str, *, outgoing: bool) -> str:
        return wamid(self.random, customer_number, outgoing=outgoing)

    def bsuid(self, country: str) -> str:
        """Business-scoped user id: country code, dot, digits (Meta: business-scoped user IDs)."""
        return f"{country}.{self.number(20)}"

    def token(self) -> str:
        return "EAAS" + self.text(120)

    def code(self) -> str:
        return "AQ" + self.text(90)

    def trace(self) -> str:
        return "A" + self.text(22)

    def request(self) -> str:
        return "A" + self.text(24)
