"""Automations: what they are, what customers said that nobody has answered, the conversations under way, and why.

An automation belongs to an organisation; a conversation (a run) belongs to a chat of a number, and ends on the version
it began with. Everything that grows leads its key with the number.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

AUTOMATIONS = """
CREATE TABLE automations (
    organisation_id  bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    name             text NOT NULL,                   -- the draft's; by it others start this one
    enabled          boolean NOT NULL DEFAULT false,
    position         integer NOT NULL,                -- of several that fit, the first begins
    version          integer NOT NULL DEFAULT 0,      -- the one that begins; 0: none was published yet
    draft            jsonb NOT NULL,                  -- as it is being written; it may be unfit
    draft_at         timestamptz NOT NULL,
    numbers          bigint[],                        -- NULL: all of the organisation
    archived_at      timestamptz,
    made_by          bigint,
    made_at          timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX automations_by_name ON automations (organisation_id, lower(name)) WHERE archived_at IS NULL;

CREATE TABLE automation_versions (
    organisation_id  bigint NOT NULL,
    automation_id    bigint NOT NULL,
    version          integer NOT NULL,
    definition       jsonb NOT NULL,                  -- automations.schema, canonical
    made_by          bigint,
    made_at          timestamptz NOT NULL,
    PRIMARY KEY (organisation_id, automation_id, version)
);
"""

RUNS = """
-- What a customer said and nobody has answered. It goes when it is answered, or when it is known that nobody here will.
CREATE TABLE turns (
    number_id   bigint NOT NULL,
    contact_id  bigint NOT NULL,
    first_at    timestamptz NOT NULL,                 -- by WhatsApp's clock, as messages.at
    said_at     timestamptz NOT NULL,
    due_at      timestamptz,                          -- when it is looked at (again); NULL: when something happens
    tried       boolean NOT NULL DEFAULT false,       -- nothing began: it waits for "nobody has answered for so long"
    wamids      text[] COLLATE "C" NOT NULL,
    PRIMARY KEY (number_id, contact_id)
) WITH (fillfactor = 70);
CREATE INDEX turns_due ON turns (number_id, due_at) WHERE due_at IS NOT NULL;

-- A conversation of an automation with a customer.
CREATE TABLE runs (
    number_id        bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    organisation_id  bigint NOT NULL,
    automation_id    bigint NOT NULL,
    version          integer NOT NULL,
    contact_id       bigint NOT NULL,
    state            text NOT NULL CHECK (state IN ('waiting', 'yielded', 'ended')),
    waits            text,                            -- answer, time, call, bot, agent
    wakes_at         timestamptz,
    run              jsonb NOT NULL,                  -- rules.automations.run.Run
    since            timestamptz,                     -- chats.floor_since it goes on under; another: a person spoke
    sent             integer NOT NULL DEFAULT 0,      -- messages; also part of their keys
    token            integer NOT NULL DEFAULT 0,      -- grows with each step: a result of an older wait is void
    began_at         timestamptz NOT NULL,
    moved_at         timestamptz NOT NULL,
    ended_at         timestamptz,
    why              text NOT NULL DEFAULT '',        -- it yielded, or ended: a sentence
    began_by         text NOT NULL DEFAULT '',        -- which trigger, or who
    trace            jsonb NOT NULL DEFAULT '[]',     -- [[unix seconds, path or sentence], ...], the newest last
    PRIMARY KEY (number_id, id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX runs_one_a_chat ON runs (number_id, contact_id) WHERE state <> 'ended';
CREATE INDEX runs_waking ON runs (number_id, wakes_at) WHERE state = 'waiting' AND wakes_at IS NOT NULL;
CREATE INDEX runs_of_chat ON runs (number_id, contact_id, id DESC);
CREATE INDEX runs_of_automation ON runs (organisation_id, automation_id, began_at DESC);

-- For each message: who had the floor, and why something was said or wasn't.
CREATE TABLE automation_log (
    number_id      bigint NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY,
    contact_id     bigint NOT NULL,
    at             timestamptz NOT NULL,
    automation_id  bigint,
    run_id         bigint,
    wamid          text COLLATE "C",
    kind           text NOT NULL,                     -- automations.models.Noted
    says           text NOT NULL,
    PRIMARY KEY (number_id, id)
);
CREATE INDEX automation_log_of_chat ON automation_log (number_id, contact_id, id DESC);

CREATE TABLE number_settings (
    number_id       bigint PRIMARY KEY,
    hours           jsonb,                            -- rules.automations.hours; NULL: always open
    zone            text NOT NULL DEFAULT '',         -- IANA; '': guessed by the number's country
    language        text NOT NULL DEFAULT '',
    phone_keywords  jsonb NOT NULL DEFAULT '[]'       -- rules.automations.keywords: typed by the owner on the phone
);

-- When an automation next begins by the clock.
CREATE TABLE automation_clocks (
    number_id        bigint NOT NULL,
    automation_id    bigint NOT NULL,
    organisation_id  bigint NOT NULL,
    at               timestamptz NOT NULL,
    reached          bigint NOT NULL DEFAULT 0,       -- the contact up to which this time's have begun
    PRIMARY KEY (number_id, automation_id)
);

-- How far a number's events were read for what isn't a message: tags, consent.
CREATE TABLE automation_cursors (
    number_id  bigint PRIMARY KEY,
    seq        bigint NOT NULL
);
"""

TABLES = (
    "automation_cursors, automation_clocks, number_settings, automation_log, runs, turns, automation_versions, "
    "automations"
)


def upgrade() -> None:
    op.get_bind().exec_driver_sql(AUTOMATIONS)
    op.get_bind().exec_driver_sql(RUNS)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(f"DROP TABLE {TABLES}")
