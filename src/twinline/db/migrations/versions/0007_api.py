"""Keys of programs, what they uploaded, and which of them wrote a message.

A key is kept as its SHA-256 digest; ``hint`` is its end, by which people tell their keys apart. It names its
organisation, so that it is found by the column that the table is distributed by.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEYS = """
CREATE TABLE api_keys (
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    name            text NOT NULL,
    hint            text NOT NULL,
    digest          bytea NOT NULL,
    scopes          text[] NOT NULL,
    created_by      bigint,                        -- NULL: made at the server's command line
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz,
    revoked_at      timestamptz,
    PRIMARY KEY (organisation_id, id),
    UNIQUE (organisation_id, digest)
);
"""

HANDLES = """
-- Files that a program left with us, until it sends them: the handle is what messages name.
CREATE TABLE handles (
    number_id   bigint NOT NULL,
    handle      text NOT NULL,
    created_at  timestamptz NOT NULL,
    type        text NOT NULL,                     -- what it is sent as unless the message says otherwise
    content     jsonb NOT NULL,                    -- the file's facts, as a message of that type holds them
    PRIMARY KEY (number_id, handle)
);
"""

CAUSE = """
-- Which key wrote a message, and the digest of its request: the same idempotency key with another one is a mistake.
ALTER TABLE outbox ADD COLUMN api_key_id bigint, ADD COLUMN request_digest bytea;
"""


def upgrade() -> None:
    for part in (KEYS, HANDLES, CAUSE):
        op.get_bind().exec_driver_sql(part)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        "ALTER TABLE outbox DROP COLUMN api_key_id, DROP COLUMN request_digest; DROP TABLE handles; DROP TABLE api_keys"
    )
