"""Templates of a WABA, as Meta last told of them.

Several numbers share a WABA, and with it its templates; they are kept once per organisation. Status, quality and
category are registers with a version each (see 0001): a webhook and a look at Graph may overtake each other.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEMPLATES = """
CREATE TABLE templates (
    organisation_id   bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    waba_id           text COLLATE "C" NOT NULL,
    id                text COLLATE "C" NOT NULL,     -- Meta's
    name              text COLLATE "C" NOT NULL,
    language          text COLLATE "C" NOT NULL,
    components        jsonb NOT NULL DEFAULT '[]',
    parameter_format  text NOT NULL,
    fetched_at        timestamptz,                   -- when Graph was asked for the components
    status            text NOT NULL,
    reason            text,                          -- of a pause or rejection, as Meta names it
    paused_until      timestamptz,                   -- a pause that lifts itself
    status_v          bigint NOT NULL,
    quality           text NOT NULL DEFAULT 'UNKNOWN',
    quality_v         bigint NOT NULL DEFAULT -1,
    category          text NOT NULL,
    next_category     text,                          -- announced, from next_category_at on
    next_category_at  timestamptz,
    category_v        bigint NOT NULL,
    was_approved      boolean NOT NULL DEFAULT false,
    gone_at           timestamptz,                   -- deleted; the name of an approved one stays blocked for a while
    created_at        timestamptz,                   -- handed in from here
    edited            timestamptz[] NOT NULL DEFAULT '{}',  -- new versions of the approved one, handed in from here
    fallbacks         jsonb NOT NULL DEFAULT '{}',   -- slot key -> what stands there when a value is empty
    sample            jsonb,                         -- the header's file, if it was handed in from here
    PRIMARY KEY (organisation_id, waba_id, id)
);
CREATE INDEX templates_of_name ON templates (organisation_id, waba_id, name, language);

-- When a WABA's templates were last read as a whole, and what stood in the way since.
CREATE TABLE template_readings (
    organisation_id  bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    waba_id          text COLLATE "C" NOT NULL,
    read_at          timestamptz,
    problem          text,
    PRIMARY KEY (organisation_id, waba_id)
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(TEMPLATES.replace("%", "%%"))


def downgrade() -> None:
    raise RuntimeError("Templates that were read can't be unread: restore a backup instead.")
