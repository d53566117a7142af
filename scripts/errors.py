"""Writes docs/errors.md from the table that the code goes by. Run it after a change of rules/outcomes.toml."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from twinline.rules import outcomes
from twinline.rules.outcomes import Binds, Class, Outcome, Way

PAGE = Path(__file__).parents[1] / "docs/errors.md"

HEAD = """\
# Errors

Every error code of Meta's that Twinline knows, what it does about it, and what a person reads. This page is made from
`src/twinline/rules/outcomes.toml` by `scripts/errors.py`; a test sees to it that both say the same.

The source is {source}, of {date}; where Meta names no policy, the schedule is ours.

A code decides, never an HTTP status, and it means the same whether it comes in the answer to a call or later in a
failed status. A code that isn't listed is taken as final: what nobody understands, no machine repeats. How a message
goes its way, and what it means that something *stands still*, is in [sending.md](sending.md).

| code | what happens | concerns | what is said | what to do |
|---|---|---|---|---|
"""

KINDS = {
    Class.RETRY: "tried again",
    Class.THROTTLE: "slowed down",
    Class.THROTTLE_PAIR: "this person waits",
    Class.STOP_NUMBER: "**stops** the number",
    Class.STOP_TEMPLATE: "**stops** the template",
    Class.STOP_CAMPAIGN: "**stops** campaigns",
    Class.PERMANENT: "fails",
    Class.OPT_OUT: "fails, and is remembered as an opt-out",
    Class.INFO: "nothing went wrong",
}


def page() -> str:
    """The whole of docs/errors.md."""
    known = sorted(outcomes.known_codes())
    meanings: dict[Outcome, list[int]] = {}
    for code in known:
        meanings.setdefault(replace(outcomes.outcome(code), code=None), []).append(code)
    lines = [
        f"| {_codes(codes)} | {_happens(meaning)} | {meaning.scope} | {meaning.says} | {meaning.do} |"
        for meaning, codes in sorted(meanings.items(), key=lambda item: item[1][0])
    ]
    source, date = outcomes.source()
    return HEAD.format(source=source.replace("Meta: ", "Meta's "), date=date) + "\n".join(lines) + "\n"


def _codes(codes: Iterable[int]) -> str:
    """Runs of three and more as "200–299"."""
    told: list[str] = []
    for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0]):
        members = [code for _, code in run]
        told += [f"{members[0]}–{members[-1]}"] if len(members) > 2 else map(str, members)
    return ", ".join(told)


def _happens(meaning: Outcome) -> str:
    said = KINDS[meaning.klass]
    if meaning.is_stop:
        if meaning.binds is Binds.MACHINES:
            said += " for what machines send"
        ends = [f"after {_time(meaning.wait[0])}"] if meaning.wait else []
        # That a later message went out shows only that the news of a stop came late.
        ends += [outcomes.ending(way) for way in Way if way in meaning.resumes - {Way.SENT, Way.BILLED}]
        return f"{said}; ends {', or '.join(ends)}"
    if meaning.klass in (Class.RETRY, Class.THROTTLE, Class.THROTTLE_PAIR):
        word = "after" if meaning.klass is Class.RETRY else "for"
        said += f" {word} {', '.join(map(_time, dict.fromkeys(meaning.wait)))}"
    elif meaning.wait:
        said += f"; not again for {_time(meaning.wait[0])}"
    if meaning.ambiguous:
        said += "; a message is *in doubt*"
    return said + ("; a person may send it again" if meaning.again and meaning.klass is Class.PERMANENT else "")


def _time(seconds: int) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
