"""All SQL of costs."""

# --- what was delivered -------------------------------------------------------------------------------------------

# Everything here follows from the rows of these messages, so it may be said again at any time. ``whose`` is the
# recipient as known now: who moves to another country later was still charged where they were. OFFSET 0 keeps the
# planner to the keys; on a young database it would sooner read all messages for these few.
FOLD = """
INSERT INTO deliveries AS o (number_id, wamid, at, category, entry, in_window, whose)
SELECT t.number_id, t.wamid, s.at,
       CASE WHEN m.type <> 'template' THEN 'service'
            WHEN s.word IN ('marketing', 'utility', 'authentication', 'authentication_international') THEN s.word
            WHEN s.word = 'marketing_lite' THEN 'marketing'
            ELSE 'unknown' END,
       coalesce(s.entry, false), coalesce(s.in_window, false), m.whose
FROM json_to_recordset(%s::json) AS t(number_id bigint, wamid text)
CROSS JOIN LATERAL (
    SELECT m.type, (
        SELECT coalesce(left(c.phone, 4), left(c.bsuid, 2)) FROM contacts c
        WHERE c.number_id = m.number_id AND c.id = m.contact_id
    ) AS whose
    FROM messages m
    WHERE m.number_id = t.number_id AND m.wamid = t.wamid
      AND m.outgoing AND m.author IN ('person', 'automation', 'campaign')
    OFFSET 0
) m
CROSS JOIN LATERAL (
    SELECT min(s.at) FILTER (WHERE s.status >= 5) AS at,
           max(replace(s.detail->'pricing'->>'category', '-', '_')) AS word,
           bool_or(s.detail->'pricing'->>'type' = 'free_entry_point'
                   OR s.detail->'conversation'->'origin'->>'type' = 'referral_conversion') AS entry,
           bool_or(s.detail->'pricing'->>'type' = 'free_customer_service') AS in_window
    FROM statuses s WHERE s.number_id = t.number_id AND s.wamid = t.wamid
) s
WHERE s.at IS NOT NULL
ORDER BY t.number_id, t.wamid COLLATE "C"
ON CONFLICT (number_id, wamid) DO UPDATE SET
    at = excluded.at, category = excluded.category, entry = excluded.entry, in_window = excluded.in_window
WHERE (o.at, o.category, o.entry, o.in_window)
    IS DISTINCT FROM (excluded.at, excluded.category, excluded.entry, excluded.in_window)
"""

# Counts no further than it has to, whatever the month was like.
SERVICE_SENT = """
SELECT count(*) FROM (
    SELECT FROM deliveries
    WHERE number_id = %(number)s AND category = 'service' AND NOT entry AND at >= %(begins)s AND at < %(ends)s
    LIMIT %(enough)s
) counted
"""

# By day, since a rate may begin on any. The month's free service messages are the first that arrived; those beyond the
# last of them are found by one look at where that stands.
MONTH = """
WITH last_free AS MATERIALIZED (
    SELECT at, wamid FROM deliveries
    WHERE number_id = %(number)s AND category = 'service' AND NOT entry AND at >= %(begins)s AND at < %(ends)s
    ORDER BY at, wamid OFFSET %(allowance)s - 1 LIMIT 1
)
SELECT d.category, d.whose, d.entry, d.in_window, (d.at AT TIME ZONE %(zone)s)::date AS day,
       coalesce((d.at, d.wamid) > (f.at, f.wamid), false) AS beyond, count(*)::integer AS n
FROM deliveries d LEFT JOIN last_free f ON true
WHERE d.number_id = %(number)s AND d.at >= %(begins)s AND d.at < %(ends)s
  AND d.category IN ('service', 'marketing', 'utility', 'authentication', 'authentication_international', 'unknown')
GROUP BY 1, 2, 3, 4, 5, 6
"""

# --- the account --------------------------------------------------------------------------------------------------

ACCOUNT = """
SELECT n.id AS number_id, n.organisation_id, coalesce(b.set_currency, b.currency) AS currency,
       b.set_zone AS zone, coalesce(b.free_entry_hours, %(hours)s) AS free_entry_hours, b.asked_at,
       b.currency AS meta_currency, b.timezone_id, b.set_currency, b.set_zone
FROM numbers n LEFT JOIN billing b ON b.number_id = n.id
WHERE n.id = %(number)s
"""

WABA = "SELECT waba_id, token FROM numbers WHERE id = %s"

KEEP_ANSWER = """
INSERT INTO billing (number_id, currency, timezone_id, asked_at)
VALUES (%(number)s, %(currency)s, %(timezone_id)s, %(now)s)
ON CONFLICT (number_id) DO UPDATE SET
    currency = coalesce(excluded.currency, billing.currency),
    timezone_id = coalesce(excluded.timezone_id, billing.timezone_id),
    asked_at = excluded.asked_at
"""

SET_ACCOUNT = """
INSERT INTO billing (number_id, set_currency, set_zone, free_entry_hours)
VALUES (%(number)s, %(currency)s, %(zone)s, %(hours)s)
ON CONFLICT (number_id) DO UPDATE SET
    set_currency = excluded.set_currency, set_zone = excluded.set_zone, free_entry_hours = excluded.free_entry_hours
"""

# Once a day is enough: a currency never changes, a time zone hardly. What failed is tried again sooner.
TO_ASK = """
SELECT n.id FROM numbers n LEFT JOIN billing b ON b.number_id = n.id
WHERE n.token IS NOT NULL AND n.state IN ('connecting', 'connected')
  AND (b.asked_at IS NULL OR b.asked_at < CASE WHEN b.currency IS NULL THEN %(soon)s ELSE %(later)s END)
ORDER BY b.asked_at NULLS FIRST, n.id LIMIT 50
"""

# --- a chat -------------------------------------------------------------------------------------------------------

CONTACT = "SELECT contact_id FROM identities WHERE number_id = %(number)s AND key = %(key)s"

# The window's facts (what only explains a closed one is sought only then), and the free entry point: a message that
# came by an ad or a page's button (``referral``), answered from here and delivered within a day; or what Meta itself
# said of its end.
CHAT = r"""
SELECT c.id AS contact_id, c.phone, c.bsuid, n.state, n.state_reason, n.connected_at, k.last_inbound_at,
       CASE WHEN k.last_inbound_at IS NULL THEN (
           SELECT m.at FROM messages m
           WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND NOT m.outgoing
           ORDER BY m.at DESC LIMIT 1
       ) END AS last_customer_at,
       CASE WHEN coalesce(k.last_inbound_at, '-infinity') < date_trunc('second', n.connected_at) THEN (
           SELECT m.at FROM messages m
           WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.author = 'phone'
             AND m.at >= date_trunc('second', n.connected_at)
           ORDER BY m.at DESC LIMIT 1
       ) END AS last_phone_at,
       (SELECT m.type FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.live AND NOT m.outgoing
          AND m.type NOT IN ('system', 'request_welcome')
        ORDER BY m.at DESC, m.type LIMIT 1) AS opened_by,
       greatest(came.until, told.until) AS entry_until, came.by AS entry_by
FROM numbers n
LEFT JOIN contacts c ON c.number_id = n.id AND c.id = %(contact)s
LEFT JOIN chats k ON k.number_id = c.number_id AND k.contact_id = c.id
LEFT JOIN LATERAL (
    SELECT max(a.at) + %(lasts)s AS until, max(r.at + %(answer)s) FILTER (WHERE a.at IS NULL) AS by
    FROM messages r
    LEFT JOIN LATERAL (
        SELECT min(d.at) AS at
        FROM messages m JOIN deliveries d ON d.number_id = m.number_id AND d.wamid = m.wamid
        WHERE m.number_id = r.number_id AND m.contact_id = r.contact_id AND m.type <> 'reaction'
          AND m.at >= r.at AND m.at <= r.at + %(answer)s AND d.at <= r.at + %(answer)s
    ) a ON true
    WHERE r.number_id = c.number_id AND r.contact_id = c.id AND r.live AND NOT r.outgoing
      AND r.type NOT IN ('system', 'request_welcome') AND r.at >= %(since)s AND r.extra ? 'referral'
) came ON true
LEFT JOIN LATERAL (
    -- OFFSET 0 keeps the planner to the chat's own messages and their keys.
    SELECT max(to_timestamp((s.conversation->>'expiration_timestamp')::bigint)) AS until
    FROM (
        SELECT m.wamid FROM messages m
        WHERE m.number_id = c.number_id AND m.contact_id = c.id AND m.type <> 'reaction' AND m.at >= %(since)s
          AND m.outgoing
        OFFSET 0
    ) m
    CROSS JOIN LATERAL (
        SELECT t.detail->'conversation' AS conversation FROM statuses t
        WHERE t.number_id = c.number_id AND t.wamid = m.wamid
        OFFSET 0
    ) s
    WHERE s.conversation->'origin'->>'type' = 'referral_conversion'
      AND s.conversation->>'expiration_timestamp' ~ '^\d{1,11}$'
) told ON true
WHERE n.id = %(number)s
"""

# --- rates of one's own -------------------------------------------------------------------------------------------

RATES_FOR = """
SELECT market, currency, category, since, amount FROM rates
WHERE organisation_id = %(organisation)s AND currency = %(currency)s AND market = ANY(%(markets)s)
"""

RATES_IN = """
SELECT market, currency, category, since, amount FROM rates
WHERE organisation_id = %(organisation)s AND currency = %(currency)s
"""

RATES = """
SELECT market, currency, category, since, amount FROM rates
WHERE organisation_id = %(organisation)s ORDER BY currency, market, category, since
"""

KEEP_RATES = """
INSERT INTO rates (organisation_id, currency, market, category, since, amount)
SELECT %(organisation)s, r.currency, r.market, r.category, r.since, r.amount
FROM json_to_recordset(%(rows)s::json)
    AS r(currency text, market text, category text, since date, amount numeric)
ORDER BY r.currency, r.market, r.category, r.since
ON CONFLICT (organisation_id, currency, market, category, since) DO UPDATE SET amount = excluded.amount
"""

FORGET_RATES = "DELETE FROM rates WHERE organisation_id = %(organisation)s"
