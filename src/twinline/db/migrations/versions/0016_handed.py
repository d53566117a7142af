"""Which chats automations have handed to people: few conversations end so, and the inbox counts them."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql("CREATE INDEX runs_handed ON runs (number_id, ended_at) WHERE released")


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP INDEX runs_handed")
