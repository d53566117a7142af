"""Lanes: what a number counts, how it slows down, whom it has written to lately, and a queue that is cheap to look at.

A row of the outbox that waits is in exactly one of four places, each with an index of its own, so that no plan ever
walks over rows that can't go: *ready*, *to upload*, *postponed* (``not_before``), or *behind* another one of its chat.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LANES = """
ALTER TABLE numbers
    ADD COLUMN count_echoes   boolean  NOT NULL DEFAULT false,  -- whether what the phone sends uses up the budget
    ADD COLUMN slow_since     bigint   NOT NULL DEFAULT 0,      -- microseconds: the end of the last halt
    ADD COLUMN slow_share     smallint NOT NULL DEFAULT 1000,   -- thousandths of full speed, at that moment
    ADD COLUMN slow_recovery  bigint   NOT NULL DEFAULT 0;      -- microseconds in which half of what is missing is back

ALTER TABLE outbox
    ADD COLUMN behind        boolean  NOT NULL DEFAULT false,   -- another message of this chat goes first
    ADD COLUMN throttled     smallint NOT NULL DEFAULT 0,       -- how often it was one too many for its recipient
    ADD COLUMN needs_upload  boolean  NOT NULL
        GENERATED ALWAYS AS (coalesce(content ? 'file' AND NOT content ? 'id', false)) STORED;

DROP INDEX outbox_waiting;
CREATE INDEX outbox_ready ON outbox (number_id, lane, id)
    WHERE state = 'queued' AND not_before IS NULL AND NOT behind AND NOT needs_upload;
CREATE INDEX outbox_to_upload ON outbox (number_id, lane, id)
    WHERE state = 'queued' AND not_before IS NULL AND needs_upload;
CREATE INDEX outbox_postponed ON outbox (number_id, not_before) WHERE state = 'queued' AND not_before IS NOT NULL;
CREATE INDEX outbox_behind ON outbox (number_id, contact_id) WHERE state = 'queued' AND behind;
-- Who goes before whom.
CREATE INDEX outbox_in_chat ON outbox (number_id, contact_id, state, lane, id) WHERE state IN ('queued', 'sending');

-- The pair limit: who was written to so lately that it still counts. Rows whose time is over are swept away.
CREATE TABLE pairs (
    number_id   bigint NOT NULL,
    contact_id  bigint NOT NULL,
    tat         bigint NOT NULL,                                -- microseconds, as numbers.budget_tat
    PRIMARY KEY (number_id, contact_id)
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(LANES)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        """
        DROP TABLE pairs;
        DROP INDEX outbox_ready, outbox_to_upload, outbox_postponed, outbox_behind, outbox_in_chat;
        ALTER TABLE outbox DROP behind, DROP throttled, DROP needs_upload;
        ALTER TABLE numbers DROP count_echoes, DROP slow_since, DROP slow_share, DROP slow_recovery;
        CREATE INDEX outbox_waiting ON outbox (number_id, lane, id) WHERE state = 'queued';
        """
    )
