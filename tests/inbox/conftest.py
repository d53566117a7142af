"""Rows for the inbox, as the ingest would have left them, and a browser's place in front of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from twinline.accounts.models import Viewer
from twinline.app import App
from twinline.db import Tx, as_json
from twinline.inbox import pages
from twinline.inbox.live import Live
from twinline.mirror import events, turn

MESSAGE = """
INSERT INTO messages (number_id, wamid, contact_id, outgoing, live, version, at, type, text, content, extra, media_id,
    quoted, author, author_id, delivery, edit_v, edit_text, revoked_at)
SELECT r.number_id, r.wamid, r.contact_id, r.outgoing, coalesce(r.live, true), 1, r.at, r.type, r.text, r.content,
    r.extra, r.media_id, r.quoted, r.author, r.author_id, coalesce(r.delivery, 0), coalesce(r.edit_v, -1), r.edit_text,
    r.revoked_at
FROM json_populate_recordset(NULL::messages, %s::json) r
"""

REFRESH = """
INSERT INTO chats AS c (number_id, contact_id, last_at, last_wamid, last_inbound_at, unread)
SELECT DISTINCT ON (m.contact_id) m.number_id, m.contact_id, m.at, m.wamid,
    (SELECT max(at) FROM messages i WHERE i.number_id = m.number_id AND i.contact_id = m.contact_id
        AND i.live AND NOT i.outgoing AND i.type NOT IN ('system', 'request_welcome')),
    (SELECT count(*) FROM messages i WHERE i.number_id = m.number_id AND i.contact_id = m.contact_id AND i.live
        AND NOT i.outgoing AND i.type <> 'reaction'
        AND i.at > coalesce((SELECT read_at FROM chats r WHERE r.number_id = m.number_id
                             AND r.contact_id = m.contact_id), '-infinity'))
FROM messages m
WHERE m.number_id = %(number)s AND m.type <> 'reaction' AND (%(contact)s::bigint IS NULL OR m.contact_id = %(contact)s)
ORDER BY m.contact_id, m.at DESC, m.wamid DESC
ON CONFLICT (number_id, contact_id) DO UPDATE SET last_at = excluded.last_at, last_wamid = excluded.last_wamid,
    last_inbound_at = excluded.last_inbound_at, unread = excluded.unread
"""


@dataclass
class Shop:
    """An organisation with a connected number, and a person who looks at it."""

    app: App
    viewer: Viewer
    number_id: int
    written: int = 0

    @property
    def now(self) -> datetime:
        return self.app.clock.now()

    async def contact(self, phone: str | None = None, **names: str | None) -> int:
        row = {"phone": phone, "bsuid": None, "username": None, "profile_name": None, "book_name": None, **names}
        async with self.app.db.transaction() as tx:
            return int(
                await tx.value(
                    """
                    INSERT INTO contacts (number_id, phone, bsuid, username, profile_name, book_name, custom_name)
                    VALUES (%(number)s, %(phone)s, %(bsuid)s, %(username)s, %(profile_name)s, %(book_name)s, NULL)
                    RETURNING id
                    """,
                    {"number": self.number_id, **row},
                )
            )

    def row(self, contact_id: int, text: str | None = None, *, ago: float = 0, **fields: Any) -> dict[str, Any]:
        """A message as a row; ``ago`` in seconds."""
        self.written += 1
        outgoing = fields.get("outgoing", False)
        return {
            "number_id": self.number_id,
            "wamid": f"wamid.{self.written:08d}",
            "contact_id": contact_id,
            "outgoing": outgoing,
            "at": (self.now - timedelta(seconds=ago)).isoformat(),
            "type": "text",
            "text": text,
            "author": "phone" if outgoing else "customer",
            **fields,
        }

    async def write(self, *rows: dict[str, Any], tell: bool = False) -> list[str]:
        """Keeps the messages and refreshes their chats, and with ``tell`` publishes what the ingest would."""
        async with self.app.db.transaction() as tx:
            await turn.take(tx, [self.number_id])
            await tx.execute(MESSAGE, (as_json(rows),))
            contacts = {row["contact_id"] for row in rows}
            for contact in contacts if len(contacts) == 1 else [None]:
                await tx.execute(REFRESH, {"number": self.number_id, "contact": contact})
            if tell:
                said = [[row["contact_id"], row["wamid"], "received"] for row in rows]
                body = {"messages": said, "chats": sorted(contacts)}
                await events.publish(tx, {self.number_id: body}, self.now)
        return [row["wamid"] for row in rows]

    async def say(self, contact_id: int, text: str | None = None, *, tell: bool = False, **fields: Any) -> str:
        [wamid] = await self.write(self.row(contact_id, text, **fields), tell=tell)
        return wamid

    async def execute(self, sql: str, params: Any = ()) -> None:
        async with self.app.db.transaction() as tx:
            await tx.execute(sql, params)


async def open_shop(app: App, name: str = "Panadería Lucía", *, connected_ago: float = 30 * 86_400) -> Shop:
    async with app.db.transaction() as tx:
        organisation = await tx.value(
            "INSERT INTO organisations (name, created_at) VALUES (%s, %s) RETURNING id", (name, app.clock.now())
        )
        viewer = await user(tx, app, organisation, name)
        number_id = await tx.value(
            """
            INSERT INTO numbers (organisation_id, waba_id, phone_number_id, display_phone, verified_name, created_at,
                connected_at, state)
            VALUES (%s, %s, %s, '34612345678', %s, %s, %s, 'connected') RETURNING id
            """,
            (
                organisation,
                f"waba{organisation}",
                f"phone{organisation}",
                name,
                app.clock.now(),
                app.clock.now() - timedelta(seconds=connected_ago),
            ),
        )
    return Shop(app, viewer, number_id)


async def user(tx: Tx, app: App, organisation: int, name: str, role: str = "owner") -> Viewer:
    email = f"{name.lower().replace(' ', '.')}{organisation}@example.com"
    user_id = await tx.value(
        "INSERT INTO users (organisation_id, email, name, role, password_hash, created_at)"
        " VALUES (%s, %s, %s, %s, '', %s) RETURNING id",
        (organisation, email, name, role, app.clock.now()),
    )
    return Viewer(user_id, organisation, name, email, name, role, "csrf-token")


class Seen:
    """Stands where the gate does: the request is this person's."""

    def __init__(self, inner: ASGIApp, viewer: Viewer) -> None:
        self._inner = inner
        self._viewer = viewer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "viewer": self._viewer}
        await self._inner(scope, receive, send)


def make_site(app: App, live: Live | None = None) -> Starlette:
    made = Starlette(routes=pages.routes(app))
    made.state.app = app
    made.state.live = live
    return made


@pytest.fixture
def site() -> Callable[[App, Live], Starlette]:
    return make_site


@pytest.fixture
def seen_by() -> Callable[[ASGIApp, Viewer], ASGIApp]:
    return Seen


@pytest.fixture
async def shop(app: App) -> Shop:
    return await open_shop(app)


@pytest.fixture
def another_shop(app: App) -> Callable[[str], Awaitable[Shop]]:
    return lambda name: open_shop(app, name)


@pytest.fixture
async def browser(app: App, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """The shop's owner, looking at the inbox."""
    transport = httpx.ASGITransport(Seen(make_site(app), shop.viewer))
    async with httpx.AsyncClient(transport=transport, base_url="http://twinline") as client:
        yield client
