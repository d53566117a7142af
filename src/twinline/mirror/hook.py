"""The hook: where Meta's webhooks arrive.

It checks the signature over the raw bytes, hands what it reads to the process's batcher and answers 200 when the batch
is committed. Whatever waits when it is free is one batch: under load many bodies share a transaction, and when it is
quiet a body waits for nobody. Bodies are read as they come, while the database works on the batch before.

This is the busiest door of the house, and has two ways in: ``take`` for whole requests, which ``web.server`` hands over
as they come off the wire, and a plain ASGI callable for everything else that may be asked here.

Answers: 200 committed · 401 wrong or missing signature · 413 larger than Meta sends · 503 not stored, for the database
is away or this process stops (Meta sends again).
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import psycopg
from prometheus_client import Counter, Histogram

from twinline.app import App
from twinline.kit import log
from twinline.meta import signature
from twinline.mirror import ingest
from twinline.mirror.models import Follower

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = Callable[[int, bytes], None]  # takes the status and the text

RECEIVED = Counter("twinline_webhooks_total", "Webhook bodies by what became of them", ["outcome"])
BATCH = Histogram(
    "twinline_webhook_batch_bodies", "Bodies committed together", buckets=(1, 2, 5, 10, 25, 50, 100, 200, 400)
)

RETRIES = 3


class Outcome(NamedTuple):
    """What becomes of a body: the metric's label, the status, the text."""

    name: str
    status: int
    text: bytes = b""


COMMITTED = Outcome("committed", 200)
BAD_SIGNATURE = Outcome("bad_signature", 401, b"The X-Hub-Signature-256 header doesn't match this body.")
TOO_LARGE = Outcome("too_large", 413, b"A webhook body is at most 3 MB.")
UNAVAILABLE = Outcome("unavailable", 503, b"This couldn't be stored; please send again.")

for _outcome in (COMMITTED, BAD_SIGNATURE, TOO_LARGE, UNAVAILABLE):
    RECEIVED.labels(_outcome.name)  # counts from 0, not from the first time

logger = log.get("mirror.hook")


class Hook:
    def __init__(self, app: App, followers: Sequence[Follower]) -> None:
        self._app = app
        self._followers = followers
        self._waiting: list[tuple[ingest.Arrival, Answer]] = []  # the batch under way stands in front
        self._arrived = asyncio.Event()
        self._batcher: asyncio.Task[None] | None = None
        self._secret = app.settings.app_secret.get_secret_value()
        self._heavy_from = app.settings.hook_heavy_body
        self.limit = app.settings.hook_max_body  # bytes

    async def start(self) -> None:
        # One batch at a time. A second one would mostly wait for the first one's numbers, and halve both.
        self._batcher = asyncio.create_task(self._commit_batches())

    async def stop(self) -> None:
        """What isn't committed by now, Meta is asked to send again."""
        if self._batcher is not None:
            self._batcher.cancel()
            await asyncio.wait([self._batcher])
        self._answer(len(self._waiting), UNAVAILABLE)

    def take(self, headers: Mapping[bytes, bytes], body: bytes, answer: Answer) -> None:
        """Has a whole body of at most ``limit`` bytes committed.

        Header names are in lower case. ``answer`` is called once, and never before this returns.
        """
        if not self._secret or not signature.verify(self._secret, body, headers.get(b"x-hub-signature-256")):
            _tell([answer], BAD_SIGNATURE)
            return
        if self._batcher is not None and self._batcher.done():
            _tell([answer], UNAVAILABLE)
            return
        try:
            arrival = ingest.read(body, self._heavy_from)
        except Exception as error:  # a bug of ours: this one is sent again, and the others go on
            logger.error("read_failed", error=type(error).__name__)
            _tell([answer], UNAVAILABLE)
            return
        self._waiting.append((arrival, answer))
        self._arrived.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            status, text = await self._post(scope, receive)
        else:
            status, text = self._verify(scope["query_string"])
        await send({
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))],
        })  # fmt: skip
        await send({"type": "http.response.body", "body": text})

    def _verify(self, query: bytes) -> tuple[int, bytes]:
        """Meta's handshake: the challenge comes back if the verify token is ours (Meta: webhooks, create endpoint)."""
        asked = {key: values[0] for key, values in parse_qs(query.decode("latin-1")).items()}
        token = self._app.settings.verify_token.get_secret_value()
        given = asked.get("hub.verify_token", "")
        if asked.get("hub.mode") != "subscribe" or not token or not hmac.compare_digest(given.encode(), token.encode()):
            return 403, b"This address answers Meta's webhook verification; the verify token didn't match."
        return 200, asked.get("hub.challenge", "").encode()

    async def _post(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self.limit:
            return _counted(TOO_LARGE)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return 400, b""
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.limit:
                return _counted(TOO_LARGE)
            more = message.get("more_body", False)
        answered: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def answer(status: int, text: bytes) -> None:
            if not answered.done():
                answered.set_result((status, text))

        self.take(headers, b"".join(parts), answer)
        return await answered

    async def _commit_batches(self) -> None:
        while True:
            await self._arrived.wait()
            batch = [arrival for arrival, _ in self._waiting[: self._app.settings.hook_batch]]
            try:
                await commit(self._app, batch, self._followers)
            except Exception as error:  # whatever it is, those who wait must hear of it and the batcher must live
                logger.error("batch_failed", bodies=len(batch), error=type(error).__name__)
                self._answer(len(batch), UNAVAILABLE)
            else:
                BATCH.observe(len(batch))
                self._answer(len(batch), COMMITTED)

    def _answer(self, count: int, outcome: Outcome) -> None:
        """Those who have waited longest needn't wait any more."""
        answers = [answer for _, answer in self._waiting[:count]]
        del self._waiting[:count]
        if not self._waiting:
            self._arrived.clear()
        _tell(answers, outcome)


def _tell(answers: Sequence[Answer], outcome: Outcome) -> None:
    """Counts at once and answers soon: what might go wrong there must not end the batcher."""
    _counted(outcome, len(answers))
    asyncio.get_running_loop().call_soon(_say, answers, outcome.status, outcome.text)


def _say(answers: Sequence[Answer], status: int, text: bytes) -> None:
    for answer in answers:
        answer(status, text)


def _counted(outcome: Outcome, bodies: int = 1) -> tuple[int, bytes]:
    RECEIVED.labels(outcome.name).inc(bodies)
    return outcome.status, outcome.text


async def commit(app: App, arrivals: Sequence[ingest.Arrival], followers: Sequence[Follower]) -> None:
    """Ingests in one transaction; if something in it can't be folded, body by body, and the culprit is marked.

    Raises psycopg.OperationalError when the database is away.
    """
    for attempt in range(RETRIES):
        try:
            async with app.db.pipelined() as tx:
                await ingest.ingest(app, tx, arrivals, followers, app.clock.now())
            return
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            if attempt == RETRIES - 1:
                raise
        except Exception as error:
            if ingest.is_away(error):
                raise
            if len(arrivals) > 1:
                for arrival in arrivals:
                    await commit(app, [arrival], followers)
                return
            [culprit] = arrivals
            logger.error("body_refused", digest=culprit.digest.hex(), error=type(error).__name__)
            culprit.parsed, culprit.problem = None, ingest.reason(error)
            async with app.db.pipelined() as tx:
                await ingest.ingest(app, tx, [culprit], followers, app.clock.now())
            return
