"""A bakery whose till hears by webhook what happens, and a receiver that does as it is told."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httptools
import orjson
import pytest
from tests.fixtures import mirror
from tests.fixtures.mirror import add_number, value

from twinline.app import App
from twinline.kit.clock import ManualClock
from twinline.kit.outside import Outside
from twinline.rules import webhooks as rules
from twinline.webhooks_out import delivering, queries, service
from twinline.webhooks_out.models import Delivery, Endpoint


@dataclass(frozen=True)
class Got:
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        return cast(dict[str, Any], orjson.loads(self.body))

    @property
    def type(self) -> str:
        return str(self.told["type"])

    def signed_by(self, secret: str) -> bool:
        """As a receiver checks it: written apart from what signs."""
        signed = f"{self.key}.{self.headers['webhook-timestamp']}.".encode() + self.body
        mac = hmac.new(base64.b64decode(secret.split("_")[1]), signed, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(mac).decode()}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """A server on loopback. ``answers`` are used up one by one; then it takes everything."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)  # wamid -> status, each time
    headers: str = ""
    hold: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def types(self) -> list[str]:
        return [one.type for one in self.got]

    @property
    def texts(self) -> list[str]:
        return [one.told["data"]["message"]["text"] for one in self.got]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = _Request()
                parser = httptools.HttpRequestParser(request)
                while not request.whole:
                    data = await reader.read(65536)
                    if not data:
                        return
                    parser.feed_data(data)
                got = Got(request.headers, bytes(request.body))
                self.got.append(got)
                if self.hold is not None:
                    await self.hold.wait()
                status = self.answers.pop(0) if self.answers else 200
                for wamid, refusal in self.refuses.items():
                    status = refusal if wamid in got.body.decode() else status
                writer.write(f"HTTP/1.1 {status} X\r\n{self.headers}content-length: 2\r\n\r\nok".encode())
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class _Request:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.whole = True


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        connections.add(task)
        await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    await server.wait_closed()


@dataclass
class Bakery:
    """The number, its webhook, and whoever looks after it."""

    app: App
    clock: ManualClock
    number_id: int
    organisation_id: int
    receiver: Receiver
    endpoint_id: int = 0
    secret: str = ""

    async def listens(self, *types: str, order_by: str = "number", numbers: Sequence[int] | None = None) -> int:
        async with self.app.db.transaction() as tx:
            self.endpoint_id, self.secret = await service.add(
                self.app,
                tx,
                self.organisation_id,
                self.receiver.url,
                types or tuple(rules.TYPES),
                None,
                order_by=order_by,
                numbers=numbers,
            )
        return self.endpoint_id

    async def hears(self, *webhooks: Any) -> None:
        """What Meta tells, one batch each."""
        for webhook in webhooks:
            await mirror.tell(self.app, webhook)

    async def tends(self) -> None:
        await delivering.tend(self.app, self.organisation_id, self.endpoint_id)

    async def later(self, **delta: float) -> None:
        self.clock.advance(**delta)
        await self.tends()

    async def endpoint(self) -> Endpoint:
        async with self.app.db.transaction() as tx:
            return await service.found(tx, self.organisation_id, self.endpoint_id)

    async def deliveries(self, state: str = "") -> list[Delivery]:
        """Oldest first."""
        async with self.app.db.transaction() as tx:
            found = await queries.deliveries(
                tx, self.organisation_id, self.endpoint_id, before=2**62, state=state, limit=1000
            )
        return found[::-1]


@pytest.fixture
async def bakery(app: App, clock: ManualClock, receiver: Receiver) -> AsyncIterator[Bakery]:
    open_app = replace(app, outside=Outside([f"127.0.0.1:{receiver.port}"]))
    number_id = await add_number(open_app)
    organisation = await value(open_app, "SELECT organisation_id FROM numbers WHERE id = %s", number_id)
    yield Bakery(open_app, clock, number_id, organisation, receiver)
    await open_app.outside.aclose()
