"""From an audience to those whom a campaign goes to: every reason why somebody is left out, in the order of asking.

Most reasons are those for which the message would be refused when its turn comes, so a dry run asks the same rules
(`rules.guard`) and `reason_of` only groups what they say. The others are known only to a campaign: who stands in the
list twice, whose row can't be read, who was written to often enough.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """Why people don't get a campaign. `waits`: not now; it goes to them when that is over."""

    code: str
    title: str
    do: str
    waits: bool = False


_ALL: Final = (
    Reason("invalid", "The number can't be read", "Correct these rows and bring them again."),
    Reason("duplicate", "In the audience more than once", "They get it once."),
    Reason("tried", "Got it when it was tried on a few", "They don't get it again."),
    Reason("missing", "A value is missing", "Fill it in, or set a fallback for it."),
    Reason("content", "The message can't be made for them", "Look at the reason beside each of them."),
    Reason("template", "The template can't be sent", "Look at the template's page."),
    Reason("recipient", "Can't be written to at this address", "Correct these rows and bring them again."),
    Reason("opted_out", "Opted out of marketing", "Leave them out. Service messages still reach them."),
    Reason("suppressed", "On the suppression list", "Leave them out, or take them off the list."),
    Reason("no_opt_in", "Haven't asked for this topic", "Ask them first, and record their answer."),
    Reason("us_marketing", "In the United States", "WhatsApp delivers no marketing there. Use another way."),
    Reason("capped", "WhatsApp held marketing back from them", "Write to them tomorrow; trying sooner does harm."),
    Reason("unreachable", "Couldn't be reached lately", "Check these numbers, or ask for new ones."),
    Reason("frequency", "Got enough campaigns lately", "They get the next one."),
    Reason("number", "The number can't send", "Connect the number first."),
    Reason("floor", "Somebody is talking with them now", "They get it when that chat is free.", waits=True),
    Reason("other", "Left out", "Look at the reason beside each of them."),
)
REASONS: Final = MappingProxyType({reason.code: reason for reason in _ALL})
ORDER: Final = tuple(REASONS)
_OF_RULES: Final = MappingProxyType(
    {
        "floor": "floor",
        "number": "number",
        "recipient": "recipient",
        "capability": "recipient",
        "template": "template",
        "opted_out": "opted_out",
        "no_opt_in": "no_opt_in",
        "capped": "capped",
        "unreachable": "unreachable",
    }
)
_OF_TEMPLATES: Final = MappingProxyType(
    {"template.missing": "missing", "template.value": "content", "template.too_long": "content"}
)


def reason_of(code: str) -> Reason:
    """What a row's `reason` belongs to: one of `REASONS`, or a rule's name like `floor.person_speaks`."""
    found = REASONS.get(code) or REASONS.get(_OF_TEMPLATES.get(code, "")) or REASONS.get(_family(code))
    return found or REASONS["other"]


def _family(code: str) -> str:
    return _OF_RULES.get(code.partition(".")[0], "other")


# --- how long it takes --------------------------------------------------------------------------------------------

PACE: Final = 20 / 1.018
"""Messages a second that a lane sends (docs/sending.md: the budget)."""

LEAST_PACE: Final = 0.5
"""However much customers write, a campaign gets on; below that nothing can be foretold."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a campaign goes, in messages a second.

    `talk`: what customers and people here wrote, a second, in the last hour; it goes first. `cap`: the campaign's own.
    `ahead`: messages of others that wait on this number.
    """

    talk: float
    cap: float | None
    ahead: int

    @property
    def left(self) -> float:
        """What the number has left."""
        return max(LEAST_PACE, PACE - self.talk)

    @property
    def speed(self) -> float:
        return min(self.left, self.cap) if self.cap is not None else self.left


@dataclass(frozen=True, slots=True)
class Hours:
    """The spans in which people may be written to, in microseconds, the first first; after the last of them always."""

    spans: Sequence[tuple[int, int]]

    def opens(self, at: int) -> int:
        """`at`, or when the next hours begin."""
        index = bisect_right(self.spans, at, key=_end)
        return max(at, self.spans[index][0]) if index < len(self.spans) else at


def _end(span: tuple[int, int]) -> int:
    return span[1]


# --- quiet hours --------------------------------------------------------------------------------------------------

EARLIEST, LATEST = time(8), time(21)
"""Between these nobody minds a message; outside of them it is told, but forbidden to nobody."""


def is_quiet(local: datetime) -> bool:
    """Whether people at this local time would rather not be written to."""
    return not EARLIEST <= local.time() < LATEST


# --- what a campaign is warned of ---------------------------------------------------------------------------------

YOUNG_NUMBER: Final = timedelta(days=14)
MANY_FOR_YOUNG: Final = 100


@dataclass(frozen=True, slots=True)
class Warning:
    """What one should know before pressing Start; `people`: whom it concerns, None: everybody."""

    code: str
    text: str
    do: str
    people: int | None = None


UNKNOWN_LIMIT: Final = Warning(
    "limit_unknown",
    "WhatsApp hasn't said how many people this business may reach in a day, so the lowest limit is assumed.",
    "It is asked for every day. In WhatsApp Manager it stands under Account tools → Messaging limits.",
)
FIRST_OF_A_YOUNG_NUMBER: Final = Warning(
    "young_number",
    "This is the first campaign of a number that was connected lately; WhatsApp watches such numbers closely.",
    "Begin with people who know you and expect to hear from you, and set a lower speed.",
)


def many_days(days: int, today: int, people: int, most: int | None) -> Warning:
    """It takes more than one moving day."""
    limit = f" WhatsApp lets this business reach {most:,} people in 24 hours." if most is not None else ""
    return Warning(
        "days",
        f"{today:,} of {people:,} people get it in the first 24 hours; it takes {days} days.{limit}",
        "It goes on by itself. The limit grows when half of it is used for a week, with good quality.",
    )


def quiet(people: int) -> Warning:
    """Somebody sleeps where it arrives."""
    says = f"It would arrive before {EARLIEST:%H:%M} or after {LATEST:%H:%M} by their own clocks."
    return Warning("quiet_hours", says, "Choose another time, hours of the day, or the recipients' own zone.", people)


def us_marketing(people: int) -> Warning:
    """Left out for where they are."""
    return Warning(
        "us_marketing",
        "WhatsApp delivers no marketing to numbers of the United States, so they are left out.",
        "Utility templates reach them.",
        people,
    )


def capped(people: int) -> Warning:
    """Left out for what happened the last time."""
    return Warning(
        "capped",
        "In the last 24 hours WhatsApp held marketing back from them, since they get enough of it.",
        "They are left out: whoever tries again within a day can be blocked from reaching them.",
        people,
    )


def of_template(name: str, quality: str, category: str, next_category: str | None) -> Iterator[Warning]:
    """What is to be known of a template that may be sent. `quality` as Meta says it: GREEN, YELLOW, RED, or UNKNOWN
    of one that too few people have got yet.
    """
    if quality in {"YELLOW", "RED"}:
        yield Warning(
            "template_quality",
            f"People have reacted badly to the template {name}: its quality is {_WORDS[quality]}. WhatsApp may pause "
            "it in the middle of a campaign.",
            "Send it to fewer people who want it, or change it first.",
        )
    elif quality != "GREEN":
        yield Warning(
            "template_new",
            f"The template {name} is new. WhatsApp may try it on the first people and hold the others until it has "
            "seen how they react.",
            "Send it to a few people first; held messages are delivered later, or fail if it is paused.",
        )
    if next_category is not None and next_category != category:
        yield Warning(
            "template_category",
            f"WhatsApp will count the template {name} as {next_category.lower()} soon.",
            "It costs differently then, and opt-outs may bind it.",
        )


_WORDS: Final = MappingProxyType({"YELLOW": "medium", "RED": "low"})
