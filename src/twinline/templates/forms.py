"""The form of a template: what it sends -> Meta's body, and back."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.datastructures import FormData

from twinline.rules import templates as rules
from twinline.rules.templates import Json, kind_of, part

SAMPLE = re.compile(r"samples/[0-9a-f]{64}")
HANDLED = frozenset({"HEADER", "BODY", "FOOTER", "BUTTONS", "LIMITED_TIME_OFFER"})


def read(form: FormData) -> Json:
    """The template as it would be posted to Meta."""

    def said(name: str) -> str:
        return str(form.get(name, "")).replace("\r\n", "\n").strip()

    category = said("category") or "MARKETING"
    spec: Json = {
        "name": said("name"),
        "language": said("language"),
        "category": category,
        "parameter_format": said("parameter_format") or "POSITIONAL",
    }
    examples = {
        key.removeprefix("example."): str(value).strip() for key, value in form.items() if key.startswith("example.")
    }
    spec["components"] = (
        _authentication(said, form) if category == "AUTHENTICATION" else _components(spec, said, form, examples)
    )
    return spec


def sample(form: FormData) -> Json | None:
    """The header's file as ``service.keep_sample`` answered it. What comes back from a browser is checked again."""
    try:
        found = orjson.loads(str(form.get("header_sample") or "null"))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or not SAMPLE.fullmatch(str(found.get("file"))):
        return None
    kept = {key: str(found.get(key, "")) for key in ("file", "mime_type", "filename")}
    return {**kept, "size": int(found.get("size") or 0)}


def _components(spec: Json, said: Any, form: FormData, examples: Mapping[str, str]) -> list[Json]:
    made: list[Json] = []
    named = rules.is_named(spec)
    if kind := said("header"):
        header: Json = {"type": "HEADER", "format": kind}
        if kind == "TEXT":
            header["text"] = said("header_text")
            header |= _example("header_text", "header", header["text"], named, examples)
        elif said("header_handle"):
            header["example"] = {"header_handle": [said("header_handle")]}
        made.append(header)
    if offer := said("offer"):
        expires = form.get("offer_expires") == "yes"
        made.append({"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": offer, "has_expiration": expires}})
    text = said("body")
    made.append({"type": "BODY", "text": text, **_example("body_text", "body", text, named, examples)})
    if footer := said("footer"):
        made.append({"type": "FOOTER", "text": footer})
    kinds, texts, values = ([str(one) for one in form.getlist(f"button_{name}")] for name in ("type", "text", "value"))
    rows = enumerate(zip(kinds, texts, values, strict=False))
    if found := [_button(index, kind, text, value, examples) for index, (kind, text, value) in rows]:
        made.append({"type": "BUTTONS", "buttons": found})
    return made


def _example(member: str, place: str, text: str, named: bool, examples: Mapping[str, str]) -> Json:
    names = rules.variables(text)
    given = {name: examples.get(f"{place}.{name}", "") for name in names}
    if not any(given.values()):
        return {}
    if named:
        return {
            "example": {
                f"{member}_named_params": [{"param_name": name, "example": value} for name, value in given.items()]
            }
        }
    # Meta nests the body's examples once more than the header's.
    values = list(given.values())
    return {"example": {member: [values] if member == "body_text" else values}}


def _button(index: int, kind: str, text: str, value: str, examples: Mapping[str, str]) -> Json:
    value = value.strip()
    button: Json = {"type": kind, "text": text.strip()}
    example = examples.get(f"buttons.{index}", "")
    match kind:
        case "URL":
            button["url"] = value
            if example:
                button["example"] = [value.split("{{")[0] + example]
        case "PHONE_NUMBER":
            button["phone_number"] = value
        case "COPY_CODE":
            button = {"type": kind, "example": value}
        case "FLOW":
            button |= {"flow_id": value, "flow_action": "navigate"}
    return button


def _authentication(said: Any, form: FormData) -> list[Json]:
    made: list[Json] = [{"type": "BODY", "add_security_recommendation": form.get("advice") == "yes"}]
    if minutes := said("minutes"):
        made.append({"type": "FOOTER", "code_expiration_minutes": int(minutes) if minutes.isdecimal() else minutes})
    kind = said("otp_type") or "COPY_CODE"
    button: Json = {"type": "OTP", "otp_type": kind}
    if label := said("otp_text"):
        button["text"] = label
    if kind != "COPY_CODE":
        app = {"package_name": said("package_name"), "signature_hash": said("signature_hash")}
        button["supported_apps"] = [app]
    if kind == "ZERO_TAP":
        button["zero_tap_terms_accepted"] = form.get("terms") == "yes"
    return [*made, {"type": "BUTTONS", "buttons": [button]}]


def shown(spec: Mapping[str, Any]) -> Json:
    """What the form's fields hold for a template."""
    parts = rules.components(spec)
    header, footer = part(parts, "HEADER"), part(parts, "FOOTER")
    offer = part(parts, "LIMITED_TIME_OFFER").get("limited_time_offer") or {}
    found = rules.buttons(parts)
    otp = found[0] if kind_of(spec, "category") == "AUTHENTICATION" and found else {}
    [app] = (otp.get("supported_apps") or [{}])[:1]
    handles = (header.get("example") or {}).get("header_handle") or [""]
    return {
        "name": spec.get("name") or "",
        "language": spec.get("language") or "en_US",
        "category": kind_of(spec, "category") or "UTILITY",
        "parameter_format": "NAMED" if rules.is_named(spec) else "POSITIONAL",
        "header": kind_of(header, "format"),
        "header_text": header.get("text") or "",
        "header_handle": handles[0],
        "offer": offer.get("text") or "",
        "offer_expires": bool(offer.get("has_expiration")),
        "body": part(parts, "BODY").get("text") or "",
        "footer": footer.get("text") or "",
        "buttons": [] if otp else [_row(button) for button in found],
        "examples": {slot.key: slot.example for slot in rules.slots(spec)},
        "advice": bool(part(parts, "BODY").get("add_security_recommendation", True)),
        "minutes": footer.get("code_expiration_minutes") or "",
        "otp_type": kind_of(otp, "otp_type") or "COPY_CODE",
        "otp_text": otp.get("text") or "",
        "package_name": app.get("package_name", ""),
        "signature_hash": app.get("signature_hash", ""),
    }


def _row(button: Json) -> Json:
    member = {"COPY_CODE": "example"}.get(
        kind_of(button), rules.rules()["buttons"].get(kind_of(button), {}).get("value", "")
    )
    value = button.get(member) or ""
    return {
        "type": kind_of(button),
        "text": button.get("text") or "",
        "value": value[0] if isinstance(value, list) else value,
    }


def fits(spec: Mapping[str, Any]) -> bool:
    """Whether the form shows all of it: carousels are written as files (see docs/templates.md)."""
    return all(kind_of(component) in HANDLED for component in rules.components(spec))
