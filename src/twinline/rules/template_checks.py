"""Does a template that somebody writes keep to Meta's rules? The page asks while they type, API and command before
they hand it in.

`problems` takes the template as it would be posted and answers everything that is wrong, in the order in which it
stands. Limits are in `templates.toml`; what isn't certain is told as such (`Problem.sure`).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, TypeAlias

from twinline.rules import templates
from twinline.rules.templates import Json, Problem, kind_of, limit, part, rules, variables

Check: TypeAlias = Callable[[Mapping[str, Any]], Iterator[Problem]]

_NAME: Final = re.compile(r"[a-z0-9_]+")
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]*")
_MARKS: Final = re.compile(r"[*_~`\n]")
_SHORT: Final = "Shorten it."


def problems(spec: Mapping[str, Any]) -> list[Problem]:
    """Everything that Meta would refuse in this template, or might."""
    return [problem for check in _CHECKS for problem in check(spec)]


def _named(spec: Mapping[str, Any]) -> Iterator[Problem]:
    name = str(spec.get("name") or "")
    if not name:
        yield Problem("name", "name.empty", "The template has no name.", "Give it one, like order_ready.")
    elif not _NAME.fullmatch(name):
        yield Problem(
            "name",
            "name.characters",
            "A name has small letters, digits and underscores only.",
            f"Write {_tame(name) or 'order_ready'}.",
        )
    yield from _length("name", "name", name, "name")
    code = templates.language(str(spec.get("language") or ""))
    if code not in rules()["languages"]:
        yield Problem(
            "language",
            "language.unknown",
            f"WhatsApp has no templates in “{code}”." if code else "The template has no language.",
            "Choose one of the list.",
        )
    if kind_of(spec, "category") not in rules()["categories"]:
        yield Problem(
            "category",
            "category.unknown",
            "The template has no category.",
            f"Choose one of: {', '.join(rules()['categories'])}.",
        )
    if str(spec.get("parameter_format") or "POSITIONAL").upper() not in ("POSITIONAL", "NAMED"):
        yield Problem("format", "format.unknown", "Variables are either POSITIONAL or NAMED.", "Choose one of them.")


def _composed(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Which components there are."""
    parts = templates.components(spec)
    known = {"HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER"}
    for kind, count in Counter(kind_of(one) for one in parts).items():
        if kind not in known:
            yield Problem(
                "components",
                "component.unknown",
                f"There is no component of type “{kind}”.",
                f"Use {', '.join(sorted(known))}.",
            )
        elif count > 1:
            yield Problem(kind.lower(), "component.twice", f"There are {count} components of type {kind}.", "Keep one.")
    if not part(parts, "BODY"):
        yield Problem("body", "body.empty", "The template has no text.", "Write what it says.")
    marketing = kind_of(spec, "category") == "MARKETING"
    for kind, what in (("CAROUSEL", "A carousel"), ("LIMITED_TIME_OFFER", "A limited-time offer")):
        if part(parts, kind) and not marketing:
            yield Problem("category", "category.marketing", f"{what} is marketing.", "Choose the category Marketing.")
    if part(parts, "CAROUSEL") and (part(parts, "HEADER") or part(parts, "FOOTER")):
        yield Problem(
            "header",
            "carousel.alone",
            "A carousel has a text and cards, no header and no footer.",
            "Move them into the cards.",
        )


def _written(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Header, text, footer and buttons of an ordinary template."""
    if kind_of(spec, "category") == "AUTHENTICATION":
        return
    parts = templates.components(spec)
    yield from _header(spec, parts, "")
    offer = part(parts, "LIMITED_TIME_OFFER")
    yield from _body(spec, part(parts, "BODY"), "", "offer_body" if offer else "body")
    yield from _footer(part(parts, "FOOTER"))
    yield from _buttons(templates.buttons(parts), "")
    if offer:
        yield from _offer(parts, offer)
    yield from _cards(spec, templates.cards(parts), bool(part(parts, "CAROUSEL")))


def _header(spec: Mapping[str, Any], parts: Sequence[Json], before: str) -> Iterator[Problem]:
    header = part(parts, "HEADER")
    where = f"{before}header"
    if not header:
        return
    kind = kind_of(header, "format")
    if kind not in rules()["headers"]:
        yield Problem(
            where,
            "header.format",
            f"There is no header of format “{kind}”.",
            f"Use one of: {', '.join(rules()['headers'])}.",
        )
    elif kind == "TEXT":
        text = str(header.get("text") or "")
        if not text.strip():
            yield Problem(where, "header.empty", "The header is empty.", "Write one, or choose no header.")
        yield from _length(where, "header", text, "header")
        found = variables(text)
        if len(found) > limit("header_variables"):
            yield Problem(
                where,
                "header.variables",
                f"The header has {len(found)} variables; WhatsApp allows one.",
                "Move the others into the text.",
            )
        if _MARKS.search(_plain(text)) or any(unicodedata.category(letter) == "So" for letter in text):
            yield Problem(where, "header.marks", "A header has no emoji, line breaks, *, _, ~ or `.", "Take them out.")
        yield from _variables(spec, where, text, edges=False)


def _plain(text: str) -> str:
    """The text without its variables."""
    return templates.VARIABLE.sub("", text)


def _body(spec: Mapping[str, Any], body: Json, before: str, longest: str) -> Iterator[Problem]:
    text, where = str(body.get("text") or ""), f"{before}body"
    if body and not text.strip():
        yield Problem(where, "body.empty", "The text is empty.", "Write what the template says.")
    yield from _length(where, "text", text, longest)
    if re.search(rf"\n{{{limit('newlines') + 1},}}", text):
        yield Problem(
            where, "body.newlines", f"There are more than {limit('newlines')} line breaks in a row.", "Take some out."
        )
    yield from _variables(spec, where, text, edges=True)


def _variables(spec: Mapping[str, Any], where: str, text: str, *, edges: bool) -> Iterator[Problem]:
    """Names, numbers and places of variables (Meta: 2388299, 2388293)."""
    found = variables(text)
    if re.search(r"\{\{|\}\}", _plain(text)):
        yield Problem(
            where,
            "variable.open",
            "A variable isn't closed: it is written {{1}} or {{name}}.",
            "Write both pairs of braces.",
        )
    if templates.is_named(spec):
        for name in found:
            if not _PARAMETER.fullmatch(name):
                yield Problem(
                    where,
                    "variable.name",
                    f"{{{{{name}}}}} isn't a name: small letters, digits and underscores, beginning with a letter.",
                    f"Write {{{{{_tame(name) or 'name'}}}}}.",
                )
    else:
        wanted = [str(n) for n in range(1, len(found) + 1)]
        if found != wanted:
            shown = ", ".join(f"{{{{{name}}}}}" for name in found)
            yield Problem(
                where,
                "variable.number",
                f"Numbered variables go 1, 2, 3 without a gap; here are {shown}.",
                "Number them anew, or let variables have names.",
            )
    stripped = text.strip()
    if edges and (templates.VARIABLE.match(stripped) or re.search(r"\{\{[^{}]*\}\}$", stripped)):
        yield Problem(
            where,
            "variable.edge",
            "The text may not begin or end with a variable.",
            "Write a word, or at least a full stop, around it.",
        )
    if re.search(r"\}\}\s*\{\{", text):
        yield Problem(where, "variable.adjacent", "Two variables stand side by side.", "Write a word between them.")
    need = limit("words_per_variable") * len(found) + 1
    count = len(text.split())
    if edges and found and count < need:
        yield Problem(
            where,
            "variable.many",
            f"{len(found)} {'variable' if len(found) == 1 else 'variables'} in {count} "
            "words: Meta may find that too many for so short a text.",
            f"Write at least {need} words, or use fewer variables.",
            sure=False,
        )


def _footer(footer: Json) -> Iterator[Problem]:
    text = str(footer.get("text") or "")
    if footer and not text.strip():
        yield Problem("footer", "footer.empty", "The footer is empty.", "Write one, or leave it out.")
    yield from _length("footer", "footer", text, "footer")
    if "{{" in text:
        yield Problem("footer", "footer.variables", "A footer has no variables.", "Move them into the text.")


def _buttons(found: Sequence[Json], before: str) -> Iterator[Problem]:
    where = f"{before}buttons"
    if len(found) > limit("buttons"):
        yield Problem(
            where,
            "buttons.many",
            f"There are {len(found)} buttons; WhatsApp allows {limit('buttons')}.",
            "Take some away.",
        )
    kinds = [kind_of(button) for button in found]
    for kind, count in Counter(kinds).items():
        known = rules()["buttons"].get(kind)
        if known is not None and count > known["most"]:
            yield Problem(
                where,
                "buttons.many",
                f"{count} buttons of the kind “{known['name']}”; WhatsApp allows {known['most']}.",
                "Take some away.",
            )
    if [quick for quick, _ in groupby(kind == "QUICK_REPLY" for kind in kinds)].count(True) > 1:
        yield Problem(
            where,
            "buttons.order",
            "Quick replies have to stand together.",
            "Move the other buttons before or after all of them.",
        )
    labels = Counter(str(button.get("text") or "").strip().lower() for button in found)
    for label, count in labels.items():
        if label and count > 1:
            yield Problem(where, "buttons.alike", f"{count} buttons say “{label}”.", "Let each say something else.")
    for index, button in enumerate(found):
        yield from _button(button, f"{where}.{index}")


def _button(button: Json, where: str) -> Iterator[Problem]:
    kind, label = kind_of(button), str(button.get("text") or "")
    known = rules()["buttons"].get(kind)
    if known is None or kind == "OTP":
        yield Problem(
            where,
            "button.kind",
            f"A button of the kind “{kind}” can't be used here.",
            f"Use one of: {', '.join(name for name in rules()['buttons'] if name != 'OTP')}.",
        )
        return
    if not label.strip() and kind != "COPY_CODE":
        yield Problem(where, "button.label", "A button has no label.", "Write what it says.")
    yield from _length(where, "label", label, "label")
    if "{{" in label or "\n" in label:
        yield Problem(where, "button.label", "A label has no variables and no line breaks.", "Take them out.")
    match kind:
        case "URL":
            yield from _link(button, where)
        case "PHONE_NUMBER":
            number = re.sub(r"[\s().-]", "", str(button.get("phone_number") or ""))
            if not re.fullmatch(rf"\+?[0-9]{{5,{limit('phone')}}}", number):
                yield Problem(where, "button.phone", "That isn't a phone number.", "Write it with its country code.")
        case "COPY_CODE":
            example = button.get("example")
            code = str(example[0] if isinstance(example, list) and example else example or "")
            if not code:
                yield _example_missing(where, "the code")
            yield from _length(where, "code", code, "coupon")
        case "FLOW":
            if not (button.get("flow_id") or button.get("flow_name") or button.get("flow_json")):
                yield Problem(
                    where, "button.flow", "The button doesn't say which flow it opens.", "Give the flow's id."
                )


def _link(button: Json, where: str) -> Iterator[Problem]:
    url = str(button.get("url") or "")
    if not re.match(r"https?://[^\s/{]+", url):
        yield Problem(where, "button.url", "That isn't a web address.", "Write one that begins with https://")
    yield from _length(where, "address", url, "url")
    found = variables(url)
    if found and (len(found) > 1 or found != ["1"] or not url.endswith("{{1}}") or url.count("{{") > 1):
        yield Problem(
            where,
            "button.variable",
            "An address has at most one variable, {{1}}, at its end.",
            "Move it to the end: https://example.com/orders/{{1}}",
        )
    if re.match(r"https?://(wa\.me|api\.whatsapp\.com)/", url):
        yield Problem(where, "button.whatsapp", "Meta takes no addresses of WhatsApp itself.", "Lead to your own site.")


def _offer(parts: Sequence[Json], offer: Json) -> Iterator[Problem]:
    said = offer.get("limited_time_offer")
    text = str(said.get("text") or "") if isinstance(said, dict) else ""
    if not text:
        yield Problem("offer", "offer.empty", "The offer has no words.", "Write a few, like “Expiring offer!”.")
    yield from _length("offer", "offer", text, "offer")
    if part(parts, "FOOTER"):
        yield Problem("footer", "offer.footer", "A limited-time offer has no footer.", "Leave it out.")
    if kind_of(part(parts, "HEADER"), "format") not in ("", "IMAGE", "VIDEO"):
        yield Problem(
            "header", "offer.header", "A limited-time offer has an image, a video or no header.", "Choose one."
        )
    kinds = [kind_of(button) for button in templates.buttons(parts)]
    if kinds not in (["URL"], ["COPY_CODE", "URL"]):
        yield Problem(
            "buttons",
            "offer.buttons",
            "A limited-time offer has a link, and before it at most a code.",
            "Use “Copy a code” first and “Open a website” second.",
        )


def _cards(spec: Mapping[str, Any], deck: Sequence[Sequence[Json]], wanted: bool) -> Iterator[Problem]:
    if not wanted:
        return
    least, most = limit("cards_least"), limit("cards_most")
    if not least <= len(deck) <= most:
        yield Problem(
            "cards",
            "cards.count",
            f"There are {len(deck)} cards; WhatsApp takes {least} to {most}.",
            "Add or remove some.",
        )
    builds = set()
    for index, parts in enumerate(deck):
        before = f"cards.{index}."
        kind, found = kind_of(part(parts, "HEADER"), "format"), templates.buttons(parts)
        builds.add((kind, bool(part(parts, "BODY")), tuple(kind_of(button) for button in found)))
        if kind not in ("IMAGE", "VIDEO"):
            yield Problem(
                f"{before}header", "card.header", f"Card {index + 1} has neither image nor video.", "Add one."
            )
        if not 1 <= len(found) <= limit("card_buttons"):
            yield Problem(
                f"{before}buttons",
                "card.buttons",
                f"Card {index + 1} has {len(found)} buttons; WhatsApp wants 1 to {limit('card_buttons')}.",
                "Change that.",
            )
        yield from _body(spec, part(parts, "BODY"), before, "card_body")
        yield from _buttons(found, before)
    if len(builds) > 1:
        yield Problem(
            "cards",
            "cards.alike",
            "All cards need the same kind of header and the same kinds of buttons.",
            "Let them be alike.",
        )


def _authenticating(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Meta writes these itself; what can be chosen is little (Meta: authentication templates)."""
    if kind_of(spec, "category") != "AUTHENTICATION":
        return
    parts = templates.components(spec)
    for kind in ("HEADER", "CAROUSEL", "LIMITED_TIME_OFFER"):
        if part(parts, kind):
            yield Problem(
                kind.lower(),
                "authentication.only",
                "An authentication template has Meta's own text, an expiry and a code button, nothing else.",
                f"Leave the {kind.lower()} out.",
            )
    if part(parts, "BODY").get("text") and not part(parts, "BODY").get("example"):
        yield Problem(
            "body",
            "authentication.text",
            "Meta writes the text of an authentication template itself.",
            "Leave the text out; the only choice is add_security_recommendation.",
        )
    minutes = part(parts, "FOOTER").get("code_expiration_minutes")
    least, most = limit("minutes_least"), limit("minutes_most")
    if minutes is not None and not (str(minutes).isdecimal() and least <= int(minutes) <= most):
        yield Problem(
            "footer", "authentication.minutes", f"A code lives {least} to {most} minutes.", "Choose a number."
        )
    found = templates.buttons(parts)
    if [kind_of(button) for button in found] != ["OTP"]:
        yield Problem(
            "buttons",
            "authentication.button",
            "An authentication template has exactly one code button (OTP).",
            "Add it.",
        )
        return
    [button] = found
    kind = kind_of(button, "otp_type")
    if kind not in ("COPY_CODE", "ONE_TAP", "ZERO_TAP"):
        yield Problem(
            "buttons.0",
            "authentication.kind",
            "The code is handed over by COPY_CODE, ONE_TAP or ZERO_TAP.",
            "Choose one.",
        )
    apps = button.get("supported_apps")
    if kind in ("ONE_TAP", "ZERO_TAP") and not (isinstance(apps, list) and apps):
        yield Problem(
            "buttons.0",
            "authentication.app",
            "The app that takes the code isn't named.",
            "Give its package name and signature hash.",
        )
    for app in apps if isinstance(apps, list) else ():
        if not re.fullmatch(r"[A-Za-z][\w]*(\.[A-Za-z][\w]*)+", str(app.get("package_name") or "")):
            yield Problem(
                "buttons.0",
                "authentication.package",
                "That isn't an Android package name.",
                "Write one like com.example.app.",
            )
        if len(str(app.get("signature_hash") or "")) != 11:
            yield Problem(
                "buttons.0",
                "authentication.hash",
                "An app's signature hash has 11 characters.",
                "Compute it as Meta's page on one-tap buttons shows.",
            )
    if kind == "ZERO_TAP" and button.get("zero_tap_terms_accepted") is not True:
        yield Problem(
            "buttons.0",
            "authentication.terms",
            "Zero-tap needs your word that people agreed to it.",
            "Accept Meta's zero-tap terms.",
        )
    yield from _length("buttons.0", "label", str(button.get("text") or ""), "label")


def _exemplified(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Meta's reviewers want to see every variable with a value."""
    if kind_of(spec, "category") == "AUTHENTICATION":
        return
    for slot in templates.slots(spec):
        if slot.kind in ("text", "url", *templates.MEDIA) and not slot.example.strip():
            yield _example_missing(f"example.{slot.key}", slot.label)


def _example_missing(where: str, what: str) -> Problem:
    return Problem(
        where,
        "example.missing",
        f"Meta wants an example for {what}.",
        "Give one that shows what will stand there, without anybody's real data.",
    )


def _length(where: str, what: str, text: str, name: str) -> Iterator[Problem]:
    if len(text) > limit(name):
        yield Problem(
            where,
            f"{where.rsplit('.', 1)[0] if where[-1:].isdigit() else where}.too_long",
            f"The {what} has {len(text)} characters; WhatsApp allows {limit(name)}.",
            _SHORT,
        )


def _tame(name: str) -> str:
    """What somebody probably meant."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


_CHECKS: Final[tuple[Check, ...]] = (_named, _composed, _written, _authenticating, _exemplified)
