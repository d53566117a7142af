"""The messaging limit of a business portfolio: which numbers share it, and whom they have reached in the last day.

Webhooks tell the limit too; those stand in ``notices``, and whichever was said last counts (``sending.portfolio``).
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

PORTFOLIOS = """
-- What Graph says of a number's portfolio. The limit is kept in Meta's words, so that a new one isn't lost.
CREATE TABLE portfolios (
    number_id        bigint PRIMARY KEY,
    business_id      text COLLATE "C",             -- whose WABA it is; NULL: Graph didn't say
    messaging_limit  text,
    said_at          timestamptz,                  -- when Graph said so
    asked_at         timestamptz NOT NULL
);
CREATE INDEX portfolios_of_business ON portfolios (business_id) WHERE business_id IS NOT NULL;

-- Messages that went out outside of a service window in the last day. Written with the instant that they are given;
-- what failed is taken out again, what is older is swept away.
CREATE TABLE reached (
    number_id   bigint NOT NULL,
    contact_id  bigint NOT NULL,
    outbox_id   bigint NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (number_id, contact_id, outbox_id)
) WITH (fillfactor = 90);
CREATE INDEX reached_lately ON reached (number_id, at) INCLUDE (contact_id);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(PORTFOLIOS)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE reached; DROP TABLE portfolios")
