"""Our table of errors against the reference's, code by code, wherever the reference is at hand."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinline.rules.outcomes import Class, Way, known_codes, outcome

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT.parent / "shared/reference"
CLOUD_API, COEXISTENCE = REFERENCE / "cloud-api.md", REFERENCE / "coexistence-protocol.md"

# How the reference words a policy -> the classes that carry it out. Tried in this order.
POLICIES = (
    ("ACCOUNT-STOP", {Class.STOP_NUMBER}),
    ("CAMPAIGN-STOP", {Class.STOP_CAMPAIGN}),
    ("TEMPLATE-STOP", {Class.STOP_TEMPLATE}),
    ("THROTTLE-PAIR", {Class.THROTTLE_PAIR}),
    ("THROTTLE", {Class.THROTTLE}),
    ("RETRY", {Class.RETRY}),
    ("set opt-out", {Class.OPT_OUT}),
    ("informational", {Class.INFO}),
    # Marketing Messages API and payments: what belongs to them is never sent, and stops a campaign that tries.
    ("out of scope", {Class.STOP_CAMPAIGN}),
    # Said as advice: no class of ours but "don't try again by itself", or nothing went wrong with our request.
    ("", {Class.PERMANENT, Class.INFO}),
)


def rows() -> Iterator[tuple[str, str]]:
    """(codes, policy) of the reference's table."""
    section = CLOUD_API.read_text("utf-8").split("### 2.2")[1].split("\n---")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0][0].isdigit():
            yield cells[0], cells[2]


def codes(said: str) -> Iterator[int]:
    """ "3, 10, 200-299", "2388019/039", "131052 / 131053" …"""
    said = re.sub(r"HTTP 5xx|network", "", said)
    before = ""
    for part in re.findall(r"\d+(?:-\d+)?", said):
        first, _, last = part.partition("-")
        if before and len(first) == 3 and len(before) == 7:  # 2388019/039: the end of a code like the one before
            first = before[:4] + first
        yield from range(int(first), int(last or first) + 1)
        before = first


@pytest.mark.skipif(not CLOUD_API.exists(), reason="the reference isn't beside this checkout")
def test_every_code_of_the_reference_has_the_class_that_its_policy_asks_for() -> None:
    wrong, found = [], set()
    for said, policy in rows():
        allowed = next(classes for words, classes in POLICIES if words in policy)
        for code in codes(said):
            found.add(code)
            if code not in known_codes() or outcome(code).klass not in allowed:
                wrong.append((code, policy, outcome(code).klass))
    assert len(found) > 170  # of which 100 are 200-299
    assert wrong == []


@pytest.mark.skipif(not COEXISTENCE.exists(), reason="the reference isn't beside this checkout")
def test_every_code_that_coexistence_speaks_of_is_explained() -> None:
    text = COEXISTENCE.read_text("utf-8")
    spoken = {int(code) for code in re.findall(r"\b(13[0-9]{4}|259[0-9]{4}|2388[0-9]{3})\b", text)}
    assert {2593107, 2593108, 2593109} <= spoken
    assert spoken <= known_codes()


def test_the_page_of_errors_says_what_the_table_says() -> None:
    script = runpy.run_path(str(ROOT / "scripts/errors.py"))
    assert (ROOT / "docs/errors.md").read_text("utf-8") == script["page"](), "run scripts/errors.py"


def test_what_the_reference_says_of_how_stops_end() -> None:
    assert Way.TOKEN in outcome(190).resumes
    assert Way.TEMPLATE in outcome(132015).resumes
    assert outcome(132016).resumes == {Way.TEMPLATE}, "for good: only Meta's own change of mind revives it"
    assert outcome(131048).wait == (86_400,)
    assert outcome(132069).wait == (3_600,)
    assert outcome(131064).wait, "lifts itself"
    assert outcome(131049).wait == (86_400,)
    assert outcome(133016).wait == (72 * 3_600,)
    assert outcome(4).wait[0] == 60
    assert outcome(4).wait[-1] == 900
