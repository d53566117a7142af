"""Whether one of two shares is really greater, or may be so by chance."""

from math import sqrt
from typing import Final

SURE: Final = 1.96
"""Standard errors: so far apart are two samples of the same by chance once in twenty times."""


def differ(count: int, of: int, other: int, of_other: int) -> bool:
    """Two counts, each of so many people: do their shares differ by more than chance explains (two-proportion z-test)?

    False where there are too few to tell.
    """
    if min(of, of_other) == 0 or min(count + other, of + of_other - count - other) < 10:
        return False
    pooled = (count + other) / (of + of_other)
    error = sqrt(pooled * (1 - pooled) * (1 / of + 1 / of_other))
    return abs(count / of - other / of_other) > SURE * error
