"""What is asked often reads no more, however much is stored.

Each of these was found by reading all that a number, or an endpoint, ever had. While they are made, whoever writes to
these tables waits: a few seconds for each million messages.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INDEXES = """
-- When an endpoint last took something.
CREATE INDEX webhook_deliveries_taken ON webhook_deliveries (organisation_id, endpoint_id, tried_at)
    WHERE state = 'delivered';
-- All that is a person's, when they turn out to be another: in messages_thread are the others of theirs.
CREATE INDEX messages_beside ON messages (contact_id, number_id) WHERE type = 'reaction' OR type IS NULL;
CREATE INDEX outbox_of_contact ON outbox (contact_id, number_id, id DESC);
-- What was said about marketing lately.
CREATE INDEX consents_said ON consents (number_id, at);
-- Who told WhatsApp lately to stop marketing.
DROP INDEX contacts_opted_out;
CREATE INDEX contacts_opted_out ON contacts (number_id, opted_v) WHERE opted_out;
-- An automation's newest conversations at a number.
DROP INDEX runs_of_automation;
CREATE INDEX runs_of_automation ON runs (automation_id, number_id, id DESC);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(INDEXES)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        """
        DROP INDEX webhook_deliveries_taken, messages_beside, outbox_of_contact, consents_said, runs_of_automation;
        DROP INDEX contacts_opted_out;
        CREATE INDEX contacts_opted_out ON contacts (number_id, id) WHERE opted_out;
        CREATE INDEX runs_of_automation ON runs (organisation_id, automation_id, began_at DESC);
        """
    )
