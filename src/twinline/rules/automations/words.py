"""What stands in a definition, in words: for the log, for lists, and for what changed between two versions."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.automations.program import duration, one, spell

Json = Mapping[str, Any]

SHOWN: Final = 60

_MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image": "a picture",
        "video": "a video",
        "audio": "a recording",
        "document": "a document",
        "sticker": "a sticker",
        "location": "a place",
        "contacts": "a contact",
        "reaction": "a reaction",
        "flow": "a form",
    }
)


def message(said: Json) -> str:
    """A message in a few words: “Hello …” or what it is."""
    kind = str(said.get("type") or "text")
    if kind == "template":
        return f"the template “{said['template']['name']}”"
    text = str(said.get("text") or said.get("caption") or "")
    return f"“{short(text)}”" if text else _MESSAGES.get(kind, f"a message ({kind})")


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


# --- triggers -------------------------------------------------------------------------------------------------------


def _listed(values: Sequence[Any]) -> str:
    return _joined([f"“{value}”" for value in values], "or")


def _joined(named: Sequence[str], word: str) -> str:
    return f" {word} ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


_MATCHES: Final = MappingProxyType(
    {
        "word": "with the word",
        "exact": "that is exactly",
        "starts": "that begins with",
        "contains": "that contains",
        "pattern": "like",
    }
)

_DAYS: Final = MappingProxyType(
    {
        "mon": "Mondays",
        "tue": "Tuesdays",
        "wed": "Wednesdays",
        "thu": "Thursdays",
        "fri": "Fridays",
        "sat": "Saturdays",
        "sun": "Sundays",
    }
)

TRIGGERS: Final[Mapping[str, Callable[[Any], str]]] = MappingProxyType(
    {
        "message": lambda given: "any message",
        "keyword": lambda given: f"a message {_MATCHES[given.get('match', 'word')]} {_listed(given['words'])}",
        "first_contact": lambda given: "somebody's first message",
        "button": lambda given: _of("a button", [*given.get("titles", ()), *given.get("ids", ())]),
        "referral": lambda given: _of("somebody who comes by an ad", given.get("ad_ids", ())),
        "campaign_reply": lambda given: _of("a reply to a campaign", given.get("buttons", ())),
        "opted_in": lambda given: "an opt-in" + (f" to “{given['topic']}”" if given.get("topic") else ""),
        "opted_out": lambda given: "an opt-out",
        "outside_hours": lambda given: "a message outside of the business hours",
        "no_answer": lambda given: f"a message that nobody has answered for {spell(duration(given['after']))}",
        "tag_added": lambda given: f"somebody who is given the tag “{given['tag']}”",
        "schedule": lambda given: f"{given['at']} {_days(given)}",
        "api": lambda given: "a start by hand or by a program",
    }
)


def trigger(said: Json) -> str:
    """“a message with the word “price””."""
    kind, given = one(said)
    return TRIGGERS[kind](given)


def _of(what: str, values: Sequence[Any]) -> str:
    return f"{what} ({_listed(values)})" if values else what


def _days(given: Json) -> str:
    if given.get("date"):
        return f"on {given['date']}"
    named = [_DAYS[day] for day in given.get("days") or ()]
    return f"on {_joined(named, 'and')}" if named else "every day"


# --- conditions -----------------------------------------------------------------------------------------------------

_COMPARED: Final = MappingProxyType(
    {
        "is": "is “{}”",
        "is_not": "isn't “{}”",
        "contains": "contains “{}”",
        "above": "is more than {}",
        "below": "is less than {}",
        "before": "is before {}",
        "after": "is after {}",
    }
)
_SAID: Final = MappingProxyType(
    {
        "word": "has the word",
        "exact": "is exactly",
        "starts": "begins with",
        "contains": "contains",
        "pattern": "is like",
    }
)


def _compared(name: str, given: Json) -> str:
    told = [said.format(given[way]) for way, said in _COMPARED.items() if way in given]
    if "empty" in given:
        told.append("is empty" if given["empty"] else "isn't empty")
    return f"{name} {' and '.join(told)}"


def _text(given: Json) -> str:
    told = ((_SAID[way], [said] if isinstance(said, str) else said) for way, said in given.items())
    return f"the message {' and '.join(f'{way} {_listed(said)}' for way, said in told)}"


def _time(given: Json) -> str:
    clock = f"it is between {given.get('from', '00:00')} and {given.get('to', '24:00')}"
    return f"{clock} {_days(given)}" if given.get("days") else clock


CONDITIONS: Final[Mapping[str, Callable[[Any], str]]] = MappingProxyType(
    {
        "hours": lambda given: f"the business is {given}",
        "window": lambda given: f"the 24-hour window is {given}",
        "text": _text,
        "choice": lambda given: f"the choice is “{given}”",
        "var": lambda given: _compared(given["name"], given),
        "field": lambda given: _compared(f"the field {given['key']}", given),
        "tag": lambda given: f"the contact has the tag “{given}”",
        "language": lambda given: f"the contact's language is {given}",
        "time": _time,
        "assigned": lambda given: f"the chat is {'' if given else 'not '}assigned to somebody",
        "not": lambda given: f"it isn't so that {condition(given)}",
        "any": lambda given: " or ".join(map(condition, given)),
        "all": lambda given: " and ".join(map(condition, given)),
    }
)


def condition(said: Json) -> str:
    """“the business is open”; it follows a “that”."""
    kind, given = one(said)
    return CONDITIONS[kind](given)
