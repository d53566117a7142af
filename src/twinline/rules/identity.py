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
    if wa_id[:1] != "5":
        return wa_id
    if len(wa_id) == 13:
        if wa_id.startswith("521"):
            return "52" + wa_id[3:]
        if wa_id.startswith("549"):
            return "54" + wa_id[3:]
    elif len(wa_id) == 12 and wa_id.startswith("55") and wa_id[4] in _BRAZIL_MOBILE:
        return f"{wa_id[:4]}9{wa_id[4:]}"
    return wa_id


def same_phone(one: str, other: str) -> bool:
    """Whether two spellings, digits only, are of one telephone."""
    # They differ at the beginning, if at all, so their ends tell most pairs apart.
    return one == other or (one[-4:] == other[-4:] and canonical_phone(one) == canonical_phone(other))


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
    number as `phone` spells it, and at last the bare BSUID. Blank names count as absent; with nothing at all the
    answer is "".
    """
    handle = normalise_username(username or "")
    candidates = (
        custom,
        book,
        profile,
        f"@{handle}" if handle else None,
        phone,
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
