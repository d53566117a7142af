"""Who is who: one person, however the number is written.

WhatsApp names a person by phone (`wa_id`, digits without "+") or by business-scoped user id (BSUID,
`US.1349…`). In three countries one telephone has two spellings, and WhatsApp uses both:

- Brazil: mobiles got a ninth digit, `55 DD 9XXXXXXXX`; older accounts still answer as `55 DD XXXXXXXX`.
- Mexico: `52 1 XXXXXXXXXX` and `52 XXXXXXXXXX`.
- Argentina: `54 9 XXXXXXXXXX` and `54 XXXXXXXXXX`.

A contact must not split in two because of that, so every key is built from one canonical spelling.
"""

import re
from typing import Final

LONGEST_PHONE: Final = 15
"""Digits in the longest possible telephone number (ITU E.164)."""

# Brazilian mobiles begin with 6 to 9 once the ninth digit is taken away; 2 to 5 are landlines, which never
# had one.
_BRAZIL_MOBILE: Final = "6789"

# The Cloud API's group ids are base64 that begins with "capi_group:"; the app's own end in @g.us.
_CLOUD_API_GROUP: Final = "Y2FwaV9ncm91cDo"
_NUMBER_LIKE: Final = re.compile(r"\+?[\d\s().-]+")
_USER_ID: Final = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")  # Meta: business-scoped user IDs

_ONE_DIGIT_COUNTRIES: Final = frozenset({"1", "7"})
_TWO_DIGIT_COUNTRIES: Final = frozenset(
    str(code)
    for span in (
        (20, 27, 36, 39, 40, 41, 81, 82, 84, 86, 98),
        range(30, 35),
        range(43, 50),
        range(51, 59),
        range(60, 67),
        range(90, 96),
    )
    for code in span
)
_GROUPS: Final[dict[tuple[str, int], tuple[int, ...]]] = {
    ("1", 10): (3, 3, 4),
    ("7", 10): (3, 3, 2, 2),
    ("52", 10): (2, 4, 4),
    ("52", 11): (1, 2, 4, 4),
    ("54", 10): (2, 4, 4),
    ("54", 11): (1, 2, 4, 4),
    ("55", 10): (2, 4, 4),
    ("55", 11): (2, 5, 4),
}


def digits(text: str) -> str:
    """Only the digits of a text, as ASCII: `"+55 (11) 9…"` becomes `"55119…"`; `"٣"` becomes `"3"`."""
    if text.isascii() and text.isdigit():
        return text
    return "".join(str(int(char)) for char in text if char.isdecimal())


def canonical_phone(wa_id: str) -> str:
    """The one spelling of a phone that keys are built from: digits only, idempotent.

    Brazilian mobiles gain their ninth digit, Mexican and Argentine ones lose the 1 and the 9 after the
    country code, every other number stays as it is.
    """
    if not (wa_id.isascii() and wa_id.isdigit()):
        wa_id = digits(wa_id)
    # All three countries begin with 5, so most of the world leaves here.
    if not wa_id.startswith("5"):
        return wa_id
    if len(wa_id) == 13:
        if wa_id.startswith("521"):
            return "52" + wa_id[3:]
        if wa_id.startswith("549"):
            return "54" + wa_id[3:]
    elif len(wa_id) == 12 and wa_id.startswith("55") and wa_id[4] in _BRAZIL_MOBILE:
        return f"{wa_id[:4]}9{wa_id[4:]}"
    return wa_id


def variants(wa_id: str) -> tuple[str, ...]:
    """Every spelling under which the same phone may turn up, the canonical one first."""
    phone = canonical_phone(wa_id)
    if len(phone) == 13 and phone.startswith("55") and phone[4] == "9" and phone[5] in _BRAZIL_MOBILE:
        return phone, phone[:4] + phone[5:]
    if len(phone) == 12 and phone.startswith("52"):
        return phone, "521" + phone[2:]
    if len(phone) == 12 and phone.startswith("54"):
        return phone, "549" + phone[2:]
    return (phone,)


def phone_key(wa_id: str) -> str:
    """The key of a contact known by phone: `p:<canonical digits>`."""
    return "p:" + canonical_phone(wa_id)


def user_key(bsuid: str) -> str:
    """The key of a contact known by business-scoped user id: `u:<bsuid>`."""
    return "u:" + bsuid


def normalise_username(username: str) -> str:
    """A username without its "@" and surrounding space: Meta's own samples write it both ways."""
    return username.strip().removeprefix("@").strip()


def display_name(
    *,
    custom: str | None = None,
    book: str | None = None,
    profile: str | None = None,
    username: str | None = None,
    phone: str | None = None,
    bsuid: str | None = None,
) -> str:
    """What a contact is called on screen.

    The name given here comes first, then the phone's address book, the WhatsApp profile, the @username, the
    formatted number, and at last the bare BSUID. Blank names count as absent; with nothing at all the
    answer is "".
    """
    handle = normalise_username(username or "")
    number = digits(phone or "")
    candidates = (
        custom,
        book,
        profile,
        f"@{handle}" if handle else None,
        format_phone(number) if number else None,
        bsuid,
    )
    return next((name.strip() for name in candidates if name and name.strip()), "")


def is_user_id(recipient: str) -> bool:
    """Whether this is written like a business-scoped user id."""
    return _USER_ID.fullmatch(recipient) is not None


def is_address(recipient: str) -> bool:
    """Whether somebody may be reached under this: a phone number in any spelling, or a user id."""
    phone = _NUMBER_LIKE.fullmatch(recipient.strip()) is not None and 5 <= len(digits(recipient)) <= LONGEST_PHONE
    return phone or is_user_id(recipient)


def is_group(recipient: str) -> bool:
    """Whether an address names a group: `…@g.us`, a Cloud API group id, or more digits than any telephone
    has.
    """
    address = recipient.strip()
    if address.endswith("@g.us") or address.startswith(_CLOUD_API_GROUP):
        return True
    return _NUMBER_LIKE.fullmatch(address) is not None and len(digits(address)) > LONGEST_PHONE


def format_phone(wa_id: str) -> str:
    """A phone for human eyes: `+55 11 91234 5678`. Grouping is approximate outside the countries listed
    above.
    """
    number = digits(wa_id)
    if not number:
        return ""
    country = number[: _country_length(number)]
    rest = number[len(country) :]
    groups = _GROUPS.get((country, len(rest))) or _thirds(len(rest))
    parts, start = [f"+{country}"], 0
    for size in groups:
        parts.append(rest[start : start + size])
        start += size
    return " ".join(parts)


def _country_length(number: str) -> int:
    if number[0] in _ONE_DIGIT_COUNTRIES:
        return 1
    return 2 if number[:2] in _TWO_DIGIT_COUNTRIES else 3


def _thirds(length: int) -> tuple[int, ...]:
    """Groups of three, the last of three or four: a lone last digit reads badly."""
    if length <= 4:
        return (length,) if length else ()
    whole, left = divmod(length, 3)
    if left == 0:
        return (3,) * whole
    return (*(3,) * (whole - 1), 4) if left == 1 else (*(3,) * whole, 2)
