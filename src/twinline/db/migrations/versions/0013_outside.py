"""What automations reach outside of the platform: the places they may ask, what an agent may read, what it may spend,
and the answers of its that wait for a person.

No token or key stands here in the clear: ``secret`` and ``headers`` are sealed by ``kit.vault``.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CONNECTIONS = """
-- A place that a definition speaks of by its name: an HTTP interface, a bot of somebody's, a language model.
CREATE TABLE connections (
    organisation_id  bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    kind             text NOT NULL CHECK (kind IN ('http', 'bot', 'ai')),
    name             text NOT NULL,
    url              text NOT NULL,
    model            text NOT NULL DEFAULT '',        -- of a language model
    tool             jsonb,                           -- of an HTTP interface that an agent may call: connections.Tool
    secret           bytea,                           -- signs what a bot gets; shown to the others as a bearer token
    headers          bytea,                           -- more headers, as JSON
    made_by          bigint,
    made_at          timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX connections_by_name ON connections (organisation_id, name);
"""

KNOWLEDGE = """
CREATE TABLE knowledge (
    organisation_id  bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    name             text NOT NULL,                   -- by which an agent's step names it
    language         text NOT NULL,                   -- of PostgreSQL's text search: english, portuguese, simple
    text             text NOT NULL,
    made_by          bigint,
    made_at          timestamptz NOT NULL,
    changed_at       timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX knowledge_by_name ON knowledge (organisation_id, name);

CREATE TABLE passages (
    organisation_id  bigint NOT NULL,
    source_id        bigint NOT NULL,
    n                integer NOT NULL,                -- from 0, in the order of the text
    heading          text NOT NULL DEFAULT '',
    text             text NOT NULL,
    words            tsvector NOT NULL,               -- in the source's language, and once more without accents
    PRIMARY KEY (organisation_id, source_id, n)
);
CREATE INDEX passages_by_words ON passages USING gin (words);
"""

ERRANDS = """
-- What a run waits for that has to be fetched outside; gone when it has come. token: runs.token when it was asked for.
CREATE TABLE errands (
    number_id  bigint NOT NULL,
    run_id     bigint NOT NULL,
    token      integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('call', 'bot', 'agent')),
    request    jsonb NOT NULL,
    until      timestamptz NOT NULL,                  -- nobody waits for it any longer
    tries      smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (number_id, run_id)
);

-- What programs have started under a key of their own, so that a repeated request begins nothing twice.
CREATE TABLE started (
    number_id        bigint NOT NULL,
    idempotency_key  text NOT NULL,
    request_digest   bytea NOT NULL,
    run_id           bigint NOT NULL,
    at               timestamptz NOT NULL,
    PRIMARY KEY (number_id, idempotency_key)
);

-- What agents have said and used: by this their budget in a chat is kept.
CREATE TABLE agent_use (
    number_id      bigint NOT NULL,
    contact_id     bigint NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY,
    automation_id  bigint NOT NULL,
    run_id         bigint NOT NULL,
    at             timestamptz NOT NULL,
    tokens         integer NOT NULL,
    PRIMARY KEY (number_id, contact_id, id)
);

-- Answers that a person is to look at before they go out.
CREATE TABLE approvals (
    number_id      bigint NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY,
    contact_id     bigint NOT NULL,
    automation_id  bigint NOT NULL,
    run_id         bigint NOT NULL,
    since          timestamptz,                       -- chats.floor_since when it was written, as of runs
    text           text NOT NULL,
    made_at        timestamptz NOT NULL,
    state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'declined', 'dropped')),
    decided_at     timestamptz,
    decided_by     bigint,
    outbox_id      bigint,
    why            text NOT NULL DEFAULT '',          -- dropped: the reason, as a sentence
    PRIMARY KEY (number_id, id)
);
CREATE INDEX approvals_waiting ON approvals (number_id, id) WHERE state = 'waiting';
CREATE INDEX approvals_of_chat ON approvals (number_id, contact_id, id);
"""


def upgrade() -> None:
    for part in (CONNECTIONS, KNOWLEDGE, ERRANDS):
        op.get_bind().exec_driver_sql(part)


def downgrade() -> None:
    op.get_bind().exec_driver_sql("DROP TABLE approvals, agent_use, started, errands, passages, knowledge, connections")
