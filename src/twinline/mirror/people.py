"""Who is who: every person and message of a batch gets its contact.

A person is known by phone, by business-scoped user id, or by both; a webhook that names both joins what was two
contacts, and so does a message that was said to be in the chats of both, for a message has one chat. Merging keeps the
oldest contact and a record from which it can be undone. All this happens under the number's turn, so nobody else makes
or merges contacts of the number meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from twinline.db import Tx, as_json
from twinline.mirror import queries
from twinline.mirror.fold import ContactRow, Keys, People, Rows
from twinline.mirror.models import Folded


async def resolve(tx: Tx, rows: Rows, folded: Folded, now: datetime) -> set[tuple[int, str]]:
    """Gives every person and message of the batch its contact; answers the messages that had come live before."""
    pairs = list(dict.fromkeys((number_id, key) for number_id, keys in rows.people for key in keys))
    identified = await tx.hot(queries.IDENTIFY, {"numbers": [n for n, _ in pairs], "keys": [key for _, key in pairs]})
    recalled = await tx.hot(
        queries.RECALL,
        {"numbers": [n for n, _ in rows.messages], "wamids": [wamid for _, wamid in rows.messages]},
    )
    known = _Known(rows, {(n, key): contact for n, key, contact in await identified.fetchall()})
    seen: set[tuple[int, str]] = set()
    homeless: list[tuple[int, str]] = []  # media follow-ups that didn't say to whom
    for number_id, wamid, contact_id, came_live, came in await recalled.fetchall():
        if contact_id is not None:
            known.contact_of_message[number_id, wamid] = contact_id
        elif came:
            homeless.append((number_id, wamid))
        if came_live:
            seen.add((number_id, wamid))
    if not known.settled():
        await _join(tx, known, folded, now)
    known.apply()
    for message_key in homeless:
        found = rows.messages[message_key].contact_id
        if found is not None:
            folded.tell(message_key[0], "chats", found)
    return seen


@dataclass(slots=True)
class _Known:
    """Who the people and messages of a batch are, as far as it is known."""

    rows: Rows
    contact_of: dict[tuple[int, str], int]  # (number, key) -> contact
    contact_of_message: dict[tuple[int, str], int] = field(default_factory=dict)  # (number, wamid) -> contact

    def settled(self) -> bool:
        """Whether everybody is known and nothing contradicts: the common case."""
        for number_id, keys in self.rows.people:
            first = self.contact_of.get((number_id, keys[0]))
            if first is None or any(self.contact_of.get((number_id, key)) != first for key in keys[1:]):
                return False
        for message_key, all_keys in self.rows.of.items():
            first = self.contact_of[message_key[0], all_keys[0][0]]
            if self.contact_of_message.get(message_key, first) != first:
                return False
            if any(self.contact_of[message_key[0], keys[0]] != first for keys in all_keys[1:]):
                return False
        return True

    def groups(self) -> dict[tuple[int, str], list[str]]:
        """The keys of each person, contacts they already are among them (``c:<id>``), by the group's root."""
        people = People()
        for number_id, keys in self.rows.people:
            people.join(number_id, keys)
        for (number_id, wamid), all_keys in self.rows.of.items():
            for keys in all_keys[1:]:
                people.join(number_id, (all_keys[0][0], keys[0]))
            contact_id = self.contact_of_message.get((number_id, wamid))
            if contact_id is not None:
                people.join(number_id, (f"c:{contact_id}", all_keys[0][0]))
        for (number_id, key), contact_id in self.contact_of.items():
            people.join(number_id, (f"c:{contact_id}", key))
        return people.groups()

    def apply(self) -> None:
        for (number_id, keys), person in self.rows.people.items():
            person.id = self.contact_of[number_id, keys[0]]
        for message_key, all_keys in self.rows.of.items():
            self.rows.messages[message_key].contact_id = self.contact_of[message_key[0], all_keys[0][0]]
        for message_key, contact_id in self.contact_of_message.items():
            if self.rows.messages[message_key].contact_id is None:
                self.rows.messages[message_key].contact_id = contact_id


async def _join(tx: Tx, known: _Known, folded: Folded, now: datetime) -> None:
    """New people become contacts; contacts that turn out to be one person are merged into the oldest."""
    groups = known.groups()
    contacts = {root: sorted(int(k[2:]) for k in keys if k.startswith("c:")) for root, keys in groups.items()}
    await _welcome(tx, [root for root, ids in sorted(contacts.items()) if not ids], contacts)
    fresh: list[tuple[int, str, int]] = []
    gone: dict[int, int] = {}
    for root, members in groups.items():
        number_id, (winner, *losers) = root[0], contacts[root]
        keys = [key for key in members if not key.startswith("c:")]
        fresh += [(number_id, key, winner) for key in keys if (number_id, key) not in known.contact_of]
        for loser in losers:
            gone[loser] = winner
            keys += await _merge(tx, known.rows, folded, number_id, winner, loser, now)
        known.contact_of.update({(number_id, key): winner for key in keys})
    known.contact_of_message = {
        message_key: gone.get(contact_id, contact_id) for message_key, contact_id in known.contact_of_message.items()
    }
    if fresh:
        numbers, added, owners = zip(*sorted(fresh), strict=True)
        await tx.hot(queries.ADD_IDENTITIES, {"numbers": list(numbers), "keys": list(added), "contacts": list(owners)})


async def _welcome(tx: Tx, newcomers: Sequence[tuple[int, str]], contacts: dict[tuple[int, str], list[int]]) -> None:
    """Who isn't anybody yet gets a contact id."""
    if newcomers:
        ids = await tx.rows(queries.NEW_CONTACT_IDS, (len(newcomers),))
        contacts.update({root: [contact_id] for root, (contact_id,) in zip(newcomers, ids, strict=True)})


async def _merge(tx: Tx, rows: Rows, folded: Folded, number_id: int, winner: int, loser: int, now: datetime) -> Keys:
    """The loser's rows become the winner's; what was known of it joins as one more account of the same person.

    Answers the keys it had.
    """
    named = {"number": number_id, "winner": winner, "loser": loser, "now": now}
    row: dict[str, Any] = await tx.value(queries.LOSER, named)
    for statement in queries.MERGE:
        await tx.hot(statement, {**named, "row": as_json(row)})
    keys: Keys = tuple(row["keys"])
    known = msgspec.convert({**row, "id": winner}, ContactRow)
    rows.people.setdefault((number_id, keys), ContactRow(number_id)).absorb(known)
    folded.tell(number_id, "chats", winner)
    folded.tell(number_id, "merged", [winner, loser])
    return keys
