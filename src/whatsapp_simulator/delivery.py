"""Webhooks out.

Every change waits in one line. A pool of workers takes what is waiting for one address, as much as a batch may hold,
signs the bytes and posts them; from one POST to the next a moment passes, in which more gathers. Anything but a 2xx
inside the time-out comes back into the line after a pause that grows with the attempt, as Meta does it over days and
this over seconds. So a change is delivered at least once, in no promised order; ``duplicate`` and ``shuffle`` make a
point of it.

A change is put in line only if the app is subscribed to its field and, for everything but ``account_update``, if the
WABA is subscribed too. The address is the number's override, else the WABA's, else the app's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlencode

import httpx

from . import wire
from .post import Poster
from .state import MESSAGE_FIELDS, Hook, State

APP_LEVEL = frozenset({"account_update", "account_alerts", "account_review_update"})
"""Fields that come to the app that ran the signup, whether or not the WABA is subscribed."""
BODY_LIMIT = 2_900_000  # Meta: 3 MB a webhook
BODY_KEPT, BODIES_KEPT = 64 << 10, 32 << 20
"""Bytes of one body, and of all, that the log keeps."""


@dataclass
class Delivery:
    """A line of the log: one POST and what became of it. ``status`` 0: no answer."""

    seq: int
    at: float
    url: str
    fields: list[str]
    changes: int
    size: int
    status: int
    ms: float
    attempt: int
    duplicate: bool
    body: str | None


class Courier:
    """The line and its workers. ``now`` is the simulator's clock and only stamps the log; waiting is real. ``client``
    takes the place of the network."""

    def __init__(self, state: State, now: Callable[[], float], client: httpx.AsyncClient | None = None) -> None:
        self.state = state
        self._now = now
        self._client = client
        self._poster: Poster | None = None
        self._random = Random(f"{state.seed}:delivery:{state.generation}")
        self._line: deque[Hook] = deque(state.pending)
        state.pending = []
        self._later: set[asyncio.TimerHandle] = set()
        self._resting: dict[int, Hook] = {}
        self._flying: dict[int, list[Hook]] = {}
        self._ready = asyncio.Event()
        self._turn = asyncio.Lock()
        self._next = 0.0
        """When the next POST may leave, on the monotonic clock."""
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._seq = 0
        self.log: deque[Delivery] = deque(maxlen=5000)
        self._bodies: deque[Delivery] = deque()
        self._kept = 0
        self.counts: dict[str, int] = {
            "queued": 0,
            "delivered": 0,
            "posts": 0,
            "failed": 0,
            "dropped": 0,
            "given_up": 0,
        }

    # -- in ------------------------------------------------------------------------------------------------

    def send(self, hook: Hook) -> bool:
        """Put a change in line; False when nobody is subscribed to it."""
        waba = self.state.wabas.get(hook.waba_id)
        wanted = hook.field in self.state.app.fields and (
            hook.field in APP_LEVEL or (waba is not None and waba.subscribed)
        )
        if not wanted or self.url(hook) is None:
            self.counts["dropped"] += 1
            return False
        self.counts["queued"] += 1
        self._line.append(hook)
        self._ready.set()
        return True

    def url(self, hook: Hook) -> str | None:
        """Meta: number override > WABA override > app URL; overrides only for message-type fields."""
        if hook.field in MESSAGE_FIELDS:
            phone = self.state.phones.get(hook.phone_id or "")
            waba = self.state.wabas.get(hook.waba_id)
            for override in (phone and phone.override, waba and waba.override):
                if override:
                    return override.uri
        return self.state.app.callback_url

    @property
    def waiting(self) -> int:
        """Changes not acknowledged yet."""
        return len(self._line) + len(self._resting) + sum(map(len, self._flying.values()))

    def unacknowledged(self) -> list[Hook]:
        return [*(h for hooks in self._flying.values() for h in hooks), *self._resting.values(), *self._line]

    # -- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self._client is None:
            self._client, self._poster = httpx.AsyncClient(trust_env=False), Poster()
        self.resize()

    def resize(self) -> None:
        """Follow ``workers``; surplus ones leave when it is their turn."""
        for place in range(self.state.delivery.workers):
            if place not in self._workers or self._workers[place].done():
                self._workers[place] = asyncio.create_task(self._work(place))
        self._ready.set()

    async def stop(self) -> None:
        """Leave; what isn't acknowledged stays in the state, for a snapshot."""
        self.state.pending = self.unacknowledged()
        for handle in self._later:
            handle.cancel()
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        if self._client is not None and self._poster is not None:
            self._poster.close()
            await self._client.aclose()

    async def verify(self, url: str, token: str, challenge: str) -> str | None:
        """The handshake of a new address; None when it passed, else what went wrong."""
        assert self._client is not None
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
        try:
            answer = await self._client.get(
                f"{url}{'&' if '?' in url else '?'}{urlencode(query)}", timeout=self.state.delivery.timeout
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"The URL couldn't be reached: {type(error).__name__}"
        if answer.status_code != 200:
            return f"HTTP Status Code = {answer.status_code}; HTTP Message = {answer.reason_phrase}"
        if answer.text.strip() != challenge:
            return "Response does not match challenge"
        return None

    # -- out -----------------------------------------------------------------------------------------------

    async def _work(self, place: int) -> None:
        while True:
            async with self._turn:  # one waits, the others aren't woken for nothing
                url, hooks = await self._gather(place)
                if place >= self.state.delivery.workers:
                    return
            if hooks:
                await self._post(url, hooks)

    async def _gather(self, place: int) -> tuple[str, list[Hook]]:
        """The next batch, when it may leave; none for a surplus worker."""
        while place < self.state.delivery.workers:
            if not self._line or self.state.delivery.paused:
                self._ready.clear()
                await self._ready.wait()
                continue
            pause = self._next - time.monotonic()
            if pause <= 0 or len(self._line) >= self.state.delivery.batch_max:
                self._next = time.monotonic() + self.state.delivery.batch_wait
                return self._take()
            await asyncio.sleep(pause)
        return "", []

    def _take(self) -> tuple[str, list[Hook]]:
        """What is waiting for the first one's address, up to a batch."""
        options = self.state.delivery
        if not self._line or options.paused:
            return "", []
        if options.shuffle:
            self._line.rotate(-self._random.randrange(min(len(self._line), 50)))
        first = self._line.popleft()
        url = self.url(first)
        if url is None:
            self.counts["dropped"] += 1
            return "", []
        hooks, size = [first], len(first.change)
        while self._line and len(hooks) < options.batch_max and not first.bare:
            following = self._line[0]
            size += len(following.change) + 100
            if following.bare or size > BODY_LIMIT or self.url(following) != url:
                break
            hooks.append(self._line.popleft())
        return url, hooks

    async def _post(self, url: str, hooks: list[Hook]) -> None:
        body = wire.body(hooks)
        self._seq += 1
        key = self._seq
        self._flying[key] = hooks
        try:
            status = await self._attempt(url, hooks, body, duplicate=False)
            if 200 <= status < 300:
                self.counts["delivered"] += len(hooks)
                if self.state.delivery.duplicate and self._random.random() < self.state.delivery.duplicate:
                    await self._attempt(url, hooks, body, duplicate=True)
            else:
                self.counts["failed"] += 1
                for hook in hooks:
                    self._again(hook)
        finally:
            self._flying.pop(key, None)

    async def _attempt(self, url: str, hooks: list[Hook], body: bytes, *, duplicate: bool) -> int:
        assert self._client is not None
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": wire.signature(self.state.app.secret, body),
        }
        began, at = time.perf_counter(), self._now()
        timeout = self.state.delivery.timeout
        if self._poster is not None:
            status = await self._poster.post(url, body, headers, timeout)
        else:
            try:
                status = (await self._client.post(url, content=body, headers=headers, timeout=timeout)).status_code
            except httpx.HTTPError:
                status = 0
        self.counts["posts"] += 1
        self._seq += 1
        self._note(
            Delivery(
                seq=self._seq,
                at=at,
                url=url,
                fields=sorted({h.field for h in hooks}),
                changes=len(hooks),
                size=len(body),
                status=status,
                ms=round((time.perf_counter() - began) * 1000, 2),
                attempt=max(h.attempts for h in hooks) + 1,
                duplicate=duplicate,
                body=body.decode() if len(body) <= BODY_KEPT else None,
            )
        )
        return status

    def _note(self, delivery: Delivery) -> None:
        """Into the log. Old bodies leave before their lines do."""
        self.log.append(delivery)
        if delivery.body is None:
            return
        self._bodies.append(delivery)
        self._kept += len(delivery.body)
        while self._kept > BODIES_KEPT:
            oldest = self._bodies.popleft()
            self._kept -= oldest.size
            oldest.body = None

    def _again(self, hook: Hook) -> None:
        """Back into the line after a pause, until the attempts are used up."""
        options = self.state.delivery
        hook.attempts += 1
        if hook.attempts >= options.attempts:
            self.counts["given_up"] += 1
            return
        pauses = options.retry or [0.1]
        pause = pauses[min(hook.attempts, len(pauses)) - 1]
        key = id(hook)
        self._resting[key] = hook

        def back() -> None:
            self._later.discard(handle)
            self._resting.pop(key, None)
            self._line.append(hook)
            self._ready.set()

        handle = asyncio.get_running_loop().call_later(pause, back)
        self._later.add(handle)

    def summary(self) -> dict[str, Any]:
        return {**self.counts, "waiting": self.waiting}
