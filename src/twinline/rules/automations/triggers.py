"""What begins an automation: a table of triggers, each with what it listens to, and why one didn't begin.

``Happening.kind`` is what happened: a customer's ``turn``, or ``opted_in``, ``opted_out``, ``no_answer``,
``tag_added``, ``schedule``, ``api``. Several triggers listen to a turn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from typing import Any, Final

from twinline.rules.automations import facts, matching, words
from twinline.rules.automations.conditions import DAYS, holds
from twinline.rules.automations.facts import Facts, Json, Scene, Turn
from twinline.rules.automations.program import Program, duration, one
from twinline.rules.messages import UNANSWERED


@dataclass(frozen=True, slots=True)
class Happening:
    """``first``: the chat's first message ever, and the customer began it. ``topic``: of an opt-in. ``tag``: the one
    that was added. ``waited``: how long nobody has answered. ``at``: the scheduled moment, aware, in the number's zone.
    """

    kind: str
    turn: Turn | None = None
    first: bool = False
    topic: str = ""
    tag: str = ""
    waited: timedelta | None = None
    at: datetime | None = None


Test = Callable[[Any, Happening, Facts], bool]


def _keyword(given: Json, happening: Happening, known: Facts) -> bool:
    return matching.matches(given.get("match", "word"), _turn(happening).text, given["words"])


def _button(given: Json, happening: Happening, known: Facts) -> bool:
    turn = _turn(happening)
    ids, titles = given.get("ids", ()), given.get("titles", ())
    if turn.choice is None and turn.title is None:
        return False
    return not (ids or titles) or turn.choice in ids or _named(turn.title, titles)


def _referral(given: Json, happening: Happening, known: Facts) -> bool:
    referral, ads = _turn(happening).referral, given.get("ad_ids")
    return referral is not None and (not ads or str(referral.get("source_id")) in ads)


def _campaign_reply(given: Json, happening: Happening, known: Facts) -> bool:
    turn, campaigns, buttons = _turn(happening), given.get("campaigns"), given.get("buttons")
    if turn.campaign is None or (campaigns and turn.campaign not in campaigns):
        return False
    return not buttons or turn.choice in buttons or _named(turn.title, buttons)


def _no_answer(given: Json, happening: Happening, known: Facts) -> bool:
    return happening.waited is not None and happening.waited >= duration(given["after"])


def _schedule(given: Json, happening: Happening, known: Facts) -> bool:
    return happening.at is not None and _on(given, happening.at) and happening.at.strftime("%H:%M") == given["at"]


def _turn(happening: Happening) -> Turn:
    return happening.turn or Turn()


def _named(title: str | None, titles: Sequence[str]) -> bool:
    return title is not None and matching.plain(title) in map(matching.plain, titles)


TRIGGERS: Final[Mapping[str, tuple[str, Test]]] = MappingProxyType(
    {
        "message": ("turn", lambda given, happening, known: True),
        "keyword": ("turn", _keyword),
        "first_contact": ("turn", lambda given, happening, known: happening.first),
        "button": ("turn", _button),
        "referral": ("turn", _referral),
        "campaign_reply": ("turn", _campaign_reply),
        "outside_hours": ("turn", lambda given, happening, known: not known.hours_open),
        "opted_in": ("opted_in", lambda given, happening, known: given.get("topic") in (None, "", happening.topic)),
        "opted_out": ("opted_out", lambda given, happening, known: True),
        "no_answer": ("no_answer", _no_answer),
        "tag_added": ("tag_added", lambda given, happening, known: given["tag"] == happening.tag),
        "schedule": ("schedule", _schedule),
        "api": ("api", lambda given, happening, known: True),
    }
)
"""What each listens to, and whether that is it."""

_HAPPENED: Final = MappingProxyType(
    {
        "turn": "a message",
        "opted_in": "an opt-in",
        "opted_out": "an opt-out",
        "no_answer": "an unanswered message",
        "tag_added": "a tag",
        "schedule": "the clock",
        "api": "hand or by a program",
    }
)


def why_not(program: Program, happening: Happening, known: Facts) -> str | None:
    """Why this doesn't begin the automation, as a sentence for its log; None: it does."""
    if happening.turn is not None and set(happening.turn.types) and set(happening.turn.types) <= UNANSWERED:
        return "A reaction alone isn't a question."
    listening = [trigger for trigger in program.triggers if TRIGGERS[one(trigger)[0]][0] == happening.kind]
    if not listening:
        return f"It isn't started by {_HAPPENED[happening.kind]}."
    if not any(_fits(trigger, happening, known) for trigger in listening):
        return f"It waits for {' or '.join(map(words.trigger, listening))}."
    scene = Scene(known, said=facts.said(happening.turn))
    missing = next((condition for condition in program.when if not holds(condition, scene)), None)
    return None if missing is None else f"It wants that {words.condition(missing)}."


def next_time(given: Json, after: datetime) -> datetime | None:
    """When a schedule is due next, behind this moment (aware, in the number's zone); None: never again.

    Where clocks are put forward, an hour that doesn't exist is the one after it.
    """
    at = time.fromisoformat(given["at"])
    if "date" in given:
        days = [date.fromisoformat(given["date"])]
    else:
        days = [(after + timedelta(days=more)).date() for more in range(9)]
    moments = (datetime.combine(day, at, after.tzinfo) for day in days)
    return next((moment for moment in moments if moment > after and _on(given, moment)), None)


def _fits(trigger: Json, happening: Happening, known: Facts) -> bool:
    kind, given = one(trigger)
    return TRIGGERS[kind][1](given, happening, known)


def _on(given: Json, moment: datetime) -> bool:
    if "date" in given:
        return moment.date() == date.fromisoformat(given["date"])
    return DAYS[moment.weekday()] in (given.get("days") or DAYS)
