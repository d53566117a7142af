"""Uploads, receipts, the typing indicator."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MESSAGES = """
-- A file that Meta has from us, by its content. Meta keeps an upload for 30 days (Meta: media reference).
CREATE TABLE files_at_meta (
    number_id    bigint NOT NULL,
    sha256       text COLLATE "C" NOT NULL,
    mime_type    text NOT NULL,
    media_id     text NOT NULL,
    uploaded_at  timestamptz NOT NULL,
    PRIMARY KEY (number_id, sha256)
);

ALTER TABLE numbers ADD COLUMN send_typing boolean NOT NULL DEFAULT true;

ALTER TABLE chats
    ADD COLUMN receipt_wamid text COLLATE "C",     -- newest message of theirs that a read receipt was ordered for
    ADD COLUMN typing_at timestamptz;              -- when "typing" was last ordered
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(MESSAGES)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        "DROP TABLE files_at_meta; ALTER TABLE numbers DROP COLUMN send_typing;"
        " ALTER TABLE chats DROP COLUMN receipt_wamid, DROP COLUMN typing_at"
    )
