"""When a campaign may speak to somebody: a wall clock's time in a zone, spread over hours, inside of a day's hours.

Zones are IANA's. Where clocks are put forward, an hour that doesn't exist is the one after it; where they are put back,
of two the first counts.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

GOLDEN = 0.6180339887498949
"""Multiples of it, without their whole part, fill the space between 0 and 1 evenly, however many there are."""

LONGEST_SPREAD = 24 * 14  # hours


@cache
def zone(name: str) -> ZoneInfo:
    """Raises ValueError with a sentence for people."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"There is no time zone {name!r}; they are written like America/Sao_Paulo.") from None


def wall(at: str) -> datetime:
    """A wall clock's time, without a zone: ``2026-12-01T10:00``. Raises ValueError with a sentence for people."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        raise ValueError(f"{at!r} isn't a date with a time; they are written like 2026-12-01T10:00.") from None
    if found.tzinfo is not None:
        raise ValueError("Give the time as a clock on the wall shows it, and the zone beside it.")
    return found


def moment(at: str, zone_name: str) -> datetime:
    """When a wall clock of that zone shows this time, in UTC."""
    return wall(at).replace(tzinfo=zone(zone_name)).astimezone(UTC)


def hours_of_day(between: Sequence[str]) -> tuple[time, time]:
    """From and to. Raises ValueError with a sentence for people."""
    try:
        first, last = map(time.fromisoformat, between)
    except (ValueError, TypeError):
        raise ValueError("The hours of a day are two times, like 09:00 and 20:00.") from None
    if first >= last:
        raise ValueError("The hours of a day must begin before they end.")
    return first, last


def opens(between: Sequence[str], zone_name: str, at: datetime) -> datetime:
    """``at`` itself if it lies inside of the day's hours, else the next time that they begin."""
    first, last = hours_of_day(between)
    here = at.astimezone(zone(zone_name))
    if first <= here.time() < last:
        return at
    day = here.date() + timedelta(days=here.time() >= last)
    return datetime.combine(day, first, zone(zone_name)).astimezone(UTC)


def share(number: int) -> float:
    """Where in a spread this one of many goes, from 0 up to 1; consecutive ones lie far apart, and all lie evenly."""
    return number * GOLDEN % 1
