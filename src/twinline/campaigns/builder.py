"""The page on which a campaign is made: one form that keeps itself, with what each person will read beside it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Final
from zoneinfo import available_timezones

import phonenumbers
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from twinline.app import App
from twinline.campaigns import audience, feeding, forms, lists, routing, service, writing
from twinline.campaigns.forms import Choice, Groups
from twinline.campaigns.lists import Reading
from twinline.campaigns.models import Campaign
from twinline.contacts import conditions
from twinline.contacts import queries as contacts
from twinline.db import Tx
from twinline.kit.html import render
from twinline.numbers import queries as numbers
from twinline.numbers.models import Number
from twinline.rules.refusal import Refused
from twinline.templates import queries as templates
from twinline.templates import words as template_words
from twinline.templates.models import Template

MOST_BYTES: Final = 101 << 20  # of a form with a file: a document that heads a template
TYPED: Final = "list.csv"  # what lists.bring_list calls what was typed in
TYPED_COLUMNS: Final = ("to", "language")
MOST_TYPED: Final = 2_000
CONTACT: Final = {"contact:name": "Name", "contact:first_name": "First name", "contact:phone": "Phone number"}
NOTHING: Final[Mapping[str, Any]] = {
    "skip": 0,
    "who": "",
    "about": "",
    "bubble": None,
    "sample": None,
    "wrong": [],
    "back": None,
    "next": None,
}


@dataclass(frozen=True, slots=True)
class Audience:
    """Who gets it, as the form shows it. ``way`` is ``kept`` for what only a program can put together; then ``told``
    says what that is. ``columns``: what a message can say of each person in the list. ``reach``: how many are chosen,
    None where that can't be said yet.
    """

    way: str = "file"
    groups: Groups = ()
    list: str = ""
    reading: Reading | None = None
    told: Sequence[str] = ()
    columns: Sequence[str] = ()
    reach: int | None = None
    wrong: str = ""


class Builder:
    """Draws and keeps drafts; ``found`` looks up the campaign of a request."""

    def __init__(self, app: App) -> None:
        self._app = app

    # --- drawing --------------------------------------------------------------------------------------------------

    async def shown(self, tx: Tx, one: Campaign, number: Number, *, skip: int = 0) -> dict[str, Any]:
        """Everything that the form's templates need. ``skip``: how many people stand before the one in the preview."""
        organisation = one.organisation_id
        known = await choices(tx, number.id)
        fields = {field.key: field.label for field in await contacts.fields(tx, organisation)}
        who = await self._audience(tx, one)
        columns = who.columns
        picked = forms.chosen(one.what, known)
        drawn, missing = await self._preview(tx, one, known, who, skip)
        return {
            "oob": False,
            "several": len(await numbers.numbers(tx, organisation)) > 1,
            "templates": sorted(known.values(), key=lambda choice: (not choice.sends, choice.name)),
            "others": [choice for choice in known.values() if choice.sends and choice.name != picked.template],
            "chosen": picked,
            "columns": columns,
            "contact_fields": [*CONTACT.items(), *((f"field:{key}", label) for key, label in fields.items())],
            "values_for": forms.values_for([variant.template for variant in picked.variants], columns),
            "audience": who,
            "groups_for": forms.groups_for(who.groups),
            "conditions": conditions.CONDITIONS,
            "offered": await conditions.offers(tx, organisation),
            "segments": {str(segment.id): segment for segment in await contacts.segments(tx, organisation)},
            "told": conditions.told,
            **await routes(tx, organisation),
            "topics": await contacts.topics(tx, organisation),
            "countries": countries(),
            "schedule": one.when if one.when.at else replace(one.when, zone=await feeding.home_zone(tx, number.id)),
            "zones": zones(),
            "limits": asdict(one.stops_at),
            "trouble": "",
            "missing": missing,
            "shown": drawn,
            "words_of": template_words,
        }

    async def _audience(self, tx: Tx, one: Campaign) -> Audience:
        sources = one.audience.get("sources") or []
        if not sources:
            return Audience()
        try:
            readings = await self._readings(tx, one)
        except Refused as refused:
            return Audience(wrong=refused.refusal.says)
        columns = list(dict.fromkeys(column for reading in readings for column in _columns(reading)))
        if not readings:
            found = Audience("people", groups=forms.groups_of(sources))
        elif len(sources) > 1:
            others = len(sources) - len(readings)
            told = [f"the list {reading.name}" for reading in readings]
            told += [f"{others} filter{'' if others == 1 else 's'}"] if others else []
            found = Audience("kept", told=told, columns=columns)
        elif readings[0].name != TYPED:
            found = Audience("file", reading=readings[0], columns=columns)
        else:
            typed = await asyncio.to_thread(_typed, self._app, one.organisation_id, readings[0])
            told = [f"{readings[0].people} people, each with what is said to them"]
            found = Audience("kept", told=told, columns=columns) if typed is None else Audience("list", list=typed)
        try:
            now = self._app.clock.now()
            reach = await audience.size(self._app, tx, one.organisation_id, one.number_id, one.audience, now)
        except Refused:
            return found
        return replace(found, reach=reach)

    async def _readings(self, tx: Tx, one: Campaign) -> list[Reading]:
        """Of the lists in its audience. Raises Refused."""
        country = await audience.country_of(tx, one.organisation_id, one.number_id)
        return [
            await lists.read(self._app, one.organisation_id, source.file, source.options, country=country)
            for source in audience.sources_of(one.audience)
            if source.file is not None
        ]

    async def _preview(
        self, tx: Tx, one: Campaign, known: Mapping[str, Choice], who: Audience, skip: int = 0
    ) -> tuple[Mapping[str, Any], str]:
        """What somebody would read, and what is still missing before there can be a dry run."""
        variant = next((variant for variant in one.what.variants if variant.template in known), None)
        if variant is None or not known[variant.template].sends:
            return NOTHING, "Choose a template."
        plain = _drawn(known[variant.template].templates[0], {})
        if not one.audience.get("sources"):
            return plain, "Choose who gets it."
        try:
            person = await audience.preview(self._app, tx, one, self._app.clock.now(), skip=skip)
        except Refused as refused:
            return plain, refused.refusal.says
        if person is None and skip:
            return await self._preview(tx, one, known, who)
        if person is None:
            return plain, "Nobody of these can be written to."
        chosen = one.what.variants[person.variant]
        languages = known[chosen.template].templates if chosen.template in known else ()
        template = next((one for one in languages if one.language == person.language), None)
        if template is None:
            return plain, ""
        address = f"/campaigns/{one.id}/person?skip="
        about = [f"line {person.line}" if person.line else "", template_words.language(template.language)]
        last = who.reach is not None and skip + 1 >= who.reach
        return {
            **_drawn(template, person.filled or {}),
            "skip": skip,
            "who": person.name or (f"+{person.phone}" if person.phone else person.bsuid or "Somebody"),
            "about": " · ".join(part for part in about if part),
            "back": f"{address}{skip - 1}" if skip else None,
            "next": None if last else f"{address}{skip + 1}",
            "wrong": [person.says] if person.reason else [],
        }, ""

    async def person(self, request: Request, tx: Tx, one: Campaign, number: Number, skip: int) -> Response:
        """The next or the one before in the draft's preview."""
        known = await choices(tx, number.id)
        drawn, _ = await self._preview(tx, one, known, await self._audience(tx, one), min(skip, 10_000))
        return render(request, "campaigns/preview.html", oob=False, shown=drawn)

    # --- keeping --------------------------------------------------------------------------------------------------

    async def keep(self, tx: Tx, one: Campaign, number: Number, form: FormData, by: int) -> tuple[Campaign, str]:
        """The draft as the form says, and what of it can't be kept, if something can't. Raises Refused for a campaign
        that isn't a draft any more.
        """
        trouble = ""
        changes: dict[str, Any] = {"topic": str(form.get("topic", one.topic))}
        if "route.tag" in form:
            changes["routing"] = forms.routing(form)
        if name := " ".join(str(form.get("name", "")).split()):
            changes["name"] = name
        for part, read in (("schedule", forms.schedule), ("limits", forms.limits)):
            try:
                changes[part] = read(form)
            except ValueError as error:
                trouble = str(error)
        try:
            changes["speed"] = forms.figure(form, "speed")
        except ValueError as error:
            trouble = str(error)
        try:
            changes["audience"] = await self._said(tx, one, number, form)
        except Refused as refused:
            trouble = refused.refusal.says
        except ValueError as error:
            trouble = str(error)
        one, unkept = await self._edit(tx, one, changes, by)
        one, unsaid = await self._content(tx, one, number, form, by)
        return one, trouble or unkept or unsaid

    async def _content(self, tx: Tx, one: Campaign, number: Number, form: FormData, by: int) -> tuple[Campaign, str]:
        """What the form says, which may name columns of the list: so the list comes before."""
        known = await choices(tx, number.id)
        fields = {field.key: field.label for field in await contacts.fields(tx, one.organisation_id)}
        columns = (await self._audience(tx, one)).columns
        home = await feeding.home_zone(tx, number.id)
        content = forms.content(form, known, columns, fields, home, one.what)
        return await self._edit(tx, one, {"content": content}, by)

    async def _edit(self, tx: Tx, one: Campaign, changes: dict[str, Any], by: int) -> tuple[Campaign, str]:
        """Keeps all that can be kept: where one part is refused, the others are kept all the same."""
        now, trouble = self._app.clock.now(), ""
        try:
            return await service.edit(tx, one.organisation_id, one.id, now, **changes, by=by), ""
        except Refused as refused:
            if not refused.refusal.rule.startswith("campaign.") or refused.refusal.rule.split(".")[1] == one.state:
                raise
            trouble = refused.refusal.says
        for name, change in changes.items():
            try:
                one = await service.edit(tx, one.organisation_id, one.id, now, **{name: change}, by=by)
            except Refused:
                continue
        return one, trouble

    async def _said(self, tx: Tx, one: Campaign, number: Number, form: FormData) -> dict[str, Any]:
        """The audience that the form describes. Raises Refused, ValueError."""
        sources: list[dict[str, Any]] = []
        match str(form.get("way", "")):
            case "kept":
                return one.audience
            case "people":
                sources = forms.sources(forms.groups(form))
            case "list":
                addresses = str(form.get("list", "")).replace(",", "\n").replace(";", "\n").split("\n")
                entries = [{"to": address.strip()[:100]} for address in addresses[:MOST_TYPED] if address.strip()]
                if entries:
                    country = await audience.country_of(tx, one.organisation_id, number.id)
                    reading = await lists.bring_list(self._app, one.organisation_id, entries, country=country)
                    sources = [{"file": reading.file, **reading.options}]
            case _:
                # Whoever looked at another way in between finds the file again.
                source = _file_source(one) or {"file": str(form.get("list_file", ""))}
                if source["file"]:
                    sources = [{**source, **_options(form)}]
        return {"sources": sources} if sources else {}

    async def file(self, tx: Tx, one: Campaign, number: Number, form: FormData, by: int) -> tuple[Campaign, str]:
        """A file with people, in the place of what was chosen before; answers what is wrong with it."""
        file = form.get("people")
        if not isinstance(file, UploadFile) or not file.filename:
            return one, "There is no file in what was sent. Choose one and try again."
        data = await file.read()
        try:
            country = await audience.country_of(tx, one.organisation_id, number.id)
            reading = await lists.bring(self._app, one.organisation_id, file.filename, data, country=country)
        except Refused as refused:
            return one, refused.refusal.says
        sources = {"sources": [{"file": reading.file, **reading.options}]}
        one, trouble = await self._edit(tx, one, {"audience": sources}, by)
        one, unsaid = await self._content(tx, one, number, form, by)
        return one, trouble or unsaid

    async def media(self, tx: Tx, one: Campaign, number: Number, form: FormData, by: int) -> tuple[Campaign, str]:
        """A file that was chosen for a template's header: it stands in the place that its field names."""
        place = str(form.get("media_place", ""))
        file = next((file for file in form.getlist("media") if isinstance(file, UploadFile) and file.filename), None)
        if file is None:
            return one, "There is no file in what was sent. Choose one and try again."
        try:
            kind = place.rpartition(".")[2]
            kept = await writing.keep_media(self._app, one.organisation_id, kind, await file.read(), str(file.filename))
        except Refused as refused:
            return one, refused.refusal.says
        chosen = {f"from.{place}": f"file:{kept['file']}", f"text.{place}": kept["filename"]}
        rest = [(name, value) for name, value in form.multi_items() if name not in chosen]
        return await self.keep(tx, one, number, FormData([*rest, *chosen.items()]), by)

    async def bad_rows(self, tx: Tx, one: Campaign) -> bytes:
        """The lines of the list that can't be used. Raises Refused."""
        source = _file_source(one, typed=True)
        if source is None:
            raise HTTPException(404)
        [known] = audience.sources_of({"sources": [source]})
        country = await audience.country_of(tx, one.organisation_id, one.number_id)
        assert known.file is not None
        return await lists.bad_lines(self._app, one.organisation_id, known.file, known.options, country=country)


async def routes(tx: Tx, organisation_id: int) -> dict[str, Any]:
    """What can be done with answers."""
    return {
        "team": await routing.team(tx, organisation_id),
        "automations": await routing.automations(tx, organisation_id),
        "tags": await contacts.tags(tx, organisation_id),
    }


async def choices(tx: Tx, number_id: int) -> dict[str, Choice]:
    """The templates of a number's account by their names."""
    place = await templates.account_of(tx, number_id)
    groups: dict[str, list[Template]] = {}
    for template in await templates.templates(tx, *place) if place else []:
        groups.setdefault(template.name, []).append(template)
    found = {}
    for name, group in groups.items():
        sending = [one for one in group if one.told.sends]
        shown = (sending or group)[0]
        note = "" if sending else shown.told.word
        languages = [one.language for one in sending or group]
        found[name] = Choice(name, shown.category, languages, template_words.excerpt(shown), note, sending)
    return found


def _columns(reading: Reading) -> list[str]:
    """What a message can say of each person in a list; nobody needs to be told their own number."""
    return [column for column in reading.columns if column != reading.phone]


def _drawn(template: Template, filled: Mapping[str, Any]) -> dict[str, Any]:
    values = {**template.fallbacks, **filled}
    bubble = template_words.bubble(template.spec, values, examples=not filled)
    return {**NOTHING, "bubble": bubble, "sample": sample(template)}


def sample(template: Template | None) -> str | None:
    """The address of the file that was handed in with the template."""
    return f"/templates/{template.waba_id}/{template.id}/sample" if template and template.sample else None


def _file_source(one: Campaign, *, typed: bool = False) -> dict[str, Any] | None:
    source = next((source for source in one.audience.get("sources") or () if "file" in source), None)
    is_typed = source is not None and source.get("phone") == "to"
    return source if typed or not is_typed else None


def _options(form: FormData) -> dict[str, str]:
    named = {"phone": "phone_column", "country": "country", "sheet": "sheet"}
    return {name: value for name, field in named.items() if (value := str(form.get(field, "")).strip()[:200])}


def _typed(app: App, organisation_id: int, reading: Reading) -> str | None:
    """What was typed in; None where a program said more than numbers."""
    entries = [entry.cells for entry in lists.entries(app.files, organisation_id, reading) if entry.cells]
    if any(any(cells[1:]) for cells in entries) or len(reading.columns) > len(TYPED_COLUMNS):
        return None
    return "\n".join(cells[0] for cells in entries)


@cache
def zones() -> list[str]:
    """Those that people live in: a continent and a city."""
    elsewhere = ("Etc/", "SystemV/", "US/", "posix/", "right/")
    return sorted(name for name in available_timezones() if "/" in name and not name.startswith(elsewhere))


@cache
def countries() -> list[str]:
    return sorted(phonenumbers.SUPPORTED_REGIONS)
