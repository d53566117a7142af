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


def of_country(region: str) -> str:
    """A regular expression, for Python and PostgreSQL alike, of the digits of a country's telephone numbers.

    ``region`` is ISO's two letters. Where countries share a calling code (+1, +7, +44 …), the numbering plan tells them
    apart. Raises ValueError for what is no country with telephones.
    """
    code = phonenumbers.country_code_for_region(region.upper())
    if not code:
        raise ValueError(f"{region!r} isn't a country's two letters (ISO 3166-1), like ES or BR")
    if len(phonenumbers.region_codes_for_country_code(code)) == 1:
        return f"^{code}"
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region.upper())
    kinds = (plan.fixed_line, plan.mobile) if plan is not None else ()
    patterns = {kind.national_number_pattern for kind in kinds if kind is not None and kind.national_number_pattern}
    return f"^{code}({'|'.join(sorted(patterns))})$"


def read_phone(text: str, home: str) -> str:
    """The digits, with country code, of a phone as people write it.

    ``home`` is a number of the business: what has no country code (``912 345 678``, ``0161 496 0000``) is read as its
    country writes it. Raises ValueError that says what is wrong.
    """
    said = text.strip()
    if not any(char.isdecimal() for char in said):
        raise ValueError("is no phone number")
    if said.startswith("00"):
        said = "+" + said[2:]
    try:
        at_home = phonenumbers.region_code_for_country_code(phonenumbers.parse(f"+{digits(home)}").country_code or 0)
        for attempt, region in ((said, None if said.startswith("+") else at_home), (f"+{digits(said)}", None)):
            parsed = phonenumbers.parse(attempt, region)
            number = f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"
            # WhatsApp also uses spellings that have gone out of use (rules.identity).
            if phonenumbers.is_valid_number(phonenumbers.parse(f"+{canonical_phone(number)}")):
                return number
    except phonenumbers.NumberParseException:
        pass
    raise ValueError("is no phone number that exists; give it with its country code, like +34 600 111 222")
