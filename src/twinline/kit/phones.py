"""Telephone numbers for human eyes."""

import phonenumbers

from twinline.rules.identity import canonical_phone, digits


def shown_phone(wa_id: str) -> str:
    """A phone as its country writes it today: `+55 11 91234-5678`; what no country would write so, as bare digits."""
    number = canonical_phone(digits(wa_id))
    if not number:
        return ""
    try:
        parsed = phonenumbers.parse(f"+{number}")
    except phonenumbers.NumberParseException:
        return f"+{number}"
    grouped = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return grouped if digits(grouped) == number else f"+{number}"
