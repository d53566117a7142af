"""Everything known of a number as JSON lines, in a canonical order.

Two platforms that were told the same things, in whatever order, repetition or batches, print the same bytes: there
are no surrogate keys and no arrival times in it. A contact is named by its first key. Times are unix seconds.

Lines, in this order: ``number``, ``contact``, ``chat``, ``message``, ``status``, ``edit``, ``notice``, ``chunk``.
"""

from collections.abc import AsyncIterator

import orjson

from twinline.db import Tx
from twinline.rules.delivery import Delivery

# Contacts by surrogate id -> first key; used by every query below.
_WHO = """
WITH who AS (
    SELECT contact_id, min(key) AS name, jsonb_agg(key ORDER BY key) AS keys
    FROM identities WHERE number_id = %(number)s GROUP BY contact_id
)
"""

LINES = (
    """
SELECT jsonb_build_object(
    'kind', 'number', 'waba_id', waba_id, 'phone_number_id', phone_number_id, 'display_phone', display_phone,
    'state', state, 'state_reason', state_reason, 'phone_seen_at', extract(epoch FROM phone_seen_at)::bigint,
    'history_declined', EXISTS (
        SELECT FROM sync_requests s WHERE s.number_id = n.id AND s.kind = 'history' AND s.declined_at IS NOT NULL
    )
) FROM numbers n WHERE id = %(number)s
""",
    _WHO
    + """
SELECT jsonb_build_object(
    'kind', 'contact', 'keys', w.keys, 'phone', c.phone, 'user_id', c.bsuid, 'parent_user_id', c.parent_bsuid,
    'username', c.username, 'profile_name', c.profile_name, 'book_name', c.book_name, 'book_first', c.book_first,
    'in_address_book', c.book_name IS NOT NULL, 'custom_name', c.custom_name, 'opted_out', c.opted_out
) FROM contacts c JOIN who w ON w.contact_id = c.id
WHERE c.number_id = %(number)s ORDER BY w.name COLLATE "C"
""",
    _WHO
    + """
SELECT jsonb_build_object(
    'kind', 'chat', 'contact', w.name,
    -- Of several in the last second a page shows the one heard last; here the order of ids decides.
    'last_wamid', (
        SELECT max(m.wamid) FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.contact_id AND m.type <> 'reaction' AND m.at = c.last_at
    ),
    'last_at', extract(epoch FROM c.last_at)::bigint,
    'last_inbound_at', extract(epoch FROM c.last_inbound_at)::bigint,
    'answered_at', extract(epoch FROM c.answered_at)::bigint
) FROM chats c JOIN who w ON w.contact_id = c.contact_id
WHERE c.number_id = %(number)s AND c.last_wamid IS NOT NULL ORDER BY w.name COLLATE "C"
""",
    _WHO
    + """
SELECT jsonb_build_object(
    'kind', 'message', 'wamid', m.wamid, 'contact', w.name, 'outgoing', m.outgoing, 'live', m.live,
    'at', extract(epoch FROM m.at)::bigint, 'type', m.type, 'text', m.text, 'content', m.content, 'extra', m.extra,
    'media_id', m.media_id, 'quoted', m.quoted, 'author', m.author, 'delivery', m.delivery,
    'edited', m.edit_v >= 0, 'edit_text', m.edit_text, 'edit_content', m.edit_content,
    'revoked_at', extract(epoch FROM m.revoked_at)::bigint
) FROM messages m LEFT JOIN who w ON w.contact_id = m.contact_id
WHERE m.number_id = %(number)s ORDER BY m.wamid
""",
    """
SELECT jsonb_build_object(
    'kind', 'status', 'wamid', wamid, 'status', status, 'at', extract(epoch FROM at)::bigint, 'detail', detail
) FROM statuses WHERE number_id = %(number)s ORDER BY wamid, status
""",
    """
SELECT jsonb_build_object(
    'kind', e.kind, 'wamid', e.wamid, 'original', e.original, 'outgoing', e.outgoing,
    'at', extract(epoch FROM e.at)::bigint, 'type', e.type, 'text', e.text, 'content', e.content
) FROM edits e WHERE e.number_id = %(number)s ORDER BY e.wamid
""",
    # What this platform noted itself carries its own clock, so it isn't something two platforms share.
    """
SELECT jsonb_build_object('kind', 'notice', 'field', field, 'at', extract(epoch FROM at)::bigint, 'value', value)
FROM notices WHERE number_id = %(number)s AND field <> 'twinline' ORDER BY field COLLATE "C", at, tie
""",
    """
SELECT jsonb_build_object(
    'kind', 'chunk', 'phase', phase, 'chunk_order', chunk_order, 'progress', progress, 'threads', threads,
    'messages', messages
) FROM sync_chunks WHERE number_id = %(number)s ORDER BY phase, chunk_order
""",
)


async def lines(tx: Tx, number_id: int) -> AsyncIterator[bytes]:
    """The export, line by line, each ending in a newline."""
    for statement in LINES:
        async with tx.connection.cursor() as cursor:
            async for (row,) in cursor.stream(statement, {"number": number_id}, size=500):
                if row["kind"] in ("message", "status"):
                    step = "delivery" if row["kind"] == "message" else "status"
                    row[step] = Delivery(row[step]).name.lower()
                yield orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
