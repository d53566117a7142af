"""A place on loopback that automations ask, which answers as it was told; and runs that wait for it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.sending.conftest import Shop

from twinline.automations import connections, outside
from twinline.automations.outside import Errand
from twinline.db import as_json
from twinline.kit.outside import Outside
from twinline.rules.automations.run import Wait


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Any | tuple[int, Any] | Callable[[Asked], Any]
"""JSON, a status and JSON, or what makes either from what was asked."""


@dataclass
class Place:
    """Each request gets the next of ``answers``, the last one again and again."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    meanwhile: Callable[[], Any] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.asked.append(Asked(method, path, headers, body))
                if self.meanwhile is not None:
                    await self.meanwhile()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                found = answer(self.asked[-1]) if callable(answer) else answer
                status, said = found if isinstance(found, tuple) else (200, found)
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def place(*answers: Answer) -> AsyncIterator[Place]:
    one = Place(answers=list(answers))
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await one.serve(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


RUN = """
WITH a AS (
    INSERT INTO automations (organisation_id, name, position, draft, draft_at, made_at)
    SELECT organisation_id, 'Helper', 1, '{}', %(now)s, %(now)s FROM numbers WHERE id = %(number)s
    ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO runs (number_id, organisation_id, automation_id, version, contact_id, state, waits, run, since, token,
                  began_at, moved_at)
SELECT %(number)s, n.organisation_id, coalesce((SELECT id FROM a), (SELECT min(id) FROM automations)), 1, %(contact)s,
       'waiting', %(kind)s, '{}', k.floor_since, 1, %(now)s, %(now)s
FROM numbers n JOIN chats k ON k.number_id = n.id AND k.contact_id = %(contact)s WHERE n.id = %(number)s
RETURNING id
"""


@dataclass
class Abroad:
    """The shop with somebody outside whom its automations may ask."""

    shop: Shop
    there: Place
    contact_id: int
    run_id: int = 0
    came: list[tuple[bool, Any]] = field(default_factory=list)

    @property
    def scope(self) -> dict[str, Any]:
        return {
            "contact": {"name": "Ana", "phone": "351910009001", "language": "pt", "fields": {}, "tags": []},
            "vars": {"order": "a/7 ü"},
            "message": {"text": "Where is it?", "choice": None, "title": None},
            "number": {"name": "Padaria"},
            "now": self.shop.clock.now().isoformat(),
        }

    async def connection(self, kind: str, name: str, path: str = "", **more: Any) -> str | None:
        """Its signing secret, if it is a bot."""
        organisation = await self.shop.value("SELECT organisation_id FROM numbers")
        async with self.shop.app.db.transaction() as tx:
            _, secret = await connections.create(
                self.shop.app, tx, organisation, kind, name, self.there.url + path, user_id=None,
                now=self.shop.clock.now(), **more,
            )  # fmt: skip
        return secret

    async def waits(self, kind: str, step: Mapping[str, Any], **scope: Any) -> Errand:
        """A run comes to this step; its errand."""
        shop, named = self.shop, {"number": self.shop.number_id, "contact": self.contact_id, "kind": kind}
        await shop.execute("UPDATE runs SET state = 'ended'")
        now = shop.clock.now()
        self.run_id = int(await shop.value(RUN, {**named, "now": now}))
        request = {"step": dict(step), "scope": {**self.scope, **scope}}
        async with shop.app.db.transaction() as tx:
            await outside.defer(tx, shop.number_id, self.run_id, 1, Wait(kind, now + timedelta(minutes=2), request))
            one = await outside.errand(tx, shop.number_id, self.run_id, 1)
        assert one is not None
        return one


@asynccontextmanager
async def abroad(shop: Shop, *answers: Answer) -> AsyncIterator[Abroad]:
    async with place(*answers) as there:
        client = Outside(["127.0.0.1"])
        reaching = replace(shop, app=replace(shop.app, outside=client))
        yield Abroad(reaching, there, await shop.customer("351910009001"))
        await client.aclose()


def completion(text: str | None = None, *calls: tuple[str, Mapping[str, Any] | str], tokens: int = 10) -> Any:
    """What a model's endpoint answers."""
    made = [
        {"id": f"c{n}", "type": "function",
         "function": {"name": name, "arguments": given if isinstance(given, str) else as_json(given)}}
        for n, (name, given) in enumerate(calls)
    ]  # fmt: skip
    message = {"role": "assistant", "content": text, **({"tool_calls": made} if made else {})}
    return {"choices": [{"message": message}], "usage": {"total_tokens": tokens}}
