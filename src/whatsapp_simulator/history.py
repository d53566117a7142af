"""The past of a phone, made from a seed: any size, always the same, never held as a whole.

A plan (seed, number of messages, anchor time, people) is cut into cells: one per person and age band (0..1, 1..90,
90..180 days before the anchor). A cell has its own random source, so each can be made alone: the phone's page makes
the cells of one chat, the synchronisation walks over all of them, phase by phase, and forgets each after its chunk.

What holds, and the tests check: the cells' sizes add up to the plan's; each message has one id, the same each time it
is made; a chunk holds messages of one phase; each message younger than 180 days is in one chunk; the last chunk made
has progress 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, Literal

from . import phrases
from .ids import wamid
from .media import MIMES
from .state import Customer, HistoryPlan, Message
from .wire import MEDIA_TYPES

DAY = 86400.0
PHASES: tuple[tuple[float, float], ...] = ((0, 1), (1, 90), (90, 180))
"""Meta: history webhook reference, days before onboarding."""
BAND_WEIGHTS = (0.04, 0.56, 0.40)
MEDIA_DAYS = 14  # Meta: media follow-ups
BODY_LIMIT = 2_400_000  # Meta: 3 MB a webhook; the estimate below is rough

KINDS: tuple[tuple[str, float], ...] = (
    ("text", 0.81),
    ("image", 0.06),
    ("audio", 0.04),
    ("reaction", 0.03),
    ("document", 0.02),
    ("sticker", 0.015),
    ("video", 0.01),
    ("location", 0.007),
    ("contacts", 0.004),
    ("unsupported", 0.004),
)
STATUSES: tuple[tuple[str, float], ...] = (
    ("read", 0.80),
    ("delivered", 0.14),
    ("sent", 0.04),
    ("error", 0.015),
    ("pending", 0.005),
)
EDITS = 0.01


def _cumulative(table: Sequence[tuple[str, float]]) -> tuple[list[str], list[float]]:
    names, total, sums = [], 0.0, []
    for name, weight in table:
        total += weight
        names.append(name)
        sums.append(total)
    return names, sums


_KINDS = _cumulative(KINDS)
_STATUSES = _cumulative(STATUSES)


def phase_of(at: float, onboarded_at: float) -> int | None:
    """Phase by age at onboarding; None: too old to be shared."""
    days = (onboarded_at - at) / DAY
    for phase, (_, old) in enumerate(PHASES):
        if days < old:
            return phase
    return None


class Past:
    """A plan with its people, ready to be read."""

    def __init__(self, plan: HistoryPlan, phone_id: str, people: Mapping[str, Customer]) -> None:
        self.plan = plan
        self._phone = phone_id
        self._people = people

    @cached_property
    def sizes(self) -> dict[tuple[int, int], int]:
        """(band, person) -> number of messages; a few people write much, most write little."""
        bands = [
            w if old <= self.plan.days or low < self.plan.days else 0.0
            for w, (low, old) in zip(BAND_WEIGHTS, PHASES, strict=True)
        ]
        people = [1 / (i + 1) ** 0.8 for i in range(len(self.plan.customers))]
        whole = sum(bands) * sum(people)
        sizes, gone, taken = {}, 0.0, 0
        for band, of_band in enumerate(bands):
            for person, of_person in enumerate(people):
                gone += of_band * of_person / whole
                upto = round(gone * self.plan.messages)
                sizes[band, person] = upto - taken
                taken = upto
        return sizes

    def cell(self, band: int, person: int) -> list[Message]:
        """The messages of one person in one age band, oldest first."""
        count = self.sizes[band, person]
        if not count:
            return []
        plan = self.plan
        rng = Random(f"{plan.seed}:{band}:{person}")
        customer = self._people[plan.customers[person]]
        number = plan.numbers[person]
        low, old = PHASES[band]
        newest = plan.anchor - low * DAY - 1
        oldest = plan.anchor - min(old, plan.days) * DAY + 1
        made: list[Message] = []
        for at in _times(rng, count, oldest, newest):
            made.append(self._message(rng, customer, number, at, made))
        return made

    def thread(self, customer_id: str) -> list[Message]:
        """All that was said with one person, oldest first."""
        if customer_id not in self.plan.customers:
            return []
        person = self.plan.customers.index(customer_id)
        return [m for band in reversed(range(len(PHASES))) for m in self.cell(band, person)]

    def newest(self, customer_id: str) -> Message | None:
        """The last message of a thread that is a bubble of its own."""
        if customer_id not in self.plan.customers:
            return None
        person = self.plan.customers.index(customer_id)
        for band in range(len(PHASES)):
            for message in reversed(self.cell(band, person)):
                if message.type not in ("reaction", "edit", "revoke"):
                    return message
        return None

    def _message(self, rng: Random, customer: Customer, number: str, at: float, before: list[Message]) -> Message:
        outgoing = rng.random() < 0.48
        kind = _pick(rng, _KINDS)
        if self.plan.edits and before and rng.random() < EDITS:
            kind = "edit" if rng.random() < 0.6 else "revoke"
        if kind in ("reaction", "edit", "revoke"):
            kind, outgoing, content = _about_earlier(rng, kind, outgoing, customer, before)
        else:
            content = _content(rng, kind, outgoing, customer)
        context = None
        if kind == "text" and before and rng.random() < 0.06:
            quoted = before[max(0, len(before) - rng.randrange(1, 6))]
            context = {"id": quoted.id}
        status = "read"
        if outgoing:
            status = _pick(rng, _STATUSES)
            if kind == "audio" and status == "read":
                status = "played"
        return Message(
            id=wamid(rng, number, outgoing=outgoing),
            phone=self._phone,
            customer=customer.id,
            direction="out" if outgoing else "in",
            origin="history",
            type=kind,
            content=content,
            at=at,
            status=status,
            context=context,
        )


def _pick(rng: Random, table: tuple[list[str], list[float]]) -> str:
    return rng.choices(table[0], cum_weights=table[1])[0]


def _times(rng: Random, count: int, oldest: float, newest: float) -> list[float]:
    """Conversations of a few messages each, spread over the band; whole seconds, in order."""
    times: list[float] = []
    while len(times) < count:
        at = rng.uniform(oldest, newest)
        for _ in range(min(rng.randrange(2, 12), count - len(times))):
            times.append(float(int(min(at, newest))))
            at += rng.expovariate(1 / 90)
    times.sort()
    return times


def _fill(rng: Random, line: str, customer: Customer) -> str:
    if "{" not in line:
        return line
    return line.format(
        thing=rng.choice(phrases.THINGS[customer.language]),
        price=f"${rng.randrange(3, 60)}.{rng.choice(('00', '50', '90'))}",
        hour=f"{rng.randrange(8, 20)}:{rng.choice(('00', '15', '30'))}",
        name=customer.name.split()[0],
    )


def _content(rng: Random, kind: str, outgoing: bool, customer: Customer) -> Any:
    language = customer.language
    if kind == "text":
        lines = phrases.BUSINESS if outgoing else phrases.CUSTOMER
        return {"body": _fill(rng, rng.choice(lines[language]), customer)}
    if kind in MEDIA_TYPES:
        media: dict[str, Any] = {"mime_type": MIMES[kind], "id": str(rng.randrange(10**14, 10**15))}
        caption = rng.choice(phrases.CAPTIONS[language])
        if kind in ("image", "video") and caption:
            media["caption"] = caption
        if kind == "document":
            media["filename"] = f"quote-{rng.randrange(100, 999)}.pdf"
        if kind == "audio":
            media["voice"] = True
        if kind == "sticker":
            media["animated"] = False
        return media
    if kind == "location":
        return {"latitude": round(rng.uniform(-34, 41), 5), "longitude": round(rng.uniform(-99, 3), 5)}
    if kind == "contacts":
        first = rng.choice(phrases.FIRST_NAMES[language])
        phone = f"1415555{rng.randrange(10000):04}"
        return [
            {
                "name": {"formatted_name": first, "first_name": first},
                "phones": [{"phone": f"+{phone}", "wa_id": phone, "type": "CELL"}],
            }
        ]
    return {"code": 131051, "type": rng.choice(("poll_creation", "pin", "keep_in_chat"))}


def _about_earlier(
    rng: Random, kind: str, outgoing: bool, customer: Customer, before: list[Message]
) -> tuple[str, bool, Any]:
    """A reaction, an edit or a deletion of one of the last messages; a text where none fits."""
    for message in reversed(before[-8:]):
        theirs = message.direction == ("out" if outgoing else "in")
        if kind == "reaction" and not theirs and message.type not in ("reaction", "edit", "revoke"):
            return kind, outgoing, {"message_id": message.id, "emoji": rng.choice(phrases.EMOJI)}
        if kind == "edit" and theirs and message.type == "text":
            text = {"body": message.content["body"] + " ✏️"}
            return kind, outgoing, {"original_message_id": message.id, "message": {"type": "text", "text": text}}
        if kind == "revoke" and theirs and message.type == "text":
            return kind, outgoing, {"original_message_id": message.id}
    return "text", outgoing, _content(rng, "text", outgoing, customer)


@dataclass
class Chunk:
    """One ``history`` webhook. ``order`` counts from 1 in each phase."""

    phase: int
    order: int
    progress: int = 0
    threads: list[tuple[str, list[Message]]] = field(default_factory=list)
    size: int = 0
    bytes: int = 0
    """A rough bound of its JSON, from above."""

    @property
    def messages(self) -> Iterator[Message]:
        return (m for _, messages in self.threads for m in messages)


def chunks(
    past: Past | None,
    live: Mapping[str, Sequence[Message]],
    onboarded_at: float,
    per_chunk: int = 500,
) -> Iterator[Chunk]:
    """The history webhooks of a phone, made one at a time, newest phase first.

    ``live``: what was said since the phone was made, by customer id. Progress counts what is done of what there may
    be and stays below 100 until the last chunk. Nothing to share is one chunk without threads.
    """
    total = max(1, (past.plan.messages if past else 0) + sum(map(len, live.values())))
    done = 0
    waiting: Chunk | None = None
    for phase in range(len(PHASES)):
        order = 0
        chunk: Chunk | None = None
        for customer_id, messages in _of_phase(past, live, onboarded_at, phase):
            for message in messages:
                if chunk is None or chunk.size >= per_chunk or chunk.bytes > BODY_LIMIT:
                    if chunk is not None:
                        if waiting is not None:
                            yield waiting
                        waiting = chunk
                    order += 1
                    chunk = Chunk(phase, order)
                if not chunk.threads or chunk.threads[-1][0] != customer_id:
                    chunk.threads.append((customer_id, []))
                chunk.threads[-1][1].append(message)
                chunk.size += 1
                chunk.bytes += 450 + 6 * len(str(message.content))
                done += 1
                chunk.progress = min(99, 100 * done // total)
        if chunk is not None:
            if waiting is not None:
                yield waiting
            waiting = chunk
    last = waiting or Chunk(0, 1)
    last.progress = 100
    yield last


def _of_phase(
    past: Past | None, live: Mapping[str, Sequence[Message]], onboarded_at: float, phase: int
) -> Iterable[tuple[str, Iterable[Message]]]:
    """Each person's messages of a phase. A band of the plan lies in one phase or two, by how long ago it was made."""
    people = past.plan.customers if past else ()
    for person, customer_id in enumerate(people):
        assert past is not None
        for band, (low, old) in reversed(list(enumerate(PHASES))):
            reach = {
                phase_of(past.plan.anchor - low * DAY - 1, onboarded_at),
                phase_of(past.plan.anchor - old * DAY + 1, onboarded_at),
            }
            if phase not in reach and not (phase == 1 and reach == {0, 2}):
                continue
            found = [m for m in past.cell(band, person) if phase_of(m.at, onboarded_at) == phase]
            if found:
                yield customer_id, found
    for customer_id, messages in live.items():
        found = [m for m in messages if phase_of(m.at, onboarded_at) == phase]
        if found:
            yield customer_id, found


def folded(messages: Iterable[Message]) -> list[Message]:
    """A thread as a screen shows it: reactions, edits and deletions put upon the messages they are about."""
    shown: dict[str, Message] = {}
    for message in messages:
        side: Literal["customer", "business"] = "customer" if message.direction == "in" else "business"
        if message.type == "reaction":
            target = shown.get(message.content["message_id"])
            if target is not None:
                target.reactions[side] = message.content.get("emoji", "")
        elif message.type == "edit":
            target = shown.get(message.content["original_message_id"])
            if target is not None:
                target.edits.append(target.content)
                target.content = message.content["message"]["text"]
        elif message.type == "revoke":
            target = shown.get(message.content["original_message_id"])
            if target is not None:
                target.revoked = True
        else:
            shown[message.id] = message
    return list(shown.values())
