"""Edited messages are found by what they say now."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Beside the index of all texts: few messages are edited, and making that one anew takes minutes.
    op.execute(
        "CREATE INDEX messages_search_edited ON messages USING gin (to_tsvector('simple', edit_text))"
        " WHERE edit_text IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX messages_search_edited")
