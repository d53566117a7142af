"""Phone numbers: digits only inside, and the few countries where one person has two spellings."""

from __future__ import annotations

import phonenumbers


def digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def display(number: str) -> str:
    """``14155550142`` -> ``+1 415-555-0142``; as it is when the number plan doesn't know it."""
    try:
        parsed = phonenumbers.parse(f"+{number}")
    except phonenumbers.NumberParseException:
        return f"+{number}"
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def country(number: str) -> str:
    """Two-letter country of a number, ``US`` when unknown."""
    try:
        parsed = phonenumbers.parse(f"+{number}")
    except phonenumbers.NumberParseException:
        return "US"
    found = phonenumbers.region_code_for_number(parsed)
    if found:
        return found
    return phonenumbers.region_code_for_country_code(parsed.country_code or 1)


def variants(number: str) -> tuple[str, ...]:
    """Other spellings of the same line: Mexico's 1, Argentina's 9, Brazil's ninth digit."""
    if number.startswith("521") and len(number) == 13:
        return (number, "52" + number[3:])
    if number.startswith("52") and len(number) == 12:
        return (number, "521" + number[2:])
    if number.startswith("549") and len(number) == 13:
        return (number, "54" + number[3:])
    if number.startswith("54") and len(number) == 12:
        return (number, "549" + number[2:])
    if number.startswith("55") and len(number) == 13 and number[4] == "9":
        return (number, number[:4] + number[5:])
    if number.startswith("55") and len(number) == 12:
        return (number, number[:4] + "9" + number[4:])
    return (number,)
