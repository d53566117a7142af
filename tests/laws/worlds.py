"""Little worlds of webhooks for the laws of the mirror, small enough that everything collides.

A world is a list of changes. Six people are seen through different *views* (a phone in one of its spellings, a user
id, or both; with or without names), eight message ids are spoken of by live webhooks, echoes, history, follow-ups,
edits, revokes, statuses and reactions, often at the same second and with different words. What must be settled for
the law to have a sense is settled: a message id is always from the same side.

A *delivery* is one way in which Meta may bring a world: the changes in any order, some of them twice, put together
into bodies and batches of any size.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tests.fixtures import wire
from tests.fixtures.wire import T0, Human, Json

# Per person: the spellings of their phone, their user id, the phone and the id they may move to.
PEOPLE: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("4915100000003",), "DE.30", "4915100000099", "DE.31"),
    (("351910000001",), "PT.40", "351910000099", "PT.41"),
    (("5531988887777", "553188887777"), "BR.50", "5531988887799", "BR.51"),
    (("525512345678", "5215512345678"), "MX.60", "525512345699", "MX.61"),
    (("541123456789", "5491123456789"), "AR.70", "541123456799", "AR.71"),
    (("12125550123",), "US.80", "12125550199", "US.81"),
)
NAMES = (None, "Ada", "Bo", "Ünal")
WORDS = ("rye", "spelt", "seeds")
MESSAGES = 8


def outgoing(n: int) -> bool:
    return n % 2 == 1


def base_time(n: int) -> int:
    return T0 + 10 * (n // 3)


few = st.integers(0, 2)
person = st.integers(0, len(PEOPLE) - 1)
message = st.integers(0, MESSAGES - 1)
moment = st.sampled_from((0, 0, 0, 1, 7))


@st.composite
def views(draw: st.DrawFn, which: int) -> Human:
    """One of the ways in which a webhook may name this person."""
    phones, user_id, _, _ = PEOPLE[which]
    seen = draw(st.sampled_from(("phone", "both", "user")))
    return Human(
        phone=draw(st.sampled_from(phones)) if seen != "user" else None,
        user_id=user_id if seen != "phone" else None,
        name=draw(st.sampled_from(NAMES)),
        username=draw(st.sampled_from((None, "ada.b"))) if seen != "phone" else None,
        parent_id=draw(st.sampled_from((None, "X.ENT.1"))) if seen != "phone" else None,
    )


def _chat(n: int) -> int:
    return n % len(PEOPLE)


@st.composite
def partners(draw: st.DrawFn, n: int) -> Human:
    """The other side of message ``n``; rarely somebody else, who then must be the same person."""
    other = draw(st.sampled_from((0,) * 11 + (1,)))
    return draw(views((_chat(n) + other) % len(PEOPLE)))


@st.composite
def spoken(draw: st.DrawFn, n: int) -> Json:
    """What message ``n`` may be said to be."""
    at = base_time(n) + draw(moment)
    wamid = f"wamid.{n}"
    quote = draw(st.sampled_from(({}, {}, {"context": {"id": f"wamid.{draw(message)}"}})))
    kind = draw(st.sampled_from(("text", "text", "image", "unsupported", "reaction", "hug", "request_welcome")))
    match kind:
        case "text":
            return wire.text(wamid, at, draw(st.sampled_from(WORDS)), **quote)
        case "image":
            about = {"id": f"media.{draw(few)}", "mime_type": "image/jpeg", "url": f"u{draw(few)}"}
            caption = draw(st.sampled_from((None, *WORDS)))
            return wire.said(wamid, at, "image", {**about, **wire.present(caption=caption)}, **quote)
        case "unsupported":
            return wire.said(
                wamid, at, "unsupported", errors=[draw(st.sampled_from((wire.UNKNOWN_TYPE, wire.NOT_HERE_YET)))]
            )
        case "reaction":
            emoji = draw(st.sampled_from(("🧡", "👍", "")))
            return wire.said(wamid, at, "reaction", {"message_id": f"wamid.{draw(message)}", "emoji": emoji})
        case _:
            return wire.said(wamid, at, kind, {"arms": draw(few)})


@st.composite
def corrections(draw: st.DrawFn, n: int) -> Json:
    """An edit or a revoke of message ``n``; the same event may be told with different times."""
    at = base_time(n) + draw(st.integers(1, 4))
    event = draw(few)
    if draw(st.booleans()):
        return wire.revoke_of(f"wamid.r{n}.{event}", at, f"wamid.{n}")
    kind = draw(st.sampled_from(("text", "image")))
    about = {"body": WORDS[event]} if kind == "text" else {"id": "media.9", "caption": WORDS[event]}
    return wire.edit_of(f"wamid.e{n}.{event}", at, f"wamid.{n}", kind, about)


def _change(webhook: Json) -> Json:
    [entry] = webhook["entry"]
    return entry  # type: ignore[no-any-return]


@st.composite
def live(draw: st.DrawFn) -> Json:
    n = draw(message)
    said = draw(st.one_of(spoken(n), spoken(n), corrections(n)))
    human = draw(partners(n))
    return wire.echoes(human, said) if outgoing(n) else wire.inbound(human, said)


@st.composite
def follow_ups(draw: st.DrawFn) -> Json:
    n = draw(message)
    said = draw(spoken(n))
    if not outgoing(n):
        return wire.follow_up_in(draw(partners(n)), said)
    return wire.follow_up_out(draw(st.one_of(st.none(), partners(n))), said)


@st.composite
def chunks(draw: st.DrawFn) -> Json:
    threads = []
    for which in draw(st.lists(person, min_size=1, max_size=2, unique=True)):
        human = draw(views(which))
        spoken_here = []
        for n in draw(st.lists(message.filter(lambda n, which=which: _chat(n) == which), max_size=3)):  # type: ignore[misc]
            at = base_time(n) + draw(moment)
            said = draw(st.one_of(spoken(n), corrections(n), st.just(wire.placeholder(f"wamid.{n}", at))))
            word = draw(st.sampled_from(("SENT", "DELIVERED", "READ", "ERROR")))
            spoken_here.append(wire.ours(said, word) if outgoing(n) else wire.theirs(human, said, word))
        threads.append(wire.thread(human, *spoken_here))
    return wire.chunk(draw(few), draw(few), draw(st.integers(0, 100)), *threads)


@st.composite
def statuses(draw: st.DrawFn) -> Json:
    n = draw(message.filter(outgoing))
    human = draw(partners(n))
    word = draw(st.sampled_from(("sent", "delivered", "read", "played", "failed")))
    more: Json = draw(st.sampled_from(({}, {"pricing": wire.PRICED}, {"errors": [wire.TOO_LATE]})))
    told = wire.status(human, f"wamid.{n}", word, base_time(n) + draw(st.integers(1, 3)), **more)
    return wire.statuses(told, human=draw(st.sampled_from((None, human))))


@st.composite
def calls(draw: st.DrawFn) -> Json:
    n = draw(message)
    event = draw(st.sampled_from(("connect", "terminate")))
    more: Json = draw(st.sampled_from(({}, {"direction": "BUSINESS_INITIATED"}, {"start_time": base_time(n) + 1})))
    return wire.call(draw(partners(n)), f"wacid.{n}", base_time(n) + draw(moment), event, **more)


@st.composite
def address_book(draw: st.DrawFn) -> Json:
    human = draw(views(draw(person)))
    at = draw(st.sampled_from((None, T0, T0, T0 + 1)))
    if draw(st.booleans()):
        return wire.state_sync(wire.contact(human, "remove", at))
    first = draw(st.sampled_from(NAMES))
    return wire.state_sync(wire.contact(human, "add", at, draw(st.sampled_from(NAMES)), first))


@st.composite
def moves(draw: st.DrawFn) -> Json:
    which = draw(person)
    _, user_id, new_phone, new_id = PEOPLE[which]
    at = T0 + draw(moment)
    if draw(st.booleans()):
        after = Human(draw(st.sampled_from((None, new_phone))), new_id, draw(st.sampled_from(NAMES)))
        return wire.new_user_id(Human(None, user_id), after, at)
    before = draw(views(which))
    after = Human(new_phone, draw(st.sampled_from((None, user_id, new_id))))
    return wire.new_number(before, after, f"wamid.s{which}", at)


@st.composite
def preferences(draw: st.DrawFn) -> Json:
    human = draw(views(draw(person)))
    return wire.preference(human, draw(st.sampled_from(("stop", "resume"))), T0 + draw(moment))


@st.composite
def notices(draw: st.DrawFn) -> Json:
    return wire.account(draw(st.sampled_from(sorted(wire.ACCOUNT))), T0 + draw(moment))


happenings = st.one_of(
    live(), live(), live(), chunks(), chunks(), follow_ups(), statuses(), address_book(), moves(), preferences(),
    calls(), notices(), st.sampled_from(("enveloped", "value_level")).map(wire.declined),
).map(_change)  # fmt: skip

worlds = st.lists(happenings, min_size=1, max_size=14)


@dataclass(frozen=True)
class Delivery:
    """Batches of bodies, and the day on which each batch comes."""

    batches: tuple[tuple[bytes, ...], ...]
    days: tuple[int, ...]


@st.composite
def deliveries(draw: st.DrawFn, world: list[Json]) -> Delivery:
    again = draw(st.lists(st.sampled_from(world), max_size=4))
    entries = draw(st.permutations([*world, *again]))
    bodies = [wire.body(wire.envelope(*part)) for part in draw(cuts(entries))]
    repeats = draw(st.lists(st.sampled_from(bodies), max_size=2))
    batches = draw(cuts([*bodies, *repeats]))
    days = draw(st.lists(st.integers(0, 3), min_size=len(batches), max_size=len(batches)))
    return Delivery(tuple(tuple(batch) for batch in batches), tuple(days))


@st.composite
def cuts(draw: st.DrawFn, whole: list[Any]) -> list[list[Any]]:
    """The list cut into pieces, none of them empty."""
    ends = sorted(draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=len(whole))) | {len(whole)})
    return [whole[start:end] for start, end in zip([0, *ends], ends, strict=False) if whole[start:end]]


@st.composite
def worlds_and_deliveries(draw: st.DrawFn) -> tuple[list[Json], Delivery]:
    world = draw(worlds)
    return world, draw(deliveries(world))
