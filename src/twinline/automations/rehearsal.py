"""An automation on chats that have been: what it would have said, beside what people answered.

The past is played again on the stage of the test panel (``simulate``): the customer says what they said when they said
it, people answer when they answered, and the automation does what it would have done. What is asked of others (a call,
a bot, an agent) has no answer here, as nothing is sent to anybody. Pure: messages in, moments out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from twinline.automations import simulate
from twinline.automations.simulate import Did, Event, HandedBack, Passed, Paused, Replied, Said, Stage
from twinline.rules.automations import keywords
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import Program

MOST: Final = 2000
"""Messages of one chat that are played; the newest."""

AFTER: Final = timedelta(days=1)
"""How long after the last message what falls due is still looked at."""

By = Literal["customer", "phone", "inbox", "machine"]


@dataclass(frozen=True, slots=True)
class Past:
    """A message of a chat. ``turn``: of the customer's what the automation hears, of others' what is shown."""

    at: datetime
    by: By
    turn: Turn


@dataclass(frozen=True, slots=True)
class Moment:
    """What the customer said in one go, what people (and machines) answered until they spoke again, and what the
    automation would have done until then. ``silent``: why it would have said nothing; None: it would have spoken.
    """

    at: datetime
    said: Turn
    answered: tuple[Past, ...]
    did: tuple[Did, ...]
    silent: str | None

    @property
    def would(self) -> tuple[Did, ...]:
        """The messages it would have sent."""
        return tuple(one for one in self.did if one.kind == "sent")


def rehearse(
    program: Program,
    past: Sequence[Past],
    facts: Facts,
    *,
    hours: Hours | None = None,
    pause: timedelta = simulate.PAUSE,
    people: bool = True,
    first: bool = True,
    words: Iterable[Mapping[str, Any]] = keywords.DEFAULTS,
) -> tuple[Moment, ...]:
    """The chat's moments, oldest first.

    ``people`` False: as if nobody else had answered. ``first``: the first message of ``past`` is the chat's first ever.
    ``words``: what the owner commands automations by on the phone (``rules.automations.keywords``). ``facts``: of the
    contact as they are now; the moment in it is only where the zone is taken from.
    """
    played = sorted(past, key=lambda one: one.at)[-MOST:]
    if not played:
        return ()
    facts = replace(facts, now=played[0].at.astimezone(facts.now.tzinfo))
    begun_by_them = first and len(played) == len(past) and played[0].by == "customer"
    stage = Stage(program, simulate.begin(facts, first=begun_by_them), facts, hours, pause)
    moments = []
    bursts = list(_bursts(played, program.settings.quiet_for))
    for place, (said, answered) in enumerate(bursts):
        until = bursts[place + 1][0][0].at if place + 1 < len(bursts) else played[-1].at + AFTER
        stage.did = []
        if said:
            _come_to(stage, said[-1].at)
            stage.perform(Said(_together(said)))
        for one in answered if people else ():
            _come_to(stage, one.at)
            if one.by != "machine":
                stage.perform(_done(one, words))
        _come_to(stage, until)
        if said:
            moments.append(_moment(said, answered, stage.did))
    return tuple(moments)


def _bursts(past: Sequence[Past], quiet: timedelta) -> Iterator[tuple[list[Past], list[Past]]]:
    """What the customer said in one go, with all that others said until the customer spoke again."""
    said: list[Past] = []
    answered: list[Past] = []
    for one in past:
        if one.by != "customer":
            answered.append(one)
        elif said and not answered and one.at - said[-1].at <= quiet:
            said.append(one)
        else:
            if said or answered:
                yield said, answered
            said, answered = [one], []
    yield said, answered


def _together(said: Sequence[Past]) -> Turn:
    """The last button that was pressed counts, and whatever ad or campaign any of it came by."""
    turns = [one.turn for one in said]
    chosen = next((turn for turn in reversed(turns) if turn.choice or turn.title), Turn())
    return Turn(
        texts=tuple(text for turn in turns for text in turn.texts),
        types=tuple(kind for turn in turns for kind in turn.types),
        choice=chosen.choice,
        title=chosen.title,
        media=tuple(file for turn in turns for file in turn.media),
        referral=next((turn.referral for turn in turns if turn.referral is not None), None),
        campaign=next((turn.campaign for turn in turns if turn.campaign is not None), None),
        wamids=tuple(wamid for turn in turns for wamid in turn.wamids),
    )


def _done(one: Past, words: Iterable[Mapping[str, Any]]) -> Event:
    """What a person did by a message: a keyword on the phone is no answer."""
    if one.by != "phone":
        return Replied("inbox")
    command = keywords.read(one.turn.text, words)
    if command is None:
        return Replied("phone")
    return Paused(command.for_) if command.kind == "pause" else HandedBack()


def _come_to(stage: Stage, moment: datetime) -> None:
    """Lets time pass, also over what others are asked: here nobody answers."""
    while stage.now < moment:
        stage.perform(Passed(moment - stage.now))


def _moment(said: Sequence[Past], answered: Sequence[Past], did: Sequence[Did]) -> Moment:
    silent = next((one.says for one in did if one.kind == "silent"), None)
    if any(one.kind == "sent" for one in did):
        silent = None
    elif silent is None:
        silent = next(
            (one.says for one in did if one.kind in ("outside", "yielded", "ended")), "It has nothing to say."
        )
    return Moment(said[0].at, _together(said), tuple(answered), tuple(did), silent)
