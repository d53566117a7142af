"""Telephone numbers as people write them, read as WhatsApp wants them: digits, with the country's code.

A list of a Portuguese shop says ``910 000 001``, ``00351 910000001``, ``351910000001`` and, from a spreadsheet,
``3.51910000001E+11``: all mean the same telephone. What a spreadsheet has rounded is told from what is merely written
badly, since the first can't be mended by looking at it.
"""

import re
from decimal import Decimal
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber

from twinline.rules.identity import canonical_phone, digits

# Excel's way to show more than eleven digits; a decimal comma in half of Europe.
_SCIENTIFIC: Final = re.compile(r"\+?(\d)(?:[.,](\d+))?[eE]\+?(\d{1,2})")
_WHOLE: Final = re.compile(r"(\+?\d{7,})[.,]0+")
# Around it: a formula that keeps zeros in a spreadsheet, an apostrophe that makes it a text, a link.
_AROUND: Final = re.compile(
    r"""^=?["']+|["']+$|^(?:tel|sms|whatsapp):(?://)?|^(?:https?://)?(?:wa\.me/|api\.whatsapp\.com/send\?phone=)""",
    re.IGNORECASE,
)
_INVISIBLE: Final = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SEVERAL: Final = re.compile(r"[/;,|]|\bou\b|\bor\b|\bo\b|\n", re.IGNORECASE)
_PUNCTUATION: Final = str.maketrans("", "", " ().-\xa0")
_LETTERS: Final = re.compile(r"[^\W\d_]", re.UNICODE)


class Unreadable(ValueError):
    """It is no telephone number that can be written to; the message says why, as part of a list of bad lines."""


EMPTY: Final = "There is no phone number."
NONE: Final = "“{}” isn't a phone number."
ROUNDED: Final = (
    "A spreadsheet has rounded this number, its last digits are lost. Format the column as text, and export again."
)
SEVERAL: Final = "There is more than one phone number. Keep one."
SHORT: Final = "“{}” is too short for a phone number."
LONG: Final = "“{}” is too long for a phone number."
ABROAD: Final = "“{}” has no country code. Write it with + and the country's code."
NOWHERE: Final = "“{}” isn't a number of any country, and none of {} either."
NOT_THERE: Final = "“{}” isn't given to anybody in its country; a digit may be wrong."


def region_of(phone: str) -> str:
    """ISO's two letters of the country that a number belongs to; "" when it is none's."""
    try:
        number = phonenumbers.parse(f"+{digits(phone)}")
    except phonenumbers.NumberParseException:
        return ""
    found = phonenumbers.region_code_for_number(number)
    found = found or phonenumbers.region_code_for_country_code(number.country_code or 0)
    return found if is_region(found) else ""


def is_region(region: str) -> bool:
    return region in phonenumbers.SUPPORTED_REGIONS


def dialled(text: str, region: str = "") -> str:
    """The digits of the number, with its country's code. ``region``: of numbers written without one. Raises Unreadable.

    With "+" or "00" in front it is taken as international, and as long as its length fits, also when its range is
    younger than our tables. Without, it has to be one that exists: in the country first, then anywhere.
    """
    number = _AROUND.sub("", _INVISIBLE.sub("", text).strip()).strip()
    if not number:
        raise Unreadable(EMPTY)
    if found := _SCIENTIFIC.fullmatch(number):
        number = _spelled_out(found)
    elif found := _WHOLE.fullmatch(number):
        number = found[1]
    said = text.strip()[:40]
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if known := _at_once(number, region):
        return known
    if number.startswith("+"):
        parsed = _parsed(number, "", said)
        if phonenumbers.is_possible_number(parsed):
            return _written(parsed)
        if spelled := _canonical(number):
            return spelled
        raise _refused(parsed, said)
    return _national(number, region, said)


def _at_once(number: str, region: str) -> str | None:
    """What almost every line of a list is: a number that exists, without any frills. As the long way would read it."""
    international = number.startswith("+")
    bare = number[international:].translate(_PUNCTUATION)
    if not (bare.isascii() and bare.isdigit()):
        return None
    if international:
        known = next((n for n in (1, 2, 3) if len(bare) > n and _plan(int(bare[:n])).fullmatch(bare, n)), 0)
        return bare if known else None
    code = str(phonenumbers.country_code_for_region(region) or "") if region else ""
    if not code:
        return None
    if bare.startswith(code):
        national = _plan(int(code)).fullmatch(bare)
        return bare if not national and _plan(int(code)).fullmatch(bare, len(code)) else None
    return f"{code}{bare}" if _plan(int(code)).fullmatch(bare) else None


@cache
def _plan(code: int) -> re.Pattern[str]:
    """The numbers of fixed lines and mobiles that there are behind a country's code."""
    patterns = set()
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ()):
        plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
        kinds = (plan.fixed_line, plan.mobile) if plan is not None else ()
        patterns |= {kind.national_number_pattern for kind in kinds if kind is not None}
    return re.compile("|".join(sorted(filter(None, patterns))) or r"(?!)", re.ASCII)


def _national(number: str, region: str, said: str) -> str:
    try:
        parsed = phonenumbers.parse(number, region) if region else None
    except phonenumbers.NumberParseException as error:
        if not digits(number) or _LETTERS.search(number) or len(digits(number)) < 7:
            raise Unreadable(_why(error, said)) from error
        parsed = None
    if parsed is not None and phonenumbers.is_valid_number(parsed):
        return _written(parsed)
    if parsed is not None and (found := _canonical(_written(parsed))):
        return found
    whole = digits(number)
    if not _LETTERS.search(number) and not _SEVERAL.search(number) and len(whole) > 7:
        try:
            abroad = phonenumbers.parse(f"+{whole}")
        except phonenumbers.NumberParseException:
            abroad = None
        if abroad is not None and phonenumbers.is_valid_number(abroad):
            return _written(abroad)
        if found := _canonical(whole):
            return found
    raise _refused(parsed, said, region)


def _canonical(number: str) -> str | None:
    """A mobile in its old spelling, as WhatsApp still has it (Brazil's eight digits, Mexico's 1)."""
    spelled = canonical_phone(digits(number))
    if spelled == digits(number):
        return None
    try:
        parsed = phonenumbers.parse(f"+{spelled}")
    except phonenumbers.NumberParseException:
        return None
    return spelled if phonenumbers.is_valid_number(parsed) else None


def _parsed(number: str, region: str, said: str) -> PhoneNumber:
    try:
        return phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException as error:
        raise Unreadable(_why(error, said)) from error


def _why(error: phonenumbers.NumberParseException, said: str) -> str:
    if _SEVERAL.search(said) and len(digits(said)) > 14:
        return SEVERAL
    kinds = phonenumbers.NumberParseException
    return {
        kinds.INVALID_COUNTRY_CODE: ABROAD if not said.startswith(("+", "00")) else NONE,
        kinds.TOO_LONG: LONG,
        kinds.TOO_SHORT_NSN: SHORT,
        kinds.TOO_SHORT_AFTER_IDD: SHORT,
    }.get(error.error_type, NONE).format(said)


def _refused(parsed: PhoneNumber | None, said: str, region: str = "") -> Unreadable:
    if _SEVERAL.search(said) and len(digits(said)) > 14:
        return Unreadable(SEVERAL)
    if _LETTERS.search(said):
        return Unreadable(NONE.format(said))
    if parsed is None:
        return Unreadable(NOWHERE.format(said, region) if region else ABROAD.format(said))
    told = {
        phonenumbers.ValidationResult.TOO_SHORT: SHORT,
        phonenumbers.ValidationResult.TOO_LONG: LONG,
    }.get(phonenumbers.is_possible_number_with_reason(parsed), NOT_THERE)
    return Unreadable(told.format(said))


def _spelled_out(found: re.Match[str]) -> str:
    """All digits of 3.51910000001E+11; raises Unreadable when there are fewer than it stands for."""
    fraction, exponent = found[2] or "", int(found[3])
    if len(fraction.rstrip("0")) < exponent and len(fraction) < exponent:
        raise Unreadable(ROUNDED)
    return str(int(Decimal(f"{found[1]}.{fraction}E{exponent}")))


def _written(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
