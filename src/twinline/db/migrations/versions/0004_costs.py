"""What Meta charges for: our delivered messages, the accounts' currencies and zones, rate cards of one's own."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COSTS = """
-- A message that this platform sent and that arrived: what Meta charges. Derived from statuses and messages whenever
-- they change (costs.service.follow), so neither order nor repetition can count one twice.
CREATE TABLE deliveries (
    number_id  bigint NOT NULL,
    wamid      text COLLATE "C" NOT NULL,
    at         timestamptz NOT NULL,               -- the earliest that any status said it was there
    category   text NOT NULL CHECK (category IN
               ('service', 'marketing', 'utility', 'authentication', 'authentication_international', 'unknown')),
    entry      boolean NOT NULL,                   -- inside a free entry point, as Meta said
    in_window  boolean NOT NULL,                   -- free by the customer service window, as Meta said
    whose      text,                               -- the recipient's first four digits, or a user id's country
    PRIMARY KEY (number_id, wamid)
);
CREATE INDEX deliveries_of_month ON deliveries (number_id, category, at) INCLUDE (entry, in_window, whose);

-- What is known of the account that pays for a number: Graph's words, and a person's, which go before them.
CREATE TABLE billing (
    number_id         bigint PRIMARY KEY,
    currency          text,
    timezone_id       text,
    asked_at          timestamptz,
    set_currency      text,
    set_zone          text,
    free_entry_hours  smallint
);

-- An organisation's own rate card. A market is Meta's name of it, or a country's two letters.
CREATE TABLE rates (
    organisation_id  bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    currency         text NOT NULL,
    market           text NOT NULL,
    category         text NOT NULL,
    since            date NOT NULL,
    amount           numeric(14, 8) NOT NULL,
    PRIMARY KEY (organisation_id, currency, market, category, since)
);
"""

# What was sent before this migration counts as well.
BACKFILL = """
INSERT INTO deliveries (number_id, wamid, at, category, entry, in_window, whose)
SELECT m.number_id, m.wamid, s.at, CASE WHEN m.type <> 'template' THEN 'service' ELSE 'unknown' END, false, false,
       coalesce(left(c.phone, 4), left(c.bsuid, 2))
FROM messages m
JOIN (
    SELECT number_id, wamid, min(at) AS at FROM statuses WHERE status >= 5 GROUP BY number_id, wamid
) s ON s.number_id = m.number_id AND s.wamid = m.wamid
LEFT JOIN contacts c ON c.number_id = m.number_id AND c.id = m.contact_id
WHERE m.outgoing AND m.author IN ('person', 'automation', 'campaign')
"""


def upgrade() -> None:
    for part in (COSTS, BACKFILL):
        op.get_bind().exec_driver_sql(part)


def downgrade() -> None:
    for table in ("rates", "billing", "deliveries"):
        op.get_bind().exec_driver_sql(f"DROP TABLE {table}")
