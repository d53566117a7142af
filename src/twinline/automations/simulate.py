"""A conversation with a customer who isn't there: the editor's test panel, and the rehearsal's stage.

No database, no clock, nothing sent: `talk` is handed where a conversation stands and what happens next, and answers
where it stands then and what an automation did. It keeps the engine's rules, so that what is seen here is what
happens: while a person has the floor it is silent, a reply from the phone ends what it was about to say, and what the
customer asked meanwhile is answered when the chat is handed back, if nobody has and it isn't too old.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from twinline.automations import messages
from twinline.rules.automations import triggers, words
from twinline.rules.automations.facts import Facts, Turn
from twinline.rules.automations.hours import Hours
from twinline.rules.automations.program import Program, duration, one, spell
from twinline.rules.automations.run import (
    BUSY,
    HOPS,
    Advance,
    Answered,
    Assign,
    Began,
    Came,
    Effect,
    Given,
    Note,
    Release,
    Run,
    Send,
    SetField,
    Start,
    Tag,
    Wait,
    Woke,
    advance,
)
from twinline.rules.automations.triggers import Happening
from twinline.rules.window import LENGTH

Json = Mapping[str, Any]

PAUSE: Final = timedelta(hours=2)
"""After a reply from the phone, where neither automation nor number says how long."""
STOPS: Final = 200
"""Moments at which something may happen while time passes."""


# --- what may happen ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """The customer says something."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Passed:
    """Time passes; what falls due on the way happens when it does. It stops where somebody outside is asked."""

    length: timedelta


@dataclass(frozen=True, slots=True)
class Replied:
    """A person answers, on the phone or in the inbox, and has the floor from then on."""

    where: Literal["phone", "inbox"] = "phone"


@dataclass(frozen=True, slots=True)
class Paused:
    """A person takes the chat without answering in it, for so long (None: as after an answer)."""

    length: timedelta | None = None


@dataclass(frozen=True, slots=True)
class HandedBack:
    """A person gives the chat back to the machines."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something else that an automation may begin by: a tag, an opt-in."""

    happening: Happening


@dataclass(frozen=True, slots=True)
class Started:
    """A person or a program starts it, whatever its triggers say; what was under way ends."""


Event = Said | Passed | Replied | Paused | HandedBack | Happened | Started | Came


# --- where a conversation stands --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Did:
    """What the automation did, or why it didn't: ``sent`` a message, ``did`` something else, went through a ``step``,
    ``waits``, needs an answer from ``outside``, ``ended``, stayed ``silent``, ``yielded`` to a person.
    """

    kind: str
    at: datetime
    says: str
    path: str = ""
    message: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """Where a conversation stands; all of it is JSON. ``open``: what the customer said and nobody has answered.

    ``asleep``: runs that wait for a time; others talk meanwhile.
    """

    now: str
    run: dict[str, Any] | None = None
    waits: str | None = None
    request: dict[str, Any] | None = None
    asleep: list[dict[str, Any]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    assigned: bool = False
    first: bool = True
    holder: str | None = None
    holds_until: str | None = None
    open: dict[str, Any] | None = None
    said_at: str | None = None
    began_at: str | None = None
    sent: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def begin(facts: Facts, *, first: bool = True) -> Talk:
    """A chat in which nothing was said yet; ``first`` False: they have written before."""
    contact = facts.contact
    return Talk(
        now=facts.now.isoformat(),
        fields=dict(contact.get("fields") or {}),
        tags=list(contact.get("tags") or ()),
        assigned=facts.assigned,
        first=first,
    )


def talk(
    program: Program,
    state: Json | None,
    event: Event,
    facts: Facts,
    *,
    hours: Hours | None = None,
    pause: timedelta = PAUSE,
) -> tuple[dict[str, Any], tuple[Did, ...]]:
    """What comes of it. ``state``: what the last call answered, None in the beginning.

    Of ``facts``, what the conversation itself changes (time, fields, tags, the window) counts only in the beginning.
    ``hours``: by which it is open or closed as time passes; without them it stays as ``facts`` say. ``pause``: the
    number's, after a reply from the phone.
    """
    stage = Stage(program, Talk(**state) if state else begin(facts), facts, hours, pause)
    stage.perform(event)
    return stage.talk.to_json(), tuple(stage.did)


@dataclass(slots=True)
class Stage:
    """A conversation under way: ``perform`` what happens, and ``did`` is what an automation made of it."""

    program: Program
    talk: Talk
    known: Facts
    hours: Hours | None
    pause: timedelta
    did: list[Did] = field(default_factory=list)

    # What is known at this moment.

    @property
    def now(self) -> datetime:
        return _at(self.talk.now).astimezone(self.known.now.tzinfo)

    @property
    def facts(self) -> Facts:
        said_at = self.talk.said_at
        return replace(
            self.known.contact_with(fields=self.talk.fields, tags=self.talk.tags),
            now=self.now,
            assigned=self.talk.assigned,
            hours_open=self.known.hours_open if self.hours is None else self.hours.open_at(self.now),
            window_open=_at(said_at) + LENGTH > self.now if said_at else self.known.window_open,
        )

    @property
    def held(self) -> bool:
        """Whether a person has the floor."""
        until = self.talk.holds_until
        return self.talk.holder is not None and (until is None or _at(until) > self.now)

    def change(self, **changed: Any) -> None:
        self.talk = replace(self.talk, **changed)

    def tell(self, kind: str, says: str, path: str = "", message: dict[str, Any] | None = None) -> None:
        self.did.append(Did(kind, self.now, says, path, message))

    # What happens.

    def perform(self, event: Event) -> None:
        match event:
            case Said(turn):
                self.said(turn)
            case Passed(length):
                self.passed(self.now + length)
            case Replied(where):
                self.change(open=None)
                self.taken(where)
            case Paused(length):
                self.taken("phone", length)
            case HandedBack():
                self.handed_back("The chat was handed back.")
            case Happened(happening):
                self.happened(happening)
            case Started():
                self.started()
            case Came():
                if self.talk.request is not None:
                    self.go_on(event)

    def said(self, turn: Turn) -> None:
        first = self.talk.first
        self.change(first=False, said_at=self.talk.now, open=_turn_json(turn))
        if self.held:
            self.tell("silent", self.silence())
        elif not self.go_on(Answered(turn)):
            self.happened(Happening("turn", turn, first=first))

    def passed(self, target: datetime) -> None:
        for _ in range(STOPS):
            due = [one for one in self.due() if one[0] <= target]
            if not due:
                break
            asked, (at, what) = self.talk.request, min(due, key=lambda one: one[0])
            self.change(now=max(at, self.now).isoformat())
            if what is None:
                self.handed_back("The person's time is over.")
            elif isinstance(what, Woke):
                self.wakes(at)
            else:
                self.happened(what)
            if self.talk.request not in (asked, None):
                return  # whoever plays with it is to say what the other side answers
        self.change(now=max(target, self.now).isoformat())

    def due(self) -> Iterator[tuple[datetime, Woke | Happening | None]]:
        """What will happen by itself, and when: the end of a person's turn (None), of a wait, and what time begins."""
        talk = self.talk
        if talk.holder is not None and talk.holds_until is not None:
            yield _at(talk.holds_until), None
        runs = [*talk.asleep, *([talk.run] if talk.run and not self.held else [])]
        yield from ((_at(run["asked"]["until"]), Woke()) for run in runs)
        for kind, given in map(one, self.program.triggers):
            if kind == "schedule" and (at := triggers.next_time(given, self.now)) is not None:
                yield at, Happening("schedule", at=at)
            if kind == "no_answer" and talk.open is not None and talk.said_at is not None:
                at = _at(talk.said_at) + duration(given["after"])
                if at > self.now:
                    yield at, Happening("no_answer", waited=at - _at(talk.said_at), turn=_turn(talk.open))

    def taken(self, where: str, length: timedelta | None = None) -> None:
        until = self.now + (length or self.program.settings.pause_on_phone or self.pause)
        self.change(holder=where, holds_until=until.isoformat())
        if self.talk.run is not None:
            who = "the phone" if where == "phone" else "somebody in the inbox"
            self.tell("yielded", f"It falls silent: {who} has the floor until {until:%H:%M}.")
            if self.talk.waits == "call":
                self.over()

    def handed_back(self, why: str) -> None:
        """What was asked meanwhile is answered, if nobody has and it isn't too old."""
        if self.talk.holder is None:
            return
        left, said_at = self.talk.open, self.talk.said_at
        self.change(holder=None, holds_until=None)
        settings = self.program.settings
        if left is None or said_at is None:
            if self.talk.run is not None:
                self.tell("ended", f"{why} A person has answered, so it doesn't go on.")
                self.over()
            return
        if not settings.answer_left_open or self.now - _at(said_at) > settings.answer_within:
            self.tell("silent", f"{why} What was asked is left to people.")
            self.over()
        elif not self.go_on(Answered(_turn(left))):
            self.happened(Happening("turn", _turn(left)))

    def happened(self, happening: Happening) -> None:
        if self.held:
            self.tell("silent", self.silence())
        elif (why := self.why_not(happening)) is not None:
            self.tell("silent", why)
        else:
            self.start(Began(happening.turn))

    def started(self) -> None:
        if self.held:
            self.tell("silent", self.silence())
            return
        if self.talk.run is not None:
            self.tell("ended", "What was under way ends.")
            self.over()
        self.start(Began())

    # What the automation does.

    def why_not(self, happening: Happening) -> str | None:
        if self.talk.run is not None:
            return "It is in the middle of something else."
        once, began = self.program.settings.once_per, self.talk.began_at
        if once is not None and began is not None and self.now < _at(began) + once:
            return f"It has been here less than {spell(once)} ago."
        return triggers.why_not(self.program, happening, self.facts)

    def start(self, given: Began, hops: int = 0) -> None:
        self.change(began_at=self.talk.now, open=None)
        self.keep(advance(self.program, Run(), given, self.facts), given.turn, hops)

    def go_on(self, given: Given) -> bool:
        """Whether there is a run that this is meant for."""
        if self.talk.run is None or self.held:
            return False
        found = advance(self.program, Run.of_json(self.talk.run), given, self.facts)
        if found.heard:
            turn = given.turn if isinstance(given, Answered) else None
            self.change(open=None if turn else self.talk.open)
            self.keep(found, turn)
        return found.heard

    def wakes(self, at: datetime) -> None:
        """What has slept until now goes on, unless a person is speaking."""
        sleeper = next((run for run in self.talk.asleep if _at(run["asked"]["until"]) <= at), None)
        if sleeper is None:
            self.go_on(Woke())
            return
        others = [run for run in self.talk.asleep if run is not sleeper]
        if self.held:
            self.change(asleep=others)
            self.tell("silent", f"Its time came. {self.silence()}")
        elif self.talk.run is not None:
            later = (at + BUSY).isoformat()
            self.change(asleep=[*others, {**sleeper, "asked": {**sleeper["asked"], "until": later}}])
        else:
            self.change(asleep=others, run=sleeper)
            self.go_on(Woke())

    def keep(self, found: Advance, turn: Turn | None, hops: int = 0) -> None:
        """Does what comes of it, and begins anew if that is what it wants."""
        self.over()
        for line in found.trace:
            self.tell("step", line)
        again = False
        for effect in found.effects:
            if isinstance(effect, Send) and (why := self.refusal(effect.message)):
                self.tell("silent", f"It ends, since its message doesn't go out. {why}")
                return
            self.take_effect(effect)
            again = again or (isinstance(effect, Start) and effect.automation == self.program.name)
        if again and hops < HOPS:
            self.start(Began(turn, found.run.vars), hops + 1)
        elif again:
            self.tell("silent", "It began itself again and again, and was stopped.")
        elif found.waits is not None:
            self.wait(found.run, found.waits)
        else:
            self.tell("ended", found.ended or "")

    def wait(self, run: Run, waits: Wait) -> None:
        if waits.kind == "time":
            self.change(asleep=[*self.talk.asleep, run.to_json()])
        else:
            self.change(run=run.to_json(), waits=waits.kind, request=dict(waits.request) or None)
        until = waits.until.astimezone(self.now.tzinfo)
        self.tell("outside" if waits.request else "waits", f"{_WAITS[waits.kind]} until {until:%d %b, %H:%M}.")

    def refusal(self, message: Json) -> str | None:
        """Why this message wouldn't go out."""
        recent = [at for at in self.talk.sent if _at(at) > self.now - timedelta(hours=1)]
        self.change(sent=recent)
        most = self.program.settings.messages_per_hour
        if len(recent) >= most:
            return f"It sends {most} messages an hour at most in a chat."
        if message.get("type") == "template":
            return None
        if not self.facts.window_open:
            return "The 24-hour window is closed, and then only a template goes out."
        wrong = messages.problem(message)
        return wrong.text if wrong else None

    def take_effect(self, effect: Effect) -> None:
        match effect:
            case Send(message, path):
                self.change(sent=[*self.talk.sent, self.talk.now], open=None)
                self.tell("sent", words.message(message), path, message)
            case SetField(key, value):
                kept = {name: known for name, known in self.talk.fields.items() if name != key}
                self.change(fields=kept | ({key: value} if value else {}))
                self.tell("did", f"{key} is now “{value}”.")
            case Tag(add, remove):
                kept_tags = [tag for tag in self.talk.tags if tag not in remove]
                self.change(tags=list(dict.fromkeys([*kept_tags, *add])))
                self.tell("did", f"Tags: {', '.join(self.talk.tags) or 'none'}.")
            case Assign(to):
                self.change(assigned=to is not None)
                self.tell("did", f"Assigned to {to or 'nobody'}.")
            case Note(text):
                self.tell("did", f"Noted: {text}")
            case Start(automation):
                self.tell("did", f"Goes on with “{automation}”.")
            case Release(note):
                self.change(holder="inbox", holds_until=None)
                self.tell("did", "Handed to a person" + (f": {note}" if note else "."))

    def over(self) -> None:
        self.change(run=None, waits=None, request=None)

    def silence(self) -> str:
        until = self.talk.holds_until
        who = {"phone": "the phone", "inbox": "a person"}[self.talk.holder or "inbox"]
        how_long = f"until {_at(until).astimezone(self.now.tzinfo):%H:%M}" if until else "until the chat is handed back"
        return f"It is silent: {who} has the floor {how_long}."


_WAITS: Final = {
    "answer": "Waits for an answer",
    "time": "Waits",
    "call": "Waits for what the other system says",
    "bot": "Waits for the bot",
    "agent": "Waits for the agent",
}


def _at(kept: str) -> datetime:
    return datetime.fromisoformat(kept)


def _turn_json(turn: Turn) -> dict[str, Any]:
    return asdict(turn)


def _turn(kept: Json) -> Turn:
    """JSON has lists only."""
    read: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in kept.items()}
    return Turn(**read)
