"""What stands still, and until when.

Some errors stop more than their message: a token that expired, a template that WhatsApp paused. What is
known about a number's stops are two kinds of facts: *that it stopped* (Graph's answer, a failed status, a
webhook) and *that something eased it* (a template is approved again, a new token, a person's button). Both
come late, twice and out of order, so nothing is switched on and off. Of each only the newest moment is kept,
and what stands is worked out from all of them: a stop stands until its time is over, or until something
happened after its moment that ends stops of its kind. A failed status of yesterday therefore stops
nothing that has worked since.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from twinline.rules import outcomes
from twinline.rules.outcomes import Class, Outcome, Scope, Way


@dataclass(frozen=True, slots=True)
class Stop:
    """Meta's last word that something is stopped, by the code that it gave.

    `key` names what: a template's is `template_key`, everything else has the empty one, being about the
    number itself or its account. `until` None means that time alone doesn't end it.
    """

    number_id: int
    scope: Scope
    key: str
    code: int
    since: datetime
    until: datetime | None = None

    @property
    def outcome(self) -> Outcome:
        return outcomes.outcome(self.code)


@dataclass(frozen=True, slots=True)
class Relief:
    """The last time that something happened which ends stops of a kind; `key` as in `Stop`, or `button`'s."""

    way: Way
    key: str
    at: datetime


def stop_of(
    number_id: int, code: int, key: str, since: datetime, *, lasts: int | None = None, before: Stop | None = None
) -> Stop | None:
    """What a code stops from that moment on, or None if it stops nothing.

    `lasts` is how many seconds, where Meta says more than the table. An account's or an app's throttle is a
    stop too, one that grows: `before` is the last one.
    """
    meaning = outcomes.outcome(code)
    throttles = meaning.klass is Class.THROTTLE and meaning.scope in {Scope.ACCOUNT, Scope.APP}
    if not meaning.is_stop and not throttles:
        return None
    seconds = _growing(meaning, since, before) if throttles else lasts or next(iter(meaning.wait), None)
    until = since + timedelta(seconds=seconds) if seconds else None
    return Stop(number_id, meaning.scope, key if meaning.scope is Scope.TEMPLATE else "", code, since, until)


def standing(stops: Iterable[Stop], reliefs: Iterable[Relief], now: datetime) -> list[Stop]:
    """Those that stand at this moment, the widest first."""
    eased = {(relief.way, relief.key): relief.at for relief in reliefs}
    still = [stop for stop in stops if stop.until is None or stop.until > now]
    return sorted(
        (stop for stop in still if not any(eased.get(end, stop.since) > stop.since for end in _ends(stop))),
        key=lambda stop: (-list(Scope).index(stop.scope), stop.since, stop.key, stop.code),
    )


def button(stop: Stop) -> str:
    """The key of the relief that a person's button writes: it ends this stop and no other."""
    return f"{stop.scope}:{stop.code}:{stop.key}"


def template_key(name: str, language: str) -> str:
    """What a template is called in a stop; the language's spelling doesn't matter."""
    return f"{name}/{language.replace('-', '_')}"


def _ends(stop: Stop) -> Iterable[tuple[Way, str]]:
    return ((way, button(stop) if way is Way.PERSON else stop.key) for way in stop.outcome.resumes)


def _growing(meaning: Outcome, since: datetime, before: Stop | None) -> int:
    """One step longer than the last time, if that is over for less than the longest of them."""
    first, longest = meaning.wait[0], meaning.wait[-1]
    if before is None or before.until is None or since - before.until > timedelta(seconds=longest):
        return first
    last = (before.until - before.since).total_seconds()
    return next((wait for wait in meaning.wait if wait > last), longest)
