"""The hook: where Meta's webhooks arrive.

A plain ASGI callable, for this is the busiest door of the house. It checks the signature over the raw bytes, hands
what it reads to the process's batcher and answers 200 when the batch is committed. Whatever waits when it is free is
one batch: under load many bodies share a transaction, and when it is quiet a body waits for nobody. Bodies are read
as they come, while the database works on the batch before.

Answers: 200 committed · 401 wrong or missing signature · 413 larger than Meta sends · 503 the database is away (Meta
sends again).
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import psycopg
from prometheus_client import Counter, Histogram
from psycopg_pool import PoolTimeout

from twinline.app import App
from twinline.kit import log
from twinline.meta import signature
from twinline.mirror import ingest
from twinline.mirror.models import Follower

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RECEIVED = Counter("twinline_webhooks_total", "Webhook bodies by what became of them", ["outcome"])
COMMITTED = RECEIVED.labels("committed")
BATCH = Histogram(
    "twinline_webhook_batch_bodies", "Bodies committed together", buckets=(1, 2, 5, 10, 25, 50, 100, 200, 400)
)

RETRIES = 3

logger = log.get("mirror.hook")


class Hook:
    def __init__(self, app: App, followers: Sequence[Follower]) -> None:
        self._app = app
        self._followers = followers
        self._waiting: list[tuple[ingest.Arrival, asyncio.Future[None]]] = []
        self._arrived = asyncio.Event()
        self._batcher: asyncio.Task[None] | None = None
        self._secret = app.settings.app_secret.get_secret_value()

    async def start(self) -> None:
        # One batch at a time. A second one would mostly wait for the first one's numbers, and halve both.
        self._batcher = asyncio.create_task(self._commit_batches())

    async def stop(self) -> None:
        """Answers nobody any more: what isn't committed by now, Meta sends again."""
        if self._batcher is not None:
            self._batcher.cancel()
            await asyncio.wait([self._batcher])
        for _, done in self._waiting:
            done.cancel()

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
        limit = self._app.settings.hook_max_body
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            return self._refuse(413, "too_large", b"A webhook body is at most 3 MB.")
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return 400, b""
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                return self._refuse(413, "too_large", b"A webhook body is at most 3 MB.")
            more = message.get("more_body", False)
        body = b"".join(parts)
        if not self._secret or not signature.verify(self._secret, body, headers.get(b"x-hub-signature-256")):
            return self._refuse(401, "bad_signature", b"The X-Hub-Signature-256 header doesn't match this body.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ingest.read(body, self._app.settings.hook_heavy_body), done))
        self._arrived.set()
        try:
            await done
        except (psycopg.Error, PoolTimeout):
            return self._refuse(503, "unavailable", b"The database is away; please send again.")
        COMMITTED.inc()
        return 200, b""

    @staticmethod
    def _refuse(status: int, outcome: str, text: bytes) -> tuple[int, bytes]:
        RECEIVED.labels(outcome).inc()
        return status, text

    async def _commit_batches(self) -> None:
        size = self._app.settings.hook_batch
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue
            try:
                await commit(self._app, [arrival for arrival, _ in batch], self._followers)
            except asyncio.CancelledError:
                for _, done in batch:
                    done.cancel()
                raise
            except Exception as error:  # whatever it is, those who wait must hear of it and the batcher must live
                logger.error("batch_failed", bodies=len(batch), error=type(error).__name__)
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error if isinstance(error, psycopg.Error | PoolTimeout) else psycopg.Error())
            else:
                BATCH.observe(len(batch))
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)


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
