"""All SQL of sending. Whoever calls these holds the number's row (``mirror.turn``)."""

SENDER = """
SELECT id, phone_number_id, token, state, state_reason, connected_at, budget_tat,
       extract(epoch FROM phone_pause)::integer AS phone_pause_seconds
FROM numbers WHERE id = %(number)s
"""

# Where a chat (``k``) with a person (``c``) stands: the fields of ``models.Recipient``.
STANDING = """c.id AS contact_id, c.phone, c.bsuid, c.opted_out, k.last_inbound_at,
       (SELECT m.at FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND NOT m.outgoing
        ORDER BY m.at DESC LIMIT 1) AS last_customer_at,
       (SELECT m.at FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.author = 'phone'
        ORDER BY m.at DESC LIMIT 1) AS last_phone_reply_at,
       coalesce(k.floor_holder, 'nobody') AS floor_holder, coalesce(k.floor_epoch, 0) AS floor_epoch,
       k.floor_since, k.floor_until"""

RECIPIENT = f"""
SELECT {STANDING}
FROM contacts c LEFT JOIN chats k ON k.number_id = c.number_id AND k.contact_id = c.id
WHERE c.number_id = %(number)s AND c.id = %(contact)s
"""

SAME_KEY = "SELECT id FROM outbox WHERE number_id = %(number)s AND idempotency_key = %(key)s"

ENQUEUE = """
INSERT INTO outbox (number_id, contact_id, lane, author, author_id, floor_epoch, idempotency_key, created_at,
                    type, text, content, quoted)
VALUES (%(number)s, %(contact)s, %(lane)s, %(author)s, %(author_id)s, %(epoch)s, %(key)s, %(now)s,
        %(type)s, %(text)s, %(content)s::jsonb, %(quoted)s)
RETURNING id
"""

FLOORS = """
SELECT r.contact_id, coalesce(c.floor_holder, 'nobody'), coalesce(c.floor_epoch, 0), c.floor_until, c.floor_since
FROM unnest(%(contacts)s::bigint[]) AS r(contact_id)
LEFT JOIN chats c ON c.number_id = %(number)s AND c.contact_id = r.contact_id
"""

SET_FLOOR = """
INSERT INTO chats (number_id, contact_id, floor_holder, floor_epoch, floor_until, floor_since)
VALUES (%(number)s, %(contact)s, %(holder)s, %(epoch)s, %(until)s, %(since)s)
ON CONFLICT (number_id, contact_id) DO UPDATE SET
    floor_holder = excluded.floor_holder, floor_epoch = excluded.floor_epoch,
    floor_until = excluded.floor_until, floor_since = excluded.floor_since
"""

# What a drain that died left behind: nobody knows whether Meta took it.
ABANDONED = """
UPDATE outbox SET state = 'in_doubt' WHERE number_id = %(number)s AND state = 'sending'
RETURNING contact_id, id, state
"""

OUTGOING = """o.id, o.lane, o.author, o.floor_epoch AS epoch, o.created_at, o.type, o.text, o.content, o.quoted,
       o.attempts"""

# Whether a row carries a file that Meta doesn't have yet.
NEEDS_UPLOAD = "coalesce(o.content ? 'file' AND NOT o.content ? 'id', false)"

# In the order of lanes. Within a chat one thing is said after the other: nothing leaves while another message is on
# its way, or while one waits that goes before it, for whatever reason that one waits.
NEXT = f"""
SELECT {STANDING}, {OUTGOING}
FROM outbox o
JOIN contacts c ON c.number_id = o.number_id AND c.id = o.contact_id
LEFT JOIN chats k ON k.number_id = o.number_id AND k.contact_id = o.contact_id
WHERE o.number_id = %(number)s AND o.state = 'queued' AND (o.not_before IS NULL OR o.not_before <= %(now)s)
  AND NOT {NEEDS_UPLOAD}
  AND NOT EXISTS (
    SELECT FROM outbox p
    WHERE p.number_id = o.number_id AND p.contact_id = o.contact_id AND p.state IN ('queued', 'sending')
      AND (p.state = 'sending' OR (p.lane, p.id) < (o.lane, o.id))
  )
ORDER BY o.lane, o.id
LIMIT %(limit)s
"""

# Files are sought among those that are next, since a campaign's queue is long.
TO_UPLOAD = f"""
SELECT {STANDING}, {OUTGOING}
FROM (
    SELECT * FROM outbox
    WHERE number_id = %(number)s AND state = 'queued' AND (not_before IS NULL OR not_before <= %(now)s)
    ORDER BY lane, id LIMIT 50
) o
JOIN contacts c ON c.number_id = o.number_id AND c.id = o.contact_id
LEFT JOIN chats k ON k.number_id = o.number_id AND k.contact_id = o.contact_id
WHERE {NEEDS_UPLOAD} AND o.id <> ALL(%(uploading)s)
ORDER BY o.lane, o.id
LIMIT %(limit)s
"""

POSTPONED_UNTIL = """
SELECT min(not_before) FROM outbox WHERE number_id = %(number)s AND state = 'queued' AND not_before > %(now)s
"""

MARK_SENDING = """
UPDATE outbox SET state = 'sending', sending_at = %(now)s, attempts = attempts + 1
WHERE number_id = %(number)s AND id = ANY(%(ids)s)
"""

SPEND = "UPDATE numbers SET budget_tat = %(tat)s WHERE id = %(number)s"

BUDGET = "SELECT budget_tat FROM numbers WHERE id = %(number)s"

# What was known of a row when its way ended: enough to let it appear in the chat.
SETTLED = """o.number_id, o.id, o.contact_id, o.author, o.author_id, o.type, o.text, o.content, o.quoted, o.sending_at,
    o.wamid"""

# A row leaves these states once; a result that comes second changes nothing.
SETTLE = f"""
UPDATE outbox o SET state = %(state)s, settled_at = %(now)s, wamid = %(wamid)s,
    error_code = %(code)s, error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state IN ('queued', 'sending', 'in_doubt', 'unknown')
RETURNING {SETTLED}
"""

# A status proves that Meta has the message, whatever we believed.
SETTLE_BY_STATUS = f"""
UPDATE outbox o SET state = 'sent', settled_at = %(now)s, wamid = r.wamid, error_code = r.code, error_text = r.text
FROM json_to_recordset(%(rows)s::json)
    AS r(number_id bigint, id bigint, created bigint, wamid text, code integer, text text)
WHERE o.number_id = r.number_id AND o.id = r.id AND o.state <> 'sent'
  AND (extract(epoch FROM o.created_at) * 1000000)::bigint = r.created
RETURNING {SETTLED}
"""

# Meta said no, or was never asked: this try is over, even where another drain thought it in doubt.
POSTPONE = """
UPDATE outbox SET state = 'queued', not_before = %(not_before)s, attempts = %(attempts)s,
    error_code = %(code)s, error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state IN ('queued', 'sending', 'in_doubt')
RETURNING contact_id, id, state
"""

PUT_BACK = """
UPDATE outbox SET state = 'queued', attempts = attempts - 1
WHERE number_id = %(number)s AND id = ANY(%(ids)s) AND state IN ('sending', 'in_doubt')
RETURNING contact_id, id, state
"""

DOUBT = """
UPDATE outbox SET state = 'in_doubt', error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state = 'sending'
RETURNING contact_id, id, state
"""

DESPAIR = """
UPDATE outbox SET state = 'unknown', settled_at = %(now)s
WHERE number_id = %(number)s AND state = 'in_doubt' AND sending_at < %(before)s
RETURNING contact_id, id, state
"""

# Numbers with something to do whose lane has no job: its job was lost, or given up.
FORSAKEN = """
SELECT n.number_id
FROM (
    SELECT DISTINCT number_id FROM outbox WHERE state = 'queued'
    UNION SELECT DISTINCT number_id FROM outbox WHERE state = 'sending'
) n
WHERE NOT EXISTS (
    SELECT FROM procrastinate_jobs j WHERE j.lock = 'lane:' || n.number_id AND j.status IN ('todo', 'doing')
)
ORDER BY n.number_id
"""

NUMBERS_IN_DOUBT = "SELECT DISTINCT number_id FROM outbox WHERE state = 'in_doubt' AND sending_at < %(before)s"

UPLOADED = """
INSERT INTO media (number_id, media_id, state, mime_type, sha256, size, file)
VALUES (%(number)s, %(media_id)s, 'kept', %(mime)s, %(sha256)s, %(size)s, %(file)s)
ON CONFLICT (number_id, media_id) DO NOTHING
"""
REMEMBER_UPLOAD = """
UPDATE outbox SET content = content || jsonb_build_object('id', %(media_id)s::text)
WHERE number_id = %(number)s AND id = %(id)s
"""
