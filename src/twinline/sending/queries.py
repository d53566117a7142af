"""All SQL of sending. Whoever calls these holds the number's row (``mirror.turn``)."""

SENDER = """
SELECT id, phone_number_id, token, state, state_reason, connected_at, budget_tat,
       extract(epoch FROM phone_pause)::integer AS phone_pause_seconds
FROM numbers WHERE id = %(number)s
"""

RECIPIENT = """
SELECT c.id AS contact_id, c.phone, c.bsuid, c.opted_out, k.last_inbound_at,
       (SELECT m.at FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND NOT m.outgoing
        ORDER BY m.at DESC LIMIT 1) AS last_customer_at,
       (SELECT m.at FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.author = 'phone'
        ORDER BY m.at DESC LIMIT 1) AS last_phone_reply_at,
       coalesce(k.floor_holder, 'nobody') AS floor_holder, coalesce(k.floor_epoch, 0) AS floor_epoch,
       k.floor_since, k.floor_until
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

NEXT = """
SELECT o.id, o.contact_id, o.author, o.author_id, o.floor_epoch, o.type, o.text, o.content, o.quoted, o.attempts,
       c.phone, c.bsuid, k.last_inbound_at, coalesce(k.floor_holder, 'nobody') AS floor_holder,
       coalesce(k.floor_epoch, 0) AS current_epoch, k.floor_until
FROM outbox o
JOIN contacts c ON c.number_id = o.number_id AND c.id = o.contact_id
LEFT JOIN chats k ON k.number_id = o.number_id AND k.contact_id = o.contact_id
WHERE o.number_id = %(number)s AND o.state = 'queued' AND (o.not_before IS NULL OR o.not_before <= %(now)s)
ORDER BY o.lane, o.id
LIMIT %(limit)s
"""

WAITING = """
SELECT min(coalesce(not_before, %(now)s)) FROM outbox WHERE number_id = %(number)s AND state = 'queued'
"""

MARK_SENDING = """
UPDATE outbox SET state = 'sending', sending_at = %(now)s, attempts = attempts + 1
WHERE number_id = %(number)s AND id = ANY(%(ids)s)
"""

SPEND = "UPDATE numbers SET budget_tat = %(tat)s WHERE id = %(number)s"

BUDGET = "SELECT budget_tat FROM numbers WHERE id = %(number)s"

# A row leaves these states once; a result that comes second changes nothing.
SETTLE = """
UPDATE outbox SET state = %(state)s, settled_at = %(now)s, wamid = coalesce(wamid, %(wamid)s),
    error_code = %(code)s, error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state IN ('queued', 'sending', 'in_doubt', 'unknown')
RETURNING contact_id, author, author_id, type, text, content, quoted, sending_at
"""

POSTPONE = """
UPDATE outbox SET state = 'queued', not_before = %(not_before)s, attempts = attempts - %(forgiven)s,
    error_code = %(code)s, error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state = 'sending'
RETURNING contact_id
"""

DOUBT = """
UPDATE outbox SET state = 'in_doubt', error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state = 'sending'
RETURNING contact_id
"""

DESPAIR = """
UPDATE outbox SET state = 'unknown', settled_at = %(now)s
WHERE number_id = %(number)s AND state = 'in_doubt' AND sending_at < %(before)s
RETURNING contact_id, id, state
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
