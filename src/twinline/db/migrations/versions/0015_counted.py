"""How many people of a campaign are in which state, kept beside them; and how far a planning is.

Counting a hundred thousand rows takes a tenth of a second, which is too long for a page that is looked at while it
happens. So the database keeps the counts itself, in the statement that changes the rows: whatever changes a recipient
can't forget to count. That is done for changes only, which are made under the number's turn, so nobody waits for these
rows. A planning writes new recipients without it, and counts them in the end (``campaigns.queries.COUNT``).
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COUNTS = """
CREATE TABLE recipient_counts (
    number_id    bigint NOT NULL,
    campaign_id  bigint NOT NULL,
    variant      smallint NOT NULL,
    state        text NOT NULL,
    people       bigint NOT NULL,
    opted_out    bigint NOT NULL,
    blocked      bigint NOT NULL,
    converted    bigint NOT NULL,
    cost         numeric NOT NULL,                    -- of those whose cost is known
    unpriced     bigint NOT NULL,                     -- the others
    PRIMARY KEY (number_id, campaign_id, variant, state)
) WITH (fillfactor = 50);

CREATE FUNCTION count_recipients() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recipient_counts AS c
    SELECT number_id, campaign_id, variant, state, sum(n), sum(n * (opted_out_at IS NOT NULL)::integer),
           sum(n * (blocked_at IS NOT NULL)::integer), sum(n * (converted_at IS NOT NULL)::integer),
           sum(n * coalesce(cost, 0)), sum(n * (cost IS NULL)::integer)
    FROM (SELECT 1 AS n, b.* FROM became b UNION ALL SELECT -1, w.* FROM was w) changed
    GROUP BY number_id, campaign_id, variant, state
    ORDER BY number_id, campaign_id, variant, state
    ON CONFLICT (number_id, campaign_id, variant, state) DO UPDATE SET
        people = c.people + excluded.people, opted_out = c.opted_out + excluded.opted_out,
        blocked = c.blocked + excluded.blocked, converted = c.converted + excluded.converted,
        cost = c.cost + excluded.cost, unpriced = c.unpriced + excluded.unpriced
    WHERE (excluded.people, excluded.opted_out, excluded.blocked, excluded.converted, excluded.cost, excluded.unpriced)
          IS DISTINCT FROM (0, 0, 0, 0, 0, 0);
    RETURN NULL;
END
$$;
CREATE TRIGGER recipients_counted AFTER UPDATE ON recipients
REFERENCING OLD TABLE AS was NEW TABLE AS became
FOR EACH STATEMENT EXECUTE FUNCTION count_recipients();

INSERT INTO recipient_counts
SELECT number_id, campaign_id, variant, state, count(*), count(opted_out_at), count(blocked_at), count(converted_at),
       coalesce(sum(cost), 0), count(*) - count(cost)
FROM recipients GROUP BY number_id, campaign_id, variant, state;

-- When a campaign was sent; and the few who tapped a button, or converted.
CREATE INDEX recipients_sent ON recipients (number_id, campaign_id, sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX recipients_button ON recipients (number_id, campaign_id, variant, button) WHERE button IS NOT NULL;
CREATE INDEX recipients_converted ON recipients (number_id, campaign_id) WHERE conversion IS NOT NULL;
"""

PLANNING = """
ALTER TABLE campaigns
    ADD COLUMN planned_so_far integer,                -- people the planning has gone through, while it does
    ADD COLUMN planned_total  integer;                -- of so many, as far as that is known
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(COUNTS)
    op.get_bind().exec_driver_sql(PLANNING)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(
        """
        DROP INDEX recipients_sent, recipients_button, recipients_converted;
        DROP TRIGGER recipients_counted ON recipients;
        DROP FUNCTION count_recipients;
        DROP TABLE recipient_counts;
        ALTER TABLE campaigns DROP planned_so_far, DROP planned_total;
        """
    )
