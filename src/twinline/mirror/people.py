"""Who is who: every person and message of a batch gets its contact.

A person is known by phone, by business-scoped user id, or by both; a webhook that names both joins what was two
contacts, and so does a message that was said to be in the chats of both, for a message has one chat. Merging keeps the
oldest contact and a record from which it can be undone. All this happens under the number's turn, so nobody else makes
or merges contacts of the number meanwhile.
"""

from datetime import datetime
from typing import Any

import msgspec

from twinline.db import Tx, as_json
from twinline.mirror import queries
from twinline.mirror.fold import ContactRow, Keys, People, Rows
from twinline.mirror.models import Folded


async def resolve(tx: Tx, rows: Rows, folded: Folded, now: datetime) -> set[tuple[int, str]]:
    """Gives every person and message of the batch its contact; answers the messages seen before."""
    pairs = list(dict.fromkeys((number_id, key) for number_id, keys in rows.people for key in keys))
    identified = await tx.hot(queries.IDENTIFY, {"numbers": [n for n, _ in pairs], "keys": [key for _, key in pairs]})
    recalled = await tx.hot(
        queries.RECALL,
        {"numbers": [n for n, _ in rows.messages], "wamids": [wamid for _, wamid in rows.messages]},
    )
    contact_of: dict[tuple[int, str], int] = {(n, key): c for n, key, c in await identified.fetchall()}
    contact_of_message: dict[tuple[int, str], int] = {}
    seen: set[tuple[int, str]] = set()
    homeless: list[tuple[int, str]] = []  # media follow-ups that didn't say to whom
    for number_id, wamid, contact_id, came_live, came in await recalled.fetchall():
        if contact_id is not None:
            contact_of_message[number_id, wamid] = contact_id
        elif came:
            homeless.append((number_id, wamid))
        if came_live:
            seen.add((number_id, wamid))
    if not _settled(rows, contact_of, contact_of_message):
        await _join_people(tx, rows, folded, contact_of, contact_of_message, now)
    for (number_id, keys), person in rows.people.items():
        person.id = contact_of[number_id, keys[0]]
    for message_key, all_keys in rows.of.items():
        rows.messages[message_key].contact_id = contact_of[message_key[0], all_keys[0][0]]
    for message_key, contact_id in contact_of_message.items():
        if rows.messages[message_key].contact_id is None:
            rows.messages[message_key].contact_id = contact_id
    for message_key in homeless:
        found = rows.messages[message_key].contact_id
        if found is not None:
            folded.tell(message_key[0], "chats", found)
    return seen


def _settled(
    rows: Rows, contact_of: dict[tuple[int, str], int], contact_of_message: dict[tuple[int, str], int]
) -> bool:
    """Whether everybody is known and nothing contradicts: the common case."""
    for number_id, keys in rows.people:
        first = contact_of.get((number_id, keys[0]))
        if first is None or any(contact_of.get((number_id, key)) != first for key in keys[1:]):
            return False
    for message_key, all_keys in rows.of.items():
        first = contact_of[message_key[0], all_keys[0][0]]
        if contact_of_message.get(message_key, first) != first:
            return False
        if any(contact_of[message_key[0], keys[0]] != first for keys in all_keys[1:]):
            return False
    return True


async def _join_people(
    tx: Tx,
    rows: Rows,
    folded: Folded,
    contact_of: dict[tuple[int, str], int],
    contact_of_message: dict[tuple[int, str], int],
    now: datetime,
) -> None:
    """New people become contacts; contacts that turn out to be one person are merged into the oldest."""
    people = People()
    for number_id, keys in rows.people:
        people.join(number_id, keys)
    for message_key, all_keys in rows.of.items():
        for keys in all_keys[1:]:
            people.join(message_key[0], (all_keys[0][0], keys[0]))
    for (number_id, key), contact_id in contact_of.items():
        people.join(number_id, (f"c:{contact_id}", key))
    for message_key, contact_id in contact_of_message.items():
        if message_key in rows.of:
            people.join(message_key[0], (f"c:{contact_id}", rows.of[message_key][0][0]))
    groups = people.groups()
    contacts = {root: sorted(int(k[2:]) for k in keys if k.startswith("c:")) for root, keys in groups.items()}
    newcomers = sorted(root for root, known in contacts.items() if not known)
    if newcomers:
        ids = await tx.rows(queries.NEW_CONTACT_IDS, (len(newcomers),))
        for root, (contact_id,) in zip(newcomers, ids, strict=True):
            contacts[root] = [contact_id]
    fresh: list[tuple[int, str, int]] = []
    gone: dict[int, int] = {}
    for root, members in groups.items():
        number_id, winner = root[0], contacts[root][0]
        for key in members:
            if not key.startswith("c:"):
                if (number_id, key) not in contact_of:
                    fresh.append((number_id, key, winner))
                contact_of[number_id, key] = winner
        for loser in contacts[root][1:]:
            gone[loser] = winner
            for key in await _merge(tx, rows, folded, number_id, winner, loser, now):
                contact_of[number_id, key] = winner
    for message_key, contact_id in contact_of_message.items():
        contact_of_message[message_key] = gone.get(contact_id, contact_id)
    if fresh:
        numbers, added, owners = zip(*sorted(fresh), strict=True)
        await tx.hot(queries.ADD_IDENTITIES, {"numbers": list(numbers), "keys": list(added), "contacts": list(owners)})


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
