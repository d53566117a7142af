"""All SQL of sending. Whoever calls these holds the number's row (``mirror.turn``)."""

from twinline.rules.delivery import Delivery

SENDING_NUMBER = """n.id, n.phone_number_id, n.display_phone, n.token, n.state, n.state_reason, n.connected_at,
       n.budget_tat, extract(epoch FROM n.phone_pause)::integer AS phone_pause_seconds"""

SENDER = f"SELECT {SENDING_NUMBER} FROM numbers n WHERE n.id = %(number)s"

# What a plan begins with: where the number stands, and whether there is anything unusual that costs further looks.
LINE = f"""
SELECT {SENDING_NUMBER}, n.slow_since, n.slow_share, n.slow_recovery,
       (SELECT min(o.not_before) FROM outbox o
        WHERE o.number_id = n.id AND o.state = 'queued' AND o.not_before IS NOT NULL) AS postponed_until,
       EXISTS (SELECT FROM outbox o WHERE o.number_id = n.id AND o.state = 'queued' AND o.not_before IS NULL
               AND o.needs_upload) AS files_wait,
       n.state IN ('offboarded', 'disconnected') OR n.held_for <> '[]'
       OR EXISTS (SELECT FROM stops s WHERE s.number_id = n.id AND (s.until IS NULL OR s.until > %(now)s))
       OR EXISTS (SELECT FROM stops s WHERE s.scope = 'app' AND (s.until IS NULL OR s.until > %(now)s))
       OR EXISTS (SELECT FROM stops s JOIN numbers a ON a.id = s.number_id
                  WHERE s.scope = 'account' AND a.waba_id = n.waba_id AND (s.until IS NULL OR s.until > %(now)s))
       AS may_be_stopped
FROM numbers n WHERE n.id = %(number)s
"""

# Where a chat (``k``) with a person (``c``) stands: the fields of ``models.Recipient``.
STANDING = f"""c.id AS contact_id, c.phone, c.bsuid, k.last_inbound_at,
       (SELECT m.at FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND NOT m.outgoing
        ORDER BY m.at DESC LIMIT 1) AS last_customer_at,
       (SELECT m.at FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.author = 'phone'
        ORDER BY m.at DESC LIMIT 1) AS last_phone_reply_at,
       coalesce(k.floor_holder, 'nobody') AS floor_holder, coalesce(k.floor_epoch, 0) AS floor_epoch,
       k.floor_since, k.floor_until,
       (SELECT max(f.failed_at) FROM outbox f
        WHERE f.number_id = c.number_id AND f.contact_id = c.id AND f.error_code = 131049) AS capped_at,
       (SELECT count(*) FROM outbox f
        WHERE f.number_id = c.number_id AND f.contact_id = c.id AND f.error_code = 131026
          AND f.failed_at > coalesce(k.last_inbound_at, '-infinity') AND NOT EXISTS (
            SELECT FROM messages m
            WHERE m.number_id = f.number_id AND m.contact_id = f.contact_id AND m.type <> 'reaction' AND m.outgoing
              AND m.at > f.failed_at AND m.delivery >= {int(Delivery.DELIVERED)})) AS missed"""

RECIPIENTS = f"""
SELECT {STANDING}
FROM contacts c LEFT JOIN chats k ON k.number_id = c.number_id AND k.contact_id = c.id
WHERE c.number_id = %(number)s AND c.id = ANY(%(contacts)s)
"""

SAME_KEYS = """
SELECT idempotency_key, id, request_digest FROM outbox
WHERE number_id = %(number)s AND idempotency_key = ANY(%(keys)s)
"""

# Ids grow in the order of the rows.
ENQUEUE = """
INSERT INTO outbox (number_id, contact_id, lane, author, author_id, floor_epoch, idempotency_key, created_at,
                    type, text, content, quoted, topic, state, error_code, error_text,
                    api_key_id, request_digest)
SELECT %(number)s::bigint, r.contact_id, r.lane, %(author)s::text, %(author_id)s::bigint, r.epoch, r.key,
       %(now)s::timestamptz, r.type, r.text, r.content, r.quoted, r.topic, r.state, r.code, r.why,
       %(api_key)s::bigint, %(digest)s::bytea
FROM ROWS FROM (json_to_recordset(%(rows)s::json) AS (contact_id bigint, lane smallint, epoch integer, key text,
    type text, text text, content jsonb, quoted text, topic text, state text, code integer, why text))
    WITH ORDINALITY AS r
ORDER BY r.ordinality
RETURNING id
"""

CONTACT_OF = "SELECT contact_id FROM identities WHERE number_id = %(number)s AND key = %(key)s"

FLOORS = """
SELECT r.contact_id, coalesce(c.floor_holder, 'nobody'), coalesce(c.floor_epoch, 0), c.floor_until, c.floor_since
FROM unnest(%(contacts)s::bigint[]) AS r(contact_id)
LEFT JOIN chats c ON c.number_id = %(number)s AND c.contact_id = r.contact_id
"""

EPOCH = "SELECT floor_epoch FROM chats WHERE number_id = %(number)s AND contact_id = %(contact)s"

SET_FLOORS = """
INSERT INTO chats (number_id, contact_id, floor_holder, floor_epoch, floor_until, floor_since)
SELECT %(number)s, r.contact_id, r.holder, r.epoch, r.until, r.since
FROM json_to_recordset(%(rows)s::json)
    AS r(contact_id bigint, holder text, epoch integer, until timestamptz, since timestamptz)
ORDER BY r.contact_id
ON CONFLICT (number_id, contact_id) DO UPDATE SET
    floor_holder = excluded.floor_holder, floor_epoch = excluded.floor_epoch,
    floor_until = excluded.floor_until, floor_since = excluded.floor_since
"""

PHONE_KEYWORDS = """
SELECT number_id, phone_keywords FROM number_settings
WHERE number_id = ANY(%(numbers)s) AND phone_keywords IS NOT NULL
"""

# What a drain that died left behind: nobody knows whether Meta took it.
ABANDONED = """
UPDATE outbox SET state = 'in_doubt' WHERE number_id = %(number)s AND state = 'sending'
RETURNING contact_id, id, state
"""

OUTGOING = """o.id, o.lane, o.author, o.floor_epoch AS epoch, o.created_at, o.type, o.text, o.content, o.quoted,
       o.topic, o.attempts, o.throttled"""

# A message goes after another of its chat that is on its way, or that waits and has the smaller lane or id, for
# whatever reason that one waits.
BEHIND = """(EXISTS (
        SELECT FROM outbox p WHERE p.number_id = o.number_id AND p.contact_id = o.contact_id AND p.state = 'sending'
    ) OR EXISTS (
        SELECT FROM outbox p WHERE p.number_id = o.number_id AND p.contact_id = o.contact_id AND p.state = 'queued'
            AND (p.lane, p.id) < (o.lane, o.id)
    ))"""

# The first that are ready, in the order of lanes, and what may hold them up. Who can't go is put elsewhere by the plan
# that found it out, so the next plan doesn't meet it again (``PARK``, ``POSTPONE_PAIRS``).
NEXT = f"""
SELECT {STANDING}, {OUTGOING}, {BEHIND} AS behind,
       coalesce((SELECT t.tat FROM pairs t WHERE t.number_id = o.number_id AND t.contact_id = o.contact_id), 0)
       AS pair_tat
FROM (
    SELECT * FROM outbox
    WHERE number_id = %(number)s AND state = 'queued' AND not_before IS NULL AND NOT behind AND NOT needs_upload
    ORDER BY lane, id LIMIT %(limit)s
) o
JOIN contacts c ON c.number_id = o.number_id AND c.id = o.contact_id
LEFT JOIN chats k ON k.number_id = o.number_id AND k.contact_id = o.contact_id
ORDER BY o.lane, o.id
"""

# Of those that wait with one file the first one's upload serves all.
# Whose file Meta doesn't have yet, but for files that are on their way; sought among those that are next.
TO_UPLOAD = f"""
SELECT {STANDING}, {OUTGOING}
FROM (
    SELECT * FROM outbox
    WHERE number_id = %(number)s AND state = 'queued' AND not_before IS NULL AND needs_upload
    ORDER BY lane, id LIMIT 50
) o
JOIN contacts c ON c.number_id = o.number_id AND c.id = o.contact_id
LEFT JOIN chats k ON k.number_id = o.number_id AND k.contact_id = o.contact_id
WHERE o.content->>'file' <> ALL(%(files)s)
ORDER BY o.lane, o.id
"""

DUE = """
UPDATE outbox SET not_before = NULL WHERE number_id = %(number)s AND state = 'queued' AND not_before <= %(now)s
"""

POSTPONED_UNTIL = """
SELECT min(not_before) FROM outbox WHERE number_id = %(number)s AND state = 'queued' AND not_before IS NOT NULL
"""

PARK = "UPDATE outbox SET behind = true WHERE number_id = %(number)s AND id = ANY(%(ids)s)"

POSTPONE_PAIRS = """
UPDATE outbox o SET not_before = r.at FROM unnest(%(ids)s::bigint[], %(at)s::timestamptz[]) AS r(id, at)
WHERE o.number_id = %(number)s AND o.id = r.id
"""

# Whoever ends a message's way, or its turn in its chat, lets the next of that chat come forward.
FREE = """
UPDATE outbox o SET behind = false
FROM unnest(%(numbers)s::bigint[], %(contacts)s::bigint[]) AS r(number_id, contact_id)
CROSS JOIN LATERAL (
    SELECT h.id, h.behind FROM outbox h
    WHERE h.number_id = r.number_id AND h.contact_id = r.contact_id AND h.state = 'queued'
    ORDER BY h.lane, h.id LIMIT 1
) h
WHERE o.number_id = r.number_id AND o.id = h.id AND h.behind
"""

# Rows that nothing is before any more, although nobody let them come forward.
LEFT_BEHIND = f"""
SELECT DISTINCT o.number_id FROM outbox o WHERE o.state = 'queued' AND o.behind AND NOT {BEHIND} ORDER BY o.number_id
"""
COME_FORWARD = f"""
UPDATE outbox o SET behind = false WHERE o.number_id = %(number)s AND o.state = 'queued' AND o.behind AND NOT {BEHIND}
"""

# The instants are paid for, by the number and by each pair, and the rows are as good as said.
MARK_SENDING = """
WITH spent AS (
    UPDATE numbers SET budget_tat = %(tat)s WHERE id = %(number)s
), owed AS (
    INSERT INTO pairs (number_id, contact_id, tat)
    SELECT %(number)s, r.contact_id, r.tat FROM unnest(%(contacts)s::bigint[], %(tats)s::bigint[]) AS r(contact_id, tat)
    ON CONFLICT (number_id, contact_id) DO UPDATE SET tat = excluded.tat
)
UPDATE outbox SET state = 'sending', sending_at = %(now)s, attempts = attempts + 1
WHERE number_id = %(number)s AND id = ANY(%(ids)s)
"""

RAMP = "SELECT slow_since, slow_share, slow_recovery FROM numbers WHERE id = %(number)s"

SLOW_DOWN = """
UPDATE numbers SET slow_since = %(since)s, slow_share = %(share)s, slow_recovery = %(recovery)s WHERE id = %(number)s
"""

PAIR = "SELECT tat FROM pairs WHERE number_id = %(number)s AND contact_id = %(contact)s"

HALT_PAIR = """
INSERT INTO pairs (number_id, contact_id, tat) VALUES (%(number)s, %(contact)s, %(tat)s)
ON CONFLICT (number_id, contact_id) DO UPDATE SET tat = excluded.tat
"""

SWEEP_PAIRS = "DELETE FROM pairs WHERE tat < %(moment)s"

# What was known of a row when its way ended: enough to let it appear in the chat.
SETTLED = """o.number_id, o.id, o.contact_id, o.author, o.author_id, o.type, o.text, o.content, o.quoted, o.sending_at,
    o.wamid"""

# A row leaves these states once; a result that comes second changes nothing. Only who speaks can be in doubt.
SETTLE = f"""
UPDATE outbox o SET state = r.state, settled_at = CASE WHEN r.state <> 'in_doubt' THEN %(now)s::timestamptz END,
    wamid = r.wamid, error_code = r.code, error_text = r.text,
    failed_at = CASE WHEN r.code IS NOT NULL THEN %(now)s::timestamptz END
FROM json_to_recordset(%(rows)s::json)
    AS r(number_id bigint, id bigint, state text, wamid text, code integer, text text)
WHERE o.number_id = r.number_id AND o.id = r.id
  AND (o.state = 'sending' OR r.state <> 'in_doubt' AND o.state IN ('queued', 'in_doubt', 'unknown'))
RETURNING {SETTLED}, o.state
"""

# A status proves that Meta has the message, whatever we believed.
SETTLE_BY_STATUS = f"""
UPDATE outbox o SET state = 'sent', settled_at = %(now)s, wamid = r.wamid, error_code = NULL, error_text = NULL
FROM json_to_recordset(%(rows)s::json) AS r(number_id bigint, id bigint, created bigint, wamid text)
WHERE o.number_id = r.number_id AND o.id = r.id AND (o.state <> 'sent' OR starts_with(o.wamid, 'twinline:'))
  AND (extract(epoch FROM o.created_at) * 1000000)::bigint = r.created
RETURNING {SETTLED}
"""

# What stood in for a message goes when the message itself is there.
MAKE_ROOM = """
DELETE FROM messages m USING unnest(%(numbers)s::bigint[], %(wamids)s::text[]) AS r(number_id, wamid)
WHERE m.number_id = r.number_id AND m.wamid = r.wamid
"""

# What Meta couldn't do although it had taken it, and when it said so; of two such words the later.
FAIL_BY_STATUS = """
UPDATE outbox o SET error_code = r.code, error_text = r.text, failed_at = to_timestamp(r.at)
FROM json_to_recordset(%(rows)s::json)
    AS r(number_id bigint, id bigint, created bigint, code integer, text text, at bigint)
WHERE o.number_id = r.number_id AND o.id = r.id
  AND (extract(epoch FROM o.created_at) * 1000000)::bigint = r.created
  AND (coalesce(o.failed_at, '-infinity'), coalesce(o.error_code, 0)) < (to_timestamp(r.at), coalesce(r.code, 0))
RETURNING o.number_id, o.id, o.contact_id, o.author, o.type, o.content, o.error_code, o.failed_at
"""

# Meta said no, or was never asked: this try is over, even where another drain thought it in doubt.
POSTPONE = """
UPDATE outbox SET state = 'queued', not_before = %(not_before)s, attempts = %(attempts)s, throttled = %(throttled)s,
    error_code = %(code)s, error_text = %(text)s
WHERE number_id = %(number)s AND id = %(id)s AND state IN ('queued', 'sending', 'in_doubt')
RETURNING contact_id, id, state
"""

PUT_BACK = """
UPDATE outbox SET state = 'queued', attempts = attempts - 1
WHERE number_id = %(number)s AND id = ANY(%(ids)s) AND state IN ('sending', 'in_doubt')
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
