"""A bot of somebody's: every turn of the customer's is handed to it, and what it answers is done.

The request is a JSON document, signed as Standard Webhooks does it: ``webhook-id`` (the same for every try),
``webhook-timestamp`` and ``webhook-signature``, an HMAC-SHA256 over ``id.timestamp.body`` under the connection's
secret. The answer says what is to be sent and done, in the shapes of the definition; a bot that answers 204, or
nothing, stays silent and is asked again when the customer writes. docs/automations.md describes both for whoever
writes a bot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twinline.accounts import queries as accounts
from twinline.app import App
from twinline.automations import outside, schema
from twinline.automations.outside import Errand, Failed
from twinline.automations.schema import Unfit
from twinline.contacts import queries as contacts
from twinline.contacts.models import ContactError
from twinline.contacts.service import as_row, tag_names
from twinline.db import Tx
from twinline.rules import webhooks
from twinline.rules.automations.run import NOBODY

VERSION: Final = 1
TOLD: Final = 20  # messages of the chat that a bot is told
MOST: Final = 10  # messages that one answer may send

# A deleted message is nobody's business any more; an edited one says what it says now.
LATEST = """
SELECT outgoing, author, at, type, coalesce(edit_text, text) AS text
FROM messages
WHERE number_id = %(number)s AND contact_id = %(contact)s AND type <> 'reaction' AND revoked_at IS NULL
ORDER BY at DESC, heard DESC, wamid DESC LIMIT %(limit)s
"""

Short = Annotated[str, Field(max_length=500)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message of the chat. ``author``: customer, phone, person, automation or campaign."""

    outgoing: bool
    author: str | None
    at: datetime
    type: str
    text: str | None

    @property
    def words(self) -> str:
        """What it says; of a picture and the like at least what it is."""
        said = (self.text or "").strip()
        return said if self.type in ("text", "button", "interactive") and said else f"[{self.type}] {said}".strip()


async def latest(tx: Tx, number_id: int, contact_id: int, limit: int) -> list[Spoken]:
    """What was said last in a chat, the oldest first."""
    named = {"number": number_id, "contact": contact_id, "limit": limit}
    return (await tx.all(Spoken, LATEST, named))[::-1]


# --- what a bot may answer ------------------------------------------------------------------------------------------


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Tags(_In):
    add: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(default=[], max_length=30)
    remove: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(default=[], max_length=30)


class Reply(_In):
    """All of it may be left out: then the bot stays silent until the customer writes again."""

    messages: list[dict[str, Any]] = Field(default=[], max_length=MOST)
    tags: Tags = Tags()
    fields: dict[Name, Short] = Field(default={}, max_length=60)
    vars: dict[Name, Any] = Field(default={}, max_length=60)
    assign: Short | None = None
    note: Annotated[str, Field(max_length=2000)] | None = None
    release: bool | Annotated[str, Field(max_length=2000)] = False
    end: bool = False


def read(answer: Any) -> dict[str, Any]:
    """What a bot wants done, as the interpreter performs it. Raises Failed, naming what isn't as it should be."""
    try:
        said = Reply.model_validate(answer if answer is not None else {})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "its answer"
        raise Failed(f"The bot's answer can't be used: {where}: {first['msg']}.") from None
    messages = []
    for place, message in enumerate(said.messages):
        try:
            messages.append(schema.message(message))
        except Unfit as error:
            raise Failed(f"The bot's message {place + 1} can't be sent: {error.problems[0].says}") from None
    done = said.model_dump()
    note = said.release if isinstance(said.release, str) else ""
    return {**outside.empty(), **done, "messages": messages, "release": note if said.release else None}


async def check(tx: Tx, one: Errand, wanted: Mapping[str, Any]) -> None:
    """Raises Failed where it wants something done for which there is nobody, or nothing, here."""
    fields = {field.key: field for field in await contacts.fields(tx, one.organisation_id)}
    users = {user.email for user in await accounts.users(tx, one.organisation_id)}
    try:
        as_row(one.contact_id, {"fields": wanted["fields"]}, fields)
        tag_names([*wanted["tags"]["add"], *wanted["tags"]["remove"]])
    except ContactError as error:
        raise Failed(f"The bot's answer can't be used: {error}") from None
    if wanted["assign"] and wanted["assign"] != NOBODY and wanted["assign"].lower() not in users:
        raise Failed(f"The bot's answer can't be used: assign: there is no user “{wanted['assign']}” here.")


# --- asking it ------------------------------------------------------------------------------------------------------


async def ask(app: App, one: Errand) -> dict[str, Any]:
    """The step ``bot``. Raises Failed, Again."""
    there = await outside.connection_of(app, one, "bot")
    if there.secret is None:
        raise Failed("The bot has no signing secret: give it one.")
    async with app.db.transaction() as tx:
        history = await latest(tx, one.number_id, one.contact_id, TOLD)
    now = app.clock.now()
    body = orjson.dumps(_told(one, history, now))
    answer = await outside.ask(
        app,
        "POST",
        there.url,
        headers={
            "Content-Type": "application/json",
            **there.headers,
            **webhooks.headers([there.secret], one.key, now, body),
        },
        content=body,
        timeout=one.timeout,
    )
    wanted = read(outside.body_of(answer))
    async with app.db.transaction() as tx:
        await check(tx, one, wanted)
    return wanted


def _told(one: Errand, history: list[Spoken], now: datetime) -> Mapping[str, Any]:
    scope = one.scope
    return {
        "type": "turn",
        "version": VERSION,
        "at": now,
        "number": {"id": one.number_id, **scope["number"]},
        "automation": {"id": one.automation_id, "name": one.automation},
        "run": one.run_id,
        "contact": {"id": one.contact_id, **scope["contact"]},
        "message": scope["message"],
        "vars": scope["vars"],
        "messages": [
            {"from": "us" if said.outgoing else "customer", "author": said.author, "at": said.at, "type": said.type,
             "text": said.text}
            for said in history
        ],
    }  # fmt: skip
