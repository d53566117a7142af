"""The floor: in each chat one party has the right to speak.

A person in the inbox, a person on the phone, an automation, a campaign: two of them talking at once is how
a customer finds out that nobody is listening. So each chat has a floor with a holder and an *epoch*, a
number that grows whenever the floor changes hands. Whoever prepares an answer remembers the epoch it began
under, and the transaction that sends looks again: another epoch means that somebody spoke meanwhile, and
the answer is dropped.

People come before machines. A person takes the floor from anybody; an automation takes it from a campaign
(the customer answered one) and from another automation; a campaign takes it from nobody.

The phone is heard with a delay: an echo may come minutes late, after people here have moved on. `since` is
when a *person* last decided who speaks, by speaking or by handing back, and an echo of something said
before that changes nothing. A machine's turn doesn't move `since`: what the owner typed a moment before an
automation began to think must still stop it. No two decisions have the same `since`, so whoever remembers it
knows whether a person has decided anything in the meantime, whatever machines did.

A machine's turn has an end, or a conversation that nobody goes on with would keep campaigns out for ever. When it
is over nobody has the floor, but the epoch stays: what it had said by then may still leave, and it may go on under
the same epoch as long as nobody else has spoken.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Holder(StrEnum):
    """Who has the floor."""

    NOBODY = "nobody"
    PERSON = "person"
    PHONE = "phone"
    AUTOMATION = "automation"
    CAMPAIGN = "campaign"


class Why(StrEnum):
    """The reason behind a verdict; `says` turns it into a sentence."""

    FREE = "free"
    HOLDS_IT = "holds_it"
    PEOPLE_FIRST = "people_first"
    PERSON_SPEAKS = "person_speaks"
    PHONE_SPEAKS = "phone_speaks"
    MACHINE_SPEAKS = "machine_speaks"
    SOMEBODY_SPOKE_MEANWHILE = "somebody_spoke_meanwhile"
    HEARD_TOO_LATE = "heard_too_late"


@dataclass(frozen=True, slots=True)
class Floor:
    """The floor of one chat. `until` None means until somebody changes it; `since` is the last human
    decision.
    """

    holder: Holder = Holder.NOBODY
    epoch: int = 0
    until: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to speak, and why or why not."""

    allowed: bool
    why: Why


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of an attempt to take the floor: the floor to keep, whether it was taken, and why."""

    floor: Floor
    taken: bool
    why: Why


EMPTY: Final = Floor()
"""The floor of a chat that nobody has spoken in."""

PEOPLE: Final = frozenset({Holder.PERSON, Holder.PHONE})

PROMPT: Final = timedelta(minutes=2)
"""An echo that comes within this is no late one, however short the pause is that it brings."""

LAST_WORDS: Final = timedelta(minutes=2)
"""How long a machine has the floor after it spoke, unless it waits for something longer."""

_YIELDS_TO: Final = MappingProxyType(
    {
        Holder.NOBODY: frozenset(Holder),
        Holder.PERSON: PEOPLE,
        Holder.PHONE: PEOPLE,
        Holder.AUTOMATION: PEOPLE | {Holder.AUTOMATION},
        Holder.CAMPAIGN: PEOPLE | {Holder.AUTOMATION, Holder.CAMPAIGN},
    }
)
_OCCUPIED: Final = MappingProxyType(
    {
        Holder.NOBODY: Why.FREE,
        Holder.PERSON: Why.PERSON_SPEAKS,
        Holder.PHONE: Why.PHONE_SPEAKS,
        Holder.AUTOMATION: Why.MACHINE_SPEAKS,
        Holder.CAMPAIGN: Why.MACHINE_SPEAKS,
    }
)
_SAYS: Final = MappingProxyType(
    {
        Why.FREE: "Nobody else is speaking in this chat.",
        Why.HOLDS_IT: "It was already speaking in this chat.",
        Why.PEOPLE_FIRST: "A person may always speak.",
        Why.PERSON_SPEAKS: "A person is answering in the inbox.",
        Why.PHONE_SPEAKS: "The owner is answering from the phone.",
        Why.MACHINE_SPEAKS: "An automation or a campaign is in the middle of something in this chat.",
        Why.SOMEBODY_SPOKE_MEANWHILE: "Somebody spoke while this answer was being prepared, so it was dropped.",
        Why.HEARD_TOO_LATE: (
            "This message from the phone was heard of only after people had moved on, so it changed nothing."
        ),
    }
)


def holder_now(floor: Floor, now: datetime) -> Holder:
    """Who has the floor at this moment: a turn whose time is over is nobody's."""
    return Holder.NOBODY if floor.until is not None and floor.until <= now else floor.holder


def take(
    floor: Floor,
    holder: Holder,
    now: datetime,
    until: datetime | None = None,
    said_at: datetime | None = None,
) -> Turn:
    """`holder` wants to speak until `until`. A floor that is taken gets a new epoch; one that isn't stays
    as it was.

    `said_at` is when a message was typed on the phone, in WhatsApp's whole seconds. One typed before the
    last human decision, or whose turn would already be long over, is heard too late. When it is a tie the phone
    wins.
    """
    if holder is Holder.PHONE and said_at is not None and _too_late(floor, now, until, said_at):
        return Turn(floor, False, Why.HEARD_TOO_LATE)
    present = holder_now(floor, now)
    if holder not in _YIELDS_TO[present]:
        return Turn(floor, False, _OCCUPIED[present])
    since = _decided(floor, said_at or now) if holder in PEOPLE else floor.since
    taken = Floor(holder, floor.epoch + 1, until, since)
    return Turn(taken, True, Why.PEOPLE_FIRST if holder in PEOPLE else _OCCUPIED[Holder.NOBODY])


def speak(floor: Floor, holder: Holder, now: datetime, until: datetime) -> Turn:
    """`holder` says something, and has the floor until then. A machine that spoke last goes on under the same
    epoch, or its second sentence would cancel its first; its turn gets longer by this, never shorter.
    """
    if holder in PEOPLE or floor.holder is not holder:
        return take(floor, holder, now, until)
    known = floor.until if floor.until is not None else until
    return Turn(replace(floor, until=max(known, until)), True, Why.HOLDS_IT)


def may_speak(floor: Floor, holder: Holder, epoch: int | None, now: datetime) -> Verdict:
    """Whether `holder` may send now what it prepared under `epoch`; asked again in the transaction that
    sends.

    People always may. A machine may if the floor is its own or nobody's, and hasn't changed hands since
    `epoch`; None means that nothing was promised to the chat before (a campaign planned last week), so only
    the holder counts.
    """
    if holder in PEOPLE:
        return Verdict(True, Why.PEOPLE_FIRST)
    present = holder_now(floor, now)
    if present not in {Holder.NOBODY, holder}:
        return Verdict(False, _OCCUPIED[present])
    if epoch is not None and epoch != floor.epoch:
        return Verdict(False, Why.SOMEBODY_SPOKE_MEANWHILE)
    return Verdict(True, Why.FREE if present is Holder.NOBODY else Why.HOLDS_IT)


def release(floor: Floor, by: Holder, now: datetime, said_at: datetime | None = None) -> Floor:
    """`by` hands the floor back. A person frees it from anybody, a machine only its own turn; else it
    stays. `said_at`: when that was typed on the phone; what is heard too late changes nothing.
    """
    if by in PEOPLE:
        if said_at is not None and _too_late(floor, now, None, said_at):
            return floor
        return Floor(Holder.NOBODY, floor.epoch + 1, None, _decided(floor, said_at or now))
    if holder_now(floor, now) is by and by is not Holder.NOBODY:
        return replace(floor, holder=Holder.NOBODY, epoch=floor.epoch + 1, until=None)
    return floor


def says(why: Why) -> str:
    """The reason as a sentence, for the log that tells why something was or wasn't sent."""
    return _SAYS[why]


def _too_late(floor: Floor, now: datetime, until: datetime | None, said_at: datetime) -> bool:
    if until is not None and until <= now and said_at < now - PROMPT:
        return True
    return floor.since is not None and said_at < floor.since.replace(microsecond=0)


def _decided(floor: Floor, at: datetime) -> datetime:
    """When a person decided, later than whatever was decided before."""
    return at if floor.since is None else max(at, floor.since + timedelta(microseconds=1))
