"""What may be filled into a template, what Meta would say to one, and how one stands."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinline.rules import template_checks, templates
from twinline.rules.templates import fill, read, slots

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def spec(**parts: Any) -> dict[str, Any]:
    """A template without a fault, changed in these parts."""
    whole = {
        "name": "order_ready",
        "language": "en_US",
        "category": "UTILITY",
        "parameter_format": "POSITIONAL",
        "components": [body("Hi {{1}}, your order {{2}} is ready to be picked up.", "Ann", "A-17")],
    }
    return whole | parts


def body(text: str, *examples: str) -> dict[str, Any]:
    return {"type": "BODY", "text": text} | ({"example": {"body_text": [list(examples)]}} if examples else {})


def header(format_: str, **more: Any) -> dict[str, Any]:
    return {"type": "HEADER", "format": format_, **more}


def buttons(*found: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BUTTONS", "buttons": list(found)}


def quick(text: str) -> dict[str, Any]:
    return {"type": "QUICK_REPLY", "text": text}


def broken(whole: dict[str, Any]) -> set[str]:
    return {problem.rule for problem in template_checks.problems(whole) if problem.sure}


# --- what somebody writes ---------------------------------------------------------------------------------------------

TEXT = body("Hello there, good news for you today.")
CARD = [
    header("IMAGE", example={"header_handle": ["4::a"]}),
    body("Fresh bread for {{1}} this week.", "Ann"),
    buttons(quick("Order")),
]

FINE = [
    spec(),
    spec(
        parameter_format="NAMED",
        components=[
            header(
                "TEXT",
                text="For {{who}}",
                example={"header_text_named_params": [{"param_name": "who", "example": "A"}]},
            ),
            {
                "type": "BODY",
                "text": "Dear {{who}}, it is {{state}} now.",
                "example": {
                    "body_text_named_params": [
                        {"param_name": "who", "example": "Ann"},
                        {"param_name": "state", "example": "ready"},
                    ]
                },
            },
            {"type": "FOOTER", "text": "The bakery"},
            buttons(
                quick("Yes"),
                quick("No"),
                {
                    "type": "URL",
                    "text": "Track",
                    "url": "https://a.example/o/{{1}}",
                    "example": ["https://a.example/o/17"],
                },
                {"type": "PHONE_NUMBER", "text": "Call us", "phone_number": "+351 21 000 7788"},
            ),
        ],
    ),
    spec(category="MARKETING", components=[TEXT, {"type": "CAROUSEL", "cards": [{"components": CARD}] * 2}]),
    spec(
        category="MARKETING",
        components=[
            header("IMAGE", example={"header_handle": ["4::a"]}),
            {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Ends soon!", "has_expiration": True}},
            TEXT,
            buttons(
                {"type": "COPY_CODE", "example": "BREAD10"},
                {"type": "URL", "text": "Shop", "url": "https://a.example/shop"},
            ),
        ],
    ),
    spec(
        category="AUTHENTICATION",
        components=[
            {"type": "BODY", "add_security_recommendation": True},
            {"type": "FOOTER", "code_expiration_minutes": 10},
            buttons({"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}),
        ],
    ),
]


@pytest.mark.parametrize("whole", FINE)
def test_what_meta_takes_has_no_problem(whole: dict[str, Any]) -> None:
    assert template_checks.problems(whole) == []


BAD = [
    (spec(name="Order Ready"), "name.characters"),
    (spec(name="x" * 513), "name.too_long"),
    (spec(name=""), "name.empty"),
    (spec(language="klingon"), "language.unknown"),
    (spec(category="TRANSACTIONAL"), "category.unknown"),
    (spec(components=[]), "body.empty"),
    (spec(components=[TEXT, TEXT]), "component.twice"),
    (spec(components=[body("x" * 1025)]), "body.too_long"),
    (spec(components=[body("One\n\n\ntwo.")]), "body.newlines"),
    (spec(components=[body("{{1}} is ready now.", "A")]), "variable.edge"),
    (spec(components=[body("Your order is {{1}}", "A")]), "variable.edge"),
    (spec(components=[body("Your order is here: {{1}} {{2}} now, come.", "A", "B")]), "variable.adjacent"),
    (spec(components=[body("Your order {{1}} and {{3}} are ready.", "A", "B")]), "variable.number"),
    (spec(components=[body("Your order {{name}} is ready now.", "A")]), "variable.number"),
    (spec(parameter_format="NAMED", components=[body("Your order {{1}} is ready now.", "A")]), "variable.name"),
    (spec(components=[body("Your order {{1} is ready now.")]), "variable.open"),
    (spec(components=[body("Your order {{1}} is ready now.")]), "example.missing"),
    (spec(components=[TEXT, header("TEXT", text="x" * 61)]), "header.too_long"),
    (spec(components=[TEXT, header("TEXT", text="{{1}} and {{2}}")]), "header.variables"),
    (spec(components=[TEXT, header("TEXT", text="Sale 🎉")]), "header.marks"),
    (spec(components=[TEXT, header("IMAGE")]), "example.missing"),
    (spec(components=[TEXT, header("GIF")]), "header.format"),
    (spec(components=[TEXT, {"type": "FOOTER", "text": "x" * 61}]), "footer.too_long"),
    (spec(components=[TEXT, {"type": "FOOTER", "text": "For {{1}}"}]), "footer.variables"),
    (spec(components=[TEXT, buttons(*(quick(str(n)) for n in range(11)))]), "buttons.many"),
    (
        spec(components=[TEXT, buttons(*({"type": "URL", "text": str(n), "url": "https://a.b"} for n in range(3)))]),
        "buttons.many",
    ),
    (
        spec(
            components=[TEXT, buttons(quick("Yes"), {"type": "URL", "text": "Go", "url": "https://a.b"}, quick("No"))]
        ),
        "buttons.order",
    ),
    (spec(components=[TEXT, buttons(quick("Yes"), quick("yes"))]), "buttons.alike"),
    (spec(components=[TEXT, buttons(quick("x" * 26))]), "buttons.too_long"),
    (
        spec(components=[TEXT, buttons({"type": "URL", "text": "Go", "url": "https://a.b/{{1}}/x", "example": ["1"]})]),
        "button.variable",
    ),
    (spec(components=[TEXT, buttons({"type": "URL", "text": "Go", "url": "example"})]), "button.url"),
    (spec(components=[TEXT, buttons({"type": "PHONE_NUMBER", "text": "Call", "phone_number": "me"})]), "button.phone"),
    (spec(components=[TEXT, buttons({"type": "OTP", "text": "Copy"})]), "button.kind"),
    (spec(components=[TEXT, {"type": "CAROUSEL", "cards": [{"components": CARD}] * 2}]), "category.marketing"),
    (
        spec(category="MARKETING", components=[TEXT, {"type": "CAROUSEL", "cards": [{"components": CARD}]}]),
        "cards.count",
    ),
    (spec(category="AUTHENTICATION", components=[{"type": "BODY"}]), "authentication.button"),
    (
        spec(
            category="AUTHENTICATION",
            components=[
                {"type": "BODY"},
                {"type": "FOOTER", "code_expiration_minutes": 91},
                buttons({"type": "OTP", "otp_type": "COPY_CODE"}),
            ],
        ),
        "authentication.minutes",
    ),
]


@pytest.mark.parametrize(("whole", "rule"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_what_meta_refuses_is_said_before(whole: dict[str, Any], rule: str) -> None:
    assert rule in broken(whole)


def test_a_guess_is_told_but_stands_in_nobodys_way() -> None:
    [problem] = template_checks.problems(spec(components=[body("Order {{1}}!", "A-17")]))
    assert (problem.rule, problem.sure) == ("variable.many", False)
    assert broken(spec(components=[body("Order {{1}}!", "A-17")])) == set()


# --- filling and reading back -----------------------------------------------------------------------------------------

WORD = st.text("abcdefghijklmnop ", min_size=1, max_size=12).map(str.strip).filter(bool)
NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), unique=True, max_size=4)


@st.composite
def written(draw: st.DrawFn, inside: bool = False) -> dict[str, Any]:
    """A template with any mixture of places for values."""
    named = draw(st.booleans())

    def text() -> str:
        names = draw(NAMES) if named else [str(n + 1) for n in range(draw(st.integers(0, 4)))]
        return "So " + " and ".join(f"{{{{{name}}}}}" for name in names) + "."

    def parts(*, inside: bool) -> list[dict[str, Any]]:
        formats = ("IMAGE", "VIDEO") if inside else ("TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION")
        made: list[dict[str, Any]] = [body(text())]
        if draw(st.booleans()):
            made.append(header(draw(st.sampled_from(formats)), text=text()))
        kinds = draw(st.lists(st.sampled_from(["QUICK_REPLY", "URL", "PHONE_NUMBER", "COPY_CODE", "FLOW"]), max_size=4))
        made.append(buttons(*({"type": kind, "text": kind, "url": "https://a.b/{{1}}"} for kind in kinds)))
        return made

    whole = parts(inside=False)
    if draw(st.booleans()):
        whole.append({"type": "CAROUSEL", "cards": [{"components": parts(inside=True)} for _ in range(2)]})
    if draw(st.booleans()):
        whole.append({"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "!", "has_expiration": True}})
    return spec(category="MARKETING", parameter_format="NAMED" if named else "POSITIONAL", components=whole)


def value(draw: st.DrawFn, kind: str) -> Any:
    if kind in ("text", "url", "coupon", "payload"):
        return draw(WORD)
    return {"id": draw(WORD)}


@given(st.data())
def test_what_was_filled_in_is_read_back(data: st.DataObject) -> None:
    template = data.draw(written())
    places = slots(template)
    values = {slot.key: value(data.draw, slot.kind) for slot in places}
    filled = fill(template, values)
    assert (filled.missing, filled.surplus) == ((), ())
    assert read(template, list(filled.components)) == (values, [])
    assert "{{" not in filled.text
    assert all(said in filled.text for key, said in values.items() if key.startswith("body."))


@given(st.data())
def test_whatever_lacks_is_named_and_nothing_else(data: st.DataObject) -> None:
    template = data.draw(written())
    places = slots(template)
    lacking = data.draw(st.sets(st.sampled_from([slot.key for slot in places]))) if places else set()
    values = {slot.key: value(data.draw, slot.kind) for slot in places if slot.key not in lacking}
    filled = fill(template, {**values, "body.zzz": "x"})
    assert {slot.key for slot in filled.missing} == {s.key for s in places if s.key in lacking and s.required}
    assert filled.surplus == ("body.zzz",)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["type", "parameters", "index", "cards", "components", "text"]), inner)
        ),
    )
)
def test_components_of_any_shape_are_read_or_refused_but_never_break(sent: Any) -> None:
    values, problems = read(FINE[1], sent)
    assert isinstance(values, dict)
    assert all(problem.says and problem.do for problem in problems)


def test_values_that_are_too_many_are_named_one_by_one() -> None:
    sent = [
        {"type": "body", "parameters": [{"type": "text", "text": str(n)} for n in range(4)]},
        {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]},
    ]
    _, problems = read(spec(), sent)
    assert [problem.says for problem in problems] == [
        "The body has no place for value 3.",
        "The body has no place for value 4.",
        "The header has no place for value 1.",
    ]


def test_the_format_of_variables_is_the_templates_and_is_never_guessed() -> None:
    named = spec(parameter_format="NAMED", components=[body("Hi {{who}}, hello.")])
    bare = [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}]
    with_name = [{"type": "body", "parameters": [{"type": "text", "parameter_name": "who", "text": "Ann"}]}]
    assert read(named, with_name) == ({"body.who": "Ann"}, [])
    assert "parameter_name" in read(named, bare)[1][0].says
    numbered = spec(components=[body("Hi {{1}}, hello.")])
    assert "number" in read(numbered, with_name)[1][0].says


def test_an_empty_value_gives_way_to_its_fallback_and_a_given_one_does_not() -> None:
    filled = fill(spec(), {"body.1": "  ", "body.2": "A-17"}, {"body.1": "there", "body.2": "?"})
    assert filled.text == "Hi there, your order A-17 is ready to be picked up."


def test_the_code_of_an_authentication_template_stands_in_its_text_and_in_its_button() -> None:
    filled = fill(FINE[4], {"body.1": "482913"})
    assert filled.missing == ()
    assert filled.text.startswith("*482913* is your verification code.")
    assert filled.footer == "This code expires in 10 minutes."
    assert [component["parameters"][0]["text"] for component in filled.components] == ["482913", "482913"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [("two\nlines", "template.value"), ("wide     gap", "template.value"), ("x" * 1020, "template.too_long")],
)
def test_a_value_that_meta_would_refuse_is_named(text: str, rule: str) -> None:
    found = list(templates.value_problems(spec(), {"body.1": text, "body.2": "A-17"}))
    assert [problem.rule for problem in found] == [rule]


# --- how one stands ---------------------------------------------------------------------------------------------------


def test_only_an_approved_template_goes_out_and_an_unknown_state_never_does() -> None:
    assert [name for name in templates.rules()["status"] if templates.status(name).sends] == ["APPROVED"]
    assert templates.status("SOMETHING_NEW").sends is False


def test_a_pause_says_whether_it_ends_by_itself() -> None:
    assert templates.pause_length("FIRST_PAUSE") == timedelta(hours=3)
    assert templates.pause_length("SECOND_PAUSE") == timedelta(hours=6)
    assert templates.pause_length("RATE_LIMITING_PAUSE") is None
    assert "by itself" in templates.explain("PAUSED", "FIRST_PAUSE").says
    assert "unpause" in templates.explain("PAUSED", "RATE_LIMITING_PAUSE").do
    assert "abusive" in templates.explain("REJECTED", "ABUSIVE_CONTENT").says


def test_an_approved_template_changes_once_a_day_and_ten_times_a_month() -> None:
    def days(*ago: float) -> list[datetime]:
        return [NOW - timedelta(days=day) for day in ago]

    assert templates.may_edit("APPROVED", days(1.1, 2, 3), NOW) is None
    refused = templates.may_edit("APPROVED", days(0.5), NOW)
    assert refused is not None
    assert "23 November 2026, 00:00 UTC" in refused.do
    assert templates.may_edit("REJECTED", days(0.1), NOW) is None
    tenth = templates.may_edit("APPROVED", days(*range(2, 12)), NOW)
    assert tenth is not None
    assert "10 times in 30 days" in tenth.says
    assert templates.may_edit("PENDING", [], NOW) is not None


def test_the_name_of_a_deleted_template_stays_blocked_for_thirty_days() -> None:
    gone = {"spring_sale": NOW - timedelta(days=29)}
    assert templates.may_reuse("spring_sale", gone, NOW) is not None
    assert templates.may_reuse("spring_sale", gone, NOW + timedelta(days=1)) is None
    assert templates.may_reuse("autumn_sale", gone, NOW) is None
