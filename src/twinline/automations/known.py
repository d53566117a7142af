"""What an organisation has that a definition may speak of, for ``sense.check``."""

from typing import Final

from twinline.accounts import queries as accounts
from twinline.automations import connections, knowledge, queries, sense
from twinline.automations.sense import Known
from twinline.contacts import queries as contacts
from twinline.db import Tx

# Of two accounts with a template of one name either will do: which is sent is the number's.
TEMPLATES: Final = """
SELECT DISTINCT ON (name, language) name, language, category FROM templates
WHERE organisation_id = %(organisation)s AND status = 'APPROVED' AND gone_at IS NULL
ORDER BY name, language, waba_id
"""


ALWAYS_OPEN: Final = """
SELECT n.id, coalesce(n.verified_name, '+' || n.display_phone)
FROM numbers n LEFT JOIN number_settings s ON s.number_id = n.id
WHERE n.organisation_id = %(organisation)s AND coalesce(s.hours -> 'week', '{}') = '{}' ORDER BY n.id
"""


async def known(tx: Tx, organisation_id: int) -> Known:
    """Published automations only: a draft isn't started by anybody."""
    templates = await tx.rows(TEMPLATES, {"organisation": organisation_id})
    automations = await queries.automations(tx, organisation_id)
    given = [tag for one in automations if one.definition for tag in sorted(sense.gives(one.definition))]
    return Known(
        templates={(name, language): category for name, language, category in templates},
        tags=list(dict.fromkeys([*(tag.name for tag in await contacts.tags(tx, organisation_id)), *given])),
        fields={field.key: field.kind for field in await contacts.fields(tx, organisation_id)},
        users=[user.email for user in await accounts.users(tx, organisation_id)],
        automations={one.name: sense.starts(one.definition) if one.definition else () for one in automations},
        connections=await connections.kinds(tx, organisation_id),
        knowledge=[source.name for source in await knowledge.sources(tx, organisation_id)],
        always_open=dict(await tx.rows(ALWAYS_OPEN, {"organisation": organisation_id})),
    )
