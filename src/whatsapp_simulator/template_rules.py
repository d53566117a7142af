"""What Meta asks of a template before it is reviewed, and what a review finds (Meta: template components, template
management, error codes).

``checked`` gives the components as Meta would store them, or raises the refusal with its subcode and the two
sentences for a person. ``verdict`` is the review: a few rules that can be foreseen instead of Meta's judgement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import GraphError
from .state import Json

NAME = re.compile(r"[a-z0-9_]{1,512}")
VARIABLE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
CATEGORIES = ("AUTHENTICATION", "MARKETING", "UTILITY")
FORMATS = {"IMAGE": ("image/jpeg", "image/png"), "VIDEO": ("video/mp4",), "DOCUMENT": ("application/pdf",)}
"""Header format -> types of a sample."""
CARD_HEADERS = ("IMAGE", "VIDEO")
OFFER_TEXT, OFFER_BODY, CARD_BODY = 16, 600, 160
SHORT = {"header": 60, "footer": 60, "body": 1024, "button": 25}
"""Greatest lengths in characters."""
BUTTONS = {
    # type -> how many of it (Meta: template components); ten altogether
    "QUICK_REPLY": 10,
    "URL": 2,
    "PHONE_NUMBER": 1,
    "COPY_CODE": 1,
    "FLOW": 1,
    "REQUEST_CONTACT_INFO": 1,
}
OTP_LABELS = {"COPY_CODE": "Copy code", "ONE_TAP": "Autofill", "ZERO_TAP": "Copy code"}
OTP_URL = "https://www.whatsapp.com/otp/code/?otp_type={kind}&code=otp{{{{1}}}}"
SAFETY = " For your security, do not share this code."
REFUSALS: dict[int, tuple[str, str]] = {
    # subcode -> error_user_title, error_user_msg. Meta's error page and answers that were published; where only the
    # meaning is known, the words are the simulator's.
    2388003: ("Message template can't be edited", "Message templates can only be edited if they have been rejected."),
    2388019: (
        "Message template limit exceeded",
        "The number of message templates of this WhatsApp Business Account exceeds its limit.",
    ),
    2388023: (
        "Message template language is being deleted",
        "New {what} content can't be added while the existing {what} content is being deleted. Try again in 4 weeks"
        " or create a new message template.",
    ),
    2388024: (
        "Content in This Language Already Exists",
        "There is already {what} content for this template. You can create a new template and try again.",
    ),
    2388039: (
        "Message template status can't be changed",
        "The status for this message template can't be changed. You can only delete or add templates.",
    ),
    2388040: ("Character limit exceeded", "The {what} is longer than its limit of {most} characters."),
    2388043: ("Message template example is missing", "The {what} has variables or media but no example of them."),
    2388046: ("Name Format is Incorrect", "The message template name can only have lowercase letters and underscores."),
    2388047: ("Message header format is incorrect", "The message header {what}."),
    2388072: ("Message body format is incorrect", "The message body {what}."),
    2388073: ("Message footer format is incorrect", "The message footer {what}."),
    2388293: (
        "Parameters words ratio exceeds limit",
        "This template has too many variables for its length. Reduce the number of variables or increase the message"
        " length.",
    ),
    2593002: ("Message Template Not Found", "There is no message template of this name or id."),
    2388299: (
        "Leading or trailing params not allowed",
        "Variables can't be at the start or end of the template.",
    ),
}


def refusal(subcode: int, what: object = "", most: int = 0) -> GraphError:
    """A refusal of the template endpoints."""
    title, text = REFUSALS[subcode]
    return spoken(title, text.format(what=what, most=most), subcode)


def spoken(title: str, text: str, subcode: int | None = None) -> GraphError:
    """An error with words for a person, which only the template endpoints have."""
    extra = {"is_transient": False, "error_user_title": title, "error_user_msg": text}
    return GraphError(100, message="Invalid parameter", subcode=subcode, extra=extra)


def invalid(text: str, code: int = 100) -> GraphError:
    return GraphError(code, message=f"(#{code}) {text}", details=text)


def variables(text: str) -> list[str]:
    """The names in ``{{…}}``, each once, in order."""
    return list(dict.fromkeys(VARIABLE.findall(text)))


def language(text: object) -> str:
    return str(text or "").replace("-", "_")


# -- creating and editing ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a create call says, with upper-case words."""

    name: str
    language: str
    category: str
    parameter_format: str


def wanted(args: Json, languages: Collection[str]) -> Wanted:
    """The plain fields of a create call. Raises ``GraphError``."""
    name = str(args.get("name") or "")
    if not NAME.fullmatch(name):
        raise refusal(2388046)
    found = Wanted(
        name,
        language(args.get("language")),
        str(args.get("category") or "").upper(),
        str(args.get("parameter_format") or "POSITIONAL").upper(),
    )
    if found.category not in CATEGORIES:
        raise invalid(f"Param category must be one of {{{', '.join(CATEGORIES)}}}")
    if found.language not in languages:
        raise invalid(f"Param language must be one of {{{', '.join(sorted(languages))}}}")
    if found.parameter_format not in ("POSITIONAL", "NAMED"):
        raise invalid("Param parameter_format must be one of {NAMED, POSITIONAL}")
    return found


Sample = Callable[[str], tuple[str, str] | None]
"""A handle of an upload -> its MIME type and the address where it can be seen."""


Parts = dict[str, Json]
"""Components by their type."""
SIMPLE = ("HEADER", "BODY", "FOOTER", "BUTTONS")
SPECIAL = ("LIMITED_TIME_OFFER", "CAROUSEL")
"""What only marketing templates have."""


def checked(given: Any, category: str, *, named: bool, sample: Sample) -> list[Json]:
    """Components as they are stored. Raises ``GraphError``."""
    parts = _parts(given, (*SIMPLE, *SPECIAL))
    if "BODY" not in parts:
        raise refusal(2388072, "is missing")
    if category == "AUTHENTICATION":
        return _authentication(parts)
    if category != "MARKETING" and any(kind in parts for kind in SPECIAL):
        raise invalid("Limited-time offers and carousels are marketing templates.")
    longest = SHORT["body"]
    if "LIMITED_TIME_OFFER" in parts:
        longest = OFFER_BODY
        _offer_fits(parts)
    if "CAROUSEL" in parts and len(parts) > 2:
        raise invalid("Beside its carousel such a template has a body only.")
    return _each(parts, sample, longest, named=named)


def _parts(given: Any, kinds: Sequence[str]) -> Parts:
    """The components of a template or of a card, each kind once."""
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise invalid("The parameter components is required.")
    parts: Parts = {}
    for one in given:
        kind = str(one.get("type") or "").upper()
        if kind not in kinds:
            raise invalid(f"Component type {kind or 'none'} isn't supported here.")
        if kind in parts:
            raise invalid(f"There is more than one component of type {kind}.")
        parts[kind] = {**one, "type": kind}
    return parts


def _each(parts: Parts, sample: Sample, longest: int, *, named: bool) -> list[Json]:
    """Every component by its own rules, in the order in which a phone shows them."""
    check: dict[str, Callable[[Json], Json]] = {
        "HEADER": lambda one: _header(one, sample, named=named),
        "LIMITED_TIME_OFFER": _offer,
        "BODY": lambda one: _body(one, longest, named=named),
        "FOOTER": _footer,
        "BUTTONS": _buttons,
        "CAROUSEL": lambda one: _carousel(one, sample, named=named),
    }
    return [check[kind](parts[kind]) for kind in check if kind in parts]


def _offer(one: Json) -> Json:
    offer = one.get("limited_time_offer")
    text = offer.get("text") if isinstance(offer, dict) else None
    if not isinstance(text, str) or not text:
        raise invalid("Param components['limited_time_offer']['text'] is required.")
    if len(text) > OFFER_TEXT:
        raise refusal(2388040, "limited-time offer text", OFFER_TEXT)
    return one


def _offer_fits(parts: Parts) -> None:
    """Meta: limited-time offer templates."""
    if "FOOTER" in parts:
        raise invalid("Limited-time offers have no footer.")
    if str(parts.get("HEADER", {"format": "IMAGE"}).get("format")).upper() not in CARD_HEADERS:
        raise invalid("The header of a limited-time offer is an image or a video.")
    kinds = _button_kinds(parts)
    offer = parts["LIMITED_TIME_OFFER"].get("limited_time_offer")
    expires = isinstance(offer, dict) and offer.get("has_expiration")
    if "URL" not in kinds or (expires and "COPY_CODE" not in kinds):
        raise invalid("A limited-time offer needs a URL button, and one that copies its code when it expires.")
    if "COPY_CODE" in kinds and kinds[0] != "COPY_CODE":
        raise invalid("The button that copies the code comes first.")


def _carousel(one: Json, sample: Sample, *, named: bool) -> Json:
    """Two to ten cards that look alike (Meta: media card carousel templates)."""
    cards = one.get("cards")
    if not isinstance(cards, list) or not 2 <= len(cards) <= 10:
        raise invalid("A carousel has 2 to 10 cards.")
    made, looks = [], set()
    for card in cards:
        parts = _parts(card.get("components") if isinstance(card, dict) else None, ("HEADER", "BODY", "BUTTONS"))
        form = str(parts.get("HEADER", {}).get("format")).upper()
        kinds = _button_kinds(parts)
        if form not in CARD_HEADERS or len(kinds) > 2 or not {*kinds} <= {"QUICK_REPLY", "URL", "PHONE_NUMBER"}:
            raise invalid("A card has an image or a video and up to two buttons that reply, link or call.")
        looks.add((form, "BODY" in parts, *kinds))
        made.append({"components": _each(parts, sample, CARD_BODY, named=named)})
    if len(looks) > 1:
        raise invalid("All cards of a carousel must have the same components.")
    return {**one, "cards": made}


def _button_kinds(parts: Parts) -> list[str]:
    found = parts.get("BUTTONS", {}).get("buttons")
    return [str(one.get("type")).upper() for one in found or () if isinstance(one, dict)]


def _text(one: Json, kind: str, subcode: int, most: int | None = None) -> str:
    text, most = one.get("text"), most or SHORT[kind]
    if not isinstance(text, str) or not text.strip():
        raise refusal(subcode, "has no text")
    if len(text) > most:
        raise refusal(2388040, kind, most)
    return text


def _numbered(text: str, subcode: int, *, named: bool) -> list[str]:
    """The variables of a text, whose names must be right: ``{{1}}``, ``{{2}}`` … or words in lower case."""
    names = variables(text)
    right = all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    if named and not right:
        raise refusal(subcode, "has a variable whose name isn't lowercase letters, digits and underscores")
    if not named and sorted(names) != sorted(str(n) for n in range(1, len(names) + 1)):
        raise refusal(subcode, "has variables that aren't numbered {{1}}, {{2}} and so on")
    if text.count("{{") != len(VARIABLE.findall(text)):
        raise refusal(subcode, "has a variable with broken brackets")
    return names


def _exampled(one: Json, key: str, names: list[str], what: str, *, named: bool) -> None:
    """Every variable needs an example: ``body_text: [[…]]``, ``header_text: […]`` or ``…_named_params``."""
    if not names:
        return
    example = one.get("example")
    given = example.get(f"{key}_named_params" if named else key) if isinstance(example, dict) else None
    if not isinstance(given, list):
        raise refusal(2388043, what)
    if named:
        shown = {str(e.get("param_name")): e.get("example") for e in given if isinstance(e, dict)}
        enough = all(shown.get(name) for name in names)
    else:
        values = given[0] if given and isinstance(given[0], list) else given
        enough = len(values) == len(names) and all(values)
    if not enough:
        raise refusal(2388043, what)


def _header(one: Json, sample: Sample, *, named: bool) -> Json:
    form = str(one.get("format") or "").upper()
    one = {**one, "format": form}
    if form == "LOCATION":
        return one
    if form == "TEXT":
        text = _text(one, "header", 2388047)
        if re.search(r"[\n*_~`]", VARIABLE.sub("", text)) or _emoji(text):
            raise refusal(2388047, "can't have any new lines, formatting characters, emojis, or asterisks")
        names = _numbered(text, 2388047, named=named)
        if len(names) > 1:
            raise refusal(2388047, "can have one variable only")
        _exampled(one, "header_text", names, "header", named=named)
        return one
    if form not in FORMATS:
        raise invalid(f"Param format must be one of {{{', '.join(('TEXT', 'LOCATION', *FORMATS))}}}")
    example = one.get("example")
    handles = example.get("header_handle") if isinstance(example, dict) else None
    if not isinstance(handles, list) or not handles:
        raise refusal(2388043, "header")
    found = sample(str(handles[0]))
    if found is None:
        raise invalid("Param example['header_handle'] isn't a handle of the Resumable Upload API.")
    mime, address = found
    if mime not in FORMATS[form]:
        raise refusal(2388047, f"is of format {form} but its sample is {mime}")
    return {**one, "example": {"header_handle": [address]}}


def _emoji(text: str) -> bool:
    return any(ord(c) >= 0x1F000 or 0x2600 <= ord(c) <= 0x27BF for c in text)


def _body(one: Json, longest: int, *, named: bool) -> Json:
    text = _text(one, "body", 2388072, longest)
    if re.search(r"\n{3}", text):
        raise refusal(2388072, "can't have more than two consecutive new lines")
    names = _numbered(text, 2388072, named=named)
    # GUESS: a full stop behind a variable is text. Some had such templates approved, others rejected.
    if re.match(rf"\s*{VARIABLE.pattern}|.*{VARIABLE.pattern}\s*$", text, re.S):
        raise refusal(2388299)
    words = re.findall(r"\w+", VARIABLE.sub(" ", text))
    if names and len(words) < 2 * len(names) + 1:  # GUESS: Meta's ratio isn't documented
        raise refusal(2388293)
    _exampled(one, "body_text", names, "body", named=named)
    return one


def _footer(one: Json) -> Json:
    text = _text(one, "footer", 2388073)
    if VARIABLE.search(text) or "\n" in text:
        raise refusal(2388073, "can't have variables or new lines")
    return one


def _buttons(one: Json) -> Json:
    buttons = one.get("buttons")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 10:
        raise invalid("A template has 1 to 10 buttons.")
    made = [_button(button, index) for index, button in enumerate(buttons)]
    kinds = [button["type"] for button in made]
    for kind, most in BUTTONS.items():
        if kinds.count(kind) > most:
            raise invalid(f"A template has at most {most} button(s) of type {kind}.")
    replies = [index for index, kind in enumerate(kinds) if kind == "QUICK_REPLY"]
    if replies and replies[-1] - replies[0] + 1 != len(replies):
        raise invalid("Quick reply buttons must stand together, before or after the other buttons.")
    labels = [button["text"] for button in made if "text" in button]
    if len(set(labels)) != len(labels):
        raise invalid("Two buttons can't have the same text.")
    return {**one, "buttons": made}


def _button(given: Any, index: int) -> Json:
    button = dict(given) if isinstance(given, dict) else {}
    kind = button["type"] = str(button.get("type") or "").upper()
    where = f"Param components['buttons'][{index}]"
    if kind not in BUTTONS:
        raise invalid(f"{where}['type'] must be one of {{{', '.join(BUTTONS)}}}")
    label = button.get("text")
    if kind != "COPY_CODE":  # its label is Meta's own
        if not isinstance(label, str) or not label.strip():
            raise invalid(f"{where}['text'] is required.")
        if len(label) > SHORT["button"]:
            raise refusal(2388040, "button text", SHORT["button"])
        if VARIABLE.search(label):
            raise invalid(f"{where}['text'] can't have variables.")
    if kind == "URL":
        _link(button, where)
    if kind == "PHONE_NUMBER" and not re.fullmatch(r"\+?[\d ()-]{5,20}", str(button.get("phone_number") or "")):
        raise invalid(f"{where}['phone_number'] is not a valid phone number.", 192)
    if kind == "COPY_CODE" and not 1 <= len(_first(button.get("example"))) <= 20:
        raise refusal(2388043, "button")
    if kind == "FLOW" and not (button.get("flow_id") or button.get("flow_name") or button.get("flow_json")):
        raise invalid(f"{where}['flow_id'] is required.")
    return button


def _link(button: Json, where: str) -> None:
    url = str(button.get("url") or "")
    if not re.match(r"https?://[^\s{]+", url) or len(url) > 2000:
        raise invalid(f"{where}['url'] is not a valid URI.")
    names = variables(url)
    if names and (len(names) > 1 or not url.rstrip().endswith("}}")):
        raise invalid(f"{where}['url'] can have one variable only, at its end.")
    if names and not _first(button.get("example")):
        raise refusal(2388043, "button")


def _first(example: Any) -> str:
    """Examples of buttons come as a list or alone."""
    return str((example[0] if example else "") if isinstance(example, list) else example or "")


def _authentication(parts: Parts) -> list[Json]:
    """Meta writes the words of an authentication template; the call only switches them."""
    if not {*parts} <= {"BODY", "FOOTER", "BUTTONS"}:
        raise invalid("Authentication templates have a body, a footer and a button only.")
    body, footer = parts["BODY"], parts.get("FOOTER")
    if body.get("text"):
        raise invalid("The text of an authentication template is fixed; leave it out.")
    safe = bool(body.get("add_security_recommendation"))
    text = f"*{{{{1}}}}* is your verification code.{SAFETY if safe else ''}"
    made: list[Json] = [
        {
            "type": "BODY",
            "text": text,
            "add_security_recommendation": safe,
            "example": {"body_text": [["123456"]]},
        }
    ]
    if footer is not None:
        minutes = footer.get("code_expiration_minutes")
        if not isinstance(minutes, int) or not 1 <= minutes <= 90:
            raise invalid("code_expiration_minutes must be 1 to 90.")
        shown = f"This code expires in {minutes} minutes."
        made.append({"type": "FOOTER", "text": shown, "code_expiration_minutes": minutes})
    if _button_kinds(parts) != ["OTP"]:
        raise invalid("An authentication template has exactly one button, of type OTP.")
    otp = parts["BUTTONS"]["buttons"][0]
    kind = str(otp.get("otp_type") or "").upper()
    if kind not in OTP_LABELS:
        raise invalid(f"Param otp_type must be one of {{{', '.join(OTP_LABELS)}}}")
    url = OTP_URL.format(kind=kind)
    label = str(otp.get("text") or OTP_LABELS[kind])
    button = {"type": "URL", "text": label, "url": url, "example": [url.replace("{{1}}", "123456")]}
    return [*made, {"type": "BUTTONS", "buttons": [button]}]


# -- the review ----------------------------------------------------------------------------------------------------

REASONS = (
    "ABUSIVE_CONTENT",
    "CATEGORY_NOT_AVAILABLE",
    "INCORRECT_CATEGORY",
    "INVALID_FORMAT",
    "PROMOTIONAL",
    "SCAM",
    "TAG_CONTENT_MISMATCH",
)
"""Why a template is rejected (Meta: message_template_status_update reference)."""


@dataclass(frozen=True)
class Verdict:
    """A rule of the simulated review: what it looks for in all of a template's texts, and what it says of it."""

    pattern: re.Pattern[str]
    reason: str
    recommendation: str


VERDICTS = (
    Verdict(
        re.compile(r"\b(password|card number|cvv|passport number|contraseña|senha)\b", re.I),
        "SCAM",
        "Don't ask people for sensitive identifiers.",
    ),
    Verdict(
        re.compile(r"https?://(bit\.ly|tinyurl\.com|wa\.me)\b", re.I),
        "INVALID_FORMAT",
        "Replace shortened links and wa.me links by the full address.",
    ),
)
PROMOTION = re.compile(
    r"\b(on sale|flash sale|discount|special offer|\d+ ?% off|oferta|descuento|desconto|promo\w*)\b", re.I
)
"""What makes a utility template a marketing one."""


def texts(components: Sequence[Json]) -> str:
    """All words of a template."""
    found = [str(one.get("text") or "") for one in components]
    for one in components:
        found += [f"{b.get('text', '')} {b.get('url', '')}" for b in one.get("buttons") or ()]
        found += [texts(card["components"]) for card in one.get("cards") or ()]
    return "\n".join(found)


def verdict(name: str, components: Sequence[Json]) -> tuple[str, str] | None:
    """The reason and the advice of a rejection, or None when the template passes. A name that begins with ``reject_``
    is rejected for what follows, so that a program can ask for it: ``reject_promotional_june``."""
    if name.startswith("reject_"):
        asked = name.removeprefix("reject_").upper()
        reason = next((one for one in REASONS if asked.startswith(one)), "INVALID_FORMAT")
        return reason, "The name asked for it."
    words = texts(components)
    found = next((one for one in VERDICTS if one.pattern.search(words)), None)
    return (found.reason, found.recommendation) if found else None


def category(given: str, components: Sequence[Json]) -> str:
    """The category that Meta gives it: what promotes isn't utility."""
    return "MARKETING" if given == "UTILITY" and PROMOTION.search(texts(components)) else given
