"""The engine: answers what customers say, wakes what waits, and falls silent where a person speaks.

**A turn.** What a customer says live is noted in the transaction that brings it (``following``), one row a chat: the
*turn*, which is open until somebody has answered. When they have been quiet for a moment it is due, and a slice of this
engine looks at it: a few dozen chats in one transaction, under the number's turn, in as many statements as for one.

**Silence comes first.** Before anything is said in a chat it is asked, in this order: has anybody answered meanwhile (a
person's message, also one that is still queued)? Does a person have the floor? Did a person decide anything since the
conversation under way was last heard? All of it is read under the number's turn, so it is true until the commit. What
is said then carries the floor's epoch (``sending.speech``), and the lane asks once more before it calls Meta: an echo
that is committed in between drops it there. So an automated message can only leave after a person's if that one wasn't
committed yet when the call began.

**The order of things doesn't matter.** Whether the owner's answer comes before the customer's message, in the same
batch or a minute later: the turn is held against all that people have said since the customer did. An echo that is late
takes no floor (``rules.floor``), but it still counts as an answer.

**A conversation** (a *run*) is where a program stands, as JSON; ``rules.automations.run`` says what it does next. It
waits, or has yielded, or is over: it is never half-way, since a step and all that it leads to is one commit. Its
messages have the keys ``run:<id>:<n>``, so a step that is repeated after a crash says nothing twice. It remembers the
last human decision it knew of (``since``). Where there is another, it has *yielded*, whatever its row says: rows are
marked where that is cheap, and the engine never goes by the mark.

**Back again.** A turn that came while a person spoke is due when their time is over, or when the chat is handed back.
If nobody has answered it by then it is: by the conversation that yielded, if its question is still apt, or by whatever
it triggers. One conversation talks in a chat. Those that sleep until a time (``wait``) don't count; where a person
speaks when their time comes they end.

**What it costs.** A job per number, alive only while something is due within seconds; what waits for longer is a row in
an index.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from twinline.app import App
from twinline.automations import messages, outside, queries
from twinline.automations.ears import Ears
from twinline.automations.models import Automation, Kind, Place, Run, Sleeper, State, Talk, refuse
from twinline.automations.outside import Errand
from twinline.campaigns import following as campaigns
from twinline.campaigns.zones import zone_of
from twinline.contacts import service as contacts
from twinline.contacts.models import ContactError, NotThere
from twinline.db import Database, Tx, as_json
from twinline.db.jobs import defer
from twinline.mirror import events, turn
from twinline.rules import floor
from twinline.rules.automations import run as interpreter
from twinline.rules.automations import triggers
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
    Given,
    Note,
    Release,
    Send,
    SetField,
    Start,
    Tag,
    Woke,
)
from twinline.rules.automations.run import Run as Standing
from twinline.rules.automations.triggers import Happening
from twinline.rules.floor import Holder
from twinline.rules.refusal import Refusal, Refused
from twinline.rules.window import window
from twinline.sending import handles, speech
from twinline.sending import service as sending
from twinline.sending.models import Lane, Submission

TEND: Final = "automations.tend"
SLICE: Final = 40  # chats in one transaction
LINGER: Final = timedelta(seconds=5)  # a job doesn't stay for what is due later than that
LOOK_EVERY: Final = timedelta(seconds=0.5)  # also by whom nothing is heard
LULL: Final = 0.01  # seconds
BEGUN_AN_HOUR: Final = 12  # conversations in a chat: more is a machine at the other side
APT: Final = timedelta(hours=1)  # how long a question without an end of its own may still be meant
TRACED: Final = 60  # lines

ANSWERED: Final = {
    "phone": "it was answered from the phone",
    "person": "a person here answered",
    "automation": "it was a word like STOP, and that was confirmed",
}
TALKS: Final = {
    Holder.PHONE: "the phone has the floor",
    Holder.PERSON: "a person here has the floor",
}


SPOKE: Final = {
    Holder.PHONE: "the phone spoke meanwhile",
    Holder.PERSON: "a person here took the chat meanwhile",
    Holder.NOBODY: "a person stopped it meanwhile, or handed the chat back",
    Holder.AUTOMATION: "a person decided otherwise meanwhile",
    Holder.CAMPAIGN: "a person decided otherwise meanwhile",
}


async def wake(tx: Tx, number_id: int, after: timedelta | None = None) -> None:
    """Sees to it that somebody looks after the number's chats. The caller holds the number's turn."""
    name = f"automation:{number_id}"
    await defer(tx, TEND, queue="automation", lock=name, queueing_lock=name, after=after, number_id=number_id)


async def tend(app: App, number_id: int, ears: Ears) -> None:
    """Looks until nothing is due, or not for a while."""
    with ears.hearing(number_id) as heard:
        quiet_since = app.clock.now()
        while True:
            heard.clear()
            looked, next_at = await look(app, number_id)
            now = app.clock.now()
            quiet_since = now if looked else quiet_since
            wait = None if next_at is None else max(next_at - now, timedelta(0))
            if wait is not None and wait <= LINGER:
                await _listen(heard, min(wait, LOOK_EVERY))
            elif now - quiet_since < LINGER:
                await _listen(heard, LOOK_EVERY)
            else:
                break
    if wait is not None:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            await wake(tx, number_id, wait)


async def _listen(heard: asyncio.Event, length: timedelta) -> None:
    """Until somebody says something, and a moment longer, for others may as well; at most so long."""
    if length > timedelta(0):
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), length.total_seconds())
            await asyncio.sleep(LULL)


async def look(app: App, number_id: int) -> tuple[int, datetime | None]:
    """One slice: everything that is due in some chats. Answers how many, and when the next is due."""
    async with app.db.pipelined() as tx:
        await turn.take(tx, [number_id])
        now = app.clock.now()
        named = {"number": number_id, "now": now, "limit": SLICE}
        due = [row[0] for row in await tx.rows(queries.DUE, named)]
        if due and (desk := await _open(app, tx, number_id, due, now)):
            for talk in desk.talks:
                desk.look(talk)
            await desk.write()
        return len(due), await tx.value(queries.NEXT_AT, named)


async def rescue(app: App) -> None:
    """Numbers where something is due, and whose job was lost, get one."""
    async with app.db.transaction() as tx:
        forsaken = await tx.rows(queries.FORSAKEN)
    for number_id, at in forsaken:
        async with app.db.transaction() as tx:
            await turn.take(tx, [number_id])
            await wake(tx, number_id, max(at - app.clock.now(), timedelta(0)))


async def named(tx: Tx, number_id: int, name: Any) -> Automation | None:
    """The automation that a keyword means, by its id or its name."""
    organisation = await tx.value(queries.ORGANISATION_OF, {"number": number_id})
    if type(name) is int:
        return await queries.automation(tx, organisation, name)
    return await queries.automation_named(tx, organisation, str(name))


async def came(app: App, tx: Tx, one: Errand, given: Came, now: datetime) -> bool:
    """What a run waits for has come; False where it doesn't wait for that any more. Under the number's turn."""
    found = await queries.run(tx, one.number_id, one.run_id)
    if found is None:
        return False
    if found.token != one.token or found.ended_at is not None:
        over = "the conversation was over by then" if found.ended_at is not None else "the conversation had gone on"
        more = found.waits == one.kind and found.ended_at is None
        await _drop(tx, found, one, given, "the customer had written more, so it is asked again" if more else over, now)
        return False
    desk = await _open(app, tx, one.number_id, [found.contact_id], now)
    if desk is None or not desk.talks or desk.talks[0].run_id != one.run_id:
        return False
    heard = desk.hear(desk.talks[0], given)
    if not heard:
        spoke = await who_spoke(tx, one.number_id, [found.contact_id])
        await _drop(tx, found, one, given, spoke[found.contact_id], now)
    elif not given.ok:
        says = f"“{one.automation}” got no answer: {lower(given.value['error'])}"
        await note(tx, one.number_id, found.contact_id, Kind.DRAFTED, says, now, one.automation_id, one.run_id)
    await desk.write()
    await tx.execute(queries.LOOK_AGAIN, {"number": one.number_id, "contacts": [found.contact_id], "now": now})
    await wake(tx, one.number_id)
    return heard


async def _drop(tx: Tx, run: Run, one: Errand, given: Came, why: str, now: datetime) -> None:
    """Says why what a bot or an agent has written isn't sent, if it has written something that isn't kept."""
    if given.ok and one.kind != "call" and not given.value["held"] and (given.value["messages"] or one.approves):
        says = f"“{one.automation}” dropped its draft: {why}."
        await note(tx, run.number_id, run.contact_id, Kind.DRAFTED, says, now, run.automation_id, run.id)


async def start(
    app: App, tx: Tx, number_id: int, contact_id: int, automation: Automation, given: Began, by: str, now: datetime
) -> int:
    """Begins an automation, whatever its triggers say; answers the run. Raises Refused. Under the number's turn."""
    desk = await _open(app, tx, number_id, [contact_id], now)
    if desk is None or not desk.talks:
        raise refuse("chat", "There is no such chat.", "Look the contact up again.")
    [talk] = desk.talks
    if talk.holder(now) in floor.PEOPLE:
        why = floor.may_speak(talk.floor, Holder.AUTOMATION, None, now).why
        raise Refused(Refusal(f"floor.{why}", floor.says(why), "Hand the chat back first."))
    if talk.run_id is not None:
        desk.end(talk, f"“{automation.name}” was started.")
    desk.begin(talk, desk.program(automation.id, automation.version), automation.id, automation.version, given, by)
    began, waits = desk.acts[0].run_id, desk.acts[-1].advance.waits
    if talk.wamids and waits is not None and waits.kind != "time":
        says = f"Left to “{automation.name}”, which was started: it was said before, so it answers nothing of that."
        desk.forget(talk, Kind.PASSED, says)
    await desk.write()
    if refused := desk.refused.get(contact_id):
        raise refused
    await wake(tx, number_id)
    return began


async def begin_many(
    app: App,
    tx: Tx,
    number_id: int,
    contact_ids: Collection[int],
    automation: Automation,
    happening: Happening,
    by: str,
    now: datetime,
) -> int:
    """Something happened in these chats that isn't a message: the automation begins where that fits and nobody speaks.

    Answers in how many. Under the number's turn.
    """  # fmt: skip
    desk = await _open(app, tx, number_id, contact_ids, now)
    if desk is None:
        return 0
    begun = sum(desk.happened(talk, automation, happening, by) for talk in desk.talks)
    await desk.write()
    await wake(tx, number_id)
    return begun


# --- what others tell the engine --------------------------------------------------------------------------------------


async def released(tx: Tx, number_id: int, contact_ids: Collection[int], now: datetime) -> None:
    """These chats were handed back: what is open there is looked at now."""
    await tx.execute(queries.LOOK_AGAIN, {"number": number_id, "contacts": list(contact_ids), "now": now})
    await wake(tx, number_id)


async def heard(tx: Tx, number_id: int, contact_ids: Collection[int], now: datetime) -> dict[int, str]:
    """A person spoke in these chats: what talks there yields, and open turns are looked at.

    Answers the pauses that the conversations under way want, as their definitions say them.
    """
    named = {"number": number_id, "contacts": list(contact_ids), "now": now, "why": "A person spoke."}
    silenced = await tx.rows(queries.SILENCED, named)
    await log(tx, number_id, [_line(one[0], Kind.YIELDED, "A person spoke, so it fell silent.", one[2], one[1])
                              for one in silenced], now)  # fmt: skip
    await released(tx, number_id, contact_ids, now)
    return {contact: pause for contact, _, _, pause in silenced if pause}


async def overtaken(tx: Tx, number_id: int, outbox_ids: Collection[int], now: datetime) -> None:
    """The lane has dropped these messages at the last look: why, is written down for each of an automation's."""
    written = await tx.rows(queries.WRITTEN, {"number": number_id, "ids": list(outbox_ids)})
    if written:
        spoke = await who_spoke(tx, number_id, {row[0] for row in written})
        lines = [
            _line(contact, Kind.SILENT, f"A message of “{name}” was dropped before it left: {spoke[contact]}.", *of)
            for contact, name, *of in written
        ]
        await log(tx, number_id, lines, now)


async def who_spoke(tx: Tx, number_id: int, contact_ids: Collection[int]) -> dict[int, str]:
    """What a person has done in these chats that nobody may talk over, as the end of a sentence."""
    rows = await tx.rows(queries.SPOKE, {"number": number_id, "contacts": list(contact_ids)})
    return dict.fromkeys(contact_ids, "the chat isn't there any more") | {
        contact: f"{name} answered meanwhile" if name and holder == Holder.PERSON else SPOKE[Holder(holder)]
        for contact, holder, name in rows
    }


async def end(tx: Tx, run: Run, why: str, now: datetime) -> None:
    """Ends a conversation. Under the number's turn."""
    await tx.execute(queries.END_RUN, {"number": run.number_id, "run": run.id, "why": why, "now": now})
    line = _line(run.contact_id, Kind.ENDED, f"“{run.automation}” ended: {lower(why)}", run.automation_id, run.id)
    await log(tx, run.number_id, [line], now)
    await events.publish(tx, {run.number_id: {"chats": [run.contact_id]}}, now)


async def note(
    tx: Tx,
    number_id: int,
    contact_id: int,
    kind: Kind,
    says: str,
    now: datetime,
    automation_id: int | None = None,
    run_id: int | None = None,
) -> None:
    await log(tx, number_id, [_line(contact_id, kind, says, automation_id, run_id)], now)


async def log(tx: Tx, number_id: int, lines: Sequence[Mapping[str, Any]], now: datetime) -> None:
    if lines:
        await tx.send(queries.WRITE_LOG, {"number": number_id, "rows": as_json(lines), "now": now})


def _line(
    contact_id: int, kind: Kind, says: str, automation: int | None = None, run: int | None = None, wamid: str = ""
) -> dict[str, Any]:
    return {
        "contact_id": contact_id,
        "kind": kind,
        "says": says,
        "automation_id": automation,
        "run_id": run,
        "wamid": wamid or None,
    }


# --- one slice --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Listed:
    id: int
    name: str
    version: int
    listens: bool


@dataclass(slots=True)
class _Act:
    """What one run did in this slice, before it is known whether all of it may be."""

    talk: Talk
    run_id: int
    automation_id: int
    version: int
    program: Program
    began_at: datetime
    began_by: str
    sent: int
    trace: list[Any]
    advance: Advance
    verb: str
    kind: Kind
    before: "_Act | None" = None  # the one that started this one
    refused: Refused | None = None
    cut: int | None = None  # effects from here on aren't carried out

    @property
    def sends(self) -> list[Send]:
        return [effect for effect in self.advance.effects if isinstance(effect, Send)]

    @property
    def hop(self) -> int:
        return 0 if self.before is None else self.before.hop + 1

    @property
    def may_be(self) -> bool:
        """Not where the one that was to start it was refused before."""
        return self.before is None or (self.before.cut is None and self.before.may_be)

    def refuse(self, n: int, no: Refused) -> None:
        """Its ``n``-th message may not go out, so it ends there."""
        self.refused = no
        self.cut = [at for at, effect in enumerate(self.advance.effects) if isinstance(effect, Send)][n]


async def _open(app: App, tx: Tx, number_id: int, contact_ids: Collection[int], now: datetime) -> "_Desk | None":
    """Everything that is to be known about these chats, in as many statements as for one."""
    named = {
        "number": number_id, "contacts": list(contact_ids), "now": now,
        "hour": now - timedelta(hours=1), "day": now - timedelta(days=1),
    }  # fmt: skip
    asked = tx.ask(queries.WORDS, named)
    asleep = tx.ask(queries.SLEEPERS, named)
    place = await tx.one(Place, queries.PLACE, named)
    if place is None:
        return None
    talks = await tx.all(Talk, queries.CHATS, named)
    by_id = {talk.contact_id: talk for talk in talks}
    for contact_id, *word in await asked.rows():
        by_id[contact_id].words.append(tuple(word))
    for contact_id, *sleeper in await asleep.rows():
        by_id[contact_id].sleeper = Sleeper(*sleeper)
    listed = [
        _Listed(*row) for row in await tx.rows(queries.PROGRAMS, {**named, "organisation": place.organisation_id})
    ]
    desk = _Desk(app, tx, place, now, talks, listed)
    await desk.read_programs()
    await desk.read_campaigns()
    return desk


# Published versions never change, so their programs are made once.
_made: WeakKeyDictionary[Database, dict[tuple[int, int, int], Program]] = WeakKeyDictionary()
MADE: Final = 2000


@dataclass(slots=True)
class _Desk:
    """Some chats of a number, what is decided about them, and what is written of it in the end."""

    app: App
    tx: Tx
    place: Place
    now: datetime
    talks: list[Talk]
    listed: list[_Listed]
    programs: dict[tuple[int, int], Program] = field(default_factory=dict)
    campaigns: dict[int, int] = field(default_factory=dict)  # contact -> the campaign that their turn answers
    routed: dict[int, str] = field(default_factory=dict)  # campaign -> the automation that its answers go to
    files: dict[str, Any] = field(default_factory=dict)
    acts: list[_Act] = field(default_factory=list)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)  # by id, as they are to be
    turns: dict[int, dict[str, Any]] = field(default_factory=dict)  # by contact, as they are to be
    lines: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[int, Refused] = field(default_factory=dict)  # by contact

    # --- what is known ------------------------------------------------------------------------------------------------

    async def read_programs(self) -> None:
        known = _made.setdefault(self.app.db, {})
        organisation = self.place.organisation_id
        wanted = {(one.id, one.version) for one in self.listed}
        wanted |= {(talk.automation_id, talk.version) for talk in self.talks if talk.run_id is not None}
        wanted |= {(talk.sleeper.automation_id, talk.sleeper.version) for talk in self.talks if talk.sleeper}
        for automation_id, version in sorted(wanted):
            if (organisation, automation_id, version) not in known:
                definition = await queries.definition(self.tx, organisation, automation_id, version)
                if definition is not None:
                    if len(known) >= MADE:
                        known.clear()
                    known[organisation, automation_id, version] = Program.of(definition)
            if program := known.get((organisation, automation_id, version)):
                self.programs[automation_id, version] = program

    async def read_campaigns(self) -> None:
        """Which of these turns answer a campaign."""
        wamids = [wamid for talk in self.talks if talk.is_due(self.now) for wamid in talk.wamids]
        if wamids and self.place.campaigns:
            self.campaigns, self.routed = await campaigns.answered(self.tx, self.place.number_id, wamids)

    def program(self, automation_id: int, version: int) -> Program:
        return self.programs[automation_id, version]

    @property
    def zone(self) -> tzinfo:
        return ZoneInfo(self.place.zone or zone_of(self.place.display_phone, "UTC"))

    def facts(self, talk: Talk) -> Facts:
        here = self.now.astimezone(self.zone)
        window_of = window(self.now, self.place.connected_at, talk.last_inbound_at, None, None)
        return Facts(
            now=here,
            contact={
                "name": talk.known_name,
                "phone": talk.phone,
                "language": talk.language or self.place.language or None,
                "fields": talk.fields,
                "tags": talk.tags,
            },
            number={"name": self.place.verified_name or ""},
            hours_open=Hours.of(self.place.hours).open_at(here),
            window_open=window_of.open,
            assigned=talk.assigned,
        )

    def at(self, moment: datetime) -> str:
        """A moment as the business reads it."""
        there, here = moment.astimezone(self.zone), self.now.astimezone(self.zone)
        return f"{there:%H:%M}" if there.date() == here.date() else f"{there:%Y-%m-%d %H:%M}"

    # --- deciding -----------------------------------------------------------------------------------------------------

    def look(self, talk: Talk) -> None:
        """What is due in a chat."""
        if talk.is_due(self.now):
            self._turn(talk)
        elif talk.run_id is not None and talk.wakes_at is not None and talk.wakes_at <= self.now:
            self.hear(talk, Woke())
        if talk.sleeper is not None:
            self._wakes(talk, talk.sleeper)

    def _turn(self, talk: Talk) -> None:
        said = turn_of(talk.words, self.campaigns.get(talk.contact_id))
        if not said.wamids:
            self.forget(talk, Kind.PASSED, "Left alone: it was taken back.")
        elif talk.answered_by is not None:
            self.forget(talk, Kind.ANSWERED, f"Left alone: {ANSWERED[talk.answered_by]}.")
        elif talk.holder(self.now) in floor.PEOPLE:
            self._wait_for_people(talk, talk.holder(self.now))
        elif talk.run_id is None or not self._goes_on(talk, said):
            happening = Happening("turn", said, first=talk.first)
            if talk.tried:
                happening = Happening("no_answer", said, waited=self.now - talk.first_at)
            self._triggered(talk, happening)

    def _wait_for_people(self, talk: Talk, holder: Holder) -> None:
        """The turn stays open for when they have done."""
        until = talk.floor.until
        if talk.run_id is not None and talk.run_state == State.WAITING:
            self._yields(talk, "A person spoke.")
        self._keep(talk, due_at=until, tried=False)
        says = f"Silent: {TALKS[holder]}" + (f" until {self.at(until)}." if until else ".")
        self._log(talk, Kind.SILENT, says)

    def _goes_on(self, talk: Talk, said: Turn) -> bool:
        """Whether the conversation under way takes the turn."""
        program = self.program(talk.automation_id, talk.version)
        if talk.since == talk.floor.since and talk.run_state == State.WAITING:
            if self.hear(talk, Answered(said)):
                self.forget(talk)
            elif talk.waits == "call":  # what comes next may be a question, but not the one that this answers
                self._keep(talk, due_at=None, tried=False)
            else:
                return False
            return True
        if not self._is_apt(talk, program):
            self.end(talk, "A person took over.")
            return False
        talk.since, talk.run_state = talk.floor.since, State.WAITING
        if self._hear(talk, Answered(said), "went on", Kind.RESUMED):
            self.forget(talk)
            return True
        self.end(talk, "A person took over.")
        return False

    def _is_apt(self, talk: Talk, program: Program) -> bool:
        """Whether what a conversation asked before a person spoke may still be meant."""
        settings = program.settings
        ends = talk.wakes_at or talk.moved_at + APT
        return (
            settings.answer_left_open
            and talk.waits in ("answer", "bot", "agent")
            and self.now - talk.said_at <= settings.answer_within
            and talk.said_at <= min(ends, talk.moved_at + max(APT, self.place.pause))
            and self.now < talk.began_at + settings.total
        )

    def _triggered(self, talk: Talk, happening: Happening) -> None:
        """The first automation that is meant, and may, begins; or it is said why none does."""
        if (routed := self._routed(talk)) is not None and happening.kind == "turn":
            self._consume(talk, routed, happening, "the campaign that this answers")
        elif happening.kind == "turn" and talk.released:
            says = "Silent: the chat was handed to a person, who hasn't answered yet."
            self._left(talk, says, Kind.SILENT, stays=True)
        elif talk.begun_lately >= BEGUN_AN_HOUR:
            times = f"automations began here {talk.begun_lately} times within an hour"
            self._left(talk, f"Left alone: {times}, which looks like a machine at the other side.")
        else:
            facts, whys = self.facts(talk), list[str]()
            for listed in self.listed:
                if not listed.listens:
                    continue
                program = self.program(listed.id, listed.version)
                why = triggers.why_not(program, happening, facts) or self._why_not_now(talk, listed, program, happening)
                if why is None:
                    self._consume(talk, listed, happening, _trigger(happening))
                    return
                whys.append(f"“{listed.name}”: {why}")
            self._left(talk, "Left alone. " + " ".join(whys) if whys else "Left alone: no automation is on.")

    def _routed(self, talk: Talk) -> _Listed | None:
        """The automation to which the campaign that is answered hands its answers."""
        routed = self.routed.get(self.campaigns.get(talk.contact_id, 0))
        return next((one for one in self.listed if routed in (one.name, str(one.id))), None)

    def _why_not_now(self, talk: Talk, listed: _Listed, program: Program, happening: Happening) -> str | None:
        """What of its settings keeps an automation from beginning that is meant."""
        settings = program.settings
        if happening.turn is not None and self.now - talk.said_at > settings.answer_within:
            return f"It answers within {spell(settings.answer_within)}, and this was said at {self.at(talk.said_at)}."
        if not settings.answer_left_open and happening.turn is not None and talk.was_theirs:
            return "A person was speaking when this was said."
        before = talk.begun.get(str(listed.id), 0)
        if settings.once_per is not None and self.now.timestamp() < before + settings.once_per.total_seconds():
            return f"It begins once in {spell(settings.once_per)} in a chat."
        if settings.pause_on_phone is not None and talk.floor.holder is Holder.PHONE and talk.floor.since is not None:
            until = talk.floor.since + settings.pause_on_phone
            if self.now < until:
                return f"After a reply from the phone it is silent until {self.at(until)}."
        if talk.said_lately >= settings.messages_per_hour:
            return f"It sends {settings.messages_per_hour} messages an hour at most."
        return None

    def happened(self, talk: Talk, automation: Automation, happening: Happening, by: str) -> bool:
        """Something that isn't a message: the automation begins, if it is meant and may."""
        if talk.run_id is not None or talk.holder(self.now) in floor.PEOPLE or talk.begun_lately >= BEGUN_AN_HOUR:
            return False
        listed = _Listed(automation.id, automation.name, automation.version, True)
        program = self.programs.get((listed.id, listed.version))
        if program is None or triggers.why_not(program, happening, self.facts(talk)) is not None:
            return False
        if why := self._why_not_now(talk, listed, program, happening):
            self._log(talk, Kind.PASSED, f"“{listed.name}” didn't begin. {why}", listed.id)
            return False
        self.begin(talk, program, listed.id, listed.version, Began(), by)
        return True

    def _consume(self, talk: Talk, listed: _Listed, happening: Happening, by: str) -> None:
        """An automation begins with the turn, which is answered by that."""
        if talk.run_id is not None:
            self.end(talk, f"“{listed.name}” began.")
        program = self.program(listed.id, listed.version)
        self.begin(talk, program, listed.id, listed.version, Began(happening.turn), by)
        self.forget(talk)

    def _left(self, talk: Talk, says: str, kind: Kind = Kind.PASSED, *, stays: bool = False) -> None:
        """Nothing begins. The turn waits for what begins when nobody has answered for a while, if there is any; else it
        is forgotten, unless it ``stays`` open until the chat is handed back.
        """
        waited = self.now - talk.first_at
        later = [
            length
            for listed in self.listed
            if listed.listens
            for trigger in self.program(listed.id, listed.version).triggers
            for name, given in [one(trigger)]
            if name == "no_answer" and (length := duration(given["after"])) > waited
        ]
        if later:
            self._keep(talk, due_at=talk.first_at + min(later), tried=True)
        elif stays:
            self._keep(talk, due_at=None, tried=False)
        else:
            self.forget(talk)
        if not talk.tried or not later:
            self._log(talk, kind, says)

    def _wakes(self, talk: Talk, sleeper: Sleeper) -> None:
        """The time of a conversation that slept has come, unless another is talking."""
        if talk.run_id is not None:
            self.runs[sleeper.run_id] = self._as_row(sleeper, talk.contact_id) | {"wakes_at": self.now + BUSY}
            return
        holder = talk.holder(self.now)
        talk.talks_as(sleeper)
        if holder in floor.PEOPLE:
            self.end(talk, f"Its time came while {TALKS[holder]}.")
        else:
            talk.since = talk.floor.since
            self.hear(talk, Woke())

    # --- a conversation goes on ---------------------------------------------------------------------------------------

    def hear(self, talk: Talk, given: Given) -> bool:
        """What happened reaches the conversation under way, if it still may speak and waits for that."""
        if talk.run_state != State.WAITING or talk.since != talk.floor.since or talk.holder(self.now) in floor.PEOPLE:
            if talk.run_state == State.WAITING:
                self._yields(talk, "A person spoke.")
            return False
        return self._hear(talk, given, "went on", Kind.SAID)

    def _hear(self, talk: Talk, given: Given, verb: str, kind: Kind) -> bool:
        program = self.program(talk.automation_id, talk.version)
        advance = interpreter.advance(program, Standing.of_json(talk.run), given, self.facts(talk))
        if not advance.heard:
            return False
        act = _Act(
            talk, talk.run_id or 0, talk.automation_id, talk.version, program, talk.began_at, talk.began_by,
            talk.sent, talk.trace, advance, verb, kind,
        )  # fmt: skip
        self._did(act, given)
        return True

    def begin(
        self,
        talk: Talk,
        program: Program,
        automation_id: int,
        version: int,
        given: Began,
        by: str,
        before: _Act | None = None,
    ) -> None:
        """A new conversation; it knows what the one ``before`` it has just changed."""
        facts = self.facts(talk) if before is None else before.advance.facts
        advance = interpreter.advance(program, Standing(), given, facts)
        act = _Act(
            talk, talk.next_id(), automation_id, version, program, self.now, by, 0, [], advance, "began", Kind.BEGAN,
            before,
        )  # fmt: skip
        self._did(act, given)

    def _did(self, act: _Act, given: Given) -> None:
        self.acts.append(act)
        talk = act.talk
        following = next((effect for effect in act.advance.effects if isinstance(effect, Start)), None)
        talk.run_id = None if act.advance.ended else act.run_id
        if following is not None and act.hop < HOPS:
            said = given.turn if isinstance(given, Began | Answered) else None
            other = next((one for one in self.listed if one.name.lower() == following.automation.lower()), None)
            if other is not None:
                began = Began(said, act.advance.run.vars)
                by = f"“{act.program.name}”"
                self.begin(talk, self.program(other.id, other.version), other.id, other.version, began, by, act)

    def _yields(self, talk: Talk, why: str) -> None:
        row = self._as_row(talk, talk.contact_id)
        self.runs[row["id"]] = row | {"state": State.YIELDED, "why": why}
        talk.run_state = State.YIELDED
        self._log(talk, Kind.YIELDED, "A person spoke, so it fell silent.", talk.automation_id, talk.run_id)

    def end(self, talk: Talk, why: str) -> None:
        """The conversation under way is over without another word."""
        row = self._as_row(talk, talk.contact_id)
        self.runs[row["id"]] = row | {"state": State.ENDED, "why": why, "ended_at": self.now, "wakes_at": None}
        self._log(talk, Kind.ENDED, f"It ended: {lower(why)}", talk.automation_id, talk.run_id)
        talk.run_id = None

    # --- writing ------------------------------------------------------------------------------------------------------

    async def write(self) -> None:
        await self._submit()
        for act in self.acts:
            self._settle(act)
        number_id, touched = self.place.number_id, sorted(
            {line["contact_id"] for line in self.lines} | {row["contact_id"] for row in self.runs.values()}
        )  # fmt: skip
        for act in self.acts:
            await self._carry_out(act)
        if self.turns:
            await self.tx.send(queries.KEEP_TURNS, {"number": number_id, "rows": as_json(list(self.turns.values()))})
        if self.runs:
            named = {"number": number_id, "organisation": self.place.organisation_id, "now": self.now}
            await self.tx.send(queries.KEEP_RUNS, {**named, "rows": as_json(list(self.runs.values()))})
        await self._keep_floors()
        for act in self.acts:
            waits = act.advance.waits
            if act.refused is None and waits is not None and waits.kind in ("call", "bot", "agent"):
                await outside.defer(self.tx, number_id, act.run_id, act.advance.run.steps, waits)
        await log(self.tx, number_id, self.lines, self.now)
        if touched:
            await events.publish(self.tx, {number_id: {"chats": touched}}, self.now)

    async def _submit(self) -> None:
        """All that is to be said: one message of each conversation after the other, since what is refused ends it; of
        all conversations of an automation in one go.
        """
        await self._find_files()
        for hop, n in sorted({(act.hop, n) for act in self.acts for n in range(len(act.sends))}):
            batches: dict[int, list[tuple[_Act, Submission]]] = defaultdict(list)
            for act in self.acts:
                if act.hop != hop or n >= len(act.sends) or act.cut is not None or not act.may_be:
                    continue
                limit = act.program.settings.messages_per_hour
                if n >= limit - act.talk.said_lately:
                    act.refuse(n, refuse("limit", f"It sends {limit} messages an hour at most in a chat.", ""))
                    continue
                draft = messages.draft(act.sends[n].message, self.files)
                one = Submission(act.talk.contact_id, draft, Lane.AUTOMATION, f"run:{act.run_id}:{act.sent + n}")
                batches[act.automation_id].append((act, one))
            for automation_id, batch in batches.items():
                asked = [one for _, one in batch]
                became = await sending.submit_many(
                    self.app, self.tx, self.place.number_id, asked, author="automation", author_id=automation_id
                )
                for (act, _), result in zip(batch, became, strict=True):
                    if isinstance(result, Refused):
                        act.refuse(n, result)
                    elif isinstance(result, Exception):
                        act.refuse(n, refuse("gone", "The chat isn't there any more.", ""))
        self.acts = [act for act in self.acts if act.may_be]

    async def _find_files(self) -> None:
        wanted = {handle for act in self.acts for send in act.sends for handle in messages.handles(send.message)}
        for handle in sorted(wanted):
            if kept := await handles.kept(self.tx, self.place.number_id, handle):
                self.files[handle] = kept.content

    def _settle(self, act: _Act) -> None:
        """The run as it is after this, and its line in the log."""
        talk, advance = act.talk, act.advance
        n = sum(isinstance(one, Send) for one in advance.effects[: act.cut])
        state, why = (State.ENDED, advance.ended) if advance.ended else (State.WAITING, "")
        if act.refused is not None:
            no = act.refused.refusal
            state, why = State.ENDED, no.says
            if no.rule.startswith("floor."):
                state = State.YIELDED
            self.refused[talk.contact_id] = act.refused
        waits = advance.waits
        released = any(isinstance(one, Release) for one in advance.effects[: act.cut]) and state is State.ENDED
        second = int(self.now.timestamp())
        self.runs[act.run_id] = {
            "id": act.run_id,
            "automation_id": act.automation_id,
            "version": act.version,
            "contact_id": talk.contact_id,
            "state": state,
            "waits": waits.kind if waits else "",
            "wakes_at": waits.until if waits and state is State.WAITING else None,
            "run": advance.run.to_json(),
            "since": talk.floor.since,
            "sent": act.sent + n,
            "token": advance.run.steps,
            "began_at": act.began_at,
            "ended_at": self.now if state is State.ENDED else None,
            "why": why,
            "released": released,
            "began_by": act.began_by,
            "trace": [*act.trace, *([second, line] for line in advance.trace)][-TRACED:],
        }
        begins = f" by {act.began_by}" if act.kind is Kind.BEGAN else ""
        did = f"“{act.program.name}” {act.verb}{begins}"
        if n:
            did += f" and wrote {n} message{'' if n == 1 else 's'}"
        if why:
            did += f". It {'yielded' if state is State.YIELDED else 'ended'}: {lower(why)}"
        self._log(talk, act.kind, did if did.endswith(".") else f"{did}.", act.automation_id, act.run_id)
        for effect in advance.effects[: act.cut]:
            if isinstance(effect, Note):
                self._log(talk, Kind.NOTE, effect.text, act.automation_id, act.run_id)
            elif isinstance(effect, Release) and effect.note:
                self._log(talk, Kind.NOTE, f"For the team: {effect.note}", act.automation_id, act.run_id)

    async def _carry_out(self, act: _Act) -> None:
        """What changes beside messages. What can't be is said in the log."""
        number_id, contact = self.place.number_id, act.talk.contact_id
        for effect in act.advance.effects[: act.cut]:
            try:
                if isinstance(effect, Tag):
                    await contacts.tag(self.tx, number_id, [contact], self.now, add=effect.add, remove=effect.remove)
                elif isinstance(effect, SetField):
                    await contacts.know(self.tx, number_id, {contact: {"fields": {effect.key: effect.value}}}, self.now)
                elif isinstance(effect, Assign):
                    rows = as_json([{"contact_id": contact, "email": effect.to}])
                    named = {"number": number_id, "organisation": self.place.organisation_id, "rows": rows}
                    if not await self.tx.execute(queries.ASSIGN, named):
                        raise NotThere(f"There is no user “{effect.to}” here, so the chat is assigned as it was.")
            except ContactError as error:
                self._log(act.talk, Kind.NOTE, str(error), act.automation_id, act.run_id)

    async def _keep_floors(self) -> None:
        """A conversation that waits for the customer keeps campaigns out for as long; one that is over doesn't."""
        last = self.now + floor.LAST_WORDS
        over = {row["contact_id"]: last for row in self.runs.values() if row["state"] == State.ENDED}
        held = {
            row["contact_id"]: row["wakes_at"]
            for row in self.runs.values()
            if row["state"] == State.WAITING and row["waits"] != "time" and row["wakes_at"] is not None
        }
        rows = [{"contact_id": one, "until": at, "over": one not in held} for one, at in (over | held).items()]
        if rows:
            await self.tx.send(queries.KEEP_FLOORS, {"number": self.place.number_id, "rows": as_json(rows)})

    def _as_row(self, kept: Talk | Sleeper, contact_id: int) -> dict[str, Any]:
        return {
            "id": kept.run_id,
            "automation_id": kept.automation_id,
            "version": kept.version,
            "contact_id": contact_id,
            "state": kept.run_state,
            "waits": kept.waits,
            "wakes_at": kept.wakes_at,
            "run": kept.run,
            "since": kept.since,
            "sent": kept.sent,
            "token": kept.token,
            "began_at": kept.began_at,
            "ended_at": None,
            "why": "",
            "released": False,
            "began_by": kept.began_by,
            "trace": kept.trace,
        }

    def _keep(self, talk: Talk, *, due_at: datetime | None, tried: bool) -> None:
        self.turns[talk.contact_id] = {
            "contact_id": talk.contact_id, "due_at": due_at, "tried": tried, "gone": False
        }  # fmt: skip

    def forget(self, talk: Talk, kind: Kind | None = None, says: str = "") -> None:
        self.turns[talk.contact_id] = {"contact_id": talk.contact_id, "due_at": None, "tried": False, "gone": True}
        if kind is not None:
            self._log(talk, kind, says)

    def _log(
        self, talk: Talk, kind: Kind, says: str, automation_id: int | None = None, run_id: int | None = None
    ) -> None:
        wamid = talk.wamids[-1] if talk.wamids else ""
        self.lines.append(_line(talk.contact_id, kind, says, automation_id, run_id, wamid))


def turn_of(words: Iterable[tuple[Any, ...]], campaign: int | None = None) -> Turn:
    """Messages, (wamid, type, text, content, extra), the oldest first, as one turn."""
    texts, types, media, wamids = list[str](), list[str](), list[Any](), list[str]()
    choice = title = referral = None
    for wamid, kind, text, content, extra in words:
        wamids.append(wamid)
        types.append(kind)
        texts.append(text or "")
        body = content or {}
        if kind == "button":
            choice, title = body.get("payload") or text, text
        elif kind == "interactive":
            reply = body.get(str(body.get("type")))
            choice, title = (reply.get("id") if isinstance(reply, Mapping) else None), text
        if "mime_type" in body:
            media.append({"type": kind, "id": body.get("id"), "mime_type": body["mime_type"]})
        if extra and isinstance(extra.get("referral"), Mapping):
            referral = extra["referral"]
    return Turn(tuple(texts), tuple(types), choice, title, tuple(media), referral, campaign, tuple(wamids))


def _trigger(happening: Happening) -> str:
    return "a question that nobody answered" if happening.kind == "no_answer" else "a message"


def lower(says: str) -> str:
    """A sentence as it goes on behind a colon."""
    return says if says[:1] in '“"' or says[1:2].isupper() else says[:1].lower() + says[1:]


speech.when_overtaken(overtaken)
