"""What the builder's form says, as a campaign keeps it, and the other way round."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final
from zlib import crc32
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData

from twinline.campaigns.models import Content, Schedule, Variant
from twinline.campaigns.routing import KEYS
from twinline.campaigns.writing import OBJECTS
from twinline.contacts import conditions
from twinline.contacts.models import ContactError
from twinline.rules.audience import plainly
from twinline.rules.campaigns import Limits
from twinline.rules.templates import MEDIA, Slot
from twinline.templates.models import Template

KEPT: Final = "kept"  # a file that a program gave
MOST: Final = 1024  # characters of a value
SOURCES: Final = ("column", "field", "contact")
PLACE: Final = ("latitude", "longitude", "name", "address")
SHARES: Final = ("failed", "blocked", "opted_out")
COUNTS: Final = ("after", "weekly")

ROW: Final = re.compile(r"who\.([0-9]{1,3})\.([0-9]{1,3})\.([a-z]+)")
USUAL: Final = {"days": "30"}
EVERYBODY, SEGMENT = "everybody", "segment"
"""What stands in a row of the form like a condition, and isn't one."""

Groups = Sequence[Sequence[Mapping[str, str]]]
"""People by what they are: whoever passes all rows of a group. A row is a condition of ``contacts.conditions`` whose
arguments may still be empty, or it stands for everybody or for a saved filter.
"""

# Variables with a name, and what people call that in the languages of our pages.
MEANS: Final[Mapping[str, frozenset[str]]] = {
    "name": frozenset({"name", "full name", "customer name", "nombre", "nome", "cliente"}),
    "first_name": frozenset({"first name", "firstname", "primer nombre", "primeiro nome"}),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A template by its name, as one chooses it: every language of it that may be sent."""

    name: str
    category: str
    languages: Sequence[str]
    excerpt: str
    note: str
    templates: Sequence[Template]

    @property
    def sends(self) -> bool:
        return bool(self.templates)


@dataclass(frozen=True, slots=True)
class Row:
    """A place of a template and what stands there. ``kept``: the fallback that the template has for everybody;
    ``place``: a location's parts; ``has_sample``: the template has a file of its own for it.
    """

    slot: Slot
    source: str
    text: str
    fallback: str
    kept: str
    place: Mapping[str, str]
    has_sample: bool

    @property
    def label(self) -> str:
        return self.slot.label[:1].upper() + self.slot.label[1:]


@dataclass(frozen=True, slots=True)
class Filling:
    """One of the templates with its places."""

    template: str
    rows: Sequence[Row]
    languages: Sequence[str]
    share: int

    @property
    def first(self) -> str:
        return self.languages[0] if self.languages else ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the form shows of a campaign's content."""

    variants: Sequence[Filling] = field(default_factory=list)

    @property
    def template(self) -> str:
        return self.variants[0].template if self.variants else ""

    @property
    def second(self) -> str:
        """Whom the second of them is for."""
        shares = [variant.share for variant in self.variants]
        if len(set(shares)) < 2 and len(shares) < 3:
            return "Half of the people get this one"
        return f"{100 * shares[1] / sum(shares):.0f} % of the people get this one"


def content(
    form: FormData,
    known: Mapping[str, Choice],
    columns: Sequence[str],
    fields: Mapping[str, str],
    home: str,
    had: Content,
) -> Content:
    """The templates that were chosen, and what stands in each place. For templates or columns that the form didn't know
    yet, that is guessed.

    ``columns``: of the list, but for the one with the phones. ``home``: the zone in which times are meant. ``had``:
    what was said until now, of which the form leaves alone what only a program can say.
    """
    names = [str(form.get("template", ""))]
    if (other := str(form.get("template_b", ""))) and other != names[0]:
        names.append(other)
    names = [name for name in names if name in known and known[name].sends]
    before = str(form.get("values_for", ""))
    asked = before.partition("#")[0].split("|")
    anew = before != values_for(names, columns)
    found = []
    for index, name in enumerate(names):
        one = known[name]
        # What was said is about the template that stood there then.
        same = index < len(asked) and asked[index] == name
        kept = _of(had, index, name) if same else None
        values: dict[str, Mapping[str, Any]] = {}
        if same:
            values = _said(form, index, one.templates[0], home, kept.values if kept else {})
        if anew:
            values = guess(one.templates[0].slots, columns, fields, said=values)
        languages = [code for code in kept.languages if code in one.languages] if kept else []
        first = str(form.get(f"language.v{index}", "")) if same else ""
        found.append(Variant(name, _led_by(first, languages or one.languages), values, kept.share if kept else 1))
    if asked[: len(names)] == names and len(names) == 2:
        found += had.variants[2:]
    return Content(found)


def values_for(variants: Sequence[str], columns: Sequence[str]) -> str:
    """For which templates and columns the places were drawn."""
    return f"{'|'.join(variants)}#{crc32(repr(list(columns)).encode()):x}"


def _led_by(first: str, languages: Sequence[str]) -> list[str]:
    return sorted(languages, key=lambda code: code != first)


def _of(had: Content, index: int, template: str) -> Variant | None:
    found = had.variants[index] if index < len(had.variants) else None
    return found if found is not None and found.template == template else None


def _said(
    form: FormData, index: int, template: Template, home: str, had: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for slot in fillable(template.slots):
        place = f"v{index}.{slot.key}"
        source = str(form.get(f"from.{place}", ""))
        kind, _, name = source.partition(":")
        if kind in SOURCES and name:
            fallback = str(form.get(f"fallback.{place}", "")).strip()[:MOST]
            found[slot.key] = {kind: name[:200]} | ({"fallback": fallback} if fallback else {})
        elif kind == "text" and slot.kind == "expiry":
            if until := _until(str(form.get(f"text.{place}", "")), home):
                found[slot.key] = {"text": until}
        elif kind == "text":
            found[slot.key] = {"text": str(form.get(f"text.{place}", "")).strip()[:MOST]}
        elif kind == "file" and name:
            found[slot.key] = {"file": name[:300], "filename": str(form.get(f"text.{place}", ""))[:200]}
        elif kind == KEPT and slot.key in had:
            found[slot.key] = had[slot.key]
        elif kind == "place":
            parts = {part: str(form.get(f"{part}.{place}", "")).strip()[:200] for part in PLACE}
            found[slot.key] = {"value": {part: said for part, said in parts.items() if said}}
    return found


def _until(said: str, home: str) -> str | None:
    """A wall clock's time where the business is, with its offset."""
    try:
        return datetime.fromisoformat(said).replace(tzinfo=ZoneInfo(home)).isoformat()
    except ValueError:
        return None


def fillable(slots: Iterable[Slot]) -> list[Slot]:
    """The places that somebody has to fill in."""
    return [slot for slot in slots if slot.required and not slot.like]


def guess(
    slots: Iterable[Slot],
    columns: Sequence[str],
    fields: Mapping[str, str],
    *,
    said: Mapping[str, Mapping[str, Any]],
) -> dict[str, Mapping[str, Any]]:
    """What was said, and for the rest the column or field that is called like the variable; numbered ones get the
    columns in their order. A guess is seen in the preview at once.
    """
    called: dict[str, Mapping[str, Any]] = {
        plainly(word): {"field": key} for key, label in fields.items() for word in (key, label)
    }
    called |= {plainly(column): {"column": column} for column in columns}
    taken = {str(value.get("column")) for value in said.values()}
    free = [column for column in columns if column not in taken]
    found: dict[str, Mapping[str, Any]] = dict(said)
    for slot in fillable(slots):
        if slot.key in found or slot.kind in OBJECTS | MEDIA:
            continue
        word = plainly(slot.name)
        means = next((key for key, words in MEANS.items() if word in words), None)
        like = called.get(word) or next((called[one] for one in MEANS.get(means or "", ()) if one in called), None)
        if like is None and means is not None:
            like = {"contact": means}
        if like is None and slot.name.isdecimal() and free:
            like = {"column": free.pop(0)}
        if like is not None:
            found[slot.key] = like
            free = [column for column in free if column != like.get("column")]
    return found


def chosen(what: Content, known: Mapping[str, Choice]) -> Chosen:
    """The content as the form shows it."""
    found = []
    for variant in what.variants:
        one = known.get(variant.template)
        if one is None or not one.sends:
            continue
        template = one.templates[0]
        rows = [_row(slot, variant.values.get(slot.key, {}), template) for slot in fillable(template.slots)]
        languages = [code for code in variant.languages if code in one.languages]
        found.append(Filling(variant.template, rows, languages or one.languages, variant.share))
    return Chosen(found)


def _row(slot: Slot, value: Mapping[str, Any], template: Template) -> Row:
    kind = next((kind for kind in (*SOURCES, "file") if kind in value), "")
    given = slot.kind in MEDIA and ("media" in value or "value" in value)
    source = f"{kind}:{value[kind]}" if kind else "text" if "text" in value else KEPT if given else ""
    text = "A program’s; choose another" if given else str(value.get("filename") or value.get("text") or "")
    return Row(
        slot,
        source,
        text[:16] if slot.kind == "expiry" else text,
        str(value.get("fallback", "")),
        template.fallbacks.get(slot.key, ""),
        value.get("value") or {},
        template.sample is not None and slot.card is None,
    )


# --- people by what they are ------------------------------------------------------------------------------------------


def groups(form: FormData) -> Groups:
    """The groups that the form describes, after what it wants added (``tag:vip``) or removed (``0.1``: the second row
    of the first group).
    """
    rows: dict[tuple[int, int], dict[str, str]] = defaultdict(dict)
    for name, said in form.multi_items():
        if (found := ROW.fullmatch(name)) and isinstance(said, str):
            rows[int(found[1]), int(found[2])][found[3]] = said.strip()[: conditions.LONGEST]
    rows.pop(_place(str(form.get("remove", ""))), None)
    by_group: dict[int, list[Mapping[str, str]]] = defaultdict(list)
    for (group, _), cells in sorted(rows.items()):
        if (row := _row_of(cells)) is not None:
            by_group[group].append(row)
    kind, _, value = str(form.get("add", "")).partition(":")
    added = _row_of({"is": kind, kind: value}) if kind else None
    return [*by_group.values(), *([[added]] if added else [])]


def _place(said: str) -> tuple[int, int]:
    group, _, row = said.partition(".")
    return (int(group), int(row)) if group.isdecimal() and row.isdecimal() else (-1, -1)


def _row_of(said: Mapping[str, str]) -> Mapping[str, str] | None:
    what = said.get("is", "")
    if what == EVERYBODY:
        return {"is": EVERYBODY}
    if what == SEGMENT and said.get(SEGMENT, "").isdecimal():
        return {"is": SEGMENT, SEGMENT: said[SEGMENT]}
    if what not in conditions.CONDITIONS:
        return None
    asked = conditions.CONDITIONS[what].takes
    return {"is": what, **{kind: said.get(kind) or USUAL.get(kind, "") for kind in asked}}


def groups_of(sources: Iterable[Mapping[str, Any]]) -> Groups:
    """Those that a campaign keeps."""
    return [
        [{"is": SEGMENT, SEGMENT: str(source["segment"])}]
        if "segment" in source
        else source["conditions"] or [{"is": EVERYBODY}]
        for source in sources
    ]


def sources(found: Groups) -> list[dict[str, Any]]:
    """As a campaign keeps them. Raises ValueError for a condition that isn't complete, or can't be read."""
    kept: list[dict[str, Any]] = []
    for group in found:
        saved = [int(row[SEGMENT]) for row in group if row["is"] == SEGMENT]
        asked = [row for row in group if row["is"] in conditions.CONDITIONS]
        for row in asked:
            if not all(row.values()):
                raise ValueError(f"Complete “{conditions.CONDITIONS[row['is']].label}”, or take it away.")
        try:
            kept += [{"segment": saved[0]}] if saved else [{"conditions": conditions.read(asked)}]
        except ContactError as error:
            raise ValueError(str(error)) from error
    return kept


def complete(found: Groups) -> bool:
    try:
        sources(found)
    except ValueError:
        return False
    return True


def groups_for(found: Groups) -> str:
    """Which rows were drawn."""
    return "|".join(",".join(row["is"] for row in group) for group in found)


# --- when, and how fast -----------------------------------------------------------------------------------------------


def schedule(form: FormData) -> Schedule:
    """Raises ValueError for what is no figure, and for a time that isn't said."""
    later = form.get("when") == "at"
    if later and not str(form.get("at", "")).strip():
        raise ValueError("Choose the day and the time at which it begins.")
    first, last = (str(form.get(name, "")).strip() for name in ("from", "to"))
    return Schedule(
        at=(str(form.get("at", "")).strip() or None) if later else None,
        zone=str(form.get("zone", "")).strip() or "UTC",
        hours=figure(form, "hours"),
        between=[first, last] if first and last else None,
    )


def limits(form: FormData) -> dict[str, float]:
    """Those that aren't the usual ones. Raises ValueError for what is no figure."""
    usual = asdict(Limits())
    given = {name: share for name in SHARES if (share := figure(form, f"limit.{name}")) is not None}
    found: dict[str, float] = {name: round(share / 100, 6) for name, share in given.items()}
    for name in COUNTS:
        if (count := figure(form, f"limit.{name}")) is not None:
            found[name] = int(count)
    return {name: value for name, value in found.items() if value != usual[name]}


def routing(form: FormData) -> dict[str, Any]:
    """What is done with answers; what is left open stays away."""
    said = {name: str(form.get(f"route.{name}", "")).strip() for name in KEYS}
    numbers = ("assign_to", "automation")
    return {name: int(value) if name in numbers and value.isdecimal() else value for name, value in said.items()}


def figure(form: FormData, name: str) -> float | None:
    """None for an empty field. Raises ValueError with a sentence for people."""
    said = str(form.get(name, "")).strip().replace(",", ".")
    if not said:
        return None
    try:
        found = float(said)
    except ValueError:
        found = float("nan")
    if not abs(found) < 1e9:
        raise ValueError(f"“{said[:20]}” isn't a number.")
    return found
