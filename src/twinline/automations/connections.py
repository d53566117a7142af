"""The places outside that automations may ask, each under a name: HTTP interfaces, bots, language models.

A definition names a connection and never holds a key, so it can be shown, exported and given away. What a connection
proves itself with, its secret and its headers, is sealed in the database, goes only to the connection's own origin
(scheme, host and port), and is never shown again; whoever gives a connection another origin has to give them anew.
"""

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import orjson

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.db import Tx, as_json
from twinline.kit.outside import OutsideError
from twinline.rules import webhooks

KINDS: Final = MappingProxyType(
    {
        "http": "An HTTP interface: a shop, a calendar, a table",
        "bot": "A bot: each message of the customer's is handed to it, signed",
        "ai": "A language model: any endpoint that speaks OpenAI's chat completions",
    }
)
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
LONGEST_NAME: Final = 60
LONGEST_TEXT: Final = 2000
MOST_HEADERS: Final = 20
MOST_PARAMETERS: Final = 12
SHORTEST_KEY: Final = 16  # bytes of a signing secret

_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_VALUE: Final = re.compile(r"[\t\x20-\x7e]{0,4000}", re.ASCII)
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "accept-encoding"}
)
_PARAMETER: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


class Unusable(Exception):
    """What was wanted can't be; the message says why and what to do."""


class NotThere(Unusable):
    """The organisation has no such connection, source of knowledge or approval."""


@dataclass(frozen=True, slots=True)
class Tool:
    """How a language model may use an HTTP interface: ``call:<name>`` among its step's tools.

    ``path`` is added to the connection's address and may hold ``{{args.order}}`` and placeholders of the chat;
    ``parameters`` says what each argument is; ``body`` is sent as JSON, None: without one.
    """

    description: str
    method: str = "GET"
    path: str = ""
    parameters: Mapping[str, str] | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class Connection:
    """As it is shown. ``has_secret`` and ``header_names`` are all that can be seen of what it proves itself with."""

    organisation_id: int
    id: int
    kind: str
    name: str
    url: str
    model: str
    tool: Mapping[str, Any] | None
    has_secret: bool
    header_names: Sequence[str]
    made_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection with what it proves itself with, for the moment of asking. Its words stand nowhere else."""

    kind: str
    name: str
    url: str
    model: str
    tool: Tool | None
    secret: str | None
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Opened({self.kind} {self.name!r})"


COLUMNS = """
organisation_id, id, kind, name, url, model, tool, secret, headers, made_at, changed_at
"""
ALL = f"SELECT {COLUMNS} FROM connections WHERE organisation_id = %(organisation)s ORDER BY name, id"
ONE = f"SELECT {COLUMNS} FROM connections WHERE organisation_id = %(organisation)s AND id = %(id)s"
NAMED = f"""
SELECT {COLUMNS} FROM connections WHERE organisation_id = %(organisation)s AND kind = %(kind)s AND name = %(name)s
"""
OF_KINDS = "SELECT name, kind FROM connections WHERE organisation_id = %(organisation)s"
TAKEN = """
SELECT EXISTS (
    SELECT FROM connections
    WHERE organisation_id = %(organisation)s AND lower(name) = lower(%(name)s) AND id <> %(id)s
)
"""
INSERT = """
INSERT INTO connections (organisation_id, kind, name, url, model, tool, secret, headers, made_by, made_at, changed_at)
VALUES (%(organisation)s, %(kind)s, %(name)s, %(url)s, %(model)s, %(tool)s::jsonb, %(secret)s, %(headers)s,
        %(user)s, %(now)s, %(now)s)
RETURNING id
"""
UPDATE = """
UPDATE connections SET name = %(name)s, url = %(url)s, model = %(model)s, tool = %(tool)s::jsonb,
    secret = %(secret)s, headers = %(headers)s, changed_at = %(now)s
WHERE organisation_id = %(organisation)s AND id = %(id)s
"""
DELETE = "DELETE FROM connections WHERE organisation_id = %(organisation)s AND id = %(id)s"


@dataclass(frozen=True, slots=True)
class _Row:
    organisation_id: int
    id: int
    kind: str
    name: str
    url: str
    model: str
    tool: dict[str, Any] | None
    secret: bytes | None
    headers: bytes | None
    made_at: datetime
    changed_at: datetime


# --- looking --------------------------------------------------------------------------------------------------------


async def connections(app: App, tx: Tx, organisation_id: int) -> list[Connection]:
    """By name."""
    return [_shown(app, row) for row in await tx.all(_Row, ALL, {"organisation": organisation_id})]


async def kinds(tx: Tx, organisation_id: int) -> dict[str, str]:
    """Of every connection, by its name."""
    return dict(await tx.rows(OF_KINDS, {"organisation": organisation_id}))


async def found(app: App, tx: Tx, organisation_id: int, connection_id: int) -> Connection:
    """Raises NotThere."""
    return _shown(app, await _row(tx, organisation_id, connection_id))


async def opened(app: App, tx: Tx, organisation_id: int, kind: str, name: str) -> Opened:
    """The connection that a definition names, with its secrets. Raises NotThere, VaultError."""
    row = await tx.one(_Row, NAMED, {"organisation": organisation_id, "kind": kind, "name": name})
    if row is None:
        raise NotThere(f"There is no connection “{name}” of this kind any more.")
    secret = app.vault.unseal(row.secret) if row.secret else None
    tool = Tool(**row.tool) if row.tool else None
    return Opened(row.kind, row.name, row.url, row.model, tool, secret, _headers_of(app, row))


# --- changing -------------------------------------------------------------------------------------------------------


async def create(
    app: App,
    tx: Tx,
    organisation_id: int,
    kind: str,
    name: str,
    url: str,
    *,
    model: str = "",
    secret: str | None = None,
    headers: Mapping[str, str] | None = None,
    tool: Mapping[str, Any] | None = None,
    user_id: int | None,
    now: datetime,
) -> tuple[int, str | None]:
    """The new connection's id, and a bot's signing secret, which can't be had a second time. Raises Unusable."""
    if kind not in KINDS:
        raise Unusable(f"A connection is one of {', '.join(KINDS)}.")
    named = {"organisation": organisation_id, "user": user_id, "now": now, "kind": kind}
    if kind == "bot" and not secret:
        secret = signing_secret()
    row = {**_checked(app, kind, name, url, model, tool), **_sealed(app, kind, secret, headers or {})}
    if await tx.value(TAKEN, {**named, **row, "id": 0}):
        raise Unusable(f"There is a connection “{row['name']}” already: choose another name.")
    made = int(await tx.value(INSERT, {**named, **row}))
    await _record(tx, organisation_id, user_id, "created", made, row["name"], now)
    return made, secret if kind == "bot" else None


async def change(
    app: App,
    tx: Tx,
    organisation_id: int,
    connection_id: int,
    *,
    name: str | None = None,
    url: str | None = None,
    model: str | None = None,
    secret: str | None = None,
    headers: Mapping[str, str] | None = None,
    tool: Mapping[str, Any] | None = None,
    no_tool: bool = False,
    user_id: int | None,
    now: datetime,
) -> Connection:
    """Changes what is given. With another origin, secret and headers that aren't given anew are forgotten.

    Raises NotThere, Unusable.
    """
    row = await _row(tx, organisation_id, connection_id)
    named = {"organisation": organisation_id, "id": connection_id, "now": now}
    what = _checked(
        app,
        row.kind,
        row.name if name is None else name,
        row.url if url is None else url,
        row.model if model is None else model,
        None if no_tool else row.tool if tool is None else tool,
    )
    kept = {"secret": row.secret, "headers": row.headers}
    if origin(app, what["url"]) != origin(app, row.url):
        kept = _sealed(app, row.kind, None, {})
        if row.kind == "bot" and not secret:
            raise Unusable("This is another place, so the bot needs a new signing secret: give one.")
    fresh = _sealed(app, row.kind, secret, headers or {})
    proof = {
        "secret": kept["secret"] if secret is None else fresh["secret"],
        "headers": kept["headers"] if headers is None else fresh["headers"],
    }
    if what["name"] != row.name and await tx.value(TAKEN, {**named, **what}):
        raise Unusable(f"There is a connection “{what['name']}” already: choose another name.")
    await tx.execute(UPDATE, {**named, **what, **proof})
    await _record(tx, organisation_id, user_id, "changed", connection_id, what["name"], now)
    return await found(app, tx, organisation_id, connection_id)


async def remove(tx: Tx, organisation_id: int, connection_id: int, user_id: int | None, now: datetime) -> None:
    """Steps that name it fail from now on, and go their way for failures. Raises NotThere."""
    row = await _row(tx, organisation_id, connection_id)
    await tx.execute(DELETE, {"organisation": organisation_id, "id": connection_id})
    await _record(tx, organisation_id, user_id, "removed", connection_id, row.name, now)


def signing_secret() -> str:
    """A new secret for signatures."""
    return webhooks.secret(secrets.token_bytes(webhooks.SECRET_BYTES))


def origin(app: App, url: str) -> tuple[str, str, int]:
    """Scheme, host and port, checked. Raises Unusable for an address that mayn't be asked."""
    try:
        parsed = app.outside.check(url)
    except OutsideError as error:
        raise Unusable(str(error)) from error
    return parsed.scheme, parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80)


# --- what is taken --------------------------------------------------------------------------------------------------


def _checked(app: App, kind: str, name: str, url: str, model: str, tool: Mapping[str, Any] | None) -> dict[str, Any]:
    name, url, model = " ".join(name.split()), url.strip(), model.strip()
    if not name or len(name) > LONGEST_NAME:
        raise Unusable(f"Give the connection a name of 1 to {LONGEST_NAME} characters.")
    if "{{" in url:
        raise Unusable("The address of a connection has no placeholders; they stand in the step's own address.")
    origin(app, url)
    if kind == "ai" and not model:
        raise Unusable("Say which model is asked, as its provider calls it.")
    if len(model) > LONGEST_NAME * 4:
        raise Unusable("The model's name is too long.")
    if tool is not None and kind != "http":
        raise Unusable("Only an HTTP interface can be an agent's tool.")
    return {
        "name": name,
        "url": url,
        "model": model if kind == "ai" else "",
        "tool": None if tool is None else as_json(asdict(_tool(tool))),
    }


def _tool(given: Mapping[str, Any]) -> Tool:
    try:
        tool = Tool(**given)
    except TypeError as error:
        raise Unusable("A tool has description, method, path, parameters and body.") from error
    parameters = tool.parameters or {}
    texts = [tool.description, tool.path, *parameters.values()] if isinstance(parameters, Mapping) else [None]
    if not all(isinstance(text, str) and len(text) <= LONGEST_TEXT for text in texts):
        raise Unusable(f"Description, path and parameters of a tool are texts of at most {LONGEST_TEXT} characters.")
    if not tool.description.strip():
        raise Unusable("Describe what the tool does: by this the model decides when to use it.")
    if tool.method not in METHODS:
        raise Unusable(f"The method is one of {', '.join(METHODS)}.")
    if tool.path and tool.path[0] not in "/?":
        raise Unusable("The path is added to the connection's address and begins with / or ?.")
    if len(parameters) > MOST_PARAMETERS:
        raise Unusable(f"A tool has at most {MOST_PARAMETERS} parameters.")
    if wrong := [name for name in parameters if not isinstance(name, str) or not _PARAMETER.fullmatch(name)]:
        raise Unusable(f"“{wrong[0]}” can't be a parameter's name: small letters, digits and _, like order_id.")
    return Tool(tool.description.strip(), tool.method, tool.path, dict(parameters), tool.body)


def _sealed(app: App, kind: str, secret: str | None, headers: Mapping[str, str]) -> dict[str, bytes | None]:
    if secret and (not _VALUE.fullmatch(secret) or secret != secret.strip()):
        raise Unusable("The secret has characters that can't be sent. Copy it once more, without spaces around it.")
    if secret and kind == "bot":
        _check_signing(secret)
    if len(headers) > MOST_HEADERS:
        raise Unusable(f"At most {MOST_HEADERS} headers.")
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OURS:
            raise Unusable(f"“{name[:40]}” can't be a header here.")
        if not _VALUE.fullmatch(value):
            raise Unusable(f"The header {name} has characters that can't be sent.")
    return {
        "secret": app.vault.seal(secret) if secret else None,
        "headers": app.vault.seal(as_json(dict(headers))) if headers else None,
    }


def _check_signing(secret: str) -> None:
    try:
        key = base64.b64decode(secret.removeprefix(webhooks.PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(webhooks.PREFIX) or len(key) < SHORTEST_KEY:
        raise Unusable(
            f"A signing secret is {webhooks.PREFIX} and at least {SHORTEST_KEY} bytes in base64. "
            "Leave it out to get a new one."
        )


async def _row(tx: Tx, organisation_id: int, connection_id: int) -> _Row:
    row = await tx.one(_Row, ONE, {"organisation": organisation_id, "id": connection_id})
    if row is None:
        raise NotThere(f"There is no connection {connection_id}.")
    return row


def _headers_of(app: App, row: _Row) -> dict[str, str]:
    return orjson.loads(app.vault.unseal(row.headers)) if row.headers else {}


def _shown(app: App, row: _Row) -> Connection:
    return Connection(
        row.organisation_id,
        row.id,
        row.kind,
        row.name,
        row.url,
        row.model,
        row.tool,
        row.secret is not None,
        sorted(_headers_of(app, row)),
        row.made_at,
        row.changed_at,
    )


async def _record(
    tx: Tx, organisation_id: int, user_id: int | None, what: str, connection_id: int, name: str, now: datetime
) -> None:
    detail = {"connection": connection_id, "name": name}
    await accounts.record(tx, organisation_id, user_id, f"connection.{what}", detail, now)
