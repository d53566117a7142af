"""What stands still, why, and until when.

``stops`` and ``reliefs`` are registers: of two accounts of the same thing the later one stays, whichever came first.
What stands is worked out from both (``rules.stops``).
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STOPS = """
CREATE TABLE stops (
    number_id  bigint NOT NULL,
    scope      text NOT NULL,             -- number, template, campaign, account, app
    key        text COLLATE "C" NOT NULL, -- which template; else empty
    code       integer NOT NULL,
    since      timestamptz NOT NULL,      -- when Meta last said so
    until      timestamptz,               -- ends by itself then
    PRIMARY KEY (number_id, scope, key, code)
);
CREATE INDEX stops_of_app ON stops (since) WHERE scope = 'app';

CREATE TABLE reliefs (
    number_id  bigint NOT NULL,
    way        text NOT NULL,
    key        text COLLATE "C" NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (number_id, way, key)
);

-- The stops for which rows were last held and released, as sending.stops writes them.
ALTER TABLE numbers ADD COLUMN held_for text NOT NULL DEFAULT '[]';

-- Meta may fail a message long after it took it; settled_at is when it took it.
ALTER TABLE outbox ADD COLUMN failed_at timestamptz;

CREATE INDEX outbox_held ON outbox (number_id, lane, id) WHERE state = 'held';
-- What a person's earlier failures say about writing to them again: capped, unreachable.
CREATE INDEX outbox_setbacks ON outbox (number_id, contact_id, error_code, failed_at)
    WHERE error_code IN (131026, 131049);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(STOPS)


def downgrade() -> None:
    pass
