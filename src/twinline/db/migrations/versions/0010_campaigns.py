"""Campaigns, the people they go to, and what became of each.

A campaign belongs to an organisation and speaks from one number. Its recipients are frozen when it is planned: who they
are, what each will read, and who is left out and why. From then on a row only tells what became of it, and every figure
that a campaign shows is counted over these rows, so figures and rows can't disagree.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CAMPAIGNS = """
CREATE TABLE campaigns (
    organisation_id  bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    number_id        bigint NOT NULL,
    name             text NOT NULL,
    state            text NOT NULL DEFAULT 'draft' CHECK (state IN
                     ('draft', 'planning', 'planned', 'scheduled', 'running', 'paused', 'held', 'stopped',
                      'cancelled', 'finished')),
    state_since      timestamptz NOT NULL,
    reason           text NOT NULL DEFAULT '',        -- why it is in this state, for programs: limit.failed
    says             text NOT NULL DEFAULT '',        -- and for people
    audience         jsonb NOT NULL DEFAULT '{}',     -- what is asked for: campaigns.audience
    content          jsonb NOT NULL DEFAULT '{}',     -- campaigns.models.Content
    schedule         jsonb NOT NULL DEFAULT '{}',     -- campaigns.models.Schedule
    limits           jsonb NOT NULL DEFAULT '{}',     -- rules.campaigns.Limits, where they aren't the defaults
    routing          jsonb NOT NULL DEFAULT '{}',     -- what is done with replies
    topic            text NOT NULL DEFAULT '',        -- of marketing, as in topics; '' is marketing as a whole
    speed            real CHECK (speed > 0),          -- messages a second at most; NULL: whatever the number has left
    revision         integer NOT NULL DEFAULT 0,      -- grows with each edit; what was planned for an older one is void
    plan             jsonb,                           -- the dry run: campaigns.planning
    created_by       bigint,
    created_at       timestamptz NOT NULL,
    planned_at       timestamptz,
    starts_at        timestamptz,                     -- when it begins by itself
    started_at       timestamptz,
    finished_at      timestamptz,                     -- also cancelled
    api_key_id       bigint,
    idempotency_key  text,
    request_digest   bytea,
    PRIMARY KEY (organisation_id, id)
);
CREATE UNIQUE INDEX campaigns_of_number ON campaigns (number_id, id);
CREATE UNIQUE INDEX campaigns_once ON campaigns (organisation_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Those that something is to be done for, now or at a time.
CREATE INDEX campaigns_at_work ON campaigns (number_id, id)
    WHERE state IN ('planning', 'scheduled', 'running', 'paused', 'held', 'stopped');
"""

RECIPIENTS = """
CREATE TABLE recipients (
    number_id    bigint NOT NULL,
    campaign_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    key          text COLLATE "C" NOT NULL,           -- who: as identities.key, 'p:<canonical phone>' or 'u:<user id>'
    contact_id   bigint,                              -- NULL: nobody known to the number, until they are written to
    phone        text,
    bsuid        text,
    name         text,                                -- as the list shows them
    line         integer,                             -- of the file they come from
    language     text,                                -- of the template they get
    variant      smallint NOT NULL DEFAULT 0,         -- which of content's variants
    filled       jsonb NOT NULL DEFAULT '{}',         -- the values by their places in the template: frozen
    draft        jsonb,                               -- sending.models.Draft, as it will be sent: frozen
    market       text,                                -- of the price
    cost         numeric,                             -- estimated, in the currency of the plan; NULL: unknown
    state        text NOT NULL CHECK (state IN
                 ('planned', 'skipped', 'queued', 'sending', 'sent', 'delivered', 'read', 'replied', 'failed',
                  'in_doubt', 'unknown', 'held', 'cancelled')),
    reason       text NOT NULL DEFAULT '',            -- for programs, why skipped, failed, held: opted_out, 131026
    says         text NOT NULL DEFAULT '',            -- for people, where the reason has no sentence of its own
    first        boolean NOT NULL DEFAULT false,      -- sent before all others, by hand
    not_before   timestamptz NOT NULL DEFAULT 'epoch',
    tries        smallint NOT NULL DEFAULT 0,         -- rows of the outbox that were taken back before they left
    outbox_id    bigint,                              -- the last of them
    wamid        text COLLATE "C",
    queued_at    timestamptz,
    sent_at      timestamptz,
    delivered_at timestamptz,
    read_at      timestamptz,
    failed_at    timestamptz,
    replied_at   timestamptz,
    reply_wamid  text COLLATE "C",
    button       text,                                -- the first one they tapped
    opted_out_at timestamptz,                         -- after it was sent
    blocked_at   timestamptz,                         -- the same, said to WhatsApp rather than here
    converted_at timestamptz,
    conversion   jsonb,
    PRIMARY KEY (number_id, campaign_id, id)
) WITH (fillfactor = 80);
-- Nobody twice: whoever is left out as a duplicate is skipped.
CREATE UNIQUE INDEX recipients_once ON recipients (number_id, campaign_id, key) WHERE state <> 'skipped';
CREATE INDEX recipients_by_state ON recipients (number_id, campaign_id, state, id) INCLUDE (variant, reason);
CREATE INDEX recipients_next ON recipients (number_id, campaign_id, not_before, id) WHERE state IN ('planned', 'held');
CREATE INDEX recipients_of_outbox ON recipients (number_id, outbox_id) WHERE outbox_id IS NOT NULL;
CREATE INDEX recipients_of_contact ON recipients (number_id, contact_id, sent_at DESC) WHERE contact_id IS NOT NULL;

-- Whoever told WhatsApp to stop marketing; few among many.
CREATE INDEX contacts_opted_out ON contacts (number_id, id) WHERE opted_out;

-- Up to which of the number's events campaigns have followed.
CREATE TABLE campaign_cursors (
    number_id  bigint PRIMARY KEY,
    seq        bigint NOT NULL
);
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(CAMPAIGNS)
    op.get_bind().exec_driver_sql(RECIPIENTS)


def downgrade() -> None:
    pass
