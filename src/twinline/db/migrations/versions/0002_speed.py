"""A chat is found by its key, never by walking over all chats of its number.

On a young database the index of latest chats looked as good as the primary key to the planner, and a plan made then
read every chat of the number to find one. A partial index can't be mistaken for the key.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX chats_latest")
    op.execute(
        "CREATE INDEX chats_latest ON chats (number_id, last_at DESC, contact_id DESC) WHERE last_at IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX chats_latest")
    op.execute("CREATE INDEX chats_latest ON chats (number_id, last_at DESC, contact_id DESC)")
