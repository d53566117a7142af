"""What an answer of Meta's means: its class, whom it concerns, when to try again, and what a person is told.

The table is `outcomes.toml`. Meta asks to go by code, never by title or HTTP status (Meta: error codes
reference), and a code can come in the answer to a call or later in a failed status, so one table serves
both.

`outcome` is total. A code that is new to us is permanent: an error that nobody understands must not be
repeated by a machine. Only an answer without any code falls back on its HTTP status, and no answer at all,
or a server error, is *ambiguous*: the request may have been carried out, and sending again could send
twice.

Some errors speak of more than their message: they *stop* what meets them in the same way (`binds`), until a
while has passed (`wait`) or something happens (`resumes`). `rules.stops` adds up what stands still; `events`
are the webhooks that stop or resume something without an error.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final


class Class(StrEnum):
    """What to do with the message, and with others like it."""

    RETRY = "retry"
    THROTTLE = "throttle"
    THROTTLE_PAIR = "throttle_pair"
    STOP_NUMBER = "stop_number"
    STOP_TEMPLATE = "stop_template"
    STOP_CAMPAIGN = "stop_campaign"
    PERMANENT = "permanent"
    OPT_OUT = "opt_out"
    INFO = "info"


class Scope(StrEnum):
    """What an error concerns beside the message itself; a pair is one number and one person."""

    MESSAGE = "message"
    PAIR = "pair"
    NUMBER = "number"
    TEMPLATE = "template"
    CAMPAIGN = "campaign"
    ACCOUNT = "account"
    APP = "app"


class Binds(StrEnum):
    """Which messages a stop holds, of the number or of the template that it is about."""

    ALL = "all"
    MACHINES = "machines"
    CAMPAIGNS = "campaigns"


class Way(StrEnum):
    """What ends a stop; its time aside."""

    TOKEN = "token"  # noqa: S105 — a word, not a secret
    CONNECTED = "connected"
    TEMPLATE = "template"
    QUALITY = "quality"
    REINSTATED = "reinstated"
    NAMED = "named"
    SENT = "sent"
    BILLED = "billed"
    PERSON = "person"


STOPS: Final = frozenset({Class.STOP_NUMBER, Class.STOP_TEMPLATE, Class.STOP_CAMPAIGN})
AGAIN: Final = STOPS | {Class.RETRY, Class.THROTTLE, Class.THROTTLE_PAIR}
"""Errors of the moment: what met them may be sent once more, by a person, without further thought."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The meaning of one error.

    `wait` holds the seconds before each further try, so its length is how many there are; on a permanent
    outcome it is how long to leave the person or the number alone, and of a stop how long it lasts at most.
    `ambiguous` means that the request may have been carried out. `again`: a person may sensibly send the
    same message once more.
    """

    code: int | None
    klass: Class
    scope: Scope
    wait: tuple[int, ...]
    ambiguous: bool
    says: str
    do: str
    binds: Binds = Binds.ALL
    resumes: frozenset[Way] = frozenset()
    again: bool = False

    @property
    def is_stop(self) -> bool:
        """Whether others like this message wait until it is over."""
        return self.klass in STOPS

    @property
    def is_throttle(self) -> bool:
        """Whether this is a matter of pace, which doesn't count as an attempt."""
        return self.klass in {Class.THROTTLE, Class.THROTTLE_PAIR}

    def wait_before(self, attempt: int) -> int | None:
        """Seconds before try number `attempt` + 1 (the first try is 1), or None if it isn't to be tried
        again.

        A throttle is never given up: its last wait repeats.
        """
        if self.klass is Class.RETRY:
            return self.wait[attempt - 1] if 1 <= attempt <= len(self.wait) else None
        return self.wait[min(max(attempt, 1), len(self.wait)) - 1] if self.is_throttle else None


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook that stops (`stops`: the code it means) or resumes something.

    `words` are found as its event, its decision or its `ban_info.waba_ban_state`; `wait` holds the seconds
    that a stop lasts, by `other_info.title`.
    """

    field: str
    words: frozenset[str]
    stops: int | None
    resumes: Way | None
    wait: Mapping[str, int]


UNKNOWN: Final = Outcome(
    None,
    Class.PERMANENT,
    Scope.MESSAGE,
    (),
    False,
    "WhatsApp refused this with an error that isn't known here.",
    "Read the details beside it; if it goes on, report it with the trace id.",
)
NO_ANSWER: Final = Outcome(
    None,
    Class.RETRY,
    Scope.MESSAGE,
    (1, 2, 4, 8, 16),
    True,
    "WhatsApp didn't answer, so it isn't certain whether this was carried out.",
    "Wait for its status; if none comes, look on the phone before sending it again.",
)

TOKENLESS: Final = 190
"""What Meta says of a token that doesn't work, and what we say of a number without one that can be read."""

# Statuses that mean the same as a code, for when Meta's body, and so the code, is missing.
_BY_STATUS: Final = MappingProxyType({401: 190, 403: 10, 429: 4})


def outcome(code: int | None, http_status: int | None = None) -> Outcome:
    """The meaning of an error code; of an HTTP status, 100 to 599, only where there is no code.

    Neither, or a server error without a code, is no answer at all.
    """
    if code is not None:
        return _table().get(code) or replace(UNKNOWN, code=code)
    if http_status is None or not 400 <= http_status < 500:
        return NO_ANSWER
    like = _BY_STATUS.get(http_status)
    return UNKNOWN if like is None else replace(_table()[like], code=None)


def known_codes() -> frozenset[int]:
    """Every code that the table explains."""
    return frozenset(_table())


@cache
def events() -> tuple[Event, ...]:
    """The webhooks that stop or resume something."""
    return tuple(
        Event(
            field=line["field"],
            words=frozenset(line["word"]),
            stops=line.get("stops"),
            resumes=Way(line["resumes"]) if "resumes" in line else None,
            wait=MappingProxyType(line.get("wait", {})),
        )
        for line in _data()["event"]
    )


def source() -> tuple[str, str]:
    """Where the table comes from, and of what date it is."""
    return str(_data()["source"]), str(_data()["date"])


def ending(way: Way) -> str:
    """Completes "It ends …"."""
    return str(_data()["ways"][way])


@cache
def _data() -> Mapping[str, Any]:
    return MappingProxyType(tomllib.loads(files(__package__).joinpath("outcomes.toml").read_text("utf-8")))


@cache
def _table() -> MappingProxyType[int, Outcome]:
    return MappingProxyType(
        {
            code: Outcome(
                code=code,
                klass=Class(line["class"]),
                scope=Scope(line["scope"]),
                wait=tuple(line.get("wait", ())),
                ambiguous=line.get("ambiguous", False),
                says=line["says"],
                do=line["do"],
                binds=Binds(line.get("binds", Binds.ALL)),
                resumes=frozenset(map(Way, line.get("resumes", ()))),
                again=line.get("again", Class(line["class"]) in AGAIN),
            )
            for line in _data()["outcome"]
            for code in _codes(line["codes"])
        }
    )


def _codes(codes: str | list[int]) -> Iterable[int]:
    if isinstance(codes, str):
        first, _, last = codes.partition("-")
        return range(int(first), int(last) + 1)
    return codes
