"""Which clock is on somebody's wall: told by their telephone number."""

from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

from twinline.rules.identity import canonical_phone

MIDSUMMER_AND_MIDWINTER = ((2026, 6, 21), (2026, 12, 21))


def zone_of(phone: str | None, otherwise: str) -> str:
    """The IANA name of the zone of a telephone number.

    Where a number may belong to several, as a mobile of a wide country, it is the one in the middle: nobody is then
    more than half the country wrong. ``otherwise`` stands for people without a number, and for codes of no country.
    """
    number = canonical_phone(phone or "")
    for length in range(min(len(number), TIMEZONE_LONGEST_PREFIX), 0, -1):
        if zones := TIMEZONE_DATA.get(number[:length]):
            return _middle(zones) or otherwise
    return otherwise


@cache
def _middle(zones: tuple[str, ...]) -> str | None:
    known = [name for name in zones if name != "Etc/Unknown"]
    return sorted(known, key=_offset)[len(known) // 2] if known else None


def _offset(name: str) -> tuple[float, str]:
    """Hours before UTC's, winter and summer together, and the name for what is equal."""
    there = ZoneInfo(name)
    days = (datetime(*day, tzinfo=there).utcoffset() for day in MIDSUMMER_AND_MIDWINTER)
    return sum(offset.total_seconds() for offset in days if offset), name
