"""What contacts can be chosen by: a table of conditions, which page, API, segments and campaigns share.

A condition has a name, the words under which people choose it, what it asks for, and its SQL. In that, ``k`` is the
contact, ``c`` its chat (or NULL), ``%(number)s`` the number, ``%(now)s`` the moment; ``{value}`` is an argument.
A filter is a list of ``{"is": name, argument: value, …}``, all of which have to hold; that is what segments keep.

A feature that stands above adds what only it knows (``add``, ``offer``), as campaigns do with who replied to one.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from twinline.contacts.models import ContactError
from twinline.db import Tx
from twinline.kit.phones import of_country

MOST: Final = 20
LONGEST: Final = 200

Filter = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Condition:
    """``takes``: what it asks for, by kind (see ``KINDS``)."""

    name: str
    label: str
    sql: str
    takes: tuple[str, ...] = ()


def _days(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value, re.ASCII) or not int(value):
        raise ValueError("give a number of days, from 1 to 9999")
    return int(value)


def _number(value: str) -> str:
    if not re.fullmatch(r"-?[0-9]{1,15}([.][0-9]{1,9})?", value, re.ASCII):
        raise ValueError("give a number, like 12 or 9.5")
    return value


def language(value: str) -> str:
    """A language as templates name theirs: ``pt_BR``. Raises ValueError."""
    found = re.fullmatch(r"([a-z]{2,3})(?:[-_]([a-z]{2}))?", value.strip().lower(), re.ASCII)
    if found is None:
        raise ValueError("give a language like es or pt_BR")
    return f"{found[1]}_{found[2].upper()}" if found[2] else found[1]


# What arguments are made of; each reads what a person wrote, or raises ValueError with what is wanted.
KINDS: Final[Mapping[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "tag": lambda value: value,
        "field": lambda value: value,
        "value": lambda value: value,
        "number": _number,
        "days": _days,
        "language": language,
        "country": of_country,
        "campaign": lambda value: int(_number(value)),
    }
)

_WROTE = """EXISTS (
    SELECT FROM messages m
    WHERE m.number_id = k.number_id AND m.contact_id = k.id AND m.type <> 'reaction' AND NOT m.outgoing
      AND m.at >= %(now)s - make_interval(days => {days}))"""

# A value from before the field was one of numbers is passed over.
_NUMERIC = (
    "CASE WHEN k.fields->>{{field}} ~ '^-?[0-9]+([.][0-9]+)?$'"
    " THEN (k.fields->>{{field}})::numeric {} {{number}}::numeric END"
)

# Marketing as a whole; a topic's words are asked by ``contacts.service.consent``, which is also asked when it is sent.
_STOPPED = """(k.opted_out OR EXISTS (
    SELECT FROM identities i JOIN suppressions s ON s.key = i.key
    WHERE i.number_id = k.number_id AND i.contact_id = k.id AND s.organisation_id = %(organisation)s
) OR NOT coalesce((
    SELECT w.granted FROM identities i JOIN consents w ON w.key = i.key
    WHERE i.number_id = k.number_id AND i.contact_id = k.id AND w.organisation_id = %(organisation)s AND w.topic = ''
    ORDER BY w.at DESC, w.granted LIMIT 1
), true))"""

_OPEN = """coalesce(c.last_inbound_at > %(now)s - interval '24 hours' AND c.last_inbound_at >=
    (SELECT n.connected_at FROM numbers n WHERE n.id = %(number)s), false)"""

CONDITIONS: Final[dict[str, Condition]] = {
    condition.name: condition
    for condition in (
        Condition("tag", "has the tag", "k.tags @> ARRAY[{tag}]::text[]", ("tag",)),
        Condition("no_tag", "doesn't have the tag", "NOT k.tags @> ARRAY[{tag}]::text[]", ("tag",)),
        Condition("field_is", "field is", "lower(k.fields->>{field}) = lower({value})", ("field", "value")),
        Condition(
            "field_has", "field contains", "strpos(lower(k.fields->>{field}), lower({value})) > 0", ("field", "value")
        ),
        Condition("field_over", "field is more than", _NUMERIC.format(">"), ("field", "number")),
        Condition("field_under", "field is less than", _NUMERIC.format("<"), ("field", "number")),
        Condition("field_empty", "field is empty", "k.fields->>{field} IS NULL", ("field",)),
        Condition("wrote", "wrote in the last days", _WROTE, ("days",)),
        Condition("silent", "didn't write in the last days", f"NOT {_WROTE}", ("days",)),
        Condition("window_open", "24-hour window is open", _OPEN),
        Condition("language", "language is", "k.language = {language}", ("language",)),
        Condition("country", "country of the phone is", "k.phone ~ {country}", ("country",)),
        Condition("in_book", "is in the phone's address book", "k.book_name IS NOT NULL"),
        Condition("may_get_marketing", "hasn't stopped marketing", f"NOT {_STOPPED}"),
        Condition("stopped_marketing", "stopped marketing", _STOPPED),
    )
}


Offers = Mapping[str, Mapping[str, str]]
"""What can be chosen for an argument, by its kind: values, and what people call each."""

OFFERS: Final[dict[str, Callable[[Tx, int], Awaitable[Mapping[str, str]]]]] = {}


def add(condition: Condition) -> None:
    """A feature above brings what only it knows. Adding the same again changes nothing."""
    CONDITIONS[condition.name] = condition


def offer(kind: str, of_organisation: Callable[[Tx, int], Awaitable[Mapping[str, str]]]) -> None:
    """Arguments of this kind are chosen from what an organisation has."""
    OFFERS[kind] = of_organisation


async def offers(tx: Tx, organisation_id: int) -> dict[str, Mapping[str, str]]:
    return {kind: await ask(tx, organisation_id) for kind, ask in OFFERS.items()}


def read(filter_: Iterable[Any]) -> list[dict[str, str]]:
    """The filter as it is kept: known conditions, with what they take and nothing else. Raises ContactError."""
    found = []
    for number, said in enumerate(filter_, start=1):
        condition = CONDITIONS.get(str(said.get("is"))) if isinstance(said, Mapping) else None
        if condition is None:
            raise ContactError(f"Condition {number} isn't one of: {', '.join(CONDITIONS)}.")
        kept = {"is": condition.name}
        for kind in condition.takes:
            value = str(said.get(kind) or "").strip()
            if not value or len(value) > LONGEST or "\0" in value:
                raise ContactError(f"The condition “{condition.label}” needs a {kind} of 1 to {LONGEST} characters.")
            try:
                KINDS[kind](value)
            except ValueError as error:
                raise ContactError(f"The condition “{condition.label}” can't be read: {error}.") from error
            kept[kind] = language(value) if kind == "language" else value.upper() if kind == "country" else value
        found.append(kept)
    if len(found) > MOST:
        raise ContactError(f"A filter has at most {MOST} conditions.")
    return found


def where(filter_: Filter, organisation_id: int, now: datetime, mark: str = "") -> tuple[str, dict[str, Any]]:
    """The filter, as ``read`` answers it, as SQL of the form ``AND … AND …``, and its parameters; ``mark`` tells those
    of several filters in one statement apart.
    """
    parts, params = [], {"organisation": organisation_id, "now": now}
    for number, said in enumerate(filter_):
        condition = CONDITIONS[said["is"]]
        names = {kind: f"is{mark}{number}_{kind}" for kind in condition.takes}
        parts.append("AND " + condition.sql.format(**{kind: f"%({name})s" for kind, name in names.items()}))
        params.update({name: KINDS[kind](said[kind]) for kind, name in names.items()})
    return "\n  ".join(parts), params


def told(said: Mapping[str, str], offered: Offers) -> str:
    """A condition in words: “has the tag vip”."""
    condition = CONDITIONS[said["is"]]
    if condition.takes == ("days",):
        return condition.label.replace("days", f"{said['days']} days")
    values = [offered.get(kind, {}).get(said[kind], said[kind]) for kind in condition.takes]
    if condition.takes[:1] == ("field",):
        return " ".join([values[0], condition.label.removeprefix("field "), *values[1:]])
    return " ".join([condition.label, *values])
