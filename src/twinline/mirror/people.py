"""Who is who: every person and message of a batch gets its contact.

A person is known by phone, by business-scoped user id, or by both; a webhook that names both joins what was two
contacts, and so does a message that was said to be in the chats of both, for a message has one chat. Merging keeps the
oldest contact and a record from which it can be undone. All this happens under the number's turn, so nobody else makes
or merges contacts of the number meanwhile.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from twinline.db import Asked, Tx, as_json
from twinline.mirror import queries
from twinline.mirror.fold import ContactRow, Keys, People, Rows
from twinline.mirror.models import Folded


@dataclass(frozen=True, slots=True)
class Questions:
    """What was asked about a batch: whose its keys are, and what is known of its messages."""

    identified: Asked
    recalled: Asked


def ask(tx: Tx, rows: Rows) -> Questions:
    keys = dict.fromkeys((number_id, key) for number_id, keys in rows.people for key in keys)
    return Questions(
        tx.ask(queries.IDENTIFY, (as_json([{"number_id": n, "key": key} for n, key in keys]),)),
        tx.ask(queries.RECALL, (as_json([{"number_id": n, "wamid": wamid} for n, wamid in rows.messages]),)),
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """What of a batch was there before it, and what wasn't."""

    came: dict[tuple[int, str], bool]  # messages, and whether they had come live
    fresh: set[int]  # contacts that are made by it


async def resolve(tx: Tx, asked: Questions, rows: Rows, folded: Folded, now: datetime) -> Resolved:
    """Gives every person and message of the batch its contact."""
    known = _Known(rows)
    for number_id, key, contact_id, fresh_id in await asked.identified.rows():
        if contact_id is None:
            known.fresh_id[number_id, key] = fresh_id
        else:
            known.contact_of[number_id, key] = contact_id
    found = Resolved({}, set())
    homeless: list[tuple[int, str]] = []  # media follow-ups that didn't say to whom
    for number_id, wamid, contact_id, came_live, came in await asked.recalled.rows():
        if contact_id is not None:
            known.contact_of_message[number_id, wamid] = contact_id
        elif came:
            homeless.append((number_id, wamid))
        if came:
            found.came[number_id, wamid] = came_live
    if groups := known.groups():
        await _join(tx, known, groups, found.fresh, folded, now)
    known.apply()
    for message_key in homeless:
        home = rows.messages[message_key].contact_id
        if home is not None:
            folded.tell(message_key[0], "chats", home)
    return found


@dataclass(slots=True)
class _Known:
    """Who the people and messages of a batch are, as far as it is known."""

    rows: Rows
    contact_of: dict[tuple[int, str], int] = field(default_factory=dict)  # (number, key) -> contact
    fresh_id: dict[tuple[int, str], int] = field(default_factory=dict)  # (number, nobody's key) -> id for a contact
    contact_of_message: dict[tuple[int, str], int] = field(default_factory=dict)  # (number, wamid) -> contact

    def groups(self) -> dict[tuple[int, str], list[str]]:
        """Those who are new, or of whom two contacts are known: the keys of each, contacts they already are among them
        (``c:<id>``), by the group's root. Commonly everybody is one contact, and every message in its chat.
        """
        people = People()
        loose: list[tuple[int, str]] = []
        for number_id, keys in self.rows.people:
            if not _agree({self.contact_of.get((number_id, key)) for key in keys}):
                people.join(number_id, keys)
                loose += [(number_id, key) for key in keys]
        for (number_id, wamid), all_keys in self.rows.of.items():
            firsts = [keys[0] for keys in all_keys]
            owners = {self.contact_of.get((number_id, key)) for key in firsts}
            contact_id = self.contact_of_message.get((number_id, wamid))
            if contact_id is not None:
                owners.add(contact_id)
            if not _agree(owners):
                people.join(number_id, tuple(firsts) if contact_id is None else (f"c:{contact_id}", *firsts))
                loose += [(number_id, key) for key in firsts]
        for number_id, key in loose:
            if (known := self.contact_of.get((number_id, key))) is not None:
                people.join(number_id, (f"c:{known}", key))
        return people.groups()

    def apply(self) -> None:
        for (number_id, keys), person in self.rows.people.items():
            person.id = self.contact_of[number_id, keys[0]]
        for message_key, all_keys in self.rows.of.items():
            self.rows.messages[message_key].contact_id = self.contact_of[message_key[0], all_keys[0][0]]
        for message_key, contact_id in self.contact_of_message.items():
            if self.rows.messages[message_key].contact_id is None:
                self.rows.messages[message_key].contact_id = contact_id


def _agree(owners: set[int | None]) -> bool:
    return len(owners) == 1 and None not in owners


async def _join(
    tx: Tx, known: _Known, groups: dict[tuple[int, str], list[str]], made: set[int], folded: Folded, now: datetime
) -> None:
    """New people become contacts (``made``); contacts that turn out to be one person are merged into the oldest."""
    contacts = {root: sorted(int(k[2:]) for k in keys if k.startswith("c:")) for root, keys in groups.items()}
    torn = sorted({root[0] for root, ids in contacts.items() if len(ids) > 1})
    if torn:
        await tx.send(queries.MERGE_PEOPLE, (torn,))
    fresh: list[tuple[int, str, int]] = []
    gone: dict[int, int] = {}
    for root, members in groups.items():
        number_id = root[0]
        keys = [key for key in members if not key.startswith("c:")]
        if not contacts[root]:
            contacts[root] = [known.fresh_id[number_id, keys[0]]]
            made.update(contacts[root])
        winner, *losers = contacts[root]
        fresh += [(number_id, key, winner) for key in keys if (number_id, key) not in known.contact_of]
        for loser in losers:
            gone[loser] = winner
            keys += await _merge(tx, known.rows, folded, number_id, winner, loser, now)
        known.contact_of.update({(number_id, key): winner for key in keys})
    known.contact_of_message = {
        message_key: gone.get(contact_id, contact_id) for message_key, contact_id in known.contact_of_message.items()
    }
    if fresh:
        added = [{"number_id": n, "key": key, "contact_id": contact_id} for n, key, contact_id in fresh]
        await tx.send(queries.ADD_IDENTITIES, (as_json(added),))


async def _merge(tx: Tx, rows: Rows, folded: Folded, number_id: int, winner: int, loser: int, now: datetime) -> Keys:
    """The loser's rows become the winner's; what was known of it joins as one more account of the same person.

    Answers the keys it had.
    """
    named = {"number": number_id, "winner": winner, "loser": loser, "now": now}
    row: dict[str, Any] = await tx.value(queries.LOSER, named)
    row["keys"] = sorted(row["keys"])
    for statement in queries.MERGE:
        await tx.send(statement, {**named, "row": as_json(row)})
    keys: Keys = tuple(row["keys"])
    known = msgspec.convert({**row, "id": winner}, ContactRow)
    rows.people.setdefault((number_id, keys), ContactRow(number_id)).absorb(known)
    folded.tell(number_id, "chats", winner)
    folded.tell(number_id, "merged", [winner, loser])
    return keys
