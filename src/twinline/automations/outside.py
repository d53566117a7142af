"""What runs wait for that has to be fetched outside: an HTTP call, a bot's word, an agent's.

A run that comes to such a step leaves an *errand* in the transaction that moves it, and a job beside it. The job asks
outside of any transaction, and hands what came back to the engine, which looks again whether the run still waits for
just this (its token) and whether a person has spoken meanwhile. So an answer that comes late, twice or unwanted changes
nothing, and nothing that takes long is ever done while a number's turn is held.

An errand may be run more than once: after a failure that may pass, and after a crash. Whoever is asked is told by the
same ``Idempotency-Key`` (a bot by the same ``webhook-id``) that it is the same question.

Whatever stands in placeholders was said by others. It is put in so that it stays what it is: percent-encoded in an
address, whose host can't be a placeholder at all; a value in JSON; one line in a header.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import quote, quote_plus, unquote, urlsplit

import orjson

from twinline.app import App
from twinline.automations import connections
from twinline.automations.connections import Opened, Unusable
from twinline.db import Tx, as_json
from twinline.db.jobs import defer as enqueue
from twinline.kit.outside import Answer, OutsideError, Why
from twinline.rules.automations.filling import PLACEHOLDER, lookup, render, words
from twinline.rules.automations.program import DEFAULTS, duration

TASK: Final = "automations.fetch"
QUEUE: Final = "outside"
PAUSES: Final = (2, 5, 10)  # seconds before a question is repeated; together less than rules.automations.run.GRACE
SETTLES: Final = timedelta(seconds=1)  # until a turn that is due has been looked at
LONGEST: Final = 120.0  # seconds of one try, whatever a definition says
KEPT_FOR: Final = timedelta(days=30)
DEEPEST: Final = 40  # levels of an answer's JSON
AGENT: Final = "Twinline"

# What may pass by itself: of the network, and of a server.
PASSING: Final = frozenset({Why.TIMEOUT, Why.UNREACHABLE, Why.BROKEN, Why.UNKNOWN})
BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Failed(Exception):
    """It can't be had; the message is a sentence without anybody's words. ``value`` goes to the run."""

    def __init__(self, says: str, **value: Any) -> None:
        super().__init__(says)
        self.value = {"error": says, **value}


class Again(Failed):
    """It may work in a moment."""


class Waits(Protocol):
    """What is wanted of ``rules.automations.run.Wait``."""

    @property
    def kind(self) -> str: ...
    @property
    def until(self) -> datetime: ...
    @property
    def request(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be fetched, for whom. ``since``: the last human decision about the floor when the run began to wait,
    as runs keep it; ``request``: the step as declared, and what its placeholders read; ``turn_at``: when what the
    customer has written since reaches the run.
    """

    number_id: int
    run_id: int
    token: int
    kind: str
    request: dict[str, Any]
    until: datetime
    tries: int
    organisation_id: int
    automation_id: int
    automation: str
    contact_id: int
    since: datetime | None
    spoken: bool
    turn_at: datetime | None

    @property
    def step(self) -> Mapping[str, Any]:
        return {**DEFAULTS.get(self.kind, {}), **self.request["step"]}

    @property
    def approves(self) -> bool:
        """Whether a person sees its answers first."""
        return bool(self.step.get("approve"))

    @property
    def scope(self) -> Mapping[str, Any]:
        scope: Mapping[str, Any] = self.request["scope"]
        return scope

    @property
    def key(self) -> str:
        """The same for every try, and for no other question."""
        return f"twinline-{self.number_id}-{self.run_id}-{self.token}"

    @property
    def timeout(self) -> float:
        """Seconds for one try."""
        return min(duration(self.step["timeout"]).total_seconds(), LONGEST)


Perform = Callable[[App, Errand], Awaitable[Any]]
"""Fetches it, or raises Failed or Again."""


PUT = """
INSERT INTO errands AS e (number_id, run_id, token, kind, request, until)
VALUES (%(number)s, %(run)s, %(token)s, %(kind)s, %(request)s::jsonb, %(until)s)
ON CONFLICT (number_id, run_id) DO UPDATE SET
    token = excluded.token, kind = excluded.kind, request = excluded.request, until = excluded.until, tries = 0
"""
FIND = """
SELECT e.number_id, e.run_id, e.token, e.kind, e.request, e.until, e.tries, r.organisation_id, r.automation_id,
       a.name AS automation, r.contact_id, r.since, k.floor_since IS DISTINCT FROM r.since AS spoken,
       t.due_at AS turn_at
FROM errands e
JOIN runs r ON r.number_id = e.number_id AND r.id = e.run_id AND r.token = e.token AND r.state = 'waiting'
JOIN automations a ON a.organisation_id = r.organisation_id AND a.id = r.automation_id
LEFT JOIN chats k ON k.number_id = r.number_id AND k.contact_id = r.contact_id
LEFT JOIN turns t ON t.number_id = r.number_id AND t.contact_id = r.contact_id AND NOT t.tried
WHERE e.number_id = %(number)s AND e.run_id = %(run)s AND e.token = %(token)s
"""
REPEAT = """
UPDATE errands SET tries = tries + 1 WHERE number_id = %(number)s AND run_id = %(run)s AND token = %(token)s
"""
FORGET_STARTS = "DELETE FROM started WHERE at < %(before)s"
FORGET_USE = "DELETE FROM agent_use WHERE at < %(before)s"
DONE = "DELETE FROM errands WHERE number_id = %(number)s AND run_id = %(run)s AND token = %(token)s"


# --- errands --------------------------------------------------------------------------------------------------------


async def defer(tx: Tx, number_id: int, run_id: int, token: int, wait: Waits) -> None:
    """What the run waits for is fetched as soon as this transaction commits. The caller holds the number's turn."""
    named = {"number": number_id, "run": run_id, "token": token}
    row = {"kind": wait.kind, "request": as_json(dict(wait.request)), "until": wait.until}
    await tx.execute(PUT, {**named, **row})
    await _enqueue(tx, number_id, run_id, token)


async def _enqueue(tx: Tx, number_id: int, run_id: int, token: int, after: timedelta | None = None) -> None:
    await enqueue(tx, TASK, queue=QUEUE, after=after, number_id=number_id, run_id=run_id, token=token)


async def errand(tx: Tx, number_id: int, run_id: int, token: int) -> Errand | None:
    """None when the run doesn't wait for this any more."""
    return await tx.one(Errand, FIND, {"number": number_id, "run": run_id, "token": token})


async def repeat(tx: Tx, one: Errand, now: datetime) -> bool:
    """Has it fetched once more a little later, if anybody waits for so long."""
    pause = timedelta(seconds=PAUSES[min(one.tries, len(PAUSES) - 1)])
    if one.tries >= int(one.step.get("retries", DEFAULTS["call"]["retries"])) or now + pause >= one.until:
        return False
    await tx.execute(REPEAT, _named(one))
    await _enqueue(tx, one.number_id, one.run_id, one.token, pause)
    return True


async def hear_out(tx: Tx, one: Errand, now: datetime) -> bool:
    """Puts a question off that will be another in a moment, since the customer is still writing; not for a call, whose
    question stays what it is.
    """
    if one.kind == "call" or one.turn_at is None:
        return False
    pause = max(one.turn_at - now, timedelta()) + SETTLES
    if now + pause + timedelta(seconds=one.timeout) > one.until:
        return False
    await _enqueue(tx, one.number_id, one.run_id, one.token, pause)
    return True


async def done(tx: Tx, number_id: int, run_id: int, token: int) -> None:
    await tx.execute(DONE, {"number": number_id, "run": run_id, "token": token})


async def sweep(app: App) -> None:
    """Keys of starts and what agents used are kept for a month."""
    async with app.db.transaction() as tx:
        for statement in (FORGET_STARTS, FORGET_USE):
            await tx.execute(statement, {"before": app.clock.now() - KEPT_FOR})


def _named(one: Errand) -> dict[str, int]:
    return {"number": one.number_id, "run": one.run_id, "token": one.token}


# --- asking ---------------------------------------------------------------------------------------------------------


async def ask(
    app: App,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes = b"",
    timeout: float,
    most: int = 64 * 1024,
) -> Answer:
    """What was answered, when that says that all is well. Raises Failed, Again."""
    try:
        answer = await app.outside.fetch(
            method,
            url,
            headers={"User-Agent": AGENT, **headers},
            content=content,
            timeout=timeout,
            most=most,
        )
    except OutsideError as error:
        raise (Again if error.why in PASSING else Failed)(str(error), status=None) from error
    if answer.cut:
        raise Failed(f"The answer is longer than {most // 1024} KB.", status=answer.status)
    if not 200 <= answer.status < 300:
        says = f"The answer was {_status(answer.status)}."
        raise (Again if answer.status in BUSY else Failed)(says, status=answer.status, body=body_of(answer))
    return answer


def body_of(answer: Answer) -> Any:
    """The answer's JSON, or its text where it has none, as PostgreSQL can keep it."""
    text = answer.body.decode("utf-8", "replace").replace("\0", "")
    try:
        return kept(orjson.loads(text)) if text.strip() else None
    except (orjson.JSONDecodeError, ValueError):
        return text


def kept(value: Any, depth: int = 0) -> Any:
    """A JSON value without the characters that can't be stored. Raises ValueError for one that is too deep."""
    if depth > DEEPEST:
        raise ValueError
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {kept(name): kept(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list):
        return [kept(part, depth + 1) for part in value]
    return value


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


# --- an HTTP call ---------------------------------------------------------------------------------------------------


async def call(app: App, one: Errand) -> dict[str, Any]:
    """The step ``call``. Raises Failed, Again."""
    step = one.step
    there = await connection_of(app, one, "http") if step.get("connection") else None
    answer = await request(
        app,
        there,
        step["method"],
        step.get("url") or "",
        one.scope,
        key=one.key,
        timeout=one.timeout,
        headers=step.get("headers") or {},
        body=step.get("body"),
    )
    return {"status": answer.status, "body": body_of(answer)}


async def connection_of(app: App, one: Errand, kind: str) -> Opened:
    """The connection that the step names. Raises Failed."""
    try:
        async with app.db.transaction() as tx:
            return await connections.opened(app, tx, one.organisation_id, kind, str(one.step["connection"]))
    except Unusable as error:
        raise Failed(str(error)) from error


async def request(
    app: App,
    there: Opened | None,
    method: str,
    url: str,
    scope: Mapping[str, Any],
    *,
    key: str,
    timeout: float,
    headers: Mapping[str, str],
    body: Any,
) -> Answer:
    """Asks with placeholders filled in. Raises Failed, Again."""
    content, kind = body_filled(body, scope, headers)
    sent = {"Accept": "application/json", "Idempotency-Key": key, **({"Content-Type": kind} if kind else {})}
    own = {name: render(value, scope, one_line) for name, value in headers.items()}
    proof = {**authorisation(there), **there.headers} if there else {}
    return await ask(
        app,
        method,
        address(app, there, url, scope),
        headers=_merged(sent, own, proof),
        content=content,
        timeout=timeout,
    )


def authorisation(there: Opened) -> dict[str, str]:
    """A connection's secret as a bearer token."""
    return {"Authorization": f"Bearer {there.secret}"} if there.secret else {}


def _merged(*all_headers: Mapping[str, str]) -> dict[str, str]:
    """The later ones win, in whatever case they are written."""
    found: dict[str, tuple[str, str]] = {}
    for headers in all_headers:
        found |= {name.lower(): (name, value) for name, value in headers.items()}
    return dict(found.values())


def address(app: App, there: Opened | None, url: str, scope: Mapping[str, Any]) -> str:
    """The address with its placeholders filled in; at a connection always one of its own origin. Raises Failed."""
    if there is not None and (not url or url[0] in "/?"):
        url = there.url.rstrip("/") + url if url.startswith("/") else there.url + url
    host = re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", url)
    if host is None or "{{" in host[0]:
        raise Failed("The address has to begin with https:// and name its host: no placeholder can stand there.")
    filled = render(url.strip(), scope, lambda text: quote(text, safe=""))
    if _climbs(filled) and not _climbs(PLACEHOLDER.sub("x", url)):
        raise Failed("What was put into the address would have led elsewhere.")
    try:
        if there is not None and connections.origin(app, filled) != connections.origin(app, there.url):
            raise Failed("The address isn't one of the connection's: what it proves itself with goes only there.")
    except Unusable as error:
        raise Failed(str(error)) from error
    return filled


def _climbs(url: str) -> bool:
    return any(unquote(part) in (".", "..") for part in urlsplit(url).path.split("/"))


def one_line(text: str) -> str:
    """As it can stand in a header: one line; what isn't ASCII is percent-encoded."""
    return "".join(c if " " <= c <= "~" else quote(c) for c in " ".join(text.split()))


def body_filled(body: Any, scope: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[bytes, str | None]:
    """The bytes to send, and their type if the headers don't say it."""
    said = next((value.lower() for name, value in headers.items() if name.lower() == "content-type"), "")
    if body is None or body == "":
        return b"", None
    if not isinstance(body, str):
        return orjson.dumps(filled_in(body, scope)), None if said else "application/json"
    encode: Callable[[str], str]
    if "json" in said or (not said and PLACEHOLDER.sub("", body).lstrip()[:1] in ("{", "[")):
        encode, kind = _within_json, "application/json"
    elif "urlencoded" in said:
        encode, kind = quote_plus, said
    else:
        encode, kind = str, "text/plain; charset=utf-8"
    return render(body, scope, encode).encode(), None if said else kind


def _within_json(text: str) -> str:
    """As it can stand between the quotes of a JSON text."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def filled_in(value: Any, scope: Mapping[str, Any]) -> Any:
    """A JSON value with its placeholders filled in. A text that is one placeholder becomes the value itself: numbers
    stay numbers, objects objects.
    """
    if isinstance(value, str):
        alone = PLACEHOLDER.fullmatch(value.strip())
        found = lookup(scope, alone[1]) if alone else None
        return found if found is not None and not isinstance(found, str) else render(value, scope)
    if isinstance(value, Mapping):
        return {name: filled_in(part, scope) for name, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, scope) for part in value]
    return value


def said_in(scope: Mapping[str, Any], path: str) -> str:
    """What a placeholder reads, as text."""
    return words(lookup(scope, path))


def empty() -> dict[str, Any]:
    """What a bot or an agent wants done: nothing yet. The interpreter performs it (``rules.automations.run``)."""
    return {
        "messages": [],
        "tags": {"add": [], "remove": []},
        "fields": {},
        "vars": {},
        "assign": None,
        "note": None,
        "release": None,
        "end": False,
        "held": None,
    }
