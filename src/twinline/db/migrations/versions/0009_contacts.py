"""Tags, custom fields, segments, and what people said about being written to.

What a person here knows of a contact (tags, fields, language) stands in the contact's own row, so that contacts that
turn out to be one join with it. What people *said* is kept by organisation and by the key under which somebody is
known (``identities.key``): it binds all numbers of the organisation, and also those who aren't contacts yet.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CONTACTS = """
ALTER TABLE contacts
    ADD COLUMN tags     text[] NOT NULL DEFAULT '{}',
    ADD COLUMN fields   jsonb NOT NULL DEFAULT '{}',   -- key of the field -> value, always text
    ADD COLUMN language text;
CREATE INDEX contacts_tagged ON contacts USING gin (tags) WHERE tags <> '{}';

CREATE TABLE tags (
    organisation_id  bigint NOT NULL,
    name             text COLLATE "C" NOT NULL,
    hue              smallint NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, name)
);

CREATE TABLE fields (
    organisation_id  bigint NOT NULL,
    key              text COLLATE "C" NOT NULL,
    label            text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('text', 'number', 'date')),
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, key)
);

CREATE TABLE segments (
    organisation_id  bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    name             text NOT NULL,
    conditions       jsonb NOT NULL,
    created_by       bigint,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX segments_by_name ON segments (organisation_id, lower(name));
"""

CONSENT = """
CREATE TABLE topics (
    organisation_id  bigint NOT NULL,
    key              text COLLATE "C" NOT NULL,     -- '' is marketing as a whole
    title            text NOT NULL,
    needs_opt_in     boolean NOT NULL,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, key)
);

-- One row a word, never changed: the newest counts, so neither order nor repetition matters (rules.consent).
CREATE TABLE consents (
    organisation_id  bigint NOT NULL,
    key              text COLLATE "C" NOT NULL,
    topic            text COLLATE "C" NOT NULL,
    at               timestamptz NOT NULL,
    granted          boolean NOT NULL,
    source           text NOT NULL,                -- keyword, person, import, api, command
    detail           text NOT NULL DEFAULT '',     -- the word itself, the form, the file: what proves it
    number_id        bigint,
    user_id          bigint,
    PRIMARY KEY (organisation_id, key, topic, at, granted, source)
);

-- Who is never sent marketing, whatever they or anybody says, until they are taken off the list.
CREATE TABLE suppressions (
    organisation_id  bigint NOT NULL,
    key              text COLLATE "C" NOT NULL,
    at               timestamptz NOT NULL,
    why              text NOT NULL DEFAULT '',
    user_id          bigint,
    PRIMARY KEY (organisation_id, key)
);

-- What a number does differently from rules/keywords.toml; NULL: as it stands there. An empty reply isn't sent.
CREATE TABLE keywords (
    number_id  bigint NOT NULL,
    language   text COLLATE "C" NOT NULL,
    enabled    boolean NOT NULL,
    stop       text[],
    start      text[],
    stopped    text,
    started    text,
    PRIMARY KEY (number_id, language)
);

-- What a marketing message is about; '' is marketing as a whole.
ALTER TABLE outbox ADD COLUMN topic text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CONTACTS)
    op.get_bind().exec_driver_sql(CONSENT)


def downgrade() -> None:
    pass
