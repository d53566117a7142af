"""What a campaign says to each person: the template in their language, filled in with what is known of them.

What stands in a place of the template is a *way* to a value (``models.Variant.values``): ``{"column": "City"}`` of the
list, ``{"field": "city"}`` of the contact, ``{"contact": "first_name"}`` (``CONTACT``), ``{"text": "Hello"}`` for
everybody; each may have a ``"fallback"`` for whom it is empty. Objects are the same for everybody:
``{"value": {"id": …}}`` as Meta has it, ``{"file": …, "filename": …}`` as ``keep_media`` answers it, ``{"media": …}`` a
handle of ``sending.handles``.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from json.encoder import encode_basestring as quoted
from typing import Any, Final
from urllib.parse import quote

from twinline.app import App
from twinline.campaigns.models import Content, Variant
from twinline.contacts import queries as contacts
from twinline.db import Tx
from twinline.kit import sniff
from twinline.kit.vault import VaultError
from twinline.meta.graph import GraphError
from twinline.rules import templates as rules
from twinline.rules.audience import choose_language, spoken, variant_of
from twinline.rules.moulds import Cast, Mould, one_line
from twinline.rules.refusal import Refusal, Refused
from twinline.rules.templates import MEDIA, Slot
from twinline.sending import handles, uploads
from twinline.templates import queries, service
from twinline.templates.models import Template

WAYS: Final = ("column", "field", "contact", "text")
FIXED: Final = ("value", "file", "media")
CONTACT: Final = ("name", "first_name", "phone", "username")
OBJECTS: Final = frozenset({"location", "expiry"})
_IN_LINKS: Final = "/?&=%#:@+,;~!$'()*"


@dataclass(frozen=True, slots=True)
class Known:
    """What values can be taken from: a line of a list, and the contact if they are one. ``source``: which list."""

    key: str
    phone: str | None
    cells: Sequence[str] = ()
    source: int = 0
    fields: Mapping[str, str] | None = None
    name: str | None = None
    username: str | None = None
    languages: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """One person's message. ``frozen`` is a ``sending.models.Draft`` as JSON text, since nobody reads it a hundred
    thousand times; empty with a ``reason`` of ``rules.funnel``.
    """

    variant: int
    language: str
    filled: dict[str, str]
    frozen: str
    reason: str = ""
    says: str = ""


Way = Callable[[Known], str]
Ways = Sequence[tuple[str, Way]]


class Writer:
    """Writes for one campaign. ``templates``: all that may be sent, each language of each variant."""

    def __init__(self, seed: str, variants: Sequence[Variant], found: Mapping[tuple[int, str], "_Prepared"]) -> None:
        self._seed = seed
        self._shares = [variant.share for variant in variants]
        self._languages = [list(variant.languages) for variant in variants]
        self._prepared = found

    @property
    def templates(self) -> list[Template]:
        return list({one.template.id: one.template for one in self._prepared.values()}.values())

    def write(self, known: Known) -> Written:
        variant = variant_of(known.key, self._shares, self._seed)
        there = self._languages[variant]
        language = there[0]
        if len(there) > 1:
            language = choose_language(there, *known.languages, spoken(known.phone or ""))
        prepared = self._prepared[variant, language]
        filled = {key: value for key, way in prepared.ways[known.source] if (value := way(known))}
        cast = prepared.mould.cast(filled)
        reason, says = _wrong(cast)
        frozen = "" if reason else f'{{"type":"template","text":{quoted(cast.text)},"content":{cast.content}}}'
        return Written(variant, language, filled, frozen, reason, says)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """``ways``: by source, since each list has columns of its own."""

    template: Template
    mould: Mould
    ways: Sequence[Ways]


def _wrong(cast: Cast) -> tuple[str, str]:
    if cast.missing:
        return "missing", " ".join(f"There is no value for {slot.label}." for slot in cast.missing)
    if cast.too_long is not None:
        what, length, most = cast.too_long
        return "content", f"Filled in, the {what} has {length} characters; WhatsApp allows {most}."
    return "", ""


# --- preparing --------------------------------------------------------------------------------------------------------


async def writer(
    app: App,
    tx: Tx,
    organisation_id: int,
    number_id: int,
    content: Content,
    columns: Sequence[Sequence[str]],
    *,
    seed: str,
    rehearse: bool = False,
) -> Writer:
    """Prepares what is the same for everybody. ``columns``: of each source of people, in the form of the list.

    Files go up to Meta now, so that its ids can be frozen, unless this is a rehearsal. Raises Refused for a template
    that can't be sent, a place that nothing is said for, a column or field that isn't there.
    """
    if not content.variants:
        raise _refused("campaign.empty", "This campaign says nothing yet.", "Choose a template for it.")
    fields = {field.key for field in await contacts.fields(tx, organisation_id)}
    place = await queries.account_of(tx, number_id)
    found: dict[tuple[int, str], _Prepared] = {}
    objects = _Objects(app, tx, organisation_id, number_id, rehearse)
    for number, variant in enumerate(content.variants):
        known = await queries.by_name(tx, *place, variant.template) if place else []
        templates = [_of_language(known, variant, language) for language in variant.languages]
        _all_known(variant, templates)
        for template in templates:
            slots = template.slots
            fixed = {
                slot.key: one for slot in slots if (one := await objects.value(template, slot, variant)) is not None
            }
            _all_said(variant, template, fixed)
            said = [(slot, variant.values[slot.key]) for slot in slots if slot.key in variant.values.keys() - fixed]
            ways = [[(slot.key, _way(slot, told, names, columns, fields)) for slot, told in said] for names in columns]
            mould = Mould(template.spec, template.fallbacks, fixed, partial(service.sendable, template))
            found[number, template.language] = _Prepared(template, mould, ways)
    return Writer(seed, content.variants, found)


def _of_language(known: Sequence[Template], variant: Variant, language: str) -> Template:
    for template in known:
        if template.language != language:
            continue
        if not template.told.sends:
            says = f"The template {template.name} ({language}) can't be sent now. {template.told.says}"
            raise _refused(f"template.{template.status.lower()}", says, template.told.do)
        return template
    there = ", ".join(dict.fromkeys(template.language for template in known))
    says = f"There is no template {variant.template} in “{language}”."
    raise _refused(
        "template.unknown", says, f"It is there in {there}." if there else "Read the templates from Meta anew."
    )


def _all_known(variant: Variant, templates: Sequence[Template]) -> None:
    there = dict.fromkeys(slot.key for template in templates for slot in template.slots)
    for key, way in variant.values.items():
        if key not in there:
            says = f"The template {variant.template} has no place {key[:60]!r}."
            raise _refused("content.surplus", says, f"Its places are: {', '.join(there) or 'none'}.")
        kinds = [kind for kind in (*WAYS, *FIXED) if kind in way]
        if len(kinds) != 1:
            says = f"It isn't clear what stands in {key} of {variant.template}."
            raise _refused("content.way", says, f"Give one of: {', '.join((*WAYS, *FIXED))}.")


def _all_said(variant: Variant, template: Template, fixed: Mapping[str, Any]) -> None:
    said = {*variant.values, *fixed, *template.fallbacks}
    for slot in template.slots:
        if slot.required and not said & {slot.key, slot.like}:
            says = f"Nothing is said for {slot.label} of {template.name} ({template.language})."
            raise _refused("content.unsaid", says, "Choose a column, a field or a text for it.")


def _way(
    slot: Slot, told: Mapping[str, Any], names: Sequence[str], everywhere: Sequence[Sequence[str]], fields: set[str]
) -> Way:
    """How to come to the value of one place, for people of a source with these columns."""
    fallback = _fitted(slot, str(told.get("fallback") or ""))
    get: Way
    if "text" in told:
        text = _fitted(slot, str(told["text"] or "")) or fallback
        return lambda _: text
    if "contact" in told:
        get = _of_contact(str(told["contact"]))
    elif "field" in told:
        field = str(told["field"])
        if field not in fields:
            says = f"Contacts have no field {field[:60]!r}."
            raise _refused("content.field", says, f"They have: {', '.join(sorted(fields)) or 'none yet'}.")
        get = lambda known: (known.fields or {}).get(field, "")  # noqa: E731
    else:
        index = _column(str(told["column"]), names, everywhere)
        get = lambda known: known.cells[index] if -1 < index < len(known.cells) else ""  # noqa: E731
    return lambda known: _fitted(slot, get(known)) or fallback


def _column(wanted: str, names: Sequence[str], everywhere: Sequence[Sequence[str]]) -> int:
    """-1 where this source hasn't it, but another has."""
    if wanted in names:
        return names.index(wanted)
    if not any(wanted in one for one in everywhere):
        there = ", ".join(dict.fromkeys(name for one in everywhere for name in one))
        says = f"The list has no column {wanted[:60]!r}."
        raise _refused("content.column", says, f"It has: {there[:1000]}." if there else "Choose a field instead.")
    return -1


def _of_contact(what: str) -> Way:
    match what:
        case "name":
            return lambda known: known.name or ""
        case "first_name":
            return lambda known: (known.name or "").split(" ", 1)[0]
        case "phone":
            return lambda known: f"+{known.phone}" if known.phone else ""
        case "username":
            return lambda known: f"@{known.username}" if known.username else ""
    raise _refused("content.contact", f"Of a contact, {what[:60]!r} isn't known.", f"Use one of: {', '.join(CONTACT)}.")


def _fitted(slot: Slot, text: str) -> str:
    line = one_line(text)
    return quote(line, safe=_IN_LINKS) if slot.kind == "url" and line else line


# --- objects: the same for everybody ----------------------------------------------------------------------------------


async def keep_media(app: App, organisation_id: int, kind: str, data: bytes, name: str) -> dict[str, str]:
    """Keeps a file for a header (``kind``: image, video, document); answers what names it in a content.

    Raises Refused.
    """
    known = rules.rules()["headers"][kind.upper()]
    mime = sniff.mime_type(data, name)
    if mime not in known["mime"] or not 0 < len(data) <= known["size"]:
        says = f"{name[-100:]} can't head a template: it is {mime}, {len(data) / 1_048_576:.1f} MB."
        do = f"Use {' or '.join(known['mime'])}, up to {known['size'] / 1_048_576:.0f} MB."
        raise _refused("content.media", says, do)
    file = f"campaigns/{organisation_id}/{hashlib.sha256(data).hexdigest()}"
    await asyncio.to_thread(app.files.write, file, data)
    return {"file": file, "filename": name[-200:]}


class _Objects:
    """Values that aren't words. A file goes up to Meta once, whatever the number of languages and variants."""

    def __init__(self, app: App, tx: Tx, organisation_id: int, number_id: int, rehearse: bool) -> None:
        self._app = app
        self._tx = tx
        self._own = f"campaigns/{organisation_id}/"
        self._number_id = number_id
        self._rehearse = rehearse
        self._uploaded: dict[tuple[str, str], dict[str, Any]] = {}

    async def value(self, template: Template, slot: Slot, variant: Variant) -> dict[str, Any] | None:
        """None where there is none, or where it is a matter of each person."""
        told = variant.values.get(slot.key)
        if told is None:
            if slot.kind in MEDIA and slot.card is None and template.sample is not None:
                return await self._upload(slot.kind, template.sample["file"], template.sample["filename"])
            return None
        if "value" in told:
            if not isinstance(told["value"], dict) or slot.kind in ("text", "url", "payload", "coupon"):
                raise _refused("content.value", f"The value of {slot.label} isn't as Meta wants it.", "Give a text.")
            return dict(told["value"])
        if "file" in told:
            file = str(told["file"])
            if slot.kind not in MEDIA or not file.startswith(self._own):
                raise _refused("content.media", f"There is no such file for {slot.label}.", "Bring it along again.")
            return await self._upload(slot.kind, file, str(told.get("filename") or "file"))
        if "media" in told:
            given = await handles.kept(self._tx, self._number_id, str(told["media"]))
            if slot.kind not in MEDIA or given is None:
                says = f"This number has no uploaded file {str(told['media'])[:60]!r} for {slot.label}."
                raise _refused("content.media", says, "Upload it first: POST …/media; each number has its own.")
            return await self._upload(slot.kind, given.content["file"], str(given.content.get("filename") or "file"))
        if slot.kind == "expiry" and "text" in told:
            return _until(str(told["text"]))
        if slot.kind in OBJECTS:
            raise _refused("content.value", f"{slot.label} is the same for everybody.", "Give it as value.")
        return None

    async def _upload(self, kind: str, file: str, name: str) -> dict[str, Any]:
        if self._rehearse:
            return {"file": file, "filename": name}
        if (kind, file) not in self._uploaded:
            try:
                data = await asyncio.to_thread(self._app.files.read, file)
            except FileNotFoundError as error:
                raise _refused("content.media", f"The file {name} isn't there any more.", "Bring it along.") from error
            self._uploaded[kind, file] = await self._handed_over(kind, file, data, name)
        return self._uploaded[kind, file]

    async def _handed_over(self, kind: str, file: str, data: bytes, name: str) -> dict[str, Any]:
        about = {"file": file, "mime_type": service.header_type(kind, data, name), "size": len(data)}
        about["sha256"] = hashlib.sha256(data).hexdigest()
        try:
            media_id = await uploads.hand_over(self._app, self._number_id, about, data, name)
        except GraphError as error:
            raise _refused("template.media", service.meta_said(error), error.outcome.do) from error
        except VaultError as error:
            raise _refused("template.media", str(error), "") from error
        return {"id": media_id} | ({"filename": name} if kind == "document" else {})


def _until(text: str) -> dict[str, Any]:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        says = f"The end of the offer can't be read: {text[:60]!r}."
        raise _refused("content.value", says, "Write it like 2026-12-24T18:00:00+01:00.")
    return {"expiration_time_ms": int(at.timestamp() * 1000)}


def _refused(rule: str, says: str, do: str) -> Refused:
    return Refused(Refusal(rule, says, do))
