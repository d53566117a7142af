"""From a number's events to what is told: which types an event has, and the bodies, written once and then kept.

Every item of an event has a place in it, whatever an endpoint wants to hear, so that its id stays the same. Some types
tell a state (a number, a template, a campaign, a chat, a consent); those are told only where they differ from what was
told last, since events name more than has changed.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from twinline.campaigns import service as campaigns
from twinline.contacts import queries as contact_rows
from twinline.contacts import service as contacts
from twinline.db import Tx
from twinline.numbers import queries as numbers
from twinline.rules import campaigns as campaign_rules
from twinline.sending import stops
from twinline.templates import queries as templates
from twinline.webhooks_out import queries
from twinline.webhooks_out.models import Cursor, Endpoint, News

EVENTS: Final = 100  # of a number, in one transaction
MESSAGES: Final = {
    "received": "message.received",
    "echoed": "message.echoed",
    "edited": "message.edited",
    "revoked": "message.revoked",
    "status": "message.status",
}
OUTBOX: Final = {"sent": "message.sent", "failed": "message.status"}
STATES: Final = ("number.updated", "template.updated", "campaign.updated")
QUIET: Final = {"floor": "nobody", "assigned_to": None}


@dataclass(frozen=True, slots=True)
class Item:
    """Something of a type that an event says has happened. ``what``: a wamid, an outbox row's id, a campaign's id."""

    key: str
    type: str
    at: datetime
    contact_id: int | None = None
    what: str | int | None = None
    more: tuple[int, ...] = ()


def items(number_id: int, seq: int, at: datetime, body: Mapping[str, Any]) -> Iterator[Item]:
    """What an event tells, in a fixed order."""
    for place, (kind, contact_id, what, more) in enumerate(_named(body)):
        yield Item(f"msg_{number_id}_{seq}_{place}", kind, at, contact_id, what, more)


Told = tuple[str, int | None, str | int | None, tuple[int, ...]]


def _named(body: Mapping[str, Any]) -> Iterator[Told]:
    messages, outbox = body.get("messages", ()), body.get("outbox", ())
    for contact_id, wamid, what in messages:
        if kind := MESSAGES.get(what):
            yield kind, contact_id, wamid, ()
    for contact_id, outbox_id, state in outbox:
        if kind := OUTBOX.get(state):
            yield kind, contact_id, outbox_id, ()
        yield "campaign.recipient", contact_id, outbox_id, ()
    for contact_id, wamid, what in messages:
        if what == "status":
            yield "campaign.recipient", contact_id, wamid, ()
    changed = _changed(body)
    for contact_id in changed:
        yield "contact.updated", contact_id, None, ()
    for winner, loser in body.get("merged", ()):
        yield "contact.updated", winner, None, (loser,)
    for contact_id in dict.fromkeys([*body.get("chats", ()), *(one[0] for one in messages), *changed]):
        yield "chat.updated", contact_id, None, ()
        yield "consent.changed", contact_id, None, ()
    if body.get("number"):
        yield "number.updated", None, None, ()
    if body.get("templates"):
        yield "template.updated", None, None, ()
    for campaign_id in body.get("campaigns", ()):
        yield "campaign.updated", None, campaign_id, ()
        yield "campaign.finished", None, campaign_id, ()


def _changed(body: Mapping[str, Any]) -> list[int]:
    """Contacts of whom something changed that isn't said in a chat."""
    people = list(body.get("about", ()))
    if body.get("contacts") and not people:
        people += body.get("chats", ())
    return list(dict.fromkeys([*people, *(one for given in body.get("tagged", {}).values() for one in given)]))


async def read_on(tx: Tx, endpoint: Endpoint, now: datetime) -> bool:
    """Writes deliveries for what has happened since; whether there may be more. The caller holds the cursors."""
    organisation, more = endpoint.organisation_id, False
    where = {"organisation": organisation, "id": endpoint.id}
    await tx.execute(queries.FOLLOW, {**where, "at_end": False})
    for cursor in await queries.cursors(tx, organisation, endpoint.id):
        named = {"number": cursor.number_id, "seq": cursor.seq, "limit": EVENTS}
        rows = await tx.rows(queries.EVENTS, named)
        if not rows:
            continue
        reader = _Reader(tx, endpoint, cursor)
        news = await reader.news([one for seq, at, body in rows for one in items(cursor.number_id, seq, at, body)])
        await queries.write(tx, organisation, endpoint.id, news, now)
        moved = {"number": cursor.number_id, "seq": rows[-1][0], "told": orjson.dumps(reader.told).decode()}
        await tx.execute(queries.MOVE, {**where, **moved})
        more = more or len(rows) == EVENTS
    return more


async def remember(tx: Tx, endpoint: Endpoint) -> None:
    """Notes how things stand, so that only what changes from here on is told."""
    for cursor in await queries.cursors(tx, endpoint.organisation_id, endpoint.id):
        reader = _Reader(tx, endpoint, cursor)
        await reader.states([Item("", kind, endpoint.created_at) for kind in STATES[:2]])
        moved = {"number": cursor.number_id, "seq": cursor.seq, "told": orjson.dumps(reader.told).decode()}
        await tx.execute(queries.MOVE, {"organisation": endpoint.organisation_id, "id": endpoint.id, **moved})


@dataclass(slots=True)
class _Reader:
    """Makes bodies of items of one number."""

    tx: Tx
    endpoint: Endpoint
    cursor: Cursor
    told: dict[str, str] = field(default_factory=dict)

    async def news(self, happened: Sequence[Item]) -> list[News]:
        wanted = [one for one in happened if one.type in self.endpoint.types]
        found = [
            *await self._messages([one for one in wanted if one.type.startswith("message.")]),
            *await self._recipients([one for one in wanted if one.type == "campaign.recipient"]),
            *await self._contacts([one for one in wanted if one.type == "contact.updated"]),
            *await self._chats([one for one in wanted if one.type == "chat.updated"]),
            *await self._consents([one for one in wanted if one.type == "consent.changed"]),
            *await self.states([one for one in wanted if one.type in STATES]),
            *await self._finished([one for one in wanted if one.type == "campaign.finished"]),
        ]
        order = {one.key: place for place, one in enumerate(wanted)}
        found.sort(key=lambda told: order[told.key.partition(".")[0]])
        return found

    def _news(self, one: Item, data: Mapping[str, Any], suffix: str = "") -> News:
        from twinline.webhooks_out.shapes import dumped, envelope

        plain = {"number_id": self.cursor.number_id, **{name: dumped(value) for name, value in data.items()}}
        body = orjson.dumps(envelope(one.type, one.at, plain), option=orjson.OPT_UTC_Z).decode()
        key = f"{one.key}.{suffix}" if suffix else one.key
        return News(key, one.type, one.at, self.cursor.number_id, one.contact_id, body)

    async def _messages(self, wanted: Sequence[Item]) -> list[News]:
        if not wanted:
            return []
        from twinline.sending.api import Sent
        from twinline.webhooks_out.shapes import Message

        number, wamids, ids = self._about(wanted)
        outbox = await queries.sent(self.tx, number, wamids, ids)
        by_id, by_wamid = {row.id: row for row in outbox}, {row.wamid: row for row in outbox if row.wamid}
        rows = await queries.messages(self.tx, number, {*wamids, *by_wamid})
        found = []
        for one in wanted:
            sent = by_id.get(one.what) if isinstance(one.what, int) else by_wamid.get(str(one.what))
            wamid = one.what if isinstance(one.what, str) else sent.wamid if sent else None
            shown = Sent.of(sent) if sent else None
            if wamid in rows:
                found.append(self._news(one, {"message": Message.of(rows[wamid], shown)}))
            elif shown is not None:
                found.append(self._news(one, {"message": Message.unsent(shown, None)}))
        return found

    def _about(self, wanted: Sequence[Item]) -> tuple[int, set[str], set[int]]:
        wamids = {one.what for one in wanted if isinstance(one.what, str)}
        return self.cursor.number_id, wamids, {one.what for one in wanted if isinstance(one.what, int)}

    async def _recipients(self, wanted: Sequence[Item]) -> list[News]:
        if not wanted:
            return []
        from twinline.webhooks_out.shapes import Recipient

        rows = await queries.recipients(self.tx, *self._about(wanted))
        found: list[News] = []
        states: dict[int, str] = {}
        for one in wanted:
            for row in rows:
                if one.what not in (row["wamid"], row["outbox_id"]):
                    continue
                state = campaign_rules.recipient_state(row["state"], row["delivery"], replied=row["replied"])
                if states.get(row["recipient_id"]) == state:
                    continue
                states[row["recipient_id"]] = state
                shape = Recipient(**{**row, "state": state, "error": row["error_text"]})
                found.append(self._news(one, {"recipient": shape}))
        return found

    async def _contacts(self, wanted: Sequence[Item]) -> list[News]:
        from twinline.contacts.api import contact_of

        number, found = self.cursor.number_id, []
        consents = await contacts.consents(self.tx, number, {one.contact_id for one in wanted if one.contact_id})
        for one in wanted:
            assert one.contact_id is not None
            row = await contact_rows.one(self.tx, number, one.contact_id)
            if row is not None and one.contact_id in consents:
                shape = contact_of(row, consents[one.contact_id])
                found.append(self._news(one, {"contact": shape, "merged": list(one.more)}))
        return found

    async def _chats(self, wanted: Sequence[Item]) -> list[News]:
        if not wanted:
            return []
        from twinline.sending.api import Person
        from twinline.webhooks_out.shapes import Chat

        found = []
        last = await self._last(wanted, "chat")
        rows = {row["contact_id"]: row for row in await self._people(wanted)}
        for one in wanted:
            row = rows.get(one.contact_id)
            if row is None or row["floor_holder"] is None:
                continue
            shape = Chat(
                contact=Person(contact=row["contact_id"], phone=row["phone"], user_id=row["bsuid"]),
                assigned_to=row["assigned_to"],
                floor=row["floor_holder"],
                floor_since=row["floor_since"],
                floor_until=row["floor_until"],
            )
            now = {"floor": shape.floor, "assigned_to": shape.assigned_to}
            before = last.get(row["contact_id"], QUIET)
            if any(before[name] != value for name, value in now.items()):
                last[row["contact_id"]] = now
                found.append(self._news(one, {"chat": shape}))
        return found

    async def _consents(self, wanted: Sequence[Item]) -> list[News]:
        if not wanted:
            return []
        from twinline.contacts.api import Consent
        from twinline.sending.api import Person

        found = []
        last = await self._last(wanted, "marketing")
        people = {row["contact_id"]: row for row in await self._people(wanted)}
        consents = await contacts.consents(self.tx, self.cursor.number_id, people)
        for one in wanted:
            told, row = consents.get(one.contact_id or 0), people.get(one.contact_id)
            if told is None or row is None:
                continue
            before = last.get(row["contact_id"])
            if before is None and (told.since is None or told.since < self.endpoint.created_at):
                continue
            shape = Consent.of(told)
            if before is None or (before["allowed"], before["why"]) != (shape.allowed, shape.why):
                last[row["contact_id"]] = {"allowed": shape.allowed, "why": shape.why}
                who = Person(contact=row["contact_id"], phone=row["phone"], user_id=row["bsuid"])
                found.append(self._news(one, {"contact": who, "marketing": shape}))
        return found

    async def _people(self, wanted: Sequence[Item]) -> list[dict[str, Any]]:
        ids = {one.contact_id for one in wanted if one.contact_id is not None}
        return await queries.people(self.tx, self.cursor.number_id, ids)

    async def _last(self, wanted: Sequence[Item], part: str) -> dict[int, Any]:
        """What was told last of each of these people."""
        where = {
            "organisation": self.endpoint.organisation_id,
            "id": self.endpoint.id,
            "number": self.cursor.number_id,
        }
        ids = {one.contact_id for one in wanted if one.contact_id is not None}
        bodies = await queries.told(self.tx, where, ids, wanted[0].type)
        return {contact_id: orjson.loads(body)["data"][part] for contact_id, body in bodies.items()}

    # --- states -------------------------------------------------------------------------------------------------------

    async def states(self, wanted: Sequence[Item]) -> list[News]:
        """Those that differ from what was told; notes them."""
        tell = {
            "number.updated": self._number,
            "template.updated": self._templates,
            "campaign.updated": self._campaign,
        }
        found = []
        for one in wanted:
            for name, standing, data in await tell[one.type](one):
                digest = hashlib.sha256(orjson.dumps(standing, default=str)).hexdigest()[:16]
                if {**self.cursor.told, **self.told}.get(name) != digest:
                    self.told[name] = digest
                    found.append(self._news(one, data, name if one.type == "template.updated" else ""))
        return found

    async def _number(self, one: Item) -> list[tuple[str, Any, dict[str, Any]]]:
        from twinline.numbers.api import Number, Stop

        row = await numbers.number(self.tx, self.endpoint.organisation_id, self.cursor.number_id)
        if row is None:
            return []
        standing = [Stop.model_validate(each) for each in await stops.standing(self.tx, row.id, one.at)]
        shape = {**Number.of(row).model_dump(mode="json"), "stops": [each.model_dump(mode="json") for each in standing]}
        same = {name: value for name, value in shape.items() if name != "phone_seen_at"}
        return [("number", same, {"number": shape})]

    async def _templates(self, one: Item) -> list[tuple[str, Any, dict[str, Any]]]:
        from twinline.templates.api import Template

        account = await templates.account_of(self.tx, self.cursor.number_id)
        rows = await templates.templates(self.tx, *account) if account else []
        shapes = [Template.of(row).model_dump(mode="json") for row in rows]
        return [(f"template:{shape['id']}", shape, {"template": shape}) for shape in shapes]

    async def _campaign(self, one: Item) -> list[tuple[str, Any, dict[str, Any]]]:
        from twinline.campaigns.shapes import Campaign

        row = await self._one_campaign(one)
        if row is None:
            return []
        name = f"campaign:{row.id}"
        if name not in self.cursor.told and row.state_since < self.endpoint.created_at:
            return []
        return [(name, str(row.state), {"campaign": Campaign.of(row)})]

    async def _finished(self, wanted: Sequence[Item]) -> list[News]:
        from twinline.campaigns.shapes import Campaign, results

        found = []
        for one in wanted:
            row = await self._one_campaign(one)
            name = f"finished:{one.what}"
            if row is None or row.state is not campaign_rules.State.FINISHED or name in self.cursor.told | self.told:
                continue
            if row.state_since < self.endpoint.created_at:
                continue
            self.told[name] = "told"
            told = {"campaign": Campaign.of(row), "results": await results(self.tx, row)}
            found.append(self._news(one, told))
        return found

    async def _one_campaign(self, one: Item) -> Any:
        try:
            return await campaigns.found(self.tx, self.endpoint.organisation_id, int(one.what or 0))
        except campaigns.NoSuchCampaign:
            return None
