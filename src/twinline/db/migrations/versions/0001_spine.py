"""The spine: numbers, people, chats, messages, and what they are made from.

Three habits hold for every table here:

* A table that grows leads its primary key with ``number_id`` (or ``organisation_id``), so that it can be
  distributed by that column without a redesign. The raw archive is the one exception: a webhook body can speak
  of several numbers, so it is partitioned by the day it came instead.
* A column that ends in ``_v`` is the *version* of its register: of two accounts of the same thing the higher
  version stays, whichever came first. See ``twinline.mirror.fold``.
* Times are arguments. No default reads the database's clock, since tests and the demo move theirs.
"""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ACCOUNTS = """
CREATE TABLE organisations (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE users (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    email           text NOT NULL UNIQUE CHECK (email = lower(email)),
    name            text NOT NULL,
    role            text NOT NULL CHECK (role IN ('owner', 'admin', 'agent', 'viewer')),
    password_hash   text NOT NULL,
    created_at      timestamptz NOT NULL
);

CREATE TABLE sessions (
    token_digest  bytea PRIMARY KEY,          -- SHA-256 of the cookie; the cookie itself is never stored
    user_id       bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    csrf_token    text NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL
);

CREATE TABLE audit (
    organisation_id bigint NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    at              timestamptz NOT NULL,
    user_id         bigint,
    action          text NOT NULL,
    detail          jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (organisation_id, id)
);
"""

NUMBERS = """
-- The row of a number is also its writer's lock: whoever writes about a number holds this row first.
CREATE TABLE numbers (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id  bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    waba_id          text NOT NULL,
    phone_number_id  text NOT NULL UNIQUE,
    display_phone    text NOT NULL CHECK (display_phone ~ '^[0-9]+$'),
    verified_name    text,
    token            bytea,                        -- encrypted by kit.vault; NULL: cannot call Graph
    token_expires_at timestamptz,
    created_at       timestamptz NOT NULL,
    connected_at     timestamptz,
    state            text NOT NULL DEFAULT 'connecting',
    state_since      timestamptz,
    state_reason     text,
    verified_at      timestamptz,                  -- when Graph last confirmed is_on_biz_app
    phone_seen_at    timestamptz,                  -- newest sign of life from the phone
    budget_tat       bigint NOT NULL DEFAULT 0,    -- microseconds: when the 20/s budget is free again
    event_seq        bigint NOT NULL DEFAULT 0,
    keep_edited      boolean NOT NULL DEFAULT true,
    phone_pause      interval NOT NULL DEFAULT '2 hours',
    send_receipts    boolean NOT NULL DEFAULT true
) WITH (fillfactor = 50);
CREATE INDEX numbers_of_waba ON numbers (waba_id);
CREATE INDEX numbers_of_organisation ON numbers (organisation_id);

-- One try at connecting a number, from the owner's consent to the requested synchronisation.
CREATE TABLE onboardings (
    organisation_id  bigint NOT NULL REFERENCES organisations ON DELETE CASCADE,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    user_id          bigint,
    created_at       timestamptz NOT NULL,
    agreed_at        timestamptz,
    agreed_to        text,                         -- date of the capability matrix the owner saw
    answers          jsonb NOT NULL DEFAULT '{}',  -- what only the owner could see, by check id
    step             text NOT NULL,                -- exchange, resolve, subscribe, sync, done, stopped
    waba_id          text,
    token            bytea,
    token_expires_at timestamptz,
    number_id        bigint,
    problem          text,
    finished_at      timestamptz,
    PRIMARY KEY (organisation_id, id)
);

-- What Meta (or this platform, field 'twinline') said about a number that is not a message.
CREATE TABLE notices (
    number_id  bigint NOT NULL,
    field      text NOT NULL,
    at         timestamptz NOT NULL,
    tie        bigint NOT NULL,
    value      jsonb NOT NULL,
    PRIMARY KEY (number_id, field, at, tie)
);

CREATE TABLE sync_requests (
    number_id     bigint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('contacts', 'history')),
    requested_at  timestamptz,
    answered_at   timestamptz,
    request_id    text,
    error_code    integer,
    error_text    text,
    declined_at   timestamptz,
    PRIMARY KEY (number_id, kind)
);

CREATE TABLE sync_chunks (
    number_id    bigint NOT NULL,
    phase        smallint NOT NULL,
    chunk_order  integer NOT NULL,
    progress     smallint NOT NULL,
    threads      integer NOT NULL,
    messages     integer NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (number_id, phase, chunk_order)
);
"""

ARCHIVE = """
CREATE TABLE webhooks (
    received_on  date NOT NULL,
    digest       bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    state        text NOT NULL CHECK (state IN ('folded', 'waiting', 'unreadable', 'unclaimed')),
    reason       text,
    body         bytea NOT NULL,
    PRIMARY KEY (received_on, digest)
) PARTITION BY RANGE (received_on);
CREATE TABLE webhooks_other PARTITION OF webhooks DEFAULT;
CREATE INDEX webhooks_not_folded ON webhooks (state, received_at) WHERE state <> 'folded';

-- Bodies that speak of a number nobody has added yet; adding it folds them.
CREATE TABLE unclaimed (
    address      text NOT NULL,                    -- 'n:<phone number id>' or 'w:<WABA id>'
    received_on  date NOT NULL,
    digest       bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (address, received_on, digest)
);
"""

MIRROR = """
CREATE TABLE contacts (
    number_id     bigint NOT NULL,
    id            bigint GENERATED BY DEFAULT AS IDENTITY,
    phone         text,  phone_v     bigint NOT NULL DEFAULT -1,
    bsuid         text,  bsuid_v     bigint NOT NULL DEFAULT -1,
    parent_bsuid  text,  parent_v    bigint NOT NULL DEFAULT -1,
    username      text,  username_v  bigint NOT NULL DEFAULT -1,
    profile_name  text,  profile_v   bigint NOT NULL DEFAULT -1,
    book_name     text,  book_first  text,  book_v bigint NOT NULL DEFAULT -1,
    opted_out     boolean NOT NULL DEFAULT false,  opted_v bigint NOT NULL DEFAULT -1,
    custom_name   text,
    PRIMARY KEY (number_id, id)
) WITH (fillfactor = 70);

-- Every way Meta may name a contact: 'p:<canonical phone>' or 'u:<business-scoped user id>'.
CREATE TABLE identities (
    number_id   bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    contact_id  bigint NOT NULL,
    PRIMARY KEY (number_id, key)
);
CREATE INDEX identities_of_contact ON identities (number_id, contact_id);

CREATE TABLE merges (
    number_id   bigint NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL,
    winner_id   bigint NOT NULL,
    loser_id    bigint NOT NULL,
    loser       jsonb NOT NULL,                    -- the row and keys that went, so that it can be undone
    PRIMARY KEY (number_id, id)
);

-- type IS NULL: a stub. Something spoke of this message (a status, an edit) that itself has not come yet.
CREATE TABLE messages (
    number_id    bigint NOT NULL,
    wamid        text COLLATE "C" NOT NULL,
    contact_id   bigint,
    outgoing     boolean NOT NULL,
    live         boolean NOT NULL DEFAULT false,   -- happened while connected; history never is
    heard        bigint NOT NULL DEFAULT 0,        -- microseconds: the order within a second; not exported
    version      bigint NOT NULL DEFAULT -1,       -- of: at, type, text, content, extra, media_id, quoted, author
    at           timestamptz,
    type         text,
    text         text,
    content      jsonb,
    extra        jsonb,
    media_id     text,
    quoted       text COLLATE "C",
    author       text,                             -- customer, phone, person, automation, campaign
    author_id    bigint,
    delivery     smallint NOT NULL DEFAULT 0,
    edit_v       bigint NOT NULL DEFAULT -1,       -- of: edit_text, edit_content
    edit_text    text,
    edit_content jsonb,
    revoked_at   timestamptz,
    PRIMARY KEY (number_id, wamid)
);
CREATE INDEX messages_thread ON messages (number_id, contact_id, at DESC, heard DESC, wamid DESC)
    WHERE type <> 'reaction';
CREATE INDEX messages_answerable ON messages (number_id, contact_id, at DESC) INCLUDE (type)
    WHERE live AND NOT outgoing AND type NOT IN ('system', 'request_welcome');
CREATE INDEX messages_reactions ON messages (number_id, quoted) WHERE type = 'reaction';
CREATE INDEX messages_media ON messages (number_id, media_id) WHERE media_id IS NOT NULL;
CREATE INDEX messages_search ON messages USING gin (to_tsvector('simple', text))
    WITH (gin_pending_list_limit = 262144);  -- kB; sorted in by a job, never by a message that waits (mirror.jobs)

CREATE TABLE statuses (
    number_id  bigint NOT NULL,
    wamid      text COLLATE "C" NOT NULL,
    status     smallint NOT NULL,
    version    bigint NOT NULL,
    at         timestamptz NOT NULL,
    detail     jsonb,                              -- errors, pricing, conversation, callback data, as Meta said
    PRIMARY KEY (number_id, wamid, status)
);

CREATE TABLE edits (
    number_id  bigint NOT NULL,
    wamid      text COLLATE "C" NOT NULL,          -- the id of the event itself
    original   text COLLATE "C" NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('edit', 'revoke')),
    outgoing   boolean NOT NULL,
    version    bigint NOT NULL,
    at         timestamptz NOT NULL,
    type       text,
    text       text,
    content    jsonb,
    PRIMARY KEY (number_id, wamid)
);
CREATE INDEX edits_of_message ON edits (number_id, original);

CREATE TABLE media (
    number_id   bigint NOT NULL,
    media_id    text NOT NULL,
    state       text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'kept', 'lost')),
    mime_type   text,
    sha256      text,
    size        bigint,
    file        text,
    reason      text,
    PRIMARY KEY (number_id, media_id)
);

CREATE TABLE chats (
    number_id        bigint NOT NULL,
    contact_id       bigint NOT NULL,
    last_at          timestamptz,
    last_wamid       text COLLATE "C",
    last_inbound_at  timestamptz,                  -- newest live message of the customer that opens the window
    answered_at      timestamptz,                  -- newest live message to the customer
    read_at          timestamptz,                  -- the team has read up to here
    unread           integer NOT NULL DEFAULT 0,
    assigned_to      bigint,
    floor_holder     text NOT NULL DEFAULT 'nobody',
    floor_epoch      integer NOT NULL DEFAULT 0,
    floor_since      timestamptz,
    floor_until      timestamptz,
    PRIMARY KEY (number_id, contact_id)
) WITH (fillfactor = 70);
CREATE INDEX chats_latest ON chats (number_id, last_at DESC, contact_id DESC);
-- Few chats are unread, and few are anybody's: their lists mustn't walk over all the others.
CREATE INDEX chats_unread ON chats (number_id, last_at DESC, contact_id DESC) WHERE unread > 0;
CREATE INDEX chats_assigned ON chats (number_id, assigned_to, last_at DESC, contact_id DESC)
    WHERE assigned_to IS NOT NULL;

-- One row a committed batch and number; seq counts without gaps under the number's lock.
CREATE TABLE events (
    number_id  bigint NOT NULL,
    seq        bigint NOT NULL,
    at         timestamptz NOT NULL,
    body       jsonb NOT NULL,
    PRIMARY KEY (number_id, seq)
);
"""

SENDING = """
CREATE TABLE outbox (
    number_id        bigint NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY,
    contact_id       bigint NOT NULL,
    lane             smallint NOT NULL,            -- 0 person, 1 automation, 2 utility, 3 marketing
    author           text NOT NULL,
    author_id        bigint,
    floor_epoch      integer NOT NULL,
    idempotency_key  text,
    created_at       timestamptz NOT NULL,
    type             text NOT NULL,
    text             text,
    content          jsonb,
    quoted           text COLLATE "C",
    state            text NOT NULL DEFAULT 'queued' CHECK (state IN
                     ('queued', 'sending', 'sent', 'in_doubt', 'unknown', 'failed', 'held', 'cancelled')),
    attempts         smallint NOT NULL DEFAULT 0,
    not_before       timestamptz,
    sending_at       timestamptz,
    settled_at       timestamptz,
    wamid            text COLLATE "C",
    error_code       integer,
    error_text       text,
    PRIMARY KEY (number_id, id)
);
CREATE UNIQUE INDEX outbox_once ON outbox (number_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX outbox_waiting ON outbox (number_id, lane, id) WHERE state = 'queued';
CREATE INDEX outbox_unsettled ON outbox (number_id, state, sending_at) WHERE state IN ('sending', 'in_doubt');
CREATE INDEX outbox_of_chat ON outbox (number_id, contact_id, id DESC) WHERE state <> 'sent';
CREATE INDEX outbox_of_wamid ON outbox (number_id, wamid) WHERE wamid IS NOT NULL;
"""


def upgrade() -> None:
    for part in (ACCOUNTS, NUMBERS, ARCHIVE, MIRROR, SENDING, SchemaManager.get_schema()):
        op.get_bind().exec_driver_sql(part.replace("%", "%%"))


def downgrade() -> None:
    raise RuntimeError("There is nothing before the spine: drop the database instead.")
