"""Laws of automations: whatever is written in one, and whatever happens."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.automations import definitions

from twinline.automations import messages, schema, simulate
from twinline.automations.schema import Problem, Unfit
from twinline.automations.simulate import Event, HandedBack, Happened, Passed, Replied, Said
from twinline.rules.automations.facts import Facts
from twinline.rules.automations.program import Program
from twinline.rules.automations.run import Advance, Answered, Began, Came, Given, Run, Send, Woke, advance
from twinline.rules.automations.triggers import Happening

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FACTS = Facts(
    NOW, {"name": "Ann", "language": "pt_BR", "fields": {"city": "Porto"}, "tags": ["lead"]}, {"name": "Shop"}
)

law = settings(max_examples=30)

given_to_runs: st.SearchStrategy[Given] = st.one_of(
    st.builds(Answered, definitions.turns),
    st.builds(Came, st.booleans(), st.one_of(definitions.outside, st.none(), st.just("?"), st.just([1]))),
    st.just(Woke()),
)
pauses = st.sampled_from([0, 1, 45, 600, 7200, 90_000]).map(lambda seconds: timedelta(seconds=seconds))
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Said, definitions.turns),
    st.builds(Passed, pauses),
    st.sampled_from([Replied("phone"), Replied("inbox"), HandedBack(), Happened(Happening("api"))]),
    st.builds(Came, st.booleans(), definitions.outside),
)

anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
        st.sampled_from(["send", "ask", "text", "10m", "{{vars.a}}", "{{", "open"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["steps", "triggers", "when", "send", "ask", "branch", "wait", "text", "type", "choices",
                             "not", "any", "time", "settings", "limits", "name", "call", "url"]),
            inner, max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@law
@given(definitions.definitions)
def test_the_canonical_form_says_the_same_as_json_and_as_yaml(written: definitions.Json) -> None:
    canonical = schema.read(written)
    assert schema.read(json.loads(json.dumps(canonical))) == canonical
    assert schema.from_yaml(schema.to_yaml(canonical)) == canonical


@law
@given(anything)
@example({"steps": [{"send": {"type": []}}], "triggers": [{}], "name": {}})
@example({"steps": [{"branch": [{"when": [{"not": {"any": []}}]}]}]})
def test_whatever_is_read_is_read_or_refused_with_a_sentence(data: Any) -> None:
    for value in (data, {"name": "x", "triggers": [{"api": {}}], "steps": data}):
        problems = _refused(lambda value=value: schema.read(value))
        assert all(problem.says.endswith((".", "?", "!")) for problem in problems)


@law
@given(st.one_of(st.text(max_size=60), st.text("{}[]:-&*!|>'\"#\n ab?,%@~1", max_size=40)))
@example("{{}}")
@example("!!timestamp x")
@example("[" * 500)
def test_whatever_text_is_given_for_yaml_is_read_or_refused(text: str) -> None:
    _refused(lambda: schema.from_yaml(text))


def _refused(read: Callable[[], Any]) -> tuple[Problem, ...]:
    """Why it can't be read; nothing where it can."""
    try:
        read()
    except Unfit as unfit:
        return unfit.problems
    return ()


@law
@given(definitions.definitions, st.lists(st.tuples(given_to_runs, pauses), max_size=8))
def test_a_run_waits_or_is_over_whatever_it_is_given(
    written: definitions.Json, happened: list[tuple[Given, timedelta]]
) -> None:
    program = Program.of(schema.read(written))
    now, given_now = NOW, Began()
    run, waits = Run(), None
    for what, pause in [(given_now, timedelta()), *happened]:
        now += pause
        facts = Facts(now, FACTS.contact, FACTS.number)
        done = advance(program, run, what, facts)
        assert advance(program, Run.of_json(json.loads(json.dumps(run.to_json()))), what, facts) == done
        _is_sound(program, run, done, now)
        if not done.heard:
            assert waits is not None
            assert (done.waits.kind, done.waits.until) == (waits.kind, waits.until) if done.waits else False
            continue
        run, waits = done.run, done.waits
        if done.ended is not None:
            break


def _is_sound(program: Program, before: Run, done: Advance, now: datetime) -> None:
    assert (done.waits is None) is not (done.ended is None)
    assert done.run.steps <= program.settings.steps + 20  # each thing that is heard counts once more
    if done.heard:
        assert done.run.steps > before.steps  # or two waits would be taken for each other
    else:
        assert (done.run, done.effects, done.trace) == (before, (), ())
    if done.waits is not None and done.heard:
        assert now <= done.waits.until <= datetime.fromisoformat(done.run.began or "") + program.settings.total
        assert done.run.cursor in program.steps
    for effect in done.effects:
        if isinstance(effect, Send):
            assert messages.draft(effect.message).type
            assert effect.path in program.steps
    json.dumps([done.run.to_json(), dict(done.waits.request) if done.waits else None])


@law
@given(definitions.definitions, st.lists(events, max_size=10))
def test_in_the_simulation_nothing_is_sent_while_a_person_has_the_floor(
    written: definitions.Json, happened: list[Event]
) -> None:
    program = Program.of(schema.read(written))
    state: dict[str, Any] | None = None
    held_until: datetime | None = None  # None: nobody holds it
    pause = program.settings.pause_on_phone or simulate.PAUSE
    for event in happened:
        state, did = simulate.talk(program, state, event, FACTS)
        state = json.loads(json.dumps(state))
        now = datetime.fromisoformat(state["now"])
        if isinstance(event, Replied):
            held_until = now + pause
        elif isinstance(event, HandedBack):
            held_until = None
        spoke = [one for one in did if one.kind == "sent"]
        assert all(held_until is None or one.at >= held_until for one in spoke)
        if isinstance(event, Replied):
            assert spoke == []


@law
@given(definitions.definitions, st.lists(events, max_size=10))
def test_in_the_simulation_no_more_is_said_in_an_hour_than_may_be(
    written: definitions.Json, happened: list[Event]
) -> None:
    program = Program.of(schema.read(written))
    state: dict[str, Any] | None = None
    sent: list[datetime] = []
    for event in happened:
        state, did = simulate.talk(program, state, event, FACTS)
        sent += [one.at for one in did if one.kind == "sent"]
    for at in sent:
        within = [one for one in sent if at <= one < at + timedelta(hours=1)]
        assert len(within) <= program.settings.messages_per_hour
