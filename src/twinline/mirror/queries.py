"""All SQL of the mirror. Every statement is set-based; batches travel as one JSON document."""

from functools import cache

from twinline.db.registers import Registers
from twinline.mirror.fold import CONTACT_REGISTERS, SAID

CLAIM = """
SELECT id, waba_id, phone_number_id, display_phone, connected_at, budget_tat, keep_edited, count_echoes
FROM numbers
WHERE id = ANY(ARRAY(
    SELECT id FROM numbers WHERE phone_number_id = ANY(%(phone_number_ids)s) OR waba_id = ANY(%(waba_ids)s)
))
ORDER BY id
FOR NO KEY UPDATE
"""

NUMBERS = """
SELECT id, waba_id, phone_number_id, display_phone, connected_at, budget_tat, keep_edited, count_echoes
FROM numbers WHERE phone_number_id = ANY(%s)
"""

ARCHIVE = """
INSERT INTO webhooks (received_on, digest, received_at, state, reason, body)
SELECT %(day)s, r.digest, %(now)s, r.state, r.reason, r.body
FROM unnest(%(digests)b::bytea[], %(states)s::text[], %(reasons)s::text[], %(bodies)b::bytea[])
    AS r(digest, state, reason, body)
ORDER BY r.digest
ON CONFLICT DO NOTHING
RETURNING digest
"""

UNCLAIMED = "UPDATE webhooks SET state = 'unclaimed' WHERE received_on = %(day)s AND digest = ANY(%(digests)b)"

KEEP_UNCLAIMED = """
INSERT INTO unclaimed (address, received_on, digest, received_at)
SELECT r.address, %(day)s, r.digest, %(now)s
FROM unnest(%(addresses)s::text[], %(digests)s::bytea[]) AS r(address, digest)
ORDER BY r.address, r.digest
ON CONFLICT DO NOTHING
"""

UNCLAIMED_TURN = "SELECT pg_advisory_xact_lock(hashtext('twinline.unclaimed'))"

ADDED = """
SELECT phone_number_id, waba_id, display_phone FROM numbers
WHERE phone_number_id = ANY(%(ids)s) OR waba_id = ANY(%(ids)s)
"""

# Whose keys these are. One that is nobody's yet brings a fresh contact id along, for whoever it will turn out to be.
IDENTIFY = """
SELECT r.number_id, r.key, i.contact_id,
       CASE WHEN i.contact_id IS NULL THEN nextval('contacts_id_seq') END
FROM json_to_recordset(%s::json) AS r(number_id bigint, key text)
LEFT JOIN identities i ON i.number_id = r.number_id AND i.key = r.key
"""

# What is known of these messages before the batch: its chat, whether it came live, and whether it came at all.
RECALL = """
SELECT m.number_id, m.wamid, m.contact_id, m.type IS NOT NULL AND m.live, m.type IS NOT NULL
FROM json_to_recordset(%s::json) AS r(number_id bigint, wamid text)
JOIN messages m ON m.number_id = r.number_id AND m.wamid = r.wamid
"""


@cache
def concerned(conditions: tuple[str, ...]) -> str:
    """A statement that answers which of these are true of one of the numbers."""
    asked = (
        f"EXISTS (SELECT FROM numbers n WHERE n.id = ANY(%(numbers)s) AND ({condition}))" for condition in conditions
    )
    return f"SELECT {', '.join(asked)}"


# How much has happened on this platform, ever since.
HAPPENED = "SELECT coalesce(sum(event_seq), 0)::bigint FROM numbers"

# While the past is written, nobody of the number is merged away; one lock instead of one for each person.
HOLD_PEOPLE = (
    "SELECT pg_advisory_xact_lock_shared(hashtextextended('twinline.people', n)) FROM unnest(%s::bigint[]) AS n"
)
MERGE_PEOPLE = "SELECT pg_advisory_xact_lock(hashtextextended('twinline.people', n)) FROM unnest(%s::bigint[]) AS n"

# Who of the past is known, and how new what is known of them is. Outer joins, for they say in which order to look: a
# young plan took all contacts of the number first.
RECOGNISE = f"""
SELECT r.number_id, r.key, c.id, {", ".join(f"c.{version}" for version, _ in CONTACT_REGISTERS)}
FROM json_to_recordset(%s::json) AS r(number_id bigint, key text)
LEFT JOIN identities i ON i.number_id = r.number_id AND i.key = r.key
LEFT JOIN contacts c ON c.number_id = i.number_id AND c.id = i.contact_id
"""

CONTRADICTIONS = """
SELECT m.wamid
FROM json_to_recordset(%s::json) AS r(number_id bigint, wamid text, contact_id bigint)
JOIN messages m ON m.number_id = r.number_id AND m.wamid = r.wamid
WHERE m.contact_id <> r.contact_id
LIMIT 1
"""

ADD_IDENTITIES = """
INSERT INTO identities (number_id, key, contact_id)
SELECT number_id, key, contact_id
FROM json_to_recordset(%s::json) AS r(number_id bigint, key text, contact_id bigint)
ORDER BY number_id, key
"""

_CONTACTS = Registers(
    "contacts",
    key=("number_id", "id"),
    versioned=dict(CONTACT_REGISTERS),
    lattice={},
    once=(),
    types={
        "number_id": "bigint",
        "id": "bigint",
        **{governor: "bigint" for governor, _ in CONTACT_REGISTERS},
        **{field: "text" for _, fields in CONTACT_REGISTERS for field in fields},
        "opted_out": "boolean",
    },
    defaults={**{governor: "-1" for governor, _ in CONTACT_REGISTERS}, "opted_out": "false"},
)
WRITE_CONTACTS = _CONTACTS.upsert
ADD_CONTACTS = _CONTACTS.insert
CHANGE_CONTACTS = _CONTACTS.update

WRITE_MESSAGES = Registers(
    "messages",
    key=("number_id", "wamid"),
    versioned={"version": SAID, "edit_v": ("edit_text", "edit_content")},
    lattice={
        "live": "(old OR new)",
        "delivery": "greatest(old, new)",
        "revoked_at": "least(old, new)",
    },
    once=("contact_id", "outgoing", "heard"),
    types={
        "number_id": "bigint",
        "wamid": 'text COLLATE "C"',
        "contact_id": "bigint",
        "outgoing": "boolean",
        "heard": "bigint",
        "live": "boolean",
        "version": "bigint",
        "at": "bigint",
        "type": "text",
        "text": "text",
        "content": "jsonb",
        "extra": "jsonb",
        "media_id": "text",
        "quoted": "text",
        "author": "text",
        "author_id": "bigint",
        "delivery": "smallint",
        "edit_v": "bigint",
        "edit_text": "text",
        "edit_content": "jsonb",
        "revoked_at": "bigint",
    },
    defaults={"heard": "0", "live": "false", "version": "-1", "delivery": "0", "edit_v": "-1"},
    times=("at", "revoked_at"),
).upsert

# Messages of the past that nobody has yet: nothing to join.
IMPORT_MESSAGES = """
INSERT INTO messages (number_id, wamid, contact_id, outgoing, heard, version, at, type, text, content, extra, media_id,
    quoted, author, delivery)
SELECT r.number_id, r.wamid, r.contact_id, r.outgoing, r.heard, r.version, to_timestamp(r.at), r.type, r.text,
    r.content, r.extra, r.media_id, r.quoted, r.author, coalesce(r.delivery, 0)
FROM json_to_recordset(%s::json) AS r(number_id bigint, wamid text COLLATE "C", contact_id bigint, outgoing boolean,
    heard bigint, version bigint, at bigint, type text, text text, content jsonb, extra jsonb, media_id text,
    quoted text, author text, delivery smallint)
WHERE NOT EXISTS (SELECT FROM messages m WHERE m.number_id = r.number_id AND m.wamid = r.wamid)
ORDER BY r.number_id, r.wamid
"""

WRITE_STATUSES = """
INSERT INTO statuses AS o (number_id, wamid, status, version, at, detail)
SELECT r.number_id, r.wamid, r.status, r.version, to_timestamp(r.at), r.detail
FROM json_to_recordset(%s::json)
    AS r(number_id bigint, wamid text, status smallint, version bigint, at bigint, detail jsonb)
ORDER BY r.number_id, r.wamid COLLATE "C", r.status
ON CONFLICT (number_id, wamid, status) DO UPDATE SET
    version = excluded.version, at = excluded.at, detail = excluded.detail
WHERE excluded.version < o.version
"""

WRITE_EDITS = """
INSERT INTO edits AS o (number_id, wamid, original, kind, outgoing, version, at, type, text, content)
SELECT r.number_id, r.wamid, r.original, r.kind, r.outgoing, r.version, to_timestamp(r.at), r.type, r.text, r.content
FROM json_to_recordset(%s::json) AS r(number_id bigint, wamid text, original text, kind text, outgoing boolean,
    version bigint, at bigint, type text, text text, content jsonb)
ORDER BY r.number_id, r.wamid COLLATE "C"
ON CONFLICT (number_id, wamid) DO UPDATE SET
    original = excluded.original, kind = excluded.kind, outgoing = excluded.outgoing, version = excluded.version,
    at = excluded.at, type = excluded.type, text = excluded.text, content = excluded.content
WHERE excluded.version < o.version
"""

WRITE_NOTICES = """
INSERT INTO notices (number_id, field, at, tie, value)
SELECT r.number_id, r.field, to_timestamp(r.at), r.tie, r.value
FROM json_to_recordset(%s::json) AS r(number_id bigint, field text, at bigint, tie bigint, value jsonb)
ORDER BY r.number_id, r.field, r.at, r.tie
ON CONFLICT DO NOTHING
"""

WRITE_CHUNKS = """
INSERT INTO sync_chunks AS o (number_id, phase, chunk_order, progress, threads, messages, received_at)
SELECT r.number_id, r.phase, r.chunk_order, r.progress, r.threads, r.messages, %(now)s
FROM json_to_recordset(%(rows)s::json)
    AS r(number_id bigint, phase smallint, chunk_order integer, progress smallint, threads integer, messages integer)
ORDER BY r.number_id, r.phase, r.chunk_order
ON CONFLICT (number_id, phase, chunk_order) DO UPDATE SET
    progress = greatest(o.progress, excluded.progress),
    threads = greatest(o.threads, excluded.threads),
    messages = greatest(o.messages, excluded.messages)
"""

DECLINE_HISTORY = """
INSERT INTO sync_requests AS o (number_id, kind, declined_at)
SELECT number_id, 'history', %(now)s FROM unnest(%(numbers)s::bigint[]) AS r(number_id) ORDER BY number_id
ON CONFLICT (number_id, kind) DO UPDATE SET declined_at = coalesce(o.declined_at, excluded.declined_at)
"""

# Where the owner wants edited and deleted texts gone, they go from every place that shows them.
ERASE_REVOKED = """
UPDATE messages SET text = NULL, content = NULL, extra = NULL, media_id = NULL, edit_text = NULL, edit_content = NULL
WHERE number_id = ANY(%(numbers)s) AND wamid = ANY(%(wamids)s) AND revoked_at IS NOT NULL
"""
ERASE_EDITED = """
UPDATE messages SET text = edit_text, content = edit_content
WHERE number_id = ANY(%(numbers)s) AND wamid = ANY(%(wamids)s) AND edit_v >= 0 AND type IS NOT NULL
"""
ERASE_EDITS = """
UPDATE edits SET text = NULL, content = NULL WHERE number_id = ANY(%(numbers)s) AND original = ANY(%(wamids)s)
"""

# A chat's line in the list is a function of its messages, and of how far the team has read. What is ``plain`` only
# adds to it: messages nobody knew yet (the newest: ``at``, ``wamid``; the newest that opens the window: ``inbound``;
# ``waiting`` of them want an answer, the oldest written at ``since``). Everything else has it computed anew: nothing to
# keep in step. A chat of reactions alone has no line (last_at is NULL), but its window is open all the same. Imported
# messages, the newest from ``newest``, change no line that ends after them.
REFRESH_CHATS = """
WITH touched AS MATERIALIZED (
    SELECT t.number_id, t.contact_id, k.contact_id IS NOT NULL AS known,
           (extract(epoch FROM k.read_at) * 1000000)::bigint AS read_at,
           CASE WHEN t.plain AND to_timestamp(t.at) > k.last_at THEN to_timestamp(t.at) END AS at, t.wamid,
           greatest(k.last_inbound_at, to_timestamp(t.inbound)) AS inbound_at,
           greatest(k.answered_at, to_timestamp(t.answered_at)) AS answered_at,
           CASE
               WHEN t.plain IS NOT TRUE THEN NULL
               WHEN to_timestamp(t.answered_at) > coalesce(k.answered_at, '-infinity') THEN
                   CASE WHEN to_timestamp(t.answered_at) > coalesce(
                       greatest(k.last_inbound_at, to_timestamp(t.inbound)), '-infinity') THEN 0 END
               WHEN t.waiting IS NULL THEN coalesce(k.unread, 0)
               WHEN to_timestamp(t.since) >= coalesce(k.answered_at, '-infinity')
                   THEN least(coalesce(k.unread, 0) + t.waiting, 1000)
           END AS unread  -- NULL: to be counted
    FROM json_to_recordset(%s::json) AS t(number_id bigint, contact_id bigint, answered_at bigint, newest bigint,
        plain boolean, at bigint, wamid text, inbound bigint, waiting integer, since bigint)
    LEFT JOIN chats k ON k.number_id = t.number_id AND k.contact_id = t.contact_id
    WHERE t.newest IS NULL OR k.last_at IS NULL OR k.last_at <= to_timestamp(t.newest)
), lines AS MATERIALIZED (
    SELECT t.number_id, t.contact_id, t.known, t.answered_at,
           coalesce(t.at, last.at) AS last_at, CASE WHEN t.at IS NULL THEN last.wamid ELSE t.wamid END AS last_wamid,
           CASE WHEN t.unread IS NULL THEN inbound.at ELSE t.inbound_at END AS last_inbound_at,
           coalesce(t.unread, waiting.n) AS unread
    FROM touched t
    LEFT JOIN LATERAL (
        SELECT m.at, m.wamid FROM messages m
        WHERE t.at IS NULL AND m.number_id = t.number_id AND m.contact_id = t.contact_id AND m.type <> 'reaction'
        ORDER BY m.at DESC, m.heard DESC, m.wamid DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
        SELECT m.at FROM messages m
        WHERE t.unread IS NULL AND m.number_id = t.number_id AND m.contact_id = t.contact_id
          AND m.live AND NOT m.outgoing AND m.type NOT IN ('system', 'request_welcome')
        ORDER BY m.at DESC LIMIT 1
    ) inbound ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM (
            SELECT FROM messages m
            WHERE t.unread IS NULL AND m.number_id = t.number_id AND m.contact_id = t.contact_id
              AND m.live AND NOT m.outgoing AND m.type NOT IN ('system', 'request_welcome') AND m.type <> 'reaction'
              -- What came after the team has looked was not seen, whenever it was written.
              AND m.heard > coalesce(t.read_at, 0)
              -- Meta counts in whole seconds: of two in the same second the customer's counts as the later one.
              AND m.at >= coalesce(t.answered_at, '-infinity')
            ORDER BY m.at DESC
            LIMIT 1000
        ) unanswered
    ) waiting
), moved AS (
    UPDATE chats c SET last_at = l.last_at, last_wamid = l.last_wamid, last_inbound_at = l.last_inbound_at,
        answered_at = l.answered_at, unread = l.unread
    FROM lines l WHERE l.known AND c.number_id = l.number_id AND c.contact_id = l.contact_id
)
INSERT INTO chats (number_id, contact_id, last_at, last_wamid, last_inbound_at, answered_at, unread)
SELECT number_id, contact_id, last_at, last_wamid, last_inbound_at, answered_at, unread FROM lines
WHERE NOT known AND coalesce(last_at, last_inbound_at, answered_at) IS NOT NULL
ORDER BY number_id, contact_id
"""

# Which of these chats end with a message that was imported, the newest from ``newest``, or may.
BEHIND = """
SELECT t.number_id, t.contact_id
FROM json_to_recordset(%s::json) AS t(number_id bigint, contact_id bigint, newest bigint)
LEFT JOIN chats k ON k.number_id = t.number_id AND k.contact_id = t.contact_id
WHERE t.newest IS NULL OR k.last_at IS NULL OR k.last_at <= to_timestamp(t.newest)
"""

WANT_MEDIA = """
INSERT INTO media (number_id, media_id, mime_type, sha256)
SELECT r.number_id, r.media_id, r.mime_type, r.sha256
FROM json_to_recordset(%s::json) AS r(number_id bigint, media_id text, mime_type text, sha256 text)
ORDER BY r.number_id, r.media_id
ON CONFLICT DO NOTHING
RETURNING number_id, media_id
"""

# --- two contacts turn out to be one ------------------------------------------------------------------------------

LOSER = """
SELECT to_jsonb(c) || jsonb_build_object('keys', (
    SELECT jsonb_agg(i.key) FROM identities i
    WHERE i.number_id = c.number_id AND i.contact_id = c.id
))
FROM contacts c WHERE c.number_id = %(number)s AND c.id = %(loser)s
FOR UPDATE OF c
"""

MERGE = (
    """
INSERT INTO merges (number_id, at, winner_id, loser_id, loser)
VALUES (%(number)s, %(now)s, %(winner)s, %(loser)s, %(row)s::jsonb)
""",
    """
UPDATE contacts w SET
    custom_name = coalesce(w.custom_name, l.custom_name), language = coalesce(w.language, l.language),
    fields = l.fields || w.fields, tags = ARRAY(SELECT DISTINCT t FROM unnest(w.tags || l.tags) AS t ORDER BY t)
FROM contacts l
WHERE w.number_id = %(number)s AND w.id = %(winner)s AND l.number_id = %(number)s AND l.id = %(loser)s
""",
    """
UPDATE identities SET contact_id = %(winner)s WHERE number_id = %(number)s AND contact_id = %(loser)s
""",
    # By one index, and then by the other: there is none of all that a person has said.
    """
UPDATE messages SET contact_id = %(winner)s
WHERE number_id = %(number)s AND contact_id = %(loser)s AND type <> 'reaction'
""",
    """
UPDATE messages SET contact_id = %(winner)s
WHERE number_id = %(number)s AND contact_id = %(loser)s AND (type = 'reaction' OR type IS NULL)
""",
    """
UPDATE outbox SET contact_id = %(winner)s WHERE number_id = %(number)s AND contact_id = %(loser)s
""",
    # The floor that changed hands last is the one that counts; a higher epoch drops what was being prepared.
    """
INSERT INTO chats AS w (number_id, contact_id, answered_at, read_at, assigned_to,
                        floor_holder, floor_epoch, floor_since, floor_until)
SELECT number_id, %(winner)s, answered_at, read_at, assigned_to, floor_holder, floor_epoch, floor_since, floor_until
FROM chats WHERE number_id = %(number)s AND contact_id = %(loser)s
ON CONFLICT (number_id, contact_id) DO UPDATE SET
    answered_at = greatest(w.answered_at, excluded.answered_at),
    read_at = greatest(w.read_at, excluded.read_at),
    assigned_to = coalesce(w.assigned_to, excluded.assigned_to),
    floor_epoch = greatest(w.floor_epoch, excluded.floor_epoch) + 1,
    floor_holder = CASE WHEN excluded.floor_since > coalesce(w.floor_since, '-infinity')
                   THEN excluded.floor_holder ELSE w.floor_holder END,
    floor_until = CASE WHEN excluded.floor_since > coalesce(w.floor_since, '-infinity')
                  THEN excluded.floor_until ELSE w.floor_until END,
    floor_since = greatest(w.floor_since, excluded.floor_since)
""",
    "DELETE FROM chats WHERE number_id = %(number)s AND contact_id = %(loser)s",
    "DELETE FROM contacts WHERE number_id = %(number)s AND id = %(loser)s",
)

# --- the archive --------------------------------------------------------------------------------------------------

BODY = "SELECT body, received_at FROM webhooks WHERE received_on = %(day)s AND digest = %(digest)s"

SETTLE = (
    "UPDATE webhooks SET state = %(state)s, reason = %(reason)s WHERE received_on = %(day)s AND digest = %(digest)s"
)

CLAIM_WAITING = """
WITH claimed AS (
    DELETE FROM unclaimed WHERE address = ANY(%(addresses)s) RETURNING received_on, digest
)
UPDATE webhooks w SET state = 'waiting', reason = NULL
FROM (SELECT DISTINCT received_on, digest FROM claimed) c
WHERE w.received_on = c.received_on AND w.digest = c.digest
RETURNING w.received_on, w.digest
"""

RETRY_UNREADABLE = """
UPDATE webhooks SET state = 'waiting'
WHERE state = 'unreadable' OR (state = 'waiting' AND received_at < %(before)s)
RETURNING received_on, digest
"""

SORT_WORDS = "SELECT gin_clean_pending_list('messages_search')"
