"""Any automation, and anything that may happen to one: Hypothesis strategies."""

from typing import Any

from hypothesis import strategies as st

from twinline.rules.automations.conditions import DAYS
from twinline.rules.automations.facts import Turn

Json = dict[str, Any]

WORDS = ["sales", "help", "Olá", "não", "12", "3,5", "ann@example.com", "24/12/2026", "👍", "+351 910 000 001", "1"]
PLACEHOLDERS = [
    "{{contact.name|there}}", "{{contact.fields.city}}", "{{vars.a}}", "{{vars.a.status|?}}", "{{message.text}}",
    "{{now|time}}", "{{tomorrow}}", "{{number.name}}",
]  # fmt: skip

words = st.sampled_from(WORDS)
keys = st.sampled_from(["a", "b", "city"])
tags = st.sampled_from(["vip", "lead"])
lengths = st.sampled_from(["1s", "45s", "10m", "2h", "5h"])
texts = st.lists(st.sampled_from([*WORDS, *PLACEHOLDERS, "yes\nno"]), min_size=1, max_size=3).map(" ".join)
plain = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0{}"), max_size=20)
said = st.lists(st.one_of(words, plain), max_size=3).map(tuple)

turns = st.builds(
    Turn,
    texts=said,
    types=st.sampled_from([(), ("text",), ("image",), ("interactive",)]),
    choice=st.sampled_from([None, None, "sales", "help"]),
    title=st.sampled_from([None, "Sales"]),
    wamids=st.just(("wamid.1",)),
)

choices = st.lists(st.sampled_from(["Sales", "Help", "Other", "Nothing"]), min_size=1, max_size=4, unique=True).map(
    lambda titles: [{"id": title.lower(), "title": title} for title in titles]
)


def _some(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Objects with any of these keys, at least one."""
    optional = st.fixed_dictionaries({}, optional=parts)
    return optional.filter(bool)


messages = st.one_of(
    st.fixed_dictionaries({"text": texts}, optional={"quote": st.just(True)}),
    st.fixed_dictionaries({"type": st.just("buttons"), "text": texts, "buttons": choices.map(lambda all_: all_[:3])}),
    st.fixed_dictionaries({"type": st.just("image"), "link": st.just("https://x.example/a.png"), "caption": texts}),
    st.fixed_dictionaries({"type": st.just("reaction"), "emoji": st.just("👍")}),
    st.fixed_dictionaries(
        {"type": st.just("cta_url"), "text": texts, "button": words, "url": st.just("https://x.example/{{vars.a}}")}
    ),
    st.fixed_dictionaries(
        {"type": st.just("list"), "text": texts, "sections": choices.map(lambda all_: [{"rows": all_}])}
    ),
)

tests = _some(
    **dict.fromkeys(("is", "is_not", "contains", "above", "below", "before", "after"), texts), empty=st.booleans()
)
clocks = st.sampled_from(["00:00", "09:00", "12:30", "22:00"])
flat_conditions: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from([{"hours": "open"}, {"hours": "closed"}, {"window": "open"}, {"assigned": True}]),
    st.builds(lambda one: {"choice": one}, st.sampled_from(["sales", "help"])),
    st.builds(lambda one: {"tag": one}, tags),
    st.builds(lambda one: {"language": one}, st.sampled_from(["pt", "pt_BR", "en"])),
    st.builds(lambda test, name: {"var": {"name": name, **test}}, tests, st.sampled_from(["a", "b", "a.status"])),
    st.builds(lambda test, key: {"field": {"key": key, **test}}, tests, keys),
    st.builds(
        lambda one: {"text": one}, _some(word=texts, contains=texts, exact=texts, starts=texts, pattern=st.just("* #"))
    ),
    st.builds(
        lambda one: {"time": one},
        st.fixed_dictionaries({}, optional={"from": clocks, "to": clocks, "days": st.just(list(DAYS[:5]))}),
    ),
)
conditions: st.SearchStrategy[Json] = st.recursive(
    flat_conditions,
    lambda inner: st.one_of(
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda all_: {"any": all_}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda all_: {"all": all_}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=3,
)

flat_steps: st.SearchStrategy[Json] = st.one_of(
    st.builds(lambda one: {"send": one}, messages),
    st.builds(lambda one: {"wait": one}, lengths),
    st.builds(lambda text: {"note": text}, texts),
    st.builds(lambda key, to: {"set": {"field": key, "to": to}}, keys, texts),
    st.builds(lambda key, to: {"set": {"var": key, "to": to}}, keys, texts),
    st.builds(lambda add: {"tag": {"add": add}}, st.lists(tags, min_size=1, max_size=2)),
    st.builds(lambda remove: {"tag": {"remove": remove}}, st.lists(tags, min_size=1, max_size=2)),
    st.sampled_from(
        [
            {"assign": {"to": "ann@example.com"}}, {"assign": {"to": "nobody"}}, {"end": {}}, {"release": {}},
            {"release": {"note": "{{message.text}}"}}, {"start": {"automation": "Any"}},
            {"start": {"automation": "Other"}},
        ]
    ),
)  # fmt: skip


def _asking(steps: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    row = st.lists(steps, max_size=3)
    case = st.fixed_dictionaries({"when": st.lists(conditions, min_size=1, max_size=2), "steps": row})
    last = st.lists(st.fixed_dictionaries({"otherwise": st.just(True), "steps": row}), max_size=1)
    branch = st.builds(lambda cases, last: {"branch": [*cases, *last]}, st.lists(case, min_size=1, max_size=2), last)
    ask = st.fixed_dictionaries(
        {"text": texts},
        optional={
            "choices": choices, "kind": st.sampled_from(["any", "text", "number", "email", "phone", "date"]),
            "save": keys, "tries": st.integers(1, 3), "again": texts, "timeout": lengths, "on_timeout": row,
            "on_invalid": row,
        },
    )  # fmt: skip
    return st.one_of(branch, ask.map(lambda given: {"ask": given}))


def _nested(steps: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    row = st.lists(steps, max_size=3)
    call = st.fixed_dictionaries(
        {"url": st.just("https://shop.example/{{vars.a}}")},
        optional={"save": keys, "retries": st.integers(0, 2), "ok": row, "failed": row},
    )
    bot = st.fixed_dictionaries({"connection": st.just("bot")}, optional={"for": lengths, "failed": row})
    agent = st.fixed_dictionaries(
        {"connection": st.just("ai"), "instructions": texts}, optional={"for": lengths, "failed": row}
    )
    named = {"call": call, "bot": bot, "agent": agent}
    return st.one_of(_asking(steps), *(one.map(lambda given, kind=kind: {kind: given}) for kind, one in named.items()))


steps = st.recursive(flat_steps, _nested, max_leaves=6)
inner_steps = st.recursive(flat_steps, _asking, max_leaves=6)
"""Those that ask nobody but the customer."""

turn_triggers: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from([{"message": {}}, {"first_contact": {}}, {"outside_hours": {}}]),
    st.builds(
        lambda all_, way: {"keyword": {"words": all_, **way}},
        st.lists(words, min_size=1, max_size=2),
        st.sampled_from([{}, {"match": "exact"}, {"match": "starts"}, {"match": "contains"}, {"match": "pattern"}]),
    ),
    st.builds(lambda titles: {"button": titles}, st.sampled_from([{}, {"titles": ["Sales"]}, {"ids": ["help"]}])),
)
triggers = st.one_of(
    turn_triggers,
    st.sampled_from(
        [
            {"no_answer": {"after": "15m"}},
            {"tag_added": {"tag": "vip"}},
            {"opted_in": {}},
            {"opted_out": {}},
            {"api": {}},
        ]
    ),
)
settings = st.fixed_dictionaries(
    {},
    optional={
        "once_per": lengths,
        "answer_left_open": st.just(False),
        "pause_on_phone": lengths,
        "limits": st.fixed_dictionaries(
            {}, optional={"messages_per_hour": st.integers(1, 5), "steps": st.integers(1, 9)}
        ),
    },
)


def _written(triggers: st.SearchStrategy[Json], steps: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {
            "name": st.just("Any"),
            "triggers": st.lists(triggers, min_size=1, max_size=3),
            "steps": st.lists(steps, min_size=1, max_size=5),
        },
        optional={"when": st.lists(conditions, max_size=1), "settings": settings},
    )


conversations = st.fixed_dictionaries(
    {
        "name": st.just("Any"),
        "triggers": st.just([{"message": {}}]),
        "steps": st.lists(inner_steps, min_size=2, max_size=5),
    },
    optional={"settings": settings},
)
"""Begun by any message, and between the customer and the owner."""
definitions = _written(triggers, steps)
"""Fit definitions; `automations.schema.read` makes each canonical."""

outside = st.builds(
    dict,
    tags=st.sampled_from([{}, {"add": ["vip"], "remove": []}]),
    fields=st.sampled_from([{}, {"city": "Lisboa"}]),
    vars=st.sampled_from([{}, {"a": {"status": "sent"}}]),
    messages=st.lists(st.builds(lambda text: {"text": text}, words), max_size=2),
    release=st.sampled_from([None, None, "they insist"]),
    end=st.booleans(),
    body=st.sampled_from([None, "text", {"status": "sent"}]),
    status=st.just(200),
)
"""What calls, bots and agents answer."""
