"""Outgoing webhooks: where they go, how far each place has been told of each number's events, and every delivery."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ENDPOINTS = """
CREATE TABLE webhook_endpoints (
    organisation_id  bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    url              text NOT NULL,
    description      text NOT NULL DEFAULT '',
    types            text[] NOT NULL,
    numbers          bigint[],                        -- NULL: all, also those that come later
    order_by         text NOT NULL DEFAULT 'number' CHECK (order_by IN ('number', 'chat')),
    secret           bytea NOT NULL,                  -- sealed by kit.vault, as is the one before it
    old_secret       bytea,
    old_until        timestamptz,                     -- until then both sign
    state            text NOT NULL DEFAULT 'on' CHECK (state IN ('on', 'off', 'stopped')),
    state_since      timestamptz NOT NULL,
    says             text NOT NULL DEFAULT '',        -- why it was stopped, for people
    failing_since    timestamptz,                     -- the first failure after the last success
    rests_until      timestamptz,                     -- nothing is tried before
    created_by       bigint,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id)
);

-- Up to which of a number's events an endpoint's deliveries have been written.
CREATE TABLE webhook_cursors (
    organisation_id  bigint NOT NULL,
    endpoint_id      bigint NOT NULL,
    number_id        bigint NOT NULL,
    seq              bigint NOT NULL,
    told             jsonb NOT NULL DEFAULT '{}',     -- what was last told of that which has a state
    PRIMARY KEY (organisation_id, endpoint_id, number_id)
);

CREATE TABLE webhook_deliveries (
    organisation_id  bigint NOT NULL,
    endpoint_id      bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,  -- the order in which they happened
    key              text COLLATE "C" NOT NULL,       -- webhook-id: the same however often it is delivered
    type             text NOT NULL,
    at               timestamptz NOT NULL,            -- when it happened
    number_id        bigint,                          -- NULL: a test
    contact_id       bigint,                          -- of whom it speaks, if of one
    body             text NOT NULL,                   -- as it goes out, to the byte
    state            text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    created_at       timestamptz NOT NULL,
    due_at           timestamptz NOT NULL,
    first_at         timestamptz,                     -- the first try of this round; a replay begins another
    tries            integer NOT NULL DEFAULT 0,
    tried_at         timestamptz,
    took             integer,                         -- milliseconds
    code             smallint,                        -- of the last answer
    answer           text,                            -- how it began
    problem          text,                            -- why there is no good answer, for people
    PRIMARY KEY (organisation_id, endpoint_id, id)
);
CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (organisation_id, endpoint_id, key);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (organisation_id, endpoint_id, number_id, id)
    INCLUDE (due_at) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_of_contact ON webhook_deliveries (number_id, contact_id);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(ENDPOINTS)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        "DROP TABLE webhook_deliveries; DROP TABLE webhook_cursors; DROP TABLE webhook_endpoints"
    )
